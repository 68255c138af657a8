//go:build unix

package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/logtotest"
	"github.com/seed-70fe37f4/logto/revocation"
	"github.com/seed-70fe37f4/logto/revocation/redisstore"
)

const prefix = "tenant"

type instance struct {
	*revocation.List
	resets atomic.Int32
	stop   func()
}

// join starts an instance with a client of its own.
func join(t testing.TB, c redis.UniversalClient) *instance {
	t.Helper()
	return joinStore(t, redisstore.New(c, prefix))
}

func joinStore(t testing.TB, store revocation.Store) *instance {
	t.Helper()
	i := &instance{}
	list, err := revocation.New(revocation.Config{Store: store, Logger: slog.New(slog.DiscardHandler),
		Observer: func(e revocation.Event) {
			if e.Outcome == "reset" {
				i.resets.Add(1)
			}
		}})
	if err != nil {
		t.Fatal(err)
	}
	i.List = list
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = list.Run(ctx)
	}()
	i.stop = func() { cancel(); <-done }
	t.Cleanup(i.stop)
	return i
}

// eventually waits as long as a busy machine may need: how long it takes is for
// the benchmarks.
func eventually(t testing.TB, what string, f func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	for !f() {
		if time.Since(start) > 30*time.Second {
			t.Fatalf("not within 30 s: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return time.Since(start)
}

func ready(t testing.TB, all ...*instance) {
	t.Helper()
	for _, i := range all {
		eventually(t, "ready", func() bool { return i.Ready() == nil })
	}
}

// minter mints verified claims.
type minter struct {
	issuer   *logtotest.Issuer
	verifier *logto.Verifier
}

func newMinter(t testing.TB) *minter {
	t.Helper()
	m := &minter{issuer: logtotest.NewIssuer(t)}
	cfg := m.issuer.Config()
	cfg.Leeway = 10 * time.Minute
	cfg.Logger = slog.New(slog.DiscardHandler)
	var err error
	if m.verifier, err = logto.New(cfg); err != nil {
		t.Fatal(err)
	}
	return m
}

func (m *minter) at(t testing.TB, token logtotest.Token, iat int64) *logto.Claims {
	t.Helper()
	token.Claims = map[string]any{"iat": iat, "exp": iat + 7200}
	if token.User == "" {
		token.User = "nobody"
	}
	c, err := m.verifier.Verify(context.Background(), m.issuer.Token(token))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// model is the union of all that was revoked.
type model struct {
	mu  sync.Mutex
	max map[revocation.Revocation]int64
}

func (m *model) add(rs ...revocation.Revocation) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.max == nil {
		m.max = map[revocation.Revocation]int64{}
	}
	for _, r := range rs {
		at := r.IssuedAt.Unix()
		r.IssuedAt = time.Time{}
		m.max[r] = max(m.max[r], at)
	}
}

type expectation struct {
	claims  *logto.Claims
	refused bool
	what    string
}

// expectations are tokens of the second of each cutoff, and of the next one.
func (m *model) expectations(t testing.TB, mint *minter) []expectation {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []expectation
	for r, cutoff := range m.max {
		token := logtotest.Token{User: r.Subject, Organization: r.OrganizationID, ClientID: r.ClientID}
		if r.ClientID == "" {
			token.ClientID = "none"
		}
		all = append(all, expectation{mint.at(t, token, cutoff), true, fmt.Sprint(r, " at ", cutoff)},
			expectation{mint.at(t, token, cutoff+1), false, fmt.Sprint(r, " after ", cutoff)})
	}
	return all
}

// differs gives the first expectation that isn't met.
func differs(l *instance, all []expectation) string {
	for _, e := range all {
		if err := l.Check(e.claims); errors.Is(err, logto.ErrRevoked) != e.refused {
			return fmt.Sprint(e.what, ": ", err)
		}
	}
	return ""
}

// equal waits until all instances hold the same.
func equal(t testing.TB, all []*instance, want []expectation) time.Duration {
	t.Helper()
	start := time.Now()
	for n, i := range all {
		for diff := differs(i, want); diff != ""; diff = differs(i, want) {
			if time.Since(start) > 30*time.Second {
				t.Fatalf("instance %d is not the union after 30 s: %s; %+v", n, diff, i.Status())
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	return time.Since(start)
}

// traffic asks all lists without a break. Nobody it asks for is revoked.
func traffic(t testing.TB, mint *minter, all []*instance) (stop func()) {
	bystander := mint.at(t, logtotest.Token{User: "bystander", ClientID: "none"}, time.Now().Unix()-3000)
	end := make(chan struct{})
	var wg sync.WaitGroup
	checks, longest := 0, time.Duration(0)
	wg.Go(func() {
		for {
			select {
			case <-end:
				return
			default:
			}
			for _, i := range all {
				start := time.Now()
				if err := i.Check(bystander); err != nil {
					t.Errorf("the bystander is refused: %v", err)
				}
				longest = max(longest, time.Since(start))
				checks++
			}
			time.Sleep(100 * time.Microsecond)
		}
	})
	return func() {
		close(end)
		wg.Wait()
		t.Logf("%d checks meanwhile, the longest took %v", checks, longest)
	}
}

func user(i int) revocation.Revocation {
	return revocation.Revocation{Subject: fmt.Sprint("user", i), IssuedAt: time.Now()}
}

// All kinds of revocations arrive as they were appended.
func TestKinds(t *testing.T) {
	e := startEngine(t)
	a, b := join(t, client(t, e.addr, false)), join(t, client(t, e.addr, true))
	ready(t, a, b)
	mint := newMinter(t)
	past := time.Now().Add(-time.Minute)
	var m model
	rs := []revocation.Revocation{{Subject: "alice", IssuedAt: past}, {OrganizationID: "org", IssuedAt: past}, {ClientID: "app", IssuedAt: past},
		{Subject: "Ünïcode and spaces\n", IssuedAt: past}}
	m.add(rs...)
	if err := a.Revoke(t.Context(), rs...); err != nil {
		t.Fatal(err)
	}
	equal(t, []*instance{a, b}, m.expectations(t, mint))

	c := mint.at(t, logtotest.Token{}, time.Now().Unix())
	if err := a.Revoke(t.Context(), revocation.Revocation{TokenID: c.TokenID()}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the token ID", func() bool { return errors.Is(b.Check(c), logto.ErrRevoked) })
	other := mint.at(t, logtotest.Token{}, time.Now().Unix())
	if err := b.Check(other); err != nil {
		t.Error(err)
	}
	if err := b.Revoke(t.Context(), revocation.Revocation{All: true}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all", func() bool { return errors.Is(a.Check(other), logto.ErrRevoked) })
}

// Two tenants on one engine know nothing of each other, and an empty prefix is one.
func TestPrefix(t *testing.T) {
	e := startEngine(t)
	c := client(t, e.addr, false)
	a, b, none := join(t, c), joinStore(t, redisstore.New(c, "other")), joinStore(t, redisstore.New(c, ""))
	ready(t, a, b, none)
	if err := a.Revoke(t.Context(), user(1)); err != nil {
		t.Fatal(err)
	}
	fresh := join(t, c)
	ready(t, fresh)
	if n := fresh.Status().Entries; n != 1 {
		t.Errorf("%d entries in the same tenant", n)
	}
	for _, l := range []*instance{b, none} {
		if n := l.Status().Entries; n != 0 {
			t.Errorf("%d entries in another tenant", n)
		}
	}
	// The instance that came later has left the name of the log as it was.
	time.Sleep(3 * time.Second)
	if n := a.resets.Load(); n != 0 {
		t.Errorf("%d losses noticed", n)
	}
}

// What the fields of an entry may be, by whoever writes there: nothing stops the
// others.
func TestForeignEntries(t *testing.T) {
	e := startEngine(t)
	now := fmt.Sprint(time.Now().Unix())
	for _, fields := range [][]any{{"", now}, {"s", now}, {"x", now}, {"zwhat", now}, {"salice", "soon"}, {"salice", ""}, {"salice", "99999999999999999999"}, {"a", "-1"}, {"sgood", now}} {
		e.do(append([]any{"XADD", "{logto-revocation:tenant}:log", "*"}, fields...)...)
	}
	l := join(t, client(t, e.addr, false))
	ready(t, l)
	if n := l.Status().Entries; n != 1 {
		t.Errorf("%d entries", n)
	}
	if !errors.Is(l.Check(newMinter(t).at(t, logtotest.Token{User: "good"}, time.Now().Unix()-60)), logto.ErrRevoked) {
		t.Error("the good one is not in the list")
	}
}

// The stream is trimmed to the time that is asked for, and not below.
func TestTrimming(t *testing.T) {
	e := startEngine(t)
	s := redisstore.New(client(t, e.addr, false), prefix)
	add := func(keep time.Duration, n int) {
		t.Helper()
		for i := range n {
			if err := s.Append(t.Context(), keep, user(i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	add(time.Hour, 1000)
	length := func() int64 { return e.do("XLEN", "{logto-revocation:tenant}:log").(int64) }
	if n := length(); n != 1000 {
		t.Errorf("%d entries, want 1000", n)
	}
	time.Sleep(50 * time.Millisecond)
	add(10*time.Millisecond, 10)
	if n := length(); n > 250 || n < 1 {
		t.Errorf("%d entries after trimming", n)
	}
}

// Each fault, with revocations before, during and after it.
func TestFaults(t *testing.T) {
	type world struct {
		e *engine
		p *proxy
	}
	for _, test := range []struct {
		name        string
		begin, end  func(w world)
		appendFails bool
		resets      bool
	}{
		{"stopped", func(w world) { w.e.stop() }, func(w world) { w.e.cont() }, true, false},
		{"killed and restarted empty", func(w world) { w.e.kill() }, func(w world) { w.e.start() }, true, true},
		{"restarted empty at once", func(w world) { w.e.kill(); w.e.start() }, func(w world) {}, false, true},
		{"emptied by a command", func(w world) { w.e.do("FLUSHALL") }, func(w world) {}, false, true},
		{"cut", func(w world) { w.p.set(false, true); w.p.cut() }, func(w world) { w.p.set(false, false) }, true, false},
		{"cut once", func(w world) { w.p.cut() }, func(w world) {}, false, false},
		{"stalled, new connections too", func(w world) { w.p.set(true, false); w.p.stall() }, func(w world) { w.p.set(false, false) }, true, false},
		{"stalled, new connections not", func(w world) { w.p.stall() }, func(w world) {}, false, false},
		{"half-closed towards the instances", func(w world) { w.p.halfClose(true) }, func(w world) {}, false, false},
		{"half-closed towards the engine", func(w world) { w.p.halfClose(false) }, func(w world) {}, false, false},
	} {
		for _, byDefault := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/default=%t", test.name, byDefault), func(t *testing.T) {
				e := startEngine(t)
				w := world{e, startProxy(t, e.addr)}
				mint := newMinter(t)
				var all []*instance
				for range 3 {
					all = append(all, join(t, client(t, w.p.addr(), byDefault)))
				}
				ready(t, all...)
				var m model
				revoke := func(n int, wantErr bool) {
					t.Helper()
					for i, l := range all {
						r := user(10*n + i)
						m.add(r)
						if err := l.Revoke(t.Context(), r); wantErr && err == nil {
							t.Errorf("Revoke %d at instance %d went well", n, i)
						}
					}
				}
				revoke(1, false)
				equal(t, all, m.expectations(t, mint))
				stop := traffic(t, mint, all)
				test.begin(w)
				revoke(2, test.appendFails)
				for i, l := range all {
					var own model
					own.add(user(20 + i))
					if !errors.Is(l.Check(mint.at(t, logtotest.Token{User: fmt.Sprint("user", 20+i)}, time.Now().Unix()-60)), logto.ErrRevoked) {
						t.Error("what was revoked here isn't in force here")
					}
				}
				time.Sleep(time.Duration(rand.IntN(1000)) * time.Millisecond)
				test.end(w)
				want := m.expectations(t, mint)
				took := equal(t, all, want)
				stop()
				t.Logf("caught up %v after it was back", took)
				fresh := join(t, client(t, w.e.addr, byDefault))
				ready(t, fresh)
				equal(t, []*instance{fresh}, want)
				revoke(3, false)
				equal(t, append(all, fresh), m.expectations(t, mint))
				for i, l := range all {
					if n := l.resets.Load(); (n > 0) != test.resets {
						t.Errorf("instance %d has noticed %d losses", i, n)
					}
				}
			})
		}
	}
}

// The engine comes back with an older state of the same epoch: what it lacks is
// appended again by those who have read it, not only by those who wrote it.
func TestOlderState(t *testing.T) {
	e := startEngine(t)
	mint := newMinter(t)
	writer, reader := join(t, client(t, e.addr, false)), join(t, client(t, e.addr, false))
	ready(t, writer, reader)
	var m model
	revoke := func(n int) {
		t.Helper()
		m.add(user(n))
		if err := writer.Revoke(t.Context(), user(n)); err != nil {
			t.Fatal(err)
		}
	}
	revoke(1)
	e.do("SAVE")
	revoke(2)
	equal(t, []*instance{reader}, m.expectations(t, mint))
	const log = "{logto-revocation:tenant}:log"
	last := e.do("XREVRANGE", log, "+", "-", "COUNT", 1).([]any)[0].([]any)[0]
	writer.stop()
	e.kill()
	e.start()
	// What is appended again has another ID, and may be there by now.
	if found := e.do("XRANGE", log, last, last).([]any); len(found) != 0 {
		t.Fatalf("%v: the state isn't older", found)
	}
	eventually(t, "appended again", func() bool { return e.do("XLEN", log).(int64) > 1 })
	fresh := join(t, client(t, e.addr, false))
	ready(t, fresh)
	equal(t, []*instance{fresh}, m.expectations(t, mint))
}

// Random schedules of all faults: after quiet every list equals the union of all
// that was revoked.
func TestConvergence(t *testing.T) {
	schedules := 6
	if testing.Short() {
		schedules = 1
	}
	for seed := range schedules {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(uint64(seed), 0))
			e := startEngine(t)
			p := startProxy(t, e.addr)
			mint := newMinter(t)
			var all []*instance
			for n := range 2 + r.IntN(4) {
				addr := p.addr()
				if r.IntN(2) == 0 {
					addr = e.addr
				}
				all = append(all, join(t, client(t, addr, n%2 == 0)))
			}
			ready(t, all...)
			var m model
			var calls sync.WaitGroup
			stop := traffic(t, mint, all)
			stopped, killed := false, false
			var schedule []string
			for range 40 {
				time.Sleep(time.Duration(r.ExpFloat64() * float64(100*time.Millisecond)))
				op := r.IntN(20)
				switch {
				case op == 0 && !killed:
					if stopped = !stopped; stopped {
						e.stop()
					} else {
						e.cont()
					}
				case op == 1:
					if killed = !killed; killed {
						e.kill()
						stopped = false
					} else {
						e.start()
					}
				case op == 2:
					p.cut()
				case op == 3:
					p.stall()
				case op == 4:
					p.halfClose(r.IntN(2) == 0)
				case op == 5:
					p.set(r.IntN(2) == 0, r.IntN(2) == 0)
				default:
					op = 6
					var rs []revocation.Revocation
					for range 1 + r.IntN(5) {
						one := revocation.Revocation{Subject: fmt.Sprint(r.IntN(60)), IssuedAt: time.Now().Add(-time.Duration(r.IntN(500)) * time.Second)}
						if r.IntN(3) == 0 {
							one.Subject, one.OrganizationID = "", one.Subject
						}
						rs = append(rs, one)
					}
					l := all[r.IntN(len(all))]
					m.add(rs...)
					calls.Go(func() { _ = l.Revoke(context.Background(), rs...) })
				}
				schedule = append(schedule, fmt.Sprint(op))
			}
			if killed {
				e.start()
			}
			e.cont()
			p.set(false, false)
			back := time.Now()
			want := m.expectations(t, mint)
			equal(t, all, want)
			t.Logf("schedule %s: caught up within %v", strings.Join(schedule, ""), time.Since(back))
			calls.Wait()
			stop()
			eventually(t, "nothing left to append", func() bool {
				for _, i := range all {
					if i.Status().Pending > 0 {
						return false
					}
				}
				return true
			})
			fresh := join(t, client(t, e.addr, false))
			ready(t, fresh)
			equal(t, []*instance{fresh}, want)
		})
	}
}

// A Cluster of one node: it refuses commands with keys of two slots.
func TestCluster(t *testing.T) {
	e := startEngine(t, "--cluster-enabled", "yes")
	e.do("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
	eventually(t, "the cluster is up", func() bool {
		return strings.Contains(fmt.Sprint(e.do("CLUSTER", "INFO")), "cluster_state:ok")
	})
	newClient := func() redis.UniversalClient {
		c := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{e.addr}, ContextTimeoutEnabled: true})
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	a, b := join(t, newClient()), join(t, newClient())
	ready(t, a, b)
	mint := newMinter(t)
	var m model
	for i := range 20 {
		m.add(user(i))
		if err := a.Revoke(t.Context(), user(i)); err != nil {
			t.Fatal(err)
		}
	}
	equal(t, []*instance{a, b}, m.expectations(t, mint))
	// Both keys are lost together, or not.
	keys := e.do("KEYS", "*").([]any)
	if len(keys) != 2 || e.do("CLUSTER", "KEYSLOT", keys[0]) != e.do("CLUSTER", "KEYSLOT", keys[1]) {
		t.Errorf("keys %q", keys)
	}
	// What one Append puts into several entries.
	var many []revocation.Revocation
	for i := range 2500 {
		many = append(many, user(i))
	}
	if err := b.Revoke(t.Context(), many...); err != nil {
		t.Fatal(err)
	}
	eventually(t, "2500 entries", func() bool { return a.Status().Entries == 2500 })
}

// emptied empties the engine after the first command of a name.
type emptied struct {
	e    *engine
	name string
	once sync.Once
}

func (h *emptied) DialHook(next redis.DialHook) redis.DialHook { return next }
func (h *emptied) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
func (h *emptied) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if strings.EqualFold(cmd.Name(), h.name) {
			h.once.Do(func() { h.e.do("FLUSHALL") })
		}
		return err
	}
}

// The engine is emptied when its epoch has just been set: no list goes on without
// one, or it would notice no loss from then on.
func TestEmptiedWhileConnecting(t *testing.T) {
	e := startEngine(t)
	c := client(t, e.addr, false)
	c.AddHook(&emptied{e: e, name: "setnx"})
	c.AddHook(&emptied{e: e, name: "set"})
	l := join(t, c)
	ready(t, l)
	if n := l.resets.Load(); n != 1 {
		t.Errorf("%d losses noticed, want 1", n)
	}
}

// A connection over which nothing comes is given up, long before the client's own
// timeouts (10 s after BLOCK, four times 3 s for a write).
func TestStalledIsGivenUp(t *testing.T) {
	e := startEngine(t)
	p := startProxy(t, e.addr)
	s := redisstore.New(client(t, p.addr(), true), prefix)
	upToDate := make(chan struct{})
	var once sync.Once
	returned := make(chan error)
	go func() {
		returned <- s.Follow(context.Background(), "", func(string, []revocation.Revocation) { once.Do(func() { close(upToDate) }) })
	}()
	<-upToDate
	p.set(true, false)
	p.stall()
	start := time.Now()
	if err := s.Append(context.Background(), time.Hour, user(1)); err == nil {
		t.Error("Append went well")
	}
	if err := <-returned; err == nil {
		t.Error("Follow went well")
	}
	if took := time.Since(start); took > 8*time.Second {
		t.Errorf("given up after %v", took)
	}
}

// The copy is called up to date when all is there, however much that is.
func TestSnapshot(t *testing.T) {
	e := startEngine(t)
	s := redisstore.New(client(t, e.addr, false), prefix)
	const n = 2500
	for i := range n {
		if err := s.Append(t.Context(), time.Hour, user(i)); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	got := 0
	_ = s.Follow(ctx, "", func(_ string, rs []revocation.Revocation) {
		if got += len(rs); len(rs) == 0 {
			cancel()
		}
	})
	if got != n {
		t.Errorf("up to date with %d of %d", got, n)
	}
}
