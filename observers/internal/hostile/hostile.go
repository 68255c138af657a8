// Package hostile is for tests: it does to an observer what attackers may try.
package hostile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/logtotest"
	"github.com/seed-70fe37f4/logto/revocation"
)

// Marker is in every text that an attacker chooses.
const Marker = "hostile"

// Events sends events as package logto would never make them, in n variants.
func Events(observe func(context.Context, logto.Event), n int) {
	for i := range n {
		text := fmt.Sprintf("%s\"}\n\xff%d", Marker, i)
		err := errors.New(text)
		for _, reason := range []string{"", text, "expired", "fetched", "none", "other", "_OTHER", strings.Repeat(text, 1000)} {
			for _, e := range []logto.Event{
				{Reason: reason},
				{Reason: reason, Err: err, Remembered: true, Added: []string{text}},
				{Reason: reason, Err: err, ReportOnly: true, Duration: time.Duration(i) << 40},
				{Reason: reason, Fetch: true, Added: []string{text, text}, Removed: []string{text}},
				{Reason: reason, Fetch: true, Err: err, Age: -1},
			} {
				observe(context.Background(), e)
			}
		}
	}
}

// Requests sends to a real Verifier with the observer what anybody who reaches
// an API, or its key endpoint, can send, in n variants. It must be called in a
// testing/synctest bubble.
func Requests(t *testing.T, observe func(context.Context, logto.Event), n int) {
	t.Helper()
	issuer := logtotest.NewIssuer(t)
	cfg := issuer.Config()
	cfg.ClientIDs = []string{logtotest.ClientID}
	cfg.Logger = slog.New(slog.DiscardHandler)
	cfg.Observer = observe
	cfg.Revoked = func(c *logto.Claims) error {
		if after, ok := strings.CutPrefix(c.Subject(), "revoked"); ok {
			return fmt.Errorf("%w: %s", logto.ErrRevoked, after)
		}
		if after, ok := strings.CutPrefix(c.Subject(), "unknown"); ok {
			return errors.New(after)
		}
		return nil
	}
	cfg.TokenFrom = func(r *http.Request) (string, error) {
		if after, ok := strings.CutPrefix(r.URL.Path, "/store/"); ok {
			return "", fmt.Errorf("%s: %w", after, logto.ErrUnavailable)
		}
		return logto.BearerToken(r)
	}
	v, err := logto.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ok := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	refused := logto.Check(func(r *http.Request, _ *logto.Claims) error { return errors.New(r.URL.Path) })
	handlers := []http.Handler{
		logto.Require(v)(ok), logto.Optional(v)(ok), logto.InsecureReportOnly(v)(ok),
		logto.Require(v, logto.Scopes("read"))(ok), logto.Require(v, refused)(ok), logto.Require(v, logto.Machines())(ok),
		logto.Require(v, logto.Organization(func(r *http.Request) string { return r.URL.Path }))(ok),
		logto.Require(v, logto.Check(func(r *http.Request, _ *logto.Claims) error {
			return fmt.Errorf("%s: %w", r.URL.Path, context.DeadlineExceeded)
		}))(ok),
		logto.Require(v, logto.OrganizationPath("organization"))(ok),
	}
	type token = logtotest.Token
	for i := range n {
		text := fmt.Sprintf("%s%d", Marker, i)
		tokens := []string{
			"", "undefined", text, text + ".", "a.b.c", "two " + text, issuer.OpaqueToken(), strings.Repeat("x", 20_000), issuer.IDToken(text), issuer.LogoutToken(text),
			issuer.Token(token{User: text, Scopes: []string{text}}), issuer.Token(token{ClientID: text}),
			issuer.Token(token{User: "revoked" + text}), issuer.Token(token{User: "unknown" + text}),
			issuer.Token(token{ExpiresIn: time.Minute, Header: map[string]any{"kid": text + "."}}), // too old for a key that isn't known yet
			issuer.Token(token{User: text, Organization: text}),
			issuer.Token(token{Audience: text}),
			issuer.Token(token{ExpiresIn: -time.Hour, User: text}),
			logtotest.BadSignature(issuer.Token(token{User: text})),
			issuer.Sign(text, text), issuer.Sign(`{}`, `{"iss":"`+text+`"}`),
		}
		for name, value := range map[string]any{"kid": text, "typ": text, "alg": text, "crit": []string{text}, "jku": text, text: text} {
			tokens = append(tokens, issuer.Token(token{Header: map[string]any{name: value}}))
		}
		for name, value := range map[string]any{"iss": text, "cnf": text, "iat": time.Now().Add(time.Hour).Unix(), "exp": text, "aud": text, "client_id": nil, text: text} {
			tokens = append(tokens, issuer.Token(token{Claims: map[string]any{name: value}}))
		}
		for _, token := range tokens {
			for _, h := range handlers {
				r := httptest.NewRequest("GET", "/"+text, nil)
				r.Header.Set("User-Agent", text)
				r.Header.Set("Authorization", "Bearer "+token)
				if token == "" {
					r.Header.Del("Authorization")
				}
				h.ServeHTTP(httptest.NewRecorder(), r)
			}
			_, _ = v.Verify(t.Context(), token)
		}
		for _, h := range handlers {
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/store/"+text, nil))
		}
		// Clients leave while they wait, or their time is up.
		issuer.Fail(logtotest.Hang())
		time.Sleep(11 * time.Second)
		for _, leave := range []func(context.Context) (context.Context, context.CancelFunc){
			func(ctx context.Context) (context.Context, context.CancelFunc) {
				return context.WithTimeout(ctx, time.Second)
			},
			func(ctx context.Context) (context.Context, context.CancelFunc) {
				ctx, cancel := context.WithCancel(ctx)
				time.AfterFunc(time.Second, cancel)
				return ctx, cancel
			},
		} {
			ctx, cancel := leave(t.Context())
			_, _ = v.Verify(ctx, issuer.Token(token{Header: map[string]any{"kid": text + "!"}}))
			cancel()
		}
		// Whoever owns the key endpoint chooses key IDs, bodies and statuses.
		for _, answer := range []http.Handler{
			logtotest.Body("application/json", strings.ReplaceAll(issuer.KeySet(), issuer.KeyID(), text)),
			logtotest.Body("text/html", text), logtotest.Body(text, text), logtotest.Status(500 + i%100), nil,
		} {
			issuer.Fail(answer)
			time.Sleep(11 * time.Second) // the pause between two fetches
			_ = v.Refresh(t.Context())
			_, _ = v.Verify(t.Context(), issuer.Token(token{Header: map[string]any{"kid": text + "?"}}))
		}
	}
}

