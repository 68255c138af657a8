package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"go/format"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/internal/policy"
	"github.com/seed-70fe37f4/logto/logtotest"
)

// trusted are the authorities of the servers under test.
var trusted = x509.NewCertPool()

// No test leaves this machine: other names than loopback don't exist. Nor does it meet
// the Logto or emulator that a developer may have at port 3001.
func TestMain(m *testing.M) {
	if os.Getenv("LOGTO_TEST_MAIN") != "" {
		main() // see TestExit
		os.Exit(3)
	}
	// This is only told, and read once a process.
	for name, value := range map[string]string{"HTTPS_PROXY": "http://proxy.example.net:3128", "HTTP_PROXY": "", "NO_PROXY": "logto.app,example.test,a.test", "REQUEST_METHOD": ""} {
		_, _ = os.Unsetenv(strings.ToLower(name)), os.Setenv(name, value) // one name, on Windows
	}
	newTransport = func() http.RoundTripper {
		return &http.Transport{
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				switch name, port, _ := net.SplitHostPort(address); {
				case !policy.IsLoopback(name):
					return nil, &net.OpError{Op: "dial", Net: network, Err: &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}}
				case port == "3001":
					return nil, &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
				}
				return (&net.Dialer{}).DialContext(ctx, network, address)
			},
			TLSClientConfig:   &tls.Config{RootCAs: trusted},
			DisableKeepAlives: true,
		}
	}
	os.Exit(m.Run())
}

const api = logtotest.Audience

// result is a run in a pipe.
type result struct {
	code      int
	out, errs string
	json      document
}

// document is the documented JSON.
type document struct {
	Command, Verdict, Reason, Summary, Config string
	OK                                        bool
	Checks                                    []check
	Token                                     *struct{ Header, Claims map[string]any }
	Requirements                              []requirement
	Deliveries                                *deliveries
}

var checkNames = strings.Fields("config reach tls jwks key discovery internal clock audience form type algorithm claims issuer client times signature organization scopes management hook events url signing-key deliveries logs delivery")

// tool runs the tool twice, for text and for JSON, and checks what holds always.
func tool(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	r := result{code: run(args, strings.NewReader(stdin), &out, &errs)}
	r.out, r.errs = out.String(), errs.String()
	if r.code == 2 {
		if r.out != "" || r.errs == "" {
			t.Errorf("%v: status 2 with output %q, error %q", args, r.out, r.errs)
		}
		checkOutput(t, stdin, r.errs)
		return r
	}
	var jsonOut bytes.Buffer
	if code := run(append(slices.Clone(args), "-json"), strings.NewReader(stdin), &jsonOut, &errs); code != r.code {
		t.Errorf("%v: status %d, with -json %d", args, r.code, code)
	}
	d := json.NewDecoder(&jsonOut)
	d.DisallowUnknownFields()
	text := jsonOut.String()
	if err := d.Decode(&r.json); err != nil || r.json.OK != (r.code == 0) || r.json.Verdict == "" || r.json.Summary == "" || len(r.json.Checks) == 0 {
		t.Errorf("%v: JSON %+v, %v", args, r.json, err)
	}
	for _, c := range r.json.Checks {
		if !slices.Contains(checkNames, c.Name) || !slices.Contains([]string{ok, warn, fail, note, skip}, c.Status) || c.Saw == "" {
			t.Errorf("%v: check %+v is not as documented", args, c)
		}
		if c.Status == fail && r.code == 0 {
			t.Errorf("%v: status 0 with a failed check %+v", args, c)
		}
	}
	if errs.Len() > 0 {
		t.Errorf("%v: error output %q", args, errs.String())
	}
	for _, c := range text {
		if c >= 0x7f || c < ' ' && c != '\n' {
			t.Fatalf("%v: %U in the JSON", args, c)
		}
	}
	checkOutput(t, stdin, r.out)
	checkOutput(t, stdin, text)
	return r
}

// checkOutput looks for the token, or a part of it, and for what a terminal obeys.
func checkOutput(t *testing.T, stdin, out string) {
	t.Helper()
	for _, part := range strings.FieldsFunc(stdin, func(r rune) bool { return r == '.' || unicode.IsSpace(r) }) {
		if len(part) >= 20 && strings.Contains(out, part) {
			t.Errorf("a part of the token, %q, is in the output:\n%s", part, out)
		}
	}
	for _, c := range out {
		if !unicode.IsPrint(c) && c != '\n' && c != '\t' {
			t.Fatalf("%U in the output %q", c, out)
		}
	}
}

func (r result) failed() []string {
	var names []string
	for _, c := range r.json.Checks {
		if c.Status == fail {
			names = append(names, c.Name)
		}
	}
	return names
}

func (r result) want(t *testing.T, code int, phrases ...string) {
	t.Helper()
	if r.code != code {
		t.Errorf("status %d, want %d", r.code, code)
	}
	for _, phrase := range phrases {
		if !strings.Contains(r.out+r.errs, phrase) {
			t.Errorf("no %q", phrase)
		}
	}
	if t.Failed() {
		t.Logf("\n%s%s", r.out, r.errs)
	}
}

func TestUsage(t *testing.T) {
	i := logtotest.NewServer(t)
	token := i.Token(logtotest.Token{})
	opaque := "x" + i.OpaqueToken()[1:] // one in 64 begins with a dash
	const danger = "a token must not be on the command line"
	for _, tt := range []struct {
		name string
		args []string
		want string
	}{
		{"nothing", nil, "doctor or explain"},
		{"unknown command", []string{"look"}, "doctor or explain"},
		{"token as command", []string{token}, danger},
		{"opaque token as command", []string{opaque}, "doctor or explain"},
		{"token as argument", []string{"explain", "-endpoint", i.Endpoint(), "-audience", api, token}, danger},
		{"token with its scheme", []string{"explain", "Bearer " + token}, danger},
		{"opaque token as argument", []string{"explain", opaque}, danger},
		{"token as flag", []string{"explain", "-token", token}, danger},
		{"token as flag, short", []string{"explain", "-token", "x"}, danger},
		{"token as flag with =", []string{"explain", "--token=x"}, danger},
		{"token as a flag's value", []string{"explain", "-timeout", token}, danger},
		{"opaque token as argument, with a dash", []string{"explain", "-" + opaque[1:]}, danger},
		{"opaque token as a flag's value", []string{"doctor", "-timeout", opaque}, "the value makes no sense for flag -timeout"},
		{"opaque token as a switch's value", []string{"doctor", "-json=" + opaque}, "the value makes no sense for -json"},
		{"opaque token as the value of a flag of replay", []string{"replay", "-since", opaque}, "the value makes no sense for flag -since"},
		{"opaque token as the value of a switch of replay", []string{"replay", "-dry-run=" + opaque}, "the value makes no sense for -dry-run"},
		{"token for doctor", []string{"doctor", token}, danger},
		{"argument for doctor", []string{"doctor", "-endpoint", i.Endpoint(), "-audience", api, "x"}, "flags only"},
		{"no endpoint", []string{"doctor", "-audience", api}, "needs -endpoint"},
		{"no audience", []string{"doctor", "-endpoint", i.Endpoint()}, "-audience is missing"},
		{"audience alone", []string{"explain", "-audience", api}, "nothing can be verified without -endpoint"},
		{"unknown flag", []string{"doctor", "-nope"}, "not defined: -nope"},
		{"escape sequence in a flag", []string{"doctor", "-\x1b[31m"}, `not defined: -\x1b[31m`},
		{"scope of doctor", []string{"doctor", "-endpoint", i.Endpoint(), "-audience", api, "-scope", "a"}, "not defined"},
		{"two scopes in one", []string{"explain", "-endpoint", i.Endpoint(), "-audience", api, "-scope", "a b"}, "-scope takes one"},
		{"timeout", []string{"doctor", "-endpoint", i.Endpoint(), "-audience", api, "-timeout", "10001ms"}, "at most 10s"},
		{"no timeout", []string{"doctor", "-endpoint", i.Endpoint(), "-audience", api, "-timeout", "0s"}, "-timeout must be over 0"},
		{"application alone", []string{"explain", "-client-id", "x"}, "nothing can be verified without -endpoint"},
		{"scope alone", []string{"explain", "-scope", "x"}, "nothing can be verified without -endpoint"},
		{"organization alone", []string{"explain", "-organization", ""}, "nothing can be verified without -endpoint"},
		{"key set alone", []string{"explain", "-jwks-url", "x"}, "nothing can be verified without -endpoint"},
		{"organization tokens alone", []string{"explain", "-organization-tokens"}, "nothing can be verified without -endpoint"},
		{"a long argument", []string{"doctor", strings.Repeat("x", 30)}, "flags only"},
		{"two dots", []string{"doctor", "a.b.c"}, "flags only"},
		{"one dot", []string{"doctor", "eyJ.x"}, "flags only"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := tool(t, "", tt.args...)
			r.want(t, 2, tt.want)
			for _, arg := range tt.args {
				checkOutput(t, strings.TrimPrefix(arg, i.Endpoint()), strings.ReplaceAll(r.errs, "github.com/seed-70fe37f4", ""))
			}
		})
	}
	if n := i.Fetches(); n != 0 {
		t.Errorf("%d fetches", n)
	}
	for _, args := range [][]string{{"-h"}, {"help"}, {"-help"}, {"--help"}, {"doctor", "-h"}, {"explain", "--help"}} {
		var out, errs bytes.Buffer
		if code := run(args, strings.NewReader(""), &out, &errs); code != 0 || out.String() != usage {
			t.Errorf("%v: %d, %q, %q", args, code, out.String(), errs.String())
		}
	}
	// The flags that exist are those of the usage text.
	for _, flag := range regexp.MustCompile(`(?m)^  -([a-z-]+)`).FindAllStringSubmatch(usage, -1) {
		unknown := 0
		for _, command := range []string{"explain", "doctor"} {
			if _, _, err := parse([]string{command, "-" + flag[1]}); err != nil && strings.Contains(err.Error(), "not defined") {
				unknown++
			}
		}
		if unknown == 2 {
			t.Errorf("-%s is no flag", flag[1])
		}
	}
}

