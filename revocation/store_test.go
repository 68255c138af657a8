package revocation_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/logtotest"
	"github.com/seed-70fe37f4/logto/revocation"
)

var errDown = errors.New("the store is down")

// memStore is a Store in memory with the faults of an engine. Its cursor is the
// epoch and the number of an entry.
type memStore struct {
	mu    sync.Mutex
	epoch int
	next  int
	log   []memEntry

	down    bool          // every call fails, and every connection is cut
	hang    bool          // every call waits for the end of its context
	deaf    bool          // Follow ignores its context while it is set
	mute    bool          // Follow gives nothing
	stuck   bool          // Append ignores its context while it is set
	before  time.Duration // that Append takes before the log has it
	after   time.Duration // and after that
	follows int
	appends int // calls
	taken   int // revocations
}

type memEntry struct {
	number int
	r      revocation.Revocation
}

func byNumber(e memEntry, number int) int { return e.number - number }

// get reads one of the counts.
func (s *memStore) get(n *int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return *n
}

func (s *memStore) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// lose drops the newest n entries, as a failover does, and with them all there is.
func (s *memStore) lose(n int) { s.log = s.log[:max(0, len(s.log)-n)] }

// restart is a restart of an engine without persistence.
func (s *memStore) restart() { s.epoch, s.log = s.epoch+1, nil }

func (s *memStore) Append(ctx context.Context, keep time.Duration, rs ...revocation.Revocation) error {
	s.mu.Lock()
	s.appends++
	down, hang, before, after := s.down, s.hang, s.before, s.after
	for s.stuck {
		s.mu.Unlock()
		time.Sleep(100 * time.Millisecond)
		s.mu.Lock()
	}
	s.mu.Unlock()
	switch {
	case down:
		return errDown
	case hang:
		<-ctx.Done()
		return ctx.Err()
	case len(rs) == 0 || len(rs) > 1000:
		panic(fmt.Sprintf("Append of %d", len(rs)))
	}
	time.Sleep(time.Millisecond + before)
	defer time.Sleep(after)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range rs {
		if r.IssuedAt.IsZero() || r.IssuedAt.Nanosecond() != 0 {
			panic(fmt.Sprint("Append of ", r.IssuedAt))
		}
		s.next++
		s.taken++
		s.log = append(s.log, memEntry{s.next, r})
	}
	return nil
}

func (s *memStore) Follow(ctx context.Context, after string, apply func(string, []revocation.Revocation)) error {
	s.mu.Lock()
	s.follows++
	epoch, at := s.epoch, 0
	if was, number, ok := strings.Cut(after, "/"); ok {
		epoch, _ = strconv.Atoi(was)
		at, _ = strconv.Atoi(number)
	}
	_, found := slices.BinarySearchFunc(s.log, at, byNumber)
	found = found || at == 0
	s.mu.Unlock()
	if !found {
		return revocation.ErrReset
	}
	for {
		var rs []revocation.Revocation
		s.mu.Lock()
		down, hang, deaf, mute := s.down, s.hang, s.deaf, s.mute
		reset := epoch != s.epoch
		if !reset && !hang && !down {
			next, _ := slices.BinarySearchFunc(s.log, at+1, byNumber)
			for _, e := range s.log[next:min(next+100, len(s.log))] {
				rs = append(rs, e.r)
				at = e.number
			}
		}
		s.mu.Unlock()
		cursor := fmt.Sprint(epoch, "/", at)
		switch {
		case ctx.Err() != nil && !deaf:
			return ctx.Err()
		case down:
			return errDown
		case hang || mute || deaf:
			// Not a word.
		case reset:
			return revocation.ErrReset
		default:
			if len(rs) > 0 {
				apply(cursor, rs)
			}
			if len(rs) < 100 {
				apply(cursor, nil)
			}
		}
		if len(rs) < 100 {
			time.Sleep(20 * time.Millisecond)
		}
	}
}

func storeList(t testing.TB, s revocation.Store, cfg revocation.Config) (*revocation.List, *recorder) {
	t.Helper()
	rec := &recorder{}
	cfg.Store, cfg.Observer, cfg.Logger = s, rec.observe, slog.New(slog.NewTextHandler(rec, nil))
	return newList(t, cfg), rec
}

func has(l *revocation.List, user string) bool {
	return slices.ContainsFunc(l.Entries(), func(r revocation.Revocation) bool { return r.Subject == user })
}

