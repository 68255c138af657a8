package logto_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/logtotest"
)

// service is a verifier in a bubble, and the issuer that it trusts.
type service struct {
	*testing.T
	issuer *logtotest.Issuer
	v      *logto.Verifier
	log    *logBuffer
	pad    string // a claim of its tokens
}

// large makes a token one of those whose signature is checked before they are read.
var large = strings.Repeat("x", 2000)

// inBubble runs f with tokens of Logto's size and with large ones: what is said of either
// is the same.
func inBubble(t *testing.T, f func(s *service)) {
	t.Helper()
	for _, pad := range []string{"", large} {
		bubble(t, pad, f)
	}
}

func bubble(t *testing.T, pad string, f func(s *service)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &service{T: t, issuer: logtotest.NewIssuer(t), log: &logBuffer{}, pad: pad}
		cfg := s.issuer.Config()
		cfg.Logger = slog.New(slog.NewTextHandler(s.log, nil))
		s.v = newVerifier(t, cfg)
		f(s)
		time.Sleep(logto.FetchTime) // no fetch outlives this, or the bubble panics
	})
}

// token lives long enough for every test.
func (s *service) token() string {
	return s.issuer.Token(logtotest.Token{ExpiresIn: 1000 * time.Hour, Claims: map[string]any{"pad": s.pad}})
}

// verify checks how a token is answered, within what time, after how many fetches
// in all.
func (s *service) verify(token string, want error, took time.Duration, fetches int) {
	s.Helper()
	start := time.Now()
	_, err := s.v.Verify(ctx, token)
	if !errors.Is(err, want) || (want == nil) != (err == nil) {
		s.Errorf("error %v, want %v", err, want)
	}
	if d := time.Since(start); d != took {
		s.Errorf("took %v, want %v", d, took)
	}
	synctest.Wait()
	if n := s.issuer.Fetches(); n != fetches {
		s.Errorf("%d fetches, want %d", n, fetches)
	}
}

// badAnswers are those that a key endpoint must not give. Each is checked before
// and after the first good one.
func badAnswers() map[string]http.Handler {
	jwks := func(body string) http.Handler {
		return logtotest.Body("application/jwk-set+json; charset=utf-8", body)
	}
	good := logtotest.New("https://other.test").KeySet()
	return map[string]http.Handler{
		"400": logtotest.Status(400), "404": logtotest.Status(404), "429": logtotest.Status(429),
		"500": logtotest.Status(500), "503": logtotest.Status(503), "204": logtotest.Status(204),
		"HTML":             logtotest.Body("text/html; charset=utf-8", "<!doctype html>"),
		"empty":            jwks(""),
		"cut JSON":         jwks(good[:len(good)-2]),
		"null":             jwks("null"),
		"no object":        jwks("[" + good + "]"),
		"{}":               jwks("{}"),
		"keys null":        jwks(`{"keys":null}`),
		"keys an object":   jwks(`{"keys":{}}`),
		"no keys":          jwks(`{"keys":[]}`),
		"null keys":        jwks(`{"keys":[null,1,"x",[]]}`),
		"KEYS":             jwks(strings.Replace(good, "keys", "KEYS", 1)),
		"keys twice":       jwks(`{"keys":[],` + good[1:]),
		"data behind":      jwks(good + "x"),
		"unusable keys":    jwks(`{"keys":[{"kty":"oct","kid":"a","k":"AAAA"},{"kty":"X","kid":"b"}]}`),
		"10000 keys":       jwks(`{"keys":[` + strings.Repeat(good[9:len(good)-2]+",", 10000) + good[9:]),
		"over the maximum": jwks(good + strings.Repeat(" ", logto.MaxBody+1-len(good))),
		"cut":              logtotest.Cut(),
		"garbage":          logtotest.Body("application/octet-stream", "\x00\xff\x00"),
	}
}

// retryAfter is an answer that asks to be left alone.
func retryAfter(status int, value string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", value)
		w.WriteHeader(status)
	})
}

// Promise 3: a good key set is never replaced by a worse answer.
func TestPromise3BadAnswersChangeNothing(t *testing.T) {
	for name, answer := range badAnswers() {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(s *service) {
				s.issuer.Fail(answer)
				s.verify(s.token(), logto.ErrUnavailable, 0, 1)
				s.verify(s.token(), logto.ErrUnavailable, 0, 1)
				time.Sleep(logto.RetryPause)
				s.issuer.Fail(nil)
				s.verify(s.token(), nil, 0, 2)

				// Known keys stay, for a day; unknown ones can't be told from new ones.
				s.issuer.Fail(answer)
				time.Sleep(logto.StaleAge)
				s.verify(s.token(), nil, 0, 3)
				time.Sleep(logto.WaitAge)
				s.verify(s.token(), nil, 0, 4)
				time.Sleep(logto.FetchPause)
				unknown := logtotest.New(s.issuer.Endpoint()).Token(logtotest.Token{})
				s.verify(unknown, logto.ErrUnavailable, 0, 5)
				s.verify(unknown, logto.ErrUnavailable, 0, 5)

				// Then it is known which they are.
				time.Sleep(time.Minute)
				s.issuer.Fail(nil)
				s.verify(unknown, logto.ErrInvalidToken, 0, 6)
				s.verify(s.token(), nil, 0, 6)
			})
		})
	}
}

// slowAnswers take for ever; a fetch of them ends after 10 s.
var slowAnswers = map[string]func() http.Handler{"hang": logtotest.Hang, "hang in the body": logtotest.HangInBody, "drip": logtotest.Drip}

// Promise 1: a hung endpoint never delays a token whose key is known and less
// than an hour old, and never for more than a second within a day.
func TestPromise1HungEndpoint(t *testing.T) {
	for name, answer := range slowAnswers {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(s *service) {
				token := s.token()
				s.verify(token, nil, 0, 1)
				s.issuer.Fail(answer())
				time.Sleep(logto.StaleAge - 1)
				s.verify(token, nil, 0, 1)
				time.Sleep(time.Nanosecond)
				s.verify(token, nil, 0, 2) // one refresh behind
				s.verify(token, nil, 0, 2)
				time.Sleep(logto.WaitAge - logto.StaleAge - 1)
				s.verify(token, nil, 0, 3)
				time.Sleep(logto.FetchTime + 1)
				s.verify(token, nil, logto.MaxWait, 4)
				s.verify(token, nil, 0, 4) // the same fetch: it has waited
				time.Sleep(logto.DeadAge - logto.WaitAge - logto.FetchTime - 2*logto.MaxWait)
				s.verify(token, nil, logto.MaxWait, 5)
				time.Sleep(logto.FetchTime)
				s.verify(token, logto.ErrUnavailable, logto.MaxHold, 6)
				s.issuer.Fail(nil)
				s.verify(token, nil, 0, 7)
			})
		})
	}
}

