package logto_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/logtotest"
)

// Further examples of the kinds of faults that were mended, each of which failed once.

// A refused request is no 200 for who records the first status that is written.
func TestInformationalStatusIsNoAnswer(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	for name, handler := range map[string]func(http.ResponseWriter){
		"103":          func(w http.ResponseWriter) { w.WriteHeader(103) },
		"103, 403":     func(w http.ResponseWriter) { w.WriteHeader(103); w.WriteHeader(403) },
		"100 and body": func(w http.ResponseWriter) { w.WriteHeader(100); _, _ = io.WriteString(w, "no") },
	} {
		cfg := issuer.Config()
		cfg.Logger = capture
		cfg.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { handler(w) }
		h := logto.Require(newVerifier(t, cfg))(http.NotFoundHandler())
		for where, h := range map[string]http.Handler{"recorder": h, "TimeoutHandler": http.TimeoutHandler(h, time.Minute, "")} {
			if w := serve(h, "opaque"); w.Code != 401 && w.Code != 403 {
				t.Errorf("%s, %s: status %d", name, where, w.Code)
			}
		}
	}
}

// A proxy that answers 304 whatever is asked proves nothing, nor does an ETag that never
// changes.
func TestWrong304(t *testing.T) {
	inBubble(t, func(s *service) {
		s.issuer.Fail(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", `W/"jwks"`)
			if r.Header.Get("If-None-Match") != "" {
				w.WriteHeader(http.StatusNotModified)
				return
			}
			_, _ = io.WriteString(w, s.issuer.KeySet())
		}))
		s.verify(s.token(), nil, 0, 1)
		time.Sleep(5 * time.Minute)
		s.issuer.Rotate("ES384")
		token := s.token()
		for range 200 {
			if w := s.ask(token); w.Code == 401 {
				t.Fatal("a good token was called bad")
			}
			time.Sleep(time.Second)
		}
		if w := s.ask(token); w.Code != 200 {
			t.Errorf("status %d", w.Code)
		}
	})
}

// A clock that is ahead of the issuer's by more than the leeway makes no answer a proof.
func TestClockAhead(t *testing.T) {
	for _, ahead := range []time.Duration{0, 29 * time.Second, 2 * time.Minute, 9 * time.Minute} {
		t.Run(ahead.String(), func(t *testing.T) {
			inBubble(t, func(s *service) {
				s.issuer.Fail(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Date", time.Now().Add(-ahead).UTC().Format(http.TimeFormat))
					_, _ = io.WriteString(w, s.issuer.KeySet())
				}))
				issued := func(kid string) string {
					now := time.Now().Add(-ahead)
					token := logtotest.Token{Claims: map[string]any{"iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}}
					if kid != "" {
						token.Header = map[string]any{"kid": kid}
					}
					return s.issuer.Token(token)
				}
				s.ask(issued(""))
				time.Sleep(5 * time.Minute)
				s.ask(issued("stray"))
				s.issuer.Rotate("ES384")
				token := issued("")
				for range 20 {
					if w := s.ask(token); w.Code == 401 {
						t.Fatalf("a good token was called bad: %s", w.Body)
					}
					time.Sleep(time.Second)
				}
				if w := s.ask(token); w.Code != 200 {
					t.Errorf("status %d", w.Code)
				}
			})
		})
	}
}

// A service that starts while a replica of the issuer is behind calls no token of the new
// key bad.
func TestReplicaBehindAtTheStart(t *testing.T) {
	inBubble(t, func(s *service) {
		before := s.issuer.KeySet()
		s.issuer.Rotate("ES384")
		token := s.token()
		time.Sleep(40 * time.Second)
		s.issuer.Fail(logtotest.Body("", before))
		for range 20 {
			if w := s.ask(token); w.Code != 503 {
				t.Fatalf("status %d", w.Code)
			}
			time.Sleep(time.Second)
		}
		s.issuer.Fail(nil)
		time.Sleep(logto.FetchPause)
		if w := s.ask(token); w.Code != 200 {
			t.Errorf("status %d", w.Code)
		}
	})
}

// idle is a transport whose CloseIdleConnections is somebody's code.
type idle struct {
	http.RoundTripper
	close func()
}

func (i idle) CloseIdleConnections() { i.close() }

