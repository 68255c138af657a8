package logto_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/logtotest"
)

var ctx = context.Background()

func TestNewRefuses(t *testing.T) {
	aud := []string{"https://api.example.test"}
	for _, test := range []struct {
		name, says string
		cfg        logto.Config
	}{
		{"nothing", "needs an Endpoint", logto.Config{}},
		{"no endpoint", "needs an Endpoint", logto.Config{Audiences: aud}},
		{"only the key set", "needs an Endpoint", logto.Config{Audiences: aud, JWKSURL: "https://a.test/oidc/jwks"}},
		{"no audience", "needs Audiences", logto.Config{Endpoint: "https://a.test"}},
		{"empty audience", "Config.Audiences has an empty string", logto.Config{Endpoint: "https://a.test", Audiences: []string{""}}},
		{"empty issuer", "Config.Issuers has an empty string", logto.Config{Issuers: []string{""}, Audiences: aud}},
		{"empty client", "Config.ClientIDs has an empty string", logto.Config{Endpoint: "https://a.test", Audiences: aud, ClientIDs: []string{""}}},
		{"host alone", "Endpoint is no URL", logto.Config{Endpoint: "a.logto.app", Audiences: aud}},
		{"other scheme", "Endpoint is no URL", logto.Config{Endpoint: "ftp://a.test", Audiences: aud}},
		{"no host", "Endpoint is no URL", logto.Config{Endpoint: "https:///oidc", Audiences: aud}},
		{"broken", "Endpoint is no URL", logto.Config{Endpoint: "https://a.test:x%zz", Audiences: aud}},
		{"password", "has a user, a query or a fragment: leave", logto.Config{Endpoint: "https://u:secret@a.test", Audiences: aud}},
		{"query", "has a user, a query", logto.Config{Endpoint: "https://a.test?x=1", Audiences: aud}},
		{"empty query", "has a user, a query", logto.Config{Endpoint: "https://a.test?", Audiences: aud}},
		{"fragment", "has a user, a query or a fragment: leave", logto.Config{Endpoint: "https://a.test/#x", Audiences: aud}},
		{"http", "http to a.test", logto.Config{Endpoint: "http://a.test", Audiences: aud}},
		{"http to a private address", "http to 10.0.0.1", logto.Config{Endpoint: "http://10.0.0.1", Audiences: aud}},
		{"http to a name like loopback", "http to localhost.evil.test", logto.Config{Endpoint: "http://localhost.evil.test", Audiences: aud}},
		{"http to a name without a label below localhost", "http to .localhost", logto.Config{Endpoint: "http://.localhost", Audiences: aud}},
		{"http to short loopback", "http to 127.1", logto.Config{Endpoint: "http://127.1:3001", Audiences: aud}},
		{"http to all addresses", "write 127.0.0.1", logto.Config{Endpoint: "http://0.0.0.0:3001", Audiences: aud}},
		{"http to all addresses of IPv6", "write 127.0.0.1", logto.Config{Endpoint: "http://[::]:3001", Audiences: aud}},
		{"http to another address as IPv6", "http to [::ffff:10.0.0.1]", logto.Config{Endpoint: "http://[::ffff:10.0.0.1]", Audiences: aud}},
		{"console of the cloud", "the address of Logto's console", logto.Config{Endpoint: "https://cloud.logto.io/abc123/applications", Audiences: aud}},
		{"host that can't be", "no name that a host can have", logto.Config{Endpoint: "https://b\u00fccher\u3002example", Audiences: aud}},
		{"host that isn't normalized", "must be in its xn-- form", logto.Config{Endpoint: "https://bu\u0308cher.example", Audiences: aud}},
		{"host with a quotation mark", "no name that a host can have", logto.Config{Endpoint: `https://a".test`, Audiences: aud}},
		{"issuer's host in letters", "Issuers has \"https://bücher.example/oidc\": write its host as xn--bcher-kva.example", logto.Config{Issuers: []string{"https://b\u00fccher.example/oidc"}, Audiences: aud}},
		{"issuer's host, not normalized", "write its host as xn--…", logto.Config{Issuers: []string{"https://bu\u0308cher.example/oidc"}, Audiences: aud}},
		{"metadata's host in letters", "write its host as xn--bcher-kva.example", logto.Config{Endpoint: "https://a.test", Audiences: aud, ResourceMetadataURL: "https://b\u00fccher.example/x"}},
		{"issuer without a scheme", "which is no URL: Logto's issuer is its address with /oidc", logto.Config{Endpoint: "https://a.test", Issuers: []string{"a.test/oidc"}, Audiences: aud}},
		{"issuer with a password", "a user, a query or a fragment", logto.Config{Endpoint: "https://a.test", Issuers: []string{"https://u:secret@a.test/oidc"}, Audiences: aud}},
		{"issuer with a password and a quotation mark", "which is no URL", logto.Config{Endpoint: "https://a.test", Issuers: []string{`https://u:secret@a.test/"`}, Audiences: aud}},
		{"issuer with a query", "a user, a query or a fragment", logto.Config{Endpoint: "https://a.test", Issuers: []string{"https://a.test/oidc?secret"}, Audiences: aud}},
		{"key set for an issuer", "the issuer is https://a.test/oidc", logto.Config{Endpoint: "https://a.test", Issuers: []string{"https://a.test/oidc/jwks"}, Audiences: aud}},
		{"discovery for an issuer", "the issuer is https://a.test/oidc", logto.Config{Endpoint: "https://a.test", Issuers: []string{"https://a.test/oidc/.well-known/openid-configuration"}, Audiences: aud}},
		{"discovery for a key set", "JWKSURL is the address of the discovery document", logto.Config{Endpoint: "https://a.test", JWKSURL: "https://a.test/oidc/.well-known/openid-configuration", Audiences: aud}},
		{"key set with a password", "belongs into the Transport", logto.Config{Endpoint: "https://a.test", JWKSURL: "https://u:secret@a.test/oidc/jwks", Audiences: aud}},
		{"key set with a line end", "JWKSURL has white space around it", logto.Config{Endpoint: "https://a.test", JWKSURL: "https://a.test/oidc/jwks\n", Audiences: aud}},
		{"key set without a scheme", "write it as in https://tenant.logto.app/oidc/jwks", logto.Config{Endpoint: "https://a.test", JWKSURL: "a.test/oidc/jwks", Audiences: aud}},
		{"key set in a file", "a Transport that reads it", logto.Config{Endpoint: "https://a.test", JWKSURL: "file:///etc/jwks.json", Audiences: aud}},
		{"metadata without a scheme", "write it as in https://api.example.com/.well-known/oauth-protected-resource", logto.Config{Endpoint: "https://a.test", Audiences: aud, ResourceMetadataURL: "a.test/x"}},
		{"audiences in one string", "several values in one string", logto.Config{Endpoint: "https://a.test", Audiences: []string{"https://a.test,https://b.test"}}},
		{"issuers in one string", "several values in one string", logto.Config{Issuers: []string{"https://a.test/oidc https://b.test/oidc"}, Audiences: aud}},
		{"clients in one string", "several values in one string", logto.Config{Endpoint: "https://a.test", Audiences: aud, ClientIDs: []string{"https://a.test; https://b.test"}}},
		{"audience with a line end", "white space around", logto.Config{Endpoint: "https://a.test", Audiences: []string{"https://api.example.test\n"}}},
		{"http key set", "JWKSURL has http to logto:3001", logto.Config{Endpoint: "https://a.test", JWKSURL: "http://logto:3001/oidc/jwks", Audiences: aud}},
		{"key set of an http issuer", "it follows from Issuers[0]", logto.Config{Issuers: []string{"http://a.test/oidc"}, Audiences: aud}},
		{"issuer with a quotation mark", "which is no URL", logto.Config{Endpoint: "https://a.test", Issuers: []string{`https://a.test/"`}, Audiences: aud}},
		{"issuer with a line end", "which is no URL", logto.Config{Endpoint: "https://a.test", Issuers: []string{"https://a.test/\nx"}, Audiences: aud}},
		{"password in white space", "white space around", logto.Config{Issuers: []string{" https://u:secret@a.test/oidc"}, Audiences: aud}},
		{"leeway", "can't be over 10m0s", logto.Config{Endpoint: "https://a.test", Audiences: aud, Leeway: 10*time.Minute + 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			v, err := logto.New(test.cfg)
			if err == nil || v != nil {
				t.Fatal("no error")
			}
			if text := err.Error(); !strings.HasPrefix(text, "logto: ") || !strings.Contains(text, test.says) || strings.Contains(text, "secret") {
				t.Errorf("error %q, want %q", text, test.says)
			}
		})
	}
}

