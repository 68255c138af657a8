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
		"github.com/decred/dcrd/dcrec/secp256k1/v4", "github.com/goccy/go-json", "github.com/hashicorp/golang-lru/v2",
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

// The exported API, as go doc shows it: a change of it shows in the diff, it has
// no type of jwx in it, and few names.
func TestAPI(t *testing.T) {
	got := goCommand(t, "doc", "-all", ".")
	if strings.Contains(got, "jwx") || strings.Contains(got, "jwk.") {
		t.Error("the API names jwx")
	}
	names := regexp.MustCompile(`(?m)^(func [A-Z]|type [A-Z]|\tErr[A-Z]\w+ *=)`).FindAllString(got, -1)
	if len(names) > 32 || len(names) < 20 {
		t.Errorf("%d exported names, want at most 32", len(names))
	}
	want, err := os.ReadFile("testdata/api.txt")
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Error("the API has changed: if that is meant, go doc -all . > testdata/api.txt")
	}
}

// jwx is deprecated; a move to its successor must touch few files.
func TestJWXIsNamedOnce(t *testing.T) {
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var naming []string
	for _, file := range files {
		if name := file.Name(); strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") {
			if b, err := os.ReadFile(name); err != nil || strings.Contains(string(b), "lestrrat-go/jwx") {
				naming = append(naming, name)
			}
		}
	}
	if !slices.Equal(naming, []string{"jwks_cache.go"}) {
		t.Errorf("jwx is named by %v", naming)
	}
}
