package otellogto_test

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-70fe37f4/logto/logtotest"
	"github.com/seed-70fe37f4/logto/observers/internal/hostile"
	"github.com/seed-70fe37f4/logto/observers/internal/labels"
	"github.com/seed-70fe37f4/logto/observers/otellogto"
	"github.com/seed-70fe37f4/logto/revocation"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// revocations are Revocations with what they set as the Observer.
type revocations struct {
	*otellogto.Revocations
	Observe func(revocation.Event)
}

func newRevocations(t testing.TB, constant ...attribute.KeyValue) (revocations, *sdkmetric.ManualReader) {
	t.Helper()
	reader := sdkmetric.NewManualReader()
	var cfg revocation.Config
	m, err := otellogto.InstrumentRevocations(&cfg, sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)), constant...)
	if err != nil {
		t.Fatal(err)
	}
	return revocations{m, cfg.Observer}, reader
}

func newList(t testing.TB, cfg revocation.Config) *revocation.List {
	t.Helper()
	cfg.Logger = slog.New(slog.DiscardHandler)
	list, err := revocation.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// store has been copied once, and hangs from then on.
type store struct{}

func (store) Append(ctx context.Context, _ time.Duration, _ ...revocation.Revocation) error {
	<-ctx.Done()
	return ctx.Err()
}

func (store) Follow(ctx context.Context, after string, apply func(string, []revocation.Revocation)) error {
	if after == "" {
		apply("copied", nil)
	}
	<-ctx.Done()
	return ctx.Err()
}

func TestRevocationsNil(t *testing.T) {
	calls := 0
	cfg := revocation.Config{Observer: func(revocation.Event) { calls++ }}
	if _, err := otellogto.InstrumentRevocations(&cfg, nil); err == nil {
		t.Error("no provider: no error")
	}
	if _, err := otellogto.InstrumentRevocations(nil, noop.NewMeterProvider()); err == nil {
		t.Error("no Config: no error")
	}
	if _, err := otellogto.InstrumentRevocations(&cfg, noop.NewMeterProvider()); err != nil {
		t.Fatal(err)
	}
	hostile.RevocationEvents(cfg.Observer, 1)
	if calls == 0 {
		t.Error("the former Observer had no calls")
	}
}

// Webhooks, and a request that the list refuses.
func TestRevocations(t *testing.T) {
	m, reader := newRevocations(t)
	list := newList(t, revocation.Config{Observer: m.Observe})
	compare(t, reader)
	m.Watch(list)
	gauges := func(entries string) []string {
		return []string{"logto.revocation.copy.age{} 0", "logto.revocation.entry.count{} " + entries}
	}
	after := []string{"logto.revocation.pending.count{} 0", "logto.revocation.ready{} 1"}
	compare(t, reader, slices.Concat(gauges("0"), after)...)

	checks, checkReader := newMetrics(t)
	issuer := logtotest.NewIssuer(t)
	cfg := issuer.Config()
	cfg.Observer, cfg.Revoked = checks.Observe, list.Check
	v := newVerifier(t, cfg)
	token := issuer.Token(logtotest.Token{User: "alice"})
	h := list.Webhook(issuer.SigningKey())
	h.ServeHTTP(httptest.NewRecorder(), issuer.Suspend("alice"))
	h.ServeHTTP(httptest.NewRecorder(), issuer.Suspend("bob"))
	h.ServeHTTP(httptest.NewRecorder(), logtotest.NewIssuer(t).Suspend("carol"))
	_, _ = v.Verify(t.Context(), token)
	events := []string{
		"logto.revocation.events{logto.revocation.event=User.SuspensionStatus.Updated,logto.revocation.outcome=revoked} 2",
		"logto.revocation.events{logto.revocation.event=unverified,logto.revocation.outcome=unauthorized} 1",
	}
	compare(t, reader, slices.Concat(gauges("2"), events, after)...)
	points, _ := collect(t, checkReader)
	if !slices.Contains(points, "logto.check.duration{error.type=revoked,logto.check.remembered=false,logto.check.result=refused} 1") {
		t.Errorf("checks %q", points)
	}
	m.Watch(nil)
	compare(t, reader, events...)
}

// A store that was copied once: the copy grows old.
func TestRevocationsOfAStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, reader := newRevocations(t)
		list := newList(t, revocation.Config{Store: store{}, MaxStale: 10 * time.Second})
		m.Watch(list)
		compare(t, reader, "logto.revocation.entry.count{} 0", "logto.revocation.pending.count{} 0", "logto.revocation.ready{} 0")
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- list.Run(ctx) }()
		time.Sleep(time.Second)
		_ = list.Revoke(t.Context(), revocation.Revocation{Subject: "alice"})
		compare(t, reader, "logto.revocation.copy.age{} 2.5", "logto.revocation.entry.count{} 1", "logto.revocation.pending.count{} 1", "logto.revocation.ready{} 1")
		time.Sleep(time.Minute)
		compare(t, reader, "logto.revocation.copy.age{} 62.5", "logto.revocation.entry.count{} 1", "logto.revocation.pending.count{} 1", "logto.revocation.ready{} 0")
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestRevocationsConstantAttribute(t *testing.T) {
	m, reader := newRevocations(t, attribute.String("logto.list", "a"))
	m.Watch(newList(t, revocation.Config{}))
	m.Observe(revocation.Event{Kind: "store", Outcome: "lost"})
	compare(t, reader, "logto.revocation.copy.age{logto.list=a} 0", "logto.revocation.entry.count{logto.list=a} 0",
		"logto.revocation.events{logto.list=a,logto.revocation.event=store,logto.revocation.outcome=lost} 1",
		"logto.revocation.pending.count{logto.list=a} 0", "logto.revocation.ready{logto.list=a} 1")
}

