package emulator_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/emulator"
)

type shownToken struct {
	Kind, Token    string
	Header, Claims map[string]any
	Verdict        struct {
		Accepted             bool
		Reason, Text, Remedy string
	}
}

func shownTokens(t *testing.T, b *browser, audience string) []shownToken {
	t.Helper()
	var state struct{ Tokens []shownToken }
	if err := json.Unmarshal([]byte(b.get("/control/state?"+url.Values{"audience": {audience}}.Encode()).body), &state); err != nil {
		t.Fatal(err)
	}
	return state.Tokens
}

// The control page shows what was issued, and what package logto says of it.
func TestVerdicts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		em, b := newMemory(t, emulator.Config{Tenant: withHook(t), HTTPClient: &http.Client{Transport: nowhere{}}})
		b.exchange(b.signIn("alice")) // an ID token
		mint(t, em)
		b.control("lifetimes", `{"accessToken":-120}`)
		mint(t, em)
		b.control("lifetimes", `{}`)
		b.control("clock", `{"seconds":600}`)
		mint(t, em)
		b.control("clock", `{}`)
		b.get("/oidc/session/end") // a logout token
		for _, test := range []struct {
			audience string
			want     []string // kind, and reason or accepted
		}{
			{api, []string{"ID token wrong_type", "access token accepted", "access token expired", "access token not_yet_valid", "logout token wrong_type"}},
			{"", []string{"ID token wrong_type", "access token accepted", "access token expired", "access token not_yet_valid", "logout token wrong_type"}},
			{api + "/", []string{"ID token wrong_type", "access token audience", "access token audience", "access token audience", "logout token wrong_type"}},
		} {
			var got []string
			for _, token := range shownTokens(t, b, test.audience) {
				said := token.Verdict.Reason
				if token.Verdict.Accepted {
					said = "accepted"
				} else if token.Verdict.Text == "" || token.Verdict.Remedy == "" {
					t.Errorf("no text: %+v", token.Verdict)
				}
				got = append(got, token.Kind+" "+said)
				if header, claims := decode(t, token.Token); fmt.Sprint(header, claims) != fmt.Sprint(token.Header, token.Claims) {
					t.Errorf("decoded %v %v", token.Header, token.Claims)
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(test.want) {
				t.Errorf("for %q: %q, want %q", test.audience, got, test.want)
			}
		}
		for range 60 {
			mint(t, em)
		}
		if n := len(shownTokens(t, b, api)); n != 50 {
			t.Errorf("%d tokens are remembered", n)
		}
		// Tokens of keys that are gone keep the page from nothing.
		b.control("rotate", `{}`)
		b.control("rotate", `{}`)
		time.Sleep(2 * time.Minute)
		start := time.Now()
		for _, token := range shownTokens(t, b, api) {
			if token.Verdict.Reason != "unknown_key" {
				t.Fatalf("verdict %+v", token.Verdict)
			}
		}
		if took := time.Since(start); took > 0 {
			t.Errorf("took %v", took)
		}
	})
}

type nowhere struct{}

func (nowhere) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, fmt.Errorf("no receiver")
}

