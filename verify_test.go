package logto_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/logtotest"
)

// Whoever waited passes the verdict before the answer: a token that was good when it
// queued for its signature check, and isn't when its turn comes, is refused. So is one
// whose signature another request has verified meanwhile.
func TestVerdictAfterQueueing(t *testing.T) {
	for _, test := range []struct {
		name  string
		wait  func(s *service, other string)
		want  error
		cause string
	}{
		{"nothing happened", func(*service, string) { time.Sleep(time.Second) }, nil, ""},
		{"it expired", func(*service, string) { time.Sleep(10*time.Minute + 30*time.Second) }, logto.ErrExpired, "expired"},
		{"its key was removed", func(s *service, other string) {
			time.Sleep(logto.StaleAge - time.Second)
			s.issuer.Rotate("ES384")
			s.issuer.RemovePrevious()
			time.Sleep(time.Second)
			s.verify(other, nil, 0, 2) // behind this one, the key set is fetched
		}, logto.ErrInvalidToken, "unknown_key"},
	} {
		for _, meanwhile := range []bool{false, true} {
			t.Run(test.name, func(t *testing.T) {
				inBubble(t, func(s *service) {
					other := s.token()
					s.verify(other, nil, 0, 1)
					token := s.issuer.Token(logtotest.Token{User: "late", ExpiresIn: 10 * time.Minute})
					s.verify(token, nil, 0, 1)
					remember := s.v.Forget(token)
					free := s.v.OccupyChecks()
					done := make(chan error)
					go func() {
						_, err := s.v.Verify(ctx, token)
						done <- err
					}()
					synctest.Wait()
					test.wait(s, other)
					synctest.Wait()
					if meanwhile {
						remember()
					}
					free()
					if err := <-done; !errors.Is(err, test.want) || logto.Reason(err) != test.cause {
						t.Errorf("verified meanwhile %v: error %v, want %v", meanwhile, err, test.want)
					}
				})
			})
		}
	}
}

// A handler between two Requires may take its time: the verdict is asked again.
func TestVerdictBelowRequire(t *testing.T) {
	for _, test := range []struct {
		name      string
		wait      func(s *service)
		status    int
		challenge string
	}{
		{"nothing happened", func(*service) {}, 200, ""},
		{"it expired", func(*service) { time.Sleep(10*time.Minute + 30*time.Second) }, 401, expired},
		{"its key was removed", func(s *service) {
			s.issuer.Rotate("ES384")
			s.issuer.RemovePrevious()
			time.Sleep(logto.FetchPause)
			if err := s.v.Refresh(ctx); err != nil {
				s.Error(err)
			}
		}, 401, invalidToken},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(s *service) {
				inner := logto.Require(s.v)(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200) }))
				h := logto.Require(s.v)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					test.wait(s)
					inner.ServeHTTP(w, r)
				}))
				r := httptest.NewRequest("GET", "/", nil)
				r.Header.Set("Authorization", "Bearer "+s.issuer.Token(logtotest.Token{ExpiresIn: 10 * time.Minute}))
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				if test.status == 200 {
					if w.Code != 200 {
						t.Errorf("status %d", w.Code)
					}
					return
				}
				checkAnswer(t, w, test.status, test.challenge, s.issuer.Endpoint()+"/oidc")
			})
		})
	}
}

// A token that has expired is refused at once, whatever state the key set is in.
func TestExpiredWaitsForNoKey(t *testing.T) {
	inBubble(t, func(s *service) {
		remembered := s.issuer.Token(logtotest.Token{ExpiresIn: 10 * time.Minute})
		s.verify(remembered, nil, 0, 1)
		s.issuer.Fail(logtotest.Hang())
		time.Sleep(logto.DeadAge)
		s.verify(remembered, logto.ErrExpired, 0, 1)
		s.verify(s.issuer.Token(logtotest.Token{ExpiresIn: -time.Minute}), logto.ErrExpired, 0, 1)
	})
}

