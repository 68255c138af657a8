package main

import (
	"archive/zip"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// small is a repository that can be released.
var small = map[string]string{
	"go.mod":                          "module example.com/a\n\ngo 1.25.0\n",
	"a.go":                            "package a\n",
	"LICENSE":                         "of the repository",
	"CHANGELOG.md":                    "# Changelog\n\n## Unreleased\n\n- x\n",
	".gitignore":                      "ignored.go\n",
	"ignored.go":                      "package a\n",
	"vendor.go":                       "package a\n",
	"observers/go.mod":                "module example.com/a/observers\n\ngo 1.25.0\n\nrequire example.com/a v0.1.0\n\nreplace example.com/a => ../\n",
	"observers/o.go":                  "package observers\n",
	"observers/deep/LICENSE":          "of others",
	"observersbeside.go":              "package a\n",
	"revocation/r.go":                 "package revocation\n",
	"revocation/redisstore/go.mod":    "module example.com/a/revocation/redisstore\n\ngo 1.25.0\n\nrequire example.com/a v0.1.0\n\nreplace example.com/a => ../..\n",
	"revocation/redisstore/r.go":      "package redisstore\n",
	"revocation/redisstore/LICENSE":   "its own",
	"examples/e/go.mod":               "module example.com/e\n\ngo 1.26.0\n\nrequire example.com/a v0.1.0\n\nreplace example.com/a => ../..\n",
	"examples/e/e.go":                 "package e\n",
	"examples/independent/go.mod":     "module example.com/i\n\ngo 1.24\n",
	"examples/independent/testdata/x": "x",
}

// in writes the repository, with changes: an empty file is left out.
func in(t *testing.T, changes map[string]string) (*repository, error) {
	t.Helper()
	root := t.TempDir()
	all := maps.Clone(small)
	maps.Copy(all, changes)
	for name, content := range all {
		if content == "" {
			continue
		}
		at := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"git", "init", "-q"}, {"git", "add", "a.go"}} {
		if _, err := command(t.Context(), root, nil, args...); err != nil {
			t.Fatal(err)
		}
	}
	return read(t.Context(), root)
}

func TestCheck(t *testing.T) {
	at := func(version string) map[string]string {
		changed := map[string]string{}
		for name, content := range small {
			if filepath.Base(name) == "go.mod" {
				changed[name] = strings.ReplaceAll(content, "v0.1.0", version)
			}
		}
		return changed
	}
	changelog := func(text string) map[string]string { return map[string]string{"CHANGELOG.md": text} }
	for _, test := range []struct {
		name    string
		changes map[string]string
		want    string // in the error; "" for none
	}{
		{"a version that only a replace finds", at("v0.0.0"), "no version for a release"},
		{"a pseudo-version of nothing", at("v0.0.0-00010101000000-000000000000"), "no version for a release"},
		{"nobody names a version", map[string]string{
			"observers/go.mod": "module example.com/a/observers\n\ngo 1.25.0\n", "examples/e/go.mod": "",
			"revocation/redisstore/go.mod": "module example.com/a/revocation/redisstore\n\ngo 1.25.0\n",
		}, `"" is no version`},
		{"two versions", map[string]string{"observers/go.mod": strings.ReplaceAll(small["observers/go.mod"], "v0.1.0", "v0.2.0")}, "at v0.1.0, others at v0.2.0"},
		{"an example at another version", map[string]string{"examples/e/go.mod": strings.ReplaceAll(small["examples/e/go.mod"], "v0.1.0", "v0.0.0")}, "examples/e/go.mod"},
		{"another Go", map[string]string{"observers/go.mod": strings.ReplaceAll(small["observers/go.mod"], "1.25.0", "1.26.0")}, "asks for Go 1.26.0"},
		{"another name", map[string]string{"observers/go.mod": strings.ReplaceAll(small["observers/go.mod"], "a/observers", "observers")}, "must be called"},
		{"a replace in the library", map[string]string{"go.mod": small["go.mod"] + "\nreplace example.com/b => ./b\n"}, "go install"},
		{"a module is gone", map[string]string{"observers/go.mod": ""}, "2 of the modules"},
		{"no heading", changelog("# Changelog\n"), "no heading"},
		{"a heading of another version", changelog("## v0.2.0\n"), "the go.mod files name v0.1.0"},
		{"released, and changed since", changelog("## Unreleased\n\n## v0.1.0 (2026-01-02)\n"), "the next version"},
		{"released, and then another", changelog("## v0.2.0\n\n## v0.1.0\n"), "the go.mod files name v0.1.0"},
		{"to be released", nil, ""},
		{"the day of its release", changelog("## v0.1.0 (2026-01-02)\n\n## v0.0.9\n"), ""},
		{"after another release", changelog("## Unreleased\n\n## v0.0.9 (2026-01-02)\n"), ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, err := in(t, test.changes)
			if err == nil {
				err = r.check()
			}
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}

// What a module's archive has: its files, none of a module below, none that git
// ignores, and a license.
func TestPublish(t *testing.T) {
	r, err := in(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.check(); err != nil {
		t.Fatal(err)
	}
	proxy := t.TempDir()
	if err := r.publish(proxy); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string][]string{
		"example.com/a":                       {".gitignore", "CHANGELOG.md", "LICENSE", "a.go", "go.mod", "observersbeside.go", "revocation/r.go", "vendor.go"},
		"example.com/a/observers":             {"LICENSE", "deep/LICENSE", "go.mod", "o.go"},
		"example.com/a/revocation/redisstore": {"LICENSE", "go.mod", "r.go"},
	} {
		archive, err := zip.OpenReader(filepath.Join(proxy, filepath.FromSlash(path), "@v", "v0.1.0.zip"))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range archive.File {
			got = append(got, strings.TrimPrefix(f.Name, path+"@v0.1.0/"))
		}
		_ = archive.Close()
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("%s has %q, want %q", path, got, want)
		}
	}
	if _, err := os.Stat(filepath.Join(proxy, "example.com", "e")); err == nil {
		t.Error("an example is published")
	}
}
