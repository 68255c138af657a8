// An API with gin, which has no bridge for net/http middleware: wrap is one.
package main

import (
	"log"
	"net/http"
	"os"
	"time"

	"github.com/gin-gonic/gin"

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

func newHandler(v *logto.Verifier) *gin.Engine {
	r := gin.New()
	r.Use(gin.Recovery(), wrap(logto.Require(v)))
	r.GET("/api/hello", hello)
	r.GET("/api/things", wrap(logto.Require(v, logto.Scopes("read:things"))), hello)
	return r
}

// wrap makes net/http middleware a gin handler.
//
// gin runs the handlers that follow when this one returns, whether or not the
// response has been written: only Abort keeps a refused request from them. A
// middleware that hands on another ResponseWriter than it got needs more than
// this; Require doesn't.
func wrap(middleware func(http.Handler) http.Handler) gin.HandlerFunc {
	return func(c *gin.Context) {
		passed := false
		next := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			passed = true
			c.Request = r
			c.Next()
		})
		middleware(next).ServeHTTP(c.Writer, c.Request)
		if !passed {
			c.Abort()
		}
	}
}

// The claims are in the request's context; logto.UserID(c) would find nobody.
func hello(c *gin.Context) {
	user := logto.UserID(c.Request.Context())
	c.JSON(http.StatusOK, gin.H{"message": "Hello, " + user + "!"})
}
