package emulator

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/seed-70fe37f4/logto/internal/policy"
)

// A registered redirect URI is compared byte by byte (RFC 9700 section 4.1.3), with one
// exception, for the ports of development servers: in http://localhost:*/callback the
// port is any, and a path of /* is any. Only loopback hosts have that.

const anyPort = ":*"

// checkRedirect refuses what can't be a redirect URI.
func checkRedirect(uri string) error {
	u, err := url.Parse(strings.ReplaceAll(uri, anyPort, ":1"))
	switch {
	case err != nil || !u.IsAbs() || strings.Contains(uri, "#") || u.User != nil || !plain(uri):
		return fmt.Errorf("redirect URI %q: it must be an absolute URI without fragment and user", uri)
	case u.Scheme == "http" || u.Scheme == "https":
		if u.Host == "" {
			return fmt.Errorf("redirect URI %q has no host", uri)
		}
	case !strings.Contains(u.Scheme, "."):
		// RFC 8252 section 7.1; javascript: and data: would be run in our name.
		return fmt.Errorf("redirect URI %q: a scheme of one's own has a dot in it, as com.example.app:/callback", uri)
	}
	before, path, _ := strings.Cut(uri, anyPort)
	if strings.Contains(uri, "*") && !(u.Scheme == "http" && policy.IsLoopback(u.Hostname()) && before == "http://"+u.Hostname() && u.RawQuery == "" &&
		(path == "/*" || strings.HasPrefix(path, "/") && !strings.Contains(path, "*"))) {
		return fmt.Errorf("redirect URI %q: * is for the port of a loopback host, and behind it for the path, as in http://localhost:*/*", uri)
	}
	return nil
}

// plain tells that browser and server can't read the text in two ways.
func plain(uri string) bool {
	return !strings.ContainsFunc(uri, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '\\' })
}

// registered tells whether uri is one of the patterns.
func registered(patterns []string, uri string) bool {
	for _, pattern := range patterns {
		if pattern == uri && !strings.Contains(uri, "*") || matches(pattern, uri) {
			return true
		}
	}
	return false
}

func matches(pattern, uri string) bool {
	origin, path, ok := strings.Cut(pattern, anyPort)
	if !ok || !plain(uri) {
		return false
	}
	u, err := url.Parse(uri)
	if err != nil || u.User != nil || strings.Contains(uri, "#") {
		return false
	}
	if u.Scheme+"://"+u.Hostname() != origin || !strings.HasPrefix(uri, origin) {
		return false
	}
	return path == "/*" || u.Path == path && u.RawQuery == ""
}

// originOf is the origin of an address (RFC 6454), "" if it has none.
func originOf(u *url.URL) string {
	if u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return ""
	}
	host := u.Host
	if u.Scheme == "http" {
		host = strings.TrimSuffix(host, ":80")
	} else {
		host = strings.TrimSuffix(host, ":443")
	}
	return u.Scheme + "://" + strings.ToLower(host)
}

// isOrigin tells whether a text is an origin as a browser writes it, or as an app around
// a page does: capacitor://localhost.
func isOrigin(text string) bool {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || !plain(text) {
		return false
	}
	if u.Scheme == "http" || u.Scheme == "https" {
		return originOf(u) == text
	}
	return u.Scheme+"://"+u.Hostname() == text
}

// allowsOrigin tells whether pages of the origin may call the token endpoint for the
// application: those that it redirects to, and those that it names.
func (a *application) allowsOrigin(origin string) bool {
	if slices.Contains(a.CORSAllowedOrigins, origin) {
		return true
	}
	u, err := url.Parse(origin)
	if err != nil || origin == "" || originOf(u) != origin {
		return false
	}
	for _, pattern := range a.RedirectURIs {
		if before, _, ok := strings.Cut(pattern, anyPort); ok {
			if u.Scheme+"://"+u.Hostname() == before {
				return true
			}
		} else if r, err := url.Parse(pattern); err == nil && originOf(r) == origin {
			return true
		}
	}
	return false
}
