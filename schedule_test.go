package logto_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/logtotest"
)

var (
	schedules = flag.Int("schedules", 40, "random schedules that TestSchedules plays")
	scheduled = flag.Uint64("schedule", 0, "the one schedule to play again, by its seed")
)

// Random schedules against the key cache: time, rotations, removals, outages that fail or
// hang, replicas that disagree, clocks apart, clients that leave, floods of made-up key
// IDs. The promises of docs/design.md are held to as invariants.
func TestSchedules(t *testing.T) {
	if *scheduled != 0 {
		playSchedule(t, *scheduled)
		return
	}
	start, n := rand.Uint64N(1<<62), *schedules
	if testing.Short() {
		n = min(n, 5)
	}
	seed := start
	defer func() {
		if t.Failed() {
			t.Logf("play it again: go test -run TestSchedules -schedule %d", seed)
		}
	}()
	for i := range uint64(n) {
		seed = start + i
		if playSchedule(t, seed); t.Failed() {
			return
		}
	}
}

// model is Logto as it is: what the key cache may know and what it must.
type model struct {
	*testing.T
	rand   *rand.Rand
	issuer *logtotest.Issuer
	v      *logto.Verifier
	skew   time.Duration // Logto's clock - ours

	mu       sync.Mutex
	fault    http.Handler // nil: the endpoint is good
	since    time.Time    // when the fault last changed
	replica  string       // an older key set that some answers have
	until    time.Time    // how long replicas disagree
	fetches  []time.Time  // their starts
	goodSets []seenSet    // good answers, by when they were asked for
	settled  time.Time    // since when all replicas have the same key set
}

// seenSet is what a good answer had, and when it was asked for and given.
type seenSet struct {
	asked, given time.Time
	keys         string
}

func (m *model) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	m.mu.Lock()
	m.fetches = append(m.fetches, now)
	fault, keys := m.fault, m.issuer.KeySet()
	if now.Before(m.until) && m.rand.IntN(2) == 0 {
		keys = m.replica
	}
	m.mu.Unlock()
	if fault != nil {
		fault.ServeHTTP(w, r)
		return
	}
	time.Sleep(time.Duration(m.intN(50)) * time.Millisecond)
	m.mu.Lock()
	m.goodSets = append(m.goodSets, seenSet{now, time.Now(), keys})
	m.mu.Unlock()
	_, _ = io.WriteString(w, keys)
}

func (m *model) intN(n int) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rand.IntN(n)
}

// token is one that Logto issues now, by its clock.
func (m *model) token(kid string) string {
	issued := time.Now().Add(m.skew)
	t := logtotest.Token{Claims: map[string]any{"iat": issued.Unix(), "exp": issued.Add(10000 * time.Hour).Unix()}}
	if kid != "" {
		t.Header = map[string]any{"kid": kid}
	}
	return m.issuer.Token(t)
}

func (m *model) setFault(fault http.Handler) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fault, m.since = fault, time.Now()
}

// issued is a token of Logto's and the key that signed it.
type issued struct{ token, kid string }

func playSchedule(t *testing.T, seed uint64) {
	synctest.Test(t, func(t *testing.T) {
		m := &model{T: t, rand: rand.New(rand.NewPCG(seed, 0)), issuer: logtotest.NewIssuer(t)}
		m.skew = time.Duration(m.intN(57)-28) * time.Second
		cfg := m.issuer.Config()
		cfg.Logger = capture
		cfg.CacheSize = []int{0, -1, 2}[m.intN(3)]
		m.issuer.Fail(m)
		var err error
		if m.v, err = logto.New(cfg); err != nil {
			t.Fatal(err)
		}
		m.since, m.settled = time.Now().Add(-time.Hour), time.Now().Add(-time.Hour)
		good := []issued{{m.token(""), m.issuer.KeyID()}}
		var wg sync.WaitGroup
		for step := range 150 {
			switch m.intN(14) {
			case 0: // rotate; the replicas may disagree for a minute
				m.mu.Lock()
				m.replica = m.issuer.KeySet()
				if m.rand.IntN(2) == 0 {
					m.until = time.Now().Add(time.Minute)
				}
				m.settled = time.Now()
				if m.settled.Before(m.until) {
					m.settled = m.until
				}
				m.mu.Unlock()
				m.issuer.Rotate("ES256")
			case 1:
				m.issuer.RemovePrevious()
			case 2:
				m.setFault([]http.Handler{logtotest.Status(500), logtotest.Hang(), logtotest.HangInBody(), retryAfter(429, "30"),
					logtotest.Body("", `{"keys":[]}`), logtotest.Drip(), logtotest.Cut()}[m.intN(7)])
			case 3, 4:
				m.setFault(nil)
			case 5: // a flood of made-up key IDs, of any age
				for i := range 50 {
					kid, age := fmt.Sprint("made up ", step, i), time.Duration(m.intN(100)-20)*time.Second
					wg.Go(func() {
						token := m.issuer.Token(logtotest.Token{Header: map[string]any{"kid": kid}, Claims: map[string]any{"iat": time.Now().Add(-age).Unix()}})
						m.ask(issued{token, kid}, false)
					})
				}
			case 6: // a client that leaves
				one := good[m.intN(len(good))]
				ctx, cancel := context.WithTimeout(ctx, time.Duration(m.intN(2000))*time.Millisecond)
				wg.Go(func() {
					defer cancel()
					start := time.Now()
					_, _ = m.v.Verify(ctx, one.token)
					if deadline, _ := ctx.Deadline(); time.Now().After(deadline) && time.Since(start) > 2*time.Second {
						t.Error("a client was held after it had left")
					}
				})
			case 7:
				_ = m.v.Ready()
			default:
				good = append(good, issued{m.token(""), m.issuer.KeyID()})
				one := good[m.intN(len(good))]
				if m.intN(2) == 0 {
					one = good[len(good)-1]
				}
				wg.Go(func() { m.ask(one, true) })
			}
			pause := []time.Duration{0, time.Millisecond, 300 * time.Millisecond, time.Second, 3 * time.Second, 11 * time.Second, time.Minute, 11 * time.Minute, 2 * time.Hour, 23 * time.Hour}
			time.Sleep(pause[min(m.intN(len(pause)), m.intN(len(pause)))])
		}
		wg.Wait()
		m.setFault(nil)
		time.Sleep(time.Minute)
		// Promise 4: whatever it was, it is over.
		one := issued{m.token(""), m.issuer.KeyID()}
		if _, err := m.v.Verify(ctx, one.token); err != nil {
			t.Errorf("a minute after all: %v", err)
		}
		m.budget()
		time.Sleep(logto.GiveUpTime)
	})
}

