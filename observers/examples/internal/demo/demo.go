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

// Print prints commands for the API at url.
func Print(out io.Writer, url string, issuer *logtotest.Issuer) {
	type token = logtotest.Token
	for _, try := range []struct {
		what, path, token string
	}{
		{"200: once checked, then remembered: repeat it", "/api/hello", issuer.Token(token{User: "alice"})},
		{"401: no_token", "/api/hello", ""},
		{"401: opaque_token", "/api/hello", issuer.OpaqueToken()},
		{"401: wrong_type", "/api/hello", issuer.IDToken("alice")},
		{"401: expired", "/api/hello", issuer.Token(token{ExpiresIn: -time.Hour})},
		{"401: signature", "/api/hello", logtotest.BadSignature(issuer.Token(token{}))},
		{"403: missing_scope", "/api/things", issuer.Token(token{User: "alice"})},
	} {
		header := ""
		if try.token != "" {
			header = " -H 'Authorization: Bearer " + try.token + "'"
		}
		fmt.Fprintf(out, "# %s\ncurl -i%s %s%s\n\n", try.what, header, url, try.path)
	}
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