// What one instance revokes, all refuse.
func TestShared(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := &memStore{}
		a, _ := storeList(t, s, revocation.Config{})
		b, rec := storeList(t, s, revocation.Config{})
		defer run(t, a)()
		defer run(t, b)()
		if err := b.Await(t.Context()); err != nil {
			t.Fatal(err)
		}
		body := suspended("alice", time.Now())
		if w := deliver(a.Webhook(key), body, sign(key, body)); w.Code != 200 {
			t.Fatal(w.Code, w.Body)
		}
		time.Sleep(100 * time.Millisecond)
		if !has(b, "alice") {
			t.Error("the other instance hasn't heard of it")
		}
		if got := b.Status(); got.Entries != 1 || got.Pending != 0 || !got.Copied || got.Err != nil || got.Age > time.Second {
			t.Errorf("status %+v", got)
		}
		if got := rec.outcomes("store"); !reflect.DeepEqual(got, map[string]int{"copied": 1}) {
			t.Errorf("observed %v", got)
		}
		// One that starts later copies it.
		c, _ := storeList(t, s, revocation.Config{})
		defer run(t, c)()
		if err := c.Await(t.Context()); err != nil || !has(c, "alice") {
			t.Error(err, c.Entries())
		}
		// A replay isn't appended again, at whichever instance it comes in.
		taken := s.get(&s.taken)
		for _, l := range []*revocation.List{a, b, c} {
			if w := deliver(l.Webhook(key), body, sign(key, body)); w.Code != 200 || w.Body.String() != "unchanged\n" {
				t.Error(w.Code, w.Body)
			}
		}
		if n := s.get(&s.taken) - taken; n != 0 {
			t.Errorf("%d were appended again", n)
		}
	})
}

func TestStart(t *testing.T) {
	for _, test := range []struct {
		name     string
		maxStale time.Duration
	}{{"open", 0}, {"closed", time.Minute}} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := &memStore{hang: true}
				l, _ := storeList(t, s, revocation.Config{MaxStale: test.maxStale})
				claims := newTokens(t).at(t, logtotest.Token{}, noon)
				check := func() {
					t.Helper()
					err := l.Check(claims)
					if (test.maxStale > 0) != errors.Is(err, revocation.ErrStale) || errors.Is(err, logto.ErrInvalidToken) {
						t.Errorf("Check = %v", err)
					}
				}
				check() // before Run, too
				defer run(t, l)()
				start := time.Now()
				if err := l.Await(t.Context()); !errors.Is(err, revocation.ErrStale) {
					t.Errorf("Await = %v", err)
				}
				if waited := time.Since(start); waited != time.Second {
					t.Errorf("waited for %v", waited)
				}
				if err := l.Ready(); !errors.Is(err, revocation.ErrStale) {
					t.Errorf("Ready = %v", err)
				}
				check()
				if got := l.Status(); got.Copied || got.Age != 0 {
					t.Errorf("status %+v", got)
				}
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				start = time.Now()
				if err := l.Await(ctx); err == nil || time.Since(start) != 0 {
					t.Errorf("Await = %v after its context had ended", err)
				}
				s.set(func() { s.hang = false })
				time.Sleep(2 * time.Second)
				if err := l.Ready(); err != nil {
					t.Error(err)
				}
				passes(t, l, claims)
			})
		})
	}
}

// Without a store there is nothing to wait for and nothing to run.
func TestAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := newList(t, revocation.Config{})
		if err := l.Await(t.Context()); err != nil || l.Ready() != nil {
			t.Error(err)
		}
		if got := l.Status(); !reflect.DeepEqual(got, revocation.Status{Copied: true}) {
			t.Errorf("%+v", got)
		}
		run(t, l)()
	})
}

func TestRunTwice(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l, _ := storeList(t, &memStore{}, revocation.Config{})
		stop := run(t, l)
		time.Sleep(time.Second)
		if err := l.Run(t.Context()); err == nil {
			t.Error("no error")
		}
		stop()
		run(t, l)() // again, after it has ended
	})
}

