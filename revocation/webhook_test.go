package revocation_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/logtotest"
	"github.com/seed-70fe37f4/logto/revocation"
)

// What Logto 1.42 sends, by the cause. Where a cause has several webhooks, they
// are in the order of the file.
var recordedEffects = []struct {
	name, outcome string
	subject       string
	organization  string
	later         time.Duration
}{
	{name: "01-delivery-receiver-answers-500", outcome: "nothing"},
	{name: "01-user-created-by-management-api", outcome: "nothing"},
	{name: "02-delivery-receiver-answers-503", outcome: "nothing"},
	{name: "02-sign-in-postsignin", outcome: "nothing"},
	{name: "03-delivery-receiver-answers-429", outcome: "nothing"},
	{name: "04-delivery-receiver-answers-slow", outcome: "nothing"},
	{name: "05-delivery-receiver-answers-hang", outcome: "nothing"},
	{name: "07-role-scope-added", outcome: "nothing"},
	{name: "08-backchannel-user-suspended", outcome: "revoked", subject: "v6gvhx9vdsfr", later: 5 * time.Second},
	{name: "08-backchannel-user-suspended", outcome: "nothing"}, // unsuspended
	{name: "08-role-scope-removed", outcome: "nothing"},
	{name: "08-test-button", outcome: "test"},
	{name: "08-test-button", outcome: "test"},
	{name: "08-test-button", outcome: "test"},
	{name: "08-test-button", outcome: "test"},
	{name: "08-test-button", outcome: "test"},
	{name: "09-after-signing-key-change", outcome: "nothing"},
	{name: "09-backchannel-user-deleted", outcome: "revoked", subject: "jxogm1l291zd", later: 5 * time.Second},
	{name: "09-user-data-changed", outcome: "nothing"},
	{name: "10-user-custom-data-changed", outcome: "nothing"},
	{name: "11-password-set-by-admin", outcome: "revoked", subject: "ysa4v0fj5t9k"},
	{name: "12-user-suspended", outcome: "revoked", subject: "ysa4v0fj5t9k", later: 5 * time.Second},
	{name: "14-user-unsuspended", outcome: "nothing"},
	{name: "15-member-added-to-organization", outcome: "nothing"},
	{name: "19-member-removed-from-organization", outcome: "revoked", subject: "ysa4v0fj5t9k"},
	{name: "21-members-replaced-put-users-by-none", outcome: "revoked", subject: "ysa4v0fj5t9k"},
	{name: "26-organization-role-scopes-replaced", outcome: "nothing"},
	{name: "27-organization-role-created", outcome: "nothing"},
	{name: "27-organization-role-created", outcome: "nothing"},
	{name: "28-organization-role-deleted", outcome: "nothing"},
	{name: "29-organization-created", outcome: "nothing"},
	{name: "29-organization-created", outcome: "nothing"},
	{name: "30-organization-deleted", outcome: "revoked", organization: "8ewoisxlcvef", later: 5 * time.Second},
	{name: "31-scope-created", outcome: "nothing"},
	{name: "32-scope-deleted", outcome: "nothing"},
	{name: "33-role-created", outcome: "nothing"},
	{name: "33-role-created", outcome: "nothing"},
	{name: "34-role-deleted", outcome: "nothing"},
	{name: "48-account-api-name-changed", outcome: "nothing"},
	{name: "52-user-to-delete-created", outcome: "nothing"},
	{name: "53-user-deleted", outcome: "revoked", subject: "pj7pg20t6g5p", later: 5 * time.Second},
}

