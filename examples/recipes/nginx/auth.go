// Package nginx is what nginx's auth_request asks. nginx.conf stands beside it.
package nginx

import (
	"net/http"

	"github.com/seed-70fe37f4/logto"
)

// newAuth has a path for each thing that locations ask for. It listens for nginx alone.
func newAuth(v *logto.Verifier) http.Handler {
	user := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-User", logto.UserID(r.Context())) // "" for a machine
		w.WriteHeader(http.StatusNoContent)
	})
	mux := http.NewServeMux()
	mux.Handle("GET /auth/things", logto.Require(v, logto.Scopes("read:things"))(user))
	return mux
}
