package emulator_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-70fe37f4/logto/emulator"
)

// What was issued outlives a restart: keys, session, refresh token, code that was used,
// and what was changed at the control page.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "state.json")
		first, b := newMemory(t, emulator.Config{StateFile: file})
		used := b.signIn("alice")
		answer := b.exchange(used)
		unused := b.signInAgain()
		token := mint(t, first)
		page := b.get("/oidc/auth?" + authorization("prompt", "login").Encode()).location(t)
		other := newBrowser(t, first)
		other.post(page.String(), url.Values{"do": {"make"}, "name": {"Dave"}, "role": {"reader"}})
		b.control("suspend", `{"user":"carol"}`)
		b.control("user-roles", `{"user":"bob","roles":["admin"]}`)
		b.control("rotate", `{"staged":true}`)
		if err := first.Fault(emulator.Fault{At: "jwks"}); err != nil {
			t.Fatal(err)
		}
		keys := keyIDs(t, b)
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(file); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("%v, error %v", info, err)
		}

		second, err := emulator.New(emulator.Config{StateFile: file})
		if err != nil {
			t.Fatal(err)
		}
		defer second.Close()
		b.em, b.client.Transport = second, second.Client().Transport
		if got := keyIDs(t, b); got != keys {
			t.Errorf("keys %s, before %s", got, keys)
		}
		if status := ask(newAPI(t, inMemory(second)), token); status != 200 { // the fault is over
			t.Errorf("a token from before: %d", status)
		}
		if code := b.signInAgain(); code == "" {
			t.Error("the browser is signed out")
		}
		if a := b.refresh(answer.text(t, "refresh_token"), "resource", api); a.status != 200 {
			t.Errorf("refresh: %s", a.body)
		}
		if a := b.get("/oidc/me", "Authorization", "Bearer "+answer.text(t, "access_token")); a.status != 200 {
			t.Errorf("userinfo: %s", a.body)
		}
		if a := b.exchange(unused); a.status != 200 {
			t.Errorf("a code from before: %s", a.body)
		}
		if a := b.exchange(used); a.status != 400 {
			t.Errorf("a code that was used: %s", a.body)
		}
		for user, want := range map[string]string{"bob": "read:things write:things", "dave": "read:things"} {
			token, err := second.Token(emulator.Token{User: user, Scopes: []string{"read:things", "write:things"}})
			if err != nil {
				t.Fatal(err)
			}
			if _, claims := decode(t, token); claims["scope"] != want {
				t.Errorf("%s: %v", user, claims)
			}
		}
		if _, err := second.Token(emulator.Token{User: "carol"}); err == nil {
			t.Error("carol isn't suspended")
		}
	})
}

// signInAgain is for a browser that is signed in.
func (b *browser) signInAgain() string {
	b.t.Helper()
	return b.get("/oidc/auth?" + authorization().Encode()).location(b.t).Query().Get("code")
}

func keyIDs(t *testing.T, b *browser) string {
	t.Helper()
	var state struct{ Keys json.RawMessage }
	if err := json.Unmarshal([]byte(b.get("/control/state").body), &state); err != nil {
		t.Fatal(err)
	}
	return string(state.Keys)
}