// What may be is taken to the last bit.
func TestFlags(t *testing.T) {
	for _, args := range []string{
		"doctor -issuer https://a.test/oidc -audience x -timeout 10s", "doctor -endpoint https://a.test -organization-tokens -timeout 1ns", "explain",
		"explain -endpoint https://a.test -audience x -audience y -client-id a -client-id b -scope c -scope d -organization e -jwks-url f -insecure-allow-http -json",
	} {
		o, _, err := parse(strings.Fields(args))
		if err != nil {
			t.Errorf("%s: %v", args, err)
		}
		if long := strings.Contains(args, "-json"); long && (o.config.Endpoint != "https://a.test" || o.config.JWKSURL != "f" || !o.config.InsecureAllowHTTP || !o.json || o.organization != "e" || !o.organized || o.timeout != 10*time.Second ||
			strings.Join(o.config.Audiences, " ")+strings.Join(o.config.ClientIDs, " ")+o.scopes.String() != "x ya bc d") || !long && (o.json || o.organized || o.config.InsecureAllowHTTP) {
			t.Errorf("%s: %+v", args, o)
		}
	}
	// A flag that may be a token is not repeated.
	long := "-" + strings.Repeat("x", 30)
	for arg, isToken := range map[string]bool{long: true, long[1:]: false, long[:30]: false, long + "=y": false, long + "/": false, long + ":": false, long + ".": false, long + " ": false} {
		if _, _, err := parse([]string{"doctor", arg}); err == nil || errors.Is(err, errTokenArgument) != isToken {
			t.Errorf("%s: %v", arg, err)
		}
	}
	var out, errs bytes.Buffer
	o := &options{}
	for _, ok := range []bool{true, false} {
		if code := o.print(&report{OK: ok}, &out, &errs); (code == 0) != ok || out.Len() == 0 || errs.Len() > 0 {
			t.Errorf("%v: %d, %q", ok, code, errs.String())
		}
	}
}

// utf16Of writes ASCII as UTF-16, in the order of the mark.
func utf16Of(mark, text string) string {
	b := []byte(mark)
	for i := range len(text) {
		if mark == "\xff\xfe" {
			b = append(b, text[i], 0)
		} else {
			b = append(b, 0, text[i])
		}
	}
	return string(b)
}

func deep(n int) any {
	var v any
	for range n {
		v = []any{v}
	}
	return v
}