// One wrong configuration has one error, whatever else is wrong with it.
func TestNewRefusesInOrder(t *testing.T) {
	for range 50 {
		_, err := logto.New(logto.Config{Endpoint: "x", Audiences: []string{"a", ""}, Issuers: []string{""}, ClientIDs: []string{""}})
		if err == nil || !strings.Contains(err.Error(), "Config.Audiences") {
			t.Fatal(err)
		}
	}
}

// The issuer and key set that a configuration gives, seen from outside: which
// address is fetched, which token accepted.
func TestNewAccepts(t *testing.T) {
	for _, test := range []struct {
		name            string
		cfg             logto.Config
		issuer, jwksURL string
	}{
		{"plain", logto.Config{Endpoint: "https://a.test"}, "https://a.test/oidc", "https://a.test/oidc/jwks"},
		{"slash", logto.Config{Endpoint: "https://a.test/"}, "https://a.test/oidc", "https://a.test/oidc/jwks"},
		{"slashes, spaces", logto.Config{Endpoint: " https://a.test// "}, "https://a.test/oidc", "https://a.test/oidc/jwks"},
		{"issuer", logto.Config{Endpoint: "https://a.test/oidc"}, "https://a.test/oidc", "https://a.test/oidc/jwks"},
		{"issuer, slash", logto.Config{Endpoint: "https://a.test/oidc/"}, "https://a.test/oidc", "https://a.test/oidc/jwks"},
		{"key set", logto.Config{Endpoint: "https://a.test/oidc/jwks"}, "https://a.test/oidc", "https://a.test/oidc/jwks"},
		{"discovery", logto.Config{Endpoint: "https://a.test/oidc/.well-known/openid-configuration"}, "https://a.test/oidc", "https://a.test/oidc/jwks"},
		{"upper case, port", logto.Config{Endpoint: "HTTPS://A.Test:443"}, "https://a.test/oidc", "https://a.test/oidc/jwks"},
		{"loopback", logto.Config{Endpoint: "http://localhost:3001"}, "http://localhost:3001/oidc", "http://localhost:3001/oidc/jwks"},
		{"loopback by address", logto.Config{Endpoint: "http://[::1]:80"}, "http://[::1]/oidc", "http://[::1]/oidc/jwks"},
		{"below localhost", logto.Config{Endpoint: "http://logto.localhost:3001"}, "http://logto.localhost:3001/oidc", "http://logto.localhost:3001/oidc/jwks"},
		{"loopback with a zone", logto.Config{Endpoint: "http://[::1%25lo]:3001"}, "http://[::1%25lo]:3001/oidc", "http://[::1%25lo]:3001/oidc/jwks"},
		{"IPv4 loopback as IPv6", logto.Config{Endpoint: "http://[::ffff:127.0.0.1]:3001"}, "http://[::ffff:127.0.0.1]:3001/oidc", "http://[::ffff:127.0.0.1]:3001/oidc/jwks"},
		{"host in letters", logto.Config{Endpoint: "https://B\u00dccher.example:8443/"}, "https://xn--bcher-kva.example:8443/oidc", "https://xn--bcher-kva.example:8443/oidc/jwks"},
		{"host in letters, escaped", logto.Config{Endpoint: "https://b%C3%BCcher.example"}, "https://xn--bcher-kva.example/oidc", "https://xn--bcher-kva.example/oidc/jwks"},
		{"issuer with a slash", logto.Config{Issuers: []string{"https://a.test/oidc/"}}, "https://a.test/oidc/", "https://a.test/oidc/jwks"},
		{"tenant by path", logto.Config{Endpoint: "https://a.test/tenant/oidc"}, "https://a.test/tenant/oidc", "https://a.test/tenant/oidc/jwks"},
		{"http on purpose", logto.Config{Endpoint: "http://logto:3001", InsecureAllowHTTP: true}, "http://logto:3001/oidc", "http://logto:3001/oidc/jwks"},
		{"internal name", logto.Config{Endpoint: "https://a.test", JWKSURL: "http://127.0.0.1:3001/oidc/jwks?x=1"}, "https://a.test/oidc", "http://127.0.0.1:3001/oidc/jwks?x=1"},
		{"issuer alone", logto.Config{Issuers: []string{"https://a.test/oidc"}}, "https://a.test/oidc", "https://a.test/oidc/jwks"},
		{"four values", logto.Config{Issuers: []string{"http://a.test/x/"}, JWKSURL: "https://b.test/keys", ClientIDs: []string{logtotest.ClientID}}, "http://a.test/x/", "https://b.test/keys"},
		{"two issuers", logto.Config{Endpoint: "https://a.test", Issuers: []string{"https://b.test/oidc", "https://c.test/oidc"}}, "https://c.test/oidc", "https://a.test/oidc/jwks"},
		{"organizations only", logto.Config{Endpoint: "https://a.test", OrganizationTokens: true}, "https://a.test/oidc", "https://a.test/oidc/jwks"},
		{"most leeway", logto.Config{Endpoint: "https://a.test", Leeway: 10 * time.Minute}, "https://a.test/oidc", "https://a.test/oidc/jwks"},
	} {
		t.Run(test.name, func(t *testing.T) {
			issuer := logtotest.NewIssuer(t)
			cfg, fetched := test.cfg, ""
			cfg.HTTPClient = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				fetched = r.URL.String()
				r = r.Clone(r.Context())
				r.URL.Path = "/oidc/jwks"
				return issuer.Config().HTTPClient.Transport.RoundTrip(r)
			})}
			token := logtotest.Token{Claims: map[string]any{"iss": test.issuer}}
			if cfg.OrganizationTokens {
				token.Organization, token.OrganizationOnly = "o1", true
			} else {
				cfg.Audiences = []string{logtotest.Audience}
			}
			c, err := newVerifier(t, cfg).Verify(ctx, issuer.Token(token))
			if err != nil {
				t.Fatal(err)
			}
			if fetched != test.jwksURL || c.Issuer() != test.issuer {
				t.Errorf("fetched %s, issuer %s", fetched, c.Issuer())
			}
		})
	}
}

