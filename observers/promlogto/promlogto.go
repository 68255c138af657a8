// Package promlogto gives Prometheus the metrics of a logto.Verifier:
//
//	m, err := promlogto.New(prometheus.DefaultRegisterer)
//	…
//	cfg.Observer = m.Observe
//	v, err := logto.New(cfg)
//	…
//	m.Watch(v)
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
)

const (
	none  = "none"  // the reason of what was accepted
	other = "other" // what this package doesn't know
)

// Metrics are the metrics of one Verifier. They are made by New and safe for
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

// New makes metrics and registers them. A registry takes those of one Verifier.
// To have several, tell them apart by a constant label of each:
//
//	promlogto.New(prometheus.WrapRegistererWith(prometheus.Labels{"verifier": "admin"}, reg))
func New(reg prometheus.Registerer) (*Metrics, error) {
	if reg == nil {
		return nil, errors.New("promlogto: the registerer is nil")
	}
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

	if err := reg.Register(m); err != nil {
		return nil, fmt.Errorf("promlogto: %w (if the registry has the metrics of another Verifier: register those of each by prometheus.WrapRegistererWith, with a label that tells them apart)", err)
	}
	return m, nil
}

// Observe is for logto.Config.Observer.
func (m *Metrics) Observe(_ context.Context, e logto.Event) {
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

// Watch adds the age and the number of keys of the Verifier's key set, read at
// each scrape without starting a fetch. Nil takes them away.
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
