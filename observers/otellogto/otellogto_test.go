package otellogto_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/logtotest"
	"github.com/seed-70fe37f4/logto/observers/internal/hostile"
	"github.com/seed-70fe37f4/logto/observers/internal/labels"
	"github.com/seed-70fe37f4/logto/observers/otellogto"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

// metrics are Metrics with what they set as the Observer.
type metrics struct {
	*otellogto.Metrics
	Observe func(context.Context, logto.Event)
}

func instrument(t testing.TB, provider metric.MeterProvider, constant ...attribute.KeyValue) metrics {
	t.Helper()
	var cfg logto.Config
	m, err := otellogto.Instrument(&cfg, provider, constant...)
	if err != nil {
		t.Fatal(err)
	}
	return metrics{m, cfg.Observer}
}

func newMetrics(t testing.TB) (metrics, *sdkmetric.ManualReader) {
	t.Helper()
	reader := sdkmetric.NewManualReader()
	return instrument(t, sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))), reader
}

func newVerifier(t testing.TB, cfg logto.Config) *logto.Verifier {
	t.Helper()
	cfg.Logger = slog.New(slog.DiscardHandler)
	v, err := logto.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// collect lists data points as "name{attributes} value"; of a histogram, the
// count. Points of value 0 that are no gauge are left out.
func collect(t testing.TB, reader sdkmetric.Reader) (points []string, all []metricdata.Metrics) {
	t.Helper()
	var rm metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &rm); err != nil {
		t.Fatal(err)
	}
	for _, scope := range rm.ScopeMetrics {
		for _, m := range scope.Metrics {
			add := func(set attribute.Set, value any) {
				points = append(points, fmt.Sprintf("%s{%s} %v", m.Name, set.Encoded(attribute.DefaultEncoder()), value))
			}
			switch data := m.Data.(type) {
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					add(p.Attributes, p.Count)
				}
			case metricdata.Gauge[float64]:
				for _, p := range data.DataPoints {
					add(p.Attributes, p.Value)
				}
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					if p.Value != 0 || !data.IsMonotonic {
						add(p.Attributes, p.Value)
					}
				}
			default:
				t.Errorf("%s is a %T", m.Name, data)
			}
			all = append(all, m)
		}
	}
	slices.Sort(points)
	return points, all
}

func compare(t *testing.T, reader sdkmetric.Reader, want ...string) {
	t.Helper()
	got, _ := collect(t, reader)
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestNil(t *testing.T) {
	calls := 0
	cfg := logto.Config{Observer: func(context.Context, logto.Event) { calls++ }}
	if _, err := otellogto.Instrument(&cfg, nil); err == nil {
		t.Error("no provider: no error")
	}
	if cfg.Observer(t.Context(), logto.Event{}); calls != 1 {
		t.Errorf("the former Observer had %d calls", calls)
	}
	if _, err := otellogto.Instrument(nil, noop.NewMeterProvider()); err == nil {
		t.Error("no Config: no error")
	}
	hostile.Events(instrument(t, noop.NewMeterProvider()).Observe, 1)
}

// An Observer that was set is called too, and first.
func TestFormerObserver(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	var seen []string
	cfg := logto.Config{Observer: func(_ context.Context, e logto.Event) {
		points, _ := collect(t, reader)
		seen = append(seen, fmt.Sprint(e.Reason, len(points)))
	}}
	if _, err := otellogto.Instrument(&cfg, sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))); err != nil {
		t.Fatal(err)
	}
	cfg.Observer(t.Context(), logto.Event{Reason: "expired"})
	if want := []string{"expired0"}; !slices.Equal(seen, want) {
		t.Errorf("seen %q", seen)
	}
	compare(t, reader, "logto.check.duration{error.type=expired,logto.check.remembered=false,logto.check.result=refused} 1")
}

// A New that fails leaves metrics that can be read, and the next one goes on with them.
func TestNewFails(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	start := func(cfg logto.Config) (*logto.Verifier, error) {
		m, err := otellogto.Instrument(&cfg, provider)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Observer(t.Context(), logto.Event{})
		v, err := logto.New(cfg)
		m.Watch(v)
		return v, err
	}
	issuer := logtotest.NewIssuer(t)
	if _, err := start(logto.Config{}); err == nil {
		t.Fatal("no error")
	}
	one := "logto.check.duration{logto.check.remembered=false,logto.check.result=accepted} "
	compare(t, reader, one+"1")
	if _, err := start(issuer.Config()); err != nil {
		t.Fatal(err)
	}
	compare(t, reader, one+"2", "logto.key_set.key.count{} 0")
}

