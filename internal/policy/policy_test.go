package policy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestIsLoopback(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "LocalHost": true, "localhost.": true, "logto.localhost": true, "a.b.LOCALHOST": true, "logto.localhost.": true,
		"127.0.0.1": true, "127.9.9.9": true, "::1": true, "::1%lo": true, "::ffff:127.0.0.1": true,
		"": false, ".": false, "localhost..": false, ".localhost": false, "a..localhost": false, "evillocalhost": false, "localhost.evil.test": false,
		"127.1": false, "127.0.0.1.": false, "0.0.0.0": false, "::": false, "::2": false, "fe80::1%lo": false, "::ffff:10.0.0.1": false,
		"10.0.0.1": false, "localhost.localdomain": false, "ip6-localhost": false, "2130706433": false, "0x7f000001": false, "host.docker.internal": false,
	} {
		if got := IsLoopback(host); got != want {
			t.Errorf("%q: %v", host, got)
		}
	}
}

// What is called loopback is asked on this machine, whatever the name service and the
// environment's proxy say.
func TestLoopbackStaysHere(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "here: "+r.Host) }))
	defer server.Close()
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	t.Setenv("http_proxy", "http://127.0.0.1:1")
	transport := NewTransport()
	for _, host := range []string{"localhost", "no-such-name.localhost", "no-such-name.localhost."} {
		res, err := (&http.Client{Transport: transport}).Get("http://" + net.JoinHostPort(host, port))
		if err != nil {
			t.Errorf("%s: %v", host, err)
			continue
		}
		body, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if !strings.HasPrefix(string(body), "here: ") {
			t.Errorf("%s: %s", host, body)
		}
		if proxy, err := transport.Proxy(res.Request); proxy != nil || err != nil {
			t.Errorf("%s: proxy %v, %v", host, proxy, err)
		}
	}
}

