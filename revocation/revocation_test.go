package revocation_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/logtotest"
	"github.com/seed-70fe37f4/logto/revocation"
)

func TestNew(t *testing.T) {
	for _, test := range []struct {
		name string
		cfg  revocation.Config
		want string
	}{
		{"negative lifetime", revocation.Config{Lifetime: -1}, "Lifetime"},
		{"MaxStale without a store", revocation.Config{MaxStale: time.Minute}, "Store"},
		{"MaxStale too short", revocation.Config{MaxStale: time.Second, Store: &memStore{}}, "at least 5s"},
		{"MaxStale negative", revocation.Config{MaxStale: -time.Minute, Store: &memStore{}}, "at least 5s"},
	} {
		if _, err := revocation.New(test.cfg); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

// Each revocation refuses what it names and nothing else, whatever else bears
// the same ID.
func TestWhatIsRevoked(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newTokens(t)
		all := map[string]*logto.Claims{
			"user":         s.at(t, logtotest.Token{User: "x", ClientID: "app", Claims: map[string]any{"jti": "1"}}, noon),
			"application":  s.at(t, logtotest.Token{User: "u", ClientID: "x", Claims: map[string]any{"jti": "2"}}, noon),
			"machine":      s.at(t, logtotest.Token{Machine: true, ClientID: "x", Claims: map[string]any{"jti": "3"}}, noon),
			"organization": s.at(t, logtotest.Token{User: "u", Organization: "x", Claims: map[string]any{"jti": "4"}}, noon),
			"its token":    s.at(t, logtotest.Token{User: "u", Organization: "x", OrganizationOnly: true, Claims: map[string]any{"jti": "5"}}, noon),
			"token ID":     s.at(t, logtotest.Token{User: "u", Claims: map[string]any{"jti": "x"}}, noon),
			"no token ID":  s.at(t, logtotest.Token{User: "u", Claims: map[string]any{"jti": nil}}, noon),
			"another":      s.at(t, logtotest.Token{User: "u", ClientID: "app", Organization: "o", Claims: map[string]any{"jti": "6"}}, noon),
		}
		for _, test := range []struct {
			name string
			r    revocation.Revocation
			want []string
		}{
			{"subject", revocation.Revocation{Subject: "x"}, []string{"user", "machine"}},
			{"client", revocation.Revocation{ClientID: "x"}, []string{"application", "machine"}},
			{"organization", revocation.Revocation{OrganizationID: "x"}, []string{"organization", "its token"}},
			{"token ID", revocation.Revocation{TokenID: "x"}, []string{"token ID"}},
			{"all", revocation.Revocation{All: true}, []string{"user", "application", "machine", "organization", "its token", "token ID", "no token ID", "another"}},
			{"nobody", revocation.Revocation{Subject: "y"}, nil},
		} {
			// Whether it stands there alone, or beside others of each kind.
			for _, more := range [][]revocation.Revocation{nil, {{Subject: "z"}, {OrganizationID: "z"}, {ClientID: "z"}, {TokenID: "z"}}} {
				l := newList(t, revocation.Config{})
				if err := l.Revoke(t.Context(), append(more, test.r)...); err != nil {
					t.Fatal(err)
				}
				for name, c := range all {
					err := l.Check(c)
					if want := slices.Contains(test.want, name); errors.Is(err, logto.ErrRevoked) != want || !want && err != nil {
						t.Errorf("%s: token %s: %v", test.name, name, err)
					}
				}
			}
		}
	})
}

func TestErrorText(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := newList(t, revocation.Config{})
		_ = l.Revoke(t.Context(), revocation.Revocation{Subject: "alice"})
		err := l.Check(newTokens(t).at(t, logtotest.Token{User: "alice"}, noon.Add(-time.Minute)))
		if got, want := fmt.Sprint(err), "subject: tokens issued until 2026-11-25T12:00:00Z are revoked, and this one was at 2026-11-25T11:59:00Z"; got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	})
}

