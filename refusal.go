// Why a request is refused: the exported errors, the table of reasons from which
// answers, log, events, the command's hints and the documentation follow, and the
// texts of refusals with the likely mistake.

package logto

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"

	"github.com/seed-70fe37f4/logto/internal/policy"
	"github.com/seed-70fe37f4/logto/internal/quote"
	"github.com/seed-70fe37f4/logto/internal/refusal"
)

// The errors that Verify returns and an ErrorHandler gets, to be told apart by
// [errors.Is]. Their texts name what was got and wanted: they are for the log, not
// for the client.
var (
	// ErrNoToken: the request carries no access token.
	ErrNoToken = errors.New("logto: no access token")
	// ErrInvalidToken: this is no access token for this API.
	ErrInvalidToken = errors.New("logto: invalid access token")
	// ErrExpired: the token was valid until it expired. It is an ErrInvalidToken.
	ErrExpired = fmt.Errorf("%w: expired", ErrInvalidToken)
	// ErrForbidden: the token is valid, but a Requirement refused it.
	ErrForbidden = errors.New("logto: forbidden")
	// ErrUnavailable: not now. Logto's keys can't be had, the service is overloaded,
	// or the caller's time is up. It says nothing against the client or its token.
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

	reasonMalformed = unauthorized(refusal.Form, "malformed",
		"copy the whole access token, as the client sent it: three parts with two dots. If it is whole, it isn't as Logto issues it")
	reasonMalformedClaims = unauthorized(refusal.Claims, "malformed", reasonMalformed.Remedy)
	reasonOpaque          = unauthorized(refusal.Form, "opaque_token",
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
		"add the application to Config.ClientIDs, if it may call this API")
	reasonExpired = row(refusal.Reason{Code: "expired", Kind: ErrExpired, Status: 401, Challenge: refusal.WithDescription,
		Error: "invalid_token", Sentence: "The access token expired", Step: refusal.Times,
		Remedy: "get a new token: getAccessToken renews it. If new tokens expire at once, compare the clocks, and the token's lifetime under API resources in the console"})
	reasonNotYetValid = unauthorized(refusal.Times, "not_yet_valid",
		"set the clocks right (NTP), of this machine and of Logto's")
	reasonUnknownKey = unauthorized(refusal.Key, "unknown_key",
		"is the endpoint that of the tenant which issued the token? If so, its key was rotated out: sign in anew")
	reasonSignature = unauthorized(refusal.Signature, "signature",
		"the token was changed on its way, or forged")

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
	reasonOverload = unavailable(slog.LevelInfo, refusal.Signature, "overload",
		"limit requests per client in front of the service")

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
	case errors.Is(err, ErrUnavailable), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return reasonKeys
	case errors.Is(err, ErrNoToken):
		return reasonNoHeader
	case errors.Is(err, ErrExpired):
		return reasonExpired
	case errors.Is(err, ErrInvalidToken):
		return reasonMalformed
	case errors.Is(err, ErrForbidden):
		return reasonCheck
	}
	return reasonForeign
}

// Refusals without anything of the token in them are made once: refusing noise
// must cost next to nothing.
var (
	errNoHeader    = refusal.New(reasonNoHeader, "want Authorization: Bearer and an access token")
	errOtherScheme = refusal.New(reasonOtherScheme, "the Authorization header has another scheme than Bearer")
	errTwoHeaders  = refusal.New(reasonBadRequest, "more than one Authorization header")
	errCredentials = refusal.New(reasonBadRequest, "malformed Authorization header: want the word Bearer, a space and one token")

	errTooLong    = refusal.New(reasonMalformed, "the token has over %d bytes", maxToken)
	errParts      = refusal.New(reasonMalformed, "the token has not three parts")
	errEncoding   = refusal.New(reasonMalformed, "a part of the token is not strict base64url")
	errLongHeader = refusal.New(reasonMalformed, "the token's header has over %d characters", maxHeader)
	errHeader     = refusal.New(reasonMalformed, "the token's header is not one well-formed JSON object")
	errKeyID      = refusal.New(reasonMalformed, "the token's header has no usable kid")
	errOpaque     = refusal.New(reasonOpaque, "the token is opaque, no JWT: the client must ask for this API's resource (React: resources in LogtoConfig and getAccessToken(resource); machine: the resource parameter)")
	errJSWord     = refusal.New(reasonOpaque, "the client sent the word undefined or null for a token: getAccessToken gave nothing; is the user signed in, is the resource in LogtoConfig.resources?")

	errPayload    = refusal.New(reasonMalformedClaims, "the token's payload is not one well-formed JSON object")
	errNoIssuer   = refusal.New(reasonMalformedClaims, "claim iss is missing or empty")
	errNoSubject  = refusal.New(reasonMalformedClaims, "claim sub is missing or empty")
	errNoAudience = refusal.New(reasonMalformedClaims, "claim aud is missing")
	errNoExpiry   = refusal.New(reasonMalformedClaims, "claim exp is missing")
	errNoIssuedAt = refusal.New(reasonMalformedClaims, "claim iat is missing")
	errNoClientID = refusal.New(reasonType, "claim client_id is missing or empty: is this an ID token?")
	errBoundToKey = refusal.New(reasonBoundToKey, "the token is bound to a key (claim cnf): it may not be used as a bearer token")

	errSignature = refusal.New(reasonSignature, "the signature is wrong")
)

