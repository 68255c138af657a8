package emulator_test

import (
	"encoding/json"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed-70fe37f4/logto/emulator"
)

// The file is taken when it changes, one that makes no sense is not; users of the
// sign-in page stay, and so do sign-ins.
func TestReread(t *testing.T) {
	dir := t.TempDir()
	file, state := filepath.Join(dir, "logto.json"), filepath.Join(dir, "state.json")
	changes := 0
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		changes++
		at := time.Now().Add(time.Duration(changes) * time.Second)
		if err := os.Chtimes(file, at, at); err != nil {
			t.Fatal(err)
		}
	}
	write(string(emulator.Example()))
	em, b := newMemory(t, emulator.Config{File: file, StateFile: state})
	refresh := b.exchange(b.signIn("alice")).text(t, "refresh_token")
	page := b.get("/oidc/auth?" + authorization("prompt", "login").Encode()).location(t)
	newBrowser(t, em).post(page.String(), url.Values{"do": {"make"}, "name": {"Dave"}, "role": {"reader", "admin"}})
	scope := func(user string) any {
		token, err := em.Token(emulator.Token{User: user, Scopes: []string{"read:things", "write:things"}})
		if err != nil {
			return err.Error()
		}
		_, claims := decode(t, token)
		return claims["scope"]
	}
	for _, step := range []struct {
		name, text     string
		problem        bool
		alice, dave    any
		refreshOfAlice int
	}{
		{"as it is", string(emulator.Example()), false, "read:things", "read:things write:things", 200},
		{"no JSON", "{\n\n  x", true, "read:things", "read:things write:things", 200},
		{"an unknown member", `{"applicationz": []}`, true, "read:things", "read:things write:things", 200},
		{"alice is an admin", strings.Replace(string(emulator.Example()), `"roles": ["reader"]`, `"roles": ["admin"]`, 1), false, "read:things write:things", "read:things write:things", 200},
		{"no admins", strings.NewReplacer(`"name": "admin"`, `"name": "boss"`, `"roles": ["admin"]`, `"roles": ["boss"]`).Replace(string(emulator.Example())), false, "read:things", "read:things", 200},
		{"alice is suspended", strings.Replace(string(emulator.Example()), `"id": "alice",
      "username"`, `"id": "alice", "isSuspended": true, "username"`, 1), false, "emulator: token: invalid_grant: grant request is invalid: the user is suspended", "read:things", 400},
		{"gone", "", true, "emulator: token: invalid_grant: grant request is invalid: the user is suspended", "read:things", 400},
	} {
		if step.name == "gone" {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		} else {
			write(step.text)
		}
		if alice, dave := scope("alice"), scope("dave"); alice != step.alice || dave != step.dave {
			t.Errorf("%s: alice %v, dave %v", step.name, alice, dave)
		}
		a := b.refresh(refresh)
		if a.status != step.refreshOfAlice {
			t.Errorf("%s: refresh %d %s", step.name, a.status, a.body)
		}
		if a.status == 200 {
			refresh = a.text(t, "refresh_token")
		}
		if problem := b.get("/control/state").json(t)["problem"]; (problem != nil) != step.problem {
			t.Errorf("%s: problem %v", step.name, problem)
		}
	}
	// A file that is only written anew changes nothing.
	write(string(emulator.Example()))
	b.get("/control/state")
	b.control("suspend", `{"user":"alice"}`)
	write(string(emulator.Example()))
	if alice := scope("alice"); alice != "emulator: token: invalid_grant: grant request is invalid: the user is suspended" {
		t.Errorf("written anew: %v", alice)
	}
	// Suspended by the file while it was off: what was issued is gone.
	if err := em.Close(); err != nil {
		t.Fatal(err)
	}
	write(string(emulator.Example()) + " ")
	em, b = newMemory(t, emulator.Config{File: file, StateFile: state})
	refresh = b.exchange(b.signIn("bob")).text(t, "refresh_token")
	if err := em.Close(); err != nil {
		t.Fatal(err)
	}
	write(strings.Replace(string(emulator.Example()), `"username": "bob"`, `"isSuspended": true, "username": "bob"`, 1))
	em, b = newMemory(t, emulator.Config{File: file, StateFile: state})
	if a := b.refresh(refresh); a.status != 400 {
		t.Errorf("suspended by the file: %d %s", a.status, a.body)
	}
	// Changed while it was off: the file wins, the user of the sign-in page stays.
	b.control("user-roles", `{"user":"bob","roles":["reader"]}`)
	if err := em.Close(); err != nil {
		t.Fatal(err)
	}
	write(strings.Replace(string(emulator.Example()), "Bob Nothing", "Bobby", 1))
	em, _ = newMemory(t, emulator.Config{File: file, StateFile: state})
	if bob, dave := scope("bob"), scope("dave"); bob != "" || dave != "read:things" {
		t.Errorf("after a restart: bob %q, dave %v", bob, dave)
	}
}

