package logto

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/seed-70fe37f4/logto/internal/guard"
	"github.com/seed-70fe37f4/logto/internal/jwk"
	"github.com/seed-70fe37f4/logto/internal/refusal"
	"github.com/seed-70fe37f4/logto/internal/strictjson"
)

// For the tests in package logto_test.

const (
	StaleAge, WaitAge, DeadAge, MaxWait = staleAge, waitAge, deadAge, maxWait
	FetchPause, RetryPause, FetchTime   = fetchPause, retryPause, fetchTime
	MaxHold, DoubtTime, ProofAge        = maxHold, doubtTime, proofAge
	MaxRetryAfter, MaxStuck, GiveUpTime = maxRetryAfter, maxStuck, giveUpTime
	MaxToken, MaxKeyID, MaxBody         = maxToken, jwk.MaxKeyID, maxBody
	MaxHeader                           = maxHeader
	MaxDepth                            = strictjson.MaxDepth
)

// SetWallClock makes the key set look as if the wall clock had moved by d since
// it was fetched, and the monotonic clock hadn't: the machine slept, or the clock
// was set.
func (v *Verifier) SetWallClock(d time.Duration) {
	set := *v.tenants[0].keys.set.Load()
	set.fetched.Wall = set.fetched.Wall.Add(-d)
	v.tenants[0].keys.set.Store(&set)
	v.tenants[0].keys.mu.Lock()
	defer v.tenants[0].keys.mu.Unlock()
	v.tenants[0].keys.newest.began.Wall = v.tenants[0].keys.newest.began.Wall.Add(-d)
}

// WaitForKey is what a request does that has found no such key a moment ago.
func (v *Verifier) WaitForKey(id string, issued time.Time) error {
	_, err := v.tenants[0].keys.waitFor(context.Background(), id, issued, time.Now())
	return err
}

// SetJitter sets the share of a time that may be taken off it.
func (v *Verifier) SetJitter(share float64) { v.tenants[0].keys.jitter = share }

// SetTokenClock checks that a remembered token is refused where the clock has
// gone back by d, to before it was issued.
func (v *Verifier) SetTokenClock(t *testing.T, token string, d time.Duration) {
	t.Helper()
	verified, _, err := v.verify(context.Background(), token, nil)
	if err != nil {
		t.Fatal(err)
	}
	later, claims := *verified, *verified.claims
	claims.issuedAt = claims.issuedAt.Add(d)
	later.claims = &claims
	v.tokens.add(&later)
	if _, err := v.Verify(context.Background(), token); !errors.Is(err, ErrInvalidToken) {
		t.Errorf("error %v, want ErrInvalidToken", err)
	}
}

// Remembered is how many tokens are remembered, and what they weigh.
func (v *Verifier) Remembered() (tokens, units int) { return v.tokens.lru.Len(), v.tokens.used }

// Forget takes a token out of memory, until remember.
func (v *Verifier) Forget(token string) (remember func()) {
	t, sum := v.tokens.get(token)
	v.tokens.lru.Remove(sum)
	return func() { v.tokens.add(t) }
}

// OccupyChecks runs as many signature checks as may run at once, until free.
func (v *Verifier) OccupyChecks() (free func()) {
	for range cap(v.signatures) {
		v.signatures <- struct{}{}
	}
	return func() {
		for range cap(v.signatures) {
			<-v.signatures
		}
	}
}

// Queued is how many wait for a signature check.
func (v *Verifier) Queued() int { return len(v.queued) }

var Guard = guard.Run

// Reasons is the table of reasons.
func Reasons() []*refusal.Reason { return reasons }

// For the fuzz targets.

func ParseHeader(data []byte) (algorithm, keyID string, err error) {
	h, err := parseHeader(data, accessToken.typ)
	return h.algorithm, h.keyID, err
}

func ParseClaims(data []byte) (*Claims, error) { return parseClaims(data) }

// ParseKeySet returns for each key ID the algorithms, and the public key.
func ParseKeySet(data []byte) (map[string][]string, map[string]any, error) {
	keys, _, err := jwk.ParseSet(data, nil)
	algorithms, public := map[string][]string{}, map[string]any{}
	for id, key := range keys {
		algorithms[id], public[id] = key.Algorithms(), key.Public()
	}
	return algorithms, public, err
}
