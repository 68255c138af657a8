package policy

import (
	"net"
	"net/http"
	"time"

	"github.com/seed-70fe37f4/logto/internal/quote"
)

// NewTransport makes the transport that asks Logto where none is configured. It
// takes the proxy from the environment.
func NewTransport() *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		ForceAttemptHTTP2:      true,
		TLSHandshakeTimeout:    5 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		// A connection is needed every few minutes, and each that is kept
		// open keeps two goroutines.
		DisableKeepAlives: true,
	}
}

// A RedirectError tells of a redirect that was not followed.
type RedirectError struct{ text string }

func (e *RedirectError) Error() string { return e.text }

// CheckRedirect follows 3 redirects, none of them to another host or from https to
// http: keys from there could be anybody's. The error is a [RedirectError].
func CheckRedirect(req *http.Request, via []*http.Request) error {
	last := via[len(via)-1].URL
	switch {
	case len(via) > 3:
		return &RedirectError{"more than 3 redirects"}
	case req.URL.Host != last.Host:
		return &RedirectError{"redirect to another host, " + quote.String(req.URL.Host)}
	case last.Scheme == "https" && req.URL.Scheme != "https":
		return &RedirectError{"redirect from https to http"}
	}
	return nil
}
