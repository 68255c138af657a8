// One route, two kinds of credential: an API key of the service's own, or a token.

package recipes

import (
	"context"
	"crypto/sha256"
	"net/http"

	"github.com/seed-70fe37f4/logto"
)

// keyOwners are by the SHA-256 of the key: the keys themselves stand nowhere.
type keyOwners map[[sha256.Size]byte]string

type ownerKey struct{}

// caller is the user of a token, or the owner of an API key.
func caller(ctx context.Context) string {
	if owner, ok := ctx.Value(ownerKey{}).(string); ok {
		return "key of " + owner
	}
	return "user " + logto.UserID(ctx)
}

func keyOrToken(keys keyOwners, v *logto.Verifier, reqs ...logto.Requirement) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		withToken := logto.Require(v, reqs...)(next)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Add("Vary", "X-Api-Key") // a shared cache knows of Authorization alone
			sent := r.Header.Values("X-Api-Key")
			if len(sent) == 0 {
				withToken.ServeHTTP(w, r)
				return
			}
			if len(sent) > 1 || len(r.Header.Values("Authorization")) > 0 {
				http.Error(w, "send one credential", http.StatusBadRequest)
				return
			}
			owner, ok := keys[sha256.Sum256([]byte(sent[0]))]
			if !ok {
				logto.WriteError(w, r, logto.ErrNoToken) // 401, and no second try with the token
				return
			}
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), ownerKey{}, owner)))
		})
	}
}
