// Package revocation takes Logto's access tokens back before they expire. A JWT
// is good until its exp: a user who was suspended, deleted or expelled goes on
// for up to an hour. A List refuses such tokens at once. It learns of them from
// Logto's webhooks, and holds all that it knows in memory: a request costs a
// look-up and never waits for a network.
//
//	list, err := revocation.New(revocation.Config{})
//	…
//	v, err := logto.New(logto.Config{…, Revoked: list.Check})
//	…
//	mux.Handle("POST /logto/webhook", list.Webhook(os.Getenv("LOGTO_SIGNING_KEY")))
//
// That is all for one process. Several share a [Store], for example that of
// package redisstore; then [List.Run] has to run in each of them.
//
// What is revoked is time, not tokens: all that were issued to a user until then.
// A user who is unsuspended needs no further event, for new tokens are newer.
package revocation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/internal/clock"
	"github.com/seed-70fe37f4/logto/internal/loglimit"
)

// The errors of this package, to be told apart by errors.Is. That a token is
// revoked is [logto.ErrRevoked].
var (
	// ErrStale: the copy of the store is older than Config.MaxStale, or there is
	// none yet. It is a logto.ErrUnavailable and says nothing against the client.
	ErrStale = fmt.Errorf("%w: revocation: the list is not up to date", logto.ErrUnavailable)
	// ErrReset is what a Store's Follow returns if its log has lost what came
	// before the cursor: it is a new one, or an older one.
	ErrReset = errors.New("revocation: the store has lost entries")
)

const (
	defaultLifetime = 24 * time.Hour
	// leeway is the most that logto.Config.Leeway can be.
	leeway = 10 * time.Minute
	// ahead is how far a cutoff can lie ahead of our clock. Who has got hold of a
	// signing key can lock out for that long, not until 9999.
	ahead = 10 * time.Minute
	// clocks is the difference between two instances' clocks that does no harm.
	clocks = 10 * time.Minute
	// minStale is well above the time in which a store is found to be lost and
	// connected to anew.
	minStale = 5 * time.Second
	// firstCopy is how long Await waits at most.
	firstCopy = time.Second
	// maxEntries bounds the list, at about 150 bytes each.
	maxEntries = 1_000_000
	// longestLife is the most that a token's life counts, in seconds: ten years.
	longestLife = 10 * 365 * 24 * 3600
	// maxID is the longest ID in bytes: a client_id may be a URL of 2048 characters.
	maxID = 8 << 10
)

// Revocation revokes tokens that were issued until a time. Exactly one of Subject,
// OrganizationID, ClientID, TokenID and All says which.
type Revocation struct {
	Subject        string // sub: a user's ID, or for a machine the application's
	OrganizationID string // the organization that a token is bound to: logto.Claims.OrganizationID
	ClientID       string // client_id: the application that asked for the token
	TokenID        string // jti: one token
	All            bool   // every token of the tenant

	// IssuedAt is the time until which tokens are refused, those of the same
	// second included: iat has whole seconds. For Revoke, zero is the later of now
	// and the newest iat that Check has seen. It can't be over 10 minutes ahead.
	IssuedAt time.Time
}

// Config says how long a List remembers and with whom it shares. The zero value
// is good for one process.
type Config struct {
	// Lifetime is the longest lifetime of an access token in Logto: of each API
	// resource in the console, there in minutes. Revocations are kept for that
	// long and 10 minutes more. 0 is 24 hours; too long costs memory, too short
	// forgets a revocation that is still needed. A list that is shown a token with a
	// longer life logs an error and keeps its revocations for that long from then on.
	Lifetime time.Duration

	// Store is what several instances share. Nil is none: then the list is empty
	// after a restart.
	Store Store

	// MaxStale, if set, is the oldest copy of the store that tokens are accepted
	// by: beyond it, and before the first copy, Check returns ErrStale for every
	// token that isn't known to be revoked, and requests get 503. Then an outage
	// of the store is an outage of the API. 0 is never: the last list goes on
	// serving, as each token would have lived until its exp without a list. At
	// least 5 seconds; it needs a Store.
	MaxStale time.Duration

	// Map, if set, is asked what else a webhook revokes: it gets the event's name
	// and the body, which Logto has signed. A zero IssuedAt is the event's
	// createdAt. It can't take back what the list makes of an event by itself; see
	// Webhook. Strangers can cause Identifier.Lockout, Message.RateLimited and
	// failed sign-ins: revoke nothing for these. It must be safe for concurrent use.
	Map func(event string, body []byte) []Revocation

	// Observer, if set, is called for each webhook and logout, each call of Revoke and each
	// change of the store's state. It must be quick, and safe for concurrent use.
	Observer func(Event)

	// Logger gets a line for each webhook and for what happens to the store. Of
	// what strangers can cause, at most 10 a kind in 10 s. Nil is slog.Default()
	// at the time of the line.
	Logger *slog.Logger
}