// Requests that were refused say why, which the answer, as Logto's, doesn't.
func TestReasonsOfRequests(t *testing.T) {
	_, b := newMemory(t, emulator.Config{})
	b.exchange(b.signIn("alice"), "code_verifier", strings.Repeat("x", 43))
	b.machine("client_secret", "x", "resource", api)
	b.do(b.request("POST", "/oidc/token", `{"client_id":"by JSON"}`, "Content-Type", "application/json"))
	r := b.request("POST", "/oidc/token", "", "Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth("by header", "x")
	b.do(r)
	b.get("/oidc/auth?" + authorization("resource", "https://x.test").Encode())
	state := b.get("/control/state").body
	for _, want := range []string{"PKCE: the code_verifier isn't that of the code_challenge", "the secret is another", "there is no resource https://x.test", "signed in: alice", `"client":"page"`, `"client":"machine"`, `"client":"by JSON"`, `"client":"by header"`} {
		if !strings.Contains(state, want) {
			t.Errorf("%q isn't told: %s", want, state)
		}
	}
	if strings.Contains(state, `"note":"x`) || strings.Contains(state, strings.Repeat("x", 43)) {
		t.Error("what was sent is shown")
	}
}

// Custom claims: a template in place of a script.
func TestCustomClaims(t *testing.T) {
	for _, test := range []struct{ template, want string }{
		{`{}`, `{}`},
		{`{"plan": "${context.user.customData.plan}"}`, `{"plan":"pro"}`},
		{`{"n": "${context.user.customData.n}", "deep": {"on": ["${context.user.customData.yes}", "x"]}}`, `{"deep":{"on":[true,"x"]},"n":9007199254740993}`},
		{`{"text": "plan ${context.user.customData.plan} of ${context.user.name}, ${context.user.nothing}${"}`, `{"text":"plan pro of Alice, ${"}`},
		{`{"roles": "${context.user.roles.name}", "in": "${context.user.organizations.id}"}`, `{"in":["o"],"roles":["reader"]}`},
		{`{"gone": "${context.user.customData.nothing}", "gone2": "${nothing.at.all}", "gone3": "${context.user.name.more}"}`, `{}`},
		{`{"null": null, "organization_id": 42}`, `{"null":null,"organization_id":42}`},
		{`{"t": "${context.user.name}${context.user.name}", "u": "x ${context.user.customData.plan} ${context.user.customData.yes}."}`, `{"t":"AliceAlice","u":"x pro true."}`},
		{`{"t": "of ${context.user.roles}, ${context.user.roles.name}, ${context.user.customData.none}"}`, `{"t":"of [{\"name\":\"reader\"}], [\"reader\"], "}`},
		{`{"t": "}${context.user.name", "u": "${context.user.name} ${", "v": "${}"}`, `{"t":"}${context.user.name","u":"Alice ${"}`},
		{`{"o": "${context.user.organizationRoles}", "deep": [["${context.user.id}"], ["${no}"]], "n": 1, "b": false}`, `{"b":false,"deep":[["alice"],[]],"n":1,"o":[{"organizationId":"o","roleName":"boss"}]}`},
		{`{"was": "${token.sub} for ${token.aud}"}`, `{"was":"alice for https://api.example.test"}`},
		{`{"act": {"sub": "x"}, "all": "${context.user.customData}"}`, `{"act":{"sub":"x"},"all":{"n":9007199254740993,"plan":"pro","yes":true}}`},
		// What no script can override, in Logto either.
		{`{"iss": "x", "aud": "x", "sub": "x", "exp": 1, "iat": 1, "jti": "x", "scope": "admin", "client_id": "x"}`, `{}`},
	} {
		_, b := newMemory(t, emulator.Config{Tenant: []byte(`{
			"resources": [{"indicator": "https://api.example.test"}], "roles": [{"name": "reader"}], "organizationRoles": [{"name": "boss"}],
			"users": [{"id": "alice", "name": "Alice", "roles": ["reader"], "customData": {"plan": "pro", "n": 9007199254740993, "yes": true}}],
			"organizations": [{"id": "o", "users": [{"id": "alice", "organizationRoles": ["boss"]}]}],
			"applications": [{"id": "page", "type": "SPA", "redirectUris": ["http://localhost:*/*"]}, {"id": "machine", "type": "MachineToMachine", "secret": "s"}],
			"jwtCustomizer": {"accessToken": ` + test.template + `, "clientCredentials": {"app": "${context.application.id}", "scope": "admin"}}}`)})
		token := b.control("token", `{"user":"alice"}`).text(t, "access_token")
		var payload map[string]json.RawMessage
		_, claims := decode(t, token)
		for _, shown := range shownTokens(t, b, api) {
			if shown.Token == token {
				raw, err := json.Marshal(shown.Claims)
				if err != nil || json.Unmarshal(raw, &payload) != nil {
					t.Fatal(err)
				}
			}
		}
		if claims["iss"] != "http://localhost:3001/emulator/oidc" || claims["sub"] != "alice" || claims["scope"] != "" || claims["client_id"] != "page" || claims["exp"].(float64) < 1e9 {
			t.Errorf("%s: claims %v", test.template, claims)
		}
		for _, standard := range []string{"iss", "aud", "sub", "exp", "iat", "jti", "scope", "client_id"} {
			delete(payload, standard)
		}
		got, err := json.Marshal(payload)
		if err != nil {
			t.Fatal(err)
		}
		want := strings.ReplaceAll(test.want, "9007199254740993", "9007199254740992") // read as a float here
		if string(got) != want {
			t.Errorf("%s: %s, want %s", test.template, got, want)
		}
		if strings.Contains(test.want, "9007199254740993") && !strings.Contains(b.get("/control/state").body, `9007199254740993`) {
			t.Errorf("%s: digits are lost", test.template)
		}
		if _, claims := decode(t, b.control("token", `{}`).text(t, "access_token")); claims["app"] != "machine" || claims["scope"] != nil {
			t.Errorf("a machine's: %v", claims)
		}
	}
}

// The description can be replaced at run time, by one that makes sense.
func TestSetTenant(t *testing.T) {
	em, b := newMemory(t, emulator.Config{})
	refresh := b.exchange(b.signIn("alice")).text(t, "refresh_token")
	for _, wrong := range []string{`{"x":1}`, `[]`, `{"users":[null]}`, `{"users":[{"id":"a","roles":["x"]}]}`} {
		if a := b.do(b.request("POST", "/control/tenant", wrong, "Content-Type", "application/json")); a.status != 400 || a.text(t, "error") == "" {
			t.Errorf("%s: %d %s", wrong, a.status, a.body)
		}
	}
	if a := b.refresh(refresh); a.status != 200 {
		t.Errorf("refresh: %d", a.status)
	} else {
		refresh = a.text(t, "refresh_token")
	}
	var state struct{ Tenant json.RawMessage }
	if err := json.Unmarshal([]byte(b.get("/control/state").body), &state); err != nil {
		t.Fatal(err)
	}
	b.control("tenant", strings.Replace(string(state.Tenant), `"roles":["reader"]`, `"roles":["admin"]`, 1)) // what the page saves is taken
	token, err := em.Token(emulator.Token{User: "alice", Scopes: []string{"write:things"}})
	if _, claims := decode(t, token); err != nil || claims["scope"] != "write:things" {
		t.Errorf("claims %v, error %v", claims, err)
	}
	b.control("tenant", `{"users":[{"id":"bob"}],"applications":[{"id":"page","type":"SPA"}]}`)
	if a := b.refresh(refresh); a.status != 400 {
		t.Errorf("a user who is gone: %d", a.status)
	}
	b.control("reset", "")
	if _, err := em.Token(emulator.Token{User: "alice"}); err != nil {
		t.Error(err)
	}
}

// What can't be done says so, and changes nothing.
func TestControlRefusals(t *testing.T) {
	em, b := newMemory(t, emulator.Config{})
	before := b.get("/control/state").json(t)["tenant"]
	for _, test := range []struct{ action, args string }{
		{"nothing", `{}`}, {"suspend", `{"user":"nobody"}`}, {"suspend", `{"name":"alice"}`}, {"suspend", `{}`}, {"suspend", `[]`}, {"suspend", ``}, {"unsuspend", `{}`}, {"delete-user", `{}`},
		{"create-user", `{"id":"alice"}`}, {"create-user", `{}`}, {"create-user", `{"id":"x","roles":["x"]}`}, {"update-user", `{"user":"x","name":"y"}`}, {"update-user", `{"user":"bob","name":"y","primaryEmail":"alice@example.test"}`}, {"set-password", `{}`},
		{"user-roles", `{"user":"alice","roles":["service"]}`}, {"user-roles", `{"user":"x"}`}, {"role-scopes", `{"role":"x"}`}, {"role-scopes", `{"role":"reader","scopes":{"https://api.example.test":["x"]}}`},
		{"create-organization", `{"id":"acme"}`}, {"delete-organization", `{"organization":"x"}`}, {"add-member", `{"organization":"acme"}`}, {"add-member", `{"organization":"x","user":"bob"}`},
		{"add-member", `{"organization":"acme","user":"alice"}`}, {"add-member", `{"organization":"acme","user":"bob","organizationRoles":["x"]}`}, {"add-member", `{"organization":"acme","application":"page"}`},
		{"remove-member", `{"organization":"acme","user":"bob"}`}, {"remove-member", `{"organization":"acme","user":"alice","application":"machine"}`}, {"remove-member", `{"organization":"x","user":"bob"}`},
		{"member-roles", `{"organization":"acme","user":"bob"}`}, {"member-roles", `{"organization":"acme","user":"alice","organizationRoles":["worker"]}`}, {"member-roles", `{"organization":"x","user":"a"}`}, {"member-roles", `{"organization":"acme"}`},
		{"revoke", `{"user":"x"}`}, {"subject-token", `{"user":"x"}`}, {"personal-access-token", `{"user":"x"}`}, {"resend", `{"id":1}`}, {"faults", `{"faults":[null]}`}, {"token", `{"user":"x"}`},
		{"suspend", `{"user":"nobody","user":"alice"}`}, {"suspend", `{"user":"alice"}{"user":"bob"}`}, {"tenant", `null`}, {"clock", `{"seconds":"x"}`},
	} {
		method := "/control/" + test.action
		if a := b.do(b.request("POST", method, test.args, "Content-Type", "application/json")); a.status/100 != 4 {
			t.Errorf("%s %s: %d %s", test.action, test.args, a.status, a.body)
		}
	}
	if after := b.get("/control/state").json(t)["tenant"]; fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("changed:\n%v\n%v", before, after)
	}
	if err := em.Control("suspend", func() {}, nil); err == nil {
		t.Error("no JSON: no error")
	}
	if err := em.Control("subject-token", map[string]string{"user": "alice"}, new(int)); err == nil {
		t.Error("a result of another type: no error")
	}
	if err := em.Rotate("ES384", "RS256"); err == nil {
		t.Error("two algorithms: no error")
	}
}

