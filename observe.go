// What an observer and a status page are told.

package logto

import (
	"context"
	"time"
)

// Event is what the Observer of [Config] gets. There are two kinds: a token was
// verified or refused, for a request or by [Verifier.Verify]; or a fetch of the key set
// ended.
type Event struct {
	// Reason is why the token was refused: one of the codes listed in
	// docs/troubleshooting.md, a small closed set, whatever is sent. It is "" for
	// a token that was accepted, and for a request that [Optional] let through
	// without one. For a fetch it is "fetched", "not_modified" or "failed".
	Reason string

	// Fetch tells the two kinds apart.
	Fetch bool

	// Err is the refusal or what made the fetch fail; nil if all went well. Its
	// text may hold what a client sent: fit for a log, not for a metric's label.
	Err error

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

// KeySetStatus is what is known of the key set of a [Verifier].
type KeySetStatus struct {
	KeyIDs []string      // of the usable keys, sorted; empty if there is no key set
	Age    time.Duration // since it was last fetched or found not modified; 0 also if there is none
	Err    error         // of the newest fetch; nil if it was good or there was none
}

// KeySetStatus tells what is known of the key set, for a status page. It starts no
// fetch. [Verifier.Ready] says whether it is good enough.
func (v *Verifier) KeySetStatus() KeySetStatus { return v.keys.status() }

// observe calls the observer for a verification that began at start.
func (v *Verifier) observe(ctx context.Context, start time.Time, e Event) {
	e.Reason, e.Duration = Reason(e.Err), time.Since(start)
	v.cfg.Observer(ctx, e)
}