// The age at which a key set dies, on both sides.
func TestAges(t *testing.T) {
	for _, test := range []struct {
		name    string
		age     time.Duration
		want    error
		took    time.Duration
		fetches int
	}{
		{"fresh", logto.StaleAge - 1, nil, 0, 1},
		{"stale", logto.StaleAge, nil, 0, 2},
		{"not yet to wait for", logto.WaitAge - 1, nil, 0, 2},
		{"to wait for", logto.WaitAge, nil, logto.MaxWait, 2},
		{"not yet dead", logto.DeadAge - 1, nil, logto.MaxWait, 2},
		{"dead", logto.DeadAge, logto.ErrUnavailable, logto.MaxHold, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(s *service) {
				token := s.token()
				s.verify(token, nil, 0, 1)
				s.issuer.Fail(logtotest.Hang())
				time.Sleep(test.age)
				if ready := s.v.Ready(); (ready == nil) != (test.want == nil) {
					t.Errorf("Ready: %v", ready)
				}
				s.verify(token, test.want, test.took, test.fetches)
			})
		})
	}
}

// In an outage the error says whether there are keys at all.
func TestTextsInOutage(t *testing.T) {
	inBubble(t, func(s *service) {
		s.issuer.Fail(logtotest.Status(500))
		address := s.issuer.Endpoint() + "/oidc/jwks"
		check := func(want string) {
			t.Helper()
			if _, err := s.v.Verify(ctx, s.madeUp("x", 0)); !errors.Is(err, logto.ErrUnavailable) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "500") {
				t.Errorf("error %v, want %s", err, want)
			}
		}
		check("no usable key set from " + address)
		check("no usable key set from " + address) // without a fetch
		time.Sleep(logto.RetryPause)
		s.issuer.Fail(nil)
		s.verify(s.token(), nil, 0, 2)
		s.issuer.Fail(logtotest.Status(500))
		time.Sleep(logto.FetchPause)
		check("a key that may be new can't be looked up at " + address)
	})
}

// Who waits for a refresh gets the key that it has brought, though the ID was known.
func TestRefreshBringsAnotherKeyOfTheID(t *testing.T) {
	inBubble(t, func(s *service) {
		s.verify(s.token(), nil, 0, 1)
		other, id := logtotest.New(s.issuer.Endpoint()), s.issuer.KeyID()
		s.issuer.Fail(logtotest.Body("", strings.ReplaceAll(other.KeySet(), other.KeyID(), id)))
		time.Sleep(time.Hour)
		s.verify(other.Token(logtotest.Token{Header: map[string]any{"kid": id}}), nil, 0, 2)
	})
}

// From an hour on a request waits for the answer, so a key that was removed is
// refused though nobody asked for long.
func TestOldKeySetIsRefreshedFirst(t *testing.T) {
	inBubble(t, func(s *service) {
		token := s.token()
		s.verify(token, nil, 0, 1)
		s.issuer.Rotate("ES384")
		s.issuer.RemovePrevious()
		time.Sleep(logto.WaitAge)
		s.verify(token, logto.ErrInvalidToken, 0, 2)
	})
	// A caller that leaves while it waits gets what it would have got.
	inBubble(t, func(s *service) {
		token := s.token()
		s.verify(token, nil, 0, 1)
		s.issuer.Fail(logtotest.Hang())
		time.Sleep(logto.WaitAge)
		ctx, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		defer cancel()
		start := time.Now()
		if _, err := s.v.Verify(ctx, token); err != nil || time.Since(start) != 300*time.Millisecond {
			t.Errorf("error %v after %v", err, time.Since(start))
		}
	})
}

// An answer may come between a request's look and its wait: its key is then there, and
// causes no fetch.
func TestKeyThatHasComeMeanwhile(t *testing.T) {
	inBubble(t, func(s *service) {
		s.verify(s.token(), nil, 0, 1)
		s.issuer.Fail(logtotest.Status(500))
		time.Sleep(2 * time.Minute)
		err := s.v.WaitForKey(s.issuer.KeyID(), time.Now())
		synctest.Wait() // for a fetch that nobody waits for
		if err != nil || s.issuer.Fetches() != 1 {
			t.Errorf("%v, after %d fetches", err, s.issuer.Fetches())
		}
	})
}

