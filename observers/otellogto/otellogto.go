// Package otellogto gives OpenTelemetry the metrics of a logto.Verifier, and the
// request's span an event for a refusal:
//
//	metrics, err := otellogto.Instrument(&cfg, otel.GetMeterProvider())
//	…
//	v, err := logto.New(cfg)
//	…
//	metrics.Watch(v) // the age of the key set
//
// Their attributes are taken from small fixed sets, whatever clients send.
package otellogto

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/observers/internal/labels"
	"github.com/seed-70fe37f4/logto/observers/internal/observer"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

// other is what the semantic conventions want as error.type for an error that
// has no name of its own.
const other = "_OTHER"

const scope = "github.com/seed-70fe37f4/logto/observers/otellogto"

// Metrics are the metrics of a Verifier. They are made by [Instrument] and safe for
// concurrent use.
type Metrics struct {
	duration metric.Float64Histogram
	fetches  metric.Float64Histogram
	changes  metric.Int64Counter
	verifier atomic.Pointer[logto.Verifier]

	// Attributes are made once: there are few.
	checks         map[check][]metric.RecordOption
	events         map[check]trace.EventOption
	fetched        map[string][]metric.RecordOption
	added, removed []metric.AddOption
}

type check struct {
	result, reason string
	remembered     bool
}

// Instrument sets the Observer of a Config that [logto.New] gets next, so that the
// checks and fetches of the Verifier are measured, and refusals are events of spans: each
// becomes the event logto.check.refused of the span in the request's context, with its
// reason and never its text, and so does what can't be decided now. The span's status is
// left to whoever began it. An Observer that was set is still called, first. Call it once
// for each Config.
//
// It may be called again with the provider, after a New that failed or for a Verifier that
// takes the place of another: the metrics go on. If a program has several at one time, tell
// them apart by a constant attribute of each. Without such, the key sets' age and number
// of keys would be those of one of them.
//
//	otellogto.Instrument(&cfg, provider, attribute.String("logto.verifier", "admin"))
//
// The error is that of the provider, or says what is nil; the Config is then as it was.
func Instrument(cfg *logto.Config, provider metric.MeterProvider, constant ...attribute.KeyValue) (*Metrics, error) {
	if cfg == nil {
		return nil, errors.New("otellogto: the Config is nil")
	}
	m, err := newMetrics(provider, constant)
	if err != nil {
		return nil, err
	}
	observer.Add(cfg, m.observe)
	return m, nil
}

// SpanUserID sets the Observer of a Config that [logto.New] gets next, so that the span in
// the request's context has the attribute user.id (of OpenTelemetry's semantic conventions)
// wherever a token was verified, also if it was refused after that. A machine has none. It
// is personal data, which goes wherever the spans go: without this call it is in none. An
// Observer that was set is still called, first. It needs no [Instrument].
func SpanUserID(cfg *logto.Config) {
	observer.Add(cfg, func(ctx context.Context, e logto.Event) {
		if user := e.UserID(); user != "" {
			trace.SpanFromContext(ctx).SetAttributes(attribute.String("user.id", user))
		}
	})
}

var errNoProvider = errors.New("otellogto: the meter provider is nil: otel.GetMeterProvider() is the global one")

