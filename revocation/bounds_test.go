package revocation_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/logtotest"
	"github.com/seed-70fe37f4/logto/revocation"
)

// madeStore is a Store of two functions.
type madeStore struct {
	append func(ctx context.Context, keep time.Duration, revocations []revocation.Revocation) error
	follow func(ctx context.Context, apply func(string, []revocation.Revocation)) error
}

func (s madeStore) Append(ctx context.Context, keep time.Duration, revocations ...revocation.Revocation) error {
	return s.append(ctx, keep, revocations)
}

func (s madeStore) Follow(ctx context.Context, _ string, apply func(string, []revocation.Revocation)) error {
	return s.follow(ctx, apply)
}

// followed is what a good Follow does.
func followed(ctx context.Context, apply func(string, []revocation.Revocation)) error {
	for {
		apply("", nil)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

// Why Follow has ended, and when that is known.
func TestFollowEnds(t *testing.T) {
	for _, tt := range []struct {
		name   string
		follow func(ctx context.Context, apply func(string, []revocation.Revocation)) error
		after  time.Duration
		want   string
		calls  int64 // in the first minute, if they never end
	}{
		{"an error", func(context.Context, func(string, []revocation.Revocation)) error { return errDown }, 0, "the store is down", 0},
		{"no error", func(context.Context, func(string, []revocation.Revocation)) error { return nil }, 0, "revocation: the store's Follow has returned nil", 0},
		{"silence", func(ctx context.Context, _ func(string, []revocation.Revocation)) error {
			<-ctx.Done()
			return nil
		}, 3 * time.Second, "revocation: the store's Follow has called nothing for 3 s", 0},
		{"silence after a word", func(ctx context.Context, apply func(string, []revocation.Revocation)) error {
			time.Sleep(2 * time.Second)
			apply("", nil)
			<-ctx.Done()
			return ctx.Err()
		}, 5 * time.Second, "revocation: the store's Follow has called nothing for 3 s", 0},
		{"it doesn't return", func(context.Context, func(string, []revocation.Revocation)) error {
			time.Sleep(time.Hour)
			return nil
		}, 4 * time.Second, "revocation: the store's Follow has called nothing for 3 s, and doesn't return", 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var calls atomic.Int64
				l := newList(t, revocation.Config{Store: madeStore{follow: func(ctx context.Context, apply func(string, []revocation.Revocation)) error {
					calls.Add(1)
					return tt.follow(ctx, apply)
				}}})
				stop := run(t, l)
				if tt.after > 0 {
					time.Sleep(tt.after - 1)
					if err := l.Status().Err; err != nil {
						t.Errorf("too early: %v", err)
					}
				}
				time.Sleep(2 * time.Nanosecond)
				if err := l.Status().Err; err == nil || err.Error() != tt.want {
					t.Errorf("after %v: %v, want %s", tt.after, err, tt.want)
				}
				time.Sleep(time.Minute)
				if n := calls.Load(); tt.calls > 0 && n != tt.calls {
					t.Errorf("%d calls of Follow", n)
				}
				stopped := time.Now()
				stop()
				if took := time.Since(stopped); took > time.Second {
					t.Errorf("Run took %v to end", took)
				}
				time.Sleep(2 * time.Hour) // until all have ended
			})
		})
	}
}

// A copy is up to date when there is nothing more to be had, not while something comes.
func TestNotYetCopied(t *testing.T) {
	for _, n := range []int{1, 2, 1000} {
		bubble(t, func(t *testing.T) {
			l := newList(t, revocation.Config{Store: madeStore{follow: func(ctx context.Context, apply func(string, []revocation.Revocation)) error {
				for ctx.Err() == nil {
					apply("x", slices.Repeat([]revocation.Revocation{{Subject: "alice", IssuedAt: noon}}, n))
					time.Sleep(100 * time.Millisecond)
				}
				return ctx.Err()
			}}})
			defer run(t, l)()
			if err := l.Await(t.Context()); !errors.Is(err, revocation.ErrStale) {
				t.Errorf("of %d: Await = %v", n, err)
			}
			if got := l.Status(); got.Copied || got.Entries != 1 || got.Age != 0 {
				t.Errorf("of %d: status %+v", n, got)
			}
		})
	}
}