// Errors as net/http makes them, each with the advice that fits. Another name for Logto
// is the advice for two of them.
func TestNetworkHint(t *testing.T) {
	ok := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	quiet := func(s *httptest.Server) *httptest.Server {
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		t.Cleanup(s.Close)
		return s
	}
	plain := quiet(httptest.NewServer(ok))
	secure := quiet(httptest.NewTLSServer(ok))
	mutual := httptest.NewUnstartedServer(ok)
	mutual.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	mutual.StartTLS()
	quiet(mutual)
	gone := httptest.NewServer(ok)
	gone.Close()
	refusing := quiet(httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status := map[string]int{"password.test:443": 407, "forbidden.test:443": 403, "unknown.test:443": 502, "failing.test:443": 500}[r.Host]
		w.WriteHeader(status)
	})))
	roots := x509.NewCertPool()
	for _, s := range []*httptest.Server{secure, mutual} {
		roots.AddCert(s.Certificate())
	}
	trusting := &tls.Config{RootCAs: roots}
	through := func(proxy string) func(*http.Transport) {
		return func(t *http.Transport) {
			u, err := url.Parse(proxy)
			if err != nil {
				panic(err)
			}
			t.Proxy = http.ProxyURL(u)
		}
	}
	dial := func(err error) func(*http.Transport) {
		return func(t *http.Transport) {
			t.DialContext = func(context.Context, string, string) (net.Conn, error) {
				return nil, &net.OpError{Op: "dial", Net: "tcp", Err: err}
			}
		}
	}
	both := func(a, b func(*http.Transport)) func(*http.Transport) {
		return func(t *http.Transport) { a(t); b(t) }
	}
	answers := func(text string) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = c.Read(make([]byte, 4096)) // as servers do, it speaks second
				_, _ = io.WriteString(c, text)
				_ = c.(*net.TCPConn).CloseWrite()
				_, _ = io.Copy(io.Discard, c)
				_ = c.Close()
			}
		}()
		return l.Addr().String()
	}
	notFound := &net.DNSError{Err: "no such host", Name: "logto", IsNotFound: true}
	const another = "Config.JWKSURL"
	for _, test := range []struct {
		name, address string
		change        func(*http.Transport)
		short, long   string
		tls           bool
	}{
		{"name not known", "https://logto/", dial(notFound), another, "the name is not known", false},
		{"refused", gone.URL, nil, another, "nothing listens there", false},
		{"name service fails", "https://logto/", dial(&net.DNSError{Err: "server misbehaving", Name: "logto", IsTemporary: true}), "name service", "DNS settings", false},
		{"name service is silent", "https://logto/", dial(&net.DNSError{Err: "i/o timeout", Name: "logto", IsTimeout: true}), "name service", "DNS settings", false},
		{"no route", "https://10.0.0.1/", dial(errors.New("connect: no route to host")), "no way from here", "network up", false},
		{"no network", "https://10.0.0.1/", dial(errors.New("connect: network is unreachable")), "no way from here", "network up", false},
		{"proxy refuses", "https://a.test/", through(gone.URL), "it is the proxy that fails", "NO_PROXY", false},
		{"proxy refuses, http", "http://a.test/", through(gone.URL), "it is the proxy that fails", "NO_PROXY", false},
		{"proxy not known", "https://a.test/", both(through("http://proxy:3128"), dial(&net.DNSError{Err: "no such host", Name: "proxy", IsNotFound: true})), "it is the proxy that fails", "not Logto", false},
		{"proxy's certificate", "https://a.test/", through(secure.URL), "it is the proxy that fails", "NO_PROXY", false},
		{"SOCKS proxy refuses", "https://a.test/", through("socks5" + strings.TrimPrefix(gone.URL, "http")), "it is the proxy that fails", "NO_PROXY", false},
		{"SOCKS proxy speaks something else", "https://a.test/", through("socks5://" + answers("SSH-2.0-OpenSSH\r\n")), "it is the proxy that fails", "NO_PROXY", false},
		{"proxy wants a password", "https://password.test/", through(refusing.URL), "asks for a password", "HTTPS_PROXY=http://user:password@", false},
		{"proxy forbids", "https://forbidden.test/", through(refusing.URL), "the proxy refuses", "NO_PROXY", false},
		{"proxy can't reach it", "https://unknown.test/", through(refusing.URL), "the proxy can't reach Logto", "NO_PROXY", false},
		{"proxy fails", "https://failing.test/", through(refusing.URL), "the proxy can't reach Logto", "NO_PROXY", false},
		// As systems and clients of other kinds say it.
		{"name not known, in other words", "https://logto/", dial(&net.DNSError{Err: "Name or service not known", Name: "logto", IsNotFound: true}), another, "the name is not known", false},
		{"name not known, by text alone", "https://logto/", dial(errors.New("lookup logto: no such host")), another, "the name is not known", false},
		{"refused, on Windows", "https://10.0.0.1/", dial(errors.New("connectex: No connection could be made because the target machine actively refused it.")), another, "nothing listens there", false},
		{"cut, in the middle", "https://10.0.0.1/", dial(io.ErrUnexpectedEOF), "breaks the connection", "breaks the connection", false},
		{"reset", "https://10.0.0.1/", dial(errors.New("read: connection reset by peer")), "breaks the connection", "breaks the connection", false},
		{"reset, on Windows", "https://10.0.0.1/", dial(errors.New("wsarecv: An existing connection was forcibly closed by the remote host.")), "breaks the connection", "breaks the connection", false},
		{"broken pipe", "https://10.0.0.1/", dial(errors.New("write: broken pipe")), "breaks the connection", "breaks the connection", false},
		{"invalid certificate", "https://10.0.0.1/", dial(x509.CertificateInvalidError{Reason: x509.NotAuthorizedToSign}), "not accepted", "whole chain", true},
		{"no TLS, by text alone", "https://10.0.0.1/", dial(errors.New("tls: first record does not look like a TLS handshake")), "doesn't speak TLS", "the proxy's address", true},
		{"unknown authority", secure.URL, nil, "CA certificates", "SSL_CERT_FILE", true},
		{"another name's certificate", secure.URL, func(t *http.Transport) {
			t.TLSClientConfig = &tls.Config{RootCAs: roots, ServerName: "other.test"}
		}, "for another name", "use the name in the certificate", true},
		{"expired certificate", secure.URL, func(t *http.Transport) {
			t.TLSClientConfig = &tls.Config{RootCAs: roots, Time: func() time.Time { return time.Now().AddDate(200, 0, 0) }}
		}, "out of date", "renew", true},
		{"https to a port of http", strings.Replace(plain.URL, "http", "https", 1), nil, "doesn't speak TLS", "the proxy's address", true},
		{"TLS to a port of something else", "https://" + answers("SSH-2.0-OpenSSH\r\n"), nil, "doesn't speak TLS", "the proxy's address", true},
		{"client certificate wanted", mutual.URL, func(t *http.Transport) { t.TLSClientConfig = trusting }, "client certificate", "client certificate", true},
		{"http to something else", "http://" + answers("SSH-2.0-OpenSSH\r\n"), nil, "doesn't speak HTTP", "a port for https", false},
		{"cut", "http://" + answers(""), nil, "breaks the connection", "breaks the connection", false},
		{"time-out", "http://" + answers(""), func(t *http.Transport) {
			t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }
		}, "a firewall", "HTTPS_PROXY", false},
		{"time-out of the network's", "https://10.0.0.1/", dial(os.ErrDeadlineExceeded), "a firewall", "HTTPS_PROXY", false},
		{"a client of one's own", "https://a.test/", dial(errors.New("vault is sealed")), "", "Config.HTTPClient", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			transport := NewTransport()
			transport.Proxy = nil
			if test.change != nil {
				test.change(transport)
			}
			timeout := time.Minute
			if test.name == "time-out" {
				timeout = time.Millisecond
			}
			_, err := (&http.Client{Transport: transport, Timeout: timeout}).Get(test.address)
			if err == nil {
				t.Fatal("no error")
			}
			hint := NetworkHint(err)
			if !strings.Contains(hint.Short, test.short) || (test.short == "") != (hint.Short == "") || !strings.Contains(hint.Long, test.long) || hint.TLS != test.tls {
				t.Errorf("%v:\n%+v", err, hint)
			}
			if strings.Contains(hint.Short+hint.Long, another) != (test.short == another) {
				t.Errorf("%v: another name is the advice: %+v", err, hint)
			}
			// What is shown keeps what the kinds are told by, and tells no more.
			shown := FetchError(err)
			if again := NetworkHint(shown); again != hint {
				t.Errorf("as shown: %+v", again)
			}
			if n := len(shown.Error()); n > 300 { // the library would cut it
				t.Errorf("%d bytes: %v", n, shown)
			}
			if text := shown.Error(); !strings.HasSuffix(text, "("+hint.Short+")") && hint.Short != "" || strings.Contains(text, test.address) {
				t.Errorf("text %q", text)
			}
		})
	}
}

