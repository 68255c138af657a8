package emulator_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-70fe37f4/logto/emulator"
	"github.com/seed-70fe37f4/logto/internal/memory"
)

const signingKey = "the signing key"

// withHook is the example with a webhook, and with a page that is told of sign-outs.
func withHook(t *testing.T) []byte {
	t.Helper()
	text := strings.Replace(string(emulator.Example()), `"hooks": []`,
		`"hooks": [{"id": "api", "config": {"url": "http://api.test/webhook?x=secret", "headers": {"X-Mine": "yes"}}, "signingKey": "`+signingKey+`"}]`, 1)
	text = strings.Replace(text, `"type": "SPA",`, `"type": "SPA", "backchannelLogoutUri": "http://api.test/logout",`, 1)
	if strings.Count(text, "api.test/") < 2 {
		t.Fatal("the example has changed")
	}
	return []byte(text)
}

// An inbox takes deliveries, and answers by status until next has the word.
type inbox struct {
	mu     sync.Mutex
	bodies []string
	header http.Header
	status []int // of the first ones; then next answers
	next   http.Handler
}

func (i *inbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	i.mu.Lock()
	i.bodies, i.header = append(i.bodies, string(b)), r.Header.Clone()
	status := 0
	if len(i.status) > 0 {
		status, i.status = i.status[0], i.status[1:]
	}
	i.mu.Unlock()
	switch {
	case status == 1: // hangs
		<-r.Context().Done()
	case status != 0:
		w.WriteHeader(status)
	case i.next != nil:
		r.Body = io.NopCloser(strings.NewReader(string(b)))
		i.next.ServeHTTP(w, r)
	}
}

func (i *inbox) events(t *testing.T) []string {
	t.Helper()
	i.mu.Lock()
	defer i.mu.Unlock()
	var names []string
	for _, b := range i.bodies {
		var e struct {
			Event string
			Data  json.RawMessage
		}
		if err := json.Unmarshal([]byte(b), &e); err != nil {
			t.Fatalf("%v in %s", err, b)
		}
		names = append(names, e.Event)
	}
	return names
}

func newHooked(t *testing.T, in *inbox) (*emulator.Server, *browser) {
	return newMemory(t, emulator.Config{Tenant: withHook(t), HTTPClient: &http.Client{Transport: memory.Transport{Handler: in}}})
}

// members lists names and types, deeply, with the values that say what happened.
func members(o map[string]any, in string) string {
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(o)) {
		line := fmt.Sprintf("%s%s: %T", in, name, o[name])
		switch value := o[name].(type) {
		case map[string]any:
			if name != "customData" {
				line = in + name + ":\n" + members(value, in+"  ")
			}
		case string:
			if slices.Contains([]string{"event", "method", "matchedRoute", "interactionEvent"}, name) {
				line += " " + value
			}
		case bool:
			line += fmt.Sprint(" ", value)
		default:
			if name == "status" {
				line += fmt.Sprint(" ", value)
			}
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// Each action sends what a Logto sent of it, member by member, or nothing where a
// Logto sent nothing.
func TestEvents(t *testing.T) {
	f, err := os.Open("../revocation/testdata/webhooks.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	recorded := map[string]string{}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r struct{ Name, Body string }
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		if recorded[r.Name] == "" {
			recorded[r.Name] = r.Body
		}
	}
	for _, test := range []struct{ action, args, recording string }{
		{"create-user", `{"id":"dave","username":"dave","name":"Dave","primaryEmail":"d@example.test"}`, "01-user-created-by-management-api"},
		{"update-user", `{"user":"alice","name":"Alicia"}`, "09-user-data-changed"},
		{"update-user", `{"user":"alice","customData":{"tokenVersion":2}}`, "10-user-custom-data-changed"},
		{"set-password", `{"user":"alice"}`, "11-password-set-by-admin"},
		{"suspend", `{"user":"alice"}`, "12-user-suspended"},
		{"unsuspend", `{"user":"alice"}`, "14-user-unsuspended"},
		{"add-member", `{"organization":"acme","user":"bob"}`, "15-member-added-to-organization"},
		{"remove-member", `{"organization":"acme","user":"alice"}`, "19-member-removed-from-organization"},
		{"create-organization", `{"id":"new","name":"New"}`, "29-organization-created"},
		{"delete-organization", `{"organization":"acme"}`, "30-organization-deleted"},
		{"delete-user", `{"user":"alice"}`, "53-user-deleted"},
		{"role-scopes", `{"role":"reader","scopes":{"https://api.example.test":["read:reports"]}}`, "07-role-scope-added"},
		{"test-hook", `{}`, "08-test-button"},
		{"user-roles", `{"user":"alice","roles":["admin"]}`, ""},
		{"member-roles", `{"organization":"acme","user":"alice","organizationRoles":["manager"]}`, ""},
		{"revoke", `{"user":"alice"}`, ""},
		{"personal-access-token", `{"user":"alice"}`, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			in := &inbox{}
			_, b := newHooked(t, in)
			b.exchange(b.signIn("alice"))
			synctest.Wait()
			in.bodies = nil // that of the sign-in
			b.control(test.action, test.args)
			synctest.Wait()
			want := 1
			if test.recording == "" {
				want = 0
			}
			if len(in.bodies) != want {
				t.Fatalf("%s: %d events: %v", test.action, len(in.bodies), in.bodies)
			}
			if want == 0 {
				return
			}
			var got, recording map[string]any
			if err := json.Unmarshal([]byte(in.bodies[0]), &got); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal([]byte(recorded[test.recording]), &recording); err != nil {
				t.Fatalf("%s: %v", test.recording, err)
			}
			// What depends on the user, and on the button that is pressed.
			if data, ok := recording["data"].(map[string]any); ok && data["id"] != nil {
				mine := got["data"].(map[string]any)
				for _, free := range []string{"username", "primaryEmail", "name", "lastSignInAt", "applicationId"} {
					delete(data, free)
					delete(mine, free)
				}
			}
			if test.action == "test-hook" {
				recording["event"] = got["event"]
			}
			if got, want := members(got, ""), members(recording, ""); got != want {
				t.Errorf("%s: got\n%s\nrecorded\n%s", test.action, got, want)
			}
		})
	}
}

// Sign-ins are events, and signed as all are.
func TestSignInEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := &inbox{}
		_, b := newHooked(t, in)
		page := b.get("/oidc/auth?" + authorization().Encode()).location(t)
		b.post(page.String(), url.Values{"do": {"make"}, "name": {"Dave"}})
		b.post(page.String(), url.Values{"user": {"dave"}})
		synctest.Wait()
		if got := in.events(t); !slices.Equal(got, []string{"PostRegister", "User.Created", "PostSignIn"}) {
			t.Errorf("events %v", got)
		}
		if in.header.Get("X-Mine") != "yes" || len(in.header.Get("Logto-Signature-Sha-256")) != 64 || in.header.Get("User-Agent") != "Logto (https://logto.io/)" {
			t.Errorf("header %v", in.header)
		}
	})
}

