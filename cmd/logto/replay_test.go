package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/logtotest"
	"github.com/seed-70fe37f4/logto/revocation"
)

const (
	hookID     = "xnyw6619e5nr9al9kyjkm"            // of the recorded webhooks
	signingKey = "MDJgb6T2ci4eH6mAmfXxjIPg6lQjkyyB" // of the same
	appID      = "m2m app"
	appSecret  = "application:secret+%"
	endpoint   = "https://tenant.logto.app"
	receiver   = "https://api.example.test/logto/webhook"
)

// network is one without a wire, so that it can be used in a bubble.
type network map[string]http.Handler

func (n network) RoundTrip(req *http.Request) (*http.Response, error) {
	h := n[req.URL.Host]
	if h == nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: req.URL.Host, IsNotFound: true}}
	}
	in := httptest.NewRequest(req.Method, req.URL.String(), req.Body).WithContext(req.Context())
	in.Header = req.Header.Clone()
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, in)
	if err := req.Context().Err(); err != nil { // it hung until then
		return nil, err
	}
	res := rec.Result()
	if rec.Header().Get("Cut") != "" {
		res.Body = io.NopCloser(io.MultiReader(bytes.NewReader(rec.Body.Bytes()[:rec.Body.Len()/2]), failing{io.ErrUnexpectedEOF}))
	}
	return res, nil
}

func (n network) use(t *testing.T) {
	t.Helper()
	before := newTransport
	newTransport = func() http.RoundTripper { return n }
	t.Cleanup(func() { newTransport = before })
}

// management is a Logto with one webhook. Its zero value has another hook's ID.
type management struct {
	mu      sync.Mutex
	hook    map[string]any
	entries []map[string]any // in the order in which they are given
	indic   string           // of the Management API
	tokens  int
	token   string // that is good now
	asked   []url.Values
	bearers []string
	before  func(w http.ResponseWriter, r *http.Request) bool // true: it has answered
	noTotal bool
	old     bool // knows neither start_time nor logKey
}

func newManagement() *management {
	return &management{indic: "https://tenant.logto.app/api", hook: map[string]any{
		"tenantId": "tenant", "id": hookID, "name": "revocation", "event": nil, "events": revokingEvents(), "signingKey": signingKey, "enabled": true,
		"config": map[string]any{"url": receiver}, "createdAt": int64(1795569000000), "executionStats": map[string]any{"requestCount": 7, "successCount": 7},
	}}
}

func (m *management) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	fail := func(status int, name, code string) {
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]string{name: code, "message": "who knows"})
	}
	m.bearers = append(m.bearers, r.Header.Get("Authorization"))
	if r.UserAgent() != "logto-go" { // a firewall in front of it
		fail(403, "error", "blocked")
		return
	}
	if m.before != nil && m.before(w, r) {
		return
	}
	if r.URL.Path == "/oidc/token" {
		id, secret, _ := r.BasicAuth()
		id, _ = url.QueryUnescape(id)
		secret, _ = url.QueryUnescape(secret)
		switch {
		case r.Method != http.MethodPost || r.PostFormValue("grant_type") != "client_credentials" || r.PostFormValue("scope") != "all":
			fail(400, "error", "invalid_request")
		case id != appID || secret != appSecret:
			fail(401, "error", "invalid_client")
		case r.PostFormValue("resource") != m.indic:
			fail(400, "error", "invalid_target")
		default:
			m.tokens++
			m.token = fmt.Sprintf("token-of-the-management-api-%d", m.tokens)
			_ = json.NewEncoder(w).Encode(map[string]any{"access_token": m.token, "expires_in": 3600, "token_type": "Bearer", "scope": "all"})
		}
		return
	}
	path, isAPI := strings.CutPrefix(r.URL.Path, "/api/hooks/")
	switch {
	case m.token == "" || r.Header.Get("Authorization") != "Bearer "+m.token:
		fail(401, "code", "auth.unauthorized")
	case isAPI && path == m.hook["id"]:
		_ = json.NewEncoder(w).Encode(m.hook)
	case isAPI && path == fmt.Sprint(m.hook["id"], "/recent-logs"):
		q := r.URL.Query()
		m.asked = append(m.asked, q)
		start, _ := strconv.ParseInt(q.Get("start_time"), 10, 64)
		page, _ := strconv.Atoi(q.Get("page"))
		size, _ := strconv.Atoi(q.Get("page_size"))
		if start <= 0 || page < 1 || size < 1 || size > 100 {
			fail(400, "code", "guard.invalid_input")
			return
		}
		found := []map[string]any{}
		for _, e := range m.entries {
			if logged, ok := e["createdAt"].(int64); m.old || e["key"] == q.Get("logKey") && (!ok || logged >= start) {
				found = append(found, e)
			}
		}
		if !m.noTotal {
			w.Header().Set("Total-Number", strconv.Itoa(len(found)))
		}
		first := min((page-1)*size, len(found))
		_ = json.NewEncoder(w).Encode(found[first:min(first+size, len(found))])
	default:
		fail(404, "code", "entity.not_exists_with_id")
	}
}

var recordedWebhooks = sync.OnceValue(func() map[string][]byte {
	data, err := os.ReadFile("../../revocation/testdata/webhooks.jsonl")
	if err != nil {
		panic(err)
	}
	bodies := map[string][]byte{}
	for line := range bytes.Lines(data) {
		var one struct{ Name, Body string }
		if err := json.Unmarshal(line, &one); err != nil {
			panic(err)
		}
		if _, ok := bodies[one.Name]; !ok {
			bodies[one.Name] = []byte(one.Body)
		}
	}
	return bodies
})

var logged int

// entry is what Logto would log of a recorded webhook. Its members have another
// order than in what was sent.
func entry(t *testing.T, name, result string) map[string]any {
	t.Helper()
	var body map[string]any
	if err := json.Unmarshal(recordedWebhooks()[name], &body); err != nil {
		t.Fatal(name, err)
	}
	created, err := time.Parse(time.RFC3339, body["createdAt"].(string))
	if err != nil {
		t.Fatal(err)
	}
	logged++
	payload := map[string]any{"key": logPrefix + body["event"].(string), "result": result, "hookId": body["hookId"], "hookRequest": map[string]any{"body": body}}
	if result == "Error" {
		payload["error"] = `TypeError: {"message":"fetch failed","cause":{"message":"connect ECONNREFUSED 127.0.0.1:5990"}}`
	}
	return map[string]any{"id": fmt.Sprintf("log%05d", logged), "key": payload["key"], "payload": payload, "createdAt": created.Add(20 * time.Millisecond).UnixMilli()}
}

func bodyOf(e map[string]any) map[string]any {
	return e["payload"].(map[string]any)["hookRequest"].(map[string]any)["body"].(map[string]any)
}

// inbox is a receiver that keeps what comes and answers with next, else 200.
type inbox struct {
	mu   sync.Mutex
	got  []*http.Request
	body [][]byte
	next http.Handler
}

func (i *inbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	i.mu.Lock()
	i.got, i.body = append(i.got, r), append(i.body, body)
	next := i.next
	i.mu.Unlock()
	if next != nil {
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, r)
	}
}

func (i *inbox) events() (names []string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, body := range i.body {
		var m struct{ Event string }
		_ = json.Unmarshal(body, &m)
		names = append(names, m.Event)
	}
	return names
}

func (i *inbox) forget() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.got, i.body = nil, nil
}

func answers(status int, text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
	})
}

func newList(t *testing.T) *revocation.List {
	t.Helper()
	l, err := revocation.New(revocation.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// claims are verified ones, of a token that is as old as the bubble allows.
func claims(t *testing.T, token logtotest.Token, issued time.Time) *logto.Claims {
	t.Helper()
	issuer := logtotest.NewIssuer(t)
	cfg := issuer.Config()
	cfg.OrganizationTokens = true
	cfg.Logger = slog.New(slog.DiscardHandler)
	v, err := logto.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	token.Claims = map[string]any{"iat": issued.Unix(), "exp": issued.Add(24 * time.Hour).Unix()}
	c, err := v.Verify(context.Background(), issuer.Token(token))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// bubble runs f when the recorded webhooks are some minutes old.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	t.Setenv(secretVariable, appSecret)
	t.Setenv(appIDVariable, appID)
	t.Setenv(signingKeyVariable, "")
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 11, 25, 1, 45, 0, 0, time.UTC)))
		f(t)
	})
}

// replayed runs replay, whose output must have nothing secret in it.
func replayed(t *testing.T, flags ...string) result {
	t.Helper()
	args := []string{"replay", "-hook", hookID}
	if !slices.Contains(flags, "-endpoint") {
		args = append(args, "-endpoint", endpoint)
	}
	r := tool(t, "", append(args, flags...)...)
	keepsSecrets(t, r.out+r.errs+fmt.Sprint(r.json))
	if r.code != 2 && r.json.Deliveries == nil {
		t.Error("the JSON counts no deliveries")
	}
	return r
}

var anyToken = regexp.MustCompile(`token-of-the-management-api-\d`)

func keepsSecrets(t *testing.T, text string) {
	t.Helper()
	for _, secret := range []string{appSecret, url.QueryEscape(appSecret), base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(appID) + ":" + url.QueryEscape(appSecret))), signingKey, "header-secret"} {
		if strings.Contains(text, secret) {
			t.Errorf("%q is in the output\n%s", secret, text)
		}
	}
	if anyToken.MatchString(text) {
		t.Errorf("a token is in the output\n%s", text)
	}
}

