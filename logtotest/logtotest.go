// Package logtotest is a fake Logto for the tests of services that use package
// logto. It mints every kind of token that Logto issues, and those that an API
// must refuse, and the webhooks that Logto sends when an administrator suspends a
// user; it rotates its keys and fails on demand.
//
//	issuer := logtotest.NewIssuer(t)
//	v, err := logto.New(issuer.Config())
//	…
//	handler.ServeHTTP(w, issuer.Authorize(r, logtotest.Token{User: "alice"}))
//
// Three constructors differ in how the issuer is reached:
//
//   - [NewIssuer]: in memory, by the HTTPClient of its Config. No port; works in a
//     testing/synctest bubble. What most tests want.
//   - [NewServer]: on a loopback port until the test ends. For a service that runs as
//     another process or takes its address from the environment.
//   - [New]: nowhere. It is an [http.Handler], for a program to serve, such as a demo.
//
// In a testing/synctest bubble a test of expiry, of a rotation or of an outage takes no
// time:
//
//	synctest.Test(t, func(t *testing.T) {
//		issuer := logtotest.NewIssuer(t)
//		token := issuer.Token(logtotest.Token{ExpiresIn: time.Minute})
//		time.Sleep(2 * time.Minute) // from now on it is refused
//	})
//
// It signs with the standard library, not with the code under test. Nothing in
// it is for production: it gives everybody any token. To sign in to, in a browser or
// by an SDK, there is package emulator.
package logtotest

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/internal/memory"
	"github.com/seed-70fe37f4/logto/internal/mint"
)

// Defaults of Token, and of Config.
const (
	Audience = "https://api.example.test" // an API resource indicator
	ClientID = "test-app"                 // of users' tokens
)

// An Issuer is a fake Logto. It is safe for concurrent use.
type Issuer struct {
	endpoint   string
	signingKey string            // of webhooks
	transport  http.RoundTripper // nil: the network

	mu      sync.Mutex
	keys    []*mint.Key // the first one signs
	fault   http.Handler
	fetches int
}

// NewIssuer returns an issuer that is reached in memory, by the HTTPClient of
// its Config: no port, nothing to close, usable in a testing/synctest bubble. An
// Example may pass nil.
func NewIssuer(_ testing.TB) *Issuer {
	i := New("https://logto.example.test")
	i.transport = memory.Transport{Handler: i}
	return i
}

// NewServer returns an issuer that listens on a loopback port until the test
// ends: for a service under test that runs elsewhere or takes its configuration
// from the environment, and for faults of a real network.
func NewServer(tb testing.TB) *Issuer {
	tb.Helper()
	i := New("")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("logtotest: %v", err)
	}
	i.endpoint = "http://" + listener.Addr().String()
	// Not net/http/httptest, whose flag a program that only mints would have.
	server := &http.Server{Handler: i, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener) // until it is closed
	}()
	tb.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	return i
}

// New returns an issuer that calls itself endpoint + "/oidc" and listens nowhere:
// it is an http.Handler, for programs such as demos to serve at that address.
func New(endpoint string) *Issuer {
	return &Issuer{endpoint: endpoint, signingKey: mint.Opaque(), keys: []*mint.Key{newKey(mint.DefaultAlgorithm)}}
}

// Endpoint is the address for logto.Config.Endpoint or LOGTO_ENDPOINT.
func (i *Issuer) Endpoint() string { return i.endpoint }

// Config returns a configuration that trusts the issuer, for the given
// audiences or for Audience. It logs nothing: set its Logger to see why a token is
// refused.
func (i *Issuer) Config(audiences ...string) logto.Config {
	if len(audiences) == 0 {
		audiences = []string{Audience}
	}
	cfg := logto.Config{Endpoint: i.endpoint, Audiences: audiences, Logger: slog.New(slog.DiscardHandler)}
	if i.transport != nil {
		cfg.HTTPClient = &http.Client{Transport: i.transport}
	}
	return cfg
}

// Context returns a context as logto.Require would make it for a request with
// the given token, to test a handler alone. It panics if the token is none that
// Require would accept.
func (i *Issuer) Context(parent context.Context, t Token) context.Context {
	t = t.withDefaults()
	cfg := i.Config(t.Audience)
	cfg.OrganizationTokens = true
	// What Fail does to others must not fail a test that isn't about it.
	cfg.HTTPClient = &http.Client{Transport: memory.Transport{Handler: &Issuer{endpoint: i.endpoint, keys: i.published()}}}
	v, err := logto.New(cfg)
	if err != nil {
		panic(err)
	}
	claims, err := v.Verify(parent, i.Token(t))
	if err != nil {
		panic(fmt.Sprintf("logtotest: Context: %v", err))
	}
	return logto.NewContext(parent, claims)
}

// KeyID is the ID of the key that signs now.
func (i *Issuer) KeyID() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.keys[0].ID
}

// Rotate makes a new key sign, at once, as Logto does: the one before stays
// published, an older one is dropped. Without an algorithm it is that of the key
// before. Else it is ES384 (Logto's default), ES256, ES512, RS256 or PS256; RSA keys
// are published without alg, as Logto does.
func (i *Issuer) Rotate(algorithm ...string) {
	if len(algorithm) > 1 {
		panic("logtotest: Rotate takes one algorithm")
	}
	i.mu.Lock()
	name := i.keys[0].Algorithm
	i.mu.Unlock()
	if len(algorithm) == 1 {
		name = algorithm[0]
	}
	k := newKey(name)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = []*mint.Key{k, i.keys[0]}
}

func newKey(algorithm string) *mint.Key {
	k, err := mint.NewKey(algorithm)
	if err != nil {
		panic("logtotest: " + err.Error())
	}
	return k
}

// RemovePrevious stops publishing the key before the current one, as an
// administrator does to revoke all that it signed. A verifier notices at its next fetch.
// Then a token of that key gets 503 while it is so young (a minute) that its key might be
// a newer one, and 401 later: sleep for a minute, in a testing/synctest bubble.
func (i *Issuer) RemovePrevious() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = i.keys[:1:1]
}

// Fail lets the key endpoint answer by fault, such as Status(503), Hang or Body,
// until it is called with nil.
func (i *Issuer) Fail(fault http.Handler) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.fault = fault
}

// Fetches counts the requests to the key endpoint.
func (i *Issuer) Fetches() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.fetches
}

// KeySet is the JWK Set as it is published now.
func (i *Issuer) KeySet() string { return mint.KeySet(i.published()) }

func (i *Issuer) published() []*mint.Key {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.keys)
}
