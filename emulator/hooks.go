package emulator

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/seed-70fe37f4/logto/internal/mint"
	"github.com/seed-70fe37f4/logto/internal/policy"
)

// An event is something that Logto sends webhooks of.
type event struct {
	name string
	body map[string]any
}

// A delivery is a webhook or a logout token, and what became of it.
type delivery struct {
	ID       int64           `json:"id"`
	Time     time.Time       `json:"time"`
	Event    string          `json:"event"`
	To       string          `json:"to"` // hook or application
	URL      string          `json:"url"`
	Body     json.RawMessage `json:"body,omitempty"`
	Attempts int             `json:"attempts"`
	Status   int             `json:"status"` // of the last attempt; 0: no answer
	Problem  string          `json:"problem,omitempty"`
	Done     bool            `json:"done"`

	tried chan struct{} // closed after the first attempt
	era   int           // a reset ends it
}

// A queue delivers the webhooks of one hook in the order of their events. A real Logto
// swaps some, and sends each once: see the faults.
type queue struct {
	waiting []*delivery
	running bool
}

const hookTimeout = 10 * time.Second // Logto hangs up then

// pauses between attempts. A real Logto makes one attempt.
var pauses = []time.Duration{200 * time.Millisecond, time.Second, 3 * time.Second, 10 * time.Second}

// send queues an event for each hook that wants it. Who holds the lock calls it.
func (s *Server) send(e event) []*delivery {
	var all []*delivery
	for _, h := range s.tenant.Hooks {
		if h.Enabled != nil && !*h.Enabled || len(h.Events) > 0 && !slices.Contains(h.Events, e.name) {
			continue
		}
		body, err := mint.Event(e.name, h.ID, "logto-emulator", s.now(), e.body)
		if err != nil {
			panic(err) // what is in it was read as JSON
		}
		d := &delivery{ID: s.log.id(), Time: time.Now(), Event: e.name, To: h.ID, URL: policy.Shown(h.Config.URL), Body: body, tried: make(chan struct{})}
		s.log.Deliveries = last(append(s.log.Deliveries, d))
		all = append(all, d)
		if s.faultAt("hooks", "lose") {
			d.Done, d.Problem = true, "lost, as the fault says"
			close(d.tried)
			continue
		}
		s.enqueue(h.ID, d)
	}
	return all
}

func (s *Server) enqueue(hookID string, d *delivery) {
	q := s.queues[hookID]
	if q == nil {
		q = &queue{}
		s.queues[hookID] = q
	}
	d.era = s.era
	q.waiting = append(q.waiting, d)
	if !q.running {
		q.running = true
		s.sending.Add(1)
		go s.deliver(hookID, q)
	}
}

// deliver empties a queue, and ends.
func (s *Server) deliver(hookID string, q *queue) {
	defer s.sending.Done()
	for {
		s.mu.Lock()
		swap := s.faultAt("hooks", "disorder")
		s.mu.Unlock()
		if swap { // the next event has time to come, and goes first
			s.pause(100 * time.Millisecond)
		}
		s.mu.Lock()
		if s.ctx.Err() != nil {
			q.drop("the emulator was closed")
		}
		if len(q.waiting) == 0 {
			q.running = false
			s.mu.Unlock()
			return
		}
		i := 0
		if swap && len(q.waiting) > 1 {
			i = 1
		}
		d := q.waiting[i]
		q.waiting = slices.Delete(q.waiting, i, i+1)
		h := find(s.tenant.Hooks, func(h *hook) string { return h.ID }, hookID)
		once := s.faultAt("hooks", "once")
		s.mu.Unlock()
		s.deliverOne(h, d, once)
	}
}

// drop gives up what waits.
func (q *queue) drop(why string) {
	for _, d := range q.waiting {
		d.Done, d.Problem = true, why
		close(d.tried)
	}
	q.waiting = nil
}