// What Logto couldn't deliver is refused after a replay; only the log's word and the
// receiver's own code decide.
func TestReplayRevokes(t *testing.T) {
	for _, tt := range []struct {
		name, webhook string
		flags         []string
		token         logtotest.Token
		revoked       bool
	}{
		{"suspended", "12-user-suspended", nil, logtotest.Token{User: "ysa4v0fj5t9k"}, true},
		{"deleted", "53-user-deleted", nil, logtotest.Token{User: "pj7pg20t6g5p"}, true},
		{"password set by an administrator", "11-password-set-by-admin", nil, logtotest.Token{User: "ysa4v0fj5t9k"}, true},
		{"removed from an organization", "19-member-removed-from-organization", nil, logtotest.Token{User: "ysa4v0fj5t9k"}, true},
		{"organization deleted", "30-organization-deleted", nil, logtotest.Token{Organization: "8ewoisxlcvef"}, true},
		{"organization deleted, to an instance", "30-organization-deleted", []string{"-to", receiver + "?x=1"}, logtotest.Token{Organization: "8ewoisxlcvef"}, true},

		{"somebody else", "12-user-suspended", nil, logtotest.Token{User: "bob"}, false},
		{"unsuspended", "14-user-unsuspended", nil, logtotest.Token{User: "ysa4v0fj5t9k"}, false},
		{"profile changed", "09-user-data-changed", nil, logtotest.Token{User: "ysa4v0fj5t9k"}, false},
		{"dry run", "12-user-suspended", []string{"-dry-run"}, logtotest.Token{User: "ysa4v0fj5t9k"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				m, list := newManagement(), newList(t)
				network{"tenant.logto.app": m, "api.example.test": list.Webhook(signingKey)}.use(t)
				m.entries = append(m.entries, entry(t, tt.webhook, "Error"))
				c := claims(t, tt.token, time.Date(2026, 11, 25, 1, 19, 0, 0, time.UTC))
				if err := list.Check(c); err != nil {
					t.Fatalf("before the replay: %v", err)
				}
				replayed(t, tt.flags...).want(t, 0)
				if err := list.Check(c); errors.Is(err, logto.ErrRevoked) != tt.revoked || err != nil && !tt.revoked {
					t.Errorf("after the replay: %v", err)
				}
			})
		})
	}
}

// What a live Logto has logged of receivers that were down, slow, or failing.
func TestReplayRecorded(t *testing.T) {
	data, err := os.ReadFile("testdata/recent-logs.json")
	if err != nil {
		t.Fatal(err)
	}
	var entries []map[string]any
	if err := json.Unmarshal(data, &entries); err != nil || len(entries) != 6 {
		t.Fatal(len(entries), err)
	}
	bubble(t, func(t *testing.T) {
		const hook = "ckatshwayw9voh7p5cyib"
		m, in := newManagement(), &inbox{next: newList(t).Webhook(signingKey)}
		network{"tenant.logto.app": m, "api.example.test": in}.use(t)
		m.hook["id"] = hook
		for _, e := range entries {
			e["createdAt"] = int64(e["createdAt"].(float64))
		}
		m.entries = entries
		r := tool(t, "", "replay", "-endpoint", endpoint, "-hook", hook, "-dry-run")
		r.want(t, 0, "would be delivered: User.Data.Updated of 2026-11-25T01:33:05Z", "connect ECONNREFUSED 127.0.0.1:5990", "Request timed out", "'status 429'", "'status 503'", "'status 500'", "of which failed: 5")
		if strings.Contains(r.out, "frank") || len(in.got) > 0 {
			t.Errorf("%d deliveries, or personal data in\n%s", len(in.got), r.out)
		}
		r = tool(t, "", "replay", "-endpoint", endpoint, "-hook", hook)
		r.want(t, 0, "200 nothing", "Delivered: 5")
		if got := *r.json.Deliveries; got != (deliveries{Read: 6, Failed: 5, Delivered: 5}) {
			t.Errorf("%+v", got)
		}
		var names []string
		for _, body := range in.body[:5] {
			var b struct{ Data struct{ Name string } }
			if err := json.Unmarshal(body, &b); err != nil {
				t.Error(err)
			}
			names = append(names, b.Data.Name)
			if bytes.Contains(body, []byte("\n")) {
				t.Errorf("white space in %s", body)
			}
		}
		if got := strings.Join(names, ","); got != "Fake 500,Fake 503,Fake 429,Fake hang,Fake down" {
			t.Errorf("delivered in the order %s, want the newest last", got)
		}
		in.forget()
		r = tool(t, "", "replay", "-endpoint", endpoint, "-hook", hook, "-all")
		r.want(t, 0, "Delivered: 6", "it had been delivered")
		if len(in.got) != 12 { // for text and for JSON
			t.Errorf("%d deliveries", len(in.got))
		}
	})
}

func TestReplayRefusals(t *testing.T) {
	status := func(path string, status int, header ...string) func(*management) {
		return func(m *management) {
			m.before = func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.HasSuffix(r.URL.Path, path) {
					return false
				}
				for i := 0; i < len(header); i += 2 {
					w.Header().Set(header[i], header[i+1])
				}
				w.WriteHeader(status)
				return true
			}
		}
	}
	body := func(path, text string, header ...string) func(*management) {
		return func(m *management) {
			m.before = func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.HasSuffix(r.URL.Path, path) {
					return false
				}
				for i := 0; i < len(header); i += 2 {
					w.Header().Set(header[i], header[i+1])
				}
				_, _ = io.WriteString(w, text)
				return true
			}
		}
	}
	change := func(f func(e map[string]any)) func(*management) {
		return func(m *management) { f(m.entries[0]) }
	}
	for _, tt := range []struct {
		name   string
		with   func(m *management)
		flags  []string
		failed string
		phrase string
		sent   int
	}{
		{"nothing wrong", nil, nil, "", "Delivered: 1", 1},

		{"http to another host", nil, []string{"-endpoint", "http://logto:3001"}, "config", "-insecure-allow-http", 0},
		{"no such host", nil, []string{"-endpoint", "https://other.example.test"}, "management", "no such host", 0},
		{"wrong secret or App ID", nil, []string{"-app-id", "another"}, "management", "status 401, invalid_client", 0},
		{"custom domain", func(m *management) { m.indic = "https://abc.logto.app/api" }, nil, "management", "invalid_target", 0},
		{"another indicator", nil, []string{"-resource", "https://abc.logto.app/api"}, "management", "-resource https://<tenant>.logto.app/api", 0},
		{"no permission at the token endpoint", body("/token", `{"error":"invalid_scope"}`), nil, "management", "no token in the answer", 0},
		{"no role, by the token endpoint", func(m *management) {
			m.before = func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path != "/oidc/token" {
					return false
				}
				w.WriteHeader(400)
				_, _ = io.WriteString(w, `{"error":"invalid_scope"}`)
				return true
			}
		}, nil, "management", "machine-to-machine role with the permission all", 0},
		{"an API that is none", status("/hooks/"+hookID, 418), nil, "management", "status 418 by the Management API", 0},
		{"token endpoint isn't there", status("/token", 404), nil, "management", "status 404", 0},
		{"token endpoint redirects", status("/token", 307, "Location", "https://api.example.test/"), nil, "management", "status 307", 0},
		{"no token", body("/token", `{"access_token":"","expires_in":3600}`), nil, "management", "no token in the answer", 0},
		{"a token that is none", body("/token", `{"access_token":"a\r\nb","expires_in":3600}`), nil, "management", "no token in the answer", 0},
		{"token refused", status("/hooks/"+hookID, 401), nil, "management", "is -resource the Management API's indicator", 0},
		{"no role", status("/hooks/"+hookID, 403), nil, "management", "machine-to-machine role with the permission all", 0},
		{"no such webhook", func(m *management) { m.hook["id"] = "other" }, nil, "hook", "no webhook '" + hookID + "'", 0},
		{"another webhook", body("/hooks/"+hookID, `{"id":"other","config":{"url":"https://api.example.test/"},"enabled":true}`), nil, "hook", "is no webhook", 0},
		{"a page instead of a webhook", body("/hooks/"+hookID, `<!doctype html>`), nil, "hook", "is no webhook", 0},
		{"API redirects", status("/hooks/"+hookID, 302, "Location", "https://api.example.test/"), nil, "management", "a redirect", 0},
		{"disabled", func(m *management) { m.hook["enabled"] = false }, nil, "hook", "disabled", 1},
		{"no signing key", func(m *management) { m.hook["signingKey"] = "" }, nil, "signing-key", "doesn't sign", 0},
		{"no URL", func(m *management) { m.hook["config"] = map[string]any{"url": "api.example.test"} }, nil, "url", "the webhook's URL is none", 0},
		{"URL with a user", func(m *management) {
			m.hook["config"] = map[string]any{"url": "https://user:header-secret@api.example.test/hook"}
		}, nil, "", "https://api.example.test/hook", 1},
		{"suspensions not ticked", func(m *management) { m.hook["events"] = revokingEvents()[1:] }, nil, "", "warn  events", 1},

		{"API fails", status("/recent-logs", 500), nil, "logs", "status 500", 0},
		{"API answers 429", status("/recent-logs", 429), nil, "logs", "status 429", 0},
		{"API asks for a long time", status("/recent-logs", 429, "Retry-After", "120"), nil, "logs", "asks to wait for 2m0s", 0},
		{"API's answer is cut off", body("/recent-logs", `[]                    `, "Cut", "yes"), nil, "logs", "unexpected EOF", 0},
		{"API hangs", func(m *management) {
			m.before = func(w http.ResponseWriter, r *http.Request) bool {
				if strings.HasSuffix(r.URL.Path, "/recent-logs") {
					<-r.Context().Done()
				}
				return false
			}
		}, nil, "logs", "no answer in time", 0},
		{"an entry that is none", body("/recent-logs", `["x"]`, "Total-Number", "1"), nil, "logs", "not as expected: 6", 0},
		{"no list", body("/recent-logs", `{}`), nil, "logs", "no list", 0},
		{"null", body("/recent-logs", `null`), nil, "logs", "no list", 0},

		{"log of another webhook", change(func(e map[string]any) { e["payload"].(map[string]any)["hookId"] = "other" }), nil, "logs", "not as expected: 1", 0},
		{"body of another webhook", change(func(e map[string]any) { bodyOf(e)["hookId"] = "other" }), nil, "logs", "not as expected: 1", 0},
		{"body of another event", change(func(e map[string]any) { bodyOf(e)["event"] = "User.Deleted" }), nil, "logs", "not as expected: 1", 0},
		{"body without a time", change(func(e map[string]any) { delete(bodyOf(e), "createdAt") }), nil, "logs", "not as expected: 1", 0},
		{"body is text", change(func(e map[string]any) {
			e["payload"].(map[string]any)["hookRequest"] = map[string]any{"body": `{"event":"x"}`}
		}), nil, "logs", "not as expected: 1", 0},
		{"no body", change(func(e map[string]any) { delete(e["payload"].(map[string]any), "hookRequest") }), nil, "logs", "not as expected: 1", 0},
		{"no ID", change(func(e map[string]any) { delete(e, "id") }), nil, "logs", "not as expected: 1", 0},
		{"no time", change(func(e map[string]any) { delete(e, "createdAt") }), nil, "logs", "not as expected: 1", 0},
		{"a time without sense", change(func(e map[string]any) { e["createdAt"] = 1e300 }), nil, "logs", "not as expected: 1", 0},
		{"no key", func(m *management) { m.old, m.entries[0]["key"] = true, "User.SuspensionStatus.Updated" }, nil, "logs", "not as expected", 0},
		{"body too large", change(func(e map[string]any) { bodyOf(e)["x"] = strings.Repeat("x", maxBody) }), nil, "delivery", "over 1048576 bytes", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				m, in := newManagement(), &inbox{}
				network{"tenant.logto.app": m, "api.example.test": in}.use(t)
				m.entries = append(m.entries, entry(t, "12-user-suspended", "Error"))
				if tt.with != nil {
					tt.with(m)
				}
				r := replayed(t, tt.flags...)
				code := 1
				if tt.failed == "" {
					code = 0
				}
				r.want(t, code, tt.phrase)
				if got := strings.Join(r.failed(), " "); got != tt.failed {
					t.Errorf("failed %q, want %q", got, tt.failed)
				}
				for _, c := range r.json.Checks {
					if c.Status == fail && c.Hint == "" {
						t.Errorf("%+v has no hint", c)
					}
				}
				if len(in.got) != 2*tt.sent {
					t.Errorf("%d deliveries, want %d", len(in.got), 2*tt.sent)
				}
				if m.tokens > 4 {
					t.Errorf("%d tokens", m.tokens)
				}
			})
		})
	}
}

