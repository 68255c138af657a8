package recipes

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/logtotest"
)

func TestKeptKeys(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(t *testing.T, issuer *logtotest.Issuer, file string) // between the job and the start
		status int
		fetch  bool // of the key set, while it is asked for
		warns  bool
	}{
		{"Logto is down, and the keys are older than a day", func(_ *testing.T, issuer *logtotest.Issuer, _ string) {
			issuer.Fail(logtotest.Status(503))
			time.Sleep(25 * time.Hour)
		}, 503, true, false},
		{"Logto is down, and there is no file", func(t *testing.T, issuer *logtotest.Issuer, file string) {
			issuer.Fail(logtotest.Status(503))
			remove(t, file)
		}, 503, true, true},
		{"Logto is down", func(_ *testing.T, issuer *logtotest.Issuer, _ string) { issuer.Fail(logtotest.Status(503)) }, 200, false, false},
		{"the keys are an hour old", func(*testing.T, *logtotest.Issuer, string) { time.Sleep(time.Hour + time.Second) }, 200, true, false},
		{"a key that the file doesn't have", func(_ *testing.T, issuer *logtotest.Issuer, _ string) { issuer.Rotate() }, 200, true, false},
		{"no file", func(t *testing.T, _ *logtotest.Issuer, file string) { remove(t, file) }, 200, true, true},
		{"no JSON", func(t *testing.T, _ *logtotest.Issuer, file string) { write(t, file, "<!doctype html>") }, 200, true, true},
		{"no key", func(t *testing.T, _ *logtotest.Issuer, file string) {
			write(t, file, `{"issuer":"https://logto.example.test/oidc","jwks":{"keys":[]},"fetched":"2000-01-01T00:00:00Z"}`)
		}, 200, true, true},
		{"another Logto's", func(t *testing.T, _ *logtotest.Issuer, file string) {
			if err := keepKeys(t.Context(), newVerifier(t, logtotest.NewIssuer(t).Config()), file); err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			write(t, file, strings.Replace(string(text), "logto.example.test", "staging.example.test", 1))
		}, 200, true, true},
		{"nothing else", func(*testing.T, *logtotest.Issuer, string) {}, 200, false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "keys.json")
			synctest.Test(t, func(t *testing.T) {
				issuer := logtotest.NewIssuer(t)
				if err := keepKeys(t.Context(), newVerifier(t, issuer.Config()), file); err != nil {
					t.Fatal(err)
				}
				test.change(t, issuer, file)
				var log bytes.Buffer
				defer slog.SetDefault(slog.Default())
				slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
				v, err := newWithKeys(issuer.Config(), file)
				if err != nil {
					t.Fatal(err)
				}
				if warned := strings.Contains(log.String(), "no keys from the file"); warned != test.warns {
					t.Errorf("warned: %v, want %v: %s", warned, test.warns, &log)
				}
				before := issuer.Fetches()
				expectOne(t, logto.Require(v)(hello), expectation{"", "GET", "/", bearer(issuer, logtotest.Token{User: "alice"}), test.status, nil, ""})
				if fetched := issuer.Fetches() != before; fetched != test.fetch {
					t.Errorf("fetched: %v, want %v", fetched, test.fetch)
				}
			})
		})
	}
}

// A job that can't reach Logto leaves the file as it was.
func TestKeepKeysFails(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	issuer.Fail(logtotest.Status(503))
	file := filepath.Join(t.TempDir(), "keys.json")
	write(t, file, "before")
	if err := keepKeys(t.Context(), newVerifier(t, issuer.Config()), file); err == nil || read(t, file) != "before" {
		t.Errorf("error %v, file %s", err, read(t, file))
	}
}

func TestWithoutLogto(t *testing.T) {
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		issuer := logtotest.New("https://tenant.logto.app")
		cfg := withoutLogto(logto.Config{Endpoint: issuer.Endpoint(), Audiences: []string{logtotest.Audience}, Logger: quiet}, folder)
		h := logto.Require(newVerifier(t, cfg))(hello)
		ask := func(name string, status int) {
			t.Helper()
			expectOne(t, h, expectation{name, "GET", "/", bearer(issuer, logtotest.Token{User: "alice"}), status, nil, ""})
		}
		ask("no file", 503)
		if err := os.Mkdir(filepath.Join(folder, "oidc"), 0o700); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(folder, "oidc", "jwks")
		write(t, file, issuer.KeySet())
		time.Sleep(time.Minute)
		ask("the file", 200)
		time.Sleep(72 * time.Hour)
		ask("days later", 200)
		issuer.Rotate()
		write(t, file, issuer.KeySet())
		time.Sleep(time.Minute)
		ask("a new key", 200)
	})
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, name string) {
	t.Helper()
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
}

// The form of the file, for whoever writes it otherwise.
func TestKeySetJSON(t *testing.T) {
	var set logto.KeySet
	if err := json.Unmarshal([]byte(`{"jwks":{"keys":[]},"fetched":"2030-01-02T03:04:05Z"}`), &set); err != nil ||
		string(set.JWKS) != `{"keys":[]}` || !set.Fetched.Equal(time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)) {
		t.Errorf("got %s, %v, %v", set.JWKS, set.Fetched, err)
	}
}
