// Logout tokens (OpenID Connect Back-Channel Logout 1.0), which Logto sends when a user
// signs out.

package logto

import (
	"context"
	"slices"
	"time"

	"github.com/seed-70fe37f4/logto/internal/quote"
	"github.com/seed-70fe37f4/logto/internal/refusal"
	"github.com/seed-70fe37f4/logto/internal/strictjson"
)

// logoutEvent is the member of events that makes a logout token of a token.
const logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

// LogoutToken is what a verified logout token says: a user has signed out of one
// application.
//
// It can be matched with access tokens by subject and time only: those of the user that
// were issued until then, on all devices. SessionID is not in access tokens.
type LogoutToken struct {
	Subject   string    // sub; "" if the token names only a session
	SessionID string    // sid, as in the ID token; "" if absent
	ClientID  string    // the application, of those that were asked for
	TokenID   string    // jti, never empty
	IssuedAt  time.Time // iat
	ExpiresAt time.Time // exp; it is accepted until the Leeway of Config later
}

// VerifyLogoutToken verifies a logout token for one of the given applications, by the
// same keys and as strictly as an access token: typ logout+jwt, issuer, audience, times,
// jti, the logout event, no nonce (Back-Channel Logout 1.0 section 2.6). It doesn't know
// whether the token was seen before: whoever acts on it keeps the TokenID until it
// expires. The errors are those of [Verifier.Verify]. Package revocation has a handler
// that does all that.
func (v *Verifier) VerifyLogoutToken(ctx context.Context, token string, clientIDs ...string) (*LogoutToken, error) {
	l := &LogoutToken{}
	want := kind{"logout+jwt", l.parse, func(_ *tenant, c *Claims) error { return l.expects(c, clientIDs) }}
	if err := checkForm(token); err != nil {
		return nil, err
	}
	defer yield()
	t, err := v.verifyAnew(ctx, token, tokenSum{}, want)
	if err != nil {
		return nil, err
	}
	if err := v.current(t); err != nil {
		return nil, err
	}
	return l, nil
}

// expects also notes the application.
func (l *LogoutToken) expects(c *Claims, clientIDs []string) error {
	for _, aud := range c.audiences {
		if slices.Contains(clientIDs, aud) {
			l.ClientID = aud
		}
	}
	if l.ClientID == "" {
		return refusal.New(reasonAudience, "audience %s: want %s", quote.List(c.audiences), quote.List(clientIDs))
	}
	return nil
}

// parse reads the payload: what Claims has room for is in the result.
func (l *LogoutToken) parse(payload []byte) (*Claims, error) {
	c := &Claims{}
	events := false
	err := readObject(payload, payloadFaults, func(name, value string) error {
		ok := true
		switch name {
		case "sid":
			l.SessionID, ok = strictjson.Unquote(value)
		case "nonce":
			ok = false // an ID token may be meant
		case "events":
			ok = nil == strictjson.Members(value, func(name, value string) error {
				events = events || name == logoutEvent && value[0] == '{'
				return nil
			})
		default:
			ok, _ = c.set(name, value)
		}
		if !ok {
			return refusal.New(reasonMalformedClaims, "claim %s is %s: not in a logout token", name, quote.String(value))
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case c.issuer == "":
		return nil, errNoIssuer
	case c.subject == "" && l.SessionID == "":
		return nil, errNoSubject
	case c.audiences == nil:
		return nil, errNoAudience
	case c.expiresAt.IsZero():
		return nil, errNoExpiry
	case c.issuedAt.IsZero():
		return nil, errNoIssuedAt
	case c.tokenID == "":
		return nil, errNoTokenID
	case !events:
		return nil, errNoEvent
	}
	l.Subject, l.TokenID, l.IssuedAt, l.ExpiresAt = c.subject, c.tokenID, c.issuedAt, c.expiresAt
	return c, nil
}
