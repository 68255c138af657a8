// Package core is the auth handler without Encore's annotations and without its
// configuration, which work only under the encore command: so go test can test it.
package core

import (
	"context"
	"errors"
	"log/slog"

	"encore.dev/beta/auth"
	"encore.dev/beta/errs"

	"github.com/seed-70fe37f4/logto"
)

// Config is what the auth handler must know of Logto.
type Config struct {
	Issuer      string // https://tenant.logto.app/oidc
	JWKSURI     string // https://tenant.logto.app/oidc/jwks
	APIResource string // the API identifier, under API resources in the console
	ClientID    string // the App ID of the only application that may call
}

// UserData is what an endpoint finds in auth.Data. The JWT customizer of the
// tenant decides what is in it, under Custom JWT in the console:
//
//	const getCustomJwtClaims = async ({ context }) =>
//	  ({ email: context.user.primaryEmail, plan: context.user.customData.plan });
type UserData struct {
	Email string `json:"email"`
	Plan  string `json:"plan"`
}

// Authenticator checks access tokens.
type Authenticator struct{ verifier *logto.Verifier }

// New checks the configuration, without I/O.
func New(cfg Config) (*Authenticator, error) {
	v, err := logto.New(logto.Config{
		Issuers:   []string{cfg.Issuer},
		JWKSURL:   cfg.JWKSURI,
		Audiences: []string{cfg.APIResource},
		ClientIDs: []string{cfg.ClientID},
	})
	if err != nil {
		return nil, err
	}
	return &Authenticator{v}, nil
}

// Authenticate is an auth handler: Encore calls it with what follows Bearer in
// the Authorization header. An error is always an *errs.Error with a fixed
// message, as the client sees it. Without an error there is always a user: Encore
// lets a request through that has no error and no UID.
func (a *Authenticator) Authenticate(ctx context.Context, token string) (auth.UID, *UserData, error) {
	claims, err := a.verifier.Verify(ctx, token)
	switch {
	case err == nil:
	case errors.Is(err, logto.ErrNoToken), errors.Is(err, logto.ErrInvalidToken):
		return refuse(ctx, errs.Unauthenticated, "a valid access token is needed", err)
	default:
		// The keys are missing, or the caller has left: nothing is known of the
		// token, and the client shall not sign in again.
		return refuse(ctx, errs.Unavailable, "the access token can't be checked now", err)
	}
	if claims.IsMachine() {
		return refuse(ctx, errs.PermissionDenied, "the access token is not a user's", nil)
	}
	var data UserData
	if err := claims.Decode(&data); err != nil {
		return refuse(ctx, errs.Internal, "the access token's claims can't be read", err)
	}
	return auth.UID(claims.UserID()), &data, nil
}

// refuse logs why: err is for the log only.
func refuse(ctx context.Context, code errs.ErrCode, message string, err error) (auth.UID, *UserData, error) {
	slog.InfoContext(ctx, "request refused", "message", message, "reason", logto.Reason(err), "error", err)
	return "", nil, &errs.Error{Code: code, Message: message}
}
