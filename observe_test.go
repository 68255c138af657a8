package logto_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/internal/refusal"
	"github.com/seed-70fe37f4/logto/logtotest"
)

// events collects what an observer gets.
type events struct {
	mu  sync.Mutex
	all []logto.Event
}

func (e *events) observe(_ context.Context, event logto.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, event)
}

func (e *events) take() []logto.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := e.all
	e.all = nil
	return all
}

func TestObserver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := logtotest.NewIssuer(t)
		seen := &events{}
		cfg := issuer.Config()
		cfg.Logger = capture
		cfg.Observer = seen.observe
		v := newVerifier(t, cfg)
		h := logto.Require(v)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		scoped := logto.Require(v, logto.Scopes("read"))(h)
		token := issuer.Token(logtotest.Token{})
		first := issuer.KeyID()

		check := func(name string, want ...logto.Event) {
			t.Helper()
			synctest.Wait()
			got := seen.take()
			// A fetch is told of beside the requests that waited for it: either may come first.
			slices.SortStableFunc(got, func(a, b logto.Event) int {
				switch {
				case a.Fetch == b.Fetch:
					return 0
				case a.Fetch:
					return -1
				}
				return 1
			})
			if len(got) != len(want) {
				t.Fatalf("%s: %d events, want %d: %+v", name, len(got), len(want), got)
			}
			for i := range got {
				if (got[i].Err == nil) != (got[i].Reason == "" || got[i].Reason == "fetched" || got[i].Reason == "not_modified") {
					t.Errorf("%s: reason %q, error %v", name, got[i].Reason, got[i].Err)
				}
				if known := got[i].Claims != nil; known != (got[i].Reason == "" && !got[i].Anonymous || got[i].Reason == "missing_scope") {
					t.Errorf("%s: reason %q, claims %v", name, got[i].Reason, got[i].Claims)
				}
				if got[i].Fetch != (got[i].Issuer == issuer.Endpoint()+"/oidc") {
					t.Errorf("%s: issuer %q", name, got[i].Issuer)
				}
				got[i].Err, got[i].Claims, got[i].Issuer = nil, nil, ""
				if g, w := fmt.Sprintf("%+v", got[i]), fmt.Sprintf("%+v", want[i]); g != w {
					t.Errorf("%s:\n%s, want\n%s", name, g, w)
				}
			}
		}
		issuer.Fail(slowly(2*time.Second, issuer))
		serve(h, token)
		check("first", logto.Event{Fetch: true, Reason: "fetched", Duration: 2 * time.Second, Added: []string{first}, Age: 2 * time.Second},
			logto.Event{Duration: 2 * time.Second})
		serve(h, token)
		check("again", logto.Event{Remembered: true})
		serve(scoped, token)
		check("one event of one request", logto.Event{Reason: "missing_scope", Remembered: true})
		serve(h, "opaque")
		check("opaque", logto.Event{Reason: "opaque_token"})
		serve(h, "")
		check("none", logto.Event{Reason: "no_token"})
		serve(logto.Optional(v)(h), "")
		check("of Requires in each other the innermost's", logto.Event{Reason: "no_token"})
		serve(logto.Optional(v)(http.NotFoundHandler()), "")
		check("anonymous", logto.Event{Anonymous: true})
		serve(logto.Require(v)(h), token)
		check("accepted by both", logto.Event{Remembered: true})
		serve(logto.Require(v)(scoped), token)
		check("accepted, and refused within", logto.Event{Reason: "missing_scope", Remembered: true})
		_, _ = v.Verify(ctx, token)
		check("Verify", logto.Event{Remembered: true})

		issuer.Fail(nil)
		issuer.Rotate("ES384")
		time.Sleep(logto.FetchPause)
		_ = v.Refresh(ctx)
		check("rotated", logto.Event{Fetch: true, Reason: "fetched", Added: []string{issuer.KeyID()}})
		time.Sleep(logto.FetchPause)
		_ = v.Refresh(ctx)
		check("not modified", logto.Event{Fetch: true, Reason: "not_modified"})
		issuer.RemovePrevious()
		time.Sleep(logto.FetchPause)
		_ = v.Refresh(ctx)
		check("removed", logto.Event{Fetch: true, Reason: "fetched", Removed: []string{first}})
		issuer.Fail(logtotest.Status(500))
		time.Sleep(logto.FetchPause)
		_ = v.Refresh(ctx)
		check("failed", logto.Event{Fetch: true, Reason: "failed", Age: logto.FetchPause})

		if s := v.KeySetStatus(); s.Age != logto.FetchPause || s.Err == nil || fmt.Sprint(s.KeyIDs) != fmt.Sprint([]string{issuer.KeyID()}) {
			t.Errorf("status %+v", s)
		}
		if s := newVerifier(t, cfg).KeySetStatus(); s.Age != 0 || s.Err != nil || s.KeyIDs != nil {
			t.Errorf("status before the first fetch %+v", s)
		}
	})
}

