package policy

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
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
	if strings.EqualFold(u.Hostname(), "cloud.logto.io") {
		return "", Refuse("Config.Endpoint is the address of Logto's console: the Logto endpoint stands on the application's page there, such as https://tenant.logto.app")
	}
	path := strings.TrimRight(u.EscapedPath(), "/")
	for _, suffix := range []string{DiscoveryPath, KeySetPath} {
		if p, ok := strings.CutSuffix(path, OIDCPath+suffix); ok {
			path = p + OIDCPath
		}
	}
	path = strings.TrimRight(strings.TrimSuffix(path, OIDCPath), "/")
	host, ok := asciiHost(u.Host)
	if !ok || !isPlainASCII(host) {
		return "", Refuse("Config.Endpoint has %q for a host, which is no name that a host can have: what isn't ASCII in it must be in its xn-- form", u.Host)
	}
	if u.Scheme == "https" {
		host = strings.TrimSuffix(host, ":443")
	} else {
		host = strings.TrimSuffix(host, ":80")
	}
	return u.Scheme + "://" + strings.ReplaceAll(host, "%", "%25") + path, nil // of a zone
}

// asciiHost gives a host, with or without port, as it is asked for and as Logto writes
// it: in lower case, and what isn't ASCII in its xn-- form (RFC 5891). net/http has
// that form, and shows it in what it sends. It doesn't normalize, so what would have to
// be is refused.
func asciiHost(host string) (string, bool) {
	host = strings.ToLower(host)
	if isASCII(host) {
		return host, true
	}
	for _, r := range host {
		if r >= utf8.RuneSelf && !unicode.IsLetter(r) {
			return "", false
		}
	}
	var sent strings.Builder
	req := http.Request{Method: http.MethodGet, Host: host, URL: &url.URL{Scheme: "https", Host: host, Path: "/"}}
	if err := req.Write(&sent); err != nil {
		return "", false
	}
	_, line, _ := strings.Cut(sent.String(), "\r\nHost: ")
	line, _, _ = strings.Cut(line, "\r\n")
	return line, line != "" && isASCII(line)
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf })
}

// ParseURL reads the address in the named field of the configuration. The error is
// a [ConfigError].
func ParseURL(field, raw string, insecure bool) (*url.URL, error) {
	// Without the value, and without that of err, which repeats it: there may be a
	// password in it.
	if raw != strings.TrimSpace(raw) {
		return nil, Refuse("Config.%s has white space around it", field)
	}
	u, err := url.Parse(raw)
	switch {
	case err == nil && field == "JWKSURL" && u.Scheme == "file":
		return nil, Refuse("Config.JWKSURL is no URL of http: for keys from a file, give Config.HTTPClient a Transport that reads it")
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "":
		return nil, Refuse("Config.%s is no URL: write it as in %s", field, examples[field])
	case field == "Endpoint" && (u.User != nil || u.Fragment != "" || u.RawQuery != "" || u.ForceQuery):
		return nil, Refuse("Config.Endpoint has a user, a query or a fragment: leave it away")
	case u.User != nil || u.Fragment != "":
		return nil, Refuse("Config.%s has a user or a fragment: leave it away; what must be sent with a request for the keys belongs into the Transport of Config.HTTPClient", field)
	case field == "JWKSURL" && strings.HasSuffix(u.Path, DiscoveryPath):
		return nil, Refuse("Config.JWKSURL is the address of the discovery document: the key set is at …" + OIDCPath + KeySetPath)
	case u.Scheme == "http" && !insecure && !IsLoopback(u.Hostname()):
		text := fmt.Sprintf("Config.%s has http to %s, which is not loopback: whoever can change the answer can sign tokens; use https, or set InsecureAllowHTTP on a network that you trust", field, u.Host)
		if ip, err := netip.ParseAddr(u.Hostname()); err == nil && ip.IsUnspecified() {
			text = fmt.Sprintf("Config.%s has http to %s, which is an address to listen on, not one to ask: write 127.0.0.1", field, u.Host)
		}
		return nil, &ConfigError{InsecureHTTP: true, Text: text}
	}
	return u, nil
}

