package emulator_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/emulator"
)

func mint(t *testing.T, em *emulator.Server) string {
	t.Helper()
	token, err := em.Token(emulator.Token{User: "alice", Scopes: []string{"read:things"}})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// Every fault of the key endpoint: what an API answers that has just started, what one
// that has its keys answers a day long, and what the first one answers when all is well
// again.
func TestKeyFaults(t *testing.T) {
	for _, test := range []struct {
		name  string
		fault emulator.Fault
		fresh int // status of an API that has no keys
		takes time.Duration
	}{
		{"none", emulator.Fault{At: "userinfo"}, 200, 0},
		{"fail", emulator.Fault{At: "jwks"}, 503, 0},
		{"500", emulator.Fault{At: "jwks", Status: 500}, 503, 0},
		{"404", emulator.Fault{At: "jwks", Status: 404}, 503, 0},
		{"429", emulator.Fault{At: "jwks", Status: 429}, 503, 0},
		{"hang", emulator.Fault{At: "jwks", Do: "hang"}, 503, 5 * time.Second},
		{"slow", emulator.Fault{At: "jwks", Do: "slow", Seconds: 2}, 200, 2 * time.Second},
		{"too slow", emulator.Fault{At: "jwks", Do: "slow", Seconds: 20}, 503, 5 * time.Second},
		{"HTML", emulator.Fault{At: "jwks", Do: "html"}, 503, 0},
		{"empty", emulator.Fault{At: "jwks", Do: "empty"}, 503, 0},
		{"cut", emulator.Fault{At: "jwks", Do: "cut"}, 503, 0},
		{"everything", emulator.Fault{Do: "hang"}, 503, 5 * time.Second},
		{"discovery", emulator.Fault{At: "discovery", Do: "html"}, 200, 0}, // which no API asks
	} {
		synctest.Test(t, func(t *testing.T) {
			em, _ := newMemory(t, emulator.Config{})
			known, fresh := newAPI(t, inMemory(em)), newAPI(t, inMemory(em))
			if status := ask(known, mint(t, em)); status != 200 {
				t.Errorf("%s: before: %d", test.name, status)
			}
			if err := em.Fault(test.fault); err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			if status := ask(fresh, mint(t, em)); status != test.fresh || time.Since(start) != test.takes {
				t.Errorf("%s: without keys: %d after %v", test.name, status, time.Since(start))
			}
			for range 23 {
				time.Sleep(time.Hour)
				if status := ask(known, mint(t, em)); status != 200 {
					t.Errorf("%s: with keys: %d after %v", test.name, status, time.Since(start))
				}
			}
			if err := em.Fault(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			if status := ask(fresh, mint(t, em)); status != 200 {
				t.Errorf("%s: after: %d", test.name, status)
			}
		})
	}
}

// What is done to keys.
func TestKeyButtons(t *testing.T) {
	for _, test := range []struct {
		name        string
		do          []string // action, arguments
		first, next int      // status of a token from before, and of one from after
		algorithm   string
		published   int
	}{
		{"rotate", []string{"rotate", `{}`}, 200, 200, "ES384", 2},
		{"to RSA", []string{"rotate", `{"algorithm":"RS256"}`}, 200, 200, "RS256", 2},
		{"to RSA-PSS", []string{"rotate", `{"algorithm":"PS256"}`}, 200, 200, "PS256", 2},
		{"staged", []string{"rotate", `{"staged":true,"algorithm":"ES256"}`}, 200, 200, "ES384", 2},
		{"staged, then used", []string{"rotate", `{"staged":true,"algorithm":"ES256"}`, "rotate", `{}`}, 200, 200, "ES256", 2},
		{"twice: the first is gone", []string{"rotate", `{}`, "rotate", `{}`}, 401, 200, "ES384", 2},
		{"dropped", []string{"rotate", `{}`, "drop-key", `{}`}, 401, 200, "ES384", 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			em, b := newMemory(t, emulator.Config{})
			cfg := inMemory(em)
			v, err := logto.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			things := logto.Require(v)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			before := mint(t, em)
			if status := ask(things, before); status != 200 {
				t.Fatalf("%s: %d", test.name, status)
			}
			for i := 0; i < len(test.do); i += 2 {
				b.control(test.do[i], test.do[i+1])
			}
			after := mint(t, em)
			if status := ask(things, after); status != test.next {
				t.Errorf("%s: a new token: %d", test.name, status)
			}
			time.Sleep(11 * time.Minute) // when the key set is refreshed at the latest
			ask(things, after)
			synctest.Wait()
			if status := ask(things, before); status != test.first {
				t.Errorf("%s: the old token: %d", test.name, status)
			}
			header, _ := decode(t, after)
			keys := strings.Count(b.get("/oidc/jwks").body, `"kid"`)
			if header["alg"] != test.algorithm || keys != test.published {
				t.Errorf("%s: signed by %v, %d keys", test.name, header, keys)
			}
		})
	}
	em, b := newMemory(t, emulator.Config{})
	header, _ := decode(t, mint(t, em))
	b.control("rotate", `{}`)
	current, _ := decode(t, mint(t, em))
	if err := em.Control("drop-key", map[string]any{"id": current["kid"]}, nil); err == nil {
		t.Error("the current key was dropped")
	}
	b.control("rotate", `{"staged":true}`)
	b.control("drop-key", `{"id":"`+header["kid"].(string)+`"}`)
	var state struct{ Keys []struct{ ID, Status string } }
	for _, want := range []string{"Next Current ", "Current "} {
		if err := json.Unmarshal([]byte(b.get("/control/state").body), &state); err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, k := range state.Keys {
			got += k.Status + " "
		}
		if got != want {
			t.Errorf("keys %q, want %q", got, want)
		}
		if state.Keys[0].Status == "Next" {
			b.control("drop-key", `{"id":"`+state.Keys[0].ID+`"}`)
		}
	}
	for _, wrong := range []struct {
		action string
		args   map[string]any
	}{
		{"rotate", map[string]any{"algorithm": "HS256"}}, {"rotate", map[string]any{"algorithm": "none"}}, {"rotate", map[string]any{"key": "x"}},
		{"drop-key", nil}, {"drop-key", map[string]any{"id": "x"}}, {"no-such", nil},
	} {
		if err := em.Control(wrong.action, wrong.args, nil); err == nil {
			t.Errorf("%s %v: no error", wrong.action, wrong.args)
		}
	}
}

// A clock that is off, and lives of seconds.
func TestTimeButtons(t *testing.T) {
	for _, test := range []struct {
		name   string
		do     []string
		after  time.Duration
		status int
		err    error // what the library says
	}{
		{"a minute ahead", []string{"clock", `{"seconds":60}`}, 0, 401, logto.ErrInvalidToken},
		{"half a minute ahead", []string{"clock", `{"seconds":30}`}, 0, 200, nil},
		{"a minute behind", []string{"clock", `{"seconds":-60}`}, 0, 200, nil},
		{"two hours behind", []string{"clock", `{"seconds":-7200}`}, 0, 401, logto.ErrExpired},
		{"put right", []string{"clock", `{"seconds":-7200}`, "clock", `{}`}, 0, 200, nil},
		{"five seconds", []string{"lifetimes", `{"accessToken":5}`}, 0, 200, nil},
		{"five seconds, over", []string{"lifetimes", `{"accessToken":5}`}, 2 * time.Minute, 401, logto.ErrExpired},
		{"as described", []string{"lifetimes", `{"accessToken":5}`, "lifetimes", `{}`}, 2 * time.Minute, 200, nil},
		{"expired at birth", []string{"lifetimes", `{"accessToken":-120}`}, 0, 401, logto.ErrExpired},
		{"reset", []string{"lifetimes", `{"accessToken":-120}`, "clock", `{"seconds":-7200}`, "reset", ``}, 0, 200, nil},
	} {
		synctest.Test(t, func(t *testing.T) {
			em, b := newMemory(t, emulator.Config{})
			for i := 0; i < len(test.do); i += 2 {
				b.control(test.do[i], test.do[i+1])
			}
			v, err := logto.New(inMemory(em))
			if err != nil {
				t.Fatal(err)
			}
			token := mint(t, em)
			time.Sleep(test.after)
			_, err = v.Verify(context.Background(), token)
			if !errors.Is(err, test.err) || (err == nil) != (test.err == nil) {
				t.Errorf("%s: error %v", test.name, err)
			}
			if status := ask(logto.Require(v)(http.NotFoundHandler()), token); status != test.status && (test.status != 200 || status != 404) {
				t.Errorf("%s: status %d", test.name, status)
			}
		})
	}
	// Lives of ID and refresh tokens, and the clock in the answer's header.
	synctest.Test(t, func(t *testing.T) {
		_, b := newMemory(t, emulator.Config{})
		b.control("lifetimes", `{"idToken":7,"refreshToken":60}`)
		b.control("clock", `{"seconds":-3600}`)
		first := b.exchange(b.signIn("alice"))
		_, claims := decode(t, first.text(t, "id_token"))
		if claims["exp"].(float64)-claims["iat"].(float64) != 7 || int64(claims["iat"].(float64)) != time.Now().Add(-time.Hour).Unix() {
			t.Errorf("ID token %v", claims)
		}
		date, err := http.ParseTime(first.header.Get("Date"))
		if err != nil || time.Since(date) != time.Hour {
			t.Errorf("Date %v, error %v", date, err)
		}
		time.Sleep(61 * time.Second)
		if a := b.refresh(first.text(t, "refresh_token")); a.status != 400 {
			t.Errorf("refresh: %d", a.status)
		}
	})
	em, _ := newMemory(t, emulator.Config{})
	for action, args := range map[string]any{"clock": map[string]float64{"seconds": 1e12}, "lifetimes": map[string]float64{"idToken": -1}} {
		if err := em.Control(action, args, nil); err == nil {
			t.Errorf("%s: no error", action)
		}
	}
	if err := em.Control("lifetimes", map[string]float64{"accessToken": 1e12}, nil); err == nil {
		t.Error("a life of ages: no error")
	}
}

// What goes wrong goes wrong inside of CORS: a page sees the status, not "Failed to
// fetch". And it goes wrong for so many answers.
func TestFaultsInsideCORS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		em, b := newMemory(t, emulator.Config{})
		const origin = "http://localhost:5173"
		for _, test := range []struct {
			at, path string
			fault    emulator.Fault
			status   int
			kind     string
		}{
			{"token", "/oidc/token", emulator.Fault{}, 503, "application/json"},
			{"token", "/oidc/token", emulator.Fault{Status: 429}, 429, "application/json"},
			{"token", "/oidc/token", emulator.Fault{Do: "html"}, 200, "text/html"},
			{"token", "/oidc/token", emulator.Fault{Do: "slow", Seconds: 0.5}, 400, "application/json"}, // the right refusal, late
			{"revocation", "/oidc/token/revocation", emulator.Fault{}, 503, "application/json"},
			{"introspection", "/oidc/token/introspection", emulator.Fault{}, 503, "application/json"},
			{"userinfo", "/oidc/me", emulator.Fault{Status: 500}, 500, "application/json"},
			{"end_session", "/oidc/session/end", emulator.Fault{}, 503, "application/json"},
			{"auth", "/oidc/auth", emulator.Fault{}, 503, "application/json"},
		} {
			test.fault.At, test.fault.Times = test.at, 1
			if err := em.Fault(test.fault); err != nil {
				t.Fatal(err)
			}
			a := b.post(test.path, url.Values{"client_id": {"page"}}, "Origin", origin)
			if a.status != test.status || a.header.Get("Access-Control-Allow-Origin") != origin || !strings.HasPrefix(a.header.Get("Content-Type"), test.kind) {
				t.Errorf("%s %+v: %d %v %s", test.at, test.fault, a.status, a.header, a.body)
			}
			if preflight := b.do(b.request("OPTIONS", test.path, "", "Origin", origin, "Access-Control-Request-Method", "POST")); preflight.status != 204 {
				t.Errorf("%s: preflight %d", test.at, preflight.status)
			}
			if again := b.post(test.path, url.Values{"client_id": {"page"}}, "Origin", origin); again.status >= 500 || again.status == 429 {
				t.Errorf("%s: after one time: %d", test.at, again.status)
			}
		}
		for _, right := range []emulator.Fault{{Status: 400}, {Status: 599}, {Do: "slow", Seconds: 3600}, {Do: "slow", Seconds: 0.001}, {At: "jwks", Do: "empty", Times: 1}} {
			if err := em.Fault(right); err != nil {
				t.Errorf("%+v: %v", right, err)
			}
		}
		if err := em.Fault(emulator.Fault{At: "x"}); err == nil || !strings.Contains(err.Error(), `is none of ["discovery" "jwks" `) {
			t.Errorf("error %v", err)
		}
		for _, wrong := range []emulator.Fault{{At: "x"}, {Do: "x"}, {At: "token", Do: "empty"}, {At: "hooks", Do: "fail"}, {At: "token", Do: "once"}, {Status: 200}, {Status: 399}, {Status: 600}, {Seconds: -1}, {Seconds: 3600.5}, {Times: -1}} {
			if err := em.Fault(wrong); err == nil || !strings.Contains(err.Error(), "fault: ") {
				t.Errorf("%+v: error %v", wrong, err)
			}
		}
	})
}

func ExampleServer_Fault() {
	em, err := emulator.New(emulator.Config{}) // in a test: emulator.Start(t)
	if err != nil {
		panic(err)
	}
	defer em.Close()
	if err := em.Fault(emulator.Fault{At: "token", Status: 429, Times: 1}); err != nil {
		panic(err)
	}
	for range 2 {
		res, err := em.Client().PostForm(em.Endpoint()+"/oidc/token", url.Values{"grant_type": {"client_credentials"},
			"client_id": {"machine"}, "client_secret": {"machine-secret"}, "resource": {"https://api.example.test"}})
		if err != nil {
			panic(err)
		}
		_ = res.Body.Close()
		fmt.Println(res.StatusCode)
	}
	// Output:
	// 429
	// 200
}
