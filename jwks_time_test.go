package logto_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/logtotest"
)

// What becomes of a good token whose key the cache has not seen: it is never called bad.

// madeUp is a token of a key that doesn't exist.
func (s *service) madeUp(name string, issued time.Duration) string {
	return s.issuer.Token(logtotest.Token{Header: map[string]any{"kid": name}, Claims: map[string]any{"pad": s.pad, "iat": time.Now().Add(issued).Unix()}})
}

// ask is a request through the middleware.
func (s *service) ask(token string) *httptest.ResponseRecorder {
	return serve(logto.Require(s.v)(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200) })), token)
}

// One stray token spends the pause, then a rotation follows: the new key's tokens are
// not refused as bad, and served when the 503 said so.
func TestStrayTokenThenRotation(t *testing.T) {
	for name, stray := range map[string]time.Duration{"new": 0, "from the future": 29 * time.Second, "old": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(s *service) {
				s.verify(s.token(), nil, 0, 1)
				time.Sleep(2 * time.Minute)
				s.ask(s.madeUp("stray", stray))
				time.Sleep(time.Second)
				s.issuer.Rotate("ES384")
				good := s.token()
				var wait time.Duration
				for range 100 {
					w := s.ask(good)
					if w.Code == 200 {
						continue
					}
					checkAnswer(t, w, 503, noChallenge, "")
					seconds, err := strconv.Atoi(w.Header().Get("Retry-After"))
					if err != nil || seconds < 1 || seconds > 10 {
						t.Fatalf("Retry-After %q", w.Header().Get("Retry-After"))
					}
					wait = time.Duration(seconds) * time.Second
				}
				time.Sleep(wait)
				if w := s.ask(good); w.Code != 200 {
					t.Errorf("status %d after %v", w.Code, wait)
				}
			})
		})
	}
	// As seen on a real Logto: a stray token every 3 s, and traffic after a rotation.
	inBubble(t, func(s *service) {
		s.verify(s.token(), nil, 0, 1)
		good := s.token()
		last := 0
		for i := range 600 {
			if i%30 == 0 {
				s.ask(s.madeUp(fmt.Sprint("stray ", i), 0))
			}
			if i == 205 {
				s.issuer.Rotate("ES384")
				good = s.token()
			}
			if w := s.ask(good); w.Code != 200 {
				checkAnswer(t, w, 503, noChallenge, "")
				last = i
			}
			time.Sleep(100 * time.Millisecond)
		}
		if last > 305 {
			t.Errorf("refused %d ms after the rotation", 100*(last-205))
		}
	})
}

