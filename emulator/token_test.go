package emulator_test

import (
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/emulator"
)

// What a user gets of the scopes asked for, by kind of token.
func TestPermissions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, b := newMemory(t, emulator.Config{})
		for _, test := range []struct {
			user, resource, organization string
			status                       int
			scope                        string
		}{
			{"alice", api, "", 200, "read:things"},
			{"bob", api, "", 200, ""},
			{"carol", api, "", 200, "read:things write:things"},
			{"alice", "", "acme", 200, "read:members"},
			{"alice", api, "acme", 200, "read:things"},
			{"alice", "", "umbrella", 403, ""},
			{"alice", api, "umbrella", 403, ""},
			{"alice", api, "nowhere", 403, ""},
			{"bob", "", "acme", 403, ""},
			// She writes by her global role, in umbrella too.
			{"carol", api, "umbrella", 200, "read:things write:things"},
			{"alice", "", "", 200, "openid offline_access profile email roles urn:logto:scope:organizations urn:logto:scope:organization_roles"},
			{"alice", "https://other.example.test", "", 400, ""},
		} {
			first := newBrowser(t, b.em)
			code := first.signIn(test.user)
			token := first.exchange(code).text(t, "refresh_token")
			var more []string
			if test.resource != "" {
				more = append(more, "resource", test.resource)
			}
			if test.organization != "" {
				more = append(more, "organization_id", test.organization)
			}
			a := first.refresh(token, more...)
			if a.status != test.status || a.status == 200 && a.text(t, "scope") != test.scope {
				t.Errorf("%s, %q in %q: %d %s", test.user, test.resource, test.organization, a.status, a.body)
			}
		}
	})
}

// A plain token for a resource has the scopes of all organizations of the user; without
// Logto's scope for organizations there is no token for one.
func TestOrganizationScopes(t *testing.T) {
	_, b := newMemory(t, emulator.Config{})
	b.control("user-roles", `{"user":"alice","roles":[]}`)
	first := b.exchange(b.signIn("alice", "scope", "openid offline_access read:things"))
	a := b.refresh(first.text(t, "refresh_token"), "resource", api)
	if a.text(t, "scope") != "read:things" {
		t.Errorf("%d %s", a.status, a.body)
	}
	for _, more := range [][]string{{"organization_id", "acme"}, {"organization_id", "acme", "resource", api}} {
		if a := b.refresh(a.text(t, "refresh_token"), more...); a.status != 403 || a.text(t, "error") != "insufficient_scope" || a.text(t, "scope") != "urn:logto:scope:organizations" {
			t.Errorf("%v: %d %s", more, a.status, a.body)
		}
	}
	b.control("remove-member", `{"organization":"acme","user":"alice"}`)
	if a := b.refresh(a.text(t, "refresh_token"), "resource", api); a.text(t, "scope") != "" || a.status != 200 {
		t.Errorf("no member any more: %d %s", a.status, a.body)
	}
}

// What a sign-in grants is settled then: a role given later takes another one. What is
// taken away is gone at once.
func TestRolesAfterSignIn(t *testing.T) {
	_, b := newMemory(t, emulator.Config{})
	scopes := func(refresh string) (string, string) {
		a := b.refresh(refresh, "resource", api)
		return a.text(t, "scope"), a.text(t, "refresh_token")
	}
	first := b.exchange(b.signIn("alice")).text(t, "refresh_token")
	for _, step := range []struct{ roles, want string }{{`["reader"]`, "read:things"}, {`["admin"]`, "read:things"}, {`[]`, "read:things"}} {
		b.control("user-roles", `{"user":"alice","roles":`+step.roles+`}`)
		var got string
		if got, first = scopes(first); got != step.want { // the last by her organization
			t.Errorf("%s: %q", step.roles, got)
		}
	}
	b.control("remove-member", `{"organization":"acme","user":"alice"}`)
	if got, _ := scopes(first); got != "" {
		t.Errorf("without any: %q", got)
	}
	b.control("user-roles", `{"user":"alice","roles":["admin"]}`)
	if got, _ := scopes(b.exchange(b.signInAgain()).text(t, "refresh_token")); got != "read:things write:things" {
		t.Errorf("after another sign-in: %q", got)
	}
	// A refresh that asks for less gets less, and no ID token without openid.
	again := b.exchange(b.signInAgain()).text(t, "refresh_token")
	if a := b.refresh(again, "resource", api, "scope", "write:things"); a.text(t, "scope") != "write:things" || a.json(t)["id_token"] != nil {
		t.Errorf("less: %s", a.body)
	}
}