// Closed, only on request, and only while the copy is too old.
func TestMaxStale(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := &memStore{}
		l, rec := storeList(t, s, revocation.Config{MaxStale: time.Minute})
		open, _ := storeList(t, s, revocation.Config{})
		stop := run(t, l)
		defer run(t, open)()
		defer func() { stop() }()
		_ = l.Await(t.Context())
		_ = l.Revoke(t.Context(), revocation.Revocation{Subject: "alice"})
		tokens := newTokens(t)
		bob, alice := tokens.at(t, logtotest.Token{User: "bob"}, noon.Add(time.Second)), tokens.at(t, logtotest.Token{User: "alice"}, noon)
		time.Sleep(10 * time.Second)
		s.set(func() { s.down = true })
		time.Sleep(59 * time.Second)
		passes(t, l, bob)
		if err := l.Ready(); err != nil {
			t.Error(err)
		}
		time.Sleep(1100 * time.Millisecond)
		if err := l.Check(bob); !errors.Is(err, revocation.ErrStale) || errors.Is(err, logto.ErrRevoked) {
			t.Errorf("Check = %v", err)
		}
		refused(t, l, alice) // that is known
		if err := l.Ready(); !errors.Is(err, revocation.ErrStale) || !errors.Is(err, errDown) {
			t.Errorf("Ready = %v", err)
		}
		if age := l.Status().Age; age < time.Minute || age > 61*time.Second {
			t.Errorf("age %v", age)
		}
		passes(t, open, bob)
		if err := open.Ready(); err != nil {
			t.Error(err)
		}
		if got := rec.outcomes("store"); !reflect.DeepEqual(got, map[string]int{"copied": 1, "lost": 1, "stale": 1}) {
			t.Errorf("observed %v", got)
		}
		s.set(func() { s.down = false })
		time.Sleep(time.Second)
		passes(t, l, bob)
		// It holds as well where nothing runs.
		stop()
		stop = func() {}
		time.Sleep(61 * time.Second)
		if err := l.Check(bob); !errors.Is(err, revocation.ErrStale) {
			t.Errorf("Check = %v", err)
		}
	})
}

// The store doesn't take it: 503 within 3 s, in force here at once, and there as
// soon as the store is back.
func TestStoreFails(t *testing.T) {
	for name, fault := range map[string]func(s *memStore, on bool){
		"down":  func(s *memStore, on bool) { s.down = on },
		"hangs": func(s *memStore, on bool) { s.hang = on },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := &memStore{}
				a, rec := storeList(t, s, revocation.Config{})
				b, _ := storeList(t, s, revocation.Config{})
				defer run(t, a)()
				defer run(t, b)()
				_ = a.Await(t.Context())
				claims := newTokens(t).at(t, logtotest.Token{User: "alice"}, noon)
				s.set(func() { fault(s, true) })
				time.Sleep(time.Minute)
				start := time.Now()
				atOnce := make(chan error)
				go func() {
					time.Sleep(time.Millisecond)
					atOnce <- a.Check(claims)
				}()
				body := suspended("alice", noon)
				answer := make(chan *httptest.ResponseRecorder)
				go func() { answer <- deliver(a.Webhook(key), body, sign(key, body)) }()
				if err := <-atOnce; !errors.Is(err, logto.ErrRevoked) {
					t.Errorf("while the store is waited for: %v", err)
				}
				if w := <-answer; w.Code != http.StatusServiceUnavailable || w.Body.String() != "store_failed\n" {
					t.Errorf("status %d, %q", w.Code, w.Body)
				}
				if took := time.Since(start); took >= 3*time.Second {
					t.Errorf("answered after %v", took)
				}
				if e := rec.last(); e.Outcome != "store_failed" || e.Kind != "User.SuspensionStatus.Updated" || e.Err == nil {
					t.Errorf("observed %+v", e)
				}
				if n := a.Status().Pending; n != 1 {
					t.Errorf("%d pending", n)
				}
				// Sent again, it is as little in the store.
				if w := deliver(a.Webhook(key), body, sign(key, body)); w.Code != http.StatusServiceUnavailable {
					t.Errorf("again: status %d", w.Code)
				}
				start = time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
				if err := a.Revoke(ctx, revocation.Revocation{Subject: "bob"}); err == nil || time.Since(start) > 10*time.Millisecond {
					t.Errorf("Revoke = %v after %v", err, time.Since(start))
				}
				cancel()
				start = time.Now()
				if err := a.Revoke(context.Background(), revocation.Revocation{Subject: "bob"}); err == nil || time.Since(start) > 2*time.Second {
					t.Errorf("Revoke = %v after %v", err, time.Since(start))
				}
				s.set(func() { fault(s, false) })
				time.Sleep(2 * time.Second)
				if !has(b, "alice") || !has(b, "bob") || a.Status().Pending != 0 {
					t.Errorf("after it is back: %v, pending %+v", b.Entries(), a.Status())
				}
			})
		})
	}
}

