package logto_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/logtotest"
)

// timeout is the error of a driver that has its own kind of time-out.
type timeout struct{}

func (timeout) Error() string { return "the pool is exhausted" }
func (timeout) Timeout() bool { return true }

// A Check that can't decide refuses nobody: the answer is 503, and what is logged is that
// the service's own store fails. What it did decide stays 403.
func TestCheckCannotDecide(t *testing.T) {
	forbidden, unavailable := logto.ErrForbidden, logto.ErrUnavailable
	kinds := []error{logto.ErrNoToken, logto.ErrInvalidToken, logto.ErrExpired, logto.ErrRevoked, logto.ErrForbidden, logto.ErrUnavailable}
	issuer := logtotest.NewIssuer(t)
	gone, leave := context.WithCancel(ctx)
	leave()
	late, done := context.WithDeadline(ctx, time.Now().Add(-time.Hour))
	defer done()
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	down, err := logto.New(logto.Config{Endpoint: "http://127.0.0.1:1", Audiences: []string{logtotest.Audience}, Logger: capture})
	if err != nil {
		t.Fatal(err)
	}
	_, keys := down.Verify(ctx, issuer.Token(logtotest.Token{Claims: map[string]any{"iss": "http://127.0.0.1:1/oidc"}}))
	for _, test := range []struct {
		name   string
		ctx    context.Context // of the request
		err    error
		reason string
		level  slog.Level
		is     error
	}{
		{"refused", ctx, errSuspended, "check", slog.LevelInfo, forbidden},
		{"no such file", ctx, fmt.Errorf("user: %w", &os.PathError{Op: "open", Path: "u", Err: syscall.ENOENT}), "check", slog.LevelInfo, forbidden},
		{"another of ours", ctx, logto.ErrInvalidToken, "check", slog.LevelInfo, forbidden},
		{"no token of another", ctx, fmt.Errorf("partner: %w", logto.ErrNoToken), "check", slog.LevelInfo, forbidden},
		{"expired in a store", ctx, fmt.Errorf("session: %w", logto.ErrExpired), "check", slog.LevelInfo, forbidden},
		{"ErrForbidden", ctx, logto.ErrForbidden, "check", slog.LevelInfo, forbidden},

		{"a store's time-out", ctx, context.DeadlineExceeded, "check_unavailable", slog.LevelWarn, unavailable},
		{"wrapped", ctx, fmt.Errorf("users: %w", context.DeadlineExceeded), "check_unavailable", slog.LevelWarn, unavailable},
		{"a store's cancelling", ctx, fmt.Errorf("users: %w", context.Canceled), "check_unavailable", slog.LevelWarn, unavailable},
		{"ErrUnavailable", ctx, logto.ErrUnavailable, "check_unavailable", slog.LevelWarn, unavailable},
		{"wraps ErrUnavailable", ctx, fmt.Errorf("%w: %w", logto.ErrUnavailable, errSuspended), "check_unavailable", slog.LevelWarn, unavailable},
		{"another verifier's keys", ctx, keys, "check_unavailable", slog.LevelWarn, unavailable},
		{"i/o time-out", ctx, fmt.Errorf("read: %w", os.ErrDeadlineExceeded), "check_unavailable", slog.LevelWarn, unavailable},
		{"connection refused", ctx, &url.Error{Op: "Get", URL: "http://policy.test", Err: refused}, "check_unavailable", slog.LevelWarn, unavailable},
		{"no such host", ctx, fmt.Errorf("%w", &net.DNSError{Err: "no such host", IsNotFound: true}), "check_unavailable", slog.LevelWarn, unavailable},
		{"a time-out of another kind", ctx, fmt.Errorf("%w", timeout{}), "check_unavailable", slog.LevelWarn, unavailable},

		// Nobody is let in, and nobody can tell which was meant.
		{"both", ctx, errors.Join(errSuspended, logto.ErrUnavailable), "check_unavailable", slog.LevelWarn, unavailable},
		{"both, and it says so", ctx, errors.Join(logto.ErrForbidden, logto.ErrUnavailable), "check", slog.LevelInfo, forbidden},

		// Strangers can leave as they like.
		{"the client left", gone, context.Canceled, "canceled", slog.LevelDebug, unavailable},
		{"the client left, wrapped", gone, fmt.Errorf("users: %w", context.Canceled), "canceled", slog.LevelDebug, unavailable},
		{"the client left, by another name", gone, logto.ErrUnavailable, "canceled", slog.LevelDebug, unavailable},
		{"the client left, refused", gone, errSuspended, "check", slog.LevelInfo, forbidden},
		{"the request's deadline", late, context.DeadlineExceeded, "check_unavailable", slog.LevelWarn, unavailable},
	} {
		t.Run(test.name, func(t *testing.T) {
			log := &logBuffer{}
			cfg := issuer.Config()
			cfg.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
			var got error
			cfg.ErrorHandler = func(w http.ResponseWriter, r *http.Request, err error) {
				got = err
				if _, ok := logto.FromContext(r.Context()); !ok {
					t.Error("the ErrorHandler finds no claims")
				}
				logto.WriteError(w, r, err)
			}
			v := newVerifier(t, cfg)
			if err := v.Refresh(ctx); err != nil {
				t.Fatal(err)
			}
			r := httptest.NewRequest("GET", "/", nil).WithContext(test.ctx)
			r.Header.Set("Authorization", "Bearer "+issuer.Token(logtotest.Token{}))
			w := httptest.NewRecorder()
			logto.Require(v, logto.Check(func(*http.Request, *logto.Claims) error { return test.err }))(http.NotFoundHandler()).ServeHTTP(w, r)
			status := 503
			if test.reason == "check" {
				status = 403
			}
			checkAnswer(t, w, status, noChallenge, "")
			if logto.Reason(got) != test.reason || !strings.Contains(log.String(), "level="+test.level.String()+" msg=\"logto: request refused\" reason="+test.reason+" ") {
				t.Errorf("reason %s, want %s; log\n%s", logto.Reason(got), test.reason, log)
			}
			// Of this package's errors it is the answer's alone, whatever the Check returned.
			for _, kind := range kinds {
				if errors.Is(got, kind) != (kind == test.is) {
					t.Errorf("error %v, is %v: %t", got, kind, errors.Is(got, kind))
				}
			}
			if !errors.Is(got, test.err) && !slices.Contains(kinds, test.err) {
				t.Errorf("error %v is not %v", got, test.err)
			}
			var path *os.PathError
			if errors.As(got, &path) != errors.As(test.err, &path) {
				t.Errorf("error %v has no %T", got, path)
			}
		})
	}
}

