package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-70fe37f4/logto/logtotest"
)

// service is the program, with an issuer in memory in place of a Logto.
type service struct {
	issuer *logtotest.Issuer
	server *http.Server
	log    *logBuffer
}

// logBuffer is for several goroutines: the library logs fetches of the key set from one of
// its own.
type logBuffer struct {
	mu    sync.Mutex
	lines bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lines.Write(p)
}

// take gives what was logged since it was last called.
func (b *logBuffer) take() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.lines.Reset()
	return b.lines.String()
}

func newService(t *testing.T, ctx context.Context, isAdmin func(context.Context, string) (bool, error)) *service {
	t.Helper()
	s := &service{issuer: logtotest.NewIssuer(t), log: &logBuffer{}}
	cfg := s.issuer.Config()
	cfg.Logger = slog.New(slog.NewJSONHandler(s.log, nil))
	env := map[string]string{"LOGTO_SIGNING_KEY": s.issuer.SigningKey()}
	var err error
	if s.server, err = newServer(ctx, cfg, func(name string) string { return env[name] }, isAdmin); err != nil {
		t.Fatal(err)
	}
	return s
}

// send sends a request with a token, or without one.
func (s *service) send(method, path, token string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	s.server.Handler.ServeHTTP(w, r)
	return w
}

// deliver sends a webhook of Logto's.
func (s *service) deliver(webhook *http.Request) int {
	webhook.URL.Path = "/logto/webhook"
	w := httptest.NewRecorder()
	s.server.Handler.ServeHTTP(w, webhook)
	return w.Code
}

// problemOf is the answer's code, after a look at all that every refusal has.
func problemOf(t *testing.T, w *httptest.ResponseRecorder) string {
	t.Helper()
	var body struct {
		Title, Detail, Code string
		Status              int
	}
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
		t.Errorf("%v: %s", err, w.Body)
	}
	if body.Title != http.StatusText(w.Code) || body.Detail == "" || body.Status != w.Code ||
		w.Header().Get("Content-Type") != "application/problem+json" || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%s\n%v", w.Body, w.Header())
	}
	return body.Code
}

