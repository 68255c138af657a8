package migrating

import (
	"context"
	"net/http"

	"github.com/seed-70fe37f4/logto"
)

// Logto is this library.
func Logto(_ context.Context, issuer string) (http.Handler, error) {
	v, err := logto.New(logto.Config{
		Endpoint:  issuer, // with /oidc or without
		Audiences: []string{audience},
	})
	if err != nil {
		return nil, err
	}
	return logto.Require(v, logto.Scopes("read:things"))(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		claims, _ := logto.FromContext(r.Context())
		hello(w, claims.Subject())
	})), nil
}
