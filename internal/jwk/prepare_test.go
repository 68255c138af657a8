//go:build !logto_stdlib

package jwk

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"sync"
	"testing"
	"time"
)

// newKey returns a key as it is published, and a function that signs by it.
func newKey(t *testing.T, curve elliptic.Curve, name string) (*Key, func(algorithm, input string) []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	size := (curve.Params().BitSize + 7) / 8
	encode := base64.RawURLEncoding.EncodeToString
	point, err := private.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	_, key, err := ParseKey(fmt.Sprintf(`{"kty":"EC","crv":%q,"kid":"k","x":%q,"y":%q}`, name, encode(point[1:1+size]), encode(point[1+size:])))
	if err != nil {
		t.Fatal(err)
	}
	return key, func(algorithm, input string) []byte {
		r, s, err := ecdsa.Sign(rand.Reader, private, digest(algorithm, input))
		if err != nil {
			t.Fatal(err)
		}
		signature := make([]byte, 2*size)
		r.FillBytes(signature[:size])
		s.FillBytes(signature[size:])
		return signature
	}
}

// wait gives the tables time to be made, which no verdict depends on.
func wait(key *Key) bool {
	for range 1000 {
		if key.p384.key.Load() != nil {
			return true
		}
		time.Sleep(5 * time.Millisecond)
	}
	return false
}

// The standard library serves until the tables are made, for a key that is asked for
// more than a few times; then they do, and the verdicts are the same.
func TestPrepared(t *testing.T) {
	defer func(f func() bool) { fips = f }(fips)
	fips = func() bool { return false } // these tests run in that mode, too
	key, sign := newKey(t, elliptic.P384(), "P-384")
	good := sign("ES384", "input")
	bad := append([]byte{}, good...)
	bad[len(bad)-1] ^= 1
	verdicts := func(name string) {
		t.Helper()
		if !key.Verify("ES384", "input", good) || key.Verify("ES384", "input", bad) || key.Verify("ES384", "inpuT", good) {
			t.Errorf("%s: a wrong verdict", name)
		}
	}
	for key.p384.asked.Load() < prepareAfter-3 {
		verdicts("by the standard library")
	}
	if key.p384.key.Load() != nil {
		t.Error("prepared for a few")
	}
	verdicts("while the tables are made")
	if !wait(key) {
		t.Fatal("never prepared")
	}
	tables := key.p384.key.Load()
	verdicts("by the tables")
	if key.p384.key.Load() != tables {
		t.Error("prepared twice")
	}
	// They stay with a key that stays, and go with one that goes.
	other, _ := newKey(t, elliptic.P384(), "P-384")
	if other.p384.key.Load() != nil {
		t.Error("a new key has tables")
	}
}

// Whoever comes while the tables are made is served, and they are made once.
func TestPreparedConcurrently(t *testing.T) {
	defer func(f func() bool) { fips = f }(fips)
	fips = func() bool { return false }
	key, sign := newKey(t, elliptic.P384(), "P-384")
	good := sign("ES384", "input")
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 20 {
				if !key.Verify("ES384", "input", good) {
					t.Error("refused")
				}
			}
		})
	}
	wg.Wait()
	if !wait(key) {
		t.Error("never prepared")
	}
}

// Not in FIPS 140-3 mode, and not for other curves.
func TestNotPrepared(t *testing.T) {
	defer func(f func() bool) { fips = f }(fips)
	for _, test := range []struct {
		name, curve, algorithm string
		of                     elliptic.Curve
		fips                   bool
	}{
		{"FIPS 140-3 mode", "P-384", "ES384", elliptic.P384(), true},
		{"P-256", "P-256", "ES256", elliptic.P256(), false},
		{"P-521", "P-521", "ES512", elliptic.P521(), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			fips = func() bool { return test.fips }
			key, sign := newKey(t, test.of, test.curve)
			good := sign(test.algorithm, "input")
			for range 3 * prepareAfter {
				if !key.Verify(test.algorithm, "input", good) {
					t.Error("refused")
				}
			}
			time.Sleep(50 * time.Millisecond) // tables take a few
			if key.p384.key.Load() != nil {
				t.Error("prepared")
			}
		})
	}
}
