package policy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
)

// A Hint is the likely mistake behind a failed request to Logto.
type Hint struct {
	Short string // for the error that the library gives; "" if nothing is known
	Long  string // for whoever asks the command logto
	TLS   bool   // the connection was made, and TLS is what failed
}

const (
	otherName = "if Logto has another name from here, as in a container, set Config.JWKSURL to that"
	giveName  = "keep the public address in Endpoint and give the internal one as -jwks-url (Config.JWKSURL)"
)

// NetworkHint tells kinds of failures apart: another name for Logto helps only where
// Logto itself is what can't be found.
func NetworkHint(err error) Hint {
	var proxy *ProxyError
	var op *net.OpError
	var dns *net.DNSError
	var redirect *RedirectError
	switch text := err.Error(); {
	case errors.As(err, &proxy):
		return proxyHint(proxy.Status)
	// What net/http wraps so, the proxy's certificate included, concerns the proxy.
	case errors.As(err, &op) && (op.Op == "proxyconnect" || strings.HasPrefix(op.Op, "socks")):
		return Hint{Short: "it is the proxy that fails: see HTTPS_PROXY, HTTP_PROXY and NO_PROXY",
			Long: "it is the proxy that can't be used, not Logto: is its address right (HTTPS_PROXY, HTTP_PROXY, or that of Config.HTTPClient)? Or can Logto be reached without it (NO_PROXY)?"}
	case errors.As(err, &redirect):
		return Hint{Long: redirect.hint}
	case errors.As(err, &dns) && !dns.IsNotFound:
		return Hint{Short: "the name service doesn't answer",
			Long: "the name service of this machine doesn't answer, or not to this question: look at its DNS settings, in a container at those of the cluster"}
	case dns != nil, strings.Contains(text, "no such host"):
		return Hint{Short: otherName, Long: "the name is not known from here: is it spelled right? In a container or cluster Logto may have another one: " + giveName}
	}
	if hint := tlsHint(err); hint.Long != "" {
		hint.TLS = true
		return hint
	}
	// By their texts, as the errors of each system have values of their own.
	switch text := err.Error(); {
	case strings.Contains(text, "connection refused"), strings.Contains(text, "actively refused"):
		return Hint{Short: otherName, Long: "nothing listens there, seen from here. In a container, localhost is the container itself and Logto has another name: " + giveName}
	case strings.Contains(text, "unreachable"), strings.Contains(text, "no route to host"):
		return Hint{Short: "there is no way from here to that address",
			Long: "there is no way from here to that address: is this machine's network up, may it reach others, does it have IPv6 if the address is of that kind?"}
	case strings.Contains(text, "malformed HTTP response"):
		return Hint{Short: "what listens there doesn't speak HTTP: is it a port for https?",
			Long: "what listens there doesn't speak HTTP: is it a port for https, or for something else?"}
	case errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return Hint{Short: "a firewall, a wrong port, a proxy that must be used (HTTPS_PROXY), or Logto is overloaded",
			Long: "a firewall, a wrong port, a proxy that must be used (HTTPS_PROXY), or Logto is overloaded"}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), strings.Contains(text, "reset"), strings.Contains(text, "forcibly closed"), strings.Contains(text, "broken pipe"):
		return Hint{Short: "something in between breaks the connection, or Logto is just starting",
			Long: "something in between breaks the connection, a proxy or a firewall, or Logto is just starting"}
	}
	return Hint{Long: "this is none of the usual mistakes: does Config.HTTPClient, or something in between, make it?"}
}

// tlsHint is the hint for an error of TLS, or none.
func tlsHint(err error) Hint {
	var authority x509.UnknownAuthorityError
	var roots x509.SystemRootsError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var verification *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	var op *net.OpError
	switch {
	case errors.As(err, &authority), errors.As(err, &roots):
		return Hint{Short: "an image from scratch has no CA certificates: copy them into it; an authority of your own goes into SSL_CERT_FILE, or into a Config.HTTPClient",
			Long: "the certificate is by an authority that this machine doesn't trust. An image from scratch trusts none: copy /etc/ssl/certs/ca-certificates.crt into it. For an authority of your own, for a try: SSL_CERT_FILE=ca.pem logto doctor …; in the service the same variable, or a Config.HTTPClient that trusts it. Never InsecureSkipVerify"}
	case errors.As(err, &host):
		return Hint{Short: "the certificate is for another name",
			Long: "the certificate is for another name: use the name in the certificate, or give Logto one for this name"}
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return Hint{Short: "the certificate is out of date, or this machine's clock is wrong",
			Long: "renew the certificate; if it is new, look at this machine's clock"}
	case errors.As(err, &invalid), errors.As(err, &verification):
		return Hint{Short: "the certificate is not accepted",
			Long: "the certificate is not accepted, for the reason given: let Logto, or the proxy that does TLS for it, have one for a server, with its whole chain"}
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch), strings.Contains(err.Error(), "first record does not look like a TLS handshake"):
		return Hint{Short: "the server doesn't speak TLS at this port",
			Long: "the server doesn't speak TLS at this port. If a proxy does TLS for Logto, use the proxy's address"}
	case errors.As(err, &alert), errors.As(err, &op) && op.Op == "remote error": // an alert of the server's
		return Hint{Short: "the server refuses the TLS handshake: it may not know this name, or want a client certificate (Config.HTTPClient)",
			Long: "the server refuses the TLS handshake: does it know this name, does it want a client certificate (Config.HTTPClient), or a version of TLS other than 1.2 and 1.3?"}
	}
	return Hint{}
}

// proxyHint is for an answer of a proxy that connects to nobody.
func proxyHint(status string) Hint {
	code, _, _ := strings.Cut(status, " ")
	switch n, _ := strconv.Atoi(code); {
	case n == http.StatusProxyAuthRequired:
		return Hint{Short: "the proxy asks for a password: it belongs into HTTPS_PROXY",
			Long: "the proxy asks for a password: HTTPS_PROXY=http://user:password@proxy:port, with what isn't a letter or a digit in it percent-encoded"}
	case n >= 500:
		return Hint{Short: "the proxy can't reach Logto: see HTTPS_PROXY and NO_PROXY",
			Long: "it is the proxy that can't reach Logto: does it know the name, may it go there? A Logto on this side of the proxy belongs into NO_PROXY"}
	}
	return Hint{Short: "the proxy refuses to connect to Logto: see HTTPS_PROXY and NO_PROXY",
		Long: "the proxy refuses to connect to Logto: it must allow this host and port, or NO_PROXY must have the host"}
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}
