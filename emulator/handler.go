package emulator

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/seed-70fe37f4/logto/internal/mint"
	"github.com/seed-70fe37f4/logto/internal/policy"
)

const maxBody = 1 << 20

// ServeHTTP serves the provider below /oidc of the endpoint, and beside it /sign-in,
// /control and /healthz.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Server", "logto-emulator")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "strict-origin-when-cross-origin")
	if !s.mayHost(r.Host) || s.proxied(r) {
		// A page of the internet that lets its own name point to this machine, or a
		// proxy that lets the internet in.
		http.Error(w, "emulator: it is asked from elsewhere than this machine: by a host, or through a proxy, that is not loopback. For a network that you trust there is -insecure-host", http.StatusMisdirectedRequest)
		return
	}
	// Read now: whoever is slow to send it must not hold the lock.
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, "emulator: the body is too large, or broken", http.StatusRequestEntityTooLarge)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	path, below := strings.CutPrefix(r.URL.Path, s.base)
	if !below || path != "" && path[0] != '/' {
		path, below = r.URL.Path, false
	}
	switch {
	case path == "/healthz":
		h.Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte("ok\n"))
	case path == "" || path == "/" || path == "/control/":
		http.Redirect(w, r, s.base+"/control", http.StatusSeeOther)
	case path == "/oidc" || strings.HasPrefix(path, "/oidc/"):
		if !below {
			http.Error(w, "emulator: the endpoint is "+s.endpoint+" and so the issuer "+s.issuer(), http.StatusNotFound)
			return
		}
		s.serveOIDC(w, r, strings.TrimPrefix(path, "/oidc"))
	case path == "/sign-in":
		s.serveSignIn(w, r)
	case path == "/control" || strings.HasPrefix(path, "/control/"):
		s.serveControl(w, r, strings.TrimPrefix(strings.TrimPrefix(path, "/control"), "/"))
	default:
		// As a Logto does, for whatever it doesn't know.
		h.Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte("<!doctype html><title>Logto emulator</title>"))
	}
}

// mayHost refuses DNS rebinding. An address, unlike a name, can't be rebound: so where
// other hosts than loopback are wanted any address will do.
func (s *Server) mayHost(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.Trim(name, "[]")
	if policy.IsLoopback(name) || names(s.hosts, name) {
		return true
	}
	_, err := netip.ParseAddr(name)
	return err == nil && len(s.hosts) > 0
}

// proxied tells whether a proxy serves others than this machine: many of them ask by
// the address that they are told, which is loopback, and only say what they were asked by.
func (s *Server) proxied(r *http.Request) bool {
	for _, host := range valuesOf(r, "X-Forwarded-Host") {
		if !s.mayHost(host) {
			return true
		}
	}
	if len(s.hosts) > 0 {
		return false
	}
	for _, address := range append(valuesOf(r, "X-Forwarded-For"), valuesOf(r, "X-Real-Ip")...) {
		if h, _, err := net.SplitHostPort(address); err == nil {
			address = h
		}
		if !policy.IsLoopback(strings.Trim(address, "[]")) {
			return true
		}
	}
	return false
}

// valuesOf are the elements of a header field that is a list.
func valuesOf(r *http.Request, name string) []string {
	var all []string
	for _, line := range r.Header.Values(name) {
		for value := range strings.SplitSeq(line, ",") {
			if value = strings.TrimSpace(value); value != "" {
				all = append(all, value)
			}
		}
	}
	return all
}

func names(hosts []string, host string) bool {
	return slices.ContainsFunc(hosts, func(h string) bool { return strings.EqualFold(h, host) })
}

// An endpoint of the provider, called with the lock held.
type endpoint struct {
	name    string // for faults
	methods string
	open    bool // to pages of any origin
	serve   func(s *Server, r *http.Request) (reply, error)
}

// A reply is written when the lock is free again.
type reply struct {
	body  any // JSON
	write func(w http.ResponseWriter, r *http.Request)
	note  string // for the journal
}

