package mint

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"time"
)

// Event makes the body of a webhook. The members of more come on top of its own; a
// nil takes one away.
func Event(event, hookID, userAgent string, created time.Time, more map[string]any) ([]byte, error) {
	all := map[string]any{
		"event": event, "createdAt": created.UTC().Format("2006-01-02T15:04:05.000Z"), "hookId": hookID, "userAgent": userAgent,
	}
	Merge(all, more)
	return json.Marshal(all)
}

// Delivery makes the request by which Logto sends the body, signed.
func Delivery(url, signingKey string, body []byte) (*http.Request, error) {
	mac := hmac.New(sha256.New, []byte(signingKey))
	mac.Write(body)
	r, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "Logto (https://logto.io/)")
	r.Header.Set("logto-signature-sha-256", hex.EncodeToString(mac.Sum(nil)))
	return r, nil
}

// Managed are the members of an event that a call of the Management API causes.
func Managed(ip, method, path, route string, status int, params map[string]string, more map[string]any) map[string]any {
	body := map[string]any{"ip": ip, "path": path, "method": method, "status": status, "params": params, "matchedRoute": route}
	Merge(body, more)
	return body
}
