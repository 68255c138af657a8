package emulator

import (
	"fmt"
	"net/http"
	"slices"
	"time"
)

// A Fault makes an endpoint of the provider go wrong, inside of CORS, so that a page
// sees what it would see of a Logto in trouble. The zero value of a member is its
// default.
type Fault struct {
	// At is where: "discovery", "jwks", "auth", "token", "userinfo", "revocation",
	// "introspection", "end_session", or "hooks" for webhooks. Default: everywhere but
	// at hooks.
	At string `json:"at,omitempty"`

	// Do is what happens: "fail" (the default) answers Status, "hang" nothing until the
	// client goes away, "slow" what is right after Seconds, "html" a page with status
	// 200, "empty" an empty key set (at jwks), "cut" breaks the connection in the
	// middle of the answer.
	//
	// Of webhooks: "once" makes one attempt, as Logto does, "disorder" swaps some, as
	// Logto does, "lose" sends none.
	Do string `json:"do,omitempty"`

	Status  int     `json:"status,omitempty"`  // of "fail"; default 503
	Seconds float64 `json:"seconds,omitempty"` // of "slow"; default 3
	Times   int     `json:"times,omitempty"`   // so many answers; default: until it is taken away
}

var (
	places         = []string{"", "discovery", "jwks", "auth", "token", "userinfo", "revocation", "introspection", "end_session", "hooks"}
	misbehaves     = []string{"fail", "hang", "slow", "html", "empty", "cut"}
	hooksMisbehave = []string{"once", "disorder", "lose"}
)

func (f *Fault) check() error {
	if f.Do == "" {
		f.Do = "fail"
	}
	kinds := misbehaves
	if f.At == "hooks" {
		kinds = hooksMisbehave
	}
	if f.Status == 0 {
		f.Status = http.StatusServiceUnavailable
	}
	if f.Seconds == 0 {
		f.Seconds = 3
	}
	switch {
	case !slices.Contains(places, f.At):
		return fmt.Errorf("fault: at %q is none of %q", f.At, places[1:])
	case !slices.Contains(kinds, f.Do):
		return fmt.Errorf("fault: do %q is none of %q", f.Do, kinds)
	case f.Do == "empty" && f.At != "jwks":
		return fmt.Errorf("fault: only jwks has a key set to empty")
	case f.Status < 400 || f.Status > 599:
		return fmt.Errorf("fault: status %d is no failure", f.Status)
	case f.Seconds < 0 || f.Seconds > 3600 || f.Times < 0:
		return fmt.Errorf("fault: seconds must be at most an hour, times not negative")
	}
	return nil
}

// knobs are what is set wrong on purpose. They are not kept over a restart.
type knobs struct {
	faults       []*Fault
	offset       time.Duration // of the clock
	accessToken  *time.Duration
	idToken      time.Duration
	refreshToken time.Duration
}

// faultAt tells whether a fault of webhooks is on. Who holds the lock asks.
func (s *Server) faultAt(at, do string) bool {
	return slices.ContainsFunc(s.knobs.faults, func(f *Fault) bool { return f.At == at && f.Do == do })
}

// takeFault finds the fault of an endpoint, and counts it.
func (s *Server) takeFault(name string) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, f := range s.knobs.faults {
		if f.At != name && f.At != "" {
			continue
		}
		if f.Times > 0 {
			if f.Times--; f.Times == 0 {
				s.knobs.faults = slices.Delete(s.knobs.faults, i, i+1)
			}
		}
		taken := *f
		return &taken
	}
	return nil
}

// faulty does what the endpoint's fault says. It is false if the right answer is to
// follow.
func (s *Server) faulty(w http.ResponseWriter, r *http.Request, name string, entry *call) bool {
	f := s.takeFault(name)
	if f == nil {
		return false
	}
	note := func(status int) {
		entry.Status, entry.Note = status, "fault: "+f.Do
		s.mu.Lock()
		s.log.call(*entry)
		s.mu.Unlock()
	}
	switch f.Do {
	case "slow":
		t := time.NewTimer(time.Duration(f.Seconds * float64(time.Second)))
		defer t.Stop()
		select {
		case <-t.C:
			return false
		case <-r.Context().Done():
		case <-s.ctx.Done():
		}
		note(0)
	case "hang":
		note(0)
		select {
		case <-r.Context().Done():
		case <-s.ctx.Done():
		}
	case "html":
		note(http.StatusOK)
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte("<!doctype html><title>Sign in to the hotel's network</title><p>Welcome!"))
	case "empty":
		note(http.StatusOK)
		w.Header().Set("Content-Type", "application/jwk-set+json; charset=utf-8")
		w.Header().Set("Cache-Control", "no-cache, max-age=0, must-revalidate")
		_, _ = w.Write([]byte(`{"keys":[]}`))
	case "cut":
		note(http.StatusOK)
		w.Header().Set("Content-Length", "1000")
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"keys":[`))
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	default:
		note(f.Status)
		if f.Status == http.StatusTooManyRequests || f.Status == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", "1")
		}
		writeJSON(w, f.Status, map[string]any{"code": "oidc.server_error", "message": messageServerError, "error": "server_error", "error_description": "a fault of the emulator"})
	}
	return true
}

const messageServerError = "An unknown OIDC error occurred. Please try again later."
