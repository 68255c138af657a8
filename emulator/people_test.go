package emulator_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-70fe37f4/logto/emulator"
	"github.com/seed-70fe37f4/logto/internal/memory"
)

// Users have the times that ID tokens and events tell, wherever they come from: what
// the description says, or else when the emulator first saw them.
func TestTimesOfUsers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "logto.json")
		description := func(more string) string {
			return `{"applications":[{"id":"page","type":"SPA","redirectUris":["http://localhost:*/*"]}],"users":[` + more + `]}`
		}
		write := func(more string) {
			if err := os.WriteFile(file, []byte(description(more)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write(`{"id":"new"},{"id":"old","createdAt":1},{"id":"changed","createdAt":1,"updatedAt":2}`)
		_, b := newMemory(t, emulator.Config{File: file})
		start := time.Now()
		for _, step := range []struct {
			name string
			do   func()
			want string // user: created, updated, signed in; times since the start are in hours, others as they are
		}{
			{"as described", func() {}, "new: 0h 0h -, old: 1 1 -, changed: 1 2 -"},
			{"another description", func() { b.control("tenant", description(`{"id":"new"},{"id":"old","createdAt":1}`)) }, "new: 1h 1h -, old: 1 1 -"},
			{"reset", func() { b.control("reset", `{}`) }, "new: 2h 2h -, old: 1 1 -, changed: 1 2 -"},
			{"another file", func() { write(`{"id":"new"},{"id":"old","createdAt":1},{"id":"newer"}`) }, "new: 3h 3h -, old: 1 1 -, newer: 3h 3h -"},
			{"made by a button", func() { b.control("create-user", `{"id":"made"}`) }, "new: 3h 3h -, old: 1 1 -, newer: 3h 3h -, made: 4h 4h -"},
			{"suspended", func() { b.control("suspend", `{"user":"new"}`) }, "new: 3h 5h -, old: 1 1 -, newer: 3h 3h -, made: 4h 4h -"},
			{"a password", func() { b.control("set-password", `{"user":"old"}`) }, "new: 3h 5h -, old: 1 6h -, newer: 3h 3h -, made: 4h 4h -"},
			{"a name", func() { b.control("update-user", `{"user":"newer","name":"x"}`) }, "new: 3h 5h -, old: 1 6h -, newer: 3h 7h -, made: 4h 4h -"},
			{"a sign-in", func() { b.signIn("old", "resource", "") }, "new: 3h 5h -, old: 1 8h 8h, newer: 3h 7h -, made: 4h 4h -"},
		} {
			step.do()
			var state struct {
				Tenant struct {
					Users []struct {
						ID                                 string
						CreatedAt, UpdatedAt, LastSignInAt int64
					}
				}
			}
			if err := json.Unmarshal([]byte(b.get("/control/state").body), &state); err != nil {
				t.Fatal(err)
			}
			told := func(at int64) string {
				switch since := time.UnixMilli(at).Sub(start); {
				case at == 0:
					return "-"
				case since < 0:
					return fmt.Sprint(at)
				default:
					return fmt.Sprintf("%.0fh", since.Hours())
				}
			}
			var got []string
			for _, u := range state.Tenant.Users {
				got = append(got, fmt.Sprintf("%s: %s %s %s", u.ID, told(u.CreatedAt), told(u.UpdatedAt), told(u.LastSignInAt)))
			}
			if got := strings.Join(got, ", "); got != step.want {
				t.Errorf("%s: %s, want %s", step.name, got, step.want)
			}
			time.Sleep(time.Hour)
		}
	})
}

// What a role is given is told in the order of the names, not in one of chance.
func TestOrderOfScopes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := &inbox{}
		resources, scopes, want := []map[string]any{}, map[string][]string{}, []string{}
		for i := range 12 {
			name := fmt.Sprintf("https://%02d.test", i)
			resources = append(resources, map[string]any{"indicator": name, "scopes": []string{"w", "r"}})
			scopes[name] = []string{"w", "r"}
			want = append(want, name+" w", name+" r")
		}
		description, err := json.Marshal(map[string]any{"resources": resources, "roles": []any{map[string]any{"name": "x"}},
			"hooks": []any{map[string]any{"id": "api", "signingKey": signingKey, "config": map[string]any{"url": "http://api.test/"}}}})
		if err != nil {
			t.Fatal(err)
		}
		em, _ := newMemory(t, emulator.Config{Tenant: description, HTTPClient: &http.Client{Transport: memory.Transport{Handler: in}}})
		if err := em.Control("role-scopes", map[string]any{"role": "x", "scopes": scopes}, nil); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		var e struct {
			Data []struct{ ResourceID, Name string }
		}
		if err := json.Unmarshal([]byte(in.bodies[0]), &e); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, scope := range e.Data {
			got = append(got, scope.ResourceID+" "+scope.Name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q", got)
		}
	})
}