// One Append that hangs holds one goroutine, and all that wait for it are answered.
func TestManyWebhooksWhileTheStoreHangs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := &memStore{hang: true}
		l, _ := storeList(t, s, revocation.Config{})
		defer run(t, l)()
		start := time.Now()
		var all sync.WaitGroup
		for i := range 500 {
			all.Go(func() {
				body := suspended(fmt.Sprint("user", i), noon)
				if w := deliver(l.Webhook(key), body, sign(key, body)); w.Code != http.StatusServiceUnavailable {
					t.Errorf("status %d", w.Code)
				}
			})
		}
		all.Wait()
		if took := time.Since(start); took >= 3*time.Second {
			t.Errorf("answered after %v", took)
		}
		if n := s.get(&s.appends); n > 2 {
			t.Errorf("%d calls of Append", n)
		}
		s.set(func() { s.hang = false })
		time.Sleep(2 * time.Second)
		if n := s.get(&s.taken); l.Status().Pending != 0 || n < 500 {
			t.Errorf("%+v, taken %d", l.Status(), n)
		}
	})
}

// A failover has dropped what was appended last: whoever appended it does so
// again, and only that of the last minutes.
func TestOwnAreAppendedAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := &memStore{}
		a, _ := storeList(t, s, revocation.Config{})
		b, _ := storeList(t, s, revocation.Config{})
		stop := run(t, a)
		_ = a.Await(t.Context())
		_ = a.Revoke(t.Context(), revocation.Revocation{Subject: "long ago"})
		time.Sleep(6 * time.Minute)
		_ = a.Revoke(t.Context(), revocation.Revocation{Subject: "before"})
		time.Sleep(time.Second)
		// A connection that has read this one is lost; the new master has it not.
		s.set(func() { s.down = true })
		time.Sleep(5 * time.Second)
		s.set(func() {
			// Of what the new master lacks, a's cursor tells nothing: it has the same
			// number of entries.
			for i := range s.log {
				if s.log[i].r.Subject == "before" {
					s.log[i].r.Subject = "another's"
				}
			}
			s.down = false
		})
		taken := s.get(&s.taken)
		time.Sleep(2 * time.Second)
		defer run(t, b)()
		time.Sleep(time.Second)
		if !has(b, "before") {
			t.Error("what the failover has dropped is lost")
		}
		if n := s.get(&s.taken) - taken; n != 1 {
			t.Errorf("%d were appended again", n)
		}
		stop()
	})
}

// The engine has restarted empty, or with an older state: every instance appends
// all that it holds, that of others included.
func TestReset(t *testing.T) {
	for name, fault := range map[string]func(s *memStore){
		"empty": func(s *memStore) { s.restart() },
		"older": func(s *memStore) { s.lose(5) },
		"older and newer": func(s *memStore) {
			s.lose(5)
			s.next += 100
			s.log = append(s.log, memEntry{s.next, revocation.Revocation{Subject: "new", IssuedAt: noon}})
		},
	} {
		for _, connected := range []bool{false, true} {
			if connected && name != "empty" {
				continue // that happens to a connection only by a command to delete
			}
			t.Run(fmt.Sprint(name, " connected=", connected), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					s := &memStore{}
					holder, rec := storeList(t, s, revocation.Config{})
					gone, _ := storeList(t, s, revocation.Config{})
					stop := run(t, gone)
					defer run(t, holder)()
					_ = gone.Await(t.Context())
					for i := range 20 {
						_ = gone.Revoke(t.Context(), revocation.Revocation{Subject: fmt.Sprint(i)})
					}
					time.Sleep(time.Second)
					stop() // the one that has appended them
					time.Sleep(10 * time.Minute)
					if !connected {
						s.set(func() { s.down = true })
						time.Sleep(time.Minute)
					}
					s.set(func() { s.down = false; fault(s) })
					time.Sleep(2 * time.Second)
					fresh, _ := storeList(t, s, revocation.Config{})
					defer run(t, fresh)()
					_ = fresh.Await(t.Context())
					for i := range 20 {
						if !has(fresh, fmt.Sprint(i)) {
							t.Errorf("%d is lost", i)
						}
					}
					if rec.outcomes("store")["reset"] != 1 {
						t.Errorf("observed %v", rec.outcomes("store"))
					}
				})
			})
		}
	}
}

