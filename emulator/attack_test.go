package emulator_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-70fe37f4/logto/emulator"
)

// No code goes where the application isn't, nor is anybody sent there.
func TestAttackRedirects(t *testing.T) {
	_, b := newMemory(t, emulator.Config{})
	b.signIn("alice") // so that no page stands between
	_, e := newMemory(t, emulator.Config{Tenant: []byte(`{"users":[{"id":"alice"}],"applications":[{"id":"page","type":"SPA","redirectUris":["http://localhost:5173/callback","com.example.app:/cb","http://localhost:*/only"]}]}`)})
	for _, test := range []struct {
		b        *browser
		redirect string
		ok       bool
	}{
		{b, callback, true},
		{b, "http://localhost:1/anything?x=y", true},
		{b, "http://127.0.0.1:8080/", true},
		{b, "http://localhost:5173", true},
		{b, "http://localhost", true},
		{b, "http://localhost?x=y", true},
		{b, "", false},
		{b, "https://evil.example/callback", false},
		{b, "http://localhost:5173@evil.example/", false},
		{b, "http://user@localhost:5173/", false},
		{b, "http://user:pass@localhost:5173/", false},
		{b, "http://localhost:pass@evil.example/", false},
		{b, "http://localhost.evil.example:5173/", false},
		{b, "http://evil.example/localhost:5173/", false},
		{b, "http://evil.example:5173/", false},
		{b, "https://localhost:5173/callback", false},
		{b, "//localhost:5173/callback", false},
		{b, "/callback", false},
		{b, "http:localhost:5173/callback", false},
		{b, "http://localhost:5173/callback#x", false},
		{b, "http://localhost:5173/callback#", false},
		{b, `http://localhost:5173\@evil.example/`, false},
		{b, "http://evil.example\\@localhost:5173/", false},
		{b, "http://localhost:5173/\r\nSet-Cookie: x=y", false},
		{b, "http://localhost:5173/ x", false},
		{b, `http://localhost:5173/\x`, false},
		{b, "http://localhost:5173/[x]!", true},
		{b, "javascript:alert(1)//http://localhost:5173/", false},
		{b, "data:text/html,http://localhost:5173/", false},
		{b, "http://localhost:*/*", false},
		{b, "http://[::1]:5173/", false},
		{b, "http://0.0.0.0:5173/", false},
		{b, "http://2130706433:5173/", false},
		{b, "http://loc%61lhost.evil.example/", false},
		{e, callback, true},
		{e, "com.example.app:/cb", true},
		{e, "http://localhost:77/only", true},
		{e, "http://localhost:77/only?x=y", false},
		{e, "http://localhost:77/only/more", false},
		{e, "http://localhost:5173/callback/", false},
		{e, "http://localhost:5173/callback?x", false},
		{e, "http://LOCALHOST:5173/callback", false},
		{e, "http://localhost:5174/callback", false},
		{e, "com.example.app:/cb/more", false},
		{e, "http://localhost:*/only", false},
	} {
		for _, changes := range [][]string{{}, {"login_hint", "alice"}, {"prompt", "none"}, {"response_type", "token"}, {"code_challenge", ""}} {
			form := authorization(changes...)
			form.Del("resource")
			form.Set("redirect_uri", test.redirect)
			a := test.b.get("/oidc/auth?" + form.Encode())
			to := a.header.Get("Location")
			if test.ok {
				if a.status != 303 || to == "" {
					t.Errorf("%q %v: %d %s", test.redirect, changes, a.status, a.body)
				}
			} else if a.status != 400 || to != "" || !strings.Contains(a.body, "invalid_redirect_uri") {
				t.Errorf("%q %v: %d to %q", test.redirect, changes, a.status, to)
			}
			// The sign-in page checks it again, when it is shown and when it is used.
			if a := test.b.get("/sign-in?" + form.Encode()); !test.ok && (a.status != 400 || a.header.Get("Location") != "") {
				t.Errorf("page for %q: %d to %q", test.redirect, a.status, a.header.Get("Location"))
			}
			if a := test.b.post("/sign-in?"+form.Encode(), url.Values{"user": {"alice"}}); !test.ok && (a.status != 400 || a.header.Get("Location") != "") {
				t.Errorf("choice for %q: %d to %q", test.redirect, a.status, a.header.Get("Location"))
			}
		}
	}
	twice := authorization()
	twice.Add("redirect_uri", "https://evil.example/")
	if a := b.get("/oidc/auth?" + twice.Encode()); a.status != 400 || a.header.Get("Location") != "" {
		t.Errorf("two: %d", a.status)
	}
	// What comes back is the client's query and ours, whatever the state is.
	back := b.get("/oidc/auth?" + authorization("redirect_uri", "http://localhost:1/cb?a=b", "state", "x\r\nLocation: http://evil.example&code=mine#f").Encode()).location(t)
	if q := back.Query(); q.Get("a") != "b" || q.Get("state") != "x\r\nLocation: http://evil.example&code=mine#f" || len(q["code"]) != 1 || q.Get("code") == "mine" {
		t.Errorf("back to %v", back)
	}
	if back := b.get("/oidc/auth?" + authorization("response_mode", "fragment").Encode()).location(t); back.RawQuery != "" || !strings.Contains(back.Fragment, "code=") {
		t.Errorf("fragment: %v", back)
	}
}

