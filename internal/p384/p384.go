// Package p384 verifies ECDSA signatures on the curve P-384 by a key that was prepared
// once, in about a fifth of the time that crypto/ecdsa takes.
//
// crypto/ecdsa computes u₁·G + u₂·Q as if it had never seen the key Q. Here tables hold
// the multiples of Q and of the generator G by each digit in each place of a scalar:
// the sum of at most 110 of them is left, with no doubling. All arithmetic on points is
// that of filippo.io/nistec, the standard library's own code. Its addition is complete:
// right for equal points, for opposite ones and for infinity.
//
// Key, hash and signature are public, so the time that Verify takes depends on them:
// nothing here may touch a secret. This is not the validated module of crypto/fips140.
package p384

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"errors"
	"math/big"
	"sync"

	"filippo.io/nistec"
)

const (
	size = 48 // bytes of a coordinate and of a scalar

	// Digits are from 1-half to half. The windows cover at least one bit more than a
	// scalar has: that keeps the top digit, with what is carried into it, at most half.
	width   = 7
	half    = 1 << (width - 1)
	windows = (8*size + 1 + width - 1) / width
)

// order is n, the prime order of G. It has 8·size bits.
var order = elliptic.P384().Params().N

var errKey = errors.New("p384: not a P-384 key")

// A Key is a public key with its table, 0.57 MiB. [Prepare] makes it. It is safe for
// concurrent use.
type Key struct {
	multiples *table
}

// Prepare makes the table of a key, and first that of G if there is none yet. Each takes
// milliseconds. It returns an error for another curve, for a point that is not on the
// curve, and so for (0, 0), as infinity is sometimes written. Later changes of public
// don't change the Key.
func Prepare(public *ecdsa.PublicKey) (*Key, error) {
	if public == nil || public.Curve != elliptic.P384() || public.X == nil || public.Y == nil {
		return nil, errKey
	}
	encoded, err := public.Bytes()
	if err != nil {
		return nil, err
	}
	q, err := nistec.NewP384Point().SetBytes(encoded)
	if err != nil {
		return nil, err
	}
	generator()
	return &Key{newTable(q)}, nil
}

// Verify says whether signature is one of hash by the key (FIPS 186-5, section 6.4.2).
// The signature is r‖s, 96 bytes (RFC 7518, section 3.4). Of a longer hash the first 48
// bytes count.
func (k *Key) Verify(hash, signature []byte) bool {
	r, s, ok := decode(signature)
	if !ok {
		return false
	}
	if len(hash) > size {
		hash = hash[:size]
	}
	e := new(big.Int).SetBytes(hash)
	w := new(big.Int).ModInverse(s, order)
	u1 := e.Mod(e.Mul(e, w), order)
	u2 := w.Mod(w.Mul(w, r), order)
	x, ok := k.sumX(u1, u2)
	return ok && x.Mod(x, order).Cmp(r) == 0
}

// decode splits a signature, and says whether r and s are from 1 to n-1.
func decode(signature []byte) (r, s *big.Int, ok bool) {
	if len(signature) != 2*size {
		return nil, nil, false
	}
	r = new(big.Int).SetBytes(signature[:size])
	s = new(big.Int).SetBytes(signature[size:])
	return r, s, r.Sign() > 0 && r.Cmp(order) < 0 && s.Sign() > 0 && s.Cmp(order) < 0
}

// sumX returns the x-coordinate of u1·G + u2·Q, with u1 and u2 below n. The point at
// infinity has none: then it returns false.
func (k *Key) sumX(u1, u2 *big.Int) (*big.Int, bool) {
	sum := nistec.NewP384Point()
	generator().addMultiple(sum, u1)
	k.multiples.addMultiple(sum, u2)
	x, err := sum.BytesX()
	if err != nil {
		return nil, false
	}
	return new(big.Int).SetBytes(x), true
}

// A table of a point P holds (j+1)·2^(i·width)·P at [i][j].
type table [windows][half]nistec.P384Point

var generator = sync.OnceValue(func() *table {
	return newTable(nistec.NewP384Point().SetGenerator())
})

func newTable(p *nistec.P384Point) *table {
	t := new(table)
	base := nistec.NewP384Point().Set(p)
	for i := range t {
		multiple := nistec.NewP384Point()
		for j := range t[i] {
			multiple.Add(multiple, base)
			t[i][j] = *nistec.NewP384Point().Set(multiple)
		}
		base.Double(multiple)
	}
	return t
}

// addMultiple adds u·P to sum, where t is the table of P.
func (t *table) addMultiple(sum *nistec.P384Point, u *big.Int) {
	negative := nistec.NewP384Point()
	for i, digit := range digits(u) {
		if digit > 0 {
			sum.Add(sum, &t[i][digit-1])
		} else if digit < 0 {
			sum.Add(sum, negative.Negate(&t[i][-digit-1]))
		}
	}
}

// digits returns u, below 2^(8·size), in base 2^width, the lowest digit first. What is
// above half is made negative, as -P costs nothing where P is at hand.
func digits(u *big.Int) (d [windows]int) {
	var b [size + 2]byte // big-endian; a digit may reach into the byte above
	u.FillBytes(b[:])
	carry := 0
	for i := range d {
		low := len(b) - 1 - i*width/8
		pair := int(b[low-1])<<8 | int(b[low])
		d[i] = pair>>(i*width%8)&(1<<width-1) + carry
		carry = 0
		if d[i] > half {
			d[i] -= 1 << width
			carry = 1
		}
	}
	return d
}
