package logto_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/logtotest"
)

// What Authenticate says is what Require answers, by the same checks; AnswerTo tells all of
// it.
func TestAuthenticate(t *testing.T) {
	type tk = logtotest.Token
	issuer := logtotest.NewIssuer(t)
	cfg := issuer.Config()
	seen := &events{}
	log := &logBuffer{}
	cfg.Observer, cfg.Logger = seen.observe, slog.New(slog.NewTextHandler(log, nil))
	cfg.Revoked = func(c *logto.Claims) error {
		if c.UserID() == "mallory" {
			return logto.ErrRevoked
		}
		return nil
	}
	v := newVerifier(t, cfg)
	read := []logto.Requirement{logto.Scopes("read")}
	for _, test := range []struct {
		name   string
		header []string
		reqs   []logto.Requirement
		err    error
		known  string // the user of the event and of the log
	}{
		{"none", nil, read, logto.ErrNoToken, ""},
		{"two headers", []string{"Bearer x", "Bearer x"}, read, logto.ErrInvalidToken, ""},
		{"not a token", []string{"Bearer a b"}, read, logto.ErrInvalidToken, ""},
		{"opaque", []string{"Bearer opaque"}, read, logto.ErrInvalidToken, ""},
		{"another audience", []string{"Bearer " + issuer.Token(tk{Audience: "https://other.test"})}, nil, logto.ErrInvalidToken, ""},
		{"forged", []string{"Bearer " + issuer.Token(tk{User: "eve"})[:200] + "x"}, nil, logto.ErrInvalidToken, ""},
		{"revoked", []string{"Bearer " + issuer.Token(tk{User: "mallory"})}, nil, logto.ErrRevoked, "mallory"},
		{"no scope", []string{"Bearer " + issuer.Token(tk{User: "bob"})}, read, logto.ErrForbidden, "bob"},
		{"organization", []string{"Bearer " + issuer.Token(tk{User: "bob", Organization: "o2"})}, []logto.Requirement{logto.OrganizationPath("o")}, logto.ErrForbidden, "bob"},
		{"can't decide", []string{"Bearer " + issuer.Token(tk{User: "bob"})}, []logto.Requirement{logto.Check(func(*http.Request, *logto.Claims) error { return context.DeadlineExceeded })}, logto.ErrUnavailable, "bob"},
		{"good", []string{"Bearer " + issuer.Token(tk{User: "alice", Scopes: []string{"read"}})}, read, nil, "alice"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/", nil)
			r.Header["Authorization"] = test.header
			if test.header == nil {
				r.Header.Del("Authorization")
			}
			_ = seen.take()
			before := len(log.String())
			claims, err := v.Authenticate(r, test.reqs...)
			if !errors.Is(err, test.err) || (claims == nil) != (err != nil) {
				t.Fatalf("claims %v, error %v, want %v", claims, err, test.err)
			}
			var told []logto.Event
			for _, e := range seen.take() {
				if !e.Fetch {
					told = append(told, e)
				}
			}
			if len(told) != 1 || told[0].UserID() != test.known || told[0].Reason != logto.Reason(err) {
				t.Errorf("events %+v, want one, of user %q", told, test.known)
			}
			line := log.String()[before:]
			if refused := err != nil && test.known != ""; strings.Contains(line, "token.sub="+test.known+" ") != refused {
				t.Errorf("log %q", line)
			}
			if err == nil && claims.UserID() != test.known {
				t.Errorf("user %q", claims.UserID())
			}

			w := httptest.NewRecorder()
			logto.Require(v, test.reqs...)(http.NotFoundHandler()).ServeHTTP(w, r)
			if err == nil {
				if w.Code != 404 {
					t.Errorf("Require answers %d", w.Code)
				}
				return
			}
			a := logto.AnswerTo(r, err)
			var body struct {
				Error       string `json:"error"`
				Description string `json:"error_description"`
			}
			if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
				t.Fatal(err)
			}
			got := w.Header().Clone()
			got.Del("Content-Type")
			if a.Status != w.Code || a.Error != body.Error || a.Description != body.Description || fmt.Sprint(a.Header) != fmt.Sprint(got) {
				t.Errorf("AnswerTo %+v, Require answers %d %v %s", a, w.Code, got, w.Body)
			}
		})
	}
}

// An error that isn't this package's has an answer too, which tells nothing of it.
func TestAnswerToForeign(t *testing.T) {
	a := logto.AnswerTo(httptest.NewRequest("GET", "/", nil), errors.New("secret"))
	if a.Status != 500 || a.Error != "server_error" || strings.Contains(fmt.Sprint(a), "secret") || a.Header.Get("WWW-Authenticate") != "" {
		t.Errorf("%+v", a)
	}
}