// Of several resources on one host each route wants a token for its own, and its challenge
// leads to its own metadata.
func TestAudience(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	const root, orders, stock, urn = "https://api.example.test/", "https://api.example.test/orders", "https://api.example.test/stock/?v=2", "urn:api"
	cfg := issuer.Config(orders, stock, urn, root)
	cfg.Logger = capture
	for _, metadata := range []bool{true, false} {
		if cfg.ResourceMetadataURL = ""; metadata {
			cfg.ResourceMetadataURL = "https://api.example.test/.well-known/oauth-protected-resource/orders"
		}
		v := newVerifier(t, cfg)
		for _, test := range []struct {
			name, audience, token string
			status                int
			path                  string
		}{
			{"none", stock, "", 401, "/stock/?v=2"},
			{"another resource's", stock, issuer.Token(logtotest.Token{Audience: orders}), 401, "/stock/?v=2"},
			{"bad", stock, "opaque", 401, "/stock/?v=2"},
			{"of the host", root, "", 401, "."},
			{"no URL", urn, "", 401, "/orders"},
			{"its own", stock, issuer.Token(logtotest.Token{Audience: stock}), 404, ""},
			{"any", "", issuer.Token(logtotest.Token{Audience: stock}), 404, ""},
			{"any, none", "", "", 401, "/orders"},
		} {
			var reqs []logto.Requirement
			if test.audience != "" {
				reqs = append(reqs, logto.Audience(test.audience))
			}
			w := serve(logto.Require(v, reqs...)(http.NotFoundHandler()), test.token)
			_, got, _ := strings.Cut(w.Header().Get("WWW-Authenticate"), `resource_metadata="`)
			got, _, _ = strings.Cut(got, `"`)
			want := ""
			if test.path != "" && metadata {
				want = "https://api.example.test/.well-known/oauth-protected-resource" + strings.TrimPrefix(test.path, ".")
			}
			if w.Code != test.status || got != want {
				t.Errorf("%s: %d, metadata %s, want %d, %s", test.name, w.Code, got, test.status, want)
			}
		}
	}
	for name, f := range map[string]func(){
		"empty":   func() { logto.Audience("") },
		"unknown": func() { logto.Require(newVerifier(t, cfg), logto.Audience("https://other.test")) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}
