// Package policy has the rules that the packages logto and revocation and the command
// logto share, so that the command says what the library does: how Logto's addresses are
// read and asked, which clock difference is tolerated, what a scope is, which of Logto's
// events revoke somebody.
package policy

import (
	"strings"
	"time"
	"unicode"
)

// Leeway is the clock difference that is tolerated where nothing is configured.
const Leeway = 30 * time.Second

// IsScope reports whether s can be a scope (RFC 6749 section 3.3), which is also
// what makes it safe in a challenge.
func IsScope(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c == '"' || c == '\\' || c > '~' {
			return false
		}
	}
	return s != ""
}

// Parts gives the values in a string that may be a list, as from an environment
// variable.
func Parts(value string) []string {
	return strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ';' || unicode.IsSpace(r) })
}

// IsList reports whether a string of the configuration certainly has several values in
// it: addresses. A comma alone proves nothing, as it can be part of an address.
func IsList(value string) bool {
	addresses := 0
	for _, part := range Parts(value) {
		if strings.HasPrefix(part, "https://") || strings.HasPrefix(part, "http://") {
			addresses++
		}
	}
	return addresses > 1
}
