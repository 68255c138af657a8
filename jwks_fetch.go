// The fetches of the key set: when one may start, how it ends, and what is told of it.

package logto

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed-70fe37f4/logto/internal/clock"
	"github.com/seed-70fe37f4/logto/internal/guard"
	"github.com/seed-70fe37f4/logto/internal/jwk"
	"github.com/seed-70fe37f4/logto/internal/policy"
	"github.com/seed-70fe37f4/logto/internal/quote"
)

const (
	fetchPause = 10 * time.Second // between the starts of two fetches; also the longest back-off, before jitter
	retryPause = time.Second      // the same, after a first failure, and while there is no key set
	fetchTime  = 10 * time.Second // a fetch that takes longer has failed
	giveUpTime = 11 * time.Second // the same, if the client ignores its context

	// maxRetryAfter bounds what the endpoint can ask for by Retry-After.
	maxRetryAfter = 5 * time.Minute
	// maxStuck bounds the fetches that were given up and still run. From there on one
	// starts in stuckPause.
	maxStuck   = 16
	stuckPause = time.Minute

	maxBody = 1 << 20 // bytes of a key set, decompressed
	maxETag = 256     // bytes
)

// fetch is one request to the key endpoint. err may be read when done is closed.
type fetch struct {
	began  clock.Instant
	done   chan struct{}
	err    error
	anew   bool // by a new connection
	forKey bool // for a key that isn't in the key set

	// Under the cache's mu.
	ended    bool
	failures int // in a row before this one ended
}

// purpose is what a fetch is for. It decides how soon after another one it may start.
type purpose int

const (
	forAny     purpose = iota // there is no key set that can be used
	forRefresh                // the key set is due
	forUnknown                // a key is not in it that may be new
	forCaller                 // Refresh
)

// fetch returns the fetch to wait for: the running one, or a new one. It returns nil
// if there is none to wait for and it is too early for another. A fetch that hangs, or
// hung since before the endpoint recovered, doesn't keep another one from starting.
func (c *keyCache) fetch(now time.Time, why purpose) *fetch {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.untilNext(now, why) > 0 {
		if c.newest.ended {
			return nil
		}
		return c.newest
	}
	f := &fetch{began: clock.At(now), done: make(chan struct{}), anew: c.failures > 0 || c.running > 0, forKey: why == forUnknown}
	c.newest = f
	if f.forKey {
		c.unknown = f.began
	}
	c.running++
	go c.run(f)
	return f
}

// untilNext is how long it is until another fetch may start. It is called under mu.
//
// Fetches for unknown key IDs, which anybody can ask for, keep their pause among
// themselves: a key that is rotated in just after a refresh is found at once.
func (c *keyCache) untilNext(now time.Time, why purpose) time.Duration {
	if c.newest == nil {
		return 0
	}
	since, pause := c.newest.began, fetchPause
	switch {
	case c.stuck >= maxStuck:
		pause = stuckPause
	case why == forAny:
		pause = retryPause
	case c.running > 0 && why == forUnknown:
		pause = backOff(c.failures + c.running)
	case c.running > 0:
	case c.failures > 0:
		pause = c.pause
	case why == forUnknown:
		since = c.unknown // zero, and so long ago, before the first
	}
	return max(pause-since.Until(now), 0)
}

// backOff is the pause after so many failures in a row.
func backOff(failures int) time.Duration {
	pause := retryPause
	for ; failures > 1 && pause < fetchPause; failures-- {
		pause *= 2
	}
	return min(pause, fetchPause)
}

// run carries out a fetch. The set is stored before anybody learns of it.
func (c *keyCache) run(f *fetch) {
	ctx, cancel := context.WithTimeout(context.Background(), fetchTime)
	defer cancel()
	old := c.set.Load()
	giveUp := time.AfterFunc(giveUpTime, func() {
		if c.end(f, nil, fmt.Errorf("the HTTP client doesn't return, %v after its context ended", giveUpTime-fetchTime)) {
			c.mu.Lock()
			c.stuck++
			c.mu.Unlock()
			c.tell(f, old, nil)
		}
	})
	defer giveUp.Stop()
	var set *keySet
	err := errors.New("the HTTP client has ended the goroutine") // by runtime.Goexit
	defer func() {
		if c.end(f, set, err) {
			c.tell(f, old, set)
			return
		}
		c.mu.Lock()
		c.stuck--
		c.mu.Unlock()
	}()
	set, err = c.getSafely(ctx, f, old)
}

