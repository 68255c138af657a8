package revocation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/seed-70fe37f4/logto/internal/clock"
	"github.com/seed-70fe37f4/logto/internal/guard"
)

// Store is a log that several instances share: each appends what it revokes, and
// each follows all that is appended. Lists merge by the maximum, so the log may
// give an entry twice and in any order. Package redisstore has one by Redis or
// Valkey Streams. All instances of one log belong to one tenant of Logto and have
// the same Config.Lifetime.
//
// Methods are called from several goroutines, but neither of them twice at once,
// as long as they return when their context ends.
type Store interface {
	// Append adds revocations, each with a target and an IssuedAt of whole
	// seconds, at most 1000. The log keeps them for the time keep, or longer. It
	// returns when ctx ends; an append that then still happens does no harm.
	Append(ctx context.Context, keep time.Duration, revocations ...Revocation) error

	// Follow calls apply with all that is kept, or what was appended after the
	// cursor unless that is "", then with what comes, until ctx ends or the
	// connection is lost, and returns why. The cursor that goes with revocations
	// is where to go on after them; its form is the Store's own.
	//
	// It calls apply without revocations when there is nothing more to be had, and
	// then at least once a second: the copy's age counts from there. It returns
	// ErrReset if the log has lost what came before the cursor, also while it
	// follows: then every list appends again all that it holds.
	Follow(ctx context.Context, after string, apply func(cursor string, revocations []Revocation)) error
}

const (
	// appendTimeout is for one Append, storeTimeout for all that a caller waits.
	appendTimeout = 1500 * time.Millisecond
	storeTimeout  = 2 * time.Second
	batchSize     = 1000
	// maxUrgent bounds what is appended before a backlog, not what is appended.
	maxUrgent = 10 * batchSize
	// quiet is how long Follow may call nothing: three of the calls that it owes.
	quiet = 3 * time.Second
	// leaving is how long it may take to return when its context has ended.
	leaving = time.Second
	// maxFollows bounds the calls of Follow that don't return.
	maxFollows = 4
	// The pause before Follow is called again, doubled from one to the other.
	firstPause = 50 * time.Millisecond
	maxPause   = 400 * time.Millisecond
	// recent is for how long the own entries are appended again after the
	// connection was lost: a failover may have dropped them.
	recent = 5 * time.Minute
	// lostPause is between two log lines that tell of one outage.
	lostPause = time.Minute
)

var (
	errQuiet    = errors.New("revocation: the store's Follow has called nothing for 3 s")
	errReturned = errors.New("revocation: the store's Follow has returned nil")
	errRunning  = errors.New("revocation: Run is running already")
)

// Run copies the store and follows it until ctx ends; then it returns nil. It
// must run in every process that has a Store: without it the list hears of
// nothing that others revoke, and what the store couldn't take is not tried
// again. Whatever happens to the store, it goes on trying, with pauses of less
// than half a second. Without a Store it does nothing until ctx ends. The error
// tells that Run is running already.
func (l *List) Run(ctx context.Context) error {
	if l.cfg.Store == nil {
		<-ctx.Done()
		return nil
	}
	l.mu.Lock()
	if l.running {
		l.mu.Unlock()
		return errRunning
	}
	l.running = true
	l.mu.Unlock()
	appended := make(chan struct{})
	go func() {
		defer close(appended)
		l.appendPending(ctx)
	}()
	follows := make(chan struct{}, maxFollows)
	pause := firstPause
	for ctx.Err() == nil {
		err := l.follow(ctx, follows)
		if ctx.Err() != nil {
			break
		}
		if l.disconnected(err) {
			pause = firstPause
		}
		timer := time.NewTimer(pause/2 + rand.N(pause/2))
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		pause = min(2*pause, maxPause)
	}
	<-appended
	l.mu.Lock()
	l.running, l.following = false, false
	l.generation++ // a Follow that is still there says nothing about the copy's age
	l.mu.Unlock()
	return nil
}

// follow calls Follow once. It returns when that has returned, or has called
// nothing for too long.
func (l *List) follow(ctx context.Context, follows chan struct{}) error {
	select {
	case follows <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	l.mu.Lock()
	l.generation++
	generation, cursor := l.generation, l.cursor
	l.mu.Unlock()
	watchdog := time.AfterFunc(quiet, func() { cancel(errQuiet) })
	defer watchdog.Stop()
	returned := make(chan error, 1)
	go func() {
		returned <- guard.Call(func() error {
			defer func() { <-follows }()
			return l.cfg.Store.Follow(ctx, cursor, func(cursor string, revocations []Revocation) {
				if l.apply(generation, cursor, revocations) {
					watchdog.Reset(quiet)
				}
			})
		})
	}()
	select {
	case err := <-returned:
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err == nil:
			return errReturned
		}
		return err
	case <-ctx.Done():
	}
	timer := time.NewTimer(leaving)
	defer timer.Stop()
	select {
	case <-returned:
		return context.Cause(ctx)
	case <-timer.C:
		return fmt.Errorf("%w, and doesn't return", context.Cause(ctx))
	}
}

