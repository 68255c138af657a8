// Why a request is refused: the exported errors, and the table of reasons from which
// answers, log, events, the command's hints and the documentation follow.

package logto

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/seed-70fe37f4/logto/internal/refusal"
)

// The errors that Verify returns and an ErrorHandler gets, to be told apart by
// [errors.Is], of which one is found: that of the answer. Their texts name what was got
// and wanted: they are for the log, not for the client.
var (
	// ErrNoToken: the request carries no access token.
	ErrNoToken = errors.New("logto: no access token")
	// ErrInvalidToken: this is no access token for this API.
	ErrInvalidToken = errors.New("logto: invalid access token")
	// ErrExpired: the token was valid until it expired. It is an ErrInvalidToken.
	ErrExpired = fmt.Errorf("%w: expired", ErrInvalidToken)
	// ErrRevoked: the token was valid until it was taken back. It is an
	// ErrInvalidToken. Revoked of [Config] returns it.
	ErrRevoked = fmt.Errorf("%w: revoked", ErrInvalidToken)
	// ErrForbidden: the token is valid, but a Requirement refused it.
	ErrForbidden = errors.New("logto: forbidden")
	// ErrUnavailable: not now. Logto's keys can't be had, the service is overloaded, a
	// Check can't decide, or the request's context ended before it was its turn. It says
	// nothing against the client or its token.
	ErrUnavailable = errors.New("logto: unavailable")
)

// Reason is the code, as in [Event], of an error that an ErrorHandler or a caller of
// [Verifier.Verify] got; "" if there is none. The codes are listed in
// docs/troubleshooting.md.
func Reason(err error) string {
	if e := refusal.Of(err); e != nil {
		return e.Reason.Code
	}
	return ""
}

// reasons are the rows of the table below.
var reasons []*refusal.Reason

func row(r refusal.Reason) *refusal.Reason {
	reasons = append(reasons, &r)
	refusal.Kinds = append(refusal.Kinds, r.Kind)
	return &r
}

// unauthorized, forbidden and unavailable are rows of which the answer is the
// common one.
func unauthorized(step refusal.Step, code, remedy string) *refusal.Reason {
	return row(refusal.Reason{Code: code, Kind: ErrInvalidToken, Status: 401, Challenge: refusal.WithError,
		Error: "invalid_token", Sentence: "The access token is not valid", Step: step, Remedy: remedy})
}

func forbidden(code, remedy string) *refusal.Reason {
	return row(refusal.Reason{Code: code, Kind: ErrForbidden, Status: 403,
		Error: "access_denied", Sentence: "The access token does not permit this", Remedy: remedy})
}

func unavailable(level slog.Level, step refusal.Step, code, remedy string) *refusal.Reason {
	return row(refusal.Reason{Code: code, Kind: ErrUnavailable, Status: 503, Level: level,
		Error: "temporarily_unavailable", Sentence: "The access token can't be checked now", Step: step, Remedy: remedy})
}