// Members and machines come and go.
func TestMembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, b := newMemory(t, emulator.Config{})
		scope := func() any {
			a := b.machine("organization_id", "umbrella", "scope", "read:members")
			if a.status != 200 {
				return a.status
			}
			return a.text(t, "scope")
		}
		for _, step := range []struct {
			action, args string
			want         any
		}{
			{"add-member", `{"organization":"umbrella","application":"machine"}`, ""},
			{"member-roles", `{"organization":"umbrella","application":"machine","organizationRoles":["worker"]}`, "read:members"},
			{"remove-member", `{"organization":"umbrella","application":"machine"}`, 403},
		} {
			b.control(step.action, step.args)
			if got := scope(); got != step.want {
				t.Errorf("%s: %v", step.action, got)
			}
		}
		time.Sleep(2 * time.Minute) // what has expired is swept meanwhile
		if a := b.machine("resource", api); a.status != 200 {
			t.Errorf("machine: %d", a.status)
		}
	})
}

// What the documentation tells of actions and faults is what there is.
func TestDocumentation(t *testing.T) {
	b, err := os.ReadFile("../docs/emulator.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	em, _ := newMemory(t, emulator.Config{})
	for what, err := range map[string]error{
		"action":  em.Control("no-such", nil, nil),
		"at":      em.Fault(emulator.Fault{At: "no-such"}),
		"do":      em.Fault(emulator.Fault{Do: "no-such"}),
		"hook do": em.Fault(emulator.Fault{At: "hooks", Do: "no-such"}),
	} {
		names := regexp.MustCompile(`"([a-z_-]+)"`).FindAllStringSubmatch(err.Error(), -1)
		if len(names) < 3 {
			t.Errorf("%s: %v", what, err)
		}
		for _, name := range names {
			if name[1] != "no-such" && !strings.Contains(text, "`"+name[1]+"`") {
				t.Errorf("%s %s isn't documented", what, name[1])
			}
		}
	}
	// And the page has what there is to choose.
	page, err := os.ReadFile("pages/control.html")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range regexp.MustCompile(`<option>([a-z_]+)</option>`).FindAllStringSubmatch(string(page), -1) {
		at := em.Fault(emulator.Fault{At: f[1], Do: map[bool]string{true: "once", false: "fail"}[f[1] == "hooks"]})
		do := em.Fault(emulator.Fault{At: map[bool]string{true: "hooks", false: "jwks"}[slices.Contains([]string{"once", "disorder", "lose"}, f[1])], Do: f[1]})
		if at != nil && do != nil {
			t.Errorf("the page has %s: %v, %v", f[1], at, do)
		}
	}
	// All actions are on it, and what it suggests for them can be done to the example.
	script, err := os.ReadFile("pages/control.js")
	if err != nil {
		t.Fatal(err)
	}
	all := string(page) + string(script)
	for _, name := range regexp.MustCompile(`"([a-z-]+)"`).FindAllStringSubmatch(em.Control("no-such", nil, nil).Error(), -1) {
		if !strings.Contains(all, `data-action="`+name[1]+`"`) && !strings.Contains(all, "'"+name[1]+"'") && !strings.Contains(all, ">"+name[1]+"</option>") {
			t.Errorf("the page lacks the action %s", name[1])
		}
	}
	for _, a := range regexp.MustCompile(`<option data-args='([^']+)'>([a-z-]+)<`).FindAllStringSubmatch(string(page), -1) {
		if err := em.Control(a[2], json.RawMessage(a[1]), nil); err != nil {
			t.Errorf("%s %s: %v", a[2], a[1], err)
		}
	}
	for _, a := range regexp.MustCompile(`data-action="([a-z-]+)"`).FindAllStringSubmatch(string(page), -1) {
		if err := em.Control(a[1], map[string]string{"no-such": ""}, nil); err == nil || strings.Contains(err.Error(), "no such action") {
			t.Errorf("the page has the action %s: %v", a[1], err)
		}
	}
}

// Many at once: browsers, pages with parallel calls, the control page.
func TestAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		em, _ := newMemory(t, emulator.Config{StateFile: filepath.Join(t.TempDir(), "state")})
		things := newAPI(t, inMemory(em))
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				b := newBrowser(t, em)
				switch i % 4 {
				case 0, 1:
					code := b.get("/oidc/auth?" + authorization("login_hint", "carol").Encode()).location(t).Query().Get("code")
					refresh := b.exchange(code).text(t, "refresh_token")
					var calls sync.WaitGroup
					for range 3 { // with one refresh token, as SDKs do
						calls.Go(func() {
							if a := b.refresh(refresh, "resource", api); a.status != 200 || ask(things, a.text(t, "access_token")) != 200 {
								t.Errorf("%d %s", a.status, a.body)
							}
						})
					}
					calls.Wait()
				case 2:
					b.control("suspend", `{"user":"bob"}`)
					b.control("unsuspend", `{"user":"bob"}`)
					b.control("personal-access-token", `{"user":"alice"}`)
				case 3:
					b.get("/control/state")
					b.machine("resource", api)
					em.Config()
				}
			})
		}
		all.Wait()
	})
}

func ExampleStart() {
	// In a test: em := emulator.Start(t)
	em, err := emulator.New(emulator.Config{})
	if err != nil {
		panic(err)
	}
	defer em.Close()
	cfg := em.Config()
	cfg.HTTPClient = em.Client() // only as this one listens nowhere
	v, err := logto.New(cfg)
	if err != nil {
		panic(err)
	}
	things := logto.Require(v, logto.Scopes("read:things"))(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for _, user := range []string{"alice", "bob"} {
		token, err := em.Token(emulator.Token{User: user, Scopes: []string{"read:things"}})
		if err != nil {
			panic(err)
		}
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		things.ServeHTTP(w, r)
		fmt.Println(user, w.Code) // bob has no role with the scope
	}
	// Output:
	// alice 200
	// bob 403
}
