package emulator_test

import (
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/revocation"
)

// Sign-out: the browser goes where it may, and applications are told.
func TestEndSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := &inbox{}
		list, err := revocation.New(revocation.Config{Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		em, b := newHooked(t, in)
		v, err := logto.New(inMemory(em))
		if err != nil {
			t.Fatal(err)
		}
		logout := list.Logout(v, nil, "page")
		in.next = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/logout" {
				logout.ServeHTTP(w, r)
			}
		})
		first := b.exchange(b.signIn("alice"))
		_, id := decode(t, first.text(t, "id_token"))
		to := b.get("/oidc/session/end?" + url.Values{"client_id": {"page"}, "post_logout_redirect_uri": {"http://localhost:5173/"}, "state": {"s"}}.Encode()).location(t)
		if to.String() != "http://localhost:5173/?state=s" {
			t.Errorf("to %v", to)
		}
		synctest.Wait()
		i := slices.IndexFunc(in.bodies, func(body string) bool { return strings.HasPrefix(body, "logout_token=") })
		if i < 0 {
			t.Fatalf("no logout token in %v", in.bodies)
		}
		form, err := url.ParseQuery(in.bodies[i])
		if err != nil {
			t.Fatal(err)
		}
		header, claims := decode(t, form.Get("logout_token"))
		if header["typ"] != "logout+jwt" || claims["sub"] != "alice" || claims["aud"] != "page" || claims["sid"] != id["sid"] || id["sid"] == nil || claims["exp"].(float64)-claims["iat"].(float64) != 120 {
			t.Errorf("logout token %v %v, ID token %v", header, claims, id)
		}
		if !strings.Contains(b.get("/control/state").body, `"event":"back-channel logout","to":"page","url":"http://api.test/logout","attempts":1,"status":200`) {
			t.Error("the control page doesn't show it delivered")
		}
		// With offline_access the refresh token goes on working, as in Logto; the browser is out.
		if a := b.refresh(first.text(t, "refresh_token")); a.status != 200 {
			t.Errorf("refresh: %d %s", a.status, a.body)
		}
		if page := b.get("/oidc/auth?" + authorization().Encode()).location(t); !strings.HasSuffix(page.Path, "/sign-in") {
			t.Errorf("to %v", page)
		}
		for _, test := range []struct {
			name  string
			query url.Values
		}{
			{"not registered", url.Values{"client_id": {"page"}, "post_logout_redirect_uri": {"https://evil.example/"}}},
			{"of nobody", url.Values{"post_logout_redirect_uri": {"http://localhost:5173/"}}},
			{"no such client", url.Values{"client_id": {"x"}}},
			{"a hint of another", url.Values{"client_id": {"web"}, "id_token_hint": {first.text(t, "id_token")}}},
			{"a hint that is no ID token", url.Values{"id_token_hint": {form.Get("logout_token")}}},
			{"a forged hint", url.Values{"id_token_hint": {first.text(t, "id_token")[:len(first.text(t, "id_token"))-8] + "AAAAAAAA"}}},
		} {
			if a := b.get("/oidc/session/end?" + test.query.Encode()); a.status != 400 {
				t.Errorf("%s: %d %v", test.name, a.status, a.header)
			}
		}
		hint := url.Values{"id_token_hint": {first.text(t, "id_token")}, "post_logout_redirect_uri": {"http://localhost:5173/out"}}
		if to := b.get("/oidc/session/end?" + hint.Encode()).location(t); to.String() != "http://localhost:5173/out" {
			t.Errorf("by hint to %v", to)
		}
		// A receiver that hangs delays the user's sign-out by 2.5 s.
		b.signIn("alice")
		synctest.Wait()
		in.status = []int{1}
		start := time.Now()
		b.get("/oidc/session/end")
		if took := time.Since(start); took != 2500*time.Millisecond {
			t.Errorf("took %v", took)
		}
	})
}