// Promise 2: whatever the traffic, one fetch at a time and 6 a minute.
func TestPromise2FetchBudget(t *testing.T) {
	t.Run("1000 first requests", func(t *testing.T) {
		inBubble(t, func(s *service) {
			token := s.token()
			var wg sync.WaitGroup
			for range 1000 {
				wg.Go(func() {
					if _, err := s.v.Verify(ctx, token); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if n := s.issuer.Fetches(); n != 1 {
				t.Errorf("%d fetches", n)
			}
		})
	})
	for _, test := range []struct {
		name    string
		issued  time.Duration // from now
		want    error
		fetches [3]int // in a minute: of a good endpoint, a failing, a hanging one
	}{
		// What a token says of its time decides which refusal it gets, and for an old one
		// there is less to look up.
		{"unknown keys of new tokens", 0, logto.ErrUnavailable, [3]int{6, 9, 6}},
		{"unknown keys of new tokens, clocks apart", 29 * time.Second, logto.ErrUnavailable, [3]int{6, 9, 6}},
		{"unknown keys of old tokens", -time.Hour, logto.ErrInvalidToken, [3]int{1, 9, 6}},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(s *service) {
				s.verify(s.token(), nil, 0, 1)
				time.Sleep(time.Minute)
				var wg sync.WaitGroup
				defer wg.Wait()
				minute := func(want error, fetches int) {
					t.Helper()
					before := s.issuer.Fetches()
					for i := range 600 {
						token := s.issuer.Token(logtotest.Token{Header: map[string]any{"kid": fmt.Sprint("made up ", i)},
							Claims: map[string]any{"iat": time.Now().Add(test.issued).Unix()}})
						wg.Go(func() {
							if _, err := s.v.Verify(ctx, token); !errors.Is(err, want) {
								t.Error(err)
							}
						})
						time.Sleep(100 * time.Millisecond)
					}
					if n := s.issuer.Fetches() - before; n != fetches {
						t.Errorf("%d fetches, want %d", n, fetches)
					}
				}
				minute(test.want, test.fetches[0])
				// From a failing endpoint the key cache backs off, and proves nothing by it.
				time.Sleep(logto.ProofAge)
				s.issuer.Fail(logtotest.Status(500))
				minute(logto.ErrUnavailable, test.fetches[1])
				s.issuer.Fail(logtotest.Hang())
				minute(logto.ErrUnavailable, test.fetches[2])
			})
		})
	}
	// Who has no key set asks once a second, whatever it is told.
	for name, fault := range map[string]http.Handler{"failing": logtotest.Status(500), "hanging": logtotest.Hang(), "asking to be left alone": retryAfter(429, "300")} {
		t.Run("no key set, "+name, func(t *testing.T) {
			inBubble(t, func(s *service) {
				s.issuer.Fail(fault)
				for range 600 {
					go func() { _, _ = s.v.Verify(ctx, s.token()) }()
					time.Sleep(100 * time.Millisecond)
				}
				if n := s.issuer.Fetches(); n != 60 {
					t.Errorf("%d fetches in a minute", n)
				}
			})
		})
	}
	t.Run("10000 made-up keys from 64 goroutines", func(t *testing.T) {
		inBubble(t, func(s *service) {
			known := s.token()
			s.verify(known, nil, 0, 1)
			time.Sleep(logto.ProofAge)
			var wg sync.WaitGroup
			var n atomic.Int64
			for range 64 {
				wg.Go(func() {
					for n.Add(1) <= 10000 {
						// Nobody comes to look at the signature.
						header := strings.Replace(goodHeader(s.issuer), s.issuer.KeyID(), rand.Text(), 1)
						token := b64([]byte(header)) + "." + b64([]byte(goodPayload(s.issuer))) + "." + b64(make([]byte, 96))
						if _, err := s.v.Verify(ctx, token); !errors.Is(err, logto.ErrInvalidToken) {
							t.Error(err)
						}
					}
				})
			}
			wg.Wait()
			s.verify(known, nil, 0, 2)
		})
	})
	t.Run("bad signatures", func(t *testing.T) {
		inBubble(t, func(s *service) {
			bad := logtotest.BadSignature(s.token())
			for range 20 {
				s.verify(bad, logto.ErrInvalidToken, 0, 1)
				time.Sleep(20 * time.Second)
			}
		})
	})
}

// The pause between two fetches, on both sides, for both kinds of answer.
func TestPauses(t *testing.T) {
	inBubble(t, func(s *service) {
		s.verify(s.token(), nil, 0, 1)
		s.issuer.Rotate("ES384")
		s.verify(s.token(), nil, 0, 2) // the first unknown key ID is looked up at once
		s.issuer.Rotate("ES384")
		rotated := s.token()
		time.Sleep(logto.FetchPause - 1)
		s.verify(rotated, logto.ErrUnavailable, 0, 2)
		time.Sleep(time.Nanosecond)
		s.verify(rotated, nil, 0, 3)
	})
	inBubble(t, func(s *service) {
		s.issuer.Fail(logtotest.Status(500))
		token := s.token()
		s.verify(token, logto.ErrUnavailable, 0, 1)
		s.issuer.Fail(nil)
		time.Sleep(logto.RetryPause - 1)
		s.verify(token, logto.ErrUnavailable, 0, 1)
		time.Sleep(time.Nanosecond)
		s.verify(token, nil, 0, 2)
	})
}

// Promise 4: the first request more than a second after recovery is served, even
// if a fetch still hangs from before; and a client that leaves harms no other.
func TestPromise4Recovery(t *testing.T) {
	inBubble(t, func(s *service) {
		token := s.token()
		s.issuer.Fail(logtotest.Hang())
		impatient, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		defer cancel()
		start := time.Now()
		_, err := s.v.Verify(impatient, token)
		if !errors.Is(err, logto.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 300*time.Millisecond {
			t.Errorf("error %v after %v", err, time.Since(start))
		}
		s.issuer.Fail(nil)
		time.Sleep(logto.RetryPause)
		s.verify(token, nil, 0, 2)
	})
	t.Run("a client leaves", func(t *testing.T) {
		inBubble(t, func(s *service) {
			token, keySet := s.token(), s.issuer.KeySet()
			s.issuer.Fail(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				select {
				case <-time.After(3 * time.Second):
					_, _ = io.WriteString(w, keySet)
				case <-r.Context().Done():
				}
			}))
			first, cancel := context.WithCancel(ctx)
			var wg sync.WaitGroup
			wg.Go(func() { _, _ = s.v.Verify(first, token) })
			synctest.Wait()
			cancel()
			s.verify(token, nil, 3*time.Second, 1)
			wg.Wait()
		})
	})
	t.Run("after a month", func(t *testing.T) {
		inBubble(t, func(s *service) {
			token := s.token()
			s.verify(token, nil, 0, 1)
			s.issuer.Fail(logtotest.Status(502))
			time.Sleep(30 * 24 * time.Hour)
			s.verify(token, logto.ErrUnavailable, 0, 2)
			s.issuer.Fail(nil)
			time.Sleep(logto.RetryPause)
			s.verify(token, nil, 0, 3)
		})
	})
	t.Run("flapping", func(t *testing.T) {
		inBubble(t, func(s *service) {
			token := s.token()
			s.verify(token, nil, 0, 1)
			for i := range 100 {
				s.issuer.Fail(nil)
				if i%2 == 0 {
					s.issuer.Fail(logtotest.Status(502))
				}
				time.Sleep(15 * time.Minute)
				s.verify(token, nil, 0, i+2)
			}
		})
	})
}

