package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"os/exec"
	"reflect"
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
		{name: "no answer by anybody", args: "doctor -issuer https://a.test/oidc -issuer https://b.test/oidc -issuer https://c.test/oidc -issuer https://d.test/oidc -issuer https://e.test/oidc -jwks-url " + endpoint + "/oidc/jwks -audience " + api,
			paths: elsewhere(jwks, logtotest.Hang(), "a.test/", logtotest.Hang(), "b.test/", logtotest.Hang(), "c.test/", logtotest.Hang(), "d.test/", logtotest.Hang(), "e.test/", logtotest.Hang())},
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

		{name: "discovery fails", args: doctor, paths: elsewhere(discovery, redirect(503, ""))},
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
		{name: "issuer without an address", args: doctor, paths: elsewhere(discovery, discoveryOf("/oidc", ""))},
		{name: "issuer of another name", args: doctor, paths: elsewhere(discovery, discoveryOf("https://auth.example.test/oidc", "https://auth.example.test/oidc/jwks"))},
		{name: "six issuers", args: "doctor -issuer https://a.test/oidc -issuer https://tenant.logto.app/x/oidc -issuer https://b.test/oidc -issuer " + endpoint + "/oidc -issuer https://c.test -issuer https://d.test/oidc -jwks-url " + endpoint + "/oidc/jwks -audience " + api,
			paths: elsewhere("tenant.logto.app/x/", redirect(404, ""), "b.test/", discoveryOf("https://b.test/", ""), "c.test/", redirect(404, ""), "c.test/oidc/.well-known/openid-configuration", discoveryOf("https://c.test/oidc", ""))},
		{name: "an issuer as a page, key set given", args: "doctor -issuer " + endpoint + "/sign-in/oidc -issuer https://a.test/oidc -jwks-url " + endpoint + "/oidc/jwks -audience " + api, paths: elsewhere("tenant.logto.app/sign-in/", redirect(404, ""), "a.test/", discoveryOf("https://a.test/oidc", ""))},
		{name: "issuers, keys elsewhere", args: "doctor -issuer https://gone.example.test/oidc -issuer https://a.example.test/oidc -issuer https://b.example.test/oidc -jwks-url " + endpoint + "/oidc/jwks -audience " + api,
			paths: elsewhere("a.example.test/", redirect(404, ""), "b.example.test/", discoveryOf("https://b.example.test/oidc", "https://b.example.test/oidc/jwks"))},
		{name: "issuers at no address", args: "doctor -issuer https://gone.example.test/oidc -issuer " + endpoint + "/oidc -audience " + api},
		{name: "the console's port", args: "doctor -issuer http://localhost:3002/oidc -issuer " + endpoint + "/oidc -jwks-url " + endpoint + "/oidc/jwks -audience " + api},
		{name: "no Date", args: doctor, wire: wire{noDate: true}},
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
		{name: "an endpoint that is none", args: "doctor -endpoint tenant.logto.app -audience " + api},
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
		{name: "many scopes", args: explain, token: tokenOf(logtotest.Token{Scopes: strings.Fields("q\"\\ a b c d e f g h i j k l m n o p q r s t u v")})},
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
		{name: "no key can be had, no answer", args: explain + " -timeout 3s", paths: keySet(logtotest.Hang()), token: good},
		{name: "no key can be had, cut off", args: explain, paths: keySet(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Cut", "yes")
			_, _ = w.Write([]byte(`{"keys":[]}`))
		})), token: good},
		{name: "a configuration that is refused, and a token", args: "explain -endpoint http://logto:3001 -audience " + api, token: good},
		{name: "decoded", args: "explain", token: tokenOf(logtotest.Token{Organization: "org1", Claims: map[string]any{"b": 1, "a": []any{true, nil}, "nbf": 1795570000.5, "inner": "eyJ.x.y", "long": strings.Repeat("y", 400)}})},
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
				start := time.Now()
				status := run(args, strings.NewReader(stdin), &out, &out)
				fmt.Fprintf(&out, "status %d after %v\n", status, time.Since(start))
				if tt.json {
					run(append(args, "-json"), strings.NewReader(stdin), &out, &out)
				}
				// Two timers end at once: http.Client may say so, or not.
				got := strings.NewReplacer(i.KeyID(), "(the ID of the key)", " (Client.Timeout exceeded while awaiting headers)", "").Replace(out.String())
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

