package emulator

import (
	"encoding/json"
	"errors"
	"net/http"
)

// An oauthError is a refusal of the provider, with the status and the texts of Logto.
type oauthError struct {
	status      int
	code        string // RFC 6749 section 5.2, and others
	description string
	why         string // for the developer: not in the answer, but on the control page
}

func (e *oauthError) Error() string {
	text := e.code + ": " + e.description
	if e.why != "" {
		text += ": " + e.why
	}
	return text
}

// because says to the developer what the answer, as Logto's, doesn't tell.
func (e *oauthError) because(why string) *oauthError {
	e.why = why
	return e
}

// messages are Logto's, in English.
var messages = map[string]string{
	"invalid_request":           "Request is invalid.",
	"invalid_grant":             "Grant request is invalid.",
	"invalid_token":             "Invalid token provided.",
	"invalid_target":            "Invalid resource indicator.",
	"invalid_redirect_uri":      "`redirect_uri` did not match any of the client's registered `redirect_uris`.",
	"access_denied":             "Access denied.",
	"insufficient_scope":        "Token missing scope `" + organizationsScope + "`.",
	"unsupported_grant_type":    "Unsupported `grant_type` requested.",
	"unsupported_response_type": "Unsupported `response_type` requested.",
	"unsupported_response_mode": "Unsupported `response_mode` requested.",
}

func badRequest(code, description string) *oauthError {
	return &oauthError{status: http.StatusBadRequest, code: code, description: description}
}

func invalidGrant(why string) *oauthError {
	return badRequest("invalid_grant", "grant request is invalid").because(why)
}

func invalidTarget() *oauthError {
	return badRequest("invalid_target", "resource indicator is missing, or unknown")
}

func invalidClient(why string) *oauthError {
	return (&oauthError{status: http.StatusUnauthorized, code: "invalid_client", description: "client authentication failed"}).because(why)
}

func invalidToken(why string) *oauthError {
	return (&oauthError{status: http.StatusUnauthorized, code: "invalid_token", description: "invalid token provided"}).because(why)
}

func denied(description string) *oauthError {
	return &oauthError{status: http.StatusForbidden, code: "access_denied", description: description}
}

func missingScope(description string) *oauthError {
	return &oauthError{status: http.StatusForbidden, code: "insufficient_scope", description: description}
}

// write answers as Logto does: with OAuth's members and with those that its SDKs read.
func (e *oauthError) write(w http.ResponseWriter, r *http.Request) {
	message, ok := messages[e.code]
	if !ok {
		message = "An OIDC error occurred: " + e.code + "."
	}
	body := map[string]any{"code": "oidc." + e.code, "message": message, "error": e.code, "error_description": e.description}
	if e.code == "insufficient_scope" {
		body["scope"] = organizationsScope
	}
	if e.code == "invalid_token" {
		w.Header().Set("WWW-Authenticate", `Bearer realm="emulator", error="invalid_token"`)
	}
	if e.code == "invalid_client" && r.Header.Get("Authorization") != "" { // RFC 6749 section 5.2
		w.Header().Set("WWW-Authenticate", `Basic realm="emulator"`)
	}
	writeJSON(w, e.status, body)
}

func asOAuthError(err error) *oauthError {
	var e *oauthError
	if errors.As(err, &e) {
		return e
	}
	return (&oauthError{status: http.StatusInternalServerError, code: "server_error", description: "oops! something went wrong"}).because(err.Error())
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	b, err := json.Marshal(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	if w.Header().Get("Cache-Control") == "" {
		w.Header().Set("Cache-Control", "no-store")
	}
	w.WriteHeader(status)
	_, _ = w.Write(b)
}
