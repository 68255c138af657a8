// Package migrating has one API five times: as people write it by other libraries, and by
// this one. docs/migrating.md shows them side by side, and what changes; the test measures it.
//
// The API is GET /things, for callers with the scope read:things. It answers with the
// subject of the token.
package migrating

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

const (
	audience = "https://api.example.test"
	scope    = "read:things"
)

// An API is the service by one library. The issuer is Logto's, with /oidc.
type API struct {
	Name string
	New  func(ctx context.Context, issuer string) (http.Handler, error)
}

// APIs are all of them, in the order of the table in docs/migrating.md.
var APIs = []API{
	{"Logto's guides", Guide},
	{"golang-jwt", GolangJWT},
	{"go-jwt-middleware", Auth0},
	{"go-oidc", GoOIDC},
	{"this library", Logto},
}

func bearer(r *http.Request) (string, bool) {
	return strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
}

func hasScope(granted string) bool {
	return slices.Contains(strings.Fields(granted), scope)
}

func hello(w http.ResponseWriter, subject string) {
	fmt.Fprintf(w, "Hello, %s!", subject)
}
