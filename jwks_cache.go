// The cache of the key set: when it is fetched, for whom, and how long it serves.

package logto

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-70fe37f4/logto/internal/jwk"
	"github.com/seed-70fe37f4/logto/internal/policy"
	"github.com/seed-70fe37f4/logto/internal/quote"
	"github.com/seed-70fe37f4/logto/internal/refusal"
)

// How old a key set may be. Logto forbids caching it (max-age=0), so the times
// are ours; see docs/design.md.
const (
	staleAge = 10 * time.Minute // from here on a refresh runs behind the requests
	waitAge  = time.Hour        // from here on a request waits for it, maxWait at most
	deadAge  = 24 * time.Hour   // from here on the key set is not used
	maxWait  = time.Second

	fetchPause = 10 * time.Second // between the starts of two fetches
	retryPause = time.Second      // the same, after a failed one
	fetchTime  = 10 * time.Second // a fetch that takes longer has failed
	maxBody    = 1 << 20          // bytes of a key set, decompressed
	maxETag    = 256              // bytes
	maxError   = 300              // characters of why a fetch failed
)

// keyCache holds the last good key set. A fetch is started by the request that
// needs it, shared by all that wait, and cancelled by none of them.
type keyCache struct {
	address  string // with what may be secret in its query
	url      string // the same, fit for a log
	client   *http.Client
	logger   func() *slog.Logger
	observer func(context.Context, Event) // nil for none

	set atomic.Pointer[keySet] // the last good one; nil before the first

	mu       sync.Mutex // held for moments only, never over I/O
	running  *fetch     // nil if there is none
	started  instant    // when the newest fetch began; zero before the first
	unknown  instant    // when the newest fetch for an unknown key ID began
	failures int        // since the last good answer
	lastErr  error      // of the newest fetch
}

// fetch is one request to the key endpoint. err may be read when done is closed.
type fetch struct {
	started time.Time
	done    chan struct{}
	err     error
}

// keySet is an answer of the key endpoint. It doesn't change.
type keySet struct {
	keys    jwk.Set
	etag    string
	fetched instant

	notModified bool // by the newest answer
}

func (s *keySet) age(now time.Time) time.Duration { return s.fetched.until(now) }

// instant is a time by both clocks.
type instant struct{ monotonic, wall time.Time }

func at(t time.Time) instant { return instant{t, t.Round(0)} }

// until goes by the clock that says more: the monotonic one stops while the
// machine sleeps, the wall clock can be set back.
func (i instant) until(now time.Time) time.Duration {
	return max(now.Sub(i.monotonic), now.Round(0).Sub(i.wall))
}

func newKeyCache(url string, client *http.Client, logger func() *slog.Logger, observer func(context.Context, Event)) *keyCache {
	var c http.Client
	if client != nil {
		c = *client
	} else {
		c.Transport = policy.NewTransport()
	}
	c.CheckRedirect = policy.CheckRedirect
	return &keyCache{address: url, url: policy.Shown(url), client: &c, logger: logger, observer: observer}
}

// key returns the key with the given ID, fetching the key set if need be.
func (c *keyCache) key(ctx context.Context, id string) (*jwk.Key, error) {
	set, now := c.set.Load(), time.Now()
	if set == nil {
		return c.fetchKey(ctx, id, now)
	}
	key, age := set.keys[id], set.age(now)
	switch {
	case key == nil || age >= deadAge:
		return c.fetchKey(ctx, id, now)
	case age < staleAge:
		return key, nil
	}
	f, _ := c.refresh(now, false)
	if age < waitAge || f == nil {
		return key, nil
	}
	// A fetch that hangs delays by maxWait once, not every request that comes.
	timer := time.NewTimer(f.started.Add(maxWait).Sub(now))
	defer timer.Stop()
	select {
	case <-f.done:
	case <-timer.C:
		return key, nil
	case <-ctx.Done():
		return key, nil
	}
	if key = c.set.Load().keys[id]; key == nil {
		return nil, unknownKey(id)
	}
	return key, nil
}

