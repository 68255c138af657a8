package emulator

import (
	"fmt"
)

// A Token says which access token Server.Token gives.
type Token struct {
	// User is the user's ID. Without one it is a token of the machine Application
	// itself.
	User string `json:"user,omitempty"`

	// Application is the client ID. Default: the first application of the right type.
	Application string `json:"application,omitempty"`

	// Resource is the audience. Default: the first resource, or none if Organization
	// alone is wanted, see OrganizationOnly.
	Resource string `json:"resource,omitempty"`

	// Organization binds the token to an organization of which user or machine is a
	// member. With OrganizationOnly it is for the organization itself.
	Organization     string `json:"organization,omitempty"`
	OrganizationOnly bool   `json:"organizationOnly,omitempty"`

	// Scopes are asked for. As in Logto the token has those of them that roles grant,
	// and says nothing of the others.
	Scopes []string `json:"scopes,omitempty"`
}

// Token gives the access token that an application would get for the user, or for
// itself, without a sign-in. The error is that of the token endpoint: a user who is
// suspended gets none, nor who is no member.
func (s *Server) Token(t Token) (string, error) {
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	err := s.Control("token", t, &answer)
	return answer.AccessToken, err
}

func (s *Server) makeToken(a Token) (any, []*delivery, error) {
	q := request{scopes: a.Scopes, to: target{resource: a.Resource, organization: a.Organization}}
	if a.User != "" {
		u, err := s.known(a.User)
		if err != nil {
			return nil, nil, err
		}
		if u.IsSuspended {
			return nil, nil, invalidGrant("the user is suspended")
		}
		q.user = u
	}
	for _, app := range s.tenant.Applications {
		if q.client == nil && (a.Application == "" || app.ID == a.Application) && (app.Type == machine) == (a.User == "") {
			q.client = app
		}
	}
	switch {
	case q.client == nil:
		return nil, nil, fmt.Errorf("there is no such application for it")
	case a.OrganizationOnly && (a.Organization == "" || a.Resource != ""):
		return nil, nil, fmt.Errorf("organizationOnly is for an organization, and no resource")
	case q.to.resource == "" && !a.OrganizationOnly && len(s.tenant.Resources) > 0:
		q.to.resource = s.tenant.Resources[0].Indicator
	}
	if q.to == (target{}) && q.user == nil {
		return nil, nil, errMachineTarget()
	}
	if q.to.resource != "" && !s.hasResource(q.to.resource) {
		return nil, nil, invalidTarget().because("there is no resource " + q.to.resource)
	}
	answer, err := s.accessToken(q)
	return answer, nil, err
}

// Suspend suspends a user: their refresh tokens end, and the webhook is sent. An access
// token lives to its exp, as in Logto, unless the API has taken the webhook in. Like
// the other methods of this kind it waits for the webhook as [Server.Control] does.
func (s *Server) Suspend(user string) error {
	return s.Control("suspend", userArgs{user}, nil)
}

// Unsuspend lifts the suspension. What it has ended stays ended: the user signs in
// anew.
func (s *Server) Unsuspend(user string) error {
	return s.Control("unsuspend", userArgs{user}, nil)
}

// DeleteUser deletes a user.
func (s *Server) DeleteUser(user string) error {
	return s.Control("delete-user", userArgs{user}, nil)
}

// RemoveMember removes a user from an organization.
func (s *Server) RemoveMember(organization, user string) error {
	return s.Control("remove-member", memberArgs{Organization: organization, User: user}, nil)
}

// Rotate makes a new key sign at once, as Logto does: the one before stays published,
// an older one is dropped. Without an algorithm it is that of the key before, else
// ES384, RS256, ES256, ES512 or PS256.
func (s *Server) Rotate(algorithm ...string) error {
	if len(algorithm) > 1 {
		return fmt.Errorf("emulator: Rotate takes one algorithm")
	}
	args := map[string]string{}
	if len(algorithm) == 1 {
		args["algorithm"] = algorithm[0]
	}
	return s.Control("rotate", args, nil)
}

// Fault replaces all faults by the given ones; without any, all is well again.
func (s *Server) Fault(faults ...Fault) error {
	return s.Control("faults", map[string]any{"faults": append([]Fault{}, faults...)}, nil)
}

// Reset goes back to the beginning: the users and roles as described, no faults, nobody
// signed in. The keys stay: an API that knows them goes on.
func (s *Server) Reset() error { return s.Control("reset", nil, nil) }