func newMetrics(provider metric.MeterProvider, constant []attribute.KeyValue) (*Metrics, error) {
	if provider == nil {
		return nil, errNoProvider
	}
	m := &Metrics{checks: map[check][]metric.RecordOption{}, events: map[check]trace.EventOption{}, fetched: map[string][]metric.RecordOption{}}
	set := func(more ...attribute.KeyValue) metric.MeasurementOption {
		return metric.WithAttributeSet(attribute.NewSet(append(slices.Clone(constant), more...)...))
	}
	addCheck := func(result, reason string) {
		for _, remembered := range []bool{false, true} {
			attrs := []attribute.KeyValue{attribute.String("logto.check.result", result), attribute.Bool("logto.check.remembered", remembered)}
			if reason != "" {
				attrs = append(attrs, attribute.String("error.type", reason))
			}
			key := check{result, reason, remembered}
			m.checks[key] = []metric.RecordOption{set(attrs...)}
			m.events[key] = trace.WithAttributes(attrs...)
		}
	}
	addCheck(labels.Accepted, "")
	addCheck(labels.Anonymous, "")
	for _, reason := range labels.Reasons {
		addCheck(labels.Result(reason), reason)
		addCheck(labels.Reported, reason)
	}
	for _, result := range []string{labels.Refused, labels.Unavailable, labels.Reported} {
		addCheck(result, other)
	}
	for _, result := range append(slices.Clone(labels.Fetches), other) {
		attrs := []attribute.KeyValue{attribute.String("logto.key_set.fetch.result", result)}
		if result == "failed" {
			attrs = append(attrs, attribute.String("error.type", other)) // what failed is in the log
		}
		m.fetched[result] = []metric.RecordOption{set(attrs...)}
	}
	m.added = []metric.AddOption{set(attribute.String("logto.key_set.change", "added"))}
	m.removed = []metric.AddOption{set(attribute.String("logto.key_set.change", "removed"))}

	meter := provider.Meter(scope)
	var errs [5]error
	m.duration, errs[0] = meter.Float64Histogram("logto.check.duration", metric.WithUnit("s"),
		metric.WithDescription("Time that the check of a request took, with what it waited for."),
		metric.WithExplicitBucketBoundaries(labels.Boundaries...))
	m.fetches, errs[1] = meter.Float64Histogram("logto.key_set.fetch.duration", metric.WithUnit("s"),
		metric.WithDescription("Time that a fetch of the key set took."),
		metric.WithExplicitBucketBoundaries(labels.FetchBoundaries...))
	m.changes, errs[2] = meter.Int64Counter("logto.key_set.changes", metric.WithUnit("{key}"),
		metric.WithDescription("Keys that fetches added and removed; those of the first fetch count as added."))
	age, err := meter.Float64ObservableGauge("logto.key_set.age", metric.WithUnit("s"),
		metric.WithDescription("Time since the key set was last fetched or found not modified. Absent while there is none."))
	errs[3] = err
	keys, err := meter.Int64ObservableUpDownCounter("logto.key_set.key.count", metric.WithUnit("{key}"),
		metric.WithDescription("Usable keys in the key set."))
	errs[4] = err
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	all := set()
	_, err = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		v := m.verifier.Load()
		if v == nil {
			return nil
		}
		s := v.KeySetStatus()
		o.ObserveInt64(keys, int64(len(s.KeyIDs)), all)
		if len(s.KeyIDs) > 0 { // else an age of 0 would look like a fresh key set
			o.ObserveFloat64(age, s.Age.Seconds(), all)
		}
		return nil
	}, age, keys)
	if err != nil {
		return nil, err
	}
	return m, nil
}

func (m *Metrics) observe(ctx context.Context, e logto.Event) {
	if e.Fetch {
		m.fetches.Record(ctx, e.Duration.Seconds(), m.fetched[labels.Fetch(e, other)]...)
		m.changes.Add(ctx, int64(len(e.Added)), m.added...)
		m.changes.Add(ctx, int64(len(e.Removed)), m.removed...)
		return
	}
	result, reason := labels.Check(e, "", other)
	key := check{result, reason, e.Remembered}
	m.duration.Record(ctx, e.Duration.Seconds(), m.checks[key]...)
	if result == labels.Accepted || result == labels.Anonymous {
		return
	}
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		span.AddEvent("logto.check.refused", m.events[key])
	}
}

// Watch adds the age and the number of keys of the Verifier's key set, in place of those
// of another one. They are read at each collection without starting a fetch. Nil, which
// logto.New gives when it fails, takes them away.
func (m *Metrics) Watch(v *logto.Verifier) { m.verifier.Store(v) }