// Event is what Config.Observer gets. Kind and Outcome are of small closed sets,
// whatever is sent, and fit for a metric's labels.
type Event struct {
	// Kind is the name of the event in a webhook (those of Logto 1.42, else
	// "other"), "unverified" for a request that isn't known to come from Logto,
	// "logout" for a logout token, "call" for Revoke, "store", or "list".
	Kind string

	// Outcome is for a webhook or a call: "revoked"; "unchanged" if all of it was
	// in force before; "nothing" if such an event revokes nobody; "unknown" if
	// it is none of Logto 1.42; "test" for the console's test button; "old" if no
	// token that it is about can be alive; "store_failed" if it is in force here
	// but the store didn't take it in time (it is tried again); "malformed";
	// "failed" if Config.Map, or Logout's function, gave a revocation that is none;
	// For "unverified": "unauthorized", "refused" (method, size, time, a logout token
	// that came before) or "unavailable" (a logout token can't be verified now). For "store": "copied" when
	// the copy is up to date for the first time or again, "lost", "reset",
	// "stale". For "list": "folded".
	Outcome string

	// Revocations is how many were new.
	Revocations int

	// Err is what went wrong, if anything did. Its text is for a log, not a label.
	Err error
}

// Status is the state of a List, for a status page and for metrics.
type Status struct {
	Entries int           // in the list; some of them may have had their time
	Pending int           // of these, not known to be in the store
	Copied  bool          // the store was copied once; true without a Store
	Age     time.Duration // since the copy was last up to date; 0 without one
	Err     error         // why it isn't up to date now; nil if it is
}

// List is a list of revocations. It is made by New and safe for concurrent use.
type List struct {
	cfg   Config
	limit int

	// What Check reads. It never locks, and what it reads changes rarely.
	gate     atomic.Int64 // a token issued later passes: the newest cutoff, or with stale no token
	issued   atomic.Int64 // the newest iat that was seen
	lifetime atomic.Int64 // of tokens, in seconds: the longest that is known of
	stale    atomic.Bool
	newest   [kinds]atomic.Int64 // cutoff of each kind
	table    atomic.Pointer[table]

	mu        sync.Mutex // guards what changes the list, and all below
	rebuilt   time.Time
	pending   map[*entry]struct{} // not known to be in the store
	urgent    []*entry            // somebody waits for these; some may not be pending
	appending *appending
	appends   int // started so far
	marks     int // how often the store was found to lack something

	running    bool
	generation int    // of Follow
	cursor     string // of the store
	contact    clock.Instant
	copied     chan struct{} // closed by the first copy
	following  bool          // up to date, and Follow has not returned since
	storeErr   error
	lost       time.Time // since when there is no contact; zero if there is
	lostLogged time.Time
	staleTimer *time.Timer
	kick       chan struct{} // wakes what appends the pending ones

	log loglimit.Log
	// large lets one large body in at a time.
	large chan struct{}
}

// New checks the configuration. It does no I/O. Errors tell what to change.
func New(cfg Config) (*List, error) {
	switch {
	case cfg.Lifetime < 0:
		return nil, fmt.Errorf("revocation: Config.Lifetime is %v: want the longest lifetime of an access token in Logto, or 0", cfg.Lifetime)
	case cfg.MaxStale != 0 && cfg.Store == nil:
		return nil, errors.New("revocation: Config.MaxStale needs a Store: a list without one can't be out of date")
	case cfg.MaxStale != 0 && cfg.MaxStale < minStale:
		return nil, fmt.Errorf("revocation: Config.MaxStale is %v: want at least %v, in which a lost store can be connected to anew, or 0", cfg.MaxStale, minStale)
	}
	if cfg.Lifetime == 0 {
		cfg.Lifetime = defaultLifetime
	}
	l := &List{cfg: cfg, limit: maxEntries, rebuilt: time.Now(), pending: map[*entry]struct{}{},
		copied: make(chan struct{}), kick: make(chan struct{}, 1), large: make(chan struct{}, 1)}
	l.log.Logger, l.log.Summary, l.log.Kind = l.logger, "revocation: lines left out", "kind"
	l.lifetime.Store(int64((cfg.Lifetime + time.Second - 1) / time.Second))
	for k := range l.newest {
		l.newest[k].Store(math.MinInt64)
	}
	l.table.Store(newTable())
	if cfg.Store == nil {
		close(l.copied)
	}
	l.setStale(cfg.MaxStale != 0)
	return l, nil
}