// Requests that are wrong go back to the client with an error, and no code.
func TestAttackAuthorization(t *testing.T) {
	_, b := newMemory(t, emulator.Config{})
	b.signIn("alice")
	for _, test := range []struct {
		name    string
		changes []string
		code    string
	}{
		{"no PKCE", []string{"code_challenge", "", "code_challenge_method", ""}, "invalid_request"},
		{"a method without a challenge", []string{"code_challenge", ""}, "invalid_request"},
		{"a method without a challenge, of a web application", []string{"client_id", "web", "code_challenge", ""}, "invalid_request"},
		{"plain", []string{"code_challenge_method", "plain"}, "invalid_request"},
		{"plain by default", []string{"code_challenge_method", ""}, "invalid_request"},
		{"no hash", []string{"code_challenge", "x"}, "invalid_request"},
		{"no base64", []string{"code_challenge", strings.Repeat("!", 43)}, "invalid_request"},
		{"implicit", []string{"response_type", "id_token"}, "unsupported_response_type"},
		{"hybrid", []string{"response_type", "code id_token"}, "unsupported_response_type"},
		{"form_post", []string{"response_mode", "form_post"}, "unsupported_response_mode"},
		{"a resource that there isn't", []string{"resource", "https://x.test"}, "invalid_target"},
		{"two in one, of which one", []string{"resource", api + ",https://x.test"}, "invalid_target"},
		{"a request object", []string{"request", "eyJ.x.y"}, "request_not_supported"},
		{"none and more", []string{"prompt", "none login"}, "invalid_request"},
		{"a request object by reference", []string{"request_uri", "https://x.test"}, "request_not_supported"},
		{"an age", []string{"max_age", "-1"}, "invalid_request"},
		{"no age", []string{"max_age", "x"}, "invalid_request"},
		{"an age of ages", []string{"max_age", "2147483648"}, "invalid_request"},
		{"a hash that is too long", []string{"code_challenge", challenge() + "x"}, "invalid_request"},
		{"a hash with a dot", []string{"code_challenge", challenge()[:42] + "."}, "invalid_request"},
		{"a hash with a tilde", []string{"code_challenge", "~" + challenge()[1:]}, "invalid_request"},
	} {
		query := "?" + authorization(test.changes...).Encode()
		for at, a := range map[string]answer{
			"asked":      b.get("/oidc/auth" + query),
			"asked of":   b.post("/oidc/auth", authorization(test.changes...)),
			"the page":   b.get("/sign-in" + query), // which checks it again
			"the choice": b.post("/sign-in"+query, url.Values{"user": {"alice"}}),
		} {
			back := a.location(t)
			if q := back.Query(); q.Get("error") != test.code || q.Get("code") != "" || q.Get("state") != "st" || back.Host != "localhost:5173" {
				t.Errorf("%s, %s: %v", test.name, at, back)
			}
		}
	}
	for _, client := range []string{"", "x", "machine"} {
		if a := b.get("/oidc/auth?" + authorization("client_id", client).Encode()); a.status != 400 || a.header.Get("Location") != "" {
			t.Errorf("client %q: %d", client, a.status)
		}
	}
	// Somebody must sign in anew where the client wants it.
	for _, changes := range [][]string{{"prompt", "login consent"}, {"max_age", "0"}} {
		if to := b.get("/oidc/auth?" + authorization(changes...).Encode()).location(t); !strings.HasSuffix(to.Path, "/sign-in") {
			t.Errorf("%v: %v", changes, to)
		}
	}
}

