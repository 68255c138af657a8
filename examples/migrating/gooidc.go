package migrating

import (
	"context"
	"net/http"

	"github.com/coreos/go-oidc/v3/oidc"
)

// GoOIDC is coreos/go-oidc: a verifier of ID tokens, used for access tokens.
func GoOIDC(ctx context.Context, issuer string) (http.Handler, error) {
	provider, err := oidc.NewProvider(ctx, issuer)
	if err != nil {
		return nil, err
	}
	verifier := provider.Verifier(&oidc.Config{
		ClientID:             audience,
		SupportedSigningAlgs: []string{oidc.ES384},
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, ok := bearer(r)
		if !ok {
			http.Error(w, "no token", http.StatusUnauthorized)
			return
		}
		token, err := verifier.Verify(r.Context(), raw)
		if err != nil {
			http.Error(w, "invalid token", http.StatusUnauthorized)
			return
		}
		var c struct {
			Scope string `json:"scope"`
		}
		if err := token.Claims(&c); err != nil || !hasScope(c.Scope) {
			http.Error(w, "insufficient scope", http.StatusForbidden)
			return
		}
		hello(w, token.Subject)
	}), nil
}
