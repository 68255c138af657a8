package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync"
	"time"

	"github.com/seed-70fe37f4/logto/internal/policy"
)

const (
	maxBody  = 1 << 20 // bytes of an answer, decompressed
	maxToken = 64 << 10
)

var noURL url.URL

// newTransport makes what the library uses by default.
var newTransport = func() http.RoundTripper { return policy.NewTransport() }

// A recorder asks each address once, however often it is asked itself: what the
// library saw is what the report shows.
type recorder struct {
	next http.RoundTripper

	mu   sync.Mutex
	seen []*exchange
}

// An exchange is a request and how it ended.
type exchange struct {
	url     string // to be shown by shown
	status  int    // 0: no answer
	header  http.Header
	body    []byte // one byte more than maxBody if the answer was larger
	err     error  // of the request, or while reading the body
	tls     *tls.ConnectionState
	remote  string
	proxied bool
	start   time.Time
	took    time.Duration // until the header came
}

// shown is the address without what may be secret.
func (x *exchange) shown() string { return policy.Shown(x.url) }

func newRecorder() *recorder { return &recorder{next: newTransport()} }

func (r *recorder) first() *exchange {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.seen) == 0 {
		return nil
	}
	return r.seen[0]
}

// last is the exchange after redirects, if there were any.
func (r *recorder) last() *exchange {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.seen) == 0 {
		return nil
	}
	return r.seen[len(r.seen)-1]
}

func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, x := range r.seen {
		if x.url == req.URL.String() {
			return x.replay(req)
		}
	}
	x := r.ask(req)
	r.seen = append(r.seen, x)
	return x.replay(req)
}

func (r *recorder) ask(req *http.Request) *exchange {
	x := &exchange{url: req.URL.String(), start: time.Now()}
	if proxy, err := http.ProxyFromEnvironment(req); err == nil && proxy != nil && !policy.IsLoopback(req.URL.Hostname()) {
		x.proxied = true
	}
	res, err := r.next.RoundTrip(req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		GotConn: func(c httptrace.GotConnInfo) { x.remote = c.Conn.RemoteAddr().String() },
	})))
	x.took = time.Since(x.start)
	if err != nil {
		x.err = policy.ShownError(inTime(req.Context(), err))
		return x
	}
	defer res.Body.Close()
	x.status, x.header, x.tls = res.StatusCode, res.Header, res.TLS
	if x.body, err = io.ReadAll(io.LimitReader(res.Body, maxBody+1)); err != nil {
		x.err = policy.ShownError(inTime(req.Context(), err))
	}
	return x
}

// inTime gives the several errors of a request that ran out of time one text.
func inTime(ctx context.Context, err error) error {
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		return errTime
	}
	return err
}

var errTime = fmt.Errorf("no answer in time: %w", context.DeadlineExceeded)

func (x *exchange) replay(req *http.Request) (*http.Response, error) {
	if x.status == 0 {
		return nil, x.err
	}
	var body io.Reader = bytes.NewReader(x.body)
	if x.err != nil {
		body = io.MultiReader(body, failing{x.err})
	}
	return &http.Response{
		Status: fmt.Sprintf("%d %s", x.status, http.StatusText(x.status)), StatusCode: x.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: x.header.Clone(), ContentLength: -1,
		Request: req, Body: io.NopCloser(body),
	}, nil
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// get asks one address. It follows the redirects that the library would follow.
func (r *recorder) get(ctx context.Context, address string, timeout time.Duration) (*exchange, error) {
	client := &http.Client{Transport: r, Timeout: timeout, CheckRedirect: policy.CheckRedirect}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, policy.ShownError(err)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", policy.UserAgent) // a firewall must treat it as the library
	res, err := client.Do(req)
	if err != nil {
		return r.last(), policy.ShownError(err)
	}
	_ = res.Body.Close()
	x := r.exchange(res.Request.URL.String())
	switch {
	case x.err != nil:
		return x, x.err
	case len(x.body) > maxBody:
		return x, fmt.Errorf("the answer has over %d bytes", maxBody)
	}
	return x, nil
}

func (r *recorder) exchange(address string) *exchange {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, x := range r.seen {
		if x.url == address {
			return x
		}
	}
	return nil
}

// offline is a network that can't be reached.
type offline struct{}

func (offline) RoundTrip(*http.Request) (*http.Response, error) { return nil, errors.New("offline") }

// sink is a ResponseWriter that keeps the body.
type sink struct {
	header http.Header
	body   bytes.Buffer
}

func (s *sink) Header() http.Header {
	if s.header == nil {
		s.header = http.Header{}
	}
	return s.header
}
func (s *sink) WriteHeader(int)             {}
func (s *sink) Write(p []byte) (int, error) { return s.body.Write(p) }

// decodeJSON keeps numbers as they are written.
func decodeJSON(data []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("something follows the JSON value")
	}
	return nil
}
