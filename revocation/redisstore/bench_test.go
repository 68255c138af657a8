//go:build unix

package redisstore_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/logtotest"
	"github.com/seed-70fe37f4/logto/revocation"
	"github.com/seed-70fe37f4/logto/revocation/redisstore"
)

func TestMain(m *testing.M) {
	logging.Disable() // the client writes a line for each connection refused
	os.Exit(m.Run())
}

// watched calls seen after what Follow gave was applied.
type watched struct {
	revocation.Store
	seen func(revocation.Revocation)
}

func (w *watched) Follow(ctx context.Context, after string, apply func(string, []revocation.Revocation)) error {
	return w.Store.Follow(ctx, after, func(cursor string, rs []revocation.Revocation) {
		apply(cursor, rs)
		for _, r := range rs {
			w.seen(r)
		}
	})
}

func report(b *testing.B, name string, all []time.Duration) {
	if len(all) == 0 {
		return
	}
	slices.Sort(all)
	at := func(q float64) time.Duration { return all[int(q*float64(len(all)-1))] }
	b.ReportMetric(float64(at(0.5).Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(at(0.99).Microseconds())/1000, "p99-ms")
	b.ReportMetric(0, "ns/op")
	b.Logf("%s, %d measured: min %v, p10 %v, p50 %v, p90 %v, p99 %v, p99.9 %v, max %v", name, len(all),
		at(0), at(0.1), at(0.5), at(0.9), at(0.99), at(0.999), at(1))
}

// BenchmarkSpread: from the webhook's arrival at one of 20 instances to the
// refusal by each of them.
func BenchmarkSpread(b *testing.B) {
	const instances = 20
	e := startEngine(b)
	mint := newMinter(b)
	iat := time.Now().Unix()
	claims := make([]*logto.Claims, 300)
	for i := range claims {
		claims[i] = mint.at(b, logtotest.Token{User: fmt.Sprint("user", i)}, iat)
	}
	var mu sync.Mutex
	var all []time.Duration
	var start time.Time
	var expect string
	var arrived sync.WaitGroup
	var list []*instance
	for n := range instances {
		l := joinStore(b, &watched{redisstore.New(client(b, e.addr, false), prefix), func(r revocation.Revocation) {
			mu.Lock()
			defer mu.Unlock()
			if r.Subject != expect {
				return
			}
			var i int
			_, _ = fmt.Sscanf(r.Subject, "user%d", &i)
			if err := list[n].Check(claims[i%len(claims)]); !errors.Is(err, logto.ErrRevoked) {
				b.Errorf("%s is not refused: %v", r.Subject, err)
			}
			all = append(all, time.Since(start))
			arrived.Done()
		}})
		mu.Lock()
		list = append(list, l)
		mu.Unlock()
	}
	ready(b, list...)
	const key = "key"
	h := list[0].Webhook(key)
	i := 0
	for b.Loop() {
		u := fmt.Sprint("user", i%len(claims))
		// Each time a later second, or it would be no news.
		body := fmt.Sprintf(`{"event":"User.SuspensionStatus.Updated","createdAt":%q,"params":{"userId":%q},"data":{"isSuspended":true}}`,
			time.Unix(iat+int64(i/len(claims)), 0).UTC().Format(time.RFC3339), u)
		mac := hmac.New(sha256.New, []byte(key))
		mac.Write([]byte(body))
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.Header.Set("logto-signature-sha-256", hex.EncodeToString(mac.Sum(nil)))
		w := httptest.NewRecorder()
		arrived.Add(instances)
		mu.Lock()
		start, expect = time.Now(), u
		mu.Unlock()
		h.ServeHTTP(w, r)
		if w.Code != 200 || w.Body.String() != "revoked\n" {
			b.Fatal(w.Code, w.Body)
		}
		arrived.Wait()
		i++
		time.Sleep(2 * time.Millisecond) // apart, as webhooks come
	}
	report(b, "webhook to refusal, 20 instances", all)
}

// BenchmarkNewInstance: with 100 000 entries, each appended alone, as webhooks do.
func BenchmarkNewInstance(b *testing.B) {
	const n = 100_000
	e := startEngine(b)
	c := client(b, e.addr, false)
	now := time.Now().Unix()
	for start := 0; start < n; start += 1000 {
		if _, err := c.Pipelined(b.Context(), func(p redis.Pipeliner) error {
			for i := range 1000 {
				p.XAdd(b.Context(), &redis.XAddArgs{Stream: "{logto-revocation:" + prefix + "}:log", Values: []string{fmt.Sprintf("s%012x", (start+i)*7919), fmt.Sprint(now)}})
			}
			return nil
		}); err != nil {
			b.Fatal(err)
		}
	}
	var took []time.Duration
	var heap uint64
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		start := time.Now()
		l := join(b, client(b, e.addr, false))
		for l.Ready() != nil {
			time.Sleep(time.Millisecond)
		}
		took = append(took, time.Since(start))
		if got := l.Status().Entries; got != n {
			b.Fatalf("%d entries", got)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		heap = after.HeapAlloc - before.HeapAlloc
		l.stop()
		runtime.KeepAlive(l)
	}
	report(b, "start to ready with 100 000 entries", took)
	b.ReportMetric(float64(heap)/(1<<20), "MiB")
	for line := range strings.Lines(fmt.Sprint(e.do("INFO", "memory"))) {
		if strings.HasPrefix(line, "used_memory_human") {
			b.Log("the engine has", strings.TrimSpace(line))
		}
	}
}

// BenchmarkRecovery: from the engine's return to the moment at which each of 5
// instances holds what was revoked at each of the others meanwhile.
func BenchmarkRecovery(b *testing.B) {
	for name, fault := range map[string]func(e *engine, p *proxy) (end func()){
		"stopped":   func(e *engine, p *proxy) func() { e.stop(); return e.cont },
		"restarted": func(e *engine, p *proxy) func() { e.kill(); return e.start },
		"cut":       func(e *engine, p *proxy) func() { p.set(false, true); p.cut(); return func() { p.set(false, false) } },
		"stalled":   func(e *engine, p *proxy) func() { p.set(true, false); p.stall(); return func() { p.set(false, false) } },
	} {
		for _, byDefault := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/default=%t", name, byDefault), func(b *testing.B) {
				e := startEngine(b)
				p := startProxy(b, e.addr)
				mint := newMinter(b)
				var all []*instance
				for range 5 {
					all = append(all, join(b, client(b, p.addr(), byDefault)))
				}
				ready(b, all...)
				var took []time.Duration
				n := 0
				for b.Loop() {
					end := fault(e, p)
					var m model
					var calls sync.WaitGroup
					for _, l := range all {
						n++
						r := user(n)
						m.add(r)
						calls.Go(func() { _ = l.Revoke(context.Background(), r) })
					}
					time.Sleep(3*time.Second + time.Duration(n%7)*130*time.Millisecond)
					calls.Wait()
					want := m.expectations(b, mint)
					end()
					took = append(took, equal(b, all, want))
				}
				report(b, "back to caught up", took)
			})
		}
	}
}
