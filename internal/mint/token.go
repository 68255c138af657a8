package mint

import (
	"crypto/rand"
	"encoding/base64"
	"strings"
	"time"
)

// Header types. An ID token has none.
const (
	AccessTokenType = "at+jwt"
	LogoutTokenType = "logout+jwt"
)

// LogoutTokenLife is how long Logto's logout tokens live.
const LogoutTokenLife = 2 * time.Minute

// OrganizationAudience is the audience of a token for the organization itself.
func OrganizationAudience(id string) string { return "urn:logto:organization:" + id }

// AccessToken is what an access token says.
type AccessToken struct {
	Issuer, Subject, ClientID, Audience string
	Scopes                              []string
	Machine                             bool   // without scopes, there is no claim
	Organization                        string // the claim; "" for none
	Actor                               string // act.sub; "" for none
	Issued, Expires                     time.Time
}

// Claims are those that Logto writes, and no others.
func (t AccessToken) Claims() map[string]any {
	claims := map[string]any{
		"jti": Opaque(), "iss": t.Issuer, "sub": t.Subject, "client_id": t.ClientID,
		"aud": t.Audience, "iat": t.Issued.Unix(), "exp": t.Expires.Unix(),
	}
	// Logto leaves scope out for a machine without any, and has "" for a user.
	if len(t.Scopes) > 0 || !t.Machine {
		claims["scope"] = strings.Join(t.Scopes, " ")
	}
	if t.Organization != "" {
		claims["organization_id"] = t.Organization
	}
	if t.Actor != "" {
		claims["act"] = map[string]any{"sub": t.Actor}
	}
	return claims
}

// LogoutClaims are those of a back-channel logout token.
func LogoutClaims(issuer, subject, clientID, sid string, issued time.Time) map[string]any {
	return map[string]any{
		"iss": issuer, "sub": subject, "aud": clientID, "jti": Opaque(), "sid": sid,
		"iat": issued.Unix(), "exp": issued.Add(LogoutTokenLife).Unix(),
		"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}},
	}
}

// Opaque makes an opaque token: 43 characters of base64url, as are Logto's IDs of
// tokens.
func Opaque() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}
