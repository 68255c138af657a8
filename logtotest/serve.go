package logtotest

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/seed-70fe37f4/logto/internal/mint"
)

// ServeHTTP serves the key set and the discovery document under /oidc, and for
// all else the page that a real Logto serves there.
func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/oidc/jwks":
		i.mu.Lock()
		i.fetches++
		fault := i.fault
		i.mu.Unlock()
		if fault != nil {
			fault.ServeHTTP(w, r)
			return
		}
		mint.ServeKeySet(w, r, i.KeySet())
	case "/oidc/.well-known/openid-configuration":
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		_ = json.NewEncoder(w).Encode(map[string]any{
			"issuer": i.endpoint + "/oidc",
			// As in Logto, it follows the request, the issuer doesn't.
			"jwks_uri":                              "http://" + r.Host + "/oidc/jwks",
			"authorization_endpoint":                i.endpoint + "/oidc/auth",
			"token_endpoint":                        i.endpoint + "/oidc/token",
			"response_types_supported":              []string{"code"},
			"subject_types_supported":               []string{"public"},
			"id_token_signing_alg_values_supported": []string{"ES384"},
		})
	default:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte("<!doctype html><title>Logto</title>"))
	}
}

// Status answers with the given status.
func Status(code int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, http.StatusText(code), code) })
}

// Body answers 200 with the given body.
func Body(contentType, body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write([]byte(body))
	})
}

// Hang answers nothing until the client goes away.
func Hang() http.Handler {
	return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
}

// HangInBody answers 200, a part of a key set, and then nothing.
func HangInBody() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(`{"keys":[`))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
}

// Drip answers one byte of white space a second.
func Drip() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for {
			_, _ = w.Write([]byte(" "))
			_ = http.NewResponseController(w).Flush()
			select {
			case <-r.Context().Done():
				return
			case <-time.After(time.Second):
			}
		}
	})
}

// Cut breaks the connection in the middle of the answer.
func Cut() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write([]byte(`{"keys":[`))
		panic(http.ErrAbortHandler)
	})
}
