package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/seed-70fe37f4/logto/emulator"
)

// emulated runs the command until the test ends, and gives what it printed up to the
// ready line, by name.
func emulated(t *testing.T, args ...string) map[string]string {
	t.Helper()
	stdin, hangUp := io.Pipe()
	out, stdout := io.Pipe()
	var errs bytes.Buffer
	done := make(chan int, 1)
	go func() {
		done <- run(append([]string{"emulate", "-exit-with-stdin", "-listen", "127.0.0.1:0"}, args...), stdin, stdout, &errs)
		_ = stdout.Close()
	}()
	t.Cleanup(func() {
		_ = hangUp.Close()
		go func() { _, _ = io.Copy(io.Discard, out) }()
		if code := <-done; code != 0 {
			t.Errorf("exit status %d, %s", code, errs.String())
		}
	})
	values := map[string]string{}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		values["all"] += lines.Text() + "\n"
		if name, value, ok := strings.Cut(lines.Text(), "="); ok && strings.HasPrefix(name, "LOGTO_") {
			values[name] = value
		}
		if endpoint, ok := strings.CutPrefix(lines.Text(), "ready "); ok {
			values["ready"] = endpoint
			return values
		}
	}
	t.Fatalf("it ended: %d, %s", <-done, errs.String())
	return nil
}

