// A route that is open to strangers, behind a shared cache.

package recipes

import (
	"fmt"
	"net/http"

	"github.com/seed-70fe37f4/logto"
)

func feed(w http.ResponseWriter, r *http.Request) {
	user := logto.UserID(r.Context())
	if user == "" {
		w.Header().Set("Cache-Control", "public, max-age=60")
		fmt.Fprint(w, "everybody's feed")
		return
	}
	w.Header().Set("Cache-Control", "private, no-store")
	fmt.Fprintf(w, "the feed of %s", user)
}
