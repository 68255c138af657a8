// Package redisstore lets the instances of a service share their revocations by
// Redis (6.0 or later) or Valkey: it is a [revocation.Store] by one stream.
//
//	client := redis.NewUniversalClient(&redis.UniversalOptions{
//		Addrs:                 []string{"redis:6379"},
//		ContextTimeoutEnabled: true,
//		MaxRetries:            -1,
//	})
//	list, err := revocation.New(revocation.Config{Store: redisstore.New(client, "my-tenant")})
//	…
//	go list.Run(ctx)
//
// No request waits for the engine: it is the log that each list is copied from.
package redisstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/seed-70fe37f4/logto/revocation"
)

const (
	// block is how long XREAD waits, and so how often the copy is confirmed. With
	// replyTime and the list's pause it is less than 2 s: in that time a connection
	// that is stalled is given up and another one made.
	block     = 500 * time.Millisecond
	replyTime = time.Second
	// again is when a call that has no answer is made a second time.
	again = 250 * time.Millisecond
	// readCount is how many entries of the stream XREAD gives at most, and perEntry
	// how many revocations are in one.
	readCount = 1000
	perEntry  = 10
)

type store struct {
	client redis.UniversalClient
	stream string // of entries: a letter and the ID -> the cutoff in Unix seconds
	epoch  string // a random string, which is gone when the stream is
	newest atomic.Int64
}

// New makes a store of two keys: a stream, and a string that changes when the
// stream is lost. Both are in one slot of a Cluster. The prefix is for one tenant
// of Logto; nothing else may write to these keys, for whoever can write there can
// refuse every token, or forget that one was. It does no I/O.
//
// A client of its own, with ContextTimeoutEnabled and without retries, as in the
// example of the package, is best: it gives a stalled connection up at once. With
// other options up to 20 connections of its pool can be held by one that is, for up
// to 12 s; and a failover of the engine within the milliseconds between an append
// and its arrival may go unnoticed. Reads must go to the master: leave ReadOnly,
// RouteByLatency, RouteRandomly and ReplicaOnly unset.
//
// The stream is trimmed by each append to the time that the list asks for, by the
// engine's clock. The engine needs no persistence: an empty one is filled again by
// the instances. It must not evict: maxmemory-policy noeviction or volatile-*.
func New(client redis.UniversalClient, prefix string) revocation.Store {
	tag := "{logto-revocation:" + prefix + "}"
	return &store{client: client, stream: tag + ":log", epoch: tag + ":epoch"}
}

// Append adds the revocations and trims what is older than keep.
func (s *store) Append(ctx context.Context, keep time.Duration, revocations ...revocation.Revocation) error {
	_, err := within(ctx, 2*replyTime, again, func(ctx context.Context) (struct{}, error) {
		var added []*redis.StringCmd
		_, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
			for some := range slices.Chunk(revocations, perEntry) {
				args := &redis.XAddArgs{Stream: s.stream, Values: encode(some)}
				if newest := s.newest.Load(); newest > 0 {
					args.MinID, args.Approx = strconv.FormatInt(max(newest-keep.Milliseconds(), 0), 10), true
				}
				added = append(added, p.XAdd(ctx, args))
			}
			return nil
		})
		for _, cmd := range added {
			s.saw(cmd.Val())
		}
		return struct{}{}, err
	})
	return err
}

// Follow copies the stream and goes on with what is added.
func (s *store) Follow(ctx context.Context, after string, apply func(cursor string, revocations []revocation.Revocation)) error {
	epoch, id, known := strings.Cut(after, " ")
	if !known {
		epoch, id = "", "0"
		// Whichever instance is first at an empty engine names it.
		if _, err := within(ctx, replyTime, again, func(ctx context.Context) (bool, error) {
			return s.client.SetNX(ctx, s.epoch, rand.Text(), 0).Result()
		}); err != nil {
			return err
		}
	}
	epoch, err := s.check(ctx, epoch, id)
	if err != nil {
		return err
	}
	checked, upToDate := time.Now(), false
	for {
		wait, blocked := time.Duration(-1), time.Duration(0) // without BLOCK: an answer at once
		if upToDate {
			wait, blocked = block, block
		}
		streams, err := within(ctx, blocked+replyTime, blocked+again, func(ctx context.Context) ([]redis.XStream, error) {
			return s.client.XRead(ctx, &redis.XReadArgs{Streams: []string{s.stream, id}, Count: readCount, Block: wait}).Result()
		})
		if err != nil && !errors.Is(err, redis.Nil) {
			return err
		}
		n := 0
		var revocations []revocation.Revocation
		for _, stream := range streams {
			for _, entry := range stream.Messages {
				id = entry.ID
				n++
				revocations = decode(revocations, entry.Values)
			}
		}
		s.saw(id)
		if len(revocations) > 0 {
			apply(epoch+" "+id, revocations)
		}
		if upToDate = n < readCount; !upToDate {
			continue
		}
		// Here as well: the engine may have been emptied by a command, or the
		// client may have found another one.
		if n == 0 || time.Since(checked) > block {
			if _, err := s.check(ctx, epoch, id); err != nil {
				return err
			}
			checked = time.Now()
		}
		apply(epoch+" "+id, nil)
	}
}

