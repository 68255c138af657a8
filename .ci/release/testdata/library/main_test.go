// A service that uses the library, as its README shows it, with its test.
package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/logtotest"
	"github.com/seed-70fe37f4/logto/revocation"
)

func TestService(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	list, err := revocation.New(revocation.Config{})
	if err != nil {
		t.Fatal(err)
	}
	cfg := issuer.Config()
	cfg.Revoked = list.Check
	v, err := logto.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	hello := logto.Require(v)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, logto.UserID(r.Context()))
	}))
	for token, want := range map[string]string{issuer.Token(logtotest.Token{User: "alice"}): "200 alice", issuer.IDToken("alice"): "401"} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		hello.ServeHTTP(w, r)
		got := fmt.Sprint(w.Code)
		if w.Code == http.StatusOK {
			got += " " + w.Body.String()
		}
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
