package mint_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/seed-70fe37f4/logto/internal/mint"
)

// A key that was kept on disk is the same key; what is no such key is refused.
func TestKeepKeys(t *testing.T) {
	kept := map[string]string{}
	for _, algorithm := range mint.Algorithms {
		k, err := mint.NewKey(algorithm)
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(k)
		if err != nil {
			t.Fatal(err)
		}
		var again mint.Key
		if err := json.Unmarshal(b, &again); err != nil || again.ID != k.ID || again.Algorithm != algorithm {
			t.Errorf("%s: key %s is now %s of %s, error %v", algorithm, k.ID, again.ID, again.Algorithm, err)
		}
		if mint.KeySet([]*mint.Key{k}) != mint.KeySet([]*mint.Key{&again}) {
			t.Errorf("%s: published as another", algorithm)
		}
		kept[algorithm] = string(b)
	}
	for name, text := range map[string]string{
		"no JSON":       `[]`,
		"no key":        `{"algorithm":"ES384","pkcs8":"AAAA"}`,
		"another curve": strings.Replace(kept["ES256"], "ES256", "ES384", 1),
		"EC for RSA":    strings.Replace(kept["ES256"], "ES256", "RS256", 1),
		"RSA for EC":    strings.Replace(kept["RS256"], "RS256", "ES384", 1),
		"RSA for HMAC":  strings.Replace(kept["RS256"], "RS256", "HS256", 1),
		"Ed25519":       `{"algorithm":"ES384","pkcs8":"MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g"}`,
	} {
		var k mint.Key
		if err := json.Unmarshal([]byte(text), &k); err == nil || strings.Contains(err.Error(), "MC4C") {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if _, err := mint.NewKey("HS256"); err == nil {
		t.Error("a key for HS256")
	}
}

// A key takes its own signatures over what it signed, and nothing else.
func TestVerifies(t *testing.T) {
	for _, algorithm := range mint.Algorithms {
		k, err := mint.NewKey(algorithm)
		if err != nil {
			t.Fatal(err)
		}
		other, err := mint.NewKey(algorithm)
		if err != nil {
			t.Fatal(err)
		}
		token := k.SignParts([]byte("{}"), []byte("{}"))
		dot := strings.LastIndexByte(token, '.')
		input := token[:dot]
		signature, err := base64.RawURLEncoding.DecodeString(token[dot+1:])
		if err != nil {
			t.Fatal(err)
		}
		changed := bytes.Clone(signature)
		changed[0] ^= 1
		for _, test := range []struct {
			name      string
			key       *mint.Key
			input     string
			signature []byte
			want      bool
		}{
			{"its own", k, input, signature, true},
			{"another key's", other, input, signature, false},
			{"of another input", k, input + "x", signature, false},
			{"changed", k, input, changed, false},
			{"cut", k, input, signature[:len(signature)-1], false},
			{"none", k, input, nil, false},
			{"with a zero before it", k, input, append([]byte{0}, signature...), false},
			{"with a zero behind it", k, input, append(bytes.Clone(signature), 0), false},
		} {
			if got := test.key.Verifies(test.input, test.signature); got != test.want {
				t.Errorf("%s, %s: %v", algorithm, test.name, got)
			}
		}
	}
}