// Promise 5: no goroutine outlives its fetch.
func TestPromise5NoGoroutines(t *testing.T) {
	issuer := logtotest.NewServer(t)
	token := issuer.Token(logtotest.Token{})
	before := runtime.NumGoroutine()
	for range 20 {
		if _, err := newVerifier(t, issuer.Config()).Verify(ctx, token); err != nil {
			t.Fatal(err)
		}
	}
	// What is left are the server's, which ends them when it hears of it.
	for range 500 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), before)
}

func TestRotation(t *testing.T) {
	inBubble(t, func(s *service) {
		first := s.token()
		s.verify(first, nil, 0, 1)
		s.issuer.Rotate("RS256") // EC to RSA
		time.Sleep(time.Minute)
		second := s.token()
		s.verify(second, nil, 0, 2)
		s.verify(first, nil, 0, 2)
		s.issuer.Rotate("ES256")
		time.Sleep(time.Minute)
		third := s.token()
		s.verify(third, nil, 0, 3)
		s.verify(first, logto.ErrInvalidToken, 0, 3) // dropped by the second rotation
		s.verify(second, nil, 0, 3)
		if log := s.log.String(); strings.Count(log, "key set changed") != 2 || strings.Count(log, `"logto: key set fetched"`) != 1 {
			t.Errorf("log:\n%s", log)
		}
	})
}

// Promise 3: a key that is gone from a good answer is dead at once.
func TestPromise3RemovedKey(t *testing.T) {
	inBubble(t, func(s *service) {
		first := s.token()
		s.verify(first, nil, 0, 1)
		s.issuer.Rotate("ES384")
		s.issuer.RemovePrevious()
		time.Sleep(time.Minute)
		if err := s.v.Refresh(ctx); err != nil {
			t.Fatal(err)
		}
		s.verify(first, logto.ErrInvalidToken, 0, 3) // the issuer's replicas may disagree
	})
	t.Run("another key by the same ID", func(t *testing.T) {
		inBubble(t, func(s *service) {
			other := logtotest.New(s.issuer.Endpoint())
			token := s.token()
			s.verify(token, nil, 0, 1)
			s.issuer.Fail(logtotest.Body("application/json", strings.Replace(other.KeySet(), other.KeyID(), s.issuer.KeyID(), 1)))
			time.Sleep(logto.FetchPause)
			if err := s.v.Refresh(ctx); err != nil {
				t.Fatal(err)
			}
			s.verify(token, logto.ErrInvalidToken, 0, 2)
			// Rolled back, it counts again.
			s.issuer.Fail(nil)
			time.Sleep(logto.FetchPause)
			if err := s.v.Refresh(ctx); err != nil {
				t.Fatal(err)
			}
			s.verify(token, nil, 0, 3)
		})
	})
}

// A machine that sleeps stops its monotonic clock; a wall clock may step.
func TestClocks(t *testing.T) {
	for _, test := range []struct {
		name    string
		by      time.Duration
		fail    http.Handler
		want    error
		fetches int
	}{
		{"slept an hour", time.Hour, nil, nil, 2},
		{"slept a day", 24 * time.Hour, nil, nil, 2},
		{"slept a day, endpoint down", 24 * time.Hour, logtotest.Status(500), logto.ErrUnavailable, 2},
		{"set back a day", -24 * time.Hour, logtotest.Status(500), nil, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(s *service) {
				token := s.token()
				s.verify(token, nil, 0, 1)
				s.v.SetWallClock(test.by)
				s.issuer.Fail(test.fail)
				s.verify(token, test.want, 0, test.fetches)
			})
		})
	}
	// Set back, the clock doesn't keep the key set young for ever.
	inBubble(t, func(s *service) {
		s.verify(s.token(), nil, 0, 1)
		s.v.SetWallClock(-48 * time.Hour)
		time.Sleep(logto.StaleAge)
		s.verify(s.token(), nil, 0, 2)
	})
}

func TestRefreshAndReady(t *testing.T) {
	inBubble(t, func(s *service) {
		s.issuer.Fail(logtotest.Status(503))
		if err := s.v.Ready(); !errors.Is(err, logto.ErrUnavailable) {
			t.Errorf("Ready before the first fetch: %v", err)
		}
		if err := s.v.Refresh(ctx); !errors.Is(err, logto.ErrUnavailable) || !strings.Contains(err.Error(), "503") {
			t.Errorf("Refresh: %v", err)
		}
		if err := s.v.Ready(); !errors.Is(err, logto.ErrUnavailable) || !strings.Contains(err.Error(), "503") {
			t.Errorf("Ready after a failure: %v", err)
		}
		s.issuer.Fail(nil)
		time.Sleep(logto.RetryPause)
		for range 3 { // the second and third wait for their turn
			if err := s.v.Refresh(ctx); err != nil {
				t.Errorf("Refresh: %v", err)
			}
		}
		s.issuer.Fail(logtotest.Hang())
		time.Sleep(logto.FetchPause)
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if err := s.v.Refresh(ctx); !errors.Is(err, logto.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Refresh of a hung endpoint: %v", err)
		}
		if err := s.v.Ready(); err != nil {
			t.Errorf("Ready in an outage: %v", err)
		}
		s.verify(s.token(), nil, 0, 5)
	})
}

// An unchanged key set is not sent again, and counts as fetched.
func TestConditionalRequest(t *testing.T) {
	inBubble(t, func(s *service) {
		var asked []string
		keySet, etag := s.issuer.KeySet(), `"v1"`
		s.issuer.Fail(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked = append(asked, r.Header.Get("If-None-Match"))
			w.Header().Set("ETag", etag)
			if r.Header.Get("If-None-Match") == etag {
				w.WriteHeader(304)
				return
			}
			_, _ = io.WriteString(w, keySet)
		}))
		token := s.token()
		for i := range 4 {
			s.verify(token, nil, 0, i+1)
			time.Sleep(logto.DeadAge - 1) // only an answer that counts lets it live on
		}
		etag = strings.Repeat("x", 1000) // too long to send back
		s.verify(token, nil, 0, 5)
		time.Sleep(logto.WaitAge)
		s.verify(token, nil, 0, 6)
		if got, want := fmt.Sprint(asked), `[ "v1" "v1" "v1" "v1" ]`; got != want {
			t.Errorf("If-None-Match %s, want %s", got, want)
		}
	})
}

// A 304 that nobody asked for is no key set.
func TestUnaskedNotModified(t *testing.T) {
	inBubble(t, func(s *service) {
		s.issuer.Fail(logtotest.Status(304))
		s.verify(s.token(), logto.ErrUnavailable, 0, 1)
	})
}