// An answer proves that a key does not exist for tokens issued before it was asked for,
// with leeway for the clocks: on both sides of the bound.
func TestAbsenceIsProven(t *testing.T) {
	for _, test := range []struct {
		name   string
		leeway time.Duration
		issued time.Duration // from the time at which the newest fetch began
		reason string
	}{
		{"issued with the fetch", 0, 0, "key_not_yet_known"},
		{"replicas may disagree", 0, -59 * time.Second, "key_not_yet_known"},
		{"before it", 0, -60 * time.Second, "unknown_key"},
		{"within a wide leeway", 5 * time.Minute, -299 * time.Second, "key_not_yet_known"},
		{"before a wide leeway", 5 * time.Minute, -300 * time.Second, "unknown_key"},
		{"no leeway, replicas may disagree", -1, -59 * time.Second, "key_not_yet_known"},
		{"no leeway, before it", -1, -60 * time.Second, "unknown_key"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				issuer := logtotest.NewIssuer(t)
				cfg := issuer.Config()
				cfg.Leeway, cfg.Logger = test.leeway, capture
				v := newVerifier(t, cfg)
				if err := v.Refresh(ctx); err != nil {
					t.Fatal(err)
				}
				token := issuer.Token(logtotest.Token{Header: map[string]any{"kid": "gone"}, Claims: map[string]any{"iat": time.Now().Add(test.issued).Unix()}})
				issuer.Fail(logtotest.Status(500)) // what fails proves nothing, and disproves nothing
				_, err := v.Verify(ctx, token)
				if got := logto.Reason(err); got != test.reason && (test.reason == "unknown_key" || got != "keys_unavailable") {
					t.Errorf("reason %s, want %s", got, test.reason)
				}
				issuer.Fail(nil)
				time.Sleep(logto.RetryPause)
				if _, err = v.Verify(ctx, token); test.reason == "unknown_key" && logto.Reason(err) != test.reason {
					t.Errorf("a second later: %v", err)
				}
			})
		})
	}
	t.Run("by a cache on the way", func(t *testing.T) {
		inBubble(t, func(s *service) {
			keySet := s.issuer.KeySet()
			s.issuer.Fail(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Cache-Control") != "no-cache" {
					t.Errorf("Cache-Control %q", r.Header.Get("Cache-Control"))
				}
				w.Header().Set("Age", "300")
				_, _ = io.WriteString(w, keySet)
			}))
			if err := s.v.Refresh(ctx); err != nil {
				t.Fatal(err)
			}
			if _, err := s.v.Verify(ctx, s.madeUp("gone", -359*time.Second)); logto.Reason(err) != "key_not_yet_known" {
				t.Error(err)
			}
			if _, err := s.v.Verify(ctx, s.madeUp("gone", -361*time.Second)); logto.Reason(err) != "unknown_key" {
				t.Error(err)
			}
		})
	})
	for _, field := range []string{"Date", "Age"} {
		t.Run("no time in "+field, func(t *testing.T) {
			inBubble(t, func(s *service) {
				keySet := s.issuer.KeySet()
				s.issuer.Fail(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set(field, map[string]string{"Date": "Mon, 01 Jan 0001 00:00:00 GMT", "Age": "Fri, 31 Dec 9999 23:59:59 GMT"}[field])
					_, _ = io.WriteString(w, keySet)
				}))
				if err := s.v.Refresh(ctx); err != nil {
					t.Fatal(err)
				}
				time.Sleep(5 * time.Second)
				if got := s.v.KeySets()[0].Fetched; got.After(time.Now()) {
					t.Errorf("fetched %v", got)
				}
				s.issuer.Rotate()
				s.issuer.Fail(nil)
				if _, err := s.v.Verify(ctx, s.token()); err != nil { // of a key that was rotated in
					t.Error(err)
				}
			})
		})
	}
	t.Run("the clock was set back", func(t *testing.T) {
		inBubble(t, func(s *service) {
			s.verify(s.token(), nil, 0, 1)
			time.Sleep(10 * time.Second)
			s.v.SetWallClock(-time.Hour) // the fetch seems to lie in the future
			if _, err := s.v.Verify(ctx, s.madeUp("new", -20*time.Second)); logto.Reason(err) != "key_not_yet_known" {
				t.Error(err)
			}
		})
	})
}

