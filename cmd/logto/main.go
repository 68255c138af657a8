// Logto finds out why an API refuses a token, or why it can't get Logto's keys. It
// delivers again the webhooks that an API has missed. And it is a Logto itself, on a
// developer's machine.
//
//	logto doctor  -endpoint https://tenant.logto.app -audience https://api.example.com
//	logto explain -endpoint https://tenant.logto.app -audience https://api.example.com <token.txt
//	logto replay  -endpoint https://tenant.logto.app -hook ID -app-id ID
//	logto emulate
//
// Doctor checks what a logto.Config would meet: whether Logto can be reached, its
// certificate, each published key, the issuer that Logto calls itself, the
// clocks. It ends with the Config to write. With -hook and the credentials of a
// machine-to-machine application it checks the webhook of package revocation too:
// whether it is there, enabled, has the events that are needed and the signing key
// that the API has, and how many deliveries failed in the last day.
//
// Explain reads one token from standard input, never from its arguments, and
// tells for each check what it saw, and which requirements of a route the token
// meets. Without -endpoint or -issuer it decodes, and verifies nothing. What it
// says about a token is the verdict of package logto itself. It prints the claims
// in it, which may be personal data, but never the token or its signature.
//
// Replay reads which webhooks Logto couldn't deliver, for it sends each once, and
// delivers them again, signed with the webhook's key: once, or with -every until it
// is told to stop. What is delivered twice changes nothing. It needs the Management
// API, with an application whose secret is in LOGTO_APP_SECRET or a file, never an
// argument; it prints neither secrets nor the bodies. How to set it up is in
// docs/revocation.md, its flags are told by logto replay -h.
//
// Emulate serves package emulator on a loopback port until it is told to end: see
// docs/emulator.md, and logto emulate -h. It has no JSON.
//
// The exit status is 0 if all is well (a warn is no problem), 1 if a problem was
// found, the token was refused or not verified, or something could not be delivered, 2
// if the command line makes no sense.
//
// # JSON
//
// With -json, standard output has one object, in ASCII. Members may be added, but
// none of these changes. Replay with -every prints one object a pass in which
// something was delivered or went wrong, and a first one.
//
//	command  "doctor", "explain" or "replay"
//	ok       whether the exit status is 0
//	verdict  "ok" or "problem"; of explain "accepted", "refused" or "unverified"
//	reason   of a refused token: a code of docs/troubleshooting.md, else ""
//	summary  the verdict in a sentence
//	checks   a list, in the order of the checks: name, status ("ok", "warn",
//	         "fail", "note", "skip"), saw (what was found) and, if there is
//	         something to do, hint. One with the name "key" also has key: id,
//	         type, algorithm ("" if the key names none), usable, why (not)
//	token    of explain: header and claims as decoded, long values cut; or absent
//	requirements  of an accepted token: requirement, meets, why (not)
//	config   of doctor: the Go expression to write
//	deliveries  of replay, counted: read in the log, failed of these, delivered now,
//	         undelivered still; the last two once a receiver
//
// The names of the checks are: config, reach, tls, jwks, key, discovery, internal,
// clock, audience, and with -hook management, hook, events, url, signing-key,
// deliveries of doctor; config (if it is refused), form, type, algorithm,
// claims, issuer, audience, client, times, key, signature, clock, organization,
// scopes of explain; config, management, hook, events, url, signing-key, logs,
// delivery (one of each) of replay.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/internal/policy"
	"github.com/seed-70fe37f4/logto/internal/refusal"
)