func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, reader := newMetrics(t)
		issuer := logtotest.NewIssuer(t)
		cfg := issuer.Config()
		cfg.Observer = m.Observe
		v := newVerifier(t, cfg)
		compare(t, reader)
		m.Watch(v)
		compare(t, reader, "logto.key_set.key.count{} 0")

		token := issuer.Token(logtotest.Token{})
		for _, token := range []string{"", "x", issuer.IDToken("u"), token, token, token} {
			_, _ = v.Verify(t.Context(), token)
		}
		m.Observe(t.Context(), logto.Event{Reason: "expired", Remembered: true, ReportOnly: true})
		refresh := func() {
			time.Sleep(11 * time.Second)
			_ = v.Refresh(t.Context())
			synctest.Wait()
		}
		refresh() // not modified
		issuer.Rotate("ES256")
		refresh()
		issuer.RemovePrevious()
		refresh()
		issuer.Fail(logtotest.Status(500))
		time.Sleep(90 * time.Minute)
		refresh()
		checks := []string{
			"logto.check.duration{error.type=expired,logto.check.remembered=true,logto.check.result=reported} 1",
			"logto.check.duration{error.type=no_token,logto.check.remembered=false,logto.check.result=refused} 1",
			"logto.check.duration{error.type=opaque_token,logto.check.remembered=false,logto.check.result=refused} 1",
			"logto.check.duration{error.type=wrong_type,logto.check.remembered=false,logto.check.result=refused} 1",
			"logto.check.duration{logto.check.remembered=false,logto.check.result=accepted} 1",
			"logto.check.duration{logto.check.remembered=true,logto.check.result=accepted} 2",
		}
		fetches := []string{
			"logto.key_set.changes{logto.key_set.change=added} 2", "logto.key_set.changes{logto.key_set.change=removed} 1",
			"logto.key_set.fetch.duration{error.type=_OTHER,logto.key_set.fetch.result=failed} 1",
			"logto.key_set.fetch.duration{logto.key_set.fetch.result=fetched} 3",
			"logto.key_set.fetch.duration{logto.key_set.fetch.result=not_modified} 1",
		}
		compare(t, reader, slices.Concat(checks, []string{"logto.key_set.age{} 5411"}, fetches, []string{"logto.key_set.key.count{} 1"})...)
		m.Watch(nil)
		compare(t, reader, slices.Concat(checks, fetches)...)
	})
}

// Two verifiers of one provider are told apart by their attribute.
func TestConstantAttribute(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	for i, name := range []string{"a", "b"} {
		m := instrument(t, provider, attribute.String("logto.verifier", name))
		m.Watch(newVerifier(t, logtotest.NewIssuer(t).Config()))
		for range i + 1 {
			m.Observe(t.Context(), logto.Event{})
		}
	}
	compare(t, reader,
		"logto.check.duration{logto.check.remembered=false,logto.check.result=accepted,logto.verifier=a} 1",
		"logto.check.duration{logto.check.remembered=false,logto.check.result=accepted,logto.verifier=b} 2",
		"logto.key_set.key.count{logto.verifier=a} 0", "logto.key_set.key.count{logto.verifier=b} 0")
}

