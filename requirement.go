// What a route asks of a verified token.

package logto

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"

	"github.com/seed-70fe37f4/logto/internal/policy"
	"github.com/seed-70fe37f4/logto/internal/quote"
	"github.com/seed-70fe37f4/logto/internal/refusal"
)

// A Requirement is something that a route asks of a valid token, made by
// [Scopes], [AnyScope], [Audience], [Organization], [OrganizationPath], [AnyOrganization], [Users],
// [Machines] or [Check]. The functions given to Organization and Check get the request that
// the handler will get. In its context [FromContext] finds the claims that are decided
// about.
//
// Requirements are asked in the order in which they are given, and the first that isn't
// met is the answer.
type Requirement struct {
	refuses           func(r *http.Request, c *Claims) *refusal.Refusal // nil if it is met
	slow              bool                                              // it asks code of the user's
	scopes            []string                                          // for the challenge; nil for other requirements
	namesOrganization bool
	audience          string // "" for other requirements
}

// requirements are those of one route, in the order in which they were given. The zero
// value asks for nothing.
type requirements struct {
	list             []Requirement
	slow             bool // code of the user's is asked, which may take its time
	nameOrganization bool
	scope            string // all that the route asks for
	audience         string // of the resource that the route belongs to; "" for that of all
}

// newRequirements makes a copy: what the caller does with its slice must not change what a
// route asks for.
func newRequirements(reqs []Requirement) requirements {
	q := requirements{list: slices.Clone(reqs)}
	var scopes []string
	for _, req := range reqs {
		if req.refuses == nil {
			panic("logto: empty Requirement: use Scopes, Organization, Check and so on to make one")
		}
		q.slow = q.slow || req.slow
		q.nameOrganization = q.nameOrganization || req.namesOrganization
		q.audience = cmp.Or(q.audience, req.audience)
		for _, scope := range req.scopes {
			if !slices.Contains(scopes, scope) {
				scopes = append(scopes, scope)
			}
		}
	}
	q.scope = strings.Join(scopes, " ")
	return q
}

// refuse returns the first refusal, or nil. organizationNamed tells that this route
// or an outer one has named the organization.
func (q *requirements) refuse(r *http.Request, c *Claims, organizationNamed bool) error {
	for i := range q.list {
		req := &q.list[i]
		// A scope that was granted in one organization proves nothing in another,
		// nor outside of all.
		if req.scopes != nil && c.bound && !organizationNamed {
			return organizationNotNamed(c)
		}
		if e := req.refuses(r, c); e != nil {
			return e
		}
	}
	return nil
}

// Scopes requires every one of the given scopes (RFC 6749 section 3.3). It
// panics if there is none, or on one that can't be a scope.
//
// A token that is bound to an organization is refused unless the route, or an
// outer [Require], also has [OrganizationPath], [Organization] or [AnyOrganization]: a user
// who administers an organization of their own must not pass where a global role is meant.
//
// What a scope proves depends on the token that it is in. Without an organization, the
// user has it globally or in some organization, no matter which: Logto puts the scopes
// of all of them into such a token. Within an organization that the route names, the user
// is a member of it, and has the scope there or globally: see [Organization]. So don't
// give one scope two meanings, and name the organization of what belongs to one.
func Scopes(all ...string) Requirement {
	all = mustScopes(all)
	return Requirement{scopes: all, refuses: func(_ *http.Request, c *Claims) *refusal.Refusal {
		for _, scope := range all {
			if !c.grants(scope) {
				return missingScope("all", all, c)
			}
		}
		return nil
	}}
}

// AnyScope requires at least one of the given scopes; all of them are named in
// the challenge. For organizations, and for panics, see [Scopes].
func AnyScope(any ...string) Requirement {
	any = mustScopes(any)
	return Requirement{scopes: any, refuses: func(_ *http.Request, c *Claims) *refusal.Refusal {
		for _, scope := range any {
			if c.grants(scope) {
				return nil
			}
		}
		return missingScope("one", any, c)
	}}
}

// mustScopes returns a copy: what the caller does with its slice must not change
// what a route asks for.
func mustScopes(scopes []string) []string {
	if len(scopes) == 0 {
		panic("logto: a requirement of scopes with no scope in it")
	}
	for _, scope := range scopes {
		if !policy.IsScope(scope) {
			panic(fmt.Sprintf("logto: %q can't be a scope: give several as several arguments", scope))
		}
	}
	return slices.Clone(scopes)
}

// Audience requires a token for this one of the Audiences of [Config], where one Verifier
// serves several resources. Another token is refused with 401, as by a Verifier that has this
// audience alone. Where Config.ResourceMetadataURL is set, the route's challenges name this
// resource's metadata: at the same host, by the path of the audience (RFC 9728 section 3.1).
//
// In an ErrorHandler, [FromContext] doesn't find the claims of a token that it refuses.
//
// It panics if audience is empty; [Require] panics if it is none of the Audiences.
func Audience(audience string) Requirement {
	if audience == "" {
		panic("logto: Audience of nothing")
	}
	return Requirement{audience: audience, refuses: func(_ *http.Request, c *Claims) *refusal.Refusal {
		if !slices.Contains(c.audiences, audience) {
			return refusal.New(reasonAudience, "audience %s: this route wants %s", quote.List(c.audiences), quote.String(audience))
		}
		return nil
	}}
}