func TestExplain(t *testing.T) {
	i, other := logtotest.NewServer(t), logtotest.NewServer(t)
	good := i.Token(logtotest.Token{Scopes: []string{"read:things", "write:things"}})
	unsigned := good[:strings.LastIndexByte(good, '.')+1]
	in := func(t time.Duration) int64 { return time.Now().Add(t).Unix() }
	for _, tt := range []struct {
		name    string
		token   string
		flags   []string // more than -endpoint and -audience
		reason  string
		failed  string // the checks
		phrases []string
	}{
		{"nothing", "", nil, "no_token", "form", []string{"standard input was empty"}},
		{"opaque", i.OpaqueToken(), nil, "opaque_token", "form", []string{"opaque", "LogtoConfig.resources", "401"}},
		{"undefined", "Bearer undefined\n", nil, "opaque_token", "form", []string{"the word undefined or null"}},
		{"quoted", `"` + good + `"`, nil, "malformed", "form", []string{"quotation marks", "jq -r"}},
		{"the whole answer", `{"access_token":"` + good + `","expires_in":3600}`, nil, "malformed", "form", []string{"the token endpoint's answer", "jq -r .access_token"}},
		{"percent-encoded", strings.ReplaceAll(good, ".", "%2E"), nil, "malformed", "form", []string{"percent-encoded", "url.QueryUnescape"}},
		{"personal access token", "pat_0123456789abcdefghijklmnopqrstuvwxyz", nil, "opaque_token", "form", []string{"personal access token", "> exchange it at Logto's token endpoint", "subject_token_type=urn:logto:token-type:personal_access_token", "as resource"}},
		{"subject token", "sub_0123456789abcdefghijk", nil, "opaque_token", "form", []string{"> exchange it", "subject_token_type=urn:ietf:params:oauth:token-type:access_token"}},
		{"a promise", "[object Promise]", nil, "opaque_token", "form", []string{"> await getAccessToken(resource)"}},
		{"too deep", i.Token(logtotest.Token{Claims: map[string]any{"x": deep(70)}}), nil, "malformed", "claims", []string{"nested over 64 levels deep", "claims that are less deep"}},
		{"a claim of another type", i.Token(logtotest.Token{Claims: map[string]any{"nbf": "soon"}}), nil, "malformed", "claims", []string{"a JWT customizer has set the claim"}},
		{"machine without a scope", i.Token(logtotest.Token{Machine: true}), []string{"-scope", "read:things"}, "missing_scope", "scopes", []string{"name the scope in scope of the machine's token request"}},
		{"machine without an organization", i.Token(logtotest.Token{Machine: true}), []string{"-organization", "org1"}, "organization", "organization", []string{"must name the organization as organization_id"}},
		{"another tenant", i.Token(logtotest.Token{Claims: map[string]any{"iss": "https://xyz789.logto.app/oidc"}}), []string{"-issuer", "https://abc123.logto.app/oidc", "-jwks-url", i.Endpoint() + "/oidc/jwks"}, "issuer", "issuer", []string{"> the client signs in to one tenant"}},
		{"cut", good[:len(good)-40], nil, "signature", "signature", []string{"the signature is wrong"}},
		{"no signature", unsigned, nil, "malformed", "form", nil},
		{"two parts", strings.TrimSuffix(unsigned, "."), nil, "malformed", "form", []string{"not three parts"}},
		{"encrypted", "a.b.c.d.e", nil, "malformed", "form", nil},
		{"garbage", "correct horse battery staple", nil, "opaque_token", "form", nil},
		{"no JSON", i.Sign(`{"alg":`, `{}`), nil, "malformed", "form", nil},
		{"payload is no object", i.Sign(`{"alg":"ES384","typ":"at+jwt","kid":"`+i.KeyID()+`"}`, `[]`), nil, "malformed", "claims", nil},
		{"no expiry", i.Token(logtotest.Token{Claims: map[string]any{"exp": nil}}), nil, "malformed", "claims", []string{"claim exp is missing"}},
		{"audience of another type", i.Token(logtotest.Token{Claims: map[string]any{"aud": 1}}), nil, "malformed", "claims", nil},
		{"a header that is not allowed", i.Token(logtotest.Token{Header: map[string]any{"jku": "https://evil.example/jwks"}}), nil, "malformed", "form", []string{"jku"}},
		{"too long for the library", i.Token(logtotest.Token{Claims: map[string]any{"x": strings.Repeat("x", 17<<10)}}), nil, "malformed", "form", []string{"16384 bytes"}},
		{"ID token", i.IDToken("alice"), nil, "wrong_type", "type", []string{"looks like an ID token", "getAccessToken(resource)"}},
		{"ID token before 1.42", i.Token(logtotest.Token{Header: map[string]any{"typ": "JWT"}}), nil, "wrong_type", "type", []string{"looks like an ID token"}},
		{"logout token", i.LogoutToken("alice"), nil, "wrong_type", "type", []string{"this is a logout token", "back-channel logout URI"}},
		{"no client", i.Token(logtotest.Token{Claims: map[string]any{"client_id": nil}}), nil, "wrong_type", "type", []string{"client_id is missing"}},
		{"HS256", i.Token(logtotest.Token{Header: map[string]any{"alg": "HS256"}}), nil, "algorithm", "algorithm", []string{"'HS256'", "ES384"}},
		{"algorithm of another key", i.Token(logtotest.Token{Header: map[string]any{"alg": "RS256"}}), nil, "algorithm", "algorithm", []string{"is for ES384"}},
		{"bound to a key", i.Token(logtotest.Token{Claims: map[string]any{"cnf": map[string]any{"jkt": "x"}}}), nil, "bound_to_key", "claims", []string{"cnf"}},
		{"other issuer", other.Token(logtotest.Token{}), nil, "issuer", "issuer key", []string{"want '" + i.Endpoint() + "/oidc'", "Also wrong: key"}},
		{"issuer without /oidc", good, []string{"-issuer", i.Endpoint(), "-jwks-url", i.Endpoint() + "/oidc/jwks"}, "issuer", "issuer", []string{"the configured issuer lacks /oidc"}},
		{"issuer by http", i.Token(logtotest.Token{Claims: map[string]any{"iss": "http://auth.example.test/oidc"}}),
			[]string{"-issuer", "https://auth.example.test/oidc", "-jwks-url", i.Endpoint() + "/oidc/jwks"}, "issuer", "issuer", []string{"behind a TLS proxy", "TRUST_PROXY_HEADER=1"}},
		{"issuer that nobody can configure", i.Token(logtotest.Token{Claims: map[string]any{"iss": "https://x/\"\n"}}), nil, "issuer", "issuer", nil},
		{"audience that nobody can configure", i.Token(logtotest.Token{Claims: map[string]any{"aud": ""}}), nil, "audience", "audience", nil},
		{"audience by a slash", i.Token(logtotest.Token{Audience: api + "/"}), nil, "audience", "audience", []string{"they differ by a slash", "ok    signature"}},
		{"other audience, forged", logtotest.BadSignature(i.Token(logtotest.Token{Audience: "https://other.example.test"})), nil, "audience", "audience signature", []string{"Also wrong: signature"}},
		{"other audience, another algorithm", i.Token(logtotest.Token{Audience: "https://other.example.test", Header: map[string]any{"alg": "ES256"}}), nil, "audience", "algorithm audience", []string{"is for ES384"}},
		{"other audience", i.Token(logtotest.Token{Audience: "https://other.example.test"}), nil, "audience", "audience", []string{"byte by byte"}},
		{"Management API", i.Token(logtotest.Token{Machine: true, Audience: "https://tenant.logto.app/api", Scopes: []string{"all"}}), nil, "audience", "audience", []string{"Logto's Management API"}},
		{"organization token", i.Token(logtotest.Token{Organization: "org1", OrganizationOnly: true}), nil, "audience", "audience", []string{"this is an organization token", "Config.OrganizationTokens"}},
		{"client", good, []string{"-client-id", "another"}, "client", "client", []string{"client 'test-app': want 'another'", "Config.ClientIDs"}},
		{"expired", i.Token(logtotest.Token{ExpiresIn: -time.Minute}), nil, "expired", "times", []string{"the token expired at", "clock", "is published", "not checked: expired"}},
		{"expired, of an unknown key", i.Token(logtotest.Token{ExpiresIn: -time.Minute, Header: map[string]any{"kid": "gone"}}), nil, "expired", "times key", []string{"no key 'gone'"}},
		{"not yet valid", i.Token(logtotest.Token{Claims: map[string]any{"nbf": in(time.Hour)}}), nil, "not_yet_valid", "times", []string{"not valid before"}},
		{"from the future", i.Token(logtotest.Token{Claims: map[string]any{"iat": in(10 * time.Minute)}}), nil, "not_yet_valid", "times", []string{"clocks differ by about", "NTP"}},
		{"key not yet known", i.Token(logtotest.Token{Header: map[string]any{"kid": "gone"}}), nil, "key_not_yet_known", "key", []string{"no key 'gone'", "may be a new one", "503"}},
		{"unknown key", i.Token(logtotest.Token{Header: map[string]any{"kid": "gone"}, Claims: map[string]any{"iat": in(-time.Minute)}}), nil, "unknown_key", "key", []string{"no key 'gone'", "rotated out", i.KeyID()}},
		{"bad signature", logtotest.BadSignature(good), nil, "signature", "signature", []string{"changed on its way, or forged"}},
		{"everything at once", i.Token(logtotest.Token{Audience: api + "/", ExpiresIn: -time.Hour, Claims: map[string]any{"iss": "https://x.example/oidc"}}),
			[]string{"-client-id", "another"}, "issuer", "issuer audience client times", []string{"Also wrong: audience, client, times"}},
		{"scope", good, []string{"-scope", "delete:things"}, "missing_scope", "scopes", []string{"want all of 'delete:things'", "403"}},
		{"no scope at all", i.Token(logtotest.Token{}), []string{"-scope", "read:things"}, "missing_scope", "scopes", []string{"Logto drops what isn't granted", "give the user a role"}},
		{"no organization", good, []string{"-organization", "org1"}, "organization", "organization", []string{"the token's organization is '', the request's 'org1'"}},
		{"other organization", i.Token(logtotest.Token{Organization: "org2", Scopes: []string{"read:things"}}), []string{"-organization", "org1", "-scope", "read:things"}, "organization", "organization", []string{"'org2'", "granted: 'read:things'"}},
		{"organization not named", i.Token(logtotest.Token{Organization: "org1", Scopes: []string{"read:things"}}), []string{"-scope", "read:things"}, "organization", "scopes", []string{"give -organization too"}},
		{"empty organization of the request", good, []string{"-organization", ""}, "no_organization", "organization", []string{"the service doesn't say which organization"}},

		{"good", good, nil, "", "", []string{"Accepted: user 'user'", "meets  logto.Users()", "no     logto.Machines()", `meets  logto.Scopes("read:things")`, "suspending the user"}},
		{"written by PowerShell", utf16Of("\xff\xfe", good+"\r\n"), nil, "", "", []string{"Accepted"}},
		{"written by PowerShell, big endian", utf16Of("\xfe\xff", "Bearer "+good+"\r\n"), nil, "", "", []string{"Accepted"}},
		{"UTF-16 without a mark", utf16Of("\xff\xfe", good)[2:], nil, "", "", []string{"Accepted"}},
		{"UTF-16, big endian, without a mark", utf16Of("\xfe\xff", good)[2:], nil, "", "", []string{"Accepted"}},
		{"UTF-8 with a mark", "\ufeff" + good + "\r\n", nil, "", "", []string{"Accepted"}},
		{"UTF-8 with a mark and scheme", "\ufeffAuthorization: Bearer " + good, nil, "", "", []string{"Accepted"}},
		{"opaque, written by PowerShell", utf16Of("\xff\xfe", i.OpaqueToken()+"\r\n"), nil, "opaque_token", "form", []string{"opaque"}},
		{"machine without scopes", i.Token(logtotest.Token{Machine: true}), nil, "", "", []string{"no     logto.Scopes(…): the token has no scope: name the scope in scope of the machine's token request"}},
		{"good with white space and scheme", "\r\n  bearer  " + good + "\n\n", nil, "", "", []string{"Accepted"}},
		{"good as a header line", "authorization: Bearer " + good, nil, "", "", []string{"Accepted"}},
		{"without scopes", i.Token(logtotest.Token{}), nil, "", "", []string{"Accepted", "no     logto.Scopes(…): the token has no scope"}},
		{"scopes", good, []string{"-scope", "read:things", "-scope", "write:things"}, "", "", []string{"granted: 'read:things write:things'"}},
		{"client named", good, []string{"-client-id", "test-app"}, "", "", nil},
		{"machine", i.Token(logtotest.Token{Machine: true}), nil, "", "", []string{"Accepted: machine 'machine'", "meets  logto.Machines()", "no     logto.Users()"}},
		{"organization", i.Token(logtotest.Token{Organization: "org1", Scopes: []string{"read:things"}}), []string{"-organization", "org1", "-scope", "read:things"}, "", "",
			[]string{"meets  logto.AnyOrganization()", "meets  logto.Organization(…) of 'org1'", `no     logto.Scopes("read:things") without the organization`}},
		{"organization token accepted", i.Token(logtotest.Token{Organization: "org1", OrganizationOnly: true}), []string{"-organization-tokens"}, "", "", []string{"in organization", "Accepted"}},
		{"expired within the leeway", i.Token(logtotest.Token{ExpiresIn: -10 * time.Second}), nil, "", "", []string{"within the leeway"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.name == "organization token accepted" {
				tt.phrases[0] = "an organization token"
			}
			flags := []string{"explain", "-audience", api}
			if !slices.Contains(tt.flags, "-issuer") {
				flags = append(flags, "-endpoint", i.Endpoint())
			}
			flags = append(flags, tt.flags...)
			r := tool(t, tt.token, flags...)
			code := 0
			if tt.reason != "" {
				code = 1
			}
			r.want(t, code, tt.phrases...)
			if r.json.Reason != tt.reason || strings.Join(r.failed(), " ") != tt.failed {
				t.Errorf("reason %s failed %q, want %s %q", r.json.Reason, r.failed(), tt.reason, tt.failed)
			}
			for _, c := range r.json.Checks {
				if c.Status == fail && c.Hint == "" {
					t.Errorf("%+v has no hint", c)
				}
			}

			// The verdict is the library's.
			o, _, err := parse(flags)
			if err != nil {
				t.Fatal(err)
			}
			cfg := o.config
			cfg.Logger = slog.New(slog.DiscardHandler)
			v, err := logto.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			trimmed, err := readToken(strings.NewReader(tt.token), io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			_, err = v.Verify(context.Background(), trimmed)
			if reason := logto.Reason(err); reason != "" && reason != r.json.Reason || reason == "" && r.code != 0 && !strings.Contains("missing_scope organization no_organization", r.json.Reason) {
				t.Errorf("reason %s, the library's is %s", r.json.Reason, reason)
			}
		})
	}
}

// Without -endpoint nothing is fetched and nothing verified.
func TestDecode(t *testing.T) {
	i := logtotest.NewServer(t)
	for _, tt := range []struct {
		name, token string
		code        int
		phrases     []string
	}{
		{"good", i.Token(logtotest.Token{User: "alice"}), 1, []string{`"alice"`, "Nothing was verified: anybody could have written this token"}},
		{"forged", logtotest.BadSignature(i.Token(logtotest.Token{})), 1, []string{"Nothing was verified"}},
		{"expired", i.Token(logtotest.Token{ExpiresIn: -time.Hour}), 1, []string{"Nothing was verified", "expired"}},
		{"ID token", i.IDToken("alice"), 1, []string{"Nothing was verified", "ID token"}},
		{"opaque", i.OpaqueToken(), 1, []string{"Nothing was verified", "opaque"}},
		{"claims alone", "!." + strings.Split(i.Token(logtotest.Token{User: "alice"}), ".")[1] + ".AAAA", 1, []string{`"alice"`}},
		{"a header alone", strings.Split(i.Token(logtotest.Token{}), ".")[0] + ".!.AAAA", 1, []string{`"at+jwt"`}},
		{"neither", "!.!.AAAA", 1, []string{"Nothing was verified"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := tool(t, tt.token, "explain")
			r.want(t, tt.code, tt.phrases...)
			if shown := r.json.Token != nil; shown != (tt.name != "opaque" && tt.name != "neither") {
				t.Errorf("token %v", r.json.Token)
			}
			if want := map[bool]string{true: "unverified", false: "refused"}[tt.name == "good" || tt.name == "forged"]; r.json.Verdict != want {
				t.Errorf("verdict %s", r.json.Verdict)
			}
		})
	}
	if n := i.Fetches(); n != 0 {
		t.Errorf("%d fetches", n)
	}
	r := tool(t, i.Token(logtotest.Token{}), "explain", "-endpoint", "http://logto:3001", "-audience", api)
	r.want(t, 1, "FAIL  config", "-insecure-allow-http", "Nothing was verified: the configuration is refused")
	if r.json.Verdict != "unverified" {
		t.Errorf("verdict %s", r.json.Verdict)
	}
}

// What Logto 1.42 issued.
func TestRecorded(t *testing.T) {
	data, err := os.ReadFile("../../testdata/tokens.json")
	if err != nil {
		t.Fatal(err)
	}
	var recorded map[string]struct{ Token string }
	if err := json.Unmarshal(data, &recorded); err != nil || len(recorded) < 10 {
		t.Fatal(len(recorded), err)
	}
	keys, err := os.ReadFile("../../testdata/jwks.json")
	if err != nil {
		t.Fatal(err)
	}
	server := serve(t, logtotest.Body("application/jwk-set+json", string(keys)))
	for name, one := range recorded {
		r := tool(t, one.Token, "explain", "-issuer", "http://localhost:3001/oidc", "-jwks-url", server, "-audience", "https://api.example.test")
		if r.code != 1 || !slices.Contains([]string{"expired", "audience", "wrong_type", "opaque_token"}, r.json.Reason) {
			t.Errorf("%s: %d %s\n%s", name, r.code, r.json.Reason, r.out)
		}
	}
	r := tool(t, "", "doctor", "-issuer", "http://localhost:3001/oidc", "-jwks-url", server, "-audience", "https://api.example.test")
	r.want(t, 0, "RSA 4096 bit, no alg, as Logto does for RSA", "EC P-384, ES384: usable")
}

func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s.URL
}

