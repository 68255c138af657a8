package emulator_test

import (
	"encoding/json"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-70fe37f4/logto/emulator"
)

// What was issued outlives a restart: keys, session, refresh token, code that was used,
// and what was changed at the control page.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "state.json")
		first, b := newMemory(t, emulator.Config{StateFile: file})
		used := b.signIn("alice")
		answer := b.exchange(used)
		unused := b.signInAgain()
		token := mint(t, first)
		page := b.get("/oidc/auth?" + authorization("prompt", "login").Encode()).location(t)
		other := newBrowser(t, first)
		other.post(page.String(), url.Values{"do": {"make"}, "name": {"Dave"}, "role": {"reader"}})
		b.control("suspend", `{"user":"carol"}`)
		b.control("user-roles", `{"user":"bob","roles":["admin"]}`)
		b.control("rotate", `{"staged":true}`)
		if err := first.Fault(emulator.Fault{At: "jwks"}); err != nil {
			t.Fatal(err)
		}
		keys := keyIDs(t, b)
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(file); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("%v, error %v", info, err)
		}

		second, err := emulator.New(emulator.Config{StateFile: file})
		if err != nil {
			t.Fatal(err)
		}
		defer second.Close()
		b.em, b.client.Transport = second, second.Client().Transport
		if got := keyIDs(t, b); got != keys {
			t.Errorf("keys %s, before %s", got, keys)
		}
		if status := ask(newAPI(t, inMemory(second)), token); status != 200 { // the fault is over
			t.Errorf("a token from before: %d", status)
		}
		if code := b.signInAgain(); code == "" {
			t.Error("the browser is signed out")
		}
		if a := b.refresh(answer.text(t, "refresh_token"), "resource", api); a.status != 200 {
			t.Errorf("refresh: %s", a.body)
		}
		if a := b.get("/oidc/me", "Authorization", "Bearer "+answer.text(t, "access_token")); a.status != 200 {
			t.Errorf("userinfo: %s", a.body)
		}
		if a := b.exchange(unused); a.status != 200 {
			t.Errorf("a code from before: %s", a.body)
		}
		if a := b.exchange(used); a.status != 400 {
			t.Errorf("a code that was used: %s", a.body)
		}
		for user, want := range map[string]string{"bob": "read:things write:things", "dave": "read:things"} {
			token, err := second.Token(emulator.Token{User: user, Scopes: []string{"read:things", "write:things"}})
			if err != nil {
				t.Fatal(err)
			}
			if _, claims := decode(t, token); claims["scope"] != want {
				t.Errorf("%s: %v", user, claims)
			}
		}
		if _, err := second.Token(emulator.Token{User: "carol"}); err == nil {
			t.Error("carol isn't suspended")
		}
	})
}