// The code of a client's transport runs under no lock of ours.
func TestTransportUnderNoLock(t *testing.T) {
	for name, misbehave := range map[string]func(*logto.Verifier){
		"calls back": func(v *logto.Verifier) { v.KeySetStatus(); _ = v.Ready() },
		"panics":     func(*logto.Verifier) { panic("theirs") },
		"hangs":      func(*logto.Verifier) { time.Sleep(time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				issuer := logtotest.NewIssuer(t)
				cfg := issuer.Config()
				cfg.Logger = capture
				var v *logto.Verifier
				var bad atomic.Bool
				cfg.HTTPClient = &http.Client{Transport: idle{cfg.HTTPClient.Transport, func() {
					if bad.Load() {
						misbehave(v)
					}
				}}}
				v = newVerifier(t, cfg)
				token := issuer.Token(logtotest.Token{ExpiresIn: 2 * time.Hour})
				if _, err := v.Verify(ctx, token); err != nil {
					t.Fatal(err)
				}
				issuer.Fail(logtotest.Status(500))
				bad.Store(true)
				time.Sleep(logto.StaleAge)
				for range 30 {
					start := time.Now()
					if _, err := v.Verify(ctx, token); err != nil || time.Since(start) != 0 {
						t.Fatalf("error %v after %v", err, time.Since(start))
					}
					time.Sleep(time.Second)
				}
				bad.Store(false)
				issuer.Fail(nil)
				time.Sleep(time.Hour + time.Minute)
				if _, err := v.Verify(ctx, issuer.Token(logtotest.Token{})); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// Whoever waited in a Check passes the verdict, too.
func TestVerdictAfterASlowCheck(t *testing.T) {
	for name, test := range map[string]struct {
		wait   func(s *service)
		status int
	}{
		"nothing happened": {func(*service) { time.Sleep(time.Second) }, 200},
		"it expired":       {func(*service) { time.Sleep(11 * time.Minute) }, 401},
		"its key was removed": {func(s *service) {
			s.issuer.Rotate("ES384")
			s.issuer.RemovePrevious()
			time.Sleep(2 * time.Minute)
			_ = s.v.Refresh(ctx)
		}, 401},
	} {
		for kind, requirement := range map[string]func(wait func()) logto.Requirement{
			"Check": func(wait func()) logto.Requirement {
				return logto.Check(func(*http.Request, *logto.Claims) error { wait(); return nil })
			},
			"Organization": func(wait func()) logto.Requirement {
				return logto.Organization(func(*http.Request) string { wait(); return "o" })
			},
		} {
			t.Run(name+", "+kind, func(t *testing.T) {
				inBubble(t, func(s *service) {
					h := logto.Require(s.v, requirement(func() { test.wait(s) }))(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200) }))
					if w := serve(h, s.issuer.Token(logtotest.Token{Organization: "o", ExpiresIn: 10 * time.Minute})); w.Code != test.status {
						t.Errorf("status %d, want %d", w.Code, test.status)
					}
				})
			})
		}
	}
}

// What stands in the query of JWKSURL is in no error, however it is spelled there.
func TestSecretsOfTheQuery(t *testing.T) {
	const secret = "s3cret/value"
	issuer := logtotest.NewIssuer(t)
	for name, transport := range map[string]roundTrip{
		"request URI": func(r *http.Request) (*http.Response, error) { return nil, errors.New("no " + r.URL.RequestURI()) },
		"raw query":   func(r *http.Request) (*http.Response, error) { return nil, errors.New(r.URL.RawQuery) },
		"value":       func(r *http.Request) (*http.Response, error) { return nil, errors.New(r.URL.Query().Get("key")) },
		"panic":       func(r *http.Request) (*http.Response, error) { panic(r.URL.RawQuery) },
		"status": func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 403, Status: "403 bad key " + r.URL.Query().Get("key"), Header: http.Header{}, Body: http.NoBody, Request: r}, nil
		},
		"content type": func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {r.URL.RawQuery}}, Body: io.NopCloser(strings.NewReader("{}")), Request: r}, nil
		},
	} {
		log := &logBuffer{}
		cfg := issuer.Config()
		cfg.JWKSURL = issuer.Endpoint() + "/oidc/jwks?key=" + url.QueryEscape(secret)
		cfg.HTTPClient = &http.Client{Transport: transport}
		cfg.Logger = slog.New(slog.NewTextHandler(log, nil))
		v := newVerifier(t, cfg)
		_, err := v.Verify(ctx, issuer.Token(logtotest.Token{}))
		for _, text := range []string{fmt.Sprint(err), fmt.Sprint(v.KeySetStatus().Err), log.String()} {
			if strings.Contains(text, "s3cret") {
				t.Errorf("%s: %s", name, text)
			}
		}
	}
}

// Keys that can't be used are told of, though nothing else of the key set has changed.
func TestIgnoredAlone(t *testing.T) {
	inBubble(t, func(s *service) {
		s.verify(s.token(), nil, 0, 1)
		set := s.issuer.KeySet()
		s.issuer.Fail(logtotest.Body("", strings.Replace(set, `]}`, `,{"kty":"OKP","crv":"Ed25519","kid":"new"}]}`, 1)))
		for range 3 {
			time.Sleep(logto.FetchPause)
			if err := s.v.Refresh(ctx); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		if n := strings.Count(s.log.String(), "key ignored"); n != 1 {
			t.Errorf("%d lines in\n%s", n, s.log)
		}
	})
}

// A path in the log holds no beginning of a token, wherever the path is cut.
func TestTokenInALongPath(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	log := &logBuffer{}
	cfg := issuer.Config()
	cfg.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	h := logto.Require(newVerifier(t, cfg))(http.NotFoundHandler())
	token := issuer.OpaqueToken()
	for n := range 12 {
		r := httptest.NewRequest("GET", strings.Repeat("/abcdefghij", n+8)+"/"+token, nil)
		r.Header.Set("Authorization", "Basic x")
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	if strings.Contains(log.String(), token[:8]) {
		t.Errorf("%s in\n%s", token, log)
	}
}
