// What a handler is told: the claims of a verified token, and how it finds them in
// the request's context.

package logto

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/seed-70fe37f4/logto/internal/quote"
	"github.com/seed-70fe37f4/logto/internal/strictjson"
)

// Claims is what a verified access token says. It can't be changed and is safe
// for concurrent use: requests with the same token may share one value.
type Claims struct {
	payload      *string // JSON, as it was signed; a pointer, so that printing what holds Claims doesn't print it
	issuer       string
	subject      string
	clientID     string
	audiences    []string
	scope        string
	tokenID      string
	actor        string
	actorKnown   bool // actor is an act.sub
	organization string
	bound        bool // to an organization, if only to an unknown one
	issuedAt     time.Time
	expiresAt    time.Time
	notBefore    time.Time // zero if absent
}

// Issuer is the iss claim: which of the configured issuers issued the token.
func (c *Claims) Issuer() string { return c.issuer }

// Subject is the sub claim, never empty: the user's ID, or for a machine the
// application's. Use [Claims.UserID] where only a user may be meant.
func (c *Claims) Subject() string { return c.subject }

// ClientID is the client_id claim, never empty: the application that asked for
// the token.
func (c *Claims) ClientID() string { return c.clientID }

// IsMachine reports whether an application acts for itself, without a user
// (the client credentials grant). Logto then sets sub to the client ID.
func (c *Claims) IsMachine() bool { return c.subject == c.clientID }

// UserID is the subject if it is a user, and "" for a machine.
func (c *Claims) UserID() string {
	if c.IsMachine() {
		return ""
	}
	return c.subject
}

// OrganizationID is the organization that the token is bound to: the
// organization_id claim, or what follows urn:logto:organization: in the
// audience. It is "" for a token that is bound to none, or to one that can't be
// known: a claim of another type, two that differ. So "" is no organization to compare
// with: where the other side may be "" too, use [Claims.HasScopeIn] or [Organization].
func (c *Claims) OrganizationID() string { return c.organization }

// BoundToOrganization reports whether the token is bound to an organization, if
// only to one that can't be known and has no OrganizationID.
func (c *Claims) BoundToOrganization() bool { return c.bound }

// Scopes returns a new slice of the granted scopes, whatever organization the token is
// bound to: it is to show them. To decide by a scope, ask [Claims.HasScope] or
// [Claims.HasScopeIn]. Logto drops silently what the user's roles don't grant; an empty
// list is common and no error.
func (c *Claims) Scopes() []string {
	return strings.FieldsFunc(c.scope, func(r rune) bool { return r == ' ' })
}

// HasScope reports whether a token that is bound to no organization grants the scope,
// compared byte by byte. It is false for every token that is bound to one, known or not:
// who is an admin in an organization of their own must not pass as an admin everywhere.
// A true says nothing about any organization, for such a token carries the scopes of all
// the user's organizations: see the function [Scopes].
func (c *Claims) HasScope(scope string) bool { return !c.bound && c.grants(scope) }

// HasScopeIn reports whether the token is bound to this organization and grants the scope,
// compared byte by byte. It is false for an organization of "". A true proves that the
// user, or the machine, is a member, but not that the organization gave the scope: see the
// function [Organization].
func (c *Claims) HasScopeIn(organization, scope string) bool {
	return organization != "" && c.organization == organization && c.grants(scope)
}

// grants reports whether the scope is in the token, whatever organization it is for.
func (c *Claims) grants(scope string) bool {
	if scope == "" {
		return false
	}
	for rest := c.scope; rest != ""; {
		var one string
		if one, rest, _ = strings.Cut(rest, " "); one == scope {
			return true
		}
	}
	return false
}

// Audience returns a new slice of the aud claim. At least one is configured.
func (c *Claims) Audience() []string { return slices.Clone(c.audiences) }

// IssuedAt is the iat claim.
func (c *Claims) IssuedAt() time.Time { return c.issuedAt }

