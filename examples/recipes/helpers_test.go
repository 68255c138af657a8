package recipes

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/logtotest"
)

var quiet = slog.New(slog.DiscardHandler)

const realm = `Bearer realm="https://logto.example.test/oidc"`

func newVerifier(t *testing.T, cfg logto.Config) *logto.Verifier {
	t.Helper()
	v, err := logto.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func bearer(issuer *logtotest.Issuer, token logtotest.Token) http.Header {
	return http.Header{"Authorization": {"Bearer " + issuer.Token(token)}}
}

// expectation is a request and its answer. header are fields of the answer; "" is for
// one that isn't there.
type expectation struct {
	name, method, path string
	send               http.Header
	status             int
	header             map[string]string
	body               string // "" is not compared
}

func expect(t *testing.T, h http.Handler, tests []expectation) {
	t.Helper()
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { expectOne(t, h, test) })
	}
}

func expectOne(t *testing.T, h http.Handler, test expectation) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), test.method, test.path, nil)
	for name, lines := range test.send {
		r.Header[name] = lines
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != test.status {
		t.Errorf("%s: status: got %d, want %d: %s", test.name, w.Code, test.status, w.Body)
	}
	for name, want := range test.header {
		if got := strings.Join(w.Header().Values(name), "|"); got != want {
			t.Errorf("%s: %s: got %q, want %q", test.name, name, got, want)
		}
	}
	if got := strings.TrimSpace(w.Body.String()); test.body != "" && got != test.body {
		t.Errorf("%s: body: got %s\nwant %s", test.name, got, test.body)
	}
}
