package logtotest_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/logtotest"
)

func ExampleIssuer() {
	issuer := logtotest.NewIssuer(nil) // in a test: t
	v, err := logto.New(issuer.Config())
	if err != nil {
		panic(err)
	}
	protected := logto.Require(v, logto.Scopes("read"))(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, logto.UserID(r.Context()))
	}))
	r := httptest.NewRequest("GET", "/", nil)
	w := httptest.NewRecorder()
	protected.ServeHTTP(w, issuer.Authorize(r, logtotest.Token{User: "alice", Scopes: []string{"read"}}))
	fmt.Println(w.Code, w.Body)
	// Output: 200 alice
}

// A token expires: an hour passes at once in the bubble.
func ExampleToken_expiry() {
	// In a test of yours: func TestExpiry(t *testing.T) {
	inTest(func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			issuer := logtotest.NewIssuer(t)
			api := newAPI(issuer)
			token := issuer.Token(logtotest.Token{User: "alice"})
			fmt.Println(status(api, token))
			time.Sleep(time.Hour + time.Minute)
			fmt.Println(status(api, token))
		})
	})
	// Output:
	// 200
	// 401
}

// After a rotation, tokens of both keys are good. Without the old key, its tokens are
// refused as soon as the key set has been fetched again, which is due after at most 10
// minutes.
func ExampleIssuer_Rotate() {
	inTest(func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			issuer := logtotest.NewIssuer(t)
			api := newAPI(issuer)
			before := issuer.Token(logtotest.Token{})
			issuer.Rotate()
			after := issuer.Token(logtotest.Token{})
			fmt.Println(status(api, before), status(api, after))

			issuer.RemovePrevious()
			time.Sleep(11 * time.Minute)
			status(api, after) // it starts the fetch that is due
			synctest.Wait()    // for the answer
			fmt.Println(status(api, before), status(api, after))
		})
	})
	// Output:
	// 200 200
	// 401 200
}

// Logto is down: an API that has its keys goes on, one that has just started can't.
func ExampleIssuer_Fail() {
	inTest(func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			issuer := logtotest.NewIssuer(t)
			api := newAPI(issuer)
			fmt.Println(status(api, issuer.Token(logtotest.Token{})))

			issuer.Fail(logtotest.Status(503)) // or Hang, Drip, Cut …
			time.Sleep(20 * time.Hour)
			fmt.Println(status(api, issuer.Token(logtotest.Token{})))
			fmt.Println(status(newAPI(issuer), issuer.Token(logtotest.Token{})))

			issuer.Fail(nil)
			time.Sleep(time.Minute)
			fmt.Println(status(newAPI(issuer), issuer.Token(logtotest.Token{})))
		})
	})
	// Output:
	// 200
	// 200
	// 503
	// 200
}

func newAPI(issuer *logtotest.Issuer) http.Handler {
	v, err := logto.New(issuer.Config())
	if err != nil {
		panic(err)
	}
	return logto.Require(v)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
}

func status(api http.Handler, token string) int {
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	api.ServeHTTP(w, r)
	return w.Code
}

// inTest gives an Example the *testing.T that a bubble needs.
func inTest(f func(t *testing.T)) {
	all := func(_, _ string) (bool, error) { return true, nil }
	if !testing.RunTests(all, []testing.InternalTest{{Name: "Example", F: f}}) {
		panic("failed")
	}
}
