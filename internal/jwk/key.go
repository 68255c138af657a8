// Package jwk reads the keys that Logto publishes: which of them may verify tokens,
// and why others may not; and it verifies signatures by them. It alone names
// github.com/lestrrat-go/jwx, which takes the numbers out of a JWK.
package jwk

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/lestrrat-go/jwx/v2/jwk"

	"github.com/seed-70fe37f4/logto/internal/quote"
	"github.com/seed-70fe37f4/logto/internal/strictjson"
)

// A Key is a public key that may verify tokens. It doesn't change and is safe for
// concurrent use.
type Key struct {
	id         string
	algorithms []string
	ec         *ecdsa.PublicKey
	rsa        *rsa.PublicKey
	p384       prepared
}

const (
	// MaxKeyID is the longest key ID, in bytes, that is used; Logto's have 43.
	MaxKeyID = 256

	minRSABits = 2048 // RFC 7518 section 3.3
	maxRSABits = 8192 // more is no stronger, only slower
)

// Algorithms are those that Logto may sign with.
var Algorithms = []string{"ES384", "ES256", "ES512", "RS256", "PS256"}

// privateMembers are those of a secret key (RFC 7518 section 6): one that is
// published is known to everybody.
var privateMembers = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"}

var errNotPublic = errors.New("it is not public")

// ParseKey reads one JWK (RFC 7517 section 4). The error says why it can't be
// used; the ID is given all the same, if it has one.
func ParseKey(text string) (id string, key *Key, err error) {
	var kty, crv, alg string
	var members []string
	err = strictjson.Object([]byte(text), func(name, value string) error {
		members = append(members, name)
		s, ok := strictjson.Unquote(value)
		switch name {
		case "kty":
			kty = s
		case "crv":
			crv = s
		case "kid":
			id = s
		case "alg":
			alg = s
		case "use":
			ok = ok && s == "sig"
		case "key_ops":
			ok = hasVerify(value)
		default:
			ok = true
		}
		if !ok {
			return fmt.Errorf("member %s is %s", name, quote.String(value))
		}
		return nil
	})
	if err != nil {
		return id, nil, err
	}
	for _, name := range privateMembers {
		if slices.Contains(members, name) {
			return id, nil, fmt.Errorf("%w: member %s", errNotPublic, name)
		}
	}
	if id == "" || len(id) > MaxKeyID {
		return id, nil, errors.New("it has no usable kid")
	}
	key = &Key{id: id}
	switch kty + crv {
	case "ECP-256":
		key.algorithms = []string{"ES256"}
	case "ECP-384":
		key.algorithms = []string{"ES384"}
	case "ECP-521":
		key.algorithms = []string{"ES512"}
	case "RSA":
		key.algorithms = []string{"RS256", "PS256"}
	default:
		return id, nil, fmt.Errorf("type %s curve %s", quote.String(kty), quote.String(crv))
	}
	if slices.Contains(members, "alg") {
		if !key.Allows(alg) {
			return id, nil, fmt.Errorf("algorithm %s: want %s", quote.String(alg), strings.Join(key.algorithms, " or "))
		}
		key.algorithms = []string{alg}
	}
	if err := key.parse(text); err != nil {
		return id, nil, err
	}
	return id, key, nil
}

func hasVerify(value string) bool {
	found := false
	err := strictjson.Array(value, func(value string) error {
		op, ok := strictjson.Unquote(value)
		if !ok {
			return strictjson.Err
		}
		found = found || op == "verify"
		return nil
	})
	return err == nil && found
}

// parse takes the key itself out of the JWK and checks that it is a sound one.
func (k *Key) parse(text string) error {
	parsed, err := jwk.ParseKey([]byte(text))
	if err != nil {
		return err
	}
	var raw any
	if err := parsed.Raw(&raw); err != nil {
		return err
	}
	switch raw := raw.(type) {
	case *ecdsa.PublicKey:
		k.ec = raw
		if _, err := raw.ECDH(); err != nil {
			return errors.New("the point is not on the curve")
		}
	case *rsa.PublicKey:
		k.rsa = raw
		// jwx cuts e to an int; what it cut is not the key that was published.
		e := new(big.Int).SetBytes(parsed.(jwk.RSAPublicKey).E())
		switch bits := raw.N.BitLen(); {
		case bits < minRSABits || bits > maxRSABits || raw.N.Bit(0) == 0:
			return fmt.Errorf("RSA modulus of %d bits: want an odd one of %d to %d", bits, minRSABits, maxRSABits)
		case e.BitLen() > 31 || e.Bit(0) == 0 || e.Cmp(big.NewInt(3)) < 0:
			return errors.New("RSA exponent: want an odd one from 3 to 2^31 - 1")
		}
	default:
		return fmt.Errorf("type %T", raw)
	}
	return nil
}

// ID is the kid.
func (k *Key) ID() string { return k.id }

// Algorithms are those that the key may be used with. They are not to be changed.
func (k *Key) Algorithms() []string { return k.algorithms }

// Public is the *ecdsa.PublicKey or *rsa.PublicKey. It is not to be changed.
func (k *Key) Public() crypto.PublicKey {
	if k.ec != nil {
		return k.ec
	}
	return k.rsa
}

// Allows reports whether the key is for the algorithm: it decides, not the token
// (RFC 8725 section 3.1).
func (k *Key) Allows(algorithm string) bool { return slices.Contains(k.algorithms, algorithm) }

func (k *Key) equal(other *Key) bool {
	return slices.Equal(k.algorithms, other.algorithms) && k.samePublicKey(other)
}

// samePublicKey leaves the algorithms aside.
func (k *Key) samePublicKey(other *Key) bool {
	if k.ec != nil {
		return other.ec != nil && k.ec.Equal(other.ec)
	}
	return other.rsa != nil && k.rsa.Equal(other.rsa)
}

// SignatureSize is the only length, in bytes, that a signature by k can have
// (RFC 7518 sections 3.3, 3.4).
func (k *Key) SignatureSize() int {
	if k.ec != nil {
		return 2 * ((k.ec.Params().BitSize + 7) / 8)
	}
	return k.rsa.Size()
}

// Verify checks a signature of [Key.SignatureSize] by an algorithm that k allows.
func (k *Key) Verify(algorithm, signingInput string, signature []byte) bool {
	if k.ec != nil {
		if algorithm == "ES384" {
			if fast := k.p384.get(k.ec); fast != nil {
				return fast.Verify(digest(algorithm, signingInput), signature)
			}
		}
		half := len(signature) / 2
		r, s := new(big.Int).SetBytes(signature[:half]), new(big.Int).SetBytes(signature[half:])
		return ecdsa.Verify(k.ec, digest(algorithm, signingInput), r, s)
	}
	sum := digest(algorithm, signingInput)
	if algorithm == "PS256" {
		// RFC 7518 section 3.5: the salt is as long as the hash.
		return rsa.VerifyPSS(k.rsa, crypto.SHA256, sum, signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
	}
	return rsa.VerifyPKCS1v15(k.rsa, crypto.SHA256, sum, signature) == nil
}

func digest(algorithm, signingInput string) []byte {
	switch algorithm {
	case "ES384":
		sum := sha512.Sum384([]byte(signingInput))
		return sum[:]
	case "ES512":
		sum := sha512.Sum512([]byte(signingInput))
		return sum[:]
	default:
		sum := sha256.Sum256([]byte(signingInput))
		return sum[:]
	}
}
