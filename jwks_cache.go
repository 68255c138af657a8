package logto

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/big"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwk"
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
	url      string
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
	keys    map[string]*publicKey
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
		c.Transport = &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
			ForceAttemptHTTP2:      true,
			TLSHandshakeTimeout:    5 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
			// A connection is needed every few minutes, and each that is kept
			// open keeps two goroutines.
			DisableKeepAlives: true,
		}
	}
	c.CheckRedirect = checkRedirect
	return &keyCache{url: url, client: &c, logger: logger, observer: observer}
}

func checkRedirect(req *http.Request, via []*http.Request) error {
	last := via[len(via)-1].URL
	switch {
	case len(via) > 3:
		return errors.New("more than 3 redirects")
	case req.URL.Host != last.Host:
		return fmt.Errorf("redirect to another host, %s", cut(req.URL.Host))
	case last.Scheme == "https" && req.URL.Scheme != "https":
		return errors.New("redirect from https to http")
	}
	return nil
}

// key returns the key with the given ID, fetching the key set if need be.
func (c *keyCache) key(ctx context.Context, id string) (*publicKey, error) {
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

// fetchKey is for a key that isn't there: it waits for a fetch.
func (c *keyCache) fetchKey(ctx context.Context, id string, now time.Time) (*publicKey, error) {
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
	return &refusal{kind: ErrKeysUnavailable, reason: reasonKeys, text: "no usable key set from " + c.url, cause: cause}
}

func unknownKey(id string) error {
	return refuse(ErrInvalidToken, reasonUnknownKey, "the key set has no key %s: the token is from another Logto, or its key was rotated out", cut(id))
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

	var before, after map[string]*publicKey
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
func missing(a, b map[string]*publicKey) []string {
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
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	return c.get(ctx, old)
}

// get asks the key endpoint once. It returns a set with at least one key, or an
// error; and why keys were ignored.
func (c *keyCache) get(ctx context.Context, old *keySet) (*keySet, []string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url, nil)
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	if old != nil && old.etag != "" {
		req.Header.Set("If-None-Match", old.etag)
	}
	res, err := c.client.Do(req)
	if err != nil {
		return nil, nil, fmt.Errorf("%w (if Logto has another name from here, as in a container, set Config.JWKSURL)", err)
	}
	defer res.Body.Close()

	var set keySet
	switch {
	case res.StatusCode == http.StatusNotModified && req.Header.Get("If-None-Match") != "":
		set = *old
		set.notModified = true
		return &set, nil, nil
	case res.StatusCode != http.StatusOK:
		return nil, nil, fmt.Errorf("the answer is %s", cut(res.Status))
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxBody+1))
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("reading the answer: %w", err)
	case len(body) > maxBody:
		return nil, nil, fmt.Errorf("the answer has over %d bytes", maxBody)
	}
	var before map[string]*publicKey
	if old != nil {
		before = old.keys
	}
	keys, ignored, err := parseKeySet(body, before)
	if err != nil {
		contentType := res.Header.Get("Content-Type")
		if strings.HasPrefix(contentType, "text/html") {
			return nil, nil, errors.New("the answer is an HTML page: is /oidc missing in the address?")
		}
		return nil, nil, fmt.Errorf("%w (Content-Type %s)", err, cut(contentType))
	}
	set.keys = keys
	if etag := res.Header.Get("ETag"); len(etag) <= maxETag {
		set.etag = etag
	}
	return &set, ignored, nil
}

// parseKeySet reads a JWK Set (RFC 7517 section 5). Keys that can't be used are
// skipped one by one, so that a new type of key does not disable the others. A
// key that was there before stays the same *publicKey.
func parseKeySet(body []byte, before map[string]*publicKey) (map[string]*publicKey, []string, error) {
	keys := map[string]*publicKey{}
	var ignored []string
	ignore := func(id string, err error) {
		if len(ignored) < 10 {
			ignored = append(ignored, fmt.Sprintf("key %s: %v", cut(id), err))
		}
	}
	ambiguous := map[string]bool{}
	found := false
	err := scanOuter(body, false, func(name, value string) error {
		if name != "keys" {
			return nil
		}
		found = true
		return scanArray(value, func(value string) error {
			// parseKey scans again, strictly.
			id, key, err := parseKey(value)
			old := keys[id]
			switch {
			case errors.Is(err, errNotPublic):
				ambiguous[id] = true // and what else goes by this ID is known to all
				ignore(id, err)
			case err != nil:
				ignore(id, err)
			case old != nil && old.sameKey(key):
				if len(key.algorithms) < len(old.algorithms) {
					keys[id] = key
				}
			case old != nil:
				ambiguous[id] = true
			default:
				keys[id] = key
			}
			return nil
		})
	})
	for id := range ambiguous {
		if keys[id] != nil {
			delete(keys, id)
			ignore(id, errors.New("its ID is not unique"))
		}
	}
	for id, key := range keys {
		if old := before[id]; old != nil && old.equal(key) {
			keys[id] = old
		}
	}
	switch {
	case err != nil || !found:
		return nil, nil, errors.New("the answer is no JWK Set")
	case len(keys) == 0:
		return nil, nil, fmt.Errorf("the answer has no usable key %v", ignored)
	}
	return keys, ignored, nil
}

// publicKey is a key that may verify tokens. It doesn't change.
type publicKey struct {
	id         string
	algorithms []string // it decides, not the token (RFC 8725 section 3.1)
	ec         *ecdsa.PublicKey
	rsa        *rsa.PublicKey
}

const (
	minRSABits = 2048 // RFC 7518 section 3.3
	maxRSABits = 8192 // more is no stronger, only slower
)