// Units, boundaries and kinds are as the README has them.
func TestInstruments(t *testing.T) {
	m, reader := newMetrics(t)
	cfg := logtotest.NewIssuer(t).Config()
	v := newVerifier(t, cfg)
	if err := v.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.Watch(v)
	m.Observe(t.Context(), logto.Event{})
	m.Observe(t.Context(), logto.Event{Fetch: true, Reason: "fetched", Added: []string{"k"}})
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, all := collect(t, reader)
	var got []string
	for _, metric := range all {
		got = append(got, metric.Name+" "+metric.Unit)
		if row := regexp.MustCompile("(?m)^\\| `" + regexp.QuoteMeta(metric.Name) + "` \\| [a-z -]+ \\| " + metric.Unit + " "); !row.Match(readme) {
			t.Errorf("README.md lacks %s in %s", metric.Name, metric.Unit)
		}
		if metric.Description == "" {
			t.Errorf("%s has no description", metric.Name)
		}
		if h, ok := metric.Data.(metricdata.Histogram[float64]); ok {
			want := labels.Boundaries
			if strings.Contains(metric.Name, "fetch") {
				want = labels.FetchBoundaries
			}
			if !slices.Equal(h.DataPoints[0].Bounds, want) {
				t.Errorf("%s: boundaries %v", metric.Name, h.DataPoints[0].Bounds)
			}
		}
	}
	slices.Sort(got)
	want := []string{"logto.check.duration s", "logto.key_set.age s", "logto.key_set.changes {key}", "logto.key_set.fetch.duration s", "logto.key_set.key.count {key}"}
	if !slices.Equal(got, want) {
		t.Errorf("instruments %q", got)
	}
}

// A refusal is an event of the request's span, with its reason and no text.
func TestSpanEvent(t *testing.T) {
	m, _ := newMetrics(t)
	issuer := logtotest.NewIssuer(t)
	cfg := issuer.Config()
	cfg.Observer = m.Observe
	v := newVerifier(t, cfg)
	recorder := tracetest.NewSpanRecorder()
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)).Tracer("test")
	ok := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	for _, test := range []struct {
		name  string
		h     http.Handler
		token string
		want  string // attributes of the event; "" for none
	}{
		{"no token", logto.Require(v)(ok), "", "error.type=no_token,logto.check.remembered=false,logto.check.result=refused"},
		{"issuer", logto.Require(v)(ok), issuer.Token(logtotest.Token{Claims: map[string]any{"iss": hostile.Marker}}),
			"error.type=issuer,logto.check.remembered=false,logto.check.result=refused"},
		{"report only", logto.InsecureReportOnly(v)(ok), hostile.Marker, "error.type=opaque_token,logto.check.remembered=false,logto.check.result=reported"},
		{"anonymous", logto.Optional(v)(ok), "", ""},
		{"accepted", logto.Require(v)(ok), issuer.Token(logtotest.Token{}), ""},
	} {
		recorder.Reset()
		ctx, span := tracer.Start(t.Context(), "request")
		r := httptest.NewRequestWithContext(ctx, "GET", "/"+hostile.Marker, nil)
		if test.token != "" {
			r.Header.Set("Authorization", "Bearer "+test.token)
		}
		test.h.ServeHTTP(httptest.NewRecorder(), r)
		span.End()
		ended := recorder.Ended()[0]
		var got []string
		for _, e := range ended.Events() {
			if e.Name != "logto.check.refused" {
				t.Errorf("%s: event %s", test.name, e.Name)
			}
			set := attribute.NewSet(e.Attributes...)
			got = append(got, set.Encoded(attribute.DefaultEncoder()))
		}
		if strings.Join(got, "\n") != test.want {
			t.Errorf("%s: events %q", test.name, got)
		}
		if len(ended.Attributes()) > 0 || ended.Status() != (sdktrace.Status{}) {
			t.Errorf("%s: attributes %v, status %v", test.name, ended.Attributes(), ended.Status())
		}
	}
}