// A store that takes nothing is asked again when there is contact, no sooner.
func TestAppendFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var appends atomic.Int64
		l := newList(t, revocation.Config{Store: madeStore{
			append: func(_ context.Context, keep time.Duration, revocations []revocation.Revocation) error {
				appends.Add(1)
				if keep != 24*time.Hour+30*time.Minute || len(revocations) != 1 {
					t.Errorf("Append of %d, for %v", len(revocations), keep)
				}
				time.Sleep(time.Millisecond)
				return errDown
			}, follow: followed}})
		stop := run(t, l)
		time.Sleep(500 * time.Millisecond)
		if err := l.Revoke(t.Context(), revocation.Revocation{Subject: "alice"}); !errors.Is(err, errDown) {
			t.Error(err)
		}
		time.Sleep(10 * time.Second)
		if n := appends.Load(); n != 11 {
			t.Errorf("%d Appends in 10 s, with contact each second", n)
		}
		stop()
	})
}

// How long the store is waited for.
func TestAppendTakesTime(t *testing.T) {
	for _, tt := range []struct {
		name   string
		append func(ctx context.Context) error
		first  time.Duration
		second time.Duration // of one that comes 100 ms later
	}{
		{"until its context ends", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, 1500 * time.Millisecond, 2 * time.Second},
		{"for longer", func(context.Context) error { time.Sleep(time.Minute); return nil }, 2 * time.Second, 2 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := newList(t, revocation.Config{Store: madeStore{append: func(ctx context.Context, _ time.Duration, _ []revocation.Revocation) error { return tt.append(ctx) }}})
				took := make(chan time.Duration)
				revoke := func(user string) {
					start := time.Now()
					if err := l.Revoke(context.Background(), revocation.Revocation{Subject: user}); !errors.Is(err, context.DeadlineExceeded) {
						t.Error(err)
					}
					took <- time.Since(start)
				}
				go revoke("alice")
				time.Sleep(100 * time.Millisecond)
				go revoke("bob")
				if got := <-took; got != tt.first {
					t.Errorf("the first was answered after %v", got)
				}
				if got := <-took; got != tt.second {
					t.Errorf("the second was answered after %v", got)
				}
				time.Sleep(2 * time.Minute)
			})
		})
	}
}

// An outage is told of when it begins, also if there never was contact.
func TestLostIsTold(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := &memStore{down: true}
		l, rec := storeList(t, s, revocation.Config{})
		defer run(t, l)()
		count := func(lost, copied int) {
			t.Helper()
			if got := rec.outcomes("store"); got["lost"] != lost || got["copied"] != copied {
				t.Errorf("observed %v", got)
			}
		}
		time.Sleep(10 * time.Second)
		count(1, 0)
		s.set(func() { s.down = false })
		time.Sleep(10 * time.Second)
		count(1, 1)
		s.set(func() { s.down = true })
		time.Sleep(10 * time.Second)
		count(2, 1)
	})
}

