package emulator

import (
	"net/http"
	"slices"
	"strings"
)

// userinfo is for opaque access tokens: a JWT is for its resource, and no other.
func (s *Server) userinfo(r *http.Request) (reply, error) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok && r.Method == http.MethodPost {
		form, err := formOf(r)
		if err != nil {
			return reply{}, err
		}
		token = form.Get("access_token")
	}
	if token == "" {
		return reply{}, badRequest("invalid_request", "no access token provided")
	}
	t := s.issued.Opaque[token]
	if t == nil || s.now().After(t.Expires) {
		why := "there is no such opaque token, or it has expired"
		if strings.Count(token, ".") == 2 {
			why = "a JWT is for its resource: userinfo takes the opaque token of getAccessToken() without a resource"
		}
		return reply{}, invalidToken(why)
	}
	client := s.tenant.application(t.Client)
	if client == nil {
		return reply{}, invalidToken("the application that it was for is gone")
	}
	if err := s.checkOrigin(r, client); err != nil {
		return reply{}, err
	}
	if !slices.Contains(t.Scopes, "openid") {
		return reply{}, missingScope("access token missing openid scope")
	}
	u := s.tenant.user(t.User) // active, or the token would be gone
	return reply{body: s.tenant.userClaims(u, t.Scopes, true), note: u.ID}, nil
}

// revocation ends a refresh token with its grant, or an opaque access token (RFC 7009).
func (s *Server) revocation(r *http.Request) (reply, error) {
	client, token, err := s.aboutToken(r)
	if err != nil {
		return reply{}, err
	}
	if t := s.issued.Refresh[token]; t != nil && s.issued.Grants[t.Grant].Client == client.ID {
		s.issued.revoke(t.Grant)
	}
	if t := s.issued.Opaque[token]; t != nil && t.Client == client.ID {
		delete(s.issued.Opaque, token)
	}
	return reply{write: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }}, nil
}

// introspection tells of a refresh token or an opaque access token (RFC 7662).
func (s *Server) introspection(r *http.Request) (reply, error) {
	client, token, err := s.aboutToken(r)
	if err != nil {
		return reply{}, err
	}
	now := s.now()
	if t := s.issued.Opaque[token]; t != nil && t.Client == client.ID && !now.After(t.Expires) {
		return reply{body: map[string]any{
			"active": true, "sub": t.User, "client_id": t.Client, "iss": s.issuer(), "token_type": "Bearer",
			"scope": strings.Join(t.Scopes, " "), "iat": t.Issued.Unix(), "exp": t.Expires.Unix(),
		}}, nil
	}
	if t := s.issued.Refresh[token]; t != nil && t.Rotated.IsZero() && !now.After(t.Expires) && s.issued.Grants[t.Grant].Client == client.ID {
		g := s.issued.Grants[t.Grant]
		return reply{body: map[string]any{
			"active": true, "sub": g.User, "client_id": g.Client, "iss": s.issuer(),
			"scope": strings.Join(g.Scopes, " "), "iat": t.Issued.Unix(), "exp": t.Expires.Unix(),
		}}, nil
	}
	return reply{body: map[string]any{"active": false}}, nil
}

func (s *Server) aboutToken(r *http.Request) (*application, string, error) {
	form, err := formOf(r)
	if err != nil {
		return nil, "", err
	}
	client, err := s.authenticate(r, form)
	if err != nil {
		return nil, "", err
	}
	token := form.Get("token")
	switch {
	case token == "":
		return nil, "", badRequest("invalid_request", "missing required parameter 'token'")
	case strings.Count(token, ".") == 2:
		// What makes a JWT access token live to its exp, in Logto as here.
		return nil, "", badRequest("unsupported_token_type", "Structured JWT Tokens cannot be revoked or introspected via this endpoint")
	}
	return client, token, nil
}