func (l *List) logger() *slog.Logger {
	if l.cfg.Logger != nil {
		return l.cfg.Logger
	}
	return slog.Default()
}

func (l *List) observe(e Event) {
	if l.cfg.Observer != nil {
		l.cfg.Observer(e)
	}
}

// Check is for logto.Config.Revoked. The error is a [logto.ErrRevoked] if the
// token was issued in or before the second in which its subject, organization,
// application, its ID or all were revoked, and ErrStale as Config.MaxStale
// says. It does no I/O and waits for nothing. The claims are verified ones: their
// iat counts as a time that has come.
func (l *List) Check(c *logto.Claims) error {
	iat := c.IssuedAt().Unix()
	if c.ExpiresAt().Unix()-iat > l.lifetime.Load() {
		l.learn(c, iat)
	}
	if iat > l.issued.Load() {
		raise(&l.issued, iat)
	}
	if iat > l.gate.Load() {
		return nil
	}
	return l.check(c, iat)
}

func (l *List) check(c *logto.Claims, iat int64) error {
	table := l.table.Load() // one for all kinds: bound moves entries from one kind to another
	for k := range kinds {
		if iat > l.newest[k].Load() {
			continue
		}
		id := ""
		switch k {
		case subject:
			id = c.Subject()
		case organization:
			id = c.OrganizationID()
		case client:
			id = c.ClientID()
		case tokenID:
			id = c.TokenID()
		}
		if id == "" && k != everything {
			continue
		}
		if err := table.refuses(k, id, iat); err != nil {
			return err
		}
	}
	// Who acts in the subject's name is a user, too.
	if actor := c.Actor(); actor != "" && iat <= l.newest[subject].Load() {
		if err := table.refuses(subject, actor, iat); err != nil {
			return err
		}
	}
	if l.stale.Load() {
		return ErrStale
	}
	return nil
}

// learn keeps revocations for as long as the token lives, if that is longer than
// was configured.
func (l *List) learn(c *logto.Claims, iat int64) {
	life := min(c.ExpiresAt().Unix()-iat+1, longestLife) // either may have a fraction
	if life <= l.lifetime.Load()+1 {
		return
	}
	if raise(&l.lifetime, life) {
		l.logger().Error("revocation: a token lives longer than Config.Lifetime: set it to the longest lifetime of an API resource",
			"lifetime", l.cfg.Lifetime, "token_lifetime", time.Duration(life)*time.Second)
	}
}

// raise reports whether to was lower.
func raise(at *atomic.Int64, to int64) bool {
	for {
		old := at.Load()
		if to <= old {
			return false
		}
		if at.CompareAndSwap(old, to) {
			return true
		}
	}
}

// revoked is a logto.ErrRevoked. Its text is made only if it is read.
type revoked struct {
	kind        kind
	iat, cutoff int64
}

var kindNames = [kinds]string{everything: "all", subject: "subject", organization: "organization", client: "application", tokenID: "token ID"}

func (e *revoked) Error() string {
	return fmt.Sprintf("%s: tokens issued until %s are revoked, and this one was at %s", kindNames[e.kind], stamp(e.cutoff), stamp(e.iat))
}

func (e *revoked) Unwrap() error { return logto.ErrRevoked }

func stamp(seconds int64) string { return time.Unix(seconds, 0).UTC().Format(time.RFC3339) }

