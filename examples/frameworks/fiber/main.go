// An API with fiber: adaptor.HTTPMiddleware makes Require a fiber handler.
package main

import (
	"log"
	"os"

	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/adaptor"

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
	log.Fatal(newHandler(v).Listen("127.0.0.1:8080"))
}

func newHandler(v *logto.Verifier) *fiber.App {
	app := fiber.New()
	app.Use(require(v))
	app.Get("/api/hello", hello)
	app.Get("/api/things", require(v, logto.Scopes("read:things")), hello)
	return app
}

// require is logto.Require for fiber. Two things differ from net/http:
//
// The adaptor keeps only the last of several Authorization headers. Require
// would refuse such a request, so it is refused before.
//
// The strings of the request that the adaptor makes are fasthttp's memory: they
// change when a later handler sets the header, and when the next request comes.
// Require keeps none; a Check or an ErrorHandler must copy what it keeps.
func require(v *logto.Verifier, reqs ...logto.Requirement) fiber.Handler {
	protect := logto.Require(v, reqs...)
	middleware := adaptor.HTTPMiddleware(protect)
	return func(c fiber.Ctx) error {
		if len(c.Request().Header.PeekAll(fiber.HeaderAuthorization)) > 1 {
			return fiber.ErrBadRequest
		}
		return middleware(c)
	}
}

// The adaptor copies the values of the request's context, so the claims are in
// fiber's own; they aren't in c.Context().
func hello(c fiber.Ctx) error {
	return c.JSON(fiber.Map{"message": "Hello, " + logto.UserID(c) + "!"})
}
