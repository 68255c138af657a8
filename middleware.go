// The middleware: from a request to a decision, and to the handler behind it or the answer
// of a refusal.

package logto

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/seed-70fe37f4/logto/internal/refusal"
)

// Require returns middleware that lets a request through if it carries a valid
// access token that meets all requirements. The handler finds the token's claims
// in the request's context: [UserID], [FromContext].
//
// Put CORS outside of it: a browser's preflight request carries no token.
// Require inside of Require, for a stricter route in a protected subtree,
// verifies a token once. Require panics if v is nil or a requirement empty.
func Require(v *Verifier, reqs ...Requirement) func(http.Handler) http.Handler {
	return middleware(newRoute(v, reqs))
}

// Optional returns middleware that lets a request without a token through as
// anonymous: [UserID] is then "". A request with a bad token, or one that doesn't meet all
// requirements, is refused as by [Require], so that no client takes itself for signed in
// when it isn't. The answer has Vary: Authorization, for caches.
func Optional(v *Verifier, reqs ...Requirement) func(http.Handler) http.Handler {
	rt := newRoute(v, reqs)
	rt.optional = true
	return middleware(rt)
}

// InsecureReportOnly returns middleware that protects nothing: every request goes
// through. What [Require] would have refused is logged and observed as refused, so
// that it can be seen what Require would do to a running service. It waits for keys,
// and asks each [Check], as Require does.
//
// Where no other middleware of this package, and no [NewContext], has said who is
// calling, the handler finds claims if the token is good and meets the requirements,
// else none. Where one has, inside of it or around it, nothing changes.
func InsecureReportOnly(v *Verifier, reqs ...Requirement) func(http.Handler) http.Handler {
	rt := newRoute(v, reqs)
	rt.reportOnly = true
	return middleware(rt)
}

func middleware(rt route) func(http.Handler) http.Handler {
	rt.answers = rt.verifier.cfg.ErrorHandler == nil
	return func(next http.Handler) http.Handler {
		if next == nil {
			panic("logto: there is no handler to put the middleware around")
		}
		return &handler{rt, next}
	}
}

// route is one use of Require, Optional, InsecureReportOnly or Authenticate.
type route struct {
	verifier     *Verifier
	optional     bool
	reportOnly   bool
	requirements requirements
	challenge    string // how its challenges begin
	answers      bool   // a refusal, by itself: nobody else gets to see it but an observer
}

func newRoute(v *Verifier, reqs []Requirement) route {
	if v == nil {
		panic("logto: the verifier is nil: was the error of logto.New looked at?")
	}
	rt := route{verifier: v, requirements: newRequirements(reqs)}
	challenge, known := v.challenges[rt.requirements.audience]
	if !known {
		panic(fmt.Sprintf("logto: Audience(%q): Config.Audiences has no such audience", rt.requirements.audience))
	}
	rt.challenge = challenge
	return rt
}

// handler is a route with what it protects.
type handler struct {
	route
	next http.Handler
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v := h.verifier
	if h.optional || v.cfg.TokenFrom != nil {
		w.Header().Add("Vary", h.varies())
	}
	d := h.decide(r)
	defer func() { giveBack(r, d.inner) }()
	switch {
	case h.reportOnly && (d.err != nil || fromContext(r.Context()) != nil):
		giveBack(r, d.inner) // a requirement may have parsed a form
		d.inner = r
		h.next.ServeHTTP(w, r)
	case d.err == nil:
		// A Require inside of what only reports finds nothing to build upon.
		d.state.accepted.Store(!h.reportOnly)
		if d.event != nil {
			d.state.pending.Store(d.event)
			defer func() {
				if e := d.state.pending.Swap(nil); e != nil {
					v.observe(r.Context(), *e)
				}
			}()
		}
		h.next.ServeHTTP(w, d.inner)
	case v.cfg.ErrorHandler == nil:
		writeError(w, h.asks(), d.err)
	default:
		s := &state{verifier: v}
		if !errors.Is(d.err, ErrInvalidToken) {
			s.claims = d.claims
		}
		refused := s.request(d.inner)
		defer giveBack(d.inner, refused)
		answer := &answerWriter{ResponseWriter: w, by: h.asks(), err: d.err}
		if v.cfg.ErrorHandler(answer, refused, d.err); !answer.begun {
			writeError(w, h.asks(), d.err)
		}
	}
}

