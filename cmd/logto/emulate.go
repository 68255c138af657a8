package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/seed-70fe37f4/logto/emulator"
	"github.com/seed-70fe37f4/logto/internal/policy"
)

const emulateUsage = `usage: logto emulate [flags]

emulate is a Logto on this machine, for development and tests: an issuer that Logto's
SDKs sign in to, without account, passwords or Docker. It prints what to put into the
environment, and a line that begins with "ready" once it answers. Its page /control
suspends users, rotates keys and makes all else go wrong that can go wrong. What it
does and what not: docs/emulator.md.

  -config FILE           users, roles, applications and so on; read again when it
                         changes. Default: logto.json if there is one, else those
                         that -init writes
  -init                  write a commented example to the file of -config, and end
  -listen ADDRESS        default 127.0.0.1:3001; port 0 for one that is free
  -endpoint URL          address that clients are given; it ends in /emulator. Default:
                         localhost and the port
  -state FILE            keep keys, sessions and refresh tokens over a restart. It has
                         private keys. Default: nothing is kept
  -exit-with-stdin       end when standard input does, besides SIGINT and SIGTERM
  -insecure-host HOST    a host other than loopback that it may be called by, and
                         whose endpoint it may have; with one, -listen may be any
                         address. Whoever reaches it can be anybody. May be repeated

exit status: 0 it was told to end, 1 it could not run, 2 usage
`

// emulating are the flags of emulate.
type emulating struct {
	config, listen, endpoint, state string
	init, withStdin                 bool
	hosts                           list // insecure
}

const defaultDescription = "logto.json"

func parseEmulate(args []string) (*emulating, error) {
	e := &emulating{}
	f := flag.NewFlagSet("emulate", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&e.config, "config", "", "")
	f.BoolVar(&e.init, "init", false, "")
	f.StringVar(&e.listen, "listen", "127.0.0.1:3001", "")
	f.StringVar(&e.endpoint, "endpoint", "", "")
	f.StringVar(&e.state, "state", "", "")
	f.BoolVar(&e.withStdin, "exit-with-stdin", false, "")
	f.Var(&e.hosts, "insecure-host", "")
	if err := parseFlags(f, args); err != nil {
		return nil, err
	}
	host, _, err := net.SplitHostPort(e.listen)
	switch {
	case f.NArg() > 0:
		return nil, errors.New("emulate takes flags only")
	case err != nil:
		return nil, errors.New("-listen must be host:port, such as 127.0.0.1:3001")
	case !policy.IsLoopback(host) && len(e.hosts) == 0:
		return nil, errors.New("-listen must be loopback: whoever reaches an emulator can be anybody. For a network that you trust there is -insecure-host")
	}
	return e, nil
}

// emulate serves an emulator until it is told to end.
func emulate(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	e, err := parseEmulate(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		_, _ = io.WriteString(stdout, emulateUsage)
		return 0
	case err != nil:
		_, _ = fmt.Fprintf(stderr, "logto: %s\nlogto emulate -h lists the flags\n", clean(err.Error()))
		return 2
	case e.init:
		err = e.writeExample(stdout)
	default:
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		err = e.serve(ctx, stdin, stdout, stderr)
	}
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "logto: %s\n", clean(err.Error()))
		return 1
	}
	return 0
}

