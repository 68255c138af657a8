package revocation_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/logtotest"
	"github.com/seed-70fe37f4/logto/revocation"
)

// bySubject takes back all of the user's tokens.
func bySubject(t *logto.LogoutToken) []revocation.Revocation {
	return []revocation.Revocation{{Subject: t.Subject}}
}

func TestLogout(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	form := func(tokens ...string) string { return url.Values{"logout_token": tokens}.Encode() }
	const formType = "application/x-www-form-urlencoded"
	for _, test := range []struct {
		name, method, contentType, body string
		revoke                          func(*logto.LogoutToken) []revocation.Revocation
		fail                            bool // the key endpoint
		store                           revocation.Store
		status                          int
		kind, outcome                   string
		refused                         bool // alice's token afterwards
	}{
		{"GET", "GET", "", "", bySubject, false, nil, 405, "unverified", "refused", false},
		{"no form", "POST", "application/json", `{"logout_token":"x"}`, bySubject, false, nil, 400, "unverified", "refused", false},
		{"no token", "POST", formType, "a=b", bySubject, false, nil, 400, "unverified", "refused", false},
		{"two tokens", "POST", formType, form(issuer.LogoutToken("alice"), issuer.LogoutToken("alice")), bySubject, false, nil, 400, "unverified", "refused", false},
		{"huge", "POST", formType, form(strings.Repeat("x", 65<<10)), bySubject, false, nil, 400, "unverified", "refused", false},
		{"a broken form", "POST", formType, form(issuer.LogoutToken("alice")) + "&x=%zz", bySubject, false, nil, 400, "unverified", "refused", false},
		{"noise", "POST", formType, form("x.y.z"), bySubject, false, nil, 400, "unverified", "unauthorized", false},
		{"access token", "POST", formType, form(issuer.Token(logtotest.Token{User: "alice"})), bySubject, false, nil, 400, "unverified", "unauthorized", false},
		{"bad signature", "POST", formType, form(logtotest.BadSignature(issuer.LogoutToken("alice"))), bySubject, false, nil, 400, "unverified", "unauthorized", false},
		{"another issuer's", "POST", formType, form(logtotest.New("https://evil.test").LogoutToken("alice")), bySubject, false, nil, 400, "unverified", "unauthorized", false},
		{"keys can't be had", "POST", formType, form(issuer.LogoutToken("alice")), bySubject, true, nil, 503, "unverified", "unavailable", false},
		{"a revocation that is none", "POST", formType, form(issuer.LogoutToken("alice")), func(*logto.LogoutToken) []revocation.Revocation {
			return []revocation.Revocation{{}}
		}, false, nil, 500, "logout", "failed", false},
		{"the store doesn't take it", "POST", formType, form(issuer.LogoutToken("alice")), bySubject, false, deadStore{}, 503, "logout", "store_failed", true},

		{"nothing is configured", "POST", formType, form(issuer.LogoutToken("alice")), nil, false, nil, 200, "logout", "nothing", false},
		{"by subject", "POST", formType, form(issuer.LogoutToken("alice")), bySubject, false, nil, 200, "logout", "revoked", true},
		{"of another user", "POST", formType, form(issuer.LogoutToken("bob")), bySubject, false, nil, 200, "logout", "revoked", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			rec := &recorder{}
			list := newList(t, revocation.Config{Observer: rec.observe, Logger: slog.New(slog.NewTextHandler(rec, nil)), Store: test.store})
			cfg := issuer.Config()
			cfg.Logger = slog.New(slog.DiscardHandler)
			cfg.Revoked = list.Check
			v, err := logto.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			h := list.Logout(v, test.revoke, "other", logtotest.ClientID)
			before := issuer.Token(logtotest.Token{User: "alice", Claims: map[string]any{"iat": time.Now().Add(-time.Minute).Unix()}})
			send := func() int {
				r := httptest.NewRequest(test.method, "/logout", strings.NewReader(test.body))
				r.Header.Set("Content-Type", test.contentType)
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				if got := w.Header().Get("Cache-Control"); got != "no-store" {
					t.Errorf("Cache-Control %q", got)
				}
				if got := w.Header().Get("Allow"); (got == "POST") != (w.Code == http.StatusMethodNotAllowed) {
					t.Errorf("status %d, Allow %q", w.Code, got)
				}
				return w.Code
			}
			if test.fail {
				issuer.Fail(logtotest.Status(500))
				defer issuer.Fail(nil)
			}
			if got := send(); got != test.status {
				t.Errorf("status %d, want %d", got, test.status)
			}
			if e := rec.last(); e.Kind != test.kind || e.Outcome != test.outcome || strings.Count(rec.log(), "\n") != 1 {
				t.Errorf("%+v\n%s", e, rec.log())
			}
			issuer.Fail(nil)
			_, err = v.Verify(t.Context(), before)
			if refused := logto.Reason(err) == "revoked"; refused != test.refused {
				t.Errorf("%v, want refused %v", err, test.refused)
			}
			if test.status == 200 {
				if got := send(); got != 400 {
					t.Errorf("again: status %d", got)
				}
			}
		})
	}
}

// deadStore takes nothing.
type deadStore struct{ revocation.Store }

func (deadStore) Append(_ context.Context, _ time.Duration, _ ...revocation.Revocation) error {
	return http.ErrServerClosed
}

// The ID of a logout token is kept for as long as it lives, and no longer.
func TestLogoutReplay(t *testing.T) {
	bubble(t, func(t *testing.T) {
		issuer := logtotest.NewIssuer(t)
		list := newList(t, revocation.Config{Logger: slog.New(slog.DiscardHandler)})
		cfg := issuer.Config()
		cfg.Logger = slog.New(slog.DiscardHandler)
		v, err := logto.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		h := list.Logout(v, nil, logtotest.ClientID)
		token := issuer.LogoutToken("alice")
		want := 200
		for range 4 { // it lives for 2 minutes, and 30 s by the leeway
			r := httptest.NewRequest("POST", "/logout", strings.NewReader(url.Values{"logout_token": {token}}.Encode()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			w := httptest.NewRecorder()
			if h.ServeHTTP(w, r); w.Code != want {
				t.Errorf("status %d, want %d", w.Code, want)
			}
			want = 400
			time.Sleep(time.Minute)
		}
	})
}

func TestLogoutPanics(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	v, err := logto.New(issuer.Config())
	if err != nil {
		t.Fatal(err)
	}
	list := newList(t, revocation.Config{})
	for name, wire := range map[string]func(){
		"no verifier":        func() { list.Logout(nil, nil, "app") },
		"no application":     func() { list.Logout(v, nil) },
		"an empty client ID": func() { list.Logout(v, nil, "app", "") },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			wire()
		}()
	}
}

func TestTokenIDsAreForgotten(t *testing.T) {
	bubble(t, func(t *testing.T) {
		add, size := revocation.TokenIDs()
		for i := range 600 { // ten minutes
			if !add(fmt.Sprint(i), time.Now().Add(2*time.Minute)) {
				t.Error("refused")
			}
			time.Sleep(time.Second)
		}
		if n := size(); n > 181 { // of two minutes, and of the one until they are swept
			t.Errorf("%d are kept", n)
		}
	})
}
