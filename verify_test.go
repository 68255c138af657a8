package logto_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/logtotest"
)

// Whoever waited passes the verdict before the answer: a token that was good when it
// queued for its signature check, and isn't when its turn comes, is refused. So is one
// whose signature another request has verified meanwhile.
func TestVerdictAfterQueueing(t *testing.T) {
	for _, test := range []struct {
		name  string
		wait  func(s *service, other string)
		want  error
		cause string
	}{
		{"nothing happened", func(*service, string) { time.Sleep(time.Second) }, nil, ""},
		{"it expired", func(*service, string) { time.Sleep(10*time.Minute + 30*time.Second) }, logto.ErrExpired, "expired"},
		{"its key was removed", func(s *service, other string) {
			time.Sleep(logto.StaleAge - time.Second)
			s.issuer.Rotate("ES384")
			s.issuer.RemovePrevious()
			time.Sleep(time.Second)
			s.verify(other, nil, 0, 2) // behind this one, the key set is fetched
		}, logto.ErrInvalidToken, "unknown_key"},
	} {
		for _, meanwhile := range []bool{false, true} {
			t.Run(test.name, func(t *testing.T) {
				inBubble(t, func(s *service) {
					other := s.token()
					s.verify(other, nil, 0, 1)
					token := s.issuer.Token(logtotest.Token{User: "late", ExpiresIn: 10 * time.Minute})
					s.verify(token, nil, 0, 1)
					remember := s.v.Forget(token)
					free := s.v.OccupyChecks()
					done := make(chan error)
					go func() {
						_, err := s.v.Verify(ctx, token)
						done <- err
					}()
					synctest.Wait()
					test.wait(s, other)
					synctest.Wait()
					if meanwhile {
						remember()
					}
					free()
					if err := <-done; !errors.Is(err, test.want) || logto.Reason(err) != test.cause {
						t.Errorf("verified meanwhile %v: error %v, want %v", meanwhile, err, test.want)
					}
				})
			})
		}
	}
}

// A handler between two Requires may take its time: the verdict is asked again.
func TestVerdictBelowRequire(t *testing.T) {
	for _, test := range []struct {
		name      string
		wait      func(s *service)
		status    int
		challenge string
	}{
		{"nothing happened", func(*service) {}, 200, ""},
		{"it expired", func(*service) { time.Sleep(10*time.Minute + 30*time.Second) }, 401, expired},
		{"its key was removed", func(s *service) {
			s.issuer.Rotate("ES384")
			s.issuer.RemovePrevious()
			time.Sleep(logto.FetchPause)
			if err := s.v.Refresh(ctx); err != nil {
				s.Error(err)
			}
		}, 401, invalidToken},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(s *service) {
				inner := logto.Require(s.v)(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200) }))
				h := logto.Require(s.v)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					test.wait(s)
					inner.ServeHTTP(w, r)
				}))
				r := httptest.NewRequest("GET", "/", nil)
				r.Header.Set("Authorization", "Bearer "+s.issuer.Token(logtotest.Token{ExpiresIn: 10 * time.Minute}))
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				if test.status == 200 {
					if w.Code != 200 {
						t.Errorf("status %d", w.Code)
					}
					return
				}
				checkAnswer(t, w, test.status, test.challenge, s.issuer.Endpoint()+"/oidc")
			})
		})
	}
}

// A token that has expired is refused at once, whatever state the key set is in.
func TestExpiredWaitsForNoKey(t *testing.T) {
	inBubble(t, func(s *service) {
		remembered := s.issuer.Token(logtotest.Token{ExpiresIn: 10 * time.Minute})
		s.verify(remembered, nil, 0, 1)
		s.issuer.Fail(logtotest.Hang())
		time.Sleep(logto.DeadAge)
		s.verify(remembered, logto.ErrExpired, 0, 1)
		s.verify(s.issuer.Token(logtotest.Token{ExpiresIn: -time.Minute}), logto.ErrExpired, 0, 1)
	})
}
