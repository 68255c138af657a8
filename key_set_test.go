package logto_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/logtotest"
)

// handedIn is a Verifier with a key set as old as that.
func (s *service) handedIn(jwks string, age time.Duration) {
	s.Helper()
	cfg := s.issuer.Config()
	cfg.Logger = slog.New(slog.NewTextHandler(s.log, nil))
	cfg.KeySet = logto.KeySet{Issuer: s.issuer.Endpoint() + "/oidc", JWKS: json.RawMessage(jwks), Fetched: time.Now().Add(-age)}
	s.v = newVerifier(s.T, cfg)
}

// What New refuses of a key set that is handed in.
func TestKeySetRefused(t *testing.T) { synctest.Test(t, testKeySetRefused) }

func testKeySetRefused(t *testing.T) {
	issuer := logtotest.New("https://logto.example.test")
	good := issuer.KeySet()
	now := time.Now()
	sized := func(n int) string {
		const more = `,"x":""}`
		return good[:len(good)-1] + `,"x":"` + strings.Repeat("x", n-len(good)+1-len(more)) + `"}`
	}
	for _, test := range []struct {
		name, jwks string
		fetched    time.Time
		want       string // "" for none
	}{
		{"without a time", good, time.Time{}, "Config.KeySet needs Fetched"},
		{"from the future", good, now.Add(30*time.Second + 1), "this clock is wrong"},
		{"no keys", "", now, "Config.KeySet"},
		{"empty", `{"keys":[]}`, now, "Config.KeySet"},
		{"no JSON", "<!doctype html>", now, "Config.KeySet"},
		{"secret", `{"keys":[{"kty":"oct","k":"AAAA","kid":"1"}]}`, now, "Config.KeySet"},
		{"too large", sized(logto.MaxBody + 1), now, "over 1048576 bytes"},
		{"good", good, now, ""},
		{"by a clock that is a little ahead", good, now.Add(30 * time.Second), ""},
		{"large", sized(logto.MaxBody), now, ""},
		{"old", good, now.Add(-1000 * time.Hour), ""},
	} {
		cfg := issuer.Config()
		cfg.Logger = capture
		cfg.KeySet = logto.KeySet{Issuer: issuer.Endpoint() + "/oidc", JWKS: json.RawMessage(test.jwks), Fetched: test.fetched}
		if test.jwks == "" {
			cfg.KeySet.JWKS = nil
		}
		_, err := logto.New(cfg)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
		if len(fmt.Sprint(err)) > 300 {
			t.Errorf("%s: the error has %d characters", test.name, len(err.Error()))
		}
		// Of several Logtos, too, and the error tells of which.
		other := another(t, cfg)
		other.KeySet.Issuer = other.Issuers[0]
		if _, err := logto.New(issuer.Config(), other); (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), "configuration 2 of 2") {
			t.Errorf("%s, of the second: %v", test.name, err)
		}
	}
	// It is one Logto's.
	cfg := issuer.Config()
	cfg.Logger = capture
	cfg.Issuers = []string{issuer.Endpoint() + "/oidc", "https://auth.example.test/oidc"}
	for name, want := range map[string]bool{"": false, "https://staging.example.test/oidc": false, issuer.Endpoint(): false, cfg.Issuers[0]: true, cfg.Issuers[1]: true} {
		cfg.KeySet = logto.KeySet{Issuer: name, JWKS: json.RawMessage(good), Fetched: now}
		if _, err := logto.New(cfg); (err == nil) != want || err != nil && !strings.Contains(err.Error(), fmt.Sprintf("is for the tokens of %q", name)) {
			t.Errorf("of %q: %v", name, err)
		}
	}
	cfg.KeySet = logto.KeySet{Issuer: cfg.Issuers[0]}
	if _, err := logto.New(cfg); err == nil {
		t.Error("an issuer alone is taken for a key set")
	}
}

