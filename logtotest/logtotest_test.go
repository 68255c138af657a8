package logtotest_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/logtotest"
)

var ctx = context.Background()

// What is minted is what a verifier takes or refuses, for each algorithm.
func TestTokens(t *testing.T) {
	type tk = logtotest.Token
	for _, algorithm := range []string{"ES384", "ES256", "ES512", "RS256", "PS256"} {
		issuer := logtotest.NewIssuer(t)
		issuer.Rotate(algorithm)
		cfg := issuer.Config()
		cfg.OrganizationTokens = true
		v, err := logto.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		for _, test := range []struct {
			name, token string
			want        error
			sub, client string
			org, actor  string
			scope       bool
		}{
			{"ID token", issuer.IDToken("u"), logto.ErrInvalidToken, "", "", "", "", false},
			{"logout token", issuer.LogoutToken("u"), logto.ErrInvalidToken, "", "", "", "", false},
			{"opaque", issuer.OpaqueToken(), logto.ErrInvalidToken, "", "", "", "", false},
			{"expired", issuer.Token(tk{ExpiresIn: -time.Minute}), logto.ErrExpired, "", "", "", "", false},
			{"other audience", issuer.Token(tk{Audience: "x"}), logto.ErrInvalidToken, "", "", "", "", false},
			{"bad signature", logtotest.BadSignature(issuer.Token(tk{})), logto.ErrInvalidToken, "", "", "", "", false},
			{"claim taken away", issuer.Token(tk{Claims: map[string]any{"exp": nil}}), logto.ErrInvalidToken, "", "", "", "", false},
			{"header replaced", issuer.Token(tk{Header: map[string]any{"typ": "JWT"}}), logto.ErrInvalidToken, "", "", "", "", false},
			{"zero", issuer.Token(tk{}), nil, "user", logtotest.ClientID, "", "", false},
			{"user", issuer.Token(tk{User: "alice", ClientID: "app", Scopes: []string{"read", "write"}}), nil, "alice", "app", "", "", true},
			{"machine", issuer.Token(tk{Machine: true, Scopes: []string{"read"}}), nil, "machine", "machine", "", "", true},
			{"named machine", issuer.Token(tk{Machine: true, ClientID: "cron"}), nil, "cron", "cron", "", "", false},
			{"organization", issuer.Token(tk{Organization: "o", OrganizationOnly: true}), nil, "user", logtotest.ClientID, "o", "", false},
			{"organization API", issuer.Token(tk{Organization: "o"}), nil, "user", logtotest.ClientID, "o", "", false},
			{"machine in an organization", issuer.Token(tk{Machine: true, Organization: "o"}), nil, "machine", "machine", "o", "", false},
			{"exchange", issuer.Token(tk{Actor: "support"}), nil, "user", logtotest.ClientID, "", "support", false},
		} {
			c, err := v.Verify(ctx, test.token)
			if !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
				t.Errorf("%s %s: error %v, want %v", algorithm, test.name, err, test.want)
			}
			if err == nil && (c.Subject() != test.sub || c.ClientID() != test.client || c.OrganizationID() != test.org || c.Actor() != test.actor || c.HasScope("read") != test.scope) {
				t.Errorf("%s %s: claims %+v", algorithm, test.name, c)
			}
		}
	}
}

