package logto_test

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func goCommand(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("go", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// What a user downloads and links: jwx with what it drags in, and the cache.
func TestDependencies(t *testing.T) {
	allowed := []string{
		"filippo.io/nistec", "github.com/decred/dcrd/dcrec/secp256k1/v4", "github.com/goccy/go-json", "github.com/hashicorp/golang-lru/v2",
		"github.com/lestrrat-go/blackmagic", "github.com/lestrrat-go/httpcc", "github.com/lestrrat-go/httprc",
		"github.com/lestrrat-go/iter", "github.com/lestrrat-go/jwx/v2", "github.com/lestrrat-go/option",
		"github.com/segmentio/asm", "golang.org/x/crypto", "golang.org/x/sys", "github.com/seed-70fe37f4/logto",
	}
	for _, module := range strings.Fields(goCommand(t, "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", ".")) {
		if !slices.Contains(allowed, module) {
			t.Errorf("links %s", module)
		}
	}
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(mod), "replace") {
		t.Error("go.mod has a replace directive")
	}
}

// The exported API, by names and signatures: a change of it shows in the diff, it has
// no type of jwx in it, and few names.
func TestAPI(t *testing.T) {
	var api strings.Builder
	for line := range strings.Lines(goCommand(t, "doc", "-all", ".")) {
		// What go doc indents by spaces is text, and so is a comment of a field.
		code, _, _ := strings.Cut(line, "//")
		if code = strings.TrimRight(code, " \t\n"); code != "" && !strings.HasPrefix(line, "    ") {
			api.WriteString(code + "\n")
		}
	}
	_, got, _ := strings.Cut(api.String(), "VARIABLES\n")
	if strings.Contains(got, "jwx") || strings.Contains(got, "jwk.") {
		t.Error("the API names jwx")
	}
	names := regexp.MustCompile(`(?m)^(func [A-Z]|type [A-Z]|\tErr[A-Z]\w+ *=)`).FindAllString(got, -1)
	if len(names) > 38 || len(names) < 20 {
		t.Errorf("%d exported names, want at most 38", len(names))
	}
	want, err := os.ReadFile("testdata/api.txt")
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the API has changed: if that is meant, testdata/api.txt must be\n%s", got)
	}
}

// jwx is deprecated; a move to its successor must touch one package.
func TestJWXIsNamedOnce(t *testing.T) {
	naming := goCommand(t, "list", "-f", `{{$p := .ImportPath}}{{range .Imports}}{{if eq . "github.com/lestrrat-go/jwx/v2/jwk"}}{{$p}}{{end}}{{end}}`, "./...")
	if got := strings.Fields(naming); !slices.Equal(got, []string{"github.com/seed-70fe37f4/logto/internal/jwk"}) {
		t.Errorf("jwx is named by %v", got)
	}
	if got := goCommand(t, "list", "-f", `{{join .Imports "\n"}}`, "./..."); strings.Count(got, "lestrrat-go") != 1 {
		t.Errorf("imports\n%s", got)
	}
}
