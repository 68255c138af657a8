// Package hello is a service whose endpoint needs a token.
package hello

import (
	"context"

	"encore.dev/beta/auth"
	"encore.dev/beta/errs"

	"github.com/seed-70fe37f4/logto/examples/encore/core"
)

// Response is the answer of Hello.
type Response struct {
	Message string `json:"message"`
	Plan    string `json:"plan"`
}

// Hello greets the user. The word auth makes Encore ask the auth handler; on a
// public endpoint it takes a request with a bad token for an anonymous one.
//
//encore:api auth method=GET path=/hello
func Hello(context.Context) (*Response, error) {
	uid, ok := auth.UserID()
	data, hasData := auth.Data().(*core.UserData)
	if !ok || uid == "" || !hasData {
		return nil, &errs.Error{Code: errs.Internal, Message: "no user"}
	}
	return &Response{Message: "Hello, " + string(uid) + "!", Plan: data.Plan}, nil
}
