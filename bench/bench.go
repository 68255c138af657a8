// Package bench measures package logto beside the libraries that people use for
// the same job, in one run. README.md has the numbers and says how to get new
// ones; cmd/bench makes them, cmd/load measures whole servers.
package bench

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-70fe37f4/logto/logtotest"
)

// Algorithms are those that are measured; ES384 is Logto's default.
var Algorithms = []string{"ES384", "ES256", "RS256"}

// A Target is what a contestant is configured with.
type Target struct {
	Endpoint  string // Logto's address
	Algorithm string // of the signing key
}

// Issuer is the iss claim of good tokens.
func (t Target) Issuer() string { return t.Endpoint + "/oidc" }

// JWKS is where the key set is, as Logto publishes it: RSA keys have no alg.
func (t Target) JWKS() string { return t.Issuer() + "/jwks" }

// JWKSWithAlg is where the same set is with an alg in every key, for those that
// can't do without.
func (t Target) JWKSWithAlg() string { return t.Issuer() + "/jwks-with-alg" }

// An Issuer is a fake Logto on a loopback port.
type Issuer struct {
	*logtotest.Issuer
	Target  Target
	server  *httptest.Server
	fetches atomic.Int64
}

// NewIssuer starts an issuer that publishes a number of keys, of which the
// middle one signs.
func NewIssuer(algorithm string, keys int) *Issuer {
	i := &Issuer{}
	i.server = httptest.NewUnstartedServer(i)
	endpoint := "http://" + i.server.Listener.Addr().String()
	i.Target = Target{Endpoint: endpoint, Algorithm: algorithm}
	i.Issuer = logtotest.New(endpoint)
	i.Rotate(algorithm)
	i.RemovePrevious()
	i.server.Config.Handler = i.handler(keys)
	i.server.Start()
	return i
}

// Close stops the server.
func (i *Issuer) Close() {
	i.server.CloseClientConnections()
	i.server.Close()
}

// Fetches counts the requests for the key set.
func (i *Issuer) Fetches() int { return int(i.fetches.Load()) }

func (i *Issuer) handler(keys int) http.Handler {
	plain, withAlg := i.keySets(keys)
	serve := func(body []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			i.fetches.Add(1)
			w.Header().Set("Content-Type", "application/jwk-set+json; charset=utf-8")
			w.Header().Set("Cache-Control", "no-cache, max-age=0, must-revalidate")
			_, _ = w.Write(body)
		}
	}
	mux := http.NewServeMux()
	mux.Handle("GET /oidc/jwks", serve(plain))
	mux.Handle("GET /oidc/jwks-with-alg", serve(withAlg))
	mux.Handle("/", i.Issuer)
	return mux
}

// keySets gives the set without and with alg in RSA keys. Keys beside the one
// that signs are EC keys: it takes long to make a hundred RSA keys.
func (i *Issuer) keySets(n int) (plain, withAlg []byte) {
	var set struct {
		Keys []map[string]any `json:"keys"`
	}
	must(json.Unmarshal([]byte(i.KeySet()), &set))
	signing := set.Keys[0]
	set.Keys = nil
	for k := range n {
		if k == n/2 {
			set.Keys = append(set.Keys, signing)
		} else {
			set.Keys = append(set.Keys, filler(i.Target.Algorithm))
		}
	}
	plain, err := json.Marshal(set)
	must(err)
	signing["alg"] = i.Target.Algorithm
	withAlg, err = json.Marshal(set)
	must(err)
	return plain, withAlg
}

func filler(algorithm string) map[string]any {
	curve, alg := elliptic.P256(), "ES256"
	if algorithm == "ES384" {
		curve, alg = elliptic.P384(), "ES384"
	}
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	must(err)
	point, err := key.PublicKey.Bytes()
	must(err)
	id := make([]byte, 32)
	_, _ = rand.Read(id) // never fails
	b64, half := base64.RawURLEncoding.EncodeToString, len(point)/2
	return map[string]any{"kty": "EC", "use": "sig", "alg": alg, "kid": b64(id),
		"crv": curve.Params().Name, "x": b64(point[1 : 1+half]), "y": b64(point[1+half:])}
}

// Tokens mints n tokens that differ in user and jti.
func (i *Issuer) Tokens(n int, t logtotest.Token) []string {
	tokens := make([]string, n)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for k := next.Add(1) - 1; int(k) < n; k = next.Add(1) - 1 {
				t := t
				t.User = fmt.Sprintf("user%08d", k)
				tokens[k] = i.Token(t)
			}
		})
	}
	wg.Wait()
	return tokens
}

// TokenOfSize mints a good token of the given size in bytes, or 3 less where
// base64 has no such length.
func (i *Issuer) TokenOfSize(size int) string {
	pad := max(0, size*3/4-300)
	for {
		token := i.Token(logtotest.Token{Claims: map[string]any{"pad": strings.Repeat("x", pad)}})
		switch missing := size - len(token); {
		case missing < 0:
			pad -= 1 - missing*3/4
		case missing > 3:
			pad += missing * 3 / 4
		default:
			return token
		}
		if pad < 0 {
			panic(fmt.Sprintf("bench: no token has %d bytes", size))
		}
	}
}

// A Bad token is one that must be refused.
type Bad struct {
	Name   string
	Signed bool // so that the algorithm may matter
	Tokens func(i *Issuer, n int) []string
}

// BadTokens are the refusals that are measured.
var BadTokens = []Bad{
	{"opaque", false, func(i *Issuer, n int) []string {
		return each(n, func(int) string { return i.OpaqueToken() })
	}},
	{"garbage-1KiB", false, garbage(1 << 10)},
	{"garbage-16KiB", false, garbage(16 << 10)},
	{"garbage-1MiB", false, garbage(1 << 20)},
	{"unknown-key", true, func(i *Issuer, n int) []string {
		return each(n, func(int) string { return i.UnknownKey() })
	}},
	{"bad-signature", true, func(i *Issuer, n int) []string {
		good := i.Tokens(n, logtotest.Token{})
		return each(n, func(k int) string { return logtotest.BadSignature(good[k]) })
	}},
	{"expired", true, func(i *Issuer, n int) []string {
		return i.Tokens(n, logtotest.Token{ExpiresIn: -time.Hour})
	}},
	{"wrong-audience", true, func(i *Issuer, n int) []string {
		return i.Tokens(n, logtotest.Token{Audience: "https://other.example.test"})
	}},
	{"wrong-issuer", true, func(i *Issuer, n int) []string {
		return i.Tokens(n, logtotest.Token{Claims: map[string]any{"iss": "https://other.example.test/oidc"}})
	}},
}

// UnknownKey mints a token that names a key nobody publishes.
func (i *Issuer) UnknownKey() string {
	return i.Token(logtotest.Token{Header: map[string]any{"kid": rand.Text() + rand.Text()}})
}

// garbage makes what looks like a token and is random within: three parts of
// base64url, in the proportions of a real one.
func garbage(size int) func(*Issuer, int) []string {
	return func(_ *Issuer, n int) []string {
		n = min(n, 4<<20/size) // 4 MiB at most
		return each(n, func(int) string {
			b := make([]byte, size)
			_, _ = rand.Read(b) // never fails
			text := []byte(base64.RawURLEncoding.EncodeToString(b)[:size])
			text[size/8], text[size*3/4] = '.', '.'
			return string(text)
		})
	}
}

func each(n int, make func(k int) string) []string {
	var all []string
	for k := range n {
		all = append(all, make(k))
	}
	return all
}

func must(err error) {
	if err != nil {
		panic(fmt.Sprintf("bench: %v", err))
	}
}