// live returns the key set if it may be used.
func (c *keyCache) live() *keySet {
	if set := c.set.Load(); set != nil && set.age(time.Now()) < deadAge {
		return set
	}
	return nil
}

// stillPublished returns nil if a key that this cache gave is in the key set now, and
// its ID stands for no other. It waits for nothing, and the age of the key set is the
// business of key: who was given a key in time is served by it.
func (c *keyCache) stillPublished(key *jwk.Key) error {
	if c.set.Load().keys[key.ID()] != key {
		return unknownKey(key.ID())
	}
	return nil
}

// fetchKey is for a key that isn't there: it waits for a fetch.
func (c *keyCache) fetchKey(ctx context.Context, id string, now time.Time) (*jwk.Key, error) {
	err := c.refreshAndWait(ctx, now, c.live() != nil)
	if set := c.live(); set != nil {
		if key := set.keys[id]; key != nil {
			return key, nil
		}
		// Only a good answer proves that there is no such key. After a failed
		// fetch it may be one that was rotated in just now: no reason to log
		// a user out.
		if err == nil {
			return nil, unknownKey(id)
		}
	}
	return nil, c.unavailable(err)
}

// refreshAndWait waits for a fetch. It returns at once, with the newest fetch's
// error, while fetches pause. forUnknown tells that there is a good key set, but
// a key is not in it.
func (c *keyCache) refreshAndWait(ctx context.Context, asked time.Time, forUnknown bool) error {
	for {
		f, err := c.refresh(time.Now(), forUnknown)
		if f == nil {
			return err
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		// What failed may have begun to hang before the endpoint recovered. Who has
		// no key set waits for another one.
		if f.err == nil || forUnknown || asked.Sub(f.started) < retryPause {
			return f.err
		}
	}
}

func (c *keyCache) unavailable(cause error) error {
	return &refusal.Refusal{Reason: reasonKeys, Text: "no usable key set from " + c.url, Cause: cause}
}

func (c *keyCache) await(ctx context.Context) error {
	if err := c.refreshAndWait(ctx, time.Now(), false); err != nil {
		return c.unavailable(err)
	}
	return nil
}

func (c *keyCache) ready() error {
	if c.live() != nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.unavailable(c.lastErr)
}

// refresh returns the fetch to wait for: the running one, or a new one. It
// returns nil, and how the newest one ended, if it is too early for another.
// Fetches for unknown key IDs, which anybody can ask for, keep their pause among
// themselves: a key that is rotated in just after a refresh is found at once.
func (c *keyCache) refresh(now time.Time, forUnknown bool) (*fetch, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running != nil {
		return c.running, nil
	}
	last, pause := c.started, fetchPause
	switch {
	case c.lastErr != nil:
		pause = retryPause
	case forUnknown:
		last = c.unknown
	}
	if last != (instant{}) && last.until(now) < pause {
		return nil, c.lastErr
	}
	c.running = &fetch{started: now, done: make(chan struct{})}
	c.started = at(now)
	if forUnknown {
		c.unknown = c.started
	}
	go c.run(c.running)
	return c.running, nil
}

// run carries out a fetch. The set is stored before anybody learns of it.
func (c *keyCache) run(f *fetch) {
	ctx, cancel := context.WithTimeout(context.Background(), fetchTime)
	defer cancel()
	old := c.set.Load()
	set, ignored, err := c.getSafely(ctx, old)
	if err != nil && len(err.Error()) > maxError {
		err = fmt.Errorf("%.*s…", maxError, err.Error()) // it may repeat what the endpoint sent
	}

	c.mu.Lock()
	failures := c.failures
	if err == nil {
		set.fetched = at(f.started)
		c.set.Store(set)
		c.failures = 0
	} else {
		c.failures++
	}
	c.lastErr, f.err = err, err
	c.running = nil
	c.mu.Unlock()
	close(f.done)

	var before, after jwk.Set
	if old != nil {
		before, after = old.keys, old.keys
	}
	if err == nil {
		after = set.keys
	}
	added, removed := missing(after, before), missing(before, after)
	c.report(old, added, removed, ignored, failures, err)
	if c.observer != nil {
		e := Event{Fetch: true, Reason: "fetched", Err: err, Duration: time.Since(f.started), Added: added, Removed: removed, Age: c.status().Age}
		if err != nil {
			e.Reason = "failed"
		} else if set.notModified {
			e.Reason = "not_modified"
		}
		c.observer(context.Background(), e)
	}
}

func (c *keyCache) status() KeySetStatus {
	c.mu.Lock()
	status := KeySetStatus{Err: c.lastErr}
	c.mu.Unlock()
	if set := c.set.Load(); set != nil {
		status.KeyIDs = slices.Sorted(maps.Keys(set.keys))
		status.Age = set.age(time.Now())
	}
	return status
}

// report logs what a fetch has changed. In an outage, one line tells of its
// beginning and one of its end; in between every hundredth failure gets one.
func (c *keyCache) report(old *keySet, added, removed, ignored []string, failures int, err error) {
	log := c.logger()
	if err != nil {
		if failures%100 == 0 {
			age := "none"
			if old != nil {
				age = old.age(time.Now()).Round(time.Second).String()
			}
			log.Warn("logto: key set not fetched", "url", c.url, "error", err, "failures", failures+1, "age_of_last_good", age)
		}
		return
	}
	if failures > 0 {
		log.Info("logto: key set fetched again", "url", c.url, "failures", failures)
	}
	if len(added)+len(removed) > 0 {
		log.Info("logto: key set changed", "url", c.url, "added", added, "removed", removed)
		for _, why := range ignored {
			log.Warn("logto: key ignored", "url", c.url, "why", why)
		}
	}
}

// missing lists the first IDs of a that b has not, or has for another key.
func missing(a, b jwk.Set) []string {
	const most = 10
	var ids []string
	for _, id := range slices.Sorted(maps.Keys(a)) {
		if a[id] != b[id] && len(ids) < most {
			ids = append(ids, id)
		}
	}
	return ids
}

// getSafely is get, for a goroutine in which a panic, of an HTTPClient's transport
// for instance, would end the process and not a request.
func (c *keyCache) getSafely(ctx context.Context, old *keySet) (set *keySet, ignored []string, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %s", policy.ShownText(fmt.Sprint(r)))
		}
	}()
	return c.get(ctx, old)
}

