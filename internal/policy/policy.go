// Package policy has the rules that package logto and the command logto share, so
// that the command says what the library does: how Logto's addresses are read and
// asked, which clock difference is tolerated, what a scope is.
package policy

import "time"

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