// notCompact is for a token that has not three parts.
func notCompact(token string) error {
	switch {
	case token == "undefined" || token == "null":
		return errJSWord
	case !strings.Contains(token, "."):
		return errOpaque
	}
	return errParts
}

func wrongType(typ string) error {
	hint := ""
	switch strings.ToLower(typ) {
	case "", "jwt":
		hint = ": this looks like an ID token; the client must send the access token, from getAccessToken(resource)"
	case "logout+jwt":
		hint = ": this is a logout token"
	}
	return refusal.New(reasonType, "typ %s: want 'at+jwt'%s", quote.String(typ), hint)
}

func unknownKey(id string) error {
	return refusal.New(reasonUnknownKey, "the key set has no key %s: the token is from another Logto, or its key was rotated out", quote.String(id))
}

func (v *Verifier) wrongIssuer(got string) error {
	return refusal.New(reasonIssuer, "issuer %s: want %s%s", quote.String(got), quote.List(v.cfg.Issuers), v.issuerHint(got))
}

func (v *Verifier) issuerHint(got string) string {
	for _, want := range v.cfg.Issuers {
		switch {
		case got == strings.TrimRight(want, "/")+policy.OIDCPath:
			return "; the configured issuer lacks /oidc"
		case strings.TrimRight(got, "/") == strings.TrimRight(want, "/"):
			return "; they differ by a slash"
		case strings.TrimPrefix(got, "http://") == strings.TrimPrefix(want, "https://"):
			return "; Logto calls itself by http: behind a TLS proxy, set its ENDPOINT to the https address and TRUST_PROXY_HEADER=1"
		}
	}
	return "; a tenant with a custom domain has two issuers: list both in Config.Issuers"
}

func (v *Verifier) wrongAudience(c *Claims) error {
	return refusal.New(reasonAudience, "audience %s: want %s%s", quote.List(c.Audience()), quote.List(v.cfg.Audiences), v.audienceHint(c))
}

func (v *Verifier) audienceHint(c *Claims) string {
	all := c.Audience()
	for _, got := range all[:min(len(all), 5)] {
		for _, want := range v.cfg.Audiences {
			if strings.TrimRight(got, "/") == strings.TrimRight(want, "/") {
				return "; they differ by a slash"
			}
		}
		if u, err := url.Parse(got); err == nil && strings.HasSuffix(u.Host, ".logto.app") && u.Path == "/api" {
			return "; this token is for Logto's Management API"
		}
		if strings.HasPrefix(got, organizationURN) {
			return "; this is an organization token: set Config.OrganizationTokens if this API takes them, else the client must ask for the API's resource together with the organization"
		}
	}
	return "; the client must ask for this API's resource indicator, byte by byte as in the Logto console"
}

func missingScope(want string, scopes []string, c *Claims) *refusal.Refusal {
	hint := ""
	if c.scope == "" {
		hint = "; Logto drops what isn't granted: has the user a role with it, did the client ask for it?"
	}
	return refusal.New(reasonScope, "scopes %s: want %s of %s%s", quote.String(c.scope), want, quote.String(strings.Join(scopes, " ")), hint)
}