// get asks the key endpoint once. It returns a set with at least one key, or an
// error; and why keys were ignored.
func (c *keyCache) get(ctx context.Context, old *keySet) (*keySet, []string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.address, nil)
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	if old != nil && old.etag != "" {
		req.Header.Set("If-None-Match", old.etag)
	}
	res, err := c.client.Do(req)
	if err != nil {
		return nil, nil, policy.FetchError(err)
	}
	defer res.Body.Close()

	var set keySet
	switch {
	case res.StatusCode == http.StatusNotModified && req.Header.Get("If-None-Match") != "":
		set = *old
		set.notModified = true
		return &set, nil, nil
	case res.StatusCode != http.StatusOK:
		return nil, nil, fmt.Errorf("the answer is %s", quote.String(res.Status))
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxBody+1))
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("reading the answer: %w", err)
	case len(body) > maxBody:
		return nil, nil, fmt.Errorf("the answer has over %d bytes", maxBody)
	}
	var before jwk.Set
	if old != nil {
		before = old.keys
	}
	keys, ignored, err := jwk.ParseSet(body, before)
	if err != nil {
		contentType := res.Header.Get("Content-Type")
		if strings.HasPrefix(contentType, "text/html") {
			return nil, nil, errors.New("the answer is an HTML page: is /oidc missing in the address?")
		}
		return nil, nil, fmt.Errorf("%w (Content-Type %s)", err, quote.String(contentType))
	}
	set.keys = keys
	if etag := res.Header.Get("ETag"); len(etag) <= maxETag {
		set.etag = etag
	}
	return &set, ignored, nil
}
