// Package auth is the service that holds the auth handler. It is all that needs the
// encore command: what the handler decides is in package logtoauth.
package auth

import (
	"context"

	"encore.dev/beta/auth"
	"encore.dev/config"
	"encore.dev/rlog"

	"github.com/seed-70fe37f4/logto/examples/encore/backend/auth/logtoauth" // yours: encore.app/backend/auth/logtoauth
)

// LogtoAuthConfig is set in auth-config.cue, under the names of Encore's guide.
type LogtoAuthConfig struct {
	Issuer               config.String // https://tenant.logto.app/oidc
	JwksUri              config.String // https://tenant.logto.app/oidc/jwks
	ApiResourceIndicator config.String // the API identifier
	ClientId             config.String // the App ID of the only application that may call
}

var authConfig = config.Load[*LogtoAuthConfig]()

// Service keeps the authenticator, and with it the keys and the tokens that it
// knows, from request to request.
//
//encore:service
type Service struct{ authenticator *logtoauth.Authenticator }

// initService fails for a wrong configuration, and the app with it at its start.
//
//lint:ignore U1000 Encore calls it.
func initService() (*Service, error) {
	authenticator, err := logtoauth.New(logtoauth.Config{
		Issuer:      authConfig.Issuer(),
		JWKSURI:     authConfig.JwksUri(),
		APIResource: authConfig.ApiResourceIndicator(),
		ClientID:    authConfig.ClientId(),
		Log:         rlog.Info,
	})
	if err != nil {
		return nil, err
	}
	return &Service{authenticator}, nil
}

// AuthParams is what Encore reads of a request. A struct, not a string: Encore
// redacts its fields in the trace of the auth handler, where a string is shown. The
// README tells the rest.
type AuthParams struct {
	Authorization string `header:"Authorization"`
}

// AuthHandler tells Encore who calls.
//
//encore:authhandler
func (s *Service) AuthHandler(ctx context.Context, p *AuthParams) (auth.UID, *logtoauth.UserData, error) {
	return s.authenticator.Authenticate(ctx, p.Authorization)
}
