package emulator

import (
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"time"
)

//go:embed pages
var pages embed.FS

var signInPage = template.Must(template.ParseFS(pages, "pages/sign-in.html"))
var notePage = template.Must(template.ParseFS(pages, "pages/note.html"))

// guard sets what keeps a page from being framed and from running what isn't ours.
// There is no form-action: Chromium would apply it to the redirect to the client.
func guard(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// serveSignIn shows the page of users, and takes the choice. The authorization request
// comes along in the query, and is checked anew: nothing is kept in between.
func (s *Server) serveSignIn(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodPost {
		w.Header().Set("Allow", "GET, HEAD, POST")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	// Nobody else's page may choose for the user (CSRF).
	if err := s.origin.Check(r); err != nil {
		s.showNote(w, http.StatusForbidden, "Not from here", "The choice came from another page.")
		return
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err == nil && len(query) == 0 && r.Method != http.MethodPost {
		s.showNote(w, http.StatusOK, "Nobody wants to sign in", "An application brings its user here: start from yours.")
		return
	}
	answer, err := s.answerSignIn(r, query)
	if err != nil {
		s.showError(w, r, asOAuthError(err))
		return
	}
	answer.write(w, r)
}

func (s *Server) answerSignIn(r *http.Request, query url.Values) (reply, error) {
	s.lock()
	defer s.unlock()
	var answer reply
	d, err := s.demandOf(query)
	switch {
	case d == nil:
	case err != nil:
		answer, err = s.backWithError(d, err), nil
	case r.Method == http.MethodPost:
		answer, err = s.choose(r, d)
	default:
		view := s.signInView(d, query)
		return reply{write: func(w http.ResponseWriter, _ *http.Request) {
			guard(w)
			_ = signInPage.Execute(w, view)
		}}, nil
	}
	entry := call{Time: time.Now(), Method: r.Method, Endpoint: "sign-in", Client: query.Get("client_id"), Status: http.StatusOK, Note: answer.note}
	if err != nil {
		entry.Status, entry.Note = asOAuthError(err).status, err.Error()
	}
	s.log.call(entry)
	return answer, err
}

// choose does what the user pressed.
func (s *Server) choose(r *http.Request, d *demand) (reply, error) {
	if err := r.ParseForm(); err != nil {
		return reply{}, badRequest("invalid_request", "failed to parse the request body")
	}
	form := r.PostForm
	switch form.Get("do") {
	case "deny":
		return s.backWithError(d, badRequest("access_denied", "the user denied the sign-in")), nil
	case "make":
		u, err := s.makeUser(form.Get("name"), form["role"])
		if err != nil {
			return reply{}, badRequest("invalid_request", err.Error())
		}
		return s.signIn(r, d, u, "Register")
	}
	u := s.tenant.user(form.Get("user"))
	if u == nil {
		return reply{}, badRequest("invalid_request", "there is no such user")
	}
	return s.signIn(r, d, u, "SignIn")
}

// makeUser makes a user at the sign-in page. Of the name comes the ID.
func (s *Server) makeUser(name string, roles []string) (*user, error) {
	name = strings.TrimSpace(name)
	if name == "" || len(name) > 100 || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return nil, fmt.Errorf("a user has a name of at most 100 bytes")
	}
	id := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return -1
	}, name)
	if id == "" {
		id = "user"
	}
	free := id
	for i := 2; s.tenant.hinted(free) != nil || s.tenant.hinted(free+"@example.test") != nil; i++ {
		free = fmt.Sprintf("%s%d", id, i)
	}
	now := s.now().UnixMilli()
	u := &user{ID: free, Username: free, Name: name, PrimaryEmail: free + "@example.test", Roles: roles, CreatedAt: now, UpdatedAt: now, Made: true}
	if err := s.tenant.checkRoleNames("user "+free, "User", roles); err != nil {
		return nil, err
	}
	s.tenant.Users = append(s.tenant.Users, u)
	return u, nil
}

type signInData struct {
	Base, Client, Hint string
	Action             template.URL // with the authorization request
	Users              []signInUser
	Roles              []string
}

type signInUser struct {
	ID, Name, Email, Roles, Organizations string
	Suspended                             bool
}

func (s *Server) signInView(d *demand, query url.Values) signInData {
	// What Encode gives is safe in an address.
	view := signInData{Base: s.base, Action: template.URL(s.base + "/sign-in?" + query.Encode()), Client: d.client.Name}
	if s.tenant.hinted(d.hint) == nil {
		view.Hint = d.hint
	}
	if view.Client == "" {
		view.Client = d.client.ID
	}
	for _, u := range s.tenant.Users {
		v := signInUser{ID: u.ID, Name: u.Name, Email: u.PrimaryEmail, Roles: strings.Join(u.Roles, ", "), Suspended: u.IsSuspended}
		if v.Name == "" {
			v.Name = u.ID
		}
		var in []string
		for _, o := range s.tenant.organizationsOf(holderOfUser(u)) {
			in = append(in, o.Name)
		}
		v.Organizations = strings.Join(in, ", ")
		view.Users = append(view.Users, v)
	}
	for _, role := range s.tenant.Roles {
		if role.Type == "User" {
			view.Roles = append(view.Roles, role.Name)
		}
	}
	return view
}

// showError tells the user of a request that can't go back to the client.
func (s *Server) showError(w http.ResponseWriter, r *http.Request, e *oauthError) {
	if !strings.Contains(r.Header.Get("Accept"), "text/html") {
		e.write(w, r)
		return
	}
	text := e.description
	if e.why != "" {
		text += ": " + e.why
	}
	s.showNote(w, e.status, e.code, text)
}

func (s *Server) showNote(w http.ResponseWriter, status int, title, text string) {
	guard(w)
	w.WriteHeader(status)
	_ = notePage.Execute(w, map[string]string{"Base": s.base, "Title": title, "Text": text})
}