func TestRedirectHints(t *testing.T) {
	get := func(address string) *http.Request { return httptest.NewRequest("GET", address, nil) }
	long := make([]*http.Request, 4)
	for i := range long {
		long[i] = get("https://a.test/")
	}
	for want, err := range map[string]error{
		"in a circle":      CheckRedirect(get("https://a.test/"), long),
		"where it leads":   CheckRedirect(get("https://b.test/"), []*http.Request{get("https://a.test/")}),
		"behind a TLS pro": CheckRedirect(get("http://a.test/"), []*http.Request{get("https://a.test/")}),
	} {
		if hint := NetworkHint(fmt.Errorf("wrapped: %w", err)); !strings.Contains(hint.Long, want) {
			t.Errorf("%v: %+v", err, hint)
		}
	}
}

func TestQuerySecrets(t *testing.T) {
	for _, test := range []struct{ address, text, want string }{
		{"https://a.test/jwks?Hush", "at /jwks?Hush: no", "at /jwks?…: no"},
		{"https://a.test/jwks?a=1&key=Hush", "the key Hush is wrong", "the key … is wrong"},
		{"https://a.test/jwks?a=1;key=Hush", "the key Hush is wrong", "the key … is wrong"},
		{"https://a.test/jwks?key=Hu%2fsh", "the key Hu%2fsh is wrong", "the key … is wrong"}, // as it is written
		{"https://a.test/jwks?key=Hu%2fsh", "the key Hu%2Fsh is wrong", "the key … is wrong"}, // as others write it
		{"https://a.test/jwks?key=Hu%2fsh", "the key Hu/sh is wrong", "the key … is wrong"},   // decoded
		{"https://a.test/jwks?key=Hu%zzsh", "the key Hu%zzsh is wrong", "the key … is wrong"},
		{"https://a.test/jwks?key=", "nothing is secret", "nothing is secret"},
	} {
		if got := QuerySecrets(test.address).Replace(test.text); got != test.want {
			t.Errorf("%s: %s", test.address, got)
		}
	}
	for _, address := range []string{"https://a.test/jwks", "https://a.test/jwks?", "%zz?key=Hush"} {
		if QuerySecrets(address) != nil {
			t.Errorf("%s: there is nothing to hide", address)
		}
	}
}

