// Package api is the service whose endpoints need a token.
package api

import (
	"context"

	"encore.dev/beta/auth"
	"encore.dev/beta/errs"

	"github.com/seed-70fe37f4/logto/examples/encore/backend/auth/logtoauth"
)

// Response is the answer of Api.
type Response struct{ Message string }

// Api greets the user, as the guide's endpoint does: it needs no change for this
// auth handler. The word auth makes Encore ask the auth handler; on a public endpoint
// Encore takes a request with a bad token for an anonymous one.
//
//encore:api auth path=/api/hello
func Api(context.Context) (*Response, error) {
	user, ok := auth.UserID()
	if !ok {
		return nil, &errs.Error{Code: errs.Internal, Message: "no user"}
	}
	return &Response{Message: "Hello, " + string(user) + "!"}, nil
}

// PlanResponse is the answer of Plan.
type PlanResponse struct{ Plan string }

// Plan shows what an endpoint does with custom claims.
//
//encore:api auth method=GET path=/api/plan
func Plan(context.Context) (*PlanResponse, error) {
	data, ok := auth.Data().(*logtoauth.UserData)
	if !ok {
		return nil, &errs.Error{Code: errs.Internal, Message: "no user data"}
	}
	if data.Plan == "" {
		return nil, &errs.Error{Code: errs.PermissionDenied, Message: "no plan"}
	}
	return &PlanResponse{Plan: data.Plan}, nil
}
