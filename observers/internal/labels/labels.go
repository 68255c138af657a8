// Package labels turns events into the labels of metrics. Whatever an event
// holds, what comes out is one of few fixed strings.
package labels

import "github.com/seed-70fe37f4/logto"

// Results of a check.
const (
	Accepted  = "accepted"
	Anonymous = "anonymous" // Optional let it through without a token
	Refused   = "refused"
	Reported  = "reported" // refused, but the route only reports
)

// Results are all of them.
var Results = []string{Accepted, Anonymous, Refused, Reported}

// Reasons are those of docs/troubleshooting.md.
var Reasons = []string{
	"algorithm", "audience", "bound_to_key", "check", "client", "expired", "issuer", "keys_unavailable", "malformed",
	"malformed_request", "missing_scope", "no_organization", "no_token", "not_yet_valid", "opaque_token", "organization",
	"overload", "signature", "unknown_key", "user_or_machine", "wrong_type",
}

// Fetches are the results of a fetch of the key set.
var Fetches = []string{"failed", "fetched", "not_modified"}

// Boundaries are the upper bounds, in seconds, of the histogram of checks. A
// remembered token takes about 1 µs; a signature 30 µs (RSA) to 2 ms (P-521); a
// request waits 1 s at most while there is a usable key set, and about 10 s, the
// time of a fetch, while there is none.
var Boundaries = []float64{
	1e-6, 2.5e-6, 5e-6, 10e-6, 25e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 10e-3, 100e-3, 0.5, 1.5, 5, 15,
}

// FetchBoundaries are those of the histogram of fetches, which end after 10 s.
var FetchBoundaries = []float64{0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15}

var known = set(Reasons)
var knownFetches = set(Fetches)

func set(list []string) map[string]bool {
	m := make(map[string]bool, len(list))
	for _, s := range list {
		m[s] = true
	}
	return m
}

// Check gives the labels of a check. The reason is none for a token that was
// accepted and other for one that this package doesn't know.
func Check(e logto.Event, none, other string) (result, reason string) {
	switch {
	case e.Anonymous:
		return Anonymous, none
	case e.Reason == "" && e.Err == nil:
		return Accepted, none
	case known[e.Reason]:
		reason = e.Reason
	default:
		reason = other
	}
	if e.ReportOnly {
		return Reported, reason
	}
	return Refused, reason
}

// Fetch gives the label of a fetch.
func Fetch(e logto.Event, other string) string {
	if knownFetches[e.Reason] {
		return e.Reason
	}
	return other
}
