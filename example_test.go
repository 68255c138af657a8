package logto_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/logtotest"
	"github.com/seed-70fe37f4/logto/revocation"
)

var (
	issuer = logtotest.NewIssuer(nil)
	v      = mustNew(issuer.Config())

	hello = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "Hello, %s!", logto.UserID(r.Context()))
	})
	things, order, feed, reports = hello, hello, hello, hello
)

func mustNew(cfg logto.Config) *logto.Verifier {
	v, err := logto.New(cfg)
	if err != nil {
		panic(err)
	}
	return v
}

// try sends a request with a token, or without one, and prints the answer.
func try(h http.Handler, path, token string) {
	r := httptest.NewRequest("GET", path, nil)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code == http.StatusOK {
		fmt.Println(w.Code, w.Body)
	} else {
		fmt.Println(w.Code)
	}
}

func Example() {
	issuer := logtotest.NewIssuer(nil) // in production: a Logto
	v, err := logto.New(logto.Config{
		Endpoint:   issuer.Endpoint(), // https://tenant.logto.app
		Audiences:  []string{logtotest.Audience},
		HTTPClient: issuer.Config().HTTPClient, // only to reach the fake
	})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /api/hello", logto.Require(v)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "Hello, %s!", logto.UserID(r.Context()))
	})))

	try(mux, "/api/hello", issuer.Token(logtotest.Token{User: "alice"}))
	try(mux, "/api/hello", "")
	// Output:
	// 200 Hello, alice!
	// 401
}

func ExampleFromContext() {
	h := logto.Require(v)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user := logto.UserID(r.Context())                 // "" for a machine, and for a stranger
		organization := logto.OrganizationID(r.Context()) // "" if the token is bound to none
		claims, ok := logto.FromContext(r.Context())      // all else: ClientID, Scopes, ExpiresAt, IsMachine …
		fmt.Fprintf(w, "user %q, organization %q, application %q, %v", user, organization, claims.ClientID(), ok)
	}))

	try(h, "/", issuer.Token(logtotest.Token{User: "alice", Organization: "acme", ClientID: "page"}))
	try(h, "/", issuer.Token(logtotest.Token{Machine: true, ClientID: "cron"}))
	// Output:
	// 200 user "alice", organization "acme", application "page", true
	// 200 user "", organization "", application "cron", true
}

// Within a protected subtree one route asks for more.
func ExampleRequire() {
	mux := http.NewServeMux()
	api := http.NewServeMux()
	api.Handle("GET /api/things", things)
	api.Handle("GET /api/reports", logto.Require(v, logto.Scopes("read:reports"))(reports))
	mux.Handle("/api/", logto.Require(v, logto.Users())(api))

	alice := issuer.Token(logtotest.Token{User: "alice"})
	reader := issuer.Token(logtotest.Token{User: "carol", Scopes: []string{"read:reports"}})
	machine := issuer.Token(logtotest.Token{Machine: true, Scopes: []string{"read:reports"}})
	try(mux, "/api/things", alice)
	try(mux, "/api/reports", alice)
	try(mux, "/api/reports", reader)
	try(mux, "/api/reports", machine)
	// Output:
	// 200 Hello, alice!
	// 403
	// 200 Hello, carol!
	// 403
}

func ExampleScopes() {
	mux := http.NewServeMux()
	mux.Handle("GET /things", logto.Require(v, logto.Scopes("read:things"))(things))
	mux.Handle("GET /feed", logto.Require(v, logto.AnyScope("read:things", "admin"))(feed))

	try(mux, "/things", issuer.Token(logtotest.Token{User: "alice", Scopes: []string{"read:things"}}))
	try(mux, "/things", issuer.Token(logtotest.Token{User: "alice"}))
	try(mux, "/feed", issuer.Token(logtotest.Token{User: "alice", Scopes: []string{"admin"}}))
	// Output:
	// 200 Hello, alice!
	// 403
	// 200 Hello, alice!
}

func ExampleOrganizationPath() {
	mux := http.NewServeMux()
	mux.Handle("GET /things", logto.Require(v, logto.Scopes("read:things"))(things))
	mux.Handle("GET /organizations/{organization}/orders",
		logto.Require(v, logto.OrganizationPath("organization"), logto.Scopes("read:orders"))(order))

	token := issuer.Token(logtotest.Token{User: "alice", Organization: "acme", Scopes: []string{"read:orders"}})
	try(mux, "/organizations/acme/orders", token)
	try(mux, "/organizations/umbrella/orders", token)
	// Output:
	// 200 Hello, alice!
	// 403
}

