package emulator_test

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-70fe37f4/logto/emulator"
)

const authorizeTenant = `{
	"users": [{"id": "u1", "username": "alice", "primaryEmail": "a@example.test", "name": "Alice"}, {"id": "u2"}, {"id": "u3", "isSuspended": true}],
	"applications": [{"id": "page", "type": "SPA", "redirectUris": ["http://localhost:*/*"], "backchannelLogoutUri": "http://api.test/"}, {"id": "other", "type": "SPA", "redirectUris": ["http://localhost:*/*"], "backchannelLogoutUri": "http://api.test/"}]}`

// Where an authorization request leads, by who is signed in, who is hinted at and what
// prompt says: to the client with somebody's code, to the sign-in page, or back with an
// error.
func TestAuthorize(t *testing.T) {
	for _, test := range []struct{ session, hint, prompt, want string }{
		{"", "", "consent", "page"},
		{"", "u1", "consent", "u1"},
		{"", "alice", "consent", "u1"},
		{"", "a@example.test", "consent", "u1"},
		{"", "Alice", "consent", "page"}, // a name is nobody's alone
		{"", "u3", "consent", "access_denied"},
		{"", "", "none", "login_required"},
		{"", "u1", "none", "login_required"},
		{"u2", "", "consent", "u2"},
		{"u2", "", "none", "u2"},
		{"u2", "", "login", "page"},
		{"u2", "u2", "consent", "u2"},
		{"u2", "u2", "login", "u2"},
		{"u2", "alice", "consent", "u1"},
		{"u2", "alice", "none", "u2"},
		{"u2", "nobody", "consent", "page"},
		{"u2", "nobody", "none", "login_required"},
	} {
		_, b := newMemory(t, emulator.Config{Tenant: []byte(authorizeTenant)})
		if test.session != "" {
			b.signIn(test.session, "resource", "")
		}
		to := b.get("/oidc/auth?" + authorization("resource", "", "login_hint", test.hint, "prompt", test.prompt).Encode()).location(t)
		got := to.Query().Get("error")
		switch code := to.Query().Get("code"); {
		case strings.HasSuffix(to.Path, "/sign-in"):
			got = "page"
			shown := strings.Contains(b.get(to.String()).body, "“"+test.hint+"” names nobody")
			if want := test.hint == "nobody" || test.hint == "Alice"; shown != want {
				t.Errorf("%+v: the hint is shown: %v", test, shown)
			}
		case code != "":
			_, claims := decode(t, b.exchange(code).text(t, "id_token"))
			got = claims["sub"].(string)
		}
		if got != test.want {
			t.Errorf("%+v: to %v", test, to)
		}
	}
}