func TestEmulateUsage(t *testing.T) {
	dir := t.TempDir()
	broken := filepath.Join(dir, "broken.json")
	if err := os.WriteFile(broken, []byte(`{"user": []}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"an argument", []string{"x"}, 2, "flags only"},
		{"an unknown flag", []string{"-nope"}, 2, "not defined: -nope"},
		{"every address", []string{"-listen", "0.0.0.0:0"}, 2, "-insecure-host"},
		{"every address, shortly", []string{"-listen", ":0"}, 2, "-insecure-host"},
		{"a name", []string{"-listen", "example.com:0"}, 2, "-insecure-host"},
		{"no port", []string{"-listen", "127.0.0.1"}, 2, "host:port"},
		{"another host's endpoint", []string{"-listen", "127.0.0.1:0", "-endpoint", "https://login.example.com"}, 1, "not loopback"},
		{"no endpoint", []string{"-listen", "127.0.0.1:0", "-endpoint", "localhost:3001"}, 1, "no address"},
		{"no file", []string{"-listen", "127.0.0.1:0", "-config", filepath.Join(dir, "nothing")}, 1, "nothing"},
		{"a file with an unknown member", []string{"-listen", "127.0.0.1:0", "-config", broken}, 1, `broken.json: unknown member "user"`},
		{"a file that is there", []string{"-init", "-config", broken}, 1, "is there already"},
	} {
		var out, errs bytes.Buffer
		if code := run(append([]string{"emulate"}, tt.args...), strings.NewReader(""), &out, &errs); code != tt.code || !strings.Contains(errs.String(), tt.want) || out.Len() > 0 {
			t.Errorf("%s: %d, %q, %q", tt.name, code, out.String(), errs.String())
		}
	}
	for _, args := range []string{"", "-listen localhost:0", "-listen [::1]:0", "-listen 0.0.0.0:0 -insecure-host api", "-listen :0 -insecure-host api -insecure-host db"} {
		if e, err := parseEmulate(strings.Fields(args)); err != nil || len(e.hosts) != strings.Count(args, "-host") {
			t.Errorf("%s: %v", args, err)
		}
	}
	for _, help := range []string{"-h", "--help"} {
		var out, errs bytes.Buffer
		if code := run([]string{"emulate", help}, nil, &out, &errs); code != 0 || out.String() != emulateUsage {
			t.Errorf("%s: %d, %q", help, code, errs.String())
		}
	}
	// A name is where the network says that it is.
	for bound, ok := range map[string]bool{"127.0.0.1": true, "127.0.0.2": true, "::1": true, "::ffff:127.0.0.1": true, "192.0.2.1": false, "0.0.0.0": false, "::": false} {
		addr := &net.TCPAddr{IP: net.ParseIP(bound), Port: 3001}
		if err := (&emulating{listen: "login.localhost:3001"}).checkBound(addr); (err == nil) != ok {
			t.Errorf("%s: %v", bound, err)
		}
		if err := (&emulating{hosts: list{"api"}}).checkBound(addr); err != nil {
			t.Errorf("%s, insecurely: %v", bound, err)
		}
	}
	// The flags that exist are those of the usage text.
	flags := regexp.MustCompile(`(?m)^  -([a-z-]+)`).FindAllStringSubmatch(emulateUsage, -1)
	if len(flags) != 7 {
		t.Errorf("%d flags", len(flags))
	}
	for _, flag := range flags {
		if _, err := parseEmulate([]string{"-" + flag[1]}); err != nil && strings.Contains(err.Error(), "not defined") {
			t.Errorf("-%s: %v", flag[1], err)
		}
	}
}

// What is printed is what an API needs, explain takes the token that the printed
// command gets, and doctor finds nothing wrong.
func TestEmulate(t *testing.T) {
	values := emulated(t)
	endpoint := values["ready"]
	if endpoint == "" || values["LOGTO_ENDPOINT"] != endpoint || values["LOGTO_ISSUER"] != endpoint+"/oidc" || values["LOGTO_JWKS_URI"] != endpoint+"/oidc/jwks" ||
		values["LOGTO_AUDIENCE"] != api || values["LOGTO_CLIENT_ID"] != "page" || !strings.Contains(values["all"], "# control page: "+endpoint+"/control\n") || !strings.Contains(values["all"], "-u machine:machine-secret -d grant_type=client_credentials -d resource=https%3A%2F%2Fapi.example.test -d scope=read%3Athings+write%3Athings+read%3Areports\n") {
		t.Errorf("printed\n%s", values["all"])
	}
	res, err := http.PostForm(endpoint+"/oidc/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {"machine"}, "client_secret": {"machine-secret"},
		"resource": {api}, "scope": {"read:things"}})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	tool(t, answer.AccessToken, "explain", "-endpoint", endpoint, "-audience", api, "-scope", "read:things").want(t, 0, "Accepted")
	tool(t, "", "doctor", "-endpoint", endpoint, "-audience", api).want(t, 0, "this is logto emulate, and no Logto")

	// By mistake: elsewhere, without /emulator, or its keys for those of another.
	other := strings.TrimSuffix(endpoint, emulator.Mark)
	tool(t, answer.AccessToken, "explain", "-endpoint", other, "-audience", api).want(t, 1, "the token is from logto emulate, where anybody can be anybody")
	tool(t, "", "doctor", "-endpoint", other, "-audience", api).want(t, 1, "this is logto emulate, whose endpoint ends in /emulator: it is '"+endpoint+"'", `"`+endpoint+`"`)
	tool(t, "", "doctor", "-issuer", other+"/oidc", "-jwks-url", endpoint+"/oidc/jwks", "-audience", api).want(t, 1, "one of them is logto emulate")
}

// What is printed of a description with odd names is safe to paste, and one with nothing
// in it is told as such.
func TestEmulateGreeting(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct {
		name, text  string
		want, never []string
		flags       []string
	}{
		{"several", `{"resources":[{"indicator":"urn:a"},{"indicator":"urn:b"}],"applications":[{"id":"m1","type":"MachineToMachine","secret":"s"},{"id":"p1","type":"SPA"},{"id":"p2","type":"SPA"},{"id":"m2","type":"MachineToMachine","secret":"s"}]}`,
			[]string{"LOGTO_AUDIENCE=urn:a\n", "LOGTO_CLIENT_ID=p1\n", "-u m1:s -d grant_type=client_credentials -d resource=urn%3Aa\n"}, []string{"urn:b", "p2", "m2", "scope", "insecure"}, nil},
		{"a machine for nothing", `{"applications":[{"id":"m","type":"MachineToMachine","secret":"s"}]}`, nil, []string{"curl"}, nil},
		{"insecure", `{}`, []string{"# -insecure-host: it listens on 127.0.0.1:"}, nil, []string{"-insecure-host", "api"}},
		{"nothing", `{}`, []string{"LOGTO_ENDPOINT="}, []string{"LOGTO_AUDIENCE", "LOGTO_CLIENT_ID", "curl"}, nil},
		{"odd", `{"resources":[{"indicator":"urn:x'$(id)"}],"applications":[{"id":"m'; id; '","type":"MachineToMachine","secret":"\u001b[31m$(id)` + "`id`" + `"}]}`,
			[]string{`LOGTO_AUDIENCE='urn:x'\''$(id)'`, "-u m%27%3B+id%3B+%27:%1B%5B31m%24%28id%29%60id%60 ", "-d resource=urn%3Ax%27%24%28id%29\n"}, []string{"\x1b", "LOGTO_CLIENT_ID"}, nil},
	} {
		file := filepath.Join(dir, tt.name)
		if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Run(tt.name, func(t *testing.T) {
			all := emulated(t, append(tt.flags, "-config", file)...)["all"]
			for _, want := range tt.want {
				if !strings.Contains(all, want) {
					t.Errorf("no %q in\n%s", want, all)
				}
			}
			for _, never := range tt.never {
				if strings.Contains(all, never) {
					t.Errorf("%q in\n%s", never, all)
				}
			}
		})
	}
}

// The example is a description that is taken, and a state outlives the process.
func TestEmulateFiles(t *testing.T) {
	dir := t.TempDir()
	config, state := filepath.Join(dir, "logto.json"), filepath.Join(dir, "state.json")
	var out, errs bytes.Buffer
	if code := run([]string{"emulate", "-init", "-config", config}, nil, &out, &errs); code != 0 || !strings.Contains(out.String(), config) {
		t.Fatalf("%d, %q, %q", code, out.String(), errs.String())
	}
	if info, err := os.Stat(config); err != nil || info.Mode().Perm()&^0o644 != 0 {
		t.Errorf("%v, error %v", info.Mode(), err)
	}
	// Without -config it is logto.json of the working directory, if that is there.
	t.Chdir(t.TempDir())
	if all := emulated(t)["all"]; !strings.Contains(all, "# users: alice (reader)") {
		t.Errorf("printed\n%s", all)
	}
	out.Reset()
	if code := run([]string{"emulate", "-init"}, nil, &out, &errs); code != 0 || out.String() != "logto.json is written. logto emulate -config logto.json\n" {
		t.Fatalf("%d, %q, %q", code, out.String(), errs.String())
	}
	if all := emulated(t)["all"]; !strings.Contains(all, "# users, roles and applications: logto.json\n") {
		t.Errorf("printed\n%s", all)
	}
	if code := run([]string{"emulate", "-init"}, nil, &out, &errs); code != 1 {
		t.Errorf("written over: %d", code)
	}
	if code := run([]string{"emulate", "-init", "-config", "no/directory"}, nil, &out, &errs); code != 1 {
		t.Errorf("no directory: %d", code)
	}
	keys := make([]string, 3)
	for i := range keys {
		t.Run("run", func(t *testing.T) {
			args := []string{"-config", config, "-endpoint", "http://localhost:3001/emulator"}
			if i < 2 {
				args = append(args, "-state", state)
			}
			values := emulated(t, args...)
			if values["ready"] != "http://localhost:3001/emulator" || !strings.Contains(values["all"], config) {
				t.Errorf("printed\n%s", values["all"])
			}
			keys[i] = values["ready"]
		})
		if i < 2 {
			b, err := os.ReadFile(state)
			if err != nil {
				t.Fatal(err)
			}
			var kept struct {
				Issued struct{ Keys json.RawMessage }
			}
			if err := json.Unmarshal(b, &kept); err != nil {
				t.Fatal(err)
			}
			keys[i] = string(kept.Issued.Keys)
		}
	}
	if keys[0] != keys[1] || len(keys[0]) < 100 {
		t.Errorf("keys %s, after a restart %s", keys[0], keys[1])
	}
}
