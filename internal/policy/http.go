package policy

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/seed-70fe37f4/logto/internal/quote"
)

// UserAgent is the library's own part of the User-Agent header.
const UserAgent = "logto-go"

// IsUserAgent reports whether s can stand in a User-Agent header; "" can.
func IsUserAgent(s string) bool {
	return s == strings.TrimSpace(s) && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r >= 0x7f })
}

// NewTransport makes the transport that asks Logto where none is configured. It
// takes the proxy from the environment, but for loopback: what [IsLoopback] says is
// this machine is asked on this machine, whatever proxies and name servers say.
func NewTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	return &http.Transport{
		Proxy: func(r *http.Request) (*url.URL, error) {
			if IsLoopback(r.URL.Hostname()) {
				return nil, nil
			}
			return http.ProxyFromEnvironment(r)
		},
		OnProxyConnectResponse: func(_ context.Context, _ *url.URL, _ *http.Request, res *http.Response) error {
			if res.StatusCode == http.StatusOK {
				return nil
			}
			return &ProxyError{Status: res.Status}
		},
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if host, port, err := net.SplitHostPort(address); err == nil && belowLocalhost(host) {
				address = net.JoinHostPort("localhost", port)
			}
			return dialer.DialContext(ctx, network, address)
		},
		ForceAttemptHTTP2:      true,
		TLSHandshakeTimeout:    5 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		// A connection is needed every few minutes, and each that is kept
		// open keeps two goroutines.
		DisableKeepAlives: true,
	}
}

// A ProxyError tells of a proxy that connects to nobody, and how it answered.
type ProxyError struct{ Status string }

func (e *ProxyError) Error() string { return "the proxy answered " + quote.String(e.Status) }

// A RedirectError tells of a redirect that was not followed.
type RedirectError struct{ text, hint string }

func (e *RedirectError) Error() string { return e.text }

// CheckRedirect follows 3 redirects, none of them to another host or from https to
// http: keys from there could be anybody's. The error is a [RedirectError].
func CheckRedirect(req *http.Request, via []*http.Request) error {
	last := via[len(via)-1].URL
	switch {
	case len(via) > 3:
		return &RedirectError{"more than 3 redirects", "the address leads in a circle: is there a proxy that sends from http to https and back, or to a page for signing in?"}
	case req.URL.Host != last.Host:
		return &RedirectError{"redirect to another host, " + quote.String(req.URL.Host),
			"a redirect to another host is not followed, as keys from there could be anybody's: configure the address where it leads, if that is your Logto"}
	case last.Scheme == "https" && req.URL.Scheme != "https":
		return &RedirectError{"redirect from https to http",
			"a redirect to http is not followed, as whoever can change the answer can sign tokens: behind a TLS proxy, set Logto's ENDPOINT to the https address and TRUST_PROXY_HEADER=1"}
	}
	return nil
}