// Twenty instances append again what an empty engine lacks; each reads what the
// others have appended, so it is not twenty times as much.
func TestResetIsShared(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const n, instances = 5000, 10
		s := &memStore{}
		var all []*revocation.List
		for range instances {
			l, _ := storeList(t, s, revocation.Config{})
			defer run(t, l)()
			_ = l.Await(t.Context())
			all = append(all, l)
		}
		var rs []revocation.Revocation
		for i := range n {
			rs = append(rs, revocation.Revocation{Subject: fmt.Sprint(i)})
		}
		if err := all[0].Revoke(t.Context(), rs...); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		before := s.get(&s.taken)
		s.set(func() { s.restart() })
		time.Sleep(10 * time.Second)
		for _, l := range all {
			if st := l.Status(); st.Entries != n || st.Pending != 0 {
				t.Errorf("%+v", st)
			}
		}
		again := s.get(&s.taken) - before
		t.Logf("%d instances appended %d entries for %d", instances, again, n)
		if again < n || again > instances*n*9/10 {
			t.Errorf("%d", again)
		}
	})
}

// A Follow that says nothing, or doesn't return, is given up; the list is copied
// by another one, and no goroutine is left when all return in the end.
func TestFollowThatHangs(t *testing.T) {
	for name, fault := range map[string]func(s *memStore, on bool){
		"mute": func(s *memStore, on bool) { s.mute = on },
		"deaf": func(s *memStore, on bool) { s.deaf = on },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := &memStore{}
				l, rec := storeList(t, s, revocation.Config{})
				stop := run(t, l)
				_ = l.Await(t.Context())
				follows := s.get(&s.follows)
				s.set(func() { fault(s, true) })
				time.Sleep(10 * time.Minute)
				if rec.outcomes("store")["lost"] != 1 || l.Status().Err == nil {
					t.Errorf("observed %v, %+v", rec.outcomes("store"), l.Status())
				}
				if n := s.get(&s.follows) - follows; name == "deaf" && n > 4 {
					t.Errorf("%d calls of Follow that don't return", n)
				}
				s.set(func() { fault(s, false) })
				time.Sleep(5 * time.Second)
				_ = l.Revoke(t.Context(), revocation.Revocation{Subject: "alice"})
				if st := l.Status(); st.Err != nil || st.Pending != 0 {
					t.Errorf("%+v", st)
				}
				s.set(func() { fault(s, true) })
				start := time.Now()
				stop()
				if took := time.Since(start); took > 2*time.Second {
					t.Errorf("Run ended after %v", took)
				}
				s.set(func() { fault(s, false) })
				time.Sleep(time.Minute)
			})
		})
	}
}

// What an abandoned Follow gives late is merged, but moves no cursor and makes no
// list look fresh.
func TestLateFollow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var s lateStore
		s.late = make(chan struct{})
		l, _ := storeList(t, &s, revocation.Config{})
		defer run(t, l)()
		time.Sleep(10 * time.Second)
		at := time.Now()
		_ = l.Revoke(t.Context(), revocation.Revocation{Subject: "alice", IssuedAt: at})
		close(s.late)
		time.Sleep(time.Second)
		if !has(l, "bob") {
			t.Error("it isn't merged")
		}
		// That this one has alice says nothing about the log that counts.
		if st := l.Status(); st.Copied || st.Pending != 1 {
			t.Errorf("%+v", st)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if slices.Contains(s.cursors, "late") {
			t.Errorf("cursors %q", s.cursors)
		}
	})
}

// lateStore's first Follow gives something when it is long given up; the others
// fail at once.
type lateStore struct {
	mu      sync.Mutex
	late    chan struct{}
	cursors []string
}

func (s *lateStore) Append(context.Context, time.Duration, ...revocation.Revocation) error {
	return errDown
}

func (s *lateStore) Follow(ctx context.Context, after string, apply func(string, []revocation.Revocation)) error {
	s.mu.Lock()
	s.cursors = append(s.cursors, after)
	first := len(s.cursors) == 1
	s.mu.Unlock()
	if first {
		<-s.late
		apply("late", []revocation.Revocation{{Subject: "bob", IssuedAt: time.Now()}, {Subject: "alice", IssuedAt: time.Now()}})
		apply("late", nil)
	}
	return errDown
}