// The refusals of the token endpoint, in Logto's form.
func TestTokenRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, b := newMemory(t, emulator.Config{})
		basic := func(id, secret string) []string {
			r := b.request("GET", "/", "")
			r.SetBasicAuth(id, secret)
			return []string{"Authorization", r.Header.Get("Authorization")}
		}
		for _, test := range []struct {
			name, form string
			header     []string
			status     int
			code       string
		}{
			{"nothing", "", nil, 400, "invalid_request"},
			{"no such client", "client_id=x&grant_type=refresh_token", nil, 401, "invalid_client"},
			{"no grant type", "client_id=page", nil, 400, "invalid_request"},
			{"another grant type", "client_id=page&grant_type=password&username=alice&password=x", nil, 400, "unsupported_grant_type"},
			{"no secret", "client_id=machine&grant_type=client_credentials&resource=" + api, nil, 401, "invalid_client"},
			{"wrong secret", "client_id=machine&client_secret=x&grant_type=client_credentials&resource=" + api, nil, 401, "invalid_client"},
			{"wrong secret by header", "grant_type=client_credentials&resource=" + api, basic("machine", "x"), 401, "invalid_client"},
			{"two secrets", "client_secret=machine-secret&grant_type=client_credentials&resource=" + api, basic("machine", "machine-secret"), 400, "invalid_request"},
			{"two clients", "client_id=page&grant_type=client_credentials&resource=" + api, basic("machine", "machine-secret"), 400, "invalid_request"},
			{"a secret of a page", "client_id=page&client_secret=x&grant_type=refresh_token&refresh_token=x", nil, 401, "invalid_client"},
			{"a secret of a page by header", "grant_type=refresh_token&refresh_token=x", basic("page", "x"), 401, "invalid_client"},
			{"no secret of a page by header", "grant_type=refresh_token&refresh_token=x", basic("page", ""), 401, "invalid_client"},
			{"a name that is no encoding", "grant_type=refresh_token&refresh_token=x", basic("%zz", "x"), 400, "invalid_request"},
			{"a secret that is no encoding", "grant_type=refresh_token&refresh_token=x", basic("machine", "%zz"), 400, "invalid_request"},
			{"bearer", "grant_type=client_credentials", []string{"Authorization", "Bearer x"}, 400, "invalid_request"},
			{"twice", "client_id=page&client_id=page&grant_type=refresh_token", nil, 400, "invalid_request"},
			{"a machine for nothing", "client_id=machine&client_secret=machine-secret&grant_type=client_credentials", nil, 400, "invalid_target"},
			{"an unknown resource", "client_id=machine&client_secret=machine-secret&grant_type=client_credentials&resource=https://x.test", nil, 400, "invalid_target"},
			{"two resources", "client_id=machine&client_secret=machine-secret&grant_type=client_credentials&resource=https://x.test&resource=" + api, nil, 400, "invalid_target"},
			{"two in one", "client_id=machine&client_secret=machine-secret&grant_type=client_credentials&resource=https://x.test," + api, nil, 400, "invalid_target"},
			{"no member", "client_id=machine&client_secret=machine-secret&grant_type=client_credentials&organization_id=umbrella", nil, 403, "access_denied"},
			{"a page as a machine", "client_id=page&grant_type=client_credentials&resource=" + api, nil, 400, "unauthorized_client"},
			{"a web application as a machine", "client_id=web&client_secret=web-secret&grant_type=client_credentials&resource=" + api, nil, 400, "unauthorized_client"},
			{"no such code", "client_id=page&grant_type=authorization_code&code=x", nil, 400, "invalid_grant"},
			{"no such refresh token", "client_id=page&grant_type=refresh_token&refresh_token=x", nil, 400, "invalid_grant"},
			{"exchange by a page", "client_id=page&grant_type=urn:ietf:params:oauth:grant-type:token-exchange&subject_token=pat_alice&subject_token_type=urn:logto:token-type:personal_access_token", nil, 400, "unauthorized_client"},
			{"no such token to exchange", "client_id=machine&client_secret=machine-secret&grant_type=urn:ietf:params:oauth:grant-type:token-exchange&subject_token=pat_x&subject_token_type=urn:logto:token-type:personal_access_token", nil, 400, "invalid_grant"},
			{"no such type to exchange", "client_id=machine&client_secret=machine-secret&grant_type=urn:ietf:params:oauth:grant-type:token-exchange&subject_token=pat_alice&subject_token_type=urn:ietf:params:oauth:token-type:jwt", nil, 400, "invalid_request"},
		} {
			form, err := url.ParseQuery(test.form)
			if err != nil {
				t.Fatal(err)
			}
			a := b.post("/oidc/token", form, test.header...)
			if a.status != test.status || a.text(t, "error") != test.code || a.text(t, "code") != "oidc."+test.code || a.text(t, "message") == "" || a.text(t, "error_description") == "" {
				t.Errorf("%s: %d %s", test.name, a.status, a.body)
			}
		}
	})
}

