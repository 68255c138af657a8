package policy

import (
	"errors"
	"net/url"
	"regexp"
	"strings"
)

// Shown is an address as a log, an error or a report has it: without user and query,
// which may be secret. What was left out is marked.
func Shown(address string) string {
	u, err := url.Parse(address)
	scheme, rest, found := strings.Cut(address, "://")
	if found {
		scheme += "://"
	} else {
		scheme, rest = "", address
	}
	// A password may have characters in it that would have to be escaped. So only of an
	// address that is well-formed, with no @ where it could end a user, the query is cut
	// away first.
	if i := strings.IndexAny(rest, "?#"); i >= 0 && err == nil && found && u.Host != "" {
		rest = rest[:i] + rest[i:i+1] + "…"
	}
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		rest = "…@" + rest[i+1:]
	}
	if i := strings.IndexAny(rest, "?#"); i >= 0 {
		rest = rest[:i] + rest[i:i+1] + "…"
	}
	return scheme + rest
}

var addresses = regexp.MustCompile("[A-Za-z][A-Za-z0-9+.-]*://[^\\s\"'`<>]+")

// ShownText is a text with each address in it as [Shown].
func ShownText(text string) string {
	// net/url says which piece of an address is wrong, and that may be one of a password.
	if i := strings.Index(text, `parse "`); i >= 0 {
		text = text[:i] + "an address is no URL"
	}
	return addresses.ReplaceAllStringFunc(text, Shown)
}

// ShownError is a failed request, told without what may be secret: net/http repeats
// the whole address. What the error wraps can still be found in it.
func ShownError(err error) error {
	text := ""
	var u *url.Error
	for errors.As(err, &u) {
		if u.Op == "parse" {
			text = "an address is no URL"
		}
		err = u.Err
	}
	if text == "" {
		text = ShownText(err.Error())
	}
	return WithText(err, text)
}

// FetchError is [ShownError] with the likely mistake behind it.
func FetchError(err error) error {
	shown := ShownError(err)
	if hint := NetworkHint(err).Short; hint != "" {
		return WithText(errors.Unwrap(shown), shown.Error()+" ("+hint+")")
	}
	return shown
}

// WithText is an error that tells what err is by another text.
func WithText(err error, text string) error { return &shownError{text, err} }

type shownError struct {
	text string
	err  error
}

func (e *shownError) Error() string { return e.text }
func (e *shownError) Unwrap() error { return e.err }

// QuerySecrets takes out of a text what stands in the query of an address, as it is
// written and decoded. It is nil for an address without one.
func QuerySecrets(address string) *strings.Replacer {
	u, err := url.Parse(address)
	if err != nil || u.RawQuery == "" {
		return nil
	}
	var pairs []string
	hide := func(secret string) {
		if secret != "" {
			pairs = append(pairs, secret, "…", url.QueryEscape(secret), "…")
		}
	}
	hide(u.RawQuery)
	for _, part := range strings.FieldsFunc(u.RawQuery, func(r rune) bool { return r == '&' || r == ';' }) {
		_, value, _ := strings.Cut(part, "=")
		hide(value)
		if decoded, err := url.QueryUnescape(value); err == nil {
			hide(decoded)
		}
	}
	return strings.NewReplacer(pairs...)
}