// An issuer is compared byte by byte; what Endpoint forgives, Issuers doesn't.
func TestExplicitIssuerIsExact(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	cfg := issuer.Config()
	cfg.Issuers = []string{issuer.Endpoint() + "/oidc/"}
	if _, err := newVerifier(t, cfg).Verify(ctx, issuer.Token(logtotest.Token{})); !errors.Is(err, logto.ErrInvalidToken) {
		t.Errorf("error %v, want ErrInvalidToken", err)
	}
}

// The caller may do with its slices what it likes.
func TestConfigIsCopied(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	cfg := issuer.Config()
	v := newVerifier(t, cfg)
	cfg.Audiences[0] = "https://evil.example.test"
	if _, err := v.Verify(ctx, issuer.Token(logtotest.Token{})); err != nil {
		t.Error(err)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestToken spoils one thing of a good token, so that one check alone refuses it.
// {} in want is the part that the error's text must have.
// It does so with tokens of Logto's size, and with large ones: their signature is checked
// first, and each other check all the same.
func TestToken(t *testing.T) {
	t.Run("small", func(t *testing.T) { testToken(t, "") })
	t.Run("large", func(t *testing.T) { testToken(t, strings.Repeat(" ", 2000)) })
}

// testToken puts end behind each payload.
func testToken(t *testing.T, end string) {
	issuer := logtotest.NewIssuer(t)
	cfg := issuer.Config()
	cfg.ClientIDs = []string{logtotest.ClientID}
	v := newVerifier(t, cfg)
	header, payload := goodHeader(issuer), goodPayload(issuer)
	// with replaces a member of a JSON object by text that stands for it.
	with := func(object, name, text string) string {
		var members map[string]json.RawMessage
		if err := json.Unmarshal([]byte(object), &members); err != nil {
			t.Fatal(err)
		}
		delete(members, name)
		b, _ := json.Marshal(members)
		if text == "" {
			return string(b)
		}
		return strings.TrimSuffix(string(b), "}") + "," + text + "}"
	}
	sign := func(header, payload string) string { return issuer.Sign(header, payload+end) }
	h := func(name, text string) string { return sign(with(header, name, text), payload) }
	p := func(name, text string) string { return sign(header, with(payload, name, text)) }
	deep := func(n int) string { return `"x":` + strings.Repeat("[", n) + strings.Repeat("]", n) }
	good := sign(header, payload)
	parts := strings.Split(good, ".")
	now := time.Now().Unix()
	num := func(name string, n int64) string { return p(name, fmt.Sprintf(`"%s":%d`, name, n)) }
	size := func(n int) string { // a good token of about n bytes
		return p("x", `"x":"`+strings.Repeat("x", (n-len(good))*3/4-6)+`"`)
	}
	exactly := func(n int) string {
		for i := n - 8; ; i++ {
			if token := size(i); len(token) >= n {
				return token
			}
		}
	}

	for _, test := range []struct{ name, token, want string }{
		{"good", good, ""},

		// Form.
		{"empty", "", "no access token"},
		{"opaque", issuer.OpaqueToken(), "opaque"},
		{"one part more", good + ".x", "three parts"},
		{"empty part more", good + ".", "three parts"},
		{"two parts", parts[0] + "." + parts[1], "three parts"},
		{"encrypted", good + ".x.y", "three parts"},
		{"no signature", parts[0] + "." + parts[1] + ".", "base64url"},
		{"no header", "." + parts[1] + "." + parts[2], "header is not"},
		{"no payload", parts[0] + ".." + parts[2], "base64url"},
		{"JSON serialization", `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`, "opaque"},
		{"padding", good + "=", "base64url"},
		{"line end in the signature", parts[0] + "." + parts[1] + "." + parts[2][:9] + "\n" + parts[2][9:], "base64url"},
		{"line end at the end", good + "\r\n", "base64url"},
		{"space", parts[0] + ". " + parts[1] + "." + parts[2], "base64url"},
		{"standard alphabet", parts[0] + "." + parts[1] + "." + parts[2][:9] + "+" + parts[2][10:], "base64url"},
		{"longest", exactly(logto.MaxToken), ""},
		{"too long", exactly(logto.MaxToken + 1), "16384 bytes"},

		// Header.
		{"header is no JSON", sign("x", payload), "header is not"},
		{"header is an array", sign("[]", payload), "header is not"},
		{"header is null", sign("null", payload), "header is not"},
		{"data after the header", sign(header+"{}", payload), "header is not"},
		{"header with a byte order mark", sign("\ufeff"+header, payload), "header is not"},
		{"header is not UTF-8", h("x", "\"x\":\"\xff\""), "header is not"},
		{"duplicate kid", sign(with(header, "", `"kid":"x"`), payload), "header is not unambiguous JSON: a name stands twice"},
		{"duplicate kid, escaped", sign(with(header, "", `"\u006bid":"x"`), payload), "header is not"},
		{"duplicate deep within", h("x", `"x":[{"a":1,"a":2}]`), "header is not unambiguous JSON: a name stands twice"},
		{"escaped name", h("kid", fmt.Sprintf(`"\u006bid":%q`, issuer.KeyID())), ""},
		{"white space", sign(" \t\r\n"+strings.ReplaceAll(header, ",", " \n,\t")+" ", payload), ""},
		{"longest header", h("x", `"x":"`+strings.Repeat("x", logto.MaxHeader*3/4-len(header)-7)+`"`), ""},
		{"header too long", h("x", `"x":"`+strings.Repeat("x", logto.MaxHeader*3/4-len(header)-6)+`"`), "512 characters"},
		{"white space first: tab", sign("\t"+header, payload), ""},
		{"white space first: line feed", sign("\n"+header, payload), ""},
		{"white space first: carriage return", sign("\r"+header, payload), ""},
		{"unknown member", h("x", `"x":{"a":[1,{"b":null}]}`), ""},
		{"x5t", h("x", `"x5t":"x"`), ""},
		{"crit", h("x", `"crit":["exp"]`), "crit is not allowed"},
		{"crit empty", h("x", `"crit":[]`), "crit is not allowed"},
		{"b64", h("x", `"b64":true`), "b64 is not allowed"},
		{"zip", h("x", `"zip":"DEF"`), "zip is not allowed"},
		{"jwk", h("x", `"jwk":{}`), "jwk is not allowed"},
		{"jku", h("x", `"jku":"https://evil.test"`), "jku is not allowed"},
		{"x5u", h("x", `"x5u":"https://evil.test"`), "x5u is not allowed"},
		{"x5c", h("x", `"x5c":[]`), "x5c is not allowed"},
		{"nested", h("x", `"cty":"JWT"`), "cty is not allowed"},
		{"nested, in full", h("x", `"cty":"application/jwt"`), "cty is not allowed"},
		{"cty null", h("x", `"cty":null`), "cty is 'null'"},
		{"cty of something else", h("x", `"cty":"json"`), ""},
		{"no typ", h("typ", ""), "ID token"},
		{"typ JWT", h("typ", `"typ":"JWT"`), "ID token"},
		{"typ of a logout token", h("typ", `"typ":"logout+jwt"`), "logout token"},
		{"typ of no string", h("typ", `"typ":["at+jwt"]`), "typ is"},
		{"typ with a space", h("typ", `"typ":"at+jwt "`), "want 'at+jwt'"},
		{"typ in upper case", h("typ", `"typ":"AT+JWT"`), ""},
		{"typ in full", h("typ", `"typ":"application/at+JWT"`), ""},
		{"TYP", h("typ", `"TYP":"at+jwt"`), "ID token"},
		{"no alg", h("alg", ""), "algorithm"},
		{"alg none", h("alg", `"alg":"none"`), "algorithm"},
		{"alg HS256", h("alg", `"alg":"HS256"`), "algorithm"},
		{"alg EdDSA", h("alg", `"alg":"EdDSA"`), "algorithm"},
		{"alg ES256K", h("alg", `"alg":"ES256K"`), "algorithm"},
		{"alg in lower case", h("alg", `"alg":"es384"`), "algorithm"},
		{"alg of no string", h("alg", `"alg":["ES384"]`), "alg is"},
		{"alg of another key", h("alg", `"alg":"ES256"`), "its key"},
		{"alg of another kind of key", h("alg", `"alg":"RS256"`), "its key"},
		{"no kid", h("kid", ""), "no usable kid"},
		{"empty kid", h("kid", `"kid":""`), "no usable kid"},
		{"kid of no string", h("kid", `"kid":1`), "kid is"},
		{"long kid", h("kid", `"kid":"`+strings.Repeat("k", logto.MaxKeyID+1)+`"`), "no usable kid"},
		{"longest kid", h("kid", `"kid":"`+strings.Repeat("k", logto.MaxKeyID)+`"`), "no key"},
		{"unknown kid", h("kid", `"kid":"x"`), "no key"},
		{"KID", h("kid", fmt.Sprintf(`"KID":%q`, issuer.KeyID())), "no usable kid"},

		// Payload.
		{"payload is no JSON", sign(header, "x"), "payload is not"},
		{"payload is a string", sign(header, `"x"`), "payload is not"},
		{"payload is an array", sign(header, "["+payload+"]"), "payload is not"},
		{"payload is a token", sign(header, good), "payload is not"},
		{"data after the payload", sign(header, payload+"x"), "payload is not"},
		{"payload is not UTF-8", p("x", "\"x\":\"\xc3\x28\""), "payload is not"},
		{"payload is cut", sign(header, payload[:len(payload)-1]), "payload is not"},
		{"trailing comma", sign(header, payload[:len(payload)-1]+",}"), "payload is not"},
		{"duplicate sub", sign(header, with(payload, "", `"sub":"admin"`)), "payload is not unambiguous JSON: a name stands twice"},
		{"duplicate sub, escaped", sign(header, with(payload, "", `"s\u0075b":"admin"`)), "payload is not"},
		{"duplicate custom claim", sign(header, with(payload, "", `"x":1,"x":1`)), "payload is not"},
		{"duplicate in act", p("x", `"act":{"sub":"a","sub":"b"}`), "payload is not unambiguous JSON: a name stands twice"},
		{"duplicate of many", p("x", `"x":{`+manyMembers(100)+`,"m7":1}`), "payload is not"},
		{"half a surrogate in a name", p("x", `"\ud800":1`), "payload is not"},
		{"many members", p("x", `"x":{`+manyMembers(100)+`}`), ""},
		{"deepest", p("x", deep(logto.MaxDepth-1)), ""},
		{"too deep", p("x", deep(logto.MaxDepth)), "payload is not read: its JSON is nested over 64 levels deep"},
		{"much too deep", p("x", deep(4000)), "payload is not read: its JSON is nested over 64 levels deep"},
		{"header too deep", h("x", deep(logto.MaxDepth)), "header is not read: its JSON is nested over 64 levels deep"},
		{"huge number", p("x", `"x":`+strings.Repeat("9", 5000)+`,"y":1e400,"z":-1.5e-3`), ""},
		{"all kinds of values", p("x", `"x":[true,false,null,"\ud83d\ude00\n\\\"",{},[],0,-1.5E+2,{"a":{"b":[]}}]`), ""},

		{"no iss", p("iss", ""), "iss is missing"},
		{"iss is null", p("iss", `"iss":null`), "iss is '"},
		{"iss is an array", p("iss", `"iss":["`+issuer.Endpoint()+`/oidc"]`), "iss is '"},
		{"empty iss", p("iss", `"iss":""`), "iss is"},
		{"other iss", p("iss", `"iss":"https://evil.test/oidc"`), "issuer"},
		{"iss with a slash", p("iss", `"iss":"`+issuer.Endpoint()+`/oidc/"`), "differ by a slash"},
		{"ISS", p("iss", `"ISS":"`+issuer.Endpoint()+`/oidc"`), "iss is missing"},
		{"no sub", p("sub", ""), "sub is missing"},
		{"empty sub", p("sub", `"sub":""`), "sub is"},
		{"sub is a number", p("sub", `"sub":1`), "sub is '"},
		{"sub is null", p("sub", `"sub":null`), "sub is '"},
		{"sub with half a surrogate", p("sub", `"sub":"\udc00"`), "sub is '"},
		{"sub with two halves the wrong way", p("sub", `"sub":"\ude00\ud83d"`), "sub is '"},
		{"SUB", p("sub", `"SUB":"user"`), "sub is missing"},
		{"SUB beside sub", p("x", `"SUB":"admin"`), ""},
		{"no client_id", p("client_id", ""), "client_id is missing"},
		{"empty client_id", p("client_id", `"client_id":""`), "client_id is"},
		{"client_id is an array", p("client_id", `"client_id":["test-app"]`), "client_id is '"},
		{"other client_id", p("client_id", `"client_id":"test-app2"`), "client"},
		{"no aud", p("aud", ""), "aud is missing"},
		{"aud is null", p("aud", `"aud":null`), "aud is '"},
		{"aud is an object", p("aud", `"aud":{}`), "aud is '"},
		{"aud of many", p("aud", `"aud":["`+logtotest.Audience+`"`+strings.Repeat(`,"x"`, 63)+`]`), ""},
		{"aud of too many", p("aud", `"aud":["`+logtotest.Audience+`"`+strings.Repeat(`,"x"`, 64)+`]`), "aud is '"},
		{"aud is empty", p("aud", `"aud":[]`), "audience"},
		{"aud is an empty string", p("aud", `"aud":""`), "audience"},
		{"aud with a number", p("aud", `"aud":["`+logtotest.Audience+`",1]`), "aud is '"},
		{"aud in an array in an array", p("aud", `"aud":[["`+logtotest.Audience+`"]]`), "aud is '"},
		{"other aud", p("aud", `"aud":"https://other.test"`), "audience"},
		{"aud in upper case", p("aud", `"aud":"`+strings.ToUpper(logtotest.Audience)+`"`), "audience"},
		{"longer aud", p("aud", `"aud":"`+logtotest.Audience+`/v2"`), "audience"},
		{"two aud in a string", p("aud", `"aud":"x `+logtotest.Audience+`"`), "audience"},
		{"AUD ours", p("aud", `"aud":"x","AUD":"`+logtotest.Audience+`"`), "audience"},
		{"organization token", p("aud", `"aud":"urn:logto:organization:o1"`), "OrganizationTokens"},
		{"Management API", p("aud", `"aud":"https://t.logto.app/api"`), "Management API"},
		{"aud among others", p("aud", `"aud":["x","`+logtotest.Audience+`"]`), ""},
		{"no exp", p("exp", ""), "exp is missing"},
		{"exp is a string", p("exp", fmt.Sprintf(`"exp":"%d"`, now+60)), "exp is '"},
		{"exp is null", p("exp", `"exp":null`), "exp is '"},
		{"exp is negative", p("exp", `"exp":-1`), "exp is '"},
		{"exp is minus zero", p("exp", `"exp":-0`), "exp is '"},
		{"exp is infinite", p("exp", `"exp":1e400`), "exp is '"},
		{"exp is zero", p("exp", `"exp":0`), "expired"},
		{"exp in the year 10000", num("exp", 253402300800), "exp is '"},
		{"exp in the year 10000, float", p("exp", `"exp":2.534023008e11`), "exp is '"},
		{"exp overflows", p("exp", `"exp":9223372036854775808`), "exp is '"},
		{"exp in milliseconds", num("exp", (now+60)*1000), "exp is '"},
		{"exp in the year 9999", num("exp", 253402300799), ""},
		{"exp with a fraction", p("exp", fmt.Sprintf(`"exp":%d.75`, now+60)), ""},
		{"exp with an exponent", p("exp", fmt.Sprintf(`"exp":%d.0e0`, now+60)), ""},
		{"EXP", p("exp", fmt.Sprintf(`"EXP":%d`, now+60)), "exp is missing"},
		{"no iat", p("iat", ""), "iat is missing"},
		{"iat is a string", p("iat", fmt.Sprintf(`"iat":"%d"`, now)), "iat is '"},
		{"iat is true", p("iat", `"iat":true`), "iat is '"},
		{"iat in the future", num("iat", now+3600), "clocks differ"},
		{"iat is zero", num("iat", 0), ""},
		{"nbf is a string", p("nbf", fmt.Sprintf(`"nbf":"%d"`, now)), "nbf is '"},
		{"nbf is null", p("nbf", `"nbf":null`), "nbf is 'null': want a number of seconds"},
		{"nbf in the future", num("nbf", now+3600), "not valid before"},
		{"nbf in the past", num("nbf", now-5), ""},
		{"scope is an array", p("scope", `"scope":["read"]`), "scope is '"},
		{"scope is null", p("scope", `"scope":null`), "scope is '"},
		{"no scope", p("scope", ""), ""},
		{"jti is a number", p("jti", `"jti":1`), "jti is '"},
		{"no jti", p("jti", ""), ""},
		{"cnf", p("x", `"cnf":{"jkt":"x"}`), "bound to a key"},
		{"cnf null", p("x", `"cnf":null`), "bound to a key"},
		{"organization_id is an object", p("x", `"organization_id":{}`), ""},

		// Signature.
		{"bad signature", logtotest.BadSignature(good), "signature"},
		{"signature of zeros", parts[0] + "." + parts[1] + "." + b64(make([]byte, 96)), "signature"},
		{"short signature", parts[0] + "." + parts[1] + "." + parts[2][:124], "signature"},
		{"long signature", good + "AAAA", "signature"},
		{"signature of another payload", parts[0] + "." + strings.Split(p("sub", `"sub":"admin"`), ".")[1] + "." + parts[2], "signature"},
		{"payload of another header", strings.Split(h("x", `"x":1`), ".")[0] + "." + parts[1] + "." + parts[2], "signature"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := v.Verify(ctx, test.token)
			if test.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil || c != nil {
				t.Fatal("accepted")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %q, want %q in it", err, test.want)
			}
			if test.token != "" && !errors.Is(err, logto.ErrInvalidToken) {
				t.Errorf("error %v is no ErrInvalidToken", err)
			}
			if len(err.Error()) > 1000 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
		})
	}
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func manyMembers(n int) string {
	var members []string
	for i := range n {
		members = append(members, fmt.Sprintf(`"m%d":%d`, i, i))
	}
	return strings.Join(members, ",")
}

// Times are checked with the leeway on both sides, to the nanosecond.
func TestTimes(t *testing.T) {
	const at = 1_000_000_000
	for _, test := range []struct {
		name   string
		leeway time.Duration
		claim  string
		valid  [2]time.Duration // from and until, from at on; 0 = always
	}{
		{"exp", 0, fmt.Sprintf(`"exp":%d`, at), [2]time.Duration{-100 * time.Second, 30 * time.Second}},
		{"exp, no leeway", -1, fmt.Sprintf(`"exp":%d`, at), [2]time.Duration{-100 * time.Second, 0}},
		{"exp, some leeway", 7 * time.Second, fmt.Sprintf(`"exp":%d`, at), [2]time.Duration{-100 * time.Second, 7 * time.Second}},
		{"exp with a fraction", -1, fmt.Sprintf(`"exp":%d.5`, at), [2]time.Duration{-100 * time.Second, 500 * time.Millisecond}},
		{"nbf", 0, fmt.Sprintf(`"nbf":%d`, at), [2]time.Duration{-30 * time.Second, 100 * time.Second}},
		{"nbf, no leeway", -1, fmt.Sprintf(`"nbf":%d`, at), [2]time.Duration{0, 100 * time.Second}},
		{"iat", 0, fmt.Sprintf(`"iat":%d`, at), [2]time.Duration{-30 * time.Second, 100 * time.Second}},
		{"iat, no leeway", -1, fmt.Sprintf(`"iat":%d`, at), [2]time.Duration{0, 100 * time.Second}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				issuer := logtotest.NewIssuer(t)
				cfg := issuer.Config()
				cfg.Leeway = test.leeway
				cfg.Logger = capture
				v := newVerifier(t, cfg)
				time.Sleep(time.Until(time.Unix(at, 0).Add(-200 * time.Second)))
				members := map[string]string{"iat": `"iat":0`, "exp": fmt.Sprintf(`"exp":%d`, at+86400)}
				members[test.claim[1:4]] = test.claim
				payload := fmt.Sprintf(`{"iss":"%s/oidc","sub":"u","client_id":"a","aud":%q`, issuer.Endpoint(), logtotest.Audience)
				for _, member := range members {
					payload += "," + member
				}
				token := issuer.Sign(goodHeader(issuer), payload+"}")
				check := func(from time.Duration, want bool) {
					t.Helper()
					time.Sleep(time.Until(time.Unix(at, 0).Add(from)))
					_, err := v.Verify(ctx, token)
					if (err == nil) != want {
						t.Errorf("at %v: error %v, want accepted %v", from, err, want)
					}
					if isExpired := errors.Is(err, logto.ErrExpired); isExpired != (err != nil && test.claim[1:4] == "exp") {
						t.Errorf("at %v: ErrExpired is %v", from, isExpired)
					}
				}
				if test.claim[1:4] == "exp" {
					check(test.valid[0], true)
					check(test.valid[1]-1, true)
					check(test.valid[1], false)
				} else {
					check(test.valid[0]-1, false)
					check(test.valid[0], true)
					check(test.valid[1], true)
				}
			})
		})
	}
}

