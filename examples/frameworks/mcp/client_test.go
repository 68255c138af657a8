package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/auth/extauth"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/modelcontextprotocol/go-sdk/oauthex"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/emulator"
	"github.com/seed-70fe37f4/logto/examples/frameworks/internal/contract"
)

// forLogto is what the SDK's client lacks for Logto, as a transport for its
// requests to the authorization server.
type forLogto struct {
	resource string
	next     http.RoundTripper
}

func (c forLogto) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/oidc/token") {
		// Without a resource the token is opaque. The SDK names it with a code, but not
		// when it refreshes, and a machine's never.
		r = r.Clone(r.Context())
		if err := r.ParseForm(); err != nil {
			return nil, err
		}
		r.PostForm.Set("resource", c.resource)
		body := r.PostForm.Encode()
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
	}
	res, err := c.next.RoundTrip(r)
	if err == nil && strings.HasPrefix(r.URL.Path, "/.well-known/") && strings.HasPrefix(res.Header.Get("Content-Type"), "text/html") {
		// For a path that it doesn't know, Logto has its sign-in page. The SDK goes on
		// to the metadata that there are after a 404 only.
		res.StatusCode = http.StatusNotFound
	}
	return res, err
}

// recorder notes requests before they are sent.
type recorder struct {
	mu    sync.Mutex
	lines []string     // method and path
	forms []url.Values // of the POSTs
}

func (c *recorder) RoundTrip(r *http.Request) (*http.Response, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lines = append(c.lines, r.Method+" "+r.URL.Path)
	if r.Method == http.MethodPost {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return nil, err
		}
		c.forms = append(c.forms, form)
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	return http.DefaultTransport.RoundTrip(r)
}

// world is the program, an emulated Logto, and a client that knows the program's
// address and its own client ID.
type world struct {
	resource string
	logto    *emulator.Server
	ran      contract.Ran
	sent     recorder
	signIns  []url.Values // authorization requests
	choice   url.Values   // at the sign-in page
}

func newWorld(t *testing.T) *world {
	t.Helper()
	handler := http.NewServeMux()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	w := &world{resource: server.URL + "/mcp", choice: url.Values{"user": {"alice"}}}
	tenant, err := os.ReadFile("logto.json")
	if err != nil {
		t.Fatal(err)
	}
	w.logto = emulator.Start(t, emulator.Config{Tenant: bytes.ReplaceAll(tenant, []byte("http://127.0.0.1:8080/mcp"), []byte(w.resource))})
	cfg := w.logto.Config(w.resource)
	cfg.ResourceMetadataURL = server.URL + wellKnown + "/mcp"
	v, err := logto.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	handler.Handle("/", newHandler(v, mustParse(t, w.resource), counted(&w.ran)))
	return w
}