// Every recorded webhook, with its recorded signature, and then with one byte
// changed.
func TestRecorded(t *testing.T) {
	all := readRecorded(t)
	if len(all) != len(recordedEffects) {
		t.Fatalf("%d webhooks in testdata, %d here", len(all), len(recordedEffects))
	}
	for i, r := range all {
		want := recordedEffects[i]
		t.Run(fmt.Sprint(i, " ", r.Name), func(t *testing.T) {
			if r.Name != want.name {
				t.Fatalf("want %s", want.name)
			}
			bubble(t, func(t *testing.T) {
				created := r.createdAt(t)
				until(created) // noon is later, and that is as good
				var rec recorder
				l := newList(t, revocation.Config{Observer: rec.observe, Logger: slog.New(slog.NewTextHandler(&rec, nil))})
				h := l.Webhook("another key", r.Key)
				for name, changed := range map[string]string{
					"body":   strings.Replace(r.Body, `"hookId":"`, `"hookId":"x`, 1),
					"a bit":  flip(r.Body, len(r.Body)/2),
					"append": r.Body + " ",
				} {
					if w := deliver(h, changed, r.Signature); w.Code != http.StatusUnauthorized {
						t.Errorf("%s changed: status %d", name, w.Code)
					}
				}
				if w := deliver(h, r.Body, flip(r.Signature, 5)); w.Code != http.StatusUnauthorized {
					t.Errorf("signature changed: status %d", w.Code)
				}
				if got := l.Entries(); got != nil {
					t.Fatalf("without a good signature: %v", got)
				}

				w := deliver(h, r.Body, r.Signature)
				if w.Code != http.StatusOK || w.Body.String() != want.outcome+"\n" {
					t.Errorf("status %d, %q, want %s", w.Code, w.Body, want.outcome)
				}
				var effect []revocation.Revocation
				if want.subject != "" || want.organization != "" {
					effect = append(effect, revocation.Revocation{Subject: want.subject, OrganizationID: want.organization,
						IssuedAt: created.Add(want.later).Truncate(time.Second).Local()})
				}
				if got := l.Entries(); !reflect.DeepEqual(got, effect) {
					t.Errorf("effect %v\nwant %v", got, effect)
				}
				if e := rec.last(); e.Outcome != want.outcome || e.Revocations != len(effect) || e.Kind == "other" || e.Kind == "unverified" {
					t.Errorf("observed %+v", e)
				}
				if got := strings.Count(rec.log(), `msg="revocation: event"`); got != 1 {
					t.Errorf("%d log lines:\n%s", got, rec.log())
				}

				// A replay changes nothing.
				w = deliver(h, r.Body, r.Signature)
				if again := strings.Replace(want.outcome, "revoked", "unchanged", 1); w.Code != http.StatusOK || w.Body.String() != again+"\n" {
					t.Errorf("replay: status %d, %q, want %s", w.Code, w.Body, again)
				}
				if got := l.Entries(); !reflect.DeepEqual(got, effect) {
					t.Errorf("effect of the replay %v\nwant %v", got, effect)
				}
			})
		})
	}
}

func flip(s string, i int) string { return s[:i] + string(s[i]^1) + s[i+1:] }

type object = map[string]any

