// A Logto that tokens may come from: how its configuration is read, and what that says of a
// token. Its key set alone may sign for its issuers.

package logto

import (
	"errors"
	"slices"
	"strings"

	"github.com/seed-70fe37f4/logto/internal/policy"
)

// tenant is one Logto. Most verifiers have one.
type tenant struct {
	cfg     Config // with its issuers
	jwksURL string
	given   *keySet // to begin with; nil for none
	keys    *keyCache
}

// newTenant reads what belongs to one Logto.
func newTenant(cfg Config) (*tenant, error) {
	cfg.Audiences = slices.Clone(cfg.Audiences)
	cfg.Issuers = slices.Clone(cfg.Issuers)
	cfg.ClientIDs = slices.Clone(cfg.ClientIDs)

	switch {
	case cfg.Endpoint == "" && len(cfg.Issuers) == 0:
		return nil, policy.Refuse("Config needs an Endpoint, such as https://tenant.logto.app, or Issuers")
	case len(cfg.Audiences) == 0 && !cfg.OrganizationTokens:
		return nil, policy.Refuse("Config needs Audiences: the identifier of this API under API resources in the Logto console")
	}
	for _, field := range []struct {
		name   string
		values []string
	}{{"Audiences", cfg.Audiences}, {"Issuers", cfg.Issuers}, {"ClientIDs", cfg.ClientIDs}} {
		for _, value := range field.values {
			switch {
			case value == "":
				return nil, policy.Refuse("Config.%s has an empty string in it: is an environment variable not set?", field.name)
			case value != strings.TrimSpace(value):
				return nil, policy.Refuse("Config.%s has %q, with white space around it: values are compared byte by byte", field.name, policy.Shown(value))
			case policy.IsList(value):
				return nil, policy.Refuse("Config.%s has %q, several values in one string: give each a string of its own, as strings.Split does", field.name, policy.ShownText(value))
			}
		}
	}
	for _, issuer := range cfg.Issuers {
		if err := policy.CheckIssuer(issuer); err != nil {
			return nil, err
		}
	}

	jwksURL := cfg.JWKSURL
	if cfg.Endpoint != "" {
		base, err := policy.ParseEndpoint(cfg.Endpoint, cfg.InsecureAllowHTTP)
		if err != nil {
			return nil, err
		}
		if len(cfg.Issuers) == 0 {
			cfg.Issuers = []string{base + policy.OIDCPath}
		}
		if jwksURL == "" {
			jwksURL = base + policy.OIDCPath + policy.KeySetPath
		}
	}
	derived := jwksURL == ""
	if derived {
		// As for the discovery document (OpenID Connect Discovery 1.0 section 4).
		jwksURL = strings.TrimRight(cfg.Issuers[0], "/") + policy.KeySetPath
	}
	if _, err := policy.ParseURL("JWKSURL", jwksURL, cfg.InsecureAllowHTTP); err != nil {
		var refused *policy.ConfigError
		if derived && errors.As(err, &refused) {
			refused.Text += "; it follows from Issuers[0]"
		}
		return nil, err
	}
	given, err := cfg.KeySet.read(cfg.Issuers)
	if err != nil {
		return nil, err
	}
	cfg.KeySet = KeySet{}
	return &tenant{cfg: cfg, jwksURL: jwksURL, given: given}, nil
}

// joins reports what keeps another Logto from standing beside those that v has.
func (v *Verifier) joins(t *tenant) error {
	for _, field := range []struct {
		name string
		set  bool
	}{
		{"Leeway", t.cfg.Leeway != 0}, {"CacheSize", t.cfg.CacheSize != 0}, {"Logger", t.cfg.Logger != nil},
		{"TokenFrom", t.cfg.TokenFrom != nil}, {"ErrorHandler", t.cfg.ErrorHandler != nil},
		{"ResourceMetadataURL", t.cfg.ResourceMetadataURL != ""}, {"UserAgent", t.cfg.UserAgent != ""},
		{"Observer", t.cfg.Observer != nil},
	} {
		if field.set {
			return policy.Refuse("Config.%s concerns the service as a whole: set it in the first configuration alone", field.name)
		}
	}
	for _, issuer := range t.cfg.Issuers {
		if v.tenantOf(issuer) != nil {
			return policy.Refuse("Config.Issuers, or Endpoint, has %q, which another configuration has: whose keys should sign for it?", issuer)
		}
	}
	return nil
}

// tenantOf is nil for a stranger's issuer.
func (v *Verifier) tenantOf(issuer string) *tenant {
	for _, t := range v.tenants {
		if slices.Contains(t.cfg.Issuers, issuer) {
			return t
		}
	}
	return nil
}

// issuers are those of all.
func (v *Verifier) issuers() []string {
	var all []string
	for _, t := range v.tenants {
		all = append(all, t.cfg.Issuers...)
	}
	return all
}

// expects is what the configuration says of an access token of this Logto.
func (t *tenant) expects(c *Claims) error {
	switch {
	case !t.acceptsAudience(c):
		return t.wrongAudience(c)
	case len(t.cfg.ClientIDs) > 0 && !slices.Contains(t.cfg.ClientIDs, c.clientID):
		return t.wrongClient(c)
	}
	return nil
}

func (t *tenant) acceptsAudience(c *Claims) bool {
	return slices.ContainsFunc(c.audiences, func(aud string) bool {
		return slices.Contains(t.cfg.Audiences, aud) ||
			t.cfg.OrganizationTokens && strings.HasPrefix(aud, organizationURN) && len(aud) > len(organizationURN)
	})
}