// A webhook gets the events that it wants, and none if it is off.
func TestWhichEvents(t *testing.T) {
	for _, test := range []struct{ more, want string }{
		{``, "[User.SuspensionStatus.Updated User.Deleted]"},
		{`"events": ["User.Deleted"],`, "[User.Deleted]"},
		{`"events": ["Role.Deleted"],`, "[]"},
		{`"enabled": true,`, "[User.SuspensionStatus.Updated User.Deleted]"},
		{`"enabled": false,`, "[]"},
	} {
		synctest.Test(t, func(t *testing.T) {
			in := &inbox{}
			em, _ := newMemory(t, emulator.Config{HTTPClient: &http.Client{Transport: memory.Transport{Handler: in}},
				Tenant: []byte(strings.Replace(string(withHook(t)), `{"id": "api", `, `{"id": "api", `+test.more, 1))})
			if err := em.Suspend("alice"); err != nil {
				t.Fatal(err)
			}
			if err := em.DeleteUser("alice"); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if got := fmt.Sprint(in.events(t)); got != test.want {
				t.Errorf("%s: %s", test.more, got)
			}
		})
	}
}

// In order by default, swapped as by a real Logto if that is asked for; and after a
// failure the next event waits.
func TestOrderOfHooks(t *testing.T) {
	for _, test := range []struct {
		name   string
		fault  []emulator.Fault
		status []int
		want   []string
	}{
		{"in order", nil, nil, []string{"suspend", "unsuspend"}},
		{"in order, tried again", nil, []int{500, 503}, []string{"suspend", "suspend", "suspend", "unsuspend"}},
		{"swapped", []emulator.Fault{{At: "hooks", Do: "disorder"}}, nil, []string{"unsuspend", "suspend"}},
		{"once", []emulator.Fault{{At: "hooks", Do: "once"}}, []int{500}, []string{"suspend", "unsuspend"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			in := &inbox{status: test.status}
			em, b := newHooked(t, in)
			if err := em.Fault(test.fault...); err != nil {
				t.Fatal(err)
			}
			done := make(chan bool)
			go func() {
				b.control("suspend", `{"user":"alice"}`)
				done <- true
			}()
			time.Sleep(time.Millisecond)
			b.control("unsuspend", `{"user":"alice"}`)
			<-done
			time.Sleep(time.Minute)
			synctest.Wait()
			var got []string
			for _, body := range in.bodies {
				if strings.Contains(body, `"isSuspended":true`) {
					got = append(got, "suspend")
				} else {
					got = append(got, "unsuspend")
				}
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("%s: %v", test.name, got)
			}
		})
	}
}

// A reset ends what waits and what is tried again: it is for the next test.
func TestResetEndsHooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := &inbox{status: slices.Repeat([]int{500}, 20)}
		em, _ := newHooked(t, in)
		if err := em.Suspend("alice"); err != nil {
			t.Fatal(err)
		}
		go func() {
			if err := em.Unsuspend("alice"); err != nil { // which waits
				t.Error(err)
			}
		}()
		time.Sleep(100 * time.Millisecond)
		if err := em.Reset(); err != nil {
			t.Fatal(err)
		}
		in.mu.Lock()
		in.bodies, in.status = nil, nil
		in.mu.Unlock()
		if err := em.Suspend("bob"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		alice, bob := 0, 0
		for _, body := range in.bodies {
			if strings.Contains(body, `"/users/bob/is-suspended"`) {
				bob++
			} else {
				alice++
			}
		}
		if alice != 0 || bob != 1 {
			t.Errorf("%d of alice, %d of bob", alice, bob)
		}
	})
}
