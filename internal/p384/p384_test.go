package p384

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha512"
	"encoding/asn1"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/big"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"

	"filippo.io/nistec"
)

var (
	one   = big.NewInt(1)
	prime = elliptic.P384().Params().P // of the coordinates
	top   = new(big.Int).Lsh(one, 8*size)
)

func number(hexadecimal string) *big.Int {
	i, ok := new(big.Int).SetString(hexadecimal, 16)
	if !ok {
		panic(hexadecimal)
	}
	return i
}

func fill(i *big.Int) []byte { return i.FillBytes(make([]byte, size)) }

func join(r, s *big.Int) []byte { return append(fill(r), fill(s)...) }

func mod(i *big.Int) *big.Int { return new(big.Int).Mod(i, order) }

func add(a, b *big.Int) *big.Int { return new(big.Int).Add(a, b) }

func sub(a, b *big.Int) *big.Int { return new(big.Int).Sub(a, b) }

func times(a, b *big.Int) *big.Int { return mod(new(big.Int).Mul(a, b)) }

func over(a, b *big.Int) *big.Int { return times(a, new(big.Int).ModInverse(b, order)) }

// A testKey is prepared for both.
type testKey struct {
	name   string
	public *ecdsa.PublicKey
	key    *Key
	d      *big.Int // Q = d·G; nil where nobody knows it
}

func newTestKey(name string, point []byte, d *big.Int) *testKey {
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P384(), point)
	if err != nil {
		panic(err)
	}
	key, err := Prepare(public)
	if err != nil {
		panic(err)
	}
	return &testKey{name, public, key, d}
}

// multiple returns d·G by the standard library, for d from 1 to n-1.
func multiple(d *big.Int) []byte {
	private, err := ecdh.P384().NewPrivateKey(fill(d))
	if err != nil {
		panic(err)
	}
	return private.PublicKey().Bytes()
}

// pointAt returns the first point whose x-coordinate is x or follows it. The lowest bit
// of odd chooses between its two.
func pointAt(x *big.Int, odd uint) *nistec.P384Point {
	for x = new(big.Int).Mod(x, prime); ; x.Mod(x.Add(x, one), prime) {
		if p, err := nistec.NewP384Point().SetBytes(append([]byte{byte(2 + odd&1)}, fill(x)...)); err == nil {
			return p
		}
	}
}

// keys are those where mistakes would be found, and an ordinary one.
var keys = sync.OnceValue(func() (all []*testKey) {
	known := func(name string, d *big.Int) {
		all = append(all, newTestKey(name, multiple(d), d))
	}
	known("ordinary", number("6b9d3dad2e1b8c1c05b19875b6659f4de23c3b667bf297ba9aa47740787137d896d5724e4c70a825f872c9ea60d2edf5"))
	for _, d := range []int64{1, 2, 3, half - 1, half, half + 1, 2*half - 1, 2 * half, 2*half + 1} {
		known("multiple of G", big.NewInt(d))
		known("multiple of -G", sub(order, big.NewInt(d)))
	}
	known("G/2", over(one, big.NewInt(2)))
	known("in G's table", new(big.Int).Lsh(big.NewInt(half), width*20))
	known("at the end of G's table", mod(new(big.Int).Lsh(one, width*(windows-1))))

	for odd := range uint(2) {
		all = append(all, newTestKey("smallest x", pointAt(new(big.Int), odd).Bytes(), nil))
		all = append(all, newTestKey("largest x", pointAt(sub(prime, one), odd).Bytes(), nil))
		all = append(all, newTestKey("x at n", pointAt(order, odd).Bytes(), nil))
	}
	for y, x := range []string{
		1: "2261b2bf605c22f2f3aef6338719b2c486388ad5240719a5257315969ef01ba27f0a104c89704773a81fdabee6ab5c78",
		2: "742b1363c46dbf7b0856f75f64c464dcbe246ff7966c1498faa711c4cf9c00f1e800d93cc04a3455923800cf11c812f4",
		3: "a829aa21faf8544cb547d22cf64c97982898907052901231fe4836d85ce4d44a55009f4442548cdd9e1a9541a8f257ec",
	} {
		if y > 0 {
			y := big.NewInt(int64(y))
			all = append(all, newTestKey("small y", slices.Concat([]byte{4}, join(number(x), y)), nil))
			all = append(all, newTestKey("large y", slices.Concat([]byte{4}, join(number(x), sub(prime, y))), nil))
		}
	}
	return all
})

