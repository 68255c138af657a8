package emulator_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-70fe37f4/logto/emulator"
)

// Several faults, each at its place and for its times; and what is told of them.
func TestSeveralFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		em, b := newMemory(t, emulator.Config{})
		if err := em.Fault(emulator.Fault{At: "token", Status: 500, Times: 2}, emulator.Fault{At: "userinfo", Times: 1}, emulator.Fault{At: "token", Do: "slow", Times: 1}, emulator.Fault{At: "jwks", Do: "empty", Times: 1}, emulator.Fault{At: "discovery", Do: "html"}); err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct {
			path   string
			status int
			retry  string
			takes  time.Duration
			left   int
		}{
			{"/oidc/me", 503, "1", 0, 4},
			{"/oidc/me", 400, "", 0, 4},
			{"/oidc/token", 500, "", 0, 4},
			{"/oidc/jwks", 200, "", 0, 3},
			{"/oidc/token", 500, "", 0, 2},
			{"/oidc/token", 400, "", 3 * time.Second, 1},
			{"/oidc/token", 400, "", 0, 1},
			{"/oidc/.well-known/openid-configuration", 200, "", 0, 1},
			{"/oidc/.well-known/openid-configuration", 200, "", 0, 1},
		} {
			start := time.Now()
			var a answer
			if step.path == "/oidc/token" {
				a = b.post(step.path, url.Values{"client_id": {"page"}})
			} else {
				a = b.get(step.path)
			}
			if a.status != step.status || a.header.Get("Retry-After") != step.retry || time.Since(start) != step.takes {
				t.Errorf("%s: %d %v after %v", step.path, a.status, a.header, time.Since(start))
			}
			if left := len(b.get("/control/state").json(t)["faults"].([]any)); left != step.left {
				t.Errorf("%s: %d are left", step.path, left)
			}
		}
		var state struct {
			Calls []struct {
				Endpoint, Note string
				Status         int
			}
		}
		if err := json.Unmarshal([]byte(b.get("/control/state").body), &state); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, c := range state.Calls {
			if strings.HasPrefix(c.Note, "fault: ") {
				got = append(got, fmt.Sprint(c.Endpoint, " ", c.Status, " ", c.Note))
			}
		}
		if want := "[userinfo 503 fault: fail token 500 fault: fail jwks 200 fault: empty token 500 fault: fail discovery 200 fault: html discovery 200 fault: html]"; fmt.Sprint(got) != want {
			t.Errorf("calls %v", got)
		}
	})
}

// An answer that is cut begins well.
func TestCut(t *testing.T) {
	em, b := newMemory(t, emulator.Config{})
	if err := em.Fault(emulator.Fault{At: "userinfo", Do: "cut"}); err != nil {
		t.Fatal(err)
	}
	res, err := b.client.Do(b.request("GET", "/oidc/me", ""))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if res.StatusCode != 200 || res.Header.Get("Content-Length") != "1000" || res.Header.Get("Content-Type") != "application/json" || string(body) != `{"keys":[` || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%d %v %q, error %v", res.StatusCode, res.Header, body, err)
	}
	if a := b.get("/control/state"); !strings.Contains(a.body, `"endpoint":"userinfo","status":200,"note":"fault: cut"`) {
		t.Errorf("state %s", a.body)
	}
}

// What hangs, and what is slow, ends when the emulator is closed, and is told.
func TestCloseEndsFaults(t *testing.T) {
	for _, do := range []string{"hang", "slow"} {
		for _, closed := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				em, b := newMemory(t, emulator.Config{})
				if err := em.Fault(emulator.Fault{At: "token", Do: do, Seconds: 600}); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				done := make(chan bool)
				go func() {
					defer close(done)
					em.ServeHTTP(httptest.NewRecorder(), b.request("POST", "/oidc/token", "").WithContext(ctx))
				}()
				time.Sleep(time.Second)
				start := time.Now()
				if closed {
					if err := em.Close(); err != nil {
						t.Error(err)
					}
				} else {
					cancel()
				}
				<-done
				synctest.Wait()
				if took := time.Since(start); took != 0 {
					t.Errorf("%s: took %v", do, took)
				}
				if a := newBrowser(t, em).get("/control/state"); !strings.Contains(a.body, `"endpoint":"token","status":0,"note":"fault: `+do+`"`) {
					t.Errorf("%s: %s", do, a.body)
				}
			})
		}
	}
}

// A Logto that hangs ends when its client gives up.
func TestHangEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		em, b := newMemory(t, emulator.Config{})
		if err := em.Fault(emulator.Fault{At: "token", Do: "hang"}); err != nil {
			t.Fatal(err)
		}
		timed, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_, err := b.client.Do(b.request("POST", "/oidc/token", "").WithContext(timed))
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
	})
}
