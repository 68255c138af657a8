package promlogto_test

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/seed-70fe37f4/logto/logtotest"
	"github.com/seed-70fe37f4/logto/observers/internal/hostile"
	"github.com/seed-70fe37f4/logto/observers/internal/labels"
	"github.com/seed-70fe37f4/logto/observers/promlogto"
	"github.com/seed-70fe37f4/logto/revocation"
)

// revocations are Revocations with what they set as the Observer.
type revocations struct {
	*promlogto.Revocations
	Observe func(revocation.Event)
}

func newRevocations(t testing.TB, reg prometheus.Registerer) revocations {
	t.Helper()
	var cfg revocation.Config
	m, err := promlogto.InstrumentRevocations(&cfg, reg)
	if err != nil {
		t.Fatal(err)
	}
	return revocations{m, cfg.Observer}
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

// store is one that can be down, and takes nothing.
type store struct {
	mu   sync.Mutex
	down chan struct{} // closed when it is
}

var errDown = errors.New("down")

func (s *store) Append(context.Context, time.Duration, ...revocation.Revocation) error {
	return errDown
}

func (s *store) Follow(ctx context.Context, _ string, apply func(string, []revocation.Revocation)) error {
	s.mu.Lock()
	down := s.down
	s.mu.Unlock()
	for {
		select {
		case <-down:
			return errDown
		case <-ctx.Done():
			return ctx.Err()
		default:
		}
		apply("x", nil)
		select {
		case <-time.After(time.Second):
		case <-down:
		case <-ctx.Done():
		}
	}
}

func (s *store) set(up bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if up {
		s.down = make(chan struct{})
	} else {
		close(s.down)
	}
}

func TestRevocationsRegistration(t *testing.T) {
	calls := 0
	cfg := revocation.Config{Observer: func(revocation.Event) { calls++ }}
	for name, try := range map[string]func() error{
		"no registerer": func() error { _, err := promlogto.InstrumentRevocations(&cfg, nil); return err },
		"no Config": func() error {
			_, err := promlogto.InstrumentRevocations(nil, prometheus.NewRegistry())
			return err
		},
		"with a label beside one without": func() error {
			reg := prometheus.NewRegistry()
			newRevocations(t, reg)
			_, err := promlogto.InstrumentRevocations(&cfg, wrap(reg, "a"))
			return err
		},
	} {
		if try() == nil {
			t.Errorf("%s: no error", name)
		}
	}
	reg := prometheus.NewRegistry()
	newMetrics(t, reg) // beside those of a Verifier
	m := newRevocations(t, reg)
	if _, err := promlogto.InstrumentRevocations(&cfg, reg); err != nil {
		t.Fatal(err)
	}
	m.Observe(revocation.Event{Kind: "store", Outcome: "lost"})
	cfg.Observer(revocation.Event{Kind: "store", Outcome: "lost"})
	compare(t, reg, "logto_revocation_events_total{event=store,outcome=lost} 2", "logto_revocation_events_total")
	if calls != 1 {
		t.Errorf("the former Observer had %d calls", calls)
	}
	if !reg.Unregister(m) {
		t.Error("not unregistered")
	}
	reg = prometheus.NewRegistry()
	newRevocations(t, wrap(reg, "a")).Observe(revocation.Event{Kind: "store", Outcome: "lost"})
	newRevocations(t, wrap(reg, "b"))
	compare(t, reg, "logto_revocation_events_total{event=store,outcome=lost,verifier=a} 1", "logto_revocation_events_total")
}

// A list without a store: webhooks, and a request that it refuses.
func TestRevocations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		m, checks := newRevocations(t, reg), newMetrics(t, reg)
		list := newList(t, revocation.Config{Observer: m.Observe})
		names := []string{"logto_revocation_entries", "logto_revocation_pending", "logto_revocation_copy_age_seconds", "logto_revocation_ready",
			"logto_revocation_events_total", "logto_checks_total"}
		compare(t, reg, "", names...)
		m.Watch(list)
		compare(t, reg, strings.Join([]string{
			"logto_revocation_copy_age_seconds{} 0", "logto_revocation_entries{} 0", "logto_revocation_pending{} 0", "logto_revocation_ready{} 1",
		}, "\n"), names...)

		issuer := logtotest.NewIssuer(t)
		cfg := issuer.Config()
		cfg.Observer, cfg.Revoked = checks.Observe, list.Check
		v := newVerifier(t, cfg)
		token := issuer.Token(logtotest.Token{User: "alice"})
		_, _ = v.Verify(t.Context(), token)
		h := list.Webhook(issuer.SigningKey())
		h.ServeHTTP(httptest.NewRecorder(), issuer.Suspend("alice"))
		h.ServeHTTP(httptest.NewRecorder(), issuer.Suspend("bob"))
		h.ServeHTTP(httptest.NewRecorder(), issuer.TestButton())
		h.ServeHTTP(httptest.NewRecorder(), logtotest.NewIssuer(t).Suspend("carol"))
		if err := list.Revoke(t.Context(), revocation.Revocation{Subject: "dave"}); err != nil {
			t.Fatal(err)
		}
		_, _ = v.Verify(t.Context(), token)
		compare(t, reg, strings.Join([]string{
			"logto_checks_total{reason=none,remembered=false,result=accepted} 1",
			"logto_checks_total{reason=revoked,remembered=true,result=refused} 1",
			"logto_revocation_copy_age_seconds{} 0",
			"logto_revocation_entries{} 3",
			"logto_revocation_events_total{event=User.SuspensionStatus.Updated,outcome=revoked} 2",
			"logto_revocation_events_total{event=User.SuspensionStatus.Updated,outcome=test} 1",
			"logto_revocation_events_total{event=call,outcome=revoked} 1",
			"logto_revocation_events_total{event=unverified,outcome=unauthorized} 1",
			"logto_revocation_pending{} 0", "logto_revocation_ready{} 1",
		}, "\n"), names...)
		m.Watch(nil)
		compare(t, reg, "", names[:4]...)
	})
}