// Only what had been verified before is remembered, if it is refused, too.
func TestObserverOfRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := logtotest.NewIssuer(t)
		seen := &events{}
		cfg := issuer.Config()
		cfg.Logger = capture
		revoked := false
		cfg.Revoked = func(*logto.Claims) error {
			if revoked {
				return logto.ErrRevoked
			}
			return nil
		}
		cfg.Observer = seen.observe
		v := newVerifier(t, cfg)
		if err := v.Refresh(ctx); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		seen.take()
		check := func(token, reason string, remembered bool) {
			t.Helper()
			_, _ = v.Verify(ctx, token)
			if got := seen.take(); len(got) != 1 || got[0].Reason != reason || got[0].Remembered != remembered {
				t.Errorf("events %+v, want %q, remembered %v", got, reason, remembered)
			}
		}
		token := issuer.Token(logtotest.Token{ExpiresIn: time.Hour})
		check("opaque", "opaque_token", false)
		check(issuer.Token(logtotest.Token{Header: map[string]any{"typ": "JWT"}}), "wrong_type", false)
		check(issuer.Token(logtotest.Token{Claims: map[string]any{"iss": "https://b.test/oidc"}}), "issuer", false)
		check(issuer.Token(logtotest.Token{Claims: aged(), Header: map[string]any{"kid": "x"}}), "unknown_key", false)
		check(logtotest.BadSignature(token), "signature", false)
		revoked = true
		check(token, "revoked", false)
		revoked = false
		check(token, "", false)
		check(token, "", true)
		revoked = true
		check(token, "revoked", true)
		time.Sleep(2 * time.Hour)
		check(token, "expired", true)
	})
}

func slowly(d time.Duration, issuer *logtotest.Issuer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(d)
		_, _ = io.WriteString(w, issuer.KeySet())
	})
}

// InsecureReportOnly lets everything through, and tells what it would have done.
func TestReportOnly(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	log, seen := &logBuffer{}, &events{}
	cfg := issuer.Config()
	cfg.Logger = slog.New(slog.NewTextHandler(log, nil))
	cfg.Observer = seen.observe
	v := newVerifier(t, cfg)
	h := logto.InsecureReportOnly(v, logto.Scopes("read"))(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "user "+logto.UserID(r.Context()))
	}))
	for _, test := range []struct {
		name, token, body, reason string
	}{
		{"none", "", "user ", "no_token"},
		{"opaque", "opaque", "user ", "opaque_token"},
		{"no scope", issuer.Token(logtotest.Token{User: "alice"}), "user ", "missing_scope"},
		{"good", issuer.Token(logtotest.Token{User: "alice", Scopes: []string{"read"}}), "user alice", ""},
	} {
		seen.take()
		w := serve(h, test.token)
		if w.Code != 200 || w.Body.String() != test.body || w.Header().Get("WWW-Authenticate") != "" {
			t.Errorf("%s: status %d, body %s", test.name, w.Code, w.Body)
		}
		// That of the fetch comes when it likes.
		e := slices.DeleteFunc(seen.take(), func(e logto.Event) bool { return e.Fetch })
		if last := e[len(e)-1]; last.Reason != test.reason || !last.ReportOnly {
			t.Errorf("%s: event %+v", test.name, last)
		}
	}
	if n := strings.Count(log.String(), "would be refused, but InsecureReportOnly protects nothing"); n != 2 { // no_token is at debug level
		t.Errorf("%d lines in\n%s", n, log)
	}
}

