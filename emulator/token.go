package emulator

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/seed-70fe37f4/logto/internal/mint"
)

const tokenExchange = "urn:ietf:params:oauth:grant-type:token-exchange"

// token is the token endpoint.
func (s *Server) token(r *http.Request) (reply, error) {
	form, err := formOf(r)
	if err != nil {
		return reply{}, err
	}
	for _, name := range slices.Sorted(maps.Keys(form)) {
		if name != "resource" && name != "scope" && len(form[name]) > 1 {
			return reply{}, badRequest("invalid_request", "'"+name+"' parameter must not be provided twice")
		}
	}
	client, err := s.authenticate(r, form)
	if err != nil {
		return reply{}, err
	}
	var answer map[string]any
	switch kind := form.Get("grant_type"); kind {
	case "authorization_code":
		answer, err = s.exchangeCode(client, form)
	case "refresh_token":
		answer, err = s.refresh(client, form)
	case "client_credentials":
		answer, err = s.clientCredentials(client, form)
	case tokenExchange:
		answer, err = s.exchangeToken(client, form)
	case "":
		err = badRequest("invalid_request", "missing required parameter 'grant_type'")
	default:
		err = badRequest("unsupported_grant_type", "unsupported grant_type requested")
	}
	return reply{body: answer, note: form.Get("grant_type")}, err
}

// authenticate finds the client, and proves it if it has a secret.
func (s *Server) authenticate(r *http.Request, form url.Values) (*application, error) {
	id, secret := form.Get("client_id"), form.Get("client_secret")
	sent := form.Has("client_secret")
	if name, password, ok := r.BasicAuth(); ok {
		// RFC 6749 section 2.3.1: both are form-encoded first.
		name, err1 := url.QueryUnescape(name)
		password, err2 := url.QueryUnescape(password)
		if err1 != nil || err2 != nil || sent || id != "" && id != name {
			return nil, badRequest("invalid_request", "client authentication must only be provided using one mechanism")
		}
		id, secret, sent = name, password, true
	} else if r.Header.Get("Authorization") != "" {
		return nil, badRequest("invalid_request", "unexpected authorization header")
	}
	client := s.tenant.application(id)
	switch {
	case id == "":
		return nil, badRequest("invalid_request", "no client authentication mechanism provided")
	case client == nil:
		return nil, invalidClient("there is no application " + id)
	case client.public() && sent:
		return nil, invalidClient("an application of type " + client.Type + " has no secret")
	case !client.public() && subtle.ConstantTimeCompare([]byte(secret), []byte(client.Secret)) != 1:
		return nil, invalidClient("the secret is another")
	}
	return client, s.checkOrigin(r, client)
}

// resourcesIn are those that are asked for, once each: a,b is two, in Logto.
func resourcesIn(form url.Values) []string {
	var all []string
	for _, list := range form["resource"] {
		for indicator := range strings.SplitSeq(list, ",") {
			if indicator = strings.TrimSpace(indicator); indicator != "" && !slices.Contains(all, indicator) {
				all = append(all, indicator)
			}
		}
	}
	return all
}

// one gives the only resource that is asked for, "" if none is.
func one(form url.Values) (string, error) {
	switch all := resourcesIn(form); len(all) {
	case 0:
		return "", nil
	case 1:
		return all[0], nil
	}
	return "", badRequest("invalid_target", "only a single resource indicator value must be requested/resolved during Access Token Request")
}

func scopesIn(form url.Values) []string { return strings.Fields(strings.Join(form["scope"], " ")) }

// exchangeCode is the grant authorization_code.
func (s *Server) exchangeCode(client *application, form url.Values) (map[string]any, error) {
	c := s.issued.Codes[form.Get("code")]
	if c == nil {
		return nil, invalidGrant("there is no such code, or it has expired")
	}
	g := s.issued.Grants[c.Grant] // codes and tokens go with their grants
	switch {
	case g.Client != client.ID:
		return nil, invalidGrant("the code is another application's")
	case c.Used:
		// RFC 6749 section 4.1.2: it may be stolen, and so may be all that came of it.
		s.issued.revoke(c.Grant)
		return nil, invalidGrant("the code has been used: its tokens are revoked")
	case s.now().After(c.Expires):
		return nil, invalidGrant("the code has expired")
	case form.Get("redirect_uri") != c.RedirectURI:
		return nil, invalidGrant("redirect_uri is another than at the authorization request")
	case !verifies(c.Challenge, form):
		return nil, invalidGrant("PKCE: the code_verifier isn't that of the code_challenge")
	}
	u := s.tenant.user(g.User) // active, or the grant would be gone
	to, err := s.targetOf(g, form)
	if err != nil {
		return nil, err
	}
	answer, err := s.accessToken(request{client: client, user: u, grant: c.Grant, to: to, scopes: g.Scopes})
	if err != nil {
		return nil, err
	}
	c.Used = true
	if c.Refreshable {
		answer["refresh_token"] = s.newRefreshToken(c.Grant, client)
	}
	s.addIDToken(answer, client, u, g, g.Scopes)
	return answer, nil
}

// verifies tells whether the verifier is that of the challenge (RFC 7636 section 4.6).
// One that nobody asked for is refused: the challenge may have been taken away on the
// way (RFC 9700 section 4.8.2).
func verifies(challenge string, form url.Values) bool {
	verifier := form.Get("code_verifier")
	if challenge == "" {
		return !form.Has("code_verifier")
	}
	if len(verifier) < 43 || len(verifier) > 128 || strings.ContainsFunc(verifier, func(r rune) bool { return !unreserved(r) }) {
		return false
	}
	sum := sha256.Sum256([]byte(verifier))
	return subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(sum[:])), []byte(challenge)) == 1
}