// Whoever leaves while it waits has a reason of its own, which is no outage's: it is
// quiet, for strangers can do that as they like. A deadline is no client that left. The
// end of the wait says nothing of what was waited for; what is known by then stands.
func TestLeavingWhileWaiting(t *testing.T) {
	waits := map[string]func(s *service) (token string){
		"for the first key set": func(s *service) string { s.issuer.Fail(logtotest.Hang()); return s.token() },
		"for an unknown key": func(s *service) string {
			s.verify(s.token(), nil, 0, 1)
			s.issuer.Fail(logtotest.Hang())
			time.Sleep(logto.FetchPause)
			return logtotest.New(s.issuer.Endpoint()).Token(logtotest.Token{})
		},
		"for a key set after a day": func(s *service) string {
			token := s.token()
			s.verify(token, nil, 0, 1)
			s.issuer.Fail(logtotest.Hang())
			time.Sleep(logto.DeadAge)
			return token
		},
		"for a signature check": func(s *service) string {
			s.verify(s.token(), nil, 0, 1)
			s.v.OccupyChecks()
			return s.issuer.Token(logtotest.Token{User: "late"})
		},
	}
	shutdown := errors.New("shutting down")
	for _, test := range []struct {
		name, reason string
		context      func() (context.Context, context.CancelFunc)
		is           []error
		level        string
	}{
		{"the client left", "canceled", func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(500*time.Millisecond, cancel)
			return ctx, cancel
		}, []error{context.Canceled}, "DEBUG"},
		{"with a cause", "canceled", func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancelCause(ctx)
			time.AfterFunc(500*time.Millisecond, func() { cancel(shutdown) })
			return ctx, func() { cancel(nil) }
		}, []error{context.Canceled, shutdown}, "DEBUG"},
		{"deadline", "deadline_exceeded", func() (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 500*time.Millisecond)
		}, []error{context.DeadlineExceeded}, "INFO"},
		{"deadline with a cause", "deadline_exceeded", func() (context.Context, context.CancelFunc) {
			return context.WithTimeoutCause(ctx, 500*time.Millisecond, shutdown)
		}, []error{context.DeadlineExceeded, shutdown}, "INFO"},
	} {
		for where, wait := range waits {
			t.Run(test.name+" "+where, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := &service{T: t, issuer: logtotest.NewIssuer(t), log: &logBuffer{}}
					seen := &events{}
					cfg := s.issuer.Config()
					cfg.Logger = slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
					cfg.Observer = seen.observe
					s.v = newVerifier(t, cfg)
					token := wait(s)
					ctx, cancel := test.context()
					defer cancel()
					start, r, w := time.Now(), httptest.NewRequest("GET", "/", nil).WithContext(ctx), httptest.NewRecorder()
					r.Header.Set("Authorization", "Bearer "+token)
					logto.Require(s.v)(http.NotFoundHandler()).ServeHTTP(w, r)
					if d := time.Since(start); d != 500*time.Millisecond {
						t.Errorf("took %v", d)
					}
					checkAnswer(t, w, 503, noChallenge, "")
					all := seen.take()
					err := all[len(all)-1].Err
					for _, want := range append(test.is, logto.ErrUnavailable) {
						if !errors.Is(err, want) {
							t.Errorf("error %v is not %v", err, want)
						}
					}
					if want := "level=" + test.level + " msg=\"logto: request refused\" reason=" + test.reason + " "; !strings.Contains(s.log.String(), want) || all[len(all)-1].Reason != test.reason {
						t.Errorf("no %q in\n%s", want, s.log)
					}
					time.Sleep(logto.FetchTime)
				})
			})
		}
	}
	t.Run("Refresh", func(t *testing.T) {
		inBubble(t, func(s *service) {
			s.issuer.Fail(logtotest.Hang())
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			if err := s.v.Refresh(ctx); logto.Reason(err) != "deadline_exceeded" || !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, logto.ErrUnavailable) {
				t.Errorf("error %v", err)
			}
			// A fetch's own time-out is one of Logto's.
			if err := s.v.Refresh(context.Background()); logto.Reason(err) != "keys_unavailable" || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error %v", err)
			}
		})
	})
	// Whoever left before it had to wait gets what is known.
	inBubble(t, func(s *service) {
		s.verify(s.token(), nil, 0, 1)
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		for token, reason := range map[string]string{
			s.token(): "", logtotest.BadSignature(s.token()): "signature",
		} {
			if _, err := s.v.Verify(ctx, token); logto.Reason(err) != reason {
				t.Errorf("error %v, want %q", err, reason)
			}
		}
	})
}