// How a report is written for eyes, to the last space.
func TestText(t *testing.T) {
	r := &report{Command: "doctor", subject: "a\tb", OK: true, Verdict: "ok", Summary: "one two three four five six seven eight nine ten eleven twelve", Config: "logto.Config{}"}
	r.add("first", ok, "aaaaaaaaa bbbbbbbbbb cccccccccc dddddddddd eeeeeeeee f gggggggggg", "")
	r.add("second", warn, "x", "aaaaaaaaa bbbbbbbbbb cccccccccc dddddddddd eeeeeeeee ff")
	r.add("third", fail, "x", "")
	r.add("fourth", note, "ä\u202e", "")
	for _, name := range []string{"fifth", "sixth", "seventh"} {
		r.add(name, skip, "why", "")
	}
	r.add("eighth", skip, "why else", "")
	r.Requirements = []requirement{{"a", true, "x"}, {"b", false, "aaaaaaaaa bbbbbbbbb ccccccccc ddddddddd eee fff"}}
	r.Token = &token{Claims: map[string]any{"exp": 1, "iat": 2, "z": "<\u202e>", "zz": math.NaN()}, times: map[string]string{"iat": "now"}}
	want := "\x1b[1mlogto doctor  a\\tb\x1b[0m\n" +
		"\nclaims\n  iat               2  \x1b[2mnow\x1b[0m\n  exp               1\n  z                 \"\\u003c\\u202e\\u003e\"\n  zz                ?\n" +
		"\n\x1b[32mok  \x1b[0m  first         aaaaaaaaa bbbbbbbbbb cccccccccc\n                    dddddddddd eeeeeeeee f gggggggggg\n" +
		"\x1b[33mwarn\x1b[0m  second        x\n                  > aaaaaaaaa bbbbbbbbbb cccccccccc\n                    dddddddddd eeeeeeeee ff\n" +
		"\x1b[1;31mFAIL\x1b[0m  third         x\n" +
		"\x1b[36mnote\x1b[0m  fourth        ä\\u202e\n" +
		"\x1b[2mskip\x1b[0m  …             why: fifth, sixth, seventh\n" +
		"\x1b[2mskip\x1b[0m  eighth        why else\n" +
		"\nrequirements of a route\n\x1b[32mmeets\x1b[0m  a\n\x1b[2mno   \x1b[0m  b: aaaaaaaaa bbbbbbbbb ccccccccc ddddddddd eee\n       fff\n" +
		"\n\x1b[%smone two three four five six seven eight nine ten\neleven twelve\x1b[0m\n" +
		"\nConfig:\n\nlogto.Config{}\n"
	for _, tt := range []struct {
		ok              bool
		verdict, colour string
	}{{true, "ok", "32"}, {false, "ok", "1;31"}, {true, "unverified", "33"}, {false, "unverified", "1;31"}} {
		var out bytes.Buffer
		r.OK, r.Verdict = tt.ok, tt.verdict
		if err := r.writeText(&out, style{colour: true, width: 53}); err != nil || out.String() != fmt.Sprintf(want, tt.colour) {
			t.Errorf("%v %s: %v, got\n%q\nwant\n%q", tt.ok, tt.verdict, err, out.String(), fmt.Sprintf(want, tt.colour))
		}
	}
	for n, want := range map[int]string{40: "x40               1\n", 41: "x40               1\n  … and 1 more\n"} {
		many := &token{Claims: map[string]any{}}
		for i := range n {
			many.Claims[fmt.Sprintf("x%02d", i+1)] = 1
		}
		var b strings.Builder
		many.write(&b, func(_, text string) string { return text })
		if got := b.String(); !strings.HasSuffix(got, want) || !strings.HasPrefix(got, "claims\n  x01               1\n  x02 ") {
			t.Errorf("%d claims:\n%s", n, got)
		}
	}
	if err := r.writeText(broken{}, style{}); err == nil {
		t.Error("no error of the writer")
	}
}