func TestTies(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newTokens(t)
		for _, fraction := range []time.Duration{0, time.Millisecond, 999 * time.Millisecond} {
			l := newList(t, revocation.Config{})
			_ = l.Revoke(t.Context(), revocation.Revocation{Subject: "alice", IssuedAt: noon.Add(fraction)})
			// Not alone in the list: neither the gate nor the kind lets these pass.
			_ = l.Revoke(t.Context(), revocation.Revocation{Subject: "bob", IssuedAt: noon.Add(time.Minute)})
			alice := logtotest.Token{User: "alice"}
			refused(t, l, s.at(t, alice, noon.Add(-time.Second)))
			refused(t, l, s.at(t, alice, noon))
			passes(t, l, s.at(t, alice, noon.Add(time.Second)))
		}
		// Alone: the gate must have the tie as well.
		l := newList(t, revocation.Config{})
		_ = l.Revoke(t.Context(), revocation.Revocation{Subject: "alice", IssuedAt: noon})
		refused(t, l, s.at(t, logtotest.Token{User: "alice"}, noon))
		// A newest iat of the revoked second, with a fraction.
		refused(t, l, s.at(t, logtotest.Token{User: "alice", Claims: map[string]any{"iat": float64(noon.Unix()) + 0.75}}, noon))
	})
}

// The API's clock may be minutes off Logto's: a cutoff is by Logto's clock, as
// iat is.
func TestClocks(t *testing.T) {
	for _, off := range []time.Duration{-9 * time.Minute, -time.Minute, 0, time.Minute, 9 * time.Minute, time.Hour} {
		t.Run(off.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := newTokens(t)
				l := newList(t, revocation.Config{})
				logtoNow := time.Now().Add(-off) // the API's clock is ahead by off
				before := s.at(t, logtotest.Token{User: "alice", Claims: map[string]any{"exp": noon.Add(2 * time.Hour).Unix()}}, logtoNow)
				if w := deliver(l.Webhook(key), event("PostResetPassword", logtoNow, map[string]any{"userId": "alice"}), sign(key, event("PostResetPassword", logtoNow, map[string]any{"userId": "alice"}))); w.Code != 200 || w.Body.String() != "revoked\n" {
					t.Fatal(w.Code, w.Body)
				}
				refused(t, l, before)
				passes(t, l, s.at(t, logtotest.Token{User: "alice", Claims: map[string]any{"exp": noon.Add(2 * time.Hour).Unix()}}, logtoNow.Add(time.Second)))
			})
		})
	}
}

func TestClamp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newTokens(t)
		var rec recorder
		l := newList(t, revocation.Config{Logger: slog.New(slog.NewTextHandler(&rec, nil))})
		_ = l.Revoke(t.Context(), revocation.Revocation{Subject: "bob", IssuedAt: noon.Add(10 * time.Minute)})
		if strings.Contains(rec.log(), "ahead") {
			t.Errorf("logged %s", rec.log())
		}
		_ = l.Revoke(t.Context(), revocation.Revocation{All: true, IssuedAt: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)})
		if got := rec.log(); !strings.Contains(got, `level=ERROR msg="revocation: a revocation is over 10 minutes ahead and was cut to that: is this clock behind Logto's?" here=2026-11-25T12:00:00Z`) {
			t.Errorf("logged %s", got)
		}
		body := suspended("alice", time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC))
		deliver(l.Webhook(key), body, sign(key, body))
		refused(t, l, s.at(t, logtotest.Token{User: "alice"}, noon.Add(10*time.Minute)))
		time.Sleep(10*time.Minute + time.Second)
		passes(t, l, s.at(t, logtotest.Token{User: "alice"}, time.Now()))
	})
}

