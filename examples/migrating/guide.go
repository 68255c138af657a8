package migrating

import (
	"context"
	"net/http"
	"slices"

	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jwt"
)

// Guide is what Logto's own guides for Go come to, on net/http: jwx, the key set fetched
// once, when the service starts.
func Guide(ctx context.Context, issuer string) (http.Handler, error) {
	keys, err := jwk.Fetch(ctx, issuer+"/jwks")
	if err != nil {
		return nil, err // the guides panic
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, ok := bearer(r)
		if !ok {
			http.Error(w, "no token", http.StatusUnauthorized)
			return
		}
		token, err := jwt.Parse([]byte(raw), jwt.WithKeySet(keys))
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		if iss, _ := token.Issuer(); iss != issuer {
			http.Error(w, "invalid issuer", http.StatusUnauthorized)
			return
		}
		if aud, _ := token.Audience(); !slices.Contains(aud, audience) {
			http.Error(w, "invalid audience", http.StatusForbidden)
			return
		}
		var granted string
		if err := token.Get("scope", &granted); err != nil || !hasScope(granted) {
			http.Error(w, "insufficient scope", http.StatusForbidden)
			return
		}
		subject, _ := token.Subject()
		hello(w, subject)
	}), nil
}