// Machines, by each way to send the secret, and as JSON.
func TestMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		em, b := newMemory(t, emulator.Config{})
		cfg := inMemory(em)
		cfg.OrganizationTokens = true
		things := newAPI(t, cfg, logto.Machines(), logto.Scopes("read:things"))
		r := b.request("POST", "/oidc/token", "grant_type=client_credentials&scope=read:things+write:things&resource="+api, "Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth("machine", "machine-secret")
		for name, a := range map[string]answer{
			"post":  b.machine("resource", api, "scope", "read:things write:things"),
			"basic": b.do(r),
			"JSON": b.do(b.request("POST", "/oidc/token", `{"grant_type":"client_credentials","client_id":"machine","client_secret":"machine-secret","scope":"read:things","resource":["`+api+`"]}`,
				"Content-Type", "application/json; charset=utf-8")),
		} {
			if a.status != 200 || a.text(t, "scope") != "read:things" || ask(things, a.text(t, "access_token")) != 200 || a.json(t)["refresh_token"] != nil {
				t.Errorf("%s: %d %s", name, a.status, a.body)
			}
		}
		if _, ok := b.machine("resource", api).json(t)["scope"]; ok {
			t.Error("an answer without scopes has scope")
		}
		if _, claims := decode(t, b.machine("resource", api).text(t, "access_token")); claims["scope"] != nil || claims["sub"] != "machine" || claims["client_id"] != "machine" {
			t.Errorf("without scopes: %v", claims)
		}
		if _, claims := decode(t, b.machine("organization_id", "acme", "scope", "read:members").text(t, "access_token")); claims["aud"] != "urn:logto:organization:acme" || claims["scope"] != "read:members" || claims["organization_id"] != nil {
			t.Errorf("for an organization: %v", claims)
		}
		// Its global role has read:reports, that in the organization has not.
		if _, claims := decode(t, b.machine("organization_id", "acme", "resource", api, "scope", "read:things read:reports").text(t, "access_token")); claims["aud"] != api || claims["organization_id"] != "acme" || claims["scope"] != "read:things" {
			t.Errorf("in an organization: %v", claims)
		}
	})
}

// Refresh tokens rotate for a page; two calls at once are none of a thief.
func TestRefreshRotation(t *testing.T) {
	for _, test := range []struct {
		name  string
		after time.Duration
		again int // status of the second use
		alive int // of what the first use gave
	}{
		{"at once", 0, 200, 200},
		{"within 3 s", 3 * time.Second, 200, 200},
		{"later", 3*time.Second + time.Millisecond, 400, 400},
	} {
		synctest.Test(t, func(t *testing.T) {
			_, b := newMemory(t, emulator.Config{})
			first := b.exchange(b.signIn("alice")).text(t, "refresh_token")
			second := b.refresh(first, "resource", api).text(t, "refresh_token")
			if second == first || second == "" {
				t.Errorf("%s: no rotation", test.name)
			}
			time.Sleep(test.after)
			if a := b.refresh(first, "resource", api); a.status != test.again {
				t.Errorf("%s: %d %s", test.name, a.status, a.body)
			}
			if a := b.refresh(second, "resource", api); a.status != test.alive {
				t.Errorf("%s, the new one: %d %s", test.name, a.status, a.body)
			}
		})
	}
	// A confidential client's stays, until most of its life is over; a lifetime ends it.
	synctest.Test(t, func(t *testing.T) {
		_, b := newMemory(t, emulator.Config{})
		web := []string{"client_id", "web", "client_secret", "web-secret"}
		code := b.signIn("alice", "client_id", "web", "code_challenge", "", "code_challenge_method", "")
		first := b.exchange(code, append(web, "code_verifier", "")...).text(t, "refresh_token")
		for _, step := range []struct {
			sleep  time.Duration
			status int
			same   bool
		}{{0, 200, true}, {9 * 24 * time.Hour, 200, true}, {24 * time.Hour, 200, false}, {5 * 24 * time.Hour, 400, false}} {
			time.Sleep(step.sleep)
			a := b.refresh(first, web...)
			if a.status != step.status || (a.text(t, "refresh_token") == first) != step.same {
				t.Errorf("after %v: %d %s", step.sleep, a.status, a.body)
			}
		}
		first = b.exchange(b.signIn("alice", "client_id", "web", "code_challenge", "", "code_challenge_method", "", "prompt", "login consent"), append(web, "code_verifier", "")...).text(t, "refresh_token")
		most := 14 * 24 * time.Hour * 7 / 10
		for _, step := range []struct {
			sleep time.Duration
			same  bool
		}{{most - 1, true}, {1, false}} {
			time.Sleep(step.sleep)
			if a := b.refresh(first, web...); (a.text(t, "refresh_token") == first) != step.same {
				t.Errorf("after %v: %d %s", step.sleep, a.status, a.body)
			}
		}
	})
}

