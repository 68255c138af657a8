package logtotest_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/logtotest"
	"github.com/seed-70fe37f4/logto/revocation"
)

// recorded are the deliveries of a live Logto, by what caused them.
func recorded(t *testing.T) map[string]string {
	t.Helper()
	b, err := os.ReadFile("testdata/recorded.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	lines := bufio.NewScanner(bytes.NewReader(b))
	for lines.Scan() {
		var r struct{ Name, Body string }
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		all[r.Name] = r.Body
	}
	return all
}

func object(t *testing.T, b []byte) map[string]any {
	t.Helper()
	var o map[string]any
	if err := json.Unmarshal(b, &o); err != nil {
		t.Fatalf("%v in %s", err, b)
	}
	return o
}

func body(t *testing.T, r *http.Request) []byte {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// shape lists members, one a line: their values, or only the types of those that
// differ from one tenant to the other.
func shape(o map[string]any, in string, free ...string) string {
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(o)) {
		switch value := o[name].(type) {
		case map[string]any:
			lines = append(lines, fmt.Sprintf("%s%s: object", in, name))
			if !slices.Contains(free, name) && len(value) > 0 {
				lines = append(lines, shape(value, in+name+".", free...))
			}
		default:
			if slices.Contains(free, name) {
				lines = append(lines, fmt.Sprintf("%s%s: %T", in, name, value))
			} else {
				lines = append(lines, fmt.Sprintf("%s%s: %v", in, name, value))
			}
		}
	}
	return strings.Join(lines, "\n")
}

// What is minted is what a live Logto sent, member by member.
func TestWebhooks(t *testing.T) {
	const user, organization, deleted = "ysa4v0fj5t9k", "3qppwizk0l26", "8ewoisxlcvef"
	issuer := logtotest.NewIssuer(t)
	all := recorded(t)
	for _, test := range []struct {
		recording string
		request   *http.Request
		// Logto's reset of a password by a code in a mail could not be recorded. It
		// is an event of the sign-in page, as PostSignIn is.
		differ map[string]any
	}{
		{"user-suspended", issuer.Suspend(user), nil},
		{"user-unsuspended", issuer.Unsuspend(user), nil},
		{"user-deleted", issuer.DeleteUser("pj7pg20t6g5p"), nil},
		{"password-set-by-admin", issuer.SetPassword(user), nil},
		{"member-removed-from-organization", issuer.RemoveMember(organization, user), nil},
		{"organization-deleted", issuer.DeleteOrganization(deleted), nil},
		{"test-button", issuer.TestButton(), nil},
		{"sign-in-postsignin", issuer.ResetPassword(user), map[string]any{"event": "PostResetPassword", "interactionEvent": "ForgotPassword"}},
		{"account-api-name-changed", issuer.Webhook("User.Data.Updated", map[string]any{"ip": "::1", "data": object(t, []byte(all["account-api-name-changed"]))["data"]}), nil},
	} {
		free := []string{"createdAt", "updatedAt", "lastSignInAt", "hookId", "ip", "userIp", "sessionId", "username", "name", "applicationId", "customData", "application"}
		if test.recording != "test-button" {
			free = append(free, "userAgent")
		}
		want := object(t, []byte(all[test.recording]))
		maps.Copy(want, test.differ)
		got := object(t, body(t, test.request))
		if test.recording == "test-button" {
			want["event"] = got["event"] // Logto sends one for each event that is ticked
		}
		if test.recording == "sign-in-postsignin" {
			want["user"].(map[string]any)["applicationId"] = "" // null for a user whom an administrator has made
		}
		if got, want := shape(got, "", free...), shape(want, "", free...); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", test.recording, got, want)
		}
		if h := test.request.Header; test.request.Method != "POST" || h.Get("Content-Type") != "application/json" || h.Get("User-Agent") != "Logto (https://logto.io/)" {
			t.Errorf("%s: %s, header %v", test.recording, test.request.Method, h)
		}
	}
	if len(all) != 10 {
		t.Errorf("%d recordings", len(all))
	}
}

// A logout token has what Logto's have.
func TestLogoutToken(t *testing.T) {
	read := func(token string) (header, claims map[string]any) {
		t.Helper()
		var parts [][]byte
		for part := range strings.SplitSeq(token, ".") {
			b, err := base64.RawURLEncoding.DecodeString(part)
			if err != nil {
				t.Fatal(err)
			}
			parts = append(parts, b)
		}
		return object(t, parts[0]), object(t, parts[1])
	}
	form := recorded(t)["logout-token"]
	wantHeader, wantClaims := read(strings.TrimPrefix(form, "logout_token="))
	header, claims := read(logtotest.NewIssuer(t).LogoutToken("v6gvhx9vdsfr"))
	if got, want := shape(header, "", "alg", "kid"), shape(wantHeader, "", "alg", "kid"); got != want {
		t.Errorf("header\n%s\nwant\n%s", got, want)
	}
	free := []string{"iss", "aud", "exp", "iat", "jti", "sid"}
	if got, want := shape(claims, "", free...), shape(wantClaims, "", free...); got != want {
		t.Errorf("claims\n%s\nwant\n%s", got, want)
	}
	for _, c := range []map[string]any{claims, wantClaims} {
		if c["exp"].(float64)-c["iat"].(float64) != 120 {
			t.Errorf("expires %v - %v", c["exp"], c["iat"])
		}
	}
}

