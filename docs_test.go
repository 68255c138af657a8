package logto_test

import (
	"io/fs"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/emulator"
)

func readFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestDocsCode checks that every piece of Go in the README and in docs stands, line for
// line, in code that is compiled and mostly run: the examples of this package, the programs
// in examples, and what the benchmarks' module has of other libraries.
func TestDocsCode(t *testing.T) {
	unindent := func(s string) string {
		var lines []string
		for line := range strings.Lines(s) {
			lines = append(lines, strings.TrimSpace(line))
		}
		return strings.Join(lines, "\n")
	}
	code := unindent(readFile(t, "example_test.go") + readFile(t, "example_testing_test.go"))
	for _, dir := range []string{"examples", "bench"} {
		err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.Name() == "node_modules":
				return fs.SkipDir
			case strings.HasSuffix(name, ".go"):
				code += "\n" + unindent(readFile(t, name))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	pages, err := filepath.Glob("docs/*.md")
	if err != nil || len(pages) < 6 {
		t.Fatalf("pages %v, %v", pages, err)
	}
	blocks := 0
	for _, page := range append(pages, "README.md") {
		for _, block := range regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(readFile(t, page), -1) {
			blocks++
			// A line may be left out between two pieces: they are compared by statement.
			for _, piece := range strings.Split(block[1], "\n\n") {
				if !strings.Contains(code, strings.TrimSpace(unindent(piece))) {
					t.Errorf("%s: nowhere compiled:\n%s", page, piece)
				}
			}
		}
	}
	if blocks < 10 {
		t.Errorf("%d pieces of Go", blocks)
	}
}

// anchors are the fragments that a page's headings have, as the forge makes them.
func anchors(page string) []string {
	var found []string
	for _, heading := range regexp.MustCompile(`(?m)^#{1,6} +(.+?) *$`).FindAllStringSubmatch(withoutCode(page), -1) {
		anchor := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, heading[1])
		found = append(found, anchor)
	}
	return found
}

// withoutCode leaves out fenced blocks, in which # begins a comment.
func withoutCode(page string) string {
	return regexp.MustCompile("(?ms)^```.*?^```").ReplaceAllString(page, "")
}

// TestLinks checks that each relative link of each page leads to a file or a folder, and
// its fragment to a heading there.
func TestLinks(t *testing.T) {
	out, err := exec.Command("git", "ls-files", "*.md").Output()
	if err != nil {
		t.Skip("no clone of the repository: ", err)
	}
	pages, links := strings.Fields(string(out)), 0
	for _, page := range pages {
		text := readFile(t, page)
		text = regexp.MustCompile("`[^`\n]*`").ReplaceAllString(withoutCode(text), "code")
		for _, m := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(text, -1) {
			if regexp.MustCompile(`^[a-z]+:`).MatchString(m[1]) {
				continue
			}
			links++
			name, fragment, _ := strings.Cut(m[1], "#")
			target := path.Join(path.Dir(page), name)
			if name == "" {
				target = page
			}
			switch _, err := os.Stat(target); {
			case err != nil:
				t.Errorf("%s: %s: %v", page, m[1], err)
			case fragment != "" && !strings.HasSuffix(target, ".md"):
				t.Errorf("%s: %s: only pages have headings", page, m[1])
			case fragment != "" && !slices.Contains(anchors(readFile(t, target)), fragment):
				t.Errorf("%s: %s: no such heading", page, m[1])
			}
		}
	}
	if len(pages) < 10 || links < 50 {
		t.Errorf("%d links in %d pages", links, len(pages))
	}
}

// Every field of Config has its row in the reference, in the order of the type.
func TestConfigurationTable(t *testing.T) {
	_, table, _ := strings.Cut(readFile(t, "docs/reference.md"), "| field | default | |\n")
	table, _, _ = strings.Cut(table, "\n\n")
	var got, want []string
	for _, row := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\|").FindAllStringSubmatch(table, -1) {
		got = append(got, row[1])
	}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[logto.Config]()) {
		want = append(want, field.Name)
	}
	if !slices.Equal(got, want) {
		t.Errorf("rows %v, want %v", got, want)
	}
}

func TestAnchors(t *testing.T) {
	for heading, want := range map[string]string{
		"## A token's way": "a-tokens-way", "### `no_token`": "no_token", "# Refused? Ask `explain`": "refused-ask-explain",
		"```sh\n# a comment\n```\n## Next": "next",
	} {
		if got := anchors(heading); !slices.Equal(got, []string{want}) {
			t.Errorf("%s: %q, want %s", heading, got, want)
		}
	}
}

// TestReadmeTenant runs the commands of the README's own tenant, with the emulator as the
// tenant: a machine's token by curl, the API by curl, and explain.
func TestReadmeTenant(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the commands are for a POSIX shell")
	}
	_, section, _ := strings.Cut(readFile(t, "README.md"), "### With your own tenant")
	section, _, _ = strings.Cut(section, "## Who is calling")
	var script strings.Builder
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(section, -1) {
		if !strings.Contains(block[1], "export ") { // the first one starts the API
			script.WriteString(block[1])
		}
	}
	em := emulator.Start(t)
	cfg := em.Config()
	api := httptest.NewServer(logto.Require(mustNew(cfg))(hello))
	defer api.Close()
	commands := strings.NewReplacer("APP_ID=… APP_SECRET=…", "APP_ID=machine APP_SECRET=machine-secret",
		"http://127.0.0.1:8080", api.URL).Replace(script.String())

	cmd := exec.Command("sh", "-euc", commands)
	cmd.Env = append(os.Environ(), "LOGTO_ENDPOINT="+em.Endpoint(), "LOGTO_AUDIENCE="+cfg.Audiences[0], "no_proxy=*")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s\n%s", err, commands, out)
	}
	for _, want := range []string{"200 OK", "Hello, !", "Accepted: machine 'machine'"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}