// The table of reasons. Whoever adds a row adds its heading to
// docs/troubleshooting.md; all else follows.
var (
	reasonNoHeader = row(refusal.Reason{Code: "no_token", Kind: ErrNoToken, Status: 401, Challenge: refusal.RealmOnly,
		Error: "unauthorized", Sentence: "An access token is needed",
		Level:  slog.LevelDebug, // every crawler
		Remedy: "standard input was empty: did the client send a token at all?"})
	reasonOtherScheme = row(refusal.Reason{Code: "no_token", Kind: ErrNoToken, Status: 401, Challenge: refusal.RealmOnly,
		Error: "unauthorized", Sentence: "An access token is needed",
		Remedy: "the word Bearer must stand before the token"})
	reasonBadRequest = row(refusal.Reason{Code: "malformed_request", Kind: ErrInvalidToken, Status: 400, Challenge: refusal.WithError,
		Error: "invalid_request", Sentence: "The Authorization header is malformed",
		Remedy: "send one Authorization header: the word Bearer, a space and the token"})
	reasonBadToken = row(refusal.Reason{Code: reasonBadRequest.Code, Kind: ErrInvalidToken, Status: 400, Challenge: refusal.WithError,
		Error: reasonBadRequest.Error, Sentence: "The request's access token can't be read",
		Remedy: "it is TokenFrom of the service's own that refuses"})

	reasonMalformed = unauthorized(refusal.Form, "malformed",
		"copy the whole access token, as the client sent it: three parts with two dots. If it is whole, it isn't as Logto issues it")
	reasonMalformedClaims = unauthorized(refusal.Claims, "malformed",
		"Logto issues no such token: it is another issuer's, or a JWT customizer has set the claim")
	reasonOpaque = unauthorized(refusal.Form, "opaque_token",
		"in React, LogtoConfig.resources must have the identifier of this API, and getAccessToken gets it as its argument; then sign in anew. A machine sends it as resource with its token request")
	reasonType = unauthorized(refusal.Type, "wrong_type",
		"an ID token only tells the page who signed in; what the API wants comes from getAccessToken(resource), never from getIdToken")
	reasonAlgorithm = unauthorized(refusal.Algorithm, "algorithm",
		"the token is from another issuer, or forged")
	reasonBoundToKey = unauthorized(refusal.Claims, "bound_to_key",
		"take cnf out of the JWT customizer: Logto itself sets none")
	reasonIssuer = unauthorized(refusal.Issuer, "issuer",
		"the issuer is Logto's public address + /oidc: set Config.Endpoint to that address, without /oidc")
	reasonAudience = unauthorized(refusal.Audience, "audience",
		"Config.Audiences, the API identifier in the console and the resource that the client asks for must be the same, byte by byte")
	reasonClient = unauthorized(refusal.Client, "client",
		"add the application to Config.ClientIDs, each ID a string of its own, if it may call this API")
	reasonExpired = row(refusal.Reason{Code: "expired", Kind: ErrExpired, Status: 401, Challenge: refusal.WithDescription,
		Error: "invalid_token", Sentence: "The access token expired", Step: refusal.Times,
		Remedy: "get a new token: getAccessToken renews it, a machine requests another. If new tokens expire at once, compare the clocks, and the token's lifetime under API resources in the console"})
	reasonNotYetValid = unauthorized(refusal.Times, "not_yet_valid",
		"set the clocks right (NTP), of this machine and of Logto's. Logto sets no nbf: if it is that which lies ahead, a JWT customizer has set it")
	reasonUnknownKey = unauthorized(refusal.Key, "unknown_key",
		"is the endpoint that of the tenant which issued the token? If so, its key was rotated out: get a new token. Several Issuers must share one key set, as the domains of one tenant do; another Logto is another Config for logto.New")
	reasonSignature = unauthorized(refusal.Signature, "signature",
		"the token was changed on its way, or forged")

	reasonRevoked = row(refusal.Reason{Code: "revoked", Kind: ErrRevoked, Status: 401, Challenge: refusal.WithDescription,
		Error: "invalid_token", Sentence: "The access token was revoked",
		Remedy: "get a new token; where there is none, because the user is suspended or deleted, sign in anew"})

	reasonScope = row(refusal.Reason{Code: "missing_scope", Kind: ErrForbidden, Status: 403, Challenge: refusal.WithError,
		Error: "insufficient_scope", Sentence: "The access token lacks a scope",
		Remedy: "give the user a role with this permission of this API, let the page ask for it in scopes, then get a new token"})
	reasonOrganization = forbidden("organization",
		"the client must ask for the organization, getAccessToken(resource, organizationId), and the route must name it, logto.Organization(…)")
	reasonNoOrganization = row(refusal.Reason{Code: "no_organization", Kind: ErrForbidden, Status: 403,
		Error: reasonOrganization.Error, Sentence: reasonOrganization.Sentence,
		Level:  slog.LevelWarn, // the service's own mistake, which no client can mend
		Remedy: "the route must get the organization from where it is: logto.OrganizationPath with the name in the pattern, inside the mux"})
	reasonKind = forbidden("user_or_machine",
		"use a route without logto.Users or logto.Machines, or another kind of client")
	reasonCheck = forbidden("check", "it is a Check of the service's own that refuses")

	reasonKeys = unavailable(slog.LevelWarn, refusal.Key, "keys_unavailable",
		"logto doctor, with the same flags, says more")
	reasonNewKey = unavailable(slog.LevelInfo, refusal.Key, "key_not_yet_known",
		"ask again in a moment: the key may have been rotated in just now. If it lasts, the token is from another Logto, or forged")
	reasonOverload = unavailable(slog.LevelInfo, refusal.Signature, "overload",
		"limit requests per client in front of the service")
	reasonRevocationUnavailable = unavailable(slog.LevelWarn, refusal.NoStep, "revocation_unavailable",
		"the list of revocations can't decide: look at its log, and at its store")
	reasonCheckUnavailable = unavailable(slog.LevelWarn, refusal.NoStep, "check_unavailable",
		"a Check of the service's own can't decide: look at what it asks, a database for instance")
	reasonTokenUnavailable = unavailable(slog.LevelWarn, refusal.NoStep, "token_unavailable",
		"TokenFrom of the service's own can't decide: look at what it asks, a store of sessions for instance")
	// Whoever waits learns that its request ended, and nothing of what it waited for.
	reasonDeadline = unavailable(slog.LevelInfo, refusal.Key, "deadline_exceeded",
		"give requests more time, or look for what they wait for")
	reasonCanceled = unavailable(slog.LevelDebug, refusal.Key, "canceled", // whoever likes can do that
		"nothing: the client left")

	// reasonForeign is the answer to an error that is none of this package's, and
	// no reason: it has no code.
	reasonForeign = &refusal.Reason{Status: 500, Error: "server_error", Sentence: "The request failed"}
)

