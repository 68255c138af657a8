package emulator_test

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/emulator"
)

// A page signs in as @logto/browser does, gets tokens, and the API takes them.
func TestSignIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		em, b := newMemory(t, emulator.Config{})
		things := newAPI(t, inMemory(em), logto.Scopes("read:things"))
		first := b.exchange(b.signIn("alice"))
		got := first.json(t)
		if first.status != 200 || got["token_type"] != "Bearer" || got["expires_in"] != 3600.0 || len(first.text(t, "access_token")) != 43 {
			t.Errorf("answer %v", got)
		}
		if header, claims := decode(t, first.text(t, "id_token")); header["typ"] != nil || claims["sub"] != "alice" || claims["aud"] != "page" {
			t.Errorf("ID token %v %v", header, claims)
		}
		if status := ask(things, first.text(t, "access_token")); status != 401 {
			t.Errorf("opaque token: %d", status)
		}
		if status := ask(things, first.text(t, "id_token")); status != 401 {
			t.Errorf("ID token: %d", status)
		}
		second := b.refresh(first.text(t, "refresh_token"), "resource", api)
		if status := ask(things, second.text(t, "access_token")); status != 200 {
			t.Errorf("access token: %d, %s", status, second.body)
		}
		info := b.get("/oidc/me", "Authorization", "Bearer "+first.text(t, "access_token"))
		if info.text(t, "sub") != "alice" || info.text(t, "email") != "alice@example.test" {
			t.Errorf("userinfo %d %s", info.status, info.body)
		}
		// Whoever is signed in comes back without a page, as does whom a hint names.
		for _, test := range []struct{ name, hint, want string }{{"the session", "", "alice"}, {"a hint", "carol", "carol"}, {"by mail", "bob@example.test", "bob"}} {
			back := b.get("/oidc/auth?" + authorization("login_hint", test.hint).Encode()).location(t)
			_, claims := decode(t, b.exchange(back.Query().Get("code")).text(t, "id_token"))
			if claims["sub"] != test.want || back.Query().Get("iss") != em.Endpoint()+"/oidc" {
				t.Errorf("%s: %v, %v", test.name, back, claims)
			}
		}
	})
}

// auth_time is there for a client that asks for an age, and the age is looked at.
func TestMaxAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, b := newMemory(t, emulator.Config{})
		start := float64(time.Now().Unix())
		b.signIn("alice")
		for _, test := range []struct {
			age      string
			sleep    time.Duration
			signedIn bool
		}{{"100", 100 * time.Second, true}, {"100", time.Second, false}, {"102", time.Second, true}, {"0", 0, false}} {
			time.Sleep(test.sleep)
			to := b.get("/oidc/auth?" + authorization("max_age", test.age).Encode()).location(t)
			code := to.Query().Get("code")
			if (code != "") != test.signedIn {
				t.Errorf("%s: %v", test.age, to)
			}
			if code == "" {
				continue
			}
			if _, claims := decode(t, b.exchange(code).text(t, "id_token")); claims["auth_time"] != start {
				t.Errorf("%s: %v", test.age, claims)
			}
		}
		// 0 asks for another sign-in, and for its time.
		if _, claims := decode(t, b.exchange(b.signIn("alice", "max_age", "0")).text(t, "id_token")); claims["auth_time"] != float64(time.Now().Unix()) {
			t.Errorf("0: %v", claims)
		}
		if _, claims := decode(t, b.exchange(b.signInAgain()).text(t, "id_token")); claims["auth_time"] != nil {
			t.Errorf("no age: %v", claims)
		}
	})
}

// Who asks for no offline_access, or not for consent, gets no refresh token, as in Logto.
func TestNoRefreshToken(t *testing.T) {
	_, b := newMemory(t, emulator.Config{})
	for _, changes := range [][]string{{"scope", "openid"}, {"prompt", ""}} {
		first := newBrowser(t, b.em)
		if a := first.exchange(first.signIn("alice", changes...)); a.status != 200 || a.json(t)["refresh_token"] != nil {
			t.Errorf("%v: %d %s", changes, a.status, a.body)
		}
	}
}