var examples = map[string]string{
	"Endpoint":            "https://tenant.logto.app",
	"JWKSURL":             "https://tenant.logto.app/oidc/jwks",
	"ResourceMetadataURL": "https://api.example.com/.well-known/oauth-protected-resource",
}

// CheckIssuer refuses what can't be the issuer of any Logto (OpenID Connect Discovery
// 1.0 section 3). The error is a [ConfigError].
func CheckIssuer(issuer string) error {
	if err := checkHost("Issuers", issuer); err != nil {
		return err
	}
	u, err := url.Parse(issuer)
	// It goes into a quoted string of the challenge.
	if !isPlainASCII(issuer) || err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" {
		return Refuse("Config.Issuers has %q, which is no URL: Logto's issuer is its address with /oidc, as in https://tenant.logto.app/oidc", Shown(issuer))
	}
	if u.User != nil || u.Fragment != "" || u.RawQuery != "" || u.ForceQuery {
		return Refuse("Config.Issuers has an issuer with a user, a query or a fragment, which Logto's have not")
	}
	for _, suffix := range []string{KeySetPath, DiscoveryPath} {
		if cut, ok := strings.CutSuffix(issuer, OIDCPath+suffix); ok {
			return Refuse("Config.Issuers has %q: the issuer is %s", issuer, cut+OIDCPath)
		}
	}
	return nil
}

// checkHost refuses a host that isn't ASCII where what is configured is compared or
// given to others as it stands.
func checkHost(field, address string) error {
	u, err := url.Parse(address)
	if err != nil || isASCII(u.Host) {
		return nil
	}
	host, ok := asciiHost(u.Host)
	if !ok {
		host = "xn--…, which a browser shows"
	}
	return Refuse("Config.%s has %q: write its host as %s", field, Shown(address), host)
}

// CheckResourceMetadataURL refuses what is no URL. The error is a [ConfigError].
func CheckResourceMetadataURL(address string) error {
	if err := checkHost("ResourceMetadataURL", address); err != nil {
		return err
	}
	if !isPlainASCII(address) {
		return Refuse("Config.ResourceMetadataURL has %q, which is no URL", Shown(address))
	}
	_, err := ParseURL("ResourceMetadataURL", address, true)
	return err
}

// ResourceMetadataURL is the address of an audience's metadata (RFC 9728 section 3.1) on the
// host of the one that is configured; that itself for an audience which is no URL.
func ResourceMetadataURL(configured, audience string) string {
	a, err := url.Parse(audience)
	c, configuredErr := url.Parse(configured)
	if err != nil || configuredErr != nil || a.Scheme != "https" && a.Scheme != "http" || !isPlainASCII(audience) {
		return configured
	}
	path := "/.well-known/oauth-protected-resource"
	if a.Path != "/" {
		path += a.EscapedPath()
	}
	if a.RawQuery != "" {
		path += "?" + a.RawQuery
	}
	return c.Scheme + "://" + c.Host + path
}

// isPlainASCII tells whether a text can stand in a quoted string of a challenge.
func isPlainASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == '"' || r == '\\' || r >= 0x7f })
}

// IsLoopback reports whether a host, without port, is this machine whatever the
// network says: the addresses of loopback, an IPv4 address written as IPv6 and a zone
// included, and localhost with all names below it (RFC 6761 section 6.3). 127.1, which
// some resolvers take for a name, is none, nor is 0.0.0.0, which is for listening.
func IsLoopback(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.IsLoopback()
	}
	return strings.EqualFold(strings.TrimSuffix(host, "."), "localhost") || belowLocalhost(host)
}

func belowLocalhost(host string) bool {
	name, ok := strings.CutSuffix(strings.ToLower(strings.TrimSuffix(host, ".")), ".localhost")
	return ok && !strings.Contains("."+name+".", "..")
}