// OrganizationPath requires that the token is bound to the organization in the request's
// path, where the pattern of the [http.ServeMux], or of a router that calls
// [http.Request.SetPathValue], has {name}:
//
//	mux.Handle("GET /organizations/{organization}/orders",
//		logto.Require(v, logto.OrganizationPath("organization"), logto.Scopes("read:orders"))(orders))
//
// It panics if name is empty, or no name: it is written without braces. For all else see
// [Organization].
func OrganizationPath(name string) Requirement {
	if name == "" || strings.ContainsAny(name, "{}/. ") {
		panic(fmt.Sprintf("logto: OrganizationPath(%q): want the name of a path value, as in {organization} but without the braces", name))
	}
	return organization(func(r *http.Request) string { return r.PathValue(name) }, func(r *http.Request) string {
		return fmt.Sprintf("the path value {%s} is empty, and the pattern that has matched is %q: is it the name in the pattern, and does Require stand inside the mux, around the handler?", name, r.Pattern)
	})
}

// Organization requires that the token is bound to the organization that id
// gives for the request, from its host name for instance; from the path, see
// [OrganizationPath]. In the context of id's request, [FromContext] finds the claims.
//
// It refuses a token without an organization, and every token if id gives "": that is a
// mistake of the service's, and is logged at warning level as such. It panics if id is nil.
//
// With [Scopes] beside it: a token for an organization also carries the scopes that the
// user has globally. So the two together prove that the user is a member of the
// organization and has the scope, but not that the organization gave it: a member
// without any role there passes, if they have the scope globally. Where that
// matters, use scopes that no global role grants.
func Organization(id func(*http.Request) string) Requirement {
	if id == nil {
		panic("logto: Organization(nil)")
	}
	return organization(id, func(*http.Request) string {
		return `the function given to logto.Organization has returned "": does it look in the right place, and does Require stand behind what puts it there?`
	})
}

// organization compares with what id gives; mistake says why it gives nothing.
func organization(id, mistake func(*http.Request) string) Requirement {
	return Requirement{namesOrganization: true, slow: true, refuses: func(r *http.Request, c *Claims) *refusal.Refusal {
		switch want := id(r); {
		case want == "":
			return refusal.New(reasonNoOrganization, "the service doesn't say which organization the request is about: %s", mistake(r))
		case c.organization != want:
			return wrongOrganization(c, want)
		}
		return nil
	}}
}

// AnyOrganization requires that the token is bound to some organization; which
// one, the handler learns from [OrganizationID].
func AnyOrganization() Requirement {
	return Requirement{namesOrganization: true, refuses: func(_ *http.Request, c *Claims) *refusal.Refusal {
		if c.organization == "" {
			return noOrganization(c)
		}
		return nil
	}}
}

// Users requires a token that acts for a user.
func Users() Requirement {
	return Requirement{refuses: func(_ *http.Request, c *Claims) *refusal.Refusal {
		if c.IsMachine() {
			return refusal.New(reasonKind, "the token is a machine's, want a user's")
		}
		return nil
	}}
}

// Machines requires a machine-to-machine token, of an application without a user.
func Machines() Requirement {
	return Requirement{refuses: func(_ *http.Request, c *Claims) *refusal.Refusal {
		if !c.IsMachine() {
			return refusal.New(reasonKind, "the token is a user's, want a machine's")
		}
		return nil
	}}
}

// Check requires that allow returns nil. Its error goes to the log and to the
// ErrorHandler of [Config], where errors.Is finds it, unless it is one of this package's: of
// those the answer's alone is found. The client sees nothing of it.
//
// An error is a refusal, [ErrForbidden], and the client sees 403. It is no refusal but
// [ErrUnavailable], 503, if it says that allow couldn't decide: if it wraps
// ErrUnavailable, a context's error, a time-out or a [net.OpError]. So wrap what a store
// returns: fmt.Errorf("%w: %w", logto.ErrUnavailable, err). An error that says both, by
// errors.Join for instance, is 503: nobody is let in, and what was meant can't be known.
// Where the refusal was, wrap ErrForbidden too: then it is 403. A request whose client
// has left meanwhile says nothing of what allow asks, and has a reason of its own.
//
// It panics if allow is nil.
func Check(allow func(*http.Request, *Claims) error) Requirement {
	if allow == nil {
		panic("logto: Check(nil)")
	}
	return Requirement{slow: true, refuses: func(r *http.Request, c *Claims) *refusal.Refusal {
		err := allow(r, c)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, ErrForbidden) || !cannotDecide(err):
			return &refusal.Refusal{Reason: reasonCheck, Text: "Check refused", Cause: err}
		}
		return undecided(r, "Check", reasonCheckUnavailable, err)
	}}
}

// undecided is the refusal for an error of the service's own code which cannotDecide, or
// for a client that has left meanwhile.
func undecided(r *http.Request, asked string, reason *refusal.Reason, err error) *refusal.Refusal {
	if errors.Is(r.Context().Err(), context.Canceled) {
		return &refusal.Refusal{Reason: reasonCanceled, Text: "the request ended while " + asked + " was asked", Cause: err}
	}
	return &refusal.Refusal{Reason: reason, Text: asked + " can't decide", Cause: err}
}

// cannotDecide tells an error of a store that isn't there from a refusal.
func cannotDecide(err error) bool {
	var timeout interface{ Timeout() bool }
	var connection *net.OpError
	var name *net.DNSError
	for _, ended := range []error{ErrUnavailable, context.Canceled, context.DeadlineExceeded, net.ErrClosed, io.EOF, io.ErrUnexpectedEOF,
		syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, ended) {
			return true
		}
	}
	return errors.As(err, &timeout) && timeout.Timeout() || errors.As(err, &connection) || errors.As(err, &name)
}
