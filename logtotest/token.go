package logtotest

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/seed-70fe37f4/logto/internal/mint"
)

// Token describes an access token. The zero value is a valid one for user "user"
// and Audience, without scopes, issued now for an hour by the signing key.
type Token struct {
	User     string // sub; default "user", for a machine the client ID
	ClientID string // default ClientID, for a machine "machine"
	Machine  bool   // machine-to-machine: sub and client_id are the same
	Audience string // default Audience
	Scopes   []string

	// Organization binds the token to an organization: by its organization_id
	// claim, or with OrganizationOnly by its audience, for a token that is for
	// the organization itself and no API.
	Organization     string
	OrganizationOnly bool

	// Actor is who acts in the user's name after a token exchange (act.sub).
	Actor string

	// ExpiresIn is the time from now to exp; default an hour. Negative for a token that
	// has expired. Below an hour, iat is an hour before exp, which is in the past; else it
	// is now.
	ExpiresIn time.Duration

	// Claims are set last, as a JWT customizer's custom claims are; but they
	// also replace claims of Logto's own, and a nil takes one away.
	Claims map[string]any

	// Header is the same for the members of the header.
	Header map[string]any
}

func (t Token) withDefaults() Token {
	if t.ClientID == "" {
		t.ClientID = ClientID
		if t.Machine {
			t.ClientID = "machine"
		}
	}
	if t.User == "" {
		t.User = "user"
		if t.Machine {
			t.User = t.ClientID
		}
	}
	if t.Audience == "" {
		t.Audience = Audience
	}
	if t.OrganizationOnly {
		t.Audience = mint.OrganizationAudience(t.Organization)
	}
	if t.ExpiresIn == 0 {
		t.ExpiresIn = time.Hour
	}
	return t
}

// Token mints an access token, signed with the current key.
func (i *Issuer) Token(t Token) string {
	t = t.withDefaults()
	exp := time.Now().Add(t.ExpiresIn)
	iat := time.Now()
	if t.ExpiresIn < time.Hour {
		iat = exp.Add(-time.Hour)
	}
	claims := mint.AccessToken{
		Issuer: i.endpoint + "/oidc", Subject: t.User, ClientID: t.ClientID, Audience: t.Audience,
		Scopes: t.Scopes, Machine: t.Machine, Actor: t.Actor, Issued: iat, Expires: exp,
	}
	if !t.OrganizationOnly {
		claims.Organization = t.Organization
	}
	return i.sign(map[string]any{"typ": mint.AccessTokenType}, t.Header, claims.Claims(), t.Claims)
}

// Authorize puts a token, as Token mints it, into the request's Authorization header,
// and returns the request.
func (i *Issuer) Authorize(r *http.Request, t Token) *http.Request {
	r.Header.Set("Authorization", "Bearer "+i.Token(t))
	return r
}

// IDToken mints what a page must not send to an API: the user's ID token.
func (i *Issuer) IDToken(user string) string {
	return i.sign(nil, nil, map[string]any{
		"iss": i.endpoint + "/oidc", "sub": user, "aud": ClientID, "name": user,
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
	}, nil)
}

// LogoutToken mints a back-channel logout token: what Logto posts, as the form's
// logout_token, to an application whose user signs out.
func (i *Issuer) LogoutToken(user string) string {
	return i.sign(map[string]any{"typ": mint.LogoutTokenType}, nil,
		mint.LogoutClaims(i.endpoint+"/oidc", user, ClientID, mint.Opaque(), time.Now()), nil)
}

// OpaqueToken gives what a client gets that asked for no resource: no JWT.
func (i *Issuer) OpaqueToken() string { return mint.Opaque() }

// BadSignature returns the token with one bit of its signature turned.
func BadSignature(token string) string {
	dot := strings.LastIndexByte(token, '.')
	sig, err := base64.RawURLEncoding.DecodeString(token[dot+1:])
	if err != nil || dot < 0 {
		panic("logtotest: BadSignature needs a JWT")
	}
	sig[len(sig)/2] ^= 1
	return token[:dot+1] + base64.RawURLEncoding.EncodeToString(sig)
}

func (i *Issuer) sign(header, header2, claims, claims2 map[string]any) string {
	h := map[string]any{}
	maps.Copy(h, header)
	maps.Copy(h, header2) // with its nils, which take the key's own members away
	mint.Merge(claims, claims2)
	token, err := i.current().Sign(h, claims)
	if err != nil {
		panic(fmt.Sprintf("logtotest: %v", err))
	}
	return token
}

// Sign signs header and payload as they are, with the current key: for tokens
// that Token can't describe. The header must name the key: see KeyID.
func (i *Issuer) Sign(header, payload string) string {
	return i.current().SignParts([]byte(header), []byte(payload))
}

func (i *Issuer) current() *mint.Key {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.keys[0]
}
