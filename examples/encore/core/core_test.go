package core

import (
	"context"
	"errors"
	"testing"
	"time"

	"encore.dev/beta/auth"
	"encore.dev/beta/errs"

	"github.com/seed-70fe37f4/logto/logtotest"
)

func config(issuer *logtotest.Issuer) Config {
	return Config{
		Issuer:      issuer.Endpoint() + "/oidc",
		JWKSURI:     issuer.Endpoint() + "/oidc/jwks",
		APIResource: logtotest.Audience,
		ClientID:    logtotest.ClientID,
	}
}

func authenticator(t *testing.T, issuer *logtotest.Issuer) *Authenticator {
	t.Helper()
	a, err := New(config(issuer))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// answers are all that a client sees of an error.
var answers = map[errs.ErrCode]struct {
	status  int
	message string
}{
	errs.Unauthenticated:  {401, "a valid access token is needed"},
	errs.PermissionDenied: {403, "the access token is not a user's"},
	errs.Unavailable:      {503, "the access token can't be checked now"},
	errs.Internal:         {500, "the access token's claims can't be read"},
}

// expect compares the fields of an error: outside of Encore, its methods panic.
func expect(t *testing.T, want errs.ErrCode, uid auth.UID, data *UserData, err error) {
	t.Helper()
	if uid != "" || data != nil {
		t.Errorf("got user %q and data %v with an error", uid, data)
	}
	var e *errs.Error
	if err == nil || !errors.As(err, &e) {
		t.Fatalf("got an error of type %T, want *errs.Error", err)
	}
	if e.Code != want || e.Code.HTTPStatus() != answers[want].status || e.Message != answers[want].message || e.Details != nil || e.Meta != nil {
		t.Errorf("got code %v (%d), message %q, details %v, meta %v, want %v, %v", e.Code, e.Code.HTTPStatus(), e.Message, e.Details, e.Meta, want, answers[want])
	}
}

func TestAuthenticate(t *testing.T) {
	issuer := logtotest.NewServer(t)
	a := authenticator(t, issuer)
	type tk = logtotest.Token
	good := issuer.Token(tk{User: "alice"})
	for _, test := range []struct {
		name, token string
		code        errs.ErrCode // errs.OK: a user
		uid         auth.UID
		data        UserData
	}{
		{"no token", "", errs.Unauthenticated, "", UserData{}},
		{"the scheme in it", "Bearer " + good, errs.Unauthenticated, "", UserData{}},
		{"opaque token", issuer.OpaqueToken(), errs.Unauthenticated, "", UserData{}},
		{"bad signature", logtotest.BadSignature(good), errs.Unauthenticated, "", UserData{}},
		{"ID token", issuer.IDToken("alice"), errs.Unauthenticated, "", UserData{}},
		{"expired", issuer.Token(tk{ExpiresIn: -time.Hour}), errs.Unauthenticated, "", UserData{}},
		{"another API's", issuer.Token(tk{Audience: "https://other.example.test"}), errs.Unauthenticated, "", UserData{}},
		{"another application's", issuer.Token(tk{ClientID: "other"}), errs.Unauthenticated, "", UserData{}},
		{"another issuer's", issuer.Token(tk{Claims: map[string]any{"iss": "https://other.example.test/oidc"}}), errs.Unauthenticated, "", UserData{}},
		{"machine", issuer.Token(tk{Machine: true, ClientID: logtotest.ClientID}), errs.PermissionDenied, "", UserData{}},
		{"custom claim of another type", issuer.Token(tk{Claims: map[string]any{"plan": 42}}), errs.Internal, "", UserData{}},
		{"good", good, errs.OK, "alice", UserData{}},
		{"custom claims", issuer.Token(tk{User: "bob", Claims: map[string]any{"email": "bob@example.test", "plan": "pro"}}), errs.OK, "bob",
			UserData{Email: "bob@example.test", Plan: "pro"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			uid, data, err := a.Authenticate(t.Context(), test.token)
			if test.code != errs.OK {
				expect(t, test.code, uid, data, err)
				return
			}
			if err != nil || uid != test.uid || data == nil || *data != test.data {
				t.Errorf("got user %q, data %v, error %v, want %q, %v", uid, data, err != nil, test.uid, test.data)
			}
		})
	}
}

// TestKeysMissing: an outage of Logto says nothing against the user.
func TestKeysMissing(t *testing.T) {
	issuer := logtotest.NewServer(t)
	good := issuer.Token(logtotest.Token{User: "alice"})
	t.Run("endpoint fails", func(t *testing.T) {
		issuer.Fail(logtotest.Status(503))
		a := authenticator(t, issuer)
		uid, data, err := a.Authenticate(t.Context(), good)
		expect(t, errs.Unavailable, uid, data, err)
		uid, data, err = a.Authenticate(t.Context(), "")
		expect(t, errs.Unauthenticated, uid, data, err)
	})
	t.Run("caller leaves", func(t *testing.T) {
		issuer.Fail(logtotest.Hang())
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		uid, data, err := authenticator(t, issuer).Authenticate(ctx, good)
		expect(t, errs.Unavailable, uid, data, err)
	})
	t.Run("outage with keys at hand", func(t *testing.T) {
		issuer.Fail(nil)
		a := authenticator(t, issuer)
		for range 2 {
			if uid, _, err := a.Authenticate(t.Context(), good); err != nil || uid != "alice" {
				t.Errorf("got user %q, error %v", uid, err != nil)
			}
			issuer.Fail(logtotest.Status(503))
		}
	})
}

func TestNew(t *testing.T) {
	issuer := logtotest.NewServer(t)
	for name, change := range map[string]func(*Config){
		"no issuer":       func(c *Config) { c.Issuer = "" },
		"no API resource": func(c *Config) { c.APIResource = "" },
		"no client ID":    func(c *Config) { c.ClientID = "" },
		"keys over http":  func(c *Config) { c.JWKSURI = "http://logto.example.test/oidc/jwks" },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config(issuer)
			change(&cfg)
			if a, err := New(cfg); err == nil || a != nil {
				t.Errorf("got %v, %v, want an error", a, err)
			}
		})
	}
}
