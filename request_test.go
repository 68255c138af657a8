package logto_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/logtotest"
)

type middleware = func(http.Handler) http.Handler

// layers are the middlewares behind which nothing of a request may differ, with the
// token that comes through.
func layers(t *testing.T, issuer *logtotest.Issuer) map[string]middleware {
	cfg := issuer.Config()
	cfg.Logger = capture
	v := newVerifier(t, cfg)
	other := newVerifier(t, cfg)
	strict := logto.Scopes("admin")
	return map[string]middleware{
		"Require":                 logto.Require(v),
		"Optional":                logto.Optional(v),
		"report only":             logto.InsecureReportOnly(v),
		"report only, refused":    logto.InsecureReportOnly(v, strict),
		"twice":                   func(h http.Handler) http.Handler { return logto.Require(v)(logto.Require(other)(h)) },
		"report only within":      func(h http.Handler) http.Handler { return logto.Require(v)(logto.InsecureReportOnly(v)(h)) },
		"report only around":      func(h http.Handler) http.Handler { return logto.InsecureReportOnly(v)(logto.Require(v)(h)) },
		"report only and refused": func(h http.Handler) http.Handler { return logto.InsecureReportOnly(v, strict)(logto.Require(v)(h)) },
		"ErrorHandler": func(h http.Handler) http.Handler {
			cfg := cfg
			cfg.ErrorHandler = func(w http.ResponseWriter, r *http.Request, _ error) { h.ServeHTTP(w, r) }
			return logto.Require(newVerifier(t, cfg), strict)(http.NotFoundHandler())
		},
	}
}

// look is all that can be seen of a request.
func look(r *http.Request) string {
	form := func(v url.Values) string {
		if v == nil {
			return "nil"
		}
		return v.Encode()
	}
	files := "nil"
	if r.MultipartForm != nil {
		files = fmt.Sprint(len(r.MultipartForm.File))
	}
	wrapped := 0
	if c, ok := r.Body.(*counted); ok {
		wrapped = c.times
	}
	return fmt.Sprintf("%s %s %s %d.%d, header %v, body %T, length %d, encoding %v, close %v, host %s, form %s, post form %s, files %s, wrapped %d times, trailer %v, from %s, URI %s, TLS %v, pattern %q, path values %q %q %q %q, user %q",
		r.Method, r.URL, r.Proto, r.ProtoMajor, r.ProtoMinor, r.Header["X-Test"], r.Body, r.ContentLength, r.TransferEncoding, r.Close, r.Host, form(r.Form), form(r.PostForm), files, wrapped, r.Trailer,
		r.RemoteAddr, r.RequestURI, r.TLS != nil, r.Pattern, r.PathValue("org"), r.PathValue("rest"), r.PathValue("own"), r.PathValue("outer"), logto.UserID(r.Context()))
}

