// How the tests of a service look.
package logto_test

import (
	"net/http/httptest"
	"testing"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/emulator"
	"github.com/seed-70fe37f4/logto/logtotest"
	"github.com/seed-70fe37f4/logto/revocation"
)

func TestHello(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	v, err := logto.New(issuer.Config())
	if err != nil {
		t.Fatal(err)
	}
	r := issuer.Authorize(httptest.NewRequest("GET", "/api/hello", nil), logtotest.Token{User: "alice"})
	w := httptest.NewRecorder()
	logto.Require(v)(hello).ServeHTTP(w, r)
	if w.Code != 200 || w.Body.String() != "Hello, alice!" {
		t.Errorf("status %d, body %s", w.Code, w.Body)
	}
}

// What a suspension does to the service.
func TestSuspended(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	list, err := revocation.New(revocation.Config{})
	if err != nil {
		t.Fatal(err)
	}
	cfg := issuer.Config()
	cfg.Revoked = list.Check
	api := logto.Require(mustNew(cfg))(hello)
	r := httptest.NewRequest("GET", "/api/hello", nil)
	r.Header.Set("Authorization", "Bearer "+issuer.Token(logtotest.Token{User: "alice"}))
	status := func() int {
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		return w.Code
	}

	before := status()
	list.Webhook(issuer.SigningKey()).ServeHTTP(httptest.NewRecorder(), issuer.Suspend("alice"))
	if after := status(); before != 200 || after != 401 {
		t.Errorf("status %d, then %d", before, after)
	}
}

// A handler alone, without the middleware.
func TestHelloAlone(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	ctx := issuer.Context(t.Context(), logtotest.Token{User: "alice"})
	w := httptest.NewRecorder()
	hello(w, httptest.NewRequest("GET", "/", nil).WithContext(ctx))
	if w.Body.String() != "Hello, alice!" {
		t.Errorf("body %s", w.Body)
	}
}

// How a test on the emulator looks: docs/emulator.md.
func TestEmulator(t *testing.T) {
	em := emulator.Start(t) // a port of its own, in memory, until the test ends
	v, err := logto.New(em.Config())
	if err != nil {
		t.Fatal(err)
	}
	token, err := em.Token(emulator.Token{User: "alice", Scopes: []string{"read:things"}})
	if err != nil {
		t.Fatal(err)
	}
	if claims, err := v.Verify(t.Context(), token); err != nil || !claims.HasScope("read:things") {
		t.Errorf("%v, %v", claims, err)
	}

	err = em.Suspend("alice") // Unsuspend, DeleteUser, RemoveMember
	if err != nil {
		t.Fatal(err)
	}
	err = em.Rotate("RS256")
	if err != nil {
		t.Fatal(err)
	}
	err = em.Fault(emulator.Fault{At: "jwks", Do: "hang"})
	if err != nil {
		t.Fatal(err)
	}
	err = em.Control("clock", map[string]int{"seconds": 600}, nil) // any action of the table
	if err != nil {
		t.Fatal(err)
	}
	err = em.Reset()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := em.Token(emulator.Token{User: "alice"}); err != nil {
		t.Error("after the reset: ", err)
	}
}
