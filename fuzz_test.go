package logto_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"math"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/logtotest"
)

// The fuzz targets compare what the package does with a reference that is slow,
// simple and of the standard library alone: both must accept the same.

// reference is the rules for one token, by one ES384 key.
type reference struct {
	issuer, audience, keyID string
	key                     *ecdsa.PublicKey
}

func newReference(issuer *logtotest.Issuer) reference {
	var set struct {
		Keys []struct{ Kid, X, Y string }
	}
	if err := json.Unmarshal([]byte(issuer.KeySet()), &set); err != nil {
		panic(err)
	}
	number := func(s string) *big.Int { return new(big.Int).SetBytes(must(base64.RawURLEncoding.DecodeString(s))) }
	k := set.Keys[0]
	return reference{issuer.Endpoint() + "/oidc", logtotest.Audience, k.Kid,
		&ecdsa.PublicKey{Curve: elliptic.P384(), X: number(k.X), Y: number(k.Y)}}
}

// accepts says whether a request with these Authorization lines is to be served.
func (ref reference) accepts(lines []string, now time.Time) bool {
	if len(lines) != 1 {
		return false
	}
	line := lines[0]
	if len(line) < 7 || strings.ToLower(line[:6]) != "bearer" || line[6] != ' ' {
		return false
	}
	token := strings.TrimLeft(line[6:], " ")
	parts := strings.Split(token, ".")
	if len(token) > 16384 || len(parts) != 3 {
		return false
	}
	if len(parts[0]) > logto.MaxHeader {
		return false
	}
	var decoded [3][]byte
	for i, part := range parts {
		b, err := base64.RawURLEncoding.DecodeString(part)
		// The only spelling is the one that encoding gives back.
		if err != nil || len(b) == 0 || base64.RawURLEncoding.EncodeToString(b) != part {
			return false
		}
		decoded[i] = b
	}
	header, ok := strictObject(decoded[0])
	if !ok || header["alg"] != "ES384" || header["kid"] != ref.keyID {
		return false
	}
	typ, _ := header["typ"].(string)
	if typ = strings.ToLower(typ); typ != "at+jwt" && typ != "application/at+jwt" {
		return false
	}
	for _, name := range []string{"crit", "b64", "zip", "jwk", "jku", "x5u", "x5c"} {
		if _, there := header[name]; there {
			return false
		}
	}
	if cty, there := header["cty"]; there {
		s, ok := cty.(string)
		if s = strings.ToLower(s); !ok || s == "jwt" || s == "application/jwt" {
			return false
		}
	}
	claims, ok := strictObject(decoded[1])
	if !ok {
		return false
	}
	for _, name := range []string{"iss", "sub", "client_id"} {
		if s, ok := claims[name].(string); !ok || s == "" || halfSurrogate(decoded[1], s) {
			return false
		}
	}
	for _, name := range []string{"scope", "jti"} {
		if value, there := claims[name]; there {
			if s, ok := value.(string); !ok || halfSurrogate(decoded[1], s) {
				return false
			}
		}
	}
	if _, bound := claims["cnf"]; bound || claims["iss"] != ref.issuer {
		return false
	}
	forUs := false
	switch aud := claims["aud"].(type) {
	case string:
		forUs = aud == ref.audience
		if halfSurrogate(decoded[1], aud) {
			return false
		}
	case []any:
		if len(aud) > 64 {
			return false
		}
		for _, one := range aud {
			s, ok := one.(string)
			if !ok || halfSurrogate(decoded[1], s) {
				return false
			}
			forUs = forUs || s == ref.audience
		}
	}
	if !forUs {
		return false
	}
	at := float64(now.UnixNano()) / 1e9
	for name, late := range map[string]bool{"exp": true, "iat": false, "nbf": false} {
		value, there := claims[name]
		if !there && name == "nbf" {
			continue
		}
		number, ok := value.(json.Number)
		if !ok || strings.HasPrefix(number.String(), "-") {
			return false
		}
		f, err := number.Float64()
		if err != nil || math.IsInf(f, 0) || f >= 253402300800 || late && at >= f+30 || !late && at+30 < f {
			return false
		}
	}
	if len(decoded[2]) != 96 {
		return false
	}
	sum := sha512.Sum384([]byte(parts[0] + "." + parts[1]))
	return ecdsa.Verify(ref.key, sum[:], new(big.Int).SetBytes(decoded[2][:48]), new(big.Int).SetBytes(decoded[2][48:]))
}