func TestAlgorithms(t *testing.T) {
	for _, algorithm := range []string{"ES384", "ES256", "ES512", "RS256", "PS256"} {
		t.Run(algorithm, func(t *testing.T) {
			issuer := logtotest.NewIssuer(t)
			issuer.Rotate(algorithm)
			v := newVerifier(t, issuer.Config())
			token := issuer.Token(logtotest.Token{User: "alice"})
			c, err := v.Verify(ctx, token)
			if err != nil || c.Subject() != "alice" {
				t.Fatalf("claims %v, error %v", c, err)
			}
			if _, err := v.Verify(ctx, logtotest.BadSignature(token)); !errors.Is(err, logto.ErrInvalidToken) {
				t.Errorf("bad signature: error %v", err)
			}
			for _, other := range []string{"ES384", "ES256", "ES512", "RS256", "PS256"} {
				if other != algorithm {
					token := issuer.Token(logtotest.Token{Header: map[string]any{"alg": other}})
					if _, err := v.Verify(ctx, token); !errors.Is(err, logto.ErrInvalidToken) {
						t.Errorf("signed with %s, alg %s: error %v", algorithm, other, err)
					}
				}
			}
		})
	}
}

func TestClaims(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	cfg := issuer.Config()
	cfg.OrganizationTokens = true
	v := newVerifier(t, cfg)
	verify := func(token string) *logto.Claims {
		t.Helper()
		c, err := v.Verify(ctx, token)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := verify(issuer.Sign(goodHeader(issuer), `{"iss":"`+issuer.Endpoint()+`/oidc","sub":"\u0061lice\ud83d\ude00","client_id":"app","aud":["x","`+logtotest.Audience+
		`"],"scope":"  read  write ","jti":"j1","iat":10,"exp":99999999999,"act":{"sub":"bob"},"plan":"pro"}`))
	for _, test := range []struct {
		name      string
		got, want any
	}{
		{"Issuer", c.Issuer(), issuer.Endpoint() + "/oidc"},
		{"Subject", c.Subject(), "alice😀"},
		{"UserID", c.UserID(), "alice😀"},
		{"ClientID", c.ClientID(), "app"},
		{"Audience", c.Audience(), []string{"x", logtotest.Audience}},
		{"Audience of one", verify(issuer.Token(logtotest.Token{})).Audience(), []string{logtotest.Audience}},
		{"Scopes", c.Scopes(), []string{"read", "write"}},
		{"HasScope", c.HasScope("write"), true},
		{"HasScope, none", c.HasScope(""), false},
		{"HasScope, part", c.HasScope("writ"), false},
		{"HasScope, two", c.HasScope("read write"), false},
		{"no Scopes", verify(issuer.Token(logtotest.Token{Machine: true})).Scopes(), []string{}},
		{"TokenID", c.TokenID(), "j1"},
		{"IssuedAt", c.IssuedAt().Unix(), int64(10)},
		{"ExpiresAt", c.ExpiresAt().Unix(), int64(99999999999)},
		{"Actor", c.Actor(), "bob"},
		{"no Actor", verify(issuer.Token(logtotest.Token{})).Actor(), ""},
		{"Actor null", verify(rawClaim(issuer, `"act":null`)).Actor(), ""},
		{"Actor is a number", verify(rawClaim(issuer, `"act":42`)).Actor(), "42"},
		{"Actor without sub", verify(rawClaim(issuer, `"act":{"iss":"x"}`)).Actor(), `{"iss":"x"}`},
		{"Actor with an empty sub", verify(rawClaim(issuer, `"act":{"sub":""}`)).Actor(), `{"sub":""}`},
		{"IsMachine", c.IsMachine(), false},
		{"machine", verify(issuer.Token(logtotest.Token{Machine: true})).IsMachine(), true},
		{"machine's UserID", verify(issuer.Token(logtotest.Token{Machine: true})).UserID(), ""},
		{"machine's Subject", verify(issuer.Token(logtotest.Token{Machine: true})).Subject(), "machine"},
		{"no organization", c.OrganizationID(), ""},
		{"organization", verify(issuer.Token(logtotest.Token{Organization: "o1"})).OrganizationID(), "o1"},
		{"organization by audience", verify(issuer.Token(logtotest.Token{Organization: "o1", OrganizationOnly: true})).OrganizationID(), "o1"},
		{"organization twice", verify(issuer.Token(logtotest.Token{Organization: "o1", OrganizationOnly: true, Claims: map[string]any{"organization_id": "o1"}})).OrganizationID(), "o1"},
		{"two organizations", verify(issuer.Token(logtotest.Token{Organization: "o1", OrganizationOnly: true, Claims: map[string]any{"organization_id": "o2"}})).OrganizationID(), ""},
		{"organization of another type", verify(rawClaim(issuer, `"organization_id":["o1"]`)).OrganizationID(), ""},
	} {
		if !reflect.DeepEqual(test.got, test.want) {
			t.Errorf("%s: %v, want %v", test.name, test.got, test.want)
		}
	}

	// The zero value, which only a test can have.
	var zero logto.Claims
	if zero.Audience() != nil || zero.Scopes() == nil || zero.HasScope("x") || zero.UserID() != "" || zero.Decode(&struct{}{}) == nil {
		t.Error("the zero value")
	}

	// Claims don't change, whatever is done with what they give.
	c.Scopes()[0], c.Audience()[0] = "admin", "evil"
	if c.HasScope("admin") || c.Audience()[0] != "x" {
		t.Error("claims were changed")
	}

	var custom struct{ Plan string }
	if err := c.Decode(&custom); err != nil || custom.Plan != "pro" {
		t.Errorf("Decode: %+v, %v", custom, err)
	}
	var wrong struct{ Plan int }
	var typeErr *json.UnmarshalTypeError
	if err := c.Decode(&wrong); !errors.As(err, &typeErr) {
		t.Errorf("Decode into the wrong type: %v", err)
	}
}

// Whom a scope in a token gives authority over: nobody but those of the organization that
// the token is bound to, and everybody only if it is bound to none.
func TestHasScope(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	cfg := issuer.Config()
	cfg.OrganizationTokens = true
	v := newVerifier(t, cfg)
	type tk = logtotest.Token
	admin := []string{"admin"}
	for _, test := range []struct {
		name, token string
		global      bool
		in          string // the only organization in which it is an admin's
	}{
		{"global", issuer.Token(tk{Scopes: admin}), true, ""},
		{"machine's", issuer.Token(tk{Scopes: admin, Machine: true}), true, ""},
		{"in an organization", issuer.Token(tk{Scopes: admin, Organization: "o1"}), false, "o1"},
		{"in an organization, by audience", issuer.Token(tk{Scopes: admin, Organization: "o1", OrganizationOnly: true}), false, "o1"},
		{"without scopes", issuer.Token(tk{}), false, ""},
		{"without scopes in an organization", issuer.Token(tk{Organization: "o1"}), false, ""},
		{"in two organizations", issuer.Token(tk{Scopes: admin, Organization: "o1", OrganizationOnly: true, Claims: map[string]any{"organization_id": "o2"}}), false, ""},
		{"organization is a number", issuer.Token(tk{Scopes: admin, Claims: map[string]any{"organization_id": 42}}), false, ""},
		{"organization is empty", issuer.Token(tk{Scopes: admin, Claims: map[string]any{"organization_id": ""}}), false, ""},
		{"organization is null", issuer.Sign(goodHeader(issuer), strings.Replace(strings.TrimSuffix(goodPayload(issuer), "}")+`,"organization_id":null}`, `"read"`, `"admin"`, 1)), false, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := v.Verify(ctx, test.token)
			if err != nil {
				t.Fatal(err)
			}
			if got := c.HasScope("admin"); got != test.global {
				t.Errorf("HasScope: %v", got)
			}
			for _, organization := range []string{"", "o1", "o2", "42", "null"} {
				if got, want := c.HasScopeIn(organization, "admin"), organization != "" && organization == test.in; got != want {
					t.Errorf("HasScopeIn %q: %v", organization, got)
				}
				if c.HasScopeIn(organization, "") || c.HasScopeIn(organization, "read") || c.HasScopeIn("admin", organization) {
					t.Errorf("HasScopeIn %q of another scope", organization)
				}
			}
		})
	}
}

