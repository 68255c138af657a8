package emulator

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/seed-70fe37f4/logto/internal/mint"
	"github.com/seed-70fe37f4/logto/internal/policy"
)

// logoutWait is how long a receiver of logout tokens can delay a user's sign-out, as in
// Logto.
const logoutWait = 2500 * time.Millisecond

// endSession ends the browser's session, tells every application of the session that
// has a backchannelLogoutUri, and goes where the application wants. Refresh tokens with
// offline_access live on, as in Logto.
func (s *Server) endSession(r *http.Request) (reply, error) {
	form, err := formOf(r)
	if err != nil {
		return reply{}, err
	}
	var client *application
	if id := form.Get("client_id"); id != "" {
		if client = s.tenant.application(id); client == nil {
			return reply{}, badRequest("invalid_client", "client is invalid").because("there is no application with this client_id")
		}
	}
	if hint := form.Get("id_token_hint"); hint != "" {
		audience, ok := s.hinter(hint)
		if !ok || client != nil && client.ID != audience {
			return reply{}, badRequest("invalid_request", "could not validate id_token_hint")
		}
		client = s.tenant.application(audience)
	}
	to := form.Get("post_logout_redirect_uri")
	if to != "" && (client == nil || !registered(client.PostLogoutRedirectURIs, to)) {
		return reply{}, badRequest("invalid_request", "post_logout_redirect_uri not registered")
	}
	if u, err := url.Parse(to); to != "" && err == nil {
		if form.Has("state") {
			values := u.Query()
			values.Set("state", form.Get("state"))
			u.RawQuery = values.Encode()
		}
		to = u.String()
	}
	note := "nobody was signed in"
	var tokens []logoutToken
	if id, current := s.sessionOf(r); current != nil {
		note = "signed out: " + current.User
		for _, clientID := range slices.Sorted(maps.Keys(current.SIDs)) {
			app := s.tenant.application(clientID)
			if app == nil || app.BackchannelLogoutURI == "" {
				continue
			}
			token := s.sign("logout token", mint.LogoutTokenType, mint.LogoutClaims(s.issuer(), current.User, clientID, current.SIDs[clientID], s.now()))
			tokens = append(tokens, logoutToken{clientID, app.BackchannelLogoutURI, token})
		}
		delete(s.issued.Sessions, id)
		for grantID, g := range s.issued.Grants {
			if g.Session == id && !g.offline() {
				delete(s.issued.Grants, grantID)
			}
		}
		s.issued.orphans()
	}
	return reply{note: note, write: func(w http.ResponseWriter, r *http.Request) {
		s.tellLogout(tokens)
		http.SetCookie(w, s.cookie("", -1))
		w.Header().Set("Cache-Control", "no-store")
		if to == "" {
			s.showNote(w, http.StatusOK, "Signed out", "The session at the emulator has ended.")
			return
		}
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusSeeOther)
	}}, nil
}

// hinter is the audience of an ID token of ours, which may have expired.
func (s *Server) hinter(token string) (string, bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return "", false
	}
	header, err1 := base64.RawURLEncoding.DecodeString(parts[0])
	claims, err2 := base64.RawURLEncoding.DecodeString(parts[1])
	signature, err3 := base64.RawURLEncoding.DecodeString(parts[2])
	if err1 != nil || err2 != nil || err3 != nil {
		return "", false
	}
	var h struct {
		Kid string `json:"kid"`
		Typ string `json:"typ"`
	}
	var c struct {
		Aud string `json:"aud"`
	}
	if json.Unmarshal(header, &h) != nil || json.Unmarshal(claims, &c) != nil || h.Typ != "" {
		return "", false
	}
	for _, k := range s.issued.Keys {
		if k.ID == h.Kid {
			return c.Aud, k.Verifies(parts[0]+"."+parts[1], signature)
		}
	}
	return "", false
}

type logoutToken struct{ client, address, token string }

// tellLogout posts logout tokens once, to all at the same time.
func (s *Server) tellLogout(tokens []logoutToken) {
	deliveries := make([]*delivery, len(tokens))
	var sending sync.WaitGroup
	for i, t := range tokens {
		d := &delivery{Time: time.Now(), Event: "back-channel logout", To: t.client, URL: policy.Shown(t.address)}
		deliveries[i] = d
		sending.Go(func() {
			body := url.Values{"logout_token": {t.token}}.Encode()
			s.attempt(d, logoutWait, func() (*http.Request, error) {
				r, err := http.NewRequest(http.MethodPost, t.address, strings.NewReader(body))
				if err == nil {
					r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				}
				return r, err
			})
		})
	}
	sending.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range deliveries { // in the order of the tokens
		d.ID = s.log.id()
		s.log.Deliveries = last(append(s.log.Deliveries, d))
	}
}