// The queue of signature checks is bounded: who doesn't fit is answered at once, and
// whoever fits has its turn. The first 1000 requests fit on every machine.
func TestQueueIsBounded(t *testing.T) {
	for cpus, most := range map[int]int{1: 1024, 3: 1536} {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cpus))
		inBubble(t, func(s *service) {
			token, fresh := s.token(), s.issuer.Token(logtotest.Token{User: "fresh"})
			s.verify(token, nil, 0, 1)
			free := s.v.OccupyChecks()
			forged := logtotest.BadSignature(fresh)
			done := make(chan error, most)
			for range most {
				go func() {
					_, err := s.v.Verify(ctx, forged)
					done <- err
				}()
			}
			synctest.Wait()
			if len(done) > 0 {
				t.Fatalf("%d of %d did not wait: %v", len(done), most, <-done)
			}
			checkAnswer(t, serve(logto.Require(s.v)(http.NotFoundHandler()), fresh), 503, noChallenge, "")
			if log := s.log.String(); !strings.Contains(log, "level=INFO msg=\"logto: request refused\" reason=overload ") {
				t.Errorf("log\n%s", log)
			}
			s.verify(fresh, logto.ErrUnavailable, 0, 1)
			s.verify(token, nil, 0, 1) // remembered
			free()
			for range most {
				if err := <-done; logto.Reason(err) != "signature" {
					t.Errorf("error %v", err)
				}
			}
			s.verify(fresh, nil, 0, 1)
			if n := s.v.Queued(); n != 0 {
				t.Errorf("%d wait", n)
			}
		})
	}
}

// Where the queue is full a large token isn't read: that would take the place of others.
func TestLargeTokenAndFullQueue(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	inBubble(t, func(s *service) {
		s.verify(s.token(), nil, 0, 1)
		free := s.v.OccupyChecks()
		forged := logtotest.BadSignature(s.issuer.Token(logtotest.Token{User: "fresh"}))
		var wg sync.WaitGroup
		for range 1024 {
			wg.Go(func() { _, _ = s.v.Verify(ctx, forged) })
		}
		synctest.Wait()
		large := s.issuer.Token(logtotest.Token{Claims: map[string]any{"aud": "https://b.test", "x": strings.Repeat("x", 2000)}})
		if _, err := s.v.Verify(ctx, large); logto.Reason(err) != "overload" {
			t.Errorf("error %v, want overload", err)
		}
		for size, reason := range map[int]string{2048: "malformed", 2049: "overload"} {
			if _, err := s.v.Verify(ctx, unsigned(goodHeader(s.issuer), "x", size)); logto.Reason(err) != reason {
				t.Errorf("junk of %d bytes: error %v, want %s", size, err, reason)
			}
		}
		free()
		wg.Wait()
		if _, err := s.v.Verify(ctx, large); logto.Reason(err) != "audience" {
			t.Errorf("error %v, want audience", err)
		}
	})
}

// A context that has ended refuses nothing that needn't be waited for.
func TestEndedContext(t *testing.T) {
	inBubble(t, func(s *service) {
		token := s.token()
		s.verify(token, nil, 0, 1)
		gone, leave := context.WithCancel(ctx)
		leave()
		for name, test := range map[string]struct{ token, reason string }{
			"remembered":      {token, ""},
			"new":             {s.issuer.Token(logtotest.Token{User: "new"}), ""},
			"unknown key":     {s.issuer.Token(logtotest.Token{Claims: aged(), Header: map[string]any{"kid": "x"}}), "unknown_key"},
			"wrong signature": {logtotest.BadSignature(s.issuer.Token(logtotest.Token{User: "other"})), "signature"},
		} {
			if _, err := s.v.Verify(gone, test.token); logto.Reason(err) != test.reason || (err == nil) != (test.reason == "") {
				t.Errorf("%s: error %v, want %q", name, err, test.reason)
			}
		}
	})
}