// apply takes what Follow gives. It reports whether that is the Follow that
// counts; what another one gives late is merged as well, for it is true.
func (l *List) apply(generation int, cursor string, revocations []Revocation) bool {
	now := time.Now()
	l.mu.Lock()
	counts := generation == l.generation
	for _, r := range revocations {
		k, id, err := r.target()
		if err != nil || r.IssuedAt.IsZero() {
			continue // no instance appends such a thing
		}
		// Others have clamped it by their clocks. What is further ahead was put
		// there by other means, and locks nobody out for longer than they could.
		cutoff := min(r.IssuedAt.Unix(), now.Add(ahead+clocks).Unix())
		if l.over(cutoff, now) {
			continue
		}
		e, _ := l.put(k, id, cutoff, now)
		if counts && e.cutoff.Load() <= cutoff {
			delete(l.pending, e) // the store has it
		}
	}
	folded := l.bound(now)
	if counts {
		l.cursor = cursor
	}
	if !counts || len(revocations) > 0 {
		l.mu.Unlock()
		l.report(folded)
		return counts
	}
	news := !l.following
	if news {
		// A failover may have dropped what was appended before it.
		since := int64(math.MinInt64)
		if !l.contact.IsZero() {
			since = l.contact.Wall.Add(-recent).Unix()
		}
		l.markPending(func(e *entry) bool { return e.own != 0 && e.own >= since })
	}
	outage := time.Duration(0)
	if !l.lost.IsZero() {
		outage = now.Sub(l.lost)
	}
	l.following, l.contact, l.lost, l.storeErr = true, clock.At(now), time.Time{}, nil
	if !isClosed(l.copied) {
		close(l.copied)
	}
	if l.stale.Load() {
		l.setStale(false)
	}
	if l.cfg.MaxStale > 0 {
		if l.staleTimer == nil {
			l.staleTimer = time.AfterFunc(l.cfg.MaxStale, l.expire)
		} else {
			l.staleTimer.Reset(l.cfg.MaxStale)
		}
	}
	entries, pending := l.table.Load().used, len(l.pending)
	l.mu.Unlock()
	l.report(folded)
	if pending > 0 {
		select {
		case l.kick <- struct{}{}:
		default:
		}
	}
	if news {
		l.logState(slog.LevelInfo, "copied", "revocation: the list is up to date with the store", slog.Int("entries", entries), slog.Int("to_append", pending), slog.Duration("outage", outage.Round(time.Millisecond)))
		l.observeState("copied", nil)
	}
	return true
}

// logState writes a line about the store, on a goroutine of the list's.
func (l *List) logState(level slog.Level, kind, message string, attrs ...slog.Attr) {
	guard.Run(l.logger, func() {
		l.log.Line(context.Background(), level, kind, message, func() []slog.Attr { return attrs })
	})
}

// observeState is observe, on a goroutine of the list's.
func (l *List) observeState(outcome string, err error) {
	guard.Run(l.logger, func() { l.observe(Event{Kind: "store", Outcome: outcome, Err: err}) })
}

// markPending notes that the store may lack entries that it had, and that an
// Append which is under way may be in vain. With l.mu.
func (l *List) markPending(which func(*entry) bool) {
	l.marks++
	l.table.Load().all(func(e *entry) {
		if which(e) {
			l.pending[e] = struct{}{}
		}
	})
}

// expire notes that the copy is too old.
func (l *List) expire() {
	l.mu.Lock()
	stale := !l.stale.Load() && l.age(time.Now()) >= l.cfg.MaxStale
	if stale {
		l.setStale(true)
	}
	err := l.storeErr
	l.mu.Unlock()
	if stale {
		l.logState(slog.LevelError, "stale", "revocation: the copy of the store is older than Config.MaxStale: no token is accepted", slog.Any("error", err))
		l.observeState("stale", err)
	}
}

