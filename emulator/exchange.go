package emulator

import (
	"net/url"
	"slices"
)

// Types of subject tokens (RFC 8693 section 3, and Logto's own).
const (
	accessTokenURN         = "urn:ietf:params:oauth:token-type:access_token"
	personalAccessTokenURN = "urn:logto:token-type:personal_access_token"
)

// exchangeToken is the grant token exchange: a subject token to impersonate a user, or
// a personal access token, for an access token of that user.
func (s *Server) exchangeToken(client *application, form url.Values) (map[string]any, error) {
	if !client.AllowTokenExchange {
		return nil, badRequest("unauthorized_client", "token exchange is not allowed for this client").because("the application lacks allowTokenExchange")
	}
	subject := form.Get("subject_token")
	if subject == "" || form.Get("subject_token_type") == "" {
		return nil, badRequest("invalid_request", "missing required parameter(s): subject_token, subject_token_type")
	}
	var userID string
	var impersonation *subjectToken
	switch form.Get("subject_token_type") {
	case accessTokenURN:
		impersonation = s.issued.Subjects[subject]
		switch {
		case impersonation == nil || s.now().After(impersonation.Expires):
			return nil, invalidGrant("there is no such subject token, or it has expired")
		case impersonation.Used:
			return nil, invalidGrant("the subject token has been used")
		}
		userID = impersonation.User
	case personalAccessTokenURN:
		for _, u := range s.tenant.Users {
			for _, pat := range u.PersonalAccessTokens {
				if pat.Value == subject && (pat.ExpiresAt == 0 || pat.ExpiresAt > s.now().UnixMilli()) {
					userID = u.ID
				}
			}
		}
		if userID == "" {
			return nil, invalidGrant("there is no such personal access token, or it has expired")
		}
	default:
		return nil, badRequest("invalid_request", "subject_token_type is not supported")
	}
	if !s.tenant.active(userID) {
		return nil, invalidGrant("the user is suspended or deleted")
	}
	u := s.tenant.user(userID)
	actor, err := s.actor(form)
	if err != nil {
		return nil, err
	}
	indicator, err := one(form)
	if err != nil {
		return nil, err
	}
	to := target{resource: indicator, organization: form.Get("organization_id")}
	if indicator != "" && !s.hasResource(indicator) {
		return nil, invalidTarget().because("there is no resource " + indicator)
	}
	answer, err := s.accessToken(request{client: client, user: u, to: to, scopes: scopesIn(form), actor: actor})
	if err != nil {
		return nil, err
	}
	if impersonation != nil {
		impersonation.Used = true
	}
	return answer, nil
}

// actor is who acts in the user's name, by an opaque access token with scope openid.
func (s *Server) actor(form url.Values) (string, error) {
	if !form.Has("actor_token") {
		return "", nil
	}
	if form.Get("actor_token_type") != accessTokenURN {
		return "", badRequest("invalid_request", "actor_token_type is not supported")
	}
	t := s.issued.Opaque[form.Get("actor_token")]
	if t == nil || s.now().After(t.Expires) || !slices.Contains(t.Scopes, "openid") {
		return "", invalidGrant("the actor token is no opaque access token with scope openid")
	}
	return t.User, nil
}
