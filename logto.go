// Package logto lets an API accept the access tokens of Logto (https://logto.io).
//
// A [Verifier] verifies tokens against Logto's published keys. [Require] puts it in
// front of any [http.Handler], and the handler asks [UserID] who is calling:
//
//	v, err := logto.New(logto.Config{
//		Endpoint:  "https://tenant.logto.app",
//		Audiences: []string{"https://api.example.com"},
//	})
//	…
//	mux.Handle("GET /api/hello", logto.Require(v)(hello))
//
// Package logtotest is a fake Logto for tests.
package logto

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"sync"
	"time"

	"github.com/seed-70fe37f4/logto/internal/loglimit"
	"github.com/seed-70fe37f4/logto/internal/policy"
)

// Config says which tokens a Verifier accepts. Endpoint and Audiences are all
// that most services set.
type Config struct {
	// Endpoint is the address of Logto, as in the console: the issuer is
	// Endpoint + "/oidc" and the key set is at Endpoint + "/oidc/jwks". A trailing
	// slash, /oidc, /oidc/jwks or the discovery path at its end do no harm, nor does a
	// host in letters that aren't ASCII: it is taken in its xn-- form, as Logto writes
	// it. No discovery request is made.
	Endpoint string

	// Audiences are the identifiers (resource indicators) of this API in Logto,
	// compared byte by byte. A token needs one of them.
	Audiences []string

	// Issuers are the accepted iss claims, compared byte by byte, in place of the
	// one that Endpoint gives. A tenant with a custom domain has two.
	Issuers []string

	// JWKSURL is where the key set is, if not at Endpoint + "/oidc/jwks", or
	// without an Endpoint at Issuers[0] + "/jwks": for a Logto that this service
	// reaches by an internal name. Its query, which may have a key in it, is in no log,
	// error or event.
	JWKSURL string

	// ClientIDs, if set, are the only applications whose tokens are accepted.
	ClientIDs []string

	// OrganizationTokens also accepts the tokens of Logto's organizations, whose
	// audience is urn:logto:organization:<ID>. Any organization's will do; name
	// the request's with the requirement Organization.
	OrganizationTokens bool

	// Revoked, if set, is asked last for each token that is otherwise good, a remembered
	// one too: nil lets it pass, [ErrRevoked] (or what wraps it) refuses it with 401, and
	// any other error is answered 503. It is called for every request, maybe
	// concurrently, so it must not do I/O: see package revocation, whose List.Check it
	// takes. What it panics with ends the request.
	Revoked func(*Claims) error

	// Leeway is the clock difference to tolerate in exp, nbf and iat. 0 is 30 s,
	// negative is none. New refuses more than 10 minutes.
	Leeway time.Duration

	// CacheSize is how many verified tokens are remembered, so that each costs one
	// signature check and not one a request. It counts tokens of ordinary size, which hold
	// 1.2 KB of memory at most; a larger one takes the place of several. 0 is 10 000: 12
	// MiB at most, whatever is sent. Negative is none. What is remembered is refused all
	// the same when it expires or its key is gone.
	CacheSize int

	// KeySet, if set, is what there is before the first fetch: one that another instance
	// has kept, for a function that starts cold, or one from a file. It is no substitute
	// for fetches: its age counts from Fetched, so it is refreshed, serves in an outage and
	// ends after a day as if this Verifier had fetched it. Only that a key doesn't exist is
	// never known by it. New refuses one that is another Logto's, has no usable key, or was
	// fetched later than now.
	KeySet KeySet

	// HTTPClient fetches the key set. Nil is a client that takes the proxy from
	// the environment and keeps no connection open. Whatever is set here, a fetch's
	// context ends after 10 s, and no redirect to another host or from https to
	// http is followed.
	HTTPClient *http.Client

	// Logger gets a line for each refused request (its reason, what was got and
	// wanted, the likely mistake; at most 10 a reason in 10 s, and then how many were
	// left out; at debug level where there is no Authorization header) and for what
	// happens to the key set. Nil is slog.Default() at the time of the line.
	Logger *slog.Logger

	// TokenFrom, if set, is asked for a request's token in place of the Authorization
	// header, which is then not looked at but by [BearerToken], which it may call. ""
	// is no token. An error is answered 400 and logged, but one that wraps ErrNoToken is
	// no token either, and one that says that it couldn't decide is answered 503, as of a
	// [Check]: a store of sessions that is down is not the client's fault. Answers have
	// Vary: *, so that no cache gives one user's to another. A browser sends a cookie with
	// requests that other sites cause: whoever takes the token from one needs protection
	// against that, such as [http.CrossOriginProtection]. An address is no place for a token:
	// it ends up in logs.
	TokenFrom func(r *http.Request) (string, error)

	// ErrorHandler answers a refused request; [AnswerTo] tells it what belongs to the
	// answer. Nil is WriteError. An answer is a final status, a body, or a connection that
	// was taken over: where a handler gives none, WriteError answers. A body without a
	// status has the refusal's, and whatever has the refusal's status has its challenge,
	// Retry-After and Cache-Control, unless they are set. Whoever wants a 200 has to say
	// so. Where a good token doesn't meet a requirement, [FromContext] finds its claims.
	ErrorHandler func(w http.ResponseWriter, r *http.Request, err error)

	// ResourceMetadataURL, if set, is named in every challenge as
	// resource_metadata (RFC 9728 section 5.1): see Verifier.ResourceMetadata. Routes with the
	// requirement Audience name that of their resource, at the same host.
	ResourceMetadataURL string

	// UserAgent, if set, stands before the library's own name in the User-Agent header of
	// requests to Logto, as in orders/1.2: a firewall in front of it learns who asks.
	UserAgent string

	// Observer, if set, is called once for each request, for each call of Verify or
	// Authenticate, and for each fetch of the key set, with the request's context or
	// Background: see [Event]. It must be quick, and safe for concurrent use.
	Observer func(ctx context.Context, e Event)

	// InsecureAllowHTTP permits a key set over http from a host that is not
	// loopback: an address of loopback, localhost, or a name below localhost, which the
	// default HTTPClient asks on this machine. Whoever can change that answer can sign tokens for this API.
	InsecureAllowHTTP bool
}