// end notes how a fetch ended and wakes those who wait. It is false if the fetch was
// given up before. Of two answers that of the fetch which began later counts.
func (c *keyCache) end(f *fetch, set *keySet, err error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.ended {
		return false
	}
	f.ended, f.err, f.failures = true, err, c.failures
	c.running--
	now, old := time.Now(), c.set.Load()
	switch {
	case old != nil && old.age(now) < f.began.Until(now):
		// A fetch that began later had a good answer before.
	case err == nil:
		c.failures, c.lastErr = 0, nil
		set.fetched, set.due, set.vanished = f.began, staleAge-c.spread(staleAge), vanished(old, set, now)
		c.set.Store(set)
	default:
		c.failures++
		c.lastErr = err
		c.pause = backOff(c.failures) + c.spread(backOff(c.failures))
		var status *statusError
		if errors.As(err, &status) {
			c.pause = max(c.pause, min(status.retryAfter, maxRetryAfter))
		}
	}
	close(f.done)
	close(c.ended)
	c.ended = make(chan struct{})
	return true
}

// vanished are the keys that are gone and in doubt after an answer.
func vanished(old, set *keySet, now time.Time) map[string]clock.Instant {
	if old == nil {
		return nil
	}
	gone := map[string]clock.Instant{}
	for id, when := range old.vanished {
		if set.keys[id] == nil && old.doubts(id, now) {
			gone[id] = when
		}
	}
	for id := range old.keys {
		if set.keys[id] == nil {
			gone[id] = clock.At(now)
		}
	}
	return gone
}

// newConnection is for a fetch after one that failed or hangs: a connection that died
// silently must not be asked again. What a client keeps inside a transport of its own
// making, it must look after itself.
func newConnection(client *http.Client) *http.Client {
	client.CloseIdleConnections()
	transport := client.Transport
	if transport == nil {
		transport = http.DefaultTransport
	}
	t, ok := transport.(*http.Transport)
	if !ok || t.DisableKeepAlives {
		return client
	}
	t = t.Clone()
	t.DisableKeepAlives = true
	fresh := *client
	fresh.Transport = t
	return &fresh
}

// statusError is an answer without a key set.
type statusError struct {
	status     string
	retryAfter time.Duration
}

func (e *statusError) Error() string { return "the answer is " + quote.String(e.status) }

// shown is an error whose text is fit for a log: it may repeat what the endpoint sent,
// and what stands in the address's query.
func (c *keyCache) shown(err error) error {
	text := err.Error()
	if c.secrets != nil {
		text = c.secrets.Replace(text)
	}
	if len(text) > maxError {
		text = fmt.Sprintf("%.*s…", maxError, text)
	}
	return policy.WithText(err, text)
}

// headerSeconds reads a header of seconds, or with a date (RFC 9110 section 10.2.3). Of a
// list the first counts, and what is too large is large (RFC 9111 section 1.2.2). It is 0
// for any other value.
func headerSeconds(h http.Header, name string, now time.Time) time.Duration {
	value := h.Get(name)
	if date, err := http.ParseTime(value); err == nil {
		return max(date.Sub(now), 0)
	}
	value, _, _ = strings.Cut(value, ",")
	value = strings.TrimSpace(value)
	if value == "" || strings.Trim(value, "0123456789") != "" {
		return 0
	}
	n, err := strconv.ParseUint(value, 10, 31)
	if err != nil {
		n = 1 << 31
	}
	return time.Duration(n) * time.Second
}

// apparentAge is how old an answer was when it came: by what a cache on its way says, or
// by its Date and our clock (RFC 9111 section 4.2.3). So a clock that is ahead of the
// issuer's counts as well. It is bounded, as time.Time{} is sent too, and ages are added.
func apparentAge(h http.Header, now time.Time) time.Duration {
	age := headerSeconds(h, "Age", now)
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		age = max(age, now.Sub(date).Truncate(time.Second))
	}
	return min(age, 1<<31*time.Second)
}

