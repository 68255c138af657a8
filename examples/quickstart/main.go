// Quickstart is an API that accepts Logto access tokens. Without configuration
// it brings an issuer of its own and prints commands to try it with:
//
//	go run ./examples/quickstart
//
// With LOGTO_ENDPOINT and LOGTO_AUDIENCE set (and LOGTO_ISSUER, LOGTO_JWKS_URI,
// LOGTO_CLIENT_ID, if need be) it protects the same API with a real tenant, whose
// webhooks it takes at /logto/webhook if LOGTO_SIGNING_KEY is set.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/logtotest"
	"github.com/seed-70fe37f4/logto/revocation"
)

const webhookPath = "/logto/webhook"

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "address to listen on; port 0 takes a free one")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *addr, os.Getenv, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, addr string, getenv func(string) string, out io.Writer) error {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("%w\nAnother address: go run ./examples/quickstart -addr 127.0.0.1:0", err)
	}
	defer func() { _ = listener.Close() }()
	self := "http://" + listener.Addr().String()
	cfg, issuer, err := configure(ctx, getenv, self+webhookPath)
	if err != nil {
		return err
	}
	list, err := revocation.New(revocation.Config{})
	if err != nil {
		return err
	}
	cfg.Revoked = list.Check
	verifier, err := logto.New(cfg)
	if err != nil {
		return err
	}
	signingKey := getenv("LOGTO_SIGNING_KEY")
	if issuer != nil {
		signingKey = issuer.SigningKey()
		printCommands(out, self, issuer)
	} else {
		fmt.Fprintf(out, "API on %s for tokens with audience %q\nTry: curl -i -H \"Authorization: Bearer $TOKEN\" %s/api/hello\n", self, cfg.Audiences, self)
	}
	mux := api(verifier)
	if signingKey != "" {
		mux.Handle("POST "+webhookPath, list.Webhook(signingKey))
	}
	return serve(ctx, listener, mux)
}

// api is the service: what a route asks of its callers stands beside it.
func api(v *logto.Verifier) *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle("GET /api/hello", logto.Require(v)(http.HandlerFunc(hello)))
	mux.Handle("GET /api/things", logto.Require(v, logto.Scopes("read:things"))(http.HandlerFunc(hello)))
	mux.Handle("GET /api/organizations/{organization}", logto.Require(v, logto.OrganizationPath("organization"))(http.HandlerFunc(hello)))
	mux.Handle("GET /api/public", logto.Optional(v)(http.HandlerFunc(hello)))
	return mux
}

func hello(w http.ResponseWriter, r *http.Request) {
	name := logto.UserID(r.Context())
	if name == "" {
		name = "stranger" // or a machine: logto.FromContext tells
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]string{"message": "Hello, " + name + "!"})
}

// configure takes the configuration from the environment, or else starts an
// issuer of its own, which sends its webhooks to the given address.
func configure(ctx context.Context, getenv func(string) string, webhook string) (logto.Config, *logtotest.Issuer, error) {
	list := func(name string) []string {
		if value := getenv(name); value != "" {
			return []string{value}
		}
		return nil
	}
	cfg := logto.Config{
		Endpoint:  getenv("LOGTO_ENDPOINT"),
		Audiences: list("LOGTO_AUDIENCE"),
		Issuers:   list("LOGTO_ISSUER"),
		JWKSURL:   getenv("LOGTO_JWKS_URI"),
		ClientIDs: list("LOGTO_CLIENT_ID"),
	}
	if cfg.Endpoint != "" || cfg.Issuers != nil {
		return cfg, nil, nil
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return cfg, nil, err
	}
	issuer := logtotest.New("http://" + listener.Addr().String())
	mux := http.NewServeMux()
	mux.Handle("/", issuer)
	mux.Handle("PATCH /api/users/{user}/is-suspended", suspension(issuer, webhook))
	go func() {
		if err := serve(ctx, listener, mux); err != nil {
			log.Print("issuer: ", err)
		}
	}()
	cfg = issuer.Config()
	cfg.Logger = nil // slog.Default(): the issuer's is silent, for tests
	return cfg, issuer, nil
}

