// An MCP server whose tools need a Logto token. Require stands in front of the
// SDK's own check, so that an outage is a 503, the texts for the client are fixed
// and the log says what was wrong; the SDK then gets what Require has verified.
package main

import (
	"context"
	"log"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/rs/cors"

	"github.com/seed-70fe37f4/logto"
)

const (
	scope     = "read:things"
	wellKnown = "/.well-known/oauth-protected-resource"
)

func main() {
	// The resource is this server's own address, as clients have it: they ask
	// Logto for a token for it, so it is the API's identifier in the console.
	resource, err := url.Parse(os.Getenv("LOGTO_AUDIENCE"))
	if err != nil {
		log.Fatal(err)
	}
	metadata := *resource
	metadata.Path = wellKnown + resource.Path // RFC 9728 section 3.1
	v, err := logto.New(logto.Config{
		Endpoint:            os.Getenv("LOGTO_ENDPOINT"),
		Audiences:           []string{resource.String()},
		ResourceMetadataURL: metadata.String(),
	})
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Addr: "127.0.0.1:8080", Handler: newHandler(v, resource, newServer()), ReadHeaderTimeout: 5 * time.Second}
	log.Print("http://", server.Addr, "/mcp")
	log.Fatal(server.ListenAndServe())
}

func newHandler(v *logto.Verifier, resource *url.URL, server *mcp.Server) *http.ServeMux {
	tools := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server },
		&mcp.StreamableHTTPOptions{Stateless: true, JSONResponse: true})
	check := auth.RequireBearerToken(tokenInfo, &auth.RequireBearerTokenOptions{
		ClockSkew: 30 * time.Second, // as Config.Leeway: Require has looked at the time
	})
	// Clients that are pages, such as the MCP inspector. Any origin will do: no page
	// has a token by itself, as none is in a cookie. Outside of Require, for preflight
	// requests carry none.
	pages := cors.New(cors.Options{
		AllowedOrigins: []string{"*"},
		AllowedMethods: []string{http.MethodGet, http.MethodPost, http.MethodDelete},
		AllowedHeaders: []string{"*"}, // among them Mcp-Param-…, after a tool's parameters
		ExposedHeaders: []string{"WWW-Authenticate", "Retry-After", "Mcp-Session-Id"},
		MaxAge:         600,
	})
	mux := http.NewServeMux()
	metadata := v.ResourceMetadata(resource.String(), scope)
	mux.Handle(wellKnown+resource.Path, metadata) // RFC 9728 section 3.1
	if resource.Path != "" {
		mux.Handle(wellKnown, metadata) // where clients look that were given no address
	}
	mux.Handle("/mcp", pages.Handler(logto.Require(v, logto.Scopes(scope))(check(tools))))
	return mux
}

// tokenInfo is an auth.TokenVerifier that only hands on what Require has
// verified. Without Require in front it refuses everything. The SDK sends the
// text of its error to the client, so it is a fixed one.
func tokenInfo(ctx context.Context, _ string, _ *http.Request) (*auth.TokenInfo, error) {
	claims, ok := logto.FromContext(ctx)
	if !ok {
		return nil, auth.ErrInvalidToken
	}
	return &auth.TokenInfo{
		// Require has refused tokens that are bound to an organization. Without a
		// Scopes among its requirements it would not have, and these scopes would
		// prove nothing: then ask claims.HasScope or claims.HasScopeIn.
		Scopes:     claims.Scopes(),
		Expiration: claims.ExpiresAt(),
		// In a server with sessions, the SDK ties each to its user by this. So it
		// is the subject, which a machine has, too.
		UserID: claims.Subject(),
		Extra:  map[string]any{"claims": claims},
	}, nil
}

func newServer() *mcp.Server {
	server := mcp.NewServer(&mcp.Implementation{Name: "hello", Version: "1.0.0"}, nil)
	mcp.AddTool(server, &mcp.Tool{Name: "hello", Description: "Greets the user"}, hello)
	return server
}

func hello(_ context.Context, req *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, any, error) {
	claims := req.Extra.TokenInfo.Extra["claims"].(*logto.Claims)
	return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: "Hello, " + claims.UserID() + "!"}}}, nil, nil
}
