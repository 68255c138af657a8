package logto_test

import (
	"context"
	"errors"
	"fmt"
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

// another is a Logto by another name.
func another(t *testing.T, cfg logto.Config) logto.Config {
	t.Helper()
	cfg.Endpoint, cfg.Issuers, cfg.JWKSURL = "", []string{"https://staging.example.test/oidc"}, "https://logto.example.test/oidc/jwks"
	cfg.Logger = nil
	return cfg
}

// Of two Logtos each has its own keys, audiences, applications and revocations: nothing of
// one counts for the other.
func TestTwoLogtos(t *testing.T) {
	t.Run("small", func(t *testing.T) { testTwoLogtos(t, "") })
	t.Run("large", func(t *testing.T) { testTwoLogtos(t, large) })
}

func testTwoLogtos(t *testing.T, pad string) {
	type tk = logtotest.Token
	const stagingIssuer = "https://staging.example.test/oidc"
	first, second := logtotest.NewIssuer(t), logtotest.NewIssuer(t)
	production := first.Config()
	production.Logger = capture
	production.ClientIDs = []string{logtotest.ClientID}
	production.OrganizationTokens = true
	staging := another(t, second.Config())
	staging.Audiences = []string{"https://staging.test"}
	staging.Revoked = func(c *logto.Claims) error {
		if c.UserID() == "mallory" {
			return logto.ErrRevoked
		}
		return nil
	}
	seen := &events{}
	production.Observer = seen.observe
	v, err := logto.New(production, staging)
	if err != nil {
		t.Fatal(err)
	}
	h := logto.Require(v)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	iss := func(iss string) map[string]any {
		return map[string]any{"pad": pad, "iss": iss, "iat": time.Now().Add(-2 * time.Minute).Unix()}
	}
	issuerOfFirst := first.Endpoint() + "/oidc"
	for _, test := range []struct {
		name, token string
		status      int
		reason      string
	}{
		{"key of the second for the first", second.Token(tk{Claims: iss(issuerOfFirst)}), 401, "unknown_key"},
		{"key of the first for the second", first.Token(tk{Audience: "https://staging.test", Claims: iss(stagingIssuer)}), 401, "unknown_key"},
		{"audience of the second for the first", first.Token(tk{Audience: "https://staging.test", Claims: iss(issuerOfFirst)}), 401, "audience"},
		{"audience of the first for the second", second.Token(tk{Claims: iss(stagingIssuer)}), 401, "audience"},
		{"organization's token of the second", second.Token(tk{Organization: "o1", OrganizationOnly: true, Claims: iss(stagingIssuer)}), 401, "audience"},
		{"application for the first", first.Token(tk{ClientID: "other", Claims: iss(issuerOfFirst)}), 401, "client"},
		{"revoked in the second", second.Token(tk{User: "mallory", Audience: "https://staging.test", Claims: iss(stagingIssuer)}), 401, "revoked"},
		{"a third", second.Token(tk{Claims: iss("https://third.test/oidc")}), 401, "issuer"},
		{"first", first.Token(tk{User: "mallory", Claims: iss(issuerOfFirst)}), 200, ""},
		{"first, organization's", first.Token(tk{Organization: "o1", OrganizationOnly: true, Claims: iss(issuerOfFirst)}), 200, ""},
		{"second", second.Token(tk{ClientID: "other", Audience: "https://staging.test", Claims: iss(stagingIssuer)}), 200, ""},
	} {
		for _, again := range []string{"", ", again"} {
			_ = seen.take()
			w := serve(h, test.token)
			reason := "no event"
			for _, e := range seen.take() {
				if !e.Fetch {
					reason = e.Reason
				}
			}
			if w.Code != test.status || reason != test.reason {
				t.Errorf("%s%s: %d %s, want %d %s", test.name, again, w.Code, reason, test.status, test.reason)
			}
		}
	}

	if s := v.KeySetStatus(); len(s.KeyIDs) != 2 || s.Err != nil || s.Age == 0 {
		t.Errorf("status %+v", s)
	}
}

// Both publish the same key ID: each verifies with its own.
func TestTwoLogtosOneKeyID(t *testing.T) {
	first, second := logtotest.NewIssuer(t), logtotest.NewIssuer(t)
	staging := another(t, first.Config())
	cfg := second.Config()
	cfg.Logger = capture
	forged := strings.Replace(string(must(fetchKeys(first))), first.KeyID(), second.KeyID(), 1)
	staging.HTTPClient = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		w := httptest.NewRecorder()
		_, _ = w.WriteString(forged)
		return w.Result(), nil
	})}
	v, err := logto.New(cfg, staging)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Refresh(ctx); err != nil {
		t.Fatal(err)
	}
	for _, pad := range []string{"", large} {
		if _, err := v.Verify(ctx, second.Token(logtotest.Token{Claims: map[string]any{"pad": pad}})); err != nil {
			t.Errorf("by its own key: %v", err)
		}
		_, err = v.Verify(ctx, second.Token(logtotest.Token{Claims: map[string]any{"pad": pad, "iss": "https://staging.example.test/oidc"}}))
		if logto.Reason(err) != "signature" {
			t.Errorf("by the other's key of the same ID: %v", err)
		}
	}
}

