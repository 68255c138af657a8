package emulator_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/seed-70fe37f4/logto/emulator"
)

// A page of another application, or of the internet, gets nothing from the endpoints of
// tokens, with the right secrets neither.
func TestAttackOrigins(t *testing.T) {
	_, b := newMemory(t, emulator.Config{})
	code, evil := b.signIn("alice"), "https://evil.example"
	machine := url.Values{"grant_type": {"client_credentials"}, "client_id": {"machine"}, "client_secret": {"machine-secret"}, "resource": {api}}
	page := url.Values{"grant_type": {"authorization_code"}, "client_id": {"page"}, "code": {code}, "redirect_uri": {callback}, "code_verifier": {verifier}}
	about := url.Values{"client_id": {"page"}, "token": {"x"}}
	for _, test := range []struct {
		name, path, origin string
		form               url.Values
		status             int
	}{
		{"a machine's token", "/oidc/token", evil, machine, 400},
		{"a machine's token, by a page on localhost", "/oidc/token", "http://localhost:5173", machine, 400},
		{"a machine's token, by a sandboxed frame", "/oidc/token", "null", machine, 400},
		{"a code", "/oidc/token", evil, page, 400},
		{"a revocation", "/oidc/token/revocation", evil, about, 400},
		{"an introspection", "/oidc/token/introspection", evil, about, 400},
		{"a machine's token, by no page", "/oidc/token", "", machine, 200},
		{"a machine's token, by the emulator's", "/oidc/token", "http://localhost:3001", machine, 200},
		{"the code, by its page", "/oidc/token", "http://localhost:5173", page, 200},
	} {
		var header []string
		if test.origin != "" {
			header = []string{"Origin", test.origin}
		}
		a := b.post(test.path, test.form, header...)
		want := "origin " + test.origin + " not allowed for client: " + test.form.Get("client_id")
		if a.status != test.status || test.status == 400 && (a.text(t, "error_description") != want || strings.Contains(a.body, "access_token")) {
			t.Errorf("%s: %d %s", test.name, a.status, a.body)
		}
		if test.origin == evil && a.header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %v", test.name, a.header)
		}
	}
	opaque := b.exchange(b.signInAgain()).text(t, "access_token")
	for origin, status := range map[string]int{evil: 400, "null": 400, "http://localhost:5173": 200} {
		if a := b.get("/oidc/me", "Authorization", "Bearer "+opaque, "Origin", origin); a.status != status {
			t.Errorf("userinfo from %s: %d %s", origin, a.status, a.body)
		}
	}
}