func TestDoctor(t *testing.T) {
	key := func(members string) string { return `{"keys":[{"kid":"k1",` + members + `}]}` }
	ec := regexp.MustCompile(`"x":"[^"]*"`)
	for _, tt := range []struct {
		name    string
		fault   func(i *logtotest.Issuer) http.Handler
		failed  string
		phrases []string
	}{
		{"works", nil, "", []string{"Nothing wrong was found", "keys: 1", "usable", "is as configured, and so is jwks_uri", "differ by less than", "Audiences: []string{"}},
		{"500", body(logtotest.Status(500)), "jwks", []string{"status 500", "is failing"}},
		{"503", body(logtotest.Status(503)), "jwks", []string{"status 503"}},
		{"404", body(logtotest.Status(404)), "jwks", []string{"status 404", "this is no address of Logto's keys"}},
		{"403", body(logtotest.Status(403)), "jwks", []string{"status 403", "a firewall or proxy"}},
		{"HTML page", body(logtotest.Body("text/html", "<!doctype html>")), "jwks", []string{"'text/html'", "this is no address of Logto's keys", "console"}},
		{"no JSON", body(logtotest.Body("application/json", "hello\x1b[31m")), "jwks", []string{"the answer is no JWK Set"}},
		{"cut JSON", body(logtotest.Body("application/json", `{"keys":[`)), "jwks", nil},
		{"no key set", body(logtotest.Body("application/json", `{"issuer":"x"}`)), "jwks", nil},
		{"empty", body(logtotest.Body("application/json", "")), "jwks", nil},
		{"no keys", body(logtotest.Body("application/json", `{"keys":[]}`)), "jwks", []string{"the key set is empty"}},
		{"over 1 MiB", body(logtotest.Body("application/json", `{"keys":[]}`+strings.Repeat(" ", 2<<20))), "jwks", []string{"over 1048576 bytes"}},
		{"connection breaks", body(logtotest.Cut()), "reach", []string{"EOF", "breaks the connection"}},
		{"hangs", body(logtotest.Hang()), "reach", []string{"no answer within", "a firewall"}},
		{"hangs in the body", body(logtotest.HangInBody()), "jwks", []string{"no answer in time"}},
		{"drips", body(logtotest.Drip()), "jwks", []string{"no answer in time"}},
		{"redirect elsewhere", body(http.RedirectHandler("https://evil.example/jwks", http.StatusFound)), "jwks", []string{"redirect to another host"}},
		{"unknown type", body(logtotest.Body("application/json", key(`"kty":"OKP","crv":"Ed25519","x":"AA"`))), "jwks", []string{"none usable", "OKP Ed25519", "type 'OKP' curve 'Ed25519'"}},
		{"EC without a point", body(logtotest.Body("application/json", key(`"kty":"EC","crv":"P-256"`))), "jwks", []string{"EC P-256", "required field x is missing"}},
		{"for encryption", body(logtotest.Body("application/json", key(`"kty":"EC","crv":"P-256","use":"enc"`))), "jwks", []string{"not usable: member use is"}},
		{"small RSA", body(logtotest.Body("application/json", key(`"kty":"RSA","e":"AQAB","n":"`+strings.Repeat("A", 170)+`Q"`))), "jwks", []string{"RSA 1024 bit", "not usable: RSA modulus"}},
		{"escape sequences", body(logtotest.Body("application/json\x9b31m", key(`"kty":"\u001b[31m","alg":"\u009b31m\u202e"`))), "jwks", []string{`\x1b[31m`, `\u009b31m\u202e`}},
		{"a private key", func(i *logtotest.Issuer) http.Handler {
			return logtotest.Body("application/json", strings.Replace(i.KeySet(), `"kty"`, `"d":"c2VjcmV0","kty"`, 1))
		}, "jwks", []string{"it is not public: member d"}},
		{"a point off the curve", func(i *logtotest.Issuer) http.Handler {
			return logtotest.Body("application/json", ec.ReplaceAllString(i.KeySet(), `"x":"`+strings.Repeat("A", 64)+`"`))
		}, "jwks", []string{"not usable"}},
		{"one key of two", func(i *logtotest.Issuer) http.Handler {
			return logtotest.Body("application/jwk-set+json", strings.Replace(i.KeySet(), `[`, `[{"kty":"OKP","kid":"new"},`, 1))
		}, "", []string{"'new', OKP, no alg: not usable", "ES384: usable", "It works, but look at each warn"}},
		{"two keys of one ID", func(i *logtotest.Issuer) http.Handler {
			j := logtotest.NewIssuer(nil)
			second := strings.Replace(strings.TrimPrefix(j.KeySet(), `{"keys":[`), j.KeyID(), i.KeyID(), 1)
			j.Rotate("ES256")
			third := strings.TrimSuffix(strings.TrimPrefix(j.KeySet(), `{"keys":[`), `]}`)
			return logtotest.Body("application/json", strings.Replace(i.KeySet(), `]}`, `,`+third+`,`+second, 1))
		}, "", []string{"not usable: its ID is not unique", "ES256: usable"}},
		{"content type", func(i *logtotest.Issuer) http.Handler { return logtotest.Body("text/plain", i.KeySet()) }, "", []string{"warn  jwks", "is there something in between?"}},
	} {
		check := func(t *testing.T, i *logtotest.Issuer) {
			if tt.fault != nil {
				i.Fail(tt.fault(i))
			}
			code := 0
			if tt.failed != "" {
				code = 1
			}
			r := tool(t, "", "doctor", "-endpoint", i.Endpoint(), "-audience", api)
			r.want(t, code, tt.phrases...)
			if got := strings.Join(r.failed(), " "); got != tt.failed {
				t.Errorf("failed %q, want %q", got, tt.failed)
			}
			for _, c := range r.json.Checks {
				if c.Status == fail && c.Hint == "" {
					t.Errorf("%+v has no hint", c)
				}
			}
			if strings.Contains(r.out, "c2VjcmV0") {
				t.Error("a private key is in the output")
			}
			goodConfig(t, r.json.Config)
			if n := i.Fetches(); n != 2 { // text and JSON
				t.Errorf("%d fetches", n)
			}
			// A token then says that no key can be had.
			if tt.failed != "" {
				r := tool(t, i.Token(logtotest.Token{}), "explain", "-endpoint", i.Endpoint(), "-audience", api)
				r.want(t, 1, "keys_unavailable", "503")
				if n := i.Fetches(); n != 4 {
					t.Errorf("%d fetches with explain", n)
				}
			}
		}
		t.Run(tt.name, func(t *testing.T) {
			if !strings.HasPrefix(tt.name, "hangs") && tt.name != "drips" {
				check(t, logtotest.NewServer(t))
				return
			}
			synctest.Test(t, func(t *testing.T) { // it is waited for
				i, before := logtotest.NewIssuer(t), newTransport
				newTransport = func() http.RoundTripper { return i.Config().HTTPClient.Transport }
				defer func() { newTransport = before }()
				check(t, i)
			})
		})
	}
}

