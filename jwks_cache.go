// The cache of the key set: which key a token gets, who waits how long for it, and what
// may be said of a key that isn't there.

package logto

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-70fe37f4/logto/internal/clock"
	"github.com/seed-70fe37f4/logto/internal/jwk"
	"github.com/seed-70fe37f4/logto/internal/policy"
	"github.com/seed-70fe37f4/logto/internal/refusal"
)

// How old a key set may be. Logto forbids caching it (max-age=0), so the times
// are ours; see docs/design.md.
const (
	staleAge = 10 * time.Minute // at the latest from here on a refresh runs behind the requests
	waitAge  = time.Hour        // from here on a request waits for it, maxWait at most
	deadAge  = 24 * time.Hour   // from here on the key set is not used
	maxWait  = time.Second
	maxHold  = 5 * time.Second // no request waits longer for a key that isn't there
	// agreeTime is how long the issuer's replicas may disagree after a rotation. proofAge
	// is how long an answer proves anything, and doubtTime how long it doesn't of a key
	// that has vanished.
	agreeTime = time.Minute
	proofAge  = time.Minute
	doubtTime = 2 * time.Minute
	maxError  = 300 // characters of why a fetch failed
)

// keyCache holds the last good key set. A fetch is started by the request that
// needs it, shared by all that wait, and cancelled by none of them.
type keyCache struct {
	address  string            // with what may be secret in its query
	issuer   string            // the first of those that it may sign for
	agent    string            // who asks
	url      string            // the same, fit for a log
	secrets  *strings.Replacer // what must not be told of the address's query; nil for none
	client   *http.Client
	leeway   time.Duration
	logger   func() *slog.Logger
	observer func(context.Context, Event) // nil for none
	// jitter is the share of a time that spread may be: instances that started together,
	// or failed together, don't ask together.
	jitter float64

	set atomic.Pointer[keySet] // the newest good one; nil before the first

	mu       sync.Mutex    // held for moments only, never over I/O
	newest   *fetch        // nil before the first
	unknown  clock.Instant // when the newest fetch for an unknown key ID began
	ended    chan struct{} // closed, and made anew, when a fetch ends
	running  int           // fetches
	stuck    int           // of those that were given up, how many still run
	failures int           // since the last good answer
	pause    time.Duration // after the newest failure
	lastErr  error         // of the fetch that ended last
}

// keySet is an answer of the key endpoint. It doesn't change.
type keySet struct {
	keys    jwk.Set
	etag    string
	fetched clock.Instant // when the fetch began
	due     time.Duration // the age from which on it is refreshed
	// cached is how old the answer was when it came: see apparentAge.
	cached time.Duration
	// vanished are the IDs of keys that this answer or one before it has dropped, and
	// when.
	vanished map[string]clock.Instant

	body        []byte   // as it was published
	ignored     []string // why keys are, the first of them
	notModified bool     // by the newest answer
	given       bool     // by the configuration
}

func (s *keySet) age(now time.Time) time.Duration { return s.fetched.Until(now) }

// published is nil for a nil set, too.
func (s *keySet) published() jwk.Set {
	if s == nil {
		return nil
	}
	return s.keys
}

// doubts reports whether a key has vanished lately.
func (s *keySet) doubts(id string, now time.Time) bool {
	when, ok := s.vanished[id]
	return ok && when.Until(now) < doubtTime
}

// proves reports whether this answer proves that a key which is not in it does not
// exist, for a token issued at the given time: only if it was asked for after that,
// whatever the two clocks say and whichever of the issuer's replicas has answered. What
// was handed in proves nothing: nobody knows who asked, and when.
func (s *keySet) proves(issued, now time.Time, leeway time.Duration) bool {
	if s.given {
		return false
	}
	asked := now.Add(-s.age(now) - s.cached)
	return !asked.Before(issued.Add(max(leeway, agreeTime)))
}

// newKeyCache makes the cache of a Logto, for the service that cfg says.
func newKeyCache(t *tenant, cfg *Config, logger func() *slog.Logger) *keyCache {
	var client http.Client
	if t.cfg.HTTPClient != nil {
		client = *t.cfg.HTTPClient
	} else {
		client.Transport = policy.NewTransport()
	}
	client.CheckRedirect = policy.CheckRedirect
	address := t.jwksURL
	return &keyCache{address: address, issuer: t.cfg.Issuers[0], agent: strings.TrimSpace(cfg.UserAgent + " " + policy.UserAgent), url: policy.Shown(address), client: &client, leeway: cfg.Leeway, logger: logger, observer: cfg.Observer,
		jitter: 0.5, ended: make(chan struct{}), secrets: policy.QuerySecrets(address)}
}

// spread is a random time, by which d is shorter or longer.
func (c *keyCache) spread(d time.Duration) time.Duration {
	return time.Duration(rand.Float64() * c.jitter * float64(d))
}

// key returns the key with the given ID for a token that says it was issued at the
// given time, fetching the key set if need be. What the token says decides only which
// refusal it gets.
func (c *keyCache) key(ctx context.Context, id string, issued time.Time) (*jwk.Key, error) {
	now := time.Now()
	key, f := c.known(id, now)
	switch {
	case key == nil:
		return c.waitFor(ctx, id, issued, now)
	case f == nil:
		return key, nil
	}
	// A fetch that hangs delays by maxWait once, not every request that comes.
	timer := time.NewTimer(maxWait - now.Sub(f.began.Monotonic))
	defer timer.Stop()
	select {
	case <-f.done:
	case <-timer.C:
		return key, nil
	case <-ctx.Done():
		return key, nil
	}
	if key = c.set.Load().keys[id]; key == nil {
		return nil, c.absent(id, issued, time.Now())
	}
	return key, nil
}