// A receiver takes each request for what it is, with the issuer's key alone.
func TestWebhooksReceived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := logtotest.NewIssuer(t)
		for _, test := range []struct {
			name    string
			request *http.Request
			status  int
			outcome string
			refused []string // of the tokens below
		}{
			{"suspended", issuer.Suspend("alice"), 200, "revoked", []string{"alice", "alice in acme"}},
			{"unsuspended", issuer.Unsuspend("alice"), 200, "nothing", nil},
			{"deleted", issuer.DeleteUser("alice"), 200, "revoked", []string{"alice", "alice in acme"}},
			{"password set", issuer.SetPassword("alice"), 200, "revoked", []string{"alice", "alice in acme"}},
			{"password reset", issuer.ResetPassword("alice"), 200, "revoked", []string{"alice", "alice in acme"}},
			{"member removed", issuer.RemoveMember("acme", "alice"), 200, "revoked", []string{"alice", "alice in acme"}},
			{"organization deleted", issuer.DeleteOrganization("acme"), 200, "revoked", []string{"alice in acme", "bob in acme"}},
			{"test button", issuer.TestButton(), 200, "test", nil},
			{"another event", issuer.Webhook("Role.Deleted", map[string]any{"params": map[string]string{"id": "r"}}), 200, "nothing", nil},
			{"an event that there is not", issuer.Webhook("X", nil), 200, "unknown", nil},
			{"a member replaced", issuer.Webhook("X", map[string]any{"event": "Role.Created"}), 200, "nothing", nil},
			{"a member taken away", issuer.Webhook("X", map[string]any{"event": nil}), 400, "malformed", nil},
			{"the time replaced", issuer.Webhook("PostResetPassword", map[string]any{"userId": "alice", "createdAt": "1999-12-01T00:00:00.000Z"}), 200, "old", nil},
			{"another issuer's", logtotest.NewIssuer(t).Suspend("alice"), 401, "unauthorized", nil},
		} {
			list, err := revocation.New(revocation.Config{Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			cfg := issuer.Config()
			cfg.Revoked = list.Check
			cfg.Logger = slog.New(slog.DiscardHandler)
			v, err := logto.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			tokens := map[string]string{
				"alice": issuer.Token(logtotest.Token{User: "alice"}), "alice in acme": issuer.Token(logtotest.Token{User: "alice", Organization: "acme"}),
				"bob": issuer.Token(logtotest.Token{User: "bob"}), "bob in acme": issuer.Token(logtotest.Token{User: "bob", Organization: "acme"}),
			}
			w := httptest.NewRecorder()
			list.Webhook(issuer.SigningKey()).ServeHTTP(w, test.request)
			if w.Code != test.status || w.Body.String() != test.outcome+"\n" {
				t.Errorf("%s: status %d, %s", test.name, w.Code, w.Body)
			}
			var refused []string
			for _, name := range slices.Sorted(maps.Keys(tokens)) {
				if _, err := v.Verify(t.Context(), tokens[name]); err != nil {
					if logto.Reason(err) != "revoked" {
						t.Errorf("%s: %v", test.name, err)
					}
					refused = append(refused, name)
				}
			}
			if !slices.Equal(refused, test.refused) {
				t.Errorf("%s: refused %q, want %q", test.name, refused, test.refused)
			}
		}
	})
}

// In a bubble it is the bubble's time: after the suspension is lifted, a token that
// is newer by more than 5 s is good, and the old one stays refused.
func TestSuspendInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := logtotest.NewIssuer(t)
		list, err := revocation.New(revocation.Config{Lifetime: time.Hour, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		cfg := issuer.Config()
		cfg.Revoked = list.Check
		v, err := logto.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		deliver := func(r *http.Request) {
			t.Helper()
			w := httptest.NewRecorder()
			if list.Webhook(issuer.SigningKey()).ServeHTTP(w, r); w.Code != 200 {
				t.Errorf("status %d, %s", w.Code, w.Body)
			}
		}
		check := func(token, want string) {
			t.Helper()
			if _, err := v.Verify(t.Context(), token); logto.Reason(err) != want {
				t.Errorf("error %v, want %q", err, want)
			}
		}
		old := issuer.Token(logtotest.Token{User: "alice"})
		check(old, "")
		time.Sleep(20 * time.Minute)
		deliver(issuer.Suspend("alice"))
		check(old, "revoked")
		check(issuer.Token(logtotest.Token{User: "alice"}), "revoked")
		check(issuer.Token(logtotest.Token{User: "bob"}), "")
		time.Sleep(6 * time.Second)
		deliver(issuer.Unsuspend("alice"))
		check(old, "revoked")
		check(issuer.Token(logtotest.Token{User: "alice"}), "")
	})
}

// By a client, it goes where its URL says.
func TestWebhookByClient(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/logto/webhook" || r.Header.Get("logto-signature-sha-256") == "" || object(t, body(t, r))["event"] != "User.Deleted" {
			w.WriteHeader(500)
		}
	}))
	defer server.Close()
	r := issuer.DeleteUser("alice")
	var err error
	if r.URL, err = r.URL.Parse(server.URL + "/logto/webhook"); err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != 200 {
		t.Errorf("status %d", res.StatusCode)
	}
}

func ExampleIssuer_Suspend() {
	issuer := logtotest.NewIssuer(nil) // in a test: t
	list, err := revocation.New(revocation.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		panic(err)
	}
	cfg := issuer.Config()
	cfg.Revoked = list.Check
	cfg.Logger = slog.New(slog.DiscardHandler)
	v, err := logto.New(cfg)
	if err != nil {
		panic(err)
	}
	protected := logto.Require(v)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Authorization", "Bearer "+issuer.Token(logtotest.Token{User: "alice"}))

	before, webhook, after := httptest.NewRecorder(), httptest.NewRecorder(), httptest.NewRecorder()
	protected.ServeHTTP(before, r)
	list.Webhook(issuer.SigningKey()).ServeHTTP(webhook, issuer.Suspend("alice"))
	protected.ServeHTTP(after, r)
	fmt.Println(before.Code, webhook.Code, after.Code)
	// Output: 200 200 401
}
