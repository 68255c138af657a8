// Package demotest tries what the examples print.
package demotest

import (
	"bufio"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

var command = regexp.MustCompile(`^curl (?:-i|-s)(?: -H 'Authorization: (.*)')? (http://\S+)$`)

// Try reads what an example prints up to the line that begins with Ctrl-C, sends
// what each command sends, and checks that it answers with the status above it.
// It returns the last answer's body and how many there were.
func Try(t *testing.T, out io.Reader) (body string, n int) {
	t.Helper()
	type try struct{ want, url, authorization string }
	var tries []try
	want := ""
	lines := bufio.NewScanner(out)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "Ctrl-C") {
		if what, ok := strings.CutPrefix(lines.Text(), "# "); ok {
			want = what[:3]
		}
		if m := command.FindStringSubmatch(lines.Text()); m != nil {
			tries = append(tries, try{want, m[2], m[1]})
		}
	}
	for _, try := range tries {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, try.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if try.authorization != "" {
			req.Header.Set("Authorization", try.authorization)
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
