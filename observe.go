// What an observer is told, and who else wants to know of a request.

package logto

import (
	"context"
	"sync/atomic"
	"time"
)

// Event is what the Observer of [Config] gets. There are two kinds: a token was
// verified or refused, for a request or by [Verifier.Verify]; or a fetch of the key set
// ended.
//
// A request is one event, however many [Require] stand in each other: the innermost
// decides. It comes when the request is refused, and of an accepted one when its handler
// has returned.
type Event struct {
	// Reason is why the token was refused: one of the codes listed in
	// docs/troubleshooting.md, a small closed set, whatever is sent. It is "" for
	// a token that was accepted, and for a request that [Optional] let through
	// without one. For a fetch it is "fetched", "not_modified" or "failed".
	Reason string

	// Fetch tells the two kinds apart.
	Fetch bool

	// Issuer is, of a fetch, the first of those whose keys were fetched.
	Issuer string

	// Err is the refusal or what made the fetch fail; nil if all went well. Its
	// text may hold what a client sent: fit for a log, not for a metric's label.
	Err error

	// Claims are those of a token that is good, if only for other routes, or was revoked;
	// nil for all others. So a refused request has them too, where its user is known.
	Claims *Claims

	// Duration is the time that the verification, with the requirements, or the
	// fetch took.
	Duration time.Duration

	// Remembered tells that the token had been verified before.
	Remembered bool

	// Anonymous tells that [Optional] let a request without a token through.
	Anonymous bool

	// ReportOnly tells that the request went through all the same.
	ReportOnly bool

	// Added and Removed are the key IDs by which a fetch changed the key set, the
	// first ten of each. One that now stands for another key is in both.
	Added, Removed []string

	// Age is the key set's age after the fetch; 0 also if there is none.
	Age time.Duration
}

// observe tells those who want to know of a verification.
func (v *Verifier) observe(ctx context.Context, e Event) {
	if w := watched(ctx); w != nil {
		own := e // an allocation for those alone who watch
		w.Store(&own)
	}
	if v.cfg.Observer != nil {
		v.cfg.Observer(ctx, e)
	}
}

// observed tells whether anybody wants to know.
func (v *Verifier) observed(ctx context.Context) bool {
	return v.cfg.Observer != nil || watched(ctx) != nil
}

type watchKey struct{}

func watched(ctx context.Context) *atomic.Pointer[Event] {
	w, _ := ctx.Value(watchKey{}).(*atomic.Pointer[Event])
	return w
}

// Watch is for code outside of the middleware that wants to know what was found within,
// such as an access log: hand on a request with the context inner, and ask last when its
// handler has returned. last gives the newest [Event] of the request; the zero Event if
// there is none, as behind no middleware of this package. It is safe for concurrent use.
func Watch(ctx context.Context) (inner context.Context, last func() Event) {
	var newest atomic.Pointer[Event]
	return context.WithValue(ctx, watchKey{}, &newest), func() Event {
		if e := newest.Load(); e != nil {
			return *e
		}
		return Event{}
	}
}

// UserID is the user's whom the Claims are about, as the function [UserID] gives it; "" if
// there is none.
func (e Event) UserID() string {
	if e.Claims == nil {
		return ""
	}
	return e.Claims.UserID()
}
