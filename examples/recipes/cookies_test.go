package recipes

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/seed-70fe37f4/logto/logtotest"
)

func TestCookies(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	h, err := cookies(issuer.Config())
	if err != nil {
		t.Fatal(err)
	}
	alice := issuer.Token(logtotest.Token{User: "alice"})
	bob := issuer.Token(logtotest.Token{User: "bob"})
	expired := issuer.Token(logtotest.Token{ExpiresIn: -time.Hour})
	send := func(cookie string, more ...string) http.Header {
		h := http.Header{"Cookie": {"__Host-access_token=" + cookie}}
		for i := 0; i < len(more); i += 2 {
			h.Add(more[i], more[i+1])
		}
		return h
	}
	const other = "https://other.example.com"
	vary := map[string]string{"Vary": "*"}
	expect(t, h, []expectation{
		{"nothing", "GET", "/api/hello", nil, 401, map[string]string{"WWW-Authenticate": realm, "Vary": "*"}, ""},
		{"another cookie", "GET", "/api/hello", http.Header{"Cookie": {"access_token=" + alice}}, 401, vary, ""},
		{"an empty cookie", "GET", "/api/hello", send(""), 401, map[string]string{"WWW-Authenticate": realm}, ""},
		{"expired", "GET", "/api/hello", send(expired), 401, vary, ""},
		{"another site, by Sec-Fetch-Site", "POST", "/api/hello", send(alice, "Sec-Fetch-Site", "cross-site"), 403, nil, ""},
		{"another site, by Origin", "POST", "/api/hello", send(alice, "Origin", other), 403, nil, ""},
		{"a bad header beside a good cookie", "GET", "/api/hello", send(alice, "Authorization", "Bearer "+expired), 401, vary, ""},
		{"a malformed header beside a good cookie", "GET", "/api/hello", send(alice, "Authorization", "Bearer"), 400, vary, ""},
		{"the cookie", "POST", "/api/hello", send(alice, "Sec-Fetch-Site", "same-origin"), 200, vary, "Hello, alice!"},
		{"the header", "POST", "/api/hello", bearer(issuer, logtotest.Token{User: "bob"}), 200, vary, "Hello, bob!"},
		{"both: the header counts", "GET", "/api/hello", send(alice, "Authorization", "Bearer "+bob), 200, vary, "Hello, bob!"},
		// That is why a GET must change nothing.
		{"a GET of another site", "GET", "/api/hello", send(alice, "Sec-Fetch-Site", "cross-site"), 200, vary, "Hello, alice!"},
	})
}

func TestSetCookie(t *testing.T) {
	w := httptest.NewRecorder()
	setCookie(w, "a.b.c", time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
	const want = "__Host-access_token=a.b.c; Path=/; Expires=Tue, 01 Jan 2030 00:00:00 GMT; HttpOnly; Secure; SameSite=Lax"
	if got := w.Header().Get("Set-Cookie"); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}