// A login that is denied, or can't be shown, comes back to the client.
func TestDeniedSignIn(t *testing.T) {
	em, b := newMemory(t, emulator.Config{})
	page := b.get("/oidc/auth?" + authorization().Encode()).location(t)
	if got := b.post(page.String(), url.Values{"do": {"deny"}}).location(t).Query(); got.Get("error") != "access_denied" || got.Get("state") != "st" || got.Get("iss") == "" {
		t.Errorf("denied: %v", got)
	}
	if got := b.get("/oidc/auth?" + authorization("prompt", "none").Encode()).location(t).Query(); got.Get("error") != "login_required" {
		t.Errorf("prompt=none: %v", got)
	}
	if err := em.Suspend("alice"); err != nil {
		t.Fatal(err)
	}
	if got := b.post(page.String(), url.Values{"user": {"alice"}}).location(t).Query(); got.Get("error") != "access_denied" {
		t.Errorf("suspended: %v", got)
	}
	if got := b.get("/oidc/auth?" + authorization("login_hint", "alice").Encode()).location(t).Query(); got.Get("error") != "access_denied" {
		t.Errorf("suspended, by hint: %v", got)
	}
}

// Somebody new is made at the page, signs in, and has the roles that were ticked.
func TestMakeUser(t *testing.T) {
	_, b := newMemory(t, emulator.Config{})
	page := b.get("/oidc/auth?" + authorization().Encode()).location(t)
	for _, form := range []url.Values{{"do": {"make"}}, {"do": {"make"}, "name": {"x"}, "role": {"nothing"}}, {"do": {"make"}, "name": {"x"}, "role": {"service"}}, {"user": {"nobody"}}} {
		if a := b.post(page.String(), form); a.status != 400 {
			t.Errorf("%v: %d", form, a.status)
		}
	}
	for _, want := range []string{"dave", "dave2"} {
		back := b.post(page.String(), url.Values{"do": {"make"}, "name": {"Dave"}, "role": {"reader"}}).location(t)
		first := b.exchange(back.Query().Get("code"))
		_, claims := decode(t, b.refresh(first.text(t, "refresh_token"), "resource", api).text(t, "access_token"))
		if claims["sub"] != want || claims["scope"] != "read:things" {
			t.Errorf("claims %v", claims)
		}
	}
}