// Promise 1: a Logto that hangs delays nobody whose token is of another, though it has the
// same key IDs. That which a token is of, delays it once.
func TestPromise1OneOfSeveralHangs(t *testing.T) {
	for _, pad := range []string{"", large} {
		for name, stale := range map[string]bool{"another": false, "all": true} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					issuer := logtotest.NewIssuer(t)
					cfg := issuer.Config()
					cfg.Logger = nil
					other, hangs := logtotest.NewIssuer(t), another(t, issuer.Config())
					if !stale {
						hangs.HTTPClient = other.Config().HTTPClient
						other.Fail(logtotest.Body("", issuer.KeySet()))
					}
					hangs.Logger = capture
					v, err := logto.New(hangs, cfg)
					if err != nil {
						t.Fatal(err)
					}
					verify := func(name string) time.Duration {
						t.Helper()
						start := time.Now()
						token := issuer.Token(logtotest.Token{User: name, ExpiresIn: 1000 * time.Hour, Claims: map[string]any{"pad": pad}})
						if _, err := v.Verify(ctx, token); err != nil {
							t.Errorf("%s: %v", name, err)
						}
						return time.Since(start)
					}
					if err := v.Refresh(ctx); err != nil {
						t.Fatal(err)
					}
					if other.Fail(logtotest.Hang()); stale {
						issuer.Fail(logtotest.Hang())
						time.Sleep(logto.WaitAge)
					}
					for range 7 {
						if d := verify("warm"); !stale && d != 0 {
							t.Errorf("delayed by %v", d)
						}
						synctest.Wait()
						time.Sleep(logto.StaleAge)
					}
					for k := range 100 {
						if d := verify(fmt.Sprint(k)); d > logto.MaxWait || !stale && d != 0 {
							t.Errorf("delayed by %v", d)
						}
						time.Sleep(200 * time.Millisecond)
					}
					time.Sleep(2 * logto.FetchTime)
				})
			})
		}
	}
}

// A token of a known key that isn't checked, for its sender left or the queue is full, says so
// among several Logtos, too.
func TestSeveralLogtosNotChecked(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for _, pad := range []string{"", large} {
		synctest.Test(t, func(t *testing.T) {
			issuer := logtotest.NewIssuer(t)
			cfg := issuer.Config()
			cfg.Logger = capture
			v, err := logto.New(cfg, another(t, logtotest.NewIssuer(t).Config()))
			if err != nil {
				t.Fatal(err)
			}
			if err := v.Refresh(ctx); err != nil {
				t.Fatal(err)
			}
			s := &service{T: t, issuer: issuer, v: v}
			s.flood()
			free := v.OccupyChecks()
			token := issuer.Token(logtotest.Token{Claims: map[string]any{"pad": pad}})
			left, leave := context.WithCancel(ctx)
			leave()
			if _, err := v.Verify(left, token); logto.Reason(err) != "canceled" {
				t.Errorf("left: %v", err)
			}
			waiting, stop := context.WithCancel(ctx)
			var wg sync.WaitGroup
			for range 1024 {
				wg.Go(func() { _, _ = v.Verify(waiting, logtotest.BadSignature(token)) })
			}
			synctest.Wait()
			if _, err := v.Verify(ctx, token); logto.Reason(err) != "overload" {
				t.Errorf("the queue is full: %v", err)
			}
			stop()
			wg.Wait()
			free()
			time.Sleep(logto.FetchTime)
		})
	}
}

