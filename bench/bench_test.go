package bench

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	mathrand "math/rand/v2"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwk"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/logtotest"
)

var (
	rotate = flag.Int("rotate", 0, "the contestant to begin with, so that over several runs none is always first")
	live   = flag.Int("live", 10_000, "tokens in BenchmarkRemembered/…/many and BenchmarkMemory")
)

func TestMain(m *testing.M) {
	flag.Parse()
	// keyfunc logs there.
	slog.SetDefault(slog.New(slog.NewTextHandler(io.Discard, nil)))
	os.Exit(m.Run())
}

// few is the number of tokens that take turns where it doesn't matter how many.
const few = 64

var (
	issuersMu sync.Mutex
	issuers   = map[string]*Issuer{}
)

// issuer starts an issuer once a process.
func issuer(algorithm string, keys int) *Issuer {
	issuersMu.Lock()
	defer issuersMu.Unlock()
	id := fmt.Sprint(algorithm, keys)
	if issuers[id] == nil {
		issuers[id] = NewIssuer(algorithm, keys)
	}
	return issuers[id]
}

func rotated[T any](all []T) []T {
	k := *rotate % len(all)
	return append(append([]T{}, all[k:]...), all[:k]...)
}

// start makes a contestant that lives as long as tb, and has been at work for a moment.
func start(tb testing.TB, c Contestant, i *Issuer) *Checker {
	tb.Helper()
	checker := cold(tb, c, i)
	warm(tb, checker, i)
	return checker
}

// cold makes a contestant that has seen no token.
func cold(tb testing.TB, c Contestant, i *Issuer) *Checker {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	tb.Cleanup(cancel)
	checker, err := c.New(ctx, i.Target)
	if err != nil {
		tb.Fatal(err)
	}
	return checker
}

// warm lets a key be asked for as often as in a service's first seconds: this library
// then has its tables.
func warm(tb testing.TB, c *Checker, i *Issuer) {
	tb.Helper()
	if c.Verify == nil { // the handler alone
		return
	}
	for _, token := range i.Tokens(16, logtotest.Token{User: "warm"}) {
		_, _ = c.Verify(tb.Context(), token)
	}
	time.Sleep(20 * time.Millisecond)
}

func (c *Checker) accepts(tb testing.TB, tokens []string) {
	tb.Helper()
	for _, token := range tokens {
		if subject, err := c.Verify(tb.Context(), token); err != nil || subject == "" {
			tb.Fatalf("a good token: subject %q, error %v", subject, err)
		}
	}
}

// A first check of tokens that nobody has seen, by Verify.
func BenchmarkFirst(b *testing.B) {
	for _, algorithm := range Algorithms {
		b.Run(algorithm, func(b *testing.B) {
			i := issuer(algorithm, 1)
			tokens := i.Tokens(few, logtotest.Token{})
			type entry struct {
				name string
				run  func(b *testing.B)
			}
			all := []entry{
				{"stdlib", func(b *testing.B) {
					check := signatureAlone(i, tokens)
					b.ReportAllocs()
					k := 0
					for b.Loop() {
						if !check(k) {
							b.Fatal("the signature is bad")
						}
						if k++; k == len(tokens) {
							k = 0
						}
					}
				}},
				{"logto", func(b *testing.B) { firstAndRemember(b, i) }},
			}
			for _, c := range Contestants[1:] {
				all = append(all, entry{c.Name, func(b *testing.B) { verify(b, start(b, c, i), tokens) }})
			}
			for _, e := range rotated(all) {
				b.Run(e.name, e.run)
			}
		})
	}
}

// verify goes round good tokens.
func verify(b *testing.B, c *Checker, tokens []string) {
	b.Helper()
	c.accepts(b, tokens)
	ctx := context.Background()
	b.ReportAllocs()
	k := 0
	for b.Loop() {
		if _, err := c.Verify(ctx, tokens[k]); err != nil {
			b.Fatal(err)
		}
		if k++; k == len(tokens) {
			k = 0
		}
	}
}

