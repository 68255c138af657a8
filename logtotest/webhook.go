package logtotest

import (
	"fmt"
	"net/http"
	"time"

	"github.com/seed-70fe37f4/logto/internal/mint"
)

const (
	suspensionUpdated = "User.SuspensionStatus.Updated"

	hookID    = "test-hook"
	userAgent = "logtotest"
	address   = "127.0.0.1"
)

// SigningKey is the secret that signs the issuer's webhooks: in Logto's console,
// on the webhook's page. It is one for the issuer's life.
func (i *Issuer) SigningKey() string { return i.signingKey }

// Webhook makes the request that Logto sends for an event, signed, with the time
// of the call as its createdAt. The members of body come on top of event,
// createdAt, hookId and userAgent: they may replace these, and a nil takes one
// away. So it makes any event; for the common ones there are methods, such as
// [Issuer.Suspend]. It panics if body is no JSON.
//
// Give the request to the receiver's ServeHTTP; behind a mux, set its URL.Path
// first. To send it by a client, set its URL. It is a request for one use, and
// making it changes nothing at the issuer, which goes on minting any token.
func (i *Issuer) Webhook(event string, body map[string]any) *http.Request {
	b, err := mint.Event(event, hookID, userAgent, time.Now(), body)
	if err != nil {
		panic(fmt.Sprintf("logtotest: Webhook: %v", err))
	}
	r, err := mint.Delivery("/", i.signingKey, b)
	if err != nil {
		panic(err) // the address is a constant
	}
	return r
}

// Suspend makes the request that Logto sends when an administrator suspends the
// user: see [Issuer.Webhook]. Package revocation then refuses the user's tokens
// that were issued until 5 seconds later; a test that wants a newer token sleeps
// in a testing/synctest bubble. Behind a mux, set its URL.Path.
func (i *Issuer) Suspend(user string) *http.Request { return i.suspension(user, true) }

// Unsuspend makes the request for a user whose suspension is lifted.
func (i *Issuer) Unsuspend(user string) *http.Request { return i.suspension(user, false) }

func (i *Issuer) suspension(user string, suspended bool) *http.Request {
	data := account(user)
	data["isSuspended"], data["hasPassword"] = suspended, true
	return i.managed(suspensionUpdated, http.MethodPatch, "/users/"+user+"/is-suspended", "/users/:userId/is-suspended", http.StatusOK,
		map[string]string{"userId": user}, map[string]any{"data": data})
}

// DeleteUser makes the request for a user who was deleted.
func (i *Issuer) DeleteUser(user string) *http.Request {
	return i.managed("User.Deleted", http.MethodDelete, "/users/"+user, "/users/:userId", http.StatusNoContent,
		map[string]string{"userId": user}, map[string]any{"data": account(user)})
}

// SetPassword makes the request for a user whose password an administrator has
// set. Users who set their own, by the Account API, look like any other edit to
// Logto's receivers: that is Webhook("User.Data.Updated", …) without path and params.
func (i *Issuer) SetPassword(user string) *http.Request {
	data := account(user)
	data["hasPassword"] = true
	return i.managed("User.Data.Updated", http.MethodPatch, "/users/"+user+"/password", "/users/:userId/password", http.StatusOK,
		map[string]string{"userId": user}, map[string]any{"data": data})
}

// ResetPassword makes the request for a user who has forgotten the password and
// set a new one, at Logto's sign-in page.
func (i *Issuer) ResetPassword(user string) *http.Request {
	return i.Webhook("PostResetPassword", map[string]any{
		"interactionEvent": "ForgotPassword", "sessionId": "test-session", "userIp": address, "userId": user, "user": account(user),
		"application": map[string]any{"id": ClientID, "type": "SPA", "name": ClientID, "description": nil},
	})
}

// RemoveMember makes the request for a user who was removed from an organization.
func (i *Issuer) RemoveMember(organization, user string) *http.Request {
	return i.managed("Organization.Membership.Updated", http.MethodDelete, "/organizations/"+organization+"/users/"+user,
		"/organizations/:id/users/:userId", http.StatusNoContent, map[string]string{"id": organization, "userId": user},
		map[string]any{"organizationId": organization, "removedUserIds": []string{user}})
}

// DeleteOrganization makes the request for an organization that was deleted.
func (i *Issuer) DeleteOrganization(organization string) *http.Request {
	return i.managed("Organization.Deleted", http.MethodDelete, "/organizations/"+organization, "/organizations/:id", http.StatusNoContent,
		map[string]string{"id": organization}, nil)
}

// TestButton makes the request that the console's button "Send test payload"
// sends: it is signed and about nobody, so it must do nothing.
func (i *Issuer) TestButton() *http.Request {
	return i.Webhook(suspensionUpdated, map[string]any{
		"userAgent": "fake-user-agent", "path": "/fake-path/:id", "method": http.MethodPost, "status": http.StatusOK,
		"params": map[string]any{"id": "fake-id"}, "data": map[string]any{"result": "success"},
	})
}

// managed is an event that a call of the Management API causes.
func (i *Issuer) managed(event, method, path, route string, status int, params map[string]string, more map[string]any) *http.Request {
	return i.Webhook(event, mint.Managed(address, method, path, route, status, params, more))
}

// account is a user as Logto's events have it.
func account(user string) map[string]any {
	now := time.Now().UnixMilli()
	return map[string]any{
		"id": user, "username": user, "primaryEmail": nil, "primaryPhone": nil, "name": user, "avatar": nil,
		"customData": map[string]any{}, "identities": map[string]any{}, "profile": map[string]any{},
		"applicationId": ClientID, "cimdClientId": nil, "isSuspended": false,
		"lastSignInAt": now, "createdAt": now, "updatedAt": now,
	}
}
