package emulator

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed-70fe37f4/logto/internal/mint"
)

// A demand is an authorization request that is in order.
type demand struct {
	client    *application
	redirect  string
	mode      string // fragment, else query
	state     string
	scopes    []string
	resources []string
	prompts   []string
	hint      string
	challenge string
	nonce     string
	maxAge    int64 // -1: not asked for
	raw       url.Values
}

// demandOf checks an authorization request. What is wrong with client or redirect URI
// is told to the user alone (RFC 6749 section 4.1.2.1); all else to the client, by a
// redirect, for which the demand is there with the error.
func (s *Server) demandOf(form url.Values) (*demand, error) {
	for _, name := range []string{"client_id", "redirect_uri", "response_type", "response_mode", "scope", "state", "code_challenge", "code_challenge_method", "prompt", "nonce", "login_hint", "max_age"} {
		if len(form[name]) > 1 {
			return nil, badRequest("invalid_request", "'"+name+"' parameter must not be provided twice")
		}
	}
	client := s.tenant.application(form.Get("client_id"))
	switch {
	case client == nil:
		return nil, badRequest("invalid_client", "client is invalid").because("there is no application with this client_id")
	case !registered(client.RedirectURIs, form.Get("redirect_uri")):
		return nil, badRequest("invalid_redirect_uri", "redirect_uri did not match any of the client's registered redirect_uris")
	}
	d := &demand{
		client: client, redirect: form.Get("redirect_uri"), mode: form.Get("response_mode"), state: form.Get("state"),
		scopes: strings.Fields(form.Get("scope")), resources: resourcesIn(form), prompts: strings.Fields(form.Get("prompt")), hint: form.Get("login_hint"),
		challenge: form.Get("code_challenge"), nonce: form.Get("nonce"), maxAge: -1, raw: form,
	}
	if text := form.Get("max_age"); text != "" {
		age, err := strconv.ParseInt(text, 10, 32)
		if err != nil || age < 0 {
			return d, badRequest("invalid_request", "invalid max_age parameter value")
		}
		d.maxAge = age
	}
	method := form.Get("code_challenge_method")
	switch {
	case form.Has("request") || form.Has("request_uri"):
		return d, badRequest("request_not_supported", "request objects are not supported")
	case form.Get("response_type") != "code":
		return d, badRequest("unsupported_response_type", "the emulator has response_type code alone")
	case !slices.Contains([]string{"", "query", "fragment"}, d.mode):
		return d, badRequest("unsupported_response_mode", "the emulator has response_mode query and fragment alone")
	case d.challenge == "" && client.public():
		return d, badRequest("invalid_request", "Authorization Server policy requires PKCE to be used for this request")
	case d.challenge != "" && method != "S256", d.challenge == "" && method != "":
		return d, badRequest("invalid_request", "not supported value of code_challenge_method")
	case d.challenge != "" && !isChallenge(d.challenge):
		return d, badRequest("invalid_request", "code_challenge must be the base64url of a SHA-256")
	case slices.Contains(d.prompts, "none") && len(d.prompts) > 1:
		return d, badRequest("invalid_request", "prompt none must only be used alone")
	}
	for _, indicator := range d.resources {
		if !s.hasResource(indicator) {
			return d, invalidTarget().because("there is no resource " + indicator)
		}
	}
	// Without prompt=consent Logto gives no refresh token, unless the application always
	// has one.
	if !slices.Contains(d.prompts, "consent") {
		d.scopes = slices.DeleteFunc(d.scopes, func(scope string) bool { return scope == "offline_access" })
	}
	return d, nil
}

func isChallenge(text string) bool {
	return len(text) == 43 && !strings.ContainsFunc(text, func(r rune) bool { return !unreserved(r) || r == '.' || r == '~' })
}

// unreserved are the characters of RFC 7636 section 4.1.
func unreserved(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-._~", r)
}

func (s *Server) hasResource(indicator string) bool {
	return indicator == organizationsResource || s.tenant.resource(indicator) != nil
}

// back gives the address of the client with the answer.
func (s *Server) back(d *demand, answer map[string]string) string {
	u, err := url.Parse(d.redirect)
	if err != nil {
		return s.endpoint // it was parsed when it was found to be registered
	}
	values := url.Values{"iss": {s.issuer()}}
	if d.state != "" {
		values.Set("state", d.state)
	}
	for name, value := range answer {
		values.Set(name, value)
	}
	if d.mode == "fragment" {
		return u.String() + "#" + values.Encode()
	}
	if u.RawQuery != "" {
		u.RawQuery += "&"
	}
	u.RawQuery += values.Encode()
	return u.String()
}

func (s *Server) backWithError(d *demand, err error) reply {
	e := asOAuthError(err)
	return redirect(s.back(d, map[string]string{"error": e.code, "error_description": e.description}), e.Error())
}

func redirect(to, note string, cookies ...*http.Cookie) reply {
	return reply{note: note, write: func(w http.ResponseWriter, r *http.Request) {
		for _, c := range cookies {
			http.SetCookie(w, c)
		}
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Location", to) // http.Redirect would read it
		w.WriteHeader(http.StatusSeeOther)
	}}
}