func TestRevokeWithoutTime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newTokens(t)
		alice := logtotest.Token{User: "alice"}
		l := newList(t, revocation.Config{})
		time.Sleep(500 * time.Millisecond)
		_ = l.Revoke(t.Context(), revocation.Revocation{Subject: "alice"})
		refused(t, l, s.at(t, alice, noon))
		passes(t, l, s.at(t, alice, noon.Add(time.Second)))

		// Logto's clock is ahead: its newest token tells.
		l = newList(t, revocation.Config{})
		passes(t, l, s.at(t, logtotest.Token{User: "bob"}, noon.Add(20*time.Second)))
		_ = l.Revoke(t.Context(), revocation.Revocation{Subject: "alice"})
		refused(t, l, s.at(t, alice, noon.Add(20*time.Second)))
		passes(t, l, s.at(t, alice, noon.Add(21*time.Second)))
	})
}

func TestRevokeRefuses(t *testing.T) {
	for _, test := range []struct {
		name string
		r    revocation.Revocation
	}{
		{"nothing", revocation.Revocation{}},
		{"a time alone", revocation.Revocation{IssuedAt: noon}},
		{"two", revocation.Revocation{Subject: "a", ClientID: "b"}},
		{"all and one", revocation.Revocation{All: true, TokenID: "b"}},
		{"too long", revocation.Revocation{Subject: strings.Repeat("x", 8<<10+1)}},
		{"no UTF-8", revocation.Revocation{Subject: "a\xff"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var rec recorder
			l := newList(t, revocation.Config{Observer: rec.observe})
			if err := l.Revoke(t.Context(), revocation.Revocation{Subject: "alice"}, test.r); err == nil {
				t.Error("no error")
			}
			if got := l.Entries(); got != nil {
				t.Errorf("in the list: %v", got)
			}
			if got := rec.outcomes("call"); !reflect.DeepEqual(got, map[string]int{"malformed": 1}) {
				t.Errorf("observed %v", got)
			}
		})
	}
}

// Kept until the last token that it is about has expired, at the greatest leeway;
// then dropped.
func TestKept(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newTokens(t)
		var rec recorder
		l := newList(t, revocation.Config{Lifetime: time.Hour, Observer: rec.observe})
		alice := s.at(t, logtotest.Token{User: "alice"}, noon)
		_ = l.Revoke(t.Context(), revocation.Revocation{Subject: "alice"})
		for i := range 69 {
			until(noon.Add(time.Duration(i+1) * time.Minute))
			_ = l.Revoke(t.Context(), revocation.Revocation{Subject: fmt.Sprint(i)})
			refused(t, l, alice)
		}
		until(noon.Add(70*time.Minute - time.Second))
		_ = l.Revoke(t.Context(), revocation.Revocation{Subject: "late"})
		refused(t, l, alice)
		until(noon.Add(80 * time.Minute))
		_ = l.Revoke(t.Context(), revocation.Revocation{Subject: "later"})
		if n := l.Status().Entries; n >= 71 {
			t.Errorf("%d entries: nothing was dropped", n)
		}
		if err := l.Revoke(t.Context(), revocation.Revocation{Subject: "old", IssuedAt: time.Now().Add(-70 * time.Minute)}); err != nil {
			t.Error(err)
		}
		if e := rec.last(); e.Kind != "call" || e.Outcome != "old" || e.Revocations != 0 {
			t.Errorf("observed %+v", e)
		}
		if strings.Contains(fmt.Sprint(l.Entries()), "subject old") {
			t.Error("what can refuse nothing is in the list")
		}
	})
}

