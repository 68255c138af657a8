package recipes

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const page = "../../docs/recipes.md"

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.FromSlash(name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// unindent takes the white space around each line away.
func unindent(s string) string {
	var lines []string
	for line := range strings.Lines(s) {
		lines = append(lines, strings.TrimSpace(line))
	}
	return strings.Join(lines, "\n")
}

// TestDocs checks that every piece of Go and of nginx's language in the page stands, line
// for line, in what the tests run.
func TestDocs(t *testing.T) {
	code := map[string]string{"go": read(t, "../../example_test.go"), "nginx": read(t, "nginx/nginx.conf")}
	err := filepath.WalkDir(".", func(name string, _ fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(name, ".go") {
			code["go"] += "\n" + read(t, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for language := range code {
		code[language] = unindent(code[language])
	}
	blocks := regexp.MustCompile("(?s)```(\\w*)\n(.*?)```").FindAllStringSubmatch(read(t, page), -1)
	count := map[string]int{}
	for _, block := range blocks {
		language := block[1]
		count[language]++
		if language == "js" {
			continue
		}
		// A line may be left out between two pieces.
		for piece := range strings.SplitSeq(block[2], "\n\n") {
			if !strings.Contains(code[language], strings.TrimSpace(unindent(piece))) {
				t.Errorf("%s that nothing runs:\n%s", language, piece)
			}
		}
	}
	if count["go"] < 20 || count["nginx"] < 1 || count["js"] > 2 {
		t.Errorf("pieces of each language: %v", count)
	}
}

// TestLinks checks that what the page links to is there: files, and its own headings.
func TestLinks(t *testing.T) {
	text := regexp.MustCompile("(?s)```.*?```|`[^`\n]*`").ReplaceAllString(read(t, page), "")
	anchors := map[string]int{}
	for _, h := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		anchors[strings.ReplaceAll(regexp.MustCompile(`[^\w -]`).ReplaceAllString(strings.ToLower(h[1]), ""), " ", "-")]++
	}
	for anchor, n := range anchors {
		if n > 1 {
			t.Errorf("%d headings are called %s", n, anchor)
		}
	}
	links := regexp.MustCompile(`\]\(([^)]+)\)`).FindAllStringSubmatch(text, -1)
	if len(links) < 20 {
		t.Errorf("%d links", len(links))
	}
	for _, link := range links {
		file, anchor, _ := strings.Cut(link[1], "#")
		switch {
		case strings.HasPrefix(file, "https:"):
		case file == "":
			if anchors[anchor] == 0 {
				t.Errorf("no heading %s", anchor)
			}
		default:
			if _, err := os.Stat(filepath.Join("../../docs", filepath.FromSlash(file))); err != nil {
				t.Error(err)
			}
		}
	}
}
