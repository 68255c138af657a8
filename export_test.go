package logto

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"
)

// For the tests in package logto_test.

const (
	StaleAge, WaitAge, DeadAge, MaxWait = staleAge, waitAge, deadAge, maxWait
	FetchPause, RetryPause, FetchTime   = fetchPause, retryPause, fetchTime
	MaxToken, MaxKeyID, MaxBody         = maxToken, maxKeyID, maxBody
	MaxHeader                           = maxHeader
	MaxDepth                            = maxDepth
)

// SetWallClock makes the key set look as if the wall clock had moved by d since
// it was fetched, and the monotonic clock hadn't: the machine slept, or the clock
// was set.
func (v *Verifier) SetWallClock(d time.Duration) {
	set := *v.keys.set.Load()
	set.fetched.wall = set.fetched.wall.Add(-d)
	v.keys.set.Store(&set)
	v.keys.mu.Lock()
	defer v.keys.mu.Unlock()
	v.keys.started.wall = v.keys.started.wall.Add(-d)
}

// SetTokenClock checks that a remembered token is refused where the clock has
// gone back by d, to before it was issued.
func (v *Verifier) SetTokenClock(t *testing.T, token string, d time.Duration) {
	t.Helper()
	claims, err := v.Verify(context.Background(), token)
	if err != nil {
		t.Fatal(err)
	}
	later := *claims
	later.issuedAt = later.issuedAt.Add(d)
	_, sum := v.tokens.get(token)
	v.tokens.add(sum, &later)
	if _, err := v.Verify(context.Background(), token); !errors.Is(err, ErrInvalidToken) {
		t.Errorf("error %v, want ErrInvalidToken", err)
	}
}

// OccupyChecks runs as many signature checks as may run at once, until free.
func (v *Verifier) OccupyChecks() (free func()) {
	for range cap(v.checks) {
		v.checks <- struct{}{}
	}
	return func() {
		for range cap(v.checks) {
			<-v.checks
		}
	}
}

// For the fuzz targets.

func BearerToken(h http.Header) (string, error) {
	token, err := bearerToken(h)
	if err == nil && !isToken68(token) {
		return "", errCredentials
	}
	return token, err
}

func ParseHeader(data []byte) (algorithm, keyID string, err error) {
	h, err := parseHeader(data)
	return h.algorithm, h.keyID, err
}

func ParseClaims(data []byte) (*Claims, error) { return parseClaims(data) }

// ParseKeySet returns for each key ID the algorithms, and the public key.
func ParseKeySet(data []byte) (map[string][]string, map[string]any, error) {
	keys, _, err := parseKeySet(data, nil)
	algorithms, public := map[string][]string{}, map[string]any{}
	for id, key := range keys {
		algorithms[id] = key.algorithms
		if key.ec != nil {
			public[id] = key.ec
		} else {
			public[id] = key.rsa
		}
	}
	return algorithms, public, err
}
