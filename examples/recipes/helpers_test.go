package recipes

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/logtotest"
)

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
		t.Run(test.name, func(t *testing.T) {
			r := httptest.NewRequestWithContext(t.Context(), test.method, test.path, nil)
			for name, lines := range test.send {
				r.Header[name] = lines
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != test.status {
				t.Errorf("status: got %d, want %d: %s", w.Code, test.status, w.Body)
			}
			for name, want := range test.header {
				if got := strings.Join(w.Header().Values(name), "|"); got != want {
					t.Errorf("%s: got %q, want %q", name, got, want)
				}
			}
			if got := strings.TrimSpace(w.Body.String()); test.body != "" && got != test.body {
				t.Errorf("body: got %s\nwant %s", got, test.body)
			}
		})
	}
}
