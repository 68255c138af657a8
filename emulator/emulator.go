// Package emulator is a Logto for a developer's machine and for tests: an OpenID
// provider that unmodified Logto SDKs sign in to, whose tokens have the shapes of
// Logto's, and on which everything that goes wrong in production can be made to go
// wrong. The command logto emulate serves it.
//
//	em := emulator.Start(t)
//	v, err := logto.New(em.Config())
//	…
//	token, err := em.Token(emulator.Token{User: "alice", Scopes: []string{"read:things"}})
//	em.Suspend("alice") // and what Logto would do, is done: webhooks, refresh tokens
//
// Where no sign-in is tested, package logtotest is simpler: it mints any token, without
// users and permissions.
//
// It is for no production. Nobody has a password. It takes no key from outside, its
// endpoint and so its issuer end in "/emulator", which every token says as its iss, and
// it answers only requests for loopback names, unless told so.
package emulator

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/internal/memory"
	"github.com/seed-70fe37f4/logto/internal/policy"
)

// Mark is the end of every emulator's endpoint: "/emulator". So its issuer, which each
// of its tokens names, can't be mistaken for a Logto's.
const Mark = policy.EmulatorPath

// Config configures New and Start. The zero value is an emulator with the users, roles
// and applications of [Example], in memory.
type Config struct {
	// Endpoint is the address that clients are given, such as
	// http://localhost:3001/emulator. Mark is added if it is missing. Default
	// http://localhost:3001/emulator; of Start, that of its port.
	Endpoint string

	// InsecureHosts are hosts other than loopback that requests may name, and that the
	// endpoint may have, without port: for containers and telephones, on a network that
	// you trust. Whoever reaches an emulator can be anybody.
	InsecureHosts []string

	// File describes users, applications and so on, in the form of [Example]. It is
	// read again when it changes. Tenant is the same as text; it counts if there is
	// no File.
	File   string
	Tenant []byte

	// StateFile keeps what was issued (keys, sessions, refresh tokens) and what was
	// changed at the control page over a restart. It has private keys: it is made for
	// its owner alone. Default: memory.
	StateFile string

	// HTTPClient sends webhooks and logout tokens. Default: a client of its own.
	HTTPClient *http.Client

	// Logger tells of webhooks that nobody takes, and of a File that can't be read.
	// Default: nothing.
	Logger *slog.Logger
}

// A Server is an emulator. It is an http.Handler, and safe for concurrent use.
type Server struct {
	endpoint string
	base     string   // the endpoint's path
	hosts    []string // other than loopback
	// cookieName has the port in it: all ports of a host share their cookies.
	cookieName string
	insecure   bool // the endpoint's is one of them
	file       string
	given      []byte
	state      string
	client     *http.Client
	logger     *slog.Logger
	origin     http.CrossOriginProtection
	ctx        context.Context
	cancel     context.CancelFunc
	sending    sync.WaitGroup

	mu      sync.Mutex
	tenant  *tenant
	source  source // of tenant
	issued  *issued
	saved   []byte // in StateFile
	knobs   knobs
	log     journal
	judge   *judge
	queues  map[string]*queue // of webhooks
	era     int               // counts resets
	problem string            // with File
}

