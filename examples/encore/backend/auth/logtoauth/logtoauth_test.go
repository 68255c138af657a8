package logtoauth

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
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

// lines is a log: what rlog would get, by key.
type lines []map[string]any

func (l *lines) add(msg string, keysAndValues ...any) {
	line := map[string]any{"msg": msg}
	for pair := range slices.Chunk(keysAndValues, 2) {
		line[pair[0].(string)] = pair[1]
	}
	*l = append(*l, line)
}

func authenticator(t *testing.T, issuer *logtotest.Issuer) (*Authenticator, *lines) {
	t.Helper()
	cfg, log := config(issuer), new(lines)
	cfg.Log = log.add
	a, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return a, log
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

func TestAuthenticateRefuses(t *testing.T) {
	issuer := logtotest.NewServer(t)
	a, log := authenticator(t, issuer)
	type tk = logtotest.Token
	good := issuer.Token(tk{User: "alice"})
	bearer := func(token tk) string { return "Bearer " + issuer.Token(token) }
	for _, test := range []struct {
		name, authorization string
		code                errs.ErrCode
		reason              string
	}{
		{"nothing", "", errs.Unauthenticated, "no_token"},
		{"scheme alone", "Bearer", errs.Unauthenticated, "no_token"},
		{"scheme and a space", "Bearer ", errs.Unauthenticated, "no_token"},
		{"no scheme", good, errs.Unauthenticated, "no_token"},
		{"Encore's other prefix", "Token " + good, errs.Unauthenticated, "no_token"},
		{"another scheme", "Basic YWxpY2U6YWxpY2U=", errs.Unauthenticated, "no_token"},
		{"no space after the scheme", "Bearer" + good, errs.Unauthenticated, "no_token"},
		{"the scheme twice", "Bearer Bearer " + good, errs.Unauthenticated, "malformed"},
		{"two in one header", "Bearer " + good + ", Bearer " + good, errs.Unauthenticated, "malformed"},
		{"a page's undefined", "Bearer undefined", errs.Unauthenticated, "opaque_token"},
		{"opaque token", "Bearer " + issuer.OpaqueToken(), errs.Unauthenticated, "opaque_token"},
		{"bad signature", "Bearer " + logtotest.BadSignature(good), errs.Unauthenticated, "signature"},
		{"ID token", "Bearer " + issuer.IDToken("alice"), errs.Unauthenticated, "wrong_type"},
		{"logout token", "Bearer " + issuer.LogoutToken("alice"), errs.Unauthenticated, "wrong_type"},
		{"expired for five minutes", bearer(tk{ExpiresIn: -5 * time.Minute}), errs.Unauthenticated, "expired"},
		{"without exp", bearer(tk{Claims: map[string]any{"exp": nil}}), errs.Unauthenticated, "malformed"},
		{"another API's", bearer(tk{Audience: "https://other.example.test"}), errs.Unauthenticated, "audience"},
		{"another application's", bearer(tk{ClientID: "other"}), errs.Unauthenticated, "client"},
		{"another issuer's", bearer(tk{Claims: map[string]any{"iss": "https://other.example.test/oidc"}}), errs.Unauthenticated, "issuer"},
		{"machine-to-machine application", bearer(tk{Machine: true}), errs.Unauthenticated, "client"},
		{"machine with the App ID", bearer(tk{Machine: true, ClientID: logtotest.ClientID}), errs.PermissionDenied, "machine"},
		{"custom claim of another type", bearer(tk{Claims: map[string]any{"plan": 42}}), errs.Internal, "custom_claims"},
	} {
		t.Run(test.name, func(t *testing.T) {
			*log = nil
			uid, data, err := a.Authenticate(t.Context(), test.authorization)
			expect(t, test.code, uid, data, err)
			if len(*log) != 1 {
				t.Fatalf("got %d lines in the log, want 1", len(*log))
			}
			line := (*log)[0]
			if line["msg"] != "request refused" || line["reason"] != test.reason || line["message"] != answers[test.code].message || line["error"] == "" {
				t.Errorf("logged %v, want reason %q", line, test.reason)
			}
			// The signature: without it, a token is good for nothing.
			for _, value := range line {
				for _, token := range strings.FieldsFunc(test.authorization, func(r rune) bool { return r == ' ' || r == ',' }) {
					if i := strings.LastIndexByte(token, '.'); i >= 0 && strings.Contains(value.(string), token[i+1:]) {
						t.Errorf("logged a token: %v", line)
					}
				}
			}
		})
	}
}

func TestAuthenticateAccepts(t *testing.T) {
	issuer := logtotest.NewServer(t)
	a, log := authenticator(t, issuer)
	good := issuer.Token(logtotest.Token{User: "alice"})
	custom := issuer.Token(logtotest.Token{User: "alice", Claims: map[string]any{
		"plan": "pro", "email": "alice@example.test", "name": "Alice", "phone_number": "123"}})
	for _, test := range []struct{ name, authorization, data string }{
		{"plain", "Bearer " + good, `{"plan":""}`},
		{"lower-case scheme", "bearer " + good, `{"plan":""}`},
		{"two spaces", "Bearer  " + good, `{"plan":""}`},
		{"nothing personal of the custom claims", "Bearer " + custom, `{"plan":"pro"}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			uid, data, err := a.Authenticate(t.Context(), test.authorization)
			if err != nil || uid != "alice" {
				t.Fatalf("got user %q, error of type %T", uid, err)
			}
			// As Encore puts it into its traces.
			if got, err := json.Marshal(data); err != nil || string(got) != test.data {
				t.Errorf("got data %s, %v, want %s", got, err, test.data)
			}
		})
	}
	if len(*log) != 0 {
		t.Errorf("logged %v", *log)
	}
	if issuer.Fetches() != 1 {
		t.Errorf("fetched the keys %d times, want once", issuer.Fetches())
	}
}

// TestKeysMissing: an outage of Logto says nothing against the user.
func TestKeysMissing(t *testing.T) {
	issuer := logtotest.NewServer(t)
	good := "Bearer " + issuer.Token(logtotest.Token{User: "alice"})
	t.Run("endpoint fails", func(t *testing.T) {
		issuer.Fail(logtotest.Status(503))
		a, log := authenticator(t, issuer)
		uid, data, err := a.Authenticate(t.Context(), good)
		expect(t, errs.Unavailable, uid, data, err)
		if len(*log) != 1 || (*log)[0]["reason"] != "keys_unavailable" {
			t.Errorf("logged %v", *log)
		}
		uid, data, err = a.Authenticate(t.Context(), "")
		expect(t, errs.Unauthenticated, uid, data, err)
	})
	t.Run("caller leaves", func(t *testing.T) {
		issuer.Fail(logtotest.Hang())
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		a, _ := authenticator(t, issuer)
		uid, data, err := a.Authenticate(ctx, good)
		expect(t, errs.Unavailable, uid, data, err)
	})
	// The guide's JwksUri without /oidc: Logto answers 200 with a page.
	t.Run("a page instead of keys", func(t *testing.T) {
		issuer.Fail(logtotest.Body("text/html", "<!DOCTYPE html><title>Logto</title>"))
		a, log := authenticator(t, issuer)
		uid, data, err := a.Authenticate(t.Context(), good)
		expect(t, errs.Unavailable, uid, data, err)
		if len(*log) != 1 || !strings.Contains((*log)[0]["error"].(string), "is /oidc missing in the address?") {
			t.Errorf("logged %v, want a line that names the mistake", *log)
		}
	})
	t.Run("outage with keys at hand", func(t *testing.T) {
		issuer.Fail(nil)
		a, _ := authenticator(t, issuer)
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
	for _, test := range []struct {
		name   string
		change func(*Config)
		want   string // in the error
	}{
		{"no issuer", func(c *Config) { c.Issuer = "" }, "/oidc"},
		{"the guide's sample issuer", func(c *Config) { c.Issuer = "https://your-tenant.logto.app" }, "/oidc"},
		{"the guide's placeholder", func(c *Config) { c.Issuer = "<your-logto-issuer-url>" }, "/oidc"},
		{"issuer with a slash at its end", func(c *Config) { c.Issuer += "/" }, "/oidc"},
		{"no API resource", func(c *Config) { c.APIResource = "" }, "Audiences"},
		{"no client ID", func(c *Config) { c.ClientID = "" }, "ClientIDs"},
		{"keys over http", func(c *Config) { c.JWKSURI = "http://logto.example.test/oidc/jwks" }, "JWKSURL"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := config(issuer)
			test.change(&cfg)
			a, err := New(cfg)
			if err == nil || a != nil {
				t.Fatalf("got %v, %v, want an error", a, err)
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %q, want %q in it", err, test.want)
			}
		})
	}
	t.Run("without a log", func(t *testing.T) {
		a, err := New(config(issuer))
		if err != nil {
			t.Fatal(err)
		}
		uid, data, err := a.Authenticate(t.Context(), "")
		expect(t, errs.Unauthenticated, uid, data, err)
	})
}

// What stands in auth-config.cue has the guide's four names, and is refused for
// nothing but what is still to be filled in.
func TestConfigFile(t *testing.T) {
	file, err := os.ReadFile("../auth-config.cue")
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^(\w+): +"(.*)"$`).FindAllStringSubmatch(string(file), -1) {
		values[m[1]] = m[2]
	}
	names := slices.Sorted(maps.Keys(values))
	if want := []string{"ApiResourceIndicator", "ClientId", "Issuer", "JwksUri"}; !slices.Equal(names, want) {
		t.Fatalf("got names %q, want %q", names, want)
	}
	if !strings.HasSuffix(values["JwksUri"], "/oidc/jwks") {
		t.Errorf("got JwksUri %q, want /oidc/jwks at its end", values["JwksUri"])
	}
	if _, err := New(Config{Issuer: values["Issuer"], JWKSURI: values["JwksUri"],
		APIResource: values["ApiResourceIndicator"], ClientID: values["ClientId"]}); err != nil {
		t.Error(err)
	}
}
