// Package logtotest is a fake Logto for the tests of services that use package
// logto. It mints every kind of token that Logto issues, and those that an API
// must refuse, and the webhooks that Logto sends when an administrator suspends a
// user; it rotates its keys and fails on demand.
//
//	issuer := logtotest.NewIssuer(t)
//	v, err := logto.New(issuer.Config())
//	…
//	req.Header.Set("Authorization", "Bearer "+issuer.Token(logtotest.Token{User: "alice"}))
//
// It signs with the standard library, not with the code under test. Nothing in
// it is for production: it gives everybody any token.
package logtotest

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	_ "crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-70fe37f4/logto"
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
	keys    []*key // the first one signs
	fault   http.Handler
	fetches int
}

// NewIssuer returns an issuer that is reached in memory, by the HTTPClient of
// its Config: no port, nothing to close, usable in a testing/synctest bubble. An
// Example may pass nil.
func NewIssuer(_ testing.TB) *Issuer {
	i := New("https://logto.example.test")
	i.transport = memory{i}
	return i
}

// NewServer returns an issuer that listens on a loopback port until the test
// ends: for a service under test that runs elsewhere or takes its configuration
// from the environment, and for faults of a real network.
func NewServer(tb testing.TB) *Issuer {
	tb.Helper()
	i := New("")
	server := httptest.NewServer(i)
	tb.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	i.endpoint = server.URL
	return i
}

// New returns an issuer that calls itself endpoint + "/oidc" and listens nowhere:
// it is an http.Handler, for programs such as demos to serve at that address.
func New(endpoint string) *Issuer {
	return &Issuer{endpoint: endpoint, signingKey: rand.Text(), keys: []*key{newKey("ES384")}}
}

// Endpoint is the address for logto.Config.Endpoint or LOGTO_ENDPOINT.
func (i *Issuer) Endpoint() string { return i.endpoint }