func TestReplayReceivers(t *testing.T) {
	const other = "https://other.example.test/hook"
	calls := 0
	for _, tt := range []struct {
		name         string
		next         http.Handler
		flags        []string
		code         int
		phrases      []string
		sent         int // of three, to the first receiver, in one run
		undelivered  int
		undelivered2 int // to the other
	}{
		{"200", nil, nil, 0, []string{"Delivered: 3"}, 3, 0, 0},
		{"204", answers(204, ""), nil, 0, []string{"Delivered: 3"}, 3, 0, 0},
		{"503 again", answers(503, "store_failed\n"), nil, 1, []string{"status 503 store_failed", "its store has not taken it", "The next run tries again"}, 3, 3, 0},
		{"500", answers(500, "<html>"), nil, 1, []string{"status 500", "is failing"}, 3, 3, 0},
		{"429", answers(429, ""), nil, 1, []string{"status 429"}, 3, 3, 0},
		{"400", answers(400, "malformed\n"), nil, 1, []string{"status 400 malformed", "the receiver's log"}, 3, 3, 0},
		{"another signing key", newList(t).Webhook("another"), nil, 1, []string{"status 401 unauthorized", "another signing key", "not tried after that: 2"}, 1, 3, 0},
		{"404", answers(404, ""), nil, 1, []string{"no address of revocation.List.Webhook", "not tried after that: 2"}, 1, 3, 0},
		{"redirect", http.RedirectHandler(other, http.StatusPermanentRedirect), nil, 1, []string{"a redirect isn't followed", "not tried after that: 2"}, 1, 3, 0},
		{"redirect by 303", http.RedirectHandler(other, http.StatusSeeOther), nil, 1, []string{"a redirect isn't followed"}, 1, 3, 0},
		{"hangs", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }), nil, 1, []string{"no answer in time"}, 3, 3, 0},
		{"one of three fails", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if calls++; calls%3 == 2 {
				w.WriteHeader(503)
			}
		}), nil, 1, []string{"Not delivered: 1"}, 3, 1, 0},
		{"two receivers", nil, []string{"-to", receiver, "-to", other}, 0, []string{"Delivered: 6"}, 3, 0, 0},
		{"the first of two fails", answers(502, ""), []string{"-to", receiver, "-to", other}, 1, []string{"Not delivered: 3"}, 3, 3, 0},
		{"the second of two isn't there", nil, []string{"-to", receiver, "-to", "https://nowhere.example.test/?password=x"}, 1, []string{"to https://nowhere.example.test/: dial tcp"}, 3, 3, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				m, in, second := newManagement(), &inbox{next: tt.next}, &inbox{}
				network{"tenant.logto.app": m, "api.example.test": in, "other.example.test": second}.use(t)
				m.hook["config"] = map[string]any{"url": receiver, "headers": map[string]string{"X-Gateway": "header-secret"}}
				for _, name := range []string{"53-user-deleted", "19-member-removed-from-organization", "12-user-suspended"} {
					m.entries = append(m.entries, entry(t, name, "Error"))
				}
				r := replayed(t, tt.flags...)
				r.want(t, tt.code, tt.phrases...)
				if len(in.got) != 2*tt.sent || r.json.Deliveries.Undelivered != tt.undelivered {
					t.Errorf("sent %d, %+v", len(in.got), r.json.Deliveries)
				}
				if strings.Contains(r.out, "password") || strings.Contains(r.out, "<html>") {
					t.Errorf("a query, or the receiver's text in\n%s", r.out)
				}
				if slices.Contains(tt.flags, other) != (len(second.got) == 6) {
					t.Errorf("%d deliveries to the other receiver", len(second.got))
				}
				for _, req := range in.got {
					if req.Method != "POST" || req.Header.Get("Content-Type") != "application/json" || req.Header.Get("X-Gateway") != "header-secret" || req.Header.Get("Authorization") != "" {
						t.Errorf("%s %v", req.Method, req.Header)
					}
				}
			})
		})
	}
}

// What one receiver has got, and another hasn't, the other gets.
func TestReplayEachReceiver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const other = "https://other.example.test/hook"
		failsAt := func(n int) http.Handler {
			calls := 0
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if calls++; calls == n {
					w.WriteHeader(503)
				}
			})
		}
		m, first, second := newManagement(), &inbox{next: failsAt(1)}, &inbox{next: failsAt(2)}
		network{"tenant.logto.app": m, "api.example.test": first, "other.example.test": second}.use(t)
		for _, name := range []string{"53-user-deleted", "19-member-removed-from-organization", "12-user-suspended"} {
			m.entries = append(m.entries, entry(t, name, "Error"))
		}
		p := newTestReplayer(t, "-to", receiver, "-to", other)
		for _, want := range [][2]int{{4, 2}, {2, 0}, {0, 0}} {
			r, _ := p.pass(context.Background())
			if r.Deliveries.Delivered != want[0] || r.Deliveries.Undelivered != want[1] {
				t.Errorf("%+v, want %v", r.Deliveries, want)
			}
		}
		if len(first.got) != 4 || len(second.got) != 4 {
			t.Errorf("%d and %d deliveries", len(first.got), len(second.got))
		}
	})
}

// One pass takes five minutes, however slow a receiver is.
func TestReplayTime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, in := newManagement(), &inbox{next: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { time.Sleep(9 * time.Second) })}
		network{"tenant.logto.app": m, "api.example.test": in}.use(t)
		for range 40 {
			m.entries = append(m.entries, entry(t, "12-user-suspended", "Error"))
		}
		start := time.Now()
		r, _ := newTestReplayer(t).pass(context.Background())
		if took := time.Since(start); took != 5*time.Minute+6*time.Second || r.Deliveries.Delivered != 33 || r.Deliveries.Undelivered != 7 {
			t.Errorf("%v, %+v", took, r.Deliveries)
		}
		var failed []string
		for _, c := range r.Checks {
			if c.Status == fail {
				failed = append(failed, c.Saw)
			}
		}
		if len(failed) != 2 || !strings.HasSuffix(failed[1], "not tried after that: 6") {
			t.Errorf("failed %q", failed)
		}
	})
}