// deliverOne tries until the receiver takes it.
func (s *Server) deliverOne(h *hook, d *delivery, once bool) {
	for i := 0; ; i++ {
		if h == nil {
			s.mu.Lock()
			d.Problem = "the hook was deleted"
			s.mu.Unlock()
		} else {
			s.attempt(d, hookTimeout, func() (*http.Request, error) {
				r, err := mint.Delivery(h.Config.URL, h.SigningKey, d.Body)
				if err == nil {
					for name, value := range h.Config.Headers {
						r.Header.Set(name, value)
					}
				}
				return r, err
			})
		}
		s.mu.Lock()
		good := d.Status/100 == 2
		d.Done = good || h == nil || once || i >= len(pauses) || s.ctx.Err() != nil
		done := d.Done
		if i == 0 {
			close(d.tried)
		}
		s.mu.Unlock()
		if !good {
			s.logger.Warn("emulator: webhook not taken", "event", d.Event, "hook", d.To, "status", d.Status, "problem", d.Problem, "again", !done)
		}
		if done {
			return
		}
		s.pause(pauses[i])
		s.mu.Lock()
		ended := d.era != s.era
		s.mu.Unlock()
		if ended {
			return
		}
	}
}

func (s *Server) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.ctx.Done():
	}
}

// attempt sends a request, and notes what came of it.
func (s *Server) attempt(d *delivery, limit time.Duration, build func() (*http.Request, error)) {
	status, problem := 0, ""
	r, err := build()
	if err == nil {
		ctx, cancel := context.WithTimeout(s.ctx, limit)
		defer cancel()
		var res *http.Response
		if res, err = s.client.Do(r.WithContext(ctx)); err == nil {
			status = res.StatusCode
			answer, _ := io.ReadAll(io.LimitReader(res.Body, 200))
			_ = res.Body.Close()
			if status/100 != 2 {
				problem = fmt.Sprintf("answered %d: %q", status, answer)
			}
		}
	}
	if err != nil {
		problem = policy.ShownError(err).Error()
	}
	s.mu.Lock()
	d.Attempts++
	d.Status, d.Problem = status, problem
	s.mu.Unlock()
}

// sendInteraction sends the event of a sign-in, or those of a registration.
func (s *Server) sendInteraction(interaction, sessionID string, r *http.Request, u *user, client *application) {
	about := map[string]any{
		"interactionEvent": interaction, "sessionId": sessionID, "userIp": addressOf(r), "userAgent": r.UserAgent(),
		"application": map[string]any{"id": client.ID, "type": client.Type, "name": client.Name, "description": nil},
	}
	post := maps.Clone(about)
	post["userId"], post["user"] = u.ID, account(u)
	s.send(event{"Post" + interaction, post})
	if interaction == "Register" {
		created := maps.Clone(about)
		created["applicationId"], created["data"] = client.ID, account(u)
		s.send(event{"User.Created", created})
	}
}

func addressOf(r *http.Request) string {
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		return host
	}
	return "127.0.0.1"
}

// orNull is how Logto writes a text that isn't there.
func orNull(text string) any {
	if text == "" {
		return nil
	}
	return text
}

// account is a user as Logto's events have it.
func account(u *user) map[string]any {
	var signedIn any
	if u.LastSignInAt != 0 {
		signedIn = u.LastSignInAt
	}
	return map[string]any{
		"id": u.ID, "username": orNull(u.Username), "primaryEmail": orNull(u.PrimaryEmail), "primaryPhone": orNull(u.PrimaryPhone),
		"name": orNull(u.Name), "avatar": orNull(u.Avatar), "customData": orEmpty(u.CustomData), "identities": map[string]any{}, "profile": map[string]any{},
		"applicationId": nil, "cimdClientId": nil, "isSuspended": u.IsSuspended,
		"lastSignInAt": signedIn, "createdAt": u.CreatedAt, "updatedAt": u.UpdatedAt,
	}
}

// managed is an event that a call of the Management API would cause.
func managed(name, method, path, route string, status int, params map[string]string, more map[string]any) event {
	body := mint.Managed("127.0.0.1", method, path, route, status, params, nil)
	for member, value := range more { // with its nulls
		body[member] = value
	}
	return event{name, body}
}

// userEvent is one about a user as a whole.
func userEvent(name, method, suffix string, status int, u *user) event {
	path, route, params := "/users", "/users", map[string]string{}
	if method != http.MethodPost {
		path, route, params = "/users/"+u.ID+suffix, "/users/:userId"+suffix, map[string]string{"userId": u.ID}
	}
	data := account(u)
	if !strings.HasSuffix(name, ".Deleted") {
		data["hasPassword"] = true
	}
	return managed(name, method, path, route, status, params, map[string]any{"data": data})
}
