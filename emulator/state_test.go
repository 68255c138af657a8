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