// ExpiresAt is the exp claim. The token is accepted until the Leeway of [Config] later.
func (c *Claims) ExpiresAt() time.Time { return c.expiresAt }

// TokenID is the jti claim, "" if absent.
func (c *Claims) TokenID() string { return c.tokenID }

// Actor is who acts in the subject's name after a token exchange with an actor
// token (RFC 8693 section 4.1): act.sub. It is "" if the token has no act claim.
// A JWT customizer can set act to anything; if it isn't an object with a sub,
// Actor is its JSON text, so that such a token never looks like the user's own.
func (c *Claims) Actor() string { return c.actor }

// Decode stores all claims, custom claims included, in the value that v points to, as
// encoding/json does, with one difference: no claim is taken for another that differs
// from it in case only.
//
//   - A struct field with a name in its json tag is filled by the claim of exactly that
//     name, at any depth.
//   - A field without a tag is filled by the claim of its name in any case. If two claims
//     fit, that is an error. The claims that this package reads itself (sub, scope,
//     organization_id and so on) fit in their own spelling only, so that no custom claim
//     Sub stands in for sub.
//   - In maps and interfaces all names are kept as they are.
//   - A type with an UnmarshalJSON of its own gets the JSON as it was signed, and must
//     see to it that it doesn't mix up names. If v itself is one, other than a
//     json.RawMessage, a claim such as Sub is an error.
//
// Numbers are exact in fields of integer types, json.Number and json.RawMessage; in an
// any they are float64. Errors are those of encoding/json, or as above. What v keeps is
// its own: later changes to it reach no other request.
func (c *Claims) Decode(v any) error {
	payload := ""
	if c.payload != nil {
		payload = *c.payload
	}
	if err := strictjson.Decode(payload, v, registered); err != nil {
		return fmt.Errorf("logto: decoding claims: %w", err)
	}
	return nil
}

// registered are the claims that parseClaims reads. A customizer can't set most of them,
// but it can set one that differs in case.
var registered = []string{"iss", "sub", "client_id", "aud", "scope", "jti", "exp", "iat", "nbf", "organization_id", "act", "cnf"}

// String gives the IDs in the claims and the token's times, for a log. It is all that
// package fmt prints of Claims, whatever the verb: custom claims may hold personal data.
func (c *Claims) String() string {
	if c == nil {
		return "<nil>"
	}
	var b strings.Builder
	for i, attr := range c.attrs() {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(attr.Key + "=")
		if attr.Value.Kind() == slog.KindTime {
			b.WriteString(stamp(attr.Value.Time()))
		} else {
			b.WriteString(quote.String(attr.Value.String()))
		}
	}
	return b.String()
}

// Format makes String what package fmt prints, %#v and %d included.
func (c Claims) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// LogValue is a [slog.LogValuer]'s: a group of what String gives.
func (c *Claims) LogValue() slog.Value {
	if c == nil {
		return slog.Value{}
	}
	return slog.GroupValue(c.attrs()...)
}

// attrs are the IDs, by the names of their claims, and the times.
func (c *Claims) attrs() []slog.Attr {
	const (
		notKnown = "(unknown)" // set to something else than an ID
		longest  = 256         // bytes; Logto's IDs have 21, but a client ID may be a URL
	)
	id := func(name, value string) slog.Attr { return slog.String(name, quote.Cut(value, longest)) }
	attrs := []slog.Attr{id("sub", c.subject), id("client_id", c.clientID)}
	if c.bound {
		attrs = append(attrs, id("organization_id", cmp.Or(c.organization, notKnown)))
	}
	switch {
	case c.actorKnown:
		attrs = append(attrs, id("act", c.actor))
	case c.actor != "":
		attrs = append(attrs, id("act", notKnown))
	}
	if c.tokenID != "" {
		attrs = append(attrs, id("jti", c.tokenID))
	}
	return append(attrs, slog.Time("iat", c.issuedAt), slog.Time("exp", c.expiresAt))
}