// The log tells by its levels what somebody has to look at.
func TestLevels(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var rec recorder
		l := newList(t, revocation.Config{Logger: slog.New(slog.NewTextHandler(&rec, nil))})
		h := l.Webhook(key)
		good, bad, late := suspended("alice", noon), "{}", event("User.Deleted", noon, object{"createdAt": "yesterday", "data": object{"id": "alice"}})
		nobody, none := event("User.Deleted", noon, nil), event("Organization.Deleted", noon, nil)
		gone := event("Organization.Membership.Updated", noon, object{"method": "DELETE"})
		for _, tt := range []struct{ body, signature, want string }{
			{good, sign(key, good), `level=INFO msg="revocation: event" event=User.SuspensionStatus.Updated outcome=revoked created_at=2026-11-25T12:00:00.000Z of="subject alice" revocations=1`},
			{good, sign("x", good), `level=WARN msg="revocation: request refused" event=unverified outcome=unauthorized error="revocation: the signature is none of the body by a signing key: is it the one that Logto's console shows?"`},
			{bad, sign(key, bad), `level=ERROR msg="revocation: event" event=other outcome=malformed error="revocation: no event"`},
			{late, sign(key, late), `level=ERROR msg="revocation: event" event=User.Deleted outcome=malformed error="revocation: createdAt is no time"`},
			{nobody, sign(key, nobody), `level=ERROR msg="revocation: event" event=User.Deleted outcome=malformed created_at=2026-11-25T12:00:00.000Z error="revocation: the event names no user"`},
			{none, sign(key, none), `level=ERROR msg="revocation: event" event=Organization.Deleted outcome=malformed created_at=2026-11-25T12:00:00.000Z error="revocation: the event names no organization"`},
			{gone, sign(key, gone), `level=ERROR msg="revocation: event" event=Organization.Membership.Updated outcome=malformed created_at=2026-11-25T12:00:00.000Z error="revocation: the event names no organization"`},
		} {
			before := len(rec.log())
			w := deliver(h, tt.body, tt.signature)
			if got := rec.log()[before:]; !strings.HasSuffix(got, " "+tt.want+"\n") || strings.Count(got, "\n") != 1 {
				t.Errorf("got %swant %s", got, tt.want)
			}
			if got := w.Header(); got.Get("Content-Type") != "text/plain; charset=utf-8" || got.Get("Cache-Control") != "no-store" || got.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%v", got)
			}
		}
	})
}

// Who is named counts, not who is in the route.
func TestRemovedAndNamed(t *testing.T) {
	ids := make([]string, 5000)
	for i := range ids {
		ids[i] = fmt.Sprintf("user%04d", i)
	}
	for _, tt := range []struct {
		name     string
		members  object
		want     int
		excluded string // of what is revoked
	}{
		{"one user", object{"removedUserIds": ids[:1]}, 1, "bob"},
		{"one application", object{"removedApplicationIds": ids[:1]}, 1, "bob"},
		{"one of each", object{"removedUserIds": ids[:1], "removedApplicationIds": ids[1:2]}, 2, "bob"},
		{"5000", object{"removedUserIds": ids}, 5001, "bob"},
		{"5000 and an application", object{"removedUserIds": ids, "removedApplicationIds": []string{"app"}}, 5002, "bob"},
		{"nobody", object{"removedUserIds": []string{}}, 1, "organization"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := newList(t, revocation.Config{})
				tt.members["method"], tt.members["organizationId"], tt.members["params"] = "DELETE", "org", object{"userId": "bob"}
				body := event("Organization.Membership.Updated", noon, tt.members)
				if w := deliver(l.Webhook(key), body, sign(key, body)); w.Code != 200 {
					t.Fatal(w.Code, w.Body)
				}
				if got := targets(l); len(l.Entries()) != tt.want || strings.Contains(got, tt.excluded) {
					t.Errorf("revoked %d: %.100s", len(l.Entries()), got)
				}
			})
		})
	}
}

// A token's life counts up to ten years, its ID up to 8 KiB.
func TestLongest(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var rec recorder
		l, s := newList(t, revocation.Config{Logger: slog.New(slog.NewTextHandler(&rec, nil))}), newTokens(t)
		year := 365 * 24 * time.Hour
		passes(t, l, s.at(t, logtotest.Token{Claims: map[string]any{"exp": noon.Add(12 * year).Unix()}}, noon))
		if !strings.Contains(rec.log(), " token_lifetime=87600h0m0s\n") {
			t.Errorf("logged %s", rec.log())
		}
		for n, want := range map[int]bool{8192: true, 8193: false} {
			if err := l.Revoke(t.Context(), revocation.Revocation{TokenID: strings.Repeat("x", n)}); (err == nil) != want {
				t.Errorf("an ID of %d bytes: %v", n, err)
			}
		}
	})
}

