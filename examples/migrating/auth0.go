package migrating

import (
	"context"
	"net/http"
	"net/url"

	jwtmiddleware "github.com/auth0/go-jwt-middleware/v3"
	"github.com/auth0/go-jwt-middleware/v3/jwks"
	"github.com/auth0/go-jwt-middleware/v3/validator"
)

type scopeClaims struct {
	Scope string `json:"scope"`
}

// Validate is what validator.CustomClaims asks for.
func (*scopeClaims) Validate(context.Context) error { return nil }

// Auth0 is auth0's go-jwt-middleware, with its caching provider of keys.
func Auth0(_ context.Context, issuer string) (http.Handler, error) {
	issuerURL, err := url.Parse(issuer)
	if err != nil {
		return nil, err
	}
	keys, err := jwks.NewCachingProvider(jwks.WithIssuerURL(issuerURL))
	if err != nil {
		return nil, err
	}
	v, err := validator.New(
		validator.WithKeyFunc(keys.KeyFunc),
		validator.WithAlgorithm(validator.ES384),
		validator.WithIssuer(issuer),
		validator.WithAudience(audience),
		validator.WithCustomClaims(func() *scopeClaims { return &scopeClaims{} }),
	)
	if err != nil {
		return nil, err
	}
	middleware, err := jwtmiddleware.New(jwtmiddleware.WithValidator(v))
	if err != nil {
		return nil, err
	}
	return middleware.CheckJWT(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		claims, err := jwtmiddleware.GetClaims[*validator.ValidatedClaims](r.Context())
		if err != nil {
			http.Error(w, "no claims", http.StatusInternalServerError)
			return
		}
		if !hasScope(claims.CustomClaims.(*scopeClaims).Scope) {
			http.Error(w, "insufficient scope", http.StatusForbidden)
			return
		}
		hello(w, claims.RegisteredClaims.Subject)
	})), nil
}