// A Logto that publishes what it likes takes no user of another one's in, and keeps none out:
// by their key IDs, before the other's key set has them or after, and in a flood.
func TestTwoLogtosOneHostile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &service{T: t, issuer: logtotest.NewIssuer(t)}
		hostile := logtotest.NewIssuer(t)
		cfg := another(t, hostile.Config())
		cfg.Logger = capture
		good := s.issuer.Config()
		good.Logger = nil
		var err error
		if s.v, err = logto.New(cfg, good); err != nil {
			t.Fatal(err)
		}
		publish := func() { // the other's newest key ID for a key of its own
			hostile.Fail(logtotest.Body("", strings.Replace(hostile.KeySet(), hostile.KeyID(), s.issuer.KeyID(), 1)))
			time.Sleep(logto.FetchPause)
			if err := s.v.Refresh(ctx); err != nil {
				t.Fatal(err)
			}
		}
		forged := func() string {
			return hostile.Token(logtotest.Token{Header: map[string]any{"kid": s.issuer.KeyID()}, Claims: map[string]any{"pad": large}})
		}
		verify := func(name string) {
			t.Helper()
			if _, err := s.v.Verify(ctx, s.issuer.Token(logtotest.Token{User: name, Claims: map[string]any{"pad": large}})); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		publish()
		if _, err := s.v.Verify(ctx, forged()); logto.Reason(err) != "signature" {
			t.Errorf("forged: %v", err)
		}
		verify("published by both")
		s.flood()
		verify("in a flood")
		if _, err := s.v.Verify(ctx, logtotest.BadSignature(forged())); logto.Reason(err) != "key_not_yet_known" {
			t.Errorf("forged by nobody, in a flood: %v", err)
		}

		time.Sleep(logto.FetchPause)
		s.issuer.Fail(logtotest.Body("", s.issuer.KeySet()))
		s.issuer.Rotate("ES384")
		publish()
		s.issuer.Fail(nil)
		time.Sleep(logto.FetchPause)
		verify("of a key that only the hostile one is known to publish")

		time.Sleep(logto.WaitAge)
		hostile.Fail(nil)
		s.flood()
		verify("of a key that the hostile one withdraws, in a flood")
		time.Sleep(logto.FetchTime)
	})
}

// Of a large token that one Logto's key has signed, and which names another, it is a key of
// the other that counts, though it came later and by the same ID.
func TestTwoLogtosOneKeyIDLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := logtotest.NewIssuer(t), logtotest.NewIssuer(t)
		cfg := first.Config()
		cfg.Logger = capture
		v, err := logto.New(cfg, another(t, second.Config()))
		if err != nil {
			t.Fatal(err)
		}
		if err := v.Refresh(ctx); err != nil {
			t.Fatal(err)
		}
		time.Sleep(logto.FetchPause)
		second.Fail(logtotest.Body("", strings.Replace(second.KeySet(), second.KeyID(), first.KeyID(), 1)))
		named := func(from *logtotest.Issuer, pad string) string {
			return from.Token(logtotest.Token{Header: map[string]any{"kid": first.KeyID()},
				Claims: map[string]any{"iss": "https://staging.example.test/oidc", "pad": pad}})
		}
		if _, err := v.Verify(ctx, named(first, large)); logto.Reason(err) != "signature" {
			t.Errorf("by the key of the first: %v", err)
		}
		for _, pad := range []string{"", large} {
			if _, err := v.Verify(ctx, named(second, pad)); err != nil {
				t.Errorf("by the key of the second: %v", err)
			}
		}
		time.Sleep(logto.FetchTime)
	})
}

// fetchKeys is the key set that an issuer publishes.
func fetchKeys(issuer *logtotest.Issuer) ([]byte, error) {
	w := httptest.NewRecorder()
	cfg := issuer.Config()
	res, err := cfg.HTTPClient.Get(cfg.Endpoint + "/oidc/jwks")
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	_, err = w.Body.ReadFrom(res.Body)
	return w.Body.Bytes(), err
}

