package promlogto_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/logtotest"
	"github.com/seed-70fe37f4/logto/observers/internal/hostile"
	"github.com/seed-70fe37f4/logto/observers/internal/labels"
	"github.com/seed-70fe37f4/logto/observers/promlogto"
)

// metrics are Metrics with what they set as the Observer.
type metrics struct {
	*promlogto.Metrics
	Observe func(context.Context, logto.Event)
}

func newMetrics(t testing.TB, reg prometheus.Registerer) metrics {
	t.Helper()
	var cfg logto.Config
	m, err := promlogto.Instrument(&cfg, reg)
	if err != nil {
		t.Fatal(err)
	}
	return metrics{m, cfg.Observer}
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

func wrap(reg prometheus.Registerer, verifier string) prometheus.Registerer {
	return prometheus.WrapRegistererWith(prometheus.Labels{"verifier": verifier}, reg)
}

func TestRegistration(t *testing.T) {
	for _, test := range []struct {
		name    string
		first   func(*prometheus.Registry) prometheus.Registerer
		second  func(*prometheus.Registry) prometheus.Registerer // nil: none
		refused string
		checks  []string // of one check by each
	}{
		{"nil", plain, func(*prometheus.Registry) prometheus.Registerer { return nil }, "nil", nil},
		{"with a label beside one without", plain, labelled("b"), "WrapRegistererWith", nil},
		{"without a label beside one with", labelled("a"), plain, "WrapRegistererWith", nil},
		{"the names are taken by others", func(reg *prometheus.Registry) prometheus.Registerer {
			reg.MustRegister(struct{ prometheus.Collector }{newMetrics(t, prometheus.NewRegistry()).Metrics})
			return nil
		}, plain, "WrapRegistererWith", nil},
		{"the same registry", plain, plain, "", []string{"{reason=none,remembered=false,result=accepted} 2"}},
		{"the same label", labelled("a"), labelled("a"), "", []string{"{reason=none,remembered=false,result=accepted,verifier=a} 2"}},
		{"another label's value", labelled("a"), labelled("b"), "",
			[]string{"{reason=none,remembered=false,result=accepted,verifier=a} 1", "{reason=none,remembered=false,result=accepted,verifier=b} 1"}},
		{"another registry", plain, func(*prometheus.Registry) prometheus.Registerer { return prometheus.NewRegistry() }, "",
			[]string{"{reason=none,remembered=false,result=accepted} 1"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			reg := prometheus.NewRegistry()
			var observers []func(context.Context, logto.Event)
			if first := test.first(reg); first != nil {
				observers = append(observers, newMetrics(t, first).Observe)
			}
			calls := 0
			cfg := logto.Config{Observer: func(context.Context, logto.Event) { calls++ }}
			_, err := promlogto.Instrument(&cfg, test.second(reg))
			if test.refused != "" {
				if err == nil || !strings.Contains(err.Error(), test.refused) {
					t.Errorf("error %v", err)
				}
				cfg.Observer(t.Context(), logto.Event{})
				if calls != 1 {
					t.Errorf("%d calls", calls)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, observe := range append(observers, cfg.Observer) {
				observe(t.Context(), logto.Event{})
			}
			for i := range test.checks {
				test.checks[i] = "logto_checks_total" + test.checks[i]
			}
			compare(t, reg, strings.Join(test.checks, "\n"), "logto_checks_total")
		})
	}
	if _, err := promlogto.Instrument(nil, prometheus.NewRegistry()); err == nil {
		t.Error("nil: no error")
	}
	reg := prometheus.NewRegistry()
	if !reg.Unregister(newMetrics(t, reg)) {
		t.Error("not unregistered")
	}
}

func plain(reg *prometheus.Registry) prometheus.Registerer { return reg }

func labelled(verifier string) func(*prometheus.Registry) prometheus.Registerer {
	return func(reg *prometheus.Registry) prometheus.Registerer { return wrap(reg, verifier) }
}

// An Observer that was set is called too, and first.
func TestFormerObserver(t *testing.T) {
	reg := prometheus.NewRegistry()
	var seen []string
	cfg := logto.Config{Observer: func(_ context.Context, e logto.Event) {
		n, err := testutil.GatherAndCount(reg, "logto_check_duration_seconds")
		seen = append(seen, fmt.Sprint(e.Reason, " ", n, " ", err))
	}}
	if _, err := promlogto.Instrument(&cfg, reg); err != nil {
		t.Fatal(err)
	}
	cfg.Observer(t.Context(), logto.Event{Reason: "expired"})
	if want := []string{"expired 0 <nil>"}; !slices.Equal(seen, want) {
		t.Errorf("seen %q", seen)
	}
	compare(t, reg, "logto_checks_total{reason=expired,remembered=false,result=refused} 1", "logto_checks_total")
}

// A New that fails leaves metrics that can be read, and the next one goes on with them.
func TestNewFails(t *testing.T) {
	reg := prometheus.NewRegistry()
	start := func(cfg logto.Config) (*logto.Verifier, error) {
		m, err := promlogto.Instrument(&cfg, reg)
		if err != nil {
			t.Fatal(err)
		}
		v, err := logto.New(cfg)
		m.Watch(v)
		return v, err
	}
	issuer := logtotest.NewIssuer(t)
	if _, err := start(logto.Config{}); err == nil {
		t.Fatal("no error")
	}
	names := []string{"logto_key_set_keys", "logto_checks_total"}
	compare(t, reg, "", names...)
	v, err := start(issuer.Config())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(t.Context(), issuer.Token(logtotest.Token{})); err != nil {
		t.Fatal(err)
	}
	compare(t, reg, "logto_checks_total{reason=none,remembered=false,result=accepted} 1\nlogto_key_set_keys{} 1", names...)
}

// compare compares the named metrics with the expected exposition, passing over
// what has not happened.
func compare(t *testing.T, reg prometheus.Gatherer, want string, names ...string) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, family := range families {
		if !slices.Contains(names, family.GetName()) {
			continue
		}
		for _, m := range family.GetMetric() {
			value := m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			if value != 0 || m.GetGauge() != nil {
				got = append(got, series(family, m)+fmt.Sprintf(" %v", value))
			}
		}
	}
	if text := strings.Join(got, "\n"); text != want {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
}

func series(family *dto.MetricFamily, m *dto.Metric) string {
	var pairs []string
	for _, l := range m.GetLabel() {
		pairs = append(pairs, l.GetName()+"="+l.GetValue())
	}
	return family.GetName() + "{" + strings.Join(pairs, ",") + "}"
}

func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		m := newMetrics(t, reg)
		issuer := logtotest.NewIssuer(t)
		cfg := issuer.Config()
		cfg.Observer = m.Observe
		v := newVerifier(t, cfg)
		keySet := []string{"logto_key_set_age_seconds", "logto_key_set_keys", "logto_key_set_changes_total", "logto_key_set_fetches_total"}

		compare(t, reg, "", keySet...)
		m.Watch(v)
		compare(t, reg, "logto_key_set_keys{} 0", keySet...)

		token := issuer.Token(logtotest.Token{})
		for _, token := range []string{"", "x", issuer.IDToken("u"), token, token, token} {
			_, _ = v.Verify(t.Context(), token)
		}
		m.Observe(t.Context(), logto.Event{Reason: "expired", Remembered: true, ReportOnly: true})
		compare(t, reg, strings.Join([]string{
			"logto_check_duration_seconds{remembered=false,result=accepted} 1",
			"logto_check_duration_seconds{remembered=false,result=refused} 3",
			"logto_check_duration_seconds{remembered=true,result=accepted} 2",
			"logto_check_duration_seconds{remembered=true,result=reported} 1",
			"logto_checks_total{reason=expired,remembered=true,result=reported} 1",
			"logto_checks_total{reason=no_token,remembered=false,result=refused} 1",
			"logto_checks_total{reason=none,remembered=false,result=accepted} 1",
			"logto_checks_total{reason=none,remembered=true,result=accepted} 2",
			"logto_checks_total{reason=opaque_token,remembered=false,result=refused} 1",
			"logto_checks_total{reason=wrong_type,remembered=false,result=refused} 1",
		}, "\n"), "logto_checks_total", "logto_check_duration_seconds")
		synctest.Wait()
		compare(t, reg, strings.Join([]string{
			"logto_key_set_age_seconds{} 0", "logto_key_set_changes_total{change=added} 1",
			"logto_key_set_fetches_total{result=fetched} 1", "logto_key_set_keys{} 1",
		}, "\n"), keySet...)

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
		compare(t, reg, strings.Join([]string{
			"logto_key_set_age_seconds{} 5411",
			"logto_key_set_changes_total{change=added} 2", "logto_key_set_changes_total{change=removed} 1",
			"logto_key_set_fetches_total{result=failed} 1", "logto_key_set_fetches_total{result=fetched} 3",
			"logto_key_set_fetches_total{result=not_modified} 1", "logto_key_set_keys{} 1",
		}, "\n"), keySet...)
		m.Watch(nil)
		compare(t, reg, "", keySet[:2]...)
	})
}