// A token that lives longer than was configured is not forgotten.
func TestLongerLifetimeIsLearned(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var rec recorder
		s := newTokens(t)
		l := newList(t, revocation.Config{Lifetime: time.Hour, Logger: slog.New(slog.NewTextHandler(&rec, nil))})
		c := s.at(t, logtotest.Token{User: "alice", Claims: map[string]any{"exp": noon.Add(10 * time.Hour).Unix()}}, noon)
		passes(t, l, c)
		_ = l.Revoke(t.Context(), revocation.Revocation{Subject: "alice"})
		for i := range 20 {
			until(noon.Add(time.Duration(i+1) * 30 * time.Minute))
			_ = l.Revoke(t.Context(), revocation.Revocation{Subject: fmt.Sprint(i)})
			refused(t, l, c)
		}
		if got := strings.Count(rec.log(), "lives longer"); got != 1 || !strings.Contains(rec.log(), " lifetime=1h0m0s token_lifetime=10h0m1s") {
			t.Errorf("logged %d times:\n%s", got, rec.log())
		}
		// One beyond all bounds doesn't overflow.
		passes(t, l, s.at(t, logtotest.Token{User: "eve", Claims: map[string]any{"exp": 253402300799}}, time.Now()))
		_ = l.Revoke(t.Context(), revocation.Revocation{Subject: "eve"})
		refused(t, l, c)
		refused(t, l, s.at(t, logtotest.Token{User: "eve"}, time.Now()))
	})
}

// The list is the maximum of each target, in whatever order it comes and however
// often: a model says what it must be.
func TestMerge(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for seed := range uint64(50) {
			r := rand.New(rand.NewPCG(seed, 0))
			var all []revocation.Revocation
			for range 1 + r.IntN(300) {
				one := revocation.Revocation{IssuedAt: noon.Add(time.Duration(r.IntN(600)-300) * time.Second)}
				switch id := fmt.Sprint(r.IntN(60)); r.IntN(5) {
				case 0:
					one.Subject = id
				case 1:
					one.OrganizationID = id
				case 2:
					one.ClientID = id
				case 3:
					one.TokenID = id
				case 4:
					one.All = true
				}
				all = append(all, one)
			}
			want := union(all)
			all = append(all, all[:len(all)/2]...)
			for range 3 {
				r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
				l := newList(t, revocation.Config{})
				for rest := all; len(rest) > 0; {
					n := 1 + r.IntN(len(rest))
					_ = l.Revoke(t.Context(), rest[:n]...)
					rest = rest[n:]
				}
				if got := union(l.Entries()); !reflect.DeepEqual(got, want) || len(got) != len(l.Entries()) {
					t.Fatalf("seed %d: %v\nwant %v", seed, got, want)
				}
			}
		}
	})
}

// union is the greatest second of each target.
func union(all []revocation.Revocation) map[revocation.Revocation]int64 {
	m := map[revocation.Revocation]int64{}
	for _, r := range all {
		at := r.IssuedAt.Unix()
		r.IssuedAt = time.Time{}
		m[r] = max(m[r], at)
	}
	return m
}

// Too many entries: more is refused, nothing is forgotten, and it is told.
func TestFold(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const limit = 200
		var rec recorder
		var l *revocation.List
		l = newList(t, revocation.Config{Logger: slog.New(slog.NewTextHandler(&rec, nil)), Observer: func(e revocation.Event) {
			rec.observe(e)
			_ = l.Status() // an observer may ask
		}})
		l.SetLimit(limit)
		s := newTokens(t)
		var claims []*logto.Claims
		for i := range 1000 {
			at := noon.Add(time.Duration(i%500-499) * time.Second)
			user := fmt.Sprint(i)
			_ = l.Revoke(t.Context(), revocation.Revocation{Subject: user, IssuedAt: at})
			if n := l.Status().Entries; n > limit {
				t.Fatalf("%d entries", n)
			}
			if folded := rec.outcomes("list")["folded"] > 0; folded != (i >= limit) {
				t.Fatalf("%d entries: folded %v", i+1, folded)
			}
			if i%25 == 0 {
				claims = append(claims, s.at(t, logtotest.Token{User: user}, at))
			}
		}
		for _, c := range claims {
			refused(t, l, c)
		}
		passes(t, l, s.at(t, logtotest.Token{User: "bob"}, noon.Add(time.Second)))
		if rec.outcomes("list")["folded"] == 0 || !strings.Contains(rec.log(), "level=ERROR") {
			t.Errorf("not told: %v\n%s", rec.outcomes("list"), rec.log())
		}
	})
}