// Suspension, deletion, a revoked grant, membership: what the refresh token does then.
func TestRefreshAfter(t *testing.T) {
	for _, test := range []struct {
		name     string
		do       func(*emulator.Server) error
		org      string
		status   int
		code     string
		sessions bool // the browser is signed in still
	}{
		{"nothing", func(*emulator.Server) error { return nil }, "acme", 200, "", true},
		{"suspended", func(em *emulator.Server) error { return em.Suspend("alice") }, "", 400, "invalid_grant", false},
		{"unsuspended", func(em *emulator.Server) error {
			if err := em.Suspend("alice"); err != nil {
				return err
			}
			return em.Unsuspend("alice")
		}, "", 400, "invalid_grant", false},
		{"deleted", func(em *emulator.Server) error { return em.DeleteUser("alice") }, "", 400, "invalid_grant", false},
		{"grant revoked", func(em *emulator.Server) error { return em.Control("revoke", map[string]string{"user": "alice"}, nil) }, "", 400, "invalid_grant", true},
		{"no member any more", func(em *emulator.Server) error { return em.RemoveMember("acme", "alice") }, "acme", 403, "access_denied", true},
		{"new password", func(em *emulator.Server) error {
			return em.Control("set-password", map[string]string{"user": "alice"}, nil)
		}, "", 200, "", true},
		{"reset", func(em *emulator.Server) error { return em.Reset() }, "", 400, "invalid_grant", false},
	} {
		synctest.Test(t, func(t *testing.T) {
			em, b := newMemory(t, emulator.Config{})
			token := b.exchange(b.signIn("alice")).text(t, "refresh_token")
			if err := test.do(em); err != nil {
				t.Fatal(err)
			}
			more := []string{"resource", api}
			if test.org != "" {
				more = append(more, "organization_id", test.org)
			}
			if a := b.refresh(token, more...); a.status != test.status || a.text(t, "error") != test.code {
				t.Errorf("%s: %d %s", test.name, a.status, a.body)
			}
			to := b.get("/oidc/auth?" + authorization().Encode()).location(t)
			if got := to.Query().Get("code") != ""; got != test.sessions {
				t.Errorf("%s: to %v", test.name, to)
			}
		})
	}
}

