// A token in a cookie, and what keeps other sites from using it.

package recipes

import (
	"errors"
	"net/http"
	"time"

	"github.com/seed-70fe37f4/logto"
)

func cookies(cfg logto.Config) (http.Handler, error) {
	cfg.TokenFrom = func(r *http.Request) (string, error) {
		token, err := logto.BearerToken(r)
		if c, e := r.Cookie("__Host-access_token"); e == nil && errors.Is(err, logto.ErrNoToken) {
			return c.Value, nil
		}
		return token, err
	}
	v, err := logto.New(cfg)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/api/", logto.Require(v)(hello))
	return http.NewCrossOriginProtection().Handler(mux), nil
}

func setCookie(w http.ResponseWriter, token string, expires time.Time) {
	http.SetCookie(w, &http.Cookie{Name: "__Host-access_token", Value: token, Expires: expires,
		Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}
