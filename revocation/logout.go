package revocation

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/internal/guard"
	"github.com/seed-70fe37f4/logto/internal/quote"
)

const (
	maxLogoutBody = 64 << 10
	// logoutTime is for verifying the token and for the store: the user's sign-out
	// waits for the answer, and Logto for 2.5 s.
	logoutTime = 2 * time.Second
)

// Logout receives Logto's back-channel logout requests (OpenID Connect Back-Channel Logout
// 1.0), for the given applications, whose page in the console has the address. v
// verifies the logout token, once: a second one with its ID is refused. Then revoke says
// what is taken back; a zero IssuedAt is the token's. Nil, or no revocation, takes nothing
// back. It must be safe for concurrent use.
//
//	list.Logout(v, func(t *logto.LogoutToken) []revocation.Revocation {
//		return []revocation.Revocation{{Subject: t.Subject}}
//	}, "client-id")
//
// Think twice before that: a logout token can be matched with access tokens by user and
// time alone, so signing out in one browser takes back the access tokens of all of the
// user's devices and applications. Those that are still signed in get new ones, of a
// later second. Logto sends it only when a browser ends its session, not for a user who
// is suspended: for that there is [List.Webhook].
//
// The answer is 200 if there is nothing to be done or it is done everywhere, 400 for
// what is no logout token for these applications, 503 if keys or store can't be asked
// now. Logout panics without a verifier or an application.
func (l *List) Logout(v *logto.Verifier, revoke func(*logto.LogoutToken) []Revocation, clientIDs ...string) http.Handler {
	if v == nil || len(clientIDs) == 0 {
		panic("revocation: Logout needs a verifier and the client ID of an application")
	}
	for _, id := range clientIDs {
		if id == "" {
			panic("revocation: Logout got an empty client ID: is an environment variable not set?")
		}
	}
	var seen tokenIDs
	return l.receiver(func(w http.ResponseWriter, r *http.Request) delivery {
		until := time.Now().Add(logoutTime)
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			return refuse(http.StatusMethodNotAllowed, "refused", "method %q: want POST", quote.Cut(r.Method, maxShown))
		}
		_ = http.NewResponseController(w).SetReadDeadline(until)
		r.Body = http.MaxBytesReader(w, r.Body, maxLogoutBody)
		if err := r.ParseForm(); err != nil {
			return refuse(http.StatusBadRequest, "refused", "reading the form: %w", err)
		}
		tokens := r.PostForm["logout_token"]
		if len(tokens) != 1 {
			return refuse(http.StatusBadRequest, "refused", "a form with %d logout_token: want 1", len(tokens))
		}
		ctx, cancel := context.WithDeadline(context.WithoutCancel(r.Context()), until)
		defer cancel()
		t, err := v.VerifyLogoutToken(ctx, tokens[0], clientIDs...)
		d := delivery{kind: "logout", status: http.StatusOK}
		switch {
		case errors.Is(err, logto.ErrUnavailable):
			return refuse(http.StatusServiceUnavailable, "unavailable", "%w", err)
		case err != nil:
			return refuse(http.StatusBadRequest, "unauthorized", "%w", err)
		case !seen.add(t.TokenID, t.ExpiresAt.Add(leeway)):
			return refuse(http.StatusBadRequest, "refused", "a logout token that came before")
		}
		d.created = t.IssuedAt
		var revocations []Revocation
		var failed error
		if revoke != nil {
			failed = guard.Call(func() (err error) {
				revocations, err = issuedAt(t.IssuedAt, revoke(t))
				return err
			})
		}
		l.enforce(ctx, until, revocations, &d)
		if failed != nil {
			d.status, d.outcome, d.err = http.StatusInternalServerError, "failed", fmt.Errorf("revocation: the function given to Logout: %w", failed)
		}
		if d.err != nil {
			seen.remove(t.TokenID) // it may be sent again
		}
		return d
	})
}

// tokenIDs are those of logout tokens that were seen and live. Logto alone can add to
// them.
type tokenIDs struct {
	mu    sync.Mutex
	until map[string]time.Time
	swept time.Time
}

// add reports whether the ID is a new one.
func (s *tokenIDs) add(id string, until time.Time) bool {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.until == nil {
		s.until = map[string]time.Time{}
	}
	if now.Sub(s.swept) >= time.Minute {
		for id, until := range s.until {
			if !now.Before(until) {
				delete(s.until, id)
			}
		}
		s.swept = now
	}
	if _, ok := s.until[id]; ok {
		return false
	}
	s.until[id] = until
	return true
}

func (s *tokenIDs) remove(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.until, id)
}
