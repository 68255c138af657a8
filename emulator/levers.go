package emulator

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/seed-70fe37f4/logto/internal/mint"
)

// Actions on keys, clock, lifetimes, tokens and webhooks.

type none struct{}

// setTenant replaces the description, as a changed file does. It sends no webhooks.
func (s *Server) setTenant(raw json.RawMessage) (any, []*delivery, error) {
	t, err := readTenant(raw)
	if err != nil {
		return nil, nil, err
	}
	s.tenant = t
	s.stamp()
	s.issued.keep(t, s.now())
	return nil, nil, nil
}

// rotate makes a new key sign at once, or, staged, publishes it first: the next call
// makes it sign.
func (s *Server) rotate(a struct {
	Algorithm string `json:"algorithm"`
	Staged    bool   `json:"staged"`
}) (any, []*delivery, error) {
	k := s.issued.Next
	if k == nil || a.Algorithm != "" || a.Staged {
		if a.Algorithm == "" {
			a.Algorithm = s.issued.Keys[0].Algorithm
		}
		var err error
		if k, err = mint.NewKey(a.Algorithm); err != nil {
			return nil, nil, err
		}
	}
	if a.Staged {
		s.issued.Next = k
	} else {
		s.issued.rotate(k)
	}
	return map[string]string{"id": k.ID}, nil, nil
}

// dropKey takes a key out of the key set: the one before the current one, or the named
// one. The current key can't be dropped: rotate first, as in Logto.
func (s *Server) dropKey(a struct {
	ID string `json:"id"`
}) (any, []*delivery, error) {
	switch {
	case s.issued.Next != nil && a.ID == s.issued.Next.ID:
		s.issued.Next = nil
		return nil, nil, nil
	case len(s.issued.Keys) < 2 || a.ID != "" && a.ID != s.issued.Keys[1].ID:
		return nil, nil, fmt.Errorf("there is no such key before the current one, which signs: rotate first")
	}
	s.issued.Keys = s.issued.Keys[:1:1]
	return nil, nil, nil
}

// setFaults replaces all faults.
func (s *Server) setFaults(a struct {
	Faults []*Fault `json:"faults"`
}) (any, []*delivery, error) {
	if err := noNull("faults", a.Faults); err != nil {
		return nil, nil, err
	}
	for _, f := range a.Faults {
		if err := f.check(); err != nil {
			return nil, nil, err
		}
	}
	s.knobs.faults = a.Faults
	return nil, nil, nil
}

const maxSeconds = 10 * 365 * 24 * 60 * 60

// setClock sets the clock off.
func (s *Server) setClock(a struct {
	Seconds float64 `json:"seconds"`
}) (any, []*delivery, error) {
	if a.Seconds < -maxSeconds || a.Seconds > maxSeconds {
		return nil, nil, fmt.Errorf("the clock can be off by 10 years at most")
	}
	s.knobs.offset = seconds(a.Seconds)
	return nil, nil, nil
}

// setLifetimes sets how long tokens live that are issued from now on.
func (s *Server) setLifetimes(a lifetimes) (any, []*delivery, error) {
	for _, life := range []float64{a.IDToken, a.RefreshToken, valueOf(a.AccessToken)} {
		if life < -maxSeconds || life > maxSeconds {
			return nil, nil, fmt.Errorf("a lifetime is 10 years at most")
		}
	}
	if a.IDToken < 0 || a.RefreshToken < 0 {
		return nil, nil, fmt.Errorf("only access tokens can be expired at birth, as in Logto")
	}
	s.knobs.accessToken = nil
	if a.AccessToken != nil {
		life := seconds(*a.AccessToken)
		s.knobs.accessToken = &life
	}
	s.knobs.idToken, s.knobs.refreshToken = seconds(a.IDToken), seconds(a.RefreshToken)
	return nil, nil, nil
}

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }

func valueOf[N int64 | float64](n *N) N {
	if n == nil {
		return 0
	}
	return *n
}

// revokeGrants ends what a user granted an application, or all: as the Management API
// does, and without a webhook, as Logto.
func (s *Server) revokeGrants(a struct {
	User        string `json:"user"`
	Application string `json:"application"`
}) (any, []*delivery, error) {
	if _, err := s.known(a.User); err != nil {
		return nil, nil, err
	}
	n := 0
	for id, g := range s.issued.Grants {
		if g.User == a.User && (a.Application == "" || g.Client == a.Application) {
			delete(s.issued.Grants, id)
			n++
		}
	}
	s.issued.orphans()
	return map[string]int{"revoked": n}, nil, nil
}

// makeSubjectToken gives what the Management API's POST /api/subject-tokens gives.
func (s *Server) makeSubjectToken(a userArgs) (any, []*delivery, error) {
	if _, err := s.known(a.User); err != nil {
		return nil, nil, err
	}
	id := "sub_" + mint.Opaque()
	s.issued.Subjects[id] = &subjectToken{User: a.User, Expires: s.now().Add(subjectTokenTTL)}
	return map[string]any{"subjectToken": id, "expiresIn": int(subjectTokenTTL / time.Second)}, nil, nil
}

func (s *Server) makePersonalAccessToken(a struct {
	User string `json:"user"`
	Name string `json:"name"`
}) (any, []*delivery, error) {
	u, err := s.known(a.User)
	if err != nil {
		return nil, nil, err
	}
	pat := &personalAccessToken{Name: a.Name, Value: "pat_" + rand.Text()}
	u.PersonalAccessTokens = append(u.PersonalAccessTokens, pat)
	return *pat, nil, nil
}

// resend delivers a webhook again.
func (s *Server) resend(a struct {
	ID int64 `json:"id"`
}) (any, []*delivery, error) {
	old := find(s.log.Deliveries, func(d *delivery) string { return fmt.Sprint(d.ID) }, fmt.Sprint(a.ID))
	if old == nil || old.Body == nil {
		return nil, nil, fmt.Errorf("there is no webhook %d", a.ID)
	}
	d := &delivery{ID: s.log.id(), Time: time.Now(), Event: old.Event, To: old.To, URL: old.URL, Body: slices.Clone(old.Body), tried: make(chan struct{})}
	s.log.Deliveries = last(append(s.log.Deliveries, d))
	s.enqueue(d.To, d)
	return map[string]int64{"id": d.ID}, []*delivery{d}, nil
}

// testHook sends what the console's button "Send test payload" sends.
func (s *Server) testHook(a struct {
	Event string `json:"event"`
}) (any, []*delivery, error) {
	if a.Event == "" {
		a.Event = "User.SuspensionStatus.Updated"
	}
	return nil, s.send(event{a.Event, map[string]any{
		"userAgent": "fake-user-agent", "path": "/fake-path/:id", "method": "POST", "status": 200,
		"params": map[string]any{"id": "fake-id"}, "data": map[string]any{"result": "success"},
	}}), nil
}

// reset goes back to the description: what was changed, set wrong and issued is gone.
// The keys stay, as APIs know them.
func (s *Server) reset(none) (any, []*delivery, error) {
	t, from, err := s.read()
	if err != nil {
		return nil, nil, err
	}
	s.tenant, s.source, s.knobs, s.problem = t, from, knobs{}, ""
	keys, next := s.issued.Keys, s.issued.Next
	s.issued = &issued{Keys: keys, Next: next}
	s.issued.fill()
	s.stamp()
	s.log.Calls, s.log.Tokens, s.log.Deliveries = nil, nil, nil
	s.era++ // no webhook of one test comes in the next one
	for _, q := range s.queues {
		q.drop("reset")
	}
	return nil, nil, nil
}