// A state file that isn't the emulator's own is refused: no key comes from outside.
func TestStateRefusals(t *testing.T) {
	dir := t.TempDir()
	good := filepath.Join(dir, "good")
	em, err := emulator.New(emulator.Config{StateFile: good})
	if err != nil {
		t.Fatal(err)
	}
	if err := em.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, text string
		mode       os.FileMode
		endpoint   string
		want       string
	}{
		{"as it was", string(text), 0o600, "", ""},
		{"for others to read", string(text), 0o644, "", "chmod 600"},
		{"for others to write", string(text), 0o602, "", "chmod 600"},
		{"another emulator's", string(text), 0o600, "http://localhost:4000", "a file of its own"},
		{"no JSON", "x", 0o600, "", "no state"},
		{"nothing", "{}", 0o600, "", "no state"},
		{"empty", "", 0o600, "", "no state"},
		{"more", strings.Replace(string(text), `"issued":{`, `"more":1,"issued":{`, 1), 0o600, "", "no state"},
		{"a null for a session", strings.Replace(string(text), `"sessions":{}`, `"sessions":{"x":null}`, 1), 0o600, "", "sessions has a null"},
		{"a null for a key", strings.Replace(string(text), `"keys":[`, `"keys":[null,`, 1), 0o600, "", "keys has a null"},
		{"more behind it", string(text) + "{}", 0o600, "", "no state"},
		{"no key", strings.Replace(string(text), `"algorithm":"ES384"`, `"algorithm":"HS256"`, 1), 0o600, "", "no state"},
	} {
		file := filepath.Join(dir, "state")
		if err := os.WriteFile(file, []byte(test.text), test.mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, test.mode); err != nil {
			t.Fatal(err)
		}
		if runtime.GOOS == "windows" && test.want == "chmod 600" {
			continue
		}
		em, err := emulator.New(emulator.Config{StateFile: file, Endpoint: test.endpoint})
		if (err == nil) != (test.want == "") || err != nil && (!strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "pkcs8")) {
			t.Errorf("%s: error %v", test.name, err)
		}
		if err == nil {
			if err := em.Close(); err != nil {
				t.Errorf("%s: %v", test.name, err)
			}
		}
	}
	if _, err := emulator.New(emulator.Config{StateFile: filepath.Join(dir, "no", "directory")}); err == nil {
		t.Error("a state that can't be written: no error")
	}
}

// The file is taken when it changes, one that makes no sense is not; users of the
// sign-in page stay, and so do sign-ins.
func TestReread(t *testing.T) {
	dir := t.TempDir()
	file, state := filepath.Join(dir, "logto.json"), filepath.Join(dir, "state.json")
	changes := 0
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		changes++
		at := time.Now().Add(time.Duration(changes) * time.Second)
		if err := os.Chtimes(file, at, at); err != nil {
			t.Fatal(err)
		}
	}
	write(string(emulator.Example()))
	em, b := newMemory(t, emulator.Config{File: file, StateFile: state})
	refresh := b.exchange(b.signIn("alice")).text(t, "refresh_token")
	page := b.get("/oidc/auth?" + authorization("prompt", "login").Encode()).location(t)
	newBrowser(t, em).post(page.String(), url.Values{"do": {"make"}, "name": {"Dave"}, "role": {"reader", "admin"}})
	scope := func(user string) any {
		token, err := em.Token(emulator.Token{User: user, Scopes: []string{"read:things", "write:things"}})
		if err != nil {
			return err.Error()
		}
		_, claims := decode(t, token)
		return claims["scope"]
	}
	for _, step := range []struct {
		name, text     string
		problem        bool
		alice, dave    any
		refreshOfAlice int
	}{
		{"as it is", string(emulator.Example()), false, "read:things", "read:things write:things", 200},
		{"no JSON", "{\n\n  x", true, "read:things", "read:things write:things", 200},
		{"an unknown member", `{"applicationz": []}`, true, "read:things", "read:things write:things", 200},
		{"alice is an admin", strings.Replace(string(emulator.Example()), `"roles": ["reader"]`, `"roles": ["admin"]`, 1), false, "read:things write:things", "read:things write:things", 200},
		{"no admins", strings.NewReplacer(`"name": "admin"`, `"name": "boss"`, `"roles": ["admin"]`, `"roles": ["boss"]`).Replace(string(emulator.Example())), false, "read:things", "read:things", 200},
		{"alice is suspended", strings.Replace(string(emulator.Example()), `"id": "alice",
      "username"`, `"id": "alice", "isSuspended": true, "username"`, 1), false, "emulator: token: invalid_grant: grant request is invalid: the user is suspended", "read:things", 400},
		{"gone", "", true, "emulator: token: invalid_grant: grant request is invalid: the user is suspended", "read:things", 400},
	} {
		if step.name == "gone" {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		} else {
			write(step.text)
		}
		if alice, dave := scope("alice"), scope("dave"); alice != step.alice || dave != step.dave {
			t.Errorf("%s: alice %v, dave %v", step.name, alice, dave)
		}
		a := b.refresh(refresh)
		if a.status != step.refreshOfAlice {
			t.Errorf("%s: refresh %d %s", step.name, a.status, a.body)
		}
		if a.status == 200 {
			refresh = a.text(t, "refresh_token")
		}
		if problem := b.get("/control/state").json(t)["problem"]; (problem != nil) != step.problem {
			t.Errorf("%s: problem %v", step.name, problem)
		}
	}
	// A file that is only written anew changes nothing.
	write(string(emulator.Example()))
	b.get("/control/state")
	b.control("suspend", `{"user":"alice"}`)
	write(string(emulator.Example()))
	if alice := scope("alice"); alice != "emulator: token: invalid_grant: grant request is invalid: the user is suspended" {
		t.Errorf("written anew: %v", alice)
	}
	// Suspended by the file while it was off: what was issued is gone.
	if err := em.Close(); err != nil {
		t.Fatal(err)
	}
	write(string(emulator.Example()) + " ")
	em, b = newMemory(t, emulator.Config{File: file, StateFile: state})
	refresh = b.exchange(b.signIn("bob")).text(t, "refresh_token")
	if err := em.Close(); err != nil {
		t.Fatal(err)
	}
	write(strings.Replace(string(emulator.Example()), `"username": "bob"`, `"isSuspended": true, "username": "bob"`, 1))
	em, b = newMemory(t, emulator.Config{File: file, StateFile: state})
	if a := b.refresh(refresh); a.status != 400 {
		t.Errorf("suspended by the file: %d %s", a.status, a.body)
	}
	// Changed while it was off: the file wins, the user of the sign-in page stays.
	b.control("user-roles", `{"user":"bob","roles":["reader"]}`)
	if err := em.Close(); err != nil {
		t.Fatal(err)
	}
	write(strings.Replace(string(emulator.Example()), "Bob Nothing", "Bobby", 1))
	em, _ = newMemory(t, emulator.Config{File: file, StateFile: state})
	if bob, dave := scope("bob"), scope("dave"); bob != "" || dave != "read:things" {
		t.Errorf("after a restart: bob %q, dave %v", bob, dave)
	}
}

