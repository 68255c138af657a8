package logto_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/logtotest"
)

// The answers, by the challenge's part behind the realm.
const (
	noChallenge  = "none"
	onlyRealm    = ""
	badRequest   = `, error="invalid_request"`
	invalidToken = `, error="invalid_token"`
	expired      = `, error="invalid_token", error_description="The access token expired"`
	revokedToken = `, error="invalid_token", error_description="The access token was revoked"`
)

var errSuspended = errors.New("the user is suspended")

// TestContract is what a service may rely on: for each request, the status and
// the challenge.
func TestContract(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	cfg := issuer.Config(logtotest.Audience, "https://second.example.test")
	cfg.ClientIDs = []string{logtotest.ClientID, "machine"}
	cfg.OrganizationTokens = true
	cfg.Logger = capture
	v := newVerifier(t, cfg)

	hello := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "Hello, "+logto.UserID(r.Context())+"!")
	})
	orgOfPath := logto.Organization(func(r *http.Request) string { return r.PathValue("org") })
	suspended := logto.Check(func(_ *http.Request, c *logto.Claims) error {
		if c.Subject() == "mallory" {
			return errSuspended
		}
		return nil
	})
	inner := http.NewServeMux()
	inner.Handle("GET /orgs/{org}/nested", logto.Require(v, logto.Scopes("read"))(hello))

	mux := http.NewServeMux()
	for pattern, protect := range map[string]func(http.Handler) http.Handler{
		"/any":             logto.Require(v),
		"/optional":        logto.Optional(v),
		"/read":            logto.Require(v, logto.Scopes("read")),
		"/read-write":      logto.Require(v, logto.Scopes("read"), logto.Scopes("write", "list")),
		"/read-or-write":   logto.Require(v, logto.AnyScope("read", "write")),
		"/orgs/{org}":      logto.Require(v, orgOfPath),
		"/orgs/{org}/read": logto.Require(v, logto.Scopes("read"), orgOfPath),
		"/path/{org}":      logto.Require(v, logto.OrganizationPath("org"), logto.Scopes("read")),
		"/typo/{org}":      logto.Require(v, logto.OrganizationPath("organization")),
		"/org":             logto.Require(v, logto.AnyOrganization()),
		"/org/read":        logto.Require(v, logto.AnyOrganization(), logto.Scopes("read")),
		"/no-org":          logto.Require(v, logto.Organization(func(*http.Request) string { return "" })),
		"/users":           logto.Require(v, logto.Users()),
		"/machines":        logto.Require(v, logto.Machines()),
		"/checked":         logto.Require(v, suspended),
		"/twice":           func(h http.Handler) http.Handler { return logto.Require(v)(logto.Require(v, logto.Scopes("read"))(h)) },
	} {
		mux.Handle(pattern, protect(hello))
	}
	mux.Handle("/orgs/{org}/nested", logto.Require(v, orgOfPath)(inner))

	type tk = logtotest.Token
	bearer := func(token tk) []string { return []string{"Bearer " + issuer.Token(token)} }
	claim := func(name string, value any) []string { return bearer(tk{Claims: map[string]any{name: value}}) }
	header := func(name string, value any) []string { return bearer(tk{Header: map[string]any{name: value}}) }
	good := issuer.Token(tk{})

	for _, test := range []struct {
		name, path    string
		authorization []string
		status        int
		challenge     string
		body          string // of a 200
	}{
		// No token: 401 without an error code (RFC 6750 section 3.1).
		{"no header", "/any", nil, 401, onlyRealm, ""},
		{"empty header", "/any", []string{""}, 401, onlyRealm, ""},
		{"Basic", "/any", []string{"Basic dXNlcjpwYXNz"}, 401, onlyRealm, ""},
		{"Digest", "/any", []string{`Digest username="u", realm="r"`}, 401, onlyRealm, ""},
		{"Negotiate", "/any", []string{"Negotiate"}, 401, onlyRealm, ""},

		// Malformed credentials: 400.
		{"two headers", "/any", []string{"Bearer " + good, "Bearer " + good}, 400, badRequest, ""},
		{"two headers, Basic first", "/any", []string{"Basic dXNlcjpwYXNz", "Bearer " + good}, 400, badRequest, ""},
		{"padded", "/any", []string{"Bearer " + good + "="}, 401, invalidToken, ""},
		{"scheme alone", "/any", []string{"Bearer"}, 400, badRequest, ""},
		{"scheme and space", "/any", []string{"Bearer "}, 400, badRequest, ""},
		{"tab", "/any", []string{"Bearer\t" + good}, 400, badRequest, ""},
		{"space and tab", "/any", []string{"Bearer \t" + good}, 400, badRequest, ""},
		{"two tokens", "/any", []string{"Bearer " + good + " " + good}, 400, badRequest, ""},
		{"folded with a comma", "/any", []string{"Bearer " + good + ", Bearer " + good}, 400, badRequest, ""},
		{"folded behind Basic", "/any", []string{"Basic dXNlcjpwYXNz,Bearer " + good}, 400, badRequest, ""},
		{"colon", "/any", []string{"Bearer: " + good}, 400, badRequest, ""},
		{"comma", "/any", []string{"Bearer," + good}, 400, badRequest, ""},
		{"quoted", "/any", []string{`Bearer "` + good + `"`}, 400, badRequest, ""},
		{"no scheme", "/any", []string{good}, 400, badRequest, ""},
		{"no space", "/any", []string{"Bearer" + good}, 400, badRequest, ""},
		{"longer scheme", "/any", []string{"Bearertoken " + good}, 400, badRequest, ""},
		{"all quoted", "/any", []string{`"Bearer ` + good + `"`}, 400, badRequest, ""},
		{"optional, no scheme", "/optional", []string{good}, 400, badRequest, ""},
		{"optional, no space", "/optional", []string{"Bearer" + good}, 400, badRequest, ""},
		{"obs-fold", "/any", []string{"Bearer\r\n " + good}, 400, badRequest, ""},
		{"trailing space", "/any", []string{"Bearer " + good + " "}, 400, badRequest, ""},
		{"only padding", "/any", []string{"Bearer ==="}, 400, badRequest, ""},
		{"optional, malformed", "/optional", []string{"Bearer"}, 400, badRequest, ""},

		// Bad tokens: 401, and the client learns nothing but "expired".
		{"opaque", "/any", []string{"Bearer " + issuer.OpaqueToken()}, 401, invalidToken, ""},
		{"undefined", "/any", []string{"Bearer undefined"}, 401, invalidToken, ""},
		{"over-long", "/any", []string{"Bearer " + strings.Repeat("x", 1<<20)}, 401, invalidToken, ""},
		{"over-long, malformed", "/any", []string{"Bearer " + strings.Repeat("x ", 1<<20)}, 401, invalidToken, ""},
		{"over-long, another scheme", "/any", []string{"Basic " + strings.Repeat("x,", 1<<20)}, 401, onlyRealm, ""},
		{"ID token", "/any", []string{"Bearer " + issuer.IDToken("alice")}, 401, invalidToken, ""},
		{"logout token", "/any", []string{"Bearer " + issuer.LogoutToken("alice")}, 401, invalidToken, ""},
		{"bad signature", "/any", []string{"Bearer " + logtotest.BadSignature(good)}, 401, invalidToken, ""},
		{"expired", "/any", bearer(tk{ExpiresIn: -time.Minute}), 401, expired, ""},
		{"other audience", "/any", bearer(tk{Audience: "https://other.example.test"}), 401, invalidToken, ""},
		{"audience with a slash", "/any", bearer(tk{Audience: logtotest.Audience + "/"}), 401, invalidToken, ""},
		{"organizations resource", "/any", bearer(tk{Audience: "urn:logto:resource:organizations"}), 401, invalidToken, ""},
		{"organization URN without ID", "/any", bearer(tk{Audience: "urn:logto:organization:"}), 401, invalidToken, ""},
		{"other issuer", "/any", claim("iss", "https://evil.example.test/oidc"), 401, invalidToken, ""},
		{"other client", "/any", bearer(tk{ClientID: "other-app"}), 401, invalidToken, ""},
		{"bound to a key", "/any", claim("cnf", map[string]any{"jkt": "x"}), 401, invalidToken, ""},
		{"type JWT", "/any", header("typ", "JWT"), 401, invalidToken, ""},
		{"no type", "/any", header("typ", nil), 401, invalidToken, ""},
		{"optional, bad", "/optional", []string{"Bearer " + logtotest.BadSignature(good)}, 401, invalidToken, ""},

		// Good tokens.
		{"good", "/any", []string{"Bearer " + good}, 200, "", "Hello, user!"},
		{"lower case", "/any", []string{"bearer " + good}, 200, "", "Hello, user!"},
		{"upper case", "/any", []string{"BEARER " + good}, 200, "", "Hello, user!"},
		{"two spaces", "/any", []string{"Bearer  " + good}, 200, "", "Hello, user!"},
		{"second audience", "/any", bearer(tk{Audience: "https://second.example.test"}), 200, "", "Hello, user!"},
		{"array of audiences", "/any", claim("aud", []string{"x", logtotest.Audience}), 200, "", "Hello, user!"},
		{"type in full", "/any", header("typ", "Application/AT+JWT"), 200, "", "Hello, user!"},
		{"machine", "/any", bearer(tk{Machine: true}), 200, "", "Hello, !"},
		{"organization token", "/any", bearer(tk{Organization: "o1", OrganizationOnly: true}), 200, "", "Hello, user!"},
		{"organization of another type", "/any", claim("organization_id", 42), 200, "", "Hello, user!"},
		{"optional, anonymous", "/optional", nil, 200, "", "Hello, !"},
		{"optional, Basic", "/optional", []string{"Basic dXNlcjpwYXNz"}, 200, "", "Hello, !"},
		{"optional, good", "/optional", []string{"Bearer " + good}, 200, "", "Hello, user!"},

		// Scopes.
		{"no scope", "/read", bearer(tk{}), 403, scope("read"), ""},
		{"no scope claim", "/read", claim("scope", nil), 403, scope("read"), ""},
		{"other scope", "/read", bearer(tk{Scopes: []string{"reader", "READ", "rea"}}), 403, scope("read"), ""},
		{"scope behind a tab", "/read", bearer(tk{Scopes: []string{"write\tread"}}), 403, scope("read"), ""},
		{"scope", "/read", bearer(tk{Scopes: []string{"x", "read", "y"}}), 200, "", "Hello, user!"},
		{"one of three", "/read-write", bearer(tk{Scopes: []string{"read"}}), 403, scope("read write list"), ""},
		{"two of three", "/read-write", bearer(tk{Scopes: []string{"read", "write"}}), 403, scope("read write list"), ""},
		{"three of three", "/read-write", bearer(tk{Scopes: []string{"list", "read", "write"}}), 200, "", "Hello, user!"},
		{"none of any", "/read-or-write", bearer(tk{Scopes: []string{"list"}}), 403, scope("read write"), ""},
		{"one of any", "/read-or-write", bearer(tk{Scopes: []string{"write"}}), 200, "", "Hello, user!"},
		{"inner route", "/twice", bearer(tk{}), 403, scope("read"), ""},
		{"inner route, scope", "/twice", bearer(tk{Scopes: []string{"read"}}), 200, "", "Hello, user!"},

		// Organizations: a scope granted in one proves nothing outside of it.
		{"scope in an organization", "/read", bearer(tk{Scopes: []string{"read"}, Organization: "o1"}), 403, noChallenge, ""},
		{"scope in an organization, by audience", "/read", bearer(tk{Scopes: []string{"read"}, Organization: "o1", OrganizationOnly: true}), 403, noChallenge, ""},
		{"any scope in an organization", "/read-or-write", bearer(tk{Scopes: []string{"read"}, Organization: "o1"}), 403, noChallenge, ""},
		{"scope, organization of another type", "/read", bearer(tk{Scopes: []string{"read"}, Claims: map[string]any{"organization_id": 42}}), 403, noChallenge, ""},
		{"no organization", "/orgs/o1", bearer(tk{}), 403, noChallenge, ""},
		{"other organization", "/orgs/o1", bearer(tk{Organization: "o2"}), 403, noChallenge, ""},
		{"organization in an array", "/orgs/o1", claim("organization_id", []string{"o1"}), 403, noChallenge, ""},
		{"two organizations", "/orgs/o1", bearer(tk{Organization: "o1", OrganizationOnly: true, Claims: map[string]any{"organization_id": "o2"}}), 403, noChallenge, ""},
		{"two organization audiences", "/orgs/o1", claim("aud", []string{"urn:logto:organization:o1", "urn:logto:organization:o2"}), 403, noChallenge, ""},
		{"empty organization, empty claim", "/no-org", claim("organization_id", ""), 403, noChallenge, ""},
		{"empty organization, no claim", "/no-org", bearer(tk{}), 403, noChallenge, ""},
		{"no organization, by path", "/path/o1", bearer(tk{Scopes: []string{"read"}}), 403, noChallenge, ""},
		{"other organization, by path", "/path/o1", bearer(tk{Organization: "o2", Scopes: []string{"read"}}), 403, noChallenge, ""},
		{"organization by path, no scope", "/path/o1", bearer(tk{Organization: "o1"}), 403, scope("read"), ""},
		{"organization by path", "/path/o1", bearer(tk{Organization: "o1", Scopes: []string{"read"}}), 200, "", "Hello, user!"},
		{"path has no such name", "/typo/o1", bearer(tk{Organization: "o1"}), 403, noChallenge, ""},
		{"path has no such name, empty claim", "/typo/o1", claim("organization_id", ""), 403, noChallenge, ""},
		{"path has no such name, no claim", "/typo/o1", bearer(tk{}), 403, noChallenge, ""},
		{"organization", "/orgs/o1", bearer(tk{Organization: "o1"}), 200, "", "Hello, user!"},
		{"organization by audience", "/orgs/o1", bearer(tk{Organization: "o1", OrganizationOnly: true}), 200, "", "Hello, user!"},
		{"organization, no scope", "/orgs/o1/read", bearer(tk{Organization: "o1"}), 403, scope("read"), ""},
		{"in the order given, scope first", "/orgs/o1/read", bearer(tk{Organization: "o2"}), 403, scope("read"), ""},
		{"organization and scope", "/orgs/o1/read", bearer(tk{Organization: "o1", Scopes: []string{"read"}}), 200, "", "Hello, user!"},
		{"nested, other organization", "/orgs/o1/nested", bearer(tk{Organization: "o2", Scopes: []string{"read"}}), 403, noChallenge, ""},
		{"nested, no scope", "/orgs/o1/nested", bearer(tk{Organization: "o1"}), 403, scope("read"), ""},
		{"nested", "/orgs/o1/nested", bearer(tk{Organization: "o1", Scopes: []string{"read"}}), 200, "", "Hello, user!"},
		{"any organization, none", "/org", bearer(tk{}), 403, noChallenge, ""},
		{"any organization, null", "/org", []string{"Bearer " + rawClaim(issuer, `"organization_id":null`)}, 403, noChallenge, ""},
		{"any organization", "/org", bearer(tk{Organization: "o9"}), 200, "", "Hello, user!"},
		{"any organization, no scope", "/org/read", bearer(tk{Organization: "o9"}), 403, scope("read"), ""},
		{"any organization, scope", "/org/read", bearer(tk{Organization: "o9", Scopes: []string{"read"}}), 200, "", "Hello, user!"},

		// Users, machines, Check.
		{"machine for users", "/users", bearer(tk{Machine: true}), 403, noChallenge, ""},
		{"user for users", "/users", bearer(tk{}), 200, "", "Hello, user!"},
		{"user for machines", "/machines", bearer(tk{}), 403, noChallenge, ""},
		{"machine for machines", "/machines", bearer(tk{Machine: true}), 200, "", "Hello, !"},
		{"Check refuses", "/checked", bearer(tk{User: "mallory"}), 403, noChallenge, ""},
		{"Check allows", "/checked", bearer(tk{User: "alice"}), 200, "", "Hello, alice!"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", test.path, nil)
			if test.authorization != nil {
				r.Header["Authorization"] = test.authorization
			}
			w := httptest.NewRecorder()
			mux.ServeHTTP(w, r)
			checkAnswer(t, w, test.status, test.challenge, issuer.Endpoint()+"/oidc")
			if test.status == 200 && w.Body.String() != test.body {
				t.Errorf("body %q, want %q", w.Body, test.body)
			}
		})
	}
}

