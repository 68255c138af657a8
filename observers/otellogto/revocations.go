package otellogto

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"

	"github.com/seed-70fe37f4/logto/observers/internal/labels"
	"github.com/seed-70fe37f4/logto/observers/internal/observer"
	"github.com/seed-70fe37f4/logto/revocation"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Revocations are the metrics of a revocation.List. They are made by
// [InstrumentRevocations] and safe for concurrent use.
type Revocations struct {
	events metric.Int64Counter
	set    func(more ...attribute.KeyValue) metric.MeasurementOption
	list   atomic.Pointer[revocation.List]
}

// InstrumentRevocations sets the Observer of a Config that [revocation.New] gets next:
//
//	revocations, err := otellogto.InstrumentRevocations(&cfg, otel.GetMeterProvider())
//	…
//	list, err := revocation.New(cfg)
//	…
//	revocations.Watch(list)
//
// All else is as with [Instrument]. The requests that a list refuses are those of the
// Verifier's Metrics with the error.type revoked.
func InstrumentRevocations(cfg *revocation.Config, provider metric.MeterProvider, constant ...attribute.KeyValue) (*Revocations, error) {
	if cfg == nil {
		return nil, errors.New("otellogto: the revocation.Config is nil")
	}
	m, err := newRevocations(provider, constant)
	if err != nil {
		return nil, err
	}
	observer.AddRevocations(cfg, m.observe)
	return m, nil
}

func newRevocations(provider metric.MeterProvider, constant []attribute.KeyValue) (*Revocations, error) {
	if provider == nil {
		return nil, errNoProvider
	}
	m := &Revocations{set: func(more ...attribute.KeyValue) metric.MeasurementOption {
		return metric.WithAttributeSet(attribute.NewSet(append(slices.Clone(constant), more...)...))
	}}
	meter := provider.Meter(scope)
	var errs [5]error
	m.events, errs[0] = meter.Int64Counter("logto.revocation.events", metric.WithUnit("{event}"),
		metric.WithDescription("Webhooks, logouts, calls of Revoke and changes of the store's state, by what became of them."))
	entries, err := meter.Int64ObservableUpDownCounter("logto.revocation.entry.count", metric.WithUnit("{revocation}"),
		metric.WithDescription("Revocations in the list; some of them may have had their time."))
	errs[1] = err
	pending, err := meter.Int64ObservableUpDownCounter("logto.revocation.pending.count", metric.WithUnit("{revocation}"),
		metric.WithDescription("Revocations that are not known to be in the store."))
	errs[2] = err
	age, err := meter.Float64ObservableGauge("logto.revocation.copy.age", metric.WithUnit("s"),
		metric.WithDescription("Time since the copy of the store was last up to date. Absent until it was copied; 0 without a store."))
	errs[3] = err
	ready, err := meter.Float64ObservableGauge("logto.revocation.ready", metric.WithUnit("1"),
		metric.WithDescription("1 if the list is ready, 0 before the first copy of the store and while the copy is older than MaxStale."))
	errs[4] = err
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	all := m.set()
	_, err = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		list := m.list.Load()
		if list == nil {
			return nil
		}
		s := list.Status()
		o.ObserveInt64(entries, int64(s.Entries), all)
		o.ObserveInt64(pending, int64(s.Pending), all)
		if s.Copied { // else an age of 0 would look like a fresh copy
			o.ObserveFloat64(age, s.Age.Seconds(), all)
		}
		o.ObserveFloat64(ready, labels.Ready(list), all)
		return nil
	}, entries, pending, age, ready)
	if err != nil {
		return nil, err
	}
	return m, nil
}

func (m *Revocations) observe(e revocation.Event) {
	event, outcome := labels.Revocation(e)
	m.events.Add(context.Background(), 1, m.set(attribute.String("logto.revocation.event", event), attribute.String("logto.revocation.outcome", outcome)))
}

// Watch adds the size of the list, the age of its copy and whether it is ready, in place of
// those of another one. They are read at each collection. Nil takes them away.
func (m *Revocations) Watch(list *revocation.List) { m.list.Store(list) }
