package main

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/seed-70fe37f4/logto/emulator"
)

// inMemory is a client's network that reaches one handler.
type inMemory struct{ handler http.Handler }

func (m *inMemory) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	m.handler.ServeHTTP(w, r)
	return w.Result(), nil
}

// The users of logto.json get the answers that the README promises.
func TestEmulator(t *testing.T) {
	network := &inMemory{}
	em, err := emulator.New(emulator.Config{File: "logto.json", HTTPClient: &http.Client{Transport: network}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = em.Close() }()
	cfg := em.Config()
	cfg.HTTPClient, cfg.Logger = em.Client(), slog.New(slog.DiscardHandler)
	server, err := newServer(t.Context(), cfg, func(name string) string {
		return map[string]string{"LOGTO_SIGNING_KEY": "of-the-emulator-only"}[name]
	}, isAdmin)
	if err != nil {
		t.Fatal(err)
	}
	network.handler = server.Handler

	all := []string{"read:things", "read:reports", "read:orders", "sync", "erase:account", "admin"}
	token := func(user, organization string) string {
		application := "page"
		if user == "" {
			application = "machine"
		}
		token, err := em.Token(emulator.Token{User: user, Application: application, Organization: organization, Scopes: all})
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	tokens := map[string]string{"": "", "alice": token("alice", ""), "bob": token("bob", ""), "carol": token("carol", ""), "machine": token("", ""),
		"alice in acme": token("alice", "acme"), "bob in acme": token("bob", "acme"), "carol in umbrella": token("carol", "umbrella")}
	send := func(method, path, token string) int {
		r := httptest.NewRequest(method, path, nil)
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		w := httptest.NewRecorder()
		server.Handler.ServeHTTP(w, r)
		return w.Code
	}
	for _, test := range []struct {
		method, path string
		status       map[string]int
	}{
		{"GET", "/feed", map[string]int{"": 200, "alice": 200, "bob": 200, "carol": 200, "machine": 200}},
		{"GET", "/account/profile", map[string]int{"": 401, "alice": 200, "bob": 200, "carol": 200, "machine": 403}},
		{"POST", "/account/erase", map[string]int{"": 401, "alice": 403, "bob": 403, "carol": 200, "machine": 403}},
		{"GET", "/things", map[string]int{"": 401, "alice": 200, "bob": 403, "carol": 200, "machine": 403}},
		{"GET", "/reports", map[string]int{"": 401, "alice": 403, "bob": 403, "carol": 200, "machine": 200}},
		{"GET", "/organizations/acme/orders", map[string]int{"": 401, "alice": 403, "bob": 403, "carol": 403, "machine": 403,
			"alice in acme": 200, "bob in acme": 403, "carol in umbrella": 403}},
		{"POST", "/sync", map[string]int{"": 401, "alice": 403, "bob": 403, "carol": 403, "machine": 200}},
		{"GET", "/export", map[string]int{"": 401, "alice": 200, "bob": 403, "carol": 403, "machine": 403}},
		{"GET", "/admin/users", map[string]int{"": 401, "alice": 403, "bob": 403, "carol": 200, "machine": 403}},
	} {
		for who, want := range test.status {
			if got := send(test.method, test.path, tokens[who]); got != want {
				t.Errorf("%s %s of %q: status %d, want %d", test.method, test.path, who, got, want)
			}
		}
	}

	if err := em.Suspend("alice"); err != nil {
		t.Fatal(err)
	}
	for who, want := range map[string]int{"alice": 401, "alice in acme": 401, "bob": 200} {
		if got := send("GET", "/account/profile", tokens[who]); got != want {
			t.Errorf("alice is suspended, %q: status %d, want %d", who, got, want)
		}
	}
}
