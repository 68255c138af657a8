package logto

import (
	"encoding/json"
	"net/http"
)

// ResourceMetadata serves this API's Protected Resource Metadata (RFC 9728): the
// resource (Config.Audiences[0]), its authorization servers (the issuers), how it
// takes tokens, and the scopes given here. Clients that don't know the API, MCP
// clients above all, learn from it where to get a token. Serve it, open to
// everybody, at /.well-known/oauth-protected-resource followed by the path of the
// resource, if it has one (RFC 9728 section 3.1), and put that address into
// Config.ResourceMetadataURL.
//
// ResourceMetadata panics if the configuration has no Audiences or a scope can't
// be one.
func (v *Verifier) ResourceMetadata(scopes ...string) http.Handler {
	if len(v.cfg.Audiences) == 0 {
		panic("logto: ResourceMetadata needs Config.Audiences")
	}
	if len(scopes) > 0 {
		scopes = checkScopes(scopes)
	}
	document, err := json.Marshal(struct {
		Resource string   `json:"resource"`
		Servers  []string `json:"authorization_servers"`
		Scopes   []string `json:"scopes_supported,omitempty"`
		Methods  []string `json:"bearer_methods_supported"`
	}{v.cfg.Audiences[0], v.cfg.Issuers, scopes, []string{"header"}})
	if err != nil {
		panic(err) // not for strings
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		// Nothing in it is secret, and browsers read it from anywhere.
		h.Set("Access-Control-Allow-Origin", "*")
		switch r.Method {
		case http.MethodGet, http.MethodHead:
			h.Set("Content-Type", "application/json")
			_, _ = w.Write(document)
		case http.MethodOptions:
			h.Set("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
			h.Set("Access-Control-Allow-Headers", "*")
			w.WriteHeader(http.StatusNoContent)
		default:
			h.Set("Allow", "GET, HEAD, OPTIONS")
			w.WriteHeader(http.StatusMethodNotAllowed)
		}
	})
}