// After three failures in a row a receiver is left alone.
func TestReplayPatience(t *testing.T) {
	bubble(t, func(t *testing.T) {
		calls := 0
		m, in := newManagement(), &inbox{next: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if calls++; calls%3 != 0 {
				w.WriteHeader(503)
			}
		})}
		network{"tenant.logto.app": m, "api.example.test": in}.use(t)
		for range 6 {
			m.entries = append(m.entries, entry(t, "12-user-suspended", "Error"))
		}
		r := replayed(t)
		r.want(t, 1, "Not delivered: 4")
		if len(in.got) != 2*6 {
			t.Errorf("%d deliveries, and never three failures in a row", len(in.got))
		}
	})
	bubble(t, func(t *testing.T) {
		m, in := newManagement(), &inbox{next: answers(503, "")}
		network{"tenant.logto.app": m, "api.example.test": in}.use(t)
		for range 5 {
			m.entries = append(m.entries, entry(t, "12-user-suspended", "Error"))
		}
		r := replayed(t)
		r.want(t, 1, "not tried after that: 2", "Not delivered: 5")
		if len(in.got) != 2*3 {
			t.Errorf("%d deliveries", len(in.got))
		}
	})
}

// As a whole doctor takes six times as long as it waits for one answer.
func TestDoctorPatience(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := network{"tenant.logto.app": logtotest.Hang()}
		args := []string{"doctor", "-endpoint", endpoint, "-jwks-url", endpoint + "/oidc/jwks", "-audience", api, "-timeout", "1s", "-hook", hookID}
		for i := range 6 {
			host := fmt.Sprintf("a%d.example.test", i)
			n[host] = logtotest.Hang()
			args = append(args, "-issuer", "https://"+host+"/oidc")
		}
		n.use(t)
		start := time.Now()
		var out, errs bytes.Buffer
		if code := run(args, nil, &out, &errs); code != 1 || time.Since(start) != 6*time.Second {
			t.Errorf("%d after %v, %s%s", code, time.Since(start), &out, &errs)
		}
	})
}

// A long list is bounded in the output, not in what is delivered.
func TestReplayBounds(t *testing.T) {
	for _, noTotal := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			m, in := newManagement(), &inbox{}
			m.noTotal = noTotal
			network{"tenant.logto.app": m, "api.example.test": in}.use(t)
			for range 53 {
				m.entries = append(m.entries, entry(t, "12-user-suspended", "Error"))
			}
			m.entries = append(m.entries, m.entries[49], m.entries[0]) // the log grew while it was read
			r := replayed(t)
			r.want(t, 0, "3 more are not listed", "Delivered: 53")
			listed := 0
			for _, c := range r.json.Checks {
				if c.Name == "delivery" {
					listed++
				}
			}
			if len(in.got) != 2*53 || r.json.Deliveries.Read != 53 || listed != 51 {
				t.Errorf("%d deliveries, %+v, listed %d", len(in.got), r.json.Deliveries, listed)
			}
		})
	}
	t.Run("one whole page", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			m := newManagement()
			network{"tenant.logto.app": m, "api.example.test": &inbox{}}.use(t)
			for range 50 {
				m.entries = append(m.entries, entry(t, "12-user-suspended", "Error"))
			}
			if r, _ := newTestReplayer(t).pass(context.Background()); r.Deliveries.Delivered != 50 || len(m.asked) != len(revokingEvents()) {
				t.Errorf("%d pages, %+v", len(m.asked), r.Deliveries)
			}
		})
	})
	t.Run("an endless log", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			m, in := newManagement(), &inbox{}
			network{"tenant.logto.app": m, "api.example.test": in}.use(t)
			m.before = func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.HasSuffix(r.URL.Path, "/recent-logs") {
					return false
				}
				m.asked = append(m.asked, r.URL.Query())
				_ = json.NewEncoder(w).Encode([]any{entry(t, "12-user-suspended", "Error")})
				return true
			}
			r := replayed(t)
			r.want(t, 1, "longer than one run reads")
			if len(m.asked) != 2*200 || len(in.got) != 2*200 {
				t.Errorf("%d pages, %d deliveries", len(m.asked), len(in.got))
			}
		})
	})
	t.Run("large bodies", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			m, in := newManagement(), &inbox{}
			network{"tenant.logto.app": m, "api.example.test": in}.use(t)
			e := entry(t, "12-user-suspended", "Error")
			e["id"], bodyOf(e)["x"] = "ID", strings.Repeat("x", 1000)
			one, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			const pages, each = 5, 10
			m.before = func(w http.ResponseWriter, r *http.Request) bool {
				page, _ := strconv.Atoi(r.URL.Query().Get("page"))
				if page > pages || r.URL.Query().Get("logKey") != e["key"] {
					return false
				}
				var list [][]byte
				for n := range each {
					list = append(list, bytes.Replace(one, []byte(`"ID"`), fmt.Appendf(nil, `"%d-%d"`, page, n), 1))
				}
				_, _ = fmt.Fprintf(w, "[%s]", bytes.Join(list, []byte(",")))
				return true
			}
			p := newTestReplayer(t)
			p.room = 40_000 // two pages have less
			r, _ := p.pass(context.Background())
			if r.OK || !strings.Contains(fmt.Sprint(r.Checks), "longer than one run reads") || len(in.got) != 3*each {
				t.Errorf("%d deliveries, %v", len(in.got), r.Summary)
			}
			// What has been delivered takes no room.
			r, _ = p.pass(context.Background())
			if !r.OK || len(in.got) != pages*each {
				t.Errorf("%d deliveries, %v", len(in.got), r.Summary)
			}
		})
	})
	t.Run("a page too large", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			m := newManagement()
			network{"tenant.logto.app": m}.use(t)
			m.before = func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.HasSuffix(r.URL.Path, "/"+hookID) {
					return false
				}
				_, _ = io.Copy(w, io.LimitReader(repeat{}, maxBody+1))
				return true
			}
			replayed(t).want(t, 1, "over 1048576 bytes")
		})
	})
}

// Which deliveries are made, of those in the log.
func TestReplayChooses(t *testing.T) {
	for _, tt := range []struct {
		name  string
		flags []string
		old   bool
		with  func(m *management)
		want  string
	}{
		{"what had failed", nil, false, nil, "User.SuspensionStatus.Updated Organization.Membership.Updated"},
		{"by a Logto that ignores event and time", nil, true, nil, "User.SuspensionStatus.Updated Organization.Membership.Updated"},
		{"another event", []string{"-event", "Role.Deleted"}, false, nil, "User.SuspensionStatus.Updated Organization.Membership.Updated Role.Deleted"},
		{"an event twice", []string{"-event", "User.Deleted", "-event", "User.Deleted"}, false, nil, "User.SuspensionStatus.Updated Organization.Membership.Updated"},
		{"all", []string{"-all"}, false, nil, "User.SuspensionStatus.Updated Organization.Membership.Updated Organization.Deleted User.Deleted"},
		{"too old", []string{"-since", "23m"}, true, nil, ""},
		{"half too old", []string{"-since", "25m14s"}, false, func(m *management) {
			for _, e := range m.entries {
				e["createdAt"] = e["createdAt"].(int64) - 55_000 // a minute more is read, for clocks that differ
			}
		}, "Organization.Membership.Updated"},
		{"a result that nobody knows", nil, false, func(m *management) {
			m.entries = m.entries[:0]
			m.entries = append(m.entries, entry(t, "53-user-deleted", "Pending"))
		}, "User.Deleted"},
		{"nothing", nil, false, func(m *management) { m.entries = nil }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				m, in := newManagement(), &inbox{}
				network{"tenant.logto.app": m, "api.example.test": in}.use(t)
				m.old = tt.old
				for name, result := range map[string]string{
					"12-user-suspended": "Error", "19-member-removed-from-organization": "Error", "34-role-deleted": "Error", "02-sign-in-postsignin": "Error",
					"53-user-deleted": "Success", "30-organization-deleted": "Success",
				} {
					m.entries = append(m.entries, entry(t, name, result))
				}
				if tt.with != nil {
					tt.with(m)
				}
				r := replayed(t, tt.flags...)
				r.want(t, 0)
				got := in.events()
				if got = got[:len(got)/2]; strings.Join(got, " ") != tt.want {
					t.Errorf("delivered %q, want %q", got, tt.want)
				}
				if tt.want == "" {
					r.want(t, 0, "Nothing is to be delivered")
				}
			})
		})
	}
}

// What the API refuses for a moment is asked for again, not sooner than it says.
func TestReplayTriesAgain(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer func(w http.ResponseWriter)
		took   time.Duration
	}{
		{"500", func(w http.ResponseWriter) { w.WriteHeader(500) }, time.Second},
		{"503 and seconds", func(w http.ResponseWriter) { w.Header().Set("Retry-After", "7"); w.WriteHeader(503) }, 7 * time.Second},
		{"429 and a date", func(w http.ResponseWriter) {
			w.Header().Set("Retry-After", time.Now().Add(20*time.Second).UTC().Format(http.TimeFormat))
			w.WriteHeader(429)
		}, 20 * time.Second},
		{"429 and the past", func(w http.ResponseWriter) { w.Header().Set("Retry-After", "-5"); w.WriteHeader(429) }, time.Second},
		{"cut off", func(w http.ResponseWriter) { w.Header().Set("Cut", "yes"); _, _ = io.WriteString(w, "[        ]") }, time.Second},
		{"token refused", func(w http.ResponseWriter) { w.WriteHeader(401) }, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				m, in := newManagement(), &inbox{}
				network{"tenant.logto.app": m, "api.example.test": in}.use(t)
				m.entries = append(m.entries, entry(t, "12-user-suspended", "Error"))
				failed := false
				m.before = func(w http.ResponseWriter, r *http.Request) bool {
					if failed || !strings.HasSuffix(r.URL.Path, "/recent-logs") {
						return false
					}
					failed = true
					tt.answer(w)
					return true
				}
				start := time.Now()
				r, _ := newTestReplayer(t).pass(context.Background())
				if took := time.Since(start); !r.OK || !failed || took != tt.took {
					t.Errorf("after %v, want %v: %v %+v", took, tt.took, r.Summary, r.Checks)
				}
				if len(in.got) != 1 {
					t.Errorf("%d deliveries", len(in.got))
				}
			})
		})
	}
}