const usage = `usage: logto doctor  -endpoint URL -audience API [flags]
       logto explain -endpoint URL -audience API [flags] <token
       logto replay  -endpoint URL -hook ID -app-id ID [flags]
       logto emulate [flags]

doctor checks Logto's address, keys, issuer and clock against a configuration.
explain reads a token from standard input and tells why it is accepted or refused;
without -endpoint or -issuer it only decodes.
replay delivers again the webhooks that had failed: its flags are told by logto replay -h.
emulate is a Logto on this machine, for development: see logto emulate -h.

  -endpoint URL         address of Logto, such as https://tenant.logto.app
  -audience API         identifier of the API in Logto; may be repeated
  -issuer URL           accepted issuer, if not the endpoint's; may be repeated
  -jwks-url URL         address of the key set, if not the endpoint's
  -client-id ID         accept only this application; may be repeated
  -organization-tokens  accept organization tokens too
  -insecure-allow-http  allow keys over http from a host that is not loopback
  -timeout DURATION     for each request, at most 10s
  -json                 print JSON: see go doc github.com/seed-70fe37f4/logto/cmd/logto

doctor only, to check the webhook of package revocation too:
  -hook ID              of the webhook: in the address of its page in the console
  -app-id ID            machine-to-machine application, or LOGTO_APP_ID
  -secret-file PATH     its secret, if not in LOGTO_APP_SECRET
  -signing-key-file PATH  the key that the API has, if not in LOGTO_SIGNING_KEY
  -resource URL         indicator of the Management API, if not the endpoint's

explain only:
  -scope SCOPE          scope that the route asks for; may be repeated
  -organization ID      organization that the route belongs to

exit status: 0 ok, 1 problem found, token refused or not verified, 2 usage
`

const noTokenArgument = `logto: a token must not be on the command line: everybody on this machine can read
that (ps), and the shell keeps it in its history. Whoever has the token is its user
until it expires. Give it on standard input:

	logto explain -endpoint … -audience … <token.txt
	pbpaste | logto explain …        (macOS; Linux: wl-paste, xclip -o)
`

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// options is a command line.
type options struct {
	config       logto.Config
	json         bool
	timeout      time.Duration
	scopes       list
	organization string
	organized    bool // -organization was given
	credentials  credentials
	replay       replaying
}

type list []string

func (l *list) String() string { return strings.Join(*l, " ") }

func (l *list) Set(s string) error {
	*l = append(*l, s)
	return nil
}

const maxTimeout = 10 * time.Second

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) > 0 && args[0] == "emulate" {
		return emulate(args[1:], stdin, stdout, stderr)
	}
	o, command, err := parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp) && command == "replay":
		_, _ = io.WriteString(stdout, replayUsage)
		return 0
	case errors.Is(err, flag.ErrHelp):
		_, _ = io.WriteString(stdout, usage)
		return 0
	case errors.Is(err, errSecretArgument):
		_, _ = io.WriteString(stderr, noSecretArgument)
		return 2
	case errors.Is(err, errTokenArgument):
		_, _ = io.WriteString(stderr, noTokenArgument)
		return 2
	case err != nil:
		_, _ = fmt.Fprintf(stderr, "logto: %s\nlogto -h lists the flags\n", clean(err.Error()))
		return 2
	}
	switch command {
	case "doctor":
		return o.print(doctor(o), stdout, stderr)
	case "explain":
		return o.print(explain(o, stdin, stderr), stdout, stderr)
	}
	return replay(o, stdout, stderr)
}

// print writes the report and gives the exit status.
func (o *options) print(r *report, stdout, stderr io.Writer) (status int) {
	var err error
	if o.json {
		err = r.writeJSON(stdout)
	} else {
		err = r.writeText(stdout, styleOf(stdout))
	}
	switch {
	case err != nil:
		_, _ = fmt.Fprintln(stderr, "logto: writing the report:", err)
		return 1
	case !r.OK:
		return 1
	}
	return 0
}

var errTokenArgument = errors.New("token on the command line")