var endpoints = map[string]endpoint{
	"/.well-known/openid-configuration": {"discovery", "GET, HEAD", true, (*Server).discovery},
	"/jwks":                             {"jwks", "GET, HEAD", true, (*Server).jwks},
	"/auth":                             {"auth", "GET, HEAD, POST", false, (*Server).authorize},
	"/token":                            {"token", "POST", false, (*Server).token},
	"/token/revocation":                 {"revocation", "POST", false, (*Server).revocation},
	"/token/introspection":              {"introspection", "POST", false, (*Server).introspection},
	"/me":                               {"userinfo", "GET, POST", false, (*Server).userinfo},
	"/session/end":                      {"end_session", "GET, HEAD, POST", false, (*Server).endSession},
}

func (s *Server) serveOIDC(w http.ResponseWriter, r *http.Request, path string) {
	e, ok := endpoints[path]
	if !ok {
		(&oauthError{status: http.StatusNotFound, code: "invalid_request", description: "unrecognized route or not allowed method (" + r.Method + " on /oidc" + path + ")"}).write(w, r)
		return
	}
	s.cors(w, r, e)
	if r.Method == http.MethodOptions {
		w.Header().Set("Allow", e.methods+", OPTIONS")
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if !strings.Contains(", "+e.methods+", ", ", "+r.Method+", ") {
		w.Header().Set("Allow", e.methods+", OPTIONS")
		(&oauthError{status: http.StatusMethodNotAllowed, code: "invalid_request", description: "unrecognized route or not allowed method (" + r.Method + " on /oidc" + path + ")"}).write(w, r)
		return
	}
	// The clock that is wrong is the whole machine's.
	s.mu.Lock()
	w.Header().Set("Date", s.now().UTC().Format(http.TimeFormat))
	s.mu.Unlock()
	entry := call{Time: time.Now(), Method: r.Method, Endpoint: e.name}
	if s.faulty(w, r, e.name, &entry) { // inside of CORS, so that a page sees the status
		return
	}
	answer, refused := s.answer(e, r, entry)
	switch {
	case refused != nil && (e.name == "auth" || e.name == "end_session"):
		s.showError(w, r, refused)
	case refused != nil:
		refused.write(w, r)
	case answer.write != nil:
		answer.write(w, r)
	default:
		writeJSON(w, http.StatusOK, answer.body)
	}
}

// answer calls an endpoint with the lock held.
func (s *Server) answer(e endpoint, r *http.Request, entry call) (reply, *oauthError) {
	s.lock()
	defer s.unlock()
	answer, err := e.serve(s, r)
	entry.Client, entry.Note, entry.Status = r.FormValue("client_id"), answer.note, http.StatusOK
	if id, _, ok := r.BasicAuth(); ok && entry.Client == "" {
		entry.Client = id
	}
	var refused *oauthError
	if err != nil {
		refused = asOAuthError(err)
		entry.Status, entry.Note = refused.status, refused.Error()
	}
	s.log.call(entry)
	return answer, refused
}

// cors lets pages of registered origins in, as Logto does, and of any where nothing is
// secret.
func (s *Server) cors(w http.ResponseWriter, r *http.Request, e endpoint) {
	h := w.Header()
	h.Add("Vary", "Origin")
	origin := r.Header.Get("Origin")
	switch {
	case e.open:
		h.Set("Access-Control-Allow-Origin", "*")
	case origin == "" || !s.knowsOrigin(origin):
		return
	default:
		h.Set("Access-Control-Allow-Origin", origin)
	}
	h.Set("Access-Control-Expose-Headers", "WWW-Authenticate, Date, Retry-After")
	if r.Method == http.MethodOptions {
		h.Set("Access-Control-Allow-Methods", e.methods)
		h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, DPoP")
		h.Set("Access-Control-Max-Age", "3600")
	}
}

func (s *Server) knowsOrigin(origin string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.tenant.Applications {
		if a.allowsOrigin(origin) {
			return true
		}
	}
	return false
}

// checkOrigin refuses a page of another application, as Logto does: without it, whatever
// page the developer looks at could send requests whose answers it may not read.
func (s *Server) checkOrigin(r *http.Request, client *application) error {
	origin := r.Header.Get("Origin")
	if origin == "" || client.allowsOrigin(origin) || s.isOwn(origin, r) {
		return nil
	}
	return badRequest("invalid_request", "origin "+origin+" not allowed for client: "+client.ID)
}

// fromElsewhere tells whether a page of another site has sent the browser here, to begin
// a session in the developer's name, if only by an image. A browser says so in
// Sec-Fetch-Site, and by its Referer, which a page can leave out and not make up.
func (s *Server) fromElsewhere(r *http.Request, client *application) bool {
	if u, err := url.Parse(r.Referer()); err == nil {
		if from := originOf(u); from != "" {
			return !client.allowsOrigin(from) && !s.isOwn(from, r)
		}
	}
	return r.Header.Get("Sec-Fetch-Site") == "cross-site"
}

// isOwn tells whether the origin is the emulator's, by the name that it is asked by.
func (s *Server) isOwn(origin string, r *http.Request) bool {
	u, err := url.Parse(origin)
	return err == nil && strings.EqualFold(u.Host, r.Host)
}

func (s *Server) jwks(*http.Request) (reply, error) {
	set := mint.KeySet(s.issued.published())
	return reply{write: func(w http.ResponseWriter, r *http.Request) { mint.ServeKeySet(w, r, set) }}, nil
}

func (s *Server) discovery(r *http.Request) (reply, error) {
	base := s.issuer()
	// As in Logto, the addresses follow the request, the issuer doesn't: a container
	// may reach the emulator by another name than the browser.
	seen := base
	if u, err := url.Parse(base); err == nil {
		if !strings.EqualFold(u.Host, r.Host) {
			u.Host, u.Scheme = r.Host, "http"
			if r.TLS != nil {
				u.Scheme = "https"
			}
		}
		seen = u.String()
	}
	return reply{write: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "no-cache")
		writeJSON(w, http.StatusOK, map[string]any{
			"issuer":                 base,
			"authorization_endpoint": base + "/auth",
			"token_endpoint":         seen + "/token",
			"userinfo_endpoint":      seen + "/me",
			"end_session_endpoint":   base + "/session/end",
			"revocation_endpoint":    seen + "/token/revocation",
			"introspection_endpoint": seen + "/token/introspection",
			"jwks_uri":               seen + "/jwks",
			"scopes_supported":       oidcScopes,
			"claims_supported": []string{"sub", "name", "preferred_username", "picture", "username", "created_at", "updated_at", "email", "email_verified",
				"phone_number", "phone_number_verified", "custom_data", "identities", "roles", "organizations", "organization_data", "organization_roles", "sid", "auth_time", "iss"},
			"response_types_supported":                       []string{"code"},
			"response_modes_supported":                       []string{"query", "fragment"},
			"grant_types_supported":                          []string{"authorization_code", "refresh_token", "client_credentials", tokenExchange},
			"subject_types_supported":                        []string{"public"},
			"claim_types_supported":                          []string{"normal"},
			"claims_parameter_supported":                     false,
			"request_uri_parameter_supported":                false,
			"code_challenge_methods_supported":               []string{"S256"},
			"id_token_signing_alg_values_supported":          mint.Algorithms,
			"token_endpoint_auth_methods_supported":          []string{"client_secret_basic", "client_secret_post", "none"},
			"authorization_response_iss_parameter_supported": true,
			"backchannel_logout_supported":                   true,
			"backchannel_logout_session_supported":           true,
			"logto_emulator":                                 true,
		})
	}}, nil
}