// signature returns what u1 and u2 come from, a valid signature and its hash. It needs
// no private key, as it chooses the hash. It says false where the sum is infinity, or
// its x-coordinate 0 modulo n.
func (k *testKey) signature(u1, u2 *big.Int) (hash, signature []byte, ok bool) {
	x, ok := k.key.sumX(u1, u2)
	if !ok || mod(x).Sign() == 0 {
		return nil, nil, false
	}
	s := over(mod(x), u2)
	return fill(times(u1, s)), join(mod(x), s), true
}

// standard is crypto/ecdsa's verdict, on the ASN.1 encoding of r and s. As r‖s they have
// 96 bytes.
func standard(public *ecdsa.PublicKey, hash, signature []byte) bool {
	return len(signature) == 2*size && ecdsa.VerifyASN1(public, hash, der(split(signature)))
}

func split(signature []byte) (r, s *big.Int) {
	half := len(signature) / 2
	return new(big.Int).SetBytes(signature[:half]), new(big.Int).SetBytes(signature[half:])
}

func der(r, s *big.Int) []byte {
	b, err := asn1.Marshal(struct{ R, S *big.Int }{r, s})
	if err != nil {
		panic(err)
	}
	return b
}

// sameVerdict fails unless both say the same, and returns it.
func sameVerdict(t testing.TB, k *testKey, hash, signature []byte) bool {
	t.Helper()
	got, want := k.key.Verify(hash, signature), standard(k.public, hash, signature)
	if got != want {
		t.Fatalf("Verify: %v, crypto/ecdsa: %v\n%s: x %x, y %x\nhash %x\nsignature %x",
			got, want, k.name, k.public.X, k.public.Y, hash, signature)
	}
	return got
}

func TestWycheproof(t *testing.T) {
	b, err := os.ReadFile("testdata/wycheproof.json")
	if err != nil {
		t.Fatal(err)
	}
	var groups []struct {
		Key   string
		Tests []struct {
			ID                int
			Comment, Msg, Sig string
			Valid             bool
		}
	}
	if err := json.Unmarshal(b, &groups); err != nil {
		t.Fatal(err)
	}
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	verdicts := map[bool]int{}
	for _, group := range groups {
		k := newTestKey("Wycheproof", unhex(group.Key), nil)
		for _, test := range group.Tests {
			hash := sha512.Sum384(unhex(test.Msg))
			if got := sameVerdict(t, k, hash[:], unhex(test.Sig)); got != test.Valid {
				t.Errorf("%d, %s: %v", test.ID, test.Comment, got)
			}
			verdicts[test.Valid]++
			// The numbers alone, if the encoding has another length.
			if r, s := split(unhex(test.Sig)); r.Cmp(top) < 0 && s.Cmp(top) < 0 {
				sameVerdict(t, k, hash[:], join(r, s))
			} else if ecdsa.VerifyASN1(k.public, hash[:], der(r, s)) {
				t.Errorf("%d, %s: crypto/ecdsa accepts its ASN.1 encoding", test.ID, test.Comment)
			}
		}
	}
	if verdicts[true] != 193 || verdicts[false] != 87 {
		t.Errorf("verdicts: %v", verdicts)
	}
}