// A browser has one session, which its applications share; each has its own name for it.
func TestSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, b := newMemory(t, emulator.Config{Tenant: []byte(authorizeTenant)})
		sid := func(client string) string {
			code := b.signInAgainAs(client, "resource", "")
			_, claims := decode(t, b.exchange(code, "client_id", client).text(t, "id_token"))
			sid, _ := claims["sid"].(string)
			return sid
		}
		b.signIn("u1", "resource", "")
		page, other := sid("page"), sid("other")
		if page == "" || other == "" || page == other || sid("page") != page {
			t.Errorf("sids %q and %q, then %q", page, other, sid("page"))
		}
		b.signIn("u2", "resource", "", "prompt", "login")
		if n := b.get("/control/state").json(t)["sessions"]; n != 1.0 {
			t.Errorf("%v sessions", n)
		}
		if again := sid("page"); again == page {
			t.Error("another session has the same sid")
		}
		if out := b.get("/oidc/session/end").header.Get("Set-Cookie"); !strings.HasPrefix(out, "logto_emulator_3001=; Path=/; Max-Age=0") {
			t.Errorf("signed out: %s", out)
		}
		// Who has kept the cookie is signed out all the same.
		page3 := b.get("/oidc/auth?" + authorization("resource", "").Encode()).location(t)
		kept, _, _ := strings.Cut(b.post(page3.String(), url.Values{"user": {"u1"}}).header.Get("Set-Cookie"), ";")
		for _, signedIn := range []bool{true, false} {
			to := newBrowser(t, b.em).get("/oidc/auth?"+authorization("resource", "").Encode(), "Cookie", kept).location(t)
			if (to.Query().Get("code") != "") != signedIn {
				t.Errorf("by a cookie that was kept, signed in %v: %v", signedIn, to)
			}
			b.get("/oidc/session/end")
		}
		// One that was begun elsewhere, or has expired, is none.
		for _, cookie := range []string{"logto_emulator_3001=x", "logto_emulator_3002=x", ""} {
			if to := newBrowser(t, b.em).get("/oidc/auth?"+authorization("resource", "").Encode(), "Cookie", cookie).location(t); !strings.HasSuffix(to.Path, "/sign-in") {
				t.Errorf("cookie %q: %v", cookie, to)
			}
		}
		page2 := b.get("/oidc/auth?" + authorization("resource", "").Encode()).location(t)
		if in := b.post(page2.String(), url.Values{"user": {"u1"}}).header.Get("Set-Cookie"); !strings.Contains(in, "; Path=/; Max-Age=1209600; HttpOnly; SameSite=Lax") || strings.Contains(in, "Secure") {
			t.Errorf("signed in: %s", in)
		}
		time.Sleep(14*24*time.Hour + time.Minute)
		if sid := b.signInAgainAs("page", "resource", ""); sid != "" {
			t.Error("the session is there after 14 days")
		}
	})
	_, b := newMemory(t, emulator.Config{Tenant: []byte(authorizeTenant), Endpoint: "https://login.localhost"})
	page := b.get("/oidc/auth?" + authorization("resource", "").Encode()).location(t)
	if in := b.post(page.String(), url.Values{"user": {"u1"}}).header.Get("Set-Cookie"); !strings.HasPrefix(in, "logto_emulator_=") || !strings.Contains(in, "; Secure") {
		t.Errorf("by https: %s", in)
	}
}

// What comes back with a code, and what doesn't, unless it was asked for.
func TestAuthorizationAnswer(t *testing.T) {
	_, b := newMemory(t, emulator.Config{Tenant: []byte(authorizeTenant)})
	b.signIn("u1", "resource", "")
	for _, test := range []struct {
		changes []string
		query   string // names of the answer's parameters
		in      string
	}{
		{nil, "code iss state", "query"},
		{[]string{"state", ""}, "code iss", "query"},
		{[]string{"response_mode", "query"}, "code iss state", "query"},
		{[]string{"response_mode", "fragment"}, "code iss state", "fragment"},
		{[]string{"response_mode", "fragment", "prompt", "none login"}, "error error_description iss state", "fragment"},
		{[]string{"response_mode", "form_post"}, "error error_description iss state", "query"},
		{[]string{"redirect_uri", "http://localhost:1/?a=b"}, "a code iss state", "query"},
	} {
		to := b.get("/oidc/auth?" + authorization(append([]string{"resource", ""}, test.changes...)...).Encode()).location(t)
		in, text := "query", to.RawQuery
		if to.Fragment != "" {
			in, text = "fragment", to.Fragment
			if to.RawQuery != "" {
				t.Errorf("%v: both in %v", test.changes, to)
			}
		}
		values, err := url.ParseQuery(text)
		if got := names(values); err != nil || got != test.query || in != test.in {
			t.Errorf("%v: %s in %s, error %v", test.changes, got, in, err)
		}
	}
	for nonce, want := range map[string]any{"": nil, "n": "n"} {
		code := b.signInAgainAs("page", "resource", "", "nonce", nonce)
		if _, claims := decode(t, b.exchange(code).text(t, "id_token")); claims["nonce"] != want {
			t.Errorf("nonce %q: %v", nonce, claims)
		}
	}
}

func names(values url.Values) string { return strings.Join(slices.Sorted(maps.Keys(values)), " ") }

