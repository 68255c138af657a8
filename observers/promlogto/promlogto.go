// Package promlogto gives Prometheus the metrics of a logto.Verifier:
//
//	metrics, err := promlogto.Instrument(&cfg, prometheus.DefaultRegisterer)
//	…
//	v, err := logto.New(cfg)
//	…
//	metrics.Watch(v) // the age of the key set
//
// Their labels are taken from small fixed sets, whatever clients send.
package promlogto

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/observers/internal/labels"
	"github.com/seed-70fe37f4/logto/observers/internal/observer"
)

const (
	none  = "none"  // the reason of what was accepted
	other = "other" // what this package doesn't know
)

// Metrics are the metrics of a Verifier. They are made by [Instrument] and safe for
// concurrent use. Their methods Describe and Collect make them a
// prometheus.Collector, for Unregister.
type Metrics struct {
	checks   *prometheus.CounterVec
	duration *prometheus.HistogramVec
	fetches  *prometheus.CounterVec
	changes  *prometheus.CounterVec
	verifier atomic.Pointer[logto.Verifier]
}

var (
	ageDesc = prometheus.NewDesc("logto_key_set_age_seconds",
		"Time since the key set was last fetched or found not modified. Absent while there is none.", nil, nil)
	keysDesc = prometheus.NewDesc("logto_key_set_keys", "Usable keys in the key set.", nil, nil)
)

// Instrument sets the Observer of a Config that [logto.New] gets next, so that the
// checks and fetches of the Verifier are counted, and registers the metrics. An Observer
// that was set is still called, first. Call it once for each Config.
//
// Where the registerer has the metrics already, they are used on: after a New that failed,
// or for a Verifier that takes the place of another. Of several at one time they would be
// one sum, so tell those apart by a constant label of each:
//
//	promlogto.Instrument(&cfg, prometheus.WrapRegistererWith(prometheus.Labels{"verifier": "admin"}, reg))
//
// The error is that of the registerer, or says what is nil; the Config is then as it was.
func Instrument(cfg *logto.Config, reg prometheus.Registerer) (*Metrics, error) {
	if cfg == nil {
		return nil, errors.New("promlogto: the Config is nil")
	}
	m, err := register(reg, newMetrics())
	if err != nil {
		return nil, err
	}
	observer.Add(cfg, m.observe)
	return m, nil
}

// register registers metrics, or finds those that are registered.
func register[M prometheus.Collector](reg prometheus.Registerer, m M) (M, error) {
	if reg == nil {
		return m, errors.New("promlogto: the registerer is nil")
	}
	err := reg.Register(m)
	if err == nil {
		return m, nil
	}
	var already prometheus.AlreadyRegisteredError
	if errors.As(err, &already) {
		if existing, ok := already.ExistingCollector.(M); ok {
			return existing, nil
		}
	}
	return m, fmt.Errorf("promlogto: %w (several in one registry: register each by prometheus.WrapRegistererWith, with the same label and another value)", err)
}

func newMetrics() *Metrics {
	m := &Metrics{
		checks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "logto_checks_total", Help: "Requests checked, by result, reason of a refusal, and whether the token was remembered.",
		}, []string{"result", "reason", "remembered"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "logto_check_duration_seconds", Help: "Time that a check took, with what it waited for.", Buckets: labels.Boundaries,
		}, []string{"result", "remembered"}),
		fetches: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "logto_key_set_fetches_total", Help: "Fetches of the key set.",
		}, []string{"result"}),
		changes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "logto_key_set_changes_total", Help: "Keys that fetches added and removed; those of the first fetch count as added.",
		}, []string{"change"}),
	}
	// A series that begins at 0 shows its first increment to rate and increase.
	for _, reason := range labels.Reasons {
		m.checks.WithLabelValues(labels.Result(reason), reason, "false")
	}
	m.checks.WithLabelValues(labels.Accepted, none, "false")
	m.checks.WithLabelValues(labels.Accepted, none, "true")
	for _, result := range labels.Fetches {
		m.fetches.WithLabelValues(result)
	}
	m.changes.WithLabelValues("added")
	m.changes.WithLabelValues("removed")
	return m
}

func (m *Metrics) observe(_ context.Context, e logto.Event) {
	if e.Fetch {
		m.fetches.WithLabelValues(labels.Fetch(e, other)).Inc()
		m.changes.WithLabelValues("added").Add(float64(len(e.Added)))
		m.changes.WithLabelValues("removed").Add(float64(len(e.Removed)))
		return
	}
	result, reason := labels.Check(e, none, other)
	remembered := strconv.FormatBool(e.Remembered)
	m.checks.WithLabelValues(result, reason, remembered).Inc()
	m.duration.WithLabelValues(result, remembered).Observe(e.Duration.Seconds())
}

// Watch adds the age and the number of keys of the Verifier's key set, in place of those
// of another one. They are read at each scrape without starting a fetch. Nil, which
// logto.New gives when it fails, takes them away.
func (m *Metrics) Watch(v *logto.Verifier) { m.verifier.Store(v) }

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	m.checks.Describe(ch)
	m.duration.Describe(ch)
	m.fetches.Describe(ch)
	m.changes.Describe(ch)
	ch <- ageDesc
	ch <- keysDesc
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	m.checks.Collect(ch)
	m.duration.Collect(ch)
	m.fetches.Collect(ch)
	m.changes.Collect(ch)
	v := m.verifier.Load()
	if v == nil {
		return
	}
	s := v.KeySetStatus()
	ch <- prometheus.MustNewConstMetric(keysDesc, prometheus.GaugeValue, float64(len(s.KeyIDs)))
	if len(s.KeyIDs) > 0 { // else an age of 0 would look like a fresh key set
		ch <- prometheus.MustNewConstMetric(ageDesc, prometheus.GaugeValue, s.Age.Seconds())
	}
}
