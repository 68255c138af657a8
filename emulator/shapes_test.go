package emulator_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/seed-70fe37f4/logto/emulator"
)

// shape lists members with their types, and the values of those that every Logto gives
// alike.
func shape(o map[string]any) string {
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(o)) {
		line := fmt.Sprintf("%s: %T", name, o[name])
		switch name {
		case "jti", "kid": // base64url of 32 bytes
			line += fmt.Sprint(" ", len(o[name].(string)))
		case "alg", "typ", "scope", "plan", "roles", "nested", "n", "f", "unicode", "email_verified", "phone_number", "phone_number_verified", "picture":
			line += fmt.Sprint(" ", o[name])
		case "aud":
			audience := o[name].(string)
			if before, id, ok := strings.Cut(audience, "urn:logto:organization:"); ok && id != "" {
				audience = before + "urn:logto:organization:"
			}
			if audience == api || strings.HasPrefix(audience, "urn:") {
				line += " " + audience
			}
		}
		lines = append(lines, line)
	}
	if exp, ok := o["exp"].(float64); ok {
		lines = append(lines, fmt.Sprint("life: ", exp-o["iat"].(float64)))
	}
	if sub, ok := o["sub"]; ok && o["client_id"] != nil {
		lines = append(lines, fmt.Sprint("machine: ", sub == o["client_id"]))
	}
	return strings.Join(lines, "\n")
}

const shapesTenant = `{
	"resources": [{"indicator": "https://api.example.test", "scopes": ["read:things", "write:things"]}],
	"roles": [
		{"name": "things-user", "scopes": {"https://api.example.test": ["read:things", "write:things"]}},
		{"name": "things-machine", "type": "MachineToMachine", "scopes": {"https://api.example.test": ["read:things", "write:things"]}}
	],
	"organizationScopes": ["read:org", "manage:org"],
	"organizationRoles": [
		{"name": "org-admin", "scopes": ["read:org", "manage:org"]},
		{"name": "org-machine", "type": "MachineToMachine", "scopes": ["read:org", "manage:org"]}
	],
	"organizations": [{"id": "org", "name": "Org",
		"users": [{"id": "u1", "organizationRoles": ["org-admin"]}],
		"applications": [{"id": "machine", "organizationRoles": ["org-machine"]}]}],
	"users": [
		{"id": "u1", "username": "alice", "name": "Alice", "primaryEmail": "alice@example.test", "roles": ["things-user"]},
		{"id": "u2", "username": "bob"}
	],
	"applications": [
		{"id": "page", "type": "SPA", "redirectUris": ["http://localhost:5173/callback"]},
		{"id": "machine", "type": "MachineToMachine", "secret": "machine-secret", "allowTokenExchange": true, "roles": ["things-machine"]}
	]
}`

const customTemplate = `, "jwtCustomizer": {"accessToken": {"plan": "pro", "roles": "${context.user.roles.name}", "nested": {"a": [1, {"b": null}]}, "n": 12345678901234567000, "f": 1.5, "unicode": "héllo ☃"}}}`

// Each kind of token has the claims, types and header of the one recorded from a Logto.
// What says that it is an emulator's is the value of iss.
func TestShapes(t *testing.T) {
	b, err := os.ReadFile("../testdata/tokens.json")
	if err != nil {
		t.Fatal(err)
	}
	var recorded map[string]struct {
		Token           string
		Header, Payload map[string]any
	}
	if err := json.Unmarshal(b, &recorded); err != nil {
		t.Fatal(err)
	}
	em, page := newMemory(t, emulator.Config{Tenant: []byte(shapesTenant)})
	_, customPage := newMemory(t, emulator.Config{Tenant: []byte(strings.TrimSuffix(strings.TrimSpace(shapesTenant), "}") + customTemplate)})
	scopes := "openid offline_access profile email phone roles urn:logto:scope:organizations urn:logto:scope:organization_roles read:things write:things read:org manage:org"
	refresh := func(b *browser, user string, more ...string) string {
		b = newBrowser(t, b.em)
		first := b.exchange(b.signIn(user, "scope", scopes))
		return b.refresh(first.text(t, "refresh_token"), more...).text(t, "access_token")
	}
	first := newBrowser(t, em)
	idToken := first.exchange(first.signIn("u1", "scope", scopes, "nonce", "cLSUHej8zno")).text(t, "id_token")
	exchange := func() string {
		actor := newBrowser(t, em)
		opaque := actor.exchange(actor.signIn("u2")).text(t, "access_token")
		subject := page.control("subject-token", `{"user":"u1"}`).text(t, "subjectToken")
		return page.machine("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange", "resource", api, "scope", "read:things",
			"subject_token", subject, "subject_token_type", "urn:ietf:params:oauth:token-type:access_token",
			"actor_token", opaque, "actor_token_type", "urn:ietf:params:oauth:token-type:access_token").text(t, "access_token")
	}
	tokens := map[string]string{
		"es384/m2m-api":              page.machine("resource", api, "scope", "read:things write:things").text(t, "access_token"),
		"es384/m2m-api-noscope":      page.machine("resource", api).text(t, "access_token"),
		"es384/user-api":             refresh(page, "u1", "resource", api),
		"es384/user-api-norole":      refresh(page, "u2", "resource", api),
		"es384/org-token":            refresh(page, "u1", "organization_id", "org"),
		"es384/m2m-org":              page.machine("organization_id", "org", "scope", "read:org manage:org").text(t, "access_token"),
		"es384/org-api-token":        refresh(page, "u1", "organization_id", "org", "resource", api),
		"es384/opaque":               refresh(page, "u1"),
		"es384/custom-claims-user":   refresh(customPage, "u1", "resource", api, "scope", "read:things"),
		"es384/token-exchange-actor": exchange(),
		"es384/id-token":             idToken,
	}
	if err := em.Rotate("RS256"); err != nil {
		t.Fatal(err)
	}
	tokens["rs256/m2m-api"] = page.machine("resource", api, "scope", "read:things write:things").text(t, "access_token")
	tokens["rs256/user-api"] = refresh(page, "u1", "resource", api)
	tokens["rs256/org-api-token"] = refresh(page, "u1", "organization_id", "org", "resource", api)

	if got, want := slices.Sorted(maps.Keys(tokens)), slices.Sorted(maps.Keys(recorded)); !slices.Equal(got, want) {
		t.Errorf("kinds %v, recorded %v", got, want)
	}
	for name, token := range tokens {
		want := recorded[name]
		if want.Header == nil {
			if len(token) != len(want.Token) || strings.Contains(token, ".") {
				t.Errorf("%s: %q, recorded %q", name, token, want.Token)
			}
			continue
		}
		header, claims := decode(t, token)
		if got, want := shape(header), shape(want.Header); got != want {
			t.Errorf("%s: header\n%s\nrecorded\n%s", name, got, want)
		}
		if got, want := shape(claims), shape(want.Payload); got != want {
			t.Errorf("%s: claims\n%s\nrecorded\n%s", name, got, want)
		}
		if iss := claims["iss"]; iss != "http://localhost:3001"+emulator.Mark+"/oidc" {
			t.Errorf("%s: iss %v", name, iss)
		}
	}
}

