// Package demo is what the examples have in common: an issuer on a loopback
// port, an API, and commands to try it with.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/logtotest"
)

// Issuer starts a fake Logto that listens until ctx ends.
func Issuer(ctx context.Context) (*logtotest.Issuer, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	issuer := logtotest.New("http://" + listener.Addr().String())
	go func() {
		if err := Serve(ctx, listener, issuer); err != nil {
			log.Print("issuer: ", err)
		}
	}()
	return issuer, nil
}

// API has a route for any token and one that wants a scope.
func API(v *logto.Verifier) *http.ServeMux {
	hello := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "Hello, %s!\n", logto.UserID(r.Context()))
	})
	mux := http.NewServeMux()
	mux.Handle("GET /api/hello", logto.Require(v)(hello))
	mux.Handle("GET /api/things", logto.Require(v, logto.Scopes("read:things"))(hello))
	return mux
}

// Print prints tokens as shell variables, and commands for the API at url that use them.
func Print(out io.Writer, url string, issuer *logtotest.Issuer) {
	type token = logtotest.Token
	fmt.Fprint(out, "Paste these tokens into a shell, then the commands:\n\n")
	for _, t := range []struct{ name, token string }{
		{"ALICE", issuer.Token(token{User: "alice"})},
		{"OPAQUE", issuer.OpaqueToken()},
		{"ID_TOKEN", issuer.IDToken("alice")},
		{"EXPIRED", issuer.Token(token{ExpiresIn: -time.Hour})},
		{"FORGED", logtotest.BadSignature(issuer.Token(token{}))},
	} {
		fmt.Fprintf(out, "%s=%s\n", t.name, t.token)
	}
	fmt.Fprintln(out)
	for _, try := range []struct {
		what, path, token string
	}{
		{"200: once checked, then remembered: repeat it", "/api/hello", "ALICE"},
		{"401: no_token", "/api/hello", ""},
		{"401: opaque_token", "/api/hello", "OPAQUE"},
		{"401: wrong_type", "/api/hello", "ID_TOKEN"},
		{"401: expired", "/api/hello", "EXPIRED"},
		{"401: signature", "/api/hello", "FORGED"},
		{"403: missing_scope", "/api/things", "ALICE"},
	} {
		command(out, url, try.what, try.path, try.token)
	}
}

// PrintSuspension prints Logto's webhook, as it sends it when an administrator suspends
// alice, a command that delivers it to path, and one that shows what came of it.
func PrintSuspension(out io.Writer, url, path string, issuer *logtotest.Issuer) error {
	event := issuer.Webhook("User.SuspensionStatus.Updated", map[string]any{"data": map[string]any{"id": "alice", "isSuspended": true}})
	body, err := io.ReadAll(event.Body)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "EVENT='%s'\nSIGNATURE=%s\n\n", body, event.Header.Get("logto-signature-sha-256"))
	fmt.Fprintf(out, "# 200: an administrator suspends alice, and Logto sends its webhook\n"+
		"curl -i -H \"logto-signature-sha-256: $SIGNATURE\" -d \"$EVENT\" %s%s\n\n", url, path)
	command(out, url, "401: revoked", "/api/hello", "ALICE")
	return nil
}

func command(out io.Writer, url, what, path, token string) {
	header := ""
	if token != "" {
		header = ` -H "Authorization: Bearer $` + token + `"`
	}
	fmt.Fprintf(out, "# %s\ncurl -i%s %s%s\n\n", what, header, url, path)
}

// Listen listens on addr. The error says what to do.
func Listen(addr string) (net.Listener, string, error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, "", fmt.Errorf("%w\nAnother address: -addr 127.0.0.1:0", err)
	}
	return listener, "http://" + listener.Addr().String(), nil
}

// Serve serves until ctx ends, and lets requests that run then come to an end.
func Serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		timeout, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		stopped <- server.Shutdown(timeout)
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-stopped
}