// Entries that no instance would append do no harm, and one from the year 9999
// locks nobody out for long.
func TestHostileStore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := &memStore{}
		for i, r := range []revocation.Revocation{{}, {Subject: "a", ClientID: "b", IssuedAt: noon}, {Subject: "no time"}, {Subject: "old", IssuedAt: noon.Add(-48 * time.Hour)},
			{Subject: "alice", IssuedAt: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)}, {Subject: "good", IssuedAt: noon}} {
			s.log = append(s.log, memEntry{i + 1, r})
			s.next = i + 1
		}
		l, _ := storeList(t, s, revocation.Config{})
		defer run(t, l)()
		if err := l.Await(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, want := targets(l), "subject alice +1200, subject good +0"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	})
}

// An outage is told once, and once a minute, and its end.
func TestLogOfAnOutage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := &memStore{}
		l, rec := storeList(t, s, revocation.Config{})
		defer run(t, l)()
		_ = l.Await(t.Context())
		time.Sleep(time.Second)
		s.set(func() { s.down = true })
		time.Sleep(10*time.Minute + 30*time.Second)
		if got := strings.Count(rec.log(), "lost; the list"); got != 11 {
			t.Errorf("%d lines:\n%s", got, rec.log())
		}
		s.set(func() { s.down = false })
		time.Sleep(time.Second)
		if !strings.Contains(rec.log(), "outage=10m") {
			t.Error(rec.log())
		}
		if got := rec.outcomes("store"); !reflect.DeepEqual(got, map[string]int{"copied": 2, "lost": 1}) {
			t.Errorf("observed %v", got)
		}
	})
}

// Whatever happens to the store, after quiet every list is the union of all that
// was revoked, by the maximum of each.
func TestConvergence(t *testing.T) {
	seeds := uint64(30)
	if testing.Short() {
		seeds = 10
	}
	for seed := range seeds {
		bubble(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			s := &memStore{}
			var lists []*revocation.List
			for range 2 + r.IntN(5) {
				l, _ := storeList(t, s, revocation.Config{})
				defer run(t, l)()
				lists = append(lists, l)
			}
			var mu sync.Mutex
			var all []revocation.Revocation
			var calls sync.WaitGroup
			for range 20 + r.IntN(100) {
				time.Sleep(time.Duration(r.ExpFloat64() * float64(500*time.Millisecond)))
				switch r.IntN(12) {
				case 0:
					s.set(func() { s.down = !s.down })
				case 1:
					s.set(func() { s.hang = !s.hang })
				case 2:
					s.set(func() { s.mute = !s.mute })
				case 3:
					s.set(func() { s.restart() })
				case 4:
					// A suffix is lost only with all connections.
					s.set(func() { s.down = true })
					time.Sleep(100 * time.Millisecond)
					n := r.IntN(20)
					s.set(func() { s.down = false; s.lose(n) })
				default:
					n := 1 + r.IntN(10)
					if r.IntN(10) == 0 {
						n = 1 + r.IntN(1500)
					}
					var rs []revocation.Revocation
					for range n {
						one := revocation.Revocation{IssuedAt: time.Now().Add(-time.Duration(r.IntN(1000)) * time.Second)}
						if one.Subject = fmt.Sprint(r.IntN(1000)); r.IntN(3) == 0 {
							one.Subject, one.OrganizationID = "", one.Subject
						}
						rs = append(rs, one)
					}
					l := lists[r.IntN(len(lists))]
					calls.Go(func() {
						_ = l.Revoke(context.Background(), rs...)
						mu.Lock()
						all = append(all, rs...)
						mu.Unlock()
					})
				}
			}
			s.set(func() { s.down, s.hang, s.mute = false, false, false })
			calls.Wait()
			time.Sleep(15 * time.Second)
			want := union(all)
			for i, l := range lists {
				if got := union(l.Entries()); !reflect.DeepEqual(got, want) {
					t.Errorf("seed %d: instance %d of %d has %d entries, want %d; %+v", seed, i, len(lists), len(got), len(want), l.Status())
				}
			}
			fresh, _ := storeList(t, s, revocation.Config{})
			defer run(t, fresh)()
			time.Sleep(5 * time.Second)
			if got := union(fresh.Entries()); !reflect.DeepEqual(got, want) {
				t.Errorf("seed %d: a new instance has %d entries, want %d", seed, len(got), len(want))
			}
		})
	}
}

// It comes when Run has ended.
func TestLateFollowAfterRun(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := lateStore{late: make(chan struct{})}
		l, _ := storeList(t, &s, revocation.Config{})
		stop := run(t, l)
		time.Sleep(time.Second)
		stop()
		close(s.late)
		time.Sleep(time.Second)
		if st := l.Status(); st.Copied {
			t.Errorf("%+v", st)
		}
	})
}