// user is a client for a user, who signs in where the SDK says.
func (w *world) user(t *testing.T, transport http.RoundTripper) auth.OAuthHandler {
	t.Helper()
	handler, err := auth.NewAuthorizationCodeHandler(&auth.AuthorizationCodeHandlerConfig{
		PreregisteredClient: &oauthex.ClientCredentials{ClientID: "mcp-client"},
		RedirectURL:         "http://127.0.0.1:33333/callback",
		RequestRefreshToken: true,
		Client:              &http.Client{Transport: transport},
		AuthorizationCodeFetcher: func(ctx context.Context, args *auth.AuthorizationArgs) (*auth.AuthorizationResult, error) {
			// Logto gives a refresh token with prompt=consent only.
			back, err := w.browse(ctx, args.URL+"&prompt=consent", "http://127.0.0.1:33333/callback")
			if err != nil {
				return nil, err
			}
			return &auth.AuthorizationResult{Code: back.Get("code"), State: back.Get("state"), Iss: back.Get("iss")}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return handler
}

// browse is the browser, and the user who chooses: it gives what comes back to the
// client's callback.
func (w *world) browse(ctx context.Context, address, callback string) (url.Values, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	var back url.Values
	browser := &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), callback) {
			back = r.URL.Query()
			return http.ErrUseLastResponse
		}
		return nil
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	w.signIns = append(w.signIns, req.URL.Query())
	res, err := browser.Do(req)
	if err != nil {
		return nil, err
	}
	res.Body.Close()
	if back == nil {
		if res, err = browser.PostForm(res.Request.URL.String(), w.choice); err != nil {
			return nil, err
		}
		res.Body.Close()
	}
	switch {
	case back == nil:
		return nil, errors.New("the sign-in page answers " + res.Status)
	case back.Get("error") != "":
		return nil, errors.New("back with " + back.Get("error"))
	}
	return back, nil
}

// call connects, and calls the tool some times.
func (w *world) call(t *testing.T, handler auth.OAuthHandler, times int) ([]string, error) {
	t.Helper()
	client := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1.0.0"}, nil)
	session, err := client.Connect(t.Context(), &mcp.StreamableClientTransport{Endpoint: w.resource, OAuthHandler: handler, DisableStandaloneSSE: true}, nil)
	if err != nil {
		return nil, err
	}
	defer session.Close()
	var said []string
	for range times {
		result, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: "hello"})
		if err != nil {
			return said, err
		}
		said = append(said, result.Content[0].(*mcp.TextContent).Text)
	}
	return said, nil
}

// TestClientRefused: the SDK's client is sent to the sign-in page where that may
// help, and not again and again.
func TestClientRefused(t *testing.T) {
	for _, test := range []struct {
		name    string
		change  func(t *testing.T, w *world)
		want    string // in the error
		signIns int
	}{
		{"denied by the user", func(_ *testing.T, w *world) { w.choice = url.Values{"do": {"deny"}} }, "access_denied", 2},
		// The second time is the step up that the challenge of the 403 asks for.
		{"a user without the scope", func(_ *testing.T, w *world) { w.choice = url.Values{"user": {"bob"}} }, "Forbidden", 2},
		{"keys missing", func(t *testing.T, w *world) {
			if err := w.logto.Fault(emulator.Fault{At: "jwks"}); err != nil {
				t.Fatal(err)
			}
		}, "Service Unavailable", 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			test.change(t, w)
			said, err := w.call(t, w.user(t, forLogto{w.resource, &w.sent}), 1)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %q, %v, want an error with %q", said, err, test.want)
			}
			if len(w.signIns) != test.signIns {
				t.Errorf("%d sign-ins, want %d", len(w.signIns), test.signIns)
			}
			w.ran.Want(t, 0)
		})
	}
}

// TestSDKAlone is about what the README says of the SDK. If it fails, the SDK has
// learnt it: then forLogto and the README's words can go.
func TestSDKAlone(t *testing.T) {
	w := newWorld(t)
	if said, err := w.call(t, w.user(t, &w.sent), 1); err == nil || !strings.Contains(err.Error(), "text/html") {
		t.Errorf("discovery: got %q, %v", said, err)
	}
	w = newWorld(t)
	if said, err := w.call(t, w.machine(t, notFound{}), 1); err == nil || !strings.Contains(err.Error(), "invalid_target") {
		t.Errorf("a machine: got %q, %v", said, err)
	}
	w = newWorld(t)
	w.short(t)
	if said, err := w.call(t, w.user(t, notFound{}), 1); err == nil || !strings.Contains(err.Error(), "Unauthorized") {
		t.Errorf("refresh: got %q, %v", said, err)
	}
}

// notFound is forLogto without the resource.
type notFound struct{}

func (notFound) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasPrefix(r.URL.Path, "/.well-known/oauth-authorization-server/") || strings.HasPrefix(r.URL.Path, "/.well-known/openid-configuration/") {
		return &http.Response{StatusCode: http.StatusNotFound, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
	}
	return http.DefaultTransport.RoundTrip(r)
}

