// An API with echo: echo.WrapMiddleware makes Require an echo middleware. The
// same name and use are in echo v4.
package main

import (
	"log"
	"net/http"
	"os"
	"time"

	"github.com/labstack/echo/v5"

	"github.com/seed-70fe37f4/logto"
)

func main() {
	v, err := logto.New(logto.Config{
		Endpoint:  os.Getenv("LOGTO_ENDPOINT"),
		Audiences: []string{os.Getenv("LOGTO_AUDIENCE")},
	})
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Addr: "127.0.0.1:8080", Handler: newHandler(v), ReadHeaderTimeout: 5 * time.Second}
	log.Print("http://", server.Addr, "/api/hello")
	log.Fatal(server.ListenAndServe())
}

func newHandler(v *logto.Verifier) *echo.Echo {
	e := echo.New()
	e.Use(echo.WrapMiddleware(logto.Require(v)))
	e.GET("/api/hello", hello)
	e.GET("/api/things", hello, echo.WrapMiddleware(logto.Require(v, logto.Scopes("read:things"))))
	return e
}

// The claims are in the request's context, not in echo's.
func hello(c *echo.Context) error {
	user := logto.UserID(c.Request().Context())
	return c.JSON(http.StatusOK, map[string]string{"message": "Hello, " + user + "!"})
}