func TestPrepareRefuses(t *testing.T) {
	g := elliptic.P384().Params()
	small := pointAt(new(big.Int), 0).Bytes() // x + p has 384 bits
	x, y := new(big.Int).SetBytes(small[1:1+size]), new(big.Int).SetBytes(small[1+size:])
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		public *ecdsa.PublicKey
		noKey  bool // no P-384 key at all, whatever the numbers are
	}{
		"nil":                       {nil, true},
		"nothing":                   {&ecdsa.PublicKey{}, true},
		"no curve":                  {&ecdsa.PublicKey{X: g.Gx, Y: g.Gy}, true},
		"P-256":                     {&other.PublicKey, true},
		"a point on another curve":  {&ecdsa.PublicKey{Curve: elliptic.P521(), X: g.Gx, Y: g.Gy}, true},
		"another kind of curve":     {&ecdsa.PublicKey{Curve: g, X: g.Gx, Y: g.Gy}, true},
		"no x":                      {&ecdsa.PublicKey{Curve: elliptic.P384(), Y: g.Gy}, true},
		"no y":                      {&ecdsa.PublicKey{Curve: elliptic.P384(), X: g.Gx}, true},
		"(0, 0)":                    {&ecdsa.PublicKey{Curve: elliptic.P384(), X: new(big.Int), Y: new(big.Int)}, false},
		"not on the curve":          {&ecdsa.PublicKey{Curve: elliptic.P384(), X: g.Gx, Y: add(g.Gy, one)}, false},
		"negative x":                {&ecdsa.PublicKey{Curve: elliptic.P384(), X: new(big.Int).Neg(g.Gx), Y: g.Gy}, false},
		"negative y":                {&ecdsa.PublicKey{Curve: elliptic.P384(), X: g.Gx, Y: new(big.Int).Neg(g.Gy)}, false},
		"x not reduced":             {&ecdsa.PublicKey{Curve: elliptic.P384(), X: add(x, prime), Y: y}, false},
		"x longer than the field's": {&ecdsa.PublicKey{Curve: elliptic.P384(), X: add(g.Gx, top), Y: g.Gy}, false},
		"y longer than the field's": {&ecdsa.PublicKey{Curve: elliptic.P384(), X: g.Gx, Y: add(g.Gy, top)}, false},
	} {
		key, err := Prepare(test.public)
		if err == nil || key != nil {
			t.Errorf("%s: prepared", name)
		} else if got := errors.Is(err, errKey); got != test.noKey {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Prepare(&ecdsa.PublicKey{Curve: elliptic.P384(), X: x, Y: y}); err != nil {
		t.Error(err)
	}
}

func TestVerify(t *testing.T) {
	k := keys()[0]
	hash, good, _ := k.signature(big.NewInt(5), big.NewInt(7))
	r, s := new(big.Int).SetBytes(good[:size]), new(big.Int).SetBytes(good[size:])

	// s is below 2^384 - n, so that s + n has 384 bits: the key is chosen to fit.
	e, small := big.NewInt(11), big.NewInt(13)
	fitting := keyFor(pointAt(r, 0), over(e, small), over(r, small))
	smallS := join(r, small)

	// The sum's x-coordinate is n + 2.
	beyond := keyFor(pointAt(add(order, one), 0), over(e, s), over(big.NewInt(2), s))

	for _, test := range []struct {
		name            string
		key             *testKey
		hash, signature []byte
		want            bool
	}{
		{"as signed", k, hash, good, true},
		{"the other s", k, hash, join(r, sub(order, s)), true},
		{"a longer hash", k, append(slices.Clone(hash), 1, 2, 3), good, true},
		{"small s", fitting, fill(e), smallS, true},
		{"x not below n", beyond, fill(e), join(big.NewInt(2), s), true},

		{"r = x, not below n", beyond, fill(e), join(add(order, big.NewInt(2)), s), false},
		{"s + n", fitting, fill(e), join(r, add(small, order)), false},
		{"no signature", k, hash, nil, false},
		{"r alone", k, hash, good[:size], false},
		{"s without a leading zero", fitting, fill(e), slices.Concat(smallS[:size], smallS[size+1:]), false},
		{"s with one more leading zero", fitting, fill(e), slices.Concat(smallS[:size], []byte{0}, smallS[size:]), false},
		{"r with one more leading zero", k, hash, slices.Concat([]byte{0}, good), false},
		{"followed by a byte", k, hash, append(slices.Clone(good), 0), false},
		{"r = 0", k, hash, join(new(big.Int), s), false},
		{"s = 0", k, hash, join(r, new(big.Int)), false},
		{"both 0, hash 0", k, fill(new(big.Int)), join(new(big.Int), new(big.Int)), false},
		{"r = 0, infinity", k, fill(new(big.Int)), join(new(big.Int), s), false},
		{"r = n", k, hash, join(order, s), false},
		{"s = n", k, hash, join(r, order), false},
		{"another hash", k, append([]byte{hash[0] ^ 1}, hash[1:]...), good, false},
		{"a shorter hash", k, hash[:size-1], good, false},
		{"no hash", k, nil, good, false},
		{"another key", keys()[1], hash, good, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := sameVerdict(t, test.key, test.hash, test.signature); got != test.want {
				t.Errorf("%v, want %v", got, test.want)
			}
		})
	}
}