// Which keys are taken, beside a good one that must go on working.
func TestKeySelection(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	good := strings.TrimSuffix(strings.TrimPrefix(issuer.KeySet(), `{"keys":[`), "]}")
	b64int := func(n *big.Int) string { return b64(n.Bytes()) }

	rsaKey := func(bits int) *rsa.PrivateKey {
		k, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	t.Setenv("GODEBUG", "rsa1024min=0")
	strong, weak := rsaKey(2048), rsaKey(1024)
	ec, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := ec.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	x, y := b64(point[1:49]), b64(point[49:])
	ed, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaJWK := func(n *big.Int, e int64, more string) string {
		return fmt.Sprintf(`{"kty":"RSA","kid":"k","n":%q,"e":%q%s}`, b64int(n), b64int(big.NewInt(e)), more)
	}
	ecJWK := func(more string) string {
		return fmt.Sprintf(`{"kty":"EC","crv":"P-384","kid":"k","x":%q,"y":%q%s}`, x, y, more)
	}
	huge := new(big.Int).Lsh(big.NewInt(1), 8192)
	for _, test := range []struct {
		name, jwk string
		takenAs   string // the algorithms that the key may verify
	}{
		{"RSA without alg", rsaJWK(strong.N, 65537, ""), "RS256 PS256"},
		{"RSA for RS256", rsaJWK(strong.N, 65537, `,"alg":"RS256"`), "RS256"},
		{"RSA for PS256", rsaJWK(strong.N, 65537, `,"alg":"PS256","use":"sig","key_ops":["verify"]`), "PS256"},
		{"RSA for RS512", rsaJWK(strong.N, 65537, `,"alg":"RS512"`), ""},
		{"RSA for encryption", rsaJWK(strong.N, 65537, `,"alg":"RSA-OAEP"`), ""},
		{"RSA with an EC algorithm", rsaJWK(strong.N, 65537, `,"alg":"ES384"`), ""},
		{"RSA with alg null", rsaJWK(strong.N, 65537, `,"alg":null`), ""},
		{"weak RSA", rsaJWK(weak.N, 65537, ""), ""},
		{"even RSA modulus", rsaJWK(new(big.Int).Add(strong.N, big.NewInt(1)), 65537, ""), ""},
		{"huge RSA modulus", rsaJWK(huge.Add(huge, big.NewInt(1)), 65537, ""), ""},
		{"RSA exponent 1", rsaJWK(strong.N, 1, ""), ""},
		{"RSA exponent 2", rsaJWK(strong.N, 2, ""), ""},
		{"RSA exponent 65536", rsaJWK(strong.N, 65536, ""), ""},
		{"RSA exponent 3", rsaJWK(strong.N, 3, ""), "RS256 PS256"},
		{"RSA exponent of 32 bits", rsaJWK(strong.N, 1<<31+1, ""), ""},
		{"RSA exponent that overflows to 65537", fmt.Sprintf(`{"kty":"RSA","kid":"k","n":%q,"e":%q}`, b64int(strong.N), b64int(new(big.Int).Add(new(big.Int).Lsh(big.NewInt(1), 64), big.NewInt(65537)))), ""},
		{"RSA private", rsaJWK(strong.N, 65537, `,"d":"AQAB"`), ""},
		{"RSA with a prime", rsaJWK(strong.N, 65537, `,"p":"AQAB"`), ""},
		{"RSA without n", `{"kty":"RSA","kid":"k","e":"AQAB"}`, ""},
		{"RSA with n of no string", `{"kty":"RSA","kid":"k","e":"AQAB","n":1}`, ""},
		{"EC", ecJWK(""), "ES384"},
		{"EC, alg", ecJWK(`,"alg":"ES384","use":"sig"`), "ES384"},
		{"EC for another algorithm", ecJWK(`,"alg":"ES256"`), ""},
		{"EC for encryption", ecJWK(`,"use":"enc"`), ""},
		{"EC, use of no string", ecJWK(`,"use":["sig"]`), ""},
		{"EC to sign", ecJWK(`,"key_ops":["sign"]`), ""},
		{"EC, key_ops empty", ecJWK(`,"key_ops":[]`), ""},
		{"EC, key_ops a string", ecJWK(`,"key_ops":"verify"`), ""},
		{"EC, key_ops with a number", ecJWK(`,"key_ops":["verify",1]`), ""},
		{"EC, key_ops", ecJWK(`,"key_ops":["x","verify"]`), "ES384"},
		{"EC private", ecJWK(`,"d":"AQAB"`), ""},
		{"EC private, null", ecJWK(`,"d":null`), ""},
		{"EC twice named", ecJWK(`,"kid":"k"`), ""},
		{"EC off the curve", fmt.Sprintf(`{"kty":"EC","crv":"P-384","kid":"k","x":%q,"y":%q}`, x, x), ""},
		{"EC at infinity", `{"kty":"EC","crv":"P-384","kid":"k","x":"AA","y":"AA"}`, ""},
		{"EC of another curve", strings.Replace(ecJWK(""), "P-384", "P-256", 1), ""},
		{"EC of an unknown curve", strings.Replace(ecJWK(""), "P-384", "P-385", 1), ""},
		{"EC for secp256k1", strings.Replace(ecJWK(""), "P-384", "secp256k1", 1), ""},
		{"EC without a curve", strings.Replace(ecJWK(""), `"crv":"P-384",`, "", 1), ""},
		{"EC without y", fmt.Sprintf(`{"kty":"EC","crv":"P-384","kid":"k","x":%q}`, x), ""},
		{"EC deeper than a token may be", ecJWK(`,"x5c":` + strings.Repeat("[", 100) + strings.Repeat("]", 100)), ""},
		{"private, and public by the same ID", ecJWK(`,"d":"AQAB"`) + "," + ecJWK(""), ""},
		{"public, and private by the same ID", ecJWK("") + "," + ecJWK(`,"d":"AQAB"`), ""},
		{"RSA with alg and without", rsaJWK(strong.N, 65537, "") + "," + rsaJWK(strong.N, 65537, `,"alg":"RS256"`), "RS256"},
		{"RSA without alg and with", rsaJWK(strong.N, 65537, `,"alg":"RS256"`) + "," + rsaJWK(strong.N, 65537, ""), "RS256"},
		{"kid missing", strings.Replace(ecJWK(""), `"kid":"k",`, "", 1), ""},
		{"kid empty", strings.Replace(ecJWK(""), `"k"`, `""`, 1), ""},
		{"kid a number", strings.Replace(ecJWK(""), `"k"`, `1`, 1), ""},
		{"kid too long", strings.Replace(ecJWK(""), `"k"`, `"`+strings.Repeat("k", logto.MaxKeyID+1)+`"`, 1), ""},
		{"same ID, other key", ecJWK("") + "," + rsaJWK(strong.N, 65537, ""), ""},
		{"same ID, other key, three times", ecJWK("") + "," + rsaJWK(strong.N, 65537, "") + "," + ecJWK(""), ""},
		{"same key twice", ecJWK("") + "," + ecJWK(`,"use":"sig"`), "ES384"},
		{"same ID, an unusable key", ecJWK("") + `,{"kty":"X","kid":"k"}`, "ES384"},
		{"symmetric", `{"kty":"oct","kid":"k","k":"` + b64(make([]byte, 64)) + `"}`, ""},
		{"symmetric with alg", `{"kty":"oct","kid":"k","alg":"HS256","k":"AAAA"}`, ""},
		{"Ed25519", fmt.Sprintf(`{"kty":"OKP","crv":"Ed25519","kid":"k","x":%q}`, b64(ed)), ""},
		{"a type of the future", `{"kty":"AKP","alg":"ML-DSA-65","kid":"k","pub":"AAAA"}`, ""},
		{"kty missing", `{"kid":"k"}`, ""},
		{"no object", `["k"]`, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := newVerifier(t, withKeySet(issuer, `{"keys":[`+test.jwk+","+good+`]}`))
			if _, err := v.Verify(ctx, issuer.Token(logtotest.Token{})); err != nil {
				t.Fatalf("the good key beside it: %v", err)
			}
			var taken []string
			for _, algorithm := range []string{"ES256", "ES384", "ES512", "RS256", "PS256"} {
				_, err := v.Verify(ctx, issuer.Token(logtotest.Token{Header: map[string]any{"kid": "k", "alg": algorithm}}))
				// Where the key is known and for this algorithm, the signature is wrong.
				if err != nil && strings.Contains(err.Error(), "signature") {
					taken = append(taken, algorithm)
				}
			}
			want := strings.Fields(test.takenAs)
			if len(want) == 2 {
				want = []string{"RS256", "PS256"}
			}
			if fmt.Sprint(taken) != fmt.Sprint(want) {
				t.Errorf("taken for %v, want %v", taken, want)
			}
		})
	}
}