// Who leaves the queue makes room.
func TestLeavingTheQueue(t *testing.T) {
	inBubble(t, func(s *service) {
		s.verify(s.token(), nil, 0, 1)
		free := s.v.OccupyChecks()
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		forged := logtotest.BadSignature(s.token())
		var wg sync.WaitGroup
		for range 3000 {
			wg.Go(func() { _, _ = s.v.Verify(ctx, forged) })
		}
		wg.Wait()
		if n := s.v.Queued(); n != 0 {
			t.Errorf("%d wait", n)
		}
		free()
		s.verify(s.issuer.Token(logtotest.Token{User: "next"}), nil, 0, 1)
	})
}

// unsigned is a token of the given size in bytes, with white space behind its header and its
// payload and a signature of zeros.
func unsigned(header, payload string, size int) string {
	for ; ; header += " " {
		rest := size - len(b64([]byte(header))) - len("..") - 128
		if rest%4 == 1 { // no base64 has such a length
			continue
		}
		payload += strings.Repeat(" ", rest*3/4-len(payload))
		return b64([]byte(header)) + "." + b64([]byte(payload)) + "." + b64(make([]byte, 96))
	}
}

// Of a large token whose key is published nothing is read before the signature: whatever
// stands in it, it is the signature that refuses. A small one is told what is wrong with it.
func TestSignatureOfLargeTokenFirst(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	v := newVerifier(t, issuer.Config())
	if err := v.Refresh(ctx); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ payload, reason string }{
		"no JSON":          {"x", "malformed"},
		"no claims":        {"{}", "malformed"},
		"another issuer":   {strings.Replace(goodPayload(issuer), issuer.Endpoint(), "https://evil.test", 1), "issuer"},
		"another audience": {strings.Replace(goodPayload(issuer), logtotest.Audience, "https://evil.test", 1), "audience"},
		"expired":          {strings.Replace(goodPayload(issuer), `"exp":`, `"exp":1,"x":`, 1), "expired"},
		"good":             {goodPayload(issuer), "signature"},
	} {
		for size, want := range map[int]string{2048: test.reason, 2049: "signature", 16 << 10: "signature"} {
			token := unsigned(goodHeader(issuer), test.payload, size)
			if _, err := v.Verify(ctx, token); logto.Reason(err) != want || len(token) != size {
				t.Errorf("%s, %d bytes: error %v, want %s", name, len(token), err, want)
			}
		}
	}
}

// junk is a large token by a key that nobody has published, and no JSON.
func (s *service) junk() string {
	return unsigned(strings.Replace(goodHeader(s.issuer), s.issuer.KeyID(), "nobody's", 1), "x", 16<<10)
}

// flood sends junk until no more of it is read in this second, which begins now.
func (s *service) flood() {
	s.Helper()
	time.Sleep(time.Second)
	for i := range 100 {
		if _, err := s.v.Verify(ctx, s.junk()); logto.Reason(err) != "malformed" {
			s.Fatalf("junk %d: error %v", i, err)
		}
	}
	if _, err := s.v.Verify(ctx, s.junk()); !errors.Is(err, logto.ErrUnavailable) {
		s.Fatalf("junk after that: error %v", err)
	}
}