// Promise 4 for a key that is not in a good key set: a request never gets the error of
// a fetch that has hung since before the outage ended.
func TestHungSinceBefore(t *testing.T) {
	for _, later := range []time.Duration{time.Second, 2 * time.Second, 6 * time.Second, 9 * time.Second} {
		t.Run(later.String(), func(t *testing.T) {
			inBubble(t, func(s *service) {
				s.verify(s.token(), nil, 0, 1)
				time.Sleep(time.Minute)
				s.issuer.Fail(logtotest.Hang())
				s.issuer.Rotate("ES384")
				go func() { _, _ = s.v.Verify(ctx, s.madeUp("stray", 0)) }()
				synctest.Wait()
				s.issuer.Fail(nil)
				time.Sleep(later)
				if _, err := s.v.Verify(ctx, s.token()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// The issuer's replicas disagree for a minute after a rotation: some answers have the
// new key and some have not. Few tokens are refused, and none for long.
func TestReplicasDisagree(t *testing.T) {
	inBubble(t, func(s *service) {
		old := s.issuer.KeySet()
		s.verify(s.token(), nil, 0, 1)
		time.Sleep(time.Minute)
		s.issuer.Rotate("ES384")
		var asked atomic.Int64
		current := s.issuer.KeySet()
		s.issuer.Fail(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if n := asked.Add(1); n%2 == 0 {
				_, _ = io.WriteString(w, old)
			} else {
				_, _ = io.WriteString(w, current)
			}
		}))
		token := s.token() // one user's, for the whole time
		bad, inARow, longest := 0, 0, 0
		for i := range 3000 { // five minutes
			if i == 600 {
				s.issuer.Fail(nil)
			}
			if i%50 == 49 {
				s.ask(s.madeUp(fmt.Sprint("stray ", i), 0)) // asks the other replica
			}
			inARow++
			if w := s.ask(token); w.Code == 200 {
				inARow = 0
			} else {
				bad++
			}
			longest = max(longest, inARow)
			time.Sleep(100 * time.Millisecond)
		}
		// Each time the old answer came, until the next fetch: 10 s.
		if longest > 101 || bad > 350 {
			t.Errorf("%d refused, %d in a row", bad, longest)
		}
	})
	// Without other traffic the one token causes the fetches that it needs.
	inBubble(t, func(s *service) {
		old := s.issuer.KeySet()
		s.verify(s.token(), nil, 0, 1)
		s.issuer.Rotate("ES384")
		s.issuer.Fail(logtotest.Body("", old))
		token := s.token()
		time.Sleep(time.Minute)
		if w := s.ask(token); w.Code == 200 {
			t.Error("accepted")
		}
		s.issuer.Fail(nil)
		time.Sleep(logto.ProofAge)
		if w := s.ask(token); w.Code != 200 {
			t.Errorf("still status %d", w.Code)
		}
	})
}

// Two minutes after a key has vanished its absence is believed, by any answer that is new
// enough, and nothing is fetched for it.
func TestDoubtEnds(t *testing.T) {
	for _, test := range []struct {
		name    string
		after   time.Duration // the key had vanished
		fetches int
	}{
		{"in doubt", 2*time.Minute - 1, 4},
		{"no more", 2 * time.Minute, 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(s *service) {
				token := s.token()
				s.verify(token, nil, 0, 1)
				s.issuer.Rotate("ES384")
				s.issuer.RemovePrevious()
				for _, wait := range []time.Duration{time.Minute, 110 * time.Second} {
					time.Sleep(wait)
					if err := s.v.Refresh(ctx); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(test.after - 110*time.Second)
				s.verify(token, logto.ErrInvalidToken, 0, test.fetches)
			})
		})
	}
}

// No request waits longer than 5 s for a key, whatever the endpoint or the client does.
func TestNobodyWaitsLong(t *testing.T) {
	deaf := roundTrip(func(*http.Request) (*http.Response, error) {
		time.Sleep(time.Hour) // ignores its context
		return nil, errors.New("too late")
	})
	for name, hang := range map[string]http.RoundTripper{"hanging endpoint": nil, "client that ignores its context": deaf} {
		for _, first := range []bool{true, false} {
			t.Run(fmt.Sprint(name, ", cold start ", first), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					issuer := logtotest.NewIssuer(t)
					cfg := issuer.Config()
					inner := cfg.HTTPClient.Transport
					var broken atomic.Bool
					cfg.HTTPClient = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
						if hang != nil && broken.Load() {
							return hang.RoundTrip(r)
						}
						return inner.RoundTrip(r)
					})}
					cfg.Logger = capture
					v := newVerifier(t, cfg)
					token := issuer.Token(logtotest.Token{ExpiresIn: 48 * time.Hour})
					if !first {
						if _, err := v.Verify(ctx, token); err != nil {
							t.Fatal(err)
						}
						time.Sleep(time.Minute)
					}
					broken.Store(true)
					issuer.Fail(logtotest.Hang())
					if !first {
						token = issuer.Token(logtotest.Token{Header: map[string]any{"kid": "new"}})
					}
					for range 5 {
						start := time.Now()
						_, err := v.Verify(ctx, token)
						if d := time.Since(start); !errors.Is(err, logto.ErrUnavailable) || d > logto.MaxHold {
							t.Errorf("error %v after %v", err, d)
						}
						time.Sleep(time.Second)
					}
					// It comes back.
					broken.Store(false)
					issuer.Fail(nil)
					time.Sleep(logto.GiveUpTime)
					if _, err := v.Verify(ctx, issuer.Token(logtotest.Token{})); err != nil {
						t.Error(err)
					}
					time.Sleep(2 * time.Hour)
				})
			})
		}
	}
	// A client that never returns keeps a bounded number of goroutines.
	synctest.Test(t, func(t *testing.T) {
		issuer := logtotest.NewIssuer(t)
		cfg := issuer.Config()
		cfg.Logger = capture
		var asked atomic.Int64
		end := make(chan struct{})
		cfg.HTTPClient = &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
			asked.Add(1)
			<-end
			return nil, errors.New("too late")
		})}
		v := newVerifier(t, cfg)
		token := issuer.Token(logtotest.Token{})
		for range 600 {
			go func() { _, _ = v.Verify(ctx, token) }()
			time.Sleep(time.Second)
		}
		// One a second until those that were given up are too many, then one a minute.
		if n := asked.Load(); n > logto.MaxStuck+11+10 {
			t.Errorf("%d fetches in ten minutes", n)
		}
		close(end)
		time.Sleep(time.Minute)
	})
}

