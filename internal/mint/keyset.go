package mint

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// KeySet is the JWK Set of the keys, as Logto publishes it.
func KeySet(keys []*Key) string {
	jwks := []map[string]any{}
	for _, k := range keys {
		jwks = append(jwks, k.JWK())
	}
	b, err := json.Marshal(map[string]any{"keys": jwks})
	if err != nil {
		panic(err) // strings only
	}
	return string(b)
}

// ServeKeySet answers a request for a key set with the header fields of Logto, and
// with 304 who has it.
func ServeKeySet(w http.ResponseWriter, r *http.Request, set string) {
	etag := fmt.Sprintf(`"%x"`, sha256.Sum256([]byte(set)))
	w.Header().Set("Content-Type", "application/jwk-set+json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache, max-age=0, must-revalidate")
	w.Header().Set("ETag", etag)
	if has(r, etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	_, _ = w.Write([]byte(set))
}

// has tells whether the client has what the tag is of (RFC 9110 section 13.1.2): a
// proxy that compresses makes a tag weak.
func has(r *http.Request, etag string) bool {
	for _, line := range r.Header.Values("If-None-Match") {
		for tag := range strings.SplitSeq(line, ",") {
			if tag = strings.TrimSpace(tag); tag == "*" || strings.TrimPrefix(tag, "W/") == etag {
				return true
			}
		}
	}
	return false
}
