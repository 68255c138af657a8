package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-70fe37f4/logto/logtotest"
)

var update = flag.Bool("update", false, "write testdata/reports.txt anew; read the difference before it is committed")

// wire is a network with what a report tells of a connection.
type wire struct {
	network
	took        time.Duration // until an answer comes
	ahead       time.Duration // of this machine's clock
	noDate      bool
	certificate *x509.Certificate // of each server
	refused     map[string]error  // by host
}

// address is that of a connection.
type address struct{ net.Conn }

func (address) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 443} }

func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := w.refused[req.URL.Host]; err != nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: address{}.RemoteAddr(), Err: err}
	}
	if trace := httptrace.ContextClientTrace(req.Context()); trace != nil && w.network[req.URL.Host] != nil {
		trace.GotConn(httptrace.GotConnInfo{Conn: address{}})
	}
	time.Sleep(w.took)
	res, err := w.network.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if !w.noDate {
		res.Header.Set("Date", time.Now().Add(-w.ahead).UTC().Format(http.TimeFormat))
	}
	if req.URL.Scheme == "https" && w.certificate != nil {
		res.TLS = &tls.ConnectionState{Version: tls.VersionTLS13, PeerCertificates: []*x509.Certificate{w.certificate}}
	}
	return res, nil
}

// redirect is a status with where it leads.
func redirect(status int, location string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if location != "" {
			w.Header().Set("Location", location)
		}
		w.WriteHeader(status)
	})
}

func discoveryOf(issuer, jwksURI string) http.Handler {
	return logtotest.Body("application/json", fmt.Sprintf(`{"issuer":%q,"jwks_uri":%q}`, issuer, jwksURI))
}

// reportOf is a run whose whole report is kept. What isn't said is a Logto at
// endpoint with nothing wrong.
type reportOf struct {
	name  string
	args  string
	token func() string           // on standard input: minted in the bubble, whose time it has
	paths map[string]http.Handler // by host and path: in place of Logto's, or another host's
	wire  wire
	hook  func(m *management)
	json  bool
}