func scope(s string) string { return `, error="insufficient_scope", scope="` + s + `"` }

// checkAnswer compares an answer with the table and with what holds for all.
func checkAnswer(t *testing.T, w *httptest.ResponseRecorder, status int, challenge, issuer string) {
	t.Helper()
	if w.Code != status {
		t.Fatalf("status %d, want %d; body %s", w.Code, status, w.Body)
	}
	if status == 200 {
		return
	}
	want := `Bearer realm="` + issuer + `"` + challenge
	if challenge == noChallenge {
		want = ""
	}
	if got := w.Header().Get("WWW-Authenticate"); got != want {
		t.Errorf("challenge %q, want %q", got, want)
	}
	if got := w.Header().Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control %q, want no-store", got)
	}
	if got := w.Header().Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type %q", got)
	}
	body := map[int]string{
		400: `{"error":"invalid_request","error_description":"The Authorization header is malformed"}`,
		401: `{"error":"invalid_token","error_description":"The access token is not valid"}`,
		403: `{"error":"access_denied","error_description":"The access token does not permit this"}`,
		503: `{"error":"temporarily_unavailable","error_description":"The access token can't be checked now"}`,
	}[status]
	switch {
	case status == 401 && challenge == onlyRealm:
		body = `{"error":"unauthorized","error_description":"An access token is needed"}`
	case challenge == expired:
		body = `{"error":"invalid_token","error_description":"The access token expired"}`
	case challenge == revokedToken:
		body = `{"error":"invalid_token","error_description":"The access token was revoked"}`
	case strings.Contains(challenge, "insufficient_scope"):
		body = `{"error":"insufficient_scope","error_description":"The access token lacks a scope"}`
	}
	if got := w.Body.String(); got != body+"\n" {
		t.Errorf("body %q, want %q", got, body)
	}
	got := w.Header().Get("Retry-After")
	if seconds, _ := strconv.Atoi(got); (seconds >= 1 && seconds <= 300) != (status == 503) || (got != "") != (status == 503) {
		t.Errorf("Retry-After %q", got)
	}
}