// authorize is the authorization endpoint. Who is signed in already goes on, whoever a
// login_hint names is signed in, anybody else comes to the sign-in page.
func (s *Server) authorize(r *http.Request) (reply, error) {
	form, err := formOf(r)
	if err != nil {
		return reply{}, err
	}
	d, err := s.demandOf(form)
	switch {
	case d == nil:
		return reply{}, err
	case err != nil:
		return s.backWithError(d, err), nil
	}
	id, current := s.sessionOf(r)
	if current != nil && (slices.Contains(d.prompts, "login") || d.maxAge == 0 || d.maxAge > 0 && s.now().Sub(current.Started) > time.Duration(d.maxAge)*time.Second) {
		current = nil
	}
	if u := s.tenant.hinted(d.hint); u != nil && (current == nil || current.User != u.ID) && !slices.Contains(d.prompts, "none") {
		if s.fromElsewhere(r, d.client) {
			return redirect(s.endpoint+"/sign-in?"+form.Encode(), "to the sign-in page: login_hint signs in from the application's own pages only"), nil
		}
		return s.signIn(r, d, u, "SignIn")
	}
	if current != nil && (d.hint == "" || s.tenant.hinted(d.hint) != nil) {
		return redirect(s.finish(d, id, current), "signed in already: "+current.User), nil
	}
	if slices.Contains(d.prompts, "none") {
		return s.backWithError(d, badRequest("login_required", "End-User authentication is required")), nil
	}
	return redirect(s.endpoint+"/sign-in?"+form.Encode(), "to the sign-in page"), nil
}

// hinted is the user whom a login_hint means: by ID, username or address of mail.
func (t *tenant) hinted(hint string) *user {
	if hint == "" {
		return nil
	}
	for _, u := range t.Users {
		if u.ID == hint || u.Username == hint || u.PrimaryEmail == hint {
			return u
		}
	}
	return nil
}

// sessionOf is the session of the browser, nil if there is none.
func (s *Server) sessionOf(r *http.Request) (string, *session) {
	cookie, err := r.Cookie(s.cookieName)
	if err != nil {
		return "", nil
	}
	return cookie.Value, s.issued.Sessions[cookie.Value]
}

// signIn begins a session for the user, and gives the client its code. The interaction is
// SignIn or Register, as Logto's events call it.
func (s *Server) signIn(r *http.Request, d *demand, u *user, interaction string) (reply, error) {
	if u.IsSuspended {
		return s.backWithError(d, badRequest("access_denied", "the user is suspended")), nil
	}
	if before, old := s.sessionOf(r); old != nil {
		delete(s.issued.Sessions, before) // the grants live on: they are other browsers' too
	}
	id := mint.Opaque()
	started := &session{User: u.ID, Started: s.now(), SIDs: map[string]string{}}
	s.issued.Sessions[id] = started
	u.LastSignInAt = s.now().UnixMilli()
	u.UpdatedAt = u.LastSignInAt
	to := s.finish(d, id, started)
	s.sendInteraction(interaction, id, r, u, d.client)
	return redirect(to, "signed in: "+u.ID, s.cookie(id, int(sessionTTL/time.Second))), nil
}

func (s *Server) cookie(value string, age int) *http.Cookie {
	return &http.Cookie{Name: s.cookieName, Value: value, Path: "/", MaxAge: age, HttpOnly: true,
		SameSite: http.SameSiteLaxMode, Secure: strings.HasPrefix(s.endpoint, "https:")}
}

// finish makes grant and code, and gives the address to go to.
func (s *Server) finish(d *demand, sessionID string, current *session) string {
	if current.SIDs[d.client.ID] == "" {
		current.SIDs[d.client.ID] = mint.Opaque()
	}
	now := s.now()
	grantID, codeID := mint.Opaque(), mint.Opaque()
	// A role that is given later takes another sign-in, as in Logto: what was granted is
	// settled here, for all organizations.
	resources, h := scopesOf{}, holderOfUser(s.tenant.user(current.User))
	for _, indicator := range d.resources {
		resources[indicator], _ = s.tenant.granted(h, target{resource: indicator}, d.scopes, true) // there is no organization to be refused
	}
	s.issued.Grants[grantID] = &grant{
		User: current.User, Client: d.client.ID, Session: sessionID, SID: current.SIDs[d.client.ID], Scopes: d.scopes, Resources: resources,
		Nonce: d.nonce, SignedIn: current.Started, AuthTime: d.maxAge >= 0, Expires: now.Add(s.refreshLife(d.client)),
	}
	s.issued.Codes[codeID] = &code{
		Grant: grantID, RedirectURI: d.redirect, Challenge: d.challenge, Expires: now.Add(codeTTL),
		Refreshable: slices.Contains(d.scopes, "offline_access") || d.client.AlwaysIssueRefreshToken,
	}
	return s.back(d, map[string]string{"code": codeID})
}

// formOf reads the parameters: of a POST from its body, which may be JSON, as Logto takes
// it; else from the query.
func formOf(r *http.Request) (url.Values, error) {
	if kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); r.Method == http.MethodPost && strings.TrimSpace(kind) == "application/json" {
		form, err := formOfJSON(r)
		if err != nil {
			return nil, err
		}
		r.Form, r.PostForm = form, form
		return form, nil
	}
	if err := r.ParseForm(); err != nil {
		return nil, badRequest("invalid_request", "failed to parse the request body")
	}
	if r.Method == http.MethodPost {
		return maps.Clone(r.PostForm), nil // nothing secret comes in an address
	}
	return maps.Clone(r.Form), nil
}