// MarshalJSON always fails: Claims may hold personal data, which shouldn't get into an
// answer or a log by being part of something else. Decode takes out what is needed.
func (c Claims) MarshalJSON() ([]byte, error) {
	return nil, errors.New("logto: Claims have no JSON: take from them what is needed, or all as they were signed by Decode into a json.RawMessage")
}

// UnmarshalJSON always fails: Claims come from a token that a [Verifier] has verified.
func (c *Claims) UnmarshalJSON([]byte) error {
	return errors.New("logto: Claims can't be made from JSON: keep the token and verify it again; for tests see package logtotest")
}

// contextKey is the key of a *state in a request's context.
type contextKey struct{}

// state is what Require and Optional leave in a request's context.
type state struct {
	claims       *Claims     // nil for an anonymous or refused request
	token        *verified   // that says so; nil if the claims came by NewContext: nobody verified them
	verifier     *Verifier   // nil by NewContext
	organization bool        // a requirement has named the organization
	accepted     atomic.Bool // the requirements are met; while they are asked, nothing may build on them
	// pending is the event of an accepted request, until its handler has returned or a
	// middleware within takes it for its own. Nil if nobody wants to know.
	pending atomic.Pointer[Event]
}

// vouchesFor reports whether v itself has accepted this very token.
func (s *state) vouchesFor(v *Verifier, token string) bool {
	return s.accepted.Load() && s.token != nil && s.verifier == v && s.token.sum == sumOf(token)
}

// request is a copy of r with s in its context. What is set in it is given back: see
// giveBack.
func (s *state) request(r *http.Request) *http.Request {
	inner := r.WithContext(context.WithValue(r.Context(), contextKey{}, s))
	shareTrailer(r, inner)
	return inner
}

func fromContext(ctx context.Context) *state {
	s, _ := ctx.Value(contextKey{}).(*state)
	return s
}

// errNoMiddleware is a mistake of the service's, not of the client's.
var errNoMiddleware = fmt.Errorf("%w: the context has no claims: is this handler behind Require or Optional, and is it the request's own context?", ErrNoToken)

// NewContext returns a context in which [FromContext], [UserID] and the others find
// c. It is for code that calls [Verifier.Verify] itself: an RPC interceptor, a
// WebSocket handshake. [Require] doesn't trust such claims; it verifies the request's
// token.
func NewContext(ctx context.Context, c *Claims) context.Context {
	return context.WithValue(ctx, contextKey{}, &state{claims: c})
}

// FromContext returns the claims of the request's verified access token. It is
// false for an anonymous request, which [Optional] lets through, and [InsecureReportOnly].
// In the functions of a [Requirement] it returns the claims that are decided about, and in
// an ErrorHandler those of a good token that doesn't meet one.
func FromContext(ctx context.Context) (*Claims, bool) {
	if s := fromContext(ctx); s != nil && s.claims != nil {
		return s.claims, true
	}
	return nil, false
}

// UserID returns the ID of the user that the request acts for. It is "" for an
// anonymous request and for a machine, so that no application's ID ends up in a
// table of users.
func UserID(ctx context.Context) string {
	if c, ok := FromContext(ctx); ok {
		return c.UserID()
	}
	return ""
}

// OrganizationID returns the organization that the request's token is bound to,
// or "": see [Claims.OrganizationID]. Where a route belongs to one organization,
// compare it by the requirement [Organization] rather than by hand.
func OrganizationID(ctx context.Context) string {
	if c, ok := FromContext(ctx); ok {
		return c.OrganizationID()
	}
	return ""
}

// ClaimsAs decodes the claims of the request's token into a T, usually a struct
// with json tags for custom claims: see [Claims.Decode]. The error is [ErrNoToken]
// for an anonymous request, and where neither [Require] nor [Optional] stands before.
func ClaimsAs[T any](ctx context.Context) (T, error) {
	var v T
	c, ok := FromContext(ctx)
	switch {
	case !ok && fromContext(ctx) == nil:
		return v, errNoMiddleware
	case !ok:
		return v, ErrNoToken
	}
	err := c.Decode(&v)
	return v, err
}
