// Package labels turns events into the labels of metrics. Whatever an event
// holds, what comes out is one of few fixed strings.
package labels

import (
	"errors"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/revocation"
)

// Results of a check.
const (
	Accepted  = "accepted"
	Anonymous = "anonymous" // Optional let it through without a token
	Refused   = "refused"
	Reported  = "reported" // refused or unavailable, but the route only reports
	// Unavailable is no refusal: nothing was found against the client or its token.
	Unavailable = "unavailable"
)

// Results are all of them.
var Results = []string{Accepted, Anonymous, Refused, Reported, Unavailable}

// Reasons are those of docs/troubleshooting.md.
var Reasons = []string{
	"algorithm", "audience", "bound_to_key", "canceled", "check", "check_unavailable", "client", "deadline_exceeded", "expired", "issuer",
	"key_not_yet_known", "keys_unavailable", "malformed", "malformed_request", "missing_scope", "no_organization", "no_token", "not_yet_valid",
	"opaque_token", "organization", "overload", "revocation_unavailable", "revoked", "signature", "token_unavailable", "unknown_key", "user_or_machine", "wrong_type",
}

// Result is that of a check with one of the Reasons on a route that doesn't only report.
func Result(reason string) string {
	switch reason {
	case "canceled", "check_unavailable", "deadline_exceeded", "key_not_yet_known", "keys_unavailable", "overload", "revocation_unavailable", "token_unavailable":
		return Unavailable
	}
	return Refused
}

// Fetches are the results of a fetch of the key set.
var Fetches = []string{"failed", "fetched", "not_modified"}

// RevocationEvents are the kinds of events of package revocation, with those that revoke
// somebody first.
var RevocationEvents = []string{
	"User.SuspensionStatus.Updated", "User.Deleted", "User.Data.Updated", "PostResetPassword", "Organization.Membership.Updated", "Organization.Deleted",
	"call", "logout",
	"store", "list", "unverified",
	"PostRegister", "PostSignIn", "PostSignInAdaptiveMfaTriggered", "User.Created", "TrustedDevice.Created", "TrustedDevice.Deleted",
	"Role.Created", "Role.Deleted", "Role.Data.Updated", "Role.Scopes.Updated",
	"OrganizationRole.Created", "OrganizationRole.Deleted", "OrganizationRole.Data.Updated", "OrganizationRole.Scopes.Updated",
	"Scope.Created", "Scope.Deleted", "Scope.Data.Updated",
	"OrganizationScope.Created", "OrganizationScope.Deleted", "OrganizationScope.Data.Updated",
	"Organization.Created", "Organization.Data.Updated", "Identifier.Lockout", "Message.RateLimited", "Grant.LimitExceeded",
	"other",
}

// RevocationOutcomes are what became of them.
var RevocationOutcomes = []string{
	"copied", "failed", "folded", "lost", "malformed", "nothing", "old", "refused", "reset", "revoked", "stale", "store_failed", "test", "unauthorized", "unavailable", "unchanged", "unknown",
}

// FirstRevocations are the events that a series is wanted of before they happen.
func FirstRevocations() (all [][2]string) {
	for _, event := range RevocationEvents[:8] {
		all = append(all, [2]string{event, "revoked"}, [2]string{event, "store_failed"})
	}
	return append(all, [][2]string{
		{"store", "copied"}, {"store", "lost"}, {"store", "reset"}, {"store", "stale"}, {"list", "folded"}, {"unverified", "unauthorized"}, {"unverified", "refused"},
	}...)
}

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
var knownEvents, knownOutcomes = set(RevocationEvents), set(RevocationOutcomes)

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
	switch {
	case e.ReportOnly:
		return Reported, reason
	case reason == other && errors.Is(e.Err, logto.ErrUnavailable):
		return Unavailable, reason
	}
	return Result(reason), reason
}

// Fetch gives the label of a fetch.
func Fetch(e logto.Event, other string) string {
	if knownFetches[e.Reason] {
		return e.Reason
	}
	return other
}

// Revocation gives the labels of an event of package revocation. What this package
// doesn't know is other, as the library calls an event that it doesn't know.
func Revocation(e revocation.Event) (event, outcome string) {
	event, outcome = "other", "other"
	if knownEvents[e.Kind] {
		event = e.Kind
	}
	if knownOutcomes[e.Outcome] {
		outcome = e.Outcome
	}
	return event, outcome
}

// Ready is 1 or 0.
func Ready(list *revocation.List) float64 {
	if list.Ready() != nil {
		return 0
	}
	return 1
}