// firstAndRemember includes what it costs to remember: no token comes twice to
// the same verifier.
func firstAndRemember(b *testing.B, i *Issuer) {
	tokens := i.Tokens(1024, logtotest.Token{})
	warm := i.Token(logtotest.Token{})
	fresh := func() *Checker {
		c := start(b, Contestants[0], i)
		c.accepts(b, []string{warm})
		return c
	}
	c, ctx := fresh(), context.Background()
	b.ReportAllocs()
	k := 0
	for b.Loop() {
		if _, err := c.Verify(ctx, tokens[k]); err != nil {
			b.Fatal(err)
		}
		if k++; k == len(tokens) {
			b.StopTimer()
			c, k = fresh(), 0
			b.StartTimer()
		}
	}
}

// signatureAlone is what no library can do without: hash and signature check of
// token k, which is split and decoded already, with a key that is parsed already.
func signatureAlone(i *Issuer, tokens []string) (check func(k int) bool) {
	var set struct{ Keys []json.RawMessage }
	must(json.Unmarshal([]byte(i.KeySet()), &set))
	var key any
	must(jwk.ParseRawKey(set.Keys[0], &key))
	type parts struct{ input, signature []byte }
	var all []parts
	for _, token := range tokens {
		dot := strings.LastIndexByte(token, '.')
		signature, err := base64.RawURLEncoding.DecodeString(token[dot+1:])
		must(err)
		all = append(all, parts{[]byte(token[:dot]), signature})
	}
	return func(k int) bool {
		p := all[k]
		switch key := key.(type) {
		case *rsa.PublicKey:
			sum := sha256.Sum256(p.input)
			return rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], p.signature) == nil
		case *ecdsa.PublicKey:
			half := len(p.signature) / 2
			r, s := new(big.Int).SetBytes(p.signature[:half]), new(big.Int).SetBytes(p.signature[half:])
			if i.Target.Algorithm == "ES384" {
				sum := sha512.Sum384(p.input)
				return ecdsa.Verify(key, sum[:], r, s)
			}
			sum := sha256.Sum256(p.input)
			return ecdsa.Verify(key, sum[:], r, s)
		}
		return false
	}
}

// A token that was seen before, by Verify: this library only, for the others a
// check is always the first. Many tokens come in random order.
func BenchmarkRemembered(b *testing.B) {
	for _, algorithm := range Algorithms {
		b.Run(algorithm+"/few", func(b *testing.B) {
			i := issuer(algorithm, 1)
			verify(b, start(b, Contestants[0], i), i.Tokens(few, logtotest.Token{}))
		})
	}
	b.Run("ES384/many", func(b *testing.B) {
		i := issuer("ES384", 1)
		tokens := manyTokens()
		c := start(b, Contestants[0], i)
		verify(b, c, tokens)
	})
	// What the fingerprint of a token costs, which no memory of tokens that
	// doesn't keep them can do without.
	b.Run("ES384/sha256", func(b *testing.B) {
		token := []byte(issuer("ES384", 1).Token(logtotest.Token{}))
		var sum [sha256.Size]byte
		for b.Loop() {
			sum = sha256.Sum256(token)
		}
		runtime.KeepAlive(sum)
	})
}

var manyTokens = sync.OnceValue(func() []string {
	tokens := issuer("ES384", 1).Tokens(*live, logtotest.Token{})
	mathrand.New(mathrand.NewPCG(1, 2)).Shuffle(len(tokens), func(a, b int) {
		tokens[a], tokens[b] = tokens[b], tokens[a]
	})
	return tokens
})

// The whole middleware, from the request to a handler that asks who is calling.
// The contestant "none" is the handler alone, what the measurement itself costs.
func BenchmarkMiddleware(b *testing.B) {
	for _, algorithm := range Algorithms {
		b.Run(algorithm, func(b *testing.B) {
			i := issuer(algorithm, 1)
			requests := requests(i.Tokens(few, logtotest.Token{}))
			for _, c := range rotated(append([]Contestant{None}, Contestants...)) {
				b.Run(c.Name, func(b *testing.B) {
					serve(b, protected(start(b, c, i)), requests, http.StatusNoContent)
				})
			}
		})
	}
}