// Of large tokens by unknown keys so many are read in a second. That refuses nobody whose key
// is known, and has the others' keys looked for.
func TestFloodOfLargeTokens(t *testing.T) {
	t.Run("told apart", func(t *testing.T) {
		bubble(t, large, func(s *service) {
			remembered := s.token()
			s.verify(remembered, nil, 0, 1)
			s.flood()
			fetches := s.issuer.Fetches()
			_, err := s.v.Verify(ctx, s.junk())
			if logto.Reason(err) != "key_not_yet_known" || !strings.Contains(err.Error(), "over 2048 bytes") {
				t.Errorf("error %v", err)
			}
			if retry := logto.AnswerTo(httptest.NewRequest("GET", "/", nil), err).Header.Get("Retry-After"); retry != "10" {
				t.Errorf("Retry-After %s", retry)
			}
			s.verify(remembered, nil, 0, fetches)
			s.verify(s.issuer.Token(logtotest.Token{User: "next", Claims: map[string]any{"pad": large}}), nil, 0, fetches)
			s.verify(logtotest.BadSignature(s.token()), logto.ErrInvalidToken, 0, fetches)
			s.verify(s.issuer.Token(logtotest.Token{Header: map[string]any{"kid": "small"}, Audience: "https://other.test"}), logto.ErrInvalidToken, 0, fetches)

			time.Sleep(time.Second - time.Nanosecond)
			if _, err := s.v.Verify(ctx, s.junk()); !errors.Is(err, logto.ErrUnavailable) {
				t.Errorf("in the same second: error %v", err)
			}
			time.Sleep(time.Nanosecond)
			for k := range 150 { // they don't count
				s.verify(s.issuer.Token(logtotest.Token{User: fmt.Sprint(k), Claims: map[string]any{"pad": large}}), nil, 0, fetches)
			}
			if _, err := s.v.Verify(ctx, s.junk()); !errors.Is(err, logto.ErrInvalidToken) {
				t.Errorf("in the next second: error %v", err)
			}
		})
	})
	t.Run("a key is rotated in", func(t *testing.T) {
		bubble(t, large, func(s *service) {
			s.verify(s.token(), nil, 0, 1)
			s.issuer.Rotate("ES384")
			s.flood()
			s.verify(s.token(), nil, 0, 2) // junk began the fetch
		})
	})
	t.Run("there is no key set", func(t *testing.T) {
		bubble(t, large, func(s *service) {
			s.issuer.Fail(logtotest.Status(500))
			for second := range 5 {
				s.flood()
				if n := s.issuer.Fetches(); n != second+1 {
					t.Errorf("%d fetches in second %d", n, second+1)
				}
			}
			if _, err := s.v.Verify(ctx, s.junk()); logto.Reason(err) != "keys_unavailable" {
				t.Errorf("error %v", err)
			}
			s.issuer.Fail(nil)
			time.Sleep(time.Second)
			s.verify(s.token(), nil, 0, 6)
		})
	})
	// Those that are not read wait for the key set as those that are do.
	t.Run("the first requests of a service", func(t *testing.T) {
		bubble(t, large, func(s *service) {
			keySet := s.issuer.KeySet()
			s.issuer.Fail(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				time.Sleep(3 * time.Second)
				_, _ = io.WriteString(w, keySet)
			}))
			var wg sync.WaitGroup
			for range 5 {
				s.spend()
				for range 100 {
					token := s.token()
					wg.Go(func() {
						if _, err := s.v.Verify(ctx, token); err != nil {
							s.Error(err)
						}
					})
				}
				time.Sleep(time.Second)
			}
			wg.Wait()
		})
	})
	t.Run("a sender that leaves", func(t *testing.T) {
		bubble(t, large, func(s *service) {
			s.verify(s.token(), nil, 0, 1)
			s.flood()
			time.Sleep(logto.FetchPause)
			s.issuer.Fail(logtotest.Hang())
			s.spend()
			left, leave := context.WithTimeout(ctx, 2*time.Second)
			defer leave()
			start := time.Now()
			if _, err := s.v.Verify(left, s.junk()); logto.Reason(err) != "deadline_exceeded" || time.Since(start) != 2*time.Second {
				t.Errorf("error %v after %v", err, time.Since(start))
			}
			if _, err := s.v.Verify(ctx, s.junk()); !errors.Is(err, logto.ErrInvalidToken) {
				t.Errorf("in a new second: %v", err)
			}
		})
	})
	t.Run("a wrong signature in an outage", func(t *testing.T) {
		bubble(t, large, func(s *service) {
			s.verify(s.token(), nil, 0, 1)
			time.Sleep(logto.WaitAge)
			s.issuer.Fail(logtotest.Status(500))
			s.flood()
			if _, err := s.v.Verify(ctx, logtotest.BadSignature(s.token())); logto.Reason(err) != "signature" {
				t.Errorf("error %v", err)
			}
		})
	})
	t.Run("a wrong signature", func(t *testing.T) { // is none by an unknown key
		bubble(t, large, func(s *service) {
			s.verify(s.token(), nil, 0, 1)
			time.Sleep(time.Minute)
			for range 300 {
				s.verify(logtotest.BadSignature(s.token()), logto.ErrInvalidToken, 0, 1)
			}
		})
	})
}

