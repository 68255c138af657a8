package revocation_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/seed-70fe37f4/logto/revocation"
)

var errDown = errors.New("the store is down")

// memStore is a Store in memory with the faults of an engine. Its cursor is the
// epoch and the number of an entry.
type memStore struct {
	mu    sync.Mutex
	epoch int
	next  int
	log   []memEntry

	down    bool // every call fails, and every connection is cut
	hang    bool // every call waits for the end of its context
	deaf    bool // Follow ignores its context while it is set
	mute    bool // Follow gives nothing
	follows int
	appends int // calls
	taken   int // revocations
}

type memEntry struct {
	number int
	r      revocation.Revocation
}

func (s *memStore) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// lose drops the newest n entries, as a failover does, and with them all there is.
func (s *memStore) lose(n int) { s.log = s.log[:max(0, len(s.log)-n)] }

// restart is a restart of an engine without persistence.
func (s *memStore) restart() { s.epoch, s.log = s.epoch+1, nil }

func (s *memStore) Append(ctx context.Context, keep time.Duration, rs ...revocation.Revocation) error {
	s.mu.Lock()
	s.appends++
	down, hang := s.down, s.hang
	s.mu.Unlock()
	switch {
	case down:
		return errDown
	case hang:
		<-ctx.Done()
		return ctx.Err()
	case len(rs) == 0 || len(rs) > 1000:
		panic(fmt.Sprintf("Append of %d", len(rs)))
	}
	time.Sleep(time.Millisecond)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range rs {
		if r.IssuedAt.IsZero() || r.IssuedAt.Nanosecond() != 0 {
			panic(fmt.Sprint("Append of ", r.IssuedAt))
		}
		s.next++
		s.taken++
		s.log = append(s.log, memEntry{s.next, r})
	}
	return nil
}

func (s *memStore) Follow(ctx context.Context, after string, apply func(string, []revocation.Revocation)) error {
	s.mu.Lock()
	s.follows++
	epoch, at := s.epoch, 0
	if was, number, ok := strings.Cut(after, "/"); ok {
		epoch, _ = strconv.Atoi(was)
		at, _ = strconv.Atoi(number)
	}
	found := at == 0
	for _, e := range s.log {
		found = found || e.number == at
	}
	s.mu.Unlock()
	if !found {
		return revocation.ErrReset
	}
	for {
		var rs []revocation.Revocation
		s.mu.Lock()
		down, hang, deaf, mute := s.down, s.hang, s.deaf, s.mute
		reset := epoch != s.epoch
		for _, e := range s.log {
			if e.number > at && !reset && !hang && !down {
				rs = append(rs, e.r)
				if at = e.number; len(rs) == 100 {
					break
				}
			}
		}
		s.mu.Unlock()
		cursor := fmt.Sprint(epoch, "/", at)
		switch {
		case ctx.Err() != nil && !deaf:
			return ctx.Err()
		case down:
			return errDown
		case hang || mute || deaf:
			// Not a word.
		case reset:
			return revocation.ErrReset
		default:
			if len(rs) > 0 {
				apply(cursor, rs)
			}
			if len(rs) < 100 {
				apply(cursor, nil)
			}
		}
		if len(rs) < 100 {
			time.Sleep(20 * time.Millisecond)
		}
	}
}