// Check waits for nobody, even while the list is being changed.
func TestCheckDoesNotLock(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newTokens(t)
		l := newList(t, revocation.Config{})
		_ = l.Revoke(t.Context(), revocation.Revocation{Subject: "alice"})
		alice, bob, later := s.at(t, logtotest.Token{User: "alice"}, noon), s.at(t, logtotest.Token{User: "bob"}, noon), s.at(t, logtotest.Token{}, noon.Add(time.Second))
		release := l.Hold()
		refused(t, l, alice) // if it locked, the bubble would be deadlocked
		passes(t, l, bob)
		passes(t, l, later)
		release()
	})
}

// While a burst of others is put in, and the table grows, what was revoked before
// stays refused, and nobody else is.
func TestCheckInABurst(t *testing.T) {
	s := newTokens(t)
	now := time.Now()
	alice, bob := s.at(t, logtotest.Token{User: "alice"}, now), s.at(t, logtotest.Token{User: "bob"}, now)
	l := newList(t, revocation.Config{})
	l.SetLimit(1 << 20)
	if err := l.Revoke(t.Context(), revocation.Revocation{Subject: "alice", IssuedAt: now.Add(time.Second)}); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var checks sync.WaitGroup
	for range 4 {
		checks.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				refused(t, l, alice)
				passes(t, l, bob)
			}
		})
	}
	for i := range 20_000 {
		_ = l.Revoke(t.Context(), revocation.Revocation{Subject: fmt.Sprint(i), IssuedAt: now.Add(time.Minute)})
	}
	close(stop)
	checks.Wait()

	// Those that are being put in are asked for meanwhile: refused or not yet,
	// from one moment on.
	users := make([]*logto.Claims, 64)
	for i := range users {
		users[i] = s.at(t, logtotest.Token{User: fmt.Sprint(i)}, now)
	}
	for range 300 {
		l := newList(t, revocation.Config{})
		_ = l.Revoke(t.Context(), revocation.Revocation{Subject: "alice", IssuedAt: now.Add(time.Second)})
		for range 2 {
			checks.Go(func() {
				in := make([]bool, len(users))
				for left := len(users); left > 0; {
					for i, c := range users {
						switch err := l.Check(c); {
						case in[i] && err == nil:
							t.Error("refused, and then not")
							return
						case !in[i] && err != nil:
							in[i] = true
							left--
						}
					}
				}
			})
		}
		for i := range users {
			_ = l.Revoke(t.Context(), revocation.Revocation{Subject: fmt.Sprint(i), IssuedAt: now})
		}
		checks.Wait()
	}
}

// The whole way: a request's token, remembered or not.
func TestVerifier(t *testing.T) {
	bubble(t, func(t *testing.T) {
		issuer := logtotest.NewIssuer(t)
		store := &memStore{}
		l := newList(t, revocation.Config{Store: store, MaxStale: time.Minute})
		cfg := issuer.Config()
		cfg.Revoked = l.Check
		cfg.Logger = slog.New(slog.DiscardHandler)
		v, err := logto.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		h := logto.Require(v)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}))
		token := issuer.Token(logtotest.Token{User: "alice"})
		status := func(want int) {
			t.Helper()
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.Header.Set("Authorization", "Bearer "+token)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != want {
				t.Errorf("status %d, want %d", w.Code, want)
			}
		}
		status(http.StatusServiceUnavailable) // there is no copy yet
		stop := run(t, l)
		defer stop()
		if err := l.Await(t.Context()); err != nil {
			t.Fatal(err)
		}
		status(http.StatusOK)
		status(http.StatusOK)
		if w := deliver(l.Webhook(key), suspended("alice", time.Now()), sign(key, suspended("alice", time.Now()))); w.Code != http.StatusOK {
			t.Fatal(w.Code, w.Body)
		}
		status(http.StatusUnauthorized)
		time.Sleep(6 * time.Second)
		token = issuer.Token(logtotest.Token{User: "alice"})
		status(http.StatusOK)
		store.set(func() { store.down = true })
		time.Sleep(62 * time.Second)
		status(http.StatusServiceUnavailable)
		store.set(func() { store.down = false })
		time.Sleep(2 * time.Second)
		status(http.StatusOK)
	})
}