func reportsOf(i *logtotest.Issuer) []reportOf {
	const doctor, explain, replay = "doctor -endpoint " + endpoint + " -audience " + api, "explain -endpoint " + endpoint + " -audience " + api,
		"replay -endpoint " + endpoint + " -hook " + hookID
	const jwks, discovery = "tenant.logto.app/oidc/jwks", "tenant.logto.app/oidc/.well-known/openid-configuration"
	certificate := func(left time.Duration, names ...string) *x509.Certificate {
		now := time.Date(2026, 11, 25, 1, 45, 0, 0, time.UTC)
		return &x509.Certificate{NotAfter: now.Add(left), DNSNames: names, Subject: pkix.Name{CommonName: "Common Name"}}
	}
	keySet := func(h http.Handler) map[string]http.Handler { return map[string]http.Handler{jwks: h} }
	elsewhere := func(more ...any) map[string]http.Handler {
		paths := map[string]http.Handler{}
		for i := 0; i < len(more); i += 2 {
			paths[more[i].(string)] = more[i+1].(http.Handler)
		}
		return paths
	}
	tokenOf := func(token logtotest.Token) func() string {
		claims := map[string]any{"jti": "Lp2r8SMZkkEO3nTVD9J5Q"}
		maps.Copy(claims, token.Claims)
		token.Claims = claims
		return func() string { return i.Token(token) }
	}
	good := tokenOf(logtotest.Token{Scopes: []string{"read:things", "write:things"}})
	bound := tokenOf(logtotest.Token{Organization: "org1", Scopes: []string{"read:things", "write:things"}})
	failedDelivery := func(m *management) { m.entries = m.entries[:1] }
	keys := logtotest.Body("application/jwk-set+json", `{"keys":[
		{"kty":"RSA","kid":"rsa","e":"AQAB","n":"`+strings.Repeat("A", 170)+`Q=="},
		{"kty":"RSA","kid":"rsa","e":"AQAB","n":"","alg":"RS256"},
		{"kty":"RSA","e":"AQAB","n":"?"},
		{"kty":"EC","kid":"ec","crv":"P-256","n":"AAAA"},
		{"kid":"`+strings.Repeat("long", 30)+`"},
		"text"]}`)

	return []reportOf{
		{name: "nothing is wrong", args: doctor, json: true},
		{name: "slow, and a certificate of two names", args: doctor, wire: wire{took: 40 * time.Millisecond, certificate: certificate(60*24*time.Hour+time.Hour, "tenant.logto.app", "*.logto.app")}},
		{name: "through a proxy", args: "doctor -endpoint https://auth.example.net -audience " + api, paths: elsewhere("auth.example.net/oidc/jwks", i, "auth.example.net/", redirect(404, ""))},
		{name: "a certificate of 13 days", args: doctor, wire: wire{certificate: certificate(14*24*time.Hour - 1)}},
		{name: "a certificate of 14 days", args: doctor, wire: wire{certificate: certificate(14 * 24 * time.Hour)}},
		{name: "http, allowed", args: "doctor -endpoint http://logto:3001 -insecure-allow-http -audience " + api, paths: elsewhere("logto/oidc/jwks", i, "logto/oidc/", discoveryOf("http://logto:3001/oidc", "http://logto:3001/oidc/jwks"))},
		{name: "http on loopback", args: "doctor -endpoint http://localhost:3001 -audience " + api, paths: elsewhere("localhost/oidc/jwks", i, "localhost/oidc/", discoveryOf("http://localhost:3001/oidc", "http://localhost:3001/oidc/jwks"))},
		{name: "no name", args: "doctor -endpoint https://auth.example.test -audience " + api},
		{name: "refused", args: doctor, wire: wire{refused: map[string]error{"tenant.logto.app": errors.New("connection refused")}}},
		{name: "no TLS", args: doctor, wire: wire{refused: map[string]error{"tenant.logto.app": x509.UnknownAuthorityError{}}}},
		{name: "no answer", args: doctor, paths: keySet(logtotest.Hang())},
		{name: "cut off", args: doctor, paths: keySet(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Cut", "yes")
			_, _ = w.Write([]byte(`{"keys":[]}`))
		}))},

		{name: "status 301 without an address", args: doctor, paths: keySet(redirect(301, ""))},
		{name: "status 302 to http", args: doctor, paths: keySet(redirect(302, "http://tenant.logto.app/jwks"))},
		{name: "status 307 to another path", args: doctor, paths: elsewhere(jwks, redirect(307, "/other"), "tenant.logto.app/other", logtotest.Body("application/json", i.KeySet()))},
		{name: "status 304", args: doctor, paths: keySet(redirect(304, ""))},
		{name: "status 400 by https", args: doctor, paths: keySet(redirect(400, ""))},
		{name: "status 400 by http", args: "doctor -endpoint http://localhost:3001 -audience " + api, paths: elsewhere("localhost/oidc/jwks", redirect(400, ""))},
		{name: "status 401", args: doctor, paths: keySet(redirect(401, ""))},
		{name: "status 403", args: doctor, paths: keySet(redirect(403, ""))},
		{name: "status 404", args: doctor, paths: keySet(redirect(404, ""))},
		{name: "status 404 of a key set elsewhere", args: doctor + " -jwks-url " + endpoint + "/keys", paths: elsewhere("tenant.logto.app/keys", redirect(404, ""))},
		{name: "status 404 by an issuer's address", args: "doctor -issuer " + endpoint + " -audience " + api, paths: elsewhere("tenant.logto.app/jwks", redirect(404, ""), "tenant.logto.app/.well-known/", redirect(404, ""))},
		{name: "status 407", args: doctor, paths: keySet(redirect(407, ""))},
		{name: "status 429", args: doctor, paths: keySet(redirect(429, ""))},
		{name: "status 500", args: doctor, paths: keySet(redirect(500, ""))},
		{name: "a page", args: doctor, paths: keySet(logtotest.Body("text/html; charset=utf-8", "<!doctype html>"))},
		{name: "text", args: doctor, paths: keySet(logtotest.Body("text/plain", "hello"))},
		{name: "no keys", args: doctor, paths: keySet(logtotest.Body("application/json", `{"keys":[]}`))},
		{name: "keys that can't be used", args: doctor, paths: keySet(keys), json: true},

		{name: "discovery fails", args: doctor, paths: elsewhere("tenant.logto.app/oidc/.well-known/", redirect(503, ""))},
		{name: "discovery is a page", args: doctor, paths: elsewhere(discovery, logtotest.Body("text/html", "<!doctype html>"))},
		{name: "discovery without an issuer", args: doctor, paths: elsewhere(discovery, discoveryOf("", "https://tenant.logto.app/oidc/jwks"))},
		{name: "discovery too large", args: doctor, paths: elsewhere(discovery, logtotest.Body("application/json", strings.Repeat(" ", maxBody+1)))},
		{name: "discovery cut off", args: doctor, paths: elsewhere(discovery, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Cut", "yes")
			_, _ = w.Write([]byte(`{"issuer":"x"}`))
		}))},
		{name: "jwks_uri by http", args: doctor, paths: elsewhere(discovery, discoveryOf("https://tenant.logto.app/oidc", "http://tenant.logto.app/oidc/jwks"))},
		{name: "jwks_uri of another name", args: doctor, paths: elsewhere(discovery, discoveryOf("https://tenant.logto.app/oidc", "https://other.example.test/oidc/jwks?key=secret"))},
		{name: "issuer by http", args: doctor, paths: elsewhere(discovery, discoveryOf("http://tenant.logto.app/oidc", "http://tenant.logto.app/oidc/jwks"))},
		{name: "issuer with a slash", args: doctor, paths: elsewhere(discovery, discoveryOf("https://tenant.logto.app/oidc/", "https://tenant.logto.app/oidc/jwks"))},
		{name: "issuer of another name", args: doctor, paths: elsewhere(discovery, discoveryOf("https://auth.example.test/oidc", "https://auth.example.test/oidc/jwks"))},
		{name: "issuers, each with another answer", args: "doctor -issuer urn:x -issuer ftp://x.test/oidc -issuer https:/oidc -issuer https://auth.example.test/oidc -issuer " + endpoint + "/oidc -issuer https://sixth.example.test/oidc -jwks-url " + endpoint + "/oidc/jwks -audience " + api},
		{name: "issuers, keys elsewhere", args: "doctor -issuer https://gone.example.test/oidc -issuer https://a.example.test/oidc -issuer https://b.example.test/oidc -jwks-url " + endpoint + "/oidc/jwks -audience " + api,
			paths: elsewhere("a.example.test/", redirect(404, ""), "b.example.test/", discoveryOf("https://b.example.test/oidc", "https://b.example.test/oidc/jwks"))},
		{name: "issuers at no address", args: "doctor -issuer https://gone.example.test/oidc -issuer " + endpoint + "/oidc -audience " + api},
		{name: "the console's port", args: "doctor -issuer http://localhost:3002/oidc -issuer " + endpoint + "/oidc -jwks-url " + endpoint + "/oidc/jwks -audience " + api},
		{name: "a path too many", args: doctor + "x", paths: elsewhere("tenant.logto.app/", redirect(404, "")), wire: wire{noDate: true}},
		{name: "an endpoint below a page", args: "doctor -endpoint " + endpoint + "/a/b/ -audience " + api, paths: elsewhere("tenant.logto.app/", redirect(404, ""))},
		{name: "an endpoint too far below", args: "doctor -endpoint " + endpoint + "/a/b/c/d/e/f -audience " + api, paths: elsewhere("tenant.logto.app/", redirect(404, ""))},
		{name: "an issuer without /oidc", args: "doctor -issuer " + endpoint + "/ -audience " + api, paths: elsewhere("tenant.logto.app/", redirect(404, ""))},
		{name: "an issuer without /oidc, key set given", args: "doctor -issuer " + endpoint + " -jwks-url " + endpoint + "/oidc/jwks?key=secret -audience " + api, paths: elsewhere("tenant.logto.app/", redirect(404, ""))},
		{name: "an internal name", args: doctor + " -jwks-url http://127.0.0.1:3001/oidc/jwks", paths: elsewhere("127.0.0.1/oidc/jwks", i, "127.0.0.1/", discoveryOf("https://tenant.logto.app/oidc", "http://127.0.0.1:3001/oidc/jwks"))},
		{name: "an internal name of another Logto", args: doctor + " -jwks-url http://127.0.0.1:3001/oidc/jwks", paths: elsewhere("127.0.0.1/oidc/jwks", i, "127.0.0.1/", discoveryOf("https://other.logto.app/oidc", "http://127.0.0.1:3001/oidc/jwks"))},
		{name: "an internal name without discovery", args: doctor + " -jwks-url http://127.0.0.1:3001/jwks", paths: elsewhere("127.0.0.1/jwks", logtotest.Body("application/json", i.KeySet()), "127.0.0.1/", redirect(404, ""))},
		{name: "an internal name without an answer", args: doctor + " -jwks-url http://127.0.0.1:3001/oidc/jwks"},
		{name: "audiences of all kinds", args: doctor + " -audience https://tenant.logto.app/api -audience https://tenant.logto.app/api/x -audience https://example.test/api -audience urn:a,urn:b -audience https://example.test/"},
		{name: "all flags", args: doctor + " -client-id app1 -client-id app2 -organization-tokens -insecure-allow-http -issuer https://a.test/oidc -issuer https://b.test/x -jwks-url " + endpoint + "/oidc/jwks"},
		{name: "a configuration that is refused", args: "doctor -endpoint http://logto:3001 -audience " + api},
		{name: "a webhook", args: doctor + " -hook " + hookID},
		{name: "a webhook without a name", args: doctor + " -hook " + hookID, hook: func(m *management) {
			m.hook["name"], m.hook["events"] = "", revokingEvents()[2:]
			m.hook["executionStats"] = map[string]any{"requestCount": 9, "successCount": 7}
		}},
		{name: "a webhook without essential events", args: doctor + " -hook " + hookID, hook: func(m *management) {
			m.hook["enabled"], m.hook["events"], m.hook["config"] = false, revokingEvents()[:1], map[string]any{"url": "ftp://x.test"}
		}},
		{name: "a webhook by http", args: doctor + " -hook " + hookID, hook: func(m *management) {
			m.hook["events"], m.hook["config"] = append(revokingEvents()[:2:2], "Role.Deleted"), map[string]any{"url": "http://user@api:8080/hook?password=x"}
			delete(m.hook, "executionStats")
		}},

		{name: "accepted", args: explain, token: good, json: true},
		{name: "accepted for a route", args: explain + " -scope read:things -client-id test-app", token: good},
		{name: "accepted, of a machine", args: explain, token: tokenOf(logtotest.Token{Machine: true})},
		{name: "accepted, of an organization", args: explain + " -organization org1 -scope read:things -scope write:things", token: bound},
		{name: "accepted, of an organization that isn't named", args: explain, token: bound},
		{name: "accepted, an organization token", args: explain + " -organization-tokens", token: tokenOf(logtotest.Token{Organization: "org1", OrganizationOnly: true})},
		{name: "another organization", args: explain + " -organization org2 -scope delete:things", token: bound},
		{name: "another organization, and the scope is there", args: explain + " -organization org2 -scope read:things", token: bound},
		{name: "no organization, no scope", args: explain + " -organization org2 -scope read:things", token: tokenOf(logtotest.Token{})},
		{name: "an organization of the token, and the route has none", args: explain + " -scope read:things", token: bound},
		{name: "no scope", args: explain + " -scope delete:things", token: good},
		{name: "many scopes", args: explain, token: tokenOf(logtotest.Token{Scopes: strings.Fields(strings.Repeat("x ", 5) + "a b c d e f g h i j k l m n o p q r")})},
		{name: "everything is wrong", args: explain + " -client-id another", token: tokenOf(logtotest.Token{Audience: api + "/", ExpiresIn: -time.Hour, Claims: map[string]any{"iss": "https://x.example/oidc"}}), json: true},
		{name: "the audience is wrong", args: explain, token: tokenOf(logtotest.Token{Audience: "https://other.example.test"})},
		{name: "the audiences are wrong", args: explain, token: tokenOf(logtotest.Token{Claims: map[string]any{"aud": []any{"urn:a", "", "urn:b"}}})},
		{name: "expired", args: explain, token: tokenOf(logtotest.Token{ExpiresIn: -40 * time.Second})},
		{name: "expired within the leeway", args: explain, token: tokenOf(logtotest.Token{ExpiresIn: -10 * time.Second})},
		{name: "expired, and the clock differs", args: explain, wire: wire{ahead: time.Hour}, token: tokenOf(logtotest.Token{ExpiresIn: -40 * time.Second})},
		{name: "from the future", args: explain, token: tokenOf(logtotest.Token{Claims: map[string]any{"iat": 1795570000}})},
		{name: "forged", args: explain, token: func() string { return logtotest.BadSignature(good()) }},
		{name: "an unknown key, expired", args: explain, token: tokenOf(logtotest.Token{ExpiresIn: -40 * time.Second, Header: map[string]any{"kid": "gone"}})},
		{name: "a key not yet known", args: explain, token: tokenOf(logtotest.Token{Header: map[string]any{"kid": "gone"}})},
		{name: "another algorithm", args: explain, token: tokenOf(logtotest.Token{Audience: "urn:x", Header: map[string]any{"alg": "ES256"}})},
		{name: "an algorithm that nobody uses", args: explain, token: tokenOf(logtotest.Token{Header: map[string]any{"alg": "HS256"}})},
		{name: "an ID token", args: explain, token: tokenOf(logtotest.Token{Header: map[string]any{"typ": "JWT"}})},
		{name: "bound to a key", args: explain, token: tokenOf(logtotest.Token{Claims: map[string]any{"cnf": map[string]any{"jkt": "x"}}})},
		{name: "opaque", args: explain, token: func() string { return "Lp2r8SMZkkEO3nTVD9J5QLp2r8SMZkkEO3nTVD9J5Q" }},
		{name: "too long", args: explain, token: func() string { return strings.Repeat("x", maxToken+1) }},
		{name: "no key can be had", args: explain, paths: keySet(redirect(500, "")), token: good},
		{name: "no key can be had, cut off", args: explain, paths: keySet(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Cut", "yes")
			_, _ = w.Write([]byte(`{"keys":[]}`))
		})), token: good},
		{name: "a configuration that is refused, and a token", args: "explain -endpoint http://logto:3001 -audience " + api, token: good},
		{name: "decoded", args: "explain", token: tokenOf(logtotest.Token{Organization: "org1", Claims: map[string]any{"b": 1, "a": []any{true, nil}, "nbf": 1795570000.5, "long": strings.Repeat("y", 2000)}})},
		{name: "decoded, expired", args: "explain", token: tokenOf(logtotest.Token{ExpiresIn: -3 * time.Hour})},
		{name: "decoded, an issuer that nobody can configure", args: "explain", token: tokenOf(logtotest.Token{Audience: "x\n", Claims: map[string]any{"iss": "x"}})},

		{name: "delivered", args: replay, hook: failedDelivery},
		{name: "several delivered to several", args: replay + " -to " + receiver + " -to https://other.example.test/hook?x=1", paths: elsewhere("other.example.test/", answers(503, "store_failed\n"))},
		{name: "none delivered", args: replay + " -dry-run", json: true},
		{name: "all delivered", args: replay + " -all -since 26m"},
		{name: "nothing to deliver", args: replay + " -since 1m"},
		{name: "no credentials", args: replay + " -app-id x"},
		{name: "a replay that is refused", args: "replay -endpoint http://logto:3001 -hook " + hookID},
	}
}