// What can't be, as addresses are looked at before.
func TestReplayAddresses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		network{}.use(t)
		if _, _, err := newTestReplayer(t).post(context.Background(), "%zz", nil, nil, nil); err == nil || err.Error() != "the address is no URL" {
			t.Error(err)
		}
		if got := shown("%zz"); got != "an address that is no URL" {
			t.Error(got)
		}
	})
}

func newTestReplayer(t *testing.T, flags ...string) *replayer {
	t.Helper()
	o, _, err := parse(append([]string{"replay", "-endpoint", endpoint, "-hook", hookID}, flags...))
	if err != nil {
		t.Fatal(err)
	}
	p, err := newReplayer(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// looping runs a loop and gives what it has written so far.
func looping(t *testing.T, flags ...string) (stop func() int, output func() string) {
	t.Helper()
	p := newTestReplayer(t, flags...)
	ctx, cancel := context.WithCancel(context.Background())
	var out, errs safeBuffer
	status := make(chan int, 1)
	go func() { status <- p.loop(ctx, &out, &errs) }()
	t.Cleanup(cancel)
	return func() int {
			cancel()
			code := <-status
			keepsSecrets(t, out.buf.String()+errs.buf.String())
			return code
		}, func() string {
			synctest.Wait()
			return out.take()
		}
}

type safeBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
	at  int
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

// take gives what was written since the last call.
func (b *safeBuffer) take() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.buf.String()[b.at:]
	b.at = b.buf.Len()
	return s
}

func TestReplayLoop(t *testing.T) {
	// Each step waits for a pass and then looks.
	start := func(t *testing.T, next http.Handler, flags ...string) (m *management, in *inbox, stop func() int, pass func() string) {
		m, in = newManagement(), &inbox{next: next}
		network{"tenant.logto.app": m, "api.example.test": in}.use(t)
		m.entries = append(m.entries, entry(t, "12-user-suspended", "Error"))
		stop, output := looping(t, append([]string{"-every", "1m"}, flags...)...)
		time.Sleep(30 * time.Second)
		first := true
		return m, in, stop, func() string {
			if !first {
				time.Sleep(time.Minute)
			}
			first = false
			return output()
		}
	}
	locked := func(m *management, f func()) {
		m.mu.Lock()
		defer m.mu.Unlock()
		f()
	}
	t.Run("each delivery once, and silence when there is nothing to say", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			m, in, stop, pass := start(t, nil)
			if out := pass(); !strings.Contains(out, "Delivered: 1") || !strings.Contains(out, "2026-11-25T01:45:00Z") {
				t.Errorf("at first\n%s", out)
			}
			for range 10 {
				if out := pass(); out != "" {
					t.Errorf("nothing has happened\n%s", out)
				}
			}
			// It is logged now, and it is older than what was delivered.
			late := entry(t, "11-password-set-by-admin", "Error")
			late["createdAt"] = m.entries[0]["createdAt"].(int64) - 30_000
			locked(m, func() { m.entries = append(m.entries, late) })
			if out := pass(); !strings.Contains(out, "Delivered: 1") {
				t.Errorf("a delivery that was logged late\n%s", out)
			}
			if got := in.events(); len(got) != 2 {
				t.Errorf("delivered %q", got)
			}
			if code := stop(); code != 0 {
				t.Errorf("status %d", code)
			}
			if m.tokens != 1 {
				t.Errorf("%d tokens", m.tokens)
			}
		})
	})
	t.Run("it reads on where it was", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			m, _, stop, pass := start(t, nil)
			pass()
			pass()
			stop()
			at := func(q url.Values) time.Time {
				ms, _ := strconv.ParseInt(q.Get("start_time"), 10, 64)
				return time.UnixMilli(ms)
			}
			n := len(revokingEvents())
			if len(m.asked) != 2*n {
				t.Fatalf("%d pages", len(m.asked))
			}
			if got := time.Since(at(m.asked[0])); got < 24*time.Hour+time.Minute || got > 24*time.Hour+5*time.Minute {
				t.Errorf("at first %v", got)
			}
			if got, want := at(m.asked[n]), time.UnixMilli(m.entries[0]["createdAt"].(int64)).Add(-15*time.Minute); !got.Equal(want) {
				t.Errorf("then from %v, want %v", got, want)
			}
		})
	})
	t.Run("what isn't taken is tried again until it is too old", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			m, in, stop, pass := start(t, answers(503, "store_failed\n"), "-since", "1h")
			recent := entry(t, "08-backchannel-user-suspended", "Success")
			recent["payload"].(map[string]any)["hookId"], bodyOf(recent)["hookId"] = hookID, hookID
			locked(m, func() { m.entries = append(m.entries, recent) }) // newer than the first by more than the overlap
			for range 36 {
				if out := pass(); !strings.Contains(out, "Not delivered: 1") {
					t.Fatalf("at %v\n%s", time.Now(), out)
				}
			}
			if out := pass(); !strings.Contains(out, "given up, as they are older than -since: 1") || !strings.Contains(out, "Nothing is to be delivered") {
				t.Errorf("at %v\n%s", time.Now(), out)
			}
			if out := pass(); out != "" {
				t.Errorf("it is said once\n%s", out)
			}
			if code := stop(); code != 0 {
				t.Errorf("status %d", code)
			}
			if n := len(in.got); n != 36 {
				t.Errorf("%d deliveries", n)
			}
		})
	})
	t.Run("503, then it is taken", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			m, in := newManagement(), &inbox{next: answers(503, "")}
			network{"tenant.logto.app": m, "api.example.test": in}.use(t)
			m.entries = append(m.entries, entry(t, "12-user-suspended", "Error"))
			stop, output := looping(t, "-every", "10s")
			time.Sleep(15 * time.Second)
			if out := output(); strings.Count(out, "Not delivered: 1") != 2 {
				t.Errorf("\n%s", out)
			}
			in.mu.Lock()
			in.next = nil
			in.mu.Unlock()
			time.Sleep(20 * time.Second)
			if out := output(); strings.Count(out, "Delivered: 1") != 1 {
				t.Errorf("\n%s", out)
			}
			if code := stop(); code != 0 {
				t.Errorf("status %d", code)
			}
		})
	})
	t.Run("stopped while something isn't delivered", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			m := newManagement()
			network{"tenant.logto.app": m, "api.example.test": answers(503, "")}.use(t)
			m.entries = append(m.entries, entry(t, "12-user-suspended", "Error"))
			stop, output := looping(t, "-every", "10s")
			output()
			if code := stop(); code != 1 {
				t.Errorf("status %d", code)
			}
		})
	})
	t.Run("stopped in the first pass", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			network{"tenant.logto.app": http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })}.use(t)
			stop, output := looping(t, "-every", "10s")
			if out := output(); out != "" {
				t.Errorf("\n%s", out)
			}
			if code := stop(); code != 1 || output() != "" {
				t.Errorf("status %d", code)
			}
		})
	})
	t.Run("an outage of the API, and Retry-After", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			m, in, stop, pass := start(t, nil)
			pass()
			asked := 0
			locked(m, func() { m.before = counted(&asked, after("300", 503)) })
			if out := pass(); !strings.Contains(out, "FAIL  hook") || !strings.Contains(out, "asks to wait for 5m0s") {
				t.Errorf("\n%s", out)
			}
			for range 4 {
				if out := pass(); out != "" {
					t.Errorf("sooner than it asks\n%s", out)
				}
			}
			locked(m, func() {
				m.before = nil
				m.entries = append(m.entries, entry(t, "53-user-deleted", "Error"))
			})
			if out := pass(); !strings.Contains(out, "Delivered: 1") {
				t.Errorf("\n%s", out)
			}
			if code := stop(); code != 0 || asked != 1 || len(in.got) != 2 {
				t.Errorf("status %d, asked %d times, %d deliveries", code, asked, len(in.got))
			}
		})
	})
	t.Run("Retry-After of a day", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			m, _, stop, pass := start(t, nil)
			pass()
			asked := 0
			locked(m, func() { m.before = counted(&asked, after("86400", 503)) })
			pass()
			time.Sleep(time.Hour)
			if pass(); asked != 2 {
				t.Errorf("asked %d times", asked)
			}
			if code := stop(); code != 1 {
				t.Errorf("status %d", code)
			}
		})
	})
	t.Run("quiet for longer than -since", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			_, in, stop, pass := start(t, nil, "-since", "1h")
			for range 120 {
				pass()
			}
			if code := stop(); code != 0 || len(in.got) != 1 {
				t.Errorf("status %d, %d deliveries", code, len(in.got))
			}
		})
	})
	t.Run("one of two receivers fails", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			m, first, second := newManagement(), &inbox{}, &inbox{next: answers(503, "")}
			network{"tenant.logto.app": m, "api.example.test": first, "other.example.test": second}.use(t)
			m.entries = append(m.entries, entry(t, "12-user-suspended", "Error"))
			stop, output := looping(t, "-every", "10s", "-to", receiver, "-to", "https://other.example.test/hook")
			time.Sleep(25 * time.Second)
			output()
			if code := stop(); code != 1 || len(first.got) != 1 || len(second.got) != 3 {
				t.Errorf("status %d, %d and %d deliveries", code, len(first.got), len(second.got))
			}
		})
	})
	t.Run("a page that can't be read is read later", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			m, in, stop, pass := start(t, nil)
			pass()
			// The log of one event fails while another event's newer delivery is read.
			deleted := entry(t, "53-user-deleted", "Error")
			deleted["createdAt"] = m.entries[0]["createdAt"].(int64) + 1
			newer := entry(t, "08-backchannel-user-suspended", "Success")
			newer["payload"].(map[string]any)["hookId"], bodyOf(newer)["hookId"] = hookID, hookID
			locked(m, func() {
				m.entries = append(m.entries, deleted, newer)
				m.before = func(w http.ResponseWriter, r *http.Request) bool {
					if r.URL.Query().Get("logKey") != logPrefix+"User.Deleted" {
						return false
					}
					w.WriteHeader(500)
					return true
				}
			})
			if out := pass(); !strings.Contains(out, "FAIL  logs") {
				t.Errorf("\n%s", out)
			}
			locked(m, func() { m.before = nil })
			if out := pass(); !strings.Contains(out, "Delivered: 1") {
				t.Errorf("\n%s", out)
			}
			if code := stop(); code != 0 || len(in.got) != 2 {
				t.Errorf("status %d, %d deliveries", code, len(in.got))
			}
		})
	})
	t.Run("-all, each time", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			_, in, stop, pass := start(t, nil, "-all")
			pass()
			pass()
			if code := stop(); code != 0 || len(in.got) != 2 {
				t.Errorf("status %d, %d deliveries", code, len(in.got))
			}
		})
	})
	t.Run("the token is renewed before it expires", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			m, _, stop, pass := start(t, nil)
			for range 60 {
				pass()
			}
			if code := stop(); code != 0 || m.tokens != 2 {
				t.Errorf("status %d, %d tokens", code, m.tokens)
			}
			for _, bearer := range m.bearers {
				if bearer == "" {
					t.Error("a request without its credentials")
				}
			}
		})
	})
	t.Run("nobody reads the output", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			m := newManagement()
			network{"tenant.logto.app": m, "api.example.test": &inbox{}}.use(t)
			var errs bytes.Buffer
			if code := newTestReplayer(t, "-every", "1m").loop(context.Background(), broken{}, &errs); code != 1 || errs.Len() == 0 {
				t.Errorf("status %d, %q", code, errs.String())
			}
		})
	})
}