func TestContext(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	issuer.Fail(logtotest.Status(500)) // not this one's business
	got := issuer.Context(ctx, logtotest.Token{User: "alice", Audience: "https://other.test", Organization: "o"})
	if logto.UserID(got) != "alice" || logto.OrganizationID(got) != "o" || issuer.Fetches() != 0 {
		t.Errorf("user %q, organization %q, %d fetches", logto.UserID(got), logto.OrganizationID(got), issuer.Fetches())
	}
	got = issuer.Context(ctx, logtotest.Token{User: "bob", Organization: "o", OrganizationOnly: true})
	if logto.UserID(got) != "bob" || logto.OrganizationID(got) != "o" {
		t.Errorf("user %q, organization %q", logto.UserID(got), logto.OrganizationID(got))
	}
	if got := logtotest.BadSignature(".AAAA"); got != ".AAEA" { // the middle one of three bytes
		t.Errorf("BadSignature gives %q", got)
	}
	for name, f := range map[string]func(){
		"no base64":    func() { logtotest.BadSignature("a.b.!") },
		"expired":      func() { issuer.Context(ctx, logtotest.Token{ExpiresIn: -time.Hour}) },
		"no JWT":       func() { logtotest.BadSignature("opaque") },
		"an algorithm": func() { issuer.Rotate("HS256") },
		"algorithms":   func() { issuer.Rotate("ES384", "RS256") },
		"no JSON":      func() { issuer.Token(logtotest.Token{Claims: map[string]any{"x": func() {}}}) },
	} {
		func() {
			defer func() {
				if text, _ := recover().(string); !strings.HasPrefix(text, "logtotest: ") {
					t.Errorf("%s: panic %q", name, text)
				}
			}()
			f()
		}()
	}
}

// In memory and over a port, the issuer serves the same.
func TestServe(t *testing.T) {
	for _, issuer := range []*logtotest.Issuer{logtotest.NewIssuer(t), logtotest.NewServer(t)} {
		client := issuer.Config().HTTPClient
		if client == nil {
			client = http.DefaultClient
		}
		get := func(path, etag string) (*http.Response, string) {
			t.Helper()
			req, err := http.NewRequest("GET", issuer.Endpoint()+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if etag != "" {
				req.Header.Set("If-None-Match", etag)
			}
			res, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			return res, string(body)
		}
		res, keys := get("/oidc/jwks", "")
		if keys != issuer.KeySet() || !strings.Contains(keys, issuer.KeyID()) || !strings.HasPrefix(res.Header.Get("Content-Type"), "application/jwk-set+json") {
			t.Errorf("keys %s, header %v", keys, res.Header)
		}
		if again, body := get("/oidc/jwks", res.Header.Get("ETag")); again.StatusCode != 304 || body != "" {
			t.Errorf("status %d, body %s", again.StatusCode, body)
		}
		var discovery struct{ Issuer string }
		if _, body := get("/oidc/.well-known/openid-configuration", ""); json.Unmarshal([]byte(body), &discovery) != nil || discovery.Issuer != issuer.Endpoint()+"/oidc" {
			t.Errorf("discovery %s", body)
		}
		if res, body := get("/jwks", ""); res.StatusCode != 200 || !strings.Contains(body, "<title>") {
			t.Errorf("a wrong address: status %d, %s", res.StatusCode, body)
		}
		if n := issuer.Fetches(); n != 2 {
			t.Errorf("%d fetches", n)
		}
		// Rotation publishes two keys; RSA ones without alg.
		first := issuer.KeyID()
		issuer.Rotate("RS256")
		if _, keys := get("/oidc/jwks", ""); !strings.Contains(keys, first) || strings.Contains(keys, "RS256") {
			t.Errorf("keys %s", keys)
		}
		issuer.RemovePrevious()
		if _, keys := get("/oidc/jwks", ""); strings.Contains(keys, first) {
			t.Errorf("keys %s", keys)
		}
	}
}

// A fault in memory behaves as over a network, and leaves nothing behind.
func TestFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := logtotest.NewIssuer(t)
		for name, test := range map[string]struct {
			fault  http.Handler
			status int   // 0: no answer
			err    error // of reading the body
			body   string
		}{
			"status":       {logtotest.Status(503), 503, nil, "Service Unavailable\n"},
			"body":         {logtotest.Body("text/html", "<html>"), 200, nil, "<html>"},
			"hang":         {logtotest.Hang(), 0, nil, ""},
			"hang in body": {logtotest.HangInBody(), 200, context.DeadlineExceeded, `{"keys":[`},
			"drip":         {logtotest.Drip(), 200, context.DeadlineExceeded, strings.Repeat(" ", 10)},
			"cut":          {logtotest.Cut(), 200, io.ErrUnexpectedEOF, `{"keys":[`},
		} {
			issuer.Fail(test.fault)
			timed, cancel := context.WithTimeout(ctx, 9500*time.Millisecond)
			req, err := http.NewRequestWithContext(timed, "GET", issuer.Endpoint()+"/oidc/jwks", nil)
			if err != nil {
				t.Fatal(err)
			}
			res, err := issuer.Config().HTTPClient.Do(req)
			switch {
			case test.status == 0:
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%s: error %v", name, err)
				}
			case err != nil || res.StatusCode != test.status:
				t.Errorf("%s: %v, error %v", name, res, err)
			default:
				if body, err := io.ReadAll(res.Body); !errors.Is(err, test.err) || string(body) != test.body {
					t.Errorf("%s: body %q, error %v, want %q, %v", name, body, err, test.body, test.err)
				}
				if name == "body" && res.Header.Get("Content-Type") != "text/html" {
					t.Errorf("%s: header %v", name, res.Header)
				}
				res.Body.Close()
			}
			cancel()
			synctest.Wait()
		}
	})
	// Over a port, Cut is a broken connection.
	var ended *logtotest.Issuer
	t.Run("ended", func(t *testing.T) { ended = logtotest.NewServer(t) })
	if res, err := http.Get(ended.Endpoint() + "/oidc/jwks"); err == nil {
		res.Body.Close()
		t.Error("it listens after its test")
	}
	server := logtotest.NewServer(t)
	server.Fail(logtotest.Cut())
	res, err := http.Get(server.Endpoint() + "/oidc/jwks")
	if err == nil {
		defer res.Body.Close()
		_, err = io.ReadAll(res.Body)
	}
	if err == nil {
		t.Error("no error")
	}
}

