package p384

import (
	"flag"
	"math/big"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"filippo.io/nistec"
)

var (
	cases = flag.Int("cases", 2000, "signatures that TestSameVerdict compares")
	seed  = flag.Uint64("seed", 1, "what they are drawn from")
)

// edges are the numbers below 2^384 where mistakes would be found.
var edges = sync.OnceValue(func() (all []*big.Int) {
	near := func(i *big.Int) {
		for d := int64(-3); d <= 3; d++ {
			if i := add(i, big.NewInt(d)); i.Sign() >= 0 && i.Cmp(top) < 0 {
				all = append(all, i)
			}
		}
	}
	for _, i := range []*big.Int{new(big.Int), order, prime, top, sub(prime, order), sub(top, order),
		new(big.Int).Rsh(order, 1), new(big.Int).Rsh(top, 1)} {
		near(i)
	}
	for i := range windows {
		place := new(big.Int).Lsh(one, uint(i*width))
		near(place)
		near(sub(order, place))
		for _, digit := range []int64{half - 1, half, half + 1, 2*half - 1} {
			if i := new(big.Int).Mul(place, big.NewInt(digit)); i.Cmp(top) < 0 {
				all = append(all, i)
			}
		}
	}
	// The same digit in all places, and in every other one.
	for _, digit := range []int64{1, half - 1, half, half + 1, 2*half - 2, 2*half - 1} {
		each, other := new(big.Int), new(big.Int)
		for i := range windows {
			place := new(big.Int).Lsh(big.NewInt(digit), uint(i*width))
			each.Add(each, place)
			if i%2 == 0 {
				other.Add(other, place)
			}
			for _, i := range []*big.Int{each, other} {
				all = append(all, new(big.Int).Mod(i, top))
			}
		}
	}
	return all
})

// A source draws cases.
type source struct{ *rand.Rand }

func newSource(seed, i uint64) source { return source{rand.New(rand.NewPCG(seed, i))} }

func (s source) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(s.Uint32())
	}
	return b
}

// number returns one below 2^384: an edge, one of few digits, a short one, or any.
func (s source) number() *big.Int {
	switch s.IntN(4) {
	case 0:
		return new(big.Int).Set(edges()[s.IntN(len(edges()))])
	case 1:
		i, digits := new(big.Int), []int64{0, 0, 1, half - 1, half, half + 1, 2*half - 1}
		for range windows {
			i.Add(i.Lsh(i, width), big.NewInt(digits[s.IntN(len(digits))]))
		}
		return i.Mod(i, top)
	case 2:
		return new(big.Int).SetBytes(s.bytes(s.IntN(size)))
	default:
		return new(big.Int).SetBytes(s.bytes(size))
	}
}

func (s source) numbers(n int) []*big.Int {
	all := make([]*big.Int, n)
	for i := range all {
		all[i] = s.number()
	}
	return all
}

// scalar returns a number from 1 to n-1.
func (s source) scalar() *big.Int {
	for {
		if i := mod(s.number()); i.Sign() > 0 {
			return i
		}
	}
}

func (s source) key() *testKey { return keys()[s.IntN(len(keys()))] }

// keyFor returns the key Q for which u1·G + u2·Q is sum, nil if that is infinity.
func keyFor(sum *nistec.P384Point, u1, u2 *big.Int) *testKey {
	q, err := nistec.NewP384Point().ScalarBaseMult(fill(u1))
	if err != nil {
		panic(err)
	}
	q.Add(sum, q.Negate(q))
	if q, err = q.ScalarMult(q, fill(over(one, u2))); err != nil {
		panic(err)
	}
	if q.IsInfinity() == 1 {
		return nil
	}
	return newTestKey("made for its signature", q.Bytes(), nil)
}

// A judge compares a verdict, and fails if it isn't what must be.
type judge func(k *testKey, hash, signature []byte, must verdict)

type verdict int

const (
	either verdict = iota // whatever crypto/ecdsa says
	accept
	refuse
)

