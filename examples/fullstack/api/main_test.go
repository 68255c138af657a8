package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/logtotest"
	"github.com/seed-70fe37f4/logto/revocation"
)

const (
	page       = "http://localhost:5180"
	signingKey = "a signing key"
)

// newAPI is the API in front of a fake Logto.
func newAPI(t *testing.T) (*logtotest.Issuer, http.Handler) {
	t.Helper()
	issuer := logtotest.NewIssuer(t)
	cfg := issuer.Config()
	cfg.ClientIDs = []string{logtotest.ClientID}
	cfg.Logger = slog.New(slog.DiscardHandler)
	list, err := revocation.New(revocation.Config{Logger: cfg.Logger})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Revoked = list.Check
	v, err := logto.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return issuer, newHandler(v, newReceivers(v, list, cfg.ClientIDs, signingKey), page)
}

func TestAPI(t *testing.T) {
	issuer, api := newAPI(t)
	realm := `Bearer realm="` + issuer.Endpoint() + `/oidc"`
	invalid := realm + `, error="invalid_token"`
	reader := logtotest.Token{User: "martha", Scopes: []string{"read:reports"}}

	tests := []struct {
		name      string
		path      string
		token     string
		status    int
		challenge string
		body      string
	}{
		{"no token", "/api/hello", "", 401, realm, "unauthorized"},
		{"the word undefined", "/api/hello", "undefined", 401, invalid, "invalid_token"},
		{"opaque token", "/api/hello", issuer.OpaqueToken(), 401, invalid, "invalid_token"},
		{"ID token", "/api/hello", issuer.IDToken("alice"), 401, invalid, "invalid_token"},
		{"tampered", "/api/hello", logtotest.BadSignature(issuer.Token(logtotest.Token{})), 401, invalid, "invalid_token"},
		{"expired", "/api/hello", issuer.Token(logtotest.Token{ExpiresIn: -time.Hour}), 401, invalid + `, error_description="The access token expired"`, "expired"},
		{"another API's", "/api/hello", issuer.Token(logtotest.Token{Audience: "https://other.example.test"}), 401, invalid, "invalid_token"},
		{"another application's", "/api/hello", issuer.Token(logtotest.Token{ClientID: "other-app"}), 401, invalid, "invalid_token"},
		{"a machine's", "/api/hello", issuer.Token(logtotest.Token{Machine: true, ClientID: logtotest.ClientID}), 403, "", "access_denied"},
		{"no scope", "/api/reports", issuer.Token(logtotest.Token{User: "alice"}), 403, realm + `, error="insufficient_scope", scope="read:reports"`, "insufficient_scope"},
		{"a user's", "/api/hello", issuer.Token(logtotest.Token{User: "alice"}), 200, "", `{"message":"Hello, alice!"}`},
		{"with the scope", "/api/reports", issuer.Token(reader), 200, "", "3 reports for martha"},
		{"with the scope, elsewhere", "/api/hello", issuer.Token(reader), 200, "", "Hello, martha!"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, test.path, nil)
			r.Header.Set("Origin", page)
			if test.token != "" {
				r.Header.Set("Authorization", "Bearer "+test.token)
			}
			w := httptest.NewRecorder()
			api.ServeHTTP(w, r)
			if w.Code != test.status || !strings.Contains(w.Body.String(), test.body) {
				t.Errorf("got %d %s, want %d %s", w.Code, w.Body, test.status, test.body)
			}
			if got := w.Header().Get("WWW-Authenticate"); got != test.challenge {
				t.Errorf("challenge %s, want %s", got, test.challenge)
			}
			// The page must be able to read a refusal too.
			if got := w.Header().Get("Access-Control-Allow-Origin"); got != page {
				t.Errorf("Access-Control-Allow-Origin %q, want %q", got, page)
			}
			if got := w.Header().Get("Access-Control-Expose-Headers"); !strings.EqualFold(got, "WWW-Authenticate, Retry-After") {
				t.Errorf("Access-Control-Expose-Headers %q", got)
			}
		})
	}
}