// Units and kinds are as the README has them.
func TestRevocationsInstruments(t *testing.T) {
	m, reader := newRevocations(t)
	m.Watch(newList(t, revocation.Config{}))
	m.Observe(revocation.Event{Kind: "store", Outcome: "lost"})
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, all := collect(t, reader)
	for _, metric := range all {
		kind := map[bool]string{true: "counter", false: "up-down counter"}
		want := "gauge"
		if sum, ok := metric.Data.(metricdata.Sum[int64]); ok {
			want = kind[sum.IsMonotonic]
		}
		if row := regexp.MustCompile("(?m)^\\| `" + regexp.QuoteMeta(metric.Name) + "` \\| " + want + " \\| " + metric.Unit + " "); !row.Match(readme) {
			t.Errorf("README.md lacks the %s %s in %s", want, metric.Name, metric.Unit)
		}
		if metric.Description == "" {
			t.Errorf("%s has no description", metric.Name)
		}
	}
	if len(all) != 5 {
		t.Errorf("%d instruments", len(all))
	}
}

func TestHostileRevocations(t *testing.T) {
	for name, send := range map[string]func(t *testing.T, observe func(revocation.Event), n int){
		"events":   func(_ *testing.T, observe func(revocation.Event), n int) { hostile.RevocationEvents(observe, n) },
		"webhooks": hostile.Webhooks,
	} {
		m, reader := newRevocations(t)
		count := func() int {
			points, all := collect(t, reader)
			for _, p := range all[0].Data.(metricdata.Sum[int64]).DataPoints {
				checkAttributes(t, p.Attributes.ToSlice())
			}
			if name == "webhooks" && strings.Contains(strings.Join(points, "\n"), "outcome=other") {
				t.Errorf("the library has an outcome that this package doesn't know: %q", points)
			}
			return len(points)
		}
		send(t, m.Observe, 1)
		before := count()
		send(t, m.Observe, 20)
		if after := count(); after != before || after > len(labels.RevocationEvents)*(len(labels.RevocationOutcomes)+1) {
			t.Errorf("%s: %d points, then %d", name, before, after)
		}
	}
}

func TestRevocationsConcurrentUse(t *testing.T) {
	m, reader := newRevocations(t)
	list := newList(t, revocation.Config{Observer: m.Observe})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { hostile.RevocationEvents(m.Observe, 5) })
		wg.Go(func() {
			for range 5 {
				m.Watch(list)
				_ = reader.Collect(context.Background(), &metricdata.ResourceMetrics{})
				m.Watch(nil)
			}
		})
	}
	wg.Wait()
}
