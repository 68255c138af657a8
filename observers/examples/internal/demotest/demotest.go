// Package demotest tries what the examples print.
package demotest

import (
	"bufio"
	"cmp"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
)

var (
	variable = regexp.MustCompile(`^([A-Z_]+)=('?)([^']+)'?$`)
	command  = regexp.MustCompile(`^curl (?:-i|-s)(?: -H "([^"]*)")?(?: -d "([^"]*)")? (http://\S+)$`)
)

// Try reads what an example prints up to the line that begins with Ctrl-C, sends
// what each command sends, and checks that it answers with the status above it.
// It returns the last answer's body and how many there were.
func Try(t *testing.T, out io.Reader) (body string, n int) {
	t.Helper()
	type try struct{ want, header, data, url string }
	var tries []try
	variables, want := map[string]string{}, ""
	lines := bufio.NewScanner(out)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "Ctrl-C") {
		if what, ok := strings.CutPrefix(lines.Text(), "# "); ok {
			want = what[:3]
		}
		if m := variable.FindStringSubmatch(lines.Text()); m != nil {
			variables[m[1]] = m[3]
		}
		if m := command.FindStringSubmatch(lines.Text()); m != nil {
			tries = append(tries, try{want, m[1], m[2], m[3]})
		}
	}
	expand := func(s string) string {
		return os.Expand(s, func(name string) string {
			if variables[name] == "" {
				t.Errorf("$%s was not printed", name)
			}
			return variables[name]
		})
	}
	for _, try := range tries {
		method := map[bool]string{true: http.MethodPost}[try.data != ""]
		req, err := http.NewRequestWithContext(t.Context(), cmp.Or(method, http.MethodGet), try.url, strings.NewReader(expand(try.data)))
		if err != nil {
			t.Fatal(err)
		}
		if name, value, ok := strings.Cut(try.header, ": "); ok {
			req.Header.Set(name, expand(value))
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if body = string(b); res.Status[:3] != try.want {
			t.Errorf("%s: status %s, want %s; body %s", try.url, res.Status, try.want, body)
		}
	}
	return body, len(tries)
}
