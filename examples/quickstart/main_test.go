package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/seed-70fe37f4/logto/logtotest"
)

func noEnv(string) string { return "" }

// TestPrintedCommands starts the program and sends what each printed command sends.
func TestPrintedCommands(t *testing.T) {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	out, in := io.Pipe()
	ended := make(chan error)
	go func() {
		ended <- run(ctx, "127.0.0.1:0", noEnv, in)
	}()
	command := regexp.MustCompile(`^curl -i(?: -H 'Authorization: (.*)')? (http://\S+)$`)
	type try struct{ want, url, authorization, line string }
	var tries []try
	want := ""
	for lines := bufio.NewScanner(out); lines.Scan(); {
		line := lines.Text()
		if what, ok := strings.CutPrefix(line, "# "); ok {
			want = what[:3]
		}
		if m := command.FindStringSubmatch(line); m != nil {
			tries = append(tries, try{want, m[2], m[1], line})
		}
		if strings.HasPrefix(line, "Ctrl-C") {
			break
		}
	}
	for _, try := range tries {
		status, body := get(t, try.url, try.authorization)
		if status != try.want || status == "200" && !strings.Contains(body, `{"message":"Hello, `) {
			t.Errorf("%s\nstatus %s, want %s; body %s", try.line, status, try.want, body)
		}
	}
	stop()
	if len(tries) != 10 {
		t.Errorf("%d commands", len(tries))
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func get(t *testing.T, url, authorization string) (status, body string) {
	t.Helper()
	req, err := http.NewRequest("GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.Status[:3], string(b)
}

// TestRealTenant configures the program by the environment.
func TestRealTenant(t *testing.T) {
	tenant := logtotest.NewServer(t)
	env := map[string]string{
		"LOGTO_ENDPOINT": tenant.Endpoint(), "LOGTO_AUDIENCE": logtotest.Audience,
		"LOGTO_ISSUER": tenant.Endpoint() + "/oidc", "LOGTO_JWKS_URI": tenant.Endpoint() + "/oidc/jwks", "LOGTO_CLIENT_ID": logtotest.ClientID,
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	out, in := io.Pipe()
	ended := make(chan error)
	go func() { ended <- run(ctx, "127.0.0.1:0", func(name string) string { return env[name] }, in) }()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	url := strings.Fields(line)[2] + "/api/hello"
	if status, body := get(t, url, "Bearer "+tenant.Token(logtotest.Token{User: "bob"})); status != "200" || body != `{"message":"Hello, bob!"}`+"\n" {
		t.Errorf("status %s, body %s", status, body)
	}
	if status, _ := get(t, url, "Bearer "+tenant.Token(logtotest.Token{ClientID: "other"})); status != "401" {
		t.Errorf("other client: status %s", status)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestWrongConfiguration(t *testing.T) {
	for _, test := range []struct{ endpoint, audience, addr, want string }{
		{"https://tenant.logto.app", "", "127.0.0.1:0", "Audiences"},
		{"tenant.logto.app", "x", "127.0.0.1:0", "is no URL"},
		{"https://tenant.logto.app", "x", "256.0.0.1:0", "-addr"},
	} {
		env := map[string]string{"LOGTO_ENDPOINT": test.endpoint, "LOGTO_AUDIENCE": test.audience}
		err := run(context.Background(), test.addr, func(name string) string { return env[name] }, io.Discard)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("error %v, want %s", err, test.want)
		}
	}
}
