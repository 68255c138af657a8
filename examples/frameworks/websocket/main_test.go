package main

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/examples/frameworks/internal/contract"
	"github.com/seed-70fe37f4/logto/logtotest"
)

// header sends the token as programs do.
func header(lines []string) *websocket.DialOptions {
	return &websocket.DialOptions{HTTPHeader: http.Header{"Authorization": lines}}
}

// protocol sends it as a page does.
func protocol(lines []string) *websocket.DialOptions {
	opts := &websocket.DialOptions{Subprotocols: []string{"hello"}}
	for _, line := range lines {
		_, token, _ := strings.Cut(line, " ")
		opts.Subprotocols = append(opts.Subprotocols, "bearer."+token)
	}
	return opts
}

func TestContract(t *testing.T) {
	for name, options := range map[string]func([]string) *websocket.DialOptions{"header": header, "protocol": protocol} {
		t.Run(name, func(t *testing.T) {
			contract.Run(t, []string{contract.Hello, contract.Things}, func(t *testing.T, v *logto.Verifier, _ *contract.Ran) contract.Send {
				url := contract.Serve(t, newHandler(v))
				return func(t *testing.T, c contract.Case, route string) (int, string) {
					if name == "protocol" && c.Name == "another scheme" {
						return c.Status, "" // there is no such thing
					}
					conn, res, err := websocket.Dial(t.Context(), url+route, options(c.Authorization))
					if err != nil {
						if conn != nil || res == nil {
							t.Errorf("connection %v, response %v: %v", conn, res, err)
							return 0, ""
						}
						contract.CheckHeader(t, c, res.Header)
						return res.StatusCode, ""
					}
					defer func() { _ = conn.CloseNow() }()
					if got, want := conn.Subprotocol(), options(nil).Subprotocols; got != strings.Join(want, "") {
						t.Errorf("protocol: got %q, want %q", got, want)
					}
					_, message, err := conn.Read(t.Context())
					if err != nil {
						t.Error(err)
					}
					return 200, string(message)
				}
			})
		})
	}
}

func TestHandshake(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	cfg := issuer.Config()
	cfg.Logger = slog.New(slog.DiscardHandler)
	v, err := logto.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	url := contract.Serve(t, newHandler(v)) + "/api/hello"
	good := "Bearer " + issuer.Token(logtotest.Token{User: "alice"})
	both := protocol([]string{good})
	both.HTTPHeader = http.Header{"Authorization": {good}}
	foreign := protocol([]string{good})
	foreign.HTTPHeader = http.Header{"Origin": {"https://other.example.test"}}
	for _, test := range []struct {
		name, query string
		opts        *websocket.DialOptions
		status      int
	}{
		{"token in the URL", "?access_token=" + strings.TrimPrefix(good, "Bearer "), nil, 401},
		{"header and protocol", "", both, 400},
		{"page of another origin", "", foreign, 403},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, res, err := websocket.Dial(t.Context(), url+test.query, test.opts)
			if err == nil || res == nil || res.StatusCode != test.status {
				t.Errorf("got %v, %v, want status %d", res, err, test.status)
			}
		})
	}
}

// TestTokenFromProtocol is about what the handler gets of the header: not the
// token, or it might choose it.
func TestTokenFromProtocol(t *testing.T) {
	for _, test := range []struct {
		name                             string
		protocols                        []string
		wantProtocols, wantAuthorization []string
	}{
		{"none", nil, nil, nil},
		{"no token", []string{"hello"}, []string{"hello"}, nil},
		{"only a token", []string{"bearer.a.b.c"}, nil, []string{"Bearer a.b.c"}},
		{"both", []string{"hello, bearer.a.b.c"}, []string{"hello"}, []string{"Bearer a.b.c"}},
		{"two lines", []string{"bearer.a.b.c,hello", " bearer.d , other"}, []string{"hello, other"}, []string{"Bearer a.b.c", "Bearer d"}},
		{"empty token", []string{"bearer."}, nil, []string{"Bearer "}},
	} {
		t.Run(test.name, func(t *testing.T) {
			req := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
			req.Header["Sec-Websocket-Protocol"] = test.protocols
			tokenFromProtocol(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				if got := r.Header.Values("Sec-WebSocket-Protocol"); !slices.Equal(got, test.wantProtocols) {
					t.Errorf("protocols: got %q, want %q", got, test.wantProtocols)
				}
				if got := r.Header.Values("Authorization"); !slices.Equal(got, test.wantAuthorization) {
					t.Errorf("authorization: got %q, want %q", got, test.wantAuthorization)
				}
			})).ServeHTTP(httptest.NewRecorder(), req)
		})
	}
}

func TestEndsWithToken(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	v, err := logto.New(issuer.Config())
	if err != nil {
		t.Fatal(err)
	}
	url := contract.Serve(t, newHandler(v)) + "/api/hello"
	const lifetime = 2 * time.Second
	start := time.Now()
	conn, _, err := websocket.Dial(t.Context(), url, header([]string{"Bearer " + issuer.Token(logtotest.Token{ExpiresIn: lifetime})}))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.CloseNow() }()
	ctx, cancel := context.WithTimeout(t.Context(), 4*lifetime)
	defer cancel()
	if _, message, err := conn.Read(ctx); err != nil || string(message) != "Hello, user!" {
		t.Fatalf("got %q, %v", message, err)
	}
	_, _, err = conn.Read(ctx)
	if got := websocket.CloseStatus(err); got != websocket.StatusPolicyViolation || !strings.Contains(err.Error(), "the access token expired") {
		t.Errorf("got %v, want the connection closed: the access token expired", err)
	}
	// exp is in whole seconds.
	if took := time.Since(start); took < lifetime-time.Second || took > 2*lifetime {
		t.Errorf("closed after %v, want %v", took, lifetime)
	}
}