func TestNilLogger(t *testing.T) {
	var buf bytes.Buffer
	old := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&buf, nil)))
	defer slog.SetDefault(old)
	l, err := revocation.New(revocation.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Revoke(t.Context(), revocation.Revocation{All: true}); err != nil || !strings.Contains(buf.String(), "outcome=revoked") {
		t.Error(err, buf.String())
	}
	if err := l.Check(new(logto.Claims)); !errors.Is(err, logto.ErrRevoked) {
		t.Error(err)
	}
}

// How much Check costs a request.
func BenchmarkCheck(b *testing.B) {
	s := newTokens(b)
	now := time.Now()
	for _, n := range []int{0, 1000, 300_000} {
		l := newList(b, revocation.Config{})
		var all []revocation.Revocation
		for i := range n {
			all = append(all, revocation.Revocation{Subject: fmt.Sprintf("%012x", i*7919), IssuedAt: now.Add(-time.Minute)})
		}
		_ = l.Revoke(b.Context(), all...)
		newer := s.at(b, logtotest.Token{}, now)
		// 500 tokens in turn, as one alone would have all of its look-up in the first cache.
		var older []*logto.Claims
		for i := range 500 {
			older = append(older, s.at(b, logtotest.Token{User: fmt.Sprintf("other%d", i)}, now.Add(-2*time.Minute)))
		}
		b.Run(fmt.Sprintf("newer/entries=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if l.Check(newer) != nil {
					b.Fatal("refused")
				}
			}
		})
		if n == 0 {
			continue
		}
		one := func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if i++; i == len(older) {
					i = 0
				}
				if l.Check(older[i]) != nil {
					b.Fatal("refused")
				}
			}
		}
		b.Run(fmt.Sprintf("older/entries=%d", n), one)
		b.Run(fmt.Sprintf("older/parallel/entries=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				i := rand.IntN(len(older))
				for pb.Next() {
					if i++; i >= len(older) {
						i = 0
					}
					if l.Check(older[i]) != nil {
						b.Fail()
					}
				}
			})
		})
		if n == 300_000 {
			// All kinds, and entries of users who came back.
			for i := range n / 10 {
				_ = l.Revoke(b.Context(), revocation.Revocation{OrganizationID: fmt.Sprintf("%012x", i), IssuedAt: now.Add(-time.Minute)},
					revocation.Revocation{ClientID: fmt.Sprintf("%012x", i), IssuedAt: now.Add(-time.Minute)},
					revocation.Revocation{TokenID: fmt.Sprintf("%012x", i), IssuedAt: now.Add(-time.Minute)})
			}
			b.Run("older/all kinds", one)
		}
	}
}

// What a webhook costs with a list of that size: there is no copy of it.
func BenchmarkRevoke(b *testing.B) {
	for _, n := range []int{1000, 300_000} {
		b.Run(fmt.Sprintf("entries=%d", n), func(b *testing.B) {
			l := newList(b, revocation.Config{})
			now := time.Now()
			for i := range n {
				_ = l.Revoke(b.Context(), revocation.Revocation{Subject: fmt.Sprint(i), IssuedAt: now})
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				_ = l.Revoke(b.Context(), revocation.Revocation{Subject: fmt.Sprint(i % n), IssuedAt: now.Add(time.Duration(i) * time.Millisecond)})
			}
		})
	}
}