// A key set that is handed in is as old as it says, whatever becomes of the key endpoint.
func TestKeySetAges(t *testing.T) {
	for _, test := range []struct {
		name    string
		age     time.Duration
		status  int
		took    time.Duration
		fetches int
	}{
		{"a day", logto.DeadAge, 503, logto.MaxHold, 1},
		{"an hour", logto.WaitAge, 200, logto.MaxWait, 1},
		{"under a day", logto.DeadAge - 2*time.Second, 200, logto.MaxWait, 1},
		{"under an hour", logto.WaitAge - time.Second, 200, 0, 1},
		{"due", logto.StaleAge, 200, 0, 1},
		{"young", 4 * time.Minute, 200, 0, 0},
		{"from a clock that is ahead", -20 * time.Second, 200, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(s *service) {
				s.issuer.Fail(logtotest.Hang())
				s.handedIn(s.issuer.KeySet(), test.age)
				if age := s.v.KeySetStatus().Age; age != max(test.age, 0) {
					t.Errorf("age %v", age)
				}
				start := time.Now()
				if w := s.ask(s.token()); w.Code != test.status {
					t.Errorf("status %d, want %d", w.Code, test.status)
				}
				if took := time.Since(start); took != test.took {
					t.Errorf("took %v, want %v", took, test.took)
				}
				synctest.Wait()
				if n := s.issuer.Fetches(); n != test.fetches {
					t.Errorf("%d fetches, want %d", n, test.fetches)
				}
			})
		})
	}
	// It ends a day after it was fetched, not a day after it was handed in.
	inBubble(t, func(s *service) {
		s.issuer.Fail(logtotest.Status(500))
		s.handedIn(s.issuer.KeySet(), 23*time.Hour)
		token := s.token()
		if w := s.ask(token); w.Code != 200 {
			t.Errorf("before: status %d", w.Code)
		}
		time.Sleep(time.Hour)
		if w := s.ask(token); w.Code != 503 {
			t.Errorf("after: status %d", w.Code)
		}
	})
}

// The first fetch replaces what was handed in, and ends what is no longer published. What
// stays is the same key, so remembered tokens stay too.
func TestKeySetIsReplaced(t *testing.T) {
	inBubble(t, func(s *service) {
		stays := s.token()
		other := logtotest.New(s.issuer.Endpoint())
		gone := other.Token(logtotest.Token{ExpiresIn: time.Hour, Claims: aged()})
		var both struct{ Keys []json.RawMessage }
		for _, set := range []string{s.issuer.KeySet(), other.KeySet()} {
			var one struct{ Keys []json.RawMessage }
			if err := json.Unmarshal([]byte(set), &one); err != nil {
				t.Fatal(err)
			}
			both.Keys = append(both.Keys, one.Keys...)
		}
		both.Keys = append(both.Keys, json.RawMessage(`{"kty":"EC","kid":"weak","crv":"P-192"}`))
		s.handedIn(string(must(json.Marshal(map[string]any{"keys": both.Keys}))), time.Minute)
		for _, want := range []string{"key set handed in", "age=1m0s", s.issuer.KeyID(), other.KeyID(), "key ignored", "weak"} {
			if !strings.Contains(s.log.String(), want) {
				t.Errorf("the log has no %q:\n%s", want, s.log)
			}
		}
		for _, token := range []string{gone, stays} {
			if w := s.ask(token); w.Code != 200 {
				t.Errorf("status %d", w.Code)
			}
		}
		time.Sleep(logto.StaleAge)
		s.verify(stays, nil, 0, 1) // the refresh runs behind it
		if w := s.ask(gone); w.Code != 401 {
			t.Errorf("of a key that is gone: status %d", w.Code)
		}
		if tokens, _ := s.v.Remembered(); tokens != 2 {
			t.Errorf("%d tokens are remembered", tokens)
		}
		s.verify(stays, nil, 0, 2) // the refresh, and one for the key that is gone
	})
}

// Who handed in a key set may not know what is published by now: a key that isn't in it is
// asked for, and while nobody answers no token is called bad.
func TestKeySetProvesNothing(t *testing.T) {
	for _, test := range []struct {
		name   string
		fault  http.Handler
		status int
	}{
		{"nobody answers", logtotest.Status(500), 503},
		{"the issuer answers", nil, 200},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(s *service) {
				jwks := s.issuer.KeySet()
				s.issuer.Rotate()
				token := s.token() // of a file that says it is new and isn't
				time.Sleep(5 * time.Minute)
				s.handedIn(jwks, 0)
				s.issuer.Fail(test.fault)
				if w := s.ask(token); w.Code != test.status {
					t.Errorf("status %d, want %d", w.Code, test.status)
				}
				stranger := s.madeUp("stranger", -time.Hour)
				if w := s.ask(stranger); (w.Code == 401) != (test.fault == nil) {
					t.Errorf("a stranger's: status %d", w.Code)
				}
			})
		})
	}
}