// A code is for one client, one redirect URI, one use, one minute, one verifier.
func TestAttackCodes(t *testing.T) {
	web := []string{"client_id", "web", "client_secret", "web-secret"}
	for _, test := range []struct {
		name    string
		changes []string // of the exchange
		signIn  []string
		wait    time.Duration
		status  int
	}{
		{"right", nil, nil, 0, 200},
		{"just in time", nil, nil, time.Minute, 200},
		{"late", nil, nil, time.Minute + time.Second, 400},
		{"another client", web, nil, 0, 400},
		{"another redirect URI", []string{"redirect_uri", "http://localhost:9/callback"}, nil, 0, 400},
		{"no redirect URI", []string{"redirect_uri", ""}, nil, 0, 400},
		{"no verifier", []string{"code_verifier", ""}, nil, 0, 400},
		{"another verifier", []string{"code_verifier", strings.Repeat("x", 43)}, nil, 0, 400},
		{"the challenge for the verifier", []string{"code_verifier", challenge()}, nil, 0, 400},
		{"a short verifier", []string{"code_verifier", "x"}, nil, 0, 400},
		{"a resource that wasn't asked for", []string{"resource", "urn:logto:resource:organizations"}, nil, 0, 400},
		{"an organization of others", []string{"organization_id", "umbrella"}, nil, 0, 403},
		{"an organization of one's own", []string{"organization_id", "acme"}, nil, 0, 200},
		{"a verifier that nobody asked for", web, []string{"client_id", "web", "code_challenge", "", "code_challenge_method", ""}, 0, 400},
		{"a web application without PKCE", append(web, "code_verifier", ""), []string{"client_id", "web", "code_challenge", "", "code_challenge_method", ""}, 0, 200},
		{"a web application's verifier left out", append(web, "code_verifier", ""), []string{"client_id", "web"}, 0, 400},
		{"a web application's secret left out", []string{"client_id", "web"}, []string{"client_id", "web"}, 0, 401},
	} {
		synctest.Test(t, func(t *testing.T) {
			_, b := newMemory(t, emulator.Config{})
			code := b.signIn("alice", test.signIn...)
			time.Sleep(test.wait)
			if a := b.exchange(code, test.changes...); a.status != test.status {
				t.Errorf("%s: %d %s", test.name, a.status, a.body)
			}
		})
	}
	_, b := newMemory(t, emulator.Config{})
	code := b.signIn("alice")
	first := b.exchange(code)
	opaque := first.text(t, "access_token")
	if a := b.refresh(first.text(t, "refresh_token"), web...); a.status != 400 {
		t.Errorf("another client's refresh token: %d", a.status)
	}
	if a := b.refresh(first.text(t, "refresh_token"), "scope", "openid write:other"); a.status != 400 || a.text(t, "error") != "invalid_scope" {
		t.Errorf("more scopes: %d %s", a.status, a.body)
	}
	if a := b.refresh(first.text(t, "refresh_token"), "resource", api+",urn:logto:resource:organizations"); a.status != 400 || a.text(t, "error") != "invalid_target" {
		t.Errorf("two resources: %d %s", a.status, a.body)
	}
	if a := b.exchange(code); a.status != 400 {
		t.Errorf("again: %d", a.status)
	}
	if a := b.refresh(first.text(t, "refresh_token")); a.status != 400 {
		t.Errorf("refresh after a second use of the code: %d", a.status)
	}
	if a := b.get("/oidc/me", "Authorization", "Bearer "+opaque); a.status != 401 {
		t.Errorf("userinfo after a second use of the code: %d", a.status)
	}
	// Secrets and codes don't come in addresses, which are logged.
	r := b.request("POST", "/oidc/token?"+url.Values{"grant_type": {"client_credentials"}, "client_id": {"machine"}, "client_secret": {"machine-secret"}, "resource": {api}}.Encode(), "", "Content-Type", "application/x-www-form-urlencoded")
	if a := b.do(r); a.status != 400 {
		t.Errorf("in the query: %d", a.status)
	}
}