// A description that makes no sense is refused, with what to change.
func TestDescriptionRefusals(t *testing.T) {
	const good = `"resources":[{"indicator":"https://a.test","scopes":["r"]}]`
	for _, test := range []struct{ name, text, want string }{
		{"nothing", ``, "there is nothing in it"},
		{"no JSON", "{\n\n!", "line 3"},
		{"half written", "{\n\"users\": [{\"id\": \"a\"}", "line 2: it ends too early"},
		{"a list", `[]`, "is a JSON object"},
		{"null", `null`, "is a JSON object"},
		{"two", `{} {}`, "more behind"},
		{"a member twice", "{\"users\":[{\"id\":\"a\",\n\"roles\":[],\"roles\":[]}]}", `line 2: member "roles" stands twice`},
		{"deep", strings.Repeat("[", 2000), "1000 levels"},
		{"an unknown member", `{"user":[]}`, `unknown member "user"`},
		{"deeper", `{"users":[{"id":"a","password":"x"}]}`, `unknown member "password"`},
		{"a number for a name", `{"users":[{"id":1}]}`, "users.id must be string"},
		{"a null", `{"users":[null]}`, "users has a null"},
		{"no ID", `{"users":[{}]}`, "without a name or ID"},
		{"twice", `{"users":[{"id":"a"},{"id":"a"}]}`, "twice"},
		{"control characters", `{"users":[{"id":"a\n"}]}`, "control characters"},
		{"no such role", `{"users":[{"id":"a","roles":["x"]}]}`, `no role "x"`},
		{"a machine's role", `{"roles":[{"name":"x","type":"MachineToMachine"}],"users":[{"id":"a","roles":["x"]}]}`, `no role "x" with type User`},
		{"an unknown type of role", `{"roles":[{"name":"x","type":"Robot"}]}`, "neither User nor"},
		{"no such resource", `{"roles":[{"name":"x","scopes":{"https://b.test":["r"]}}],` + good + `}`, `no resource "https://b.test"`},
		{"no such scope", `{"roles":[{"name":"x","scopes":{"https://a.test":["w"]}}],` + good + `}`, `no scope "w"`},
		{"two scopes in one", `{"resources":[{"indicator":"https://a.test","scopes":["r w"]}]}`, "is no scope"},
		{"no URI", `{"resources":[{"indicator":"a"}]}`, "absolute URI"},
		{"a fragment", `{"resources":[{"indicator":"https://a.test/#x"}]}`, "absolute URI"},
		{"Logto's own", `{"resources":[{"indicator":"urn:logto:organization:x"}]}`, "keeps urn:logto:"},
		{"no such organization scope", `{"organizationRoles":[{"name":"x","scopes":["r"]}]}`, `no scope "r"`},
		{"no such member", `{"organizations":[{"id":"o","users":[{"id":"a"}]}]}`, `no user "a"`},
		{"no such machine", `{"organizations":[{"id":"o","applications":[{"id":"a"}]}]}`, `no machine "a"`},
		{"no such organization role", `{"users":[{"id":"a"}],"organizations":[{"id":"o","users":[{"id":"a","organizationRoles":["x"]}]}]}`, `no organization role "x"`},
		{"a personal access token", `{"users":[{"id":"a","personalAccessTokens":[{"value":"x"}]}]}`, "begins with pat_"},
		{"a life that no clock has", `{"resources":[{"indicator":"https://a.test","accessTokenTtl":9223372036854775807}]}`, "accessTokenTtl: 9223372036854775807 is not"},
		{"an ID token from before", `{"applications":[{"id":"a","type":"SPA","idTokenTtl":-1}]}`, "idTokenTtl: -1 is not"},
		{"a refresh token for good", `{"applications":[{"id":"a","type":"SPA","refreshTokenTtlInDays":200000}]}`, "refreshTokenTtlInDays: 200000 is not"},
		{"no type", `{"applications":[{"id":"a"}]}`, "is none of SPA"},
		{"no secret", `{"applications":[{"id":"a","type":"MachineToMachine"}]}`, "has a secret"},
		{"a public secret", `{"applications":[{"id":"a","type":"SPA","secret":"x"}]}`, "has no secret"},
		{"a machine to sign in to", `{"applications":[{"id":"a","type":"MachineToMachine","secret":"x","redirectUris":["http://localhost/"]}]}`, "nobody signs in"},
		{"a page with roles", `{"applications":[{"id":"a","type":"SPA","roles":["x"]}]}`, "only a machine has roles"},
		{"an origin with a path", `{"applications":[{"id":"a","type":"SPA","corsAllowedOrigins":["http://localhost:1/"]}]}`, "no origin"},
		{"any origin", `{"applications":[{"id":"a","type":"SPA","corsAllowedOrigins":["*"]}]}`, "no origin"},
		{"a logout address", `{"applications":[{"id":"a","type":"SPA","backchannelLogoutUri":"file:///etc/passwd"}]}`, "no address"},
		{"a hook without a key", `{"hooks":[{"id":"a","config":{"url":"http://localhost/"}}]}`, "no signingKey"},
		{"a hook without an address", `{"hooks":[{"id":"a","signingKey":"x"}]}`, "no address"},
		{"a key from outside", `{"keys":[{"kty":"EC"}]}`, `unknown member "keys"`},
		{"a private key of an application", `{"applications":[{"id":"a","type":"SPA","jwks":{}}]}`, `unknown member "jwks"`},
	} {
		text := test.text
		if text == "" {
			text = " "
		}
		if _, err := emulator.New(emulator.Config{Tenant: []byte(text)}); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want %q", test.name, err, test.want)
		}
	}
	for _, uri := range []string{
		"", "/callback", "callback", "javascript:alert(1)", "data:text/html,x", "http://", "http://localhost:*", "http://*/callback", "http://*.example.com/", "https://localhost:*/",
		"http://example.com:*/callback", "http://localhost:5173/*", "http://localhost:*/a/*", "http://localhost:*/*/*", "http://user@localhost:*/", "http://localhost/#x", "http://localhost/ x", `http://localhost\@evil.example/`,
		"http://localhost.evil.example:*/", "http://localhost:*@evil.example/", "http://localhost:*/?x=*", "http://0.0.0.0:*/x",
	} {
		b, err := json.Marshal(map[string]any{"applications": []any{map[string]any{"id": "a", "type": "Native", "redirectUris": []string{uri}}}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := emulator.New(emulator.Config{Tenant: b}); err == nil {
			t.Errorf("redirect URI %q: no error", uri)
		}
	}
}

// What may be said is taken, and comments are passed over.
func TestDescription(t *testing.T) {
	for _, text := range []string{
		`{}`,
		`{"//": ["a", {"b": 1}], "//": "again", "users": [{"// why": "c", "id": "a", "customData": {"n": 12345678901234567890}}]}`,
		`{"applications":[{"id":"a","type":"Native","redirectUris":["com.example.app:/callback","com.example.app://callback","http://localhost:*/cb","https://app.example.com/cb"],"corsAllowedOrigins":["https://app.example.com"]}]}`,
	} {
		em, err := emulator.New(emulator.Config{Tenant: []byte(text)})
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if strings.Contains(text, "12345678901234567890") {
			if a := newBrowser(t, em).get("/control/state"); !strings.Contains(a.body, `{"n":12345678901234567890}`) {
				t.Errorf("a number has lost digits: %s", a.body)
			}
		}
		if err := em.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestEndpoint(t *testing.T) {
	for _, test := range []struct {
		endpoint string
		insecure string
		want     string // "" if it is refused
	}{
		{"", "", "http://localhost:3001/emulator"},
		{"http://localhost:3001", "", "http://localhost:3001/emulator"},
		{"http://localhost:3001/emulator", "", "http://localhost:3001/emulator"},
		{"http://LOCALHOST:3001/emulator/oidc/", "", "http://localhost:3001/emulator"},
		{"https://login.localhost/tenant", "", "https://login.localhost/tenant/emulator"},
		{"http://[::1]:3001", "", "http://[::1]:3001/emulator"},
		{"https://login.example.com", "", ""},
		{"http://192.168.1.2:3001", "", ""},
		{"http://0.0.0.0:3001", "", ""},
		{"http://192.168.1.2:3001", "192.168.1.2", "http://192.168.1.2:3001/emulator"},
		{"http://192.168.1.2:3001", "192.168.1.3", ""},
		{"https://login.example.com", "login.example.com", "https://login.example.com/emulator"},
		{"localhost:3001", "", ""},
		{"://", "", ""},
	} {
		em, err := emulator.New(emulator.Config{Endpoint: test.endpoint, InsecureHosts: strings.Fields(test.insecure)})
		if err != nil {
			if test.want != "" {
				t.Errorf("%s: %v", test.endpoint, err)
			}
			continue
		}
		if em.Endpoint() != test.want {
			t.Errorf("%s: %s, want %q", test.endpoint, em.Endpoint(), test.want)
		}
		a := newBrowser(t, em).get("/oidc/.well-known/openid-configuration")
		if a.status != http.StatusOK || a.text(t, "issuer") != test.want+"/oidc" {
			t.Errorf("%s: %d %s", test.endpoint, a.status, a.body)
		}
		if status := ask(newAPI(t, inMemory(em)), mint(t, em)); status != 200 {
			t.Errorf("%s: the API answers %d", test.endpoint, status)
		}
		if err := em.Close(); err != nil {
			t.Error(err)
		}
	}
}
