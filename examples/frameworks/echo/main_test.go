package main

import (
	"net/http"
	"testing"

	"github.com/labstack/echo/v5"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/examples/frameworks/internal/contract"
)

func TestContract(t *testing.T) {
	contract.HTTP(t, func(t *testing.T, v *logto.Verifier, ran *contract.Ran) string {
		e := newHandler(v)
		e.GET(contract.Chain, func(c *echo.Context) error {
			return c.JSON(http.StatusOK, ran.Greet(logto.UserID(c.Request().Context())))
		}, echo.WrapMiddleware(logto.Require(v, logto.Scopes(contract.Scope))), func(next echo.HandlerFunc) echo.HandlerFunc {
			return func(c *echo.Context) error {
				ran.CountMiddleware()
				return next(c)
			}
		})
		return contract.Serve(t, e)
	})
}
