package emulator

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/seed-70fe37f4/logto/internal/mint"
)

// A request is for an access token.
type request struct {
	client *application
	user   *user  // nil for a machine's own
	grant  string // "" for none
	to     target
	scopes []string // asked for
	actor  string
}

// accessToken gives the answer of the token endpoint: a JWT for a resource or an
// organization, an opaque token for neither.
func (s *Server) accessToken(q request) (map[string]any, error) {
	h, subject := holderOfMachine(q.client), q.client.ID
	if q.user != nil {
		h, subject = holderOfUser(q.user), q.user.ID
	}
	scopes, err := s.tenant.granted(h, q.to, q.scopes, q.user != nil)
	if err != nil {
		return nil, err
	}
	if g := s.issued.Grants[q.grant]; g != nil && q.to.resource != "" {
		scopes = only(scopes, g.Resources[q.to.resource])
	}
	now := s.now()
	life := s.accessLife(q.to.resource)
	answer := map[string]any{"token_type": "Bearer", "expires_in": int64(life / time.Second)}
	if q.user != nil || len(scopes) > 0 {
		answer["scope"] = strings.Join(scopes, " ")
	}
	audience := q.to.audience()
	if audience == "" {
		id := mint.Opaque()
		s.issued.Opaque[id] = &opaqueToken{Grant: q.grant, User: subject, Client: q.client.ID, Scopes: scopes, Issued: now, Expires: now.Add(life)}
		answer["access_token"] = id
		return answer, nil
	}
	t := mint.AccessToken{
		Issuer: s.issuer(), Subject: subject, ClientID: q.client.ID, Audience: audience, Scopes: scopes,
		Machine: q.user == nil, Actor: q.actor, Issued: now, Expires: now.Add(life),
	}
	if q.to.resource != "" {
		t.Organization = q.to.organization
	}
	standard := t.Claims()
	claims := s.custom(q, standard)
	for name, value := range standard {
		if _, ok := claims[name]; !ok || slices.Contains(protected, name) {
			claims[name] = value
		}
	}
	if q.user == nil && len(scopes) == 0 {
		delete(claims, "scope")
	}
	answer["access_token"] = s.sign("access token", mint.AccessTokenType, claims)
	return answer, nil
}

func (s *Server) accessLife(indicator string) time.Duration {
	if s.knobs.accessToken != nil {
		return *s.knobs.accessToken
	}
	if r := s.tenant.resource(indicator); r != nil && r.AccessTokenTTL != nil {
		return time.Duration(*r.AccessTokenTTL) * time.Second
	}
	return accessTokenTTL
}

// sign makes a token with the current key, and remembers it for the control page.
func (s *Server) sign(kind, typ string, claims map[string]any) string {
	header := map[string]any{}
	if typ != "" {
		header["typ"] = typ
	}
	token, err := s.issued.Keys[0].Sign(header, claims)
	if err != nil {
		panic(err) // what is in the claims was read as JSON
	}
	parts := strings.Split(token, ".")
	s.log.Tokens = last(append(s.log.Tokens, &issuedJWT{
		ID: s.log.id(), Time: time.Now(), Kind: kind, Token: token, Header: decoded(parts[0]), Claims: decoded(parts[1]),
	}))
	return token
}

func decoded(part string) json.RawMessage {
	b, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		panic(err) // it was encoded a moment ago
	}
	return b
}

// addIDToken adds one to the answer, if the sign-in asked for it.
func (s *Server) addIDToken(answer map[string]any, client *application, u *user, g *grant, scopes []string) {
	if !slices.Contains(scopes, "openid") {
		return
	}
	now := s.now()
	claims := s.tenant.userClaims(u, scopes, false)
	life := idTokenTTL
	if client.IDTokenTTL != 0 {
		life = time.Duration(client.IDTokenTTL) * time.Second
	}
	if s.knobs.idToken != 0 {
		life = s.knobs.idToken
	}
	claims["iss"], claims["aud"], claims["iat"], claims["exp"] = s.issuer(), client.ID, now.Unix(), now.Add(life).Unix()
	if g.Nonce != "" {
		claims["nonce"] = g.Nonce
	}
	if g.AuthTime {
		claims["auth_time"] = g.SignedIn.Unix()
	}
	if client.BackchannelLogoutURI != "" {
		claims["sid"] = g.SID
	}
	answer["id_token"] = s.sign("ID token", "", claims)
}

// userClaims are those that the scopes ask for, of ID token and userinfo (Logto's
// names).
func (t *tenant) userClaims(u *user, scopes []string, userinfo bool) map[string]any {
	claims := map[string]any{"sub": u.ID}
	for _, scope := range scopes {
		switch scope {
		case "profile":
			claims["name"], claims["picture"], claims["username"] = orNull(u.Name), orNull(u.Avatar), orNull(u.Username)
			claims["updated_at"], claims["created_at"] = u.UpdatedAt, u.CreatedAt
			if u.Username != "" {
				claims["preferred_username"] = u.Username
			}
		case "email":
			claims["email"], claims["email_verified"] = orNull(u.PrimaryEmail), u.PrimaryEmail != ""
		case "phone":
			claims["phone_number"], claims["phone_number_verified"] = orNull(u.PrimaryPhone), u.PrimaryPhone != ""
		case "roles":
			claims["roles"] = append([]string{}, u.Roles...)
		case organizationsScope:
			ids, data := []string{}, []map[string]any{}
			for _, o := range t.organizationsOf(holderOfUser(u)) {
				ids = append(ids, o.ID)
				data = append(data, map[string]any{"id": o.ID, "name": o.Name, "description": orNull(o.Description)})
			}
			claims["organizations"] = ids
			if userinfo {
				claims["organization_data"] = data
			}
		case "urn:logto:scope:organization_roles":
			roles := []string{}
			for _, o := range t.organizationsOf(holderOfUser(u)) {
				for _, name := range o.user(u.ID).OrganizationRoles {
					roles = append(roles, o.ID+":"+name)
				}
			}
			claims["organization_roles"] = roles
		case "custom_data":
			if userinfo {
				claims["custom_data"] = orEmpty(u.CustomData)
			}
		case "identities":
			if userinfo {
				claims["identities"] = map[string]any{}
			}
		}
	}
	return claims
}