// JSON is ASCII, whatever is in it.
func TestJSON(t *testing.T) {
	var out bytes.Buffer
	if err := (&report{Summary: "<~\x7f\u00a0\uffff\U00010000\U0010ffff>"}).writeJSON(&out); err != nil {
		t.Fatal(err)
	}
	const want = `{"command":"","ok":false,"verdict":"","reason":"","summary":"<~\u007f\u00a0\uffff\ud800\udc00\udbff\udfff>","checks":[]}`
	if got := strings.NewReplacer("\n", "", "  ", "", ": ", ":").Replace(out.String()); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	out.Reset()
	if err := (&report{Token: &token{Claims: map[string]any{"x": math.NaN()}}}).writeJSON(&out); err == nil || out.Len() > 0 {
		t.Errorf("%v, %q of what is no JSON", err, out.String())
	}
	if err := (&report{}).writeJSON(broken{}); err == nil {
		t.Error("no error of the writer")
	}
}

func TestShort(t *testing.T) {
	for _, tt := range []struct {
		s    string
		most int
		want string
	}{{"abc", 3, "abc"}, {"abcd", 3, "abc…"}, {"aää", 2, "a…"}, {"aää", 3, "aä…"}, {"\x80\x80", 1, "…"}, {"", 0, ""}} {
		if got := short(tt.s, tt.most); got != tt.want {
			t.Errorf("short(%q, %d) = %q, want %q", tt.s, tt.most, got, tt.want)
		}
	}
	for s, want := range map[string]string{"a b": "a b", "\xffa": `\xffa`, "\ufffd": "\ufffd", "\u00a0'\"": `\u00a0'"`} {
		if got := clean(s); got != want {
			t.Errorf("clean(%q) = %q, want %q", s, got, want)
		}
	}
}

func TestDistance(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "in 0s", -time.Second: "1s ago", 1499 * time.Millisecond: "in 1s", 10*time.Minute - time.Second: "in 9m59s",
		10 * time.Minute: "in 10m", -89 * time.Second: "1m29s ago", 90*time.Minute + 29*time.Second: "in 1h30m", -time.Hour: "1h ago", 48 * time.Hour: "in 48h",
	} {
		if got := distance(d); got != want {
			t.Errorf("distance(%v) = %q, want %q", d, got, want)
		}
	}
}

// What is shown of a token is bounded.
func TestShowable(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n) }
	numbers := func(n int) []any { return slices.Repeat([]any{json.Number("1")}, n) }
	for _, tt := range []struct {
		name     string
		in, want any
	}{
		{"text", long(1000), long(1000)},
		{"long text", long(1001), long(1000) + "…"},
		{"number", json.Number(strings.Repeat("1", 40)), json.Number(strings.Repeat("1", 40))},
		{"long number", json.Number(strings.Repeat("1", 41)), strings.Repeat("1", 40) + "…"},
		{"long name", map[string]any{long(201): true, long(200): nil}, map[string]any{long(200) + "…": true, long(200): nil}},
		{"list", numbers(100), numbers(100)},
		{"long list", numbers(101), numbers(100)},
		{"token", []any{"eyJ.b.c"}, []any{"(a token of 7 characters, left out)"}},
		{"like a token", []any{"eyJ.b", "x.y.z"}, []any{"eyJ.b", "x.y.z"}},
	} {
		if got := showable(tt.in); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
	if got := showable(map[string]any(nil)).(map[string]any); got != nil {
		t.Errorf("an object that is none: %v", got)
	}
}

func TestClaimTime(t *testing.T) {
	for number, want := range map[string]int64{"0": 0, "-0.1": -1, "1": 1, "1.9": 1, "253402300799": 253402300799, "253402300800": -1, "x": -1, "": -1} {
		e := &explainer{claims: map[string]any{"exp": json.Number(number)}}
		if got, ok := e.time("exp"); ok != (want >= 0) || ok && got.Unix() != want {
			t.Errorf("%q: %v, %v", number, got, ok)
		}
	}
}

// The Date of an answer is cut to its second, and was written somewhere in between.
func TestClockBounds(t *testing.T) {
	date := time.Date(2026, 11, 25, 1, 45, 0, 0, time.UTC)
	header := http.Header{"Date": {date.Format(http.TimeFormat)}}
	for ahead, want := range map[time.Duration]string{
		2 * time.Second: ok, -2 * time.Second: ok, 2*time.Second + 1: warn, -2*time.Second - 1: warn,
		30*time.Second - 1: warn, -30*time.Second + 1: warn, 30 * time.Second: fail, -30 * time.Second: fail,
	} {
		r := &report{}
		r.clock(&recorder{seen: []*exchange{
			{status: 200, header: http.Header{"Date": {date.Add(time.Hour).Format(http.TimeFormat)}}}, // an older answer
			{status: 200, header: header, start: date.Add(ahead - 500*time.Millisecond), took: 2 * time.Second},
			{status: 200, header: http.Header{"Date": {"today"}}},
			{header: header}, // none came
		}})
		if got := r.Checks[0]; got.Status != want {
			t.Errorf("%v ahead: %+v, want %s", ahead, got, want)
		}
	}
}