// New makes an emulator that listens nowhere: serve it at the host of its endpoint. The
// error is about the Config, or about a file that it names.
func New(cfg Config) (*Server, error) {
	if cfg.Endpoint == "" {
		cfg.Endpoint = "http://localhost:3001"
	}
	endpoint, err := policy.ParseEndpoint(cfg.Endpoint, true)
	var u *url.URL
	if err == nil {
		endpoint = strings.TrimSuffix(endpoint, Mark) + Mark
		u, err = url.Parse(endpoint)
	}
	if err != nil {
		return nil, fmt.Errorf("emulator: the endpoint is no address: write it as in http://localhost:3001%s", Mark)
	}
	for _, host := range cfg.InsecureHosts {
		if _, err := netip.ParseAddr(host); err != nil && (host == "" || strings.ContainsAny(host, ":/ *[")) {
			return nil, fmt.Errorf("emulator: %q is no host: a name or an address, without scheme, port and *", host)
		}
	}
	if !policy.IsLoopback(u.Hostname()) && !names(cfg.InsecureHosts, u.Hostname()) {
		return nil, fmt.Errorf("emulator: %s is not loopback: whoever reaches an emulator can be anybody; for a network that you trust, name it in InsecureHosts", u.Host)
	}
	s := &Server{
		endpoint: endpoint, base: u.Path, hosts: slices.Clone(cfg.InsecureHosts), insecure: !policy.IsLoopback(u.Hostname()),
		file: cfg.File, given: cfg.Tenant, state: cfg.StateFile,
		cookieName: "logto_emulator_" + u.Port(),
		client:     cfg.HTTPClient, logger: cfg.Logger, queues: map[string]*queue{},
	}
	if s.client == nil {
		s.client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	if len(s.given) == 0 {
		s.given = example
	}
	if err := s.load(); err != nil {
		return nil, fmt.Errorf("emulator: %w", err)
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// Start gives an emulator that listens on a loopback port until the test ends, with
// nothing on disk unless the Config says so. At most one Config is taken.
func Start(tb testing.TB, cfg ...Config) *Server {
	tb.Helper()
	var c Config
	switch len(cfg) {
	case 0:
	case 1:
		c = cfg[0]
	default:
		tb.Fatal("emulator: Start takes one Config")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("emulator: %v", err)
	}
	if c.Endpoint == "" {
		c.Endpoint = "http://" + listener.Addr().String()
	}
	s, err := New(c)
	if err != nil {
		_ = listener.Close()
		tb.Fatal(err)
	}
	server := &http.Server{Handler: s, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), ReadHeaderTimeout: time.Minute}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener) // until it is closed
	}()
	tb.Cleanup(func() {
		_ = server.Close()
		<-done
		if err := s.Close(); err != nil {
			tb.Errorf("emulator: %v", err)
		}
	})
	return s
}

// Endpoint is the address for LOGTO_ENDPOINT, for an SDK's endpoint and for
// logto.Config.Endpoint. The issuer is Endpoint() + "/oidc".
func (s *Server) Endpoint() string { return s.endpoint }

// Config gives a configuration that trusts the emulator, for the given audiences or for
// all resources that it has. It logs nothing unless its Logger is set.
func (s *Server) Config(audiences ...string) logto.Config {
	if len(audiences) == 0 {
		s.mu.Lock()
		for _, r := range s.tenant.Resources {
			audiences = append(audiences, r.Indicator)
		}
		s.mu.Unlock()
	}
	return logto.Config{Endpoint: s.endpoint, Audiences: audiences, InsecureAllowHTTP: s.insecure, Logger: slog.New(slog.DiscardHandler)}
}

// Client gives a client that reaches the emulator without a network, under any
// address: for logto.Config.HTTPClient in a testing/synctest bubble.
func (s *Server) Client() *http.Client {
	return &http.Client{
		Transport:     memory.Transport{Handler: s},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Close gives up the webhooks that are under way, and writes the state. The handler
// must not be used after it.
func (s *Server) Close() error {
	s.cancel()
	s.sending.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.save()
}

// now is the time by the emulator's clock, which may be wrong.
func (s *Server) now() time.Time { return time.Now().Add(s.knobs.offset) }

// issuer is what tokens name.
func (s *Server) issuer() string { return s.endpoint + policy.OIDCPath }

// A source is what a tenant was read from.
type source struct {
	changed time.Time
	size    int64
	sum     string
}

func stat(file string) (source, error) {
	info, err := os.Stat(file)
	if err != nil {
		return source{}, err
	}
	return source{changed: info.ModTime(), size: info.Size()}, nil
}

// isStill tells whether the file looks as it did when it was read.
func (s source) isStill(file string) bool {
	now, err := stat(file)
	return err == nil && now.changed.Equal(s.changed) && now.size == s.size
}