// protected is a handler that answers 204 if it learns who is calling.
func protected(c *Checker) http.Handler {
	return c.Protect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c.Subject(r.Context()) == "" {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}))
}

func requests(tokens []string) []*http.Request {
	var all []*http.Request
	for _, token := range tokens {
		r, err := http.NewRequest(http.MethodGet, "http://api.example.test/orders", nil)
		must(err)
		r.Header.Set("Authorization", "Bearer "+token)
		all = append(all, r)
	}
	return all
}

// writer is an http.ResponseWriter that costs next to nothing.
type writer struct {
	header http.Header
	status int
}

func (w *writer) Header() http.Header         { return w.header }
func (w *writer) WriteHeader(status int)      { w.status = status }
func (w *writer) Write(p []byte) (int, error) { return len(p), nil }

func (w *writer) serve(h http.Handler, r *http.Request) int {
	clear(w.header)
	w.status = http.StatusOK
	h.ServeHTTP(w, r)
	return w.status
}

func serve(b *testing.B, h http.Handler, requests []*http.Request, want int) {
	b.Helper()
	w := &writer{header: http.Header{}}
	for _, r := range requests {
		if got := w.serve(h, r); got != want {
			b.Fatalf("status %d, want %d", got, want)
		}
	}
	b.ReportAllocs()
	k := 0
	for b.Loop() {
		if got := w.serve(h, requests[k]); got != want {
			b.Fatalf("status %d, want %d", got, want)
		}
		if k++; k == len(requests) {
			k = 0
		}
	}
}

// Refusals, by Verify.
func BenchmarkRefuse(b *testing.B) {
	for _, algorithm := range Algorithms {
		for _, bad := range BadTokens {
			if !bad.Signed && algorithm != Algorithms[0] {
				continue
			}
			b.Run(algorithm+"/"+bad.Name, func(b *testing.B) {
				i := issuer(algorithm, 1)
				good := i.Token(logtotest.Token{})
				tokens := bad.Tokens(i, few)
				for _, c := range rotated(Contestants) {
					if c.Name == "logto-nocache" { // what is refused is never remembered
						continue
					}
					b.Run(c.Name, func(b *testing.B) {
						checker := start(b, c, i)
						checker.accepts(b, []string{good})
						ctx := context.Background()
						b.ReportAllocs()
						k := 0
						for b.Loop() {
							if _, err := checker.Verify(ctx, tokens[k]); err == nil {
								b.Fatal("a bad token was accepted")
							}
							if k++; k == len(tokens) {
								k = 0
							}
						}
					})
				}
			})
		}
	}
}

// Refusals by the whole middleware, and the writing of the same answer alone.
func BenchmarkRefuseHTTP(b *testing.B) {
	i := issuer("ES384", 1)
	for _, bad := range BadTokens {
		b.Run("ES384/"+bad.Name, func(b *testing.B) {
			tokens := bad.Tokens(i, few)
			b.Run("logto", func(b *testing.B) {
				c := start(b, Contestants[0], i)
				c.accepts(b, []string{i.Token(logtotest.Token{})})
				serve(b, protected(c), requests(tokens), http.StatusUnauthorized)
			})
			b.Run("answer", func(b *testing.B) {
				c := start(b, Contestants[0], i)
				c.accepts(b, []string{i.Token(logtotest.Token{})})
				_, err := c.Verify(b.Context(), tokens[0])
				answer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { logto.WriteError(w, r, err) })
				serve(b, answer, requests(tokens[:1]), http.StatusUnauthorized)
			})
		})
	}
}

