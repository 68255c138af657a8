package emulator_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/emulator"
)

const (
	api      = "https://api.example.test"
	callback = "http://localhost:5173/callback"
	verifier = "0123456789012345678901234567890123456789abc"
)

func challenge() string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// newMemory gives an emulator that is reached in memory, and one user's browser.
func newMemory(t *testing.T, cfg emulator.Config) (*emulator.Server, *browser) {
	t.Helper()
	if cfg.HTTPClient == nil { // a look-up of a name within a bubble would end the next one
		cfg.HTTPClient = &http.Client{Transport: nowhere{}}
	}
	return newNetworked(t, cfg)
}

// newNetworked delivers over the network.
func newNetworked(t *testing.T, cfg emulator.Config) (*emulator.Server, *browser) {
	t.Helper()
	em, err := emulator.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := em.Close(); err != nil {
			t.Error(err)
		}
	})
	return em, newBrowser(t, em)
}

// A browser has cookies, and follows no redirect by itself.
type browser struct {
	t      *testing.T
	em     *emulator.Server
	client *http.Client
}

func newBrowser(t *testing.T, em *emulator.Server) *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := em.Client()
	client.Jar = jar
	return &browser{t, em, client}
}

// An answer has been read.
type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) json(t *testing.T) map[string]any {
	t.Helper()
	var o map[string]any
	if err := json.Unmarshal([]byte(a.body), &o); err != nil {
		t.Fatalf("%v in %d %s", err, a.status, a.body)
	}
	return o
}

func (a answer) text(t *testing.T, member string) string {
	t.Helper()
	text, _ := a.json(t)[member].(string)
	return text
}

// location is where a redirect leads.
func (a answer) location(t *testing.T) *url.URL {
	t.Helper()
	u, err := url.Parse(a.header.Get("Location"))
	if err != nil || a.status/100 != 3 {
		t.Fatalf("status %d, Location %q, error %v, body %s", a.status, a.header.Get("Location"), err, a.body)
	}
	return u
}

func (b *browser) do(r *http.Request) answer {
	b.t.Helper()
	res, err := b.client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	a := answer{res.StatusCode, res.Header, string(body)}
	if !a.single() {
		b.t.Errorf("%s %s is answered twice: %d %s", r.Method, r.URL, a.status, a.body)
	}
	return a
}

// single tells whether nothing more was written behind a whole answer.
func (a answer) single() bool {
	kind, _, _ := strings.Cut(a.header.Get("Content-Type"), ";")
	switch {
	case a.body == "":
		return true
	case strings.HasSuffix(kind, "json"):
		return json.Valid([]byte(a.body))
	case kind == "text/html":
		return strings.Count(a.body, "<!doctype html>") <= 1 && !strings.HasSuffix(a.body, "}")
	case kind == "text/plain":
		return strings.Count(a.body, "\n") == 1 && strings.HasSuffix(a.body, "\n")
	}
	return true
}

func (b *browser) request(method, address, body string, header ...string) *http.Request {
	b.t.Helper()
	if strings.HasPrefix(address, "/") {
		address = b.em.Endpoint() + address
	}
	r, err := http.NewRequest(method, address, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

func (b *browser) get(address string, header ...string) answer {
	b.t.Helper()
	return b.do(b.request("GET", address, "", header...))
}

func (b *browser) post(address string, form url.Values, header ...string) answer {
	b.t.Helper()
	return b.do(b.request("POST", address, form.Encode(), append([]string{"Content-Type", "application/x-www-form-urlencoded"}, header...)...))
}

func (b *browser) control(action, args string) answer {
	b.t.Helper()
	a := b.do(b.request("POST", "/control/"+action, args, "Content-Type", "application/json"))
	if a.status != 200 {
		b.t.Fatalf("%s: %d %s", action, a.status, a.body)
	}
	return a
}

// authorization is what @logto/browser asks for, with changes: name, value, …; an empty
// value takes a parameter away.
func authorization(changes ...string) url.Values {
	form := url.Values{
		"client_id": {"page"}, "redirect_uri": {callback}, "response_type": {"code"}, "state": {"st"},
		"scope":          {"openid offline_access profile email roles urn:logto:scope:organizations urn:logto:scope:organization_roles read:things write:things read:members"},
		"resource":       {api},
		"code_challenge": {challenge()}, "code_challenge_method": {"S256"}, "prompt": {"consent"},
	}
	for i := 0; i+1 < len(changes); i += 2 {
		form[changes[i]] = []string{changes[i+1]}
		if changes[i+1] == "" {
			form.Del(changes[i])
		}
	}
	return form
}

// signIn goes through the sign-in page, and gives the code.
func (b *browser) signIn(user string, changes ...string) string {
	b.t.Helper()
	page := b.get("/oidc/auth?" + authorization(changes...).Encode()).location(b.t)
	if !strings.HasSuffix(page.Path, "/sign-in") {
		b.t.Fatalf("to %v", page)
	}
	back := b.post(page.String(), url.Values{"user": {user}}).location(b.t)
	code := back.Query().Get("code")
	if code == "" || back.Query().Get("state") != "st" {
		b.t.Fatalf("back to %v", back)
	}
	return code
}

// exchange gives the code to the token endpoint, as the page.
func (b *browser) exchange(code string, changes ...string) answer {
	b.t.Helper()
	form := url.Values{"grant_type": {"authorization_code"}, "client_id": {"page"}, "code": {code}, "redirect_uri": {callback}, "code_verifier": {verifier}}
	for i := 0; i+1 < len(changes); i += 2 {
		form[changes[i]] = []string{changes[i+1]}
		if changes[i+1] == "" {
			form.Del(changes[i])
		}
	}
	return b.post("/oidc/token", form)
}

func (b *browser) refresh(token string, more ...string) answer {
	b.t.Helper()
	form := url.Values{"grant_type": {"refresh_token"}, "client_id": {"page"}, "refresh_token": {token}}
	for i := 0; i+1 < len(more); i += 2 {
		form.Set(more[i], more[i+1])
	}
	return b.post("/oidc/token", form)
}

func (b *browser) machine(more ...string) answer {
	b.t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {"machine"}, "client_secret": {"machine-secret"}}
	for i := 0; i+1 < len(more); i += 2 {
		form.Set(more[i], more[i+1])
	}
	return b.post("/oidc/token", form)
}

func decode(t *testing.T, token string) (header, claims map[string]any) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("no JWT: %q", token)
	}
	for i, into := range []*map[string]any{&header, &claims} {
		b, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, into); err != nil {
			t.Fatal(err)
		}
	}
	return header, claims
}

// ask sends a token to an API on this library, whose route asks for read:things.
func ask(h http.Handler, token string) int {
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code
}

func newAPI(t *testing.T, cfg logto.Config, reqs ...logto.Requirement) http.Handler {
	t.Helper()
	v, err := logto.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return logto.Require(v, reqs...)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
}

// inMemory is the emulator's configuration for an API in the same process.
func inMemory(em *emulator.Server) logto.Config {
	cfg := em.Config()
	cfg.HTTPClient = em.Client()
	return cfg
}