// An Append that ignores its context holds up nobody's answer.
func TestAppendThatDoesNotReturn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := &memStore{stuck: true}
		l, _ := storeList(t, s, revocation.Config{})
		defer run(t, l)()
		for i := range 3 {
			start := time.Now()
			body := suspended(fmt.Sprint(i), noon)
			if w := deliver(l.Webhook(key), body, sign(key, body)); w.Code != http.StatusServiceUnavailable || time.Since(start) >= 3*time.Second {
				t.Errorf("status %d after %v", w.Code, time.Since(start))
			}
		}
		if n := s.get(&s.appends); n != 1 {
			t.Errorf("%d calls of Append", n)
		}
		s.set(func() { s.stuck = false })
		time.Sleep(2 * time.Second)
		if st := l.Status(); st.Pending != 0 {
			t.Errorf("%+v", st)
		}
	})
}

// slowBody takes its time.
type slowBody struct {
	strings.Reader
	wait time.Duration
}

func (b *slowBody) Read(p []byte) (int, error) {
	time.Sleep(b.wait)
	b.wait = 0
	return b.Reader.Read(p)
}

// Slow body and hung store together: within 3 s all the same.
func TestSlowBodyAndStore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l, _ := storeList(t, &memStore{hang: true}, revocation.Config{})
		body := suspended("alice", noon)
		r := httptest.NewRequest(http.MethodPost, "/", &slowBody{*strings.NewReader(body), 2 * time.Second})
		r.Header.Set("logto-signature-sha-256", sign(key, body))
		w := httptest.NewRecorder()
		start := time.Now()
		l.Webhook(key).ServeHTTP(w, r)
		if took := time.Since(start); w.Code != http.StatusServiceUnavailable || took >= 3*time.Second {
			t.Errorf("status %d after %v", w.Code, took)
		}
		time.Sleep(time.Minute)
	})
}

// Logto has hung up: what it sent counts.
func TestSenderLeaves(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := &memStore{}
		l, _ := storeList(t, s, revocation.Config{})
		body := suspended("alice", noon)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body)).WithContext(ctx)
		r.Header.Set("logto-signature-sha-256", sign(key, body))
		w := httptest.NewRecorder()
		l.Webhook(key).ServeHTTP(w, r)
		if n := s.get(&s.taken); w.Code != http.StatusOK || n != 1 {
			t.Errorf("status %d, %d appended", w.Code, n)
		}
	})
}

// A failure counts only of an Append that began after the call.
func TestFailureOfAnEarlierAppend(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := &memStore{hang: true}
		l, _ := storeList(t, s, revocation.Config{})
		first := make(chan error)
		go func() { first <- l.Revoke(t.Context(), revocation.Revocation{Subject: "alice"}) }()
		time.Sleep(1400 * time.Millisecond)
		s.set(func() { s.hang = false })
		if err := l.Revoke(t.Context(), revocation.Revocation{Subject: "bob"}); err != nil {
			t.Error(err)
		}
		if err := <-first; err == nil {
			t.Error("what had hung for all of its time went well")
		}
	})
}

// A webhook doesn't wait for a long backlog.
func TestNewOnesGoFirst(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := &memStore{down: true}
		l, _ := storeList(t, s, revocation.Config{})
		var backlog []revocation.Revocation
		for i := range 20_000 {
			backlog = append(backlog, revocation.Revocation{Subject: fmt.Sprint(i)})
		}
		_ = l.Revoke(t.Context(), backlog...)
		s.set(func() { s.down, s.before = false, 500*time.Millisecond })
		stop := run(t, l)
		time.Sleep(time.Second)
		for i := range 3 {
			if err := l.Revoke(t.Context(), revocation.Revocation{Subject: fmt.Sprint("new", i)}); err != nil {
				t.Error(err)
			}
		}
		if l.Status().Pending == 0 {
			t.Error("there was no backlog")
		}
		stop()
		time.Sleep(time.Minute)
	})
}

// Revoked anew while it is being appended: the later time is appended too.
func TestRaisedWhileAppending(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := &memStore{before: time.Second}
		a, _ := storeList(t, s, revocation.Config{})
		b, _ := storeList(t, s, revocation.Config{})
		defer run(t, a)()
		defer run(t, b)()
		_ = a.Await(t.Context())
		go func() { _ = a.Revoke(context.Background(), revocation.Revocation{Subject: "alice", IssuedAt: noon}) }()
		time.Sleep(500 * time.Millisecond)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_ = a.Revoke(ctx, revocation.Revocation{Subject: "alice", IssuedAt: noon.Add(time.Minute)})
		time.Sleep(5 * time.Second)
		if got := targets(b); got != "subject alice +60" {
			t.Error(got)
		}
		if st := a.Status(); st.Pending != 0 {
			t.Errorf("%+v", st)
		}
	})
}

