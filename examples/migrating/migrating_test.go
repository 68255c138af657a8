package migrating

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/seed-70fe37f4/logto/logtotest"
)

var things = []string{scope}

// cases are the rows of the table: what is sent to an API that has served a request before.
var cases = []struct {
	name string
	// authorization makes the header; it may change the issuer first.
	authorization func(i *logtotest.Issuer) string
}{
	{"a good token", func(i *logtotest.Issuer) string {
		return "Bearer " + i.Token(logtotest.Token{Scopes: things})
	}},
	{"the same, `bearer` in lower case", func(i *logtotest.Issuer) string {
		return "bearer " + i.Token(logtotest.Token{Scopes: things})
	}},
	{"no token", func(*logtotest.Issuer) string { return "" }},
	{"an ID token with this audience", func(i *logtotest.Issuer) string {
		return "Bearer " + i.Token(logtotest.Token{Scopes: things, Header: map[string]any{"typ": nil}, Claims: map[string]any{"client_id": nil}})
	}},
	{"a token without `exp`", func(i *logtotest.Issuer) string {
		return "Bearer " + i.Token(logtotest.Token{Scopes: things, Claims: map[string]any{"exp": nil}})
	}},
	{"expired 10 seconds ago", func(i *logtotest.Issuer) string {
		return "Bearer " + i.Token(logtotest.Token{Scopes: things, ExpiresIn: -10 * time.Second})
	}},
	{"expired a minute ago", func(i *logtotest.Issuer) string {
		return "Bearer " + i.Token(logtotest.Token{Scopes: things, ExpiresIn: -time.Minute})
	}},
	{"bound to a key (`cnf`)", func(i *logtotest.Issuer) string {
		return "Bearer " + i.Token(logtotest.Token{Scopes: things, Claims: map[string]any{"cnf": map[string]string{"jkt": "x"}}})
	}},
	{"for another API", func(i *logtotest.Issuer) string {
		return "Bearer " + i.Token(logtotest.Token{Scopes: things, Audience: "https://other.example.test"})
	}},
	{"without the scope", func(i *logtotest.Issuer) string {
		return "Bearer " + i.Token(logtotest.Token{})
	}},
	{"bound to an organization", func(i *logtotest.Issuer) string {
		return "Bearer " + i.Token(logtotest.Token{Scopes: things, Organization: "mallory-inc"})
	}},
	{"by a key that was rotated in just now", func(i *logtotest.Issuer) string {
		i.Rotate()
		return "Bearer " + i.Token(logtotest.Token{Scopes: things})
	}},
	{"the same, by an RSA key", func(i *logtotest.Issuer) string {
		i.Rotate("RS256")
		return "Bearer " + i.Token(logtotest.Token{Scopes: things})
	}},
	{"by an unknown key, while the keys can't be had", func(i *logtotest.Issuer) string {
		i.Rotate()
		i.Fail(logtotest.Status(http.StatusServiceUnavailable))
		return "Bearer " + i.Token(logtotest.Token{Scopes: things})
	}},
}

func status(h http.Handler, authorization string) int {
	r := httptest.NewRequest("GET", "/things", nil)
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code
}

// TestTable measures each case on each API, with an issuer of its own, and compares with
// what docs/migrating.md says.
func TestTable(t *testing.T) {
	page, err := os.ReadFile("../../docs/migrating.md")
	if err != nil {
		t.Fatal(err)
	}
	head := "| |"
	for _, api := range APIs {
		head += " " + api.Name + " |"
	}
	if !strings.Contains(string(page), head+"\n") {
		t.Errorf("the page's table must begin\n%s", head)
	}
	for _, c := range cases {
		row := "| " + c.name + " |"
		for _, api := range APIs {
			issuer := logtotest.NewServer(t)
			h, err := api.New(t.Context(), issuer.Endpoint()+"/oidc")
			if err != nil {
				t.Fatal(api.Name, err)
			}
			if got := status(h, "Bearer "+issuer.Token(logtotest.Token{Scopes: things})); got != http.StatusOK {
				t.Fatalf("%s: a good token: status %d", api.Name, got)
			}
			row += fmt.Sprintf(" %d |", status(h, c.authorization(issuer)))
		}
		if !bytes.Contains(page, []byte(row+"\n")) {
			t.Errorf("the page must say\n%s", row)
		}
	}
}

// TestStart measures which API starts while Logto is down, and what it answers then.
func TestStart(t *testing.T) {
	page, err := os.ReadFile("../../docs/migrating.md")
	if err != nil {
		t.Fatal(err)
	}
	down := httptest.NewServer(logtotest.Status(http.StatusServiceUnavailable))
	defer down.Close()
	token := logtotest.New(down.URL).Token(logtotest.Token{Scopes: things})
	row := "| started while Logto is down |"
	for _, api := range APIs {
		h, err := api.New(t.Context(), down.URL+"/oidc")
		if err != nil {
			row += " doesn't start |"
			continue
		}
		row += fmt.Sprintf(" %d |", status(h, "Bearer "+token))
	}
	if !bytes.Contains(page, []byte(row+"\n")) {
		t.Errorf("the page must say\n%s", row)
	}
}
