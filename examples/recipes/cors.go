// CORS outside of Require: a preflight request carries no token.

package recipes

import (
	"net/http"

	"github.com/rs/cors"
)

func withCORS(mux http.Handler) http.Handler {
	return cors.New(cors.Options{
		AllowedOrigins: []string{"https://app.example.com"},
		AllowedMethods: []string{"GET", "POST", "DELETE"},
		AllowedHeaders: []string{"Authorization", "Content-Type"},
		ExposedHeaders: []string{"WWW-Authenticate", "Retry-After"},
	}).Handler(mux)
}
