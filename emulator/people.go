package emulator

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
)

// Actions on users, roles and organizations: each sends the webhook that Logto sends,
// and none where Logto sends none.

type userArgs struct {
	User string `json:"user"`
}

func (s *Server) known(id string) (*user, error) {
	u := s.tenant.user(id)
	if u == nil {
		return nil, fmt.Errorf("there is no user %q", id)
	}
	return u, nil
}

func (s *Server) suspend(a userArgs) (any, []*delivery, error) { return s.setSuspended(a.User, true) }
func (s *Server) unsuspend(a userArgs) (any, []*delivery, error) {
	return s.setSuspended(a.User, false)
}

func (s *Server) setSuspended(id string, suspended bool) (any, []*delivery, error) {
	u, err := s.known(id)
	if err != nil {
		return nil, nil, err
	}
	u.IsSuspended, u.UpdatedAt = suspended, s.now().UnixMilli()
	s.issued.keep(s.tenant, s.now())
	return nil, s.send(userEvent("User.SuspensionStatus.Updated", http.MethodPatch, "/is-suspended", http.StatusOK, u)), nil
}

func (s *Server) deleteUser(a userArgs) (any, []*delivery, error) {
	u, err := s.known(a.User)
	if err != nil {
		return nil, nil, err
	}
	s.tenant.Users = slices.DeleteFunc(s.tenant.Users, func(other *user) bool { return other == u })
	for _, o := range s.tenant.Organizations {
		o.Users = slices.DeleteFunc(o.Users, func(m *member) bool { return m.ID == u.ID })
	}
	s.issued.keep(s.tenant, s.now())
	return nil, s.send(userEvent("User.Deleted", http.MethodDelete, "", http.StatusNoContent, u)), nil
}

func (s *Server) createUser(a user) (any, []*delivery, error) {
	u := &a
	if s.tenant.user(u.ID) != nil {
		return nil, nil, fmt.Errorf("there is a user %q", u.ID)
	}
	s.tenant.Users = append(s.tenant.Users, u)
	if err := s.tenant.checkUsers(); err != nil {
		s.tenant.Users = s.tenant.Users[:len(s.tenant.Users)-1]
		return nil, nil, err
	}
	s.stamp()
	return map[string]string{"id": u.ID}, s.send(userEvent("User.Created", http.MethodPost, "", http.StatusOK, u)), nil
}

type updateUserArgs struct {
	User         string          `json:"user"`
	Username     *string         `json:"username"`
	Name         *string         `json:"name"`
	PrimaryEmail *string         `json:"primaryEmail"`
	PrimaryPhone *string         `json:"primaryPhone"`
	Avatar       *string         `json:"avatar"`
	CustomData   *map[string]any `json:"customData"`
}

func (s *Server) updateUser(a updateUserArgs) (any, []*delivery, error) {
	u, err := s.known(a.User)
	if err != nil {
		return nil, nil, err
	}
	before, dataAlone := *u, a.CustomData != nil
	for _, set := range []struct{ to, from *string }{
		{&u.Username, a.Username}, {&u.Name, a.Name}, {&u.PrimaryEmail, a.PrimaryEmail}, {&u.PrimaryPhone, a.PrimaryPhone}, {&u.Avatar, a.Avatar},
	} {
		if set.from != nil {
			*set.to = *set.from
			dataAlone = false
		}
	}
	if a.CustomData != nil {
		u.CustomData = *a.CustomData
	}
	if err := s.tenant.checkUsers(); err != nil {
		*u = before
		return nil, nil, err
	}
	u.UpdatedAt = s.now().UnixMilli()
	e := userEvent("User.Data.Updated", http.MethodPatch, "", http.StatusOK, u)
	if dataAlone {
		// Then Logto sends those, and nothing else of the user.
		e = userEvent("User.Data.Updated", http.MethodPatch, "/custom-data", http.StatusOK, u)
		e.body["data"] = orEmpty(u.CustomData)
	}
	return nil, s.send(e), nil
}

// setPassword sends what Logto sends when an administrator sets one. There is none to
// set, and refresh tokens go on working, as in Logto.
func (s *Server) setPassword(a userArgs) (any, []*delivery, error) {
	u, err := s.known(a.User)
	if err != nil {
		return nil, nil, err
	}
	u.UpdatedAt = s.now().UnixMilli()
	return nil, s.send(userEvent("User.Data.Updated", http.MethodPatch, "/password", http.StatusOK, u)), nil
}

// setUserRoles sends nothing, as Logto.
func (s *Server) setUserRoles(a struct {
	User  string   `json:"user"`
	Roles []string `json:"roles"`
}) (any, []*delivery, error) {
	u, err := s.known(a.User)
	if err == nil {
		err = s.tenant.checkRoleNames("user "+a.User, "User", a.Roles)
	}
	if err != nil {
		return nil, nil, err
	}
	u.Roles = a.Roles
	return nil, nil, nil
}