// An image on a page of the internet signs nobody in.
func TestAttackLoginHint(t *testing.T) {
	for _, test := range []struct {
		name   string
		header []string
		ok     bool
	}{
		{"no browser", nil, true},
		{"typed", []string{"Sec-Fetch-Site", "none"}, true},
		{"the application's page", []string{"Sec-Fetch-Site", "same-site", "Referer", "http://localhost:5173/"}, true},
		{"the same on 127.0.0.1", []string{"Sec-Fetch-Site", "cross-site", "Referer", "http://127.0.0.1:5173/"}, true},
		{"the same, which says not where", []string{"Sec-Fetch-Site", "same-site"}, true},
		{"the emulator's page", []string{"Sec-Fetch-Site", "same-origin", "Referer", "http://localhost:3001/emulator/control"}, true},
		{"a page without a host, as of a file", []string{"Referer", "http:///"}, true},
		{"an image", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Dest", "image", "Referer", "https://evil.example/"}, false},
		{"a page that says not where", []string{"Sec-Fetch-Site", "cross-site"}, false},
		{"an old browser", []string{"Referer", "https://evil.example/"}, false},
		{"a page that says nonsense", []string{"Sec-Fetch-Site", "cross-site", "Referer", "http://%zz/"}, false},
		{"a page of another scheme", []string{"Sec-Fetch-Site", "cross-site", "Referer", "ftp://localhost:5173/"}, false},
		{"a name like it", []string{"Sec-Fetch-Site", "cross-site", "Referer", "http://localhost.evil.example:5173/"}, false},
	} {
		_, b := newMemory(t, emulator.Config{})
		for _, changes := range [][]string{{"login_hint", "alice"}, {"login_hint", "alice", "prompt", "login consent"}} {
			form := authorization(changes...)
			for method, a := range map[string]answer{
				"GET":  b.get("/oidc/auth?"+form.Encode(), test.header...),
				"POST": b.post("/oidc/auth", form, test.header...),
			} {
				to := a.location(t)
				if (to.Query().Get("code") != "") != test.ok || !test.ok && (!strings.HasSuffix(to.Path, "/sign-in") || a.header.Get("Set-Cookie") != "") {
					t.Errorf("%s, %s %v: to %v", test.name, method, changes, to)
				}
			}
		}
		if sessions := b.get("/control/state").json(t)["sessions"].(float64); (sessions > 0) != test.ok {
			t.Errorf("%s: %v sessions", test.name, sessions)
		}
	}
}

// A proxy before it doesn't put it on the internet, though it asks by a loopback name.
func TestAttackProxies(t *testing.T) {
	_, b := newMemory(t, emulator.Config{})
	_, open := newMemory(t, emulator.Config{InsecureHosts: []string{"login.test"}})
	for _, test := range []struct {
		b      *browser
		header []string
		ok     bool
	}{
		{b, []string{"X-Forwarded-Host", "localhost:8443", "X-Forwarded-For", "127.0.0.1"}, true},
		{b, []string{"X-Forwarded-For", "::1, 127.0.0.1"}, true},
		{b, []string{"X-Forwarded-For", "[::1]:1234"}, true},
		{b, []string{"X-Forwarded-Host", "login.example.com"}, false},
		{b, []string{"X-Forwarded-Host", "localhost, login.example.com"}, false},
		{b, []string{"X-Forwarded-For", "203.0.113.7"}, false},
		{b, []string{"X-Forwarded-For", "127.0.0.1, 203.0.113.7"}, false},
		{b, []string{"X-Forwarded-For", "unknown"}, false},
		{b, []string{"X-Real-Ip", "203.0.113.7:80"}, false},
		{open, []string{"X-Forwarded-Host", "login.test", "X-Forwarded-For", "203.0.113.7"}, true},
		{open, []string{"X-Forwarded-Host", "login.example.com"}, false},
	} {
		for _, path := range []string{"/control/state", "/oidc/jwks", "/sign-in"} {
			if a := test.b.get(path, test.header...); (a.status != http.StatusMisdirectedRequest) != test.ok {
				t.Errorf("%v, %s: %d", test.header, path, a.status)
			}
		}
	}
}

// What is long is not kept, and is not what the control page shows.
func TestAttackJournal(t *testing.T) {
	_, b := newMemory(t, emulator.Config{})
	for _, text := range []string{strings.Repeat("x", 900_000), strings.Repeat("ä", 300_000)} {
		for range 3 {
			b.post("/oidc/token", url.Values{"client_id": {text}})
			b.post("/oidc/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {"machine"}, "client_secret": {"machine-secret"}, "resource": {text}})
			b.post("/sign-in?client_id=x", url.Values{"user": {text}})
		}
	}
	a := b.get("/control/state")
	if len(a.body) > 50_000 || !strings.Contains(a.body, "xxx …") || strings.Contains(a.body, "\ufffd") {
		t.Errorf("%d bytes", len(a.body))
	}
	_, b = newMemory(t, emulator.Config{})
	for n, want := range map[int]string{500: `"client":"` + strings.Repeat("y", 500) + `"`, 501: `"client":"` + strings.Repeat("y", 500) + ` …"`} {
		b.post("/oidc/token", url.Values{"client_id": {strings.Repeat("y", n)}})
		if a := b.get("/control/state"); !strings.Contains(a.body, want) {
			t.Errorf("of %d bytes: %s", n, a.body)
		}
	}
}

// A machine has no opaque token: it would be for the profile of nobody.
func TestNoOpaqueMachine(t *testing.T) {
	em, _ := newMemory(t, emulator.Config{Tenant: []byte(`{"applications":[{"id":"machine","type":"MachineToMachine","secret":"s"}]}`)})
	if token, err := em.Token(emulator.Token{Scopes: []string{"openid"}}); err == nil {
		t.Errorf("token %s", token)
	}
}

// Whatever is done in whatever order, nothing panics, and no answer says that the
// emulator itself is at fault. In memory a panic ends the test.
func TestAnyOrder(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 0))
		em, b := newMemory(t, emulator.Config{})
		kept := []string{"x", "pat_alice"} // codes and tokens
		pick := func(all ...string) string { return all[r.IntN(len(all))] }
		user := func() string { return pick("alice", "bob", "carol", "dave", "machine") }
		id := func() string { return pick("page", "web", "machine", "gone") }
		var steps []string
		for range 150 {
			var a answer
			var step string
			switch kind := r.IntN(9); kind {
			case 0, 1:
				form := authorization("client_id", id(), "prompt", pick("consent", "login", "none", ""), "login_hint", pick("", user()), "max_age", pick("", "0", "5"), "scope", pick("", "openid", "openid offline_access urn:logto:scope:organizations"))
				a = b.get("/oidc/auth?" + form.Encode())
				if strings.Contains(a.header.Get("Location"), "/sign-in") {
					a = b.post(a.header.Get("Location"), url.Values{"user": {user()}, "do": {pick("", "make", "deny")}, "name": {"Dave"}})
				}
				if to, err := url.Parse(a.header.Get("Location")); err == nil && to.Query().Get("code") != "" {
					kept = append(kept, to.Query().Get("code"))
				}
				step = form.Encode()
			case 2, 3, 4:
				client := id()
				form := url.Values{"client_id": {client}, "redirect_uri": {callback}, "code_verifier": {verifier}, "resource": {pick("", api, "urn:logto:resource:organizations")}, "organization_id": {pick("", "", "acme", "gone")},
					"grant_type": {pick("authorization_code", "refresh_token", "client_credentials", "urn:ietf:params:oauth:grant-type:token-exchange")}, "scope": {pick("", "openid")}}
				if client != "page" {
					form.Set("client_secret", client+"-secret")
				}
				for _, name := range []string{"code", "refresh_token", "subject_token", "token"} {
					form.Set(name, kept[len(kept)-1-r.IntN(min(len(kept), 6))])
				}
				form.Set("subject_token_type", pick("urn:logto:token-type:personal_access_token", "urn:ietf:params:oauth:token-type:access_token"))
				path := pick("/oidc/token", "/oidc/token", "/oidc/token", "/oidc/token/revocation", "/oidc/token/introspection")
				a, step = b.post(path, form), path+" "+form.Encode()
				for _, name := range []string{"access_token", "refresh_token", "id_token"} {
					if a.status == 200 && strings.Contains(a.body, `"`+name+`"`) {
						kept = append(kept, a.text(t, name))
					}
				}
			case 5:
				a, step = b.get("/oidc/me", "Authorization", "Bearer "+kept[len(kept)-1-r.IntN(min(len(kept), 6))]), "userinfo"
			case 6:
				a, step = b.get("/oidc/session/end?"+url.Values{"client_id": {pick("page", "")}, "id_token_hint": {pick(append(kept, "")...)}}.Encode()), "end"
			default:
				action := pick("suspend", "unsuspend", "delete-user", "create-user", "add-member", "remove-member", "delete-organization", "user-roles", "rotate", "drop-key", "clock", "lifetimes", "token", "subject-token",
					"personal-access-token", "revoke", "reset", "tenant", "tenant", "tenant", "token", "token", "test-hook", "update-user")
				args := map[string]string{
					"create-user": fmt.Sprintf(`{"id":%q}`, user()), "add-member": fmt.Sprintf(`{"organization":"acme","user":%q}`, user()), "remove-member": fmt.Sprintf(`{"organization":"acme","user":%q}`, user()),
					"delete-organization": `{"organization":"umbrella"}`, "rotate": fmt.Sprintf(`{"staged":%v}`, r.IntN(2) == 0), "drop-key": `{}`, "clock": fmt.Sprintf(`{"seconds":%d}`, r.IntN(9)*100000-400000),
					"lifetimes": fmt.Sprintf(`{"accessToken":%d,"refreshToken":%d}`, r.IntN(9)-2, r.IntN(9)), "reset": `{}`, "test-hook": `{}`,
					"tenant": pick(`{}`, `{"applications":[{"id":"machine","type":"MachineToMachine","secret":"machine-secret"}]}`, string(emulator.Example())), "token": fmt.Sprintf(`{"user":%q,"scopes":["openid"]}`, pick("", user())),
				}[action]
				if args == "" {
					args = fmt.Sprintf(`{"user":%q}`, user())
				}
				a, step = b.do(b.request("POST", "/control/"+action, args, "Content-Type", "application/json")), action+" "+args
				for _, name := range []string{"subjectToken", "value", "access_token"} {
					if a.status == 200 && strings.Contains(a.body, `"`+name+`"`) {
						kept = append(kept, a.text(t, name))
					}
				}
			}
			steps = append(steps, step)
			if a.status >= 500 {
				t.Fatalf("seed %d: %d %s after\n%s", seed, a.status, a.body, strings.Join(steps, "\n"))
			}
		}
		if a := newBrowser(t, em).get("/control/state"); a.status != 200 {
			t.Errorf("seed %d: %d %s", seed, a.status, a.body)
		}
	}
}
