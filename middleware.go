package logto

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Requirement is something that a route asks of a valid token, made by
// Scopes, AnyScope, Organization, AnyOrganization, Users, Machines or Check.
type Requirement struct {
	check             func(r *http.Request, c *Claims) *refusal
	scopes            []string // for the challenge; nil for other requirements
	namesOrganization bool
}

// Require returns middleware that lets a request through if it carries a valid
// access token that meets all requirements. The handler finds the token's claims
// in the request's context: UserID, FromContext.
//
// Put CORS outside of it: a browser's preflight request carries no token.
// Require inside of Require, for a stricter route in a protected subtree,
// verifies a token once. Require panics if v is nil or a requirement empty.
func Require(v *Verifier, reqs ...Requirement) func(http.Handler) http.Handler {
	return middleware(v, route{}, reqs)
}

// Optional returns middleware that lets a request without a token through as
// anonymous: UserID is then "". A request with a bad token is refused as by
// Require, so that no client takes itself for signed in when it isn't.
func Optional(v *Verifier) func(http.Handler) http.Handler {
	return middleware(v, route{optional: true}, nil)
}

func middleware(v *Verifier, rt route, reqs []Requirement) func(http.Handler) http.Handler {
	if v == nil {
		panic("logto: the verifier is nil: was the error of logto.New looked at?")
	}
	rt.verifier = v
	var first, others []Requirement
	var scopes []string
	for _, req := range reqs {
		switch {
		case req.check == nil:
			panic("logto: empty Requirement: use Scopes, Organization, Check and so on to make one")
		case req.namesOrganization:
			first = append(first, req)
		default:
			others = append(others, req)
		}
		scopes = append(scopes, req.scopes...)
	}
	rt.namesOrganization = len(first) > 0
	rt.reqs = append(first, others...)
	rt.scope = strings.Join(scopes, " ")
	return func(next http.Handler) http.Handler {
		if next == nil {
			panic("logto: there is no handler to put the middleware around")
		}
		return &handler{rt, next}
	}
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
	s, remembered, err := h.admit(r)
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
	r = r.WithContext(context.WithValue(r.Context(), contextKey{}, s))
	if err == nil || h.reportOnly {
		h.next.ServeHTTP(w, r)
	} else {
		answer := &answerWriter{ResponseWriter: w}
		if v.cfg.ErrorHandler(answer, r, err); !answer.begun {
			writeError(w, v.challenge, err)
		}
	}
}

// answerWriter knows whether an ErrorHandler has answered: net/http would take
// silence for 200.
type answerWriter struct {
	http.ResponseWriter
	begun bool
}

func (w *answerWriter) WriteHeader(status int) {
	w.begun = true
	w.ResponseWriter.WriteHeader(status)
}