func ExampleOrganization() {
	ofHost := map[string]string{"acme.example.test": "o1", "umbrella.example.test": "o2"}
	organization := logto.Organization(func(r *http.Request) string { return ofHost[r.Host] })
	h := logto.Require(v, organization)(hello)

	token := issuer.Token(logtotest.Token{User: "alice", Organization: "o1"})
	try(h, "https://acme.example.test/", token)
	try(h, "https://umbrella.example.test/", token)
	// Output:
	// 200 Hello, alice!
	// 403
}

// What belongs to an organization and what belongs to none, told apart by hand.
func ExampleClaims_HasScope() {
	for _, token := range []logtotest.Token{
		{Scopes: []string{"manage"}},
		{Scopes: []string{"manage"}, Organization: "acme"},
		{Scopes: []string{"manage"}, Organization: "mallory-inc"},
	} {
		claims, err := v.Verify(context.Background(), issuer.Token(token))
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(claims.HasScope("manage"), claims.HasScopeIn("acme", "manage"))
	}
	// Output:
	// true false
	// false true
	// false false
}

func ExampleOptional() {
	h := logto.Optional(v)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user := logto.UserID(r.Context()); user != "" {
			fmt.Fprintf(w, "your feed, %s", user)
			return
		}
		fmt.Fprint(w, "everybody's feed")
	}))

	try(h, "/feed", issuer.Token(logtotest.Token{User: "alice"}))
	try(h, "/feed", "")
	try(h, "/feed", issuer.Token(logtotest.Token{ExpiresIn: -time.Hour}))
	// Output:
	// 200 your feed, alice
	// 200 everybody's feed
	// 401
}

func ExampleClaimsAs() {
	type custom struct {
		Plan string `json:"plan"`
	}
	h := logto.Require(v)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		claims, err := logto.ClaimsAs[custom](r.Context())
		if err != nil {
			http.Error(w, "unexpected claims", http.StatusInternalServerError)
			return
		}
		fmt.Fprintf(w, "%s has plan %s", logto.UserID(r.Context()), claims.Plan)
	}))

	try(h, "/", issuer.Token(logtotest.Token{User: "alice", Claims: map[string]any{"plan": "pro"}}))
	// Output: 200 alice has plan pro
}

func ExampleMachines() {
	h := logto.Require(v, logto.Machines(), logto.Scopes("sync"))(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		claims, _ := logto.FromContext(r.Context())
		fmt.Fprintf(w, "application %s", claims.ClientID())
	}))

	try(h, "/", issuer.Token(logtotest.Token{Machine: true, ClientID: "cron", Scopes: []string{"sync"}}))
	try(h, "/", issuer.Token(logtotest.Token{User: "alice", Scopes: []string{"sync"}}))
	// Output:
	// 200 application cron
	// 403
}

func ExampleCheck() {
	isAdmin := func(_ context.Context, user string) (bool, error) { return user == "alice", nil }
	admin := logto.Check(func(r *http.Request, c *logto.Claims) error {
		ok, err := isAdmin(r.Context(), c.UserID())
		switch {
		case err != nil:
			return fmt.Errorf("%w: %w", logto.ErrUnavailable, err)
		case !ok:
			return errors.New("not an administrator")
		}
		return nil
	})
	h := logto.Require(v, admin)(hello)

	try(h, "/", issuer.Token(logtotest.Token{User: "alice"}))
	try(h, "/", issuer.Token(logtotest.Token{User: "mallory"}))
	// Output:
	// 200 Hello, alice!
	// 403
}

func ExampleAnswerTo() {
	cfg := issuer.Config()
	cfg.ErrorHandler = func(w http.ResponseWriter, r *http.Request, err error) {
		a := logto.AnswerTo(r, err)
		maps.Copy(w.Header(), a.Header) // WWW-Authenticate, Retry-After, Cache-Control
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(a.Status)
		_ = json.NewEncoder(w).Encode(map[string]any{
			"title": http.StatusText(a.Status), "status": a.Status, "detail": a.Description, "code": a.Error})
	}
	h := logto.Require(mustNew(cfg), logto.Scopes("admin"))(hello)

	try(h, "/", "")
	try(h, "/", issuer.Token(logtotest.Token{}))
	// Output:
	// 401
	// 403
}

