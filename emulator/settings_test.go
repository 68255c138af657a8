package emulator_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-70fe37f4/logto/emulator"
)

const settingsTenant = `{
	"resources": [
		{"indicator": "https://api.example.test", "accessTokenTtl": 60, "scopes": ["read:things"]},
		{"indicator": "https://zero.example.test", "accessTokenTtl": 0},
		{"indicator": "https://past.example.test", "accessTokenTtl": -60}
	],
	"organizationScopes": ["read:members", "manage:members"],
	"organizations": [{"id": "o", "name": "O", "description": "an organization", "users": [{"id": "alice"}]}],
	"users": [{"id": "alice", "avatar": "https://example.test/a.png", "primaryPhone": "49123", "customData": {"plan": "pro"}}],
	"applications": [
		{"id": "page", "type": "SPA", "redirectUris": ["http://localhost:5173/callback"], "corsAllowedOrigins": ["https://other.example.test", "capacitor://localhost"],
			"idTokenTtl": 120, "refreshTokenTtlInDays": 1, "rotateRefreshToken": false},
		{"id": "web", "type": "Traditional", "secret": "s", "redirectUris": ["http://localhost:5173/callback"], "alwaysIssueRefreshToken": true}
	]}`

// What an application and a resource say of lifetimes, rotation and origins.
func TestSettings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, b := newMemory(t, emulator.Config{Tenant: []byte(settingsTenant)})
		zero, past := "https://zero.example.test", "https://past.example.test"
		form := authorization()
		form["resource"] = []string{api, zero + "," + past}
		page := b.get("/oidc/auth?" + form.Encode() + "&login_hint=alice").location(t)
		first := b.exchange(page.Query().Get("code"))
		if _, claims := decode(t, first.text(t, "id_token")); claims["exp"].(float64)-claims["iat"].(float64) != 120 || claims["name"] != nil || claims["picture"] != "https://example.test/a.png" || claims["preferred_username"] != nil {
			t.Errorf("ID token %v", claims)
		}
		refresh := first.text(t, "refresh_token")
		for resource, life := range map[string]float64{api: 60, zero: 0, past: -60} {
			a := b.refresh(refresh, "resource", resource)
			_, claims := decode(t, a.text(t, "access_token"))
			if claims["exp"].(float64)-claims["iat"].(float64) != life || a.json(t)["expires_in"] != life || a.text(t, "refresh_token") != refresh {
				t.Errorf("%s: %v, %s", resource, claims, a.body)
			}
		}
		time.Sleep(24*time.Hour + time.Second)
		if a := b.refresh(refresh); a.status != 400 {
			t.Errorf("after a day: %d", a.status)
		}
		// A web application with alwaysIssueRefreshToken needs neither offline_access nor consent.
		code := b.signInAgainAs("web", "scope", "openid", "prompt", "")
		if a := b.exchange(code, "client_id", "web", "client_secret", "s"); a.text(t, "refresh_token") == "" {
			t.Errorf("web: %d %s", a.status, a.body)
		}
		for origin, allowed := range map[string]bool{"http://localhost:5173": true, "https://other.example.test": true, "http://localhost:5174": false, "https://localhost:5173": false, "capacitor://localhost": true, "capacitor://evil": false, "null": false, "https://other.example.test:444": false} {
			a := b.do(b.request("OPTIONS", "/oidc/token", "", "Origin", origin))
			if (a.header.Get("Access-Control-Allow-Origin") == origin) != allowed {
				t.Errorf("%s: %v", origin, a.header)
			}
		}
	})
}

func (b *browser) signInAgainAs(client string, changes ...string) string {
	b.t.Helper()
	form := authorization(append(changes, "client_id", client)...)
	return b.get("/oidc/auth?" + form.Encode()).location(b.t).Query().Get("code")
}

// The organizations resource, which SDKs ask for, gives scopes that are bound to no
// organization; userinfo has what ID tokens leave out.
func TestOrganizationsResource(t *testing.T) {
	_, b := newMemory(t, emulator.Config{Tenant: []byte(settingsTenant)})
	code := b.signIn("alice", "scope", "openid offline_access phone custom_data identities profile urn:logto:scope:organizations manage:members read:things", "resource", "urn:logto:resource:organizations")
	first := b.exchange(code)
	a := b.refresh(first.text(t, "refresh_token"), "resource", "urn:logto:resource:organizations")
	_, claims := decode(t, a.text(t, "access_token"))
	if claims["aud"] != "urn:logto:resource:organizations" || claims["scope"] != "manage:members" || claims["organization_id"] != nil || claims["exp"].(float64)-claims["iat"].(float64) != 3600 {
		t.Errorf("claims %v", claims)
	}
	if _, claims := decode(t, first.text(t, "id_token")); claims["custom_data"] != nil || claims["identities"] != nil || claims["phone_number"] != "49123" || claims["phone_number_verified"] != true || claims["organization_data"] != nil {
		t.Errorf("ID token %v", claims)
	}
	info := b.get("/oidc/me", "Authorization", "Bearer "+first.text(t, "access_token")).body
	for _, want := range []string{`"custom_data":{"plan":"pro"}`, `"identities":{}`, `"organization_data":[{"description":"an organization","id":"o","name":"O"}]`} {
		if !strings.Contains(info, want) {
			t.Errorf("userinfo lacks %s: %s", want, info)
		}
	}
	if again := b.post("/oidc/me", nil, "Authorization", "Bearer "+first.text(t, "access_token")); again.body != info {
		t.Errorf("by POST: %d %s", again.status, again.body)
	}
	// By a form, too (RFC 6750 section 2.2).
	if again := b.post("/oidc/me", map[string][]string{"access_token": {first.text(t, "access_token")}}); again.body != info {
		t.Errorf("by a form: %d %s", again.status, again.body)
	}
}
