package recipes

import (
	"net/http/httptest"
	"testing"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/emulator"
)

func TestThings(t *testing.T) {
	em := emulator.Start(t)
	v, err := logto.New(em.Config())
	if err != nil {
		t.Fatal(err)
	}
	api := logto.Require(v, logto.Scopes("read:things"))(hello)
	status := func(user string) int {
		token, err := em.Token(emulator.Token{User: user, Scopes: []string{"read:things"}})
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest("GET", "/api/things", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		return w.Code
	}

	if got := status("bob"); got != 403 { // no role of his has the scope
		t.Errorf("bob: got %d", got)
	}
	if got := status("alice"); got != 200 {
		t.Errorf("alice: got %d", got)
	}
	if err := em.Rotate("RS256"); err != nil {
		t.Fatal(err)
	}
	if got := status("alice"); got != 200 {
		t.Errorf("alice, after a rotation: got %d", got)
	}
}