// A name of the internet that points to this machine gets nothing (DNS rebinding).
func TestAttackRebinding(t *testing.T) {
	_, b := newMemory(t, emulator.Config{})
	_, open := newMemory(t, emulator.Config{Endpoint: "http://login.test:3001", InsecureHosts: []string{"login.test", "api"}})
	for _, test := range []struct {
		b    *browser
		host string
		ok   bool
	}{
		{b, "localhost:3001", true}, {b, "localhost", true}, {b, "127.0.0.1:3001", true}, {b, "127.0.0.1:9", true}, {b, "[::1]:3001", true}, {b, "[::1]", true}, {b, "emulator.localhost:3001", true},
		{b, "evil.example:3001", false}, {b, "evil.example", false}, {b, "localhost.evil.example:3001", false}, {b, "127.0.0.1.evil.example", false},
		{b, "192.168.1.2:3001", false}, {b, "0.0.0.0:3001", false}, {b, "127.1:3001", false},
		{open, "login.test:3001", true}, {open, "192.168.1.2:3001", true}, {open, "[2001:db8::1]:3001", true}, {open, "[2001:db8::1]", true}, {open, "localhost:1", true}, {open, "evil.example:3001", false}, {open, "login.test", true}, {open, "API:1", true}, {open, "api.evil.example", false},
	} {
		for _, path := range []string{"/control/state", "/control", "/oidc/jwks", "/sign-in", "/healthz", "/"} {
			if a := test.b.get(path, "Host", test.host); (a.status != http.StatusMisdirectedRequest) != test.ok {
				t.Errorf("%s at %s: %d", path, test.host, a.status)
			}
		}
	}
}

