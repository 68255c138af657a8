package logto_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/logtotest"
)

// remembered tells whether v has verified the token before, by what only memory
// does: it gives the same value again.
func remembered(t *testing.T, v *logto.Verifier, token string) bool {
	t.Helper()
	first, err := v.Verify(ctx, token)
	if err != nil {
		t.Fatal(err)
	}
	second, err := v.Verify(ctx, token)
	if err != nil {
		t.Fatal(err)
	}
	return first == second
}

func TestCacheSize(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	token := func(i int) string { return issuer.Token(logtotest.Token{User: fmt.Sprint("user", i)}) }
	for _, test := range []struct {
		size int
		want bool
	}{{0, true}, {1, true}, {-1, false}} {
		cfg := issuer.Config()
		cfg.CacheSize = test.size
		if got := remembered(t, newVerifier(t, cfg), token(0)); got != test.want {
			t.Errorf("size %d: remembered %v, want %v", test.size, got, test.want)
		}
	}
	// The one that was not used for longest goes.
	cfg := issuer.Config()
	cfg.CacheSize = 2
	v := newVerifier(t, cfg)
	var claims []*logto.Claims
	tokens := []string{token(1), token(2), token(3)}
	for _, i := range []int{0, 1, 0, 2} {
		c, err := v.Verify(ctx, tokens[i])
		if err != nil {
			t.Fatal(err)
		}
		claims = append(claims, c)
	}
	if c, _ := v.Verify(ctx, tokens[0]); c != claims[0] {
		t.Error("a token that was used went")
	}
	if c, _ := v.Verify(ctx, tokens[1]); c == claims[1] {
		t.Error("three tokens in a cache of two")
	}
}

// Large tokens are remembered too, and take the places of several: memory is bounded by
// weight, whatever is sent.
func TestCacheWeight(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	issuer.Rotate("ES256")
	large := func(i, claim int) string {
		return issuer.Token(logtotest.Token{User: fmt.Sprint("user", i), Claims: map[string]any{"x": strings.Repeat("x", claim)}})
	}
	for _, test := range []struct {
		claim, units int // bytes of a custom claim; what such a token takes
	}{{0, 1}, {250, 1}, {1300, 2}, {4 << 10, 5}, {11_000, 10}} {
		cfg := issuer.Config()
		cfg.CacheSize = 100
		v := newVerifier(t, cfg)
		if !remembered(t, v, large(0, test.claim)) {
			t.Errorf("%d bytes: not remembered", test.claim)
		}
		if _, units := v.Remembered(); units != test.units {
			t.Errorf("%d bytes: %d units, want %d", test.claim, units, test.units)
		}
		for i := range 150 {
			if _, err := v.Verify(ctx, large(i, test.claim)); err != nil {
				t.Fatal(err)
			}
		}
		if tokens, units := v.Remembered(); units > 100 || units != tokens*test.units || tokens != 100/test.units {
			t.Errorf("%d bytes: %d tokens, %d units", test.claim, tokens, units)
		}
	}
	// Of all sizes, and one twice; then one that has no room in all of it.
	cfg := issuer.Config()
	cfg.CacheSize = 8
	v := newVerifier(t, cfg)
	for i := range 100 {
		if _, err := v.Verify(ctx, large(i%30, 500*(i%17))); err != nil {
			t.Fatal(err)
		}
		if tokens, units := v.Remembered(); tokens == 0 || units > 8 || units < tokens {
			t.Fatalf("%d tokens, %d units", tokens, units)
		}
	}
	before, _ := v.Remembered()
	if remembered(t, v, large(0, 11_000)) {
		t.Error("ten units in a cache of eight")
	}
	if after, _ := v.Remembered(); after != before {
		t.Errorf("%d tokens, %d before", after, before)
	}
}

// Places are taken by payload: up to 600 bytes one, and one more for each 1200.
func TestCacheWeightEdges(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	for payload, units := range map[int]int{600: 1, 601: 2, 1800: 2, 1801: 3} {
		v := newVerifier(t, issuer.Config())
		text := strings.TrimSuffix(goodPayload(issuer), "}") + `,"x":"`
		if _, err := v.Verify(ctx, issuer.Sign(goodHeader(issuer), text+strings.Repeat("x", payload-len(text)-2)+`"}`)); err != nil {
			t.Fatal(err)
		}
		if tokens, got := v.Remembered(); tokens != 1 || got != units {
			t.Errorf("a payload of %d bytes: %d tokens, %d units, want %d", payload, tokens, got, units)
		}
	}
}

// By default there is room for 10 000.
func TestDefaultCacheSize(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	issuer.Rotate("ES256")
	v := newVerifier(t, issuer.Config())
	verify := func(token string) {
		t.Helper()
		if _, err := v.Verify(ctx, token); err != nil {
			t.Fatal(err)
		}
	}
	large := strings.Repeat("x", 11_000) // ten units
	for i := range 1000 {
		verify(issuer.Token(logtotest.Token{User: fmt.Sprint("user", i), Claims: map[string]any{"x": large}}))
	}
	if tokens, units := v.Remembered(); tokens != 1000 || units != 10_000 {
		t.Errorf("%d tokens, %d units", tokens, units)
	}
	verify(issuer.Token(logtotest.Token{User: "one more"}))
	if tokens, units := v.Remembered(); tokens != 1000 || units != 9991 {
		t.Errorf("after one more: %d tokens, %d units", tokens, units)
	}
}

