// Package logto lets an API accept the access tokens of Logto (https://logto.io).
//
// A Verifier checks tokens against Logto's published keys. Require puts it in
// front of any http.Handler, and the handler asks UserID who is calling:
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
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The errors that Verify returns and an ErrorHandler gets, to be told apart by
// errors.Is. Their texts name what was got and wanted: they are for the log, not
// for the client.
var (
	// ErrNoToken: the request carries no access token.
	ErrNoToken = errors.New("logto: no access token")
	// ErrInvalidToken: this is no access token for this API.
	ErrInvalidToken = errors.New("logto: invalid access token")
	// ErrExpired: the token was valid until it expired. It is an ErrInvalidToken.
	ErrExpired = fmt.Errorf("%w: expired", ErrInvalidToken)
	// ErrForbidden: the token is valid, but a Requirement refused it.
	ErrForbidden = errors.New("logto: forbidden")
	// ErrKeysUnavailable: Logto's keys can't be had, or the token can't be checked
	// in the caller's time. It says nothing against the client.
	ErrKeysUnavailable = errors.New("logto: keys unavailable")
)

// Config says which tokens a Verifier accepts. Endpoint and Audiences are all
// that most services set.
type Config struct {
	// Endpoint is the address of Logto, as in the console: the issuer is
	// Endpoint + "/oidc" and the key set is at Endpoint + "/oidc/jwks". A trailing
	// slash, /oidc, /oidc/jwks or the discovery path at its end do no harm. No
	// discovery request is made.
	Endpoint string

	// Audiences are the identifiers (resource indicators) of this API in Logto,
	// compared byte by byte. A token needs one of them.
	Audiences []string

	// Issuers are the accepted iss claims, compared byte by byte, in place of the
	// one that Endpoint gives. A tenant with a custom domain has two.
	Issuers []string

	// JWKSURL is where the key set is, if not at Endpoint + "/oidc/jwks", or
	// without an Endpoint at Issuers[0] + "/jwks": for a Logto that this service
	// reaches by an internal name.
	JWKSURL string

	// ClientIDs, if set, are the only applications whose tokens are accepted.
	ClientIDs []string

	// OrganizationTokens also accepts the tokens of Logto's organizations, whose
	// audience is urn:logto:organization:<ID>. Any organization's will do; name
	// the request's with the requirement Organization.
	OrganizationTokens bool

	// Leeway is the clock difference to tolerate in exp, nbf and iat. 0 is 30 s,
	// negative is none. New refuses more than 10 minutes.
	Leeway time.Duration

	// CacheSize is how many verified tokens are remembered, so that each costs one
	// signature check and not one a request: about 1 KiB each. 0 is 10 000,
	// negative is none. What is remembered is refused all the same when it
	// expires or its key is gone.
	CacheSize int

	// HTTPClient fetches the key set. Nil is a client that takes the proxy from
	// the environment and keeps no connection open. Whatever is set here, a fetch's
	// context ends after 10 s, and no redirect to another host or from https to
	// http is followed.
	HTTPClient *http.Client

	// Logger gets a line for each refused request (its reason, what was got and
	// wanted, the likely mistake; at most 10 a reason in 10 s; at debug level where
	// there is no Authorization header) and for what
	// happens to the key set. Nil is slog.Default() at the time of the line.
	Logger *slog.Logger

	// ErrorHandler answers a refused request. Nil is WriteError, which also answers
	// where a handler doesn't.
	ErrorHandler func(w http.ResponseWriter, r *http.Request, err error)

	// ResourceMetadataURL, if set, is named in every challenge as
	// resource_metadata (RFC 9728 section 5.1): see Verifier.ResourceMetadata.
	ResourceMetadataURL string

	// Observer, if set, is called after each check, by middleware or by Verify, and
	// after each fetch of the key set, with the request's context or Background. It
	// must be quick, and safe for concurrent use.
	Observer func(ctx context.Context, e Event)

	// InsecureAllowHTTP permits a key set over http from a host that is not
	// loopback. Whoever can change that answer can sign tokens for this API.
	InsecureAllowHTTP bool
}

const (
	defaultLeeway = 30 * time.Second
	maxLeeway     = 10 * time.Minute
	maxToken      = 16 << 10 // bytes; Logto's tokens have about 700
	maxHeader     = 2 << 10  // characters of base64url; Logto's have about 140
	maxKeyID      = 256      // bytes; Logto's have 43
)