// varies is what an answer depends on: a cache must not give one user's to another. It is
// said where caches don't know it from the Authorization header (RFC 9111 section 3.5).
func (rt *route) varies() string {
	if rt.verifier.cfg.TokenFrom != nil {
		return "*"
	}
	return "Authorization"
}

// Authenticate decides about a request as [Require] does with these requirements, and
// leaves the answer to the caller: it is for frameworks whose middleware is not net/http's.
// It gives the claims of a token that is good and meets all requirements, or the error that
// an ErrorHandler gets: [ErrNoToken], [ErrExpired], [ErrRevoked], [ErrInvalidToken],
// [ErrForbidden] or [ErrUnavailable]. [AnswerTo] tells the answer. As Require, it logs what
// it refuses and tells the Observer. Hand the claims on by [NewContext]. It panics as
// Require does.
func (v *Verifier) Authenticate(r *http.Request, reqs ...Requirement) (*Claims, error) {
	rt := newRoute(v, reqs)
	d := rt.decide(r)
	giveBack(r, d.inner)
	if d.err != nil {
		return nil, d.err
	}
	if d.event != nil {
		v.observe(r.Context(), *d.event)
	}
	return d.claims, nil
}

// decision is what becomes of a request.
type decision struct {
	inner  *http.Request // with the claims in its context, for the requirements and for the handler
	state  *state        // in that context; nil if the token was refused
	claims *Claims       // of a token that is good, or was revoked; nil of others
	err    error
	event  *Event // of a request that is let in, yet to be observed; nil if nobody wants to know
}

// decide logs and observes a refusal, and observes what only reports. What is let in is for
// the caller to observe.
func (rt *route) decide(r *http.Request) decision {
	v := rt.verifier
	var start time.Time
	observed := v.observed(r.Context())
	if observed {
		start = time.Now()
	}
	d := decision{inner: r}
	s, t, remembered, err := rt.identify(r)
	d.claims = t.known()
	if err == nil {
		d.state, d.inner = s, s.request(r)
		if s.claims != nil {
			err = rt.requirements.refuse(d.inner, s.claims, s.organization)
			if err == nil && rt.requirements.slow {
				t, err = v.judge(s.token) // whoever waited passes it
				d.claims = t.known()
			}
		}
	}
	if d.err = err; err != nil && (observed || !rt.answers) {
		d.err = rt.challenged(err)
	}
	if observed {
		e := Event{Reason: Reason(err), Err: d.err, Claims: d.claims, Duration: time.Since(start), Remembered: remembered,
			Anonymous: err == nil && s.claims == nil, ReportOnly: rt.reportOnly}
		rt.takeOver(r, &e)
		if err != nil || rt.reportOnly {
			v.observe(r.Context(), e)
		} else {
			accepted := e
			d.event = &accepted
		}
	}
	if err != nil {
		v.logRefusal(r, d.claims, d.err, rt.reportOnly)
	}
	return d
}

// takeOver makes one event of a request's, where an outer middleware of the same verifier
// has accepted it and its event is not told yet.
func (rt *route) takeOver(r *http.Request, e *Event) {
	outer := fromContext(r.Context())
	if rt.reportOnly || outer == nil || outer.verifier != rt.verifier {
		return
	}
	if before := outer.pending.Swap(nil); before != nil {
		e.Duration += before.Duration
		e.Remembered = e.Remembered && before.Remembered
	}
}

func (rt *route) asks() asked { return asked{rt.challenge, rt.requirements.scope} }

// challenged is a refusal that knows the route's challenge, for whoever answers it elsewhere.
func (rt *route) challenged(err error) error {
	own := *refusal.Of(err) // many are shared
	own.Realm, own.Scope = rt.challenge, rt.requirements.scope
	return &own
}