// spend sends as much junk as is read.
func (s *service) spend() {
	for range 100 {
		_, _ = s.v.Verify(ctx, s.junk())
	}
}

// With several Logtos each one's keys are looked for.
func TestFloodOfLargeTokensForTwo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &service{T: t, issuer: logtotest.NewIssuer(t)}
		second := logtotest.NewIssuer(t)
		cfg := s.issuer.Config()
		cfg.Logger = capture
		var err error
		if s.v, err = logto.New(cfg, another(t, second.Config())); err != nil {
			t.Fatal(err)
		}
		if err := s.v.Refresh(ctx); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		ofSecond := func(user string) string {
			return second.Token(logtotest.Token{User: user, Claims: map[string]any{"iss": "https://staging.example.test/oidc", "pad": large}})
		}
		for k := range 150 { // of known keys: they don't count
			if _, err := s.v.Verify(ctx, ofSecond(fmt.Sprint(k))); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.v.Verify(ctx, s.junk()); logto.Reason(err) != "malformed" {
			t.Errorf("error %v", err)
		}
		second.Rotate("ES384")
		s.flood()
		if _, err := s.v.Verify(ctx, ofSecond("of a new key")); err != nil {
			t.Error(err)
		}
		// That one can't be asked is said, whichever answers last.
		second.Fail(logtotest.Status(500))
		for range 10 {
			time.Sleep(logto.FetchPause)
			s.flood()
			if _, err := s.v.Verify(ctx, s.junk()); logto.Reason(err) != "keys_unavailable" {
				t.Errorf("error %v", err)
			}
		}
		time.Sleep(logto.FetchTime)
	})
}

// A key that is replaced under its ID is found out as by small tokens: large ones, too, have
// the key set refreshed.
func TestLargeTokensRefresh(t *testing.T) {
	inBubble(t, func(s *service) {
		s.verify(s.token(), nil, 0, 1)
		other := logtotest.New(s.issuer.Endpoint())
		s.issuer.Fail(logtotest.Body("application/json", strings.Replace(other.KeySet(), other.KeyID(), s.issuer.KeyID(), 1)))
		token := other.Token(logtotest.Token{ExpiresIn: 1000 * time.Hour, Header: map[string]any{"kid": s.issuer.KeyID()}, Claims: map[string]any{"pad": s.pad}})
		time.Sleep(logto.StaleAge)
		s.verify(token, logto.ErrInvalidToken, 0, 2) // by the key of before, and the key set is fetched behind it
		synctest.Wait()
		s.verify(token, nil, 0, 2)

		s.issuer.Fail(nil)
		time.Sleep(logto.WaitAge)
		s.verify(s.token(), nil, 0, 3) // which waits for the key set
	})
}

// That a key was withdrawn is found out by the token that comes with it, whatever its size.
func TestKeyWithdrawnAtLastRefresh(t *testing.T) {
	inBubble(t, func(s *service) {
		token := s.token()
		s.verify(s.issuer.Token(logtotest.Token{User: "another"}), nil, 0, 1)
		time.Sleep(logto.WaitAge)
		s.issuer.Rotate("ES384")
		s.issuer.RemovePrevious()
		if _, err := s.v.Verify(ctx, token); logto.Reason(err) != "unknown_key" {
			t.Errorf("error %v", err)
		}
	})
}

// The key is looked for once: who has waited for it before the signature doesn't wait again.
func TestLargeTokenWaitsOnce(t *testing.T) {
	inBubble(t, func(s *service) {
		s.v.SetJitter(0)
		s.verify(s.token(), nil, 0, 1)
		time.Sleep(logto.WaitAge)
		s.issuer.Fail(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(950 * time.Millisecond)
			w.WriteHeader(500)
		}))
		go func() {
			time.Sleep(900 * time.Millisecond)
			free := s.v.OccupyChecks()
			time.Sleep(100 * time.Millisecond) // 50 ms of it in the queue
			free()
		}()
		start := time.Now()
		if _, err := s.v.Verify(ctx, s.token()); err != nil || time.Since(start) > time.Second {
			t.Errorf("error %v after %v", err, time.Since(start))
		}
	})
}