// Own bodies keep status and challenge: by AnswerTo, and where a handler gives the status
// alone. What a handler sets itself stays.
func TestOwnBodies(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	const realm = `Bearer realm="https://logto.example.test/oidc"`
	problem := func(w http.ResponseWriter, r *http.Request, err error) {
		a := logto.AnswerTo(r, err)
		maps.Copy(w.Header(), a.Header)
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(a.Status)
		_ = json.NewEncoder(w).Encode(map[string]any{
			"title": http.StatusText(a.Status), "status": a.Status, "detail": a.Description, "code": a.Error})
	}
	status := func(status int) func(http.ResponseWriter, *http.Request, error) {
		return func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(status) }
	}
	for _, test := range []struct {
		name      string
		handler   func(http.ResponseWriter, *http.Request, error)
		token     string
		status    int
		challenge string
	}{
		{"problem, none", problem, "", 401, realm + `, scope="read write"`},
		{"problem, scope", problem, issuer.Token(logtotest.Token{}), 403, realm + `, error="insufficient_scope", scope="read write"`},
		{"status alone", status(401), "", 401, realm + `, scope="read write"`},
		{"another status", status(404), "", 404, ""},
		{"status of another refusal", status(403), "", 403, ""},
		{"own challenge", func(w http.ResponseWriter, _ *http.Request, _ error) {
			w.Header().Set("WWW-Authenticate", "Own")
			w.WriteHeader(401)
		}, "", 401, "Own"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := issuer.Config()
			cfg.Logger, cfg.ErrorHandler = capture, test.handler
			h := logto.Require(newVerifier(t, cfg), logto.Scopes("read"), logto.AnyScope("write", "read"))(http.NotFoundHandler())
			w := serve(h, test.token)
			if got := w.Header().Get("WWW-Authenticate"); w.Code != test.status || got != test.challenge {
				t.Errorf("%d %s, want %d %s", w.Code, got, test.status, test.challenge)
			}
		})
	}
}

// The ErrorHandler of a revoked token finds nobody: whose it was, only log and event say.
func TestRevokedIsNobody(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	cfg := issuer.Config()
	cfg.Logger = capture
	cfg.Revoked = func(*logto.Claims) error { return logto.ErrRevoked }
	called := false
	cfg.ErrorHandler = func(w http.ResponseWriter, r *http.Request, err error) {
		called = true
		if _, ok := logto.FromContext(r.Context()); ok {
			t.Error("claims of a revoked token")
		}
	}
	if w := serve(logto.Require(newVerifier(t, cfg))(http.NotFoundHandler()), issuer.Token(logtotest.Token{})); w.Code != 401 || !called {
		t.Errorf("status %d, called %v", w.Code, called)
	}
}