// ask verifies a token and holds the answer to the promises.
func (m *model) ask(one issued, real bool) {
	m.mu.Lock()
	faultSince, fault, settled := m.since, m.fault != nil, m.settled
	m.mu.Unlock()
	before := m.v.KeySetStatus()
	known := slices.Contains(before.KeyIDs, one.kid)
	start := time.Now()
	_, err := m.v.Verify(ctx, one.token)
	took := time.Since(start)
	published := strings.Contains(m.issuer.KeySet(), `"`+one.kid+`"`)
	m.mu.Lock()
	// An answer that came meanwhile, of another replica, may have dropped the key.
	known = known && !slices.ContainsFunc(m.goodSets, func(set seenSet) bool { return !set.given.Before(start) && !set.given.After(time.Now()) })
	m.mu.Unlock()

	if took > logto.MaxHold {
		m.Errorf("held for %v", took)
	}
	switch {
	case !real && err == nil:
		m.Errorf("a made-up key was accepted")
	case !real:
		return
	// Promise 1.
	case known && before.Age < logto.WaitAge-logto.MaxHold && took > 0:
		m.Errorf("a known key, %v old, took %v", before.Age, took)
	case known && before.Age < logto.DeadAge-logto.MaxHold && took > logto.MaxWait:
		m.Errorf("a known key, %v old, took %v", before.Age, took)
	case known && before.Age < logto.DeadAge-logto.MaxHold && errors.Is(err, logto.ErrUnavailable) && published && start.After(settled.Add(time.Minute)):
		m.Errorf("a known key, %v old: %v", before.Age, err)
	}
	// A 401 only by someone who knows: the key is gone everywhere, or replicas disagree.
	if errors.Is(err, logto.ErrInvalidToken) && published && start.After(settled.Add(logto.ProofAge)) {
		m.Errorf("a good token was called bad, %v after the replicas agreed: %v", start.Sub(settled), err)
	}
	if err != nil && !errors.Is(err, logto.ErrInvalidToken) && !errors.Is(err, logto.ErrUnavailable) {
		m.Errorf("error %v", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	// Promise 3: what was accepted was published by the newest good answer that the key
	// cache can have seen, or by one that came while the token was under way.
	if err == nil {
		accepted, newest := false, time.Time{}
		for _, set := range m.goodSets {
			if set.given.After(time.Now()) {
				continue
			}
			has := strings.Contains(set.keys, `"`+one.kid+`"`)
			if set.given.Before(start) && set.asked.After(newest) {
				accepted, newest = has, set.asked
			} else if has {
				accepted = true
			}
		}
		if !accepted {
			m.Errorf("accepted by a key that the newest answer doesn't have")
		}
	}
	// Promise 4: who has no key set, a second after recovery.
	if errors.Is(err, logto.ErrUnavailable) && !fault && start.After(faultSince.Add(logto.RetryPause)) && m.fault == nil && m.since.Equal(faultSince) &&
		(len(before.KeyIDs) == 0 || before.Age >= logto.DeadAge) && published && start.After(settled) && start.Add(m.skew).After(start.Add(-time.Hour)) {
		// The answer to the fetch that it waited for may be older than a token of a
		// clock that is ahead.
		if logto.Reason(err) == "keys_unavailable" {
			m.Errorf("%v after recovery: %v", start.Sub(faultSince), err)
		}
	}
}

// budget holds the fetches to promise 2: over all, and as long as all was good.
func (m *model) budget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.fetches {
		n := 0
		for _, other := range m.fetches[i:] {
			if other.Sub(m.fetches[i]) < time.Minute {
				n++
			}
		}
		if n > 61 {
			m.Errorf("%d fetches in a minute", n)
		}
	}
}