// A good neighbour: it backs off, and asks no sooner than it was told.
func TestRetryAfter(t *testing.T) {
	for _, test := range []struct {
		name    string
		answer  http.Handler
		minutes int
		fetches int
	}{
		{"429, 300 s", retryAfter(429, "300"), 5, 1},
		{"503, 300 s", retryAfter(503, "300"), 5, 1},
		{"429, 60 s", retryAfter(429, "60"), 5, 5},
		{"a year", retryAfter(429, "31536000"), 10, 2},
		{"more than a number", retryAfter(429, "99999999999999999999"), 1, 1},
		{"a list", retryAfter(429, "120, 1"), 2, 1},
		{"negative", retryAfter(429, "-5"), 1, 9},
		{"none", logtotest.Status(429), 1, 9},
		{"zero", retryAfter(429, "0"), 1, 9},
		{"a date", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", time.Now().Add(2*time.Minute).UTC().Format(http.TimeFormat))
			w.WriteHeader(429)
		}), 4, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(s *service) {
				token := s.token()
				s.verify(token, nil, 0, 1)
				time.Sleep(logto.StaleAge)
				s.issuer.Fail(test.answer)
				for range test.minutes*60 - 1 {
					if _, err := s.v.Verify(ctx, token); err != nil {
						t.Fatal(err)
					}
					time.Sleep(time.Second)
				}
				if n := s.issuer.Fetches() - 1; n != test.fetches {
					t.Errorf("%d fetches, want %d", n, test.fetches)
				}
			})
		})
	}
	// What a new key's token is told is when it will be asked for.
	inBubble(t, func(s *service) {
		s.verify(s.token(), nil, 0, 1)
		time.Sleep(logto.StaleAge)
		s.issuer.Fail(retryAfter(429, "120"))
		s.issuer.Rotate("ES384")
		time.Sleep(time.Second)
		s.ask(s.token())
		time.Sleep(20 * time.Second)
		w := s.ask(s.token())
		checkAnswer(t, w, 503, noChallenge, "")
		if got := w.Header().Get("Retry-After"); got != "100" {
			t.Errorf("Retry-After %q", got)
		}
		s.issuer.Fail(nil)
		time.Sleep(100 * time.Second)
		if w := s.ask(s.token()); w.Code != 200 {
			t.Errorf("status %d", w.Code)
		}
	})
}

// Instances that started together don't refresh together, and none later than it must.
func TestJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := logtotest.NewIssuer(t)
		cfg := issuer.Config()
		cfg.Logger = capture
		var all []*logto.Verifier
		token := issuer.Token(logtotest.Token{})
		for range 200 {
			v, err := logto.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := v.Verify(ctx, token); err != nil {
				t.Fatal(err)
			}
			all = append(all, v)
		}
		most, before := 0, issuer.Fetches()
		for range int(logto.StaleAge/time.Second) + 1 {
			n := issuer.Fetches()
			for _, v := range all {
				if _, err := v.Verify(ctx, token); err != nil {
					t.Fatal(err)
				}
			}
			synctest.Wait()
			most = max(most, issuer.Fetches()-n)
			time.Sleep(time.Second)
		}
		if n := issuer.Fetches() - before; n < 200 || n > 250 || most > 20 {
			t.Errorf("%d fetches, at most %d in a second", n, most)
		}
	})
}

