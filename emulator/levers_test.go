package emulator_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/seed-70fe37f4/logto/emulator"
)

// How far clock and lifetimes can be set, and what the control page shows of it.
func TestBoundsOfLevers(t *testing.T) {
	_, b := newMemory(t, emulator.Config{})
	for _, test := range []struct{ action, args, want string }{ // want: in the state, "" for a refusal
		{"clock", `{"seconds":315360000}`, `"clock":315360000,`},
		{"clock", `{"seconds":-315360000}`, `"clock":-315360000,`},
		{"clock", `{"seconds":315360001}`, ""},
		{"clock", `{"seconds":-315360001}`, ""},
		{"clock", `{}`, `"clock":0,`},
		{"lifetimes", `{"accessToken":315360000,"idToken":315360000,"refreshToken":315360000}`, `"lifetimes":{"accessToken":315360000,"idToken":315360000,"refreshToken":315360000}`},
		{"lifetimes", `{"accessToken":-315360000}`, `"lifetimes":{"accessToken":-315360000,"idToken":0,"refreshToken":0}`},
		{"lifetimes", `{"accessToken":0.5,"idToken":1.5}`, `"lifetimes":{"accessToken":0.5,"idToken":1.5,"refreshToken":0}`},
		{"lifetimes", `{"accessToken":0}`, `"lifetimes":{"accessToken":0,"idToken":0,"refreshToken":0}`},
		{"lifetimes", `{"accessToken":315360001}`, ""},
		{"lifetimes", `{"accessToken":-315360001}`, ""},
		{"lifetimes", `{"idToken":315360001}`, ""},
		{"lifetimes", `{"idToken":-1}`, ""},
		{"lifetimes", `{"refreshToken":315360001}`, ""},
		{"lifetimes", `{"refreshToken":-1}`, ""},
		{"lifetimes", `{}`, `"lifetimes":{"accessToken":null,"idToken":0,"refreshToken":0}`},
	} {
		a := b.do(b.request("POST", "/control/"+test.action, test.args, "Content-Type", "application/json"))
		state := b.get("/control/state").body
		if (a.status == 200) != (test.want != "") || !strings.Contains(state, test.want) {
			t.Errorf("%s %s: %d %s, state %s", test.action, test.args, a.status, a.body, state)
		}
	}
}

// What an administrator revokes: of one application, or of all; and how many that were.
func TestRevokeGrants(t *testing.T) {
	for _, test := range []struct {
		args      string
		revoked   float64
		page, web int // status of their refresh tokens
	}{
		{`{"user":"alice"}`, 2, 400, 400},
		{`{"user":"alice","application":"page"}`, 1, 400, 200},
		{`{"user":"alice","application":"web"}`, 1, 200, 400},
		{`{"user":"alice","application":"x"}`, 0, 200, 200},
		{`{"user":"bob"}`, 0, 200, 200},
	} {
		_, b := newMemory(t, emulator.Config{})
		web := []string{"client_id", "web", "client_secret", "web-secret"}
		page := b.exchange(b.signIn("alice")).text(t, "refresh_token")
		other := b.exchange(b.signInAgainAs("web"), web...).text(t, "refresh_token")
		if got := b.control("revoke", test.args).json(t)["revoked"]; got != test.revoked {
			t.Errorf("%s: %v revoked", test.args, got)
		}
		if page, other := b.refresh(page), b.refresh(other, web...); page.status != test.page || other.status != test.web {
			t.Errorf("%s: page %d, web %d", test.args, page.status, other.status)
		}
	}
}