// A panic in the user's code on a goroutine of ours is logged and ends nothing, be it the
// logger that panics.
func TestGuard(t *testing.T) {
	log := &logBuffer{}
	logger := func() *slog.Logger { return slog.New(slog.NewTextHandler(log, nil)) }
	called := false
	logto.Guard(logger, func() { called = true })
	if !called || log.String() != "" {
		t.Errorf("called %v, log %s", called, log)
	}
	for _, value := range []any{"mine", errors.New("mine"), nil, panicsAsText{}, strings.Repeat("x", 1<<20)} {
		logto.Guard(logger, func() { panic(value) })
		logto.Guard(func() *slog.Logger { panic("mine") }, func() { panic(value) })
		logto.Guard(func() *slog.Logger { return slog.New(panicsAsHandler{}) }, func() { panic(value) })
	}
	if n := strings.Count(log.String(), "\n"); n != 5 || len(log.String()) > 3000 {
		t.Errorf("%d lines:\n%.3000s", n, log)
	}
}

type panicsAsText struct{}

func (panicsAsText) Error() string { panic("mine") }

type panicsAsHandler struct{ slog.Handler }

func (panicsAsHandler) Enabled(context.Context, slog.Level) bool { panic("mine") }

func TestReason(t *testing.T) {
	for err, want := range map[error]string{nil: "", io.EOF: "", logto.ErrForbidden: ""} {
		if got := logto.Reason(err); got != want {
			t.Errorf("%v: %q", err, got)
		}
	}
	_, err := newVerifier(t, logtotest.NewIssuer(t).Config()).Verify(ctx, "x")
	if got := logto.Reason(fmt.Errorf("wrapped: %w", err)); got != "opaque_token" {
		t.Errorf("%v: %q", err, got)
	}
}