// What Logto would send in cases that were not recorded, and what it wouldn't.
func TestEvents(t *testing.T) {
	ids := func(n int) []string {
		all := make([]string, n)
		for i := range all {
			all[i] = fmt.Sprintf("user%04d", i)
		}
		return all
	}
	members := func(add object) string {
		add["organizationId"] = "org"
		return event("Organization.Membership.Updated", noon, add)
	}
	for _, test := range []struct {
		name, body string
		status     int
		outcome    string
		want       string // targets and seconds after noon
	}{
		{"suspended", suspended("alice", noon), 200, "revoked", "subject alice +5"},
		{"suspended, user in data alone", event("User.SuspensionStatus.Updated", noon, object{"data": object{"id": "alice", "isSuspended": true}}), 200, "revoked", "subject alice +5"},
		{"suspended, two users", event("User.SuspensionStatus.Updated", noon, object{"data": object{"id": "alice", "isSuspended": true}, "params": object{"userId": "bob"}}), 200, "revoked", "subject alice +5, subject bob +5"},
		{"deleted by herself", event("User.Deleted", noon, object{"data": object{"id": "alice"}}), 200, "revoked", "subject alice +5"},
		{"deleted, no data", event("User.Deleted", noon, object{"params": object{"userId": "alice"}}), 200, "revoked", "subject alice +5"},
		{"password reset", event("PostResetPassword", noon, object{"userId": "alice"}), 200, "revoked", "subject alice +0"},
		{"password by an administrator", event("User.Data.Updated", noon, object{"matchedRoute": "/users/:userId/password", "params": object{"userId": "alice"}}), 200, "revoked", "subject alice +0"},
		{"profile edit", event("User.Data.Updated", noon, object{"matchedRoute": "/users/:userId", "params": object{"userId": "alice"}}), 200, "nothing", ""},
		{"a password's path in the wrong place", event("User.Data.Updated", noon, object{"matchedRoute": "/users/:userId/custom-data", "path": "/users/:userId/password", "data": object{"id": "bob", "matchedRoute": "/users/:userId/password"}}), 200, "nothing", ""},
		{"created", event("User.Created", noon, object{"data": object{"id": "alice", "isSuspended": true}}), 200, "nothing", ""},

		{"removed users", members(object{"method": "POST", "removedUserIds": []string{"a", "b"}, "addedUserIds": []string{"c"}}), 200, "revoked", "subject a +0, subject b +0"},
		{"removed applications", members(object{"method": "PUT", "removedApplicationIds": []string{"a", "b"}}), 200, "revoked", "subject a +0, subject b +0"},
		{"removed user, no list", members(object{"method": "DELETE", "params": object{"id": "org", "userId": "a"}}), 200, "revoked", "subject a +0"},
		{"removed application, no list", members(object{"method": "DELETE", "params": object{"id": "org", "applicationId": "a"}}), 200, "revoked", "subject a +0"},
		{"removed, nobody named", members(object{"method": "DELETE", "params": object{"id": "org"}, "removedUserIds": nil}), 200, "revoked", "organization org +0"},
		{"removed, null list", members(object{"method": "DELETE", "params": object{"userId": "a"}, "removedUserIds": json.RawMessage("null")}), 200, "revoked", "subject a +0"},
		{"replaced by the same", members(object{"method": "PUT", "removedUserIds": []string{}}), 200, "nothing", ""},
		{"user of a PUT route", members(object{"method": "PUT", "params": object{"userId": "a"}}), 200, "nothing", ""},
		{"organization deleted", event("Organization.Deleted", noon, object{"params": object{"id": "org"}}), 200, "revoked", "organization org +5"},

		{"lockout", event("Identifier.Lockout", noon, object{"userId": "alice", "data": object{"id": "alice"}, "params": object{"userId": "alice"}}), 200, "nothing", ""},
		{"rate limit", event("Message.RateLimited", noon, object{"userId": "alice", "data": object{"id": "alice"}}), 200, "nothing", ""},
		{"sign-in", event("PostSignIn", noon, object{"userId": "alice"}), 200, "nothing", ""},
		{"adaptive MFA", event("PostSignInAdaptiveMfaTriggered", noon, object{"userId": "alice"}), 200, "nothing", ""},
		{"grant limit", event("Grant.LimitExceeded", noon, object{"userId": "alice", "revokedGrantIds": []string{"g"}}), 200, "nothing", ""},
		{"unknown event", event("User.Teleported", noon, object{"data": object{"id": "alice", "isSuspended": true}}), 200, "unknown", ""},
		{"another case", event("user.deleted", noon, object{"data": object{"id": "alice"}}), 200, "unknown", ""},
		{"too old", suspended("alice", noon.Add(-24*time.Hour-10*time.Minute-5*time.Second)), 200, "old", ""},
		{"not yet too old", suspended("alice", noon.Add(-24*time.Hour-10*time.Minute-4*time.Second)), 200, "revoked", "subject alice -86999"},

		{"no JSON", "hello", 400, "malformed", ""},
		{"nothing", "", 400, "malformed", ""},
		{"null", "null", 400, "malformed", ""},
		{"array", "[]", 400, "malformed", ""},
		{"two objects", suspended("alice", noon) + "{}", 400, "malformed", ""},
		{"no UTF-8", strings.Replace(suspended("alice", noon), "alice", "al\xffce", 2), 400, "malformed", ""},
		{"no event", event("", noon, object{"event": nil}), 400, "malformed", ""},
		{"event is a number", event("", noon, object{"event": 3}), 400, "malformed", ""},
		{"event in another case", event("", noon, object{"event": nil, "Event": "User.Deleted", "data": object{"id": "alice"}}), 400, "malformed", ""},
		{"no time", event("User.Deleted", noon, object{"createdAt": nil, "data": object{"id": "alice"}}), 400, "malformed", ""},
		{"time is a number", event("User.Deleted", noon, object{"createdAt": noon.UnixMilli(), "data": object{"id": "alice"}}), 400, "malformed", ""},
		{"time is none", event("User.Deleted", noon, object{"createdAt": "yesterday", "data": object{"id": "alice"}}), 400, "malformed", ""},
		{"isSuspended is a string", event("User.SuspensionStatus.Updated", noon, object{"data": object{"id": "alice", "isSuspended": "true"}}), 400, "malformed", ""},
		{"isSuspended is missing", event("User.SuspensionStatus.Updated", noon, object{"data": object{"id": "alice"}}), 400, "malformed", ""},
		{"isSuspended in another case", event("User.SuspensionStatus.Updated", noon, object{"data": object{"id": "alice", "issuspended": true}}), 400, "malformed", ""},
		{"data is an array", event("User.SuspensionStatus.Updated", noon, object{"data": []object{{"id": "alice", "isSuspended": true}}}), 400, "malformed", ""},
		{"deleted nobody", event("User.Deleted", noon, object{"data": object{"id": ""}}), 400, "malformed", ""},
		{"deleted a number", event("User.Deleted", noon, object{"data": object{"id": 7}}), 400, "malformed", ""},
		{"deleted half a surrogate pair", strings.Replace(event("User.Deleted", noon, object{"data": object{"id": "alice"}}), "alice", `al\ud800ice`, 1), 400, "malformed", ""},
		{"deleted a long name", event("User.Deleted", noon, object{"data": object{"id": strings.Repeat("x", 8<<10+1)}}), 400, "malformed", ""},
		{"reset by a number", event("PostResetPassword", noon, object{"userId": 1}), 400, "malformed", ""},
		{"reset by nobody", event("PostResetPassword", noon, nil), 400, "malformed", ""},
		{"route is a number", event("User.Data.Updated", noon, object{"matchedRoute": 1}), 400, "malformed", ""},
		{"members are a string", members(object{"removedUserIds": "alice"}), 400, "malformed", ""},
		{"a member is a number", members(object{"removedUserIds": []any{"alice", 1}}), 400, "malformed", ""},
		{"a member is empty", members(object{"removedUserIds": []string{"alice", ""}}), 400, "malformed", ""},
		{"organization is a number", event("Organization.Membership.Updated", noon, object{"organizationId": 1, "removedUserIds": []string{"alice"}}), 400, "malformed", ""},
		{"method is a number", members(object{"method": 1, "removedUserIds": []string{"alice"}}), 400, "malformed", ""},
		{"removed user is a number", members(object{"method": "DELETE", "params": object{"userId": 1}}), 400, "malformed", ""},
		{"nobody and no organization", event("Organization.Membership.Updated", noon, object{"method": "DELETE"}), 400, "malformed", ""},
		{"no organization deleted", event("Organization.Deleted", noon, object{"params": object{}}), 400, "malformed", ""},
		{"organization deleted is a number", event("Organization.Deleted", noon, object{"params": object{"id": 1}}), 400, "malformed", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var rec recorder
				l := newList(t, revocation.Config{Observer: rec.observe})
				w := deliver(l.Webhook(key), test.body, sign(key, test.body))
				if w.Code != test.status || w.Body.String() != test.outcome+"\n" {
					t.Errorf("status %d, %q, want %d, %s: %v", w.Code, w.Body, test.status, test.outcome, rec.last().Err)
				}
				if got := targets(l); got != test.want {
					t.Errorf("revoked %s, want %s", got, test.want)
				}
				if e := rec.last(); e.Outcome != test.outcome || (e.Err != nil) != (test.status != 200) {
					t.Errorf("observed %+v", e)
				}
			})
		})
	}

	// A list of 5000 may have been cut off.
	for _, test := range []struct {
		n    int
		list string
		want bool
	}{{4999, "removedUserIds", false}, {5000, "removedUserIds", true}, {5000, "removedApplicationIds", true}, {5000, "addedUserIds", false}} {
		bubble(t, func(t *testing.T) {
			l := newList(t, revocation.Config{})
			body := members(object{test.list: ids(test.n)})
			if w := deliver(l.Webhook(key), body, sign(key, body)); w.Code != 200 {
				t.Fatal(w.Code)
			}
			got := targets(l)
			if strings.HasPrefix(test.list, "removed") != strings.Contains(got, "subject user4998 +0") {
				t.Errorf("%d %s: the users: %.100s", test.n, test.list, got)
			}
			if strings.Contains(got, "organization org +0") != test.want {
				t.Errorf("%d %s: the organization: %.100s", test.n, test.list, got)
			}
		})
	}
}

