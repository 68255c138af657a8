package emulator

import (
	"encoding/json"
	"fmt"
	"strings"
)

// protected are the claims that no customizer can override, in Logto either.
var protected = []string{"iss", "aud", "sub", "exp", "iat", "jti", "scope", "client_id"}

// custom fills the template in for a token: what a JWT customizer's script would give.
// It is a new map.
func (s *Server) custom(q request, standard map[string]any) map[string]any {
	template := s.tenant.JWTCustomizer.ClientCredentials
	context := map[string]any{"application": map[string]any{"id": q.client.ID, "name": q.client.Name, "type": q.client.Type}}
	if q.user != nil {
		template = s.tenant.JWTCustomizer.AccessToken
		context = map[string]any{"user": s.tenant.described(q.user)}
	}
	about := map[string]any{"token": standard, "context": context}
	filled := map[string]any{}
	for name, value := range template {
		if v, ok := fill(value, about); ok {
			filled[name] = v
		}
	}
	return filled
}

// described is the user as a customizer sees them.
func (t *tenant) described(u *user) map[string]any {
	roles := []any{}
	for _, name := range u.Roles {
		roles = append(roles, map[string]any{"name": name})
	}
	organizations, organizationRoles := []any{}, []any{}
	for _, o := range t.organizationsOf(holderOfUser(u)) {
		organizations = append(organizations, map[string]any{"id": o.ID, "name": o.Name})
		for _, name := range o.user(u.ID).OrganizationRoles {
			organizationRoles = append(organizationRoles, map[string]any{"organizationId": o.ID, "roleName": name})
		}
	}
	return map[string]any{
		"id": u.ID, "username": u.Username, "primaryEmail": u.PrimaryEmail, "primaryPhone": u.PrimaryPhone, "name": u.Name, "avatar": u.Avatar,
		"customData": orEmpty(u.CustomData), "roles": roles, "organizations": organizations, "organizationRoles": organizationRoles,
	}
}

// fill replaces ${…} in a value. Alone in a text it becomes the value with its type,
// else its text. It is not ok if nothing is there.
func fill(value any, about map[string]any) (any, bool) {
	switch value := value.(type) {
	case string:
		return fillText(value, about)
	case map[string]any:
		filled := map[string]any{}
		for name, v := range value {
			if v, ok := fill(v, about); ok {
				filled[name] = v
			}
		}
		return filled, true
	case []any:
		filled := []any{}
		for _, v := range value {
			if v, ok := fill(v, about); ok {
				filled = append(filled, v)
			}
		}
		return filled, true
	}
	return value, true
}

func fillText(text string, about map[string]any) (any, bool) {
	if path, ok := strings.CutPrefix(text, "${"); ok {
		if path, ok := strings.CutSuffix(path, "}"); ok && !strings.ContainsAny(path, "{}") {
			return lookUp(about, strings.Split(path, "."))
		}
	}
	var filled strings.Builder
	for {
		before, rest, ok := strings.Cut(text, "${")
		filled.WriteString(before)
		if !ok {
			return filled.String(), true
		}
		path, after, ok := strings.Cut(rest, "}")
		if !ok {
			filled.WriteString("${" + rest)
			return filled.String(), true
		}
		if v, ok := lookUp(about, strings.Split(path, ".")); ok {
			filled.WriteString(asText(v))
		}
		text = after
	}
}

func asText(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case map[string]any, []any:
		b, err := json.Marshal(v)
		if err != nil {
			return ""
		}
		return string(b)
	}
	return fmt.Sprint(v)
}

// lookUp goes down by names; of a list it takes each element.
func lookUp(v any, path []string) (any, bool) {
	if len(path) == 0 {
		return v, v != nil
	}
	switch v := v.(type) {
	case map[string]any:
		return lookUp(v[path[0]], path[1:])
	case []any:
		all := []any{}
		for _, e := range v {
			if found, ok := lookUp(e, path); ok {
				all = append(all, found)
			}
		}
		return all, true
	}
	return nil, false
}
