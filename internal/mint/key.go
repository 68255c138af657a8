// Package mint makes what a Logto makes: keys and key sets, tokens of each kind, and
// webhooks. It signs with the standard library alone, not with the code that checks
// signatures, so that each tests the other. It keeps no state.
package mint

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	_ "crypto/sha512" // of crypto.SHA384 and SHA512
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
)

// A Key is a signing key.
type Key struct {
	Algorithm string
	ID        string // RFC 7638 thumbprint, as Logto's
	signer    crypto.Signer
}

// DefaultAlgorithm is Logto's.
const DefaultAlgorithm = "ES384"

// Algorithms are those that Logto can sign with.
var Algorithms = []string{"ES384", "RS256", "ES256", "ES512", "PS256"}

var curves = map[string]elliptic.Curve{"ES256": elliptic.P256(), "ES384": elliptic.P384(), "ES512": elliptic.P521()}

// NewKey makes a key for one of Algorithms. Logto's RSA keys have 4096 bits, these
// 2048: making one must not take seconds.
func NewKey(algorithm string) (*Key, error) {
	var signer crypto.Signer
	var err error
	switch algorithm {
	case "ES256", "ES384", "ES512":
		signer, err = ecdsa.GenerateKey(curves[algorithm], rand.Reader)
	case "RS256", "PS256":
		signer, err = rsa.GenerateKey(rand.Reader, 2048)
	default:
		err = fmt.Errorf("algorithm %q is none of %v", algorithm, Algorithms)
	}
	if err != nil {
		return nil, err
	}
	return newKey(algorithm, signer), nil
}

func newKey(algorithm string, signer crypto.Signer) *Key {
	k := &Key{Algorithm: algorithm, signer: signer}
	// The members that make the key, sorted: RFC 7638 section 3.
	thumb := k.JWK()
	maps.DeleteFunc(thumb, func(name string, _ any) bool {
		return !slices.Contains([]string{"crv", "e", "kty", "n", "x", "y"}, name)
	})
	b, err := json.Marshal(thumb)
	if err != nil {
		panic(err) // strings only
	}
	sum := sha256.Sum256(b)
	k.ID = base64.RawURLEncoding.EncodeToString(sum[:])
	return k
}

// JWK is the public key as Logto publishes it: RSA ones without alg.
func (k *Key) JWK() map[string]any {
	b64 := base64.RawURLEncoding.EncodeToString
	if pub, ok := k.signer.Public().(*rsa.PublicKey); ok {
		return map[string]any{"kty": "RSA", "use": "sig", "kid": k.ID,
			"n": b64(pub.N.Bytes()), "e": b64(big.NewInt(int64(pub.E)).Bytes())}
	}
	pub := k.signer.Public().(*ecdsa.PublicKey)
	point, err := pub.Bytes()
	if err != nil {
		panic(err) // of a curve that isn't in the standard library
	}
	size := (len(point) - 1) / 2
	return map[string]any{"kty": "EC", "use": "sig", "kid": k.ID, "alg": k.Algorithm,
		"crv": pub.Params().Name, "x": b64(point[1 : 1+size]), "y": b64(point[1+size:])}
}

// SignParts signs header and claims, which may be any bytes, as a compact JWS.
func (k *Key) SignParts(header, claims []byte) string {
	b64 := base64.RawURLEncoding.EncodeToString
	input := b64(header) + "." + b64(claims)
	h := k.hash().New()
	_, _ = h.Write([]byte(input))
	sum := h.Sum(nil)
	var sig []byte
	var err error
	switch signer := k.signer.(type) {
	case *rsa.PrivateKey:
		var opts crypto.SignerOpts = k.hash()
		if k.Algorithm == "PS256" {
			opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: k.hash()}
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
		panic(err) // neither key nor hash can be wrong
	}
	return input + "." + b64(sig)
}

func (k *Key) hash() crypto.Hash {
	switch k.Algorithm {
	case "ES384":
		return crypto.SHA384
	case "ES512":
		return crypto.SHA512
	}
	return crypto.SHA256
}

// Sign signs claims with a header of alg, kid and the members given; nil takes one
// away. The error is one of encoding/json: what can't be written as JSON.
func (k *Key) Sign(header, claims map[string]any) (string, error) {
	h := map[string]any{"alg": k.Algorithm, "kid": k.ID}
	Merge(h, header)
	hb, err := json.Marshal(h)
	if err != nil {
		return "", err
	}
	cb, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	return k.SignParts(hb, cb), nil
}

// Merge copies members; a nil takes one away.
func Merge(to, from map[string]any) {
	for name, value := range from {
		if value == nil {
			delete(to, name)
		} else {
			to[name] = value
		}
	}
}

// keyFile is a key as it is kept on disk.
type keyFile struct {
	Algorithm string `json:"algorithm"`
	PKCS8     []byte `json:"pkcs8"`
}

// MarshalJSON writes the private key.
func (k *Key) MarshalJSON() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(k.signer)
	if err != nil {
		return nil, err
	}
	return json.Marshal(keyFile{k.Algorithm, der})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (k *Key) UnmarshalJSON(b []byte) error {
	var f keyFile
	if err := json.Unmarshal(b, &f); err != nil {
		return err
	}
	key, err := x509.ParsePKCS8PrivateKey(f.PKCS8)
	if err != nil {
		return errors.New("mint: no PKCS #8 key") // without its bytes
	}
	switch signer := key.(type) {
	case *ecdsa.PrivateKey:
		if curves[f.Algorithm] != signer.Curve {
			return fmt.Errorf("mint: a key of %s for %q", signer.Params().Name, f.Algorithm)
		}
		*k = *newKey(f.Algorithm, signer)
	case *rsa.PrivateKey:
		if f.Algorithm != "RS256" && f.Algorithm != "PS256" {
			return fmt.Errorf("mint: an RSA key for %q", f.Algorithm)
		}
		*k = *newKey(f.Algorithm, signer)
	default:
		return fmt.Errorf("mint: a key of type %T", key)
	}
	return nil
}

// Verifies tells whether a signature is the key's own over the input of a compact JWS.
func (k *Key) Verifies(input string, signature []byte) bool {
	h := k.hash().New()
	_, _ = h.Write([]byte(input))
	sum := h.Sum(nil)
	switch signer := k.signer.(type) {
	case *rsa.PrivateKey:
		if k.Algorithm == "PS256" {
			return rsa.VerifyPSS(&signer.PublicKey, k.hash(), sum, signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
		}
		return rsa.VerifyPKCS1v15(&signer.PublicKey, k.hash(), sum, signature) == nil
	case *ecdsa.PrivateKey:
		size := (signer.Params().BitSize + 7) / 8
		if len(signature) != 2*size {
			return false
		}
		return ecdsa.Verify(&signer.PublicKey, sum, new(big.Int).SetBytes(signature[:size]), new(big.Int).SetBytes(signature[size:]))
	}
	return false
}