// Revocation and introspection know refresh and opaque tokens, and no JWT.
func TestRevocation(t *testing.T) {
	_, b := newMemory(t, emulator.Config{})
	first := b.exchange(b.signIn("alice"))
	refresh, opaque := first.text(t, "refresh_token"), first.text(t, "access_token")
	second := b.refresh(refresh, "resource", api)
	jwt, refresh := second.text(t, "access_token"), second.text(t, "refresh_token")
	again := b.exchange(b.signInAgain()).text(t, "access_token")
	post := func(path, client, token string) answer {
		form := url.Values{"client_id": {client}, "token": {token}}
		if client == "web" {
			form.Set("client_secret", "web-secret")
		}
		return b.post("/oidc/token/"+path, form)
	}
	for _, test := range []struct {
		name, path, client, token string
		status                    int
		active                    any
	}{
		{"a JWT", "revocation", "page", jwt, 400, nil},
		{"a JWT asked about", "introspection", "page", jwt, 400, nil},
		{"no token", "revocation", "page", "", 400, nil},
		{"an unknown one", "revocation", "page", "x", 200, nil},
		{"another's", "revocation", "web", refresh, 200, nil},
		{"it lives on", "introspection", "page", refresh, 200, true},
		{"for its client", "introspection", "web", refresh, 200, false},
		{"the opaque one", "introspection", "page", opaque, 200, true},
		{"another's opaque one", "revocation", "web", opaque, 200, nil},
		{"which lives on", "introspection", "page", opaque, 200, true},
		{"its own opaque one", "revocation", "page", again, 200, nil},
		{"which is gone", "introspection", "page", again, 200, false},
		{"and no other", "introspection", "page", opaque, 200, true},
		{"its own", "revocation", "page", refresh, 200, nil},
		{"is gone", "introspection", "page", refresh, 200, false},
		{"with its grant", "introspection", "page", opaque, 200, false},
	} {
		a := post(test.path, test.client, test.token)
		if a.status != test.status || test.active != nil && a.json(t)["active"] != test.active {
			t.Errorf("%s: %d %s", test.name, a.status, a.body)
		}
	}
	if a := b.refresh(refresh); a.status != 400 {
		t.Errorf("refresh: %d %s", a.status, a.body)
	}
}

func TestUserinfoRefusals(t *testing.T) {
	_, b := newMemory(t, emulator.Config{})
	first := b.exchange(b.signIn("alice", "scope", "profile offline_access"))
	jwt := b.machine("resource", api).text(t, "access_token")
	for _, test := range []struct {
		name, token string
		status      int
		challenge   bool
	}{
		{"none", "", 400, false}, {"made up", "x", 401, true}, {"a JWT", jwt, 401, true}, {"without openid", first.text(t, "access_token"), 403, false},
	} {
		var header []string
		if test.token != "" {
			header = []string{"Authorization", "Bearer " + test.token}
		}
		a := b.get("/oidc/me", header...)
		if a.status != test.status || (a.header.Get("WWW-Authenticate") != "") != test.challenge {
			t.Errorf("%s: %d %s", test.name, a.status, a.body)
		}
	}
	state := b.get("/control/state").body
	for _, want := range []string{"there is no such opaque token, or it has expired", "a JWT is for its resource"} {
		if strings.Count(state, want) != 1 {
			t.Errorf("%q isn't told once: %s", want, state)
		}
	}
}

// A body that can't be read is said to be so, wherever one is taken.
func TestUnreadable(t *testing.T) {
	_, b := newMemory(t, emulator.Config{})
	for _, test := range []struct{ kind, body, want string }{
		{"application/json", `{`, "failed to parse the request body"},
		{"application/json", `[]`, "failed to parse the request body"},
		{"application/json", `{"client_id":1,"a":"b"}`, "'client_id' must be a string"},
		{"application/json", `{"resource":["a",1]}`, "'resource' must be a string"},
		{"application/json", `{"h":1,"c":1,"f":1,"b":1,"g":1,"d":1,"e":1}`, "'b' must be a string"}, // the first one
		{"application/x-www-form-urlencoded", "client_id=page&x=%zz", "failed to parse the request body"},
		{"application/x-www-form-urlencoded", "h=&c=&f=&b=&g=&d=&e=&h=&c=&f=&b=&g=&d=&e=", "'b' parameter must not be provided twice"},
	} {
		for _, path := range []string{"/oidc/token", "/oidc/token/revocation", "/oidc/token/introspection", "/oidc/me", "/oidc/session/end", "/oidc/auth"} {
			if path != "/oidc/token" && strings.Contains(test.want, "twice") {
				continue
			}
			if a := b.do(b.request("POST", path, test.body, "Content-Type", test.kind)); a.status != 400 || a.text(t, "error_description") != test.want {
				t.Errorf("%s to %s: %d %s", test.body, path, a.status, a.body)
			}
		}
	}
	// At the sign-in page it is the form that is sent.
	page := b.get("/oidc/auth?" + authorization().Encode()).location(t)
	if a := b.do(b.request("POST", page.String(), "user=alice&x=%zz", "Content-Type", "application/x-www-form-urlencoded")); a.status != 400 || a.text(t, "error_description") != "failed to parse the request body" {
		t.Errorf("sign-in page: %d %s", a.status, a.body)
	}
}