// What Logto takes back is refused with words that the page can read; a webhook
// that Logto has not signed takes nothing back.
func TestRevoked(t *testing.T) {
	issuer, api := newAPI(t)
	hello := func(token string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, "/api/hello", nil)
		r.Header.Set("Origin", page)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		return w
	}
	suspend := func(userID, key string) int {
		w := httptest.NewRecorder()
		api.ServeHTTP(w, suspension(t, "", userID, key))
		return w.Code
	}
	alice, martha := issuer.Token(logtotest.Token{User: "alice"}), issuer.Token(logtotest.Token{User: "martha"})

	if got := suspend("alice", "another key"); got != http.StatusUnauthorized {
		t.Errorf("a webhook signed by another key: got %d, want 401", got)
	}
	if w := hello(alice); w.Code != http.StatusOK {
		t.Errorf("alice, before: got %d %s, want 200", w.Code, w.Body)
	}
	if got := suspend("alice", signingKey); got != http.StatusOK {
		t.Errorf("the webhook: got %d, want 200", got)
	}
	w := hello(alice)
	if w.Code != http.StatusUnauthorized || !strings.Contains(w.Body.String(), `"error_description":"The access token was revoked"`) {
		t.Errorf("alice, after: got %d %s, want 401 and revoked", w.Code, w.Body)
	}
	if got, want := w.Header().Get("WWW-Authenticate"), `error="invalid_token", error_description="The access token was revoked"`; !strings.HasSuffix(got, want) {
		t.Errorf("challenge %s, want %s at its end", got, want)
	}
	if w := hello(martha); w.Code != http.StatusOK {
		t.Errorf("martha: got %d %s, want 200", w.Code, w.Body)
	}

	logout := func(token string) int {
		r := httptest.NewRequest(http.MethodPost, "/logto/logout", strings.NewReader("logout_token="+token))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		return w.Code
	}
	if got := logout(martha); got != http.StatusBadRequest {
		t.Errorf("an access token for a logout token: got %d, want 400", got)
	}
	if w := hello(martha); w.Code != http.StatusOK {
		t.Errorf("martha, before her sign-out: got %d %s, want 200", w.Code, w.Body)
	}
	if got := logout(issuer.LogoutToken("martha")); got != http.StatusOK {
		t.Errorf("the logout token: got %d, want 200", got)
	}
	if w := hello(martha); w.Code != http.StatusUnauthorized {
		t.Errorf("martha, signed out: got %d %s, want 401", w.Code, w.Body)
	}
}

// suspension is the webhook that Logto sends when a user is suspended.
func suspension(t *testing.T, origin, userID, key string) *http.Request {
	t.Helper()
	body := fmt.Sprintf(`{"event":"User.SuspensionStatus.Updated","createdAt":%q,"params":{"userId":%q},"data":{"id":%[2]q,"isSuspended":true}}`,
		time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), userID)
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(body))
	r, err := http.NewRequest(http.MethodPost, origin+"/logto/webhook", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Logto-Signature-Sha-256", hex.EncodeToString(mac.Sum(nil)))
	return r
}

func TestNoKeys(t *testing.T) {
	issuer, api := newAPI(t)
	issuer.Fail(logtotest.Status(http.StatusServiceUnavailable))
	r := httptest.NewRequest(http.MethodGet, "/api/hello", nil)
	r.Header.Set("Authorization", "Bearer "+issuer.Token(logtotest.Token{}))
	w := httptest.NewRecorder()
	api.ServeHTTP(w, r)
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || w.Header().Get("WWW-Authenticate") != "" {
		t.Errorf("got %d %v, want 503 with Retry-After and no challenge", w.Code, w.Header())
	}
}