// The discovery document has no member of another type than Logto's, and what it has
// more is one that says what it is.
func TestDiscoveryShape(t *testing.T) {
	b, err := os.ReadFile("../testdata/discovery.json")
	if err != nil {
		t.Fatal(err)
	}
	var recorded map[string]any
	if err := json.Unmarshal(b, &recorded); err != nil {
		t.Fatal(err)
	}
	_, page := newMemory(t, emulator.Config{})
	got := page.get("/oidc/.well-known/openid-configuration").json(t)
	var more []string
	for name, value := range got {
		want, ok := recorded[name]
		if !ok {
			more = append(more, name)
		} else if fmt.Sprintf("%T", value) != fmt.Sprintf("%T", want) {
			t.Errorf("%s is %T, recorded %T", name, value, want)
		}
		if flag, ok := want.(bool); ok && value != flag {
			t.Errorf("%s is %v, recorded %v", name, value, flag)
		}
		if text, ok := want.(string); ok {
			_, path, _ := strings.Cut(text, "localhost:3001")
			if want := "http://localhost:3001" + emulator.Mark + path; value != want {
				t.Errorf("%s: %v, want %s", name, value, want)
			}
		}
	}
	if !slices.Equal(more, []string{"logto_emulator"}) || got["logto_emulator"] != true {
		t.Errorf("members that a Logto hasn't: %v", more)
	}
	// By another name, as from a container: the issuer stays.
	got = page.get("/oidc/.well-known/openid-configuration", "Host", "127.0.0.1:9999").json(t)
	if got["issuer"] != "http://localhost:3001/emulator/oidc" || got["jwks_uri"] != "http://127.0.0.1:9999/emulator/oidc/jwks" {
		t.Errorf("by another name: %v, %v", got["issuer"], got["jwks_uri"])
	}
	w := httptest.NewRecorder()
	page.em.ServeHTTP(w, httptest.NewRequest("GET", "https://127.0.0.1:9999/emulator/oidc/.well-known/openid-configuration", nil))
	if !strings.Contains(w.Body.String(), `"jwks_uri":"https://127.0.0.1:9999/emulator/oidc/jwks"`) {
		t.Errorf("by TLS: %s", w.Body)
	}
}

// The key set and its header are those of a Logto.
func TestKeySetShape(t *testing.T) {
	em, page := newMemory(t, emulator.Config{})
	if err := em.Rotate("RS256"); err != nil {
		t.Fatal(err)
	}
	if err := em.Rotate("ES384"); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile("../testdata/jwks.json")
	if err != nil {
		t.Fatal(err)
	}
	type set struct{ Keys []map[string]any }
	var recorded, got set
	if err := json.Unmarshal(b, &recorded); err != nil {
		t.Fatal(err)
	}
	a := page.get("/oidc/jwks")
	if err := json.Unmarshal([]byte(a.body), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Keys) != 2 || len(recorded.Keys) != 2 {
		t.Fatalf("%d keys, recorded %d", len(got.Keys), len(recorded.Keys))
	}
	for i := range got.Keys {
		delete(got.Keys[i], "n") // of another key, and shorter: see internal/mint
		delete(recorded.Keys[i], "n")
		if got, want := shape(got.Keys[i]), shape(recorded.Keys[i]); got != want {
			t.Errorf("key %d\n%s\nrecorded\n%s", i, got, want)
		}
	}
	if h := a.header; h.Get("Content-Type") != "application/jwk-set+json; charset=utf-8" || h.Get("Cache-Control") != "no-cache, max-age=0, must-revalidate" || h.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("header %v", h)
	}
	etag := a.header.Get("ETag")
	for tags, want := range map[string]int{etag: 304, "W/" + etag: 304, `"x", ` + etag: 304, "*": 304, `"x"`: 200, strings.Trim(etag, `"`): 200, "": 200} {
		if again := page.get("/oidc/jwks", "If-None-Match", tags); again.status != want || (again.body == "") != (want == 304) {
			t.Errorf("If-None-Match %s: %d %s", tags, again.status, again.body)
		}
	}
}