// targetOf is what the client asks a token for, of what was asked for at the sign-in.
func (s *Server) targetOf(g *grant, form url.Values) (target, error) {
	indicator, err := one(form)
	if err != nil {
		return target{}, err
	}
	to := target{resource: indicator, organization: form.Get("organization_id")}
	_, asked := g.Resources[indicator]
	switch {
	case indicator != "" && !(asked && s.hasResource(indicator)):
		return to, invalidTarget().because("the sign-in didn't ask for resource " + indicator)
	case to.organization != "" && !slices.Contains(g.Scopes, organizationsScope):
		return to, missingScope("refresh token missing required scope").because("the sign-in didn't ask for scope " + organizationsScope)
	}
	return to, nil
}

// refresh is the grant refresh_token.
func (s *Server) refresh(client *application, form url.Values) (map[string]any, error) {
	id := form.Get("refresh_token")
	t := s.issued.Refresh[id]
	if t == nil {
		return nil, invalidGrant("there is no such refresh token: it has expired, or was revoked")
	}
	g := s.issued.Grants[t.Grant]
	now := s.now()
	switch {
	case g.Client != client.ID:
		return nil, invalidGrant("the refresh token is another application's")
	case now.After(t.Expires):
		return nil, invalidGrant("the refresh token has expired")
	case !t.Rotated.IsZero() && now.Sub(t.Rotated) > reuseTolerance:
		s.issued.revoke(t.Grant)
		return nil, invalidGrant(fmt.Sprintf("the refresh token was used %v ago: its grant is revoked", now.Sub(t.Rotated).Round(time.Second)))
	}
	u := s.tenant.user(g.User) // active, or the grant would be gone
	asked := g.Scopes
	if form.Get("scope") != "" {
		asked = scopesIn(form)
		for _, scope := range asked {
			if !slices.Contains(g.Scopes, scope) {
				return nil, badRequest("invalid_scope", "refresh token missing requested scope")
			}
		}
	}
	to, err := s.targetOf(g, form)
	if err != nil {
		return nil, err
	}
	answer, err := s.accessToken(request{client: client, user: u, grant: t.Grant, to: to, scopes: asked})
	if err != nil {
		return nil, err
	}
	answer["refresh_token"] = id
	if s.rotates(client, t) {
		if t.Rotated.IsZero() {
			t.Rotated = now
		}
		answer["refresh_token"] = s.newRefreshToken(t.Grant, client)
	}
	s.addIDToken(answer, client, u, g, asked)
	return answer, nil
}

// rotates: always for public clients, for the others when most of the life is over.
func (s *Server) rotates(client *application, t *refreshToken) bool {
	if client.RotateRefreshToken != nil && !*client.RotateRefreshToken {
		return false
	}
	return client.public() || s.now().Sub(t.Issued) >= t.Expires.Sub(t.Issued)*7/10
}

func (s *Server) newRefreshToken(grantID string, client *application) string {
	id, now := mint.Opaque(), s.now()
	t := &refreshToken{Grant: grantID, Issued: now, Expires: now.Add(s.refreshLife(client))}
	s.issued.Refresh[id] = t
	if g := s.issued.Grants[grantID]; g.Expires.Before(t.Expires) {
		g.Expires = t.Expires
	}
	return id
}

func (s *Server) refreshLife(client *application) time.Duration {
	switch {
	case s.knobs.refreshToken != 0:
		return s.knobs.refreshToken
	case client.RefreshTokenTTLInDays != 0:
		return time.Duration(client.RefreshTokenTTLInDays) * 24 * time.Hour
	}
	return refreshTokenTTL
}

// clientCredentials is the grant of machines.
func (s *Server) clientCredentials(client *application, form url.Values) (map[string]any, error) {
	if client.Type != machine {
		return nil, badRequest("unauthorized_client", "requested grant type is not allowed for this client")
	}
	indicator, err := one(form)
	if err != nil {
		return nil, err
	}
	to := target{resource: indicator, organization: form.Get("organization_id")}
	if to == (target{}) || to.resource != "" && s.tenant.resource(to.resource) == nil {
		return nil, errMachineTarget()
	}
	return s.accessToken(request{client: client, to: to, scopes: scopesIn(form)})
}

// errMachineTarget: a machine has no opaque tokens, which are for a user's profile.
func errMachineTarget() *oauthError {
	return invalidTarget().because("a machine asks for a resource that there is, or an organization")
}

func formOfJSON(r *http.Request) (url.Values, error) {
	b, _ := io.ReadAll(r.Body) // of memory
	var members map[string]any
	if err := json.Unmarshal(b, &members); err != nil {
		return nil, badRequest("invalid_request", "failed to parse the request body")
	}
	form := url.Values{}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		switch value := members[name].(type) {
		case string:
			form.Set(name, value)
		case []any:
			for _, e := range value {
				text, ok := e.(string)
				if !ok {
					return nil, badRequest("invalid_request", "'"+name+"' must be a string")
				}
				form.Add(name, text)
			}
		default:
			return nil, badRequest("invalid_request", "'"+name+"' must be a string")
		}
	}
	return form, nil
}