// A preflight request has no token, and is answered for the page alone.
func TestPreflight(t *testing.T) {
	_, api := newAPI(t)
	tests := []struct {
		name, origin, method, headers string
		allowed                       bool
	}{
		{"another origin", "https://evil.example.test", "GET", "authorization", false},
		{"another method", page, "DELETE", "authorization", false},
		{"another header", page, "GET", "authorization,x-other", false},
		{"the page", page, "GET", "authorization", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodOptions, "/api/hello", nil)
			r.Header.Set("Origin", test.origin)
			r.Header.Set("Access-Control-Request-Method", test.method)
			r.Header.Set("Access-Control-Request-Headers", test.headers)
			w := httptest.NewRecorder()
			api.ServeHTTP(w, r)
			if got := w.Header().Get("Access-Control-Allow-Origin") != ""; w.Code != http.StatusNoContent || got != test.allowed {
				t.Errorf("got %d, allowed %v, want 204, %v", w.Code, got, test.allowed)
			}
		})
	}
}

func TestConfig(t *testing.T) {
	full := map[string]string{
		"LOGTO_ENDPOINT": "https://tenant.logto.app", "LOGTO_JWKS_URI": "https://tenant.logto.app/oidc/jwks",
		"LOGTO_AUDIENCE": "https://api.example.com", "LOGTO_CLIENT_ID": "app",
		"API_ADDR": "127.0.0.1:0", "PAGE_ORIGIN": page,
	}
	tests := []struct {
		name, variable, value, err string
		leeway                     time.Duration
	}{
		{"no endpoint", "LOGTO_ENDPOINT", "", "not set: LOGTO_ENDPOINT", 0},
		{"no client", "LOGTO_CLIENT_ID", "", "not set: LOGTO_CLIENT_ID", 0},
		{"no origin", "PAGE_ORIGIN", "", "not set: PAGE_ORIGIN", 0},
		{"a leeway that is none", "API_LEEWAY", "soon", `API_LEEWAY is "soon"`, 0},
		{"a negative leeway", "API_LEEWAY", "-1s", `API_LEEWAY is "-1s"`, 0},
		{"no leeway", "API_LEEWAY", "0s", "", -1},
		{"little leeway", "API_LEEWAY", "2s", "", 2 * time.Second},
		{"all set", "", "", "", 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cfg, err := configFromEnv(func(name string) string {
				if name == test.variable {
					return test.value
				}
				return full[name]
			})
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("error %v, want %s", err, test.err)
				}
				return
			}
			if err != nil || cfg.Leeway != test.leeway {
				t.Errorf("got leeway %v, %v, want %v", cfg.Leeway, err, test.leeway)
			}
			if _, err := logto.New(cfg); err != nil {
				t.Error(err)
			}
		})
	}
}

// run ends when its context does, and serves until then.
func TestRun(t *testing.T) {
	issuer := logtotest.NewServer(t)
	address := httptest.NewServer(nil)
	address.Close() // its port is free again
	addr := address.Listener.Addr().String()
	env := map[string]string{
		"LOGTO_ENDPOINT": issuer.Endpoint(), "LOGTO_JWKS_URI": issuer.Endpoint() + "/oidc/jwks",
		"LOGTO_AUDIENCE": logtotest.Audience, "LOGTO_CLIENT_ID": logtotest.ClientID,
		"API_ADDR": addr, "PAGE_ORIGIN": page, "LOGTO_SIGNING_KEY": signingKey,
	}
	ended := make(chan error, 1)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go func() { ended <- run(ctx, func(name string) string { return env[name] }) }()

	r, err := http.NewRequest(http.MethodGet, "http://"+addr+"/api/hello", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+issuer.Token(logtotest.Token{User: "alice"}))
	var res *http.Response
	for range 100 {
		if res, err = http.DefaultClient.Do(r); err == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(res.Body)
	res.Body.Close()
	if got, want := string(body), "{\"message\":\"Hello, alice!\"}\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for _, step := range []struct {
		name    string
		request *http.Request
		status  int
	}{
		{"the webhook", suspension(t, "http://"+addr, "alice", signingKey), http.StatusOK},
		{"alice, after it", r, http.StatusUnauthorized},
	} {
		res, err := http.DefaultClient.Do(step.request)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != step.status {
			t.Errorf("%s: got %d, want %d", step.name, res.StatusCode, step.status)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