func parse(args []string) (*options, string, error) {
	if secretArgument(args) {
		return nil, "", errSecretArgument
	}
	// Before anything else, so that no message repeats a token.
	for _, arg := range args {
		name := strings.TrimLeft(arg, "-")
		isFlag := arg != name
		name, _, hasValue := strings.Cut(name, "=")
		switch {
		case strings.Count(arg, ".") >= 2 && strings.Contains(arg, "eyJ"), isFlag && name == "token",
			// An opaque token may begin with a dash. No flag's name is as long.
			isFlag && !hasValue && len(name) >= 30 && !strings.ContainsAny(name, ":/. "):
			return nil, "", errTokenArgument
		}
	}
	if len(args) == 0 {
		return nil, "", errors.New("say doctor or explain, replay or emulate")
	}
	command := args[0]
	switch command {
	case "doctor", "explain":
	case "replay":
		o, err := parseReplay(args[1:])
		return o, command, err
	case "help", "-h", "-help", "--help":
		return nil, "", flag.ErrHelp
	default:
		// It isn't repeated: it may be a token.
		return nil, "", errors.New("the first argument must be doctor or explain, replay or emulate")
	}
	o := &options{}
	var audiences, issuers, clients list
	f := o.flags(command)
	f.Var(&audiences, "audience", "")
	f.Var(&issuers, "issuer", "")
	f.StringVar(&o.config.JWKSURL, "jwks-url", "", "")
	f.Var(&clients, "client-id", "")
	f.BoolVar(&o.config.OrganizationTokens, "organization-tokens", false, "")
	if command == "explain" {
		f.Var(&o.scopes, "scope", "")
		f.StringVar(&o.organization, "organization", "", "")
	} else {
		o.credentials.flags(f)
	}
	if err := parseFlags(f, args[1:]); err != nil {
		return nil, "", err
	}
	o.config.Audiences, o.config.Issuers, o.config.ClientIDs = audiences, issuers, clients
	f.Visit(func(f *flag.Flag) { o.organized = o.organized || f.Name == "organization" })
	switch {
	case f.NArg() > 0 && command == "explain":
		return nil, "", errTokenArgument
	case f.NArg() > 0:
		return nil, "", errors.New("doctor takes flags only")
	case !o.timeIsRight():
		return nil, "", errTimeout
	case command == "doctor" && !o.hasIssuer():
		return nil, "", errors.New("doctor needs -endpoint (or -issuer)")
	case o.hasIssuer() && len(audiences) == 0 && !o.config.OrganizationTokens:
		return nil, "", errors.New("-audience is missing: the identifier of the API under API resources in the Logto console")
	case !o.hasIssuer() && (len(audiences)+len(clients)+len(o.scopes) > 0 || o.organized || o.config.JWKSURL != "" || o.config.OrganizationTokens):
		return nil, "", errors.New("nothing can be verified without -endpoint (or -issuer)")
	}
	if o.credentials.hook != "" {
		if err := o.credentials.load(o.config.Endpoint, o.config.InsecureAllowHTTP); err != nil {
			return nil, "", err
		}
	}
	for _, scope := range o.scopes {
		if !policy.IsScope(scope) { // logto.Scopes would panic
			return nil, "", errors.New("-scope takes one scope; repeat it for more")
		}
	}
	return o, command, nil
}

// flags are those of every command.
func (o *options) flags(command string) *flag.FlagSet {
	f := flag.NewFlagSet(command, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&o.config.Endpoint, "endpoint", "", "")
	f.BoolVar(&o.config.InsecureAllowHTTP, "insecure-allow-http", false, "")
	f.DurationVar(&o.timeout, "timeout", maxTimeout, "")
	f.BoolVar(&o.json, "json", false, "")
	return f
}

// parseFlags repeats no invalid value: it may be a token or a secret in the wrong place.
func parseFlags(f *flag.FlagSet, args []string) error {
	err := f.Parse(args)
	if err == nil {
		return nil
	}
	if text := err.Error(); strings.HasPrefix(text, "invalid ") {
		return errors.New("the value makes no sense" + text[strings.LastIndex(text, " for "):])
	}
	return err
}

var errTimeout = fmt.Errorf("-timeout must be over 0 and at most %v", maxTimeout)