// Revoke puts revocations into force, here at once and in all instances by the
// Store, which it waits for until ctx ends, 2 s at most. The error tells that
// one of them is none, and then nothing was done; or that the store has not taken
// them: they are in force here all the same and Run tries again. It does nothing
// for those whose tokens have all expired.
func (l *List) Revoke(ctx context.Context, revocations ...Revocation) error {
	changed, alive, err := l.revoke(ctx, revocations)
	e := Event{Kind: "call", Outcome: outcome(changed, alive, err), Revocations: changed, Err: err}
	if errors.Is(err, errNone) {
		e.Outcome = "malformed"
	}
	l.observe(e)
	attrs := []any{"outcome", e.Outcome, "revocations", changed}
	if err != nil {
		l.logger().Warn("revocation: Revoke", append(attrs, "error", err)...)
	} else {
		l.logger().Info("revocation: Revoke", attrs...)
	}
	return err
}

func outcome(changed, alive int, err error) string {
	switch {
	case err != nil:
		return "store_failed"
	case alive == 0:
		return "old"
	case changed == 0:
		return "unchanged"
	}
	return "revoked"
}

// errNone: it is no revocation.
var errNone = errors.New("revocation: not a revocation")

// target is what a revocation is about.
func (r Revocation) target() (kind, string, error) {
	k, id, n := everything, "", 0
	if r.All {
		n = 1
	}
	for _, one := range [...]struct {
		kind kind
		id   string
	}{{subject, r.Subject}, {organization, r.OrganizationID}, {client, r.ClientID}, {tokenID, r.TokenID}} {
		if one.id != "" {
			k, id = one.kind, one.id
			n++
		}
	}
	switch {
	case n != 1:
		return 0, "", fmt.Errorf("%w: want exactly one of Subject, OrganizationID, ClientID, TokenID and All", errNone)
	case len(id) > maxID || !utf8.ValidString(id):
		return 0, "", fmt.Errorf("%w: the ID is over %d bytes or no UTF-8", errNone, maxID)
	}
	return k, id, nil
}

func (e *entry) revocation() Revocation {
	r := Revocation{IssuedAt: time.Unix(e.cutoff.Load(), 0)}
	switch e.kind {
	case everything:
		r.All = true
	case subject:
		r.Subject = e.id
	case organization:
		r.OrganizationID = e.id
	case client:
		r.ClientID = e.id
	case tokenID:
		r.TokenID = e.id
	}
	return r
}

// revoke also tells how many were new, and how many were not in vain.
func (l *List) revoke(ctx context.Context, revocations []Revocation) (changed, alive int, err error) {
	for _, r := range revocations {
		if _, _, err := r.target(); err != nil {
			return 0, 0, err
		}
	}
	var entries []*entry
	clamped := false
	now := time.Now()
	l.mu.Lock()
	for _, r := range revocations {
		k, id, _ := r.target()
		cutoff := r.IssuedAt.Unix()
		if r.IssuedAt.IsZero() {
			cutoff = max(now.Unix(), l.issued.Load())
		}
		if most := now.Add(ahead).Unix(); cutoff > most {
			cutoff, clamped = most, true
		}
		if l.over(cutoff, now) {
			continue
		}
		alive++
		e, isNew := l.put(k, id, cutoff, now)
		if isNew {
			changed++
			e.own = now.Unix()
			if l.cfg.Store != nil {
				l.pending[e] = struct{}{}
			}
		}
		entries = append(entries, e)
	}
	folded := l.bound(now)
	l.mu.Unlock()
	l.report(folded)
	if clamped {
		l.log.Line(context.Background(), slog.LevelError, "clamped", "revocation: a revocation is over 10 minutes ahead and was cut to that: is this clock behind Logto's?",
			func() []slog.Attr { return []slog.Attr{slog.String("here", stamp(now.Unix()))} })
	}
	if l.cfg.Store != nil {
		err = l.awaitAppended(ctx, entries)
	}
	return changed, alive, err
}

// over reports whether every token that was issued until the cutoff has expired.
func (l *List) over(cutoff int64, now time.Time) bool {
	return now.Unix() >= cutoff+l.lifetime.Load()+int64(leeway/time.Second)
}

// put merges one revocation by the maximum and reports whether it was news. The
// entry is there before the gate lets it be asked for. With l.mu.
func (l *List) put(k kind, id string, cutoff int64, now time.Time) (*entry, bool) {
	t := l.table.Load()
	e := t.find(k, id)
	switch {
	case e == nil:
		if t.full() {
			t = l.rebuild(now)
		}
		e = t.newEntry(k, id, cutoff)
		t.add(e)
	case !raise(&e.cutoff, cutoff):
		return e, false
	}
	if raise(&l.newest[k], cutoff) {
		l.setGate()
	}
	return e, true
}

