// The key set as a user sees it: what is known of it, and how one is handed from one
// instance to the next.

package logto

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/seed-70fe37f4/logto/internal/clock"
	"github.com/seed-70fe37f4/logto/internal/jwk"
	"github.com/seed-70fe37f4/logto/internal/policy"
)

// KeySet is a key set as Logto published it, to be kept and handed to another Verifier as
// KeySet of [Config]. [Verifier.KeySets] gives it. As JSON it is fit for a file. Its keys
// are public, but whoever can change what is kept can sign tokens for this API: keep it
// where only the service can write.
type KeySet struct {
	// Issuer is one of those for whose tokens the keys are: of another Logto's key set, by
	// mistake, New says so.
	Issuer string `json:"issuer"`

	// JWKS is the JWK Set (RFC 7517 section 5), as it was published.
	JWKS json.RawMessage `json:"jwks"`

	// Fetched is when Logto gave it. The key set's age counts from there.
	Fetched time.Time `json:"fetched"`
}

// KeySets gives the key set of each Logto, in the order in which New was given them: the
// zero KeySet for one that has none. It starts no fetch.
func (v *Verifier) KeySets() []KeySet {
	all, now := make([]KeySet, len(v.tenants)), time.Now()
	for i, t := range v.tenants {
		if set := t.keys.set.Load(); set != nil {
			all[i] = KeySet{t.cfg.Issuers[0], bytes.Clone(set.body), now.Add(-set.age(now) - set.cached).Round(0).UTC()}
		}
	}
	return all
}

// read takes it as an answer of the key endpoint, as old as it says. It is nil for the
// zero KeySet.
func (k KeySet) read(issuers []string) (*keySet, error) {
	if k.Issuer == "" && (k.JWKS == nil || string(k.JWKS) == "null") && k.Fetched.IsZero() { // null is what JSON makes of none
		return nil, nil
	}
	now := time.Now()
	age := now.Round(0).Sub(k.Fetched)
	switch {
	case !slices.Contains(issuers, k.Issuer):
		return nil, policy.Refuse("Config.KeySet is for the tokens of %q, and the issuers are %q", policy.Shown(k.Issuer), issuers)
	case k.Fetched.IsZero():
		return nil, policy.Refuse("Config.KeySet needs Fetched, when Logto gave these keys: they are used for a day from then on")
	case age < -policy.Leeway:
		return nil, policy.Refuse("Config.KeySet was fetched %v from now, at %v: this clock is wrong, or was the other's?", -age, k.Fetched)
	case len(k.JWKS) > maxBody:
		return nil, policy.Refuse("Config.KeySet has over %d bytes", maxBody)
	}
	keys, ignored, err := jwk.ParseSet(k.JWKS, nil)
	if err != nil {
		return nil, policy.Refuse("Config.KeySet: %v", err)
	}
	return &keySet{keys: keys, ignored: ignored, body: bytes.Clone(k.JWKS), fetched: clock.At(now.Add(-max(age, 0))), given: true}, nil
}

// begin takes a key set that was handed in.
func (c *keyCache) begin(set *keySet) {
	set.due = staleAge - c.spread(staleAge)
	c.set.Store(set)
	c.logger().Info("logto: key set handed in", "url", c.url, "keys", missing(set.keys, nil), "age", set.age(time.Now()).Round(time.Second).String())
	logIgnored(c.logger(), c.url, set)
}

func logIgnored(log *slog.Logger, url string, set *keySet) {
	for _, why := range set.ignored {
		log.Warn("logto: key ignored", "url", url, "why", why)
	}
}

// KeySetStatus is what is known of the key set of a [Verifier].
type KeySetStatus struct {
	KeyIDs []string      // of the usable keys, sorted; empty if there is no key set
	Age    time.Duration // since it was last fetched or found not modified; 0 also if there is none
	Err    error         // of the newest fetch; nil if it was good or there was none

	// Ignored tells of each key that can't be used why, of the first ten; for people to
	// read.
	Ignored []string
}

// KeySetStatus tells what is known of the key set, for a status page. It starts no
// fetch. [Verifier.Ready] says whether it is good enough. Of several Logtos it tells of all
// together, and the age of the oldest.
func (v *Verifier) KeySetStatus() KeySetStatus {
	all := v.tenants[0].keys.status()
	for _, t := range v.tenants[1:] {
		one := t.keys.status()
		all.KeyIDs = append(all.KeyIDs, one.KeyIDs...)
		all.Age = max(all.Age, one.Age)
		all.Err = errors.Join(all.Err, one.Err)
		all.Ignored = append(all.Ignored, one.Ignored...)
	}
	slices.Sort(all.KeyIDs)
	return all
}

func (c *keyCache) status() KeySetStatus {
	c.mu.Lock()
	status := KeySetStatus{Err: c.lastErr}
	c.mu.Unlock()
	if set := c.set.Load(); set != nil {
		status.KeyIDs = slices.Sorted(maps.Keys(set.keys))
		status.Age = set.age(time.Now())
		status.Ignored = slices.Clone(set.ignored)
	}
	return status
}
