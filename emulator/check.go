package emulator

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/seed-70fe37f4/logto/internal/policy"
)

// check refuses a description that contradicts itself, and sets defaults.
func (t *tenant) check() error {
	if err := errors.Join(noNull("resources", t.Resources), noNull("roles", t.Roles), noNull("organizationRoles", t.OrganizationRoles),
		noNull("organizations", t.Organizations), noNull("users", t.Users), noNull("applications", t.Applications), noNull("hooks", t.Hooks)); err != nil {
		return err
	}
	for _, step := range []func() error{
		t.checkResources, t.checkRoles, t.checkUsers, t.checkApplications, t.checkOrganizations, t.checkHooks,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func noNull[T any](list string, all []*T) error {
	if slices.Contains(all, nil) {
		return fmt.Errorf("%s has a null in it", list)
	}
	return nil
}

// unique refuses names that are missing, given twice or unfit for a token or an address.
type unique struct {
	kind string
	seen map[string]bool
}

func newUnique(kind string) unique { return unique{kind, map[string]bool{}} }

func (n unique) add(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%s without a name or ID", n.kind)
	case len(name) > 2048 || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return fmt.Errorf("%s %.100q: the name is too long, or has control characters in it", n.kind, name)
	case n.seen[name]:
		return fmt.Errorf("%s %q stands there twice", n.kind, name)
	}
	n.seen[name] = true
	return nil
}

// addSome is add for a name that may be missing.
func (n unique) addSome(name string) error {
	if name == "" {
		return nil
	}
	return n.add(name)
}

// checkLife keeps lifetimes where times can be calculated with.
func checkLife(where string, n, least, most int64) error {
	if n < least || n > most {
		return fmt.Errorf("%s: %d is not from %d to %d", where, n, least, most)
	}
	return nil
}

func checkScopes(where string, scopes, known []string) error {
	for _, scope := range scopes {
		switch {
		case !policy.IsScope(scope):
			return fmt.Errorf("%s: %q is no scope", where, scope)
		case known != nil && !slices.Contains(known, scope):
			return fmt.Errorf("%s: there is no scope %q", where, scope)
		}
	}
	return nil
}

func (t *tenant) checkResources() error {
	all := newUnique("resource")
	for _, r := range t.Resources {
		if err := all.add(r.Indicator); err != nil {
			return err
		}
		u, err := url.Parse(r.Indicator)
		switch {
		case err != nil || !u.IsAbs() || strings.ContainsAny(r.Indicator, "#, "):
			return fmt.Errorf("resource %q: the indicator must be an absolute URI without fragment, comma and space (RFC 8707 section 2)", r.Indicator)
		case strings.HasPrefix(r.Indicator, "urn:logto:"):
			return fmt.Errorf("resource %q: Logto keeps urn:logto: for itself", r.Indicator)
		}
		if err := checkLife("resource "+r.Indicator+": accessTokenTtl", valueOf(r.AccessTokenTTL), -maxSeconds, maxSeconds); err != nil {
			return err
		}
		if err := checkScopes("resource "+r.Indicator, r.Scopes, nil); err != nil {
			return err
		}
	}
	return nil
}

func (t *tenant) checkResourceScopes(where string, scopes scopesOf) error {
	for _, indicator := range slices.Sorted(maps.Keys(scopes)) {
		r := t.resource(indicator)
		if r == nil {
			return fmt.Errorf("%s: there is no resource %q", where, indicator)
		}
		if err := checkScopes(where+", resource "+indicator, scopes[indicator], append([]string{}, r.Scopes...)); err != nil {
			return err
		}
	}
	return nil
}

func checkType(where string, kind *string) error {
	switch *kind {
	case "":
		*kind = "User"
	case "User", machine:
	default:
		return fmt.Errorf("%s: type %q is neither User nor %s", where, *kind, machine)
	}
	return nil
}

func (t *tenant) checkRoles() error {
	all := newUnique("role")
	for _, r := range t.Roles {
		if err := all.add(r.Name); err != nil {
			return err
		}
		if err := checkType("role "+r.Name, &r.Type); err != nil {
			return err
		}
		if err := t.checkResourceScopes("role "+r.Name, r.Scopes); err != nil {
			return err
		}
	}
	if err := checkScopes("organizationScopes", t.OrganizationScopes, nil); err != nil {
		return err
	}
	all = newUnique("organization role")
	for _, r := range t.OrganizationRoles {
		where := "organization role " + r.Name
		if err := all.add(r.Name); err != nil {
			return err
		}
		if err := checkType(where, &r.Type); err != nil {
			return err
		}
		if err := checkScopes(where, r.Scopes, append([]string{}, t.OrganizationScopes...)); err != nil {
			return err
		}
		if err := t.checkResourceScopes(where, r.ResourceScopes); err != nil {
			return err
		}
	}
	return nil
}

// checkRoleNames: users have roles of users, machines those of machines, as in Logto.
func (t *tenant) checkRoleNames(where, kind string, names []string) error {
	for _, name := range names {
		r := t.role(name)
		if r == nil || r.Type != kind {
			return fmt.Errorf("%s: there is no role %q with type %s", where, name, kind)
		}
	}
	return nil
}

func (t *tenant) checkUsers() error {
	all, tokens := newUnique("user"), newUnique("personal access token")
	usernames, emails, phones := newUnique("username"), newUnique("primaryEmail"), newUnique("primaryPhone")
	for _, u := range t.Users {
		if err := all.add(u.ID); err != nil {
			return err
		}
		// By these a user is found, in Logto too.
		if err := errors.Join(usernames.addSome(u.Username), emails.addSome(u.PrimaryEmail), phones.addSome(u.PrimaryPhone)); err != nil {
			return fmt.Errorf("user %s: %w", u.ID, err)
		}
		if err := t.checkRoleNames("user "+u.ID, "User", u.Roles); err != nil {
			return err
		}
		if err := noNull("user "+u.ID, u.PersonalAccessTokens); err != nil {
			return err
		}
		for _, pat := range u.PersonalAccessTokens {
			if !strings.HasPrefix(pat.Value, "pat_") {
				return fmt.Errorf("user %s: the value of a personal access token begins with pat_", u.ID)
			}
			if err := tokens.add(pat.Value); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *tenant) checkApplications() error {
	all := newUnique("application")
	for _, a := range t.Applications {
		where := "application " + a.ID
		if err := all.add(a.ID); err != nil {
			return err
		}
		switch {
		case !slices.Contains([]string{spa, native, traditional, machine}, a.Type):
			return fmt.Errorf("%s: type %q is none of SPA, Native, Traditional, MachineToMachine", where, a.Type)
		case !a.public() && a.Secret == "":
			return fmt.Errorf("%s: type %s has a secret", where, a.Type)
		case a.public() && a.Secret != "":
			return fmt.Errorf("%s: type %s has no secret: everybody could read it", where, a.Type)
		case a.Type == machine && len(a.RedirectURIs) > 0:
			return fmt.Errorf("%s: nobody signs in to a machine: it has no redirectUris", where)
		case a.Type != machine && len(a.Roles) > 0:
			return fmt.Errorf("%s: only a machine has roles", where)
		}
		if err := errors.Join(checkLife(where+": idTokenTtl", a.IDTokenTTL, 0, maxSeconds), checkLife(where+": refreshTokenTtlInDays", a.RefreshTokenTTLInDays, 0, maxSeconds/(24*60*60))); err != nil {
			return err
		}
		for _, uri := range slices.Concat(a.RedirectURIs, a.PostLogoutRedirectURIs) {
			if err := checkRedirect(uri); err != nil {
				return fmt.Errorf("%s: %w", where, err)
			}
		}
		for _, origin := range a.CORSAllowedOrigins {
			if !isOrigin(origin) {
				return fmt.Errorf("%s: %q is no origin: write it as in http://localhost:5173", where, origin)
			}
		}
		if err := checkAddress(a.BackchannelLogoutURI); a.BackchannelLogoutURI != "" && err != nil {
			return fmt.Errorf("%s: backchannelLogoutUri %w", where, err)
		}
		if err := t.checkRoleNames(where, machine, a.Roles); err != nil {
			return err
		}
	}
	return nil
}

func (t *tenant) checkOrganizations() error {
	all := newUnique("organization")
	for _, o := range t.Organizations {
		if err := all.add(o.ID); err != nil {
			return err
		}
		for _, kind := range []struct {
			name, role string
			members    []*member
			exists     func(id string) bool
		}{
			{"user", "User", o.Users, func(id string) bool { return t.user(id) != nil }},
			{"machine", machine, o.Applications, func(id string) bool { a := t.application(id); return a != nil && a.Type == machine }},
		} {
			if err := noNull("organization "+o.ID, kind.members); err != nil {
				return err
			}
			members := newUnique("organization " + o.ID + ": " + kind.name)
			for _, m := range kind.members {
				if err := members.add(m.ID); err != nil {
					return err
				}
				if !kind.exists(m.ID) {
					return fmt.Errorf("organization %s: there is no %s %q", o.ID, kind.name, m.ID)
				}
				for _, name := range m.OrganizationRoles {
					if r := t.organizationRole(name); r == nil || r.Type != kind.role {
						return fmt.Errorf("organization %s, %s %s: there is no organization role %q with type %s", o.ID, kind.name, m.ID, name, kind.role)
					}
				}
			}
		}
	}
	return nil
}

func (t *tenant) checkHooks() error {
	all := newUnique("hook")
	for _, h := range t.Hooks {
		if err := all.add(h.ID); err != nil {
			return err
		}
		if err := checkAddress(h.Config.URL); err != nil {
			return fmt.Errorf("hook %s: config.url %w", h.ID, err)
		}
		if h.SigningKey == "" {
			return fmt.Errorf("hook %s: it has no signingKey", h.ID)
		}
	}
	return nil
}

func checkAddress(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return fmt.Errorf("%q is no address: write it as in http://localhost:8080/path", address)
	}
	return nil
}
