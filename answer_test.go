package logto_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/logtotest"
)

// A refused request is never a 200 unless an ErrorHandler says so: an answer is a final
// status, a body, or a connection that was taken over, and nothing else.
func TestErrorHandlerAnswers(t *testing.T) {
	type writer = http.ResponseWriter
	controller := http.NewResponseController
	const ours, mine = `{"error":"invalid_token","error_description":"The access token is not valid"}` + "\n", "mine"
	write := func(w io.Writer, s string) { _, _ = w.Write([]byte(s)) }
	var issuer = logtotest.NewIssuer(t)
	for _, test := range []struct {
		name    string
		handler func(w writer, r *http.Request)
		status  int
		body    string
	}{
		// No answer.
		{"nothing", func(writer, *http.Request) {}, 401, ours},
		{"header fields", func(w writer, _ *http.Request) { w.Header().Set("Content-Type", "text/plain") }, 401, ours},
		{"103", func(w writer, _ *http.Request) { w.Header().Set("Link", "</x>"); w.WriteHeader(103) }, 401, ours},
		{"100", func(w writer, _ *http.Request) { w.WriteHeader(100) }, 401, ours},
		{"102 twice", func(w writer, _ *http.Request) { w.WriteHeader(102); w.WriteHeader(102) }, 401, ours},
		{"199", func(w writer, _ *http.Request) { w.WriteHeader(199) }, 401, ours},
		{"Write of nothing", func(w writer, _ *http.Request) { write(w, "") }, 401, ours},
		{"WriteString of nothing", func(w writer, _ *http.Request) { _, _ = io.WriteString(w, "") }, 401, ours},
		{"Copy of nothing", func(w writer, _ *http.Request) { _, _ = io.Copy(w, strings.NewReader("")) }, 401, ours},
		{"Copy of nothing, no WriterTo", func(w writer, _ *http.Request) { _, _ = io.Copy(w, io.LimitReader(strings.NewReader(""), 1)) }, 401, ours},
		{"Flush by a controller", func(w writer, _ *http.Request) { _ = controller(w).Flush() }, 401, ours},
		{"Flush", func(w writer, _ *http.Request) { w.(http.Flusher).Flush() }, 401, ours},
		{"103 and Flush", func(w writer, _ *http.Request) { w.WriteHeader(103); _ = controller(w).Flush() }, 401, ours},
		{"deadlines", func(w writer, _ *http.Request) {
			must(nil, controller(w).SetReadDeadline(time.Now().Add(time.Hour)))
			must(nil, controller(w).SetWriteDeadline(time.Now().Add(time.Hour)))
		}, 401, ours},
		{"EnableFullDuplex", func(w writer, r *http.Request) {
			must(io.ReadAll(r.Body))
			must(nil, controller(w).EnableFullDuplex())
		}, 401, ours},
		{"Unwrap", func(w writer, _ *http.Request) { w.(interface{ Unwrap() writer }).Unwrap() }, 401, ours},
		{"a buffer that is never flushed", func(w writer, _ *http.Request) { write(bufio.NewWriter(w), mine) }, 401, ours},

		// A body has the refusal's status.
		{"Write", func(w writer, _ *http.Request) { write(w, mine) }, 401, mine},
		{"WriteString", func(w writer, _ *http.Request) { _, _ = io.WriteString(w, mine) }, 401, mine},
		{"Copy", func(w writer, _ *http.Request) { _, _ = io.Copy(w, strings.NewReader(mine)) }, 401, mine},
		{"Copy, no WriterTo", func(w writer, _ *http.Request) { _, _ = io.Copy(w, io.LimitReader(strings.NewReader(mine), 9)) }, 401, mine},
		{"Fprint", func(w writer, _ *http.Request) { _, _ = fmt.Fprint(w, mine) }, 401, mine},
		{"Write of nothing, then Write", func(w writer, _ *http.Request) { write(w, ""); write(w, mine) }, 401, mine},
		{"Flush, then Write", func(w writer, _ *http.Request) { _ = controller(w).Flush(); write(w, mine) }, 401, mine},
		{"103, then Write", func(w writer, _ *http.Request) { w.WriteHeader(103); write(w, mine) }, 401, mine},
		{"Write and Flush", func(w writer, _ *http.Request) { write(w, mine); _ = controller(w).Flush() }, 401, mine},

		// A final status is what the handler wants.
		{"418", func(w writer, _ *http.Request) { w.WriteHeader(418) }, 418, ""},
		{"103, then 418", func(w writer, _ *http.Request) { w.WriteHeader(103); w.WriteHeader(418) }, 418, ""},
		{"redirect", func(w writer, r *http.Request) { http.Redirect(w, r, "/sign-in", http.StatusSeeOther) }, 303, ""},
		{"Error", func(w writer, _ *http.Request) { http.Error(w, mine, 404) }, 404, mine + "\n"},
		{"200 and a body", func(w writer, _ *http.Request) { w.WriteHeader(200); write(w, mine) }, 200, mine},
		{"200 and Flush", func(w writer, _ *http.Request) { w.WriteHeader(200); _ = controller(w).Flush() }, 200, ""},
		{"WriteError", func(w writer, r *http.Request) { logto.WriteError(w, r, logto.ErrForbidden) }, 403,
			`{"error":"access_denied","error_description":"The access token does not permit this"}` + "\n"},
		{"taken over", func(w writer, _ *http.Request) {
			conn, buf, err := controller(w).Hijack()
			must(nil, err)
			_, _ = buf.WriteString("HTTP/1.1 499 Mine\r\nConnection: close\r\n\r\n" + mine)
			_ = buf.Flush()
			_ = conn.Close()
		}, 499, mine},
		{"taken over as http.Hijacker", func(w writer, _ *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			must(nil, err)
			_, _ = io.WriteString(conn, "HTTP/1.1 499 Mine\r\nConnection: close\r\n\r\n"+mine)
			_ = conn.Close()
		}, 499, mine},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := issuer.Config()
			cfg.Logger = capture
			cfg.ErrorHandler = func(w http.ResponseWriter, r *http.Request, _ error) { test.handler(w, r) }
			complaints := &logBuffer{} // such as of a second answer
			server := httptest.NewUnstartedServer(logto.Require(newVerifier(t, cfg))(http.NotFoundHandler()))
			server.Config.ErrorLog = log.New(complaints, "", 0)
			server.Start()
			defer func() {
				if server.Close(); complaints.String() != "" {
					t.Error(complaints)
				}
			}()
			client := server.Client()
			client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			r, _ := http.NewRequest("POST", server.URL, strings.NewReader("x"))
			r.Header.Set("Authorization", "Bearer opaque")
			res, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			body, _ := io.ReadAll(res.Body)
			if res.StatusCode != test.status || string(body) != test.body {
				t.Errorf("status %d, body %q, want %d, %q", res.StatusCode, body, test.status, test.body)
			}
			challenge := `Bearer realm="` + issuer.Endpoint() + `/oidc"` + invalidToken
			if test.status == 401 && (res.Header.Get("WWW-Authenticate") != challenge || res.Header.Get("Cache-Control") != "no-store") {
				t.Errorf("header %v", res.Header)
			}
		})
	}
}

