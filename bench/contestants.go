package bench

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/MicahParks/keyfunc/v3"
	jwtmiddleware "github.com/auth0/go-jwt-middleware/v3"
	"github.com/auth0/go-jwt-middleware/v3/jwks"
	"github.com/auth0/go-jwt-middleware/v3/validator"
	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/golang-jwt/jwt/v5"
	"github.com/lestrrat-go/jwx/v2/jwk"
	jwxjwt "github.com/lestrrat-go/jwx/v2/jwt"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/logtotest"
)

// A Contestant is a library, set up as its documentation says and asked for the
// same: signature, expiry, issuer, audience.
type Contestant struct {
	Name string
	New  func(ctx context.Context, t Target) (*Checker, error)
}

// A Checker is a contestant at work.
type Checker struct {
	// Verify returns the subject of a good token.
	Verify func(ctx context.Context, token string) (string, error)
	// Protect is the middleware: the library's own, or the ten lines around
	// Verify that everybody writes.
	Protect func(http.Handler) http.Handler
	// Subject is for handlers behind Protect.
	Subject func(ctx context.Context) string
}

// Contestants are all that is measured. The first one is this library, the
// second one this library without its memory of tokens.
var Contestants = []Contestant{
	{"logto", func(_ context.Context, t Target) (*Checker, error) { return newLogto(t, 0) }},
	{"logto-nocache", func(_ context.Context, t Target) (*Checker, error) { return newLogto(t, -1) }},
	{"golang-jwt", newGolangJWT},
	{"go-oidc", newGoOIDC},
	{"jwx", newJWX},
	{"auth0", newAuth0},
}

// None is the handler alone: what a measurement itself costs.
var None = Contestant{"none", func(context.Context, Target) (*Checker, error) {
	return &Checker{
		Protect: func(next http.Handler) http.Handler { return next },
		Subject: func(context.Context) string { return "somebody" },
	}, nil
}}

func newLogto(t Target, cacheSize int) (*Checker, error) {
	v, err := logto.New(logto.Config{
		Endpoint:  t.Endpoint,
		Audiences: []string{logtotest.Audience},
		CacheSize: cacheSize,
		// A real one: what a service pays for the lines of refused requests.
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		return nil, err
	}
	return &Checker{
		Verify: func(ctx context.Context, token string) (string, error) {
			c, err := v.Verify(ctx, token)
			if err != nil {
				return "", err
			}
			return c.Subject(), nil
		},
		Protect: logto.Require(v),
		Subject: logto.UserID,
	}, nil
}

// golang-jwt with keyfunc, the key set made once.
func newGolangJWT(ctx context.Context, t Target) (*Checker, error) {
	keys, err := keyfunc.NewDefaultCtx(ctx, []string{t.JWKS()})
	if err != nil {
		return nil, err
	}
	parser := jwt.NewParser(
		jwt.WithValidMethods([]string{t.Algorithm}),
		jwt.WithIssuer(t.Issuer()),
		jwt.WithAudience(logtotest.Audience),
		jwt.WithExpirationRequired(),
	)
	type claims struct {
		jwt.RegisteredClaims
		ClientID string `json:"client_id"`
		Scope    string `json:"scope"`
	}
	return byHand(func(_ context.Context, token string) (string, error) {
		var c claims
		if _, err := parser.ParseWithClaims(token, &c, keys.Keyfunc); err != nil {
			return "", err
		}
		return c.Subject, nil
	}), nil
}

func newGoOIDC(ctx context.Context, t Target) (*Checker, error) {
	provider, err := oidc.NewProvider(ctx, t.Issuer())
	if err != nil {
		return nil, err
	}
	verifier := provider.Verifier(&oidc.Config{
		ClientID:             logtotest.Audience,
		SupportedSigningAlgs: []string{t.Algorithm},
	})
	return byHand(func(ctx context.Context, token string) (string, error) {
		parsed, err := verifier.Verify(ctx, token)
		if err != nil {
			return "", err
		}
		return parsed.Subject, nil
	}), nil
}

// jwx v2 with its own cache of key sets. It refuses RSA keys without alg.
func newJWX(ctx context.Context, t Target) (*Checker, error) {
	cache := jwk.NewCache(ctx)
	if err := cache.Register(t.JWKSWithAlg()); err != nil {
		return nil, err
	}
	return byHand(func(ctx context.Context, token string) (string, error) {
		set, err := cache.Get(ctx, t.JWKSWithAlg())
		if err != nil {
			return "", err
		}
		parsed, err := jwxjwt.Parse([]byte(token), jwxjwt.WithKeySet(set),
			jwxjwt.WithIssuer(t.Issuer()), jwxjwt.WithAudience(logtotest.Audience))
		if err != nil {
			return "", err
		}
		return parsed.Subject(), nil
	}), nil
}

// auth0's middleware with its own cache. It refuses RSA keys without alg.
func newAuth0(_ context.Context, t Target) (*Checker, error) {
	issuer, err := url.Parse(t.Issuer())
	if err != nil {
		return nil, err
	}
	keys, err := url.Parse(t.JWKSWithAlg())
	if err != nil {
		return nil, err
	}
	provider, err := jwks.NewCachingProvider(jwks.WithIssuerURL(issuer), jwks.WithCustomJWKSURI(keys))
	if err != nil {
		return nil, err
	}
	v, err := validator.New(
		validator.WithKeyFunc(provider.KeyFunc),
		validator.WithAlgorithm(validator.SignatureAlgorithm(t.Algorithm)),
		validator.WithIssuer(t.Issuer()),
		validator.WithAudience(logtotest.Audience),
	)
	if err != nil {
		return nil, err
	}
	m, err := jwtmiddleware.New(jwtmiddleware.WithValidator(v))
	if err != nil {
		return nil, err
	}
	return &Checker{
		Verify: func(ctx context.Context, token string) (string, error) {
			c, err := v.ValidateToken(ctx, token)
			if err != nil {
				return "", err
			}
			return c.(*validator.ValidatedClaims).RegisteredClaims.Subject, nil
		},
		Protect: m.CheckJWT,
		Subject: func(ctx context.Context) string {
			c, err := jwtmiddleware.GetClaims[*validator.ValidatedClaims](ctx)
			if err != nil {
				return ""
			}
			return c.RegisteredClaims.Subject
		},
	}, nil
}

type subjectKey struct{}

// byHand is the middleware for a library that has none.
func byHand(verify func(ctx context.Context, token string) (string, error)) *Checker {
	return &Checker{
		Verify: verify,
		Protect: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
				if !ok {
					http.Error(w, "unauthorized", http.StatusUnauthorized)
					return
				}
				subject, err := verify(r.Context(), token)
				if err != nil {
					http.Error(w, "unauthorized", http.StatusUnauthorized)
					return
				}
				next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), subjectKey{}, subject)))
			})
		},
		Subject: func(ctx context.Context) string {
			subject, _ := ctx.Value(subjectKey{}).(string)
			return subject
		},
	}
}