// writeExample never writes over a file.
func (e *emulating) writeExample(stdout io.Writer) error {
	name := e.config
	if name == "" {
		name = defaultDescription
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already", name)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(emulator.Example())
	if err = errors.Join(err, f.Close()); err == nil {
		_, err = fmt.Fprintf(stdout, "%s is written. logto emulate -config %s\n", name, name)
	}
	return err
}

func (e *emulating) serve(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer) error {
	if e.config == "" {
		if _, err := os.Stat(defaultDescription); err == nil {
			e.config = defaultDescription
		}
	}
	listener, err := net.Listen("tcp", e.listen)
	if err != nil {
		return err
	}
	defer listener.Close()
	if err := e.checkBound(listener.Addr()); err != nil {
		return err
	}
	if e.endpoint == "" {
		_, port, err := net.SplitHostPort(listener.Addr().String())
		if err != nil {
			return err
		}
		e.endpoint = "http://localhost:" + port
	}
	em, err := emulator.New(emulator.Config{
		Endpoint: e.endpoint, File: e.config, StateFile: e.state, InsecureHosts: e.hosts,
		Logger: slog.New(slog.NewTextHandler(stderr, nil)),
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if e.withStdin {
		go func() {
			_, _ = io.Copy(io.Discard, stdin)
			cancel(nil)
		}()
	}
	server := &http.Server{Handler: em, ReadHeaderTimeout: time.Minute, ErrorLog: slog.NewLogLogger(slog.NewTextHandler(stderr, nil), slog.LevelWarn)}
	served := make(chan struct{})
	go func() {
		defer close(served)
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			cancel(err)
		}
	}()
	greeting, err := e.greeting(em, listener.Addr().String())
	if err == nil {
		_, err = io.WriteString(stdout, greeting)
	}
	if err == nil {
		<-ctx.Done()
	}
	if cause := context.Cause(ctx); err == nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	_ = server.Close() // what hangs by a fault would keep a gentle end from ending
	<-served
	return errors.Join(err, em.Close())
}

// checkBound looks at what was bound: which address a name has, such as one below
// localhost, is the network's to say.
func (e *emulating) checkBound(bound net.Addr) error {
	if a, ok := bound.(*net.TCPAddr); ok && a.IP.IsLoopback() || len(e.hosts) > 0 {
		return nil
	}
	return fmt.Errorf("-listen %s is %v here, which is not loopback: write 127.0.0.1 for it", e.listen, bound)
}

// described is what the greeting tells of an emulator's description.
type described struct {
	Tenant struct {
		Resources []struct {
			Indicator string
			Scopes    []string
		}
		Applications []struct{ ID, Type, Secret string }
	}
}

// greeting is what to paste, and the ready line.
func (e *emulating) greeting(em *emulator.Server, address string) (string, error) {
	endpoint := em.Endpoint()
	res, err := em.Client().Get(endpoint + "/control/state")
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	var about described
	if err := json.NewDecoder(res.Body).Decode(&about); err != nil {
		return "", err
	}
	var b strings.Builder
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(&b, format+"\n", args...) }
	line("LOGTO EMULATOR: for development only. Nobody has a password; everybody can be anybody.")
	line("")
	if e.config != "" {
		line("# users, roles and applications: %s", clean(e.config))
	} else {
		line("# users: alice (reader), bob (nothing), carol (admin); organizations: acme, umbrella. For your own: logto emulate -init")
	}
	if len(e.hosts) > 0 {
		line("# -insecure-host: it listens on %s, and whoever reaches it can be anybody", address)
	}
	line("LOGTO_ENDPOINT=%s", endpoint)
	line("LOGTO_ISSUER=%s/oidc", endpoint)
	line("LOGTO_JWKS_URI=%s/oidc/jwks", endpoint)
	resources := about.Tenant.Resources
	if len(resources) > 0 {
		line("LOGTO_AUDIENCE=%s", quoted(clean(resources[0].Indicator)))
	}
	for _, app := range about.Tenant.Applications {
		if app.Type != "MachineToMachine" {
			line("# of the page; an API that is given it may accept no other application, machines included:")
			line("LOGTO_CLIENT_ID=%s", quoted(clean(app.ID)))
			break
		}
	}
	line("")
	line("# control page: %s/control", endpoint)
	for _, app := range about.Tenant.Applications {
		if app.Type == "MachineToMachine" && len(resources) > 0 {
			line("# a machine's token:")
			scope := ""
			if all := resources[0].Scopes; len(all) > 0 {
				scope = " -d scope=" + quoted(url.QueryEscape(strings.Join(all, " ")))
			}
			line("curl -s %s/oidc/token -u %s -d grant_type=client_credentials -d resource=%s%s", endpoint,
				quoted(url.QueryEscape(app.ID)+":"+url.QueryEscape(app.Secret)), quoted(url.QueryEscape(resources[0].Indicator)), scope)
			break
		}
	}
	line("")
	line("ready %s", endpoint)
	return b.String(), nil
}

// quoted is a word for a shell.
func quoted(word string) string {
	if !strings.ContainsFunc(word, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-._:/%+=", r))
	}) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