func body(h http.Handler) func(*logtotest.Issuer) http.Handler {
	return func(*logtotest.Issuer) http.Handler { return h }
}

// goodConfig checks that the advice is Go, and formatted.
func goodConfig(t *testing.T, config string) {
	t.Helper()
	source := "package p\n\nvar _ = " + config[strings.Index(config, "logto.Config"):] + "\n"
	formatted, err := format.Source([]byte(source))
	if err != nil || string(formatted) != source {
		t.Errorf("%v:\n%s\ngofmt:\n%s", err, source, formatted)
	}
}

// What the addresses in a configuration can be wrong about.
func TestDoctorAddresses(t *testing.T) {
	i := logtotest.NewServer(t)
	port := i.Endpoint()[strings.LastIndexByte(i.Endpoint(), ':'):]
	// A Logto with a public name, reached by an internal one.
	inside := logtotest.New("https://auth.example.test")
	internal := serve(t, inside)
	prefixed := http.NewServeMux()
	prefixed.Handle("/tenant/", http.StripPrefix("/tenant", i))
	prefixed.HandleFunc("/moved/oidc/jwks", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/tenant/oidc/jwks", http.StatusMovedPermanently)
	})
	tenants := serve(t, prefixed)
	// As Logto does with what it has no page for.
	pages := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, "/oidc/"):
			i.ServeHTTP(w, r)
		case r.URL.Path != "/unknown-session":
			http.Redirect(w, r, "/unknown-session", http.StatusFound)
		default:
			w.Header().Set("Content-Type", "text/html")
		}
	}))
	_, secured := secure(t, "https")
	limited := serve(t, logtotest.Status(http.StatusTooManyRequests))
	for _, tt := range []struct {
		name    string
		flags   []string
		code    int
		phrases []string
		config  []string
	}{
		{"everything pasted", []string{"-endpoint", i.Endpoint() + "/oidc/.well-known/openid-configuration"}, 0, nil, []string{`Endpoint:  "` + i.Endpoint() + `"`}},
		{"issuer without /oidc", []string{"-issuer", i.Endpoint()}, 1, []string{"the address lacks /oidc", "the configured issuer lacks /oidc"}, []string{`Endpoint:  "` + i.Endpoint() + `"`}},
		{"issuer with a slash", []string{"-issuer", i.Endpoint() + "/oidc/"}, 1, []string{"ok    jwks", "FAIL  discovery", "they differ by a slash", "write it as Logto does", "Something is wrong: discovery."}, []string{`Endpoint:  "` + i.Endpoint() + `"`}},
		{"issuer with a slash, key set given", []string{"-issuer", i.Endpoint() + "/oidc/", "-jwks-url", i.Endpoint() + "/oidc/jwks"}, 1, []string{"they differ by a slash"}, []string{`Endpoint:  "` + i.Endpoint() + `"`}},
		{"issuer without /oidc, with a slash", []string{"-issuer", i.Endpoint() + "/"}, 1, []string{"the configured issuer lacks /oidc"}, []string{`Endpoint:  "` + i.Endpoint() + `"`}},
		{"endpoint is a page", []string{"-endpoint", i.Endpoint() + "/sign-in"}, 1, []string{"the endpoint has a path too many, as of a page: it is '" + i.Endpoint() + "'", "have one that is a page's"}, []string{`Endpoint:  "` + i.Endpoint() + `"`}},
		{"endpoint is a page below", []string{"-endpoint", i.Endpoint() + "/console/get-started/"}, 1, []string{"the endpoint has a path too many"}, []string{`Endpoint:  "` + i.Endpoint() + `"`}},
		{"endpoint is a page that leads elsewhere", []string{"-endpoint", pages + "/sign-in"}, 1, []string{"have one that is a page's", "the endpoint has a path too many"}, []string{`Endpoint:  "` + i.Endpoint() + `"`}},
		{"issuer is a page", []string{"-issuer", i.Endpoint() + "/sign-in"}, 1, []string{"the issuer's path is wrong"}, []string{`Endpoint:  "` + i.Endpoint() + `"`}},
		{"key set is a page", []string{"-endpoint", i.Endpoint(), "-jwks-url", i.Endpoint() + "/sign-in"}, 1, []string{"-jwks-url (Config.JWKSURL) must end with /oidc/jwks"}, nil},
		{"issuer in upper case", []string{"-issuer", strings.Replace(i.Endpoint(), "http", "HTTP", 1) + "/oidc"}, 1, []string{"upper and lower case"}, []string{`Endpoint:  "` + i.Endpoint() + `"`}},
		{"the console's port", []string{"-endpoint", "http://localhost:3002", "-jwks-url", i.Endpoint() + "/oidc/jwks"}, 1, []string{"warn  config", "usually Logto's console"}, nil},
		{"http on an https port", []string{"-endpoint", "http" + strings.TrimPrefix(secured, "https")}, 1, []string{"is this a port for https?"}, nil},
		{"too often", []string{"-endpoint", limited}, 1, []string{"limits how often this machine may ask"}, nil},
		{"the console of the cloud", []string{"-endpoint", "https://cloud.logto.io/abc123/get-started"}, 1, []string{"FAIL  config", "the address of Logto's console"}, nil},
		{"another name", []string{"-endpoint", "http://localhost" + port}, 1, []string{"Logto calls itself '" + i.Endpoint() + "/oidc'"},
			[]string{`Endpoint:  "` + i.Endpoint() + `"`, `JWKSURL:   "http://localhost` + port + `/oidc/jwks"`}},
		{"internal name only", []string{"-endpoint", internal}, 1, []string{"Logto calls itself 'https://auth.example.test/oidc'", "by an internal name"},
			[]string{`Endpoint:  "https://auth.example.test"`, `JWKSURL:   "` + internal + `/oidc/jwks"`}},
		{"public name from inside a container", []string{"-endpoint", "https://auth.example.test"}, 1, []string{"no such host", "In a container", "-jwks-url"}, nil},
		{"public and internal name", []string{"-endpoint", "https://auth.example.test", "-jwks-url", internal + "/oidc/jwks"}, 0,
			[]string{"the public name can't be reached from here", "ok    internal", "it follows the name that Logto is asked by"},
			[]string{`Endpoint:  "https://auth.example.test"`, `JWKSURL:   "` + internal + `/oidc/jwks"`}},
		{"another Logto inside", []string{"-endpoint", "https://other.example.test", "-jwks-url", internal + "/oidc/jwks"}, 1, []string{"FAIL  internal", "want 'https://other.example.test/oidc'"}, nil},
		{"two issuers", []string{"-issuer", i.Endpoint() + "/oidc", "-issuer", "https://auth.example.test/oidc", "-jwks-url", i.Endpoint() + "/oidc/jwks"}, 0, nil,
			[]string{`Issuers:   []string{"` + i.Endpoint() + `/oidc", "https://auth.example.test/oidc"}`}},
		{"path of a tenant", []string{"-endpoint", tenants + "/tenant"}, 1, []string{"Logto calls itself"}, nil}, // the fake one knows no paths
		{"redirect on the same host", []string{"-endpoint", tenants + "/moved", "-issuer", i.Endpoint() + "/oidc"}, 0, []string{"after a redirect to " + tenants + "/tenant/oidc/jwks"}, nil},
		{"refused connection", []string{"-endpoint", "http://127.0.0.1:1"}, 1, []string{"FAIL  reach", "refused", "In a container"}, []string{"not confirmed"}},
		{"https on an http port", []string{"-endpoint", "https" + strings.TrimPrefix(i.Endpoint(), "http")}, 1, []string{"FAIL  tls", "doesn't speak TLS"}, nil},
		{"http to another host", []string{"-endpoint", "http://logto:3001"}, 1, []string{"FAIL  config", "not loopback", "-insecure-allow-http"}, nil},
		{"http to another host allowed", []string{"-endpoint", "http://logto:3001", "-insecure-allow-http"}, 1, []string{"no such host"}, []string{"InsecureAllowHTTP: true"}},
		{"no URL", []string{"-endpoint", "tenant.logto.app"}, 1, []string{"FAIL  config", "no URL"}, nil},
		{"a slash in the audience", []string{"-endpoint", i.Endpoint(), "-audience", api + "/"}, 0, []string{"warn  audience", "ends with a slash"}, nil},
		{"two audiences in one", []string{"-endpoint", i.Endpoint(), "-audience", "urn:a,urn:b"}, 0, []string{"warn  audience", "-audience may be repeated"}, nil},
		{"Management API", []string{"-endpoint", i.Endpoint(), "-audience", "https://tenant.logto.app/api"}, 0, []string{"Logto's Management API"}, nil},
		{"white space in the audience", []string{"-endpoint", i.Endpoint(), "-audience", api + "\n"}, 1, []string{"FAIL  config", `\n`, "white space"}, nil},
		{"all flags", []string{"-endpoint", i.Endpoint(), "-client-id", "app", "-organization-tokens"}, 0, nil, []string{`ClientIDs:          []string{"app"}`, "OrganizationTokens: true"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			flags := append([]string{"doctor"}, tt.flags...)
			if !slices.Contains(flags, "-audience") {
				flags = append(flags, "-audience", api)
			}
			r := tool(t, "", flags...)
			r.want(t, tt.code, tt.phrases...)
			if strings.Contains(r.out, "logto: Config") {
				t.Errorf("an error as it is for a log:\n%s", r.out)
			}
			for _, phrase := range tt.config {
				if !strings.Contains(r.json.Config, phrase) {
					t.Errorf("no %q in\n%s", phrase, r.json.Config)
				}
			}
			if r.json.Config != "" {
				goodConfig(t, r.json.Config)
			}
		})
	}
}