// What can't come back is forgotten.
func TestReplayForgets(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newManagement()
		network{"tenant.logto.app": m, "api.example.test": &inbox{}}.use(t)
		m.entries = append(m.entries, entry(t, "12-user-suspended", "Error"))
		p := newTestReplayer(t, "-since", "1h")
		for _, want := range []int{1, 1, 0} {
			if _, _ = p.pass(context.Background()); len(p.done) != want {
				t.Errorf("%d are remembered at %v, want %d", len(p.done), time.Now(), want)
			}
			time.Sleep(30 * time.Minute)
		}
	})
}

// A process that starts again delivers again, which changes nothing.
func TestReplayAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newManagement()
		in := &inbox{next: newList(t).Webhook(signingKey)}
		network{"tenant.logto.app": m, "api.example.test": in}.use(t)
		m.entries = append(m.entries, entry(t, "12-user-suspended", "Error"))
		for _, want := range []string{"200 revoked", "200 unchanged"} {
			r, _ := newTestReplayer(t).pass(context.Background())
			if !r.OK || !strings.Contains(fmt.Sprint(r.Checks), want) {
				t.Errorf("no %q in %+v", want, r.Checks)
			}
		}
	})
}

// Whatever a server repeats of what it was sent is not printed.
func TestReplayKeepsSecrets(t *testing.T) {
	const key, word, secret = "signing_key_of_the_webhook", "header_value_of_a_gateway", "secret_of_the_application"
	echo := func(w http.ResponseWriter, status int, name, text string) bool {
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]string{name: text, "message": text, "error_description": text})
		return true
	}
	for _, tt := range []struct {
		name     string
		before   func(m *management, w http.ResponseWriter, r *http.Request) bool
		receiver http.Handler
		secret   string
	}{
		{"the token endpoint", func(_ *management, w http.ResponseWriter, r *http.Request) bool {
			return strings.HasSuffix(r.URL.Path, "/token") && echo(w, 401, "error", secret)
		}, nil, secret},
		{"the API", func(m *management, w http.ResponseWriter, r *http.Request) bool {
			return !strings.HasSuffix(r.URL.Path, "/token") && echo(w, 403, "code", strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		}, nil, "token-of"},
		{"the receiver, a header", nil, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Header.Get("X-Gateway")) }), word},
		{"the receiver, the key", nil, answers(503, key), key},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				t.Setenv(secretVariable, secret)
				m := newManagement()
				network{"tenant.logto.app": m, "api.example.test": tt.receiver}.use(t)
				m.hook["signingKey"], m.hook["config"] = key, map[string]any{"url": receiver, "headers": map[string]string{"X-Gateway": word}}
				m.entries = append(m.entries, entry(t, "12-user-suspended", "Error"))
				m.before = func(w http.ResponseWriter, r *http.Request) bool {
					if tt.before != nil && tt.before(m, w, r) {
						return true
					}
					if strings.HasSuffix(r.URL.Path, "/token") {
						m.token = "token-of-the-management-api-0"
						_ = json.NewEncoder(w).Encode(map[string]any{"access_token": m.token, "expires_in": 3600})
						return true
					}
					return false
				}
				r := replayed(t)
				all := r.out + fmt.Sprint(r.json)
				if tt.before != nil {
					// The issuer isn't there, which doctor says too.
					r := tool(t, "", "doctor", "-endpoint", endpoint, "-resource", "x", "-audience", api, "-hook", hookID)
					if !strings.Contains(r.out, "(left out)") {
						t.Errorf("nothing was left out by doctor\n%s", r.out)
					}
					all += r.out + fmt.Sprint(r.json)
				}
				if !strings.Contains(all, "(left out)") {
					t.Errorf("nothing was left out\n%s", r.out)
				}
				for _, s := range []string{key, word, secret} {
					if strings.Contains(all, s) {
						t.Errorf("%s is in\n%s", s, r.out)
					}
				}
			})
		})
	}
}

func TestReplayUsage(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const danger = "a secret must not be on the command line"
	for _, tt := range []struct {
		name string
		args []string
		want string
	}{
		{"secret as flag", []string{"-secret", appSecret}, danger},
		{"secret as flag with =", []string{"--secret=" + appSecret}, danger},
		{"app-secret", []string{"-app-secret=" + appSecret}, danger},
		{"client-secret", []string{"-client-secret", appSecret}, danger},
		{"signing key", []string{"-signing-key=" + signingKey}, danger},
		{"secret as argument", []string{"-endpoint", endpoint, "-hook", hookID, appSecret}, "replay takes flags only"},
		{"secret as the name of a file", []string{"-endpoint", endpoint, "-hook", hookID, "-secret-file", appSecret}, "the file of -secret-file can't be read"},
		{"empty file", []string{"-endpoint", endpoint, "-hook", hookID, "-secret-file", file("empty", "\n")}, "is empty"},
		{"large file", []string{"-endpoint", endpoint, "-hook", hookID, "-secret-file", file("large", strings.Repeat("x", 4097))}, "has over 4096 bytes"},
		{"a directory", []string{"-endpoint", endpoint, "-hook", hookID, "-signing-key-file", dir}, "the file of -signing-key-file can't be read"},
		{"no endpoint", []string{"-hook", hookID}, "needs -endpoint"},
		{"no hook", []string{"-endpoint", endpoint}, "needs -hook"},
		{"since 0", []string{"-endpoint", endpoint, "-hook", hookID, "-since", "0s"}, "-since must be over 0"},
		{"since too long", []string{"-endpoint", endpoint, "-hook", hookID, "-since", "720h1ns"}, "at most 720h"},
		{"every too short", []string{"-endpoint", endpoint, "-hook", hookID, "-every", "999ms"}, "-every must be at least 1s"},
		{"every 0", []string{"-endpoint", endpoint, "-hook", hookID, "-every", "0s"}, "-every must be at least 1s"},
		{"no timeout", []string{"-endpoint", endpoint, "-hook", hookID, "-timeout", "0s"}, "-timeout must be over 0"},
		{"timeout too long", []string{"-endpoint", endpoint, "-hook", hookID, "-timeout", "10001ms"}, "at most 10s"},
		{"to by ftp", []string{"-endpoint", endpoint, "-hook", hookID, "-to", "ftp://api.example.test/"}, "-to takes the URL"},
		{"to without a host", []string{"-endpoint", endpoint, "-hook", hookID, "-to", "https:///hook"}, "-to takes the URL"},
		{"to a fragment", []string{"-endpoint", endpoint, "-hook", hookID, "-to", receiver + "#x"}, "-to takes the URL"},
		{"to no URL at all", []string{"-endpoint", endpoint, "-hook", hookID, "-to", "https://%zz"}, "-to takes the URL"},
		{"an event too long", []string{"-endpoint", endpoint, "-hook", hookID, "-event", strings.Repeat("x", 101)}, "-event takes the name of one"},
		{"password", []string{"--password", appSecret}, danger},
		{"every as long as since", []string{"-endpoint", endpoint, "-hook", hookID, "-every", "24h"}, "less than -since"},
		{"dry loop", []string{"-endpoint", endpoint, "-hook", hookID, "-every", "1m", "-dry-run"}, "-dry-run is for one run"},
		{"timeout", []string{"-endpoint", endpoint, "-hook", hookID, "-timeout", "1m"}, "at most 10s"},
		{"to no URL", []string{"-endpoint", endpoint, "-hook", hookID, "-to", "api.example.test"}, "-to takes the URL"},
		{"to a URL with a password", []string{"-endpoint", endpoint, "-hook", hookID, "-to", "https://user:" + url.QueryEscape(appSecret) + "@api.example.test/"}, "-to takes the URL"},
		{"two events in one", []string{"-endpoint", endpoint, "-hook", hookID, "-event", "User.Deleted,Role.Deleted"}, "-event takes the name of one"},
		{"audience", []string{"-endpoint", endpoint, "-hook", hookID, "-audience", api}, "not defined"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv(appIDVariable, appID)
			t.Setenv(secretVariable, appSecret)
			network{}.use(t)
			r := tool(t, "", append([]string{"replay"}, tt.args...)...)
			r.want(t, 2, tt.want)
			keepsSecrets(t, r.errs)
		})
	}
	t.Run("no App ID", func(t *testing.T) {
		t.Setenv(appIDVariable, "")
		tool(t, "", "replay", "-endpoint", endpoint, "-hook", hookID).want(t, 2, "-app-id (or LOGTO_APP_ID) is missing")
	})
	t.Run("no secret", func(t *testing.T) {
		t.Setenv(secretVariable, "")
		tool(t, "", "replay", "-endpoint", endpoint, "-hook", hookID, "-app-id", "x").want(t, 2, "set LOGTO_APP_SECRET or give -secret-file")
		tool(t, "", "doctor", "-endpoint", endpoint, "-audience", api, "-hook", hookID, "-app-id", "x").want(t, 2, "set LOGTO_APP_SECRET or give -secret-file")
		tool(t, "", "doctor", "-endpoint", endpoint, "-audience", api, "-secret=x").want(t, 2, danger)
		tool(t, "", "explain", "-secret", "x").want(t, 2, danger)
		tool(t, "", "doctor", "-issuer", endpoint+"/oidc", "-audience", api, "-hook", hookID).want(t, 2, "-hook needs -endpoint")
	})
	for _, args := range [][]string{{"replay", "-h"}, {"replay", "--help"}} {
		var out, errs bytes.Buffer
		if code := run(args, nil, &out, &errs); code != 0 || out.String() != replayUsage {
			t.Errorf("%v: %d, %q, %q", args, code, out.String(), errs.String())
		}
	}
	// The flags that exist are those of the usage text.
	flags := regexp.MustCompile(`(?m)^  -([a-z-]+)`).FindAllStringSubmatch(replayUsage, -1)
	if len(flags) < 15 {
		t.Errorf("%d flags", len(flags))
	}
	for _, flag := range flags {
		if _, err := parseReplay([]string{"-" + flag[1]}); err != nil && strings.Contains(err.Error(), "not defined") {
			t.Errorf("-%s: %v", flag[1], err)
		}
	}
}

