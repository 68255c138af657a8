package recipes

import (
	"net/http"
	"testing"
	"time"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/logtotest"
)

func TestCORS(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	mux := http.NewServeMux()
	mux.Handle("GET /api/hello", logto.Require(newVerifier(t, issuer.Config()))(hello))
	h := withCORS(mux)

	const page = "https://app.example.com"
	from := func(origin string, h http.Header) http.Header {
		if h == nil {
			h = http.Header{}
		}
		h.Set("Origin", origin)
		return h
	}
	preflight := http.Header{"Access-Control-Request-Method": {"GET"}, "Access-Control-Request-Headers": {"authorization"}}
	expired := bearer(issuer, logtotest.Token{ExpiresIn: -time.Hour})
	seen := map[string]string{"Access-Control-Allow-Origin": page, "Access-Control-Expose-Headers": "Www-Authenticate, Retry-After"}
	expect(t, h, []expectation{
		{"preflight of another origin", "OPTIONS", "/api/hello", from("https://other.example.com", preflight.Clone()), 204,
			map[string]string{"Access-Control-Allow-Origin": ""}, ""},
		{"another origin", "GET", "/api/hello", from("https://other.example.com", bearer(issuer, logtotest.Token{User: "alice"})), 200,
			map[string]string{"Access-Control-Allow-Origin": ""}, ""},
		{"a refusal that the page can read", "GET", "/api/hello", from(page, expired), 401, seen, ""},
		{"preflight", "OPTIONS", "/api/hello", from(page, preflight.Clone()), 204,
			map[string]string{"Access-Control-Allow-Origin": page, "Access-Control-Allow-Headers": "authorization", "Access-Control-Allow-Methods": "GET"}, ""},
		{"good", "GET", "/api/hello", from(page, bearer(issuer, logtotest.Token{User: "alice"})), 200, seen, "Hello, alice!"},
	})
}