func (s *Server) setRoleScopes(a struct {
	Role   string   `json:"role"`
	Scopes scopesOf `json:"scopes"`
}) (any, []*delivery, error) {
	r := s.tenant.role(a.Role)
	if r == nil {
		return nil, nil, fmt.Errorf("there is no role %q", a.Role)
	}
	if err := s.tenant.checkResourceScopes("role "+a.Role, a.Scopes); err != nil {
		return nil, nil, err
	}
	r.Scopes = a.Scopes
	data := []map[string]any{}
	for _, indicator := range slices.Sorted(maps.Keys(a.Scopes)) {
		for _, name := range a.Scopes[indicator] {
			data = append(data, map[string]any{"tenantId": "default", "id": name, "resourceId": indicator, "name": name, "description": nil, "createdAt": s.now().UnixMilli()})
		}
	}
	return nil, s.send(managed("Role.Scopes.Updated", http.MethodPost, "/roles/"+r.Name+"/scopes", "/roles/:id/scopes", http.StatusCreated,
		map[string]string{"0": "/" + r.Name + "/scopes", "id": r.Name}, map[string]any{"data": data})), nil
}

func (s *Server) createOrganization(a organization) (any, []*delivery, error) {
	o := &a
	s.tenant.Organizations = append(s.tenant.Organizations, o)
	if err := s.tenant.checkOrganizations(); err != nil {
		s.tenant.Organizations = s.tenant.Organizations[:len(s.tenant.Organizations)-1]
		return nil, nil, err
	}
	data := map[string]any{"tenantId": "default", "id": o.ID, "name": o.Name, "description": nil, "customData": orEmpty(o.CustomData), "isMfaRequired": false,
		"color": map[string]any{}, "branding": map[string]any{}, "customCss": nil, "createdAt": s.now().UnixMilli()}
	return map[string]string{"id": o.ID}, s.send(managed("Organization.Created", http.MethodPost, "/organizations", "/organizations", http.StatusCreated,
		map[string]string{}, map[string]any{"data": data})), nil
}

type memberArgs struct {
	Organization      string   `json:"organization"`
	User              string   `json:"user"`
	Application       string   `json:"application"`
	OrganizationRoles []string `json:"organizationRoles"`
}

func (s *Server) organizationOf(id string) (*organization, error) {
	o := s.tenant.organization(id)
	if o == nil {
		return nil, fmt.Errorf("there is no organization %q", id)
	}
	return o, nil
}

func (s *Server) deleteOrganization(a struct {
	Organization string `json:"organization"`
}) (any, []*delivery, error) {
	o, err := s.organizationOf(a.Organization)
	if err != nil {
		return nil, nil, err
	}
	s.tenant.Organizations = slices.DeleteFunc(s.tenant.Organizations, func(other *organization) bool { return other == o })
	return nil, s.send(managed("Organization.Deleted", http.MethodDelete, "/organizations/"+o.ID, "/organizations/:id", http.StatusNoContent,
		map[string]string{"id": o.ID}, nil)), nil
}

// A membership is what memberArgs are about.
type membership struct {
	organization     *organization
	list             *[]*member
	id               string
	member           *member // nil if there is none
	path, ids, param string  // the words of Logto's event
}

func (s *Server) membershipOf(a memberArgs) (*membership, error) {
	o, err := s.organizationOf(a.Organization)
	if err != nil {
		return nil, err
	}
	if (a.User == "") == (a.Application == "") {
		return nil, fmt.Errorf("say user or application")
	}
	m := &membership{o, &o.Users, a.User, nil, "users", "UserIds", "userId"}
	if a.User == "" {
		m = &membership{o, &o.Applications, a.Application, nil, "applications", "ApplicationIds", "applicationId"}
	}
	m.member = find(*m.list, func(m *member) string { return m.ID }, m.id)
	return m, nil
}

func (m *membership) missing() error {
	return fmt.Errorf("%s is no member of %s", m.id, m.organization.ID)
}

func (s *Server) addMember(a memberArgs) (any, []*delivery, error) {
	m, err := s.membershipOf(a)
	if err != nil {
		return nil, nil, err
	}
	before, in := *m.list, m.organization.ID
	*m.list = append(slices.Clone(before), &member{ID: m.id, OrganizationRoles: a.OrganizationRoles})
	if err := s.tenant.checkOrganizations(); err != nil {
		*m.list = before
		return nil, nil, err
	}
	return nil, s.send(managed("Organization.Membership.Updated", http.MethodPost, "/organizations/"+in+"/"+m.path, "/organizations/:id/"+m.path, http.StatusCreated,
		map[string]string{"id": in}, map[string]any{"organizationId": in, "added" + m.ids: []string{m.id}})), nil
}

func (s *Server) removeMember(a memberArgs) (any, []*delivery, error) {
	m, err := s.membershipOf(a)
	switch {
	case err != nil:
		return nil, nil, err
	case m.member == nil:
		return nil, nil, m.missing()
	}
	in := m.organization.ID
	*m.list = slices.DeleteFunc(*m.list, func(other *member) bool { return other == m.member })
	return nil, s.send(managed("Organization.Membership.Updated", http.MethodDelete, "/organizations/"+in+"/"+m.path+"/"+m.id, "/organizations/:id/"+m.path+"/:"+m.param, http.StatusNoContent,
		map[string]string{"id": in, m.param: m.id}, map[string]any{"organizationId": in, "removed" + m.ids: []string{m.id}})), nil
}

// setMemberRoles sends nothing, as Logto.
func (s *Server) setMemberRoles(a memberArgs) (any, []*delivery, error) {
	m, err := s.membershipOf(a)
	switch {
	case err != nil:
		return nil, nil, err
	case m.member == nil:
		return nil, nil, m.missing()
	}
	before := m.member.OrganizationRoles
	m.member.OrganizationRoles = a.OrganizationRoles
	if err := s.tenant.checkOrganizations(); err != nil {
		m.member.OrganizationRoles = before
		return nil, nil, err
	}
	return nil, nil, nil
}