// PS256 has one length of salt (RFC 7518 section 3.5), and RSA signatures the
// length of the modulus.
func TestRSASignatures(t *testing.T) {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	issuer := logtotest.NewIssuer(t)
	v := newVerifier(t, withKeySet(issuer, fmt.Sprintf(`{"keys":[{"kty":"RSA","kid":"k","n":%q,"e":"AQAB"}]}`, b64(k.N.Bytes()))))
	for _, test := range []struct {
		name, algorithm string
		sign            func(input []byte) []byte
		want            error
	}{
		{"RS256", "RS256", func(b []byte) []byte { return must(rsa.SignPKCS1v15(nil, k, 5, sum256(b))) }, nil},
		{"RS256, a zero before", "RS256", func(b []byte) []byte { return append([]byte{0}, must(rsa.SignPKCS1v15(nil, k, 5, sum256(b)))...) }, logto.ErrInvalidToken},
		{"PS256", "PS256", func(b []byte) []byte {
			return must(rsa.SignPSS(rand.Reader, k, 5, sum256(b), &rsa.PSSOptions{SaltLength: 32}))
		}, nil},
		{"PS256, short salt", "PS256", func(b []byte) []byte {
			return must(rsa.SignPSS(rand.Reader, k, 5, sum256(b), &rsa.PSSOptions{SaltLength: 20}))
		}, logto.ErrInvalidToken},
		{"PS256, no salt", "PS256", func(b []byte) []byte {
			return must(rsa.SignPSS(rand.Reader, k, 5, sum256(b), &rsa.PSSOptions{SaltLength: 0}))
		}, logto.ErrInvalidToken},
		{"PS256 as RS256", "RS256", func(b []byte) []byte {
			return must(rsa.SignPSS(rand.Reader, k, 5, sum256(b), &rsa.PSSOptions{SaltLength: 32}))
		}, logto.ErrInvalidToken},
	} {
		t.Run(test.name, func(t *testing.T) {
			input := b64([]byte(`{"alg":"`+test.algorithm+`","typ":"at+jwt","kid":"k"}`)) + "." + b64([]byte(goodPayload(issuer)))
			if _, err := v.Verify(ctx, input+"."+b64(test.sign([]byte(input)))); !errors.Is(err, test.want) {
				t.Errorf("error %v, want %v", err, test.want)
			}
		})
	}
}

func withKeySet(issuer *logtotest.Issuer, keySet string) logto.Config {
	cfg := issuer.Config()
	cfg.Logger = capture
	cfg.HTTPClient = &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(keySet))}, nil
	})}
	return cfg
}

