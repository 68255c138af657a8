// Package logtoauth decides what an Encore auth handler says of a request. It has
// nothing in it that panics without the encore command, such as config.Load or rlog:
// so go test can test it.
package logtoauth

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"encore.dev/beta/auth"
	"encore.dev/beta/errs"

	"github.com/seed-70fe37f4/logto"
)

// Config is what the auth handler must know of Logto, and where it logs. All but
// Log is needed.
type Config struct {
	Issuer      string // https://tenant.logto.app/oidc
	JWKSURI     string // https://tenant.logto.app/oidc/jwks
	APIResource string // the API identifier, under API resources in the console
	ClientID    string // the App ID of the only application that may call

	// Log gets a line for each refused request, with its reason: rlog.Info, whose
	// lines have the trace ID and the endpoint, which slog's lack. Nil is no line.
	Log func(msg string, keysAndValues ...any)
}

// UserData is what an endpoint finds in auth.Data, of the custom claims that a
// script under Custom JWT in the console adds:
//
//	const getCustomJwtClaims = async ({ context }) =>
//	  ({ plan: context.user.customData.plan });
//
// Encore keeps all of it in its traces, whatever the tags say: no name, no email.
type UserData struct {
	Plan string `json:"plan"` // "" without such a claim
}

// Authenticator checks access tokens. It is safe for concurrent use.
type Authenticator struct {
	verifier *logto.Verifier
	log      func(msg string, keysAndValues ...any)
}

// New checks the configuration, without I/O. Its error tells what to change.
func New(cfg Config) (*Authenticator, error) {
	// Encore's guide shows an issuer without it, which no token has.
	if !strings.HasSuffix(cfg.Issuer, "/oidc") {
		return nil, fmt.Errorf("the issuer is %q: Logto's ends in /oidc, and the address of its keys in /oidc/jwks", cfg.Issuer)
	}
	v, err := logto.New(logto.Config{
		Issuers:   []string{cfg.Issuer},
		JWKSURL:   cfg.JWKSURI,
		Audiences: []string{cfg.APIResource},
		ClientIDs: []string{cfg.ClientID},
	})
	if err != nil {
		return nil, err
	}
	log := cfg.Log
	if log == nil {
		log = func(string, ...any) {}
	}
	return &Authenticator{v, log}, nil
}

// Authenticate decides about the value of an Authorization header. An error is
// always an *errs.Error with a fixed message, as the client sees it:
// [errs.Unauthenticated] for no token or a bad one, [errs.PermissionDenied] for a
// machine's, [errs.Unavailable] if the token can't be checked now, [errs.Internal] if
// a custom claim isn't what [UserData] wants. Without an error there is always a user:
// Encore lets a request through that has no error and no UID.
func (a *Authenticator) Authenticate(ctx context.Context, authorization string) (auth.UID, *UserData, error) {
	claims, err := a.verifier.Verify(ctx, bearerToken(authorization))
	switch {
	case err == nil:
	case errors.Is(err, logto.ErrNoToken), errors.Is(err, logto.ErrInvalidToken):
		return a.refuse(errs.Unauthenticated, "a valid access token is needed", logto.Reason(err), err)
	default:
		// The keys are missing, or the caller has left: nothing is known of the
		// token, and the client shall not sign in again.
		return a.refuse(errs.Unavailable, "the access token can't be checked now", logto.Reason(err), err)
	}
	if claims.IsMachine() {
		return a.refuse(errs.PermissionDenied, "the access token is not a user's", "machine",
			fmt.Errorf("the token is that of application %s", claims.ClientID()))
	}
	var data UserData
	if err := claims.Decode(&data); err != nil {
		return a.refuse(errs.Internal, "the access token's claims can't be read", "custom_claims", err)
	}
	return auth.UID(claims.UserID()), &data, nil
}

// bearerToken is the token of an Authorization header, "" if it has another scheme
// (RFC 6750 section 2.1; the scheme's letters may have any case, RFC 9110 section 11.1).
func bearerToken(authorization string) string {
	scheme, token, _ := strings.Cut(authorization, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimLeft(token, " ")
}

// refuse logs why: reason and err are for the log only.
func (a *Authenticator) refuse(code errs.ErrCode, message, reason string, err error) (auth.UID, *UserData, error) {
	a.log("request refused", "message", message, "reason", reason, "error", err.Error())
	return "", nil, &errs.Error{Code: code, Message: message}
}