// Every reason has an entry in the documentation, under its status, and the
// documentation has no other.
func TestTroubleshooting(t *testing.T) {
	doc, err := os.ReadFile("docs/troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]int{}
	status := 0
	for line := range strings.Lines(string(doc)) {
		if heading, ok := strings.CutPrefix(line, "## "); ok {
			status, _ = strconv.Atoi(strings.TrimSpace(heading))
		}
		if m := regexp.MustCompile("^### `(\\w+)`$").FindStringSubmatch(strings.TrimSpace(line)); m != nil {
			documented[m[1]] = status
		}
	}
	codes := map[string]int{}
	for _, r := range logto.Reasons() {
		codes[r.Code] = r.Status
	}
	if len(codes) < 15 || !maps.Equal(codes, documented) {
		t.Errorf("reasons and their statuses are %v, documented %v", codes, documented)
	}
}

// The rows of the table of reasons are whole, and what stands in an answer needs no
// escaping.
func TestReasons(t *testing.T) {
	plain := regexp.MustCompile(`^[A-Za-z' ]+$`)
	for _, r := range logto.Reasons() {
		if r.Kind == nil || r.Remedy == "" || !plain.MatchString(r.Sentence) || !regexp.MustCompile(`^[a-z_]+$`).MatchString(r.Error+r.Code) {
			t.Errorf("%+v", r)
		}
		if want := r.Status == 503 || r.Error == "access_denied"; (r.Challenge == refusal.NoChallenge) != want {
			t.Errorf("%s: challenge %v", r.Code, r.Challenge)
		}
	}
}

// The wrong setups that Logto's users stumble over: one log line names the cause.
func TestLikelyMistakes(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	for _, test := range []struct {
		name   string
		change func(*logto.Config)
		token  string
		reqs   []logto.Requirement
		want   string
	}{
		{"client asked for no resource", nil, issuer.OpaqueToken(), nil, "must ask for this API's resource"},
		{"page sends undefined", nil, "undefined", nil, "getAccessToken gave nothing"},
		{"ID token", nil, issuer.IDToken("u"), nil, "looks like an ID token"},
		{"logout token", nil, issuer.LogoutToken("u"), nil, "is a logout token"},
		{"issuer without /oidc", func(c *logto.Config) { c.Issuers = []string{issuer.Endpoint()} }, issuer.Token(logtotest.Token{}), nil, "lacks /oidc"},
		{"issuer with a slash", func(c *logto.Config) { c.Issuers = []string{issuer.Endpoint() + "/oidc/"} }, issuer.Token(logtotest.Token{}), nil, "differ by a slash"},
		{"http behind a TLS proxy", nil, issuer.Token(logtotest.Token{Claims: map[string]any{"iss": strings.Replace(issuer.Endpoint(), "https", "http", 1) + "/oidc"}}), nil, "TRUST_PROXY_HEADER"},
		{"custom domain", nil, issuer.Token(logtotest.Token{Claims: map[string]any{"iss": "https://auth.example.test/oidc"}}), nil, "list both in Config.Issuers"},
		{"audience by a slash", nil, issuer.Token(logtotest.Token{Audience: logtotest.Audience + "/"}), nil, "differ by a slash"},
		{"other audience", nil, issuer.Token(logtotest.Token{Audience: "https://x.test"}), nil, "byte by byte"},
		{"Management API", nil, issuer.Token(logtotest.Token{Audience: "https://t.logto.app/api"}), nil, "Management API"},
		{"organization token on an API route", nil, issuer.Token(logtotest.Token{Organization: "o", OrganizationOnly: true}), nil, "set Config.OrganizationTokens"},
		{"API token on an organization route", nil, issuer.Token(logtotest.Token{}), []logto.Requirement{logto.AnyOrganization()}, "getAccessToken(resource, organizationId)"},
		{"customizer's organization on an organization route", nil, rawClaim(issuer, `"organization_id":42`), []logto.Requirement{logto.AnyOrganization()}, "look at the JWT customizer"},
		{"customizer's organization, compared", nil, rawClaim(issuer, `"organization_id":42`), []logto.Requirement{logto.Organization(func(*http.Request) string { return "42" })}, "look at the JWT customizer"},
		{"global route, organization's token", nil, issuer.Token(logtotest.Token{Organization: "o", Scopes: []string{"read"}}), []logto.Requirement{logto.Scopes("read")}, "the client must ask for a token without one"},
		{"organization not named", nil, issuer.Token(logtotest.Token{Organization: "o", Scopes: []string{"read"}}), []logto.Requirement{logto.Scopes("read")}, "add logto.Organization"},
		{"no role", nil, issuer.Token(logtotest.Token{}), []logto.Requirement{logto.Scopes("read")}, "has the user a role with it"},
		{"no role, other scopes", nil, issuer.Token(logtotest.Token{Scopes: []string{"list"}}), []logto.Requirement{logto.Scopes("read")}, "has the user a role with it"},
		{"no role in the organization", nil, issuer.Token(logtotest.Token{Organization: "o"}), []logto.Requirement{logto.AnyOrganization(), logto.Scopes("read")}, "has the user a role with it in the organization"},
		{"machine without scopes", nil, issuer.Token(logtotest.Token{Machine: true}), []logto.Requirement{logto.Scopes("read")}, "what its token request names in scope and a role of its application grants"},
		{"machine with other scopes", nil, issuer.Token(logtotest.Token{Machine: true, Scopes: []string{"list"}}), []logto.Requirement{logto.AnyScope("read")}, "what its token request names in scope"},
		{"machine without scopes in the organization", nil, issuer.Token(logtotest.Token{Machine: true, Organization: "o"}), []logto.Requirement{logto.AnyOrganization(), logto.Scopes("read")}, "a role of its application in the organization grants"},
		{"machine in no organization", nil, issuer.Token(logtotest.Token{Machine: true}), []logto.Requirement{logto.AnyOrganization()}, "(organization_id in the machine's token request)"},
		{"machine in another organization", nil, issuer.Token(logtotest.Token{Machine: true, Organization: "o"}), []logto.Requirement{logto.Organization(func(*http.Request) string { return "p" })}, "(organization_id in the machine's token request)"},
		{"organization of another type", nil, rawClaim(issuer, `"organization_id":42`), []logto.Requirement{logto.AnyOrganization()}, "organization_id is no text"},
		{"two organizations", nil, issuer.Token(logtotest.Token{Organization: "o", Claims: map[string]any{"aud": []string{logtotest.Audience, "urn:logto:organization:p"}}}), []logto.Requirement{logto.Organization(func(*http.Request) string { return "o" })}, "not the organization of its audience"},
		{"personal access token", nil, "pat_0123456789abcdefghijklmnopqrstuvwxyz", nil, "subject_token_type urn:logto:token-type:personal_access_token, with this API's resource"},
		{"subject token", nil, "sub_0123456789abcdefghijk", nil, "subject_token_type urn:ietf:params:oauth:token-type:access_token, with this API's resource"},
		{"issuer by a typo", func(c *logto.Config) { c.Issuers = []string{"https://lgoto.example.test/oidc"} }, issuer.Token(logtotest.Token{}), nil, "may be a typo"},
		{"another tenant", func(c *logto.Config) { c.Issuers = []string{"https://abc123.logto.app/oidc"} }, issuer.Token(logtotest.Token{Claims: map[string]any{"iss": "https://xyz789.logto.app/oidc"}}), nil, "two tenants of Logto"},
		{"issuer in upper case", func(c *logto.Config) { c.Issuers = []string{"https://Logto.example.test/oidc"} }, issuer.Token(logtotest.Token{}), nil, "upper and lower case"},
		{"issuer by the port", func(c *logto.Config) { c.Issuers = []string{"https://logto.example.test:3002/oidc"} }, issuer.Token(logtotest.Token{}), nil, "by the port"},
		{"the nearest of several issuers", func(c *logto.Config) {
			c.Issuers = []string{"https://id.company.test/oidc", "https://logto.example.test/oidc/", "https://lgoto.example.test/oidc"}
		}, issuer.Token(logtotest.Token{}), nil, "by a slash"},
		{"not Logto's", nil, issuer.Token(logtotest.Token{Claims: map[string]any{"iss": "https://accounts.google.com"}}), nil, "the token is not Logto's"},
		{"audiences in one string", func(c *logto.Config) { c.Audiences = []string{"urn:x," + logtotest.Audience} }, issuer.Token(logtotest.Token{}), nil, "several in one string, and a comma"},
		{"clients in one string", func(c *logto.Config) { c.ClientIDs = []string{"web," + logtotest.ClientID} }, issuer.Token(logtotest.Token{}), nil, "several in one string, and a comma"},
		{"audience in upper case", nil, issuer.Token(logtotest.Token{Audience: "https://API.example.test"}), nil, "upper and lower case"},
		{"audience by http", nil, issuer.Token(logtotest.Token{Audience: "http://api.example.test"}), nil, "by http and https"},
		{"organizations resource", nil, issuer.Token(logtotest.Token{Audience: "urn:logto:resource:organizations"}), nil, "is for Logto's organizations"},
		{"API token where organizations are wanted", func(c *logto.Config) { c.Audiences, c.OrganizationTokens = nil, true }, issuer.Token(logtotest.Token{}), nil, "by the organization alone"},
		{"access token without a client", nil, issuer.Token(logtotest.Token{Claims: map[string]any{"client_id": nil}}), nil, "which every access token of Logto's has"},
		{"clocks", nil, issuer.Token(logtotest.Token{Claims: map[string]any{"iat": time.Now().Add(time.Hour).Unix()}}), nil, "clocks differ by about "},
		{"key rotated out", nil, issuer.Token(logtotest.Token{Header: map[string]any{"kid": "old"}, Claims: aged()}), nil, "rotated out"},
		{"address is a page", func(c *logto.Config) { c.JWKSURL = issuer.Endpoint() + "/jwks" }, issuer.Token(logtotest.Token{}), nil, "is /oidc missing in the address?"},
		{"token without Bearer", nil, "", nil, "want the word Bearer"},
		{"container can't reach its issuer", func(c *logto.Config) {
			c.HTTPClient = &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") })}
		}, issuer.Token(logtotest.Token{}), nil, "set Config.JWKSURL"},
	} {
		t.Run(test.name, func(t *testing.T) {
			log := &logBuffer{}
			cfg := issuer.Config()
			cfg.Logger = slog.New(slog.NewTextHandler(log, nil))
			if test.change != nil {
				test.change(&cfg)
			}
			h := logto.Require(newVerifier(t, cfg), test.reqs...)(http.NotFoundHandler())
			r := httptest.NewRequest("GET", "/", nil)
			r.Header.Set("Authorization", "Bearer "+test.token)
			if test.token == "" {
				r.Header.Set("Authorization", issuer.Token(logtotest.Token{}))
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code < 400 || !strings.Contains(log.String(), test.want) {
				t.Errorf("status %d, log without %q:\n%s", w.Code, test.want, log)
			}
			_, _ = fmt.Fprintln(&captured, log)
		})
	}
}

// What a caller of Verify did to a good token: the error names it, and the token is
// refused all the same.
func TestMistakenTokens(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	v := newVerifier(t, issuer.Config())
	good := issuer.Token(logtotest.Token{})
	if _, err := v.Verify(ctx, good); err != nil {
		t.Fatal(err)
	}
	opaque := issuer.OpaqueToken()
	const scheme, blank, quoted, percent, response = "the word Bearer, or the name of the Authorization header", "white space, a line end or a byte order mark", "quotation marks", "percent-encoded", "the token endpoint's answer"
	wide := func(order []byte, s string) string { // UTF-16
		b := order
		for _, c := range []byte(s) {
			if order[0] == 0xff {
				b = append(b, c, 0)
			} else {
				b = append(b, 0, c)
			}
		}
		return string(b)
	}
	ending := func(end int) string { // where the name ends
		return "{" + strings.Repeat(" ", end-1-len(`"access_token"`)) + `"access_token":"opaque"}`
	}
	for _, test := range []struct{ name, token, want string }{
		{"Bearer", "Bearer " + good, scheme},
		{"bearer", "bearer " + good, scheme},
		{"Bearer, no space", "Bearer" + good, scheme},
		{"Bearer and a colon", "Bearer: " + good, scheme},
		{"Bearer alone", "Bearer", scheme},
		{"Bearer of an opaque token", "Bearer " + opaque, scheme},
		{"Bearer, percent-encoded", "Bearer%20" + good, scheme},
		{"header", "Authorization: Bearer " + good, scheme},
		{"header in lower case", "authorization:" + good, scheme},
		{"line end", good + "\n", blank},
		{"line end of Windows", good + "\r\n", blank},
		{"space before", " " + good, blank},
		{"space behind", good + " ", blank},
		{"tab", "\t" + good, blank},
		{"space that doesn't break", "\u00a0" + good, blank},
		{"space of no width behind", good + "\u200b", blank},
		{"byte order mark", "\ufeff" + good, blank},
		{"wrapped", good[:200] + "\n" + good[200:], blank},
		{"percent", strings.ReplaceAll(good, ".", "%2E"), percent},
		{"percent, lower case", strings.ReplaceAll(good, ".", "%2e"), percent},
		{"percent at the end", good + "%0A", percent},
		{"quotation marks", `"` + good + `"`, quoted},
		{"single quotation marks", "'" + good + "'", quoted},
		{"quotation mark behind", good + `"`, quoted},
		{"quoted, opaque", `"` + opaque + `"`, quoted},
		{"answer", `{"access_token":"` + good + `","expires_in":3600}`, response},
		{"answer with white space", "{\n  \"access_token\": \"" + good + `"}`, response},
		{"answer, as far as one looks", ending(512), response},
		{"answer, behind that", ending(513), "opaque"},
		{"answer in a form", "access_token=" + good + "&expires_in=3600", response},
		{"padded", good + "=", "it is padded"},
		{"standard base64", strings.Replace(good, ".", "+.", 1), "as standard base64 has"},
		{"UTF-16", wide([]byte{0xff, 0xfe}, good), "UTF-16"},
		{"UTF-16, big endian", wide([]byte{0xfe, 0xff}, good), "UTF-16"},
		{"UTF-16 without a mark", wide([]byte{0xff, 0xfe}, good)[2:], "UTF-16"},
		{"UTF-16, big endian, without a mark", wide([]byte{0xfe, 0xff}, good)[2:], "UTF-16"},
		{"UTF-16 without a mark, opaque", wide([]byte{0xff, 0xfe}, opaque)[2:], "UTF-16"},
		{"a promise", "[object Promise]", "did it await getAccessToken"},

		// Noise is none of these.
		{"Bearer as part of a word", "Bearers0123456789abcdefghijk", "opaque"},
		{"opaque", opaque, "opaque"},
		{"percent far behind", "x" + strings.Repeat("x", 1000) + "%2E", "opaque"},
		{"huge", "Bearer " + strings.Repeat("x", logto.MaxToken), "16384 bytes"},
	} {
		c, err := v.Verify(ctx, test.token)
		if c != nil || !errors.Is(err, logto.ErrInvalidToken) || !strings.Contains(fmt.Sprint(err), test.want) {
			t.Errorf("%s: %v, %v; want %q", test.name, c, err, test.want)
		}
		if leak := findSecret(fmt.Sprint(err)); leak != "" {
			t.Errorf("%s: leaked %s", test.name, leak)
		}
	}
}

func TestResourceMetadata(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	cfg := issuer.Config()
	cfg.Logger = capture
	cfg.ResourceMetadataURL = "https://api.example.test/.well-known/oauth-protected-resource"
	v := newVerifier(t, cfg)
	h := v.ResourceMetadata(logtotest.Audience, "read", "write")
	for _, test := range []struct {
		method, body string
		status       int
	}{
		{"POST", "", 405},
		{"OPTIONS", "", 204},
		{"GET", `{"resource":"https://api.example.test","authorization_servers":["https://logto.example.test/oidc"],"scopes_supported":["read","write"],"bearer_methods_supported":["header"]}`, 200},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(test.method, "/", nil))
		if w.Code != test.status || w.Body.String() != test.body || w.Header().Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: status %d, header %v, body %s", test.method, w.Code, w.Header(), w.Body)
		}
	}
	w := httptest.NewRecorder()
	v.ResourceMetadata(logtotest.Audience).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if strings.Contains(w.Body.String(), "scopes") {
		t.Errorf("body %s", w.Body)
	}
	const pointer = `, resource_metadata="https://api.example.test/.well-known/oauth-protected-resource"`
	protected := logto.Require(v, logto.Scopes("read"))(http.NotFoundHandler())
	for token, challenge := range map[string]string{
		"": pointer + `, scope="read"`, "opaque": pointer + invalidToken + `, scope="read"`, "two words": pointer + badRequest, issuer.Token(logtotest.Token{}): pointer + scope("read"),
	} {
		if got := serve(protected, token).Header().Get("WWW-Authenticate"); got != `Bearer realm="https://logto.example.test/oidc"`+challenge {
			t.Errorf("challenge %s", got)
		}
	}
	for _, url := range []string{"api.example.test", "https://api.example.test/\""} {
		cfg.ResourceMetadataURL = url
		if _, err := logto.New(cfg); err == nil {
			t.Errorf("ResourceMetadataURL %q: no error", url)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("no panic for another audience")
		}
	}()
	v.ResourceMetadata("read")
}

