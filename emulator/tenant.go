package emulator

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

//go:embed example.json
var example []byte

// Example is a description of a tenant with comments, to begin a file with. It is
// what an emulator without a description of its own has.
func Example() []byte { return slices.Clone(example) }

// A tenant is what is described: by the file, by Config.Tenant, or by the control
// page. The names of its members are those of Logto's console and Management API.
type tenant struct {
	Resources          []*resource         `json:"resources"`
	Roles              []*role             `json:"roles"`
	OrganizationScopes []string            `json:"organizationScopes"`
	OrganizationRoles  []*organizationRole `json:"organizationRoles"`
	Organizations      []*organization     `json:"organizations"`
	Users              []*user             `json:"users"`
	Applications       []*application      `json:"applications"`
	Hooks              []*hook             `json:"hooks"`
	JWTCustomizer      customizer          `json:"jwtCustomizer"`
}

type resource struct {
	Name           string   `json:"name"`
	Indicator      string   `json:"indicator"`
	AccessTokenTTL *int64   `json:"accessTokenTtl,omitempty"` // seconds; default 3600
	Scopes         []string `json:"scopes"`
}

// scopesOf are scopes by the indicator of their resource.
type scopesOf map[string][]string

type role struct {
	Name   string   `json:"name"`
	Type   string   `json:"type"` // User or MachineToMachine
	Scopes scopesOf `json:"scopes"`
}

type organizationRole struct {
	Name           string   `json:"name"`
	Type           string   `json:"type"`
	Scopes         []string `json:"scopes"` // of the organization itself
	ResourceScopes scopesOf `json:"resourceScopes"`
}

type organization struct {
	ID           string         `json:"id"`
	Name         string         `json:"name"`
	Description  string         `json:"description,omitempty"`
	CustomData   map[string]any `json:"customData,omitempty"`
	Users        []*member      `json:"users"`
	Applications []*member      `json:"applications"`
}

// A member is a user or an application.
type member struct {
	ID                string   `json:"id"`
	OrganizationRoles []string `json:"organizationRoles"`
}

type user struct {
	ID                   string                 `json:"id"`
	Username             string                 `json:"username,omitempty"`
	Name                 string                 `json:"name,omitempty"`
	PrimaryEmail         string                 `json:"primaryEmail,omitempty"`
	PrimaryPhone         string                 `json:"primaryPhone,omitempty"`
	Avatar               string                 `json:"avatar,omitempty"`
	CustomData           map[string]any         `json:"customData,omitempty"`
	IsSuspended          bool                   `json:"isSuspended,omitempty"`
	Roles                []string               `json:"roles"`
	PersonalAccessTokens []*personalAccessToken `json:"personalAccessTokens,omitempty"`
	CreatedAt            int64                  `json:"createdAt,omitempty"` // milliseconds
	UpdatedAt            int64                  `json:"updatedAt,omitempty"`
	LastSignInAt         int64                  `json:"lastSignInAt,omitempty"`
	Made                 bool                   `json:"made,omitempty"` // at the sign-in page, by no file
}

type personalAccessToken struct {
	Name      string `json:"name"`
	Value     string `json:"value"`
	ExpiresAt int64  `json:"expiresAt,omitempty"` // milliseconds
}

type application struct {
	ID                     string   `json:"id"`
	Name                   string   `json:"name"`
	Type                   string   `json:"type"`
	Secret                 string   `json:"secret,omitempty"`
	RedirectURIs           []string `json:"redirectUris,omitempty"`
	PostLogoutRedirectURIs []string `json:"postLogoutRedirectUris,omitempty"`
	CORSAllowedOrigins     []string `json:"corsAllowedOrigins,omitempty"`
	BackchannelLogoutURI   string   `json:"backchannelLogoutUri,omitempty"`
	Roles                  []string `json:"roles,omitempty"` // of a machine

	IDTokenTTL              int64 `json:"idTokenTtl,omitempty"`            // seconds; default 3600
	RefreshTokenTTLInDays   int64 `json:"refreshTokenTtlInDays,omitempty"` // default 14
	RotateRefreshToken      *bool `json:"rotateRefreshToken,omitempty"`    // default true
	AlwaysIssueRefreshToken bool  `json:"alwaysIssueRefreshToken,omitempty"`
	AllowTokenExchange      bool  `json:"allowTokenExchange,omitempty"`
}

// Types of applications.
const (
	spa         = "SPA"
	native      = "Native"
	traditional = "Traditional"
	machine     = "MachineToMachine"
)

func (a *application) public() bool { return a.Type == spa || a.Type == native }

type hook struct {
	ID         string     `json:"id"`
	Name       string     `json:"name,omitempty"`
	Events     []string   `json:"events,omitempty"` // none: all
	Config     hookConfig `json:"config"`
	SigningKey string     `json:"signingKey"`
	Enabled    *bool      `json:"enabled,omitempty"` // default true
}