func TestRoutes(t *testing.T) {
	type token = logtotest.Token
	scopes := func(scopes ...string) []string { return scopes }
	plan := func(plan any) map[string]any { return map[string]any{"plan": plan} }
	const realm = `Bearer realm="REALM"`
	const lacks, bad = `, error="insufficient_scope", scope=`, `, error="invalid_token"`
	const expired = bad + `, error_description="The access token expired"`

	for _, test := range []struct {
		name, method, path string
		token              *token // nil is none
		status             int
		challenge, answer  string // the answer's code, if it is refused, else its body
	}{
		{"public: a bad token", "GET", "/feed", &token{Audience: "https://other.test"}, 401, realm + bad, "invalid_token"},
		{"public: expired", "GET", "/feed", &token{ExpiresIn: -time.Hour}, 401, realm + expired, "invalid_token"},
		{"public: a stranger", "GET", "/feed", nil, 200, "", "Hello, stranger!\n"},
		{"public: a user", "GET", "/feed", &token{User: "alice"}, 200, "", "Hello, alice!\n"},

		{"user: no token", "GET", "/account/profile", nil, 401, realm, "unauthorized"},
		{"user: expired", "GET", "/account/profile", &token{ExpiresIn: -time.Hour}, 401, realm + expired, "invalid_token"},
		{"user: a machine", "GET", "/account/profile", &token{Machine: true}, 403, "", "access_denied"},
		{"user: a user", "GET", "/account/profile", &token{User: "bob"}, 200, "", "Hello, bob!\n"},

		{"stricter: no token", "POST", "/account/erase", nil, 401, realm, "unauthorized"},
		{"stricter: no scope", "POST", "/account/erase", &token{User: "bob"}, 403, realm + lacks + `"erase:account"`, "insufficient_scope"},
		{"stricter: a machine", "POST", "/account/erase", &token{Machine: true, Scopes: scopes("erase:account")}, 403, "", "access_denied"},
		{"stricter: a user", "POST", "/account/erase", &token{User: "carol", Scopes: scopes("erase:account")}, 200, "", "Hello, carol!\n"},

		{"scopes: no token", "GET", "/things", nil, 401, realm + `, scope="read:things"`, "unauthorized"},
		{"scopes: expired", "GET", "/things", &token{Scopes: scopes("read:things"), ExpiresIn: -time.Hour}, 401, realm + expired + `, scope="read:things"`, "invalid_token"},
		{"scopes: no scope", "GET", "/things", &token{User: "bob"}, 403, realm + lacks + `"read:things"`, "insufficient_scope"},
		{"scopes: of an organization", "GET", "/things", &token{Organization: "acme", Scopes: scopes("read:things")}, 403, "", "access_denied"},
		{"scopes: a user", "GET", "/things", &token{User: "alice", Scopes: scopes("read:things")}, 200, "", "Hello, alice!\n"},
		{"scopes: a machine", "GET", "/things", &token{Machine: true, Scopes: scopes("read:things")}, 200, "", "Hello, stranger!\n"},

		{"any scope: another", "GET", "/reports", &token{Scopes: scopes("read:things")}, 403, realm + lacks + `"read:reports admin"`, "insufficient_scope"},
		{"any scope: the first", "GET", "/reports", &token{User: "alice", Scopes: scopes("read:reports")}, 200, "", "Hello, alice!\n"},
		{"any scope: the second", "GET", "/reports", &token{User: "carol", Scopes: scopes("admin")}, 200, "", "Hello, carol!\n"},

		{"organization: none", "GET", "/organizations/acme/orders", &token{User: "alice", Scopes: scopes("read:orders")}, 403, "", "access_denied"},
		{"organization: of another", "GET", "/organizations/acme/orders", &token{User: "carol", Organization: "umbrella", Scopes: scopes("read:orders")}, 403, "", "access_denied"},
		{"organization: no scope", "GET", "/organizations/acme/orders", &token{User: "bob", Organization: "acme"}, 403, realm + lacks + `"read:orders"`, "insufficient_scope"},
		{"organization: a member", "GET", "/organizations/acme/orders", &token{User: "alice", Organization: "acme", Scopes: scopes("read:orders")}, 200, "", "Hello, alice!\n"},

		{"machine: a user", "POST", "/sync", &token{User: "alice", Scopes: scopes("sync")}, 403, "", "access_denied"},
		{"machine: no scope", "POST", "/sync", &token{Machine: true}, 403, realm + lacks + `"sync"`, "insufficient_scope"},
		{"machine: a machine", "POST", "/sync", &token{Machine: true, Scopes: scopes("sync")}, 200, "", "Hello, stranger!\n"},

		{"plan: none", "GET", "/export", &token{User: "carol"}, 403, "", "access_denied"},
		{"plan: another", "GET", "/export", &token{User: "bob", Claims: plan("free")}, 403, "", "access_denied"},
		{"plan: no text", "GET", "/export", &token{User: "bob", Claims: plan(1)}, 403, "", "access_denied"},
		{"plan: another claim", "GET", "/export", &token{User: "bob", Claims: map[string]any{"Plan": "pro"}}, 403, "", "access_denied"},
		{"plan: a machine", "GET", "/export", &token{Machine: true, Claims: plan("pro")}, 403, "", "access_denied"},
		{"plan: pro", "GET", "/export", &token{User: "alice", Claims: plan("pro")}, 200, "", "Hello, alice!\n"},

		{"admin: no scope", "GET", "/admin/users", &token{User: "carol"}, 403, realm + lacks + `"admin"`, "insufficient_scope"},
		{"admin: not in the database", "GET", "/admin/users", &token{User: "alice", Scopes: scopes("admin")}, 403, "", "access_denied"},
		{"admin: a machine", "GET", "/admin/users", &token{Machine: true, ClientID: "carol", Scopes: scopes("admin")}, 403, "", "access_denied"},
		{"admin: of an organization", "GET", "/admin/users", &token{User: "carol", Organization: "acme", Scopes: scopes("admin")}, 403, "", "access_denied"},
		{"admin: in the database", "GET", "/admin/users", &token{User: "carol", Scopes: scopes("admin")}, 200, "", "Hello, carol!\n"},

		{"stream: no token", "GET", "/events", nil, 401, realm, "unauthorized"},
		{"stream: a machine", "GET", "/events", &token{Machine: true}, 403, "", "access_denied"},
		{"stream: a user", "GET", "/events", &token{ExpiresIn: time.Second}, 200, "", "data: 2000-01-01T00:00:00Z\n\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // where a stream that begins comes to its end
				s := newService(t, t.Context(), isAdmin)
				var raw string
				if test.token != nil {
					raw = s.issuer.Token(*test.token)
				}
				w := s.send(test.method, test.path, raw)
				answer := w.Body.String()
				if w.Code != 200 {
					answer = problemOf(t, w)
				}
				challenge := strings.Replace(test.challenge, "REALM", s.issuer.Endpoint()+"/oidc", 1)
				if got := w.Header().Get("WWW-Authenticate"); w.Code != test.status || got != challenge || answer != test.answer {
					t.Errorf("status %d, want %d; answer %q, want %q; challenge\n%s, want\n%s", w.Code, test.status, answer, test.answer, got, challenge)
				}
			})
		})
	}
}