// What costs most to read before a signature is looked at, by Verify, this library only.
func BenchmarkJunk(b *testing.B) {
	i := issuer("ES384", 1)
	for _, junk := range Junk {
		for _, kind := range JunkKinds {
			b.Run(strings.ReplaceAll(junk.Name, " ", "-")+"/"+kind.Name, func(b *testing.B) {
				c, token, ctx := start(b, Contestants[0], i), junk.Token(i, kind.KeyID(i), kind.Bytes), context.Background()
				c.accepts(b, []string{i.Token(logtotest.Token{})})
				b.ReportAllocs()
				for b.Loop() {
					if _, err := c.Verify(ctx, token); err == nil {
						b.Fatal("accepted")
					}
				}
			})
		}
	}
}

// Sizes are well-signed tokens with a claim that makes them long. Who refuses
// one has refused=1.
func BenchmarkSize(b *testing.B) {
	i := issuer("ES384", 1)
	for _, size := range []struct {
		name  string
		bytes int
	}{{"1KiB", 1 << 10}, {"16KiB", 16 << 10}, {"1MiB", 1 << 20}} {
		b.Run("ES384/"+size.name, func(b *testing.B) {
			token := i.TokenOfSize(size.bytes)
			for _, c := range rotated(Contestants) {
				b.Run(c.Name, func(b *testing.B) {
					checker := start(b, c, i)
					checker.accepts(b, []string{i.Token(logtotest.Token{})})
					ctx, refused := context.Background(), 0.0
					if _, err := checker.Verify(ctx, token); err != nil {
						refused = 1
					}
					b.ReportAllocs()
					for b.Loop() {
						if _, err := checker.Verify(ctx, token); (err != nil) != (refused == 1) {
							b.Fatal(err)
						}
					}
					b.ReportMetric(refused, "refused")
				})
			}
		})
	}
}

// Keys are published beside the one that signs.
func BenchmarkKeys(b *testing.B) {
	for _, algorithm := range Algorithms {
		for _, c := range rotated(Contestants) {
			if c.Name == "logto" { // it remembers the token and looks up no key's parts again
				continue
			}
			// Next to each other, as they are compared with each other.
			for _, keys := range rotated([]int{1, 10, 100}) {
				b.Run(fmt.Sprintf("%s/%s/%dkeys", algorithm, c.Name, keys), func(b *testing.B) {
					i := issuer(algorithm, keys)
					verify(b, start(b, c, i), i.Tokens(few, logtotest.Token{}))
				})
			}
		}
	}
}

// The whole middleware by as many goroutines as -cpu says. The contestant
// "stdlib" tells what the machine had to give: its goroutines share nothing.
func BenchmarkParallel(b *testing.B) {
	i := issuer("ES384", 1)
	tokens := i.Tokens(few, logtotest.Token{})
	requests := requests(tokens)
	alone := Contestant{"stdlib", func(context.Context, Target) (*Checker, error) {
		check := signatureAlone(i, tokens)
		return &Checker{Protect: func(http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if check(0) {
					w.WriteHeader(http.StatusNoContent)
				}
			})
		}}, nil
	}}
	for _, c := range rotated(append([]Contestant{alone}, Contestants...)) {
		b.Run("ES384/"+c.Name, func(b *testing.B) {
			h := protected(start(b, c, i))
			w := &writer{header: http.Header{}}
			for _, r := range requests {
				if got := w.serve(h, r); got != http.StatusNoContent {
					b.Fatalf("status %d", got)
				}
			}
			parallel(b, h, requests)
		})
	}
}

// parallel serves the requests by as many goroutines as there are processors, or by
// several times as many.
func parallel(b *testing.B, h http.Handler, requests []*http.Request) {
	var next atomic.Int64
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		w := &writer{header: http.Header{}}
		for k := int(next.Add(few / 2)); pb.Next(); k++ {
			if got := w.serve(h, requests[k%few]); got != http.StatusNoContent {
				b.Errorf("status %d", got)
				return
			}
		}
	})
}