// A key set goes from one instance to the next, through a file, and keeps its age.
func TestKeySetIsHandedOn(t *testing.T) {
	inBubble(t, func(s *service) {
		if sets := s.v.KeySets(); len(sets) != 1 || sets[0].JWKS != nil || !sets[0].Fetched.IsZero() {
			t.Errorf("before the first fetch: %v", sets)
		}
		none := s.issuer.Config()
		if err := json.Unmarshal(must(json.Marshal(s.v.KeySets()[0])), &none.KeySet); err != nil {
			t.Fatal(err)
		}
		if _, err := logto.New(none); err != nil {
			t.Errorf("with a file of none: %v", err)
		}
		s.verify(s.token(), nil, 0, 1)
		time.Sleep(logto.StaleAge)
		s.verify(s.token(), nil, 0, 2) // not modified
		began := time.Now()
		time.Sleep(3 * time.Minute)
		file := must(json.Marshal(s.v.KeySets()[0]))

		cfg := s.issuer.Config()
		cfg.Logger = capture
		if err := json.Unmarshal(file, &cfg.KeySet); err != nil {
			t.Fatal(err)
		}
		if !cfg.KeySet.Fetched.Equal(began) {
			t.Errorf("fetched %v, want %v", cfg.KeySet.Fetched, began)
		}
		first := s.v
		s.v = newVerifier(t, cfg)
		for i := range cfg.KeySet.JWKS {
			cfg.KeySet.JWKS[i] = 'x' // no longer ours
		}
		for i := range first.KeySets()[0].JWKS {
			first.KeySets()[0].JWKS[i] = 'x'
		}
		if age := s.v.KeySetStatus().Age; age != 3*time.Minute {
			t.Errorf("age %v", age)
		}
		s.verify(s.token(), nil, 0, 2)
		for _, v := range []*logto.Verifier{first, s.v} {
			if got := v.KeySets()[0]; string(got.JWKS) != s.issuer.KeySet() || !got.Fetched.Equal(began) {
				t.Errorf("%s, fetched %v", got.JWKS, got.Fetched)
			}
		}
	})
	// An answer that a cache on the way has kept is as old as that.
	synctest.Test(t, func(t *testing.T) {
		issuer := logtotest.NewIssuer(t)
		issuer.Fail(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Age", "240")
			_, _ = w.Write([]byte(issuer.KeySet()))
		}))
		cfg := issuer.Config()
		cfg.Logger = capture
		v := newVerifier(t, cfg)
		if err := v.Refresh(ctx); err != nil {
			t.Fatal(err)
		}
		if got := v.KeySets()[0].Fetched; !got.Equal(time.Now().Add(-4 * time.Minute)) {
			t.Errorf("fetched %v at %v", got, time.Now())
		}
		time.Sleep(logto.FetchTime)
	})
}

// Of several Logtos each has its own, in the order in which they were given.
func TestKeySetsOfSeveral(t *testing.T) {
	first, second := logtotest.NewIssuer(t), logtotest.NewIssuer(t)
	if first.KeyID() < second.KeyID() {
		first, second = second, first
	}
	cfg, other := first.Config(), another(t, second.Config())
	cfg.Logger = capture
	other.KeySet = logto.KeySet{Issuer: other.Issuers[0], JWKS: json.RawMessage(second.KeySet()), Fetched: time.Now()}
	v, err := logto.New(cfg, other)
	if err != nil {
		t.Fatal(err)
	}
	sets := v.KeySets()
	if len(sets) != 2 || sets[0].JWKS != nil || string(sets[1].JWKS) != second.KeySet() {
		t.Errorf("%s", sets)
	}
	if ids := v.KeySetStatus().KeyIDs; !slices.Equal(ids, []string{second.KeyID()}) {
		t.Errorf("keys %v", ids)
	}
	cfg.KeySet = logto.KeySet{Issuer: first.Endpoint() + "/oidc", JWKS: json.RawMessage(first.KeySet()), Fetched: time.Now()}
	if v, err = logto.New(cfg, other); err != nil {
		t.Fatal(err)
	}
	if ids := v.KeySetStatus().KeyIDs; !slices.Equal(ids, []string{second.KeyID(), first.KeyID()}) {
		t.Errorf("keys %v", ids)
	}
	h := logto.Require(v)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	if w := serve(h, first.Token(logtotest.Token{Claims: map[string]any{"iss": other.Issuers[0]}})); w.Code == 200 {
		t.Error("a key of the first signs for the second")
	}
	if w := serve(h, second.Token(logtotest.Token{Claims: map[string]any{"iss": other.Issuers[0]}})); w.Code != 200 {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
}