// What can be seen of a request after it was served, by who stands outside, is what can
// be seen without the middleware: its context included.
func TestRequestAfterwards(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /outer/{org}/{rest...}", func(_ http.ResponseWriter, r *http.Request) { r.SetPathValue("org", r.PathValue("org")+"!") })
	handlers := map[string]http.HandlerFunc{
		"nothing":           func(http.ResponseWriter, *http.Request) {},
		"ParseForm":         func(_ http.ResponseWriter, r *http.Request) { _ = r.ParseForm() },
		"FormValue":         func(_ http.ResponseWriter, r *http.Request) { r.FormValue("a") },
		"a form of its own": func(_ http.ResponseWriter, r *http.Request) { r.Form = url.Values{"b": {"c"}} },
		"forms taken away":  func(_ http.ResponseWriter, r *http.Request) { _ = r.ParseForm(); r.Form, r.PostForm = nil, nil },
		"a mux":             mux.ServeHTTP,
		"SetPathValue": func(_ http.ResponseWriter, r *http.Request) {
			r.SetPathValue("own", "1")
			r.SetPathValue("outer", "changed")
		},
		"SetPathValue in a mux": func(w http.ResponseWriter, r *http.Request) { r.SetPathValue("own", "1"); mux.ServeHTTP(w, r) },
		"MaxBytesReader":        func(w http.ResponseWriter, r *http.Request) { r.Body = http.MaxBytesReader(w, r.Body, 1) },
		"a body of its own":     func(_ http.ResponseWriter, r *http.Request) { r.Body = funcBody{read: r.Body.Read} },
		"another body of its kind": func(_ http.ResponseWriter, r *http.Request) {
			if r.Body != nil {
				r.Body = &counted{r.Body, 1}
			}
		},
		"no body":  func(_ http.ResponseWriter, r *http.Request) { r.Body = http.NoBody },
		"nil body": func(_ http.ResponseWriter, r *http.Request) { r.Body = nil },
		"all else": func(_ http.ResponseWriter, r *http.Request) {
			r.Method, r.URL, r.Proto, r.ProtoMajor, r.ProtoMinor = "X", &url.URL{Path: "/x"}, "HTTP/9.8", 9, 8
			r.Header, r.ContentLength, r.TransferEncoding, r.Close = http.Header{"X-Test": {"2"}}, 7, []string{"x"}, true
			r.Host, r.Trailer, r.RemoteAddr, r.RequestURI, r.TLS, r.Pattern = "x", http.Header{"X": {"1"}}, "x", "x", nil, "GET /{own}"
		},
		"header fields": func(_ http.ResponseWriter, r *http.Request) { r.Header.Set("X-Test", "2") },
		"read":          func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) },
		"panic":         func(_ http.ResponseWriter, r *http.Request) { _ = r.ParseForm(); panic("mine") },
	}
	bodies := map[string]func(r *http.Request){
		"server's": func(*http.Request) {},
		"pointer":  func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("a=b")) },
		"struct that can't be compared": func(r *http.Request) {
			r.Body = funcBody{read: strings.NewReader("a=b").Read}
		},
		"pointer of its own": func(r *http.Request) { r.Body = &counted{r.Body, 0} },
		"none":               func(r *http.Request) { r.Body = http.NoBody },
		"nil":                func(r *http.Request) { r.Body = nil },
	}
	issuer := logtotest.NewIssuer(t)
	token := issuer.Token(logtotest.Token{User: "alice"})
	served := func(name string, h http.Handler, body func(r *http.Request)) (seen string) {
		outer, pattern := http.NewServeMux(), "/{outer}/"
		if strings.Contains(name, "mux") {
			pattern = "/outer/" // net/http forgets the values of an outer pattern; with the middleware they stay
		}
		outer.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			body(r)
			defer func() { seen = look(r) }()
			h.ServeHTTP(w, r)
		})
		r := httptest.NewRequest("POST", "/outer/o1/x/y?q=1", strings.NewReader("a=b"))
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("X-Test", "1")
		r.TLS = &tls.ConnectionState{}
		defer func() { _ = recover() }()
		outer.ServeHTTP(httptest.NewRecorder(), r)
		return
	}
	for layer, protect := range layers(t, issuer) {
		for name, h := range handlers {
			for from, body := range bodies {
				if (name == "read" || name == "a body of its own") && from == "nil" {
					continue
				}
				want, got := served(name, h, body), served(name, protect(h), body)
				if want == "" || got != want {
					t.Errorf("%s, %s, body %s: seen outside\n%s, want\n%s", layer, name, from, got, want)
				}
			}
		}
	}
}

// counted is a body that can be told from another one.
type counted struct {
	io.ReadCloser
	times int
}

// funcBody can't be compared: == panics.
type funcBody struct{ read func([]byte) (int, error) }

func (b funcBody) Read(p []byte) (int, error) { return b.read(p) }
func (b funcBody) Close() error               { return nil }

// net/http removes the files of an upload by the request that it made.
func TestUploadsLeaveNoFiles(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	token := issuer.Token(logtotest.Token{})
	var form bytes.Buffer
	m := multipart.NewWriter(&form)
	for i := range 5 {
		w, _ := m.CreateFormFile("file", fmt.Sprint(i))
		_, _ = w.Write(make([]byte, 11<<10))
	}
	_ = m.Close()
	for layer, protect := range layers(t, issuer) {
		for _, panics := range []bool{false, true} {
			dir := t.TempDir()
			t.Setenv("TMPDIR", dir)
			t.Setenv("TMP", dir) // of Windows
			written := 0
			upload := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				if err := r.ParseMultipartForm(1); err != nil {
					t.Error(err)
				}
				files, _ := os.ReadDir(dir)
				written = len(files)
				if panics {
					panic("mine")
				}
			})
			protected := protect(upload)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				defer func() { _ = recover() }()
				protected.ServeHTTP(w, r)
			}))
			r, _ := http.NewRequest("POST", server.URL, bytes.NewReader(form.Bytes()))
			r.Header.Set("Authorization", "Bearer "+token)
			r.Header.Set("Content-Type", m.FormDataContentType())
			res, err := server.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			server.Close()
			left, _ := os.ReadDir(dir)
			if written == 0 || len(left) > 0 {
				t.Errorf("%s, panics %v: %d files written, %d left", layer, panics, written, len(left))
			}
		}
	}
}

