package recipes

import (
	"testing"

	"github.com/seed-70fe37f4/logto/logtotest"
)

func TestMetadata(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	h, err := withMetadata(issuer.Config())
	if err != nil {
		t.Fatal(err)
	}
	const metadata = "https://api.example.com/.well-known/oauth-protected-resource"
	challenge := func(url, more string) map[string]string {
		return map[string]string{"WWW-Authenticate": realm + `, resource_metadata="` + url + `"` + more + `, scope="read:things"`}
	}
	of := func(resource string) logtotest.Token {
		return logtotest.Token{User: "alice", Audience: resource, Scopes: []string{"read:things"}}
	}
	const invalid = `, error="invalid_token"`
	document := func(resource string) string {
		return `{"resource":"` + resource + `","authorization_servers":["https://logto.example.test/oidc"],"scopes_supported":["read:things"],"bearer_methods_supported":["header"]}`
	}
	expect(t, h, []expectation{
		{"API, no token", "GET", "/api/things", nil, 401, challenge(metadata, ""), ""},
		{"MCP, no token", "POST", "/mcp", nil, 401, challenge(metadata+"/mcp", ""), ""},
		{"API, a token of the other", "GET", "/api/things", bearer(issuer, of("https://api.example.com/mcp")), 401, challenge(metadata, invalid), ""},
		{"MCP, a token of the other", "POST", "/mcp", bearer(issuer, of("https://api.example.com")), 401, challenge(metadata+"/mcp", invalid), ""},
		{"API", "GET", "/api/things", bearer(issuer, of("https://api.example.com")), 200, nil, "Hello, alice!"},
		{"MCP", "POST", "/mcp", bearer(issuer, of("https://api.example.com/mcp")), 200, nil, "Hello, alice!"},
		{"API's metadata", "GET", "/.well-known/oauth-protected-resource", nil, 200, nil, document("https://api.example.com")},
		{"MCP's metadata", "GET", "/.well-known/oauth-protected-resource/mcp", nil, 200, nil, document("https://api.example.com/mcp")},
	})
}