// A program that only mints has no flag of net/http/httptest.
func TestLinksNoHTTPTest(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "internal/mint") {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, name := range strings.Fields(string(out)) {
		if strings.HasSuffix(name, "/httptest") {
			t.Errorf("links %s", name)
		}
	}
}

// What is refused is the test's business: no line of it comes between the test's own.
func TestSilent(t *testing.T) {
	var log bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	defer slog.SetDefault(before)
	for name, silent := range map[string]bool{"Config": true, "another logger": false} {
		synctest.Test(t, func(t *testing.T) {
			issuer := logtotest.NewIssuer(t)
			issuer.Fail(logtotest.Status(500))
			cfg := issuer.Config()
			if !silent {
				cfg.Logger = nil // the default one, so that the test would see a line
			}
			v, err := logto.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			w := httptest.NewRecorder()
			log.Reset()
			logto.Require(v)(http.NotFoundHandler()).ServeHTTP(w, issuer.Authorize(httptest.NewRequest("GET", "/", nil), logtotest.Token{}))
			synctest.Wait()
			if w.Code != 503 || (log.Len() == 0) != silent {
				t.Errorf("%s: status %d, log %q", name, w.Code, log.String())
			}
		})
	}
}

func TestRotate(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	for _, test := range []struct {
		name string
		ask  []string
		want string
	}{
		{"the default", nil, "ES384"},
		{"to RSA", []string{"RS256"}, "RS256"},
		{"stays RSA", nil, "RS256"},
	} {
		before := issuer.KeyID()
		issuer.Rotate(test.ask...)
		header, err := base64.RawURLEncoding.DecodeString(strings.Split(issuer.Token(logtotest.Token{}), ".")[0])
		if err != nil || !strings.Contains(string(header), `"alg":"`+test.want+`"`) || issuer.KeyID() == before {
			t.Errorf("%s: header %s, error %v", test.name, header, err)
		}
	}
}
