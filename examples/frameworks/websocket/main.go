// A WebSocket whose handshake needs a token: Require answers it as any request,
// before there is a connection.
package main

import (
	"log"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/seed-70fe37f4/logto"
)

func main() {
	v, err := logto.New(logto.Config{
		Endpoint:  os.Getenv("LOGTO_ENDPOINT"),
		Audiences: []string{os.Getenv("LOGTO_AUDIENCE")},
	})
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Addr: "127.0.0.1:8080", Handler: newHandler(v), ReadHeaderTimeout: 5 * time.Second}
	log.Print("ws://", server.Addr, "/api/hello")
	log.Fatal(server.ListenAndServe())
}

func newHandler(v *logto.Verifier) *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle("GET /api/hello", tokenFromProtocol(logto.Require(v)(http.HandlerFunc(hello))))
	mux.Handle("GET /api/things", tokenFromProtocol(logto.Require(v, logto.Scopes("read:things"))(http.HandlerFunc(hello))))
	return mux
}

// A page can't set headers of a handshake, but it can offer subprotocols:
//
//	new WebSocket(url, ["hello", "bearer." + accessToken])
//
// tokenFromProtocol makes an Authorization header of each bearer.…, so that
// Require sees them all and refuses more than one, and hides it from what
// follows: the server must not choose it, as the answer would repeat it. Logs of
// a proxy may show this header; a URL, they show always, so no token there. (A
// token in the first message would be in no log, but then everybody can open
// connections.)
func tokenFromProtocol(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = r.Clone(r.Context())
		var others []string
		for _, line := range r.Header.Values("Sec-WebSocket-Protocol") {
			for protocol := range strings.SplitSeq(line, ",") {
				protocol = strings.TrimSpace(protocol)
				if token, ok := strings.CutPrefix(protocol, "bearer."); ok {
					r.Header.Add("Authorization", "Bearer "+token)
				} else {
					others = append(others, protocol)
				}
			}
		}
		r.Header.Del("Sec-WebSocket-Protocol")
		if len(others) > 0 {
			r.Header.Set("Sec-WebSocket-Protocol", strings.Join(others, ", "))
		}
		next.ServeHTTP(w, r)
	})
}

// hello greets and then repeats what it gets, until the token expires: a
// connection can outlive its token by days, if nobody ends it.
func hello(w http.ResponseWriter, r *http.Request) {
	claims, ok := logto.FromContext(r.Context())
	if !ok {
		http.Error(w, "Require is missing", http.StatusInternalServerError)
		return
	}
	// Accept refuses pages of other origins, unless OriginPatterns has them.
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"hello"}})
	if err != nil {
		return // Accept has answered
	}
	defer func() { _ = conn.CloseNow() }()
	expiry := time.AfterFunc(time.Until(claims.ExpiresAt()), func() {
		_ = conn.Close(websocket.StatusPolicyViolation, "the access token expired")
	})
	defer expiry.Stop()

	kind, message := websocket.MessageText, []byte("Hello, "+claims.UserID()+"!")
	for {
		if err := conn.Write(r.Context(), kind, message); err != nil {
			return
		}
		if kind, message, err = conn.Read(r.Context()); err != nil {
			return
		}
	}
}