const maxLeeway = 10 * time.Minute

// Verifier checks access tokens. It is made by New, safe for concurrent use, and
// needs no closing: between two fetches of the key set it has no goroutine.
type Verifier struct {
	cfg     Config    // of the service as a whole
	tenants []*tenant // one at least, the first of which is cfg's
	tokens  *tokenCache
	// challenges are how each WWW-Authenticate begins, by the audience that the route names;
	// "" is for routes that name none.
	challenges map[string]string
	signatures chan struct{} // bounds the signature checks that run at once
	queued     chan struct{} // bounds those that wait
	unsigned   perSecond     // large tokens that were read though no known key has signed them
	log        *loglimit.Log
}

// New checks the configuration. It does no I/O: the first token that needs the
// key set fetches it; see Refresh. Errors tell what to change.
//
// A service that takes tokens of several Logtos, as in a migration or with a tenant for each
// region, gives the configuration of each. Every Logto has its own issuers, keys, audiences,
// ClientIDs, OrganizationTokens, KeySet and Revoked: keys of one never sign for another. What
// concerns the service as a whole stands in the first, and it is an error to set it in
// others: Leeway, CacheSize, Logger, TokenFrom, ErrorHandler, ResourceMetadataURL, UserAgent
// and Observer.
func New(cfg Config, others ...Config) (*Verifier, error) {
	first, err := newTenant(cfg)
	if err != nil {
		return nil, err
	}
	cfg = first.cfg
	switch {
	case cfg.Leeway > maxLeeway:
		return nil, policy.Refuse("Config.Leeway is %v; it can't be over %v: set the clock right instead", cfg.Leeway, maxLeeway)
	case cfg.Leeway == 0:
		cfg.Leeway = policy.Leeway
	}
	cfg.Leeway = max(cfg.Leeway, 0)
	if !policy.IsUserAgent(cfg.UserAgent) {
		return nil, policy.Refuse("Config.UserAgent has characters that don't belong there: write it as in orders/1.2")
	}
	if cfg.ResourceMetadataURL != "" {
		if err := policy.CheckResourceMetadataURL(cfg.ResourceMetadataURL); err != nil {
			return nil, err
		}
	}
	cpus := runtime.GOMAXPROCS(0)
	v := &Verifier{cfg: cfg, tenants: []*tenant{first}, tokens: newTokenCache(cfg.CacheSize),
		signatures: make(chan struct{}, cpus), queued: make(chan struct{}, max(minQueue, maxQueue*cpus))}
	for i, other := range others {
		t, err := newTenant(other)
		if err == nil {
			err = v.joins(t)
		}
		if err != nil {
			return nil, fmt.Errorf("%w (in configuration %d of %d)", err, i+2, len(others)+1)
		}
		v.tenants = append(v.tenants, t)
	}
	v.challenges = challengesOf(&cfg, v.tenants)
	v.log = &loglimit.Log{Logger: v.logger, Summary: "logto: lines left out", Kind: "reason"}
	for _, t := range v.tenants {
		t.keys = newKeyCache(t, &cfg, v.logger)
		if t.given != nil {
			t.keys.begin(t.given)
			t.given = nil // its keys may be taken back
		}
	}
	return v, nil
}