// supported are the algorithms that Logto may sign with.
var supported = []string{"ES384", "ES256", "ES512", "RS256", "PS256"}

// privateMembers are those of a secret key (RFC 7518 section 6): one that is
// published is known to everybody.
var privateMembers = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"}

var errNotPublic = errors.New("it is not public")

// parseKey reads one JWK and says why it can't be used.
func parseKey(jwkJSON string) (id string, key *publicKey, err error) {
	var kty, crv, alg string
	var members []string
	err = scanObject([]byte(jwkJSON), func(name, value string) error {
		members = append(members, name)
		text, ok := unquote(value)
		switch name {
		case "kty":
			kty = text
		case "crv":
			crv = text
		case "kid":
			id = text
		case "alg":
			alg = text
		case "use":
			ok = ok && text == "sig"
		case "key_ops":
			ok = hasVerify(value)
		default:
			ok = true
		}
		if !ok {
			return fmt.Errorf("member %s is %s", name, cut(value))
		}
		return nil
	})
	if err != nil {
		return id, nil, err
	}
	for _, name := range privateMembers {
		if slices.Contains(members, name) {
			return id, nil, fmt.Errorf("%w: member %s", errNotPublic, name)
		}
	}
	if id == "" || len(id) > maxKeyID {
		return id, nil, errors.New("it has no usable kid")
	}
	key = &publicKey{id: id}
	switch kty + crv {
	case "ECP-256":
		key.algorithms = []string{"ES256"}
	case "ECP-384":
		key.algorithms = []string{"ES384"}
	case "ECP-521":
		key.algorithms = []string{"ES512"}
	case "RSA":
		key.algorithms = []string{"RS256", "PS256"}
	default:
		return id, nil, fmt.Errorf("type %s curve %s", cut(kty), cut(crv))
	}
	if slices.Contains(members, "alg") {
		if !key.allows(alg) {
			return id, nil, fmt.Errorf("algorithm %s: want %s", cut(alg), strings.Join(key.algorithms, " or "))
		}
		key.algorithms = []string{alg}
	}
	return id, key, key.parse(jwkJSON)
}

func hasVerify(value string) bool {
	found := false
	err := scanArray(value, func(value string) error {
		op, ok := unquote(value)
		if !ok {
			return errJSON
		}
		found = found || op == "verify"
		return nil
	})
	return err == nil && found
}

// parse takes the key itself out of the JWK and checks that it is a sound one.
func (k *publicKey) parse(jwkJSON string) error {
	parsed, err := jwk.ParseKey([]byte(jwkJSON))
	if err != nil {
		return err
	}
	var raw any
	if err := parsed.Raw(&raw); err != nil {
		return err
	}
	switch raw := raw.(type) {
	case *ecdsa.PublicKey:
		k.ec = raw
		if _, err := raw.ECDH(); err != nil {
			return errors.New("the point is not on the curve")
		}
	case *rsa.PublicKey:
		k.rsa = raw
		// jwx cuts e to an int; what it cut is not the key that was published.
		e := new(big.Int).SetBytes(parsed.(jwk.RSAPublicKey).E())
		switch bits := raw.N.BitLen(); {
		case bits < minRSABits || bits > maxRSABits || raw.N.Bit(0) == 0:
			return fmt.Errorf("RSA modulus of %d bits: want an odd one of %d to %d", bits, minRSABits, maxRSABits)
		case e.BitLen() > 31 || e.Bit(0) == 0 || e.Cmp(big.NewInt(3)) < 0:
			return errors.New("RSA exponent: want an odd one from 3 to 2^31 - 1")
		}
	default:
		return fmt.Errorf("type %T", raw)
	}
	return nil
}

func (k *publicKey) allows(algorithm string) bool { return slices.Contains(k.algorithms, algorithm) }

func (k *publicKey) equal(other *publicKey) bool {
	return slices.Equal(k.algorithms, other.algorithms) && k.sameKey(other)
}

// sameKey leaves the algorithms aside.
func (k *publicKey) sameKey(other *publicKey) bool {
	if k.ec != nil {
		return other.ec != nil && k.ec.Equal(other.ec)
	}
	return other.rsa != nil && k.rsa.Equal(other.rsa)
}

// signatureSize is the only length, in bytes, that a signature by k can have
// (RFC 7518 sections 3.3, 3.4).
func (k *publicKey) signatureSize() int {
	if k.ec != nil {
		return 2 * ((k.ec.Params().BitSize + 7) / 8)
	}
	return k.rsa.Size()
}

// verify checks a signature of the right size by an algorithm that k allows.
func (k *publicKey) verify(algorithm, signingInput string, signature []byte) bool {
	if k.ec != nil {
		half := len(signature) / 2
		r, s := new(big.Int).SetBytes(signature[:half]), new(big.Int).SetBytes(signature[half:])
		return ecdsa.Verify(k.ec, digest(algorithm, signingInput), r, s)
	}
	sum := digest(algorithm, signingInput)
	if algorithm == "PS256" {
		// RFC 7518 section 3.5: the salt is as long as the hash.
		return rsa.VerifyPSS(k.rsa, crypto.SHA256, sum, signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
	}
	return rsa.VerifyPKCS1v15(k.rsa, crypto.SHA256, sum, signature) == nil
}

func digest(algorithm, signingInput string) []byte {
	switch algorithm {
	case "ES384":
		sum := sha512.Sum384([]byte(signingInput))
		return sum[:]
	case "ES512":
		sum := sha512.Sum512([]byte(signingInput))
		return sum[:]
	default:
		sum := sha256.Sum256([]byte(signingInput))
		return sum[:]
	}
}