// RevocationEvents sends events as package revocation would never make them, in n
// variants.
func RevocationEvents(observe func(revocation.Event), n int) {
	for i := range n {
		text := fmt.Sprintf("%s\"}\n\xff%d", Marker, i)
		names := []string{"", text, "User.Deleted", "revoked", "other", "_OTHER", "unverified", strings.Repeat(text, 1000)}
		for _, kind := range names {
			for _, outcome := range names {
				observe(revocation.Event{Kind: kind, Outcome: outcome, Revocations: i, Err: errors.New(text)})
			}
		}
	}
}

// Webhooks sends to a real list with the observer what anybody who reaches its
// receivers can send, and what a leaked signing key can sign, in n variants.
func Webhooks(t *testing.T, observe func(revocation.Event), n int) {
	t.Helper()
	issuer := logtotest.NewIssuer(t)
	list, err := revocation.New(revocation.Config{Observer: observe, Logger: slog.New(slog.DiscardHandler),
		Map: func(event string, _ []byte) []revocation.Revocation {
			if event == "Role.Deleted" {
				return []revocation.Revocation{{}}
			}
			return nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	h := list.Webhook(issuer.SigningKey())
	logout := func(issuer *logtotest.Issuer) http.Handler {
		cfg := issuer.Config()
		cfg.Logger = slog.New(slog.DiscardHandler)
		v, err := logto.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		return list.Logout(v, func(out *logto.LogoutToken) []revocation.Revocation {
			return []revocation.Revocation{{ClientID: out.Subject}}
		}, logtotest.ClientID)
	}
	without := logtotest.NewIssuer(t) // keys
	without.Fail(logtotest.Status(500))
	logouts, unavailable := logout(issuer), logout(without)
	for i := range n {
		text := fmt.Sprintf("%s%d", Marker, i)
		requests := []*http.Request{
			issuer.Suspend(text), issuer.Suspend(text), issuer.Unsuspend(text), issuer.DeleteUser(text), issuer.SetPassword(text), issuer.ResetPassword(text),
			issuer.RemoveMember(text, text), issuer.DeleteOrganization(text), issuer.TestButton(),
			issuer.Webhook(text, map[string]any{text: text}), issuer.Webhook("Role.Deleted", nil), issuer.Webhook("User.Deleted", nil),
			issuer.Webhook("PostResetPassword", map[string]any{"userId": text, "createdAt": "1999-12-31T00:00:00Z"}),
			issuer.Webhook(text, map[string]any{"event": []string{text}}),
			logtotest.NewIssuer(t).Suspend(text),
			httptest.NewRequest("POST", "/"+text, strings.NewReader(text)), httptest.NewRequest(strings.ToUpper(Marker), "/", nil),
		}
		huge := issuer.Suspend(text)
		huge.Body = io.NopCloser(strings.NewReader(strings.Repeat(text, 1<<18)))
		requests = append(requests, huge)
		for _, r := range requests {
			r.Header.Set("User-Agent", text)
			h.ServeHTTP(httptest.NewRecorder(), r)
		}
		good := issuer.LogoutToken(text)
		for _, token := range []string{good, good, text, issuer.Token(logtotest.Token{User: text}), logtotest.BadSignature(issuer.LogoutToken(text))} {
			logouts.ServeHTTP(httptest.NewRecorder(), logoutRequest(token))
		}
		unavailable.ServeHTTP(httptest.NewRecorder(), logoutRequest(without.LogoutToken(text)))
		_ = list.Revoke(t.Context(), revocation.Revocation{TokenID: text})
		_ = list.Revoke(t.Context(), revocation.Revocation{})
	}
}

func logoutRequest(token string) *http.Request {
	r := httptest.NewRequest("POST", "/", strings.NewReader("logout_token="+token))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}