// challengesOf has one for each audience, and for "".
func challengesOf(cfg *Config, tenants []*tenant) map[string]string {
	all := map[string]string{}
	add := func(audience string) {
		all[audience] = `Bearer realm="` + cfg.Issuers[0] + `"`
		if cfg.ResourceMetadataURL != "" {
			all[audience] += `, resource_metadata="` + policy.ResourceMetadataURL(cfg.ResourceMetadataURL, audience) + `"`
		}
	}
	add("")
	for _, t := range tenants {
		for _, audience := range t.cfg.Audiences {
			add(audience)
		}
	}
	return all
}

func (v *Verifier) logger() *slog.Logger {
	if v.cfg.Logger != nil {
		return v.cfg.Logger
	}
	return slog.Default()
}

// Refresh fetches the key set and waits for it, until ctx ends: nil means that an answer
// came after the call. Fetches keep 10 s between them, so it may wait as long for its turn.
// The error is ErrUnavailable and wraps the cause, at once if a fetch failed just now; a
// good key set stays in use all the same. Of several Logtos all are asked, at once, and all
// must answer.
//
// Nobody needs to call it: tokens cause the fetches they need. It is for those
// who want a service with a wrong address to fail at its start.
func (v *Verifier) Refresh(ctx context.Context) error {
	errs := make([]error, len(v.tenants))
	var all sync.WaitGroup
	for i, t := range v.tenants {
		all.Go(func() {
			errs[i] = t.keys.await(ctx)
			if errs[i] != nil {
				errs[i] = cmp.Or(ended(ctx, "the key set"), errs[i])
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// Ready reports whether tokens can be verified now: the error is [ErrUnavailable] while
// there is no key set or one older than a day, and wraps what went wrong last. It
// waits for nothing. It starts the fetch that is due, so a probe of this one call
// recovers by itself. In an outage of Logto a verifier stays ready as long as it can
// serve, so that a readiness probe doesn't end the service too. Of several Logtos the first
// decides: an outage of another, or its end after a migration, must not end the service.
func (v *Verifier) Ready() error {
	for _, t := range v.tenants[1:] {
		_ = t.keys.ready()
	}
	return v.tenants[0].keys.ready()
}
