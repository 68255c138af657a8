// Command api is the API of the full-stack example: two endpoints that need a
// Logto access token, called by a page of another origin.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/rs/cors"
	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/revocation"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Getenv); err != nil {
		log.Fatal(err)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, getenv func(string) string) error {
	cfg, err := configFromEnv(getenv)
	if err != nil {
		return err
	}
	list, err := revocation.New(revocation.Config{})
	if err != nil {
		return err
	}
	cfg.Revoked = list.Check
	v, err := logto.New(cfg)
	if err != nil {
		return err
	}
	fromLogto := newReceivers(v, list, cfg.ClientIDs, getenv("LOGTO_SIGNING_KEY"))
	// Not needed, but a wrong address then shows in the log at once. The API
	// starts all the same: Logto may come up after it.
	go func() { _ = v.Refresh(ctx) }()

	server := &http.Server{
		Addr:              getenv("API_ADDR"),
		Handler:           newHandler(v, fromLogto, getenv("PAGE_ORIGIN")),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      10 * time.Second,
		IdleTimeout:       time.Minute,
	}
	listener, err := net.Listen("tcp", server.Addr)
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		done <- server.Shutdown(grace)
	}()
	log.Printf("the API listens on %s", listener.Addr())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-done
}

// configFromEnv reads the four values that the page has too, and how much clock
// difference to tolerate.
func configFromEnv(getenv func(string) string) (logto.Config, error) {
	var missing []string
	get := func(name string) string {
		value := getenv(name)
		if value == "" {
			missing = append(missing, name)
		}
		return value
	}
	cfg := logto.Config{
		Endpoint:  get("LOGTO_ENDPOINT"),
		JWKSURL:   get("LOGTO_JWKS_URI"),
		Audiences: []string{get("LOGTO_AUDIENCE")},
		// Tokens that another application of the tenant got are not for this API.
		ClientIDs: []string{get("LOGTO_CLIENT_ID")},
	}
	get("API_ADDR")
	get("PAGE_ORIGIN")
	if missing != nil {
		return cfg, fmt.Errorf("not set: %s; npm start sets them", strings.Join(missing, ", "))
	}
	if text := getenv("API_LEEWAY"); text != "" {
		leeway, err := time.ParseDuration(text)
		if err != nil || leeway < 0 {
			return cfg, fmt.Errorf("API_LEEWAY is %q: want a duration such as 30s", text)
		}
		cfg.Leeway = leeway
		if leeway == 0 {
			cfg.Leeway = -1 // 0 is the default, negative is none
		}
	}
	return cfg, nil
}

// newReceivers is what Logto calls: its webhook, if there is a signing key, and its
// back-channel logout.
func newReceivers(v *logto.Verifier, list *revocation.List, clientIDs []string, signingKey string) http.Handler {
	mux := http.NewServeMux()
	// A sign-out in one browser takes back the user's access tokens in all of them.
	// Those that are still signed in get new ones, and their users notice nothing.
	mux.Handle("/logto/logout", list.Logout(v, func(t *logto.LogoutToken) []revocation.Revocation {
		return []revocation.Revocation{{Subject: t.Subject}}
	}, clientIDs...))
	if signingKey != "" {
		mux.Handle("/logto/webhook", list.Webhook(signingKey))
	} else {
		log.Print("LOGTO_SIGNING_KEY is not set: without Logto's webhooks a suspended user's token is good until it expires")
	}
	return mux
}

// newHandler is the whole API. CORS is outside of Require: a browser's preflight
// request carries no token. What Logto itself calls, below /logto/, is outside of both:
// a signature says that it is Logto.
func newHandler(v *logto.Verifier, fromLogto http.Handler, pageOrigin string) http.Handler {
	user := logto.Require(v, logto.Users())
	reporter := logto.Require(v, logto.Users(), logto.Scopes("read:reports"))

	mux := http.NewServeMux()
	mux.Handle("GET /api/hello", user(http.HandlerFunc(hello)))
	mux.Handle("GET /api/reports", reporter(http.HandlerFunc(reports)))

	root := http.NewServeMux()
	root.Handle("/logto/", fromLogto)
	root.Handle("/", cors.New(cors.Options{
		AllowedOrigins: []string{pageOrigin},
		AllowedMethods: []string{http.MethodGet},
		AllowedHeaders: []string{"Authorization"},
		// So that the page can read why it was refused, and when to ask again.
		ExposedHeaders: []string{"WWW-Authenticate", "Retry-After"},
		MaxAge:         600,
	}).Handler(mux))
	return root
}

func hello(w http.ResponseWriter, r *http.Request) {
	writeMessage(w, fmt.Sprintf("Hello, %s!", logto.UserID(r.Context())))
}

func reports(w http.ResponseWriter, r *http.Request) {
	writeMessage(w, fmt.Sprintf("3 reports for %s", logto.UserID(r.Context())))
}

func writeMessage(w http.ResponseWriter, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if err := json.NewEncoder(w).Encode(map[string]string{"message": message}); err != nil {
		log.Printf("answering: %v", err)
	}
}
