// Package memory reaches an http.Handler without a network: no port, usable in a
// testing/synctest bubble.
package memory

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
)

// Transport is an http.RoundTripper that calls a handler in place of a network. As
// with a network, the answer can be read while it is written, an abandoned
// request ends the handler's context, and the handler runs in a goroutine of its
// own, of which none is left when the answer has been read or given up.
type Transport struct{ Handler http.Handler }

// RoundTrip gives the handler's answer as soon as its header is written.
func (t Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	pr, pw := io.Pipe()
	w := &pipeWriter{header: http.Header{}, body: bufio.NewWriter(pw), ready: make(chan struct{})}
	go func() {
		err := io.EOF
		defer func() {
			if r := recover(); r != nil && r != http.ErrAbortHandler {
				panic(r)
			} else if r != nil {
				err = io.ErrUnexpectedEOF
			}
			if req.Context().Err() != nil {
				err = req.Context().Err()
			}
			w.WriteHeader(http.StatusOK)
			_ = w.body.Flush()
			_ = pw.CloseWithError(err)
		}()
		in := req.Clone(req.Context())
		if in.Body == nil {
			in.Body = http.NoBody
		}
		if in.Host == "" {
			in.Host = req.URL.Host
		}
		t.Handler.ServeHTTP(w, in)
	}()
	ctx := req.Context()
	select {
	case <-w.ready:
	case <-ctx.Done():
		_ = pr.CloseWithError(ctx.Err())
		return nil, ctx.Err()
	}
	// A body that never comes ends with the request.
	stop := make(chan struct{})
	go func() {
		select {
		case <-ctx.Done():
			_ = pw.CloseWithError(ctx.Err())
		case <-stop:
		}
	}()
	return &http.Response{
		Status: fmt.Sprintf("%d %s", w.status, http.StatusText(w.status)), StatusCode: w.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.sent, ContentLength: -1, Request: req,
		Body: &pipeBody{PipeReader: pr, stop: stop},
	}, nil
}

type pipeBody struct {
	*io.PipeReader
	once sync.Once
	stop chan struct{}
}

func (b *pipeBody) Close() error {
	b.once.Do(func() { close(b.stop) })
	return b.PipeReader.CloseWithError(errors.New("memory: body closed"))
}

type pipeWriter struct {
	header, sent http.Header
	status       int
	body         *bufio.Writer
	ready        chan struct{}
}

func (w *pipeWriter) Header() http.Header { return w.header }

func (w *pipeWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status, w.sent = status, w.header.Clone()
		close(w.ready)
	}
}

func (w *pipeWriter) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(p)
}

func (w *pipeWriter) Flush() {
	w.WriteHeader(http.StatusOK)
	_ = w.body.Flush()
}