// Verifier checks access tokens. It is made by New, safe for concurrent use, and
// needs no closing: between two fetches of the key set it has no goroutine.
type Verifier struct {
	cfg    Config
	keys   *keyCache
	tokens *tokenCache
	// challenge is how each WWW-Authenticate begins.
	challenge string
	checks    chan struct{} // bounds the signature checks that run at once
	log       refusalLog
}

// New checks the configuration. It does no I/O: the first token that needs the
// key set fetches it; see Refresh. Errors tell what to change.
func New(cfg Config) (*Verifier, error) {
	cfg.Audiences = slices.Clone(cfg.Audiences)
	cfg.Issuers = slices.Clone(cfg.Issuers)
	cfg.ClientIDs = slices.Clone(cfg.ClientIDs)

	switch {
	case cfg.Endpoint == "" && len(cfg.Issuers) == 0:
		return nil, errors.New("logto: Config needs an Endpoint, such as https://tenant.logto.app, or Issuers")
	case len(cfg.Audiences) == 0 && !cfg.OrganizationTokens:
		return nil, errors.New("logto: Config needs Audiences: the identifier of this API under API resources in the Logto console")
	case cfg.Leeway > maxLeeway:
		return nil, fmt.Errorf("logto: Config.Leeway is %v; it can't be over %v: set the clock right instead", cfg.Leeway, maxLeeway)
	}
	for name, list := range map[string][]string{"Audiences": cfg.Audiences, "Issuers": cfg.Issuers, "ClientIDs": cfg.ClientIDs} {
		for _, value := range list {
			if value == "" {
				return nil, fmt.Errorf("logto: Config.%s has an empty string in it: is an environment variable not set?", name)
			}
			if value != strings.TrimSpace(value) {
				return nil, fmt.Errorf("logto: Config.%s has %q, with white space around it: values are compared byte by byte", name, value)
			}
		}
	}
	if cfg.Leeway == 0 {
		cfg.Leeway = defaultLeeway
	}
	cfg.Leeway = max(cfg.Leeway, 0)

	jwksURL := cfg.JWKSURL
	if cfg.Endpoint != "" {
		base, err := parseEndpoint(cfg.Endpoint, cfg.InsecureAllowHTTP)
		if err != nil {
			return nil, err
		}
		if len(cfg.Issuers) == 0 {
			cfg.Issuers = []string{base + oidcPath}
		}
		if jwksURL == "" {
			jwksURL = base + oidcPath + "/jwks"
		}
	}
	for _, text := range append(slices.Clone(cfg.Issuers), cfg.ResourceMetadataURL) {
		// It goes into a quoted string of the challenge.
		if strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == '"' || r == '\\' || r >= 0x7f }) {
			return nil, fmt.Errorf("logto: Config has %q, which is no URL", text)
		}
	}
	if jwksURL == "" {
		jwksURL = cfg.Issuers[0] + "/jwks"
	}
	if _, err := parseURL("JWKSURL", jwksURL, cfg.InsecureAllowHTTP); err != nil {
		return nil, err
	}
	v := &Verifier{cfg: cfg, tokens: newTokenCache(cfg.CacheSize), checks: make(chan struct{}, runtime.GOMAXPROCS(0))}
	v.challenge = `Bearer realm="` + cfg.Issuers[0] + `"`
	if cfg.ResourceMetadataURL != "" {
		if _, err := parseURL("ResourceMetadataURL", cfg.ResourceMetadataURL, true); err != nil {
			return nil, err
		}
		v.challenge += `, resource_metadata="` + cfg.ResourceMetadataURL + `"`
	}
	v.keys = newKeyCache(jwksURL, cfg.HTTPClient, v.logger, cfg.Observer)
	return v, nil
}

// parseEndpoint turns what people paste into the address that issuer and key
// set begin with, in the form that Logto gives it (host in lower case, no
// default port).
func parseEndpoint(endpoint string, insecure bool) (string, error) {
	u, err := parseURL("Endpoint", strings.TrimSpace(endpoint), insecure)
	if err != nil {
		return "", err
	}
	path := strings.TrimRight(u.EscapedPath(), "/")
	for _, suffix := range []string{"/.well-known/openid-configuration", "/jwks"} {
		if p, ok := strings.CutSuffix(path, oidcPath+suffix); ok {
			path = p + oidcPath
		}
	}
	path = strings.TrimRight(strings.TrimSuffix(path, oidcPath), "/")
	host := strings.ToLower(u.Host)
	if u.Scheme == "https" {
		host = strings.TrimSuffix(host, ":443")
	} else {
		host = strings.TrimSuffix(host, ":80")
	}
	return u.Scheme + "://" + host + path, nil
}