// suspension does what Logto does when an administrator suspends a user, or lifts
// that, in the console or by the Management API: it sends the webhook.
func suspension(issuer *logtotest.Issuer, webhook string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var user struct {
			ID        string `json:"id"`
			Suspended *bool  `json:"isSuspended"`
		}
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<10)).Decode(&user); err != nil || user.Suspended == nil {
			http.Error(w, `want {"isSuspended":true} or false`, http.StatusBadRequest)
			return
		}
		user.ID = r.PathValue("user")
		event := issuer.Unsuspend(user.ID)
		if *user.Suspended {
			event = issuer.Suspend(user.ID)
		}
		status, err := deliver(event.WithContext(r.Context()), webhook)
		if err != nil || status != http.StatusOK {
			http.Error(w, fmt.Sprintf("the webhook: status %d, error %v", status, err), http.StatusBadGateway)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(user)
	})
}

func deliver(r *http.Request, to string) (status int, err error) {
	if r.URL, err = url.Parse(to); err != nil {
		return 0, err
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	return res.StatusCode, res.Body.Close()
}

// printCommands prints tokens as shell variables, and commands that use them.
func printCommands(out io.Writer, self string, issuer *logtotest.Issuer) {
	fmt.Fprintf(out, "API on %s, issuer on %s/oidc (it forgets its keys when it stops)\n\n", self, issuer.Endpoint())
	fmt.Fprint(out, "Paste these tokens into a shell, then the commands:\n\n")
	type token = logtotest.Token
	for _, t := range []struct{ name, token string }{
		{"ALICE", issuer.Token(token{User: "alice"})},
		{"READER", issuer.Token(token{User: "alice", Scopes: []string{"read:things"}})},
		{"MEMBER", issuer.Token(token{User: "alice", Organization: "acme"})},
		{"OUTSIDER", issuer.Token(token{User: "alice", Organization: "umbrella"})},
		{"EXPIRED", issuer.Token(token{User: "alice", ExpiresIn: -time.Hour})},
		{"ID_TOKEN", issuer.IDToken("alice")},
	} {
		fmt.Fprintf(out, "%s=%s\n", t.name, t.token)
	}
	fmt.Fprintln(out)
	for _, try := range []struct {
		what, path, token string
	}{
		{"200: any valid token", "/api/hello", "ALICE"},
		{"401: no token", "/api/hello", ""},
		{"401: an ID token is no access token", "/api/hello", "ID_TOKEN"},
		{"401: expired", "/api/hello", "EXPIRED"},
		{"200: the scope read:things", "/api/things", "READER"},
		{"403: without it", "/api/things", "ALICE"},
		{"200: a member of organization acme", "/api/organizations/acme", "MEMBER"},
		{"403: of another", "/api/organizations/acme", "OUTSIDER"},
		{"200: open to strangers", "/api/public", ""},
		{"200: and to users", "/api/public", "ALICE"},
	} {
		header := ""
		if try.token != "" {
			header = ` -H "Authorization: Bearer $` + try.token + `"`
		}
		fmt.Fprintf(out, "# %s\ncurl -i%s %s%s\n\n", try.what, header, self, try.path)
	}
	fmt.Fprintf(out, "# 200: an administrator suspends alice, and the issuer sends this API its webhook\n"+
		"curl -i -X PATCH -d '{\"isSuspended\":true}' %s/api/users/alice/is-suspended\n\n", issuer.Endpoint())
	fmt.Fprintf(out, "# 401: her token, which has not expired, is revoked (and so are all of hers)\n"+
		"curl -i -H \"Authorization: Bearer $ALICE\" %s/api/hello\n\n", self)
	fmt.Fprintf(out, "Why is a token refused?\necho \"$EXPIRED\" | go run ./cmd/logto explain -endpoint %s -audience %s\n\n", issuer.Endpoint(), logtotest.Audience)
	fmt.Fprintln(out, "Ctrl-C stops it. What is refused, and why, stands in the log (no token at all: at debug level only):")
}

// serve serves until ctx ends, and lets requests that run then come to an end.
func serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		timeout, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		stopped <- server.Shutdown(timeout)
	}()
	if err := server.Serve(listener); err != http.ErrServerClosed {
		return err
	}
	return <-stopped
}