// Where the token is taken from.
func TestTokenFrom(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	good := issuer.Token(logtotest.Token{User: "alice"})
	cookie := func(r *http.Request) (string, error) {
		switch c := r.CookiesNamed("token"); len(c) {
		case 0:
			return logto.BearerToken(r)
		case 1:
			return c[0].Value, nil
		}
		return "", errors.New("two cookies")
	}
	errStore := errors.New("the store says")
	store := func(err error) func(*http.Request) (string, error) {
		return func(*http.Request) (string, error) { return "", fmt.Errorf("%w: %w", errStore, err) }
	}
	for _, test := range []struct {
		name     string
		from     func(*http.Request) (string, error)
		header   http.Header
		status   int
		reason   string
		optional int
	}{
		{"none", cookie, nil, 401, "no_token", 200},
		{"an error that says none", func(*http.Request) (string, error) { return "", fmt.Errorf("x: %w", logto.ErrNoToken) }, nil, 401, "no_token", 200},
		{"two cookies", cookie, http.Header{"Cookie": {"token=a; token=b"}}, 400, "malformed_request", 400},
		{"store down", store(logto.ErrUnavailable), nil, 503, "token_unavailable", 503},
		{"store slow", store(context.DeadlineExceeded), nil, 503, "token_unavailable", 503},
		{"store gone", store(&net.OpError{Op: "dial", Err: errors.New("x")}), nil, 503, "token_unavailable", 503},
		{"no token as the store is down", store(errors.Join(logto.ErrNoToken, io.EOF)), nil, 503, "token_unavailable", 503},
		{"no header, and the store is down", func(r *http.Request) (string, error) {
			_, err := logto.BearerToken(r)
			return "", fmt.Errorf("%w: %w: %w", errStore, err, context.DeadlineExceeded)
		}, nil, 503, "token_unavailable", 503},
		{"two headers, and the store is down", func(r *http.Request) (string, error) {
			_, err := logto.BearerToken(r)
			return "", errors.Join(err, errStore, logto.ErrUnavailable)
		}, http.Header{"Authorization": {"Bearer a", "Bearer b"}}, 503, "token_unavailable", 503},
		{"two headers, in other words", func(r *http.Request) (string, error) {
			_, err := logto.BearerToken(r)
			return "", fmt.Errorf("%w: %w", errStore, err)
		}, http.Header{"Authorization": {"Bearer a", "Bearer b"}}, 400, "malformed_request", 400},
		{"no token68", cookie, http.Header{"Cookie": {"token=a:b"}}, 401, "opaque_token", 401},
		{"two headers", cookie, http.Header{"Authorization": {"Bearer a", "Bearer b"}}, 400, "malformed_request", 400},
		{"not the header, unless asked", func(*http.Request) (string, error) { return "", nil }, http.Header{"Authorization": {"Bearer " + good}}, 401, "no_token", 200},
		{"header malformed", cookie, http.Header{"Authorization": {"Bearer a:b"}}, 400, "malformed_request", 400},
		{"cookie", cookie, http.Header{"Cookie": {"token=" + good}}, 200, "", 200},
		{"header", cookie, http.Header{"Authorization": {"Bearer " + good}}, 200, "", 200},
	} {
		t.Run(test.name, func(t *testing.T) {
			seen := &events{}
			cfg := issuer.Config()
			cfg.Logger, cfg.TokenFrom, cfg.Observer = capture, test.from, seen.observe
			v := newVerifier(t, cfg)
			ok := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
			r := httptest.NewRequest("GET", "/", nil)
			maps.Copy(r.Header, test.header)
			w := httptest.NewRecorder()
			logto.Require(v)(ok).ServeHTTP(w, r)
			told := seen.take()
			// An error of BearerToken says that it is the header.
			if says := strings.Contains(w.Body.String(), "Authorization header"); says != (w.Code == 400 && test.header["Authorization"] != nil) {
				t.Errorf("body %s", w.Body)
			}
			if w.Code != test.status || told[len(told)-1].Reason != test.reason || w.Header().Get("Vary") != "*" {
				t.Errorf("status %d, events %+v, want %d %s", w.Code, told, test.status, test.reason)
			}
			if err := told[len(told)-1].Err; errors.Is(err, errStore) != (test.status == 503 || strings.Contains(test.name, "other words")) ||
				errors.Is(err, errStore) && !strings.Contains(err.Error(), errStore.Error()) {
				t.Errorf("error %v", err)
			}
			// What BearerToken says stands as it is, unless others have put it in their words.
			if err := told[len(told)-1].Err; test.name == "two headers" && (err == nil || strings.Contains(err.Error(), "TokenFrom")) {
				t.Errorf("error %v", err)
			}
			w = httptest.NewRecorder()
			if logto.Optional(v)(ok).ServeHTTP(w, r); w.Code != test.optional || w.Header().Get("Vary") != "*" {
				t.Errorf("Optional: status %d, Vary %q", w.Code, w.Header().Get("Vary"))
			}
		})
	}
}

// Whoever left while TokenFrom was asked says nothing of what it asks.
func TestTokenFromLeft(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	seen := &events{}
	cfg := issuer.Config()
	cfg.Logger, cfg.Observer = capture, seen.observe
	cfg.TokenFrom = func(r *http.Request) (string, error) { return "", r.Context().Err() }
	for name, want := range map[string]string{"canceled": "canceled", "deadline": "token_unavailable"} {
		ctx, cancel := context.WithCancel(t.Context())
		if cancel(); name == "deadline" {
			ctx, cancel = context.WithTimeout(t.Context(), 0)
			defer cancel()
		}
		w := httptest.NewRecorder()
		logto.Require(newVerifier(t, cfg))(http.NotFoundHandler()).ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "/", nil))
		if told := seen.take(); w.Code != 503 || len(told) != 1 || told[0].Reason != want {
			t.Errorf("%s: status %d, %+v", name, w.Code, told)
		}
	}
}