// Which configurations can't stand beside others.
func TestTwoLogtosRefused(t *testing.T) {
	good := func() logto.Config { return another(t, logtotest.NewIssuer(t).Config()) }
	first := logtotest.NewIssuer(t).Config()
	for want, change := range map[string]func(*logto.Config){
		"Leeway concerns":                             func(c *logto.Config) { c.Leeway = 1 },
		"CacheSize concerns":                          func(c *logto.Config) { c.CacheSize = -1 },
		"Logger concerns":                             func(c *logto.Config) { c.Logger = slog.Default() },
		"TokenFrom concerns":                          func(c *logto.Config) { c.TokenFrom = logto.BearerToken },
		"ErrorHandler concerns":                       func(c *logto.Config) { c.ErrorHandler = logto.WriteError },
		"ResourceMetadataURL concerns":                func(c *logto.Config) { c.ResourceMetadataURL = "https://a.test" },
		"UserAgent concerns":                          func(c *logto.Config) { c.UserAgent = "a" },
		"Observer concerns":                           func(c *logto.Config) { c.Observer = (&events{}).observe },
		"which another configuration has: whose keys": func(c *logto.Config) { c.Issuers = append(c.Issuers, first.Endpoint+"/oidc") },
		"needs Audiences":                             func(c *logto.Config) { c.Audiences = nil },
	} {
		other := good()
		change(&other)
		if _, err := logto.New(first, other); err == nil || !strings.Contains(err.Error(), want) || !strings.HasSuffix(err.Error(), "(in configuration 2 of 2)") {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if _, err := logto.New(first, good()); err != nil {
		t.Error(err)
	}
}

// An outage of the second takes nothing from the first; Refresh tells of it.
func TestOneOfTwoLogtosIsDown(t *testing.T) {
	first, second := logtotest.NewIssuer(t), logtotest.NewIssuer(t)
	cfg := first.Config()
	cfg.Logger = capture
	second.Fail(logtotest.Status(500))
	v, err := logto.New(cfg, another(t, second.Config()))
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Refresh(ctx); !errors.Is(err, logto.ErrUnavailable) {
		t.Errorf("Refresh: %v", err)
	}
	if err := v.Ready(); err != nil {
		t.Errorf("Ready: %v", err)
	}
	if _, err := v.Verify(ctx, first.Token(logtotest.Token{})); err != nil {
		t.Error(err)
	}
	_, err = v.Verify(ctx, second.Token(logtotest.Token{Claims: map[string]any{"iss": "https://staging.example.test/oidc"}}))
	if !errors.Is(err, logto.ErrUnavailable) {
		t.Errorf("error %v", err)
	}
	if s := v.KeySetStatus(); s.Err == nil || len(s.KeyIDs) != 1 {
		t.Errorf("status %+v", s)
	}
}

// What is told of the key sets is told of both; and what the caller does with its slices
// changes nothing.
func TestTwoLogtosTold(t *testing.T) {
	first, second := logtotest.NewIssuer(t), logtotest.NewIssuer(t)
	cfg := first.Config()
	cfg.Logger = capture
	cfg.ClientIDs = []string{logtotest.ClientID}
	staging := another(t, second.Config())
	v, err := logto.New(cfg, staging)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Audiences[0], cfg.ClientIDs[0], staging.Issuers[0] = "https://other.test", "other", "https://other.test/oidc"
	second.Fail(logtotest.Body("application/json", strings.Replace(second.KeySet(), `{"keys":[`, `{"keys":[{"kty":"oct","kid":"weak","k":"c2VjcmV0"},`, 1)))
	if _, err := v.Verify(ctx, second.Token(logtotest.Token{Claims: map[string]any{"iss": "https://staging.example.test/oidc"}})); err != nil {
		t.Error(err)
	}
	if s := v.KeySetStatus(); s.Age == 0 || len(s.KeyIDs) != 1 || len(s.Ignored) != 1 || !strings.Contains(s.Ignored[0], "'weak'") {
		t.Errorf("of the second alone: %+v", s)
	}
	if _, err := v.Verify(ctx, first.Token(logtotest.Token{})); err != nil {
		t.Error(err)
	}
}