// A change is in the file before it is answered: whoever kills the emulator loses
// nothing. What changes nothing leaves the file alone.
func TestSavedAtOnce(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "state.json")
	_, b := newMemory(t, emulator.Config{StateFile: file})
	refresh := ""
	for _, step := range []struct {
		name  string
		do    func()
		saves bool
	}{
		{"nothing", func() {}, false},
		{"a key set", func() { b.get("/oidc/jwks") }, false},
		{"the control page", func() { b.get("/control/state") }, false},
		{"a machine's token", func() { b.machine("resource", api) }, false},
		{"a sign-in", func() { refresh = b.exchange(b.signIn("alice")).text(t, "refresh_token") }, true},
		{"a refresh", func() { refresh = b.refresh(refresh).text(t, "refresh_token") }, true},
		{"a code that is refused", func() { b.exchange("x") }, false},
		{"a button", func() { b.control("user-roles", `{"user":"bob","roles":["admin"]}`) }, true},
	} {
		long := time.Unix(1e9, 0)
		if err := os.Chtimes(file, long, long); err != nil {
			t.Fatal(err)
		}
		step.do()
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if saves := !info.ModTime().Equal(long); saves != step.saves {
			t.Errorf("%s: saves %v", step.name, saves)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	again := filepath.Join(dir, "again.json")
	if err := os.WriteFile(again, text, 0o600); err != nil {
		t.Fatal(err)
	}
	_, other := newMemory(t, emulator.Config{StateFile: again})
	if a := other.refresh(refresh); a.status != 200 {
		t.Errorf("after a crash: %d %s", a.status, a.body)
	}
}

// A state that can't be written is told, leaves nothing behind, and is written as soon as
// it can be.
func TestUnwritable(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "state.json")
	var log strings.Builder
	em, err := emulator.New(emulator.Config{StateFile: file, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	b := newBrowser(t, em)
	if b.signIn("bob"); log.Len() > 0 {
		t.Errorf("log %s", &log)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(file, "x"), 0o700); err != nil { // in its place
		t.Fatal(err)
	}
	b.signIn("alice", "prompt", "login consent")
	if !strings.Contains(log.String(), "the state can't be written") {
		t.Errorf("log %s", &log)
	}
	if err := em.Close(); err == nil {
		t.Error("closed: no error")
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) != 1 {
		t.Errorf("left are %v, error %v", names, err)
	}
	if err := os.RemoveAll(file); err != nil {
		t.Fatal(err)
	}
	b.get("/oidc/jwks")
	if err := em.Close(); err != nil {
		t.Error(err)
	}
	if text, err := os.ReadFile(file); err != nil || !strings.Contains(string(text), `"user":"alice"`) {
		t.Errorf("state %s, error %v", text, err)
	}
}

// signInAgain is for a browser that is signed in.
func (b *browser) signInAgain() string {
	b.t.Helper()
	return b.get("/oidc/auth?" + authorization().Encode()).location(b.t).Query().Get("code")
}

func keyIDs(t *testing.T, b *browser) string {
	t.Helper()
	var state struct{ Keys json.RawMessage }
	if err := json.Unmarshal([]byte(b.get("/control/state").body), &state); err != nil {
		t.Fatal(err)
	}
	return string(state.Keys)
}

// A state file that isn't the emulator's own is refused: no key comes from outside.
func TestStateRefusals(t *testing.T) {
	dir := t.TempDir()
	good := filepath.Join(dir, "good")
	em, err := emulator.New(emulator.Config{StateFile: good})
	if err != nil {
		t.Fatal(err)
	}
	if err := em.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	// without is the state without a member.
	without := func(names ...string) string {
		var all map[string]any
		if err := json.Unmarshal(text, &all); err != nil {
			t.Fatal(err)
		}
		in := all
		for _, name := range names[:len(names)-1] {
			in = in[name].(map[string]any)
		}
		delete(in, names[len(names)-1])
		b, err := json.Marshal(all)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for _, test := range []struct {
		name, text string
		mode       os.FileMode
		endpoint   string
		want       string
	}{
		{"as it was", string(text), 0o600, "", ""},
		{"for others to read", string(text), 0o644, "", "chmod 600"},
		{"for others to write", string(text), 0o602, "", "chmod 600"},
		{"another emulator's", string(text), 0o600, "http://localhost:4000", "a file of its own"},
		{"no JSON", "x", 0o600, "", "no state"},
		{"nothing", "{}", 0o600, "", "no state"},
		{"without a tenant", without("tenant"), 0o600, "", "no state"},
		{"without keys", without("issued", "keys"), 0o600, "", "no state"},
		{"without what was issued", without("issued"), 0o600, "", "no state"},
		{"without sessions", without("issued", "sessions"), 0o600, "", ""},
		{"empty", "", 0o600, "", "no state"},
		{"more", strings.Replace(string(text), `"issued":{`, `"more":1,"issued":{`, 1), 0o600, "", "no state"},
		{"a null for a session", strings.Replace(string(text), `"sessions":{}`, `"sessions":{"x":null}`, 1), 0o600, "", "sessions has a null"},
		{"a null for a key", strings.Replace(string(text), `"keys":[`, `"keys":[null,`, 1), 0o600, "", "keys has a null"},
		{"more behind it", string(text) + "{}", 0o600, "", "no state"},
		{"no key", strings.Replace(string(text), `"algorithm":"ES384"`, `"algorithm":"HS256"`, 1), 0o600, "", "no state"},
	} {
		file := filepath.Join(dir, "state")
		if err := os.WriteFile(file, []byte(test.text), test.mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, test.mode); err != nil {
			t.Fatal(err)
		}
		if runtime.GOOS == "windows" && test.want == "chmod 600" {
			continue
		}
		em, err := emulator.New(emulator.Config{StateFile: file, Endpoint: test.endpoint})
		if (err == nil) != (test.want == "") || err != nil && (!strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "pkcs8")) {
			t.Errorf("%s: error %v", test.name, err)
		}
		if err == nil {
			if err := em.Close(); err != nil {
				t.Errorf("%s: %v", test.name, err)
			}
		}
	}
	if _, err := emulator.New(emulator.Config{StateFile: filepath.Join(dir, "no", "directory")}); err == nil {
		t.Error("a state that can't be written: no error")
	}
}
