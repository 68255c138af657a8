package policy

import (
	"fmt"
	"net"
	"net/url"
	"strings"
)

// OIDCPath is what Logto's issuer has after the endpoint, KeySetPath what the key
// set's address has after the issuer, and DiscoveryPath that of the discovery
// document.
const (
	OIDCPath      = "/oidc"
	KeySetPath    = "/jwks"
	DiscoveryPath = "/.well-known/openid-configuration"
)

// ConfigError is what is wrong with a configuration.
type ConfigError struct {
	Text string // names the field, and what to change
	// InsecureHTTP: what is wrong is http to a host that is not loopback.
	InsecureHTTP bool
}

func (e *ConfigError) Error() string { return "logto: " + e.Text }

// Refuse makes a [ConfigError].
func Refuse(format string, args ...any) error {
	return &ConfigError{Text: fmt.Sprintf(format, args...)}
}

// ParseEndpoint turns what people paste into the address that issuer and key set
// begin with, in the form that Logto gives it: host in lower case, no default
// port. The error is a [ConfigError].
func ParseEndpoint(endpoint string, insecure bool) (string, error) {
	u, err := ParseURL("Endpoint", strings.TrimSpace(endpoint), insecure)
	if err != nil {
		return "", err
	}
	path := strings.TrimRight(u.EscapedPath(), "/")
	for _, suffix := range []string{DiscoveryPath, KeySetPath} {
		if p, ok := strings.CutSuffix(path, OIDCPath+suffix); ok {
			path = p + OIDCPath
		}
	}
	path = strings.TrimRight(strings.TrimSuffix(path, OIDCPath), "/")
	host := strings.ToLower(u.Host)
	if u.Scheme == "https" {
		host = strings.TrimSuffix(host, ":443")
	} else {
		host = strings.TrimSuffix(host, ":80")
	}
	return u.Scheme + "://" + host + path, nil
}

// ParseURL reads the address in the named field of the configuration. The error is
// a [ConfigError].
func ParseURL(field, raw string, insecure bool) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "":
		// Without the value of err: it repeats the URL, and there may be a password in it.
		return nil, Refuse("Config.%s is no URL: write it as in https://tenant.logto.app", field)
	case u.User != nil || u.Fragment != "" || field == "Endpoint" && (u.RawQuery != "" || u.ForceQuery):
		return nil, Refuse("Config.%s has a user, a query or a fragment: leave it away", field)
	case u.Scheme == "http" && !insecure && !IsLoopback(u.Hostname()):
		return nil, &ConfigError{InsecureHTTP: true, Text: fmt.Sprintf("Config.%s has http to %s, which is not loopback: whoever can change the answer can sign tokens; use https, or set InsecureAllowHTTP on a network that you trust", field, u.Host)}
	}
	return u, nil
}

// IsLoopback reports whether a host, without port, is this machine whatever the
// network says.
func IsLoopback(host string) bool {
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback() || strings.EqualFold(host, "localhost")
}
