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

// Junk is what is dear to read: tokens of the given size that name a key, and come as far as
// the signature, which has one byte, or are refused before.
var Junk = []struct {
	Name  string
	Token func(i *Issuer, keyID string, size int) string
}{
	{"members", junkPayload(func(k int) string { return fmt.Sprintf(`"%s":1,`, short(k)) })},
	{"members in an object", junkWithin(`"x":{`, func(k int) string { return fmt.Sprintf(`"%s":1,`, short(k)) }, `"":1}`)},
	{"members in act", junkWithin(`"act":{`, func(k int) string { return fmt.Sprintf(`"%s":1,`, short(k)) }, `"sub":1}`)},
	{"objects of two members", junkWithin(`"x":[`, func(int) string { return `{"a":1,"b":1},` }, `{}]`)},
	{"objects of one member", junkWithin(`"x":[`, func(int) string { return `{"":1},` }, `{}]`)},
	{"objects of 17 members", junkWithin(`"x":[`, func(int) string {
		return "{" + strings.Join(each(17, func(k int) string { return fmt.Sprintf(`"%s":1`, short(k)) }), ",") + "},"
	}, `{}]`)},
	{"empty objects", junkWithin(`"x":[`, func(int) string { return `{},` }, `{}]`)},
	{"numbers", junkWithin(`"x":[`, func(int) string { return `1,` }, `1]`)},
	{"64 deep", junkWithin(`"x":[`, func(int) string { return strings.Repeat("[", 62) + strings.Repeat("]", 62) + "," }, `1]`)},
	{"objects, 64 deep", junkWithin(`"x":[`, func(int) string { return strings.Repeat(`{"":`, 62) + "1" + strings.Repeat("}", 62) + "," }, `1]`)},
	{"too deep", junkWithin(`"x":[`, func(int) string { return "[" }, ``)},
	{"names with an escape", junkPayload(func(k int) string { return fmt.Sprintf(`"%s\n":1,`, short(k)) })},
	{"names of escapes", junkPayload(func(k int) string {
		return fmt.Sprintf(`"\u%04x\u%04x":1,`, 'a'+k%20, 'A'+k/20)
	})},
	{"names of surrogate pairs", junkPayload(func(k int) string { return fmt.Sprintf(`"\ud83d\ude%02x%s":1,`, k%128, short(k)) })},
	{"long names with one beginning", junkPayload(func(k int) string { return fmt.Sprintf(`"%s%04d":1,`, strings.Repeat("x", 40), k) })},
	{"names of three bytes a character", junkPayload(func(k int) string { return fmt.Sprintf(`"%c":1,`, 0x4e00+k) })},
	{"sub of escapes", junkWithin(`"sub":"`, func(int) string { return `\n` }, `"`)},
	{"sub of \\u escapes", junkWithin(`"sub":"`, func(int) string { return `\u00e9` }, `"`)},
	{"scope of surrogate pairs", junkWithin(`"scope":"`, func(int) string { return `\ud83d\ude00` }, `"`)},
	{"sub beyond ASCII", junkWithin(`"sub":"`, func(int) string { return `é` }, `"`)},
	{"sub beyond the BMP", junkWithin(`"sub":"`, func(int) string { return "\U0001f600" }, `"`)},
	{"bad UTF-8 at the end", junkWithin(`"sub":"`, func(int) string { return `é` }, "\xff\"")},
	{"audiences", junkWithin(`"aud":[`, func(int) string { return `"",` }, `""]`)},
	{"64 audiences", junkWithin(padding+`"aud":[`, func(k int) string {
		if k > 62 {
			return ""
		}
		return `"` + strings.Repeat("x", 55) + `",`
	}, `"https://api.example.test"]`)},
	{"64 audiences of escapes", junkWithin(padding+`"aud":[`, func(k int) string {
		if k > 62 {
			return ""
		}
		return `"` + strings.Repeat(`\n`, 27) + `",`
	}, `"https://api.example.test"]`)},
	{"other audiences", junkWithin(padding+`"aud":[`, func(k int) string {
		if k > 4 {
			return ""
		}
		return `"https://` + strings.Repeat("%20x", 195) + `/",`
	}, `"x"]`)},
	{"other audiences of escapes", junkWithin(padding+`"aud":["`, func(k int) string {
		if k > 2000 {
			return ""
		}
		return `\n`
	}, `"]`)},
	{"another issuer", junkWithin(`"iss":"`, func(int) string { return `/` }, `"`)},
	{"exp of digits", junkWithin(`"exp":1`, func(int) string { return `1` }, ``)},
	{"iat of digits behind a point", junkWithin(`"iat":1.`, func(int) string { return `1` }, ``)},
	{"exponent of digits", junkWithin(`"nbf":1e`, func(int) string { return `0` }, `1`)},
	{"digits", junkWithin(`"x":1`, func(int) string { return `1` }, ``)},
	{"white space", junkWithin(``, func(int) string { return " \t" }, `"x":1`)},
	{"white space between", junkWithin(`"x":[`, func(int) string { return "1 , " }, `1]`)},
	{"literals", junkWithin(`"x":[`, func(int) string { return "null," }, `1]`)},
	{"header members", func(i *Issuer, keyID string, size int) string {
		rest := `"alg":"ES384","typ":"at+jwt","kid":"` + keyID + `"}`
		var b strings.Builder
		for k := 0; b.Len()+len(rest) < maxHeader*3/4-8; k++ {
			fmt.Fprintf(&b, `"%s\n":1,`, short(k))
		}
		return b64(`{`+b.String()+rest) + "." + b64(strings.Repeat(" ", (size-maxHeader)*3/4-8)) + ".AA"
	}},
	{"signature", func(i *Issuer, keyID string, size int) string {
		token := junkWithin(`"x":"`, func(int) string { return "" }, `"`)(i, keyID, size)
		return token + strings.Repeat("A", (size-len(token)-2)&^3)
	}},
}

