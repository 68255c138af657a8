package recipes

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/logtotest"
)

// hosts reaches handlers by their host, and nothing else.
type hosts map[string]http.Handler

func (h hosts) RoundTrip(r *http.Request) (*http.Response, error) {
	handler, ok := h[r.URL.Host]
	if !ok {
		return nil, fmt.Errorf("nobody is called %s", r.URL.Host)
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w.Result(), nil
}

const audience = "https://api.example.com"

// issuedBy is half an hour old: its key can't be one that nobody has fetched yet.
func issuedBy(issuer string) logtotest.Token {
	return logtotest.Token{User: "alice", Audience: audience, ExpiresIn: 30 * time.Minute, Claims: map[string]any{"iss": issuer}}
}

func TestCustomDomain(t *testing.T) {
	issuer := logtotest.New("https://tenant.logto.app")
	cfg := customDomain()
	cfg.Logger = quiet
	cfg.HTTPClient = &http.Client{Transport: hosts{"tenant.logto.app": issuer}}
	expect(t, logto.Require(newVerifier(t, cfg))(hello), []expectation{
		{"another domain", "GET", "/", bearer(issuer, issuedBy("https://auth.example.org/oidc")), 401, nil, ""},
		{"Logto's domain", "GET", "/", bearer(issuer, issuedBy("https://tenant.logto.app/oidc")), 200, nil, "Hello, alice!"},
		{"one's own", "GET", "/", bearer(issuer, issuedBy("https://auth.example.com/oidc")), 200, nil, "Hello, alice!"},
	})
}

func TestInternalName(t *testing.T) {
	issuer := logtotest.New("https://auth.example.com")
	cfg := internalName()
	cfg.Logger = quiet
	cfg.HTTPClient = &http.Client{Transport: hosts{"logto:3001": issuer}}
	expect(t, logto.Require(newVerifier(t, cfg))(hello), []expectation{
		{"the internal name is no issuer", "GET", "/", bearer(issuer, issuedBy("http://logto:3001/oidc")), 401, nil, ""},
		{"the public one is", "GET", "/", bearer(issuer, issuedBy("https://auth.example.com/oidc")), 200, nil, "Hello, alice!"},
	})
	cfg.InsecureAllowHTTP = false
	if _, err := logto.New(cfg); err == nil {
		t.Error("keys over http without InsecureAllowHTTP")
	}
}

func TestTwoLogtos(t *testing.T) {
	production, staging := logtotest.New("https://production.logto.app"), logtotest.New("https://staging.logto.app")
	v, err := twoLogtos(&http.Client{Transport: hosts{"production.logto.app": production, "staging.logto.app": staging}})
	if err != nil {
		t.Fatal(err)
	}
	expect(t, logto.Require(v)(hello), []expectation{
		{"staging's key, production's name", "GET", "/", bearer(staging, issuedBy("https://production.logto.app/oidc")), 401, nil, ""},
		{"production's key, staging's name", "GET", "/", bearer(production, issuedBy("https://staging.logto.app/oidc")), 401, nil, ""},
		{"a third Logto", "GET", "/", bearer(logtotest.New("https://other.logto.app"), issuedBy("https://other.logto.app/oidc")), 401, nil, ""},
		{"production", "GET", "/", bearer(production, issuedBy("https://production.logto.app/oidc")), 200, nil, "Hello, alice!"},
		{"staging", "GET", "/", bearer(staging, issuedBy("https://staging.logto.app/oidc")), 200, nil, "Hello, alice!"},
	})
}

func TestOwnCA(t *testing.T) {
	server := httptest.NewUnstartedServer(nil)
	clientCA, certificate, key := newCertificate(t)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(clientCA)
	server.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	issuer := logtotest.New(server.URL)
	server.Config.Handler = issuer
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})

	if _, err := ownCA([]byte("no PEM"), certificate, key); err == nil {
		t.Error("no error for a CA that is none")
	}
	if _, err := ownCA(ca, certificate, certificate); err == nil {
		t.Error("no error for a key that is none")
	}
	client, err := ownCA(ca, certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	// The system may be told to trust any CA; this one it doesn't know.
	stranger, err := ownCA(clientCA, certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	for _, test := range []struct {
		name   string
		client *http.Client
		err    error
	}{
		{"the default client", nil, logto.ErrUnavailable},
		{"another CA", stranger, logto.ErrUnavailable},
		{"no certificate of one's own", &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}, logto.ErrUnavailable},
		{"both", client, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := newVerifier(t, logto.Config{Endpoint: server.URL, Audiences: []string{audience}, HTTPClient: test.client, Logger: quiet})
			_, err := v.Verify(context.Background(), issuer.Token(logtotest.Token{Audience: audience}))
			if !errors.Is(err, test.err) {
				t.Errorf("got %v, want %v", err, test.err)
			}
			if test.client != nil {
				test.client.CloseIdleConnections()
			}
		})
	}
}

// newCertificate makes a certificate for a client that is its own CA.
func newCertificate(t *testing.T) (ca, certificate, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	certificate = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return certificate, certificate, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}