func TestTerminal(t *testing.T) {
	for columns, want := range map[string]int{"": 80, "x": 80, "59": 60, "60": 60, "100": 100, "120": 120, "121": 120} {
		t.Setenv("COLUMNS", columns)
		if got := terminalWidth(); got != want {
			t.Errorf("COLUMNS=%q: %d, want %d", columns, got, want)
		}
	}
}

// A transport that keeps what it saw answers with that.
func TestRecorder(t *testing.T) {
	asked := 0
	r := &recorder{next: network{"a.test": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		if r.Header.Get("Accept") != "application/json" {
			t.Errorf("asked with %v", r.Header)
		}
		w.Header().Set("X-Test", "yes")
		_, _ = w.Write(bytes.Repeat([]byte("x"), maxBody+len(r.URL.Path)-1))
	})}}
	if r.first() != nil || r.last() != nil || r.exchange("https://a.test/") != nil {
		t.Error("an exchange before the first")
	}
	for range 2 {
		if x, err := r.get(context.Background(), "https://a.test/", time.Second); err != nil || len(x.body) != maxBody || x.header.Get("X-Test") != "yes" || x.url != "https://a.test/" {
			t.Errorf("%v", err)
		}
		if x, err := r.get(context.Background(), "https://a.test/x", time.Second); err == nil || !strings.Contains(err.Error(), "over 1048576 bytes") || len(x.body) != maxBody+1 {
			t.Errorf("%v of an answer that is too large", err)
		}
		if _, err := r.get(context.Background(), "https://b.test/", time.Second); err == nil {
			t.Error("no error without a host")
		}
		if x, err := r.get(context.Background(), "https://a.test/%zz", time.Second); err == nil || x != nil {
			t.Error("no error of what is no URL")
		}
	}
	if asked != 2 || len(r.seen) != 3 || r.first().url != "https://a.test/" || r.last().url != "https://b.test/" {
		t.Errorf("asked %d times, %d kept", asked, len(r.seen))
	}
	if err := decodeJSON([]byte(`{} {}`), &struct{}{}); err == nil {
		t.Error("no error of what follows the JSON")
	}
	if got := host("%zz"); got != "%zz" {
		t.Errorf("the host of no URL is %q", got)
	}
}

// On a terminal there is a prompt, and a line is enough.
func TestReadToken(t *testing.T) {
	for _, tt := range []struct{ device, prompt, want string }{
		{os.DevNull, "", ""},
		{"/dev/zero", "Paste the token and press Enter", "standard input has over 64 KiB"}, // a device that isn't null, as a terminal is
	} {
		device, err := os.Open(tt.device)
		if err != nil {
			t.Skip(err)
		}
		defer device.Close()
		var errs bytes.Buffer
		token, err := readToken(device, &errs)
		if token != "" || tt.want == "" && err != nil || tt.want != "" && (err == nil || err.Error() != tt.want) || !strings.HasPrefix(errs.String(), tt.prompt) || tt.prompt == "" && errs.Len() > 0 {
			t.Errorf("%s: %q, %v, %q", tt.device, token, err, errs.String())
		}
	}
	if _, err := readToken(failing{errors.New("broken")}, nil); err == nil || err.Error() != "reading standard input: broken" {
		t.Errorf("of an input that is broken: %v", err)
	}
	file, err := os.Open("testdata/README.md")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if isTerminal(file) || isNull(file) || isTerminal(1) || isNull(1) {
		t.Error("a file is a terminal, or null")
	}
	if err := file.Close(); err != nil || isTerminal(file) || isNull(file) {
		t.Error("a closed file is a terminal, or null")
	}
}

// The process ends with the status.
func TestExit(t *testing.T) {
	for args, want := range map[string]int{"-h": 0, "look": 2} {
		cmd := exec.Command(os.Args[0], args)
		cmd.Env = append(os.Environ(), "LOGTO_TEST_MAIN=1")
		if _ = cmd.Run(); cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != want {
			t.Errorf("logto %s: %v, want %d", args, cmd.ProcessState, want)
		}
	}
}