// The histogram tells a remembered token, a signature and a wait apart.
func TestBuckets(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := newMetrics(t, reg)
	for _, d := range []time.Duration{800, 30 * time.Microsecond, 150 * time.Microsecond, 600 * time.Microsecond, 2 * time.Millisecond,
		50 * time.Millisecond, 1001 * time.Millisecond, 10 * time.Second, time.Minute} {
		m.Observe(t.Context(), logto.Event{Duration: d})
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != "logto_check_duration_seconds" {
			continue
		}
		var before uint64
		for _, b := range family.GetMetric()[0].GetHistogram().GetBucket() {
			if n := b.GetCumulativeCount() - before; n > 1 {
				t.Errorf("%d in the bucket up to %v s", n, b.GetUpperBound())
			}
			before = b.GetCumulativeCount()
		}
		if before != 8 {
			t.Errorf("%d under the last boundary", before)
		}
		return
	}
	t.Error("no histogram")
}

// Names and help texts are as Prometheus wants them.
func TestLint(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := newMetrics(t, reg)
	m.Watch(newVerifier(t, logtotest.NewIssuer(t).Config()))
	m.Observe(t.Context(), logto.Event{})
	problems, err := testutil.GatherAndLint(reg)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
}

// allowed are the values that labels may have.
var allowed = map[string][]string{
	"result":     slices.Concat(labels.Results, labels.Fetches, []string{"other"}),
	"reason":     append(slices.Clone(labels.Reasons), "none", "other"),
	"remembered": {"true", "false"},
	"change":     {"added", "removed"},
	"event":      labels.RevocationEvents,
	"outcome":    append(slices.Clone(labels.RevocationOutcomes), "other"),
}