func (l *List) setGate() {
	gate := int64(math.MinInt64)
	for k := range l.newest {
		gate = max(gate, l.newest[k].Load())
	}
	if l.stale.Load() {
		gate = math.MaxInt64
	}
	l.gate.Store(gate)
}

// setStale is called with l.mu, but by New.
func (l *List) setStale(stale bool) {
	l.stale.Store(stale)
	l.setGate()
}

// rebuild drops what has had its time and makes room for as much again as is
// left. Those who read the old table meanwhile miss nothing. With l.mu.
func (l *List) rebuild(now time.Time) *table {
	old := l.table.Load()
	var keep []*entry
	old.all(func(e *entry) {
		if l.over(e.cutoff.Load(), now) {
			delete(l.pending, e)
		} else {
			keep = append(keep, e)
		}
	})
	t := old.sized(2 * len(keep))
	for _, e := range keep {
		t.add(e)
	}
	l.table.Store(t)
	l.rebuilt = now
	return t
}

// bound keeps the list in its bounds, after something was put in: an eighth of
// the lifetime after the last time, it drops what has had its time; and of too
// many, it folds the oldest eighth into one entry for all tokens, at the newest
// cutoff among them. So nothing is forgotten, and too much is refused. It tells
// how many were folded, for report. With l.mu.
func (l *List) bound(now time.Time) int {
	t := l.table.Load()
	lifetime := time.Duration(l.lifetime.Load()) * time.Second
	if now.Sub(l.rebuilt) >= max(lifetime/8, time.Minute) || t.used > l.limit {
		t = l.rebuild(now)
	}
	if t.used <= l.limit {
		return 0
	}
	var cutoffs []int64
	t.all(func(e *entry) { cutoffs = append(cutoffs, e.cutoff.Load()) })
	slices.Sort(cutoffs)
	cutoff := cutoffs[len(cutoffs)/8]
	all, _ := l.put(everything, "", cutoff, now)
	next, folded := t.sized(len(cutoffs)), 0
	l.table.Load().all(func(e *entry) {
		if e == all || e.cutoff.Load() > cutoff {
			next.add(e)
			return
		}
		folded++
		if _, ok := l.pending[e]; ok {
			// The other instances would never hear of it.
			delete(l.pending, e)
			l.pending[all] = struct{}{}
		}
	})
	l.table.Store(next)
	return folded
}

// report is called without l.mu, which the observer may want.
func (l *List) report(folded int) {
	if folded > 0 {
		l.logger().Error("revocation: too many entries: the oldest were folded into one for all tokens; more is refused than was revoked",
			"folded", folded, "all_until", stamp(l.newest[everything].Load()))
		l.observe(Event{Kind: "list", Outcome: "folded", Revocations: folded})
	}
}

// Ready reports whether the list is as complete as it will be: the error is
// ErrStale until the store was copied for the first time, and whenever Check
// returns it. Otherwise a list stays ready in an outage of its store, so that a
// readiness probe doesn't end the service too. Without a Store it is always ready.
func (l *List) Ready() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if isClosed(l.copied) && !l.stale.Load() {
		return nil
	}
	if l.storeErr != nil {
		return fmt.Errorf("%w: %w", ErrStale, l.storeErr)
	}
	return ErrStale
}

// Await waits until the list is Ready, until ctx ends, 1 s at most: for a
// service that wants its first request to be checked against the whole list, but
// wants to start without it as well. The error is Ready's. [List.Run] must run.
func (l *List) Await(ctx context.Context) error {
	timer := time.NewTimer(firstCopy)
	defer timer.Stop()
	select {
	case <-l.copied:
	case <-timer.C:
	case <-ctx.Done():
	}
	return l.Ready()
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// Status tells what is known, at once.
func (l *List) Status() Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Status{Entries: l.table.Load().used, Pending: len(l.pending), Copied: isClosed(l.copied), Err: l.storeErr}
	if !l.contact.IsZero() {
		s.Age = l.age(time.Now())
	}
	return s
}

// age is how old the copy is. With l.mu.
func (l *List) age(now time.Time) time.Duration { return max(l.contact.Until(now), 0) }