// Secret and key by files, before the environment.
func TestReplayFiles(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"secret": appSecret + "\r\n", "key": " " + signingKey + "\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	bubble(t, func(t *testing.T) {
		t.Setenv(secretVariable, "wrong")
		t.Setenv(signingKeyVariable, "wrong too")
		m, in := newManagement(), &inbox{next: newList(t).Webhook(signingKey)}
		network{"tenant.logto.app": m, "api.example.test": in}.use(t)
		m.entries = append(m.entries, entry(t, "12-user-suspended", "Error"))
		m.hook["signingKey"] = "" // so that only the file has it
		replayed(t, "-secret-file", filepath.Join(dir, "secret"), "-signing-key-file", filepath.Join(dir, "key")).want(t, 0, "200 revoked")
		m.hook["signingKey"] = "the key in Logto now"
		replayed(t, "-secret-file", filepath.Join(dir, "secret"), "-signing-key-file", filepath.Join(dir, "key")).want(t, 1, "200 unchanged", "FAIL  signing-key")
	})
}

func TestResourceOf(t *testing.T) {
	for base, want := range map[string]string{
		"https://tenant.logto.app":       "https://tenant.logto.app/api",
		"https://tenant.logto.app:8443":  "https://tenant.logto.app/api",
		"https://auth.example.com":       "https://default.logto.app/api",
		"http://localhost:3001":          "https://default.logto.app/api",
		"https://logto.app.example.com":  "https://default.logto.app/api",
		"https://xlogto.app":             "https://default.logto.app/api",
		"https://auth.example.com/logto": "https://default.logto.app/api",
	} {
		if got := resourceOf(base); got != want {
			t.Errorf("%s: %s, want %s", base, got, want)
		}
	}
}

func TestDoctorWebhook(t *testing.T) {
	i := logtotest.NewIssuer(t)
	for _, tt := range []struct {
		name    string
		with    func(m *management)
		key     string // that the API has
		code    int
		failed  string
		phrases []string
	}{
		{"works", nil, signingKey, 0, "", []string{"ok    management", "ok    hook", "'revocation' and enabled", "ok    events", "ok    url", receiver, "ok    signing-key", "ok    deliveries", "in the last 24 hours: 7, none failed"}},
		{"key not given", nil, "", 0, "", []string{"note  signing-key", "LOGTO_SIGNING_KEY"}},
		{"another key", nil, "another signing key", 1, "signing-key", []string{"isn't the webhook's", "takes several"}},
		{"no key", func(m *management) { m.hook["signingKey"] = "" }, "", 1, "signing-key", []string{"doesn't sign"}},
		{"disabled", func(m *management) { m.hook["enabled"] = false }, signingKey, 1, "hook", []string{"what happens meanwhile is lost"}},
		{"not there", func(m *management) { m.hook["id"] = "other" }, signingKey, 1, "hook", []string{"status 404", "/webhooks/<ID>"}},
		{"deletions not ticked", func(m *management) { m.hook["events"] = []string{"User.SuspensionStatus.Updated"} }, signingKey, 1, "events",
			[]string{"not ticked: User.Deleted, User.Data.Updated, PostResetPassword, Organization.Membership.Updated, Organization.Deleted", "deleted users"}},
		{"organizations not ticked", func(m *management) { m.hook["events"] = revokingEvents()[:4] }, signingKey, 0, "",
			[]string{"warn  events", "Without them tokens aren't refused of removed members of organizations, deleted organizations"}},
		{"an old webhook of one event", func(m *management) {
			m.hook["events"], m.hook["event"] = []string{}, "User.Deleted"
		}, signingKey, 1, "events", []string{"not ticked: User.SuspensionStatus.Updated, User.Data.Updated"}},
		{"URL by http", func(m *management) { m.hook["config"] = map[string]any{"url": "http://api:8080/hook?password=x"} }, signingKey, 0, "",
			[]string{"warn  url", "http://api:8080/hook: whoever"}},
		{"URL of this machine", func(m *management) { m.hook["config"] = map[string]any{"url": "http://127.0.0.1:8080/hook"} }, signingKey, 0, "", []string{"ok    url"}},
		{"failed deliveries", func(m *management) {
			m.hook["executionStats"] = map[string]any{"requestCount": 9, "successCount": 7}
		}, signingKey, 0, "", []string{"warn  deliveries", "of which failed: 2", "logto replay"}},
		{"no numbers", func(m *management) { delete(m.hook, "executionStats") }, signingKey, 0, "", []string{"note  deliveries"}},
		{"wrong secret", func(m *management) {
			m.before = func(w http.ResponseWriter, r *http.Request) bool {
				w.WriteHeader(401)
				return true
			}
		}, signingKey, 1, "management", []string{"App ID and secret"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				t.Setenv(signingKeyVariable, tt.key)
				m := newManagement()
				m.indic = "https://default.logto.app/api"
				if tt.with != nil {
					tt.with(m)
				}
				mux := http.NewServeMux()
				mux.Handle("/", i)
				mux.Handle("/oidc/token", m)
				mux.Handle("/api/", m)
				u, err := url.Parse(i.Endpoint())
				if err != nil {
					t.Fatal(err)
				}
				network{u.Host: mux}.use(t)
				r := tool(t, "", "doctor", "-endpoint", i.Endpoint(), "-audience", api, "-hook", hookID)
				r.want(t, tt.code, tt.phrases...)
				if got := strings.Join(r.failed(), " "); got != tt.failed {
					t.Errorf("failed %q, want %q", got, tt.failed)
				}
				keepsSecrets(t, r.out+fmt.Sprint(r.json))
				if strings.Contains(r.out, "password=") {
					t.Errorf("a query in\n%s", r.out)
				}
			})
		})
	}
}

