// What a client is told: the answer to a refused request, and by Protected Resource
// Metadata where to get a token.

package logto

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/seed-70fe37f4/logto/internal/refusal"
)

// WriteError answers a refused request: the status, the challenge (RFC 6750
// section 3) and a JSON body with error and error_description. They tell the
// client the least that it can act on. It is what [Require] does without an
// ErrorHandler, and what one can end with. An error that is none of this
// package's is answered with 500.
func WriteError(w http.ResponseWriter, r *http.Request, err error) {
	writeError(w, askedBy(r, err), err)
}

// Answer is how a refused request is answered.
type Answer struct {
	Status      int
	Header      http.Header // WWW-Authenticate, Retry-After and Cache-Control, as far as they belong to it; a new one
	Error       string      // the code, as in invalid_token (RFC 6750 section 3.1)
	Description string      // a sentence for the client, which tells nothing secret
}

// AnswerTo tells how [WriteError] would answer, for frameworks and for bodies of one's own,
// such as problem+json (RFC 9457): see the example.
func AnswerTo(r *http.Request, err error) Answer {
	reason := reasonOf(err)
	a := Answer{Status: reason.Status, Header: http.Header{}, Error: reason.Error, Description: reason.Sentence}
	refusalHeaders(a.Header, askedBy(r, err), reason, err, true)
	return a
}

// asked is what a route puts into its challenges: how they begin, and the scopes that it asks
// for.
type asked struct{ realm, scope string }

// askedBy is that of the route that refused, or else what the verifier asks for that the
// request has passed.
func askedBy(r *http.Request, err error) asked {
	if e := refusal.Of(err); e != nil && e.Realm != "" {
		return asked{e.Realm, e.Scope}
	}
	if s := fromContext(r.Context()); s != nil && s.verifier != nil {
		return asked{realm: s.verifier.challenges[""]}
	}
	return asked{realm: `Bearer realm="api"`}
}

func writeError(w http.ResponseWriter, by asked, err error) {
	reason := reasonOf(err)
	h := w.Header()
	// As http.Error does: they were meant for another answer.
	for _, name := range []string{"Content-Length", "Content-Encoding", "Etag", "Last-Modified"} {
		h.Del(name)
	}
	h.Set("Content-Type", "application/json")
	refusalHeaders(h, by, reason, err, true)
	w.WriteHeader(reason.Status)
	// The client may have gone; there is nobody to tell.
	_, _ = io.WriteString(w, `{"error":"`+reason.Error+`","error_description":"`+reason.Sentence+"\"}\n")
}

// retryAfter is in whole seconds, and not before asking again may help.
func retryAfter(err error) string {
	wait := time.Second
	if e := refusal.Of(err); e != nil {
		wait = max(wait, e.RetryAfter)
	}
	return strconv.Itoa(int((wait + time.Second - 1) / time.Second))
}

// refusalHeaders sets the header fields that belong to a refusal, whatever its body: all,
// or those that aren't there.
func refusalHeaders(h http.Header, by asked, reason *refusal.Reason, err error, all bool) {
	set := func(name, value string) {
		if all || h.Get(name) == "" {
			h.Set(name, value)
		}
	}
	if challenge := challengeFor(by, reason); challenge != "" {
		set("WWW-Authenticate", challenge)
	}
	if reason.Status == http.StatusServiceUnavailable {
		set("Retry-After", retryAfter(err))
	}
	set("Cache-Control", "no-store")
}

func challengeFor(by asked, reason *refusal.Reason) string {
	challenge := by.realm
	switch reason.Challenge {
	case refusal.NoChallenge:
		return ""
	case refusal.WithDescription:
		challenge += `, error="` + reason.Error + `", error_description="` + reason.Sentence + `"`
	case refusal.WithError:
		challenge += `, error="` + reason.Error + `"`
	}
	// Whoever gets a new token learns which scopes to ask for with it.
	if by.scope != "" && reason.Status != http.StatusBadRequest {
		challenge += `, scope="` + by.scope + `"`
	}
	return challenge
}

// answerWriter is what an ErrorHandler writes to. An answer is a final status, a body,
// or a connection that was taken over. net/http would take all else for a 200: silence,
// a 1xx, a Flush, a Write of nothing, and also a body without a status, which here gets
// the refusal's status. What has that status has the header fields that belong to it.
type answerWriter struct {
	http.ResponseWriter
	by    asked
	err   error
	begun bool
}

// WriteHeader passes no 1xx on: who records the first status, as http.TimeoutHandler
// does, would answer 200.
func (w *answerWriter) WriteHeader(status int) {
	if status >= 200 || status == http.StatusSwitchingProtocols {
		if reason := reasonOf(w.err); status == reason.Status && !w.begun {
			refusalHeaders(w.Header(), w.by, reason, w.err, false)
		}
		w.ResponseWriter.WriteHeader(status)
		w.begun = true
	}
}

func (w *answerWriter) Write(p []byte) (int, error) {
	if !w.begun {
		if len(p) == 0 {
			return 0, nil
		}
		w.WriteHeader(reasonOf(w.err).Status)
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap is for the methods of http.ResponseController that set something. What is
// written beside this writer is not seen.
func (w *answerWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Flush is FlushError, for an http.Flusher.
func (w *answerWriter) Flush() { _ = w.FlushError() }

// FlushError has nothing to do before an answer begins.
func (w *answerWriter) FlushError() error {
	if !w.begun {
		return nil
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Hijack takes over the connection, which whoever did it answers.
func (w *answerWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buf, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err == nil {
		w.begun = true
	}
	return conn, buf, err
}

// ResourceMetadata serves Protected Resource Metadata (RFC 9728) of one of the Audiences: the
// resource, its authorization servers (the issuers of each [Config] that has this audience),
// how it takes tokens, and the scopes given here. Clients that don't know the API, MCP
// clients above all, learn from it where to get a token. Serve it, open to
// everybody, at /.well-known/oauth-protected-resource followed by the path of the
// resource, if it has one (RFC 9728 section 3.1), and put that address into
// Config.ResourceMetadataURL. For several resources on one host see [Audience].
//
// ResourceMetadata panics if the audience is none of the configuration's or a scope can't
// be one.
func (v *Verifier) ResourceMetadata(audience string, scopes ...string) http.Handler {
	var servers []string
	for _, t := range v.tenants {
		if slices.Contains(t.cfg.Audiences, audience) {
			servers = append(servers, t.cfg.Issuers...)
		}
	}
	if servers == nil {
		panic(fmt.Sprintf("logto: ResourceMetadata(%q): Config.Audiences has no such audience", audience))
	}
	if len(scopes) > 0 {
		scopes = mustScopes(scopes)
	}
	methods := []string{"header"}
	if v.cfg.TokenFrom != nil {
		methods = nil // who knows
	}
	document, err := json.Marshal(struct {
		Resource string   `json:"resource"`
		Servers  []string `json:"authorization_servers"`
		Scopes   []string `json:"scopes_supported,omitempty"`
		Methods  []string `json:"bearer_methods_supported,omitempty"`
	}{audience, servers, scopes, methods})
	if err != nil {
		panic(err) // not for strings
	}
	text := string(document) // a writer is given a copy each
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		// Nothing in it is secret, and browsers read it from anywhere.
		h.Set("Access-Control-Allow-Origin", "*")
		switch r.Method {
		case http.MethodGet, http.MethodHead:
			h.Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, text)
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
