package recipes

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/logtotest"
	"github.com/seed-70fe37f4/logto/revocation"
)

func TestEvents(t *testing.T) {
	for _, test := range []struct {
		name string
		do   func(ctx context.Context, issuer *logtotest.Issuer, list *revocation.List, news chan<- string, leave func())
		ends time.Duration
		body string
	}{
		{"nothing happens: it ends when the token expires",
			func(context.Context, *logtotest.Issuer, *revocation.List, chan<- string, func()) {},
			40 * time.Second, ": hello\n\n: still here\n\n: still here\n\n"},
		{"news", func(_ context.Context, _ *logtotest.Issuer, _ *revocation.List, news chan<- string, _ func()) {
			time.Sleep(10 * time.Second)
			news <- "one"
			news <- "two"
		}, 40 * time.Second, ": hello\n\ndata: one\n\ndata: two\n\n: still here\n\n: still here\n\n"},
		{"the user is suspended", func(_ context.Context, issuer *logtotest.Issuer, list *revocation.List, news chan<- string, _ func()) {
			time.Sleep(20 * time.Second)
			list.Webhook(issuer.SigningKey()).ServeHTTP(httptest.NewRecorder(), issuer.Suspend("alice"))
			time.Sleep(2 * time.Second)
			news <- "secret"
		}, 22 * time.Second, ": hello\n\n: still here\n\n"},
		{"one token is revoked, and no news come", func(ctx context.Context, _ *logtotest.Issuer, list *revocation.List, _ chan<- string, _ func()) {
			time.Sleep(20 * time.Second)
			_ = list.Revoke(ctx, revocation.Revocation{TokenID: "t1"})
		}, 30 * time.Second, ": hello\n\n: still here\n\n"},
		{"the client leaves", func(_ context.Context, _ *logtotest.Issuer, _ *revocation.List, _ chan<- string, leave func()) {
			time.Sleep(5 * time.Second)
			leave()
		}, 5 * time.Second, ": hello\n\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				issuer := logtotest.NewIssuer(t)
				list, err := revocation.New(revocation.Config{Logger: quiet})
				if err != nil {
					t.Fatal(err)
				}
				cfg := issuer.Config()
				cfg.Revoked = list.Check
				news := make(chan string)
				h := logto.Require(newVerifier(t, cfg))(stream(list, news))

				ctx, leave := context.WithCancel(t.Context())
				defer leave()
				r := httptest.NewRequestWithContext(ctx, "GET", "/events", nil)
				issuer.Authorize(r, logtotest.Token{User: "alice", ExpiresIn: 40 * time.Second, Claims: map[string]any{"jti": "t1"}})
				go test.do(t.Context(), issuer, list, news, leave)
				start, w := time.Now(), httptest.NewRecorder()
				h.ServeHTTP(w, r)
				if took := time.Since(start); took != test.ends {
					t.Errorf("ended after %v, want %v", took, test.ends)
				}
				if w.Code != 200 || w.Body.String() != test.body || w.Header().Get("Content-Type") != "text/event-stream" || !w.Flushed {
					t.Errorf("status %d, header %v, flushed %v, body %q\nwant %q", w.Code, w.Header(), w.Flushed, w.Body, test.body)
				}
			})
		})
	}
}

func TestEventsRefused(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	list, err := revocation.New(revocation.Config{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	h := stream(list, nil)
	expect(t, h, []expectation{{"without Require", "GET", "/events", bearer(issuer, logtotest.Token{}), 500, nil, "this handler is not behind Require"}})
	expect(t, logto.Require(newVerifier(t, issuer.Config()))(h), []expectation{
		{"no token", "GET", "/events", nil, 401, map[string]string{"WWW-Authenticate": realm, "Content-Type": "application/json"}, ""},
		// Within the leeway Require lets it in; the stream has nothing to say.
		{"just expired", "GET", "/events", bearer(issuer, logtotest.Token{ExpiresIn: -10 * time.Second}), 200,
			map[string]string{"Content-Type": "text/event-stream"}, ""},
	})
}

// A server's WriteTimeout doesn't end a stream that goes on; a client that reads no more does.
func TestEventsDeadline(t *testing.T) {
	for _, test := range []struct {
		name  string
		reads time.Duration // for how long
		ends  time.Duration
		news  bool // end
	}{
		{"reads nothing", 0, 10 * time.Second, false},
		{"reads no more", 20 * time.Second, 40 * time.Second, false}, // what comes at 30 s is not read
		{"reads, to the end of the token", time.Hour, 2 * time.Minute, false},
		{"there will be no news", time.Hour, 0, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				list, err := revocation.New(revocation.Config{Logger: quiet})
				if err != nil {
					t.Fatal(err)
				}
				issuer, start, news := logtotest.NewIssuer(t), time.Now(), make(chan string)
				if test.news {
					close(news)
				}
				ctx := issuer.Context(t.Context(), logtotest.Token{User: "alice", ExpiresIn: 2 * time.Minute})
				w := &connection{ResponseRecorder: httptest.NewRecorder(), reads: start.Add(test.reads), deadline: start.Add(time.Second)}
				stream(list, news).ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "/events", nil))
				if took := time.Since(start); took != test.ends {
					t.Errorf("ended after %v, want %v", took, test.ends)
				}
			})
		})
	}
}

// connection is one with a deadline, whose client reads until then.
type connection struct {
	*httptest.ResponseRecorder
	reads, deadline time.Time
}

func (c *connection) SetWriteDeadline(t time.Time) error { c.deadline = t; return nil }

func (c *connection) Write(b []byte) (int, error) {
	if now := time.Now(); now.After(c.deadline) || !now.Before(c.reads) {
		if c.deadline.IsZero() {
			select {} // for ever
		}
		time.Sleep(time.Until(c.deadline))
		return 0, os.ErrDeadlineExceeded
	}
	return c.ResponseRecorder.Write(b)
}

func (c *connection) WriteString(s string) (int, error) { return c.Write([]byte(s)) }

var _ http.ResponseWriter = (*connection)(nil)
