package emulator

import (
	"slices"

	"github.com/seed-70fe37f4/logto/internal/mint"
)

// Scopes that Logto itself defines (OpenID Connect's, and its own).
const (
	organizationsScope    = "urn:logto:scope:organizations"
	organizationsResource = "urn:logto:resource:organizations"
)

var oidcScopes = []string{
	"openid", "offline_access", "profile", "email", "phone", "address", "custom_data", "identities", "roles",
	organizationsScope, "urn:logto:scope:organization_roles", "urn:logto:scope:sessions", "urn:logto:scope:trusted_devices",
}

// only gives what is in both, in the order of asked, once each.
func only(asked, had []string) []string {
	var both []string
	for _, s := range asked {
		if slices.Contains(had, s) && !slices.Contains(both, s) {
			both = append(both, s)
		}
	}
	return both
}

// A holder is a user or a machine, with roles of its own and in organizations.
type holder struct {
	roles []string
	in    func(*organization) *member
}

func holderOfUser(u *user) holder {
	return holder{u.Roles, func(o *organization) *member { return o.user(u.ID) }}
}

func holderOfMachine(a *application) holder {
	return holder{a.Roles, func(o *organization) *member { return o.application(a.ID) }}
}

// resourceScopes are the scopes of a resource that the holder has: by global roles,
// and by roles in the given organizations. A user's token for an organization has the
// global ones too, a machine's hasn't, and a user's token for no organization has those of
// all of them: Logto's way.
func (t *tenant) resourceScopes(h holder, indicator string, in ...*organization) []string {
	var all []string
	for _, name := range h.roles {
		if r := t.role(name); r != nil && (r.Type == "User" || len(in) == 0) {
			all = append(all, r.Scopes[indicator]...)
		}
	}
	for _, o := range in {
		if m := h.in(o); m != nil {
			for _, name := range m.OrganizationRoles {
				if r := t.organizationRole(name); r != nil {
					all = append(all, r.ResourceScopes[indicator]...)
				}
			}
		}
	}
	return all
}

// ownScopes are the scopes of the organization itself.
func (t *tenant) ownScopes(h holder, o *organization) []string {
	var all []string
	if m := h.in(o); m != nil {
		for _, name := range m.OrganizationRoles {
			if r := t.organizationRole(name); r != nil {
				all = append(all, r.Scopes...)
			}
		}
	}
	return all
}

// organizationsOf are those of which the holder is a member.
func (t *tenant) organizationsOf(h holder) []*organization {
	var all []*organization
	for _, o := range t.Organizations {
		if h.in(o) != nil {
			all = append(all, o)
		}
	}
	return all
}

// A target is what a token is for: a resource, an organization, both, or neither.
type target struct {
	resource     string
	organization string
}

// audience is that of the token; "" for an opaque one.
func (to target) audience() string {
	if to.resource == "" && to.organization != "" {
		return mint.OrganizationAudience(to.organization)
	}
	return to.resource
}

// granted settles what the holder gets of the asked scopes.
func (t *tenant) granted(h holder, to target, asked []string, isUser bool) ([]string, error) {
	if to.resource == "" && to.organization == "" {
		return only(asked, oidcScopes), nil
	}
	var in []*organization
	if to.organization != "" {
		o := t.organization(to.organization)
		if o == nil || h.in(o) == nil {
			if isUser {
				return nil, denied("user is not a member of the organization")
			}
			return nil, denied("app has not associated with the organization")
		}
		in = []*organization{o}
	} else if isUser {
		in = t.organizationsOf(h)
	}
	switch {
	case to.resource == organizationsResource: // bound to no organization, nor to the user's roles
		return only(asked, t.OrganizationScopes), nil
	case to.resource == "":
		return only(asked, t.ownScopes(h, in[0])), nil
	}
	return only(asked, t.resourceScopes(h, to.resource, in...)), nil
}