func targets(l *revocation.List) string {
	var all []string
	for _, r := range l.Entries() {
		all = append(all, fmt.Sprintf("%v %+d", r, r.IssuedAt.Unix()-noon.Unix()))
	}
	return strings.Join(all, ", ")
}

// A token of a refresh that was under way is refused for 5 s; one of somebody who
// was only removed from an organization comes back with the next second.
func TestGrace(t *testing.T) {
	for _, test := range []struct {
		name string
		body string
		secs int
	}{
		{"suspended", suspended("x", noon), 5},
		{"deleted", event("User.Deleted", noon, object{"data": object{"id": "x"}}), 5},
		{"organization deleted", event("Organization.Deleted", noon, object{"params": object{"id": "x"}}), 5},
		{"removed", event("Organization.Membership.Updated", noon, object{"organizationId": "o", "removedUserIds": []string{"x"}}), 0},
		{"password", event("PostResetPassword", noon, object{"userId": "x"}), 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l, s := newList(t, revocation.Config{}), newTokens(t)
				deliver(l.Webhook(key), test.body, sign(key, test.body))
				token := logtotest.Token{User: "x", Organization: "x"}
				refused(t, l, s.at(t, token, noon.Add(time.Duration(test.secs)*time.Second)))
				passes(t, l, s.at(t, token, noon.Add(time.Duration(test.secs+1)*time.Second)))
			})
		})
	}
}

