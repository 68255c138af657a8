// Trying the library on a running service.

package recipes

import (
	"net/http"

	"github.com/seed-70fe37f4/logto"
)

func trying(v *logto.Verifier, service http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", logto.InsecureReportOnly(v)(service))
	return mux
}
