package main

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gin-gonic/gin"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/examples/frameworks/internal/contract"
)

func init() { gin.SetMode(gin.TestMode) }

func TestContract(t *testing.T) {
	contract.HTTP(t, func(t *testing.T, v *logto.Verifier, ran *contract.Ran) string {
		r := newHandler(v)
		r.GET(contract.Chain, wrap(logto.Require(v, logto.Scopes(contract.Scope))),
			func(*gin.Context) { ran.CountMiddleware() },
			func(c *gin.Context) { c.JSON(http.StatusOK, ran.Greet(logto.UserID(c.Request.Context()))) })
		return contract.Serve(t, r)
	})
}

// TestWrap looks at the adapter alone: what runs, in which order, with which
// response, for each way a middleware can take.
func TestWrap(t *testing.T) {
	refuse := func(write bool) func(http.Handler) http.Handler {
		return func(http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if write {
					w.WriteHeader(http.StatusUnauthorized)
				}
			})
		}
	}
	for _, test := range []struct {
		name       string
		middleware func(http.Handler) http.Handler
		status     int
		order      string
	}{
		{"refused", refuse(true), 401, "before "},
		{"refused without a word", refuse(false), 200, "before "},
		{"panic", func(http.Handler) http.Handler {
			return http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("middleware") })
		}, 500, "before "},
		{"passed", func(next http.Handler) http.Handler { return next }, 202, "before second handler after-second "},
	} {
		t.Run(test.name, func(t *testing.T) {
			order := ""
			r := gin.New()
			r.Use(gin.RecoveryWithWriter(nil), func(*gin.Context) { order += "before " }, wrap(test.middleware))
			r.GET("/", func(c *gin.Context) {
				order += "second "
				c.Next()
				order += "after-second "
			}, func(c *gin.Context) {
				order += "handler "
				c.Status(http.StatusAccepted)
			})
			w := httptest.NewRecorder()
			r.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/", nil))
			if w.Code != test.status {
				t.Errorf("status: got %d, want %d", w.Code, test.status)
			}
			if order != test.order {
				t.Errorf("ran: got %q, want %q", order, test.order)
			}
		})
	}
}