func (w *answerWriter) Write(p []byte) (int, error) {
	w.begun = true
	return w.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController, whose methods all begin an answer.
func (w *answerWriter) Unwrap() http.ResponseWriter {
	w.begun = true
	return w.ResponseWriter
}

// route is one use of Require, Optional or InsecureReportOnly.
type route struct {
	verifier          *Verifier
	optional          bool
	reportOnly        bool
	reqs              []Requirement // those that name the organization first
	namesOrganization bool
	scope             string // all that the route asks for
}

// admit returns what the handler, or if there is an error WriteError, will find
// in the context.
func (rt *route) admit(r *http.Request) (s *state, remembered bool, err error) {
	s = &state{verifier: rt.verifier}
	token, err := bearerToken(r.Header)
	if rt.optional && errors.Is(err, ErrNoToken) {
		return s, remembered, nil
	}
	if err != nil {
		return s, remembered, err
	}
	var claims *Claims
	// An outer Require has verified this very token, by the same configuration;
	// its handler may have been at work for long since.
	outer := fromContext(r.Context())
	if outer != nil && outer.claims != nil && outer.verifier == rt.verifier && outer.claims.token == sumOf(token) {
		claims, err = rt.verifier.recheck(r.Context(), outer.claims)
		s.organization = outer.organization
	}
	if remembered = claims != nil; !remembered && err == nil {
		claims, remembered, err = rt.verifier.verify(r.Context(), token)
	}
	if err != nil {
		// What was accepted is a token68; that of a refused one decides between
		// 400 and 401. What is too long is not looked through.
		if err != errTooLong && !isToken68(token) {
			err = errCredentials
		}
		return s, remembered, err
	}
	s.organization = s.organization || rt.namesOrganization
	for i := range rt.reqs {
		req := &rt.reqs[i]
		// A scope that was granted in one organization proves nothing in another,
		// nor outside of all.
		if req.scopes != nil && claims.bound && !s.organization {
			return s, remembered, refuse(ErrForbidden, reasonOrganization, "the token is bound to organization %s, and the route asks for a scope without naming the organization: "+
				"add logto.Organization(…), or logto.AnyOrganization() if it doesn't matter which", cut(claims.organization))
		}
		if err := req.check(r, claims); err != nil {
			if req.scopes != nil {
				err.scope = rt.scope
			}
			return s, remembered, err
		}
	}
	s.claims = claims
	return s, remembered, nil
}

// bearerToken takes the token from the Authorization header (RFC 6750 section
// 2.1). There must be one field line; what a proxy might have folded into one is
// malformed. Another scheme is no token (RFC 6750 section 3.1). Whether what comes
// after Bearer is a token68, isToken68 tells.
func bearerToken(h http.Header) (string, error) {
	lines := h["Authorization"]
	if len(lines) == 0 {
		return "", errNoToken
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
		return "", errScheme
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

var (
	errTwoHeaders  = &refusal{kind: ErrInvalidToken, reason: reasonBadRequest, status: http.StatusBadRequest, text: "more than one Authorization header"}
	errScheme      = &refusal{kind: ErrNoToken, reason: reasonNoToken, text: "the Authorization header has another scheme than Bearer"}
	errCredentials = &refusal{kind: ErrInvalidToken, reason: reasonBadRequest, status: http.StatusBadRequest, text: "malformed Authorization header: want the word Bearer, a space and one token"}
)

// Scopes requires every one of the given scopes (RFC 6749 section 3.3). It
// panics if there is none, or on one that can't be a scope.
//
// A token that is bound to an organization is refused unless the route, or an
// outer Require, also has Organization or AnyOrganization: a user who administers
// an organization of their own must not pass where a global role is meant. The
// reverse holds too: a user's token without organization carries the scopes of
// all their organizations, so for what belongs to one, name it.
func Scopes(all ...string) Requirement {
	all = checkScopes(all)
	return Requirement{scopes: all, check: func(_ *http.Request, c *Claims) *refusal {
		for _, scope := range all {
			if !c.HasScope(scope) {
				return missingScope("all", all, c)
			}
		}
		return nil
	}}
}

// AnyScope requires at least one of the given scopes; all of them are named in
// the challenge. For organizations, and for panics, see Scopes.
func AnyScope(any ...string) Requirement {
	any = checkScopes(any)
	return Requirement{scopes: any, check: func(_ *http.Request, c *Claims) *refusal {
		for _, scope := range any {
			if c.HasScope(scope) {
				return nil
			}
		}
		return missingScope("one", any, c)
	}}
}

// checkScopes returns a copy: what the caller does with its slice must not change
// what a route asks for.
func checkScopes(scopes []string) []string {
	if len(scopes) == 0 {
		panic("logto: a requirement of scopes with no scope in it")
	}
	for _, scope := range scopes {
		// RFC 6749 section 3.3; also what makes it safe in a challenge.
		bad := func(r rune) bool { return r <= ' ' || r == '"' || r == '\\' || r > '~' }
		if scope == "" || strings.ContainsFunc(scope, bad) {
			panic(fmt.Sprintf("logto: %q can't be a scope: give several as several arguments", scope))
		}
	}
	return slices.Clone(scopes)
}

func missingScope(want string, scopes []string, c *Claims) *refusal {
	hint := ""
	if c.scope == "" {
		hint = "; Logto drops what isn't granted: has the user a role with it, did the client ask for it?"
	}
	return refuse(ErrForbidden, reasonScope, "scopes %s: want %s of %s%s", cut(c.scope), want, cut(strings.Join(scopes, " ")), hint)
}

// Organization requires that the token is bound to the organization that id
// gives for the request, from its path for instance. It refuses a token without
// an organization and an id of "". It panics if id is nil.
func Organization(id func(*http.Request) string) Requirement {
	if id == nil {
		panic("logto: Organization(nil)")
	}
	return Requirement{namesOrganization: true, check: func(r *http.Request, c *Claims) *refusal {
		if want := id(r); want == "" || c.organization != want {
			return refuse(ErrForbidden, reasonOrganization, "the token's organization is %s, the request's %s: the client must ask for it (getAccessToken(resource, organizationId))", cut(c.organization), cut(want))
		}
		return nil
	}}
}

// AnyOrganization requires that the token is bound to some organization; which
// one, the handler learns from OrganizationID.
func AnyOrganization() Requirement {
	return Requirement{namesOrganization: true, check: func(_ *http.Request, c *Claims) *refusal {
		if c.organization == "" {
			return refuse(ErrForbidden, reasonOrganization, "the token is bound to no organization: the client must ask for one (getAccessToken(resource, organizationId))")
		}
		return nil
	}}
}

// Users requires a token that acts for a user.
func Users() Requirement {
	return Requirement{check: func(_ *http.Request, c *Claims) *refusal {
		if c.IsMachine() {
			return refuse(ErrForbidden, reasonKind, "the token is a machine's, want a user's")
		}
		return nil
	}}
}

// Machines requires a machine-to-machine token, of an application without a user.
func Machines() Requirement {
	return Requirement{check: func(_ *http.Request, c *Claims) *refusal {
		if !c.IsMachine() {
			return refuse(ErrForbidden, reasonKind, "the token is a user's, want a machine's")
		}
		return nil
	}}
}

// Check requires that allow returns nil. Its error goes to the log and to
// Config.ErrorHandler, where errors.Is finds it and ErrForbidden; the client
// sees 403 and nothing of it. It panics if allow is nil.
func Check(allow func(*http.Request, *Claims) error) Requirement {
	if allow == nil {
		panic("logto: Check(nil)")
	}
	return Requirement{check: func(r *http.Request, c *Claims) *refusal {
		if err := allow(r, c); err != nil {
			return &refusal{kind: ErrForbidden, reason: reasonCheck, text: "Check refused", cause: err}
		}
		return nil
	}}
}

// WriteError answers a refused request: the status, the challenge (RFC 6750
// section 3) and a JSON body with error and error_description. They tell the
// client the least that it can act on. It is what Require does without an
// ErrorHandler, and what one can end with. An error that is none of this
// package's is answered with 500.
func WriteError(w http.ResponseWriter, r *http.Request, err error) {
	realm := `Bearer realm="api"`
	if s := fromContext(r.Context()); s != nil && s.verifier != nil {
		realm = s.verifier.challenge
	}
	writeError(w, realm, err)
}

func writeError(w http.ResponseWriter, realm string, err error) {
	// What a Check returned is the cause of a refusal; it doesn't decide the status.
	var e *refusal
	if !errors.As(err, &e) {
		e = &refusal{kind: err}
	}
	status, code, description := http.StatusInternalServerError, "server_error", "The request failed"
	challenge := ""
	switch {
	case errors.Is(e.kind, ErrKeysUnavailable), errors.Is(e.kind, context.Canceled), errors.Is(e.kind, context.DeadlineExceeded):
		status, code, description = http.StatusServiceUnavailable, "temporarily_unavailable", "The access token can't be checked now"
		w.Header().Set("Retry-After", "1") // retryPause
	case e.status == http.StatusBadRequest:
		status, code, description = http.StatusBadRequest, "invalid_request", "The Authorization header is malformed"
		challenge = realm + `, error="invalid_request"`
	case errors.Is(e.kind, ErrNoToken):
		status, code, description = http.StatusUnauthorized, "unauthorized", "An access token is needed"
		challenge = realm
	case errors.Is(e.kind, ErrExpired):
		status, code, description = http.StatusUnauthorized, "invalid_token", "The access token expired"
		challenge = realm + `, error="invalid_token", error_description="The access token expired"`
	case errors.Is(e.kind, ErrInvalidToken):
		status, code, description = http.StatusUnauthorized, "invalid_token", "The access token is not valid"
		challenge = realm + `, error="invalid_token"`
	case e.scope != "":
		status, code, description = http.StatusForbidden, "insufficient_scope", "The access token lacks a scope"
		challenge = realm + `, error="insufficient_scope", scope="` + e.scope + `"`
	case errors.Is(e.kind, ErrForbidden):
		status, code, description = http.StatusForbidden, "access_denied", "The access token does not permit this"
	}
	h := w.Header()
	if challenge != "" {
		h.Set("WWW-Authenticate", challenge)
	}
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	// As http.Error does: they were meant for another answer.
	for _, name := range []string{"Content-Length", "Content-Encoding", "Etag", "Last-Modified"} {
		h.Del(name)
	}
	w.WriteHeader(status)
	// The client may have gone; there is nobody to tell.
	_, _ = io.WriteString(w, `{"error":"`+code+`","error_description":"`+description+"\"}\n")
}

// refusalLog limits the lines a reason gets: a flood must not fill the disk.
type refusalLog struct {
	mu      sync.Mutex
	reasons map[string]*logWindow
}

type logWindow struct {
	start         time.Time
	lines, missed int
}

const (
	logWindowTime  = 10 * time.Second
	logWindowLines = 10
)

// allow reports whether a line may be written, and how many were left out
// since the last window.
func (l *refusalLog) allow(reason string) (missed int, ok bool) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.reasons == nil {
		l.reasons = map[string]*logWindow{}
	}
	win := l.reasons[reason]
	if win == nil {
		win = &logWindow{start: now}
		l.reasons[reason] = win
	}
	if now.Sub(win.start) >= logWindowTime {
		missed = win.missed
		*win = logWindow{start: now}
	}
	if win.lines++; win.lines > logWindowLines {
		win.missed++
		return 0, false
	}
	return missed, true
}

func (l *refusalLog) refused(r *http.Request, log *slog.Logger, err error, reportOnly bool) {
	var e *refusal
	if !errors.As(err, &e) {
		return
	}
	level := slog.LevelInfo
	switch {
	case e == errNoToken:
		level = slog.LevelDebug // every crawler
	case e.reason == reasonKeys:
		level = slog.LevelWarn
	}
	if !log.Enabled(r.Context(), level) {
		return
	}
	missed, ok := l.allow(e.reason)
	if !ok {
		return
	}
	attrs := []slog.Attr{slog.String("reason", e.reason), slog.String("error", err.Error()),
		slog.String("method", r.Method[:min(len(r.Method), 20)]), slog.String("path", maskPath(r.URL.Path))}
	if missed > 0 {
		attrs = append(attrs, slog.Int("not_logged_before", missed))
	}
	message := "logto: request refused"
	if reportOnly {
		message = "logto: request would be refused, but InsecureReportOnly protects nothing"
	}
	log.LogAttrs(r.Context(), level, message, attrs...)
}

// maskPath shortens a path for the log, and leaves out what could be a token in it.
func maskPath(path string) string {
	const longest = 40 // bytes of a segment; an opaque token has 43
	var b strings.Builder
	for i, segment := range strings.SplitN(path[:min(len(path), 200)], "/", 20) {
		if i > 0 {
			b.WriteByte('/')
		}
		if len(segment) >= longest {
			segment = "…"
		}
		b.WriteString(segment)
	}
	return b.String()
}
