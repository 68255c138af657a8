package emulator

import (
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"strings"
	"testing"
)

// A code_verifier has 43 to 128 characters, of those that RFC 7636 has.
func TestVerifier(t *testing.T) {
	for _, test := range []struct {
		name, verifier string
		want           bool
	}{
		{"42 characters", strings.Repeat("x", 42), false},
		{"43", strings.Repeat("x", 43), true},
		{"128", strings.Repeat("x", 128), true},
		{"129", strings.Repeat("x", 129), false},
		{"the first and the last of each kind", "azAZ09-._~" + strings.Repeat("x", 33), true},
		{"before a", "`" + strings.Repeat("x", 42), false},
		{"behind z", "{" + strings.Repeat("x", 42), false},
		{"before A", "@" + strings.Repeat("x", 42), false},
		{"behind Z", "[" + strings.Repeat("x", 42), false},
		{"before 0", "/" + strings.Repeat("x", 42), false},
		{"behind 9", ":" + strings.Repeat("x", 42), false},
		{"another letter", "ä" + strings.Repeat("x", 42), false},
	} {
		sum := sha256.Sum256([]byte(test.verifier))
		challenge := base64.RawURLEncoding.EncodeToString(sum[:])
		if got := verifies(challenge, url.Values{"code_verifier": {test.verifier}}); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}
