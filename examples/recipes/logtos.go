// Several Logtos, several names of one Logto, and a Logto of one's own network.

package recipes

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"

	"github.com/seed-70fe37f4/logto"
)

func customDomain() logto.Config {
	return logto.Config{
		Endpoint:  "https://tenant.logto.app",
		Issuers:   []string{"https://tenant.logto.app/oidc", "https://auth.example.com/oidc"},
		Audiences: []string{"https://api.example.com"},
	}
}

func internalName() logto.Config {
	return logto.Config{
		Endpoint:          "https://auth.example.com",
		JWKSURL:           "http://logto:3001/oidc/jwks",
		InsecureAllowHTTP: true,
		Audiences:         []string{"https://api.example.com"},
	}
}

func twoLogtos(client *http.Client) (*logto.Verifier, error) {
	production := logto.Config{Endpoint: "https://production.logto.app", Audiences: []string{"https://api.example.com"}}
	staging := logto.Config{Endpoint: "https://staging.logto.app", Audiences: []string{"https://api.example.com"}}

	production.HTTPClient, staging.HTTPClient = client, client // the test's

	v, err := logto.New(production, staging)
	if err != nil {
		return nil, err
	}
	return v, nil
}

// ownCA makes a client that trusts a CA of one's own besides the system's, and has a
// certificate itself (mutual TLS). The files are in PEM.
func ownCA(ca, certificate, key []byte) (*http.Client, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		return nil, err
	}
	if !roots.AppendCertsFromPEM(ca) {
		return nil, errors.New("there is no certificate in the file of the CA")
	}
	own, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, err
	}
	return &http.Client{Transport: &http.Transport{
		Proxy:             http.ProxyFromEnvironment,
		ForceAttemptHTTP2: true,
		TLSClientConfig:   &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{own}},
	}}, nil
}
