package emulator_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/emulator"
	"github.com/seed-70fe37f4/logto/revocation"
)

// revoking is an API with a list that takes the emulator's webhooks in.
func revoking(t *testing.T, in *inbox) (*emulator.Server, *browser, http.Handler) {
	t.Helper()
	list, err := revocation.New(revocation.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	in.next = list.Webhook(signingKey)
	em, b := newHooked(t, in)
	cfg := inMemory(em)
	cfg.Revoked = list.Check
	v, err := logto.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return em, b, logto.Require(v)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
}

// What is taken back, the API refuses from the next request on, if the webhook comes.
func TestTakenBack(t *testing.T) {
	for _, test := range []struct {
		name   string
		fault  *emulator.Fault
		status []int // of the receiver, before it is well
		do     func(*emulator.Server) error
		token  emulator.Token
		want   int
		later  int // after a minute
	}{
		{"nothing", nil, nil, func(*emulator.Server) error { return nil }, emulator.Token{User: "alice"}, 200, 200},
		{"suspended", nil, nil, func(em *emulator.Server) error { return em.Suspend("alice") }, emulator.Token{User: "alice"}, 401, 401},
		{"somebody else", nil, nil, func(em *emulator.Server) error { return em.Suspend("alice") }, emulator.Token{User: "bob"}, 200, 200},
		{"deleted", nil, nil, func(em *emulator.Server) error { return em.DeleteUser("alice") }, emulator.Token{User: "alice"}, 401, 401},
		{"no member any more", nil, nil, func(em *emulator.Server) error { return em.RemoveMember("acme", "alice") }, emulator.Token{User: "alice", Organization: "acme"}, 401, 401},
		{"organization deleted", nil, nil, func(em *emulator.Server) error {
			return em.Control("delete-organization", map[string]string{"organization": "acme"}, nil)
		}, emulator.Token{User: "alice", Organization: "acme"}, 401, 401},
		{"new password", nil, nil, func(em *emulator.Server) error {
			return em.Control("set-password", map[string]string{"user": "alice"}, nil)
		}, emulator.Token{User: "alice"}, 401, 401},
		{"the receiver fails once", nil, []int{500}, func(em *emulator.Server) error { return em.Suspend("alice") }, emulator.Token{User: "alice"}, 200, 401},
		{"and Logto sends once", &emulator.Fault{At: "hooks", Do: "once"}, []int{500}, func(em *emulator.Server) error { return em.Suspend("alice") }, emulator.Token{User: "alice"}, 200, 200},
		{"the webhook is lost", &emulator.Fault{At: "hooks", Do: "lose"}, nil, func(em *emulator.Server) error { return em.Suspend("alice") }, emulator.Token{User: "alice"}, 200, 200},
		{"the receiver hangs", nil, []int{1}, func(em *emulator.Server) error { return em.Suspend("alice") }, emulator.Token{User: "alice"}, 200, 401},
	} {
		synctest.Test(t, func(t *testing.T) {
			in := &inbox{status: test.status}
			em, b, things := revoking(t, in)
			token, err := em.Token(test.token)
			if err != nil {
				t.Fatal(err)
			}
			if status := ask(things, token); status != 200 {
				t.Errorf("%s: before: %d", test.name, status)
			}
			if test.fault != nil {
				if err := em.Fault(*test.fault); err != nil {
					t.Fatal(err)
				}
			}
			start := time.Now()
			if err := test.do(em); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(start); took > 2*time.Second {
				t.Errorf("%s: took %v", test.name, took)
			}
			if status := ask(things, token); status != test.want {
				t.Errorf("%s: at once: %d", test.name, status)
			}
			time.Sleep(time.Minute)
			if status := ask(things, token); status != test.later {
				t.Errorf("%s: later: %d", test.name, status)
			}
			if test.later != 200 || test.name == "nothing" || test.token.User == "bob" {
				return
			}
			// The button sends it again.
			var state struct{ Deliveries []struct{ ID int64 } }
			if err := json.Unmarshal([]byte(b.get("/control/state").body), &state); err != nil {
				t.Fatal(err)
			}
			if err := em.Fault(); err != nil {
				t.Fatal(err)
			}
			b.control("resend", fmt.Sprintf(`{"id":%d}`, state.Deliveries[len(state.Deliveries)-1].ID))
			if status := ask(things, token); status != 401 {
				t.Errorf("%s: sent again: %d", test.name, status)
			}
		})
	}
}