// A connection that died silently is not asked again: the next fetch has a new one. HTTP/2
// would keep it, for a request that failed says nothing of its connection.
func TestDeadConnection(t *testing.T) {
	issuer := logtotest.New("")
	server := httptest.NewUnstartedServer(issuer)
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	for _, name := range []string{"HTTP/2", "HTTP/1.1", "http.DefaultTransport"} {
		t.Run(name, func(t *testing.T) {
			line := &line{}
			transport := server.Client().Transport.(*http.Transport).Clone()
			transport.ForceAttemptHTTP2 = name != "HTTP/1.1"
			if !transport.ForceAttemptHTTP2 {
				transport.TLSClientConfig.NextProtos = []string{"http/1.1"}
			}
			transport.DialContext = line.dial
			client := &http.Client{Transport: transport, Timeout: time.Second}
			if name == "http.DefaultTransport" {
				client.Transport = nil
				defer func(before http.RoundTripper) { http.DefaultTransport = before }(http.DefaultTransport)
				http.DefaultTransport = transport
			}
			v := newVerifier(t, logto.Config{Issuers: []string{"https://issuer.test/oidc"}, JWKSURL: server.URL + "/oidc/jwks",
				Audiences: []string{"any"}, HTTPClient: client, Logger: capture})
			if err := v.Refresh(ctx); err != nil {
				t.Fatal(err)
			}
			line.cut()
			v.SetWallClock(logto.DeadAge)
			if err := v.Refresh(ctx); err == nil {
				t.Fatal("the connection wasn't kept: nothing to see")
			}
			v.SetWallClock(logto.DeadAge)
			if err := v.Refresh(ctx); err != nil {
				t.Errorf("asked on the dead connection again: %v", err)
			}
		})
	}
}

// A client that isn't net/http's own is told by the request not to keep the connection, but
// only after a failure.
func TestCloseAfterFailure(t *testing.T) {
	inBubble(t, func(s *service) {
		var closes []bool
		fail := true
		cfg := s.issuer.Config()
		next := cfg.HTTPClient.Transport
		cfg.HTTPClient = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			if closes = append(closes, r.Close); fail {
				return nil, io.EOF
			}
			return next.RoundTrip(r)
		})}
		v := newVerifier(t, cfg)
		_ = v.Refresh(ctx)
		fail = false
		for range 2 {
			time.Sleep(logto.FetchPause)
			if err := v.Refresh(ctx); err != nil {
				t.Error(err)
			}
		}
		if want := []bool{false, true, false}; !slices.Equal(closes, want) {
			t.Errorf("Close is %v, want %v", closes, want)
		}
	})
}

// While a fetch hangs, a refresh waits for its full pause, and one for a key that isn't there
// for a back-off that counts the hanging one. It has a new connection.
func TestBesideAHangingFetch(t *testing.T) {
	for _, test := range []struct {
		name   string
		failed int // fetches, before one hangs
		pause  time.Duration
	}{{"after none failed", 0, time.Second}, {"after one failed", 1, 2 * time.Second}, {"after two failed", 2, 4 * time.Second}} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(s *service) {
				var closes atomic.Int64
				cfg := s.issuer.Config()
				next := cfg.HTTPClient.Transport
				cfg.HTTPClient = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
					if r.Close {
						closes.Add(1)
					}
					return next.RoundTrip(r)
				})}
				s.v = newVerifier(t, cfg)
				s.v.SetJitter(0)
				want := 1
				ask := func(token string) {
					t.Helper()
					go func() { _, _ = s.v.Verify(ctx, token) }()
					synctest.Wait()
					if n := s.issuer.Fetches(); n != want {
						t.Errorf("%d fetches, want %d", n, want)
					}
				}
				ask(s.token())
				time.Sleep(logto.StaleAge)
				s.issuer.Fail(logtotest.Status(500))
				for range test.failed {
					want++
					ask(s.token())
					time.Sleep(logto.RetryPause << (want - 2))
				}
				s.issuer.Fail(logtotest.Hang())
				want++
				ask(s.token())
				time.Sleep(test.pause - 1)
				ask(s.madeUp("a nanosecond too soon", 0))
				time.Sleep(time.Nanosecond)
				ask(s.token())
				before := closes.Load()
				want++
				if ask(s.madeUp("in time", 0)); closes.Load() != before+1 {
					t.Error("by the connection that hangs")
				}
			})
		})
	}
}