// Config returns a configuration that trusts the issuer, for the given
// audiences or for Audience.
func (i *Issuer) Config(audiences ...string) logto.Config {
	if len(audiences) == 0 {
		audiences = []string{Audience}
	}
	cfg := logto.Config{Endpoint: i.endpoint, Audiences: audiences}
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
	cfg.HTTPClient = &http.Client{Transport: memory{&Issuer{endpoint: i.endpoint, keys: i.published()}}}
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

// Token describes an access token. The zero value is a valid one for user "user"
// and Audience, without scopes, issued now for an hour by the signing key.
type Token struct {
	User     string // sub; default "user", for a machine the client ID
	ClientID string // default ClientID, for a machine "machine"
	Machine  bool   // machine-to-machine: sub and client_id are the same
	Audience string // default Audience
	Scopes   []string

	// Organization binds the token to an organization: by its organization_id
	// claim, or with OrganizationOnly by its audience, for a token that is for
	// the organization itself and no API.
	Organization     string
	OrganizationOnly bool

	// Actor is who acts in the user's name after a token exchange (act.sub).
	Actor string

	// ExpiresIn is the time from now to exp; default an hour. Negative for a token that
	// has expired. Below an hour, iat is an hour before exp, which is in the past; else it
	// is now.
	ExpiresIn time.Duration

	// Claims are set last, as a JWT customizer's custom claims are; but they
	// also replace claims of Logto's own, and a nil takes one away.
	Claims map[string]any

	// Header is the same for the members of the header.
	Header map[string]any
}

func (t Token) withDefaults() Token {
	if t.ClientID == "" {
		t.ClientID = ClientID
		if t.Machine {
			t.ClientID = "machine"
		}
	}
	if t.User == "" {
		t.User = "user"
		if t.Machine {
			t.User = t.ClientID
		}
	}
	if t.Audience == "" {
		t.Audience = Audience
	}
	if t.OrganizationOnly {
		t.Audience = "urn:logto:organization:" + t.Organization
	}
	if t.ExpiresIn == 0 {
		t.ExpiresIn = time.Hour
	}
	return t
}

// Token mints an access token, signed with the current key.
func (i *Issuer) Token(t Token) string {
	t = t.withDefaults()
	exp := time.Now().Add(t.ExpiresIn)
	iat := time.Now()
	if t.ExpiresIn < time.Hour {
		iat = exp.Add(-time.Hour)
	}
	claims := map[string]any{
		"jti": rand.Text(), "iss": i.endpoint + "/oidc", "sub": t.User, "client_id": t.ClientID,
		"aud": t.Audience, "iat": iat.Unix(), "exp": exp.Unix(),
	}
	// Logto leaves scope out for a machine without any, and "" for a user.
	if len(t.Scopes) > 0 || !t.Machine {
		claims["scope"] = strings.Join(t.Scopes, " ")
	}
	if t.Organization != "" && !t.OrganizationOnly {
		claims["organization_id"] = t.Organization
	}
	if t.Actor != "" {
		claims["act"] = map[string]any{"sub": t.Actor}
	}
	return i.sign(map[string]any{"typ": "at+jwt"}, t.Header, claims, t.Claims)
}

// IDToken mints what a page must not send to an API: the user's ID token.
func (i *Issuer) IDToken(user string) string {
	return i.sign(nil, nil, map[string]any{
		"iss": i.endpoint + "/oidc", "sub": user, "aud": ClientID, "name": user,
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
	}, nil)
}

// LogoutToken mints a back-channel logout token: what Logto posts, as the form's
// logout_token, to an application whose user signs out.
func (i *Issuer) LogoutToken(user string) string {
	return i.sign(map[string]any{"typ": "logout+jwt"}, nil, map[string]any{
		"iss": i.endpoint + "/oidc", "sub": user, "aud": ClientID, "jti": rand.Text(), "sid": rand.Text(),
		"iat": time.Now().Unix(), "exp": time.Now().Add(2 * time.Minute).Unix(),
		"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}},
	}, nil)
}

// OpaqueToken gives what a client gets that asked for no resource: no JWT.
func (i *Issuer) OpaqueToken() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

// BadSignature returns the token with one bit of its signature turned.
func BadSignature(token string) string {
	dot := strings.LastIndexByte(token, '.')
	sig, err := base64.RawURLEncoding.DecodeString(token[dot+1:])
	if err != nil || dot < 0 {
		panic("logtotest: BadSignature needs a JWT")
	}
	sig[len(sig)/2] ^= 1
	return token[:dot+1] + base64.RawURLEncoding.EncodeToString(sig)
}

func (i *Issuer) sign(header, header2, claims, claims2 map[string]any) string {
	i.mu.Lock()
	k := i.keys[0]
	i.mu.Unlock()
	h := map[string]any{"alg": k.algorithm, "kid": k.id}
	for _, more := range []map[string]any{header, header2} {
		merge(h, more)
	}
	merge(claims, claims2)
	return k.sign(encode(h) + "." + encode(claims))
}

// Sign signs header and payload as they are, with the current key: for tokens
// that Token can't describe. The header must name the key: see KeyID.
func (i *Issuer) Sign(header, payload string) string {
	i.mu.Lock()
	k := i.keys[0]
	i.mu.Unlock()
	b64 := base64.RawURLEncoding
	return k.sign(b64.EncodeToString([]byte(header)) + "." + b64.EncodeToString([]byte(payload)))
}

func merge(to, from map[string]any) {
	for name, value := range from {
		if value == nil {
			delete(to, name)
		} else {
			to[name] = value
		}
	}
}

func encode(v map[string]any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("logtotest: %v", err))
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// KeyID is the ID of the key that signs now.
func (i *Issuer) KeyID() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.keys[0].id
}

// Rotate makes a new key sign, at once, as Logto does: the one before stays
// published, an older one is dropped. The algorithm is ES384 (Logto's default),
// ES256, ES512, RS256 or PS256; RSA keys are published without alg, as Logto does.
func (i *Issuer) Rotate(algorithm string) {
	k := newKey(algorithm)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = []*key{k, i.keys[0]}
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
func (i *Issuer) KeySet() string {
	var jwks []map[string]any
	for _, k := range i.published() {
		jwks = append(jwks, k.jwk())
	}
	b, err := json.Marshal(map[string]any{"keys": jwks})
	if err != nil {
		panic(err)
	}
	return string(b)
}

func (i *Issuer) published() []*key {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.keys)
}

// ServeHTTP serves the key set and the discovery document under /oidc, and for
// all else the page that a real Logto serves there.
func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/oidc/jwks":
		i.mu.Lock()
		i.fetches++
		fault := i.fault
		i.mu.Unlock()
		if fault != nil {
			fault.ServeHTTP(w, r)
			return
		}
		set := i.KeySet()
		etag := fmt.Sprintf(`"%x"`, sha256.Sum256([]byte(set)))
		w.Header().Set("Content-Type", "application/jwk-set+json; charset=utf-8")
		w.Header().Set("Cache-Control", "no-cache, max-age=0, must-revalidate")
		w.Header().Set("ETag", etag)
		if r.Header.Get("If-None-Match") == etag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		_, _ = w.Write([]byte(set))
	case "/oidc/.well-known/openid-configuration":
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		_ = json.NewEncoder(w).Encode(map[string]any{
			"issuer": i.endpoint + "/oidc",
			// As in Logto, it follows the request, the issuer doesn't.
			"jwks_uri":                              "http://" + r.Host + "/oidc/jwks",
			"authorization_endpoint":                i.endpoint + "/oidc/auth",
			"token_endpoint":                        i.endpoint + "/oidc/token",
			"response_types_supported":              []string{"code"},
			"subject_types_supported":               []string{"public"},
			"id_token_signing_alg_values_supported": []string{"ES384"},
		})
	default:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte("<!doctype html><title>Logto</title>"))
	}
}