func (o *options) timeIsRight() bool { return o.timeout > 0 && o.timeout <= maxTimeout }

func (o *options) hasIssuer() bool { return o.config.Endpoint != "" || len(o.config.Issuers) > 0 }

// A target is Logto as the configuration sees it, asked once.
type target struct {
	verifier *logto.Verifier
	issuers  []string
	net      *recorder
	jwksURL  string
	keys     *exchange // the request for the key set, after redirects
	keysErr  error     // what the library says of it; nil if there are usable keys
	refused  error     // by a requirement, for the moment of a call of meets
}

// reach builds the verifier and lets it fetch the key set. The error is one of
// logto.New.
func (o *options) reach(ctx context.Context) (*target, error) {
	t := &target{net: newRecorder()}
	cfg := o.config
	cfg.HTTPClient = &http.Client{Transport: t.net, Timeout: o.timeout}
	cfg.Logger = slog.New(slog.DiscardHandler)
	cfg.ErrorHandler = func(_ http.ResponseWriter, _ *http.Request, err error) { t.refused = err }
	var err error
	if t.verifier, err = logto.New(cfg); err != nil {
		return nil, err
	}
	t.issuers = issuersOf(cfg)
	t.keysErr = t.verifier.Refresh(ctx)
	if t.keys = t.net.last(); t.keys == nil {
		t.keys = &exchange{url: cfg.JWKSURL, err: t.keysErr} // not even asked
		t.jwksURL = cfg.JWKSURL
		return t, nil
	}
	t.jwksURL = t.net.first().url
	return t, nil
}

// meets returns what Require with these requirements says of a request with the
// token.
func (t *target) meets(token string, reqs ...logto.Requirement) error {
	t.refused = nil
	r := &http.Request{Method: http.MethodGet, URL: &noURL, Header: http.Header{"Authorization": {"Bearer " + token}}}
	passed := false
	logto.Require(t.verifier, reqs...)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { passed = true })).ServeHTTP(&sink{}, r)
	if !passed && t.refused == nil {
		return errors.New("refused")
	}
	return t.refused
}

// issuersOf is which issuers a valid configuration accepts.
func issuersOf(cfg logto.Config) []string {
	if len(cfg.Issuers) > 0 {
		return cfg.Issuers
	}
	base, err := policy.ParseEndpoint(cfg.Endpoint, cfg.InsecureAllowHTTP)
	if err != nil {
		return nil
	}
	return []string{base + policy.OIDCPath}
}

// details is the text of an error of the library, without that of the exported error
// in it.
func details(err error) string {
	if e := refusal.Of(err); e != nil {
		return e.Details()
	}
	var config *policy.ConfigError
	if errors.As(err, &config) {
		return config.Text
	}
	return err.Error()
}

// remedy is what to do about an error of the library, "" if nothing is known.
func remedy(err error) string {
	if e := refusal.Of(err); e != nil {
		return e.Advice()
	}
	return ""
}

// style is how text is written: for eyes or for a pipe.
type style struct {
	colour bool
	width  int // 0: one line per check
}

func styleOf(w io.Writer) style {
	if !isTerminal(w) {
		return style{}
	}
	// Old consoles of Windows print escape sequences as they are.
	console := runtime.GOOS == "windows" && os.Getenv("WT_SESSION") == "" && os.Getenv("TERM") == ""
	return style{
		colour: os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && !console,
		width:  terminalWidth(),
	}
}

func isTerminal(v any) bool {
	f, ok := v.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// isNull is for a job without a terminal: the null device looks like one.
func isNull(v any) bool {
	f, ok := v.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	null, errNull := os.Stat(os.DevNull)
	return err == nil && errNull == nil && os.SameFile(info, null)
}

// terminalWidth is what the shell says, if it does.
func terminalWidth() int {
	width := 80
	_, _ = fmt.Sscan(os.Getenv("COLUMNS"), &width)
	return min(max(width, 60), 120)
}