// A remembered token in the whole middleware, by more goroutines than there are
// processors: what they wait for each other. "hash" shares nothing, and computes what is
// most of the work, the SHA-256 of the token.
func BenchmarkGoroutines(b *testing.B) {
	i := issuer("ES384", 1)
	requests := requests(i.Tokens(few, logtotest.Token{}))
	hash := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if sha256.Sum256([]byte(r.Header.Get("Authorization"))) != [32]byte{} {
			w.WriteHeader(http.StatusNoContent)
		}
	})
	ours := protected(start(b, Contestants[0], i))
	w := &writer{header: http.Header{}}
	for _, r := range requests {
		w.serve(ours, r)
	}
	for _, n := range []int{2, 4, 8, 16} {
		for k, name := range []string{"logto", "hash"} {
			b.Run(fmt.Sprintf("ES384/%s/%d", name, n), func(b *testing.B) {
				b.SetParallelism(max(n/runtime.GOMAXPROCS(0), 1))
				parallel(b, []http.Handler{ours, hash}[k], requests)
			})
		}
	}
}

// Memory that remembered tokens hold, one verifier an iteration: MiB.
func BenchmarkMemory(b *testing.B) {
	i := issuer("ES384", 1)
	tokens := manyTokens()
	for b.Loop() {
		c := start(b, Contestants[0], i)
		c.accepts(b, []string{i.Token(logtotest.Token{})})
		before := heap()
		for _, token := range tokens {
			// A copy, as each request has its own: if it is kept, that counts.
			if _, err := c.Verify(context.Background(), strings.Clone(token)); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(heap()-before)/(1<<20), "MiB")
		runtime.KeepAlive(c)
	}
}

func heap() int64 {
	// The second one frees what finalizers and pools let go in the first.
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A flood of 1000 tokens with key IDs that nobody publishes, one after the other:
// how often does it make a verifier fetch the key set again?
func BenchmarkFlood(b *testing.B) {
	i := issuer("ES384", 1)
	good := i.Token(logtotest.Token{})
	var tokens []string
	for range crowd {
		tokens = append(tokens, i.UnknownKey())
	}
	for _, c := range rotated(Contestants) {
		if c.Name == "logto-nocache" {
			continue
		}
		b.Run("ES384/"+c.Name, func(b *testing.B) {
			fetches, rounds := 0, 0
			for b.Loop() {
				checker := start(b, c, i)
				checker.accepts(b, []string{good})
				before := i.Fetches()
				for _, token := range tokens {
					ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
					if _, err := checker.Verify(ctx, token); err == nil {
						b.Error("a bad token was accepted")
					}
					cancel()
				}
				fetches += i.Fetches() - before
				rounds++
			}
			b.ReportMetric(float64(fetches)/float64(rounds), "fetches/op")
		})
	}
}

const crowd = 1000

// A cold start: 1000 requests at once are the first that a new verifier sees.
// Fetches of the key set are counted from its making on, and good tokens that
// were refused.
func BenchmarkColdStart(b *testing.B) {
	i := issuer("ES384", 1)
	tokens := i.Tokens(crowd, logtotest.Token{})
	for _, c := range rotated(Contestants) {
		if c.Name == "logto-nocache" {
			continue
		}
		b.Run("ES384/"+c.Name, func(b *testing.B) {
			fetches, rounds := 0, 0
			var refused atomic.Int64
			for b.Loop() {
				before := i.Fetches()
				checker := cold(b, c, i)
				begin := make(chan struct{})
				var wg sync.WaitGroup
				for _, token := range tokens {
					wg.Go(func() {
						<-begin
						ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
						defer cancel()
						if _, err := checker.Verify(ctx, token); err != nil {
							refused.Add(1)
						}
					})
				}
				close(begin)
				wg.Wait()
				fetches += i.Fetches() - before
				rounds++
			}
			b.ReportMetric(float64(fetches)/float64(rounds), "fetches/op")
			b.ReportMetric(float64(refused.Load())/float64(rounds), "refused/op")
		})
	}
}