// Status answers with the given status.
func Status(code int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, http.StatusText(code), code) })
}

// Body answers 200 with the given body.
func Body(contentType, body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write([]byte(body))
	})
}

// Hang answers nothing until the client goes away.
func Hang() http.Handler {
	return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
}

// HangInBody answers 200, a part of a key set, and then nothing.
func HangInBody() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(`{"keys":[`))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
}

// Drip answers one byte of white space a second.
func Drip() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for {
			_, _ = w.Write([]byte(" "))
			_ = http.NewResponseController(w).Flush()
			select {
			case <-r.Context().Done():
				return
			case <-time.After(time.Second):
			}
		}
	})
}

// Cut breaks the connection in the middle of the answer.
func Cut() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write([]byte(`{"keys":[`))
		panic(http.ErrAbortHandler)
	})
}

// key is a signing key.
type key struct {
	algorithm string
	id        string
	signer    crypto.Signer
}

func newKey(algorithm string) *key {
	k := &key{algorithm: algorithm}
	curves := map[string]elliptic.Curve{"ES256": elliptic.P256(), "ES384": elliptic.P384(), "ES512": elliptic.P521()}
	switch algorithm {
	case "ES256", "ES384", "ES512":
		ec, err := ecdsa.GenerateKey(curves[algorithm], rand.Reader)
		if err != nil {
			panic(err)
		}
		k.signer = ec
	case "RS256", "PS256":
		rsaKey, err := rsa.GenerateKey(rand.Reader, 2048) // Logto's have 4096 bits
		if err != nil {
			panic(err)
		}
		k.signer = rsaKey
	default:
		panic("logtotest: algorithm " + algorithm)
	}
	// Logto's key IDs are RFC 7638 thumbprints: the members that make the key, sorted.
	thumb := k.jwk()
	maps.DeleteFunc(thumb, func(name string, _ any) bool {
		return !slices.Contains([]string{"crv", "e", "kty", "n", "x", "y"}, name)
	})
	b, err := json.Marshal(thumb)
	if err != nil {
		panic(err)
	}
	sum := sha256.Sum256(b)
	k.id = base64.RawURLEncoding.EncodeToString(sum[:])
	return k
}

func (k *key) jwk() map[string]any {
	b64 := base64.RawURLEncoding.EncodeToString
	if pub, ok := k.signer.Public().(*rsa.PublicKey); ok {
		return map[string]any{"kty": "RSA", "use": "sig", "kid": k.id,
			"n": b64(pub.N.Bytes()), "e": b64(big.NewInt(int64(pub.E)).Bytes())}
	}
	pub := k.signer.Public().(*ecdsa.PublicKey)
	point, err := pub.Bytes()
	if err != nil {
		panic(err)
	}
	size := (len(point) - 1) / 2
	return map[string]any{"kty": "EC", "use": "sig", "kid": k.id, "alg": k.algorithm,
		"crv": pub.Params().Name, "x": b64(point[1 : 1+size]), "y": b64(point[1+size:])}
}

func (k *key) sign(input string) string {
	hash := map[string]crypto.Hash{"ES384": crypto.SHA384, "ES512": crypto.SHA512}[k.algorithm]
	if hash == 0 {
		hash = crypto.SHA256
	}
	h := hash.New()
	_, _ = h.Write([]byte(input))
	sum := h.Sum(nil)
	var sig []byte
	var err error
	switch signer := k.signer.(type) {
	case *rsa.PrivateKey:
		var opts crypto.SignerOpts = hash
		if k.algorithm == "PS256" {
			opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash}
		}
		sig, err = signer.Sign(rand.Reader, sum, opts)
	case *ecdsa.PrivateKey:
		var r, s *big.Int
		if r, s, err = ecdsa.Sign(rand.Reader, signer, sum); err == nil {
			size := (signer.Params().BitSize + 7) / 8
			sig = make([]byte, 2*size)
			r.FillBytes(sig[:size])
			s.FillBytes(sig[size:])
		}
	}
	if err != nil {
		panic(err)
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(sig)
}