// Optional asks its requirements of those who come with a token.
func TestOptionalRequirements(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	cfg := issuer.Config()
	cfg.Logger = capture
	h := logto.Optional(newVerifier(t, cfg), logto.Scopes("read"))(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, logto.UserID(r.Context()))
	}))
	for _, test := range []struct {
		name, token string
		status      int
		body        string
	}{
		{"none", "", 200, ""},
		{"bad", "opaque", 401, ""},
		{"no scope", issuer.Token(logtotest.Token{User: "bob"}), 403, ""},
		{"good", issuer.Token(logtotest.Token{User: "alice", Scopes: []string{"read"}}), 200, "alice"},
	} {
		w := serve(h, test.token)
		if w.Code != test.status || w.Code == 200 && w.Body.String() != test.body || w.Header().Get("Vary") != "Authorization" {
			t.Errorf("%s: %d %s, Vary %q", test.name, w.Code, w.Body, w.Header().Get("Vary"))
		}
	}
}

// An access log outside of the middleware names the user: of who was let in, or was refused
// for a scope, by the innermost Require, with and without an Observer.
func TestWatch(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	cfg := issuer.Config()
	cfg.Logger = capture
	v := newVerifier(t, cfg)
	ok := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	var line string
	accessLog := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx, last := logto.Watch(r.Context())
			next.ServeHTTP(w, r.WithContext(ctx))
			line = last().UserID() + " " + last().Reason
		})
	}
	alice := issuer.Token(logtotest.Token{User: "alice"})
	for _, test := range []struct {
		name    string
		handler http.Handler
		token   string
		want    string
	}{
		{"no middleware", ok, alice, " "},
		{"bad token", logto.Require(v)(ok), "opaque", " opaque_token"},
		{"no scope", logto.Require(v, logto.Scopes("read"))(ok), alice, "alice missing_scope"},
		{"refused within", logto.Require(v)(logto.Require(v, logto.AnyOrganization())(ok)), alice, "alice organization"},
		{"open to strangers", logto.Optional(v)(ok), "", " "},
		{"open, signed in", logto.Optional(v)(ok), alice, "alice "},
		{"accepted", logto.Require(v)(ok), alice, "alice "},
		{"accepted by both", logto.Require(v)(logto.Require(v)(ok)), alice, "alice "},
		{"Verify", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = v.Verify(r.Context(), alice) }), alice, "alice "},
		{"a panic", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer func() { _ = recover() }()
			logto.Require(v)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("x") })).ServeHTTP(w, r)
		}), alice, "alice "},
	} {
		if serve(accessLog(test.handler), test.token); line != test.want {
			t.Errorf("%s: %q, want %q", test.name, line, test.want)
		}
	}
}

// Who asks Logto is in the User-Agent header.
func TestUserAgent(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	for own, want := range map[string]string{"": "logto-go", "orders/1.2": "orders/1.2 logto-go", " x": "error", "a\nb": "error", "\u00fc": "error"} {
		cfg := issuer.Config()
		next := cfg.HTTPClient.Transport
		got := ""
		cfg.HTTPClient = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			got = r.Header.Get("User-Agent")
			return next.RoundTrip(r)
		})}
		cfg.UserAgent, cfg.Logger = own, capture
		v, err := logto.New(cfg)
		if err != nil {
			got = "error"
		} else if err := v.Refresh(ctx); err != nil {
			t.Error(err)
		}
		if got != want {
			t.Errorf("UserAgent %q: %q, want %q", own, got, want)
		}
	}
}

// What a requirement sets in its request is the caller's, refused or not.
func TestAuthenticateGivesBack(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	cfg := issuer.Config()
	cfg.Logger = capture
	v := newVerifier(t, cfg)
	for _, refuse := range []error{nil, errors.New("no")} {
		r := issuer.Authorize(httptest.NewRequest("GET", "/?note=x", nil), logtotest.Token{})
		_, err := v.Authenticate(r, logto.Check(func(r *http.Request, _ *logto.Claims) error {
			_ = r.FormValue("note")
			return refuse
		}))
		if (err != nil) != (refuse != nil) || r.Form.Get("note") != "x" {
			t.Errorf("error %v, form %v", err, r.Form)
		}
	}
}

// A token that nobody can send is malformed, whatever its length; one that is too long is not
// looked through.
func TestBearerToken(t *testing.T) {
	cfg := logtotest.NewIssuer(t).Config()
	cfg.Logger = capture
	h := logto.Require(newVerifier(t, cfg))(http.NotFoundHandler())
	for length, malformed := range map[int]bool{1: true, logto.MaxToken: true, logto.MaxToken + 1: false} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Authorization", "Bearer "+strings.Repeat("x", length-1)+":")
		if token, err := logto.BearerToken(r); (err != nil) != malformed || malformed != (logto.Reason(err) == "malformed_request") || malformed != (token == "") {
			t.Errorf("%d bytes: %v", length, err)
		}
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); (w.Code == 400) != malformed || w.Code == 404 {
			t.Errorf("%d bytes: status %d", length, w.Code)
		}
	}
}