// halfSurrogate: encoding/json has put U+FFFD in the place of something else. A
// string that also has an escape and means U+FFFD is refused with it.
func halfSurrogate(source []byte, decoded string) bool {
	return strings.ContainsRune(decoded, utf8.RuneError) && !bytes.Contains(source, []byte(decoded))
}

// strictObject decodes a JSON object by encoding/json's tokens, and refuses what
// its Unmarshal forgives.
func strictObject(data []byte) (map[string]any, bool) {
	if !utf8.Valid(data) || !json.Valid(data) {
		return nil, false
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	value, ok := strictValue(d, data, 0)
	object, isObject := value.(map[string]any)
	return object, ok && isObject
}

func strictValue(d *json.Decoder, data []byte, depth int) (any, bool) {
	token, err := d.Token()
	if err != nil {
		return nil, false
	}
	delim, ok := token.(json.Delim)
	if !ok {
		return token, true
	}
	if depth++; depth > logto.MaxDepth {
		return nil, false
	}
	if delim == '[' {
		list := []any{}
		for d.More() {
			value, ok := strictValue(d, data, depth)
			if !ok {
				return nil, false
			}
			list = append(list, value)
		}
		_, err = d.Token()
		return list, err == nil
	}
	object := map[string]any{}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, false
		}
		s := name.(string)
		if _, twice := object[s]; twice || halfSurrogate(data, s) {
			return nil, false
		}
		value, ok := strictValue(d, data, depth)
		if !ok {
			return nil, false
		}
		object[s] = value
	}
	_, err = d.Token()
	return object, err == nil
}

// Seeds name the running issuer's key by KID.
var headerSeeds = []string{
	`{"alg":"ES384","typ":"at+jwt","kid":"KID"}`, `{"alg":"ES384","typ":"application/AT+jwt","kid":"KID","x":[{"a":{}}]}`,
	` { "alg" : "\u0045S384","typ":"at+jwt" , "kid":"KID"} `, `{"alg":"none","typ":"at+jwt","kid":"KID"}`, `{"alg":"ES384","kid":"KID"}`,
	`{"alg":"ES384","typ":"at+jwt","kid":"KID","kid":"x"}`, `{"alg":"ES384","typ":"at+jwt","kid":"KID","crit":[]}`,
	`{"alg":"ES384","typ":"at+jwt","kid":"KID","cty":"JWT"}`, `{"alg":"ES384","typ":"at+jwt","kid":"KID","cty":"x","\ud83d\ude00":"\ud800"}`,
	`{"alg":["ES384"],"typ":null,"kid":1e5}`, `{"ALG":"ES384","typ":"at+jwt","kid":"KID"}`, "{}", "[]", "null", `{"a":{"b":{"c":[[[[]]]]}}}`, "\xef\xbb\xbf{}", "{\"\xff\":1}",
}