func TestReceiver(t *testing.T) {
	body := event("User.Deleted", time.Now(), object{"data": object{"id": "alice"}})
	for _, test := range []struct {
		name   string
		change func(*http.Request)
		status int
		kind   string
		body   string
	}{
		{"as Logto sends it", func(r *http.Request) {}, 200, "User.Deleted", "revoked\n"},
		{"the older key", func(r *http.Request) { r.Header.Set("logto-signature-sha-256", sign("old", body)) }, 200, "User.Deleted", "revoked\n"},
		{"an empty key", func(r *http.Request) { r.Header.Set("logto-signature-sha-256", sign("", body)) }, 401, "unverified", "unauthorized\n"},
		{"another key", func(r *http.Request) { r.Header.Set("logto-signature-sha-256", sign("other", body)) }, 401, "unverified", "unauthorized\n"},
		{"no signature", func(r *http.Request) { r.Header.Del("logto-signature-sha-256") }, 401, "unverified", "unauthorized\n"},
		{"half a signature", func(r *http.Request) { r.Header.Set("logto-signature-sha-256", sign(key, body)[:32]) }, 401, "unverified", "unauthorized\n"},
		{"a signature that is none", func(r *http.Request) { r.Header.Set("logto-signature-sha-256", strings.Repeat("z", 64)) }, 401, "unverified", "unauthorized\n"},
		{"no JSON, no signature", func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("{")) }, 401, "unverified", "unauthorized\n"},
		{"GET", func(r *http.Request) { r.Method = http.MethodGet }, 405, "unverified", "refused\n"},
		{"PUT", func(r *http.Request) { r.Method = http.MethodPut }, 405, "unverified", "refused\n"},
		{"a body that fails", func(r *http.Request) { r.Body = io.NopCloser(failing{}) }, 408, "unverified", "refused\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var rec recorder
			l := newList(t, revocation.Config{Observer: rec.observe})
			r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
			r.Header.Set("logto-signature-sha-256", sign(key, body))
			test.change(r)
			w := httptest.NewRecorder()
			l.Webhook(key, "", "old").ServeHTTP(w, r)
			if w.Code != test.status || w.Body.String() != test.body {
				t.Errorf("status %d, %q, want %d, %q", w.Code, w.Body, test.status, test.body)
			}
			if (test.status == 405) != (w.Header().Get("Allow") == "POST") {
				t.Errorf("Allow %q", w.Header().Get("Allow"))
			}
			if revoked := l.Entries() != nil; revoked != (test.status == 200) {
				t.Errorf("revoked: %v", l.Entries())
			}
			if e := rec.last(); e.Kind != test.kind || e.Outcome+"\n" != test.body {
				t.Errorf("observed %+v", e)
			}
		})
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("the connection is gone") }

// endless counts what is read of it.
type endless struct{ read int }

func (e *endless) Read(b []byte) (int, error) { e.read += len(b); return len(b), nil }

func TestBodySize(t *testing.T) {
	l := newList(t, revocation.Config{})
	body := event("User.Deleted", time.Now(), object{"data": object{"id": "alice"}})
	for _, size := range []int{1 << 20, 1<<20 + 1, 16 << 20} {
		padded := body + strings.Repeat(" ", size-len(body))
		if w := deliver(l.Webhook(key), padded, sign(key, padded)); w.Code != 200 {
			t.Errorf("%d bytes: status %d", size, w.Code)
		}
	}
	padded := body + strings.Repeat(" ", 16<<20+1-len(body))
	if w := deliver(l.Webhook(key), padded, sign(key, padded)); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("16 MiB and a byte: status %d", w.Code)
	}
	// A user who fills their own data keeps no suspension away.
	mallory := event("User.SuspensionStatus.Updated", time.Now(), object{"params": object{"userId": "mallory"},
		"data": object{"id": "mallory", "customData": object{"x": strings.Repeat("x", 3<<20)}, "isSuspended": true}})
	deliver(l.Webhook(key), mallory, sign(key, mallory))
	refused(t, l, newTokens(t).at(t, logtotest.Token{User: "mallory"}, time.Now()))
	for signature, want := range map[string]int{sign(key, ""): 17 << 20, "": 0} {
		body := &endless{}
		r := httptest.NewRequest(http.MethodPost, "/", body)
		r.Header.Set("logto-signature-sha-256", signature)
		l.Webhook(key).ServeHTTP(httptest.NewRecorder(), r)
		if body.read > want {
			t.Errorf("signature %q: %d bytes were read", signature, body.read)
		}
	}
}