// Other pages push no button, choose nobody, and read nothing.
func TestAttackCSRF(t *testing.T) {
	_, b := newMemory(t, emulator.Config{})
	json := []string{"Content-Type", "application/json"}
	for _, test := range []struct {
		name   string
		header []string
		status int
	}{
		{"the page itself", append([]string{"Origin", "http://localhost:3001", "Sec-Fetch-Site", "same-origin"}, json...), 200},
		{"no browser", json, 200},
		{"another site", append([]string{"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"}, json...), 403},
		{"another port", append([]string{"Origin", "http://localhost:5173", "Sec-Fetch-Site", "same-site"}, json...), 403},
		{"an old browser", append([]string{"Origin", "https://evil.example"}, json...), 403},
		{"another port of an old browser", append([]string{"Origin", "http://localhost:5173"}, json...), 403},
		{"a frame", append([]string{"Origin", "null"}, json...), 403},
		{"a form's type", []string{"Content-Type", "text/plain"}, 415},
		{"a form", []string{"Content-Type", "application/x-www-form-urlencoded"}, 415},
		{"no type", nil, 415},
	} {
		for _, path := range []string{"suspend", "faults", "tenant", "reset"} {
			body := map[string]string{"suspend": `{"user":"bob"}`, "tenant": `{}`}[path]
			if path == "tenant" && test.status == 200 {
				continue
			}
			a := b.do(b.request("POST", "/control/"+path, body, test.header...))
			if a.status != test.status || a.header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s, %s: %d %s", test.name, path, a.status, a.body)
			}
			if path != "reset" {
				if a := b.get("/control/"+path, test.header...); a.status != 405 {
					t.Errorf("%s, GET %s: %d", test.name, path, a.status)
				}
			}
		}
	}
	if a := b.do(b.request("OPTIONS", "/control/suspend", "", "Origin", "https://evil.example", "Access-Control-Request-Method", "POST")); a.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("preflight: %v", a.header)
	}
	page := b.get("/oidc/auth?" + authorization().Encode()).location(t)
	for _, header := range [][]string{{"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"}, {"Origin", "http://localhost:5173", "Sec-Fetch-Site", "same-site"}} {
		if a := b.post(page.String(), url.Values{"user": {"carol"}}, header...); a.status != 403 || a.header.Get("Set-Cookie") != "" {
			t.Errorf("choice by %v: %d", header, a.status)
		}
	}
	if sessions := b.get("/control/state").json(t)["sessions"]; sessions != 0.0 {
		t.Errorf("%v sessions", sessions)
	}
	for path, want := range map[string]string{"/control/state": "application/json", "/control": "text/html", "/control/control.js": "text/javascript", "/control/style.css": "text/css", page.String(): "text/html"} {
		a := b.get(path)
		h := a.header
		if a.status != 200 || !strings.HasPrefix(h.Get("Content-Type"), want) || h.Get("X-Frame-Options") != "DENY" || !strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'") ||
			!strings.Contains(h.Get("Content-Security-Policy"), "frame-ancestors 'none'") || strings.Contains(h.Get("Content-Security-Policy"), "unsafe") ||
			h.Get("Cross-Origin-Resource-Policy") != "same-origin" || strings.HasPrefix(path, "/control") && path != "/control/state" && h.Get("Cross-Origin-Opener-Policy") != "same-origin" || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %d %v", path, a.status, h)
		}
	}
	cookie := b.post(page.String(), url.Values{"user": {"alice"}}).header.Get("Set-Cookie")
	if !strings.HasPrefix(cookie, "logto_emulator_3001=") || !strings.Contains(cookie, "HttpOnly") || !strings.Contains(cookie, "SameSite=Lax") {
		t.Errorf("cookie %s", cookie)
	}
}