// A token that another key has verified anew takes the place that it had.
func TestCacheWeightAfterNewKey(t *testing.T) {
	bubble(t, "", func(s *service) {
		s.issuer.Rotate("RS256")
		token := s.token()
		s.verify(token, nil, 0, 1)
		s.issuer.Fail(logtotest.Body("", strings.Replace(s.issuer.KeySet(), `"kty":"RSA"`, `"kty":"RSA","alg":"RS256"`, 1)))
		time.Sleep(logto.FetchPause)
		if err := s.v.Refresh(ctx); err != nil {
			t.Fatal(err)
		}
		s.verify(token, nil, 0, 2)
		if tokens, units := s.v.Remembered(); tokens != 1 || units != 1 {
			t.Errorf("%d tokens, %d units", tokens, units)
		}
	})
}

// A remembered token is no better than a fresh one: its times are checked with
// the same leeway.
func TestRememberedTokenExpires(t *testing.T) {
	inBubble(t, func(s *service) {
		token := s.issuer.Token(logtotest.Token{ExpiresIn: 9 * time.Minute})
		s.verify(token, nil, 0, 1)
		time.Sleep(9*time.Minute + 30*time.Second - 1)
		s.verify(token, nil, 0, 1)
		time.Sleep(time.Nanosecond)
		s.verify(token, logto.ErrExpired, 0, 1)
	})
	// A clock that was set right makes a token one from the future.
	inBubble(t, func(s *service) {
		s.v.SetTokenClock(t, s.token(), time.Hour)
	})
}

// Promise 3: a key that is gone takes with it what it signed and is remembered,
// and so does a key set that is dead.
func TestPromise3RememberedTokens(t *testing.T) {
	inBubble(t, func(s *service) {
		token := s.token()
		s.verify(token, nil, 0, 1)
		s.issuer.Rotate("ES384")
		s.issuer.RemovePrevious()
		s.verify(token, nil, 0, 1) // nobody knows yet
		time.Sleep(logto.StaleAge)
		s.verify(token, nil, 0, 2) // this one starts the refresh
		s.verify(token, logto.ErrInvalidToken, 0, 3)
	})
	inBubble(t, func(s *service) {
		token := s.token()
		s.verify(token, nil, 0, 1)
		s.issuer.Fail(logtotest.Status(500))
		time.Sleep(logto.DeadAge)
		s.verify(token, logto.ErrUnavailable, 0, 2)
	})
}

func TestRefusedTokensAreNotRemembered(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	v := newVerifier(t, issuer.Config())
	good := issuer.Token(logtotest.Token{})
	if _, err := v.Verify(ctx, good); err != nil {
		t.Fatal(err)
	}
	bad := logtotest.BadSignature(good)
	for range 3 {
		if _, err := v.Verify(ctx, bad); !errors.Is(err, logto.ErrInvalidToken) {
			t.Fatalf("error %v", err)
		}
	}
	// Nor does a refusal make a token bad that is good later.
	synctest.Test(t, func(t *testing.T) {
		issuer := logtotest.NewIssuer(t)
		v := newVerifier(t, issuer.Config())
		early := issuer.Token(logtotest.Token{Claims: map[string]any{"nbf": time.Now().Add(time.Minute).Unix()}})
		if _, err := v.Verify(ctx, early); !errors.Is(err, logto.ErrInvalidToken) {
			t.Errorf("error %v", err)
		}
		time.Sleep(time.Minute)
		if _, err := v.Verify(ctx, early); err != nil {
			t.Error(err)
		}
	})
}

// What a remembered token costs is the common request's cost.
func TestAllocations(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	cfg := issuer.Config()
	cfg.Logger = capture
	v := newVerifier(t, cfg)
	token := issuer.Token(logtotest.Token{Scopes: []string{"read"}})
	noise := strings.Repeat("x", 50)
	cfg.Observer = func(context.Context, logto.Event) {}
	observed := newVerifier(t, cfg)
	garbage := strings.Repeat("x", 10000) + ".x.x"
	long := strings.Repeat("x", 20000)
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	h := logto.Require(v, logto.Scopes("read"))(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for _, test := range []struct {
		name string
		most float64
		f    func()
	}{
		{"Verify, remembered", 0, func() { _, _ = v.Verify(ctx, token) }},
		{"Require, remembered", 3, func() { h.ServeHTTP(nil, r) }},
		{"Verify, remembered and observed", 0, func() { _, _ = observed.Verify(ctx, token) }},
		{"Verify, opaque", 0, func() { _, _ = v.Verify(ctx, noise) }},
		{"Verify, garbage", 0, func() { _, _ = v.Verify(ctx, garbage) }},
		{"Verify, over-long", 0, func() { _, _ = v.Verify(ctx, long) }},
	} {
		test.f()
		if n := testing.AllocsPerRun(100, test.f); n > test.most && !raceEnabled {
			t.Errorf("%s: %v allocations, want at most %v", test.name, n, test.most)
		}
	}
}
