package emulator_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/seed-70fe37f4/logto/emulator"
)

// A description that makes no sense is refused, with what to change.
func TestDescriptionRefusals(t *testing.T) {
	const good = `"resources":[{"indicator":"https://a.test","scopes":["r"]}]`
	for _, test := range []struct{ name, text, want string }{
		{"nothing", ``, "there is nothing in it"},
		{"no JSON", "{\n\n!", "line 3"},
		{"half written", "{\n\"users\": [{\"id\": \"a\"}", "line 2: "},
		{"no value", "{\"users\":\n\n\n x}", "line 4"},
		{"no value in a list", "{\"users\": [\n{\"id\": \"a\"},\n{\"id\": \"b\", \"roles\": [\"x\",\n y]}]}", "line 4"},
		{"a comma too many", "{\n\"users\": [\n{\"id\": \"a\"},\n]\n}", "line 4"},
		{"a list", `[]`, "is a JSON object"},
		{"null", `null`, "is a JSON object"},
		{"two", `{} {}`, "more behind"},
		{"a member twice", "{\"users\":[{\"id\":\"a\",\n\"roles\":[],\"roles\":[]}]}", `line 2: member "roles" stands twice`},
		{"a level too deep", strings.Repeat("{\"//\":", 1001) + "1" + strings.Repeat("}", 1001), "1000 levels"},
		{"deep", strings.Repeat("[", 2000), "1000 levels"},
		{"an unknown member", `{"user":[]}`, `unknown member "user"`},
		{"deeper", `{"users":[{"id":"a","password":"x"}]}`, `unknown member "password"`},
		{"a number for a name", `{"users":[{"id":1}]}`, "id must be string"},
		{"a null", `{"users":[null]}`, "users has a null"},
		{"no ID", `{"users":[{}]}`, "without a name or ID"},
		{"twice", `{"users":[{"id":"a"},{"id":"a"}]}`, "twice"},
		{"one username for two", `{"users":[{"id":"a","username":"x"},{"id":"b","username":"x"}]}`, `user b: username "x" stands there twice`},
		{"one address for two", `{"users":[{"id":"a","primaryEmail":"x@y.test"},{"id":"b","primaryEmail":"x@y.test"}]}`, `user b: primaryEmail "x@y.test" stands there twice`},
		{"one telephone for two", `{"users":[{"id":"a","primaryPhone":"49"},{"id":"b","primaryPhone":"49"}]}`, `user b: primaryPhone "49" stands there twice`},
		{"control characters", `{"users":[{"id":"a\n"}]}`, "control characters"},
		{"no such role", `{"users":[{"id":"a","roles":["x"]}]}`, `no role "x"`},
		{"a machine's role", `{"roles":[{"name":"x","type":"MachineToMachine"}],"users":[{"id":"a","roles":["x"]}]}`, `no role "x" with type User`},
		{"an unknown type of role", `{"roles":[{"name":"x","type":"Robot"}]}`, "neither User nor"},
		{"no such resource", `{"roles":[{"name":"x","scopes":{"https://b.test":["r"]}}],` + good + `}`, `no resource "https://b.test"`},
		{"no such scope", `{"roles":[{"name":"x","scopes":{"https://a.test":["w"]}}],` + good + `}`, `no scope "w"`},
		{"two scopes in one", `{"resources":[{"indicator":"https://a.test","scopes":["r w"]}]}`, "is no scope"},
		{"no URI", `{"resources":[{"indicator":"a"}]}`, "absolute URI"},
		{"a fragment", `{"resources":[{"indicator":"https://a.test/#x"}]}`, "absolute URI"},
		{"an empty fragment", `{"resources":[{"indicator":"https://a.test/#"}]}`, "absolute URI"},
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
		{"an origin of nobody", `{"applications":[{"id":"a","type":"SPA","corsAllowedOrigins":["null"]}]}`, "no origin"},
		{"a logout address", `{"applications":[{"id":"a","type":"SPA","backchannelLogoutUri":"file:///etc/passwd"}]}`, "no address"},
		{"a hook without a key", `{"hooks":[{"id":"a","config":{"url":"http://localhost/"}}]}`, "no signingKey"},
		{"a hook without an address", `{"hooks":[{"id":"a","signingKey":"x"}]}`, "no address"},
		{"a resource twice", `{"resources":[{"indicator":"https://a.test"},{"indicator":"https://a.test"}]}`, `resource "https://a.test" stands there twice`},
		{"two resources in one", `{"resources":[{"indicator":"https://a.test,https://b.test"}]}`, "absolute URI"},
		{"an indicator with a space", `{"resources":[{"indicator":"https://a.test/ x"}]}`, "absolute URI"},
		{"an indicator that is broken", `{"resources":[{"indicator":"https://a.test/%zz"}]}`, "absolute URI"},
		{"a name that is too long", `{"users":[{"id":"` + strings.Repeat("x", 2049) + `"}]}`, "too long"},
		{"a control character", `{"users":[{"id":"a\u007f"}]}`, "control characters"},
		{"a life over 10 years", `{"resources":[{"indicator":"https://a.test","accessTokenTtl":315360001}]}`, "accessTokenTtl: 315360001 is not from -315360000 to 315360000"},
		{"a life below that", `{"resources":[{"indicator":"https://a.test","accessTokenTtl":-315360001}]}`, "accessTokenTtl: -315360001 is not"},
		{"an ID token for over 10 years", `{"applications":[{"id":"a","type":"SPA","idTokenTtl":315360001}]}`, "idTokenTtl: 315360001 is not from 0 to 315360000"},
		{"a refresh token for over 10 years", `{"applications":[{"id":"a","type":"SPA","refreshTokenTtlInDays":3651}]}`, "refreshTokenTtlInDays: 3651 is not from 0 to 3650"},
		{"a refresh token from before", `{"applications":[{"id":"a","type":"SPA","refreshTokenTtlInDays":-1}]}`, "refreshTokenTtlInDays: -1 is not"},
		{"a role twice", `{"roles":[{"name":"x"},{"name":"x"}]}`, `role "x" stands there twice`},
		{"an organization role twice", `{"organizationRoles":[{"name":"x"},{"name":"x"}]}`, `organization role "x" stands there twice`},
		{"an unknown type of organization role", `{"organizationRoles":[{"name":"x","type":"Robot"}]}`, `organization role x: type "Robot" is neither User nor`},
		{"an organization role for no such resource", `{"organizationRoles":[{"name":"x","resourceScopes":{"https://b.test":["r"]}}],` + good + `}`, `organization role x: there is no resource "https://b.test"`},
		{"two organization scopes in one", `{"organizationScopes":["r w"]}`, `organizationScopes: "r w" is no scope`},
		{"a null for a personal access token", `{"users":[{"id":"a","personalAccessTokens":[null]}]}`, "user a has a null"},
		{"one personal access token for two", `{"users":[{"id":"a","personalAccessTokens":[{"value":"pat_x"}]},{"id":"b","personalAccessTokens":[{"value":"pat_x"}]}]}`, `personal access token "pat_x" stands there twice`},
		{"an application twice", `{"applications":[{"id":"a","type":"SPA"},{"id":"a","type":"SPA"}]}`, `application "a" stands there twice`},
		{"a machine with a role of users", `{"roles":[{"name":"x"}],"applications":[{"id":"a","type":"MachineToMachine","secret":"x","roles":["x"]}]}`, `no role "x" with type MachineToMachine`},
		{"an address to go to", `{"applications":[{"id":"a","type":"SPA","postLogoutRedirectUris":["/out"]}]}`, "absolute URI"},
		{"an organization twice", `{"organizations":[{"id":"o"},{"id":"o"}]}`, `organization "o" stands there twice`},
		{"a null for a member", `{"organizations":[{"id":"o","users":[null]}]}`, "organization o has a null"},
		{"a null for a machine", `{"organizations":[{"id":"o","applications":[null]}]}`, "organization o has a null"},
		{"a member twice over", `{"users":[{"id":"a"}],"organizations":[{"id":"o","users":[{"id":"a"},{"id":"a"}]}]}`, `organization o: user "a" stands there twice`},
		{"a page as a member", `{"applications":[{"id":"a","type":"SPA"}],"organizations":[{"id":"o","applications":[{"id":"a"}]}]}`, `no machine "a"`},
		{"a member with a role of machines", `{"organizationRoles":[{"name":"x","type":"MachineToMachine"}],"users":[{"id":"a"}],"organizations":[{"id":"o","users":[{"id":"a","organizationRoles":["x"]}]}]}`, `no organization role "x" with type User`},
		{"a hook twice", `{"hooks":[{"id":"a","config":{"url":"http://localhost/"},"signingKey":"x"},{"id":"a","config":{"url":"http://localhost/"},"signingKey":"x"}]}`, `hook "a" stands there twice`},
		{"a hook without a host", `{"hooks":[{"id":"a","config":{"url":"http:///x"},"signingKey":"x"}]}`, "no address"},
		{"a hook with a user", `{"hooks":[{"id":"a","config":{"url":"http://user@localhost/"},"signingKey":"x"}]}`, "no address"},
		{"a hook that is broken", `{"hooks":[{"id":"a","config":{"url":"http://localhost/%zz"},"signingKey":"x"}]}`, "no address"},
		{"the first of many", `{"roles":[{"name":"x","scopes":{"https://f.test":[],"https://d.test":[],"https://h.test":[],"https://b.test":[],"https://e.test":[],"https://c.test":[],"https://g.test":[]}}]}`, `no resource "https://b.test"`},
		{"a null for a role", `{"roles":[null]}`, "roles has a null"},
		{"a null for an application", `{"applications":[null]}`, "applications has a null"},
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
		"http://example.com:*/callback", "http://localhost:5173/*", "http://localhost:*/a/*", "http://localhost:*/*/*", "http://user@localhost:*/", "http://localhost/#x", "http://localhost/#", "http://localhost/ x", `http://localhost\@evil.example/`,
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
		strings.Repeat("{\"//\":", 1000) + "1" + strings.Repeat("}", 1000),
		`{"resources":[{"indicator":"https://a.test","accessTokenTtl":315360000},{"indicator":"https://b.test","accessTokenTtl":-315360000}]}`,
		`{"applications":[{"id":"a","type":"SPA","idTokenTtl":315360000,"refreshTokenTtlInDays":3650}]}`,
		`{"users":[{"id":"` + strings.Repeat("x", 2048) + `"},{"id":"a b ä"}]}`,
		`{"users":[{"id":"a"},{"id":"b"}],"organizations":[{"id":"o","users":[{"id":"a"}]},{"id":"p","users":[{"id":"a"},{"id":"b"}]}]}`,
		`{"hooks":[{"id":"a","config":{"url":"https://api.test"},"signingKey":"x"},{"id":"b","config":{"url":"http://localhost:1/x?y"},"signingKey":"x"}]}`,
		`{"//": ["a", {"b": 1}], "//": "again", "users": [{"// why": "c", "id": "a", "customData": {"n": 12345678901234567890}}]}`,
		`{"applications":[{"id":"a","type":"Native","redirectUris":["com.example.app:/callback","com.example.app://callback","http://localhost:*/cb","https://app.example.com/cb"],"corsAllowedOrigins":["https://app.example.com","capacitor://localhost"]}]}`,
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
		{"http://[2001:db8::1]:3001", "2001:db8::1", "http://[2001:db8::1]:3001/emulator"},
		{"", "api:3001", ""},
		{"", "http://api", ""},
		{"", "*", ""},
		{"", "*.test", ""},
		{"localhost:3001", "", ""},
		{"://", "", ""},
	} {
		em, err := emulator.New(emulator.Config{Endpoint: test.endpoint, InsecureHosts: strings.Fields(test.insecure)})
		if err != nil {
			says := map[bool]string{true: "the endpoint is no address", false: "InsecureHosts"}[test.endpoint == "localhost:3001" || test.endpoint == "://"]
			if test.insecure != "" && test.endpoint == "" {
				says = "is no host"
			}
			if test.want != "" || !strings.Contains(err.Error(), says) {
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

// Hosts are names and addresses alone.
func TestInsecureHosts(t *testing.T) {
	for host, ok := range map[string]bool{
		"api": true, "login.example.com": true, "192.0.2.1": true, "2001:db8::1": true,
		"": false, "api:80": false, "http://api": false, "api/": false, "a b": false, "*": false, "*.test": false, "[::1]": false, "[2001:db8::1]:80": false,
	} {
		em, err := emulator.New(emulator.Config{InsecureHosts: []string{"fine", host}})
		if (err == nil) != ok {
			t.Errorf("%q: error %v", host, err)
		}
		if err == nil {
			if err := em.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// The configuration for an API trusts what it is told to trust, or all resources.
func TestConfig(t *testing.T) {
	em, _ := newMemory(t, emulator.Config{Tenant: []byte(`{"resources":[{"indicator":"https://a.test"},{"indicator":"https://b.test"}]}`)})
	if got := em.Config().Audiences; !slices.Equal(got, []string{"https://a.test", "https://b.test"}) {
		t.Errorf("audiences %q", got)
	}
	cfg := em.Config("https://x.test")
	if !slices.Equal(cfg.Audiences, []string{"https://x.test"}) || cfg.Endpoint != em.Endpoint() || cfg.InsecureAllowHTTP || cfg.Logger == nil {
		t.Errorf("%+v", cfg)
	}
}