// rawClaim mints a good token with a further member in its payload.
func rawClaim(issuer *logtotest.Issuer, member string) string {
	return issuer.Sign(goodHeader(issuer), strings.TrimSuffix(goodPayload(issuer), "}")+","+member+"}")
}

func newVerifier(t testing.TB, cfg logto.Config) *logto.Verifier {
	t.Helper()
	v, err := logto.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	v.SetJitter(0) // a test that is about it sets it
	return v
}

func TestPanicsAtWiring(t *testing.T) {
	v := newVerifier(t, logtotest.NewIssuer(t).Config())
	for name, wire := range map[string]func(){
		"nil verifier":           func() { logto.Require(nil) },
		"nil verifier, Optional": func() { logto.Optional(nil) },
		"empty requirement":      func() { logto.Require(v, logto.Requirement{}) },
		"no scopes":              func() { logto.Scopes() },
		"no scopes of any":       func() { logto.AnyScope() },
		"empty scope":            func() { logto.Scopes("") },
		"two scopes in one":      func() { logto.Scopes("read write") },
		"quotation mark":         func() { logto.AnyScope(`read"`) },
		"backslash":              func() { logto.Scopes(`read\`) },
		"line end":               func() { logto.Scopes("read\r\nX-Evil: 1") },
		"beyond ASCII":           func() { logto.Scopes("lesé") },
		"nil Check":              func() { logto.Check(nil) },
		"nil handler":            func() { logto.Require(v)(nil) },
		"nil Organization":       func() { logto.Organization(nil) },
		"empty OrganizationPath": func() { logto.OrganizationPath("") },
		"braces":                 func() { logto.OrganizationPath("{organization}") },
		"dots":                   func() { logto.OrganizationPath("organization...") },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if text, _ := recover().(string); !strings.HasPrefix(text, "logto: ") {
					t.Errorf("panic %q, want one that begins with logto:", text)
				}
			}()
			wire()
		})
	}
}

// A panic in the user's functions is the user's: net/http's to handle, ours not to hide.
func TestUsersPanicPasses(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	v := newVerifier(t, issuer.Config())
	for name, req := range map[string]logto.Requirement{
		"Check":        logto.Check(func(*http.Request, *logto.Claims) error { panic("mine") }),
		"Organization": logto.Organization(func(*http.Request) string { panic("mine") }),
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if got := recover(); got != "mine" {
					t.Errorf("panic %v", got)
				}
			}()
			serve(logto.Require(v, req)(http.NotFoundHandler()), issuer.Token(logtotest.Token{}))
		})
	}
}

func serve(h http.Handler, token string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", "/", nil)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestErrorHandler(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	cfg := issuer.Config()
	cfg.Logger = capture
	var got error
	cfg.ErrorHandler = func(w http.ResponseWriter, r *http.Request, err error) {
		got = err
		if errors.Is(err, logto.ErrForbidden) {
			http.Error(w, "no", 404)
			return
		}
		logto.WriteError(w, r, err)
	}
	v := newVerifier(t, cfg)
	h := logto.Require(v, logto.Check(func(_ *http.Request, c *logto.Claims) error {
		if c.Subject() == "mallory" {
			// What of this package's a Check returns doesn't make another refusal of it.
			return errors.Join(errSuspended, logto.ErrNoToken, logto.ErrExpired)
		}
		return nil
	}))(http.NotFoundHandler())
	for _, test := range []struct {
		name, token string
		status      int
		is          []error
		not         []error
	}{
		{"no token", "", 401, []error{logto.ErrNoToken}, []error{logto.ErrInvalidToken}},
		{"opaque", issuer.OpaqueToken(), 401, []error{logto.ErrInvalidToken}, []error{logto.ErrExpired, logto.ErrNoToken}},
		{"expired", issuer.Token(logtotest.Token{ExpiresIn: -time.Minute}), 401, []error{logto.ErrExpired, logto.ErrInvalidToken}, []error{logto.ErrForbidden}},
		{"Check", issuer.Token(logtotest.Token{User: "mallory"}), 404, []error{logto.ErrForbidden, errSuspended}, []error{logto.ErrUnavailable}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if w := serve(h, test.token); w.Code != test.status {
				t.Errorf("status %d, want %d", w.Code, test.status)
			}
			for _, err := range test.is {
				if !errors.Is(got, err) {
					t.Errorf("error %v is not %v", got, err)
				}
			}
			for _, err := range test.not {
				if errors.Is(got, err) {
					t.Errorf("error %v is %v", got, err)
				}
			}
		})
	}
}

// The functions of a requirement find the claims that are decided about, and so does the
// ErrorHandler where a good token doesn't meet one.
func TestRequirementsFindTheClaims(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	cfg := issuer.Config()
	cfg.Logger = capture
	handled, noted := 0, ""
	cfg.ErrorHandler = func(w http.ResponseWriter, r *http.Request, err error) {
		handled++
		if c, ok := logto.FromContext(r.Context()); ok != (errors.Is(err, logto.ErrForbidden) || logto.Reason(err) == "check_unavailable") {
			t.Errorf("of %v the ErrorHandler finds %v", err, c)
		}
		noted = r.FormValue("note")
		logto.WriteError(w, r, err)
	}
	v := newVerifier(t, cfg)
	other := newVerifier(t, cfg)
	alice := issuer.Token(logtotest.Token{User: "alice", Organization: "o1", Claims: map[string]any{"plan": "pro"}})
	bob := issuer.Token(logtotest.Token{User: "bob", Organization: "o2"})
	note := func(got *string) func(*http.Request) {
		return func(r *http.Request) {
			custom, err := logto.ClaimsAs[struct{ Plan string }](r.Context())
			*got = fmt.Sprint(logto.UserID(r.Context()), " ", logto.OrganizationID(r.Context()), " ", custom.Plan, " ", err)
		}
	}
	requirements := map[string]func(see func(*http.Request), allow bool) logto.Requirement{
		"Check": func(see func(*http.Request), allow bool) logto.Requirement {
			return logto.Check(func(r *http.Request, c *logto.Claims) error {
				if see(r); allow {
					return nil
				}
				return errSuspended
			})
		},
		"Organization": func(see func(*http.Request), allow bool) logto.Requirement {
			return logto.Organization(func(r *http.Request) string {
				if see(r); allow {
					return logto.OrganizationID(r.Context())
				}
				return "o3"
			})
		},
	}
	for name, requirement := range requirements {
		t.Run(name, func(t *testing.T) {
			for _, allow := range []bool{true, false} {
				var inCheck, inHandler string
				route := logto.Require(v, requirement(note(&inCheck), allow))(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { note(&inHandler)(r) }))
				for _, outer := range []struct {
					name string
					h    http.Handler
				}{
					{"alone", route},
					{"in Require", logto.Require(v)(route)},
					{"in Require of another token", logto.Require(other)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						r.Header.Set("Authorization", "Bearer "+alice)
						route.ServeHTTP(w, r)
					}))},
				} {
					inCheck, inHandler, handled = "", "", 0
					token := alice
					if outer.name == "in Require of another token" {
						token = bob
					}
					w := serve(outer.h, token)
					if want := "alice o1 pro <nil>"; inCheck != want || allow && (w.Code != 200 || inHandler != want) {
						t.Errorf("%s: status %d, the requirement finds %q, the handler %q; want %q", outer.name, w.Code, inCheck, inHandler, want)
					}
					if !allow && (w.Code != 403 || handled != 1 || inHandler != "") {
						t.Errorf("%s: status %d, handled %d times, the handler finds %q", outer.name, w.Code, handled, inHandler)
					}
				}
			}
		})
		t.Run(name+" parses a form", func(t *testing.T) {
			for _, allow := range []bool{true, false} {
				got, inHandler := "", ""
				h := logto.Require(v, requirement(func(r *http.Request) { got = r.FormValue("note") }, allow))(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { inHandler = r.FormValue("note") }))
				r := httptest.NewRequest("POST", "/", strings.NewReader("note=kept"))
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				r.Header.Set("Authorization", "Bearer "+alice)
				h.ServeHTTP(httptest.NewRecorder(), r)
				if allow && (got != "kept" || inHandler != "kept") || !allow && noted != "kept" {
					t.Errorf("the requirement finds %q, the handler %q, the ErrorHandler %q", got, inHandler, noted)
				}
			}
		})
		t.Run("Require in "+name, func(t *testing.T) {
			// What isn't decided yet lends nothing to another decision: there, the
			// route has no organization.
			var inner, late *httptest.ResponseRecorder
			var kept *http.Request
			scopes := logto.Require(v, logto.Scopes("read"))(http.NotFoundHandler())
			h := logto.Require(v, requirement(func(r *http.Request) {
				inner, kept = httptest.NewRecorder(), r
				scopes.ServeHTTP(inner, r)
			}, false), logto.AnyOrganization())(http.NotFoundHandler())
			serve(h, issuer.Token(logtotest.Token{Organization: "o1", Scopes: []string{"read"}}))
			late = httptest.NewRecorder()
			scopes.ServeHTTP(late, kept)
			if inner.Code != 403 || late.Code != 403 {
				t.Errorf("status %d, after the refusal %d; want 403", inner.Code, late.Code)
			}
		})
	}
}

// Where the route doesn't say which organization is meant, the log names the route.
func TestRouteWithoutOrganization(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	for _, test := range []struct {
		name, pattern, path string
		outside             bool // of the mux
		requirement         logto.Requirement
		reason, level       string
		want                []string
	}{
		{"typo", "/organizations/{organisation}/x", "/organizations/o1/x", false, logto.OrganizationPath("organization"), "no_organization", "WARN",
			[]string{"{organization} is empty", "/organizations/{organisation}/x", "the name in the pattern"}},
		{"around the mux", "/organizations/{organization}", "/organizations/o1", true, logto.OrganizationPath("organization"), "no_organization", "WARN",
			[]string{"{organization} is empty", "inside the mux"}},
		{"nothing behind the slash", "/organizations/{organization...}", "/organizations/", false, logto.OrganizationPath("organization"), "no_organization", "WARN",
			[]string{"{organization} is empty"}},
		{"function", "/", "/", false, logto.Organization(func(r *http.Request) string { return r.PathValue("organization") }), "no_organization", "WARN",
			[]string{"the function given to logto.Organization"}},
		{"other organization", "/organizations/{organization}", "/organizations/o2", false, logto.OrganizationPath("organization"), "organization", "INFO",
			[]string{"the request's 'o2'", "the client must ask for it"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			log := &logBuffer{}
			cfg := issuer.Config()
			cfg.Logger = slog.New(slog.NewTextHandler(log, nil))
			var reason string
			cfg.ErrorHandler = func(w http.ResponseWriter, r *http.Request, err error) {
				reason = logto.Reason(err)
				logto.WriteError(w, r, err)
			}
			mux := http.NewServeMux()
			protect := logto.Require(newVerifier(t, cfg), test.requirement)
			h := protect(mux)
			if !test.outside {
				h = mux
				mux.Handle(test.pattern, protect(http.NotFoundHandler()))
			}
			r := httptest.NewRequest("GET", test.path, nil)
			r.Header.Set("Authorization", "Bearer "+issuer.Token(logtotest.Token{Organization: "o1"}))
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != 403 || reason != test.reason || !strings.Contains(log.String(), "level="+test.level) {
				t.Errorf("status %d, reason %s, log %s", w.Code, reason, log)
			}
			for _, want := range test.want {
				if !strings.Contains(log.String(), want) {
					t.Errorf("log without %q: %s", want, log)
				}
			}
			if blamed := strings.Contains(log.String(), "the client must"); blamed != (test.reason == "organization") {
				t.Errorf("the client is blamed: %s", log)
			}
			_, _ = fmt.Fprintln(&captured, log)
		})
	}
}

// What a caller does with its slice afterwards doesn't change what a route asks for.
func TestScopesAreCopied(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	cfg := issuer.Config()
	cfg.Logger = capture
	v := newVerifier(t, cfg)
	all, any := []string{"admin"}, []string{"admin"}
	h := logto.Require(v, logto.Scopes(all...))(http.NotFoundHandler())
	h2 := logto.Require(v, logto.AnyScope(any...))(http.NotFoundHandler())
	all[0], any[0] = "read", "read"
	for _, h := range []http.Handler{h, h2} {
		if w := serve(h, issuer.Token(logtotest.Token{Scopes: []string{"read"}})); w.Code != 403 {
			t.Errorf("status %d, want 403", w.Code)
		}
	}
}

// WriteError also serves handlers, and errors that are none of ours.
func TestWriteErrorAlone(t *testing.T) {
	for _, test := range []struct {
		err       error
		status    int
		challenge string
	}{
		{logto.ErrNoToken, 401, `Bearer realm="api"`},
		{logto.ErrInvalidToken, 401, `Bearer realm="api", error="invalid_token"`},
		{logto.ErrExpired, 401, `Bearer realm="api"` + expired},
		{logto.ErrForbidden, 403, ""},
		{logto.ErrUnavailable, 503, ""},
		{io.ErrUnexpectedEOF, 500, ""},
	} {
		w := httptest.NewRecorder()
		w.Header().Set("Content-Length", "5") // a handler's, for what it then didn't write
		w.Header().Set("ETag", "x")
		logto.WriteError(w, httptest.NewRequest("GET", "/", nil), test.err)
		if w.Code != test.status || w.Header().Get("WWW-Authenticate") != test.challenge || w.Header().Get("Content-Length") != "" || w.Header().Get("ETag") != "" {
			t.Errorf("%v: status %d, headers %v; want %d, %q", test.err, w.Code, w.Header(), test.status, test.challenge)
		}
	}
	// Within Require it knows the issuer.
	issuer := logtotest.NewIssuer(t)
	h := logto.Require(newVerifier(t, issuer.Config()))(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		logto.WriteError(w, r, logto.ErrInvalidToken)
	}))
	checkAnswer(t, serve(h, issuer.Token(logtotest.Token{})), 401, invalidToken, issuer.Endpoint()+"/oidc")
}

// Require trusts what another Require of the same verifier found for the same
// token, and nothing else.
func TestNestedRequire(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	cfg := issuer.Config()
	cfg.CacheSize = -1
	cfg.Logger = capture
	v := newVerifier(t, cfg)
	good, other := issuer.Token(logtotest.Token{User: "alice"}), issuer.Token(logtotest.Token{User: "bob"})
	user := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, logto.UserID(r.Context())) })

	t.Run("once", func(t *testing.T) {
		// Nothing else gives two handlers one and the same value.
		var seen []*logto.Claims
		note := func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				c, _ := logto.FromContext(r.Context())
				seen = append(seen, c)
				h.ServeHTTP(w, r)
			})
		}
		serve(logto.Require(v)(note(logto.Require(v)(note(logto.Optional(v)(note(user)))))), good)
		if len(seen) != 3 || seen[0] == nil || seen[1] != seen[0] || seen[2] != seen[0] {
			t.Errorf("claims %p, want one three times", seen)
		}
	})
	t.Run("long after", func(t *testing.T) {
		for name, test := range map[string]struct {
			between func(*service)
			status  int
		}{
			"nothing": {func(*service) {}, 200},
			"expired": {func(*service) { time.Sleep(2 * time.Hour) }, 401},
			"key removed": {func(s *service) {
				s.issuer.Rotate("ES384")
				s.issuer.RemovePrevious()
				time.Sleep(time.Minute)
				_ = s.v.Refresh(ctx)
			}, 401},
			"another key by its ID": {func(s *service) {
				other := logtotest.New(s.issuer.Endpoint())
				s.issuer.Fail(logtotest.Body("", strings.Replace(other.KeySet(), other.KeyID(), s.issuer.KeyID(), 1)))
				time.Sleep(logto.FetchPause)
				_ = s.v.Refresh(ctx)
			}, 401},
		} {
			t.Run(name, func(t *testing.T) {
				inBubble(t, func(s *service) {
					inner := logto.Require(s.v)(user)
					slow := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						test.between(s)
						inner.ServeHTTP(w, r)
					})
					if w := serve(logto.Require(s.v)(slow), s.issuer.Token(logtotest.Token{})); w.Code != test.status {
						t.Errorf("status %d, want %d", w.Code, test.status)
					}
				})
			})
		}
	})
	t.Run("other token in the same memory", func(t *testing.T) {
		// As where a framework reuses the memory of a request's headers.
		line := []byte("Bearer " + good)
		swap := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			copy(line[7:], logtotest.BadSignature(good))
			logto.Require(v)(user).ServeHTTP(w, r)
		})
		r := httptest.NewRequest("GET", "/", nil)
		r.Header["Authorization"] = []string{unsafe.String(&line[0], len(line))}
		w := httptest.NewRecorder()
		logto.Require(v)(swap).ServeHTTP(w, r)
		if w.Code != 401 {
			t.Errorf("status %d, want 401", w.Code)
		}
	})
	t.Run("other token", func(t *testing.T) {
		swap := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.Header.Set("Authorization", "Bearer "+other)
			logto.Require(v)(user).ServeHTTP(w, r)
		})
		if w := serve(logto.Require(v)(swap), good); w.Body.String() != "bob" {
			t.Errorf("user %s, want bob", w.Body)
		}
	})
	t.Run("other verifier", func(t *testing.T) {
		cfg := issuer.Config("https://other.example.test")
		cfg.Logger = capture
		if w := serve(logto.Require(v)(logto.Require(newVerifier(t, cfg))(user)), good); w.Code != 401 {
			t.Errorf("status %d, want 401", w.Code)
		}
	})
	t.Run("NewContext", func(t *testing.T) {
		h := logto.Require(v)(user)
		inject := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h.ServeHTTP(w, r.WithContext(issuer.Context(r.Context(), logtotest.Token{User: "eve"})))
		})
		if w := serve(inject, ""); w.Code != 401 {
			t.Errorf("status %d, want 401", w.Code)
		}
		if w := serve(inject, good); w.Body.String() != "alice" {
			t.Errorf("user %s, want alice", w.Body)
		}
	})
	t.Run("anonymous", func(t *testing.T) {
		if w := serve(logto.Optional(v)(logto.Require(v)(user)), ""); w.Code != 401 {
			t.Errorf("status %d, want 401", w.Code)
		}
	})
}

// Routers put middleware around a handler anew for each request.
func TestMiddlewareAroundAtOnce(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	m := logto.Require(newVerifier(t, issuer.Config()))
	token := issuer.Token(logtotest.Token{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			h := m(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			if w := serve(h, token); w.Code != 200 {
				t.Errorf("status %d", w.Code)
			}
			if w := serve(h, "x"); w.Code != 401 {
				t.Errorf("status %d", w.Code)
			}
		})
	}
	wg.Wait()
}
