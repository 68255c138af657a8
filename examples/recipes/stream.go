// Server-sent events that end with the token: when it expires, or is taken back.

package recipes

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/revocation"
)

func stream(list *revocation.List, news <-chan string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		claims, ok := logto.FromContext(r.Context())
		if !ok {
			http.Error(w, "this handler is not behind Require", http.StatusInternalServerError)
			return
		}
		ctx, cancel := context.WithDeadline(r.Context(), claims.ExpiresAt())
		defer cancel()
		every := time.NewTicker(15 * time.Second)
		defer every.Stop()

		rc := http.NewResponseController(w)
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("Cache-Control", "no-store")
		text := ": hello\n\n"
		for ctx.Err() == nil && list.Check(claims) == nil {
			// In place of the server's WriteTimeout, and for a client that reads no more.
			_ = rc.SetWriteDeadline(time.Now().Add(10 * time.Second))
			if _, err := io.WriteString(w, text); err != nil || rc.Flush() != nil {
				return
			}
			select {
			case <-ctx.Done():
			case <-every.C:
				text = ": still here\n\n"
			case s, more := <-news: // each is one line
				if !more {
					return
				}
				text = "data: " + s + "\n\n"
			}
		}
	})
}
