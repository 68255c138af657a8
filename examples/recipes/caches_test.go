package recipes

import (
	"net/http"
	"testing"
	"time"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/logtotest"
)

// What a shared cache is told: by the library, and by the handler.
func TestCaches(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	v := newVerifier(t, issuer.Config())
	alice := bearer(issuer, logtotest.Token{User: "alice"})
	expired := bearer(issuer, logtotest.Token{ExpiresIn: -time.Hour})
	told := func(vary, cacheControl string) map[string]string {
		return map[string]string{"Vary": vary, "Cache-Control": cacheControl}
	}
	expect(t, logto.Optional(v)(http.HandlerFunc(feed)), []expectation{
		{"optional, refused", "GET", "/", expired, 401, told("Authorization", "no-store"), ""},
		{"optional, anonymous", "GET", "/", nil, 200, told("Authorization", "public, max-age=60"), "everybody's feed"},
		{"optional, alice", "GET", "/", alice, 200, told("Authorization", "private, no-store"), "the feed of alice"},
	})
	expect(t, logto.Require(v)(hello), []expectation{
		{"required, refused", "GET", "/", expired, 401, told("", "no-store"), ""},
		{"required, alice", "GET", "/", alice, 200, told("", ""), "Hello, alice!"},
	})
	cfg := issuer.Config()
	cfg.TokenFrom = logto.BearerToken
	expect(t, logto.Optional(newVerifier(t, cfg))(http.HandlerFunc(feed)), []expectation{
		{"TokenFrom, anonymous", "GET", "/", nil, 200, told("*", "public, max-age=60"), "everybody's feed"},
	})
}