// The engine is emptied between an append and its answer.
func TestResetWhileAppending(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := &memStore{after: time.Second}
		l, _ := storeList(t, s, revocation.Config{})
		defer run(t, l)()
		_ = l.Await(t.Context())
		go func() { _ = l.Revoke(context.Background(), revocation.Revocation{Subject: "alice"}) }()
		time.Sleep(200 * time.Millisecond)
		s.set(func() { s.restart(); s.after = 0 })
		time.Sleep(5 * time.Second)
		fresh, _ := storeList(t, s, revocation.Config{})
		defer run(t, fresh)()
		_ = fresh.Await(t.Context())
		if !has(fresh, "alice") {
			t.Error("it is lost")
		}
	})
}

// What is folded before the store could take it reaches the others as the fold.
func TestFoldOfPending(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := &memStore{down: true}
		a, _ := storeList(t, s, revocation.Config{})
		b, _ := storeList(t, s, revocation.Config{})
		defer run(t, a)()
		defer run(t, b)()
		a.SetLimit(100)
		tokens := newTokens(t)
		var claims []*logto.Claims
		var rs []revocation.Revocation
		for i := range 150 {
			at := noon.Add(time.Duration(i-150) * time.Second)
			rs = append(rs, revocation.Revocation{Subject: fmt.Sprint(i), IssuedAt: at})
			if i%10 == 0 {
				claims = append(claims, tokens.at(t, logtotest.Token{User: fmt.Sprint(i)}, at))
			}
		}
		for _, r := range rs {
			_ = a.Revoke(t.Context(), r)
		}
		if st := a.Status(); st.Pending > st.Entries {
			t.Errorf("what was folded is pending still: %+v", st)
		}
		s.set(func() { s.down = false })
		time.Sleep(5 * time.Second)
		for _, c := range claims {
			refused(t, a, c)
			refused(t, b, c)
		}
		passes(t, b, tokens.at(t, logtotest.Token{User: "bystander"}, noon))
	})
}

// What had its time before the store could take it isn't kept for it.
func TestPendingHasItsTime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := &memStore{down: true}
		l, _ := storeList(t, s, revocation.Config{Lifetime: time.Hour})
		_ = l.Revoke(t.Context(), revocation.Revocation{Subject: "alice"})
		time.Sleep(2 * time.Hour)
		_ = l.Revoke(t.Context(), revocation.Revocation{Subject: "bob"})
		if st := l.Status(); st.Pending != 1 || st.Entries != 1 {
			t.Errorf("%+v", st)
		}
	})
}

// A machine has slept: its timers have stood still, the copy is old all the same.
func TestSleep(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := &memStore{}
		l, _ := storeList(t, s, revocation.Config{MaxStale: time.Hour})
		defer run(t, l)()
		_ = l.Await(t.Context())
		s.set(func() { s.mute = true })
		time.Sleep(100 * time.Millisecond)
		l.Slept(time.Hour)
		s.set(func() { s.down = true })
		time.Sleep(time.Second)
		if err := l.Ready(); !errors.Is(err, revocation.ErrStale) {
			t.Errorf("Ready = %v", err)
		}
	})
}

// After a long outage the pause is the shortest again: a single cut is healed at once.
func TestPause(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := &memStore{}
		l, rec := storeList(t, s, revocation.Config{})
		defer run(t, l)()
		_ = l.Await(t.Context())
		for _, outage := range []time.Duration{10 * time.Second, 21 * time.Millisecond, 21 * time.Millisecond} {
			s.set(func() { s.down = true })
			time.Sleep(outage)
			s.set(func() { s.down = false })
			start, copied := time.Now(), rec.outcomes("store")["copied"]
			for rec.outcomes("store")["copied"] == copied {
				time.Sleep(time.Millisecond)
			}
			if took, most := time.Since(start), 60*time.Millisecond; took > most && outage < time.Second {
				t.Errorf("connected %v after a cut", took)
			} else if took > 450*time.Millisecond {
				t.Errorf("connected %v after an outage", took)
			}
			time.Sleep(time.Second)
		}
	})
}
