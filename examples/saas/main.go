// Command saas is a service of twelve routes, each of which asks something else of its
// callers: a user, a scope, an organization, a machine, a plan, an administrator.
//
// LOGTO_ENDPOINT, LOGTO_AUDIENCE and LOGTO_SIGNING_KEY (of its webhook) must be set. ADDR is
// where to listen, by default 127.0.0.1:8080.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/felixge/httpsnoop"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/observers/promlogto"
	"github.com/seed-70fe37f4/logto/revocation"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	logger := slog.New(slog.NewJSONHandler(os.Stdout, nil))
	if err := run(ctx, os.Getenv, logger); err != nil {
		logger.Error(err.Error())
		os.Exit(1)
	}
}

// run serves until ctx ends, and then lets requests come to their end, for 10 s at most.
func run(ctx context.Context, getenv func(string) string, logger *slog.Logger) error {
	cfg := logto.Config{Endpoint: getenv("LOGTO_ENDPOINT"), Audiences: []string{getenv("LOGTO_AUDIENCE")}, Logger: logger}
	server, err := newServer(ctx, cfg, getenv, isAdmin)
	if err != nil {
		return err
	}
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return server.Shutdown(grace)
}

// isAdmin stands for a query of your database.
func isAdmin(_ context.Context, user string) (bool, error) { return user == "carol", nil }

// newServer is the service: what a route asks of its callers stands beside it. Its streams
// end with ctx.
func newServer(ctx context.Context, cfg logto.Config, getenv func(string) string, isAdmin func(context.Context, string) (bool, error)) (*http.Server, error) {
	list, listErr := revocation.New(revocation.Config{Logger: cfg.Logger})
	cfg.Revoked, cfg.ErrorHandler = list.Check, problem
	metrics, metricsErr := promlogto.Instrument(&cfg, prometheus.DefaultRegisterer)
	v, err := logto.New(cfg)
	if err := errors.Join(listErr, metricsErr, err); err != nil {
		return nil, err
	}
	metrics.Watch(v)
	admin := logto.Check(func(r *http.Request, c *logto.Claims) error {
		if ok, err := isAdmin(r.Context(), c.UserID()); err != nil {
			return fmt.Errorf("%w: %w", logto.ErrUnavailable, err) // 503, not 403
		} else if !ok {
			return errors.New("not an administrator")
		}
		return nil
	})

	mux, account := http.NewServeMux(), http.NewServeMux()
	account.Handle("GET /account/profile", hello)
	account.Handle("POST /account/erase", logto.Require(v, logto.Scopes("erase:account"))(hello))
	mux.Handle("GET /feed", logto.Optional(v)(hello))
	mux.Handle("/account/", logto.Require(v, logto.Users())(account))
	mux.Handle("GET /things", logto.Require(v, logto.Scopes("read:things"))(hello))
	mux.Handle("GET /reports", logto.Require(v, logto.AnyScope("read:reports", "admin"))(hello))
	mux.Handle("GET /organizations/{organization}/orders", logto.Require(v, logto.OrganizationPath("organization"), logto.Scopes("read:orders"))(hello))
	mux.Handle("POST /sync", logto.Require(v, logto.Machines(), logto.Scopes("sync"))(hello))
	mux.Handle("GET /export", logto.Require(v, logto.Users(), pro)(hello))
	mux.Handle("GET /admin/users", logto.Require(v, logto.Users(), logto.Scopes("admin"), admin)(hello))
	mux.Handle("GET /events", logto.Require(v, logto.Users())(events(ctx, list)))
	mux.Handle("POST /logto/webhook", list.Webhook(getenv("LOGTO_SIGNING_KEY")))
	mux.Handle("GET /metrics", promhttp.Handler()) // for Prometheus: keep it from the internet
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if v.Ready() != nil {
			http.Error(w, "no keys", http.StatusServiceUnavailable)
		}
	})
	return &http.Server{Addr: cmp.Or(getenv("ADDR"), "127.0.0.1:8080"), Handler: accessLog(cfg.Logger, mux),
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: time.Minute}, nil
}

// accessLog stands outside of the middleware and names the user all the same.
func accessLog(logger *slog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, last := logto.Watch(r.Context())
		m := httpsnoop.CaptureMetrics(next, w, r.WithContext(ctx))
		logger.Info("request", "method", r.Method, "path", r.URL.Path, "status", m.Code, "took", m.Duration, "user", last().UserID(), "reason", last().Reason)
	})
}

// problem answers refused requests (RFC 9457). The header fields that belong to the answer,
// such as WWW-Authenticate, the middleware sets.
func problem(w http.ResponseWriter, r *http.Request, err error) {
	a := logto.AnswerTo(r, err)
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(a.Status)
	_ = json.NewEncoder(w).Encode(map[string]any{"title": http.StatusText(a.Status), "status": a.Status, "detail": a.Description, "code": a.Error})
}

// custom are the claims that a JWT customizer in Logto adds.
type custom struct {
	Plan string `json:"plan"`
}

// pro lets in whose plan it is.
var pro = logto.Check(func(r *http.Request, _ *logto.Claims) error {
	claims, err := logto.ClaimsAs[custom](r.Context())
	if err == nil && claims.Plan != "pro" {
		err = errors.New("the plan isn't pro")
	}
	return err
})

// events sends the time until the token expires or is revoked, or ctx ends.
func events(ctx context.Context, list *revocation.List) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		claims, _ := logto.FromContext(r.Context())
		good, cancel := context.WithDeadline(r.Context(), claims.ExpiresAt())
		defer cancel()
		defer context.AfterFunc(ctx, cancel)()
		w.Header().Set("Content-Type", "text/event-stream")
		for stream := http.NewResponseController(w); good.Err() == nil && list.Check(claims) == nil; {
			_ = stream.SetWriteDeadline(time.Now().Add(10 * time.Second))
			fmt.Fprintf(w, "data: %s\n\n", time.Now().Format(time.RFC3339))
			_ = stream.Flush()
			select {
			case <-good.Done():
			case <-time.After(5 * time.Second):
			}
		}
	})
}

// hello stands for what the routes do. A machine has no user ID: logto.FromContext names it.
var hello = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "Hello, %s!\n", cmp.Or(logto.UserID(r.Context()), "stranger"))
})
