package logto

import (
	"context"
	"errors"
	"testing"
	"time"
)

// For the tests in package logto_test.

const (
	StaleAge, WaitAge, DeadAge, MaxWait = staleAge, waitAge, deadAge, maxWait
	FetchPause, RetryPause, FetchTime   = fetchPause, retryPause, fetchTime
	MaxToken, MaxKeyID, MaxBody         = maxToken, maxKeyID, maxBody
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