var payloadSeeds = []string{
	`{"iss":"https://logto.example.test/oidc","sub":"u","client_id":"c","aud":"https://api.example.test","iat":0,"exp":9999999999}`,
	`{"iss":"https://logto.example.test/oidc","sub":"\u0061","client_id":"c","aud":["x","https://api.example.test"],"iat":1.5,"exp":9.9e9,"nbf":0,"scope":"a b","jti":"j"}`,
	`{"iss":"https://logto.example.test/oidc","sub":"u","client_id":"c","aud":"https://api.example.test","iat":0,"exp":9999999999,"organization_id":null,"act":{"sub":"x"},"x":[1,-0.1e-5,true,false,null,"\ud800"]}`,
	`{"iss":"https://logto.example.test/oidc","sub":"u","client_id":"c","aud":"https://api.example.test","iat":0,"exp":9999999999,"cnf":{}}`,
	`{"iss":"https://logto.example.test/oidc","sub":"\ud800","client_id":"c","aud":"https://api.example.test","iat":0,"exp":9999999999}`,
	`{"iss":"https://logto.example.test/oidc","sub":"u","SUB":"v","client_id":"c","aud":"https://api.example.test","iat":0,"exp":253402300799}`,
	`{"iss":"https://logto.example.test/oidc","sub":"u","client_id":"c","aud":"https://api.example.test","iat":-1,"exp":"9999999999"}`,
	`{"iss":"https://logto.example.test/oidc","sub":"u","client_id":"c","aud":"https://api.example.test","iat":0,"exp":1e400,"exp":1}`,
	`{"aud":[]}`, `{"aud":[1]}`, `{"exp":-0}`, `{"act":"x"}`, "{}", "[]", "",
}

func FuzzMiddleware(f *testing.F) {
	for i, header := range headerSeeds {
		f.Add("Bearer ", header, payloadSeeds[i%len(payloadSeeds)], uint16(0), byte(0))
		f.Add("Bearer ", header, payloadSeeds[0], uint16(0), byte(0))
	}
	for _, payload := range payloadSeeds {
		f.Add("bearer  ", headerSeeds[0], payload, uint16(0), byte(0))
		f.Add("Bearer ", headerSeeds[0], payload, uint16(300), byte(1))
	}
	for _, prefix := range []string{"", "Bearer", "Bearer\t", "Basic ", "Bearer x,Bearer ", "BEARER     ", " Bearer ", "Bearer: "} {
		f.Add(prefix, headerSeeds[0], payloadSeeds[0], uint16(0), byte(0))
	}
	issuer := logtotest.NewIssuer(nil)
	ref := newReference(issuer)
	cfg := issuer.Config()
	cfg.Logger = capture
	v, err := logto.New(cfg)
	if err != nil {
		f.Fatal(err)
	}
	h := logto.Require(v)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	f.Fuzz(func(t *testing.T, prefix, header, payload string, at uint16, xor byte) {
		token := []byte(issuer.Sign(strings.ReplaceAll(header, "KID", issuer.KeyID()), payload))
		token[int(at)%len(token)] ^= xor
		r := httptest.NewRequest("GET", "/", nil)
		r.Header["Authorization"] = []string{prefix + string(token)}
		want := ref.accepts(r.Header["Authorization"], time.Now())
		for range 2 { // the second time it may be remembered
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if got := w.Code == 200; got != want {
				t.Errorf("status %d, the reference accepts: %v\nprefix %q\nheader %s\npayload %s", w.Code, want, prefix, header, payload)
			}
			if !slices.Contains([]int{200, 400, 401}, w.Code) {
				t.Errorf("status %d", w.Code)
			}
		}
	})
}

func FuzzHeader(f *testing.F) {
	for _, seed := range headerSeeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		algorithm, keyID, err := logto.ParseHeader(data)
		object, ok := strictObject(data)
		if err == nil && (!ok || object["alg"] != algorithm || object["kid"] != keyID || keyID == "" || len(keyID) > logto.MaxKeyID) {
			t.Errorf("alg %q kid %q from %q", algorithm, keyID, data)
		}
		if err != nil && !errors.Is(err, logto.ErrInvalidToken) {
			t.Errorf("error %v", err)
		}
	})
}