// A list with a store that comes, goes, and takes nothing.
func TestRevocationsOfAStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		m := newRevocations(t, reg)
		s := &store{}
		s.set(true)
		list := newList(t, revocation.Config{Observer: m.Observe, Store: s, MaxStale: 10 * time.Second})
		m.Watch(list)
		gauges := []string{"logto_revocation_entries", "logto_revocation_pending", "logto_revocation_copy_age_seconds", "logto_revocation_ready"}
		// There is no copy yet, and so no age.
		compare(t, reg, "logto_revocation_entries{} 0\nlogto_revocation_pending{} 0\nlogto_revocation_ready{} 0", gauges...)

		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- list.Run(ctx) }()
		time.Sleep(1500 * time.Millisecond)
		_ = list.Revoke(t.Context(), revocation.Revocation{Subject: "alice"})
		compare(t, reg, "logto_revocation_copy_age_seconds{} 0.5\nlogto_revocation_entries{} 1\nlogto_revocation_pending{} 1\nlogto_revocation_ready{} 1", gauges...)
		s.set(false)
		time.Sleep(time.Minute)
		compare(t, reg, "logto_revocation_copy_age_seconds{} 60.5\nlogto_revocation_entries{} 1\nlogto_revocation_pending{} 1\nlogto_revocation_ready{} 0", gauges...)
		s.set(true)
		time.Sleep(time.Second)
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		compare(t, reg, strings.Join([]string{
			"logto_revocation_events_total{event=call,outcome=store_failed} 1",
			"logto_revocation_events_total{event=store,outcome=copied} 2",
			"logto_revocation_events_total{event=store,outcome=lost} 1",
			"logto_revocation_events_total{event=store,outcome=stale} 1",
		}, "\n"), "logto_revocation_events_total")
	})
}

// What an alert asks for begins at 0.
func TestRevocationsBeginAtZero(t *testing.T) {
	reg := prometheus.NewRegistry()
	newRevocations(t, reg)
	all := gatherRevocations(t, reg)
	for _, want := range []string{"event=store,outcome=lost", "event=unverified,outcome=unauthorized", "event=User.Deleted,outcome=revoked", "event=call,outcome=store_failed"} {
		if value, ok := all["logto_revocation_events_total{"+want+"}"]; !ok || value != 0 {
			t.Errorf("%s: %v, %v", want, value, ok)
		}
	}
}

func TestRevocationsLint(t *testing.T) {
	reg := prometheus.NewRegistry()
	newRevocations(t, reg).Watch(newList(t, revocation.Config{}))
	problems, err := testutil.GatherAndLint(reg)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
}

// gatherRevocations gathers, and checks labels and their number.
func gatherRevocations(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
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
	return all
}

func TestHostileRevocations(t *testing.T) {
	for _, test := range []struct {
		name string
		send func(t *testing.T, observe func(revocation.Event), n int)
		most int
		want []string
	}{
		// Any kind with any outcome, where package revocation would make no such pairs.
		{"events", func(_ *testing.T, observe func(revocation.Event), n int) { hostile.RevocationEvents(observe, n) },
			len(labels.RevocationEvents) * (len(labels.RevocationOutcomes) + 1),
			[]string{"event=other,outcome=other", "event=User.Deleted,outcome=revoked", "event=unverified,outcome=other"}},
		// What a list makes of all this is those that begin at 0, and what is not new, malformed and so on.
		{"webhooks", hostile.Webhooks, len(labels.FirstRevocations()) + 14, []string{
			"event=User.SuspensionStatus.Updated,outcome=unchanged", "event=User.SuspensionStatus.Updated,outcome=nothing", "event=User.SuspensionStatus.Updated,outcome=test",
			"event=other,outcome=unknown", "event=other,outcome=malformed", "event=User.Deleted,outcome=malformed", "event=PostResetPassword,outcome=old", "event=Role.Deleted,outcome=failed",
			"event=unverified,outcome=unauthorized", "event=unverified,outcome=refused", "event=call,outcome=revoked", "event=logout,outcome=revoked", "event=unverified,outcome=unavailable"}},
	} {
		reg := prometheus.NewRegistry()
		m := newRevocations(t, reg)
		test.send(t, m.Observe, 1)
		before := gatherRevocations(t, reg)
		test.send(t, m.Observe, 20)
		after := gatherRevocations(t, reg)
		if len(before) != len(after) || len(after) > test.most {
			t.Errorf("%s: %d series, then %d, want at most %d: %q", test.name, len(before), len(after), test.most, slices.Sorted(maps.Keys(after)))
		}
		for _, want := range test.want {
			if after["logto_revocation_events_total{"+want+"}"] == 0 {
				t.Errorf("%s: no %s in %v", test.name, want, after)
			}
		}
		if test.name == "webhooks" && after["logto_revocation_events_total{event=other,outcome=other}"] != 0 {
			t.Error("the library has an event that this package doesn't know")
		}
	}
}

func TestRevocationsConcurrentUse(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := newRevocations(t, reg)
	list := newList(t, revocation.Config{Observer: m.Observe})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { hostile.RevocationEvents(m.Observe, 5) })
		wg.Go(func() {
			for range 5 {
				m.Watch(list)
				_, _ = reg.Gather()
				m.Watch(nil)
			}
		})
	}
	wg.Wait()
}