// Answers that SDKs rely on: preflight and CORS, discovery, the key set.
func TestCORS(t *testing.T) {
	_, b := newMemory(t, emulator.Config{})
	for _, test := range []struct {
		path, origin, allowed string
	}{
		{"/oidc/token", "http://localhost:5173", "http://localhost:5173"},
		{"/oidc/token", "http://localhost", "http://localhost"},
		{"/oidc/me", "http://127.0.0.1:80", ""}, // a browser writes no default port
		{"/oidc/token", "https://evil.example", ""},
		{"/oidc/token", "http://localhost.evil.example", ""},
		{"/oidc/token", "null", ""},
		{"/oidc/token", "http://localhost:5173/x", ""},
		{"/oidc/jwks", "https://evil.example", "*"},
		{"/oidc/.well-known/openid-configuration", "https://evil.example", "*"},
		{"/oidc/token/revocation", "http://127.0.0.1:4000", "http://127.0.0.1:4000"},
	} {
		a := b.do(b.request("OPTIONS", test.path, "", "Origin", test.origin, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization"))
		if a.status != 204 || a.header.Get("Access-Control-Allow-Origin") != test.allowed || (a.header.Get("Access-Control-Allow-Headers") != "") != (test.allowed != "") {
			t.Errorf("%s from %s: %d %v", test.path, test.origin, a.status, a.header)
		}
		if a.header.Get("Access-Control-Allow-Credentials") != "" {
			t.Error("credentials are allowed")
		}
	}
	a := b.do(b.request("OPTIONS", "/oidc/token", "", "Origin", "http://localhost:5173", "Access-Control-Request-Method", "POST"))
	for name, want := range map[string]string{
		"Allow": "POST, OPTIONS", "Vary": "Origin", "Access-Control-Allow-Methods": "POST", "Access-Control-Allow-Headers": "Authorization, Content-Type, DPoP", "Access-Control-Max-Age": "3600",
	} {
		if got := a.header.Get(name); got != want {
			t.Errorf("preflight: %s: %q, want %q", name, got, want)
		}
	}
	// What a page may read of an answer, a refusal too.
	a = b.post("/oidc/token", url.Values{"client_id": {"page"}}, "Origin", "http://localhost:5173")
	if got := a.header.Get("Access-Control-Expose-Headers"); got != "WWW-Authenticate, Date, Retry-After" || a.header.Get("Access-Control-Max-Age") != "" || a.header.Get("Vary") != "Origin" {
		t.Errorf("answer: %v", a.header)
	}
}

// Headers of all answers, and what may be kept of them.
func TestHeaders(t *testing.T) {
	_, b := newMemory(t, emulator.Config{})
	const type_ = "application/json; charset=utf-8"
	for _, test := range []struct {
		name        string
		a           answer
		status      int
		cache, kind string
	}{
		{"discovery", b.get("/oidc/.well-known/openid-configuration"), 200, "no-cache", type_},
		{"token", b.machine("resource", api), 200, "no-store", type_},
		{"refusal", b.machine(), 400, "no-store", type_},
		{"control", b.get("/control/state"), 200, "no-store", type_},
		{"control page", b.get("/control"), 200, "no-store", "text/html; charset=utf-8"},
		{"redirect", b.get("/oidc/auth?" + authorization().Encode()), 303, "no-store", ""},
		{"sign-out", b.get("/oidc/session/end"), 200, "no-store", "text/html; charset=utf-8"},
		{"sign-out that leads on", b.get("/oidc/session/end?" + url.Values{"client_id": {"page"}, "post_logout_redirect_uri": {"http://localhost:1/"}}.Encode()), 303, "no-store", ""},
		{"sign-in for nothing", b.get("/sign-in"), 200, "no-store", "text/html; charset=utf-8"},
		{"health", b.get("/healthz"), 200, "", "text/plain; charset=utf-8"},
		{"elsewhere", b.get("/x"), 200, "", "text/html; charset=utf-8"},
		{"without the endpoint's path", b.get("http://localhost:3001/oidc/jwks"), 404, "", "text/plain; charset=utf-8"},
		{"health without it", b.get("http://localhost:3001/healthz"), 200, "", "text/plain; charset=utf-8"},
		{"a path like it", b.get("http://localhost:3001/emulatorx/oidc/jwks"), 200, "", "text/html; charset=utf-8"},
		{"the endpoint", b.get(b.em.Endpoint()), 303, "", "text/html; charset=utf-8"},
		{"the endpoint with a slash", b.get("/"), 303, "", "text/html; charset=utf-8"},
	} {
		h := test.a.header
		if test.a.status != test.status || h.Get("Cache-Control") != test.cache || h.Get("Content-Type") != test.kind {
			t.Errorf("%s: %d %v", test.name, test.a.status, h)
		}
		if h.Get("Server") != "logto-emulator" || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "strict-origin-when-cross-origin" {
			t.Errorf("%s: %v", test.name, h)
		}
	}
	if a := b.get(b.em.Endpoint()); a.header.Get("Location") != "/emulator/control" {
		t.Errorf("the endpoint leads to %v", a.header)
	}
	// A body of 1 MiB is taken, and no more.
	for n, status := range map[int]int{1 << 20: 401, 1<<20 + 1: 413} {
		if a := b.post("/oidc/token", url.Values{"client_id": {strings.Repeat("x", n-len("client_id="))}}); a.status != status {
			t.Errorf("%d bytes: %d", n, a.status)
		}
	}
}

// Over a port, under the emulator's own address and localhost, which is another issuer.
func TestStart(t *testing.T) {
	em := emulator.Start(t)
	things := newAPI(t, em.Config(), logto.Scopes("read:things"))
	for _, test := range []struct {
		token  emulator.Token
		status int
	}{
		{emulator.Token{User: "alice", Scopes: []string{"read:things"}}, 200},
		{emulator.Token{User: "alice"}, 403},
		{emulator.Token{User: "bob", Scopes: []string{"read:things"}}, 403},
		{emulator.Token{Scopes: []string{"read:things"}}, 200}, // the machine
	} {
		token, err := em.Token(test.token)
		if err != nil {
			t.Fatal(err)
		}
		if status := ask(things, token); status != test.status {
			t.Errorf("%+v: %d", test.token, status)
		}
	}
	for _, wrong := range []emulator.Token{{User: "nobody"}, {User: "alice", Organization: "umbrella"}, {User: "alice", Application: "machine"}, {OrganizationOnly: true}, {User: "bob", Resource: "https://x.test"}} {
		if _, err := em.Token(wrong); err == nil || !strings.HasPrefix(err.Error(), "emulator: token: ") {
			t.Errorf("%+v: error %v", wrong, err)
		}
	}
	fatal := failing(t, func(tb testing.TB) { emulator.Start(tb, emulator.Config{}, emulator.Config{}) })
	if !strings.Contains(fatal, "one Config") {
		t.Errorf("two configurations: %q", fatal)
	}
	fatal = failing(t, func(tb testing.TB) { emulator.Start(tb, emulator.Config{Tenant: []byte("x")}) })
	if !strings.Contains(fatal, "line 1") {
		t.Errorf("a wrong one: %q", fatal)
	}
	file := filepath.Join(t.TempDir(), "state.json")
	fatal = failing(t, func(tb testing.TB) {
		em := emulator.Start(tb, emulator.Config{StateFile: file})
		if err := os.Remove(file); err != nil {
			t.Error(err)
		}
		if err := os.MkdirAll(filepath.Join(file, "x"), 0o700); err != nil { // in its place
			t.Error(err)
		}
		_ = em.Suspend("alice") // which is to be saved
	})
	if !strings.HasPrefix(fatal, "emulator: ") {
		t.Errorf("a state that can't be written: %q", fatal)
	}
	res, err := http.Get(em.Endpoint() + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != 200 {
		t.Errorf("healthz: %d", res.StatusCode)
	}
	var ended *emulator.Server
	t.Run("ended", func(t *testing.T) { ended = emulator.Start(t) })
	if res, err := http.Get(ended.Endpoint() + "/healthz"); err == nil {
		res.Body.Close()
		t.Error("it listens after its test")
	}
	// An endpoint of one's own, for another name of the port.
	if named := emulator.Start(t, emulator.Config{Endpoint: "http://login.localhost:3001"}); named.Endpoint() != "http://login.localhost:3001/emulator" {
		t.Errorf("endpoint %s", named.Endpoint())
	}
}

// failing gives what a test of its own fails with: f, and what it leaves to its end.
func failing(t *testing.T, f func(testing.TB)) string {
	t.Helper()
	fake := &fakeTB{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(fake)
	}()
	<-done
	for _, end := range fake.ends {
		end()
	}
	return fake.failure
}

type fakeTB struct {
	testing.TB
	failure string
	ends    []func()
}

func (f *fakeTB) Cleanup(end func()) { f.ends = append(f.ends, end) }

func (f *fakeTB) Errorf(format string, args ...any) { f.failure += fmt.Sprintf(format, args...) }

func (f *fakeTB) Fatal(args ...any) {
	f.failure += fmt.Sprint(args...)
	runtime.Goexit()
}
