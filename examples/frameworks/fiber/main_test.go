package main

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"

	"github.com/gofiber/fiber/v3"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/examples/frameworks/internal/contract"
	"github.com/seed-70fe37f4/logto/logtotest"
)

func TestContract(t *testing.T) {
	contract.HTTP(t, func(t *testing.T, v *logto.Verifier, ran *contract.Ran) string {
		app := newHandler(v)
		app.Get(contract.Chain, require(v, logto.Scopes(contract.Scope)), func(c fiber.Ctx) error {
			ran.CountMiddleware()
			return c.Next()
		}, func(c fiber.Ctx) error {
			return c.JSON(ran.Greet(logto.UserID(c)))
		})
		return serve(t, app)
	})
}

// TestHeaderSetBetween has a handler exchange the token between two requires:
// the second one must verify what it gets, not trust what the first one saw.
func TestHeaderSetBetween(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	cfg := issuer.Config()
	cfg.Logger = slog.New(slog.DiscardHandler)
	v, err := logto.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	alice := issuer.Token(logtotest.Token{User: "alice"})
	for _, test := range []struct {
		name, token string
		status      int
		body        string
	}{
		{"bad signature", logtotest.BadSignature(alice), 401, ""},
		{"another user", issuer.Token(logtotest.Token{User: "bobby"}), 200, "bobby"},
	} {
		t.Run(test.name, func(t *testing.T) {
			app := newHandler(v)
			app.Get("/between", func(c fiber.Ctx) error {
				c.Request().Header.Set("Authorization", "Bearer "+test.token)
				return c.Next()
			}, require(v), func(c fiber.Ctx) error { return c.SendString(logto.UserID(c)) })
			req, err := http.NewRequestWithContext(t.Context(), "GET", serve(t, app)+"/between", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+alice)
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if res.StatusCode != test.status {
				t.Errorf("status: got %d, want %d", res.StatusCode, test.status)
			}
			if body, _ := io.ReadAll(res.Body); test.status == 200 && string(body) != test.body {
				t.Errorf("user: got %q, want %q", body, test.body)
			}
		})
	}
}

func serve(t *testing.T, app *fiber.App) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- app.Listener(listener, fiber.ListenConfig{DisableStartupMessage: true}) }()
	t.Cleanup(func() {
		if err := app.Shutdown(); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return "http://" + listener.Addr().String()
}