// In a verdict some of these hide each other: only infinity meets r = 0, and no number
// modulo n meets r >= n.
func TestDecode(t *testing.T) {
	for _, test := range []struct {
		name string
		r, s *big.Int
		want bool
	}{
		{"least", one, one, true},
		{"greatest", sub(order, one), sub(order, one), true},
		{"r = 0", new(big.Int), one, false},
		{"r = n", order, one, false},
		{"r = n + 1", add(order, one), one, false},
		{"r = 2^384 - 1", sub(top, one), one, false},
		{"s = 0", one, new(big.Int), false},
		{"s = n", one, order, false},
		{"s = n + 1", one, add(order, one), false},
		{"s = 2^384 - 1", one, sub(top, one), false},
	} {
		if r, s, ok := decode(join(test.r, test.s)); ok != test.want || r.Cmp(test.r) != 0 || s.Cmp(test.s) != 0 {
			t.Errorf("%s: %x, %x, %v", test.name, r, s, ok)
		}
	}
}

func TestInfinity(t *testing.T) {
	for _, k := range keys() {
		if _, ok := k.key.sumX(new(big.Int), new(big.Int)); ok {
			t.Errorf("%s: 0·G + 0·Q has an x-coordinate", k.name)
		}
		if k.d == nil {
			continue
		}
		u2 := big.NewInt(12345)
		if _, ok := k.key.sumX(mod(new(big.Int).Neg(times(k.d, u2))), u2); ok {
			t.Errorf("%s: -d·u2·G + u2·Q has an x-coordinate", k.name)
		}
	}
}

func TestTables(t *testing.T) {
	k := keys()[0]
	for name, test := range map[string]struct {
		table *table
		d     *big.Int
	}{"G": {generator(), one}, "Q": {k.key.multiples, k.d}} {
		for i := range test.table {
			for j := range test.table[i] {
				m := new(big.Int).Lsh(big.NewInt(int64(j+1)), uint(i*width))
				if want := multiple(times(m, test.d)); !bytes.Equal(test.table[i][j].Bytes(), want) {
					t.Fatalf("%s: wrong at [%d][%d]", name, i, j)
				}
			}
		}
	}
}

func TestDigits(t *testing.T) {
	s := newSource(1, 1)
	for _, u := range append(slices.Clone(edges()), s.numbers(10000)...) {
		sum := new(big.Int)
		for i, digit := range digits(u) {
			if digit <= -half || digit > half {
				t.Fatalf("%x: digit %d", u, digit)
			}
			sum.Add(sum, new(big.Int).Lsh(big.NewInt(int64(digit)), uint(i*width)))
		}
		if sum.Cmp(u) != 0 {
			t.Fatalf("%x: the digits say %x", u, sum)
		}
	}
}

// Preparing is done elsewhere, and often by several.
func TestConcurrent(t *testing.T) {
	k := keys()[0]
	hash, good, _ := k.signature(big.NewInt(5), big.NewInt(7))
	public := *k.public
	public.X, public.Y = new(big.Int).Set(k.public.X), new(big.Int).Set(k.public.Y)
	key, err := Prepare(&public)
	if err != nil {
		t.Fatal(err)
	}
	public.X.SetInt64(1) // the Key keeps nothing of it
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 5 {
				if !key.Verify(hash, good) || key.Verify(hash[1:], good) {
					t.Error("another verdict")
				}
			}
			if _, err := Prepare(k.public); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// bytesOf returns what f allocates.
func bytesOf(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestMemory(t *testing.T) {
	k := keys()[0]
	if got := bytesOf(func() { _, _ = Prepare(k.public) }); got > 600<<10 {
		t.Errorf("a prepared key: %d bytes", got)
	}
}

// In one run, so that the ratios count: go test -bench . -benchmem ./internal/p384
func BenchmarkVerify(b *testing.B) {
	private, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	hash := sha512.Sum384([]byte("a token"))
	r, s, err := ecdsa.Sign(rand.Reader, private, hash[:])
	if err != nil {
		b.Fatal(err)
	}
	key, err := Prepare(&private.PublicKey)
	if err != nil {
		b.Fatal(err)
	}
	for _, test := range []struct {
		name string
		s    *big.Int
		want bool
	}{{"signed", s, true}, {"forged", add(s, one), false}} {
		signature := join(r, test.s)
		b.Run(test.name+"/ecdsa", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if ecdsa.Verify(&private.PublicKey, hash[:], r, test.s) != test.want {
					b.Fatal("another verdict")
				}
			}
		})
		b.Run(test.name+"/p384", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if key.Verify(hash[:], signature) != test.want {
					b.Fatal("another verdict")
				}
			}
		})
	}
}

// B/op is what a prepared key holds and the little that is garbage at once.
func BenchmarkPrepare(b *testing.B) {
	public := keys()[0].public
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Prepare(public); err != nil {
			b.Fatal(err)
		}
	}
}