func parseURL(field, raw string, insecure bool) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "":
		// Without the value of err: it repeats the URL, and there may be a password in it.
		return nil, fmt.Errorf("logto: Config.%s is no URL: write it as in https://tenant.logto.app", field)
	case u.User != nil || u.Fragment != "" || field == "Endpoint" && (u.RawQuery != "" || u.ForceQuery):
		return nil, fmt.Errorf("logto: Config.%s has a user, a query or a fragment: leave it away", field)
	case u.Scheme == "http" && !insecure && !isLoopback(u.Hostname()):
		return nil, fmt.Errorf("logto: Config.%s has http to %s, which is not loopback: whoever can change the answer can sign tokens; use https, or set InsecureAllowHTTP on a network that you trust", field, u.Host)
	}
	return u, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	host = strings.ToLower(host)
	return ip != nil && ip.IsLoopback() || host == "localhost"
}

func (v *Verifier) logger() *slog.Logger {
	if v.cfg.Logger != nil {
		return v.cfg.Logger
	}
	return slog.Default()
}

// Refresh fetches the key set and waits for it, until ctx ends. It returns nil
// at once if that was done less than 10 s ago. The error is ErrKeysUnavailable
// and wraps the cause; a good key set stays in use all the same.
//
// Nobody needs to call it: tokens cause the fetches they need. It is for those
// who want a service with a wrong address to fail at its start.
func (v *Verifier) Refresh(ctx context.Context) error { return v.keys.await(ctx) }

// Ready reports whether tokens can be verified now, without a fetch: the error
// is ErrKeysUnavailable while there is no key set or one older than a day, and
// wraps what went wrong last. In an outage of Logto a verifier stays ready as
// long as it can serve, so that a readiness probe doesn't end the service too.
func (v *Verifier) Ready() error { return v.keys.ready() }

// Verify checks an access token (RFC 9068) without HTTP: for gRPC, WebSocket,
// message queues. It waits for the key set if need be, no longer than ctx. The
// error is ErrNoToken for "", ErrExpired, ErrInvalidToken or ErrKeysUnavailable;
// where ctx ended the wait it also wraps the context's error.
func (v *Verifier) Verify(ctx context.Context, token string) (*Claims, error) {
	if v.cfg.Observer == nil {
		claims, _, err := v.verify(ctx, token)
		return claims, err
	}
	start := time.Now()
	claims, remembered, err := v.verify(ctx, token)
	v.observe(ctx, start, Event{Remembered: remembered, Err: err})
	return claims, err
}

// verify also tells whether the token was remembered.
func (v *Verifier) verify(ctx context.Context, token string) (_ *Claims, remembered bool, _ error) {
	switch {
	case token == "":
		return nil, false, errNoToken
	case len(token) > maxToken:
		return nil, false, errTooLong
	case strings.Count(token, ".") != 2:
		return nil, false, notCompact(token)
	case strings.IndexByte("eCDI", token[0]) < 0:
		return nil, false, errHeader // base64url of a brace or of JSON's white space begins so
	}
	claims, sum := v.tokens.get(token)
	if claims != nil {
		if claims, err := v.recheck(ctx, claims); claims != nil || err != nil {
			return claims, true, err
		}
	}
	claims, err := v.verifyAnew(ctx, token, sum)
	if err == nil {
		v.tokens.add(sum, claims)
	}
	return claims, false, err
}

// recheck asks of claims that were verified before what may have changed since:
// the times, and whether the key is still published. It returns nil and no error
// if the key's ID now stands for another key.
func (v *Verifier) recheck(ctx context.Context, claims *Claims) (*Claims, error) {
	if err := v.checkTimes(claims, time.Now()); err != nil {
		return nil, err
	}
	key, err := v.keys.key(ctx, claims.key.id)
	if err != nil {
		return nil, err
	}
	if key != claims.key {
		return nil, nil
	}
	// The key may have been waited for.
	if err := v.checkTimes(claims, time.Now()); err != nil {
		return nil, err
	}
	return claims, nil
}

