// A WebSocket that ends with the token. How a page sends one: examples/frameworks/websocket.

package recipes

import (
	"net/http"
	"time"

	"github.com/coder/websocket"

	"github.com/seed-70fe37f4/logto"
)

func socket(w http.ResponseWriter, r *http.Request) {
	claims, ok := logto.FromContext(r.Context())
	if !ok {
		http.Error(w, "this handler is not behind Require", http.StatusInternalServerError)
		return
	}
	conn, err := websocket.Accept(w, r, nil) // refuses pages of other origins
	if err != nil {
		return // Accept has answered
	}
	defer func() { _ = conn.CloseNow() }()
	expiry := time.AfterFunc(time.Until(claims.ExpiresAt()), func() {
		_ = conn.Close(websocket.StatusPolicyViolation, "the access token expired")
	})
	defer expiry.Stop()

	for { // an echo
		kind, message, err := conn.Read(r.Context())
		if err != nil || conn.Write(r.Context(), kind, message) != nil {
			return
		}
	}
}
