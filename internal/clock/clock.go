// Package clock tells how long ago something was, although neither clock of a machine can
// be trusted alone: the monotonic one stops while the machine sleeps, the wall clock can be
// set back.
package clock

import "time"

// An Instant is a time by both clocks. The zero Instant is longer ago than anything.
type Instant struct{ Monotonic, Wall time.Time }

// At is the Instant of a time that [time.Now] gave.
func At(t time.Time) Instant { return Instant{t, t.Round(0)} }

// Until goes by the clock that says more.
func (i Instant) Until(now time.Time) time.Duration {
	return max(now.Sub(i.Monotonic), now.Round(0).Sub(i.Wall))
}

// IsZero reports whether nothing was noted.
func (i Instant) IsZero() bool { return i == Instant{} }
