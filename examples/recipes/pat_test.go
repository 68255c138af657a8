package recipes

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"golang.org/x/oauth2"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/emulator"
	"github.com/seed-70fe37f4/logto/logtotest"
)

func TestPersonal(t *testing.T) {
	em := emulator.Start(t)
	api := httptest.NewServer(logto.Require(newVerifier(t, em.Config()), logto.Scopes("read:things"))(hello))
	defer api.Close()

	personalWith := func(application, pat, resource string, scopes ...string) *http.Client {
		return personal(t.Context(), em.Endpoint(), application, application+"-secret", pat, resource, scopes...)
	}
	raw := oauth2.NewClient(t.Context(), oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "pat_alice"}))
	for _, test := range []struct {
		name   string
		client *http.Client
		code   string // of the token endpoint's error
		status int
		body   string
	}{
		{"not exchanged", raw, "", 401, ""},
		{"another token", personalWith("machine", "pat_mallory", logtotest.Audience), "invalid_grant", 0, ""},
		{"an application that may not", personalWith("web", "pat_alice", logtotest.Audience), "unauthorized_client", 0, ""},
		{"no such resource", personalWith("machine", "pat_alice", "https://other.example.test"), "invalid_target", 0, ""},
		{"a scope that alice lacks", personalWith("machine", "pat_alice", logtotest.Audience, "write:things"), "", 403, ""},
		{"good", personalWith("machine", "pat_alice", logtotest.Audience, "read:things"), "", 200, "Hello, alice!"},
	} {
		t.Run(test.name, func(t *testing.T) {
			res, err := test.client.Get(api.URL)
			if test.code != "" {
				var refused *oauth2.RetrieveError
				if !errors.As(err, &refused) || refused.ErrorCode != test.code {
					t.Errorf("got %v, want %s", err, test.code)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = res.Body.Close() }()
			body, _ := io.ReadAll(res.Body)
			if res.StatusCode != test.status || test.body != "" && string(body) != test.body {
				t.Errorf("got %d %s, want %d %s", res.StatusCode, body, test.status, test.body)
			}
		})
	}
}

// One exchange serves until the access token expires.
func TestPersonalKeepsToken(t *testing.T) {
	em := emulator.Start(t)
	api := httptest.NewServer(logto.Require(newVerifier(t, em.Config()))(hello))
	defer api.Close()
	client := personal(t.Context(), em.Endpoint(), "machine", "machine-secret", "pat_alice", logtotest.Audience)
	status := func() int {
		res, err := client.Get(api.URL)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		return res.StatusCode
	}
	first := status()
	if err := em.Fault(emulator.Fault{At: "token"}); err != nil {
		t.Fatal(err)
	}
	if second := status(); first != 200 || second != 200 {
		t.Errorf("got %d, then %d", first, second)
	}
}
