package policy

import (
	"net/netip"
	"net/url"
	"strings"
)

// A Difference is how two issuers differ, with the likely mistake.
type Difference struct {
	Kind   int    // the smaller, the surer is the mistake
	Text   string // fit behind both of them
	Remedy string
}

// EmulatorPath is what the endpoint of every logto emulate ends in.
const EmulatorPath = "/emulator"

// IsEmulator reports whether an issuer, or its path, is that of a logto emulate.
func IsEmulator(issuer string) bool { return strings.HasSuffix(issuer, EmulatorPath+OIDCPath) }

const maxIssuer = 500 // bytes that are looked at; Logto's have about 30

// SameLogto is the last Kind in which one Logto certainly goes by both issuers, if it
// is what answers at the configured one.
const SameLogto = 3

// CompareIssuers compares the issuer in a token, or that Logto calls itself, with a
// configured one.
func CompareIssuers(got, want string) Difference {
	const write = "iss is compared byte by byte: write it as Logto does; Config.Endpoint does so"
	bare := strings.TrimRight(want, "/")
	g, err1 := url.Parse(got[:min(len(got), maxIssuer+1)])
	w, err2 := url.Parse(want)
	switch {
	case got == bare+OIDCPath:
		return Difference{1, "the configured issuer lacks /oidc", "set Config.Endpoint to Logto's address: it adds /oidc"}
	case strings.TrimRight(got, "/") == bare:
		return Difference{1, "they differ by a slash", "iss is compared byte by byte: write it as Logto does"}
	case strings.TrimPrefix(got, "http://") == strings.TrimPrefix(want, "https://"):
		return Difference{1, "Logto calls itself by http: behind a TLS proxy, set its ENDPOINT to the https address and TRUST_PROXY_HEADER=1",
			"Logto runs behind a TLS proxy and doesn't know it: set its ENDPOINT to the https address and TRUST_PROXY_HEADER=1"}
	case strings.TrimPrefix(got, "https://") == strings.TrimPrefix(want, "http://"):
		return Difference{1, "Logto calls itself by https, the configuration by http", "set Config.Endpoint to the https address"}
	case len(got) > maxIssuer || err1 != nil || err2 != nil || g.Host == "" || w.Host == "":
		return Difference{9, "the token is not from this Logto", "the token is another issuer's: where does the client sign in?"}
	case canonical(g)+g.Path == canonical(w)+w.Path:
		return Difference{2, "they differ in upper and lower case, or by a port that goes without saying", write}
	case IsEmulator(g.Path) && !IsEmulator(w.Path):
		return Difference{4, "the token is from logto emulate, where anybody can be anybody: no API but one under development may trust it",
			"let the client sign in to the Logto of this API; for development on the emulator, set Config.Endpoint to the address that logto emulate prints"}
	case IsEmulator(w.Path) && !IsEmulator(g.Path):
		return Difference{4, "this API is configured for logto emulate, and the token is from elsewhere",
			"set Config.Endpoint to the Logto where the client signs in: the emulator is for development"}
	case canonical(g) == canonical(w):
		return Difference{3, "they differ by the path", "the issuer is Logto's address + /oidc: Config.Endpoint must have the path of the tenant, if it has one, and no other"}
	case strings.EqualFold(g.Hostname(), w.Hostname()):
		text := "they differ by the port"
		if g.Port() == "3002" || w.Port() == "3002" {
			text += ", of which 3002 is usually that of Logto's console"
		}
		return Difference{3, text, "set Config.Endpoint to the address by which clients reach Logto, with its port"}
	case IsLoopback(g.Hostname()) && IsLoopback(w.Hostname()):
		return Difference{3, "both are this machine, by two names", write}
	case !strings.HasSuffix(got, OIDCPath):
		return Difference{8, "the token is not Logto's, whose issuers end with /oidc", "the token is another issuer's: where does the client sign in?"}
	case near(g.Host, w.Host, 2), sameLabels(g.Host, w.Host):
		return Difference{4, "the two hosts differ by so little that it may be a typo", "look for a typo in the configured address; if there is none, the token is from another Logto"}
	case isInternal(w.Hostname()) && !isInternal(g.Hostname()):
		return Difference{5, "the configured issuer has a name for internal use", "set Config.Endpoint to Logto's public address, and Config.JWKSURL to the internal one"}
	case isInternal(g.Hostname()) && !isInternal(w.Hostname()):
		return Difference{5, "Logto calls itself by a name for internal use: set its ENDPOINT to the public address", "set Logto's ENDPOINT to its public address; the client must use that too"}
	case isTenant(g) && isTenant(w):
		return Difference{5, "they are two tenants of Logto", "the client signs in to one tenant, and this API trusts another: which is the right one?"}
	}
	// One may be a custom domain of the other.
	return Difference{6, "a tenant with a custom domain has two issuers: list both in Config.Issuers; else the token is from another Logto",
		"if both are names of one tenant, as with a custom domain: list both in Config.Issuers. Else the client signs in elsewhere than this API expects"}
}

// canonical is scheme, host and port, in the spelling that Logto gives them.
func canonical(u *url.URL) string {
	port := u.Port()
	if port == "443" && u.Scheme == "https" || port == "80" && u.Scheme == "http" {
		port = ""
	}
	return u.Scheme + "://" + strings.ToLower(strings.TrimSuffix(u.Hostname(), ".")) + ":" + port
}

// isInternal tells a name or an address that the rest of the world doesn't know.
func isInternal(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.IsPrivate() || ip.IsLoopback()
	}
	return !strings.Contains(host, ".") || IsLoopback(host)
}

func isTenant(u *url.URL) bool { return strings.HasSuffix(strings.ToLower(u.Hostname()), ".logto.app") }

// near reports whether a becomes b by at most n changes of one character.
func near(a, b string, n int) bool {
	for a != "" && b != "" && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	if a == "" || b == "" {
		return len(a)+len(b) <= n
	}
	return n > 0 && (near(a[1:], b[1:], n-1) || near(a[1:], b, n-1) || near(a, b[1:], n-1))
}

// sameLabels reports whether two hosts have the same labels in another order.
func sameLabels(a, b string) bool {
	count := map[string]int{}
	for label := range strings.SplitSeq(a, ".") {
		count[label]++
	}
	for label := range strings.SplitSeq(b, ".") {
		count[label]--
	}
	for _, n := range count {
		if n != 0 {
			return false
		}
	}
	return true
}
