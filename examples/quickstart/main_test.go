package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/seed-70fe37f4/logto/logtotest"
)

func noEnv(string) string { return "" }

// TestPrintedCommands starts the program and sends what each printed command sends.
func TestPrintedCommands(t *testing.T) {
	var logged strings.Builder // read when the servers have ended
	before := slog.Default()
	defer slog.SetDefault(before)
	slog.SetDefault(slog.New(slog.NewTextHandler(&logged, nil)))
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	out, in := io.Pipe()
	ended := make(chan error)
	go func() {
		ended <- run(ctx, "127.0.0.1:0", noEnv, in)
	}()
	token := regexp.MustCompile(`^([A-Z_]+)=([A-Za-z0-9._-]+)$`)
	command := regexp.MustCompile(`^curl -i(?: -X (PATCH) -d '(.*)')?(?: -H "Authorization: (Bearer \$[A-Z_]+)")? (http://\S+)$`)
	type try struct{ want, method, body, authorization, url, line string }
	var tries []try
	tokens, want := map[string]string{}, ""
	for lines := bufio.NewScanner(out); lines.Scan(); {
		line := lines.Text()
		if what, ok := strings.CutPrefix(line, "# "); ok {
			want = what[:3]
		}
		if m := token.FindStringSubmatch(line); m != nil {
			tokens[m[1]] = m[2]
		} else if len(line) > 120 {
			t.Errorf("a long line: %s", line)
		}
		if m := command.FindStringSubmatch(line); m != nil {
			tries = append(tries, try{want, cmp.Or(m[1], "GET"), m[2], os.Expand(m[3], func(name string) string { return tokens[name] }), m[4], line})
		}
		if strings.HasPrefix(line, "Ctrl-C") {
			break
		}
	}
	for _, try := range tries {
		status, body := send(t, try.method, try.url, try.body, try.authorization)
		says := map[string]string{"200 GET": `{"message":"Hello, `, "200 PATCH": `{"id":"alice","isSuspended":true}`}[status+" "+try.method]
		if status != try.want || !strings.Contains(body, says) {
			t.Errorf("%s\nstatus %s, want %s; body %s", try.line, status, try.want, body)
		}
		if try == tries[len(tries)-1] && !strings.Contains(body, "revoked") {
			t.Errorf("%s\nbody %s", try.line, body)
		}
	}
	if len(tries) != 12 || len(tokens) != 6 {
		t.Fatalf("%d commands, %d tokens", len(tries), len(tokens))
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	for _, reason := range []string{"wrong_type", "expired", "missing_scope", "organization", "revoked"} {
		if !strings.Contains(logged.String(), "reason="+reason+" ") {
			t.Errorf("%s is not in the log:\n%s", reason, logged.String())
		}
	}
}

func send(t *testing.T, method, url, content, authorization string) (status, body string) {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(content))
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
		"LOGTO_SIGNING_KEY": tenant.SigningKey(),
		"LOGTO_ISSUER":      tenant.Endpoint() + "/oidc", "LOGTO_JWKS_URI": tenant.Endpoint() + "/oidc/jwks", "LOGTO_CLIENT_ID": logtotest.ClientID,
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
	self := strings.Fields(line)[2]
	hello := self + "/api/hello"
	bob := "Bearer " + tenant.Token(logtotest.Token{User: "bob"})
	if status, body := send(t, "GET", hello, "", bob); status != "200" || body != `{"message":"Hello, bob!"}`+"\n" {
		t.Errorf("status %s, body %s", status, body)
	}
	if status, _ := send(t, "GET", hello, "", "Bearer "+tenant.Token(logtotest.Token{ClientID: "other"})); status != "401" {
		t.Errorf("other client: status %s", status)
	}
	for _, delivery := range []struct {
		from *logtotest.Issuer
		want int
	}{{logtotest.NewIssuer(t), 401}, {tenant, 200}} {
		before, _ := send(t, "GET", hello, "", bob)
		status, err := deliver(delivery.from.Suspend("bob"), self+webhookPath)
		after, body := send(t, "GET", hello, "", bob)
		if err != nil || status != delivery.want || before != "200" || (after == "401") != (status == 200) {
			t.Errorf("webhook %d, error %v; before %s, after %s, body %s", status, err, before, after, body)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// What isn't understood sends nothing, and what wasn't taken isn't called done.
func TestSuspension(t *testing.T) {
	var received []string
	answer := http.StatusOK
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var event struct{ Data struct{ IsSuspended bool } }
		_ = json.NewDecoder(r.Body).Decode(&event)
		received = append(received, fmt.Sprint(event.Data.IsSuspended))
		w.WriteHeader(answer)
	}))
	defer api.Close()
	for _, test := range []struct {
		name, body, webhook string
		answer, status      int
		says, received      string
	}{
		{"suspended", `{"isSuspended":true}`, api.URL, 200, 200, `{"id":"alice","isSuspended":true}`, "true"},
		{"unsuspended", `{"isSuspended":false}`, api.URL, 200, 200, `{"id":"alice","isSuspended":false}`, "false"},
		{"not said", `{}`, api.URL, 200, 400, "want", ""},
		{"no JSON", `x`, api.URL, 200, 400, "want", ""},
		{"too much", strings.Repeat(" ", 2000) + `{"isSuspended":true}`, api.URL, 200, 400, "want", ""},
		{"not taken", `{"isSuspended":true}`, api.URL, 503, 502, "status 503", "true"},
		{"nobody there", `{"isSuspended":true}`, "http://127.0.0.1:0/", 200, 502, "dial", ""},
		{"no address", `{"isSuspended":true}`, ":", 200, 502, "missing protocol", ""},
	} {
		received, answer = nil, test.answer
		r := httptest.NewRequest("PATCH", "/", strings.NewReader(test.body))
		r.SetPathValue("user", "alice")
		w := httptest.NewRecorder()
		suspension(logtotest.NewIssuer(t), test.webhook).ServeHTTP(w, r)
		if got := strings.Join(received, " "); w.Code != test.status || !strings.Contains(w.Body.String(), test.says) || got != test.received {
			t.Errorf("%s: status %d, body %s, received %q", test.name, w.Code, w.Body, got)
		}
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