// draws are the kinds of cases. Each makes at least one, with few exceptions.
var draws = []struct {
	name string
	draw func(source, judge)
}{
	{"valid", func(s source, is judge) {
		k := s.key()
		if hash, signature, ok := k.signature(mod(s.number()), s.scalar()); ok {
			is(k, hash, signature, accept)
		}
	}},
	{"altered", func(s source, is judge) {
		k := s.key()
		hash, signature, ok := k.signature(mod(s.number()), s.scalar())
		if !ok {
			return
		}
		alter := func(part []byte, to *big.Int) {
			if to.Sign() >= 0 && to.Cmp(top) < 0 {
				to.FillBytes(part)
			}
		}
		part := [][]byte{signature[:size], signature[size:], hash}[s.IntN(3)]
		was := new(big.Int).SetBytes(part)
		switch s.IntN(12) {
		case 0, 1, 2:
			part[s.IntN(size)] ^= 1 << s.IntN(8)
		case 3:
			alter(part, add(was, one))
		case 4:
			alter(part, sub(was, one))
		case 5:
			alter(part, add(was, order))
		case 6:
			alter(part, sub(order, was)) // of s it is valid
		case 7:
			alter(part, s.number())
		case 8:
			signature = slices.Concat(signature[size:], signature[:size])
		case 9:
			hash = append(hash, s.bytes(1+s.IntN(20))...) // valid
		case 10:
			hash = hash[:s.IntN(size)]
		case 11:
			k = s.key()
		}
		is(k, hash, signature, either)
	}},
	{"numbers", func(s source, is judge) {
		hash := fill(s.number())
		if s.IntN(4) == 0 {
			hash = s.bytes(s.IntN(2 * size))
		}
		is(s.key(), hash, join(s.number(), s.number()), either)
	}},
	// Before a digit of u2 is added, the sum is what is added or its negative.
	{"meeting", func(s source, is judge) {
		k := s.key()
		for k.d == nil {
			k = s.key()
		}
		u2, last := s.scalar(), s.IntN(windows+1)
		before, added := new(big.Int), new(big.Int)
		if last == windows { // u1·G = ± u2·Q
			added.Set(u2)
		} else {
			all := digits(u2)
			for i, digit := range all[:last+1] {
				before.Add(before, added)
				added.Lsh(big.NewInt(int64(digit)), uint(i*width))
			}
		}
		if s.IntN(2) == 0 {
			added.Neg(added)
		}
		u1 := times(sub(added, before), k.d)
		hash, signature, ok := k.signature(u1, u2)
		if ok {
			is(k, hash, signature, accept)
			return
		}
		some := s.scalar() // as s; what follows from it for r and the hash
		is(k, fill(times(u1, some)), join(times(u2, some), some), refuse)
	}},
	{"chosen R", func(s source, is judge) {
		if s.IntN(40) > 0 {
			return // it takes a new key
		}
		var x *big.Int
		switch s.IntN(4) {
		case 0:
			x = big.NewInt(s.Int64N(20))
		case 1:
			x = add(order, big.NewInt(s.Int64N(20)))
		case 2: // from n to p
			x = new(big.Int).SetBytes(s.bytes(size))
			x.Add(order, x.Mod(x, sub(prime, order)))
		case 3:
			x = s.number()
		}
		sum := pointAt(x, uint(s.IntN(2)))
		encoded, err := sum.BytesX()
		if err != nil {
			panic(err)
		}
		r := mod(new(big.Int).SetBytes(encoded))
		if r.Sign() == 0 {
			return
		}
		e, sScalar := mod(s.number()), s.scalar()
		k := keyFor(sum, over(e, sScalar), over(r, sScalar))
		if k == nil {
			return
		}
		is(k, fill(e), join(r, sScalar), accept)
		is(k, fill(e), join(r, sub(order, sScalar)), either)
		is(k, append(fill(e), 1), join(r, sScalar), accept)
		if e.Add(e, order); e.Cmp(top) < 0 {
			is(k, fill(e), join(r, sScalar), accept)
		}
		e.Sub(e, order)
		if r := add(r, order); r.Cmp(top) < 0 {
			is(k, fill(e), join(r, sScalar), refuse)
		}
		if sScalar := add(sScalar, order); sScalar.Cmp(top) < 0 {
			is(k, fill(e), join(r, sScalar), refuse)
		}
	}},
}

// go test -run SameVerdict -cases 1000000 -timeout 0 -v ./internal/p384
func TestSameVerdict(t *testing.T) {
	counts := map[string]map[bool]int{}
	total := 0
	for i := uint64(0); total < *cases; i++ {
		s, kind := newSource(*seed, i), draws[i%uint64(len(draws))]
		if counts[kind.name] == nil {
			counts[kind.name] = map[bool]int{}
		}
		kind.draw(s, func(k *testKey, hash, signature []byte, must verdict) {
			got := sameVerdict(t, k, hash, signature)
			if must != either && got != (must == accept) {
				t.Fatalf("-seed %d, draw %d, %s: %v", *seed, i, kind.name, got)
			}
			counts[kind.name][got]++
			total++
		})
	}
	for _, kind := range draws {
		t.Logf("%s: %d accepted, %d refused", kind.name, counts[kind.name][true], counts[kind.name][false])
	}
	t.Logf("%d cases, seed %d", total, *seed)
}

// If u1 or u2 is given, hash and signature are what a valid signature is altered by.
func FuzzSameVerdict(f *testing.F) {
	unaltered := []byte(nil)
	for i := range keys() {
		f.Add(byte(i), fill(one), fill(sub(order, one)), unaltered, unaltered)
	}
	s := newSource(1, 1)
	for i := range 40 {
		f.Add(byte(i), fill(s.number()), fill(s.number()), unaltered, unaltered)
		f.Add(byte(i), fill(s.number()), fill(s.number()), unaltered, append(make([]byte, s.IntN(2*size)), 1))
		f.Add(byte(i), fill(s.number()), fill(s.number()), append(make([]byte, s.IntN(2*size)), 1), unaltered)
		f.Add(byte(i), unaltered, unaltered, fill(s.number()), join(s.number(), s.number()))
	}
	alter := func(b, by []byte) []byte {
		b = append(b, make([]byte, max(0, len(by)-len(b)))...)
		for i := range by {
			b[i] ^= by[i]
		}
		return b
	}
	f.Fuzz(func(t *testing.T, which byte, u1, u2, hash, signature []byte) {
		k := keys()[int(which)%len(keys())]
		if len(u1)+len(u2) == 0 {
			sameVerdict(t, k, hash, signature)
			return
		}
		second := mod(new(big.Int).SetBytes(u2))
		if second.Sign() == 0 {
			return
		}
		validHash, valid, ok := k.signature(mod(new(big.Int).SetBytes(u1)), second)
		if !ok {
			return
		}
		if got := sameVerdict(t, k, alter(validHash, hash), alter(valid, signature)); !got && len(hash)+len(signature) == 0 {
			t.Error("refused a valid signature")
		}
	})
}
