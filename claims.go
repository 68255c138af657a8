package logto

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

const (
	organizationURN = "urn:logto:organization:" // + ID: the audience of an organization token
	oidcPath        = "/oidc"
	// NumericDate and string checks name the claim that they refuse.
	wantString = "want a string"
	// maxAudiences bounds what anybody can make us read; Logto's tokens have one.
	maxAudiences = 64
	wantTime     = "want a number of seconds between 1970 and 9999"
)

// Claims is what a verified access token says. It can't be changed and is safe
// for concurrent use: requests with the same token may share one value.
type Claims struct {
	payload      []byte // JSON, as it was signed
	issuer       string
	subject      string
	clientID     string
	audience     string // JSON: a string or an array of strings
	scope        string
	tokenID      string
	actor        string
	organization string
	bound        bool // to an organization, if only to an unknown one
	issuedAt     time.Time
	expiresAt    time.Time
	notBefore    time.Time  // zero if absent
	key          *publicKey // that has verified the signature
	token        tokenSum   // of the token that says all this
}

// Issuer is the iss claim: which of the configured issuers issued the token.
func (c *Claims) Issuer() string { return c.issuer }

// Subject is the sub claim, never empty: the user's ID, or for a machine the
// application's. Use UserID where only a user may be meant.
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
// known: a claim of another type, two that differ. See AnyOrganization.
func (c *Claims) OrganizationID() string { return c.organization }

// BoundToOrganization reports whether the token is bound to an organization, if
// only to one that can't be known and has no OrganizationID. Whoever asks for
// scopes by hand must ask for this too: see the function Scopes.
func (c *Claims) BoundToOrganization() bool { return c.bound }

// Scopes returns a new slice of the granted scopes. Logto drops silently what
// the user's roles don't grant; an empty list is common and no error.
func (c *Claims) Scopes() []string {
	return strings.FieldsFunc(c.scope, func(r rune) bool { return r == ' ' })
}