// A user's events tell when they signed in last, if they did.
func TestLastSignIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := &inbox{}
		em, b := newHooked(t, in)
		b.signIn("alice")
		at := time.Now().UnixMilli()
		time.Sleep(time.Hour)
		for user, want := range map[string]any{"alice": float64(at), "bob": nil} {
			synctest.Wait()
			in.bodies = nil
			if err := em.Suspend(user); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			var e struct{ Data map[string]any }
			if err := json.Unmarshal([]byte(in.bodies[0]), &e); err != nil {
				t.Fatal(err)
			}
			if got, ok := e.Data["lastSignInAt"]; !ok || got != want {
				t.Errorf("%s: %v, want %v", user, got, want)
			}
		}
	})
}

// What is deleted or removed is gone, and all else is where it was.
func TestDeletions(t *testing.T) {
	_, b := newMemory(t, emulator.Config{})
	for _, test := range []struct{ action, args, want string }{
		{"delete-user", `{"user":"bob"}`, "users: alice carol, acme: alice carol machine, umbrella: carol"},
		{"remove-member", `{"organization":"acme","application":"machine"}`, "users: alice carol, acme: alice carol, umbrella: carol"},
		{"add-member", `{"organization":"umbrella","application":"machine"}`, "users: alice carol, acme: alice carol, umbrella: carol machine"},
		{"remove-member", `{"organization":"acme","user":"carol"}`, "users: alice carol, acme: alice, umbrella: carol machine"},
		{"add-member", `{"organization":"acme","user":"carol"}`, "users: alice carol, acme: alice carol, umbrella: carol machine"},
		{"delete-user", `{"user":"alice"}`, "users: carol, acme: carol, umbrella: carol machine"},
		{"create-organization", `{"id":"third"}`, "users: carol, acme: carol, umbrella: carol machine, third:"},
		{"delete-organization", `{"organization":"umbrella"}`, "users: carol, acme: carol, third:"},
		{"delete-user", `{"user":"carol"}`, "users:, acme:, third:"},
	} {
		b.control(test.action, test.args)
		type named struct{ ID string }
		var state struct {
			Tenant struct {
				Users         []named
				Organizations []struct {
					ID                  string
					Users, Applications []named
				}
			}
		}
		if err := json.Unmarshal([]byte(b.get("/control/state").body), &state); err != nil {
			t.Fatal(err)
		}
		got := "users:"
		for _, u := range state.Tenant.Users {
			got += " " + u.ID
		}
		for _, o := range state.Tenant.Organizations {
			got += ", " + o.ID + ":"
			for _, m := range append(o.Users, o.Applications...) {
				got += " " + m.ID
			}
		}
		if got != test.want {
			t.Errorf("%s %s: %s, want %s", test.action, test.args, got, test.want)
		}
	}
}

// An edit tells what the user is now; one of custom data alone tells only these.
func TestUpdateUser(t *testing.T) {
	for _, test := range []struct{ args, route, want string }{
		{`"username":"x"`, "/users/:userId", `"username":"x"`},
		{`"name":"x"`, "/users/:userId", `"name":"x"`},
		{`"primaryEmail":"x@example.test"`, "/users/:userId", `"primaryEmail":"x@example.test"`},
		{`"primaryPhone":"49"`, "/users/:userId", `"primaryPhone":"49"`},
		{`"avatar":"x"`, "/users/:userId", `"avatar":"x"`},
		{`"avatar":""`, "/users/:userId", `"avatar":null`},
		{`"customData":{"x":1},"name":"x"`, "/users/:userId", `"customData":{"x":1}`},
		{`"customData":{"x":1}`, "/users/:userId/custom-data", `"data":{"x":1}`},
		{`"customData":{}`, "/users/:userId/custom-data", `"data":{}`},
	} {
		synctest.Test(t, func(t *testing.T) {
			in := &inbox{}
			_, b := newHooked(t, in)
			b.control("update-user", `{"user":"alice",`+test.args+`}`)
			synctest.Wait()
			if body := in.bodies[0]; !strings.Contains(body, `"matchedRoute":"`+test.route+`"`) || !strings.Contains(body, test.want) {
				t.Errorf("%s: %s", test.args, body)
			}
		})
	}
}