// verifyAnew checks a token that is not remembered. Everything cheap comes before
// the signature, and what was read by then is used to refuse and for no more.
func (v *Verifier) verifyAnew(ctx context.Context, token string, sum tokenSum) (*Claims, error) {
	headerPart, rest, _ := strings.Cut(token, ".")
	payloadPart, signaturePart, _ := strings.Cut(rest, ".")
	if len(headerPart) > maxHeader {
		return nil, errLongHeader
	}
	header, err := decodePart(headerPart)
	if err != nil {
		return nil, err
	}
	h, err := parseHeader(header)
	if err != nil {
		return nil, err
	}
	payload, err := decodePart(payloadPart)
	if err != nil {
		return nil, err
	}
	claims, err := parseClaims(payload)
	if err != nil {
		return nil, err
	}
	signature, err := decodePart(signaturePart)
	if err != nil {
		return nil, err
	}
	if err := v.check(claims, time.Now()); err != nil {
		return nil, err
	}
	key, err := v.keys.key(ctx, h.keyID)
	if err != nil {
		return nil, err
	}
	if !key.allows(h.algorithm) {
		return nil, refuse(ErrInvalidToken, reasonAlgorithm, "the token says it was signed with %s, its key %s is for %s",
			cut(h.algorithm), cut(h.keyID), strings.Join(key.algorithms, " or "))
	}
	if len(signature) != key.signatureSize() {
		return nil, errSignature
	}

	// As many signature checks run at once as there are CPUs: who sends forged
	// signatures takes nobody's time but that of other new tokens.
	select {
	case v.checks <- struct{}{}:
	default:
		select {
		case v.checks <- struct{}{}:
		case <-ctx.Done():
			return nil, &refusal{kind: ErrKeysUnavailable, reason: reasonOverload, text: "the caller left while signature checks were queueing", cause: ctx.Err()}
		}
		// While this one was queueing, another request may have had the answer.
		if same := v.tokens.again(sum); same != nil && same.key == key {
			<-v.checks
			return same, nil
		}
	}
	ok := key.verify(h.algorithm, token[:len(headerPart)+1+len(payloadPart)], signature)
	<-v.checks
	// In a flood these checks keep all CPUs busy; without this, the connections of
	// others are looked after every 10 ms only.
	runtime.Gosched()
	if !ok {
		return nil, errSignature
	}
	// The key and the check may have been waited for.
	if err := v.checkTimes(claims, time.Now()); err != nil {
		return nil, err
	}
	claims.key = key
	if claims.token = sum; sum == (tokenSum{}) {
		claims.token = sumOf(token)
	}
	return claims, nil
}

// decodePart decodes base64url in its only spelling: no padding, no line ends,
// no bits left over (RFC 7515 section 2, RFC 4648 section 3.5).
func decodePart(part string) ([]byte, error) {
	// encoding/base64 passes over line ends, even if strict.
	if strings.IndexByte(part, '\n') >= 0 || strings.IndexByte(part, '\r') >= 0 {
		return nil, errEncoding
	}
	b, err := strictBase64.DecodeString(part)
	if err != nil || len(b) == 0 {
		return nil, errEncoding
	}
	return b, nil
}

var strictBase64 = base64.RawURLEncoding.Strict()

type header struct{ algorithm, keyID string }

// parseHeader reads a JOSE header (RFC 7515 section 4). Members that would
// change what the token means are refused, others are passed over.
func parseHeader(data []byte) (header, error) {
	var h header
	var typ string
	err := scanObject(data, func(name, value string) error {
		text, ok := unquote(value)
		switch name {
		case "alg":
			h.algorithm = text
		case "kid":
			h.keyID = text
		case "typ":
			typ = text
		case "cty": // nested tokens
			if t := strings.TrimPrefix(strings.ToLower(text), "application/"); t != "jwt" {
				break
			}
			fallthrough
		case "crit", "b64", "zip", "jwk", "jku", "x5u", "x5c":
			return refuse(ErrInvalidToken, reasonMalformed, "header member %s is not allowed", name)
		default:
			return nil
		}
		if !ok {
			return refuse(ErrInvalidToken, reasonMalformed, "header member %s is %s: want a string", name, cut(value))
		}
		return nil
	})
	switch {
	case err == errJSON:
		return h, errHeader
	case err != nil:
		return h, err
	case !strings.EqualFold(typ, "at+jwt") && !strings.EqualFold(typ, "application/at+jwt"):
		return h, wrongType(typ)
	case !slices.Contains(supported, h.algorithm):
		return h, refuse(ErrInvalidToken, reasonAlgorithm, "algorithm %s: want one of %s", cut(h.algorithm), strings.Join(supported, ", "))
	case h.keyID == "" || len(h.keyID) > maxKeyID:
		return h, errKeyID
	}
	return h, nil
}

