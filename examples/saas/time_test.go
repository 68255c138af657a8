package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-70fe37f4/logto/logtotest"
)

// pipe is a network for a synctest bubble.
type pipe struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p *pipe) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipe) Close() error {
	close(p.closed)
	return nil
}

func (p *pipe) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipe) dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	p.conns <- theirs
	return ours, nil
}

// The stream goes on beyond the server's WriteTimeout, and ends with its token, at its
// revocation, when its client leaves or when the service ends.
func TestEvents(t *testing.T) {
	for _, test := range []struct {
		name      string
		expiresIn time.Duration
		after     time.Duration // of the start
		do        func(t *testing.T, s *service, stop, leave context.CancelFunc)
		ends      time.Duration // after the start
		events    int
	}{
		{"the token has expired, within the leeway", -time.Second, 0, nil, 0, 0},
		{"the token expires", 62 * time.Second, 0, nil, 62 * time.Second, 13},
		{"suspended", 10 * time.Minute, 31 * time.Second, func(t *testing.T, s *service, _, _ context.CancelFunc) {
			if status := s.deliver(s.issuer.Suspend("alice")); status != 200 {
				t.Errorf("the webhook: status %d", status)
			}
		}, 35 * time.Second, 7},
		{"another is suspended", 62 * time.Second, 31 * time.Second, func(t *testing.T, s *service, _, _ context.CancelFunc) {
			if status := s.deliver(s.issuer.Suspend("bob")); status != 200 {
				t.Errorf("the webhook: status %d", status)
			}
		}, 62 * time.Second, 13},
		{"the client leaves", 10 * time.Minute, 31 * time.Second, func(_ *testing.T, _ *service, _, leave context.CancelFunc) {
			leave()
		}, 31 * time.Second, 7},
		{"the service ends", 10 * time.Minute, 31 * time.Second, func(t *testing.T, s *service, stop, _ context.CancelFunc) {
			stop()
			if err := s.server.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
		}, 31 * time.Second, 7},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				s := newService(t, ctx, isAdmin)
				network := &pipe{make(chan net.Conn), make(chan struct{})}
				served := make(chan error)
				go func() { served <- s.server.Serve(network) }()
				client := &http.Client{Transport: &http.Transport{DialContext: network.dial, DisableKeepAlives: true}}

				requestCtx, leave := context.WithCancel(t.Context())
				defer leave()
				r, err := http.NewRequestWithContext(requestCtx, "GET", "http://saas.test/events", nil)
				if err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				w, err := client.Do(s.issuer.Authorize(r, logtotest.Token{User: "alice", ExpiresIn: test.expiresIn}))
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = w.Body.Close() }()
				if w.StatusCode != 200 || w.Header.Get("Content-Type") != "text/event-stream" {
					t.Errorf("status %d, %v", w.StatusCode, w.Header)
				}
				done := make(chan struct{})
				go func() {
					defer close(done)
					if test.do != nil {
						time.Sleep(test.after)
						test.do(t, s, stop, leave)
					}
				}()
				events := 0
				lines := bufio.NewScanner(w.Body)
				for lines.Scan() {
					if at, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
						events++
						if sent, err := time.Parse(time.RFC3339, at); err != nil || !sent.Equal(time.Now()) {
							t.Errorf("%s arrives at %s", at, time.Now())
						}
					}
				}
				if err := lines.Err(); err != nil && !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
				synctest.Wait()
				if took := time.Since(start); took != test.ends || events != test.events {
					t.Errorf("%d events in %s, want %d in %s", events, took, test.events, test.ends)
				}
				if log := s.log.take(); !strings.Contains(log, `"path":"/events","status":200`) {
					t.Errorf("the handler has not returned, by the log:\n%s", log)
				}
				<-done
				_ = s.server.Close()
				if err := <-served; !errors.Is(err, http.ErrServerClosed) {
					t.Error(err)
				}
			})
		})
	}
}