// besides puts a number in place of the lines that are known.
func besides(known []string, text string) string {
	var b strings.Builder
	n := 0
	for line := range strings.Lines(text) {
		if slices.Contains(known, strings.TrimSuffix(line, "\n")) {
			n++
			continue
		}
		if n > 0 {
			fmt.Fprintf(&b, "[%d]\n", n)
		}
		n = 0
		b.WriteString(line)
	}
	if n > 0 {
		fmt.Fprintf(&b, "[%d]\n", n)
	}
	return b.String()
}

// Whole reports, as people and programs get them.
func TestReports(t *testing.T) {
	const file = "testdata/reports.txt"
	wanted := map[string]string{}
	if data, err := os.ReadFile(file); err == nil {
		for _, one := range strings.Split(string(data), "\n== ")[1:] {
			name, text, _ := strings.Cut(one, "\n")
			wanted[name] = text
		}
	} else if !*update {
		t.Fatal(err)
	}
	var all strings.Builder
	fmt.Fprintf(&all, "What the command says: of each command the first report, then what others have besides;\n[3] is three lines of the first one. After a change that is meant:\n\n\tgo test ./cmd/logto -run TestReports -update\n")
	i, first := logtotest.New(endpoint), map[string][]string{}
	for _, tt := range reportsOf(i) {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				m := newManagement()
				for _, one := range [][2]string{{"12-user-suspended", "Error"}, {"53-user-deleted", "Success"}, {"19-member-removed-from-organization", "Error"}} {
					m.entries = append(m.entries, entry(t, one[0], one[1]))
				}
				if tt.hook != nil {
					tt.hook(m)
				}
				paths := map[string]http.Handler{
					"tenant.logto.app/": i, "tenant.logto.app/oidc/.well-known/openid-configuration": discoveryOf(endpoint+"/oidc", endpoint+"/oidc/jwks"),
					"tenant.logto.app/oidc/token": m, "tenant.logto.app/api/": m, "tenant.logto.app/oidc/jwks": i,
					"api.example.test/": newList(t).Webhook(signingKey),
				}
				for path, h := range tt.paths {
					paths[path] = h
				}
				mux, w := http.NewServeMux(), tt.wire
				if w.certificate == nil {
					w.certificate = &x509.Certificate{NotAfter: time.Now().Add(30 * 24 * time.Hour), DNSNames: []string{"tenant.logto.app"}}
				}
				w.network = network{}
				for path, h := range paths {
					mux.Handle(path, h)
					host, _, _ := strings.Cut(path, "/")
					for _, port := range []string{"", ":3001", ":8080"} {
						w.network[host+port] = mux
					}
				}
				before := newTransport
				newTransport = func() http.RoundTripper { return &w }
				defer func() { newTransport = before }()

				stdin := ""
				if tt.token != nil {
					stdin = tt.token()
				}
				args := strings.Fields(tt.args)
				var out bytes.Buffer
				fmt.Fprintf(&out, "status %d\n", run(args, strings.NewReader(stdin), &out, &out))
				if tt.json {
					run(append(args, "-json"), strings.NewReader(stdin), &out, &out)
				}
				got := strings.ReplaceAll(out.String(), i.KeyID(), "(the ID of the key)")
				if first[args[0]] == nil {
					first[args[0]] = strings.Split(got, "\n")
				} else {
					got = besides(first[args[0]], got)
				}
				fmt.Fprintf(&all, "\n== %s\n%s", tt.name, got)
				if want := wanted[tt.name]; !*update && got != want && got != want+"\n" {
					t.Errorf("got\n%s\nwant\n%s", got, want)
				}
			})
		})
	}
	if *update && !t.Failed() {
		if err := os.WriteFile(file, []byte(all.String()), 0o644); err != nil {
			t.Error(err)
		}
	}
}