// A custom claim is never taken for another claim, and names that nobody looks at harm
// nobody.
func TestDecode(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	v := newVerifier(t, issuer.Config())
	claims := func(members string) *logto.Claims {
		t.Helper()
		c, err := v.Verify(ctx, rawClaim(issuer, members))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	type subject struct {
		Sub string `json:"sub"`
	}
	t.Run("names that nobody looks at", func(t *testing.T) {
		c := claims(`"projects":{"aB3":1,"ab3":2},"x":[{"ſ":1,"s":2}],"Y":1,"y":2,"SUB":3`)
		var projects struct{ Projects map[string]int }
		var all map[string]any
		var sub subject
		if err := c.Decode(&all); err != nil || all["SUB"] != 3.0 || all["sub"] != "user" || len(all["projects"].(map[string]any)) != 2 {
			t.Errorf("map: %v, %v", all, err)
		}
		if err := c.Decode(&projects); err != nil || projects.Projects["aB3"] != 1 || projects.Projects["ab3"] != 2 {
			t.Errorf("projects: %v, %v", projects, err)
		}
		if err := c.Decode(&sub); err != nil || sub.Sub != "user" {
			t.Errorf("struct: %v, %v", sub, err)
		}
	})
	t.Run("claims in another case", func(t *testing.T) {
		// Those that parseClaims reads, the ones that are absent here too.
		type registered struct {
			Iss, Sub, Client_id, Aud, Scope, Jti, Exp, Iat, Nbf, Organization_id, Act, Cnf any
		}
		var want, got registered
		if err := claims(`"x":1`).Decode(&want); err != nil || want.Sub != "user" || want.Scope != "read" || want.Exp == nil {
			t.Fatalf("%+v, %v", want, err)
		}
		var names []string
		for _, name := range reflect.VisibleFields(reflect.TypeFor[registered]()) {
			names = append(names, fmt.Sprintf("%q:1,%q:2", name.Name, strings.ToUpper(name.Name)))
		}
		if err := claims(strings.Join(names, ",")).Decode(&got); err != nil {
			t.Fatal(err)
		}
		got.Iat, got.Exp = want.Iat, want.Exp
		if got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	})
	t.Run("two for one field", func(t *testing.T) {
		var plan struct{ Plan string }
		if err := claims(`"plan":"free","PLAN":"pro"`).Decode(&plan); err == nil || !strings.Contains(err.Error(), "'PLAN'") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("numbers", func(t *testing.T) {
		var n struct {
			Int  int64
			Num  json.Number
			Raw  json.RawMessage
			Uint uint64
		}
		err := claims(`"int":-9007199254740993,"num":12345678901234567890.123,"raw":1e400,"uint":18446744073709551615`).Decode(&n)
		if err != nil || n.Int != -9007199254740993 || n.Num != "12345678901234567890.123" || string(n.Raw) != "1e400" || n.Uint != 18446744073709551615 {
			t.Errorf("%+v, %v", n, err)
		}
	})
	t.Run("as it was signed", func(t *testing.T) {
		c := claims(`"x" : [1.0, "\u0061"]`)
		var raw json.RawMessage
		if err := c.Decode(&raw); err != nil || !strings.Contains(string(raw), `"x" : [1.0, "\u0061"]`) {
			t.Errorf("%s, %v", raw, err)
		}
	})
	t.Run("bytes that a type keeps", func(t *testing.T) {
		c := claims(`"x":"y"`)
		var mine keeper
		if err := c.Decode(&mine); err != nil {
			t.Fatal(err)
		}
		for i := range mine.kept {
			mine.kept[i] = 'X'
		}
		var sub subject
		if err := c.Decode(&sub); err != nil || sub.Sub != "user" {
			t.Errorf("another request: %v, %v", sub, err)
		}
	})
}

// keeper keeps the bytes that it is given.
type keeper struct{ kept []byte }

func (k *keeper) UnmarshalJSON(data []byte) error { k.kept = data; return nil }

// Nothing prints what is in a token beyond its IDs and times.
func TestClaimsInLogs(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	v := newVerifier(t, issuer.Config())
	verify := func(member string) *logto.Claims {
		t.Helper()
		c, err := v.Verify(ctx, issuer.Sign(goodHeader(issuer), strings.TrimSuffix(strings.Replace(goodPayload(issuer), `"read"`, `"alice@example.test"`, 1), "}")+`,"email":"alice@example.test"`+member+`}`))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	secrets := func(t *testing.T, printed string) {
		t.Helper()
		for _, secret := range []string{
			"alice@example.test", "97 108 105 99 101", "616c696365", "61 6c 69 63 65", "616C696365", "0x61, 0x6c, 0x69", "YWxpY2",
		} {
			if strings.Contains(printed, secret) {
				t.Errorf("prints %s:\n%s", secret, printed)
			}
		}
	}
	c := verify(`,"organization_id":"o1","act":{"sub":"bob"}`)
	text := fmt.Sprintf("sub='user' client_id='test-app' organization_id='o1' act='bob' jti='j' iat=%s exp=%s",
		c.IssuedAt().UTC().Format(time.RFC3339), c.ExpiresAt().UTC().Format(time.RFC3339))
	if got := c.String(); got != text {
		t.Errorf("String: %s, want %s", got, text)
	}
	hidden := struct{ c logto.Claims }{*c} // fmt calls no methods of what it holds
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X", "% x", "%o", "%t", "%9v"} {
		for _, value := range []any{c, *c, []*logto.Claims{c}, struct{ C *logto.Claims }{c}, struct{ C logto.Claims }{*c}, map[string]any{"c": *c}} {
			got := fmt.Sprintf(verb, value)
			secrets(t, got)
			if !strings.Contains(got, text) {
				t.Errorf("%s of %T: %s", verb, value, got)
			}
		}
		// Scopes are no custom claims, but the e-mail address is one.
		if got := fmt.Sprintf(verb, hidden); strings.Count(got, "alice@example.test") > 1 || strings.Contains(got, "email") {
			t.Errorf("%s of an unexported field: %s", verb, got)
		}
	}
	for name, handler := range map[string]func(*logBuffer) slog.Handler{
		"text": func(b *logBuffer) slog.Handler { return slog.NewTextHandler(b, nil) },
		"JSON": func(b *logBuffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
	} {
		for _, value := range []any{c, *c, struct{ C *logto.Claims }{c}, (*logto.Claims)(nil), logto.Claims{}} {
			b := &logBuffer{}
			slog.New(handler(b)).Info("x", "claims", value)
			secrets(t, b.String())
			if value == any(c) && (!strings.Contains(b.String(), "o1") || !strings.Contains(b.String(), "bob")) || strings.Contains(b.String(), "panic") {
				t.Errorf("slog, %s: %s", name, b)
			}
		}
	}
	for name, test := range map[string]struct{ member, want, not string }{
		"unknown organization": {`,"organization_id":{"name":"o7"}`, "organization_id='(unknown)'", "o7"},
		"act of another type":  {`,"act":{"name":"o7"}`, "act='(unknown)'", "o7"},
		"no act":               {`,"act":null`, "sub='user'", "act"},
		"line end":             {`,"act":{"sub":"b\nlevel=ERROR"}`, `act='b\nlevel=ERROR'`, "\n"},
		"long":                 {`,"act":{"sub":"` + strings.Repeat("é", 5000) + `"}`, "act='", strings.Repeat(`\u00e9`, 200)},
	} {
		if got := verify(test.member).String(); !strings.Contains(got, test.want) || strings.Contains(got, test.not) {
			t.Errorf("%s: %s", name, got)
		}
	}
	b := &logBuffer{}
	slog.New(slog.NewTextHandler(b, nil)).Info("x", "claims", verify(`,"act":{"sub":"`+strings.Repeat("é", 5000)+`"}`))
	if len(b.String()) > 2000 {
		t.Errorf("slog writes %d bytes", len(b.String()))
	}

	if got := fmt.Sprint((*logto.Claims)(nil)); got != "<nil>" {
		t.Errorf("nil: %s", got)
	}
	if got := (*logto.Claims)(nil).String() + (*logto.Claims)(nil).LogValue().String(); got != "<nil><nil>" {
		t.Errorf("nil: %s", got)
	}
	if got := fmt.Sprint(logto.Claims{}); !strings.HasPrefix(got, "sub=''") {
		t.Errorf("the zero value: %s", got)
	}
}

// Claims don't become JSON, nor are made of it, unnoticed.
func TestClaimsAreNoJSON(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	c, err := newVerifier(t, issuer.Config()).Verify(ctx, issuer.Token(logtotest.Token{}))
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range []any{c, *c, struct{ C *logto.Claims }{c}, []logto.Claims{*c}} {
		if got, err := json.Marshal(value); err == nil || !strings.Contains(err.Error(), "Decode") {
			t.Errorf("%T: %s, %v", value, got, err)
		}
	}
	for _, text := range []string{`{"sub":"admin"}`, `{}`, `null`, `"x"`} {
		var made logto.Claims
		if err := json.Unmarshal([]byte(text), &made); err == nil || !strings.Contains(err.Error(), "Verifier") && !strings.Contains(err.Error(), "verify") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestContextFunctions(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	type custom struct {
		Plan string `json:"plan"`
	}
	if _, err := logto.ClaimsAs[custom](ctx); !errors.Is(err, logto.ErrNoToken) {
		t.Errorf("ClaimsAs of nobody: %v", err)
	}
	// Whose mistake it is shows in the text.
	if _, err := logto.ClaimsAs[custom](ctx); !strings.Contains(err.Error(), "behind Require") {
		t.Errorf("ClaimsAs without Require: %v", err)
	}
	serve(logto.Optional(newVerifier(t, issuer.Config()))(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if _, err := logto.ClaimsAs[custom](r.Context()); err != logto.ErrNoToken {
			t.Errorf("ClaimsAs of somebody anonymous: %v", err)
		}
	})), "")
	if c, ok := logto.FromContext(ctx); ok || c != nil || logto.UserID(ctx) != "" || logto.OrganizationID(ctx) != "" {
		t.Error("claims of nobody")
	}
	user := issuer.Context(ctx, logtotest.Token{User: "alice", Organization: "o1", Claims: map[string]any{"plan": "pro"}})
	if c, err := logto.ClaimsAs[custom](user); err != nil || c.Plan != "pro" {
		t.Errorf("ClaimsAs: %+v, %v", c, err)
	}
	if _, err := logto.ClaimsAs[[]int](user); err == nil {
		t.Error("ClaimsAs of the wrong type: no error")
	}
	if id := logto.UserID(user); id != "alice" {
		t.Errorf("UserID %q", id)
	}
	if id := logto.OrganizationID(user); id != "o1" {
		t.Errorf("OrganizationID %q", id)
	}
}

// TestRecorded sends what a real Logto issued through the middleware, at the
// time when it was valid and after it had expired.
func TestRecorded(t *testing.T) {
	keySet, err := os.ReadFile("testdata/jwks.json")
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile("testdata/tokens.json")
	if err != nil {
		t.Fatal(err)
	}
	var tokens map[string]struct{ Token string }
	if err := json.Unmarshal(file, &tokens); err != nil {
		t.Fatal(err)
	}
	const user, app, machine, org = "2bq3clb3mulj", "hb36r57mmvz4l4tk8oes2", "ygtdkqag8kv17rrqf5v74", "edgp369yvir8"
	for _, test := range []struct {
		name                          string
		status                        int
		user, client, scope, org, act string
	}{
		{"es384/id-token", 401, "", "", "", "", ""},
		{"es384/opaque", 401, "", "", "", "", ""},
		{"es384/user-api", 200, user, app, "read:things write:things", "", ""},
		{"es384/user-api-norole", 200, "cyn37ud8at6x", app, "", "", ""},
		{"es384/org-token", 200, user, app, "read:org manage:org", org, ""},
		{"es384/org-api-token", 200, user, app, "read:things write:things", org, ""},
		{"es384/m2m-api", 200, "", machine, "read:things write:things", "", ""},
		{"es384/m2m-api-noscope", 200, "", machine, "", "", ""},
		{"es384/m2m-org", 200, "", machine, "read:org manage:org", org, ""},
		{"es384/custom-claims-user", 200, user, app, "read:things", "", ""},
		{"es384/token-exchange-actor", 200, user, "no2imu74382a0wrv0oi9x", "read:things", "", "cyn37ud8at6x"},
		{"rs256/user-api", 200, user, app, "read:things write:things", "", ""},
		{"rs256/org-api-token", 200, user, app, "read:things write:things", org, ""},
		{"rs256/m2m-api", 200, "", machine, "read:things write:things", "", ""},
	} {
		token := tokens[test.name].Token
		delete(tokens, test.name)
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				issuer := logtotest.NewIssuer(t)
				issuer.Fail(logtotest.Body("application/jwk-set+json; charset=utf-8", string(keySet)))
				cfg := issuer.Config("https://api.example.test")
				cfg.Endpoint = "http://localhost:3001"
				cfg.OrganizationTokens = true
				cfg.Logger = capture
				v := newVerifier(t, cfg)
				reached := 0
				h := logto.Require(v)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					reached++
					c, _ := logto.FromContext(r.Context())
					got := []string{logto.UserID(r.Context()), c.ClientID(), strings.Join(c.Scopes(), " "), logto.OrganizationID(r.Context()), c.Actor()}
					if want := []string{test.user, test.client, test.scope, test.org, test.act}; !reflect.DeepEqual(got, want) {
						t.Errorf("claims %q, want %q", got, want)
					}
					if c.IsMachine() != strings.Contains(test.name, "m2m") {
						t.Errorf("IsMachine %v", c.IsMachine())
					}
					if test.name == "es384/custom-claims-user" {
						custom, err := logto.ClaimsAs[struct {
							Plan    string
							Roles   []string
							N       json.Number
							F       float64
							Unicode string
							Nested  struct{ A []any }
						}](r.Context())
						if err != nil || custom.Plan != "pro" || custom.Roles[0] != "things-user" || custom.N != "12345678901234567000" || custom.F != 1.5 || custom.Unicode != "héllo ☃" || custom.Nested.A[0] != 1.0 {
							t.Errorf("custom claims %+v, %v", custom, err)
						}
					}
				}))
				time.Sleep(time.Until(time.Unix(1795506000, 0)))
				if w := serve(h, token); w.Code != test.status {
					t.Errorf("status %d, want %d: %s", w.Code, test.status, w.Body)
				}
				time.Sleep(time.Hour)
				if w := serve(h, token); w.Code != 401 {
					t.Errorf("after expiry: status %d, want 401", w.Code)
				}
				if want := test.status / 200 % 2; reached != want {
					t.Errorf("handler reached %d times, want %d", reached, want)
				}
			})
		})
	}
	for name := range tokens {
		t.Errorf("%s is recorded, but not tested", name)
	}
}