// A sender that is slow gets its answer all the same.
func TestSlowBody(t *testing.T) {
	l := newList(t, revocation.Config{})
	server := httptest.NewServer(l.Webhook(key))
	defer server.Close()
	pr, pw := io.Pipe()
	defer pw.Close()
	r, _ := http.NewRequest(http.MethodPost, server.URL, pr)
	r.Header.Set("logto-signature-sha-256", sign(key, ""))
	resp, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusRequestTimeout {
		t.Error(resp.Status)
	}
}

func TestNoKey(t *testing.T) {
	for _, keys := range [][]string{nil, {""}, {"", ""}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("no panic for %q", keys)
				}
			}()
			newList(t, revocation.Config{}).Webhook(keys...)
		}()
	}
}

func TestMap(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var got []string
		var rec recorder
		l := newList(t, revocation.Config{Observer: rec.observe, Map: func(event string, body []byte) []revocation.Revocation {
			got = append(got, event)
			switch {
			case event == "Role.Deleted":
				return []revocation.Revocation{{All: true}}
			case bytes.Contains(body, []byte("explicit")):
				return []revocation.Revocation{{ClientID: "app", IssuedAt: noon.Add(-time.Minute)}}
			case bytes.Contains(body, []byte("broken")):
				return []revocation.Revocation{{}, {ClientID: "good"}}
			}
			return nil
		}})
		h := l.Webhook(key)
		for _, test := range []struct {
			body    string
			status  int
			outcome string
			want    string
		}{
			{event("User.Created", noon, nil), 200, "nothing", ""},
			{event("Explained", noon, nil), 200, "unknown", ""},
			{event("Role.Deleted", noon.Add(-30*time.Second), nil), 200, "revoked", "all -30"},
			{event("Role.Deleted", noon, object{"params": object{"id": "fake-id"}}), 200, "test", "all -30"},
			{event("Whatever", noon, object{"data": "explicit"}), 200, "revoked", "all -30, application app -60"},
			{event("User.Deleted", noon, object{"data": object{"id": "alice", "name": "explicit"}}), 200, "revoked", "all -30, subject alice +5, application app -60"},
			{event("User.Deleted", noon, object{"data": object{"id": "bob", "name": "broken"}}), 500, "failed", "all -30, subject alice +5, subject bob +5, application app -60, application good +0"},
		} {
			w := deliver(h, test.body, sign(key, test.body))
			if w.Code != test.status || w.Body.String() != test.outcome+"\n" || targets(l) != test.want {
				t.Errorf("%s: status %d, %q, %s", test.body, w.Code, w.Body, targets(l))
			}
		}
		if want := []string{"User.Created", "Explained", "Role.Deleted", "Whatever", "User.Deleted", "User.Deleted"}; !reflect.DeepEqual(got, want) {
			t.Errorf("asked for %v", got)
		}
		before := targets(l)
		deliver(h, event("Role.Deleted", noon, nil), sign("wrong", event("Role.Deleted", noon, nil)))
		if targets(l) != before || len(got) != 6 {
			t.Error("Map was asked before the signature was")
		}
	})
}

// Strangers can send what isn't signed: they don't fill the log.
func TestLogIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var rec recorder
		l := newList(t, revocation.Config{Logger: slog.New(slog.NewTextHandler(&rec, nil))})
		for range 100 {
			deliver(l.Webhook(key), "{}", sign("wrong", "{}"))
		}
		if n := strings.Count(rec.log(), "\n"); n != 10 {
			t.Errorf("%d lines", n)
		}
		time.Sleep(10 * time.Second)
		deliver(l.Webhook(key), "{}", sign("wrong", "{}"))
		if n := strings.Count(rec.log(), "not_logged_before=90"); n != 1 {
			t.Error(rec.log())
		}
	})
}

