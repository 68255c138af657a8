package emulator

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/seed-70fe37f4/logto/internal/mint"
)

// issued is what was given out, and what a restart must not take away. Whoever reads
// or changes it holds the server's lock.
type issued struct {
	Keys     []*mint.Key              `json:"keys"` // the first one signs, the others were before it
	Next     *mint.Key                `json:"next,omitempty"`
	Sessions map[string]*session      `json:"sessions"`
	Grants   map[string]*grant        `json:"grants"`
	Codes    map[string]*code         `json:"codes"`
	Refresh  map[string]*refreshToken `json:"refreshTokens"`
	Opaque   map[string]*opaqueToken  `json:"opaqueTokens"`
	Subjects map[string]*subjectToken `json:"subjectTokens"`
}

// A session is a browser in which a user is signed in.
type session struct {
	User    string            `json:"user"`
	Started time.Time         `json:"started"`
	SIDs    map[string]string `json:"sids"` // by client ID: what ID and logout tokens call it
}

// A grant is what a user gave an application by signing in: tokens live by it.
type grant struct {
	User      string    `json:"user"`
	Client    string    `json:"client"`
	Session   string    `json:"session"`
	SID       string    `json:"sid"`       // the session's name for this client
	Scopes    []string  `json:"scopes"`    // asked for; what is had of them is settled at each token
	Resources scopesOf  `json:"resources"` // asked for, with the scopes that the user had at the sign-in
	Nonce     string    `json:"nonce,omitempty"`
	SignedIn  time.Time `json:"signedIn"`
	AuthTime  bool      `json:"authTime,omitempty"` // max_age was asked for
	Expires   time.Time `json:"expires"`
}

// offline tells whether the grant outlives the session.
func (g *grant) offline() bool { return slices.Contains(g.Scopes, "offline_access") }

type code struct {
	Grant       string    `json:"grant"`
	RedirectURI string    `json:"redirectUri"`
	Challenge   string    `json:"challenge,omitempty"`
	Refreshable bool      `json:"refreshable,omitempty"`
	Expires     time.Time `json:"expires"`
	Used        bool      `json:"used,omitempty"`
}

type refreshToken struct {
	Grant   string    `json:"grant"`
	Issued  time.Time `json:"issued"`
	Expires time.Time `json:"expires"`
	Rotated time.Time `json:"rotated,omitzero"` // another one has taken its place
}

// An opaqueToken is for userinfo, and for an actor.
type opaqueToken struct {
	Grant   string    `json:"grant,omitempty"` // of a sign-in
	User    string    `json:"user"`
	Client  string    `json:"client"`
	Scopes  []string  `json:"scopes"`
	Issued  time.Time `json:"issued"`
	Expires time.Time `json:"expires"`
}

// A subjectToken is what an API gets from Logto to impersonate a user.
type subjectToken struct {
	User    string    `json:"user"`
	Expires time.Time `json:"expires"`
	Used    bool      `json:"used,omitempty"`
}

// Lifetimes, those of Logto's defaults.
const (
	codeTTL         = time.Minute
	accessTokenTTL  = time.Hour
	idTokenTTL      = time.Hour
	refreshTokenTTL = 14 * 24 * time.Hour
	sessionTTL      = 14 * 24 * time.Hour
	subjectTokenTTL = 10 * time.Minute
	reuseTolerance  = 3 * time.Second
)

func newIssued() *issued {
	k, err := mint.NewKey(mint.DefaultAlgorithm)
	if err != nil {
		panic(err) // of an unknown algorithm only
	}
	i := &issued{Keys: []*mint.Key{k}}
	i.fill()
	return i
}

// whole refuses a file in which something is null.
func (i *issued) whole() error {
	return errors.Join(noNull("keys", i.Keys), noNull("sessions", slices.Collect(maps.Values(i.Sessions))), noNull("grants", slices.Collect(maps.Values(i.Grants))),
		noNull("codes", slices.Collect(maps.Values(i.Codes))), noNull("refreshTokens", slices.Collect(maps.Values(i.Refresh))),
		noNull("opaqueTokens", slices.Collect(maps.Values(i.Opaque))), noNull("subjectTokens", slices.Collect(maps.Values(i.Subjects))))
}

// fill makes the maps that a file may lack.
func (i *issued) fill() {
	for _, s := range i.Sessions {
		s.SIDs = orEmpty(s.SIDs)
	}
	i.Sessions, i.Grants, i.Codes = orEmpty(i.Sessions), orEmpty(i.Grants), orEmpty(i.Codes)
	i.Refresh, i.Opaque, i.Subjects = orEmpty(i.Refresh), orEmpty(i.Opaque), orEmpty(i.Subjects)
}

func orEmpty[V any](m map[string]V) map[string]V {
	if m == nil {
		return map[string]V{}
	}
	return m
}

// revoke ends a grant, and with it the tokens that live by it.
func (i *issued) revoke(id string) {
	delete(i.Grants, id)
	i.orphans()
}

// orphans go with their grants.
func (i *issued) orphans() {
	for id, c := range i.Codes {
		if i.Grants[c.Grant] == nil {
			delete(i.Codes, id)
		}
	}
	for id, t := range i.Refresh {
		if i.Grants[t.Grant] == nil {
			delete(i.Refresh, id)
		}
	}
	for id, t := range i.Opaque {
		if t.Grant != "" && i.Grants[t.Grant] == nil {
			delete(i.Opaque, id)
		}
	}
}

// keep drops what has expired, and for good, as Logto, all that was given to users who are
// suspended or deleted.
func (i *issued) keep(t *tenant, now time.Time) {
	for id, s := range i.Sessions {
		if !t.active(s.User) || now.After(s.Started.Add(sessionTTL)) {
			delete(i.Sessions, id)
		}
	}
	for id, g := range i.Grants {
		if !t.active(g.User) || now.After(g.Expires) {
			delete(i.Grants, id)
		}
	}
	// A code that was used is remembered: who uses it again ends the grant.
	for id, c := range i.Codes {
		if now.After(c.Expires.Add(time.Hour)) {
			delete(i.Codes, id)
		}
	}
	for id, r := range i.Refresh {
		if now.After(r.Expires) {
			delete(i.Refresh, id)
		}
	}
	for id, o := range i.Opaque {
		if !t.active(o.User) || now.After(o.Expires) {
			delete(i.Opaque, id)
		}
	}
	for id, s := range i.Subjects {
		if now.After(s.Expires) {
			delete(i.Subjects, id)
		}
	}
	i.orphans()
}

// rotate makes k sign. One key is kept before it, as in Logto.
func (i *issued) rotate(k *mint.Key) {
	i.Keys = []*mint.Key{k, i.Keys[0]}
	i.Next = nil
}

// published are the keys in the key set: of a staged rotation, the next one too.
func (i *issued) published() []*mint.Key {
	if i.Next != nil {
		return append([]*mint.Key{i.Next}, i.Keys...)
	}
	return i.Keys
}
