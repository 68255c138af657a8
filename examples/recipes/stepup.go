// Step-up (RFC 9470): routes that want a recent sign-in, or a stronger one.

package recipes

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/seed-70fe37f4/logto"
)

// signInAgain says what the next sign-in must bring: max_age or acr_values (RFC 9470 section 3).
type signInAgain struct{ want string }

func (e signInAgain) Error() string { return "the user must sign in again: " + e.want }

// signedInWithin needs the custom claim auth_time, in seconds.
func signedInWithin(age time.Duration) logto.Requirement {
	return logto.Check(func(_ *http.Request, c *logto.Claims) error {
		var claims struct {
			AuthTime int64 `json:"auth_time"`
		}
		if err := c.Decode(&claims); err != nil {
			return err
		}
		switch since := time.Since(time.Unix(claims.AuthTime, 0)); {
		case claims.AuthTime == 0: // signing in again wouldn't help
			return errors.New("no auth_time in the token: has the JWT customizer put it there?")
		case since < -time.Minute:
			return errors.New("auth_time is in the future: is it in milliseconds?")
		case since > age:
			return signInAgain{fmt.Sprintf(`max_age="%.0f"`, age.Seconds())}
		}
		return nil
	})
}

// signedInBy needs the custom claim acr.
func signedInBy(acr string) logto.Requirement {
	return logto.Check(func(_ *http.Request, c *logto.Claims) error {
		var claims struct {
			ACR string `json:"acr"`
		}
		if err := c.Decode(&claims); err != nil {
			return err
		}
		switch claims.ACR {
		case acr:
			return nil
		case "":
			return errors.New("no acr in the token: has the JWT customizer put it there?")
		}
		return signInAgain{fmt.Sprintf("acr_values=%q", acr)}
	})
}

func stepUp(cfg logto.Config) (http.Handler, error) {
	cfg.ErrorHandler = func(w http.ResponseWriter, r *http.Request, err error) {
		var again signInAgain
		if !errors.As(err, &again) {
			logto.WriteError(w, r, err)
			return
		}
		const code, text = "insufficient_user_authentication", "Another sign-in is required"
		w.Header().Set("WWW-Authenticate", fmt.Sprintf("Bearer error=%q, error_description=%q, %s", code, text, again.want))
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		_ = json.NewEncoder(w).Encode(map[string]string{"error": code, "error_description": text})
	}
	v, err := logto.New(cfg)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /account", logto.Require(v)(hello))
	mux.Handle("PUT /account", logto.Require(v, signedInWithin(5*time.Minute))(hello))
	mux.Handle("DELETE /account", logto.Require(v, signedInBy("mfa"))(hello))
	return mux, nil
}