// What the store didn't take may be sent again.
func TestLogoutAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		issuer := logtotest.NewIssuer(t)
		cfg := issuer.Config()
		cfg.Logger = slog.New(slog.DiscardHandler)
		v, err := logto.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		h := newList(t, revocation.Config{Store: deadStore{}}).Logout(v, bySubject, logtotest.ClientID)
		form := url.Values{"logout_token": {issuer.LogoutToken("alice")}}.Encode()
		for range 3 {
			r := httptest.NewRequest(http.MethodPost, "/logout", strings.NewReader(form))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			w := httptest.NewRecorder()
			if h.ServeHTTP(w, r); w.Code != http.StatusServiceUnavailable || w.Body.String() != "store_failed\n" {
				t.Errorf("status %d, %s", w.Code, w.Body)
			}
		}
	})
}

// A lifetime counts in whole seconds, begun ones too.
func TestLifetime(t *testing.T) {
	for lifetime, want := range map[time.Duration]time.Duration{0: 24 * time.Hour, 1: time.Second, time.Second: time.Second, time.Second + 1: 2 * time.Second, time.Hour: time.Hour} {
		bubble(t, func(t *testing.T) {
			var got time.Duration
			l := newList(t, revocation.Config{Lifetime: lifetime, Store: madeStore{append: func(_ context.Context, keep time.Duration, _ []revocation.Revocation) error {
				got = keep
				return nil
			}}})
			if err := l.Revoke(t.Context(), revocation.Revocation{All: true}); err != nil || got != want+30*time.Minute {
				t.Errorf("Lifetime %v: kept for %v, %v", lifetime, got, err)
			}
		})
	}
	for stale, want := range map[time.Duration]bool{5 * time.Second: true, 5*time.Second - 1: false} {
		if _, err := revocation.New(revocation.Config{MaxStale: stale, Store: madeStore{}}); (err == nil) != want {
			t.Errorf("MaxStale %v: %v", stale, err)
		}
	}
}

// Revoke tells the log what became of it.
func TestLogOfRevoke(t *testing.T) {
	for _, test := range []struct {
		name  string
		store revocation.Store
		r     revocation.Revocation
		want  string
	}{
		{"done", nil, revocation.Revocation{Subject: "alice"}, `level=INFO msg="revocation: Revoke" outcome=revoked revocations=1`},
		{"in vain", nil, revocation.Revocation{Subject: "alice", IssuedAt: noon.Add(-48 * time.Hour)}, `level=INFO msg="revocation: Revoke" outcome=old revocations=0`},
		{"none", nil, revocation.Revocation{}, `level=WARN msg="revocation: Revoke" outcome=malformed revocations=0 error="revocation: not a revocation: want exactly one of Subject, OrganizationID, ClientID, TokenID and All"`},
		{"the store doesn't take it", deadStore{}, revocation.Revocation{Subject: "alice"}, `level=WARN msg="revocation: Revoke" outcome=store_failed revocations=1 error="revocation: in force here, but the store has not taken it: http: Server closed"`},
	} {
		bubble(t, func(t *testing.T) {
			var rec recorder
			l := newList(t, revocation.Config{Logger: slog.New(slog.NewTextHandler(&rec, nil)), Store: test.store})
			_ = l.Revoke(t.Context(), test.r)
			if got := rec.log(); !strings.HasSuffix(got, " "+test.want+"\n") || strings.Count(got, "\n") != 1 {
				t.Errorf("%s: %s", test.name, got)
			}
		})
	}
}

// Run ends when it is told to, though an Append doesn't.
func TestRunEnds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := newList(t, revocation.Config{Store: madeStore{follow: followed, append: func(context.Context, time.Duration, []revocation.Revocation) error {
			time.Sleep(time.Hour)
			return nil
		}}})
		stop := run(t, l)
		go func() { _ = l.Revoke(context.Background(), revocation.Revocation{Subject: "alice"}) }()
		time.Sleep(5 * time.Second)
		start := time.Now()
		stop()
		if took := time.Since(start); took != 0 {
			t.Errorf("took %v", took)
		}
		time.Sleep(2 * time.Hour) // until it has ended
	})
}