// A reset that can't read the file changes nothing.
func TestResetWithoutFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "logto.json")
	if err := os.WriteFile(file, emulator.Example(), 0o600); err != nil {
		t.Fatal(err)
	}
	em, b := newMemory(t, emulator.Config{File: file})
	refresh := b.exchange(b.signIn("alice")).text(t, "refresh_token")
	for _, spoil := range []func() error{func() error { return os.WriteFile(file, []byte("x"), 0o600) }, func() error { return os.Remove(file) }} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		if err := em.Reset(); err == nil {
			t.Error("no error")
		}
	}
	if a := b.refresh(refresh); a.status != 200 {
		t.Errorf("refresh: %d %s", a.status, a.body)
	}
}

// A file has changed if its time has, or its size: tools set either back.
func TestRereadOf(t *testing.T) {
	file := filepath.Join(t.TempDir(), "logto.json")
	at := time.Now()
	var b *browser
	var log strings.Builder
	for _, step := range []struct {
		name, user string
		later      time.Duration
		want       string
		log        string // message of the only line, "" for none
	}{
		{"at first", "a", 0, "a", ""},
		{"as long, and later", "b", time.Second, "b", "the file has changed, and is taken"},
		{"as long, and earlier", "c", -time.Second, "c", "the file has changed, and is taken"},
		{"longer, at the same time", "dd", 0, "dd", "the file has changed, and is taken"},
		{"nothing of it", "ee", 0, "dd", ""},
		{"no sense", "\x01", time.Second, "dd", "the file is not taken"},
		{"no sense again", "\x01", time.Second, "dd", ""}, // that was told
		{"no sense in another way", `","id":"`, time.Second, "dd", "the file is not taken"},
		{"sense again", "f", time.Second, "f", "the file has changed, and is taken"},
		{"no sense, and shorter", "", time.Second, "f", "the file is not taken"},
		{"as it was", "f", -time.Second, "f", ""},
	} {
		log.Reset()
		if err := os.WriteFile(file, []byte(`{"users":[{"id":"`+step.user+`"}]}`), 0o600); err != nil {
			t.Fatal(err)
		}
		at = at.Add(step.later)
		if err := os.Chtimes(file, at, at); err != nil {
			t.Fatal(err)
		}
		if b == nil {
			_, b = newMemory(t, emulator.Config{File: file, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		}
		b.get("/oidc/jwks")
		if a := b.get("/control/state"); !strings.Contains(a.body, `"users":[{"id":"`+step.want+`"`) {
			t.Errorf("%s: %s", step.name, a.body)
		}
		if problem := b.get("/control/state").json(t)["problem"]; (problem != nil) != strings.HasPrefix(step.name, "no sense") {
			t.Errorf("%s: problem %v", step.name, problem)
		}
		if lines := strings.Count(log.String(), "\n"); !strings.Contains(log.String(), step.log) || (lines == 1) != (step.log != "") || lines > 1 {
			t.Errorf("%s: log %s", step.name, &log)
		}
	}
}

// Who is made at the sign-in page gets names that nobody has, and gives way to the file.
func TestNamesOfMadeUsers(t *testing.T) {
	dir := t.TempDir()
	file, state := filepath.Join(dir, "logto.json"), filepath.Join(dir, "state.json")
	write := func(users string) {
		t.Helper()
		text := `{"applications":[{"id":"page","type":"SPA","redirectUris":["http://localhost:*/*"]}],"users":[` + users + `]}`
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	users := func(b *browser) string {
		var state struct {
			Problem string
			Tenant  struct{ Users []struct{ ID, Name string } }
		}
		if err := json.Unmarshal([]byte(b.get("/control/state").body), &state); err != nil {
			t.Fatal(err)
		}
		names := state.Problem
		for _, u := range state.Tenant.Users {
			names += u.ID + "=" + u.Name + " "
		}
		return names
	}
	write(`{"id":"1","username":"zoe"},{"id":"2","primaryEmail":"zoe2@example.test"}`)
	em, b := newMemory(t, emulator.Config{File: file, StateFile: state})
	page := b.get("/oidc/auth?" + authorization("resource", "").Encode()).location(t)
	for range 2 {
		b.post(page.String(), url.Values{"do": {"make"}, "name": {"Zoe"}}).location(t)
	}
	if got := users(b); got != "1= 2= zoe3=Zoe zoe4=Zoe " {
		t.Errorf("users %s", got)
	}
	write(`{"id":"1","username":"zoe3"}`)
	if got := users(b); got != "1= zoe4=Zoe " {
		t.Errorf("users %s", got)
	}
	if err := em.Close(); err != nil {
		t.Fatal(err)
	}
	_, b = newMemory(t, emulator.Config{File: file, StateFile: state})
	if got := users(b); got != "1= zoe4=Zoe " {
		t.Errorf("users after a restart %s", got)
	}
}