// No secret of an address is in a report, and neither is a proxy's password.
func TestNoSecrets(t *testing.T) {
	secret := "Hush"
	i := logtotest.NewServer(t)
	original := newTransport
	defer func() { newTransport = original }()
	for _, tt := range []struct {
		name  string
		flags []string
		proxy func(*http.Request) (*url.URL, error)
		fault http.Handler
	}{
		{"endpoint with a password", []string{"-endpoint", "https://u:" + secret + "@a.test"}, nil, nil},
		{"issuer with a password", []string{"-issuer", "https://u:" + secret + "@a.test/oidc"}, nil, nil},
		{"key in the query", []string{"-endpoint", i.Endpoint(), "-jwks-url", i.Endpoint() + "/oidc/jwks?key=" + secret}, nil, nil},
		{"key in the query, status", []string{"-endpoint", i.Endpoint(), "-jwks-url", i.Endpoint() + "/oidc/jwks?key=" + secret}, nil, logtotest.Status(500)},
		{"key in the query, cut", []string{"-endpoint", i.Endpoint(), "-jwks-url", i.Endpoint() + "/oidc/jwks?key=" + secret}, nil, logtotest.Cut()},
		{"key in the query, elsewhere", []string{"-endpoint", i.Endpoint(), "-jwks-url", "https://a.test/jwks?key=" + secret}, nil, nil},
		{"redirect with a key", []string{"-endpoint", i.Endpoint()}, nil, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.RawQuery == "" {
				http.Redirect(w, r, "/oidc/jwks?key="+secret, http.StatusFound)
			} else {
				w.WriteHeader(404)
			}
		})},
		{"redirect elsewhere with a key", []string{"-endpoint", i.Endpoint()}, nil, http.RedirectHandler("https://a.test/?key="+secret, http.StatusFound)},
		{"proxy with a password", []string{"-endpoint", i.Endpoint()}, func(*http.Request) (*url.URL, error) {
			return url.Parse("http://u:" + secret + "@127.0.0.1:1")
		}, nil},
		{"broken proxy with a password", []string{"-endpoint", i.Endpoint()}, func(*http.Request) (*url.URL, error) {
			return url.Parse("http://u:" + secret + "/@127.0.0.1:1")
		}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			newTransport = func() http.RoundTripper {
				transport := original().(*http.Transport)
				transport.Proxy = tt.proxy
				return transport
			}
			i.Fail(tt.fault)
			for _, command := range []string{"doctor", "explain"} {
				r := tool(t, i.Token(logtotest.Token{}), append([]string{command, "-audience", api}, tt.flags...)...)
				all := r.out + r.errs + fmt.Sprintf("%+v", r.json)
				if strings.Contains(all, secret) {
					t.Errorf("%s:\n%s", command, all)
				}
				if r.json.Config != "" {
					goodConfig(t, r.json.Config)
				}
			}
		})
	}
}