// With real connections: Logto, a receiver behind logto.Require's own Config.Revoked,
// and the process that is told to stop.
func TestReplayServers(t *testing.T) {
	t.Setenv(secretVariable, appSecret)
	t.Setenv(appIDVariable, appID)
	t.Setenv(signingKeyVariable, "")
	list := newList(t)
	issuer := logtotest.NewServer(t)
	cfg := issuer.Config()
	cfg.Revoked, cfg.Logger = list.Check, slog.New(slog.DiscardHandler)
	v, err := logto.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("POST /logto/webhook", list.Webhook(signingKey))
	mux.Handle("GET /", logto.Require(v)(answers(200, "hello")))
	server := serve(t, mux)

	m := newManagement()
	m.indic = "https://default.logto.app/api"
	m.hook["config"] = map[string]any{"url": server + "/logto/webhook"}
	suspended := entry(t, "12-user-suspended", "Error")
	bodyOf(suspended)["createdAt"] = time.Now().UTC().Format(time.RFC3339)
	suspended["createdAt"] = time.Now().UnixMilli()
	m.entries = append(m.entries, suspended)
	token := issuer.Token(logtotest.Token{User: "ysa4v0fj5t9k"})
	get := func() int {
		req, err := http.NewRequest(http.MethodGet, server+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		return res.StatusCode
	}
	if status := get(); status != 200 {
		t.Fatalf("before the replay: %d", status)
	}
	logtoServer := serve(t, m)
	replayed(t, "-endpoint", logtoServer).want(t, 0, "200 revoked")
	if status := get(); status != 401 {
		t.Errorf("after the replay: %d", status)
	}
	r := replayed(t, "-endpoint", logtoServer, "-to", "http://127.0.0.1:1/")
	r.want(t, 1, "refused")

	if runtime.GOOS == "windows" {
		t.Skip("no signal to send")
	}
	out := &watched{ready: make(chan struct{})}
	status := make(chan int)
	go func() {
		status <- run([]string{"replay", "-endpoint", logtoServer, "-hook", hookID, "-every", "1h"}, nil, out, io.Discard)
	}()
	<-out.ready
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if err := self.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if code := <-status; code != 0 {
		t.Errorf("status %d after an interrupt", code)
	}
}

// watched tells of the first write.
type watched struct {
	once  sync.Once
	ready chan struct{}
}

func (w *watched) Write(p []byte) (int, error) {
	w.once.Do(func() { close(w.ready) })
	return len(p), nil
}

func FuzzEntry(f *testing.F) {
	data, err := os.ReadFile("testdata/recent-logs.json")
	if err != nil {
		f.Fatal(err)
	}
	var entries []json.RawMessage
	if err := json.Unmarshal(data, &entries); err != nil {
		f.Fatal(err)
	}
	for _, e := range entries {
		f.Add([]byte(e))
	}
	f.Add([]byte(`{"payload":{"hookRequest":{"body":null}}}`))
	p := &replayer{manager: &manager{credentials: &credentials{hook: "ckatshwayw9voh7p5cyib"}}}
	f.Fuzz(func(t *testing.T, raw []byte) {
		d, failed, err := p.entry(raw)
		if err != nil {
			return
		}
		var body struct{ Event, HookID string }
		if json.Unmarshal(d.body, &body) != nil || body.Event != d.event || body.HookID != p.hook || d.id == "" || d.logged.IsZero() || d.created.IsZero() {
			t.Errorf("%+v of %s", d, raw)
		}
		if failed != (d.why != "") || len(d.why) > 110 {
			t.Errorf("failed %v: %q", failed, d.why)
		}
	})
}

// What may be is taken to the last bit.
func TestReplayFlags(t *testing.T) {
	t.Setenv(appIDVariable, " "+appID+"\n")
	t.Setenv(secretVariable, " "+appSecret+"\n")
	t.Setenv(signingKeyVariable, "")
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(strings.Repeat("x", 4096)), 0o600); err != nil {
		t.Fatal(err)
	}
	o, _, err := parse([]string{"replay", "-endpoint", endpoint, "-hook", hookID, "-since", "720h", "-every", "1s", "-timeout", "10s", "-event", strings.Repeat("x", 100), "-signing-key-file", path, "-to", "http://127.0.0.1/", "-to", receiver})
	if err != nil {
		t.Fatal(err)
	}
	if c := o.credentials; c.appID != appID || c.secret != appSecret || len(c.signingKey) != 4096 || c.hook != hookID || len(o.replay.to) != 2 || o.replay.every != time.Second {
		t.Errorf("%+v", o.replay)
	}
	if _, _, err = parse([]string{"replay", "-endpoint", endpoint, "-hook", hookID, "-since", "1ns", "-timeout", "1ns"}); err != nil {
		t.Error(err)
	}
	if o, _, err = parse([]string{"replay", "-endpoint", endpoint, "-hook", hookID, "-app-id", "other"}); err != nil || o.credentials.appID != "other" || o.replay.since != 24*time.Hour || o.timeout != 10*time.Second || o.json || o.replay.all || o.replay.dryRun {
		t.Errorf("%+v, %v", o, err)
	}
}

func TestRetryAfter(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for value, want := range map[string]time.Duration{
			"": 0, "x": 0, "0": 0, "-5": 0, " 7 ": 7 * time.Second, "3599": 3599 * time.Second, "3600": time.Hour, "3601": time.Hour, "99999999999": 0,
			time.Now().Add(20 * time.Second).UTC().Format(http.TimeFormat): 20 * time.Second,
			time.Now().Add(-time.Minute).UTC().Format(http.TimeFormat):     0,
		} {
			if got := retryAfter(http.Header{"Retry-After": {value}}); got != want {
				t.Errorf("%q: %v, want %v", value, got, want)
			}
		}
	})
}

// How often the API is asked, and for how long.
func TestManagerAsks(t *testing.T) {
	const limit = 10
	for _, tt := range []struct {
		name   string
		answer http.Handler
		asked  int
		took   time.Duration
		after  time.Duration
		saw    string // "" for an answer
	}{
		{"200", answers(200, "0123456789"), 1, 0, 0, ""},
		{"too large", answers(200, "0123456789a"), 1, 0, 0, "the answer has over 10 bytes"},
		{"400", answers(400, ""), 1, 0, 0, ""},
		{"499", answers(499, ""), 1, 0, 0, ""},
		{"500", answers(500, ""), 3, 3 * time.Second, 0, "status 500 by tenant.logto.app"},
		{"429, 1 s", after("1", 429), 3, 3 * time.Second, time.Second, "status 429 by tenant.logto.app, which asks to wait for 1s"},
		{"503, 30 s", after("30", 503), 3, time.Minute, 30 * time.Second, "status 503 by tenant.logto.app, which asks to wait for 30s"},
		{"503, 31 s", after("31", 503), 1, 0, 31 * time.Second, "status 503 by tenant.logto.app, which asks to wait for 31s"},
		{"no answer", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }), 3, 9 * time.Second, 0, "no answer by tenant.logto.app: no answer in time: context deadline exceeded"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				in := &inbox{next: tt.answer}
				network{"tenant.logto.app": in}.use(t)
				m, err := newManager(&credentials{endpoint: endpoint}, 2*time.Second)
				if err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				a, trouble := m.ask(context.Background(), "logs", limit, func() *http.Request {
					req, err := http.NewRequest(http.MethodGet, endpoint, nil)
					if err != nil {
						t.Fatal(err)
					}
					return req
				})
				if took := time.Since(start); len(in.got) != tt.asked || took != tt.took {
					t.Errorf("asked %d times, for %v", len(in.got), took)
				}
				switch {
				case tt.saw == "":
					if trouble != nil || a == nil {
						t.Errorf("%+v", trouble)
					}
				case trouble == nil || trouble.saw != tt.saw || trouble.after != tt.after || trouble.check != "logs" || trouble.hint == "":
					t.Errorf("%+v", trouble)
				}
			})
		})
	}
}

// counted answers by h whatever is asked.
func counted(asked *int, h http.Handler) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		*asked++
		h.ServeHTTP(w, r)
		return true
	}
}

func after(value string, status int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", value)
		w.WriteHeader(status)
	})
}

// A token is used until a minute before it expires, and for a day at most.
func TestManagerToken(t *testing.T) {
	for expires, want := range map[string]time.Duration{
		"60": 0, "59": 0, "-1": 0, "null": 0, `"x"`: -1, "61": time.Second, "3600": 59 * time.Minute, "86460": 24 * time.Hour, "86461": 24 * time.Hour, "1e99": 0,
	} {
		t.Run(expires, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				in := &inbox{next: answers(200, `{"access_token":"good","expires_in":`+expires+`}`)}
				network{"tenant.logto.app": in}.use(t)
				m, err := newManager(&credentials{endpoint: endpoint}, time.Second)
				if err != nil {
					t.Fatal(err)
				}
				trouble := m.authorize(context.Background())
				if want < 0 {
					if trouble == nil || m.token != "" {
						t.Error("no trouble")
					}
					return
				}
				if got := time.Until(m.until); trouble != nil || got != want || m.token != "good" {
					t.Errorf("for %v, want %v: %+v", got, want, trouble)
				}
				asked := 1
				if want > 0 {
					time.Sleep(want - 1)
					_ = m.authorize(context.Background())
					time.Sleep(time.Nanosecond)
				}
				if len(in.got) != asked {
					t.Errorf("asked %d times while it was good", len(in.got))
				}
				if _ = m.authorize(context.Background()); len(in.got) != asked+1 {
					t.Errorf("asked %d times when it wasn't", len(in.got))
				}
			})
		})
	}
}

func TestCodeOf(t *testing.T) {
	for body, want := range map[string]string{
		`{"error":"invalid_client","code":"x"}`: ", invalid_client", `{"code":"entity.not_found"}`: ", entity.not_found", `{"error":"a b","code":"c"}`: ", c",
		`{"error":"` + strings.Repeat("x", 60) + `"}`: ", " + strings.Repeat("x", 60), `{"error":"` + strings.Repeat("x", 61) + `"}`: "", `[]`: "", ``: "",
	} {
		if got := codeOf([]byte(body)); got != want {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
}

// A word of five letters is no secret to be looked for.
func TestConceal(t *testing.T) {
	m := &manager{}
	m.conceal("12345", "123456", "123456", "", "1234567")
	r := &report{}
	r.add("a", ok, "x12345 123456x", "1234567")
	m.hide(r)
	if c := r.Checks[0]; len(m.secrets) != 2 || c.Saw != "x12345 (left out)x" || c.Hint != "(left out)7" {
		t.Errorf("%+v of %q", c, m.secrets)
	}
}
