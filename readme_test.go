package logto_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestReadmeCode checks that every piece of Go in the README stands, line for
// line, in code that is compiled and mostly run: the examples.
func TestReadmeCode(t *testing.T) {
	unindent := func(s string) string {
		var lines []string
		for line := range strings.Lines(s) {
			lines = append(lines, strings.TrimSpace(line))
		}
		return strings.Join(lines, "\n")
	}
	read := func(name string) string {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	code := unindent(read("example_test.go") + read("examples/hello/main.go"))
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(read("README.md"), -1)
	if len(blocks) < 10 {
		t.Errorf("%d pieces of Go", len(blocks))
	}
	for _, block := range blocks {
		// A line may be left out between two pieces: they are compared by statement.
		for _, piece := range strings.Split(block[1], "\n\n") {
			if !strings.Contains(code, strings.TrimSpace(unindent(piece))) {
				t.Errorf("nowhere compiled:\n%s", piece)
			}
		}
	}
}
