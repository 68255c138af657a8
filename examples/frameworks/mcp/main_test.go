package main

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
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

// bearer adds a token to requests.
type bearer string

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+string(b))
	return http.DefaultTransport.RoundTrip(r)
}

// TestClient goes the way of an MCP client that knows nothing but the address:
// from the challenge to the metadata, and with a token to the tool.
func TestClient(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	handler := http.NewServeMux()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	resource := server.URL + "/mcp"
	cfg := issuer.Config(resource)
	cfg.Logger = slog.New(slog.DiscardHandler)
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
		if err != nil || len(challenges) != 1 || challenges[0].Params["resource_metadata"] != cfg.ResourceMetadataURL {
			t.Errorf("challenge of %d: got %v, %v, want resource_metadata %s", status, challenges, err, cfg.ResourceMetadataURL)
		}
	}
	metadata, err := oauthex.GetProtectedResourceMetadata(t.Context(), cfg.ResourceMetadataURL, resource, http.DefaultClient)
	if err != nil {
		t.Fatal(err)
	}
	// Clients that were given no address look at the root, too.
	if root, err := oauthex.GetProtectedResourceMetadata(t.Context(), server.URL+wellKnown, resource, http.DefaultClient); err != nil || root.Resource != resource {
		t.Errorf("at the root: %v, %v", root, err)
	}
	if want := []string{issuer.Endpoint() + "/oidc"}; !slices.Equal(metadata.AuthorizationServers, want) {
		t.Errorf("authorization servers: got %q, want %q", metadata.AuthorizationServers, want)
	}
	if want := []string{scope}; !slices.Equal(metadata.ScopesSupported, want) {
		t.Errorf("scopes: got %q, want %q", metadata.ScopesSupported, want)
	}

	token := issuer.Token(logtotest.Token{User: "alice", Audience: metadata.Resource, Scopes: metadata.ScopesSupported})
	client := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1.0.0"}, nil)
	session, err := client.Connect(t.Context(), &mcp.StreamableClientTransport{
		Endpoint: resource, HTTPClient: &http.Client{Transport: bearer(token)}, DisableStandaloneSSE: true,
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	result, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: "hello"})
	if err != nil {
		t.Fatal(err)
	}
	if text, ok := result.Content[0].(*mcp.TextContent); !ok || text.Text != "Hello, alice!" {
		t.Errorf("said: got %v", result.Content[0])
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