// Who announces a body and sends none holds a connection no longer than ReadTimeout, on
// routes too that read none: net/http reads it before it answers.
func TestSlowBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, t.Context(), isAdmin)
		network := &pipe{make(chan net.Conn), make(chan struct{})}
		served := make(chan error)
		go func() { served <- s.server.Serve(network) }()
		conn, err := network.dial(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if _, err := io.WriteString(conn, "GET /feed HTTP/1.1\r\nHost: saas.test\r\nContent-Length: 1000\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		_ = conn.SetReadDeadline(start.Add(time.Hour))
		if _, err := io.Copy(io.Discard, conn); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took > 11*time.Second {
			t.Errorf("the connection was held for %s", took)
		}
		_ = s.server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
}

// Without keys it isn't ready; with keys it stays so, though Logto is away.
func TestReadiness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, t.Context(), isAdmin)
		s.issuer.Fail(logtotest.Status(503))
		for range 3 {
			if w := s.send("GET", "/readyz", ""); w.Code != 503 {
				t.Errorf("without keys: status %d", w.Code)
			}
			time.Sleep(5 * time.Second)
		}
		s.issuer.Fail(nil)
		s.send("GET", "/readyz", "") // it starts the fetch that is due
		synctest.Wait()
		for _, wait := range []time.Duration{0, time.Hour, 20 * time.Hour} {
			time.Sleep(wait)
			if w := s.send("GET", "/readyz", ""); w.Code != 200 {
				t.Errorf("with keys: status %d, %s", w.Code, w.Body)
			}
			synctest.Wait()
			s.issuer.Fail(logtotest.Status(503))
		}
	})
}

// While Logto is away, a service that has its keys goes on, and one that has none says so.
func TestOutage(t *testing.T) {
	for _, test := range []struct {
		name   string
		before bool // a request before the outage
		fault  http.Handler
		status int
	}{
		{"503, without keys", false, logtotest.Status(503), 503},
		{"hangs, without keys", false, logtotest.Hang(), 503},
		{"503, with keys", true, logtotest.Status(503), 200},
		{"hangs, with keys", true, logtotest.Hang(), 200},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newService(t, t.Context(), isAdmin)
				alice := s.issuer.Token(logtotest.Token{User: "alice"})
				if test.before {
					s.send("GET", "/account/profile", alice)
				}
				s.issuer.Fail(test.fault)
				start := time.Now()
				w := s.send("GET", "/account/profile", alice)
				if w.Code != test.status {
					t.Errorf("status %d, %s", w.Code, w.Body)
				}
				if took := time.Since(start); took > 5*time.Second {
					t.Errorf("after %s", took)
				}
				if w.Code == 503 {
					code := problemOf(t, w)
					if after := w.Header().Get("Retry-After"); code != "temporarily_unavailable" || after == "" || w.Header().Get("WWW-Authenticate") != "" {
						t.Errorf("%s, %v", code, w.Header())
					}
					s.issuer.Fail(nil)
					time.Sleep(time.Minute)
					if w := s.send("GET", "/account/profile", alice); w.Code != 200 {
						t.Errorf("after the outage: status %d, %s", w.Code, w.Body)
					}
				}
			})
		})
	}
}

// A token that was good is refused when it expires, remembered or not.
func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, t.Context(), isAdmin)
		alice := s.issuer.Token(logtotest.Token{User: "alice"})
		for _, test := range []struct {
			wait   time.Duration
			status int
		}{{0, 200}, {time.Hour + 29*time.Second, 200}, {time.Second, 401}} { // 30 s are the leeway
			time.Sleep(test.wait)
			w := s.send("GET", "/account/profile", alice)
			if w.Code != test.status {
				t.Errorf("after %s: status %d, %s", test.wait, w.Code, w.Body)
			}
			if w.Code == 401 && problemOf(t, w) != "invalid_token" {
				t.Errorf("%s", w.Body)
			}
		}
	})
}
