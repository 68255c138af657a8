// The middleware: from a request to the handler behind it, or to the answer of a
// refusal. Where in the request the token is.

package logto

import (
	"errors"
	"net/http"
	"strings"
	"time"
)

// Require returns middleware that lets a request through if it carries a valid
// access token that meets all requirements. The handler finds the token's claims
// in the request's context: [UserID], [FromContext].
//
// Put CORS outside of it: a browser's preflight request carries no token.
// Require inside of Require, for a stricter route in a protected subtree,
// verifies a token once. Require panics if v is nil or a requirement empty.
func Require(v *Verifier, reqs ...Requirement) func(http.Handler) http.Handler {
	return middleware(route{verifier: v, requirements: newRequirements(reqs)})
}

// Optional returns middleware that lets a request without a token through as
// anonymous: [UserID] is then "". A request with a bad token is refused as by
// [Require], so that no client takes itself for signed in when it isn't.
func Optional(v *Verifier) func(http.Handler) http.Handler {
	return middleware(route{verifier: v, optional: true})
}

// InsecureReportOnly returns middleware that protects nothing: every request goes
// through. What [Require] would have refused is logged and observed as refused, so
// that it can be seen what Require would do to a running service. The handler
// finds claims if the token is good and meets the requirements, else none.
func InsecureReportOnly(v *Verifier, reqs ...Requirement) func(http.Handler) http.Handler {
	return middleware(route{verifier: v, reportOnly: true, requirements: newRequirements(reqs)})
}

func middleware(rt route) func(http.Handler) http.Handler {
	if rt.verifier == nil {
		panic("logto: the verifier is nil: was the error of logto.New looked at?")
	}
	return func(next http.Handler) http.Handler {
		if next == nil {
			panic("logto: there is no handler to put the middleware around")
		}
		return &handler{rt, next}
	}
}

// route is one use of Require, Optional or InsecureReportOnly.
type route struct {
	verifier     *Verifier
	optional     bool
	reportOnly   bool
	requirements requirements
}

// handler is a route with what it protects.
type handler struct {
	route
	next http.Handler
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v := h.verifier
	var start time.Time
	if v.cfg.Observer != nil {
		start = time.Now()
	}
	asked, s, remembered, err := h.admit(r)
	if v.cfg.Observer != nil {
		v.observe(r.Context(), start, Event{Remembered: remembered, Anonymous: err == nil && s.claims == nil, ReportOnly: h.reportOnly, Err: err})
	}
	if err != nil {
		v.log.refused(r, v.logger(), err, h.reportOnly)
		if v.cfg.ErrorHandler == nil && !h.reportOnly {
			writeError(w, v.challenge, err)
			return
		}
	}
	if r = asked; s.claims == nil {
		r = s.request(r)
	}
	if err == nil || h.reportOnly {
		h.next.ServeHTTP(w, r)
	} else {
		answer := &answerWriter{ResponseWriter: w}
		if v.cfg.ErrorHandler(answer, r, err); !answer.begun {
			writeError(w, v.challenge, err)
		}
	}
}

// admit returns what the handler, or if there is an error WriteError, will find
// in the context. asked is r, or the request with claims in its context that the
// requirements were asked about. It is what the handler gets too: if they parsed a form,
// the body is gone.
func (rt *route) admit(r *http.Request) (asked *http.Request, s *state, remembered bool, err error) {
	s = &state{verifier: rt.verifier}
	token, err := bearerToken(r.Header)
	if rt.optional && errors.Is(err, ErrNoToken) {
		return r, s, false, nil
	}
	if err != nil {
		return r, s, false, err
	}
	var known *verified
	if outer := fromContext(r.Context()); outer != nil && outer.vouchesFor(rt.verifier, token) {
		known, s.organization = outer.token, outer.organization
	}
	t, remembered, err := rt.verifier.verify(r.Context(), token, known)
	if err != nil {
		// What was accepted is a token68; that of a refused one decides between
		// 400 and 401. What is too long is not looked through.
		if len(token) <= maxToken && !isToken68(token) {
			err = errCredentials
		}
		return r, s, remembered, err
	}
	s.organization = s.organization || rt.requirements.nameOrganization
	s.token, s.claims = t, t.claims
	r = s.request(r)
	if err := rt.requirements.refuse(r, t.claims, s.organization); err != nil {
		return r, &state{verifier: rt.verifier}, remembered, err
	}
	s.accepted.Store(true)
	return r, s, remembered, nil
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
	scheme, rest, found := strings.Cut(line, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		if meantAsBearer(line[:min(len(line), maxToken)]) {
			return "", errCredentials
		}
		return "", errOtherScheme
	}
	token := strings.TrimLeft(rest, " ")
	if !found {
		return "", errCredentials
	}
	return token, nil
}

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
		if part = strings.TrimSpace(part); len(part) >= 6 && strings.EqualFold(part[:6], "bearer") {
			return true
		}
	}
	return false
}

// isToken68 tells whether s is a token68 (RFC 9110 section 11.2).
func isToken68(s string) bool {
	s = strings.TrimRight(s, "=")
	for i := range len(s) {
		if !token68[s[i]] {
			return false
		}
	}
	return s != ""
}

// token68 are its characters.
var token68 = func() (table [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/") {
		table[c] = true
	}
	return
}()