func FuzzPayload(f *testing.F) {
	for _, seed := range payloadSeeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := logto.ParseClaims(data)
		if err != nil {
			if !errors.Is(err, logto.ErrInvalidToken) {
				t.Errorf("error %v", err)
			}
			return
		}
		object, ok := strictObject(data)
		if !ok || object["sub"] != c.Subject() || object["iss"] != c.Issuer() || object["client_id"] != c.ClientID() || c.Subject() == "" || object["cnf"] != nil {
			t.Errorf("claims %+v from %q", c, data)
		}
		if id, _ := object["organization_id"].(string); c.OrganizationID() != "" && c.OrganizationID() != id && !strings.HasSuffix(c.Audience()[0], ":"+c.OrganizationID()) && len(c.Audience()) == 1 {
			t.Errorf("organization %q from %q", c.OrganizationID(), data)
		}
		if _, there := object["act"]; c.Actor() != "" && !there {
			t.Errorf("actor %q from %q", c.Actor(), data)
		}
		for _, scope := range c.Scopes() {
			if !c.HasScope(scope) {
				t.Errorf("scope %q from %q", scope, data)
			}
		}
		var m map[string]any
		_ = c.Decode(&m)
	})
}

func FuzzKeySet(f *testing.F) {
	recorded, err := os.ReadFile("testdata/jwks.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(recorded)
	for _, algorithm := range []string{"ES256", "ES512", "RS256"} {
		issuer := logtotest.New("")
		issuer.Rotate(algorithm)
		f.Add([]byte(issuer.KeySet()))
	}
	for _, seed := range []string{
		`{"keys":[]}`, `{"keys":null}`, `{"keys":[{"kty":"oct","k":"AA","kid":"a"},{"kty":"OKP","crv":"Ed25519","x":"AA","kid":"b"}]}`,
		`{"keys":[{"kty":"EC","crv":"P-256","kid":"a","x":"AA","y":"AA"}]}`, `{"keys":[{"kty":"RSA","kid":"a","n":"AA","e":"AQAB"}]}`, `[]`, `null`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		algorithms, keys, err := logto.ParseKeySet(data)
		if err != nil {
			return
		}
		if len(keys) == 0 || !json.Valid(data) {
			t.Errorf("%d keys from %q", len(keys), data)
		}
		for id, key := range keys {
			if id == "" || len(id) > logto.MaxKeyID || len(algorithms[id]) == 0 {
				t.Errorf("key %q for %v", id, algorithms[id])
			}
			switch key := key.(type) {
			case *ecdsa.PublicKey:
				if _, err := key.ECDH(); err != nil || !strings.HasPrefix(algorithms[id][0], "ES") {
					t.Errorf("key %q is not on its curve", id)
				}
			case *rsa.PublicKey:
				if key.N.BitLen() < 2048 || key.N.BitLen() > 8192 || key.E < 3 || key.E%2 == 0 {
					t.Errorf("key %q: %d bits, exponent %d", id, key.N.BitLen(), key.E)
				}
			}
		}
	})
}

func FuzzAuthorization(f *testing.F) {
	for _, seed := range []string{"Bearer a.b.c", "bearer  x", "Bearer", "Bearer ", "Basic x", "", "Bearer x,Bearer y", "Bearer\tx", "Bearer x y", "Bearer ===", "Bearer a==", "Bearer é", "Digest a=\"b\", c", "Basic a,bearer b"} {
		f.Add(seed, false)
	}
	f.Add("Bearer x", true)
	f.Fuzz(func(t *testing.T, line string, twice bool) {
		h := http.Header{"Authorization": {line}}
		if twice {
			h.Add("Authorization", line)
		}
		token, err := logto.BearerToken(&http.Request{Header: h})
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(context.Background(), "GET", "/", nil)
		if err != nil {
			logto.WriteError(w, r, err)
			if body, _ := io.ReadAll(w.Body); token != "" || w.Code != 400 && w.Code != 401 || bytes.Contains(body, []byte("%")) {
				t.Errorf("token %q, status %d", token, w.Code)
			}
			return
		}
		// Scheme, spaces, token68: and nothing else, nowhere.
		if len(line) < 8 || !strings.EqualFold(line[:7], "Bearer ") || twice || strings.TrimLeft(line[7:], " ") != token {
			t.Errorf("token %q from %q", token, line)
		}
		if strings.Trim(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/=") != "" || token == "" || strings.Contains(strings.TrimRight(token, "="), "=") {
			t.Errorf("token %q is no token68", token)
		}
	})
}