// What an ErrorHandler has set stands before what belongs to the refusal.
func TestErrorHandlersHeader(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	cfg := issuer.Config()
	cfg.Logger = capture
	cfg.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) {
		w.Header().Set("Cache-Control", "private")
		w.Header().Set("WWW-Authenticate", "Mine")
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, "mine")
	}
	h := serve(logto.Require(newVerifier(t, cfg))(http.NotFoundHandler()), "opaque").Header()
	if h.Get("Cache-Control") != "private" || h.Get("WWW-Authenticate") != "Mine" || h.Get("Content-Type") != "text/plain" {
		t.Errorf("header %v", h)
	}
}

// A ResponseWriter that can do less is asked for no more, and what it can't do is no
// answer.
func TestErrorHandlerOverPlainWriter(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	for name, test := range map[string]struct {
		handler func(w http.ResponseWriter)
		want    string
	}{
		"Hijack fails":        {func(w http.ResponseWriter) { _, _, _ = http.NewResponseController(w).Hijack() }, "401 body"},
		"Flush fails":         {func(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() }, "401 body"},
		"switching protocols": {func(w http.ResponseWriter) { w.WriteHeader(http.StatusSwitchingProtocols) }, "101"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := issuer.Config()
			cfg.Logger = capture
			cfg.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { test.handler(w) }
			r := httptest.NewRequest("GET", "/", nil)
			r.Header.Set("Authorization", "Bearer opaque")
			w := &plainWriter{header: http.Header{}}
			logto.Require(newVerifier(t, cfg))(http.NotFoundHandler()).ServeHTTP(w, r)
			if got := strings.Join(w.calls, " "); got != test.want {
				t.Errorf("calls %q, want %q", got, test.want)
			}
		})
	}
}