// known returns the key with the given ID, nil if the key set has none that may be used, and
// waits for nothing. It starts the fetch that is due; first is that which is to be waited for
// before the key is used, nil if there is none.
func (c *keyCache) known(id string, now time.Time) (key *jwk.Key, first *fetch) {
	set := c.live(now)
	if key = set.published()[id]; key == nil {
		return nil, nil
	}
	age := set.age(now)
	if age < set.due {
		return key, nil
	}
	if first = c.fetch(now, forRefresh); age < waitAge {
		first = nil
	}
	return key, first
}

// live returns the key set if it may be used.
func (c *keyCache) live(now time.Time) *keySet {
	if set := c.set.Load(); set != nil && set.age(now) < deadAge {
		return set
	}
	return nil
}

// stillPublished returns nil if a key that this cache gave is in the key set now, and
// its ID stands for no other. It waits for nothing, and the age of the key set is the
// business of key: who was given a key in time is served by it.
func (c *keyCache) stillPublished(key *jwk.Key, issued time.Time) error {
	if c.set.Load().keys[key.ID()] != key {
		return c.absent(key.ID(), issued, time.Now())
	}
	return nil
}

// waitFor is for a key that isn't there. A request that waits never gets an error from
// a fetch that began over a second before it, which may have hung since before the
// endpoint recovered: it waits for another one. And it waits no longer than maxHold,
// whatever the fetches do.
func (c *keyCache) waitFor(ctx context.Context, id string, issued, asked time.Time) (*jwk.Key, error) {
	hold := time.NewTimer(maxHold)
	defer hold.Stop()
	for {
		now, why := time.Now(), forUnknown
		set := c.live(now)
		switch {
		case set == nil:
			why = forAny
		case set.keys[id] != nil: // it has come since somebody looked
			return set.keys[id], nil
		case set.proves(issued, now, c.leeway) && set.age(now) < proofAge && !set.doubts(id, now):
			return nil, c.absent(id, issued, now) // whoever sends it, there is nothing to look up
		}
		f := c.fetch(now, why)
		if f == nil {
			if c.live(now) != set {
				continue // an answer has come since
			}
			return nil, c.absent(id, issued, now)
		}
		for ended := false; !ended; {
			c.mu.Lock()
			any := c.ended
			ended = f.ended
			c.mu.Unlock()
			if set := c.live(time.Now()); set != nil && set.keys[id] != nil {
				return set.keys[id], nil
			}
			if ended {
				break
			}
			select {
			case <-any: // another one may have brought the key
			case <-hold.C:
				return nil, c.unavailable(fmt.Errorf("no answer within %v", maxHold))
			case <-ctx.Done():
				return nil, c.unavailable(ctx.Err())
			}
		}
		since := asked.Add(-retryPause)
		if f.err == nil {
			since = issued
		}
		if !f.began.Monotonic.Before(since) {
			return nil, c.absent(id, issued, time.Now())
		}
	}
}

// absent is the error for a key that isn't there: a 401 only if that is proven. In an
// outage nothing is: it must log nobody out.
func (c *keyCache) absent(id string, issued, now time.Time) error {
	set := c.live(now)
	if set == nil {
		return c.unavailable(nil)
	}
	c.mu.Lock()
	err, wait := c.lastErr, c.untilNext(now, forUnknown)
	c.mu.Unlock()
	switch {
	case err != nil:
		e := unavailableKeys(c.url, err, wait)
		e.Text = "a key that may be new can't be looked up at " + c.url
		return e
	case set.proves(issued, now, c.leeway):
		return unknownKey(id)
	}
	return keyNotYetKnown(id, wait)
}

// unavailable is the error for a key set that can't be had: by cause, or by how the
// fetch ended that ended last.
func (c *keyCache) unavailable(cause error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if cause == nil {
		cause = c.lastErr
	}
	return unavailableKeys(c.url, cause, c.untilNext(time.Now(), forAny))
}

func unavailableKeys(url string, cause error, wait time.Duration) *refusal.Refusal {
	return &refusal.Refusal{Reason: reasonKeys, Text: "no usable key set from " + url, Cause: cause, RetryAfter: wait}
}

// await waits for a fetch that ends after it was called, as long as ctx; for its turn, too,
// while fetches pause. After a failure it says at once how that was.
func (c *keyCache) await(ctx context.Context) error {
	asked := time.Now()
	for {
		now, why := time.Now(), forCaller
		if c.live(now) == nil {
			why = forAny
		}
		f := c.fetch(now, why)
		if f == nil {
			c.mu.Lock()
			err, pause := c.lastErr, c.untilNext(now, why)
			c.mu.Unlock()
			if err != nil {
				return c.unavailable(err)
			}
			timer := time.NewTimer(pause)
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
				return c.unavailable(ctx.Err())
			}
			continue
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return c.unavailable(ctx.Err())
		}
		if f.err == nil {
			return nil
		}
		if !f.began.Monotonic.Before(asked.Add(-retryPause)) {
			return c.unavailable(f.err)
		}
	}
}

// ready starts the fetch that is due, and waits for none.
func (c *keyCache) ready() error {
	now := time.Now()
	if set := c.live(now); set != nil {
		if set.age(now) >= set.due {
			c.fetch(now, forRefresh)
		}
		return nil
	}
	c.fetch(now, forAny)
	return c.unavailable(nil)
}