// JunkKinds are the sizes in which junk is measured: the largest that is read before the
// signature is looked at, and the largest that is looked at, by a key that is published
// and by one that nobody knows.
var JunkKinds = []struct {
	Name  string
	Bytes int
	KeyID func(i *Issuer) string
}{
	{"2KiB", 2 << 10, (*Issuer).KeyID},
	{"16KiB", 16 << 10, (*Issuer).KeyID},
	{"16KiB-unknown-key", 16 << 10, func(*Issuer) string { return strings.Repeat("x", 43) }},
}

const maxHeader = 512 // characters, of which more are not read

// padding stands for what fills half of a token, for what is bounded by itself.
const padding = "<padding>"

// short gives names of one or two bytes.
func short(k int) string {
	const alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
	if k < len(alphabet) {
		return alphabet[k : k+1]
	}
	return string([]byte{alphabet[k/len(alphabet)-1], alphabet[k%len(alphabet)]})
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func junkPayload(member func(k int) string) func(*Issuer, string, int) string {
	return junkWithin("", member, `"":1`)
}

// junkWithin puts as many of one thing into a token as fit, before all else of it, which
// has no member that this one sets.
func junkWithin(before string, one func(k int) string, after string) func(*Issuer, string, int) string {
	return func(i *Issuer, keyID string, size int) string {
		header := b64(`{"alg":"ES384","typ":"at+jwt","kid":"`+keyID+`"}`) + "."
		before := strings.Replace(before, padding, `"x":[`+strings.Repeat(`{},`, size/6)+`1],`, 1)
		now := time.Now().Unix()
		rest := ""
		for _, claim := range []struct{ name, value string }{
			{"iss", `"` + i.Target.Issuer() + `"`}, {"sub", `"u"`}, {"client_id", `"c"`}, {"aud", `"` + logtotest.Audience + `"`},
			{"iat", fmt.Sprint(now)}, {"exp", fmt.Sprint(now + 3600)},
		} {
			if !strings.Contains(before, `"`+claim.name+`"`) {
				rest += `,"` + claim.name + `":` + claim.value
			}
		}
		room := (size-len(header)-len(".AA"))/4*3 - len("{"+before+after+rest+"}")
		var b strings.Builder
		for k := 0; ; k++ {
			s := one(k)
			if b.Len()+len(s) > room || s == "" {
				break
			}
			b.WriteString(s)
		}
		return header + b64("{"+before+b.String()+after+rest+"}") + ".AA"
	}
}

// UnknownKey mints a token that names a key nobody publishes.
func (i *Issuer) UnknownKey() string {
	// So old that its key would be known.
	return i.Token(logtotest.Token{Header: map[string]any{"kid": rand.Text() + rand.Text()}, Claims: map[string]any{"iat": time.Now().Add(-time.Minute).Unix()}})
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