// short makes access tokens that the SDK renews before each request.
func (w *world) short(t *testing.T) {
	t.Helper()
	if err := w.logto.Control("lifetimes", map[string]int{"accessToken": 5}, nil); err != nil {
		t.Fatal(err)
	}
}

// TestClient: from the address alone, by challenge, metadata, sign-in and token, to
// the tool.
func TestClient(t *testing.T) {
	w := newWorld(t)
	said, err := w.call(t, w.user(t, forLogto{w.resource, &w.sent}), 2)
	if err != nil || !slices.Equal(said, []string{"Hello, alice!", "Hello, alice!"}) {
		t.Fatalf("got %q, %v", said, err)
	}
	w.ran.Want(t, 2)
	trail := []string{
		"GET /.well-known/oauth-protected-resource/mcp",             // by the challenge (RFC 9728)
		"GET /.well-known/oauth-authorization-server/emulator/oidc", // RFC 8414: Logto has none
		"GET /.well-known/openid-configuration/emulator/oidc",       // nor here
		"GET /emulator/oidc/.well-known/openid-configuration",       // OpenID Connect Discovery
		"POST /emulator/oidc/token",
	}
	if !slices.Equal(w.sent.lines, trail) {
		t.Errorf("sent: got %q, want %q", w.sent.lines, trail)
	}
	if len(w.signIns) != 1 || len(w.sent.forms) != 1 {
		t.Fatalf("sign-ins: %v, token requests: %v", w.signIns, w.sent.forms)
	}
	for name, want := range map[string]string{"client_id": "mcp-client", "resource": w.resource, "code_challenge_method": "S256"} {
		if got := w.signIns[0].Get(name); got != want {
			t.Errorf("authorization request: %s: got %q, want %q", name, got, want)
		}
	}
	// The SDK gives them in any order.
	if got := slices.Sorted(strings.FieldsSeq(w.signIns[0].Get("scope"))); !slices.Equal(got, []string{"offline_access", scope}) {
		t.Errorf("authorization request: scopes %q", got)
	}
	if form := w.sent.forms[0]; form.Get("resource") != w.resource || form.Get("code_verifier") == "" {
		t.Errorf("token request: got %v", form)
	}
}

// TestClientRefresh: tokens are renewed without the user.
func TestClientRefresh(t *testing.T) {
	w := newWorld(t)
	w.short(t)
	said, err := w.call(t, w.user(t, forLogto{w.resource, &w.sent}), 2)
	if err != nil || !slices.Equal(said, []string{"Hello, alice!", "Hello, alice!"}) || len(w.signIns) != 1 {
		t.Errorf("got %q, %v after %d sign-ins", said, err, len(w.signIns))
	}
	if last := w.sent.forms[len(w.sent.forms)-1]; last.Get("grant_type") != "refresh_token" || last.Get("resource") != w.resource {
		t.Errorf("last token request: got %v", last)
	}
}

// machine is a client for an application itself.
func (w *world) machine(t *testing.T, transport http.RoundTripper) auth.OAuthHandler {
	t.Helper()
	handler, err := extauth.NewClientCredentialsHandler(&extauth.ClientCredentialsHandlerConfig{
		Credentials: &oauthex.ClientCredentials{ClientID: "machine", ClientSecretAuth: &oauthex.ClientSecretAuth{ClientSecret: "machine-secret"}},
		HTTPClient:  &http.Client{Transport: transport},
	})
	if err != nil {
		t.Fatal(err)
	}
	return handler
}

func TestMachine(t *testing.T) {
	w := newWorld(t)
	if said, err := w.call(t, w.machine(t, forLogto{w.resource, &w.sent}), 1); err != nil || !slices.Equal(said, []string{"Hello, !"}) {
		t.Errorf("got %q, %v", said, err)
	}
	w.ran.Want(t, 1)
}
