// Package recipes is the code of docs/recipes.md. It is compiled and run by its tests, and
// each piece of Go in that page stands here, line for line, or in example_test.go of the
// library. It is to be read and copied, not imported.
package recipes

import (
	"fmt"
	"net/http"

	"github.com/seed-70fe37f4/logto"
)

// hello stands for what a service does.
var hello = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "Hello, %s!", logto.UserID(r.Context()))
})