func TestShown(t *testing.T) {
	for address, want := range map[string]string{
		"":                                  "",
		"https://a.test/oidc/jwks":          "https://a.test/oidc/jwks",
		"https://a.test/oidc/jwks?key=Hush": "https://a.test/oidc/jwks?…",
		"https://a.test/jwks?mail=a@Hush":   "https://a.test/jwks?…",
		"https://a.test/jwks#Hush":          "https://a.test/jwks#…",
		"https://u:Hush@a.test/jwks":        "https://…@a.test/jwks",
		"https://Hush@a.test/jwks?Hush#x":   "https://…@a.test/jwks?…",
		"http://u:Hu/sh@a.test:3128":        "http://…@a.test:3128",
		"http://u:Hu?sh@a.test:3128":        "http://…@a.test:3128",
		"http://u:Hu#sh@a.test:3128/x?Hush": "http://…@a.test:3128/x?…",
		"http://u:Hush%zz@a.test":           "http://…@a.test",
		"u:Hush@a.test:3128":                "…@a.test:3128",
		"a.test?Hush":                       "a.test?…",
		"https://a.test/?":                  "https://a.test/?…",
		"?Hush":                             "?…",
		"#Hush":                             "#…",
		"@a.test":                           "…@a.test",
		"https://@a.test":                   "https://…@a.test",
		"http://[::1]:3001/oidc/jwks?Hush":  "http://[::1]:3001/oidc/jwks?…",
		"socks5://u:Hush@a.test":            "socks5://…@a.test",
	} {
		if got := Shown(address); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
		if got := ShownText(`say "` + address + `": no`); strings.Contains(address, "://") && got != `say "`+want+`": no` {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
	if got := ShownText(`parse "http://u:Hush": no`); got != "an address is no URL" {
		t.Errorf("an address that can't be read: %s", got)
	}
	parse := func(address string) error { _, err := url.Parse(address); return err }
	for _, err := range []error{
		&url.Error{Op: "Get", URL: "https://a.test/?Hush", Err: io.EOF},
		&url.Error{Op: "Get", URL: "https://a.test/", Err: fmt.Errorf("asking http://u:Hush@proxy:3128/?Hush: %w", io.EOF)},
		&url.Error{Op: "Get", URL: "https://a.test/", Err: parse("http://u:Hush/x@proxy")},
		&url.Error{Op: "Get", URL: "https://a.test/", Err: fmt.Errorf("invalid proxy address %q: %v", "http://u:Hush/x@proxy", parse("http://u:Hush/x@proxy"))},
		parse("http://u:Hush/x@proxy"),
	} {
		for _, shown := range []error{ShownError(err), FetchError(err)} {
			if text := fmt.Sprintf("%v %+v %s", shown, shown, shown); strings.Contains(text, "Hush") {
				t.Errorf("%v: shown as %s", err, text)
			}
			if errors.Is(shown, io.EOF) != errors.Is(err, io.EOF) {
				t.Errorf("%v: the cause is lost", err)
			}
		}
	}
}

func TestCompareIssuers(t *testing.T) {
	for _, test := range []struct {
		name, got, want, text string
		kind                  int // from which on up to SameLogto it is one Logto
	}{
		{"no /oidc", "https://a.test/oidc", "https://a.test", "lacks /oidc", 1},
		{"no /oidc, slash", "https://a.test/oidc", "https://a.test/", "lacks /oidc", 1},
		{"slash", "https://a.test/oidc", "https://a.test/oidc/", "by a slash", 1},
		{"http", "http://a.test/oidc", "https://a.test/oidc", "TRUST_PROXY_HEADER", 1},
		{"https", "https://a.test/oidc", "http://a.test/oidc", "by https", 1},
		{"case", "https://a.test/oidc", "https://A.test/oidc", "upper and lower case", 2},
		{"port that goes without saying", "https://a.test/oidc", "https://a.test:443/oidc", "goes without saying", 2},
		{"dot", "https://a.test/oidc", "https://a.test./oidc", "goes without saying", 2},
		{"path", "https://a.test/tenant/oidc", "https://a.test/oidc", "by the path", 3},
		{"page", "https://a.test/oidc", "https://a.test/sign-in/oidc", "by the path", 3},
		{"port", "https://a.test:3001/oidc", "https://a.test/oidc", "by the port", 3},
		{"console's port", "http://localhost:3001/oidc", "http://localhost:3002/oidc", "3002", 3},
		{"loopback", "http://localhost:3001/oidc", "http://127.0.0.1:3001/oidc", "both are this machine", 3},
		{"an emulator's token", "http://localhost:3001/emulator/oidc", "https://tenant.logto.app/oidc", "the token is from logto emulate", 4},
		{"an emulator's token, of the same host", "http://localhost:3001/emulator/oidc", "http://localhost:3001/oidc", "the token is from logto emulate", 4},
		{"an emulator's token, of a path", "http://127.0.0.1:3001/a/emulator/oidc", "http://localhost:3001/a/oidc", "the token is from logto emulate", 4},
		{"an emulator configured", "https://tenant.logto.app/oidc", "http://localhost:3001/emulator/oidc", "configured for logto emulate", 4},
		{"two emulators", "http://localhost:3001/emulator/oidc", "http://127.0.0.1:3001/emulator/oidc", "both are this machine", 3},
		{"two emulators, by the port", "http://localhost:3001/emulator/oidc", "http://localhost:3002/emulator/oidc", "3002", 3},
		{"an emulator without /oidc", "http://localhost:3001/emulator/oidc", "http://localhost:3001/emulator", "lacks /oidc", 1},
		{"a name like it", "https://tenant.logto.app/myemulator/oidc", "https://tenant.logto.app/oidc", "by the path", 3},
		{"not Logto's", "https://accounts.google.com", "https://a.test/oidc", "not Logto's", 8},
		{"letter changed", "https://tenant.logto.app/oidc", "https://tanant.logto.app/oidc", "typo", 4},
		{"letter missing", "https://auth.example.com/oidc", "https://auth.exmple.com/oidc", "typo", 4},
		{"letters swapped", "https://auth.example.com/oidc", "https://auth.exmaple.com/oidc", "typo", 4},
		{"two letters", "https://auth.example.com/oidc", "https://auht.example.co/oidc", "custom domain", 6}, // three changes
		{"labels swapped", "https://auth.example.com/oidc", "https://example.auth.com/oidc", "typo", 4},
		{"another tenant", "https://abc123.logto.app/oidc", "https://xyz789.logto.app/oidc", "two tenants", 5},
		{"internal name configured", "https://auth.example.com/oidc", "http://logto:3001/oidc", "the configured issuer has a name for internal use", 5},
		{"internal name in the token", "http://localhost:3001/oidc", "https://auth.example.com/oidc", "Logto calls itself by a name for internal use", 5},
		{"custom domain", "https://auth.example.com/oidc", "https://tenant.logto.app/oidc", "custom domain", 6},
		{"another Logto", "https://auth.example.com/oidc", "https://id.company.test/oidc", "another Logto", 6},
		{"port of http that goes without saying", "http://a.test/oidc", "http://a.test:80/oidc", "goes without saying", 2},
		{"port of https, by http", "http://a.test/oidc", "http://a.test:443/oidc", "by the port", 3},
		{"port of http, by https", "https://a.test/oidc", "https://a.test:80/oidc", "by the port", 3},
		{"console's port in the token", "http://localhost:3002/oidc", "http://localhost:3001/oidc", "3002", 3},
		{"private address configured", "https://auth.example.com/oidc", "http://10.0.0.1/oidc", "the configured issuer has a name for internal use", 5},
		{"loopback configured", "https://auth.example.com/oidc", "http://127.0.0.1/oidc", "the configured issuer has a name for internal use", 5},
		{"public address configured", "https://auth.example.com/oidc", "http://192.0.2.1/oidc", "custom domain", 6},
		{"longest", "https://auth.example.com/" + strings.Repeat("a", 470) + "/oidc", "https://id.company.test/oidc", "custom domain", 6},
		{"longest, another case", "https://a.test/" + strings.Repeat("a", 480) + "/oidc", "https://A.test/" + strings.Repeat("a", 480) + "/oidc", "upper and lower case", 2},
		{"one byte more", "https://auth.example.com/" + strings.Repeat("a", 471) + "/oidc", "https://id.company.test/oidc", "not from this Logto", 9},
		{"no URL", "tenant", "https://a.test/oidc", "not from this Logto", 9},
		{"not even a URL", "\x00", "https://a.test/oidc", "not from this Logto", 9},
		{"huge", "https://" + strings.Repeat("a", 1<<20) + "/oidc", "https://a.test/oidc", "not", 9},
	} {
		if got := CompareIssuers(test.got, test.want); !strings.Contains(got.Text, test.text) || got.Remedy == "" || got.Kind != test.kind || (got.Kind <= SameLogto) != (test.kind <= 3) ||
			strings.Contains(got.Text, "3002") != (test.text == "3002") {
			t.Errorf("%s: %+v", test.name, got)
		}
	}
}

func TestNear(t *testing.T) {
	for _, test := range []struct {
		a, b string
		n    int // the fewest changes
	}{
		{"", "", 0}, {"a", "a", 0}, {"abc", "abc", 0},
		{"abc", "abx", 1}, {"abc", "xbc", 1}, {"abc", "axc", 1},
		{"abc", "ab", 1}, {"abc", "bc", 1}, {"abc", "ac", 1}, {"ab", "abc", 1}, {"bc", "abc", 1}, {"ac", "abc", 1}, {"", "a", 1},
		{"abc", "acb", 2}, {"abcd", "xbcx", 2}, {"abcd", "bc", 2}, {"abcd", "cd", 2}, {"ab", "abcd", 2}, {"cd", "abcd", 2}, {"abcd", "bcdx", 2}, {"ab", "", 2},
		{"abc", "xyz", 3}, {"abcd", "dabx", 3}, {"abc", "", 3}, {"", "abc", 3}, {"abcdef", "abc", 3},
	} {
		for n := range 4 {
			if got := near(test.a, test.b, n); got != (test.n <= n) {
				t.Errorf("%q and %q by %d: %v", test.a, test.b, n, got)
			}
		}
	}
}

// A proxy that connects is gone through, HTTP/2 is spoken where the server does, headers
// have a bound, and no connection is kept.
func TestTransport(t *testing.T) {
	var from []string
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from = append(from, r.RemoteAddr)
		n, _ := strconv.Atoi(r.URL.Query().Get("header"))
		w.Header().Set("X", strings.Repeat("x", n))
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	plain := httptest.NewServer(server.Config.Handler)
	defer plain.Close()
	connects := 0
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		connects++
		to, err := net.Dial("tcp", r.Host)
		if err != nil {
			t.Error(err)
			return
		}
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(to, conn); _ = to.Close() }()
		_, _ = io.Copy(conn, to)
		_ = conn.Close()
	}))
	defer proxy.Close()
	transport := NewTransport()
	transport.TLSClientConfig = &tls.Config{RootCAs: x509.NewCertPool()}
	transport.TLSClientConfig.RootCAs.AddCert(server.Certificate())
	transport.Proxy = nil
	get := func(address string) (*http.Response, error) {
		res, err := (&http.Client{Transport: transport}).Get(address)
		if err == nil {
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
		}
		return res, err
	}
	if res, err := get(server.URL); err != nil || res.ProtoMajor != 2 {
		t.Errorf("by TLS: %+v, error %v", res, err)
	}
	from = nil
	for range 2 {
		if _, err := get(plain.URL); err != nil {
			t.Error(err)
		}
	}
	if len(from) != 2 || from[0] == from[1] {
		t.Errorf("from %v: want two connections", from)
	}
	for header, good := range map[int]bool{63 << 10: true, 64 << 10: false} {
		if _, err := get(fmt.Sprint(plain.URL, "?header=", header)); (err == nil) != good {
			t.Errorf("a header field of %d bytes: error %v", header, err)
		}
	}
	transport.Proxy = func(*http.Request) (*url.URL, error) { return url.Parse(proxy.URL) }
	if _, err := get(server.URL); err != nil || connects != 1 {
		t.Errorf("through a proxy: error %v, %d connections", err, connects)
	}
	// No other address than a name below localhost becomes another one.
	gone, leave := context.WithCancel(context.Background())
	leave()
	if _, err := transport.DialContext(gone, "tcp", "192.0.2.1:1"); err == nil || !strings.Contains(err.Error(), "192.0.2.1:1") {
		t.Errorf("error %v", err)
	}
}