type hookConfig struct {
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers,omitempty"`
}

type customizer struct {
	AccessToken       map[string]any `json:"accessToken"`
	ClientCredentials map[string]any `json:"clientCredentials"`
}

// readTenant reads a description. The error says what to change.
func readTenant(b []byte) (*tenant, error) {
	if err := unambiguous(b); err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var all map[string]any
	if err := d.Decode(&all); err != nil || all == nil {
		return nil, errors.New("a description is a JSON object")
	}
	bare, err := json.Marshal(withoutComments(all))
	if err != nil {
		return nil, err
	}
	t := &tenant{}
	if err := decodeStrict(bare, t); err != nil {
		return nil, err
	}
	return t, t.check()
}

// unambiguous refuses what is not one JSON value, and members that stand twice in one
// object, of which one would go unheard. Comments may.
func unambiguous(b []byte) error {
	if len(bytes.TrimSpace(b)) == 0 {
		return errors.New("there is nothing in it")
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := walk(d, 0); err != nil {
		return place(b, d, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return place(b, d, errors.New("there is more behind the end"))
	}
	return nil
}

const maxDepth = 1000 // of JSON

// walk goes over one value.
func walk(d *json.Decoder, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("it is nested over %d levels deep", maxDepth)
	}
	token, err := d.Token()
	if err != nil {
		return err
	}
	open, ok := token.(json.Delim)
	if !ok {
		return nil
	}
	seen := map[string]bool{}
	for d.More() {
		if open == '{' {
			token, err := d.Token()
			if err != nil {
				return err
			}
			name, _ := token.(string) // or it was an error
			if seen[name] && !strings.HasPrefix(name, "//") {
				return fmt.Errorf("member %q stands twice in one object", name)
			}
			seen[name] = true
		}
		if err := walk(d, depth+1); err != nil {
			return err
		}
	}
	_, err = d.Token() // which closes it
	return err
}

// decodeStrict refuses members that nobody reads, or that stand twice.
func decodeStrict(b []byte, into any) error {
	if err := unambiguous(b); err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	d.UseNumber() // custom data keep their digits
	err := d.Decode(into)
	if err == nil {
		return nil
	}
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		return fmt.Errorf("%s must be %s, and is a %s", kind.Field, kind.Type, kind.Value)
	}
	return errors.New(strings.Replace(strings.TrimPrefix(err.Error(), "json: "), "unknown field", "unknown member", 1))
}

// place gives an error of reading its line.
func place(b []byte, d *json.Decoder, err error) error {
	at := d.InputOffset()
	// A decoder counts from the value that is wrong, Unmarshal from the beginning.
	if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) && errors.As(json.Unmarshal(b, new(any)), &syntax) {
		at = syntax.Offset
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		at, err = int64(len(b)), errors.New("it ends too early")
	}
	return fmt.Errorf("line %d: %w", 1+bytes.Count(b[:min(at, int64(len(b)))], []byte("\n")), err)
}

// withoutComments takes members away whose names begin with //: JSON has no comments.
func withoutComments(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name, value := range v {
			if strings.HasPrefix(name, "//") {
				delete(v, name)
			} else {
				v[name] = withoutComments(value)
			}
		}
	case []any:
		for i := range v {
			v[i] = withoutComments(v[i])
		}
	}
	return v
}

// find gives the element with the name, nil if there is none.
func find[T any](all []*T, name func(*T) string, want string) *T {
	for _, e := range all {
		if name(e) == want {
			return e
		}
	}
	return nil
}

func (t *tenant) user(id string) *user {
	return find(t.Users, func(u *user) string { return u.ID }, id)
}

// active tells whether there is such a user, who isn't suspended.
func (t *tenant) active(id string) bool {
	u := t.user(id)
	return u != nil && !u.IsSuspended
}

func (t *tenant) application(id string) *application {
	return find(t.Applications, func(a *application) string { return a.ID }, id)
}

func (t *tenant) resource(indicator string) *resource {
	return find(t.Resources, func(r *resource) string { return r.Indicator }, indicator)
}

func (t *tenant) organization(id string) *organization {
	return find(t.Organizations, func(o *organization) string { return o.ID }, id)
}

func (t *tenant) role(name string) *role {
	return find(t.Roles, func(r *role) string { return r.Name }, name)
}

func (t *tenant) organizationRole(name string) *organizationRole {
	return find(t.OrganizationRoles, func(r *organizationRole) string { return r.Name }, name)
}

func (o *organization) user(id string) *member {
	return find(o.Users, func(m *member) string { return m.ID }, id)
}

func (o *organization) application(id string) *member {
	return find(o.Applications, func(m *member) string { return m.ID }, id)
}
