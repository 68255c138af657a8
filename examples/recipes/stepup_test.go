package recipes

import (
	"testing"
	"time"

	"github.com/seed-70fe37f4/logto/logtotest"
)

func TestStepUp(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	h, err := stepUp(issuer.Config())
	if err != nil {
		t.Fatal(err)
	}
	const again = `Bearer error="insufficient_user_authentication", error_description="Another sign-in is required", `
	const body = `{"error":"insufficient_user_authentication","error_description":"Another sign-in is required"}`
	with := func(claim string, value any) logtotest.Token {
		return logtotest.Token{User: "alice", Claims: map[string]any{claim: value}}
	}
	ago := func(d time.Duration) int64 { return time.Now().Add(-d).Unix() }
	header := func(challenge string) map[string]string {
		return map[string]string{"WWW-Authenticate": challenge, "Cache-Control": "no-store", "Content-Type": "application/json"}
	}
	expect(t, h, []expectation{
		{"no token", "PUT", "/account", nil, 401, header(realm), ""},
		{"too long ago", "PUT", "/account", bearer(issuer, with("auth_time", ago(time.Hour))), 401, header(again + `max_age="300"`), body},
		{"no auth_time, as Logto's tokens are", "PUT", "/account", bearer(issuer, logtotest.Token{User: "alice"}), 403, header(""), ""},
		{"auth_time in milliseconds", "PUT", "/account", bearer(issuer, with("auth_time", time.Now().UnixMilli())), 403, header(""), ""},
		{"auth_time as text", "PUT", "/account", bearer(issuer, with("auth_time", "yesterday")), 403, header(""), ""},
		{"by a password alone", "DELETE", "/account", bearer(issuer, with("acr", "pwd")), 401, header(again + `acr_values="mfa"`), body},
		{"no acr, as Logto's tokens are", "DELETE", "/account", bearer(issuer, logtotest.Token{User: "alice"}), 403, header(""), ""},
		{"acr as a list", "DELETE", "/account", bearer(issuer, with("acr", []string{"mfa"})), 403, header(""), ""},
		{"just now", "PUT", "/account", bearer(issuer, with("auth_time", ago(time.Minute))), 200, nil, "Hello, alice!"},
		{"by two factors", "DELETE", "/account", bearer(issuer, with("acr", "mfa")), 200, nil, "Hello, alice!"},
		{"a route that wants neither", "GET", "/account", bearer(issuer, with("auth_time", ago(time.Hour))), 200, nil, "Hello, alice!"},
	})
}