// The standard library and the package that it is for, and no more.
func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{join .Imports "\n"}}`, ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range strings.Fields(string(out)) {
		if host, _, _ := strings.Cut(path, "/"); strings.Contains(host, ".") && !strings.HasPrefix(path+"/", "github.com/seed-70fe37f4/logto/") {
			t.Errorf("imports %s", path)
		}
	}
}

// A token that lives longer than was configured is learnt from whenever it is shown, and a
// suspended user doesn't go on in another's name.
func TestLearnsFromEveryToken(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := newList(t, revocation.Config{Lifetime: time.Hour, Logger: slog.New(slog.DiscardHandler)})
		tokens := newTokens(t)
		now := time.Now()
		passes(t, l, tokens.at(t, logtotest.Token{User: "alice"}, now))
		long := tokens.at(t, logtotest.Token{User: "mallory", Claims: map[string]any{"exp": now.Add(24 * time.Hour).Unix()}}, now.Add(-2*time.Second))
		passes(t, l, long)
		_ = l.Revoke(t.Context(), revocation.Revocation{Subject: "mallory"})
		for range 20 {
			time.Sleep(time.Hour)
			_ = l.Revoke(t.Context(), revocation.Revocation{Subject: "bob"})
			refused(t, l, long)
		}
	})
	bubble(t, func(t *testing.T) {
		l := newList(t, revocation.Config{})
		tokens := newTokens(t)
		_ = l.Revoke(t.Context(), revocation.Revocation{Subject: "support"})
		refused(t, l, tokens.at(t, logtotest.Token{User: "customer", Actor: "support"}, time.Now()))
		passes(t, l, tokens.at(t, logtotest.Token{User: "customer", Actor: "another"}, time.Now()))
		passes(t, l, tokens.at(t, logtotest.Token{User: "customer"}, time.Now()))
	})
}

// What can't be decided now is one error, wherever it is asked.
func TestErrStaleIsUnavailable(t *testing.T) {
	if !errors.Is(revocation.ErrStale, logto.ErrUnavailable) || errors.Is(revocation.ErrStale, logto.ErrRevoked) {
		t.Error(revocation.ErrStale)
	}
}

// A panic of the user's code on the list's own goroutines ends no process.
func TestPanicsOnOurGoroutines(t *testing.T) {
	for name, change := range map[string]func(*revocation.Config){
		"observer": func(c *revocation.Config) { c.Observer = func(revocation.Event) { panic("theirs") } },
		"logger":   func(c *revocation.Config) { c.Logger = slog.New(panicking{}) },
		"follow":   func(c *revocation.Config) { c.Store = panickingStore{follow: true} },
		"append":   func(c *revocation.Config) { c.Store = panickingStore{append: true} },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				cfg := revocation.Config{MaxStale: 5 * time.Second, Store: panickingStore{}, Logger: slog.New(slog.DiscardHandler)}
				change(&cfg)
				l := newList(t, cfg)
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan struct{})
				go func() { _ = l.Run(ctx); close(done) }()
				func() {
					defer func() { _ = recover() }() // Revoke's own goroutine is the caller's
					_ = l.Revoke(ctx, revocation.Revocation{Subject: "alice"})
				}()
				time.Sleep(time.Minute)
				refused(t, l, newTokens(t).at(t, logtotest.Token{User: "alice"}, time.Now().Add(-2*time.Minute)))
				cancel()
				<-done
				time.Sleep(time.Minute)
			})
		})
	}
}

type panicking struct{ slog.Handler }

func (panicking) Enabled(context.Context, slog.Level) bool { return true }

func (panicking) Handle(context.Context, slog.Record) error { panic("theirs") }

// panickingStore loses its connection every few seconds.
type panickingStore struct{ follow, append bool }

func (s panickingStore) Append(context.Context, time.Duration, ...revocation.Revocation) error {
	if s.append {
		panic("theirs")
	}
	return nil
}

func (s panickingStore) Follow(ctx context.Context, _ string, apply func(string, []revocation.Revocation)) error {
	apply("", nil)
	if s.follow {
		panic("theirs")
	}
	select {
	case <-time.After(2 * time.Second):
	case <-ctx.Done():
	}
	return errors.New("lost")
}