// check is what the configuration and the clock say of a token.
func (v *Verifier) check(c *Claims, now time.Time) error {
	if !slices.Contains(v.cfg.Issuers, c.issuer) {
		return refuse(ErrInvalidToken, reasonIssuer, "issuer %s: want %s%s", cut(c.issuer), cutAll(v.cfg.Issuers), v.issuerHint(c.issuer))
	}
	if !v.acceptsAudience(c) {
		return refuse(ErrInvalidToken, reasonAudience, "audience %s: want %s%s", cutAll(c.Audience()), cutAll(v.cfg.Audiences), v.audienceHint(c))
	}
	if len(v.cfg.ClientIDs) > 0 && !slices.Contains(v.cfg.ClientIDs, c.clientID) {
		return refuse(ErrInvalidToken, reasonClient, "client %s: want %s", cut(c.clientID), cutAll(v.cfg.ClientIDs))
	}
	return v.checkTimes(c, now)
}

// checkTimes applies exp, nbf and iat with the same leeway on all sides: a token
// is valid from nbf - leeway on and while now < exp + leeway.
func (v *Verifier) checkTimes(c *Claims, now time.Time) error {
	leeway := v.cfg.Leeway
	switch {
	case !now.Before(c.expiresAt.Add(leeway)):
		return refuse(ErrExpired, reasonExpired, "the token expired at %s; here it is %s", stamp(c.expiresAt), stamp(now))
	case now.Add(leeway).Before(c.notBefore):
		return refuse(ErrInvalidToken, reasonNotYetValid, "the token is not valid before %s; here it is %s", stamp(c.notBefore), stamp(now))
	case now.Add(leeway).Before(c.issuedAt):
		return refuse(ErrInvalidToken, reasonNotYetValid, "the token was issued at %s, but here it is %s: the two clocks differ by about %v", stamp(c.issuedAt), stamp(now), c.issuedAt.Sub(now).Round(time.Second))
	}
	return nil
}

func (v *Verifier) acceptsAudience(c *Claims) bool {
	found := false
	c.eachAudience(func(aud string) {
		found = found || slices.Contains(v.cfg.Audiences, aud) ||
			v.cfg.OrganizationTokens && strings.HasPrefix(aud, organizationURN) && len(aud) > len(organizationURN)
	})
	return found
}

// refusal is an error that knows what to answer and why. Its text is for the log.
type refusal struct {
	kind   error // one of the exported errors, or what ended the caller's wait
	reason string
	text   string
	cause  error
	status int    // 0: what kind gives
	scope  string // for the challenge
}

func (e *refusal) Error() string {
	if e.cause != nil {
		return fmt.Sprintf("%v: %s: %v", e.kind, e.text, e.cause)
	}
	return fmt.Sprintf("%v: %s", e.kind, e.text)
}

func (e *refusal) Unwrap() []error {
	if e.cause != nil {
		return []error{e.kind, e.cause}
	}
	return []error{e.kind}
}

func refuse(kind error, reason, format string, args ...any) *refusal {
	return &refusal{kind: kind, reason: reason, text: fmt.Sprintf(format, args...)}
}

// Reasons, for the log. They are stable.
const (
	reasonNoToken      = "no_token"
	reasonBadRequest   = "malformed_request"
	reasonMalformed    = "malformed"
	reasonOpaque       = "opaque_token"
	reasonType         = "wrong_type"
	reasonAlgorithm    = "algorithm"
	reasonExpired      = "expired"
	reasonNotYetValid  = "not_yet_valid"
	reasonIssuer       = "issuer"
	reasonAudience     = "audience"
	reasonClient       = "client"
	reasonBoundToKey   = "bound_to_key"
	reasonUnknownKey   = "unknown_key"
	reasonSignature    = "signature"
	reasonScope        = "missing_scope"
	reasonOrganization = "organization"
	reasonKind         = "user_or_machine"
	reasonCheck        = "check"
	reasonKeys         = "keys_unavailable"
	reasonOverload     = "overload"
)