// The user is named in spans of verified tokens, and only if that was asked for.
func TestSpanUserID(t *testing.T) {
	recorder := tracetest.NewSpanRecorder()
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)).Tracer("test")
	issuer := logtotest.NewIssuer(t)
	calls := 0
	start := func(change func(*logto.Config)) *logto.Verifier {
		cfg := issuer.Config()
		cfg.Observer = func(_ context.Context, e logto.Event) {
			if !e.Fetch { // which is told on a goroutine of its own
				calls++
			}
		}
		cfg.Revoked = func(c *logto.Claims) error {
			if c.UserID() == "revoked" {
				return logto.ErrRevoked
			}
			return nil
		}
		change(&cfg)
		return newVerifier(t, cfg)
	}
	metrics := func(cfg *logto.Config) {
		if _, err := otellogto.Instrument(cfg, noop.NewMeterProvider()); err != nil {
			t.Fatal(err)
		}
	}
	silent, naming := start(metrics), start(otellogto.SpanUserID)
	both := start(func(cfg *logto.Config) { metrics(cfg); otellogto.SpanUserID(cfg) })
	ok := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	alice := issuer.Token(logtotest.Token{User: "alice"})
	for _, test := range []struct {
		name  string
		h     http.Handler
		token string
		want  string // user.id; "" for no attribute
	}{
		{"not asked for", logto.Require(silent)(ok), alice, ""},
		{"no token", logto.Require(naming)(ok), "", ""},
		{"no token, optional", logto.Optional(naming)(ok), "", ""},
		{"expired", logto.Require(naming)(ok), issuer.Token(logtotest.Token{User: "alice", ExpiresIn: -time.Hour}), ""},
		{"forged", logto.Require(naming)(ok), logtotest.BadSignature(issuer.Token(logtotest.Token{User: "mallory"})), ""},
		{"a machine", logto.Require(naming)(ok), issuer.Token(logtotest.Token{Claims: map[string]any{"sub": logtotest.ClientID}}), ""},
		{"accepted", logto.Require(naming)(ok), alice, "alice"},
		{"remembered", logto.Require(naming)(ok), alice, "alice"},
		{"optional", logto.Optional(naming)(ok), alice, "alice"},
		{"a scope is missing", logto.Require(naming, logto.Scopes("admin"))(ok), alice, "alice"},
		{"revoked", logto.Require(naming)(ok), issuer.Token(logtotest.Token{User: "revoked"}), "revoked"},
		{"beside the metrics", logto.Require(both)(ok), alice, "alice"},
	} {
		t.Run(test.name, func(t *testing.T) {
			recorder.Reset()
			calls = 0
			ctx, span := tracer.Start(t.Context(), "request")
			r := httptest.NewRequestWithContext(ctx, "GET", "/", nil)
			if test.token != "" {
				r.Header.Set("Authorization", "Bearer "+test.token)
			}
			test.h.ServeHTTP(httptest.NewRecorder(), r)
			span.End()
			var want []attribute.KeyValue
			if test.want != "" {
				want = []attribute.KeyValue{attribute.String("user.id", test.want)}
			}
			if got := recorder.Ended()[0].Attributes(); !slices.Equal(got, want) {
				t.Errorf("attributes %v, want %v", got, want)
			}
			if calls == 0 {
				t.Error("the former Observer was not called")
			}
		})
	}
}

// A span that isn't recorded, or none at all, costs nothing and does no harm.
func TestNoSpan(t *testing.T) {
	m, _ := newMetrics(t)
	refused := logto.Event{Reason: "expired"}
	m.Observe(t.Context(), refused)
	never := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample())).Tracer("test")
	ctx, span := never.Start(t.Context(), "request")
	defer span.End()
	m.Observe(ctx, refused)
}

// allowed are the values that attributes may have.
var allowed = map[attribute.Key][]string{
	"logto.check.result":         labels.Results,
	"logto.check.remembered":     {"true", "false"},
	"error.type":                 append(slices.Clone(labels.Reasons), "_OTHER"),
	"logto.key_set.change":       {"added", "removed"},
	"logto.key_set.fetch.result": append(slices.Clone(labels.Fetches), "_OTHER"),
	"logto.revocation.event":     labels.RevocationEvents,
	"logto.revocation.outcome":   append(slices.Clone(labels.RevocationOutcomes), "other"),
}

// bounded checks every attribute, and the number of points.
func bounded(t *testing.T, reader sdkmetric.Reader) int {
	t.Helper()
	points, all := collect(t, reader)
	var sets []attribute.Set
	for _, m := range all {
		switch data := m.Data.(type) {
		case metricdata.Histogram[float64]:
			for _, p := range data.DataPoints {
				sets = append(sets, p.Attributes)
			}
		case metricdata.Sum[int64]:
			for _, p := range data.DataPoints {
				sets = append(sets, p.Attributes)
			}
		}
	}
	for _, set := range sets {
		checkAttributes(t, set.ToSlice())
	}
	if most := 2*(2+2*len(labels.Reasons)+3) + 4 + 2 + 2; len(points) > most || len(points) == 0 {
		t.Errorf("%d points, want at most %d", len(points), most)
	}
	return len(points)
}

func checkAttributes(t *testing.T, attrs []attribute.KeyValue) {
	t.Helper()
	for _, kv := range attrs {
		if !slices.Contains(allowed[kv.Key], kv.Value.String()) {
			t.Errorf("attribute %s=%q", kv.Key, kv.Value.String())
		}
	}
}