// mostChecks is how many series the checks of one Verifier can be: accepted and
// anonymous; each reason refused (or unavailable) and reported; other with each of
// these; all remembered or not.
var mostChecks = 2 * (2 + 2*len(labels.Reasons) + 3)

// gatherBounded gathers, and checks labels and their number.
func gatherBounded(t *testing.T, reg *prometheus.Registry) (all map[string]float64) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all = map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			all[series(family, m)] = m.GetCounter().GetValue()
			for _, l := range m.GetLabel() {
				if !slices.Contains(allowed[l.GetName()], l.GetValue()) {
					t.Errorf("label %s=%q", l.GetName(), l.GetValue())
				}
			}
		}
	}
	// And histograms by result and remembered; fetches; changes; age and keys.
	if most := mostChecks + 2*len(labels.Results) + 4 + 2 + 2; len(all) > most {
		t.Errorf("%d series, want at most %d", len(all), most)
	}
	return all
}

func TestHostileEvents(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := newMetrics(t, reg)
	hostile.Events(m.Observe, 1)
	before := gatherBounded(t, reg)
	hostile.Events(m.Observe, 100)
	after := gatherBounded(t, reg)
	if len(before) != len(after) {
		t.Errorf("%d series, then %d", len(before), len(after))
	}
	if after["logto_checks_total{reason=other,remembered=false,result=refused}"] == 0 || after["logto_key_set_fetches_total{result=other}"] == 0 {
		t.Errorf("nothing counts as other: %v", after)
	}
}

func TestHostileRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		m := newMetrics(t, reg)
		hostile.Requests(t, m.Observe, 1)
		before := gatherBounded(t, reg)
		hostile.Requests(t, m.Observe, 5)
		after := gatherBounded(t, reg)
		if len(before) != len(after) {
			t.Errorf("%d series, then %d", len(before), len(after))
		}
		reasons := map[string]bool{}
		for name, n := range after {
			if n > 0 && strings.Contains(name, "reason=") {
				reasons[strings.SplitAfter(strings.Split(name, ",")[0], "reason=")[1]] = true
			}
		}
		// overload needs a thousand that wait.
		for _, reason := range labels.Reasons {
			if !reasons[reason] && reason != "overload" {
				t.Errorf("no attack was refused as %s", reason)
			}
		}
		if reasons["other"] {
			t.Error("the library has a reason that this package doesn't know")
		}
	})
}

func TestConcurrentUse(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := newMetrics(t, reg)
	v := newVerifier(t, logtotest.NewIssuer(t).Config())
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { hostile.Events(m.Observe, 5) })
		wg.Go(func() {
			for range 5 {
				m.Watch(v)
				_, _ = reg.Gather()
				m.Watch(nil)
			}
		})
	}
	wg.Wait()
}

func BenchmarkObserve(b *testing.B) {
	m := newMetrics(b, prometheus.NewRegistry())
	for _, test := range []struct {
		name  string
		event logto.Event
	}{
		{"accepted", logto.Event{Remembered: true, Duration: time.Microsecond}},
		{"refused", logto.Event{Reason: "expired", Duration: time.Microsecond}},
		{"other", logto.Event{Reason: "x", Duration: time.Microsecond}},
	} {
		b.Run(test.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				m.Observe(b.Context(), test.event)
			}
		})
	}
}

// What observing adds to the check of a remembered token.
func BenchmarkVerify(b *testing.B) {
	for _, test := range []struct {
		name    string
		observe func(context.Context, logto.Event)
	}{
		{"unobserved", nil},
		{"observed by nothing", func(context.Context, logto.Event) {}},
		{"observed", newMetrics(b, prometheus.NewRegistry()).Observe},
	} {
		issuer := logtotest.NewIssuer(b)
		cfg := issuer.Config()
		cfg.Observer = test.observe
		v, token := newVerifier(b, cfg), issuer.Token(logtotest.Token{})
		b.Run(test.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Verify(b.Context(), token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
