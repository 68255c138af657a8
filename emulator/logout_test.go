package emulator_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/emulator"
	"github.com/seed-70fe37f4/logto/internal/memory"
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
		_, elsewhere := newMemory(t, emulator.Config{})
		foreign := elsewhere.exchange(elsewhere.signIn("alice")).text(t, "id_token")
		for _, test := range []struct {
			name  string
			query url.Values
		}{
			{"not registered", url.Values{"client_id": {"page"}, "post_logout_redirect_uri": {"https://evil.example/"}}},
			{"of nobody", url.Values{"post_logout_redirect_uri": {"http://localhost:5173/"}}},
			{"no such client", url.Values{"client_id": {"x"}}},
			{"a hint of another", url.Values{"client_id": {"web"}, "id_token_hint": {first.text(t, "id_token")}}},
			{"a hint that is no ID token", url.Values{"id_token_hint": {form.Get("logout_token")}}},
			{"a hint in one part", url.Values{"id_token_hint": {"x"}}},
			{"a hint in no base64", url.Values{"id_token_hint": {"!.!.!"}}},
			{"a hint without JSON", url.Values{"id_token_hint": {"AAAA.AAAA.AAAA"}}},
			{"a hint of another Logto", url.Values{"id_token_hint": {foreign}}},
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

// Each application of the session that wants it is told, in the order of their names.
func TestLogoutOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		applications, want := []map[string]any{}, []string{}
		for i := range 12 {
			id := fmt.Sprintf("app%02d", i)
			app := map[string]any{"id": id, "type": "SPA", "redirectUris": []string{callback}}
			if i != 0 && i != 5 {
				app["backchannelLogoutUri"] = "http://" + id + ".test/"
				want = append(want, id)
			}
			applications = append(applications, app)
		}
		description := func(from int) []byte {
			b, err := json.Marshal(map[string]any{"users": []any{map[string]any{"id": "alice"}}, "applications": applications[from:]})
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		in := &inbox{}
		em, b := newMemory(t, emulator.Config{Tenant: description(0), HTTPClient: &http.Client{Transport: memory.Transport{Handler: in}}})
		b.signIn("alice", "client_id", "app03", "resource", "")
		for i := range applications {
			b.signInAgainAs(fmt.Sprintf("app%02d", i), "resource", "")
		}
		if err := em.Control("tenant", json.RawMessage(description(2)), nil); err != nil { // two are gone meanwhile
			t.Fatal(err)
		}
		want = want[1:]
		b.get("/oidc/session/end")
		var state struct {
			Deliveries []struct {
				ID, Attempts int
				To, URL      string
			}
			Tokens []struct {
				Claims struct{ Aud, Sub, Sid string }
			}
		}
		if err := json.Unmarshal([]byte(b.get("/control/state").body), &state); err != nil {
			t.Fatal(err)
		}
		var tokens, deliveries []string
		for i, d := range state.Deliveries {
			deliveries = append(deliveries, d.To)
			if d.URL != "http://"+d.To+".test/" || d.Attempts != 1 || i > 0 && d.ID <= state.Deliveries[i-1].ID {
				t.Errorf("delivery %+v", d)
			}
		}
		sids := map[string]bool{}
		for _, token := range state.Tokens {
			tokens = append(tokens, token.Claims.Aud)
			sids[token.Claims.Sid] = true
		}
		if !slices.Equal(deliveries, want) || !slices.Equal(tokens, want) || len(sids) != len(want) || len(in.bodies) != len(want) {
			t.Errorf("deliveries %q, tokens %q, %d sids, %d received", deliveries, tokens, len(sids), len(in.bodies))
		}
	})
}

// A sign-out ends what the session gave, but for offline_access; other browsers' goes on.
func TestSignOutEnds(t *testing.T) {
	em, b := newMemory(t, emulator.Config{})
	other := newBrowser(t, em)
	tokens := map[string]string{
		"this one":                      b.exchange(b.signIn("alice", "scope", "openid")).text(t, "access_token"),
		"this one with offline_access":  b.exchange(b.signInAgain()).text(t, "access_token"),
		"another":                       other.exchange(other.signIn("alice", "scope", "openid")).text(t, "access_token"),
		"another with offline_access":   other.exchange(other.signInAgain()).text(t, "access_token"),
		"this one, signed in once more": b.exchange(b.signInAgainAs("web", "scope", "openid"), "client_id", "web", "client_secret", "web-secret").text(t, "access_token"),
	}
	b.get("/oidc/session/end")
	for name, token := range tokens {
		want := 200
		if strings.HasPrefix(name, "this one") && !strings.HasSuffix(name, "offline_access") {
			want = 401
		}
		if a := b.get("/oidc/me", "Authorization", "Bearer "+token); a.status != want {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
}
