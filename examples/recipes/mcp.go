// Where clients that don't know the API get a token (RFC 9728).

package recipes

import (
	"net/http"

	"github.com/seed-70fe37f4/logto"
)

func withMetadata(cfg logto.Config) (http.Handler, error) {
	cfg.Audiences = []string{"https://api.example.com", "https://api.example.com/mcp"}
	cfg.ResourceMetadataURL = "https://api.example.com/.well-known/oauth-protected-resource"

	v, err := logto.New(cfg)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()

	mux.Handle("/.well-known/oauth-protected-resource", v.ResourceMetadata("https://api.example.com", "read:things"))
	mux.Handle("/.well-known/oauth-protected-resource/mcp", v.ResourceMetadata("https://api.example.com/mcp", "read:things"))
	mux.Handle("GET /api/things", logto.Require(v, logto.Audience("https://api.example.com"), logto.Scopes("read:things"))(hello))
	mux.Handle("/mcp", logto.Require(v, logto.Audience("https://api.example.com/mcp"), logto.Scopes("read:things"))(hello))

	return mux, nil
}