// line is a network in which connections can die without a word.
type line struct {
	mu   sync.Mutex
	open []*silent
}

func (l *line) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	s := &silent{Conn: conn}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open = append(l.open, s)
	return s, nil
}

// cut lets all connections die that there are.
func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.open {
		s.dead.Store(true)
	}
}

// silent is a connection that swallows what is sent once it is dead.
type silent struct {
	net.Conn
	dead atomic.Bool
}

func (s *silent) Write(p []byte) (int, error) {
	if s.dead.Load() {
		return len(p), nil
	}
	return s.Conn.Write(p)
}

// A readiness probe of one call gets a key set for a service without traffic, by and by.
func TestReadyAlone(t *testing.T) {
	inBubble(t, func(s *service) {
		if err := s.v.Ready(); !errors.Is(err, logto.ErrUnavailable) {
			t.Errorf("cold: %v", err)
		}
		synctest.Wait()
		if err := s.v.Ready(); err != nil {
			t.Errorf("the probe after: %v", err)
		}
		// Probes keep the key set young.
		for range 48 * 60 {
			time.Sleep(time.Minute)
			if err := s.v.Ready(); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if age := s.v.KeySetStatus().Age; age > logto.StaleAge {
			t.Errorf("age %v", age)
		}
		// An outage of Logto doesn't end a service that can serve; then it is over.
		s.issuer.Fail(logtotest.Hang())
		time.Sleep(logto.DeadAge - logto.StaleAge)
		if err := s.v.Ready(); err != nil {
			t.Error(err)
		}
		time.Sleep(logto.StaleAge)
		for range 10 {
			start := time.Now()
			if err := s.v.Ready(); !errors.Is(err, logto.ErrUnavailable) || time.Since(start) != 0 {
				t.Errorf("%v after %v", err, time.Since(start))
			}
			time.Sleep(10 * time.Second)
		}
		s.issuer.Fail(nil)
		_ = s.v.Ready()
		synctest.Wait()
		if err := s.v.Ready(); err != nil {
			t.Error(err)
		}
	})
}

// Code of the user's that runs in a goroutine of ours can't end the process.
func TestPanicsAfterAFetch(t *testing.T) {
	for name, change := range map[string]func(*logto.Config){
		"observer": func(c *logto.Config) {
			c.Observer = func(_ context.Context, e logto.Event) {
				if e.Fetch {
					panic("theirs")
				}
			}
		},
		"logger": func(c *logto.Config) { c.Logger = slog.New(panics{}) },
		"both": func(c *logto.Config) {
			c.Observer = func(context.Context, logto.Event) { panic("theirs") }
			c.Logger = slog.New(panics{})
		},
		"nothing": func(*logto.Config) {},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				issuer := logtotest.NewIssuer(t)
				log := &logBuffer{}
				cfg := issuer.Config()
				cfg.Logger = slog.New(slog.NewTextHandler(log, nil))
				change(&cfg)
				v := newVerifier(t, cfg)
				issuer.Fail(logtotest.Status(500))
				_ = v.Refresh(ctx)
				synctest.Wait()
				issuer.Fail(nil)
				time.Sleep(logto.FetchPause)
				if err := v.Refresh(ctx); err != nil {
					t.Error(err)
				}
				synctest.Wait()
				if got := strings.Contains(log.String(), "panic in a logger, an observer"); got != (name == "observer") {
					t.Errorf("log: %s", log)
				}
			})
		})
	}
}

