package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/modelcontextprotocol/go-sdk/oauthex"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/examples/frameworks/internal/contract"
	"github.com/seed-70fe37f4/logto/logtotest"
)

const callHello = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"hello","arguments":{}}}`

// counted is newServer with a count of the messages that reach it.
func counted(ran *contract.Ran) *mcp.Server {
	server := newServer()
	server.AddReceivingMiddleware(func(next mcp.MethodHandler) mcp.MethodHandler {
		return func(ctx context.Context, method string, req mcp.Request) (mcp.Result, error) {
			if method == "tools/call" {
				ran.CountMiddleware()
				ran.Greet("")
			}
			return next(ctx, method, req)
		}
	})
	return server
}

func TestContract(t *testing.T) {
	contract.Run(t, []string{contract.Chain}, func(t *testing.T, v *logto.Verifier, ran *contract.Ran) contract.Send {
		url := contract.Serve(t, newHandler(v, mustParse(t, logtotest.Audience), counted(ran)))
		return func(t *testing.T, c contract.Case, _ string) (int, string) {
			res, body := post(t, url, c.Authorization)
			contract.CheckHeader(t, c, res.Header)
			if c.Status != 200 {
				var refusal struct{ Error string }
				if err := json.Unmarshal(body, &refusal); err != nil || c.Error != "" && refusal.Error != c.Error {
					t.Errorf("body: got %q, want error %q", body, c.Error)
				}
				return res.StatusCode, ""
			}
			var answer struct {
				Result struct{ Content []struct{ Text string } }
			}
			if err := json.Unmarshal(body, &answer); err != nil || len(answer.Result.Content) != 1 {
				t.Errorf("body: got %q, %v", body, err)
				return res.StatusCode, ""
			}
			return res.StatusCode, answer.Result.Content[0].Text
		}
	})
}

func mustParse(t *testing.T, address string) *url.URL {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func post(t *testing.T, url string, authorization []string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "POST", url+"/mcp", strings.NewReader(callHello))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{
		"Authorization": authorization,
		"Content-Type":  {"application/json"},
		"Accept":        {"application/json, text/event-stream"},
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, body
}

// TestMetadata: a refused client finds the metadata by the challenge, or where it
// looks without one, and learns from it where to get which token.
func TestMetadata(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	handler := http.NewServeMux()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	resource := server.URL + "/mcp"
	cfg := issuer.Config(resource)
	cfg.ResourceMetadataURL = server.URL + wellKnown + "/mcp"
	v, err := logto.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	handler.Handle("/", newHandler(v, mustParse(t, resource), newServer()))

	lacking := issuer.Token(logtotest.Token{Audience: resource})
	for status, authorization := range map[int][]string{401: nil, 403: {"Bearer " + lacking}} {
		res, _ := post(t, server.URL, authorization)
		challenges, err := oauthex.ParseWWWAuthenticate(res.Header.Values("WWW-Authenticate"))
		if err != nil || len(challenges) != 1 || res.StatusCode != status {
			t.Fatalf("challenge of %d, want %d: %v, %v", res.StatusCode, status, challenges, err)
		}
		for name, want := range map[string]string{"resource_metadata": cfg.ResourceMetadataURL, "scope": scope} {
			if got := challenges[0].Params[name]; got != want {
				t.Errorf("challenge of %d: %s: got %q, want %q", status, name, got, want)
			}
		}
	}
	for _, address := range []string{cfg.ResourceMetadataURL, server.URL + wellKnown} {
		metadata, err := oauthex.GetProtectedResourceMetadata(t.Context(), address, resource, http.DefaultClient)
		if err != nil {
			t.Fatal(err)
		}
		if want := []string{issuer.Endpoint() + "/oidc"}; !slices.Equal(metadata.AuthorizationServers, want) {
			t.Errorf("%s: authorization servers: got %q, want %q", address, metadata.AuthorizationServers, want)
		}
		if want := []string{scope}; !slices.Equal(metadata.ScopesSupported, want) {
			t.Errorf("%s: scopes: got %q, want %q", address, metadata.ScopesSupported, want)
		}
	}
}

// TestPages: a client that is a page, such as the MCP inspector, of any origin, asks
// by preflight, and can read challenge and metadata.
func TestPages(t *testing.T) {
	const origin, asked, allow = "https://inspector.example.test", "Access-Control-Request-", "Access-Control-Allow-"
	issuer := logtotest.NewIssuer(t)
	cfg := issuer.Config("https://mcp.example.test/mcp")
	v, err := logto.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	handler := newHandler(v, mustParse(t, cfg.Audiences[0]), newServer())
	headers := "authorization,content-type,mcp-method,mcp-name,mcp-param-city,mcp-protocol-version,mcp-session-id"
	for _, test := range []struct {
		name, method, path string
		header             map[string]string
		status             int
		want               map[string]string
	}{
		{"refused", "POST", "/mcp", nil, 401, map[string]string{allow + "Origin": "*",
			"Access-Control-Expose-Headers": "Www-Authenticate, Retry-After, Mcp-Session-Id"}},
		{"preflight", "OPTIONS", "/mcp", map[string]string{asked + "Method": "POST", asked + "Headers": headers}, 204,
			map[string]string{allow + "Origin": "*", allow + "Methods": "POST", allow + "Headers": headers, allow + "Credentials": ""}},
		{"preflight of a session's end", "OPTIONS", "/mcp", map[string]string{asked + "Method": "DELETE"}, 204, map[string]string{allow + "Methods": "DELETE"}},
		{"metadata", "GET", wellKnown + "/mcp", nil, 200, map[string]string{allow + "Origin": "*"}},
		{"metadata at the root", "GET", wellKnown, nil, 200, map[string]string{allow + "Origin": "*"}},
		{"preflight of the metadata", "OPTIONS", wellKnown + "/mcp", map[string]string{asked + "Method": "GET", asked + "Headers": "mcp-protocol-version"}, 204,
			map[string]string{allow + "Origin": "*", allow + "Headers": "*"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := httptest.NewRequest(test.method, "https://mcp.example.test"+test.path, nil)
			r.Header.Set("Origin", origin)
			for name, value := range test.header {
				r.Header.Set(name, value)
			}
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			if w.Code != test.status {
				t.Errorf("status: got %d, want %d", w.Code, test.status)
			}
			for name, want := range test.want {
				if got := strings.Join(w.Header().Values(name), "|"); got != want {
					t.Errorf("%s: got %q, want %q", name, got, want)
				}
			}
		})
	}
}

// TestTokenInfo is about what the SDK learns, and that it learns nothing from a
// request that Require has not seen.
func TestTokenInfo(t *testing.T) {
	if info, err := tokenInfo(t.Context(), "token", nil); info != nil || err != auth.ErrInvalidToken {
		t.Errorf("without Require: got %v, %v", info, err)
	}
	issuer := logtotest.NewIssuer(t)
	for _, test := range []struct {
		name, want string
		token      logtotest.Token
	}{
		{"user", "alice", logtotest.Token{User: "alice", Scopes: []string{scope}}},
		{"machine", "robot", logtotest.Token{Machine: true, ClientID: "robot", Scopes: []string{scope}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			info, err := tokenInfo(issuer.Context(t.Context(), test.token), "", nil)
			if err != nil {
				t.Fatal(err)
			}
			if info.UserID != test.want || !slices.Equal(info.Scopes, []string{scope}) {
				t.Errorf("got user %q, scopes %q", info.UserID, info.Scopes)
			}
			if left := time.Until(info.Expiration); left < 59*time.Minute || left > time.Hour {
				t.Errorf("expires in %v, want an hour", left)
			}
		})
	}
}

// TestLeeway: the SDK must not be stricter about the time than Require, as its
// answer has no challenge.
func TestLeeway(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	v, err := logto.New(issuer.Config())
	if err != nil {
		t.Fatal(err)
	}
	url := contract.Serve(t, newHandler(v, mustParse(t, logtotest.Audience), newServer()))
	res, body := post(t, url, []string{"Bearer " + issuer.Token(logtotest.Token{Scopes: []string{scope}, ExpiresIn: -10 * time.Second})})
	if res.StatusCode != 200 {
		t.Errorf("got %d %q, want 200", res.StatusCode, body)
	}
}