// A request is one event: the innermost's, with what all took, and remembered only if it was
// before the request. A layer that only reports, or another verifier's, has its own.
func TestOneEventARequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := logtotest.NewIssuer(t)
		seen, other := &events{}, &events{}
		cfg := issuer.Config()
		cfg.Logger, cfg.Observer = capture, seen.observe
		v := newVerifier(t, cfg)
		cfg.Observer = other.observe
		w := newVerifier(t, cfg)
		if err := errors.Join(v.Refresh(ctx), w.Refresh(ctx)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		slow := logto.Check(func(*http.Request, *logto.Claims) error { time.Sleep(time.Second); return nil })
		ok := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { time.Sleep(time.Hour) })
		token := func() string { return issuer.Token(logtotest.Token{}) } // one that nobody has seen
		for _, test := range []struct {
			name          string
			handler       http.Handler
			events, other string
		}{
			{"accepted by three", logto.Require(v, slow)(logto.Require(v, slow)(logto.Require(v)(ok))), "[ 2s false]", "[]"},
			{"refused by the second", logto.Require(v, slow)(logto.Require(v, slow, logto.Scopes("x"))(ok)), "[missing_scope 2s false]", "[]"},
			{"authenticated within", logto.Require(v, slow)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = v.Authenticate(r, slow) })), "[ 2s false]", "[]"},
			{"reported within", logto.Require(v, slow)(logto.InsecureReportOnly(v, logto.Scopes("x"))(ok)), "[missing_scope 0s true  1s false]", "[]"},
			{"reported within, and would be accepted", logto.Require(v, slow)(logto.InsecureReportOnly(v)(ok)), "[ 0s true  1s false]", "[]"},
			{"reported around", logto.InsecureReportOnly(v, slow)(logto.Require(v, slow)(ok)), "[ 1s false  1s true]", "[]"},
			{"another verifier within", logto.Require(v, slow)(logto.Require(w, slow)(ok)), "[ 1s false]", "[ 1s false]"},
		} {
			_, _ = seen.take(), other.take()
			serve(test.handler, token())
			for got, want := range map[string]string{told(seen.take()): test.events, "other " + told(other.take()): "other " + test.other} {
				if got != want {
					t.Errorf("%s: %s, want %s", test.name, got, want)
				}
			}
		}
	})
}