// A dead proxy is not a Logto by another name.
func TestDeadProxy(t *testing.T) {
	original := newTransport
	defer func() { newTransport = original }()
	newTransport = func() http.RoundTripper {
		transport := original().(*http.Transport)
		transport.Proxy = func(*http.Request) (*url.URL, error) { return url.Parse("http://127.0.0.1:1") }
		return transport
	}
	r := tool(t, "", "doctor", "-endpoint", "https://tenant.logto.app", "-audience", api)
	r.want(t, 1, "FAIL  reach", "it is the proxy that can't be used", "NO_PROXY")
	if strings.Contains(r.out, "JWKSURL)") {
		t.Errorf("another name is the advice:\n%s", r.out)
	}
}

// Two runs say the same: what comes from a map is put in order.
func TestStableOrder(t *testing.T) {
	i := logtotest.NewServer(t)
	claims := map[string]any{}
	for n := range 60 {
		claims[fmt.Sprint("claim", n)] = n
	}
	token := i.Token(logtotest.Token{Claims: claims})
	took := regexp.MustCompile(`answered in \S+ from|[0-9]+ bytes|, (in|[0-9hms]+ ago)[^\n"]*|expires in [^.]*`)
	var first [2]string
	for n := range 5 {
		for k, args := range [][]string{{"doctor", "-issuer", i.Endpoint() + "/oidc", "-issuer", "https://b.test/oidc", "-endpoint", i.Endpoint()}, {"explain", "-endpoint", i.Endpoint()}} {
			r := tool(t, token, append(args, "-audience", api)...)
			out := took.ReplaceAllString(r.out, "")
			if n == 0 {
				first[k] = out
			} else if out != first[k] {
				t.Fatalf("not as before:\n%s\n%s", first[k], out)
			}
		}
	}
}

// secure serves h by TLS, as a Logto at the returned address.
func secure(t *testing.T, scheme string) (i *logtotest.Issuer, address string) {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { i.ServeHTTP(w, r) }))
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.StartTLS()
	t.Cleanup(s.Close)
	i = logtotest.New(scheme + strings.TrimPrefix(s.URL, "https"))
	trusted.AddCert(s.Certificate())
	return i, s.URL
}

func TestTLS(t *testing.T) {
	_, good := secure(t, "https")
	r := tool(t, "", "doctor", "-endpoint", good, "-audience", api)
	r.want(t, 0, "ok    tls", "TLS 1.3, certificate for 'example.com'", "asked by https, Logto answers with an http address")
	_, proxied := secure(t, "http")
	r = tool(t, "", "doctor", "-endpoint", proxied, "-audience", api)
	r.want(t, 1, "FAIL  discovery", "Logto runs behind a TLS proxy", "TRUST_PROXY_HEADER=1")
	r = tool(t, "", "doctor", "-endpoint", strings.Replace(good, "127.0.0.1", "logto.localhost", 1), "-audience", api, "-timeout", "1s")
	if r.code != 1 || !strings.Contains(r.out, "the certificate is for another name") && !strings.Contains(r.out, "not known from here") {
		t.Errorf("%d\n%s", r.code, r.out)
	}

	before := trusted
	trusted = x509.NewCertPool()
	defer func() { trusted = before }()
	r = tool(t, "", "doctor", "-endpoint", good, "-audience", api)
	r.want(t, 1, "FAIL  tls", "an authority that this machine doesn't trust", "SSL_CERT_FILE")
	i, _ := secure(t, "https")
	trusted = x509.NewCertPool()
	r = tool(t, i.Token(logtotest.Token{}), "explain", "-endpoint", good, "-audience", api)
	r.want(t, 1, "FAIL  key", "SSL_CERT_FILE")
}

// A firewall that blocks Go's default User-Agent blocks neither library nor command.
func TestUserAgent(t *testing.T) {
	i := logtotest.NewServer(t)
	server := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.UserAgent() != "logto-go" {
			t.Errorf("%s is asked for by %q", r.URL.Path, r.UserAgent())
		}
		i.ServeHTTP(w, r)
	}))
	flags := []string{"-endpoint", server, "-issuer", i.Endpoint() + "/oidc", "-audience", api}
	tool(t, "", append([]string{"doctor"}, flags...)...)
	tool(t, i.Token(logtotest.Token{}), append([]string{"explain"}, flags...)...).want(t, 0, "Accepted")
}

func TestClock(t *testing.T) {
	i := logtotest.NewServer(t)
	var off time.Duration
	date := true
	server := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Date"] = nil
		if date {
			w.Header().Set("Date", time.Now().Add(off).UTC().Format(http.TimeFormat))
		}
		i.ServeHTTP(w, r)
	}))
	for _, tt := range []struct {
		off  time.Duration
		code int
		want string
	}{
		{0, 0, "ok    clock"},
		{10 * time.Second, 0, "warn  clock"},
		{-10 * time.Second, 0, "warn  clock"},
		{5 * time.Minute, 1, "behind the server: new tokens are refused as not_yet_valid"},
		{-5 * time.Minute, 1, "ahead of the server: tokens are refused as expired"},
	} {
		off = tt.off
		r := tool(t, "", "doctor", "-endpoint", i.Endpoint(), "-jwks-url", server+"/oidc/jwks", "-audience", api)
		r.want(t, tt.code, tt.want)
	}
	off = 5 * time.Minute
	token := i.Token(logtotest.Token{Claims: map[string]any{"iat": time.Now().Add(off).Unix()}})
	r := tool(t, token, "explain", "-endpoint", i.Endpoint(), "-jwks-url", server+"/oidc/jwks", "-audience", api)
	r.want(t, 1, "not_yet_valid", "FAIL  clock", "behind the server")
	date = false
	r = tool(t, "", "doctor", "-endpoint", i.Endpoint(), "-issuer", "https://auth.example.test/oidc", "-jwks-url", server+"/oidc/jwks", "-audience", api)
	r.want(t, 1, "note  clock", "no answer with a Date header")
}

