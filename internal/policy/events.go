package policy

import "slices"

// A RevokingEvent is one of Logto's webhooks by which package revocation revokes
// somebody.
type RevokingEvent struct {
	Name string
	Of   string // whose tokens, in the plural
	// Essential: without it revocation isn't worth much. The others may be of things that
	// a tenant doesn't use.
	Essential bool
}

// RevokingEvents are all of them.
var RevokingEvents = []RevokingEvent{
	{"User.SuspensionStatus.Updated", "suspended users", true},
	{"User.Deleted", "deleted users", true},
	{"User.Data.Updated", "users whose password an administrator has set", false},
	{"PostResetPassword", "users who have reset their password", false},
	{"Organization.Membership.Updated", "removed members of organizations", false},
	{"Organization.Deleted", "deleted organizations", false},
}

// IsRevoking reports whether the event is one of [RevokingEvents].
func IsRevoking(event string) bool {
	return slices.ContainsFunc(RevokingEvents, func(e RevokingEvent) bool { return e.Name == event })
}