// An access log outside of the middleware names the user, also of a refused request.
func ExampleWatch() {
	v := mustNew(issuer.Config())
	mux := http.NewServeMux()
	mux.Handle("GET /hello", logto.Require(v)(hello))
	mux.Handle("GET /admin", logto.Require(v, logto.Scopes("admin"))(hello))
	h := accessLog(mux)

	token := issuer.Token(logtotest.Token{User: "alice"})
	for _, path := range []string{"/hello", "/admin"} {
		r := httptest.NewRequest("GET", path, nil)
		r.Header.Set("Authorization", "Bearer "+token)
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	// Output:
	// GET "/hello" user="alice" reason=""
	// GET "/admin" user="alice" reason="missing_scope"
}

func accessLog(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, last := logto.Watch(r.Context())
		next.ServeHTTP(w, r.WithContext(ctx))
		fmt.Printf("%s %q user=%q reason=%q\n", r.Method, r.URL.Path, last().UserID(), last().Reason)
	})
}

// For frameworks whose middleware is not net/http's.
func ExampleVerifier_Authenticate() {
	v := mustNew(issuer.Config())
	status := func(r *http.Request) int {
		claims, err := v.Authenticate(r, logto.Scopes("read:things"))
		if err != nil {
			return logto.AnswerTo(r, err).Status
		}
		fmt.Println(claims.UserID())
		return http.StatusOK
	}
	r := httptest.NewRequest("GET", "/", nil)
	fmt.Println(status(r))
	fmt.Println(status(issuer.Authorize(r, logtotest.Token{User: "alice", Scopes: []string{"read:things"}})))
	// Output:
	// 401
	// alice
	// 200
}

// The token in a cookie, or else in the header.
func ExampleBearerToken() {
	cfg := issuer.Config()
	cfg.TokenFrom = func(r *http.Request) (string, error) {
		if c, err := r.Cookie("access_token"); err == nil {
			return c.Value, nil
		}
		return logto.BearerToken(r)
	}
	h := http.NewCrossOriginProtection().Handler(logto.Require(mustNew(cfg))(hello))

	r := httptest.NewRequest("POST", "/", nil)
	r.AddCookie(&http.Cookie{Name: "access_token", Value: issuer.Token(logtotest.Token{User: "alice"})})
	for _, site := range []string{"same-origin", "cross-site"} {
		r.Header.Set("Sec-Fetch-Site", site)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		fmt.Println(w.Code)
	}
	// Output:
	// 200
	// 403
}

// Who is suspended in Logto is refused from the next request on.
func ExampleConfig_revoked() {
	cfg := issuer.Config()
	_ = os.Setenv("LOGTO_SIGNING_KEY", issuer.SigningKey()) // in production: from the console

	list, err := revocation.New(revocation.Config{Lifetime: time.Hour}) // the longest of your API resources
	if err != nil {
		log.Fatal(err)
	}
	cfg.Revoked = list.Check
	v, err := logto.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /api/hello", logto.Require(v)(hello))
	mux.Handle("POST /logto/webhook", list.Webhook(os.Getenv("LOGTO_SIGNING_KEY")))

	token := issuer.Token(logtotest.Token{User: "alice"})
	try(mux, "/api/hello", token)
	webhook := issuer.Suspend("alice") // in production: Logto sends it
	webhook.URL.Path = "/logto/webhook"
	mux.ServeHTTP(httptest.NewRecorder(), webhook)
	try(mux, "/api/hello", token)
	// Output:
	// 200 Hello, alice!
	// 401
}

func ExampleVerifier_Verify() {
	token := issuer.Token(logtotest.Token{User: "alice"}) // from an RPC's metadata, say
	claims, err := v.Verify(context.Background(), token)
	switch {
	case errors.Is(err, logto.ErrUnavailable):
		fmt.Println("try again later")
	case err != nil:
		fmt.Println("who are you?")
	default:
		fmt.Println(claims.UserID())
	}
	// Output: alice
}

func ExampleVerifier_Ready() {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if v.Ready() != nil {
			http.Error(w, "no keys", http.StatusServiceUnavailable)
		}
	})
	try(mux, "/readyz", "")
	// Output: 200
}
