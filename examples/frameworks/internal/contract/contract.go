// Package contract is what every program of this module promises: whatever the
// framework, the same requests are answered in the same way, and behind a
// refused request nothing runs.
package contract

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/logtotest"
)

// The routes of a program. The test adds Chain, which has Ran behind the scope.
const (
	Hello  = "/api/hello"  // any valid token
	Things = "/api/things" // Scope
	Chain  = "/api/chain"  // Scope; then Ran.Middleware; then Ran
	Scope  = "read:things"
)

// Case is a request and how it must be answered.
type Case struct {
	Name          string
	Authorization []string // field lines
	Status        int
	Challenge     string // behind the realm
	Error         string // in the body; "" is not compared
	scopeOnly     bool   // only for routes that need Scope
}

// realm stands for every challenge that has nothing behind the realm.
const realm = ""

func cases(issuer *logtotest.Issuer) []Case {
	type tk = logtotest.Token
	bearer := func(token string) []string { return []string{"Bearer " + token} }
	scopes := []string{Scope}
	good := issuer.Token(tk{User: "alice", Scopes: scopes})
	const invalid = `, error="invalid_token"`
	return []Case{
		{"no token", nil, 401, realm, "unauthorized", false},
		{"another scheme", []string{"Basic YTpi"}, 401, realm, "unauthorized", false},
		{"two headers", append(bearer(good), bearer(good)...), 400, `, error="invalid_request"`, "", false},
		{"no JWT", bearer(issuer.OpaqueToken()), 401, invalid, "invalid_token", false},
		{"bad signature", bearer(logtotest.BadSignature(good)), 401, invalid, "invalid_token", false},
		{"ID token", bearer(issuer.IDToken("alice")), 401, invalid, "invalid_token", false},
		{"another API's", bearer(issuer.Token(tk{Audience: "https://other.example.test", Scopes: scopes})), 401, invalid, "invalid_token", false},
		{"expired", bearer(issuer.Token(tk{Scopes: scopes, ExpiresIn: -time.Hour})), 401,
			invalid + `, error_description="The access token expired"`, "invalid_token", false},
		{"scope missing", bearer(issuer.Token(tk{User: "alice", Scopes: []string{"read:other"}})), 403,
			`, error="insufficient_scope", scope="` + Scope + `"`, "insufficient_scope", true},
		{"scope of an organization", bearer(issuer.Token(tk{User: "alice", Scopes: scopes, Organization: "acme"})), 403, "none", "access_denied", true},
		{"organization that is no string", bearer(issuer.Token(tk{User: "alice", Scopes: scopes, Claims: map[string]any{"organization_id": 42}})), 403, "none", "access_denied", true},
		{"good", bearer(good), 200, "none", "", false},
		{"scheme in lower case", []string{"bearer " + good}, 200, "none", "", false},
	}
}

// Send sends a request to a route of a running program and returns the status
// and, of a 200, what the handler said.
type Send func(t *testing.T, c Case, route string) (status int, said string)

// Run tells a program by its answers. start runs it with the verifier and, where
// it has a chain, with Ran at the end of that. A program that configures more than
// tenant and audience does so by configure.
func Run(t *testing.T, routes []string, start func(t *testing.T, v *logto.Verifier, ran *Ran) Send, configure ...func(*logto.Config)) {
	t.Helper()
	t.Run("keys missing", func(t *testing.T) {
		issuer := logtotest.NewIssuer(t)
		issuer.Fail(logtotest.Status(503))
		ran := &Ran{}
		send := start(t, verifier(t, issuer, configure), ran)
		good := issuer.Token(logtotest.Token{User: "alice", Scopes: []string{Scope}})
		for _, c := range []Case{
			{"no token", nil, 401, realm, "unauthorized", false},
			{"good", []string{"Bearer " + good}, 503, "none", "temporarily_unavailable", false},
			{"bad signature", []string{"Bearer " + logtotest.BadSignature(good)}, 503, "none", "temporarily_unavailable", false},
		} {
			expect(t, send, ran, c, routes)
		}
	})

	issuer := logtotest.NewIssuer(t)
	ran := &Ran{}
	send := start(t, verifier(t, issuer, configure), ran)
	for _, c := range cases(issuer) {
		expect(t, send, ran, c, routes)
	}
	// Frameworks reuse their contexts: nobody may meet the user before.
	t.Run("many users at once", func(t *testing.T) {
		var wg sync.WaitGroup
		for n := range 4 {
			wg.Go(func() {
				name := fmt.Sprintf("user-%d", n)
				good := Case{Authorization: []string{"Bearer " + issuer.Token(logtotest.Token{User: name, Scopes: []string{Scope}})}, Status: 200, Challenge: "none"}
				for range 5 {
					if status, said := send(t, good, Hello); status != 200 || said != "Hello, "+name+"!" {
						t.Errorf("%s: got %d %q", name, status, said)
					}
					if status, said := send(t, Case{Status: 401, Error: "unauthorized"}, Hello); status != 401 {
						t.Errorf("after %s, without a token: got %d %q", name, status, said)
					}
				}
			})
		}
		wg.Wait()
	})
}

