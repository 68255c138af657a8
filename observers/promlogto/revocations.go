package promlogto

import (
	"errors"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/seed-70fe37f4/logto/observers/internal/labels"
	"github.com/seed-70fe37f4/logto/observers/internal/observer"
	"github.com/seed-70fe37f4/logto/revocation"
)

// Revocations are the metrics of a revocation.List. They are made by
// [InstrumentRevocations] and safe for concurrent use. Their methods Describe and Collect
// make them a prometheus.Collector, for Unregister.
type Revocations struct {
	events *prometheus.CounterVec
	list   atomic.Pointer[revocation.List]
}

var (
	entriesDesc = prometheus.NewDesc("logto_revocation_entries", "Revocations in the list; some of them may have had their time.", nil, nil)
	pendingDesc = prometheus.NewDesc("logto_revocation_pending", "Revocations that are not known to be in the store.", nil, nil)
	copyAgeDesc = prometheus.NewDesc("logto_revocation_copy_age_seconds",
		"Time since the copy of the store was last up to date. Absent until it was copied; 0 without a store.", nil, nil)
	readyDesc = prometheus.NewDesc("logto_revocation_ready",
		"1 if the list is ready, 0 before the first copy of the store and while the copy is older than MaxStale.", nil, nil)
)

// InstrumentRevocations sets the Observer of a Config that [revocation.New] gets next, and
// registers the metrics:
//
//	revocations, err := promlogto.InstrumentRevocations(&cfg, prometheus.DefaultRegisterer)
//	…
//	list, err := revocation.New(cfg)
//	…
//	revocations.Watch(list)
//
// All else is as with [Instrument]. The requests that a list refuses are those of the
// Verifier's Metrics with the reason revoked.
func InstrumentRevocations(cfg *revocation.Config, reg prometheus.Registerer) (*Revocations, error) {
	if cfg == nil {
		return nil, errors.New("promlogto: the revocation.Config is nil")
	}
	m, err := register(reg, newRevocations())
	if err != nil {
		return nil, err
	}
	observer.AddRevocations(cfg, func(e revocation.Event) { m.events.WithLabelValues(labels.Revocation(e)).Inc() })
	return m, nil
}

func newRevocations() *Revocations {
	m := &Revocations{events: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "logto_revocation_events_total", Help: "Webhooks, logouts, calls of Revoke and changes of the store's state, by what became of them.",
	}, []string{"event", "outcome"})}
	for _, first := range labels.FirstRevocations() {
		m.events.WithLabelValues(first[0], first[1])
	}
	return m
}

// Watch adds the size of the list, the age of its copy and whether it is ready, in place of
// those of another one. They are read at each scrape. Nil takes them away.
func (m *Revocations) Watch(list *revocation.List) { m.list.Store(list) }

// Describe implements prometheus.Collector.
func (m *Revocations) Describe(ch chan<- *prometheus.Desc) {
	m.events.Describe(ch)
	for _, desc := range []*prometheus.Desc{entriesDesc, pendingDesc, copyAgeDesc, readyDesc} {
		ch <- desc
	}
}

// Collect implements prometheus.Collector.
func (m *Revocations) Collect(ch chan<- prometheus.Metric) {
	m.events.Collect(ch)
	list := m.list.Load()
	if list == nil {
		return
	}
	s := list.Status()
	gauge := func(desc *prometheus.Desc, value float64) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value)
	}
	gauge(entriesDesc, float64(s.Entries))
	gauge(pendingDesc, float64(s.Pending))
	if s.Copied { // else an age of 0 would look like a fresh copy
		gauge(copyAgeDesc, s.Age.Seconds())
	}
	gauge(readyDesc, labels.Ready(list))
}
