package emulator

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"time"
)

// An action changes something at run time. It is called with the lock held.
type action func(s *Server, args []byte) (result any, sent []*delivery, err error)

// actions, by the last part of their address: POST /control/suspend.
var actions map[string]action

func init() {
	actions = map[string]action{
		"tenant":                act((*Server).setTenant),
		"create-user":           act((*Server).createUser),
		"update-user":           act((*Server).updateUser),
		"delete-user":           act((*Server).deleteUser),
		"suspend":               act((*Server).suspend),
		"unsuspend":             act((*Server).unsuspend),
		"set-password":          act((*Server).setPassword),
		"user-roles":            act((*Server).setUserRoles),
		"role-scopes":           act((*Server).setRoleScopes),
		"create-organization":   act((*Server).createOrganization),
		"delete-organization":   act((*Server).deleteOrganization),
		"add-member":            act((*Server).addMember),
		"remove-member":         act((*Server).removeMember),
		"member-roles":          act((*Server).setMemberRoles),
		"revoke":                act((*Server).revokeGrants),
		"subject-token":         act((*Server).makeSubjectToken),
		"personal-access-token": act((*Server).makePersonalAccessToken),
		"token":                 act((*Server).makeToken),
		"rotate":                act((*Server).rotate),
		"drop-key":              act((*Server).dropKey),
		"faults":                act((*Server).setFaults),
		"clock":                 act((*Server).setClock),
		"lifetimes":             act((*Server).setLifetimes),
		"resend":                act((*Server).resend),
		"test-hook":             act((*Server).testHook),
		"reset":                 act((*Server).reset),
	}
}

// act reads an action's arguments strictly.
func act[A any](f func(*Server, A) (any, []*delivery, error)) action {
	return func(s *Server, args []byte) (any, []*delivery, error) {
		var a A
		if err := decodeStrict(args, &a); err != nil {
			return nil, nil, err
		}
		return f(s, a)
	}
}

// deliveryWait is how long an action waits for its webhooks' first attempts.
const deliveryWait = 2 * time.Second

// Control does what a button of the control page does: action is the last part of the
// button's address, such as "suspend", and args what is sent there as JSON, such as
// map[string]string{"user": "alice"}; nil is {}. The result is stored in result, unless
// that is nil. What the actions are stands in docs/emulator.md.
//
// It returns when the webhooks of the action have been delivered, or tried once, for 2
// seconds at most.
func (s *Server) Control(action string, args, result any) error {
	if args == nil {
		args = struct{}{}
	}
	b, err := json.Marshal(args)
	if err != nil {
		return fmt.Errorf("emulator: %s: %w", action, err)
	}
	got, err := s.do(action, b)
	if err != nil {
		return fmt.Errorf("emulator: %s: %w", action, err)
	}
	if result == nil {
		return nil
	}
	if b, err = json.Marshal(got); err == nil {
		err = json.Unmarshal(b, result)
	}
	if err != nil {
		return fmt.Errorf("emulator: %s: %w", action, err)
	}
	return nil
}

func (s *Server) do(name string, args []byte) (any, error) {
	a := actions[name]
	if a == nil {
		return nil, fmt.Errorf("there is no such action: it is one of %q", slices.Sorted(maps.Keys(actions)))
	}
	result, sent, err := s.act(a, args)
	if len(sent) > 0 {
		t := time.NewTimer(deliveryWait)
		defer t.Stop()
		for _, d := range sent {
			select {
			case <-d.tried:
			case <-t.C:
				return result, err
			}
		}
	}
	return result, err
}

func (s *Server) act(a action, args []byte) (any, []*delivery, error) {
	s.lock()
	defer s.unlock()
	return a(s, args)
}

// serveControl serves the control page, and what it does as JSON.
func (s *Server) serveControl(w http.ResponseWriter, r *http.Request, name string) {
	// Pages of other origins must not push the buttons (CSRF): a form's types are
	// refused as well as what a browser says comes from elsewhere.
	if err := s.origin.Check(r); err != nil {
		writeJSON(w, http.StatusForbidden, map[string]string{"error": "the control page takes requests of its own origin only"})
		return
	}
	guard(w)
	switch {
	case name == "" || name == "style.css" || name == "control.js":
		if name == "" {
			name = "control.html"
		}
		if name != "control.html" {
			w.Header().Del("Content-Type") // ServeFileFS settles it by the name
		}
		http.ServeFileFS(w, r, pages, "pages/"+name)
	case name == "state":
		s.serveState(w, r)
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		writeJSON(w, http.StatusMethodNotAllowed, map[string]string{"error": "POST JSON to it"})
	default:
		if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" {
			writeJSON(w, http.StatusUnsupportedMediaType, map[string]string{"error": "send JSON, with Content-Type: application/json"})
			return
		}
		b, _ := io.ReadAll(r.Body) // of memory
		if len(b) == 0 {
			b = []byte("{}")
		}
		result, err := s.do(name, b)
		if err != nil {
			writeJSON(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
			return
		}
		if result == nil {
			result = map[string]bool{"ok": true}
		}
		writeJSON(w, http.StatusOK, result)
	}
}
