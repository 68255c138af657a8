package recipes

import (
	"crypto/sha256"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/logtotest"
)

func TestKeyOrToken(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	keys := keyOwners{sha256.Sum256([]byte("k-1")): "billing"}
	h := keyOrToken(keys, newVerifier(t, issuer.Config()), logto.Scopes("read:things"))(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, caller(r.Context()))
	}))
	good := bearer(issuer, logtotest.Token{User: "alice", Scopes: []string{"read:things"}})
	expired := bearer(issuer, logtotest.Token{ExpiresIn: -time.Hour})
	with := func(h http.Header, keys ...string) http.Header {
		h = h.Clone()
		if h == nil {
			h = http.Header{}
		}
		h["X-Api-Key"] = keys
		return h
	}
	challenge := func(text string) map[string]string { return map[string]string{"WWW-Authenticate": text} }
	expect(t, h, []expectation{
		{"neither", "GET", "/", nil, 401, map[string]string{"WWW-Authenticate": realm + `, scope="read:things"`, "Vary": "X-Api-Key"}, ""},
		{"a wrong key", "GET", "/", with(nil, "k-2"), 401, challenge(`Bearer realm="api"`), ""},
		{"an empty key", "GET", "/", with(nil, ""), 401, challenge(`Bearer realm="api"`), ""},
		{"a wrong key beside a good token", "GET", "/", with(good, "k-2"), 400, challenge(""), "send one credential"},
		{"a good key beside a bad token", "GET", "/", with(expired, "k-1"), 400, nil, "send one credential"},
		{"a good key beside a good token", "GET", "/", with(good, "k-1"), 400, nil, "send one credential"},
		{"two keys", "GET", "/", with(nil, "k-1", "k-1"), 400, nil, "send one credential"},
		{"a bad token", "GET", "/", expired, 401, nil, ""},
		{"a token without the scope", "GET", "/", bearer(issuer, logtotest.Token{User: "alice"}), 403, nil, ""},
		{"the key", "GET", "/", with(nil, "k-1"), 200, map[string]string{"Vary": "X-Api-Key"}, "key of billing"},
		{"the token", "GET", "/", good, 200, map[string]string{"Vary": "X-Api-Key"}, "user alice"},
	})
}