// What an ErrorHandler flushes is flushed, if there is something; and a Write of nothing
// has written nothing.
func TestErrorHandlerFlushes(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	for name, flush := range map[string]func(w http.ResponseWriter){
		"Flusher":    func(w http.ResponseWriter) { w.(http.Flusher).Flush() },
		"controller": func(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() },
	} {
		for _, body := range []string{"", "mine"} {
			cfg := issuer.Config()
			cfg.Logger = capture
			var n int
			var err error
			flushed := false
			cfg.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) {
				n, err = w.Write([]byte(body))
				flush(w)
				flushed = w.(interface{ Unwrap() http.ResponseWriter }).Unwrap().(*httptest.ResponseRecorder).Flushed
			}
			serve(logto.Require(newVerifier(t, cfg))(http.NotFoundHandler()), "opaque")
			if n != len(body) || err != nil || flushed != (body != "") {
				t.Errorf("%s, body %q: %d written, error %v, flushed %v", name, body, n, err, flushed)
			}
		}
	}
}

type plainWriter struct {
	header http.Header
	calls  []string
}

func (w *plainWriter) Header() http.Header    { return w.header }
func (w *plainWriter) WriteHeader(status int) { w.calls = append(w.calls, fmt.Sprint(status)) }
func (w *plainWriter) Write(p []byte) (int, error) {
	w.calls = append(w.calls, "body")
	return len(p), nil
}

// An ErrorHandler that panics ends its request, as a handler does: nothing is answered.
func TestErrorHandlerPanics(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	for _, value := range []any{"mine", http.ErrAbortHandler} {
		cfg := issuer.Config()
		cfg.Logger = capture
		cfg.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(value) }
		server := httptest.NewUnstartedServer(logto.Require(newVerifier(t, cfg))(http.NotFoundHandler()))
		server.Config.ErrorLog = discardLog
		server.Start()
		if res, err := server.Client().Get(server.URL); err == nil {
			t.Errorf("panic(%v): status %d", value, res.StatusCode)
		}
		server.Close()
	}
}

// What writers get is theirs: one that changes it, or keeps it, changes no other answer.
func TestAnswersAreNotShared(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	cfg := issuer.Config()
	cfg.Logger = capture
	v := newVerifier(t, cfg)
	for name, h := range map[string]http.Handler{
		"metadata": v.ResourceMetadata(logtotest.Audience, "read"), "refusal": logto.Require(v)(http.NotFoundHandler()),
	} {
		first := serve(h, "").Body.String()
		h.ServeHTTP(vandal{http.Header{}}, httptest.NewRequest("GET", "/", nil))
		if got := serve(h, "").Body.String(); got != first || first == "" {
			t.Errorf("%s: %q, then %q", name, first, got)
		}
	}
}

// vandal breaks the rules of io.Writer.
type vandal struct{ header http.Header }

func (w vandal) Header() http.Header { return w.header }
func (w vandal) WriteHeader(int)     {}
func (w vandal) Write(p []byte) (int, error) {
	copy(p, bytes.Repeat([]byte("x"), len(p)))
	return len(p), nil
}