// The sign-in page names everybody with what they have, and who can't sign in.
func TestSignInPage(t *testing.T) {
	_, b := newMemory(t, emulator.Config{Tenant: []byte(`{
		"roles": [{"name": "reader"}, {"name": "writer"}, {"name": "service", "type": "MachineToMachine"}],
		"organizations": [{"id": "o", "name": "Acme", "users": [{"id": "u1"}]}, {"id": "p", "name": "Umbrella", "users": [{"id": "u1"}, {"id": "u2"}]}],
		"users": [{"id": "u1", "name": "Alice", "primaryEmail": "a@example.test", "roles": ["reader", "writer"]}, {"id": "u2", "isSuspended": true}],
		"applications": [{"id": "page", "type": "SPA", "redirectUris": ["http://localhost:*/*"]}, {"id": "named", "name": "The app", "type": "SPA", "redirectUris": ["http://localhost:*/*"]}]}`)})
	for client, name := range map[string]string{"page": "page", "named": "The app"} {
		body := b.get(b.get("/oidc/auth?" + authorization("client_id", client, "resource", "").Encode()).location(t).String()).body
		for _, want := range []string{
			"Who signs in to " + name + "?",
			"<button class=\"person\" name=\"user\" value=\"u1\">\n<strong>Alice</strong>\n<small>u1 · a@example.test · reader, writer · in Acme, Umbrella</small>",
			"<button class=\"person\" name=\"user\" value=\"u2\" disabled>\n<strong>u2</strong> <span class=\"bad\">suspended</span>\n<small>u2 · in Umbrella</small>",
			`value="reader"> reader`, `value="writer"> writer`,
		} {
			if !strings.Contains(body, want) {
				t.Errorf("%s lacks %s:\n%s", client, want, body)
			}
		}
		if strings.Contains(body, "service") || strings.Contains(body, "names nobody") {
			t.Errorf("%s: %s", client, body)
		}
	}
	// Names of somebody new: what is in the ID, and what is no name.
	for name, want := range map[string]string{
		"Zoë Öz 2": "zoz2", "名": "user", " Bo ": "bo", strings.Repeat("x", 100): strings.Repeat("x", 100), "azAZ09": "azaz09", "`{@[/:x": "x",
		"": "", " ": "", strings.Repeat("x", 101): "", "a\nb": "", "a\x7fb": "",
	} {
		em, b := newMemory(t, emulator.Config{Tenant: []byte(authorizeTenant)})
		page := b.get("/oidc/auth?" + authorization("resource", "").Encode()).location(t)
		a := b.post(page.String(), url.Values{"do": {"make"}, "name": {name}})
		if (a.status == 303) != (want != "") || want == "" && !strings.Contains(a.body, "a name of at most 100 bytes") {
			t.Errorf("%q: %d %s", name, a.status, a.body)
		}
		if want == "" {
			continue
		}
		_, claims := decode(t, b.exchange(a.location(t).Query().Get("code")).text(t, "id_token"))
		if claims["sub"] != want || claims["name"] != strings.TrimSpace(name) || claims["username"] != want || claims["email"] != want+"@example.test" {
			t.Errorf("%q: %v", name, claims)
		}
		if err := em.Suspend(want); err != nil {
			t.Error(err)
		}
	}
}

// What can't go back to the client is told to the user, with what the developer must know.
func TestErrorPage(t *testing.T) {
	_, b := newMemory(t, emulator.Config{})
	for _, test := range []struct{ path, want string }{
		{"/oidc/auth?client_id=x", "<h1>invalid_client</h1>\n<p>client is invalid: there is no application with this client_id</p>"},
		{"/oidc/session/end?client_id=x", "<h1>invalid_client</h1>\n<p>client is invalid: there is no application with this client_id</p>"},
		{"/sign-in?client_id=x", "<h1>invalid_client</h1>\n<p>client is invalid: there is no application with this client_id</p>"},
		{"/oidc/auth?client_id=page", "<h1>invalid_redirect_uri</h1>\n<p>redirect_uri did not match any of the client&#39;s registered redirect_uris</p>"},
	} {
		if a := b.get(test.path, "Accept", "text/html,*/*"); a.status != 400 || !strings.Contains(a.body, test.want) {
			t.Errorf("%s: %d %s", test.path, a.status, a.body)
		}
		if a := b.get(test.path, "Accept", "application/json"); a.status != 400 || a.text(t, "error_description") == "" {
			t.Errorf("%s as JSON: %d %s", test.path, a.status, a.body)
		}
	}
}