// No test can measure that the comparison takes the same time whatever is
// compared; this one sees that nothing but hmac.Equal compares.
func TestConstantTime(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "webhook.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var calls []string
	ast.Inspect(file, func(n ast.Node) bool {
		f, ok := n.(*ast.FuncDecl)
		if !ok || f.Name.Name != "signed" {
			return true
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				if s, ok := n.Fun.(*ast.SelectorExpr); ok {
					calls = append(calls, fmt.Sprintf("%v.%s", s.X, s.Sel.Name))
				} else {
					calls = append(calls, fmt.Sprint(n.Fun))
				}
			case *ast.BinaryExpr:
				calls = append(calls, n.Op.String())
			case *ast.IfStmt, *ast.BranchStmt:
				calls = append(calls, "a branch")
			}
			return true
		})
		return false
	})
	slices.Sort(calls)
	if want := []string{"hmac.Equal", "hmac.New", "mac.Sum", "mac.Write", "||"}; !reflect.DeepEqual(calls, want) {
		t.Errorf("signed consists of %v, want %v", calls, want)
	}
	source, err := os.ReadFile("webhook.go")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(source), "signed("); n != 2 {
		t.Errorf("signed is named %d times: it must be defined once and called once", n)
	}
}

// Whatever Logto signs, and whatever it doesn't: no panic, one of the known
// answers, nothing revoked without a signature, and nobody by strangers' events.
func FuzzWebhook(f *testing.F) {
	for _, r := range readRecorded(f) {
		f.Add(r.Body, true)
	}
	f.Add(suspended("alice", noon), false)
	f.Add(event("Organization.Membership.Updated", noon, object{"organizationId": "o", "method": "DELETE", "removedUserIds": []any{"a", 1, nil}}), true)
	revoking := map[string]bool{"User.SuspensionStatus.Updated": true, "User.Deleted": true, "PostResetPassword": true,
		"User.Data.Updated": true, "Organization.Membership.Updated": true, "Organization.Deleted": true}
	f.Fuzz(func(t *testing.T, body string, signed bool) {
		var rec recorder
		l := newList(t, revocation.Config{Observer: rec.observe, Lifetime: 100 * 365 * 24 * time.Hour})
		signature := sign("wrong", body)
		if signed {
			signature = sign(key, body)
		}
		w := deliver(l.Webhook(key), body, signature)
		e := rec.last()
		entries := l.Entries()
		if w.Body.String() != e.Outcome+"\n" {
			t.Errorf("answer %q, observed %+v", w.Body, e)
		}
		switch {
		case !signed && (w.Code != 401 || entries != nil):
			t.Errorf("unsigned: %d, %v", w.Code, entries)
		case signed && !(w.Code == 200 && e.Err == nil || w.Code == 400 && e.Err != nil && e.Outcome == "malformed"):
			t.Errorf("status %d, %+v", w.Code, e)
		case entries != nil && (w.Code != 200 || e.Outcome != "revoked" || !revoking[e.Kind]):
			t.Errorf("%d, %+v: revoked %v", w.Code, e, entries)
		}
		for _, r := range entries {
			if r.All || r.ClientID != "" || r.TokenID != "" || r.IssuedAt.After(time.Now().Add(10*time.Minute)) {
				t.Errorf("revoked %+v", r)
			}
		}
	})
}

// Of large bodies one is read at a time: strangers, who can sign nothing, fill no memory.
func TestLargeBodiesTakeTurns(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := newList(t, revocation.Config{Logger: slog.New(slog.DiscardHandler)})
		hold, release := make(chan struct{}), make(chan struct{})
		first := &gate{Reader: strings.NewReader(strings.Repeat("x", 3<<20)), at: 2 << 20, reached: hold, open: release}
		go func() {
			r := httptest.NewRequest(http.MethodPost, "/", first)
			r.Header.Set("logto-signature-sha-256", sign(key, ""))
			l.Webhook(key).ServeHTTP(httptest.NewRecorder(), r)
		}()
		<-hold
		second := &endless{}
		r := httptest.NewRequest(http.MethodPost, "/", second)
		r.Header.Set("logto-signature-sha-256", sign(key, ""))
		w := httptest.NewRecorder()
		l.Webhook(key).ServeHTTP(w, r)
		if w.Code != http.StatusRequestTimeout || second.read > 2<<20 {
			t.Errorf("status %d after %d bytes", w.Code, second.read)
		}
		// A small one has no turn to wait for.
		body := suspended("alice", time.Now())
		if w := deliver(l.Webhook(key), body, sign(key, body)); w.Code != 200 {
			t.Errorf("status %d", w.Code)
		}
		close(release)
	})
}

// gate is a body that stops for a while.
type gate struct {
	*strings.Reader
	read, at      int
	reached, open chan struct{}
}

func (g *gate) Read(b []byte) (int, error) {
	if g.read < g.at && g.read+len(b) >= g.at {
		close(g.reached)
		<-g.open
	}
	n, err := g.Reader.Read(b)
	g.read += n
	return n, err
}

