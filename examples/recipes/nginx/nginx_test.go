package nginx

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/logtotest"
)

// start runs nginx in front of the auth service and of an API that tells what it gets. The
// client's requests go to it, whatever their address.
func start(t *testing.T, issuer *logtotest.Issuer) (client *http.Client, auth *httptest.Server) {
	t.Helper()
	program, err := exec.LookPath("nginx")
	if err != nil {
		t.Skip("nginx is not installed")
	}
	cfg := issuer.Config()
	cfg.Logger = slog.New(slog.DiscardHandler)
	v, err := logto.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	decide := newAuth(v)
	auth = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != "GET" || r.ContentLength != 0 {
			t.Errorf("the auth service got %s with a body of %d bytes", r.Method, r.ContentLength)
		}
		decide.ServeHTTP(w, r)
	}))
	t.Cleanup(auth.Close)
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch r.URL.Path {
		case "/things/broken":
			w.WriteHeader(http.StatusInternalServerError)
		case "/things/locked":
			w.WriteHeader(http.StatusUnauthorized)
		}
		fmt.Fprintf(w, "%s %s %q for %q", r.Method, r.URL.Path, body, append(r.Header.Values("X-User"), r.Header["X_user"]...))
	}))
	t.Cleanup(api.Close)

	folder, err := os.MkdirTemp("", "nginx") // t.TempDir's name may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	conf, err := os.ReadFile("nginx.conf")
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(folder, "nginx.conf")
	text := strings.NewReplacer("FOLDER", folder, "AUTH", auth.Listener.Addr().String(), "API", api.Listener.Addr().String()).Replace(string(conf))
	if os.Geteuid() == 0 {
		text = "user root;\n" + text // or its workers couldn't reach the folder
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	command := exec.CommandContext(ctx, program, "-e", filepath.Join(folder, "start.log"), "-c", name)
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.WaitDelay = 10 * time.Second
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = command.Wait(); close(ended) }()
	t.Cleanup(func() { stop(); <-ended })

	socket := filepath.Join(folder, "nginx.sock")
	for {
		conn, err := net.Dial("unix", socket)
		if err == nil {
			_ = conn.Close()
			break
		}
		select {
		case <-ended:
			text, _ := os.ReadFile(filepath.Join(folder, "start.log"))
			more, _ := os.ReadFile(filepath.Join(folder, "error.log"))
			t.Fatalf("nginx ended: %s%s", text, more)
		case <-time.After(10 * time.Millisecond):
		}
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}, auth
}

type test struct {
	name, method, path string
	authorization      []string
	status             int
	challenge, body    string
	wait               bool
}

const unavailable = `{"error":"temporarily_unavailable"}`

func TestAuthRequest(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	client, _ := start(t, issuer)

	type tk = logtotest.Token
	scopes := []string{"read:things"}
	bearer := func(token tk) []string { return []string{"Bearer " + issuer.Token(token)} }
	good := bearer(tk{User: "alice", Scopes: scopes})
	const realm = `Bearer realm="https://logto.example.test/oidc"`
	for _, test := range []test{
		{"no token", "GET", "/things", nil, 401, realm + `, scope="read:things"`, `{"error":"unauthorized"}`, false},
		{"no token, with a body", "POST", "/things", nil, 401, realm + `, scope="read:things"`, `{"error":"unauthorized"}`, false},
		{"a malformed header, with a body", "POST", "/things", []string{"Bearer a b"}, 400, realm + `, error="invalid_request"`, `{"error":"invalid_request"}`, false},
		{"expired", "GET", "/things", bearer(tk{Scopes: scopes, ExpiresIn: -time.Hour}), 401,
			realm + `, error="invalid_token", error_description="The access token expired", scope="read:things"`, `{"error":"unauthorized"}`, false},
		{"scope missing", "GET", "/things", bearer(tk{User: "alice"}), 403, realm + `, error="insufficient_scope", scope="read:things"`, `{"error":"access_denied"}`, false},
		{"malformed", "GET", "/things", []string{"Bearer a b"}, 400, realm + `, error="invalid_request"`, `{"error":"invalid_request"}`, false},
		{"the auth service from outside", "GET", "/auth/things", good, 404, "", "", false},
		{"good", "GET", "/things", good, 200, "", `GET /things "" for ["alice"]`, false},
		{"with a body", "POST", "/things", good, 200, "", `POST /things "wanted" for ["alice"]`, false},
		{"a machine", "GET", "/things", bearer(tk{Machine: true, Scopes: scopes}), 200, "", `GET /things "" for []`, false},
		{"a large token", "GET", "/things", bearer(tk{User: "alice", Scopes: scopes, Claims: map[string]any{"much": strings.Repeat("x", 11<<10)}}),
			200, "", `GET /things "" for ["alice"]`, false},
		{"where no token is asked for", "GET", "/open", nil, 200, "", `GET /open "" for []`, false},
		{"the same, with one", "GET", "/open", good, 200, "", `GET /open "" for []`, false},
		{"the API's own 500", "GET", "/things/broken", good, 500, "", `GET /things/broken "" for ["alice"]`, false},
		{"the API's own 401", "GET", "/things/locked", good, 401, "", `GET /things/locked "" for ["alice"]`, false},
	} {
		t.Run(test.name, func(t *testing.T) { expect(t, client, test) })
	}
}

func TestUndecided(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	issuer.Fail(logtotest.Status(503))
	client, auth := start(t, issuer)
	good := []string{"Bearer " + issuer.Token(logtotest.Token{User: "alice", Scopes: []string{"read:things"}})}
	t.Run("keys missing", func(t *testing.T) {
		expect(t, client, test{"", "GET", "/things", good, 503, "", unavailable, true})
	})
	t.Run("auth service gone", func(t *testing.T) {
		auth.Close()
		expect(t, client, test{"", "GET", "/things", good, 503, "", unavailable, false})
	})
}

func expect(t *testing.T, client *http.Client, test test) {
	t.Helper()
	var body io.Reader
	if test.method == "POST" {
		body = strings.NewReader("wanted")
	}
	req, err := http.NewRequestWithContext(t.Context(), test.method, "http://api.example.test"+test.path, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-User", "mallory")
	req.Header["X_User"] = []string{"mallory"}
	req.Header["Authorization"] = test.authorization
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(res.Header.Values("WWW-Authenticate"), "|"); res.StatusCode != test.status || got != test.challenge {
		t.Errorf("got %d, challenge %s\nwant %d, %s", res.StatusCode, got, test.status, test.challenge)
	}
	if test.body != "" && string(text) != test.body {
		t.Errorf("body: got %s\nwant %s", text, test.body)
	}
	if got := res.Header.Get("Retry-After"); (got != "") != test.wait {
		t.Errorf("Retry-After: got %q", got)
	}
	if refused := strings.HasPrefix(test.body, "{"); refused && (res.Header.Get("Cache-Control") != "no-store" || res.Header.Get("Content-Type") != "application/json") {
		t.Errorf("header: %v", res.Header)
	}
}