// check asks whether the log is still the one in which the cursor stands: of the
// same epoch, and with the entry of the cursor, which an older state of the same
// log hasn't. An entry may also be missing because it was trimmed; then all that
// was before it has had its time.
func (s *store) check(ctx context.Context, epoch, id string) (string, error) {
	type answer struct {
		epoch string
		found bool
	}
	got, err := within(ctx, replyTime, again, func(ctx context.Context) (answer, error) {
		var name *redis.StringCmd
		var entries *redis.XMessageSliceCmd
		_, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
			name = p.Get(ctx, s.epoch)
			if id != "0" {
				entries = p.XRangeN(ctx, s.stream, id, id, 1)
			}
			return nil
		})
		if err != nil && !errors.Is(err, redis.Nil) {
			return answer{}, err
		}
		return answer{name.Val(), id == "0" || len(entries.Val()) > 0}, nil
	})
	switch {
	case err != nil:
		return "", err
	case got.epoch == "" || epoch != "" && got.epoch != epoch || !got.found:
		return "", fmt.Errorf("%w: epoch %q, the entry at the cursor is there: %t", revocation.ErrReset, got.epoch, got.found)
	}
	return got.epoch, nil
}

// saw notes the engine's time, which the IDs of entries begin with.
func (s *store) saw(id string) {
	milliseconds, _, _ := strings.Cut(id, "-")
	now, _ := strconv.ParseInt(milliseconds, 10, 64)
	for {
		old := s.newest.Load()
		if now <= old || s.newest.CompareAndSwap(old, now) {
			return
		}
	}
}

// encode gives the fields of an entry.
func encode(revocations []revocation.Revocation) []string {
	fields := make([]string, 0, 2*len(revocations))
	for _, r := range revocations {
		field := "a"
		switch {
		case r.Subject != "":
			field = "s" + r.Subject
		case r.OrganizationID != "":
			field = "o" + r.OrganizationID
		case r.ClientID != "":
			field = "c" + r.ClientID
		case r.TokenID != "":
			field = "j" + r.TokenID
		}
		fields = append(fields, field, strconv.FormatInt(r.IssuedAt.Unix(), 10))
	}
	return fields
}

// decode passes over fields that it doesn't know: a later version may have them.
func decode(to []revocation.Revocation, fields map[string]any) []revocation.Revocation {
	for field, value := range fields {
		text, _ := value.(string)
		cutoff, err := strconv.ParseInt(text, 10, 64)
		if err != nil || field == "" {
			continue
		}
		r := revocation.Revocation{IssuedAt: time.Unix(cutoff, 0)}
		switch id := field[1:]; field[0] {
		case 'a':
			r.All = true
		case 's':
			r.Subject = id
		case 'o':
			r.OrganizationID = id
		case 'c':
			r.ClientID = id
		case 'j':
			r.TokenID = id
		default:
			continue
		}
		to = append(to, r)
	}
	return to
}

// within returns when f does, when ctx ends or after d. A client that doesn't
// look at its context goes on for a while and is waited for by nobody: its own
// timeouts end it. After the time again f is called once more and the first
// success counts: the first call may have got a connection of the pool that is
// stalled, and nothing here is harmed by being done twice.
func within[T any](ctx context.Context, d, again time.Duration, f func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 2)
	call := func() {
		value, err := f(ctx)
		done <- result{value, err}
	}
	go call()
	second := time.NewTimer(again)
	defer second.Stop()
	running := 1
	for {
		select {
		case r := <-done:
			if running--; r.err == nil || errors.Is(r.err, redis.Nil) || running == 0 {
				return r.value, r.err
			}
		case <-second.C:
			running++
			go call()
		case <-ctx.Done():
			var none T
			return none, fmt.Errorf("redisstore: no answer: %w", context.Cause(ctx))
		}
	}
}