// What Map does can take nothing away from what the list makes of an event.
func TestMapCanTakeNothingBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for name, user := range map[string]func() []revocation.Revocation{
			"panics": func() []revocation.Revocation { panic("theirs") },
			"hangs":  func() []revocation.Revocation { time.Sleep(time.Hour); return nil },
			"none":   func() []revocation.Revocation { return []revocation.Revocation{{}} },
		} {
			l := newList(t, revocation.Config{Logger: slog.New(slog.DiscardHandler), Map: func(string, []byte) []revocation.Revocation { return user() }})
			body := suspended("alice", time.Now())
			done := make(chan int, 1)
			go func() { done <- deliver(l.Webhook(key), body, sign(key, body)).Code }()
			time.Sleep(time.Second)
			refused(t, l, newTokens(t).at(t, logtotest.Token{User: "alice"}, time.Now().Add(-2*time.Second)))
			time.Sleep(2 * time.Hour)
			if code := <-done; code == 200 && name != "hangs" || code != 200 && name == "hangs" {
				t.Errorf("%s: status %d", name, code)
			}
		}
	})
}

// Of what Map adds the sender is told, too, if the store didn't take it.
func TestMapAndStore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var rec recorder
		l := newList(t, revocation.Config{Observer: rec.observe, Store: deadStore{}, Map: func(string, []byte) []revocation.Revocation {
			return []revocation.Revocation{{Subject: "alice"}}
		}})
		body := event("User.Created", time.Now(), nil)
		w := deliver(l.Webhook(key), body, sign(key, body))
		if e := rec.last(); w.Code != 503 || w.Body.String() != "store_failed\n" || e.Outcome != "store_failed" || e.Err == nil || e.Revocations != 1 {
			t.Errorf("%d %s, %+v", w.Code, w.Body, e)
		}
	})
}

// What a function of the user's panics with is told of that function, and of no other.
func TestWhosePanic(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var rec recorder
		theirs := func() []revocation.Revocation { panic("theirs") }
		l := newList(t, revocation.Config{Observer: rec.observe, Map: func(string, []byte) []revocation.Revocation { return theirs() }})
		body := suspended("alice", time.Now())
		deliver(l.Webhook(key), body, sign(key, body))
		if err := rec.last().Err; err == nil || err.Error() != "revocation: Config.Map: panic: theirs" {
			t.Errorf("Map: error %v", err)
		}
		issuer := logtotest.NewIssuer(t)
		r := httptest.NewRequest("POST", "/", strings.NewReader(url.Values{"logout_token": {issuer.LogoutToken("alice")}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		v, err := logto.New(issuer.Config())
		if err != nil {
			t.Fatal(err)
		}
		l.Logout(v, func(*logto.LogoutToken) []revocation.Revocation { return theirs() }, logtotest.ClientID).ServeHTTP(httptest.NewRecorder(), r)
		if err := rec.last().Err; err == nil || err.Error() != "revocation: the function given to Logout: panic: theirs" {
			t.Errorf("Logout: error %v", err)
		}
	})
}

// A key from a file or a variable may have a line end, and a strange event of a later
// version is no error.
func TestKeysAndLaterEvents(t *testing.T) {
	for _, spelled := range []string{key + "\n", key + "\r\n", " " + key, `"` + key + `"`, "\ufeff" + key} {
		l := newList(t, revocation.Config{Logger: slog.New(slog.DiscardHandler)})
		body := suspended("alice", time.Now())
		if w := deliver(l.Webhook(spelled), body, sign(key, body)); w.Code != 200 {
			t.Errorf("%q: status %d", spelled, w.Code)
		}
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic for white space alone")
			}
		}()
		newList(t, revocation.Config{}).Webhook("\n", " ")
	}()
	l := newList(t, revocation.Config{Logger: slog.New(slog.DiscardHandler)})
	for _, body := range []string{
		`{"event":"Something.New","createdAt":1,"userId":{}}`, `{"event":"Something.New"}`, `{"event":"PostSignIn","createdAt":"x","userId":1}`,
	} {
		if w := deliver(l.Webhook(key), body, sign(key, body)); w.Code != 200 || l.Entries() != nil {
			t.Errorf("%s: status %d, %v", body, w.Code, l.Entries())
		}
	}
	for _, body := range []string{`{"event":"User.Deleted","createdAt":1,"data":{"id":"a"}}`, `{"event":"User.Deleted","createdAt":"2026-11-25T00:00:00Z","userId":1,"data":{"id":"a"}}`} {
		if w := deliver(l.Webhook(key), body, sign(key, body)); w.Code != 400 {
			t.Errorf("%s: status %d", body, w.Code)
		}
	}
}