// giveBack gives the request that came in what a handler has set in its copy. It
// belongs to whoever made it: net/http removes an upload's files by it, an access log
// reads the pattern that a mux within has found. Only its context stays as it was. What
// hasn't changed is not written, for others may be reading it.
func giveBack(r, inner *http.Request) {
	if r == inner {
		return
	}
	give(&r.Method, inner.Method)
	give(&r.URL, inner.URL)
	give(&r.Proto, inner.Proto)
	give(&r.ProtoMajor, inner.ProtoMajor)
	give(&r.ProtoMinor, inner.ProtoMinor)
	giveMap(&r.Header, inner.Header)
	if !sameBody(r.Body, inner.Body) {
		r.Body = inner.Body
	}
	give(&r.ContentLength, inner.ContentLength)
	if !slices.Equal(r.TransferEncoding, inner.TransferEncoding) {
		r.TransferEncoding = inner.TransferEncoding
	}
	give(&r.Close, inner.Close)
	give(&r.Host, inner.Host)
	giveMap(&r.Form, inner.Form)
	giveMap(&r.PostForm, inner.PostForm)
	give(&r.MultipartForm, inner.MultipartForm)
	giveMap(&r.Trailer, inner.Trailer)
	give(&r.RemoteAddr, inner.RemoteAddr)
	give(&r.RequestURI, inner.RequestURI)
	give(&r.TLS, inner.TLS)
	givePathValues(r, inner)
}

func give[T comparable](to *T, from T) {
	if *to != from {
		*to = from
	}
}

func giveMap[M ~map[string][]string](to *M, from M) {
	if reflect.ValueOf(*to).UnsafePointer() != reflect.ValueOf(from).UnsafePointer() {
		*to = from
	}
}

// sameBody is false of two that can't be compared.
func sameBody(a, b io.ReadCloser) bool {
	if a == nil || b == nil || a == http.NoBody || reflect.TypeOf(a) != reflect.TypeOf(b) {
		return a == b
	}
	return reflect.ValueOf(a).Comparable() && a == b
}

// givePathValues is for what a mux inside has set, or a handler by SetPathValue.
func givePathValues(r, inner *http.Request) {
	one := func(name string) {
		if value := inner.PathValue(name); value != r.PathValue(name) {
			r.SetPathValue(name, value)
		}
	}
	if r.Pattern != inner.Pattern {
		r.Pattern = inner.Pattern
		for _, rest, more := strings.Cut(r.Pattern, "{"); more; {
			var name string
			name, rest, _ = strings.Cut(rest, "}")
			one(strings.TrimSuffix(name, "..."))
			_, rest, more = strings.Cut(rest, "{")
		}
	}
	// Their names stand in a private field alone.
	if otherValues < 0 {
		return
	}
	values, outer := reflect.ValueOf(inner).Elem().Field(otherValues), reflect.ValueOf(r).Elem().Field(otherValues)
	// The same map is both requests', and may be a third one's that still runs.
	if values.UnsafePointer() != outer.UnsafePointer() {
		for _, name := range values.MapKeys() {
			one(name.String())
		}
	}
}

// otherValues is the field of http.Request that SetPathValue sets; negative where a
// later net/http has none such.
var otherValues = func() int {
	t := reflect.TypeFor[http.Request]()
	for i := range t.NumField() {
		if f := t.Field(i); f.Name == "otherValues" && f.Type == reflect.TypeFor[map[string]string]() {
			return i
		}
	}
	return -1
}()

// shareTrailer lets both find the trailer fields that come without an announcement:
// net/http adds them to the request that it made when the body has been read.
func shareTrailer(r, inner *http.Request) {
	if r.Trailer == nil && r.ContentLength < 0 && r.ProtoMajor == 1 {
		r.Trailer = http.Header{}
		inner.Trailer = r.Trailer
	}
}

// identify returns what the requirements and the handler will find in the context, and
// the token that was verified.
func (rt *route) identify(r *http.Request) (s *state, t *verified, remembered bool, err error) {
	token, err := rt.verifier.tokenOf(r)
	if rt.optional && errors.Is(err, ErrNoToken) {
		return &state{verifier: rt.verifier}, nil, false, nil
	}
	if err != nil {
		return nil, nil, false, err
	}
	var known *verified
	named := rt.requirements.nameOrganization
	if outer := fromContext(r.Context()); outer != nil && outer.vouchesFor(rt.verifier, token) {
		known, named = outer.token, named || outer.organization
	}
	t, remembered, err = rt.verifier.verify(r.Context(), token, known)
	if err != nil {
		// What was accepted is a token68, and so is what has been decoded. That of others
		// decides between 400 and 401.
		if e, ok := err.(*refusal.Refusal); ok && rt.verifier.cfg.TokenFrom == nil && e.Reason.Step < refusal.Issuer && isMalformed(token) {
			err = errCredentials
		}
		return nil, t, remembered, err
	}
	return &state{verifier: rt.verifier, token: t, claims: t.claims, organization: named}, t, remembered, nil
}