type panics struct{ slog.Handler }

func (panics) Enabled(context.Context, slog.Level) bool { return true }

func (panics) Handle(context.Context, slog.Record) error { panic("theirs, too") }

// Of two answers that of the fetch which began later counts, whichever comes first.
func TestOlderAnswerComesLater(t *testing.T) {
	for name, older := range map[string]func(w http.ResponseWriter, keySet string){
		"a good one": func(w http.ResponseWriter, keySet string) { _, _ = io.WriteString(w, keySet) },
		"a bad one":  func(w http.ResponseWriter, _ string) { w.WriteHeader(500) },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(s *service) {
				before := s.issuer.KeySet()
				s.issuer.Fail(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					time.Sleep(4 * time.Second)
					older(w, before)
				}))
				go func() { _, _ = s.v.Verify(ctx, s.token()) }()
				time.Sleep(2 * time.Second)
				s.issuer.Rotate("ES384")
				s.issuer.RemovePrevious()
				s.issuer.Fail(nil)
				token := s.token()
				s.verify(token, nil, 0, 2) // doesn't wait for the one that hangs
				time.Sleep(3 * time.Second)
				s.verify(token, nil, 0, 2)
				if status := s.v.KeySetStatus(); status.Err != nil || len(status.KeyIDs) != 1 || status.KeyIDs[0] != s.issuer.KeyID() {
					t.Errorf("%+v", status)
				}
			})
		})
	}
}

// Refresh waits no longer than its context.
func TestRefreshLeaves(t *testing.T) {
	inBubble(t, func(s *service) {
		s.issuer.Fail(logtotest.Hang())
		ctx, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		defer cancel()
		start := time.Now()
		if err := s.v.Refresh(ctx); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, logto.ErrUnavailable) || time.Since(start) != 300*time.Millisecond {
			t.Errorf("error %v after %v", err, time.Since(start))
		}
	})
}

// A good answer that was asked for just before a token was issued doesn't decide about
// its key: the request waits for another one.
func TestAnswerFromBeforeTheToken(t *testing.T) {
	inBubble(t, func(s *service) {
		s.verify(s.token(), nil, 0, 1)
		time.Sleep(logto.StaleAge + 500*time.Millisecond)
		before := s.issuer.KeySet()
		s.issuer.Fail(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(2 * time.Second)
			_, _ = io.WriteString(w, before)
		}))
		if err := s.v.Ready(); err != nil { // starts the refresh
			t.Fatal(err)
		}
		time.Sleep(500 * time.Millisecond) // iat has whole seconds
		s.issuer.Fail(nil)
		s.issuer.Rotate("ES384")
		s.verify(s.token(), nil, 1500*time.Millisecond, 3)
	})
}

// A client that ends the goroutine of its fetch is one that failed.
func TestTransportExits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := logtotest.NewIssuer(t)
		cfg := issuer.Config()
		cfg.Logger = capture
		inner, bad := cfg.HTTPClient.Transport, true
		cfg.HTTPClient = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			if bad {
				runtime.Goexit()
			}
			return inner.RoundTrip(r)
		})}
		v := newVerifier(t, cfg)
		token := issuer.Token(logtotest.Token{})
		start := time.Now()
		if _, err := v.Verify(ctx, token); !errors.Is(err, logto.ErrUnavailable) || time.Since(start) != 0 {
			t.Errorf("error %v after %v", err, time.Since(start))
		}
		bad = false
		time.Sleep(logto.RetryPause)
		if _, err := v.Verify(ctx, token); err != nil {
			t.Error(err)
		}
	})
}

// textPanics is an error of a client's transport.
type textPanics struct{}

func (textPanics) Error() string { panic("theirs") }

func TestTransportErrorPanics(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	cfg := issuer.Config()
	cfg.Logger = capture
	cfg.HTTPClient = &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) { return nil, textPanics{} })}
	if _, err := newVerifier(t, cfg).Verify(ctx, issuer.Token(logtotest.Token{})); !errors.Is(err, logto.ErrUnavailable) {
		t.Errorf("error %v", err)
	}
}
