package emulator_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-70fe37f4/logto/emulator"
)

// Personal access tokens, impersonation, and who acts.
func TestTokenExchange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		em, b := newMemory(t, emulator.Config{})
		exchange := func(kind, token string, more ...string) answer {
			form := url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "client_id": {"machine"}, "client_secret": {"machine-secret"},
				"subject_token": {token}, "subject_token_type": {kind}}
			for i := 0; i+1 < len(more); i += 2 {
				form.Set(more[i], more[i+1])
			}
			return b.post("/oidc/token", form)
		}
		const pat, access = "urn:logto:token-type:personal_access_token", "urn:ietf:params:oauth:token-type:access_token"
		subject := func(user string) string {
			return b.control("subject-token", `{"user":"`+user+`"}`).text(t, "subjectToken")
		}
		opaque := b.exchange(b.signIn("carol")).text(t, "access_token")

		a := exchange(pat, "pat_alice", "resource", api, "scope", "read:things write:things")
		_, claims := decode(t, a.text(t, "access_token"))
		if claims["sub"] != "alice" || claims["client_id"] != "machine" || claims["scope"] != "read:things" || claims["act"] != nil {
			t.Errorf("personal access token: %v", claims)
		}
		if a := exchange(pat, "pat_alice"); len(a.text(t, "access_token")) != 43 {
			t.Errorf("without a resource: %s", a.body)
		}
		made := b.control("personal-access-token", `{"user":"bob","name":"x"}`).text(t, "value")
		if _, claims := decode(t, exchange(pat, made, "resource", api).text(t, "access_token")); claims["sub"] != "bob" || claims["scope"] != "" {
			t.Errorf("a new personal access token: %v", claims)
		}
		a = exchange(access, subject("alice"), "resource", api, "actor_token", opaque, "actor_token_type", access)
		if _, claims := decode(t, a.text(t, "access_token")); claims["sub"] != "alice" || claims["act"].(map[string]any)["sub"] != "carol" {
			t.Errorf("impersonation: %v", claims)
		}
		if _, claims := decode(t, exchange(pat, "pat_alice", "organization_id", "acme", "scope", "read:members").text(t, "access_token")); claims["aud"] != "urn:logto:organization:acme" || claims["scope"] != "read:members" {
			t.Errorf("for an organization: %v", claims)
		}
		used := subject("alice")
		for i, want := range []int{200, 400} {
			if a := exchange(access, used, "resource", api); a.status != want {
				t.Errorf("subject token, use %d: %s", i+1, a.body)
			}
		}
		weak := newBrowser(t, em)
		unnamed := weak.exchange(weak.signIn("carol", "scope", "profile")).text(t, "access_token")
		old := subject("alice")
		time.Sleep(10*time.Minute - time.Second)
		b.machine("resource", api) // which sweeps
		time.Sleep(2 * time.Second)
		for _, test := range []struct {
			name, kind, token string
			more              []string
			code              string
		}{
			{"expired", access, old, nil, "invalid_grant"},
			{"a JWT for an actor", access, subject("alice"), []string{"actor_token", a.text(t, "access_token"), "actor_token_type", access}, "invalid_grant"},
			{"an actor without openid", access, subject("alice"), []string{"actor_token", unnamed, "actor_token_type", access}, "invalid_grant"},
			{"an actor of no type", access, subject("alice"), []string{"actor_token", opaque}, "invalid_request"},
			{"an access token for a subject", access, opaque, nil, "invalid_grant"},
			{"two resources", pat, "pat_alice", []string{"resource", api + ",urn:logto:resource:organizations"}, "invalid_target"},
			{"no subject", pat, "", nil, "invalid_request"},
			{"no type", "", "pat_alice", nil, "invalid_request"},
			{"an unknown resource", pat, "pat_alice", []string{"resource", "https://x.test"}, "invalid_target"},
			{"no member", pat, "pat_alice", []string{"organization_id", "umbrella"}, "access_denied"},
		} {
			if a := exchange(test.kind, test.token, test.more...); a.text(t, "error") != test.code {
				t.Errorf("%s: %s", test.name, a.body)
			}
		}
		before := subject("alice")
		named := exchange(pat, "pat_alice", "scope", "openid profile").text(t, "access_token")
		for i, want := range []int{200, 401} {
			if a := b.get("/oidc/me", "Authorization", "Bearer "+named); a.status != want {
				t.Errorf("userinfo %d: %d %s", i, a.status, a.body)
			}
			if err := em.Suspend("alice"); err != nil {
				t.Fatal(err)
			}
			if err := em.Unsuspend("alice"); err != nil {
				t.Fatal(err)
			}
		}
		if err := em.Suspend("alice"); err != nil {
			t.Fatal(err)
		}
		for kind, token := range map[string]string{pat: "pat_alice", access: before} {
			if a := exchange(kind, token, "resource", api); a.text(t, "error") != "invalid_grant" {
				t.Errorf("%s of a suspended user: %s", kind, a.body)
			}
		}
	})
}

// A personal access token is good until its time, if it has one.
func TestPersonalAccessTokenExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at := time.Now().Add(time.Hour).UnixMilli()
		_, b := newMemory(t, emulator.Config{Tenant: []byte(strings.Replace(string(emulator.Example()), `"value": "pat_alice"`, fmt.Sprintf(`"value": "pat_alice", "expiresAt": %d`, at), 1))})
		for _, step := range []struct {
			sleep  time.Duration
			status int
		}{{0, 200}, {time.Hour - time.Millisecond, 200}, {time.Millisecond, 400}, {time.Hour, 400}} {
			time.Sleep(step.sleep)
			a := b.machine("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange", "subject_token", "pat_alice", "subject_token_type", "urn:logto:token-type:personal_access_token", "resource", api)
			if a.status != step.status {
				t.Errorf("after %v: %d %s", step.sleep, a.status, a.body)
			}
		}
	})
}
