// Package auth is the service that holds the auth handler.
package auth

import (
	"context"

	"encore.dev/beta/auth"
	"encore.dev/config"

	"github.com/seed-70fe37f4/logto/examples/encore/core"
)

// Config is set in config.cue.
type Config struct {
	Issuer               config.String
	JwksUri              config.String
	ApiResourceIndicator config.String
	ClientId             config.String
}

var cfg = config.Load[*Config]()

// Service exists so that a wrong configuration is an error of its start.
//
//encore:service
type Service struct{ authenticator *core.Authenticator }

//lint:ignore U1000 Encore calls it.
func initService() (*Service, error) {
	authenticator, err := core.New(core.Config{
		Issuer:      cfg.Issuer(),
		JWKSURI:     cfg.JwksUri(),
		APIResource: cfg.ApiResourceIndicator(),
		ClientID:    cfg.ClientId(),
	})
	if err != nil {
		return nil, err
	}
	return &Service{authenticator}, nil
}

// AuthHandler tells Encore who calls.
//
//encore:authhandler
func (s *Service) AuthHandler(ctx context.Context, token string) (auth.UID, *core.UserData, error) {
	return s.authenticator.Authenticate(ctx, token)
}