// Markup in what anybody may choose stays text.
func TestAttackMarkup(t *testing.T) {
	const markup = `"><script>alert(1)</script><img src=x onerror=alert(2)>'`
	_, b := newMemory(t, emulator.Config{Tenant: []byte(`{
		"roles": [{"name": "<b>role</b>"}],
		"organizations": [{"id": "o", "name": "<i>org</i>", "users": [{"id": "<u>id</u>"}]}],
		"users": [{"id": "<u>id</u>", "name": "\"><script>alert(1)</script>", "primaryEmail": "<a href=javascript:alert(1)>x</a>", "roles": ["<b>role</b>"]}],
		"applications": [{"id": "page", "name": "<h1>app</h1><script>alert(3)</script>", "type": "SPA", "redirectUris": ["http://localhost:*/*"]}]}`)})
	page := b.get("/oidc/auth?" + authorization("resource", "", "login_hint", markup, "state", markup, "nonce", markup).Encode()).location(t)
	for name, a := range map[string]answer{
		"sign-in page":       b.get(page.String()),
		"unknown client":     b.get("/oidc/auth?"+authorization("client_id", markup).Encode(), "Accept", "text/html"),
		"unknown redirect":   b.get("/oidc/auth?"+authorization("redirect_uri", markup).Encode(), "Accept", "text/html"),
		"sign-out":           b.get("/oidc/session/end?"+url.Values{"client_id": {markup}}.Encode(), "Accept", "text/html"),
		"a choice of nobody": b.post(page.String(), url.Values{"user": {markup}}, "Accept", "text/html"),
		"a bad role":         b.post(page.String(), url.Values{"do": {"make"}, "name": {"x"}, "role": {markup}}, "Accept", "text/html"),
	} {
		if !strings.HasPrefix(a.header.Get("Content-Type"), "text/html") {
			t.Errorf("%s: %d %v", name, a.status, a.header)
		}
		for _, tag := range []string{"<script>", "<img", "<b>", "<i>", "<u>", "<a href=java", "<h1>app"} {
			if strings.Contains(a.body, tag) {
				t.Errorf("%s has %s: %s", name, tag, a.body)
			}
		}
	}
	if a := b.post(page.String(), url.Values{"do": {"make"}, "name": {"<img src=x onerror=alert(2)>"}}); a.status != 303 {
		t.Errorf("made: %d", a.status)
	}
	// JSON is no page, even if a browser is led to it.
	if a := b.get("/control/state"); strings.Contains(a.body, "<script>") || !strings.HasPrefix(a.header.Get("Content-Type"), "application/json") {
		t.Errorf("state: %v", a.header)
	}
}

// Bodies are bounded, and none panics.
func TestAttackBodies(t *testing.T) {
	_, b := newMemory(t, emulator.Config{})
	long := strings.Repeat("x", 2<<20)
	for _, kind := range []string{"application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain", ""} {
		for _, path := range []string{"/oidc/token", "/oidc/me", "/oidc/token/revocation", "/oidc/token/introspection", "/oidc/session/end", "/oidc/auth", "/control/suspend", "/control/tenant", "/control/resend", "/control/faults", "/sign-in"} {
			for _, body := range []string{"", "{", "null", "[]", `"x"`, "1", `{"client_id":1}`, `{"client_id":["page",1]}`, `{"faults":[null]}`, "client_id=%zz", "a=b;c=d", long} {
				a := b.do(b.request("POST", path, body, "Content-Type", kind))
				if a.status >= 500 {
					t.Errorf("%s %s %.20q: %d %s", kind, path, body, a.status, a.body)
				}
			}
		}
	}
	// Who is slow to send a body keeps nobody else from anything.
	synctest.Test(t, func(t *testing.T) {
		_, b := newMemory(t, emulator.Config{})
		body, slow := io.Pipe()
		r := b.request("POST", "/oidc/token", "", "Content-Type", "application/x-www-form-urlencoded")
		r.Body = body
		done := make(chan answer)
		go func() { done <- b.do(r) }()
		synctest.Wait()
		if a := b.machine("resource", api); a.status != 200 {
			t.Errorf("beside a slow one: %d", a.status)
		}
		_, _ = io.WriteString(slow, "client_id=page")
		_ = slow.Close()
		if a := <-done; a.status != 400 {
			t.Errorf("the slow one: %d", a.status)
		}
	})
	for _, path := range []string{"/oidc", "/oidc/", "/oidc/../control", "/oidc/jwks/", "/oidc/register", "/control/pages/control.html", "/control/../emulator.go", "/control/control.html", "/controlx"} {
		if a := b.get(path); a.status >= 500 || strings.Contains(a.body, "package emulator") {
			t.Errorf("%s: %d", path, a.status)
		}
	}
	for _, method := range []string{"PUT", "DELETE", "TRACE", "PATCH"} {
		for _, path := range []string{"/oidc/token", "/oidc/jwks", "/sign-in", "/control/suspend"} {
			if a := b.do(b.request(method, path, "")); a.status != 405 || a.header.Get("Allow") == "" {
				t.Errorf("%s %s: %d", method, path, a.status)
			}
		}
	}
}