// traced gives every event a span, and checks what is written into it.
func traced(t *testing.T, observe func(context.Context, logto.Event)) func(context.Context, logto.Event) {
	recorder := tracetest.NewSpanRecorder()
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)).Tracer("test")
	return func(ctx context.Context, e logto.Event) {
		ctx, span := tracer.Start(ctx, "request", trace.WithNewRoot())
		observe(ctx, e)
		span.End()
		for _, span := range recorder.Ended() {
			if len(span.Events()) > 1 {
				t.Errorf("%d events", len(span.Events()))
			}
			for _, e := range span.Events() {
				if e.Name != "logto.check.refused" {
					t.Errorf("event %q", e.Name)
				}
				checkAttributes(t, e.Attributes)
			}
		}
		recorder.Reset()
	}
}

func TestHostileEvents(t *testing.T) {
	m, reader := newMetrics(t)
	hostile.Events(traced(t, m.Observe), 1)
	before := bounded(t, reader)
	hostile.Events(traced(t, m.Observe), 50)
	if after := bounded(t, reader); after != before {
		t.Errorf("%d points, then %d", before, after)
	}
	points, _ := collect(t, reader)
	for _, want := range []string{
		"logto.check.duration{error.type=_OTHER,logto.check.remembered=true,logto.check.result=refused} ",
		"logto.key_set.fetch.duration{logto.key_set.fetch.result=_OTHER} ",
	} {
		if !slices.ContainsFunc(points, func(p string) bool { return strings.HasPrefix(p, want) }) {
			t.Errorf("no %s in\n%s", want, strings.Join(points, "\n"))
		}
	}
}

func TestHostileRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, reader := newMetrics(t)
		hostile.Requests(t, traced(t, m.Observe), 1)
		before := bounded(t, reader)
		hostile.Requests(t, traced(t, m.Observe), 5)
		if after := bounded(t, reader); after != before {
			t.Errorf("%d points, then %d", before, after)
		}
		points, _ := collect(t, reader)
		all := strings.Join(points, "\n")
		for _, reason := range labels.Reasons {
			// overload needs a thousand that wait.
			if !strings.Contains(all, "error.type="+reason+",") && reason != "overload" {
				t.Errorf("no attack was refused as %s", reason)
			}
		}
		if strings.Contains(all, "logto.check.duration{error.type=_OTHER") {
			t.Error("the library has a reason that this package doesn't know")
		}
	})
}

func TestConcurrentUse(t *testing.T) {
	m, reader := newMetrics(t)
	v := newVerifier(t, logtotest.NewIssuer(t).Config())
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { hostile.Events(m.Observe, 5) })
		wg.Go(func() {
			for range 5 {
				m.Watch(v)
				_ = reader.Collect(context.Background(), &metricdata.ResourceMetrics{})
				m.Watch(nil)
			}
		})
	}
	wg.Wait()
}

func BenchmarkObserve(b *testing.B) {
	sdk, _ := newMetrics(b)
	none := instrument(b, noop.NewMeterProvider())
	for _, test := range []struct {
		name  string
		m     metrics
		event logto.Event
	}{
		{"accepted", sdk, logto.Event{Remembered: true, Duration: time.Microsecond}},
		{"refused", sdk, logto.Event{Reason: "expired", Duration: time.Microsecond}},
		{"no provider", none, logto.Event{Remembered: true, Duration: time.Microsecond}},
	} {
		b.Run(test.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				test.m.Observe(context.Background(), test.event)
			}
		})
	}
	b.Run("refused, in a span", func(b *testing.B) {
		tracer := sdktrace.NewTracerProvider().Tracer("test")
		b.ReportAllocs()
		for b.Loop() {
			ctx, span := tracer.Start(context.Background(), "request")
			sdk.Observe(ctx, logto.Event{Reason: "expired", Duration: time.Microsecond})
			span.End()
		}
	})
	b.Run("the span alone", func(b *testing.B) {
		tracer := sdktrace.NewTracerProvider().Tracer("test")
		b.ReportAllocs()
		for b.Loop() {
			_, span := tracer.Start(context.Background(), "request")
			span.End()
		}
	})
}