// Trailer fields come when the body has been read: to the handler and to who stands
// outside, announced or not.
func TestTrailers(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	all := layers(t, issuer)
	all["none"] = func(h http.Handler) http.Handler { return h }
	for layer, protect := range all {
		for _, announced := range []string{"", "Trailer: X-Sum\r\n"} {
			var within, outside string
			h := protect(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				within = fmt.Sprint(r.Trailer)
			}))
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				h.ServeHTTP(w, r)
				outside = fmt.Sprint(r.Trailer)
			}))
			conn, err := net.Dial("tcp", server.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+issuer.Token(logtotest.Token{})+
				"\r\n"+announced+"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-Sum: 1\r\n\r\n")
			if _, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil {
				t.Error(err)
			}
			_ = conn.Close()
			server.Close()
			if want := "map[X-Sum:[1]]"; within != want || outside != want {
				t.Errorf("%s, announced %q: within %s, outside %s", layer, announced, within, outside)
			}
		}
	}
}

// Only a body whose end nobody knows may have trailer fields that come unannounced: for
// others the request has none, and says so.
func TestNoTrailers(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	for layer, protect := range layers(t, issuer) {
		for _, body := range []string{"", "x"} {
			r := httptest.NewRequest("POST", "/", strings.NewReader(body))
			r.Header.Set("Authorization", "Bearer "+issuer.Token(logtotest.Token{}))
			var within http.Header
			protect(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { within = r.Trailer })).ServeHTTP(httptest.NewRecorder(), r)
			if within != nil || r.Trailer != nil {
				t.Errorf("%s, body %q: within %#v, outside %#v", layer, body, within, r.Trailer)
			}
		}
	}
}

// A form that a requirement has read from the body is there for the handler, though the
// request is only reported as refused.
func TestReportOnlyKeepsTheForm(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	cfg := issuer.Config()
	cfg.Logger = capture
	refuse := logto.Check(func(r *http.Request, _ *logto.Claims) error {
		_ = r.ParseForm()
		return logto.ErrForbidden
	})
	r := httptest.NewRequest("POST", "/", strings.NewReader("a=1"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Authorization", "Bearer "+issuer.Token(logtotest.Token{}))
	got := ""
	logto.InsecureReportOnly(newVerifier(t, cfg), refuse)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got = r.PostFormValue("a")
	})).ServeHTTP(httptest.NewRecorder(), r)
	if got != "1" {
		t.Errorf("form value %q", got)
	}
}