// Refusals without anything of the token in them are made once: refusing noise
// must cost next to nothing.
var (
	errNoToken    = &refusal{kind: ErrNoToken, reason: reasonNoToken, text: "want Authorization: Bearer and an access token"}
	errTooLong    = refuse(ErrInvalidToken, reasonMalformed, "the token has over %d bytes", maxToken)
	errEncoding   = refuse(ErrInvalidToken, reasonMalformed, "a part of the token is not strict base64url")
	errHeader     = refuse(ErrInvalidToken, reasonMalformed, "the token's header is not one well-formed JSON object")
	errLongHeader = refuse(ErrInvalidToken, reasonMalformed, "the token's header has over %d characters", maxHeader)
	errPayload    = refuse(ErrInvalidToken, reasonMalformed, "the token's payload is not one well-formed JSON object")
	errParts      = refuse(ErrInvalidToken, reasonMalformed, "the token has not three parts")
	errOpaque     = refuse(ErrInvalidToken, reasonOpaque, "the token is opaque, no JWT: the client must ask for this API's resource (React: resources in LogtoConfig and getAccessToken(resource); machine: the resource parameter)")
	errJSWord     = refuse(ErrInvalidToken, reasonOpaque, "the client sent the word undefined or null for a token: getAccessToken gave nothing; is the user signed in, is the resource in LogtoConfig.resources?")
	errKeyID      = refuse(ErrInvalidToken, reasonMalformed, "the token's header has no usable kid")

	errNoIssuer   = refuse(ErrInvalidToken, reasonMalformed, "claim iss is missing or empty")
	errNoSubject  = refuse(ErrInvalidToken, reasonMalformed, "claim sub is missing or empty")
	errNoClientID = refuse(ErrInvalidToken, reasonType, "claim client_id is missing or empty: is this an ID token?")
	errNoAudience = refuse(ErrInvalidToken, reasonMalformed, "claim aud is missing")
	errNoExpiry   = refuse(ErrInvalidToken, reasonMalformed, "claim exp is missing")
	errNoIssuedAt = refuse(ErrInvalidToken, reasonMalformed, "claim iat is missing")
	errSignature  = refuse(ErrInvalidToken, reasonSignature, "the signature is wrong")
)

func notCompact(token string) error {
	switch {
	case token == "undefined" || token == "null":
		return errJSWord
	case !strings.Contains(token, "."):
		return errOpaque
	}
	return errParts
}

func wrongType(typ string) error {
	hint := ""
	switch strings.ToLower(typ) {
	case "", "jwt":
		hint = ": this looks like an ID token; the client must send the access token, from getAccessToken(resource)"
	case "logout+jwt":
		hint = ": this is a logout token"
	}
	return refuse(ErrInvalidToken, reasonType, "typ %s: want 'at+jwt'%s", cut(typ), hint)
}

func (v *Verifier) issuerHint(got string) string {
	for _, want := range v.cfg.Issuers {
		switch {
		case got == strings.TrimRight(want, "/")+oidcPath:
			return "; the configured issuer lacks /oidc"
		case strings.TrimRight(got, "/") == strings.TrimRight(want, "/"):
			return "; they differ by a slash"
		case strings.TrimPrefix(got, "http://") == strings.TrimPrefix(want, "https://"):
			return "; Logto calls itself by http: behind a TLS proxy, set its ENDPOINT to the https address and TRUST_PROXY_HEADER=1"
		}
	}
	return "; a tenant with a custom domain has two issuers: list both in Config.Issuers"
}

func (v *Verifier) audienceHint(c *Claims) string {
	all := c.Audience()
	for _, got := range all[:min(len(all), 5)] {
		for _, want := range v.cfg.Audiences {
			if strings.TrimRight(got, "/") == strings.TrimRight(want, "/") {
				return "; they differ by a slash"
			}
		}
		if u, err := url.Parse(got); err == nil && strings.HasSuffix(u.Host, ".logto.app") && u.Path == "/api" {
			return "; this token is for Logto's Management API"
		}
		if strings.HasPrefix(got, organizationURN) {
			return "; this is an organization token: set Config.OrganizationTokens if this API takes them, else the client must ask for the API's resource together with the organization"
		}
	}
	return "; the client must ask for this API's resource indicator, byte by byte as in the Logto console"
}

// cut quotes what somebody sent, so that it can stand in a log line, and
// shortens it, so that it can't be the log.
func cut(s string) string {
	const most = 100
	more := ""
	if len(s) > most {
		s, more = s[:most], "…"
	}
	quoted := strconv.QuoteToASCII(s)
	return "'" + quoted[1:len(quoted)-1] + more + "'"
}

func cutAll(list []string) string {
	const most = 5
	var b strings.Builder
	for i, s := range list[:min(len(list), most)] {
		if i > 0 {
			b.WriteString(" or ")
		}
		b.WriteString(cut(s))
	}
	if len(list) > most {
		b.WriteString(" …")
	}
	return b.String()
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