// HasScope reports whether the scope was granted, compared byte by byte. Ask
// for the organization as well where there are any: see Scopes.
func (c *Claims) HasScope(scope string) bool {
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
func (c *Claims) Audience() []string {
	var all []string
	c.eachAudience(func(aud string) { all = append(all, aud) })
	return all
}

func (c *Claims) eachAudience(f func(aud string)) {
	if c.audience == "" {
		return // the zero value
	}
	if aud, ok := unquote(c.audience); ok {
		f(aud)
		return
	}
	// parseClaims has checked the types.
	_ = scanArray(c.audience, func(value string) error {
		aud, _ := unquote(value)
		f(aud)
		return nil
	})
}

// IssuedAt is the iat claim.
func (c *Claims) IssuedAt() time.Time { return c.issuedAt }

// ExpiresAt is the exp claim. The token is accepted until Config.Leeway later.
func (c *Claims) ExpiresAt() time.Time { return c.expiresAt }

// TokenID is the jti claim, "" if absent.
func (c *Claims) TokenID() string { return c.tokenID }

// Actor is who acts in the subject's name after a token exchange with an actor
// token (RFC 8693 section 4.1): act.sub. It is "" if the token has no act claim.
// A JWT customizer can set act to anything; if it isn't an object with a sub,
// Actor is its JSON text, so that such a token never looks like the user's own.
func (c *Claims) Actor() string { return c.actor }

// Decode stores all claims, custom claims included, in the value that v points
// to, as encoding/json does. Errors are those of encoding/json, or tell that
// two member names differ only in case, which encoding/json would mix up.
func (c *Claims) Decode(v any) error {
	if err := checkFolding(string(c.payload)); err != nil {
		return err
	}
	if err := json.Unmarshal(c.payload, v); err != nil {
		return fmt.Errorf("logto: decoding claims: %w", err)
	}
	return nil
}

// checkFolding refuses an object that has, at any depth, two member names which
// are the same to encoding/json.
func checkFolding(object string) error {
	names := map[string]bool{}
	var check func(value string) error
	check = func(value string) error {
		switch value[0] {
		case '{':
			return checkFolding(value)
		case '[':
			return scanArray(value, check)
		}
		return nil
	}
	return scanObject([]byte(object), func(name, value string) error {
		folded := strings.ToLower(strings.ToUpper(name)) // the long s and the Kelvin sign meet s and k
		if names[folded] {
			return fmt.Errorf("logto: decoding claims: two members differ only in case: %s", cut(name))
		}
		names[folded] = true
		return check(value)
	})
}

// parseClaims reads a payload that nobody has verified yet: exact names, exact
// types (RFC 9068 section 2.2, RFC 7519 section 4.1).
func parseClaims(payload []byte) (*Claims, error) {
	c := &Claims{payload: payload}
	bad := func(name, value, want string) error {
		return refuse(ErrInvalidToken, reasonMalformed, "claim %s is %s: %s", name, cut(value), want)
	}
	err := scanObject(payload, func(name, value string) error {
		ok, want := true, wantString
		switch name {
		case "iss":
			c.issuer, ok = unquote(value)
		case "sub":
			c.subject, ok = unquote(value)
		case "client_id":
			c.clientID, ok = unquote(value)
		case "aud":
			ok, want = c.setAudience(value), "want a string or an array of at most 64 strings"
		case "scope":
			c.scope, ok = unquote(value)
		case "jti":
			c.tokenID, ok = unquote(value)
		case "exp":
			c.expiresAt, ok = numericDate(value)
			want = wantTime
		case "iat":
			c.issuedAt, ok = numericDate(value)
			want = wantTime
		case "nbf":
			c.notBefore, ok = numericDate(value)
			want = wantTime
		case "organization_id":
			id, isString := unquote(value)
			c.bindTo(id, isString)
		case "act":
			c.actor = actor(value)
		case "cnf":
			// A token bound to a key (RFC 7800, RFC 9449, RFC 8705) is no bearer token.
			return refuse(ErrInvalidToken, reasonBoundToKey, "the token is bound to a key (claim cnf): it may not be used as a bearer token")
		}
		if !ok {
			return bad(name, value, want)
		}
		return nil
	})
	switch {
	case err == errJSON:
		return nil, errPayload
	case err != nil:
		return nil, err
	case c.issuer == "":
		return nil, errNoIssuer
	case c.subject == "":
		return nil, errNoSubject
	case c.clientID == "":
		return nil, errNoClientID
	case c.audience == "":
		return nil, errNoAudience
	case c.expiresAt.IsZero():
		return nil, errNoExpiry
	case c.issuedAt.IsZero():
		return nil, errNoIssuedAt
	}
	return c, nil
}

// setAudience keeps aud and takes the organization from it, if there is one.
func (c *Claims) setAudience(value string) bool {
	n := 0
	one := func(value string) error {
		aud, ok := unquote(value)
		if n++; !ok || n > maxAudiences {
			return errJSON
		}
		if id, ok := strings.CutPrefix(aud, organizationURN); ok {
			c.bindTo(id, true)
		}
		return nil
	}
	c.audience = value
	if value[0] == '[' {
		return scanArray(value, one) == nil
	}
	return one(value) == nil
}

// bindTo notes an organization. A second one that differs, an empty one or one
// that is no string leaves the token bound to an organization that no request
// can be in.
func (c *Claims) bindTo(id string, ok bool) {
	if !ok || id == "" || c.bound && c.organization != id {
		id = ""
	}
	c.organization, c.bound = id, true
}

// actor reads the act claim: see Claims.Actor.
func actor(value string) string {
	if value == "null" {
		return ""
	}
	sub, ok := "", false
	if value[0] == '{' {
		_ = scanObject([]byte(value), func(name, value string) error {
			if name == "sub" {
				sub, ok = unquote(value)
			}
			return nil
		})
	}
	if !ok || sub == "" {
		return value
	}
	return sub
}

// contextKey is the key of a *state in a request's context.
type contextKey struct{}

// state is what Require and Optional leave in a request's context.
type state struct {
	claims       *Claims   // nil for an anonymous or refused request
	verifier     *Verifier // nil if the claims came by NewContext: nobody verified them
	organization bool      // a requirement has named the organization
}

func fromContext(ctx context.Context) *state {
	s, _ := ctx.Value(contextKey{}).(*state)
	return s
}

// NewContext returns a context in which FromContext, UserID and the others find
// c. It is for code that calls Verify itself: an RPC interceptor, a WebSocket
// handshake. Require doesn't trust such claims; it verifies the request's token.
func NewContext(ctx context.Context, c *Claims) context.Context {
	return context.WithValue(ctx, contextKey{}, &state{claims: c})
}

// FromContext returns the claims of the request's verified access token. It is
// false for an anonymous request, which only Optional lets through.
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
// or "": see Claims.OrganizationID. Where a route belongs to one organization,
// compare it by the requirement Organization rather than by hand.
func OrganizationID(ctx context.Context) string {
	if c, ok := FromContext(ctx); ok {
		return c.OrganizationID()
	}
	return ""
}

// ClaimsAs decodes the claims of the request's token into a T, usually a struct
// with json tags for custom claims: see Claims.Decode. The error is ErrNoToken
// for an anonymous request.
func ClaimsAs[T any](ctx context.Context) (T, error) {
	var v T
	c, ok := FromContext(ctx)
	if !ok {
		return v, ErrNoToken
	}
	err := c.Decode(&v)
	return v, err
}