// A real server: what Go's HTTP client does is part of what is promised.
func TestOverTheNetwork(t *testing.T) {
	issuer := logtotest.NewServer(t)
	other := logtotest.NewServer(t) // has other keys; a redirect to it must not be followed
	keySet := issuer.KeySet()
	compressed := func(body string) http.Handler {
		var buf bytes.Buffer
		z := gzip.NewWriter(&buf)
		_, _ = io.WriteString(z, body)
		_ = z.Close()
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
				http.Error(w, "no gzip asked for", 500)
				return
			}
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(buf.Bytes())
		})
	}
	redirect := func(to string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.RawQuery != "" {
				_, _ = io.WriteString(w, keySet)
				return
			}
			http.Redirect(w, r, to, http.StatusFound)
		})
	}
	unreachable := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("reached") })
	evil := httptest.NewServer(unreachable)
	defer evil.Close()
	host := strings.TrimPrefix(issuer.Endpoint(), "http://")
	for _, test := range []struct {
		name   string
		answer http.Handler
		want   error
	}{
		{"good", nil, nil},
		{"gzip", compressed(keySet), nil},
		{"largest", logtotest.Body("", keySet+strings.Repeat(" ", logto.MaxBody-len(keySet))), nil},
		{"too large", logtotest.Body("", keySet+strings.Repeat(" ", logto.MaxBody+1-len(keySet))), logto.ErrUnavailable},
		{"gzip bomb", compressed(keySet + strings.Repeat(" ", 20<<20)), logto.ErrUnavailable},
		{"broken gzip", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = io.WriteString(w, keySet)
		}), logto.ErrUnavailable},
		{"broken connection", logtotest.Cut(), logto.ErrUnavailable},
		{"reset", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }), logto.ErrUnavailable},
		{"huge header", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X", strings.Repeat("x", 1<<20))
			_, _ = io.WriteString(w, keySet)
		}), logto.ErrUnavailable},
		{"redirect on the host", redirect("/oidc/jwks?x"), nil},
		{"redirect in a loop", redirect("/oidc/jwks"), logto.ErrUnavailable},
		{"redirect to another port", redirect(evil.URL + "/oidc/jwks"), logto.ErrUnavailable},
		{"redirect to another host", redirect(strings.Replace(evil.URL, "127.0.0.1", "localhost", 1)), logto.ErrUnavailable},
		{"redirect to a link-local address", redirect("http://169.254.169.254/latest/meta-data"), logto.ErrUnavailable},
		{"redirect to a file", redirect("file:///etc/passwd"), logto.ErrUnavailable},
		{"redirect to another scheme", redirect("ftp://" + host + "/"), logto.ErrUnavailable},
		{"other keys", logtotest.Body("", other.KeySet()), logto.ErrInvalidToken},
	} {
		for _, client := range []*http.Client{nil, {CheckRedirect: func(*http.Request, []*http.Request) error { return nil }}} {
			t.Run(fmt.Sprint(test.name, ", own client ", client != nil), func(t *testing.T) {
				issuer.Fail(test.answer)
				cfg := issuer.Config()
				cfg.HTTPClient = client
				cfg.Logger = capture
				if test.name == "huge header" && client != nil {
					t.Skip("bounded by the client's own transport")
				}
				if _, err := newVerifier(t, cfg).Verify(ctx, issuer.Token(logtotest.Token{Claims: aged()})); !errors.Is(err, test.want) {
					t.Errorf("error %v, want %v", err, test.want)
				}
			})
		}
	}

	t.Run("refused connection", func(t *testing.T) {
		gone := httptest.NewServer(nil)
		gone.Close()
		checkUnavailable(t, logto.Config{Endpoint: gone.URL}, issuer)
	})
	t.Run("no such host", func(t *testing.T) {
		checkUnavailable(t, logto.Config{Endpoint: "https://logto.invalid"}, issuer)
	})
	t.Run("unknown certificate", func(t *testing.T) {
		server := httptest.NewTLSServer(issuer)
		server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
		defer server.Close()
		checkUnavailable(t, logto.Config{Endpoint: server.URL}, issuer)
	})
	t.Run("no TLS", func(t *testing.T) {
		checkUnavailable(t, logto.Config{Endpoint: strings.Replace(issuer.Endpoint(), "http", "https", 1)}, issuer)
	})
	t.Run("from https to http", func(t *testing.T) {
		plain := httptest.NewServer(unreachable)
		defer plain.Close()
		server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://"+r.Host+"/oidc/jwks", http.StatusFound)
		}))
		defer server.Close()
		checkUnavailable(t, logto.Config{Endpoint: server.URL, HTTPClient: server.Client()}, issuer)
	})
}

// Redirects that would lead to a good key set, were they followed.
func TestRedirects(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	keySet := issuer.KeySet()
	for _, test := range []struct {
		name, from string
		path       []string // of addresses, the last one good
		want       error
		requests   int
	}{
		{"to a path", "https://a.test/1", []string{"https://a.test/2"}, nil, 2},
		{"three times", "https://a.test/1", []string{"https://a.test/2", "https://a.test/3", "https://a.test/4"}, nil, 4},
		{"four times", "https://a.test/1", []string{"https://a.test/2", "https://a.test/3", "https://a.test/4", "https://a.test/5"}, logto.ErrUnavailable, 4},
		{"from https to http", "https://a.test/1", []string{"http://a.test/2"}, logto.ErrUnavailable, 1},
		{"from http to https", "http://localhost/1", []string{"https://localhost/2"}, nil, 2},
		{"from http to https and back", "http://localhost/1", []string{"https://localhost/2", "http://localhost/3"}, logto.ErrUnavailable, 2},
		{"to another host", "https://a.test/1", []string{"https://b.test/1"}, logto.ErrUnavailable, 1},
		{"to a part of the host", "https://a.test/1", []string{"https://x.a.test/1"}, logto.ErrUnavailable, 1},
		{"to another port", "https://a.test/1", []string{"https://a.test:8443/1"}, logto.ErrUnavailable, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			requests := 0
			cfg := withKeySet(issuer, keySet)
			cfg.JWKSURL = test.from
			cfg.HTTPClient = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				requests++
				if requests > len(test.path) {
					return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(keySet)), Request: r}, nil
				}
				return &http.Response{StatusCode: 302, Header: http.Header{"Location": {test.path[requests-1]}}, Body: http.NoBody, Request: r}, nil
			})}
			if _, err := newVerifier(t, cfg).Verify(ctx, issuer.Token(logtotest.Token{Claims: aged()})); !errors.Is(err, test.want) {
				t.Errorf("error %v, want %v", err, test.want)
			}
			if requests != test.requests {
				t.Errorf("%d requests, want %d", requests, test.requests)
			}
		})
	}
}

func checkUnavailable(t *testing.T, cfg logto.Config, issuer *logtotest.Issuer) {
	t.Helper()
	cfg.Audiences = []string{logtotest.Audience}
	cfg.Issuers = []string{issuer.Endpoint() + "/oidc"}
	cfg.Logger = capture
	if _, err := newVerifier(t, cfg).Verify(ctx, issuer.Token(logtotest.Token{})); !errors.Is(err, logto.ErrUnavailable) {
		t.Errorf("error %v, want ErrUnavailable", err)
	}
}