// What Logto's users report again and again: one run names the cause.
func TestWhatUsersStumbleOver(t *testing.T) {
	i := logtotest.NewServer(t)
	_, proxied := secure(t, "http")
	inside := logtotest.New("https://auth.example.test")
	internal := serve(t, inside)
	old := i.Token(logtotest.Token{Claims: map[string]any{"iat": time.Now().Add(-time.Minute).Unix()}})
	i.Rotate("ES384")
	i.Rotate("ES256")
	es384 := logtotest.NewServer(t)
	explain := []string{"explain", "-endpoint", i.Endpoint(), "-audience", api}
	for _, tt := range []struct {
		name   string
		stdin  string
		args   []string
		code   int
		causes []string
	}{
		{"opaque token, as the client left out resource", i.OpaqueToken(), explain, 1, []string{"Refused, opaque_token", "LogtoConfig.resources", "getAccessToken"}},
		{"empty scope", i.Token(logtotest.Token{}), append(slices.Clone(explain), "-scope", "read:things"), 1, []string{"Refused, missing_scope", "Logto drops what isn't granted", "give the user a role"}},
		{"ES384 and at+jwt are refused by the library at hand", es384.Token(logtotest.Token{}), []string{"explain", "-endpoint", es384.Endpoint(), "-audience", api}, 0,
			[]string{"Accepted", "'at+jwt', an access token", "libraries and gateways that know RS256 only refuse it"}},
		{"ES384, before there is a token", "", []string{"doctor", "-endpoint", es384.Endpoint(), "-audience", api}, 0, []string{"EC P-384, ES384: usable"}},
		{"ID token sent to the API", i.IDToken("alice"), explain, 1, []string{"Refused, wrong_type", "ID token", "getAccessToken(resource)"}},
		{"audience with a slash", i.Token(logtotest.Token{Audience: api + "/"}), explain, 1, []string{"Refused, audience", "they differ by a slash"}},
		{"audience configured with a slash", "", []string{"doctor", "-endpoint", i.Endpoint(), "-audience", api + "/"}, 0, []string{"ends with a slash"}},
		{"http addresses behind a TLS proxy", "", []string{"doctor", "-endpoint", proxied, "-audience", api}, 1, []string{"Logto runs behind a TLS proxy", "TRUST_PROXY_HEADER=1"}},
		{"a token with an http issuer", i.Token(logtotest.Token{Claims: map[string]any{"iss": "http://auth.example.test/oidc"}}),
			[]string{"explain", "-endpoint", "https://auth.example.test", "-jwks-url", i.Endpoint() + "/oidc/jwks", "-audience", api}, 1, []string{"Refused, issuer", "behind a TLS proxy"}},
		{"no matching key after a rotation", old, explain, 1, []string{"Refused, unknown_key", "rotated out", i.KeyID()}},
		{"a container that can't reach its issuer", "", []string{"doctor", "-endpoint", "https://auth.example.test", "-audience", api}, 1, []string{"FAIL  reach", "In a container", "Config.JWKSURL"}},
		{"a container where localhost is itself", "", []string{"doctor", "-endpoint", "http://localhost:1", "-audience", api}, 1, []string{"FAIL  reach", "localhost is the container itself"}},
		{"a container with Logto's internal name", "", []string{"doctor", "-endpoint", internal, "-audience", api}, 1, []string{"by an internal name", `Endpoint:  "https://auth.example.test"`}},
		{"a suspended user keeps access", i.Token(logtotest.Token{}), explain, 0, []string{"Accepted", "expires in 1h.", "suspending the user, signing out or a changed role doesn't end a JWT"}},
		{"organization token on an API route", i.Token(logtotest.Token{Organization: "org1", OrganizationOnly: true}), explain, 1, []string{"Refused, audience", "this is an organization token"}},
		{"API token on a route of an organization", i.Token(logtotest.Token{}), append(slices.Clone(explain), "-organization", "org1"), 1, []string{"Refused, organization", "getAccessToken(resource, organizationId)"}},
		{"organization's token, and the route doesn't name it", i.Token(logtotest.Token{Organization: "org1", Scopes: []string{"a"}}), append(slices.Clone(explain), "-scope", "a"), 1, []string{"Refused, organization", "add logto.Organization(…)"}},
		{"issuer without /oidc", "", []string{"doctor", "-issuer", i.Endpoint(), "-audience", api}, 1, []string{"the configured issuer lacks /oidc"}},
		{"Management API", i.Token(logtotest.Token{Machine: true, Audience: "https://tenant.logto.app/api"}), explain, 1, []string{"Management API"}},
		{"the page sends the word undefined", "Bearer undefined", explain, 1, []string{"the word undefined or null", "is the user signed in"}},
	} {
		t.Run(tt.name, func(t *testing.T) { tool(t, tt.stdin, tt.args...).want(t, tt.code, tt.causes...) })
	}
}

func TestBounds(t *testing.T) {
	i := logtotest.NewServer(t)
	for _, size := range []int{maxToken, maxToken + 1, maxToken + 2, 1 << 20} {
		r := tool(t, strings.Repeat("x", size), "explain", "-endpoint", i.Endpoint(), "-audience", api)
		want := "over 64 KiB"
		if size == maxToken {
			want = "over 16384 bytes"
		}
		r.want(t, 1, want)
		if size > maxToken {
			r.want(t, 1, "give the token alone")
		}
	}
	endless := io.MultiReader(strings.NewReader("x"), repeat{})
	var out bytes.Buffer
	if code := run([]string{"explain"}, endless, &out, &out); code != 1 {
		t.Errorf("an endless input: %d, %s", code, out.String())
	}
	keys := `{"keys":[` + strings.Repeat(`{"kty":"OKP","kid":"x"},`, 5000) + `{"kty":"OKP"}]}`
	i.Fail(logtotest.Body("application/json", keys))
	r := tool(t, "", "doctor", "-endpoint", i.Endpoint(), "-audience", api)
	r.want(t, 1, "4951 more keys are not listed")
	if len(r.out) > 20_000 {
		t.Errorf("%d bytes of output", len(r.out))
	}
}

type repeat struct{}

func (repeat) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// Claims are an attacker's, and so are a server's answers.
func TestEscaping(t *testing.T) {
	i := logtotest.NewServer(t)
	evil := "\x1b[2J\x1b]0;x\a\u009b31m\u202e\r\n\x7f"
	inner := i.Token(logtotest.Token{User: "inner"})
	token := i.Token(logtotest.Token{
		User: evil, ClientID: evil, Scopes: []string{"a\x1b[1m", "read:things"}, Organization: evil,
		Claims: map[string]any{evil: evil, "list": []any{evil, map[string]any{evil: 1}}, "inner": inner, "long": strings.Repeat("y", 5000),
			"number": json.Number("1" + strings.Repeat("0", 300)), "null": nil},
		Header: map[string]any{evil: evil},
	})
	r := tool(t, token, "explain", "-endpoint", i.Endpoint(), "-audience", api)
	r.want(t, 0, `\x1b[2J`, `left out)`, `(a token of`)
	if strings.Contains(r.out, inner[strings.LastIndexByte(inner, '.')+1:]) || strings.Contains(r.out, strings.Repeat("y", 301)) {
		t.Errorf("a token or a long claim is in the output:\n%s", r.out)
	}
	for _, bad := range []logtotest.Token{
		{Claims: map[string]any{"iss": evil}}, {Audience: evil}, {Header: map[string]any{"alg": evil}}, {Header: map[string]any{"typ": evil}}, {Header: map[string]any{"kid": evil}},
	} {
		tool(t, i.Token(bad), "explain", "-endpoint", i.Endpoint(), "-audience", api).want(t, 1)
	}
	tool(t, evil+"."+evil+"."+evil, "explain").want(t, 1)
	tool(t, base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"\ud800","typ":"at+jwt","kid":"x"}`))+"."+base64.RawURLEncoding.EncodeToString([]byte("{\"a\":\"\xff\x9b\"}"))+".AAAA", "explain").want(t, 1)

	server := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/oidc/jwks" {
			i.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]string{"issuer": evil + `", Insecure: "`, "jwks_uri": evil})
	}))
	r = tool(t, "", "doctor", "-endpoint", server, "-audience", api)
	r.want(t, 1, "Logto calls itself")
	goodConfig(t, r.json.Config)
}

func TestColour(t *testing.T) {
	i := logtotest.NewServer(t)
	o, _, err := parse([]string{"doctor", "-endpoint", i.Endpoint(), "-audience", api})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := doctor(o).writeText(&out, style{colour: true, width: 80}); err != nil || !strings.Contains(out.String(), "\x1b[32mok  \x1b[0m") {
		t.Errorf("%v: no colour in %q", err, out.String())
	}
	plain := regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(out.String(), "")
	for line := range strings.SplitSeq(plain, "\n") {
		if n := len([]rune(line)); n > 80 && strings.Contains(strings.TrimSpace(line[20:]), " ") {
			t.Errorf("a line of %d: %q", n, line)
		}
	}
	if s := styleOf(&out); s != (style{}) {
		t.Errorf("a buffer has style %+v", s)
	}
	if runtime.GOOS == "windows" {
		t.Skip("no device to try")
	}
	device, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer device.Close()
	for _, tt := range []struct {
		noColor, term string
		want          bool
	}{{"", "xterm", true}, {"", "", runtime.GOOS != "windows"}, {"1", "xterm", false}, {"", "dumb", false}} {
		t.Setenv("NO_COLOR", tt.noColor)
		t.Setenv("TERM", tt.term)
		if s := styleOf(device); s.colour != tt.want || s.width == 0 {
			t.Errorf("NO_COLOR=%q TERM=%q: %+v", tt.noColor, tt.term, s)
		}
	}
	file, err := os.Create(t.TempDir() + "/out")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if s := styleOf(file); s != (style{}) {
		t.Errorf("a file has style %+v", s)
	}
}

// A report that can't be written is no success.
func TestBrokenPipe(t *testing.T) {
	i := logtotest.NewServer(t)
	for _, flags := range [][]string{nil, {"-json"}} {
		var errs bytes.Buffer
		if code := run(append([]string{"doctor", "-endpoint", i.Endpoint(), "-audience", api}, flags...), nil, broken{}, &errs); code != 1 || errs.Len() == 0 {
			t.Errorf("%v: %d, %q", flags, code, errs.String())
		}
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, fmt.Errorf("broken pipe") }
