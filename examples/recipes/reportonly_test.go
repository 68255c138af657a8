package recipes

import (
	"net/http"
	"testing"
	"time"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/logtotest"
)

func TestTrying(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	h := trying(newVerifier(t, issuer.Config()), hello)
	var reasons []string
	expect(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, last := logto.Watch(r.Context())
		h.ServeHTTP(w, r.WithContext(ctx))
		reasons = append(reasons, last().Reason)
	}), []expectation{
		{"no token", "GET", "/", nil, 200, nil, "Hello, !"},
		{"expired", "GET", "/", bearer(issuer, logtotest.Token{User: "alice", ExpiresIn: -time.Hour}), 200, nil, "Hello, !"},
		{"good", "GET", "/", bearer(issuer, logtotest.Token{User: "alice"}), 200, nil, "Hello, alice!"},
	})
	if len(reasons) != 3 || reasons[0] != "no_token" || reasons[1] != "expired" || reasons[2] != "" {
		t.Errorf("reasons %q", reasons)
	}
}