// tell logs and observes how a fetch ended.
func (c *keyCache) tell(f *fetch, old, set *keySet) {
	before := old.published()
	after := before
	if f.err == nil {
		after = set.keys
	}
	added, removed := missing(after, before), missing(before, after)
	guard.Run(c.logger, func() { c.report(f, old, set, added, removed) })
	if c.observer != nil {
		e := Event{Fetch: true, Issuer: c.issuer, Reason: "fetched", Err: f.err, Duration: time.Since(f.began.Monotonic), Added: added, Removed: removed, Age: c.status().Age}
		if f.err != nil {
			e.Reason = "failed"
		} else if set.notModified {
			e.Reason = "not_modified"
		}
		guard.Run(c.logger, func() { c.observer(context.Background(), e) })
	}
}

// report logs what a fetch has changed. In an outage, one line tells of its
// beginning and one of its end; in between every hundredth failure gets one.
func (c *keyCache) report(f *fetch, old, set *keySet, added, removed []string) {
	log := c.logger()
	if f.err != nil {
		if f.failures%100 == 0 {
			age := "none"
			if old != nil {
				age = old.age(time.Now()).Round(time.Second).String()
			}
			log.Warn("logto: key set not fetched", "url", c.url, "error", f.err, "failures", f.failures+1, "age_of_last_good", age)
		}
		return
	}
	if f.failures > 0 {
		log.Info("logto: key set fetched again", "url", c.url, "failures", f.failures)
	}
	switch {
	case old == nil:
		log.Info("logto: key set fetched", "url", c.url, "keys", added)
	case len(added)+len(removed) > 0:
		log.Info("logto: key set changed", "url", c.url, "added", added, "removed", removed)
	}
	if old == nil || !slices.Equal(set.ignored, old.ignored) {
		logIgnored(log, c.url, set)
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
func (c *keyCache) getSafely(ctx context.Context, f *fetch, old *keySet) (set *keySet, err error) {
	defer func() {
		if r := recover(); r != nil {
			set, err = nil, c.shown(fmt.Errorf("panic: %s", policy.ShownText(fmt.Sprint(r))))
		}
	}()
	client := c.client
	if f.anew {
		client = newConnection(client)
	}
	if set, err = c.get(ctx, client, f, old); err != nil {
		err = c.shown(err)
	}
	return set, err
}

// get asks the key endpoint once. It returns a set with at least one key, or an
// error.
func (c *keyCache) get(ctx context.Context, client *http.Client, f *fetch, old *keySet) (*keySet, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.address, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	req.Header.Set("User-Agent", c.agent)
	// An answer proves what it proves only if it is as new as the request (RFC 9111
	// section 5.2.1.4).
	req.Header.Set("Cache-Control", "no-cache")
	if old != nil && old.etag != "" && !f.forKey {
		// Not for a key that isn't there: whoever answers 304 by mistake would prove it.
		req.Header.Set("If-None-Match", old.etag)
	}
	req.Close = f.anew // of HTTP/2 in a transport of the user's own making, too
	res, err := client.Do(req)
	if err != nil {
		return nil, policy.FetchError(err)
	}
	defer res.Body.Close()

	set := keySet{cached: apparentAge(res.Header, time.Now())}
	switch {
	case res.StatusCode == http.StatusNotModified && req.Header.Get("If-None-Match") != "":
		set.keys, set.etag, set.body, set.ignored, set.notModified = old.keys, old.etag, old.body, old.ignored, true
		return &set, nil
	case res.StatusCode != http.StatusOK:
		return nil, &statusError{res.Status, headerSeconds(res.Header, "Retry-After", time.Now())}
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxBody+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading the answer: %w", err)
	case len(body) > maxBody:
		return nil, fmt.Errorf("the answer has over %d bytes", maxBody)
	}
	if set.keys, set.ignored, err = jwk.ParseSet(body, old.published()); err != nil {
		contentType := res.Header.Get("Content-Type")
		if strings.HasPrefix(contentType, "text/html") {
			return nil, errors.New("the answer is an HTML page: is /oidc missing in the address?")
		}
		return nil, fmt.Errorf("%w (Content-Type %s)", err, quote.String(contentType))
	}
	set.body = bytes.Clone(body) // without what ReadAll has put aside
	if etag := res.Header.Get("ETag"); len(etag) <= maxETag {
		set.etag = etag
	}
	return &set, nil
}
