package emulator_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-70fe37f4/logto/emulator"
	"github.com/seed-70fe37f4/logto/internal/memory"
)

// A receiver that never takes it is given up, after 5 attempts; Close gives it up too.
func TestGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tried []time.Duration
		start := time.Now()
		in := &inbox{status: []int{1}, next: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			tried = append(tried, time.Since(start))
			w.WriteHeader(500)
			_, _ = io.WriteString(w, strings.Repeat("x", 300))
		})}
		var log strings.Builder
		em, b := newMemory(t, emulator.Config{Tenant: withHook(t), HTTPClient: &http.Client{Transport: memory.Transport{Handler: in}}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err := em.Suspend("alice"); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("the action took %v", took)
		}
		last := func() (d struct {
			Attempts, Status int
			Problem          string
			Done             bool
		}) {
			t.Helper()
			body := b.get("/control/state").body
			var state struct{ Deliveries []json.RawMessage }
			if err := json.Unmarshal([]byte(body), &state); err != nil || strings.Contains(strings.ReplaceAll(body, `"url":"http://api.test/webhook?x=secret"`, ""), "x=secret") {
				t.Fatalf("%v, %s", err, body)
			}
			if err := json.Unmarshal(state.Deliveries[len(state.Deliveries)-1], &d); err != nil {
				t.Fatal(err)
			}
			return d
		}
		if d := last(); d.Attempts != 0 || d.Done {
			t.Errorf("under way: %+v", d)
		}
		time.Sleep(8100 * time.Millisecond)
		if d := last(); d.Attempts != 1 || d.Done || d.Status != 0 || !strings.Contains(d.Problem, "deadline exceeded") || strings.Contains(d.Problem, "secret") {
			t.Errorf("after one attempt: %+v", d)
		}
		time.Sleep(101 * time.Millisecond)
		if d := last(); d.Attempts != 2 || d.Done || d.Status != 500 {
			t.Errorf("after two attempts: %+v", d)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		// The first attempt hangs, as long as Logto lets it.
		want := []time.Duration{10200 * time.Millisecond, 11200 * time.Millisecond, 14200 * time.Millisecond, 24200 * time.Millisecond}
		if !slices.Equal(tried, want) {
			t.Errorf("tried after %v", tried)
		}
		if d := last(); d.Attempts != 5 || !d.Done || d.Status != 500 || d.Problem != `answered 500: "`+strings.Repeat("x", 200)+`"` {
			t.Errorf("given up: %+v", d)
		}
		if n := strings.Count(log.String(), "webhook not taken"); n != 5 || strings.Count(log.String(), "again=true") != 4 {
			t.Errorf("log %s", &log)
		}
		in.status = []int{1}
		if err := em.Unsuspend("alice"); err != nil {
			t.Fatal(err)
		}
		waits := time.Now()
		go func() {
			if err := em.Suspend("alice"); err != nil { // which waits behind it
				t.Error(err)
			}
		}()
		time.Sleep(time.Millisecond)
		if err := em.Close(); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if d := last(); d.Attempts != 0 || !d.Done || d.Problem != "the emulator was closed" {
			t.Errorf("closed: %+v", d)
		}
		if took := time.Since(waits); took != time.Millisecond {
			t.Errorf("closing took %v", took)
		}
	})
}

// A webhook that is deleted while its events wait sends none of them.
func TestDeletedHook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := &inbox{status: []int{500}}
		em, b := newHooked(t, in)
		if err := em.Suspend("alice"); err != nil {
			t.Fatal(err)
		}
		done := make(chan error)
		go func() { done <- em.Unsuspend("alice") }()
		time.Sleep(time.Millisecond)
		if err := em.Control("tenant", json.RawMessage(emulator.Example()), nil); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if err := <-done; err != nil || time.Since(start) >= time.Second {
			t.Errorf("error %v after %v", err, time.Since(start))
		}
		var state struct {
			Deliveries []struct {
				Attempts int
				Problem  string
				Done     bool
			}
		}
		if err := json.Unmarshal([]byte(b.get("/control/state").body), &state); err != nil {
			t.Fatal(err)
		}
		// The first one is tried by what the hook was.
		if d := state.Deliveries; len(d) != 2 || d[0].Attempts != 2 || !d[0].Done || d[1].Attempts != 0 || !d[1].Done || d[1].Problem != "the hook was deleted" {
			t.Errorf("deliveries %+v", d)
		}
	})
}

// What is sent again is another delivery of the same; a logout token can't be.
func TestResend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := &inbox{}
		em, b := newHooked(t, in)
		b.signIn("alice")
		if err := em.Fault(emulator.Fault{At: "hooks", Do: "lose"}); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if err := em.Suspend("bob"); err != nil || time.Since(start) != 0 {
			t.Errorf("lost: error %v after %v", err, time.Since(start))
		}
		b.get("/oidc/session/end")
		if err := em.Fault(); err != nil {
			t.Fatal(err)
		}
		type delivered struct {
			ID             int64
			Event, Problem string
			Done           bool
		}
		deliveries := func() []delivered {
			var state struct{ Deliveries []delivered }
			if err := json.Unmarshal([]byte(b.get("/control/state").body), &state); err != nil {
				t.Fatal(err)
			}
			return state.Deliveries
		}
		all := deliveries()
		if len(all) != 3 || all[1].Problem != "lost, as the fault says" || !all[1].Done || all[2].Event != "back-channel logout" {
			t.Fatalf("deliveries %+v", all)
		}
		if err := em.Control("resend", map[string]int64{"id": all[2].ID}, nil); err == nil {
			t.Error("a logout token: no error")
		}
		var got struct{ ID int64 }
		if err := em.Control("resend", map[string]int64{"id": all[1].ID}, &got); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		all = deliveries()
		if len(all) != 4 || all[3].ID != got.ID || got.ID <= all[2].ID || all[3].Event != "User.SuspensionStatus.Updated" || !all[3].Done || all[3].Problem != "" || !strings.Contains(in.bodies[len(in.bodies)-1], `"isSuspended":true`) {
			t.Errorf("sent again as %d: %+v, %q", got.ID, all, in.bodies)
		}
	})
}

// The console's button sends any event, by default one that revokes.
func TestTestHook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := &inbox{}
		_, b := newHooked(t, in)
		b.control("test-hook", `{}`)
		b.control("test-hook", `{"event":"Role.Created"}`)
		synctest.Wait()
		if got := in.events(t); !slices.Equal(got, []string{"User.SuspensionStatus.Updated", "Role.Created"}) {
			t.Errorf("events %q", got)
		}
	})
}

// A receiver that redirects is not followed: what is signed goes where it was to go.
func TestRedirectOfHook(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was followed") }))
	defer other.Close()
	receiver := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer receiver.Close()
	em, b := newNetworked(t, emulator.Config{Tenant: []byte(strings.Replace(string(withHook(t)), "http://api.test/webhook?x=secret", receiver.URL, 1))})
	if err := em.Fault(emulator.Fault{At: "hooks", Do: "once"}); err != nil {
		t.Fatal(err)
	}
	if err := em.Suspend("alice"); err != nil {
		t.Fatal(err)
	}
	if a := b.get("/control/state"); !strings.Contains(a.body, `"attempts":1,"status":307,"problem":"answered 307`) {
		t.Errorf("state %s", a.body)
	}
}