// Through the middleware an outage is a 503: it logs nobody out.
func TestUnavailableIs503(t *testing.T) {
	inBubble(t, func(s *service) {
		s.issuer.Fail(logtotest.Status(500))
		h := logto.Require(s.v)(http.NotFoundHandler())
		checkAnswer(t, serve(h, s.token()), 503, noChallenge, "")
		// What needs no key for it is refused as ever.
		checkAnswer(t, serve(h, s.issuer.OpaqueToken()), 401, invalidToken, s.issuer.Endpoint()+"/oidc")
		checkAnswer(t, serve(h, s.issuer.Token(logtotest.Token{ExpiresIn: -time.Hour})), 401, expired, s.issuer.Endpoint()+"/oidc")
		// A client that left while it waited, too.
		time.Sleep(logto.RetryPause)
		s.issuer.Fail(logtotest.Hang())
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Authorization", "Bearer "+s.token())
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r.WithContext(ctx))
		checkAnswer(t, w, 503, noChallenge, "")
	})
}

// A panic in a client's transport is a failed fetch: it must not end the process.
func TestTransportPanics(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	cfg := issuer.Config()
	cfg.Logger = capture
	cfg.HTTPClient = &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) { panic("theirs") })}
	if _, err := newVerifier(t, cfg).Verify(ctx, issuer.Token(logtotest.Token{})); !errors.Is(err, logto.ErrUnavailable) || !strings.Contains(err.Error(), "theirs") {
		t.Errorf("error %v", err)
	}
}

// A token that expires while its key is waited for has expired.
func TestExpiryWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := logtotest.NewIssuer(t)
		cfg := issuer.Config()
		cfg.Logger = capture
		cfg.Leeway = -1
		v := newVerifier(t, cfg)
		issuer.Fail(slowly(4*time.Second, issuer))
		if _, err := v.Verify(ctx, issuer.Token(logtotest.Token{ExpiresIn: 3 * time.Second})); !errors.Is(err, logto.ErrExpired) {
			t.Errorf("first time: error %v", err)
		}
		// The same for one that is remembered.
		token := issuer.Token(logtotest.Token{ExpiresIn: logto.WaitAge + time.Second})
		if _, err := v.Verify(ctx, token); err != nil {
			t.Fatal(err)
		}
		time.Sleep(logto.WaitAge)
		if _, err := v.Verify(ctx, token); !errors.Is(err, logto.ErrExpired) {
			t.Errorf("remembered: error %v", err)
		}
		time.Sleep(logto.FetchTime)
	})
}

// In an outage the log tells of its beginning and its end, not of every request.
func TestKeySetLog(t *testing.T) {
	inBubble(t, func(s *service) {
		s.issuer.Fail(logtotest.Body("text/html", "<html>"))
		token := s.token()
		for range 150 {
			_, _ = s.v.Verify(ctx, token)
			time.Sleep(logto.RetryPause)
		}
		s.issuer.Fail(nil)
		s.verify(token, nil, 0, 151)
		log := s.log.String()
		for text, want := range map[string]int{
			"key set not fetched": 2, "is /oidc missing": 2, "failures=1 ": 1, "failures=101 ": 1,
			"key set fetched again": 1, "failures=150": 1, "key set changed": 0, `"logto: key set fetched"`: 1,
		} {
			if n := strings.Count(log, text); n != want {
				t.Errorf("%q %d times, want %d, in\n%s", text, n, want, log)
			}
		}
		// Afterwards, the age of what is served.
		s.issuer.Fail(logtotest.Body("application/json", `{"keys":[{"kty":"oct","kid":"\n","k":"c2VjcmV0"}]}`))
		time.Sleep(logto.StaleAge)
		s.verify(token, nil, 0, 152)
		if log := s.log.String(); !strings.Contains(log, "age_of_last_good=10m0s") || !strings.Contains(log, "no usable key") || strings.Contains(log, "c2VjcmV0") {
			t.Errorf("log:\n%s", log)
		}
	})
	t.Run("what the endpoint sends is cut", func(t *testing.T) {
		inBubble(t, func(s *service) {
			s.issuer.Fail(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "https://b.test/"+strings.Repeat("x", 50000), http.StatusFound)
			}))
			h := logto.Require(s.v)(http.NotFoundHandler())
			for range 10 {
				serve(h, s.token())
			}
			if n := len(s.log.String()); n > 10000 {
				t.Errorf("the log has %d bytes", n)
			}
		})
	})
	t.Run("what stays is told once", func(t *testing.T) {
		inBubble(t, func(s *service) {
			var set map[string][]map[string]any
			if err := json.Unmarshal([]byte(s.issuer.KeySet()), &set); err != nil {
				t.Fatal(err)
			}
			for i := range 12 { // pairs of different keys with one ID
				id := fmt.Sprint("twice-", i%6)
				key := maps.Clone(set["keys"][0])
				key["kid"] = id
				if i >= 6 {
					var other map[string][]map[string]any
					if err := json.Unmarshal([]byte(logtotest.New("https://other.test").KeySet()), &other); err != nil {
						t.Fatal(err)
					}
					key = other["keys"][0]
					key["kid"] = id
				}
				set["keys"] = append(set["keys"], key)
			}
			s.issuer.Fail(logtotest.Body("", string(must(json.Marshal(set)))))
			for i := range 10 {
				s.verify(s.token(), nil, 0, i+1)
				time.Sleep(logto.StaleAge)
			}
			if log := s.log.String(); strings.Count(log, "key ignored") != 6 {
				t.Errorf("log:\n%s", log)
			}
		})
	})
	t.Run("ignored keys", func(t *testing.T) {
		inBubble(t, func(s *service) {
			var set map[string][]any
			if err := json.Unmarshal([]byte(s.issuer.KeySet()), &set); err != nil {
				t.Fatal(err)
			}
			for i := range 50 {
				set["keys"] = append(set["keys"], map[string]any{"kty": "OKP", "kid": fmt.Sprint("ignored-", i)})
			}
			b, _ := json.Marshal(set)
			s.issuer.Fail(logtotest.Body("", string(b)))
			s.verify(s.token(), nil, 0, 1)
			if log := s.log.String(); strings.Count(log, "key ignored") != 11 || !strings.Contains(log, "and more") || !strings.Contains(log, "ignored-0") {
				t.Errorf("log:\n%s", log)
			}
		})
	})
}
