package main

import (
	"bufio"
	"context"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/logtotest"
)

func TestRun(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = busy.Close() }()
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, test := range []struct {
		name, endpoint, audience, addr string
		says                           string // "" is no error
	}{
		{"no endpoint", "", logtotest.Audience, "127.0.0.1:0", "Endpoint"},
		{"no audience", "https://tenant.logto.app", "", "127.0.0.1:0", "Audiences"},
		{"a busy address", "https://tenant.logto.app", logtotest.Audience, busy.Addr().String(), "in use"},
		{"it is told to end", "https://tenant.logto.app", logtotest.Audience, "127.0.0.1:0", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			env := map[string]string{"LOGTO_ENDPOINT": test.endpoint, "LOGTO_AUDIENCE": test.audience, "LOGTO_SIGNING_KEY": "key", "ADDR": test.addr}
			ctx := t.Context()
			if test.says == "" {
				ctx = canceled
			}
			err := run(ctx, func(name string) string { return env[name] }, slog.New(slog.DiscardHandler))
			if (err == nil) != (test.says == "") || err != nil && !strings.Contains(err.Error(), test.says) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// The program serves with what the environment says; told to end, it ends its streams and
// takes no more requests.
func TestServes(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	issuer := logtotest.NewServer(t)
	env := map[string]string{"LOGTO_ENDPOINT": issuer.Endpoint(), "LOGTO_AUDIENCE": logtotest.Audience,
		"LOGTO_SIGNING_KEY": issuer.SigningKey(), "ADDR": addr}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, func(name string) string { return env[name] }, slog.New(slog.DiscardHandler))
	}()
	var stream *http.Response
	for stream == nil {
		select {
		case err := <-ended:
			t.Fatalf("it has ended: %v", err)
		default:
		}
		r, err := http.NewRequest("GET", "http://"+addr+"/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		// Until it listens, the connection is refused.
		stream, _ = http.DefaultClient.Do(issuer.Authorize(r, logtotest.Token{User: "alice"}))
	}
	defer func() { _ = stream.Body.Close() }()
	lines := bufio.NewScanner(stream.Body)
	if !lines.Scan() || !strings.HasPrefix(lines.Text(), "data: ") || stream.StatusCode != 200 {
		t.Errorf("status %d, %q, %v", stream.StatusCode, lines.Text(), lines.Err())
	}
	stop()
	for lines.Scan() {
	}
	if err := lines.Err(); err != nil {
		t.Errorf("the stream: %v", err)
	}
	if err := <-ended; err != nil {
		t.Errorf("run: %v", err)
	}
	if conn, err := net.Dial("tcp", addr); err == nil {
		_ = conn.Close()
		t.Error("it still listens")
	}
}

// Without its key, anybody could send webhooks.
func TestNoSigningKey(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("it starts")
		}
	}()
	_, _ = newServer(t.Context(), logto.Config{Endpoint: "https://tenant.logto.app", Audiences: []string{logtotest.Audience}}, func(string) string { return "" }, isAdmin)
}

// What grows beyond 130 lines of code is a thing for the library, or for nobody to copy.
func TestSize(t *testing.T) {
	source, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	code := 0
	for line := range strings.Lines(string(source)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "//") {
			code++
		}
	}
	if code > 130 || code < 100 {
		t.Errorf("%d lines of code", code)
	}
}