func told(events []logto.Event) string {
	var all []string
	for _, e := range events {
		if !e.Fetch {
			all = append(all, fmt.Sprintf("%s %v %v", e.Reason, e.Duration, e.Remembered))
		}
	}
	return "[" + strings.Join(all, " ") + "]"
}

// Who it was is told of what goes bad while a Check runs as of what was bad before: of a
// revoked token, and of no other.
func TestKnownAfterAWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := logtotest.NewIssuer(t)
		seen := &events{}
		revoked, wait := error(nil), func() {}
		cfg := issuer.Config()
		cfg.Logger, cfg.Observer = capture, seen.observe
		cfg.Revoked = func(*logto.Claims) error { return revoked }
		handled := 0
		cfg.ErrorHandler = func(_ http.ResponseWriter, r *http.Request, _ error) {
			handled++
			if _, ok := logto.FromContext(r.Context()); ok {
				t.Error("the ErrorHandler finds claims")
			}
		}
		v := newVerifier(t, cfg)
		h := logto.Require(v, logto.Check(func(*http.Request, *logto.Claims) error { wait(); return nil }))(http.NotFoundHandler())
		for _, test := range []struct {
			reason, user string
			wait         func()
		}{
			{"expired", "", func() { time.Sleep(time.Hour + 31*time.Second) }},
			{"revocation_unavailable", "", func() { revoked = errors.New("no list") }},
			{"revoked", "alice", func() { revoked = logto.ErrRevoked }},
		} {
			revoked, wait = nil, test.wait
			token := issuer.Token(logtotest.Token{User: "alice"})
			for _, when := range []string{"while it waits", "before"} {
				_ = seen.take()
				serve(h, token)
				synctest.Wait()
				told := slices.DeleteFunc(seen.take(), func(e logto.Event) bool { return e.Fetch })
				if len(told) != 1 || told[0].Reason != test.reason || told[0].UserID() != test.user {
					t.Errorf("%s %s: %+v", test.reason, when, told)
				}
			}
		}
		if handled != 6 {
			t.Errorf("%d refusals handled", handled)
		}
	})
}

// An observer that answers elsewhere, by AnswerTo, finds the challenge of the route.
func TestEventKnowsItsChallenge(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	seen := &events{}
	cfg := issuer.Config()
	cfg.Observer = seen.observe
	h := logto.Require(newVerifier(t, cfg), logto.Scopes("write"))(http.NotFoundHandler())
	w := serve(h, issuer.Token(logtotest.Token{}))
	told := seen.take()
	got := logto.AnswerTo(httptest.NewRequest("GET", "/", nil), told[len(told)-1].Err).Header
	if want := w.Header().Get("WWW-Authenticate"); got.Get("WWW-Authenticate") != want || !strings.Contains(want, `scope="write"`) {
		t.Errorf("challenge %s, want %s", got.Get("WWW-Authenticate"), want)
	}
}
