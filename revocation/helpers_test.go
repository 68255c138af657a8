package revocation_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/logtotest"
	"github.com/seed-70fe37f4/logto/revocation"
)

// recorder keeps events and log lines.
type recorder struct {
	mu     sync.Mutex
	events []revocation.Event
	lines  strings.Builder
}

func (r *recorder) observe(e revocation.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

func (r *recorder) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lines.Write(b)
}

func (r *recorder) log() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lines.String()
}

func (r *recorder) last() revocation.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.events) == 0 {
		return revocation.Event{}
	}
	return r.events[len(r.events)-1]
}

// outcomes counts the events of a kind by their outcome.
func (r *recorder) outcomes(kind string) map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := map[string]int{}
	for _, e := range r.events {
		if e.Kind == kind {
			n[e.Outcome]++
		}
	}
	return n
}

func newList(t testing.TB, cfg revocation.Config) *revocation.List {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	l, err := revocation.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// tokens mints verified claims.
type tokens struct {
	issuer   *logtotest.Issuer
	verifier *logto.Verifier
}

func newTokens(t testing.TB) *tokens {
	t.Helper()
	issuer := logtotest.NewIssuer(t)
	cfg := issuer.Config()
	cfg.OrganizationTokens = true
	cfg.Leeway = 10 * time.Minute
	cfg.Logger = slog.New(slog.DiscardHandler)
	v, err := logto.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &tokens{issuer, v}
}

// at gives the claims of a token that was issued at a time, for an hour.
func (s *tokens) at(t testing.TB, token logtotest.Token, iat time.Time) *logto.Claims {
	t.Helper()
	claims := map[string]any{"iat": iat.Unix(), "exp": iat.Add(time.Hour).Unix()}
	for name, value := range token.Claims {
		claims[name] = value
	}
	token.Claims = claims
	c, err := s.verifier.Verify(context.Background(), s.issuer.Token(token))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func refused(t testing.TB, l *revocation.List, c *logto.Claims) {
	t.Helper()
	if err := l.Check(c); !errors.Is(err, logto.ErrRevoked) || !errors.Is(err, logto.ErrInvalidToken) {
		t.Errorf("Check(sub %s, iat %v) = %v, want ErrRevoked", c.Subject(), c.IssuedAt(), err)
	}
}

func passes(t testing.TB, l *revocation.List, c *logto.Claims) {
	t.Helper()
	if err := l.Check(c); err != nil {
		t.Errorf("Check(sub %s, iat %v) = %v, want nil", c.Subject(), c.IssuedAt(), err)
	}
}

// until sleeps in a bubble, where that costs nothing.
func until(t time.Time) { time.Sleep(time.Until(t)) }

// bubble runs f at a known time, a second of which has begun exactly.
var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		until(noon)
		f(t)
	})
}

// run starts Run; stop ends it and waits.
func run(t testing.TB, l *revocation.List) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := l.Run(ctx); err != nil {
			t.Error("Run:", err)
		}
	}()
	return func() { cancel(); <-done }
}

const key = "a signing key of the tests"

func sign(key, body string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(body))
	return hex.EncodeToString(mac.Sum(nil))
}

// deliver sends a webhook as Logto does.
func deliver(h http.Handler, body, signature string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/webhook", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	if signature != "" {
		r.Header.Set("logto-signature-sha-256", signature)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// event makes a body.
func event(name string, createdAt time.Time, members map[string]any) string {
	body := map[string]any{"event": name, "createdAt": createdAt.UTC().Format("2006-01-02T15:04:05.000Z"), "hookId": "hook"}
	for name, value := range members {
		if body[name] = value; value == nil {
			delete(body, name)
		}
	}
	b, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func suspended(user string, at time.Time) string {
	return event("User.SuspensionStatus.Updated", at, map[string]any{
		"params": map[string]any{"userId": user}, "data": map[string]any{"id": user, "isSuspended": true},
	})
}

// recorded is a webhook that a live Logto has sent.
type recorded struct{ Name, Key, Signature, Body string }

func (r recorded) createdAt(t testing.TB) time.Time {
	t.Helper()
	var body struct{ CreatedAt time.Time }
	if err := json.Unmarshal([]byte(r.Body), &body); err != nil {
		t.Fatal(err)
	}
	return body.CreatedAt
}

func readRecorded(t testing.TB) []recorded {
	t.Helper()
	data, err := os.ReadFile("testdata/webhooks.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	var all []recorded
	for line := range strings.Lines(string(data)) {
		var one recorded
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			t.Fatal(err)
		}
		all = append(all, one)
	}
	return all
}