// disconnected notes why Follow has ended. It reports whether the list was up to
// date before.
func (l *List) disconnected(err error) bool {
	now := time.Now()
	reset := errors.Is(err, ErrReset)
	l.mu.Lock()
	was := l.following
	l.following, l.storeErr = false, err
	first := l.lost.IsZero()
	if first {
		l.lost = now
	}
	if reset {
		l.cursor = ""
		l.markPending(func(*entry) bool { return true })
	}
	age, entries := time.Duration(0), l.table.Load().used
	if !l.contact.IsZero() {
		age = l.age(now)
	}
	l.mu.Unlock()
	if l.cfg.MaxStale > 0 && age >= l.cfg.MaxStale {
		l.expire() // the machine may have slept, and the timer with it
	}
	switch {
	case reset:
		l.logState(slog.LevelWarn, "reset", "revocation: the store has lost entries: what this list holds is appended again", slog.Int("entries", entries))
		l.observeState("reset", err)
	case was || first:
		l.nextLost(now)
		l.logState(slog.LevelWarn, "lost", "revocation: the store is lost; the list as it is goes on serving", slog.Int("entries", entries), slog.Duration("age", age.Round(time.Millisecond)), slog.Any("error", err))
		l.observeState("lost", err)
	case l.nextLost(now):
		l.logState(slog.LevelError, "lost", "revocation: the store is still lost; the list as it is goes on serving", slog.Int("entries", entries), slog.Duration("age", age.Round(time.Millisecond)), slog.Any("error", err))
	}
	return was
}

// nextLost reports whether it is time for another line about one outage.
func (l *List) nextLost(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.lostLogged) < lostPause {
		return false
	}
	l.lostLogged = now
	return true
}

// appendPending appends what the store doesn't have, whenever there is contact.
func (l *List) appendPending(ctx context.Context) {
	for {
		select {
		case <-l.kick:
		case <-ctx.Done():
			return
		}
		for ctx.Err() == nil {
			l.mu.Lock()
			if len(l.pending) == 0 {
				l.mu.Unlock()
				break
			}
			a := l.append()
			l.mu.Unlock()
			select {
			case <-a.done:
			case <-ctx.Done():
			}
			if a.failed() {
				break // until Follow has contact
			}
		}
	}
}

// appending is one Append under way, which all that have something to append
// wait for.
type appending struct {
	number int
	done   chan struct{}
	err    error // once done is closed
}

func (a *appending) failed() bool { return isClosed(a.done) && a.err != nil }

// append starts an Append with as much of what is pending as goes into one, what
// somebody waits for first, unless one is under way. It gives the one that is. So
// a store that hangs holds one goroutine, however many webhooks come. With l.mu.
func (l *List) append() *appending {
	if l.appending != nil {
		return l.appending
	}
	var entries []*entry
	taken := map[*entry]bool{}
	take := func(e *entry) {
		if _, ok := l.pending[e]; ok && !taken[e] {
			entries = append(entries, e)
			taken[e] = true
		}
	}
	for n := len(l.urgent); n > 0 && len(entries) < batchSize; n-- {
		take(l.urgent[n-1]) // the newest first: older callers may have left
		l.urgent = l.urgent[:n-1]
	}
	for e := range l.pending {
		if len(entries) == batchSize {
			break
		}
		take(e)
	}
	revocations, cutoffs := make([]Revocation, len(entries)), make([]int64, len(entries))
	for i, e := range entries {
		revocations[i] = e.revocation()
		cutoffs[i] = revocations[i].IssuedAt.Unix()
	}
	keep := time.Duration(l.lifetime.Load())*time.Second + leeway + ahead + clocks
	l.appends++
	marks := l.marks
	a := &appending{number: l.appends, done: make(chan struct{})}
	l.appending = a
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), appendTimeout)
		defer cancel()
		a.err = guard.Call(func() error { return l.cfg.Store.Append(ctx, keep, revocations...) })
		l.mu.Lock()
		if a.err == nil && marks == l.marks {
			for i, e := range entries {
				if e.cutoff.Load() == cutoffs[i] {
					delete(l.pending, e)
				}
			}
		}
		l.appending = nil
		l.mu.Unlock()
		close(a.done)
	}()
	return a
}

// awaitAppended waits until the store has the entries. A failure counts only of
// an Append that began after the call: an earlier one may have hung since before
// the store recovered.
func (l *List) awaitAppended(ctx context.Context, entries []*entry) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	l.mu.Lock()
	defer l.mu.Unlock()
	earlier := l.appends
	if l.urgent = append(l.urgent, entries...); len(l.urgent) > maxUrgent {
		l.urgent = slices.Clone(l.urgent[len(l.urgent)-maxUrgent:])
	}
	for {
		if !slices.ContainsFunc(entries, func(e *entry) bool { _, ok := l.pending[e]; return ok }) {
			return nil
		}
		a := l.append()
		l.mu.Unlock()
		var err error
		select {
		case <-a.done:
			err = a.err
		case <-ctx.Done():
			err = ctx.Err()
		}
		l.mu.Lock()
		if ctx.Err() != nil || err != nil && a.number > earlier {
			return fmt.Errorf("revocation: in force here, but the store has not taken it: %w", err)
		}
	}
}