// A suspended user is refused by every route from the next request on, others are not.
func TestSuspended(t *testing.T) {
	s := newService(t, t.Context(), isAdmin)
	all := []string{"read:things", "read:reports", "erase:account", "admin"}
	carol := s.issuer.Token(logtotest.Token{User: "carol", Scopes: all, Claims: map[string]any{"plan": "pro"}})
	member := s.issuer.Token(logtotest.Token{User: "carol", Organization: "acme", Scopes: []string{"read:orders"}})
	bob := s.issuer.Token(logtotest.Token{User: "bob"})
	routes := [][3]string{
		{"GET", "/feed", carol}, {"GET", "/account/profile", carol}, {"POST", "/account/erase", carol}, {"GET", "/things", carol},
		{"GET", "/reports", carol}, {"GET", "/organizations/acme/orders", member}, {"GET", "/export", carol}, {"GET", "/admin/users", carol},
	}
	for _, route := range routes {
		if w := s.send(route[0], route[1], route[2]); w.Code != 200 {
			t.Errorf("%s before: status %d, %s", route[1], w.Code, w.Body)
		}
	}
	if status := s.deliver(logtotest.NewIssuer(t).Suspend("carol")); status != 401 {
		t.Errorf("a forged webhook: status %d", status)
	}
	if w := s.send("GET", "/feed", carol); w.Code != 200 {
		t.Errorf("after a forged webhook: status %d", w.Code)
	}
	if status := s.deliver(s.issuer.Suspend("carol")); status != 200 {
		t.Errorf("the webhook: status %d", status)
	}
	for _, route := range append(routes, [3]string{"GET", "/events", carol}) {
		w := s.send(route[0], route[1], route[2])
		if code := problemOf(t, w); w.Code != 401 || code != "invalid_token" || !strings.Contains(w.Header().Get("WWW-Authenticate"), "was revoked") {
			t.Errorf("%s: status %d, %s, %v", route[1], w.Code, w.Body, w.Header())
		}
	}
	if w := s.send("GET", "/account/profile", bob); w.Code != 200 {
		t.Errorf("bob: status %d, %s", w.Code, w.Body)
	}
}

// A database that can't say is no refusal.
func TestDatabase(t *testing.T) {
	for _, test := range []struct {
		name       string
		ok         bool
		err        error
		status     int
		code       string
		retryAfter string
		reason     string
	}{
		{"down", false, errors.New("no connection"), 503, "temporarily_unavailable", "1", "check_unavailable"},
		{"down, and says yes", true, errors.New("no connection"), 503, "temporarily_unavailable", "1", "check_unavailable"},
		{"no", false, nil, 403, "access_denied", "", "check"},
		{"yes", true, nil, 200, "", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			asked := ""
			s := newService(t, t.Context(), func(_ context.Context, user string) (bool, error) {
				asked = user
				return test.ok, test.err
			})
			w := s.send("GET", "/admin/users", s.issuer.Token(logtotest.Token{User: "erin", Scopes: []string{"admin"}}))
			code := ""
			if w.Code != 200 {
				code = problemOf(t, w)
			}
			if w.Code != test.status || code != test.code || w.Header().Get("Retry-After") != test.retryAfter || asked != "erin" {
				t.Errorf("status %d, %s, %v; asked for %q", w.Code, w.Body, w.Header(), asked)
			}
			if log := s.log.take(); !strings.Contains(log, `"user":"erin","reason":"`+test.reason+`"`) {
				t.Errorf("log %s", log)
			}
			if strings.Contains(w.Body.String(), "no connection") {
				t.Errorf("the client learns %s", w.Body)
			}
			asked = "nobody"
			w = s.send("GET", "/admin/users", s.issuer.Token(logtotest.Token{Machine: true, Scopes: []string{"admin"}}))
			if w.Code != 403 || asked != "nobody" {
				t.Errorf("a machine: status %d, asked for %q", w.Code, asked)
			}
		})
	}
}
