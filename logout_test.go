package logto_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/logtotest"
)

// A logout token is verified as strictly as an access token: each check refuses alone.
func TestVerifyLogoutToken(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	cfg := issuer.Config()
	cfg.Logger = capture
	v := newVerifier(t, cfg)
	header := map[string]any{"alg": "ES384", "typ": "logout+jwt", "kid": issuer.KeyID()}
	now := time.Now().Unix()
	payload := map[string]any{
		"iss": issuer.Endpoint() + "/oidc", "aud": "app", "sub": "alice", "sid": "session", "jti": "id",
		"iat": now - 60, "exp": now + 60, "events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}},
	}
	// with replaces members; nil takes one away.
	with := func(of map[string]any, name string, value any) map[string]any {
		m := maps.Clone(of)
		if m[name] = value; value == nil {
			delete(m, name)
		}
		return m
	}
	sign := func(header, payload map[string]any) string {
		return issuer.Sign(string(must(json.Marshal(header))), string(must(json.Marshal(payload))))
	}
	h := func(name string, value any) string { return sign(with(header, name, value), payload) }
	p := func(name string, value any) string { return sign(header, with(payload, name, value)) }
	const event = "http://schemas.openid.net/event/backchannel-logout"
	for _, test := range []struct {
		name, token, reason string
	}{
		{"empty", "", "no_token"},
		{"opaque", issuer.OpaqueToken(), "opaque_token"},
		{"no three parts", "a.b", "malformed"},
		{"access token", issuer.Token(logtotest.Token{Audience: "app"}), "wrong_type"},
		{"ID token", issuer.IDToken("alice"), "wrong_type"},
		{"no typ", h("typ", nil), "wrong_type"},
		{"typ JWT", h("typ", "JWT"), "wrong_type"},
		{"alg none", h("alg", "none"), "algorithm"},
		{"alg of another key", h("alg", "ES256"), "algorithm"},
		{"no kid", h("kid", nil), "malformed"},
		{"unknown kid", h("kid", "gone"), "unknown_key"},
		{"crit", h("crit", []string{"x"}), "malformed"},
		{"bad signature", logtotest.BadSignature(sign(header, payload)), "signature"},
		{"other issuer", p("iss", "https://evil.test/oidc"), "issuer"},
		{"no issuer", p("iss", nil), "malformed"},
		{"other application", p("aud", "other"), "audience"},
		{"no audience", p("aud", nil), "malformed"},
		{"audience a number", p("aud", 1), "malformed"},
		{"neither sub nor sid", sign(header, with(with(payload, "sub", nil), "sid", nil)), "malformed"},
		{"sub a number", p("sub", 1), "malformed"},
		{"sid a number", p("sid", 1), "malformed"},
		{"no jti", p("jti", nil), "malformed"},
		{"jti a number", p("jti", 1), "malformed"},
		{"no iat", p("iat", nil), "malformed"},
		{"no exp", p("exp", nil), "malformed"},
		{"exp a text", p("exp", fmt.Sprint(now+60)), "malformed"},
		{"expired", p("exp", now-31), "expired"},
		{"from the future", p("iat", now+100), "not_yet_valid"},
		{"nonce", p("nonce", "n"), "malformed"},
		{"nonce null", issuer.Sign(string(must(json.Marshal(header))), `{"nonce":null,`+string(must(json.Marshal(payload)))[1:]), "malformed"},
		{"no events", p("events", nil), "malformed"},
		{"events an array", p("events", []string{event}), "malformed"},
		{"no such event", p("events", map[string]any{"http://schemas.openid.net/event/other": map[string]any{}}), "malformed"},
		{"event null", p("events", map[string]any{event: nil}), "malformed"},
		{"event a text", p("events", map[string]any{event: "x"}), "malformed"},
		{"member twice", issuer.Sign(string(must(json.Marshal(header))), `{"sub":"bob",`+string(must(json.Marshal(payload)))[1:]), "malformed"},

		{"good", sign(header, payload), ""},
		{"typ in full", h("typ", "application/Logout+JWT"), ""},
		{"without sub", p("sub", nil), ""},
		{"without sid", p("sid", nil), ""},
		{"audiences", p("aud", []string{"other", "app"}), ""},
		{"a member of the event", p("events", map[string]any{event: map[string]any{"x": 1}, "other": 1}), ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			l, err := v.VerifyLogoutToken(ctx, test.token, "app", "second")
			if logto.Reason(err) != test.reason || (err == nil) != (test.reason == "") || (l == nil) != (err != nil) {
				t.Fatalf("%+v, %v, want %s", l, err, test.reason)
			}
			if test.name == "good" && *l != (logto.LogoutToken{Subject: "alice", SessionID: "session", ClientID: "app", TokenID: "id", IssuedAt: time.Unix(now-60, 0), ExpiresAt: time.Unix(now+60, 0)}) {
				t.Errorf("%+v", l)
			}
			// And never is it an access token.
			if _, err := v.Verify(ctx, test.token); err == nil {
				t.Error("accepted as an access token")
			}
		})
	}
	if _, err := v.VerifyLogoutToken(ctx, sign(header, payload)); logto.Reason(err) != "audience" {
		t.Errorf("for no application: %v", err)
	}
}

// It waits for its turn as an access token does, and passes the same verdict.
func TestLogoutTokenVerdict(t *testing.T) {
	inBubble(t, func(s *service) {
		s.verify(s.token(), nil, 0, 1)
		free := s.v.OccupyChecks()
		done := make(chan error)
		go func() {
			_, err := s.v.VerifyLogoutToken(ctx, s.issuer.LogoutToken("alice"), logtotest.ClientID)
			done <- err
		}()
		synctest.Wait()
		time.Sleep(10 * time.Minute)
		free()
		if err := <-done; !errors.Is(err, logto.ErrExpired) {
			t.Errorf("error %v", err)
		}
		// Nobody who was revoked stays signed in by that.
		cfg := s.issuer.Config()
		cfg.Revoked = func(*logto.Claims) error { return logto.ErrRevoked }
		if _, err := newVerifier(t, cfg).VerifyLogoutToken(ctx, s.issuer.LogoutToken("alice"), logtotest.ClientID); err != nil {
			t.Error(err)
		}
	})
}
