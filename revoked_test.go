package logto_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/logtotest"
)

// Config.Revoked is asked for every otherwise good token, last, and its answer counts: on
// each way that a token can take.
func TestRevoked(t *testing.T) {
	for _, test := range []struct {
		name      string
		err       error
		status    int
		challenge string
		reason    string
		is        error
	}{
		{"not revoked", nil, 200, "", "", nil},
		{"revoked", logto.ErrRevoked, 401, revokedToken, "revoked", logto.ErrInvalidToken},
		{"revoked, with a reason", fmt.Errorf("suspended: %w", logto.ErrRevoked), 401, revokedToken, "revoked", logto.ErrRevoked},
		{"not known", errors.New("stale"), 503, noChallenge, "revocation_unavailable", logto.ErrUnavailable},
		{"not known, named so", logto.ErrUnavailable, 503, noChallenge, "revocation_unavailable", logto.ErrUnavailable},
		{"an error of another kind", logto.ErrForbidden, 503, noChallenge, "revocation_unavailable", logto.ErrUnavailable},
	} {
		for _, way := range []string{"first time", "remembered", "not remembered", "nested", "verify", "optional"} {
			t.Run(test.name+", "+way, func(t *testing.T) {
				issuer := logtotest.NewIssuer(t)
				cfg := issuer.Config()
				cfg.Logger = capture
				var answer error
				asked := 0
				cfg.Revoked = func(c *logto.Claims) error {
					if asked++; c.Subject() != "alice" {
						t.Errorf("asked about %s", c.Subject())
					}
					return answer
				}
				if way == "not remembered" {
					cfg.CacheSize = -1
				}
				v := newVerifier(t, cfg)
				token := issuer.Token(logtotest.Token{User: "alice"})
				ok := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200) })
				h := logto.Require(v)(ok)
				switch way {
				case "remembered", "not remembered":
					if w := serve(h, token); w.Code != 200 {
						t.Fatalf("status %d", w.Code)
					}
				case "nested":
					inner := h
					h = logto.Require(v)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						answer = test.err // while the outer handler was at work
						inner.ServeHTTP(w, r)
					}))
				case "optional":
					h = logto.Optional(v)(ok)
				}
				if way != "nested" {
					answer = test.err
				}
				before := asked
				if way == "verify" {
					c, err := v.Verify(ctx, token)
					if logto.Reason(err) != test.reason || (test.is != nil && !errors.Is(err, test.is)) || (err == nil) != (c != nil) {
						t.Errorf("claims %v, error %v", c, err)
					}
				} else {
					checkAnswer(t, serve(h, token), test.status, test.challenge, issuer.Endpoint()+"/oidc")
				}
				if asked == before {
					t.Error("not asked")
				}
				// A refusal is no verdict for later, nor is an acceptance.
				answer = nil
				if _, err := v.Verify(ctx, token); err != nil {
					t.Errorf("later: %v", err)
				}
			})
		}
	}
}

// It is asked after all else: what is refused anyway, or not a token, is not asked about.
func TestRevokedIsAskedLast(t *testing.T) {
	inBubble(t, func(s *service) {
		cfg := s.issuer.Config()
		cfg.Logger = capture
		cfg.Revoked = func(*logto.Claims) error {
			t.Error("asked")
			return logto.ErrRevoked
		}
		v := newVerifier(t, cfg)
		good := s.token()
		for name, token := range map[string]string{
			"none": "", "opaque": s.issuer.OpaqueToken(), "bad signature": logtotest.BadSignature(good),
			"expired": s.issuer.Token(logtotest.Token{ExpiresIn: -time.Hour}), "other audience": s.issuer.Token(logtotest.Token{Audience: "https://other.test"}),
			"unknown key": s.madeUp("gone", -time.Hour), "ID token": s.issuer.IDToken("alice"),
		} {
			if _, err := v.Verify(ctx, token); err == nil || logto.Reason(err) == "revoked" {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// What Revoked panics with ends the request, and nothing else.
func TestRevokedPanics(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	cfg := issuer.Config()
	cfg.Logger = capture
	bad := true
	cfg.Revoked = func(*logto.Claims) error {
		if bad {
			panic("theirs")
		}
		return nil
	}
	v := newVerifier(t, cfg)
	h := logto.Require(v)(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }))
	for range 2 * runtime.GOMAXPROCS(0) {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			serve(h, issuer.Token(logtotest.Token{}))
		}()
	}
	bad = false
	if w := serve(h, issuer.Token(logtotest.Token{})); w.Code != 200 {
		t.Errorf("status %d", w.Code)
	}
}