// What buttons answer.
func TestAnswersOfButtons(t *testing.T) {
	_, b := newMemory(t, emulator.Config{})
	if got := b.control("subject-token", `{"user":"alice"}`).json(t); got["expiresIn"] != 600.0 || !strings.HasPrefix(got["subjectToken"].(string), "sub_") {
		t.Errorf("subject token: %v", got)
	}
	if got := b.control("personal-access-token", `{"user":"alice","name":"ci"}`).json(t); got["name"] != "ci" || !strings.HasPrefix(got["value"].(string), "pat_") {
		t.Errorf("personal access token: %v", got)
	}
	if got := b.control("create-user", `{"id":"x"}`).json(t); got["id"] != "x" {
		t.Errorf("user: %v", got)
	}
	if got := b.control("create-organization", `{"id":"x"}`).json(t); got["id"] != "x" {
		t.Errorf("organization: %v", got)
	}
	id := b.control("rotate", `{}`).text(t, "id")
	if keys := keyIDs(t, b); !strings.Contains(keys, fmt.Sprintf(`{"id":%q,"algorithm":"ES384","status":"Current"}`, id)) {
		t.Errorf("%s is not the current one of %s", id, keys)
	}
	if got := b.control("suspend", `{"user":"x"}`).body; got != `{"ok":true}` {
		t.Errorf("suspended: %s", got)
	}
	if got := b.control("reset", ``).body; got != `{"ok":true}` { // no body is {}
		t.Errorf("reset: %s", got)
	}
}

// Which token is given to whom asks for it without a sign-in.
func TestToken(t *testing.T) {
	const two = `{
		"resources": [{"indicator": "https://a.test", "scopes": ["r"]}, {"indicator": "https://b.test", "scopes": ["r"]}],
		"roles": [{"name": "x", "scopes": {"https://a.test": ["r"]}}],
		"organizationRoles": [{"name": "m", "resourceScopes": {"https://b.test": ["r"]}}],
		"users": [{"id": "u", "roles": ["x"]}, {"id": "gone", "isSuspended": true}],
		"organizations": [{"id": "o", "users": [{"id": "u", "organizationRoles": ["m"]}]}],
		"applications": [{"id": "m1", "type": "MachineToMachine", "secret": "s"}, {"id": "p1", "type": "SPA"}, {"id": "m2", "type": "MachineToMachine", "secret": "s"}, {"id": "p2", "type": "Native"}]}`
	em, _ := newMemory(t, emulator.Config{Tenant: []byte(two)})
	for _, test := range []struct {
		token emulator.Token
		want  string // sub, client, audience, organization, scope; or a part of the error
	}{
		{emulator.Token{User: "nobody"}, `there is no user "nobody"`},
		{emulator.Token{User: "gone"}, "the user is suspended"},
		{emulator.Token{User: "u", Application: "m1"}, "there is no such application"},
		{emulator.Token{Application: "p1"}, "there is no such application"},
		{emulator.Token{User: "u", Application: "x"}, "there is no such application"},
		{emulator.Token{User: "u", OrganizationOnly: true}, "organizationOnly is for an organization, and no resource"},
		{emulator.Token{User: "u", OrganizationOnly: true, Organization: "o", Resource: "https://a.test"}, "organizationOnly is for an organization, and no resource"},
		{emulator.Token{User: "u", Resource: "https://c.test"}, "there is no resource https://c.test"},
		{emulator.Token{User: "u", Organization: "x"}, "user is not a member"},
		{emulator.Token{Organization: "o"}, "app has not associated"},
		{emulator.Token{User: "u", Scopes: []string{"r"}}, "u p1 https://a.test <nil> r"},
		{emulator.Token{User: "u", Application: "p2", Resource: "https://b.test", Scopes: []string{"r", "w"}}, "u p2 https://b.test <nil> r"},
		{emulator.Token{User: "u", Organization: "o", Resource: "https://b.test", Scopes: []string{"r"}}, "u p1 https://b.test o r"},
		{emulator.Token{User: "u", Organization: "o", OrganizationOnly: true}, "u p1 urn:logto:organization:o <nil> "},
		{emulator.Token{}, "m1 m1 https://a.test <nil> <nil>"},
		{emulator.Token{Application: "m2"}, "m2 m2 https://a.test <nil> <nil>"},
	} {
		token, err := em.Token(test.token)
		if err != nil {
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("%+v: error %v, want %s", test.token, err, test.want)
			}
			continue
		}
		_, claims := decode(t, token)
		if got := fmt.Sprint(claims["sub"], " ", claims["client_id"], " ", claims["aud"], " ", claims["organization_id"], " ", claims["scope"]); got != test.want {
			t.Errorf("%+v: %s, want %s", test.token, got, test.want)
		}
	}
}
