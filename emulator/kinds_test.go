package emulator_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/seed-70fe37f4/logto/emulator"
)

// Kinds of tokens that testdata has no record of, by what is known of Logto's: who may
// ask for which, and the claims that are in it and no others.
func TestKinds(t *testing.T) {
	const management = "https://tenant.logto.app/api"
	description := strings.NewReplacer(
		`"resources": [`, `"resources": [{"indicator": "`+management+`", "accessTokenTtl": 600, "scopes": ["all"]},`,
		`"scopes": {"https://api.example.test": ["read:things", "read:reports"]}`, `"scopes": {"https://api.example.test": ["read:things", "read:reports"], "`+management+`": ["all"]}`,
	).Replace(string(emulator.Example()))
	_, b := newMemory(t, emulator.Config{Tenant: []byte(description)})
	exchange := func(kind, token string, more ...string) string {
		return b.machine(append([]string{"grant_type", "urn:ietf:params:oauth:grant-type:token-exchange", "subject_token", token, "subject_token_type", kind}, more...)...).text(t, "access_token")
	}
	const pat, access = "urn:logto:token-type:personal_access_token", "urn:ietf:params:oauth:token-type:access_token"
	subject := func() string { return b.control("subject-token", `{"user":"alice"}`).text(t, "subjectToken") }
	scopes := "openid offline_access urn:logto:scope:organizations read:things read:members"
	refresh := b.exchange(b.signIn("alice", "scope", scopes, "resource", api+",urn:logto:resource:organizations")).text(t, "refresh_token")

	const standard = "aud client_id exp iat iss jti"
	for _, test := range []struct {
		name, token, claims   string
		audience, sub, client string
		scope, organization   any
		life                  float64
	}{
		{"machine, organization and API", b.machine("resource", api, "organization_id", "acme", "scope", "read:things").text(t, "access_token"),
			standard + " organization_id scope sub", api, "machine", "machine", "read:things", "acme", 3600},
		{"machine, organization and API, no scope", b.machine("resource", api, "organization_id", "acme").text(t, "access_token"),
			standard + " organization_id sub", api, "machine", "machine", nil, "acme", 3600},
		{"Management API", b.machine("resource", management, "scope", "all").text(t, "access_token"),
			standard + " scope sub", management, "machine", "machine", "all", nil, 600},
		{"organizations resource", b.refresh(refresh, "resource", "urn:logto:resource:organizations").text(t, "access_token"),
			standard + " scope sub", "urn:logto:resource:organizations", "alice", "page", "read:members", nil, 3600},
		{"personal access token", exchange(pat, "pat_alice", "resource", api, "scope", "read:things"),
			standard + " scope sub", api, "alice", "machine", "read:things", nil, 3600},
		{"personal access token, organization and API", exchange(pat, "pat_alice", "resource", api, "organization_id", "acme"),
			standard + " organization_id scope sub", api, "alice", "machine", "", "acme", 3600},
		{"impersonation", exchange(access, subject(), "resource", api, "scope", "read:things write:things"),
			standard + " scope sub", api, "alice", "machine", "read:things", nil, 3600},
		{"impersonation, organization", exchange(access, subject(), "organization_id", "acme", "scope", "read:members"),
			standard + " scope sub", "urn:logto:organization:acme", "alice", "machine", "read:members", nil, 3600},
	} {
		header, claims := decode(t, test.token)
		got := []any{strings.Join(slices.Sorted(maps.Keys(claims)), " "), claims["iss"], claims["aud"], claims["sub"], claims["client_id"], claims["scope"], claims["organization_id"], claims["act"], claims["exp"].(float64) - claims["iat"].(float64)}
		want := []any{test.claims, "http://localhost:3001/emulator/oidc", test.audience, test.sub, test.client, test.scope, test.organization, nil, test.life}
		if fmt.Sprint(got...) != fmt.Sprint(want...) {
			t.Errorf("%s:\n%v\nwant\n%v", test.name, got, want)
		}
		if header["typ"] != "at+jwt" || len(header) != 3 {
			t.Errorf("%s: header %v", test.name, header)
		}
	}
}

// A logout token is that of a Logto, which was recorded from a sign-out: see testdata.
func TestLogoutShape(t *testing.T) {
	text, err := os.ReadFile("testdata/logout-token.json")
	if err != nil {
		t.Fatal(err)
	}
	var recorded struct{ Header, Payload map[string]any }
	if err := json.Unmarshal(text, &recorded); err != nil {
		t.Fatal(err)
	}
	in := &inbox{}
	var got string
	in.next = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/logout" {
			body, _ := io.ReadAll(r.Body)
			form, _ := url.ParseQuery(string(body))
			got = form.Get("logout_token")
		}
	})
	em, b := newHooked(t, in)
	if err := em.Rotate("RS256"); err != nil { // as when it was recorded
		t.Fatal(err)
	}
	b.signIn("alice")
	b.get("/oidc/session/end")
	header, claims := decode(t, got)
	if got, want := shape(header), shape(recorded.Header); got != want {
		t.Errorf("header\n%s\nrecorded\n%s", got, want)
	}
	if got, want := shape(claims), shape(recorded.Payload); got != want || fmt.Sprint(claims["events"]) != fmt.Sprint(recorded.Payload["events"]) {
		t.Errorf("claims\n%s\nrecorded\n%s", got, want)
	}
	if got, want := len(claims["sid"].(string)), len(recorded.Payload["sid"].(string)); got != want {
		t.Errorf("sid of %d characters, recorded %d", got, want)
	}
}