// What nobody changes is not written: an outer handler may read the request meanwhile, as
// may whoever is handed it at the same time. This one is for the race detector.
func TestRequestIsNotWritten(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Authorization", "Bearer "+issuer.Token(logtotest.Token{}))
	for _, protect := range layers(t, issuer) {
		var wg sync.WaitGroup
		h := protect(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		for range 4 {
			wg.Go(func() { h.ServeHTTP(httptest.NewRecorder(), r); look(r) })
		}
		wg.Wait()
	}
}

// InsecureReportOnly changes nothing of what the middlewares around it and within do and
// tell: for each token, the answers are those of the chain without it. Alone, it tells a
// handler who is calling if Require had let the request in.
func TestReportOnlyChangesNothing(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	other := logtotest.New(issuer.Endpoint())
	cfg := issuer.Config()
	cfg.Logger = capture
	cfg.ErrorHandler = func(w http.ResponseWriter, r *http.Request, err error) {
		w.Header().Set("X-Seen", look(r))
		logto.WriteError(w, r, err)
	}
	v := newVerifier(t, cfg)
	cfg.Audiences = []string{"https://second.example.test"}
	v2 := newVerifier(t, cfg)
	anyOrganization, read := logto.AnyOrganization(), logto.Scopes("read")
	inject := func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h.ServeHTTP(w, r.WithContext(issuer.Context(r.Context(), logtotest.Token{User: "injected"})))
		})
	}
	reports := map[string]middleware{
		"same": logto.InsecureReportOnly(v), "a scope": logto.InsecureReportOnly(v, logto.Scopes("new")), "other verifier": logto.InsecureReportOnly(v2),
		"an organization": logto.InsecureReportOnly(v, anyOrganization), "twice": func(h http.Handler) http.Handler {
			return logto.InsecureReportOnly(v)(logto.InsecureReportOnly(v2, anyOrganization)(h))
		},
	}
	chains := map[string][]middleware{
		"Require": {logto.Require(v)}, "Optional": {logto.Optional(v)}, "with a scope": {logto.Require(v, read)},
		"with an organization": {logto.Require(v, anyOrganization)}, "nested": {logto.Require(v, anyOrganization), logto.Require(v, read)},
		"other verifier": {logto.Require(v2)}, "Optional, Require": {logto.Optional(v), logto.Require(v, read)},
		"NewContext": {inject}, "NewContext, Require": {inject, logto.Require(v)},
	}
	tokens := map[string]string{
		"none": "", "opaque": "opaque", "good": issuer.Token(logtotest.Token{User: "alice"}), "scope": issuer.Token(logtotest.Token{User: "bob", Scopes: []string{"read"}}),
		"organization":           issuer.Token(logtotest.Token{User: "carol", Organization: "o1"}),
		"scope, organization":    issuer.Token(logtotest.Token{User: "dave", Organization: "o1", Scopes: []string{"read", "new"}}),
		"both audiences":         issuer.Token(logtotest.Token{User: "erin", Claims: map[string]any{"aud": []string{logtotest.Audience, "https://second.example.test"}}}),
		"second audience":        issuer.Token(logtotest.Token{User: "frank", Audience: "https://second.example.test"}),
		"unknown key":            other.Token(logtotest.Token{Claims: aged()}),
		"bad signature":          logtotest.BadSignature(issuer.Token(logtotest.Token{})),
		"bound to no known one":  issuer.Token(logtotest.Token{User: "gina", Scopes: []string{"read"}, Claims: map[string]any{"organization_id": 1}}),
		"machine":                issuer.Token(logtotest.Token{Machine: true, Scopes: []string{"read"}}),
		"expired":                issuer.Token(logtotest.Token{ExpiresIn: -time.Hour}),
		"scope, no organization": issuer.Token(logtotest.Token{User: "hal", Scopes: []string{"read", "new"}}),
	}
	hello := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, ok := logto.FromContext(r.Context())
		subject := ""
		if ok {
			subject = c.Subject()
		}
		_, _ = io.WriteString(w, look(r)+" subject "+subject+" organization "+logto.OrganizationID(r.Context()))
		logto.WriteError(httptest.NewRecorder(), r, io.EOF)
	})
	build := func(chain []middleware) http.Handler {
		h := http.Handler(hello)
		for _, m := range slices.Backward(chain) {
			h = m(h)
		}
		return h
	}
	answer := func(h http.Handler, token string) string {
		w := serve(h, token)
		return fmt.Sprint(w.Code, w.Header(), w.Body)
	}
	for chainName, chain := range chains {
		for tokenName, token := range tokens {
			want := answer(build(chain), token)
			for reportName, report := range reports {
				for at := range len(chain) + 1 {
					if got := answer(build(slices.Insert(slices.Clone(chain), at, report)), token); got != want {
						t.Errorf("%s, token %s, report only of %s at place %d: answer\n%s, want\n%s", chainName, tokenName, reportName, at, got, want)
					}
				}
			}
		}
	}
	// A Require within verifies the token itself.
	seen := &events{}
	cfg = issuer.Config()
	cfg.CacheSize, cfg.Observer = -1, seen.observe
	v = newVerifier(t, cfg)
	serve(logto.InsecureReportOnly(v)(logto.Require(v)(hello)), tokens["good"])
	if all := seen.take(); all[len(all)-1].ReportOnly || all[len(all)-1].Remembered {
		t.Errorf("events %+v", all)
	}
	// A layer that refuses, or stands below another one, hands on the request itself.
	for name, h := range map[string]func(http.Handler) http.Handler{
		"refused": logto.InsecureReportOnly(v, logto.Scopes("new")),
		"second":  func(h http.Handler) http.Handler { return logto.InsecureReportOnly(v)(h) },
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Authorization", "Bearer "+tokens["good"])
		if name == "second" {
			r = r.WithContext(issuer.Context(context.Background(), logtotest.Token{}))
		}
		var got *http.Request
		h(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r })).ServeHTTP(httptest.NewRecorder(), r)
		if got != r {
			t.Errorf("%s: another request", name)
		}
	}
}
