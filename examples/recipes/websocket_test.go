package recipes

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/logtotest"
)

func TestSocket(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	server := httptest.NewServer(logto.Require(newVerifier(t, issuer.Config()))(http.HandlerFunc(socket)))
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	foreign := bearer(issuer, logtotest.Token{})
	foreign.Set("Origin", "https://other.example.test")
	for _, test := range []struct {
		name   string
		send   http.Header
		status int
	}{
		{"no token", nil, 401},
		{"expired", bearer(issuer, logtotest.Token{ExpiresIn: -time.Hour}), 401},
		{"a page of another origin", foreign, 403},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, res, err := websocket.Dial(ctx, server.URL, &websocket.DialOptions{HTTPHeader: test.send})
			if err == nil || res == nil || res.StatusCode != test.status {
				t.Errorf("got %v, %v, want status %d", res, err, test.status)
			}
		})
	}

	dial := func(expiresIn time.Duration) *websocket.Conn {
		conn, _, err := websocket.Dial(ctx, server.URL, &websocket.DialOptions{HTTPHeader: bearer(issuer, logtotest.Token{ExpiresIn: expiresIn})})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.CloseNow() })
		return conn
	}
	conn := dial(time.Hour)
	if err := conn.Write(ctx, websocket.MessageText, []byte("echo")); err != nil {
		t.Fatal(err)
	}
	if _, message, err := conn.Read(ctx); err != nil || string(message) != "echo" {
		t.Fatalf("got %q, %v", message, err)
	}
	// Require lets it in, by the leeway.
	if _, _, err := dial(-time.Second).Read(ctx); websocket.CloseStatus(err) != websocket.StatusPolicyViolation || !strings.Contains(err.Error(), "the access token expired") {
		t.Errorf("got %v, want the connection closed: the access token expired", err)
	}
}

func TestSocketWithoutRequire(t *testing.T) {
	expect(t, http.HandlerFunc(socket), []expectation{{"", "GET", "/", nil, 500, nil, "this handler is not behind Require"}})
}
