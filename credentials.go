// Where in a request its token is.

package logto

import (
	"errors"
	"net/http"
	"strings"

	"github.com/seed-70fe37f4/logto/internal/refusal"
)

// tokenOf takes the request's token from where the configuration says.
func (v *Verifier) tokenOf(r *http.Request) (string, error) {
	if v.cfg.TokenFrom == nil {
		return bearerToken(r.Header)
	}
	token, err := v.cfg.TokenFrom(r)
	e := refusal.Of(err)
	switch {
	case err == nil && token != "":
		return token, nil
	case err == nil, errors.Is(err, ErrNoToken) && !cannotDecide(err):
		return "", errNoToken
	case e == err:
		return "", e
	case e != nil && (cannotDecide(e) || !cannotDecide(err)): // BearerToken's, in other words
		own := *e
		own.Text, own.Cause = "TokenFrom refused", err
		return "", &own
	case !cannotDecide(err):
		return "", &refusal.Refusal{Reason: reasonBadToken, Text: "TokenFrom refused", Cause: err}
	}
	return "", undecided(r, "TokenFrom", reasonTokenUnavailable, err)
}

// BearerToken takes the token from a request's Authorization header, as middleware does
// where TokenFrom of [Config] is nil. It verifies nothing. The error is [ErrNoToken] where
// there is no such header or another scheme in it, and [ErrInvalidToken], which is answered
// 400, where it is malformed.
func BearerToken(r *http.Request) (string, error) {
	token, err := bearerToken(r.Header)
	if err == nil && isMalformed(token) {
		return "", errCredentials
	}
	return token, err
}

// bearerToken takes the token from the Authorization header (RFC 6750 section
// 2.1). There must be one field line; what a proxy might have folded into one is
// malformed. Another scheme is no token (RFC 6750 section 3.1). Whether what comes
// after Bearer is a token68, isToken68 tells.
func bearerToken(h http.Header) (string, error) {
	lines := h["Authorization"]
	if len(lines) == 0 {
		return "", errNoHeader
	}
	if len(lines) > 1 {
		return "", errTwoHeaders
	}
	line := lines[0]
	scheme, rest, _ := strings.Cut(line, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		if meantAsBearer(line[:min(len(line), maxOther)]) {
			return "", errCredentials
		}
		return "", errOtherScheme
	}
	return strings.TrimLeft(rest, " "), nil
}

// maxOther is how much of another scheme's line is looked through, in bytes: 16 KiB of commas
// would cost 90 µs.
const maxOther = 2 << 10

// meantAsBearer tells a bearer token that was sent the wrong way from another
// scheme: by the word Bearer where the field line, or one that was folded into it,
// began; or by a scheme that is none, such as a token without the word before it.
func meantAsBearer(line string) bool {
	scheme, _, _ := strings.Cut(line, " ")
	if strings.ContainsFunc(scheme, func(r rune) bool {
		return r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}) {
		return true
	}
	for part := range strings.SplitSeq(line, ",") {
		if hasPrefixFold(strings.TrimSpace(part), "bearer") {
			return true
		}
	}
	return false
}

// isMalformed tells whether what came after Bearer is none (RFC 6750 section 2.1). What is
// too long is not looked through.
func isMalformed(token string) bool { return len(token) <= maxToken && !isToken68(token) }

// isToken68 tells whether s is a token68 (RFC 9110 section 11.2). It looks at eight
// characters at once, without a branch each: anybody may send 16 KiB of them.
func isToken68(s string) bool {
	s = strings.TrimRight(s, "=")
	ok := s != ""
	var other uint8
	for ; len(s) >= 8; s = s[8:] {
		other |= no68[s[0]] | no68[s[1]] | no68[s[2]] | no68[s[3]] | no68[s[4]] | no68[s[5]] | no68[s[6]] | no68[s[7]]
	}
	for i := range len(s) {
		other |= no68[s[i]]
	}
	return ok && other == 0
}

// no68 is 1 for what is no character of a token68.
var no68 = func() (table [256]uint8) {
	for c := range table {
		if strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/", byte(c)) < 0 {
			table[c] = 1
		}
	}
	return
}()