// reasonOf is the row for an error of an ErrorHandler: the refusal's, or that of the
// exported error in it. What a Check returned is the cause of a refusal; it doesn't
// decide.
func reasonOf(err error) *refusal.Reason {
	if e := refusal.Of(err); e != nil {
		return e.Reason
	}
	switch {
	case errors.Is(err, ErrForbidden):
		return reasonCheck
	case errors.Is(err, ErrUnavailable), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return reasonKeys
	case errors.Is(err, ErrNoToken):
		return reasonNoHeader
	case errors.Is(err, ErrExpired):
		return reasonExpired
	case errors.Is(err, ErrRevoked):
		return reasonRevoked
	case errors.Is(err, ErrInvalidToken):
		return reasonMalformed
	}
	return reasonForeign
}

// ended is the refusal of a request that waited until its context ended, or nil if that
// goes on. Who canceled it, mostly a client that left, does so at will and says nothing
// of what was waited for; nor does a deadline, which may be short.
func ended(ctx context.Context, waitedFor string) error {
	cause := ctx.Err()
	if cause == nil {
		return nil
	}
	reason := reasonCanceled
	if errors.Is(cause, context.DeadlineExceeded) {
		reason = reasonDeadline
	}
	if why := context.Cause(ctx); why != cause {
		cause = fmt.Errorf("%w (%w)", cause, why)
	}
	return &refusal.Refusal{Reason: reason, Text: "the request ended while it waited for " + waitedFor, Cause: cause}
}

// revocation makes a refusal of what Revoked of Config returned: ErrRevoked refuses the
// token, any other error says nothing against it.
func revocation(err error) error {
	switch {
	case err == nil:
		return nil
	case err == ErrRevoked: // which says no more than the row
		return refusal.New(reasonRevoked, "the token was taken back")
	case errors.Is(err, ErrRevoked):
		return &refusal.Refusal{Reason: reasonRevoked, Text: "the token was taken back", Cause: err}
	}
	return &refusal.Refusal{Reason: reasonRevocationUnavailable, Text: "it can't be told whether the token was taken back", Cause: err}
}
