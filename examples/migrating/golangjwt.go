package migrating

import (
	"context"
	"net/http"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
)

// GolangJWT is golang-jwt with keyfunc, with all options that it takes.
func GolangJWT(ctx context.Context, issuer string) (http.Handler, error) {
	keys, err := keyfunc.NewDefaultCtx(ctx, []string{issuer + "/jwks"})
	if err != nil {
		return nil, err
	}
	parser := jwt.NewParser(
		jwt.WithValidMethods([]string{"ES384"}),
		jwt.WithIssuer(issuer),
		jwt.WithAudience(audience),
		jwt.WithExpirationRequired(),
	)
	type claims struct {
		jwt.RegisteredClaims
		Scope string `json:"scope"`
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, ok := bearer(r)
		if !ok {
			http.Error(w, "no token", http.StatusUnauthorized)
			return
		}
		var c claims
		if _, err := parser.ParseWithClaims(raw, &c, keys.Keyfunc); err != nil {
			http.Error(w, "invalid token", http.StatusUnauthorized)
			return
		}
		if !hasScope(c.Scope) {
			http.Error(w, "insufficient scope", http.StatusForbidden)
			return
		}
		hello(w, c.Subject)
	}), nil
}