func verifier(t *testing.T, issuer *logtotest.Issuer, configure []func(*logto.Config)) *logto.Verifier {
	t.Helper()
	cfg := issuer.Config()
	cfg.Logger = slog.New(slog.DiscardHandler)
	for _, change := range configure {
		change(&cfg)
	}
	v, err := logto.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func expect(t *testing.T, send Send, ran *Ran, c Case, routes []string) {
	t.Helper()
	for _, route := range routes {
		if c.scopeOnly && route == Hello {
			continue
		}
		t.Run(c.Name+" "+route, func(t *testing.T) {
			middleware, handler := ran.middleware.Load(), ran.handler.Load()
			status, said := send(t, c, route)
			if status != c.Status {
				t.Errorf("status: got %d, want %d", status, c.Status)
			}
			if want := "Hello, alice!"; c.Status == 200 && said != want {
				t.Errorf("said: got %q, want %q", said, want)
			}
			want := int64(0)
			if c.Status == 200 && route == Chain {
				want = 1
			}
			if got := ran.middleware.Load() - middleware; got != want {
				t.Errorf("the middleware behind ran %d times, want %d", got, want)
			}
			if got := ran.handler.Load() - handler; got != want {
				t.Errorf("the handler behind ran %d times, want %d", got, want)
			}
		})
	}
}

// Ran counts what runs behind a protected route: a middleware, then a handler.
type Ran struct{ middleware, handler atomic.Int64 }

// Middleware counts.
func (ran *Ran) Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ran.CountMiddleware()
		next.ServeHTTP(w, r)
	})
}

// ServeHTTP counts and greets.
func (ran *Ran) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_ = json.NewEncoder(w).Encode(ran.Greet(logto.UserID(r.Context())))
}

// Want fails the test if the handler didn't run so many times.
func (ran *Ran) Want(t *testing.T, times int64) {
	t.Helper()
	if got := ran.handler.Load(); got != times {
		t.Errorf("the handler ran %d times, want %d", got, times)
	}
}

// CountMiddleware is Middleware for frameworks that have their own kind.
func (ran *Ran) CountMiddleware() { ran.middleware.Add(1) }

// Greet is ServeHTTP for frameworks that have their own kind.
func (ran *Ran) Greet(user string) map[string]string {
	ran.handler.Add(1)
	return map[string]string{"message": "Hello, " + user + "!"}
}

// HTTP runs the contract against a program that speaks HTTP, all of its answers
// included: challenge, Retry-After, body. start returns its address.
func HTTP(t *testing.T, start func(t *testing.T, v *logto.Verifier, ran *Ran) (url string)) {
	t.Helper()
	Run(t, []string{Hello, Things, Chain}, func(t *testing.T, v *logto.Verifier, ran *Ran) Send {
		url := start(t, v, ran)
		return func(t *testing.T, c Case, route string) (int, string) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+route, nil)
			if err != nil {
				t.Error(err)
				return 0, ""
			}
			req.Header["Authorization"] = c.Authorization
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Error(err)
				return 0, ""
			}
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			if err != nil {
				t.Error(err)
			}
			CheckHeader(t, c, res.Header)
			var answer struct{ Message, Error string }
			if c.Error == "" && res.StatusCode != 200 {
				return res.StatusCode, ""
			}
			// A handler that ran although the request was refused would have
			// added its own text: json.Unmarshal takes one value only.
			if err := json.Unmarshal(body, &answer); err != nil {
				t.Errorf("body %q: %v", body, err)
			}
			if answer.Error != c.Error || c.Status != 200 && answer.Message != "" {
				t.Errorf("body: got %q, want error %q", body, c.Error)
			}
			return res.StatusCode, answer.Message
		}
	})
}

// CheckHeader checks the challenge and Retry-After of an answer.
func CheckHeader(t *testing.T, c Case, h http.Header) {
	t.Helper()
	want := []string{`Bearer realm="https://logto.example.test/oidc"` + c.Challenge}
	if c.Challenge == "none" {
		want = nil
	}
	got := h.Values("WWW-Authenticate")
	if c.Status == 401 && len(got) == 1 {
		// Where one Require asks for token and scope, the 401 names the scope, too.
		got[0] = strings.TrimSuffix(got[0], `, scope="`+Scope+`"`)
	}
	if c.Status != 400 && strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("challenge: got %q, want %q", got, want)
	}
	if got := h.Get("Retry-After"); (got != "") != (c.Status == 503) {
		t.Errorf("Retry-After: got %q with status %d", got, c.Status)
	}
}

// Serve runs a handler until the test ends and returns its address.
func Serve(t *testing.T, h http.Handler) string {
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}
