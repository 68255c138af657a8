package bench

import (
	"net/http"
	"testing"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/logtotest"
)

// Each contestant refuses what it is measured refusing and accepts what it is
// measured accepting: no benchmark times an error path. Times decide nothing.
func TestContestants(t *testing.T) {
	for _, algorithm := range Algorithms {
		i := NewIssuer(algorithm, 3)
		t.Cleanup(i.Close)
		good := i.Tokens(2, logtotest.Token{})
		if status := (&writer{header: http.Header{}}).serve(protected(start(t, None, i)), requests(good[:1])[0]); status != http.StatusNoContent {
			t.Errorf("the handler alone answers %d", status)
		}
		for _, c := range Contestants {
			t.Run(algorithm+"/"+c.Name, func(t *testing.T) {
				checker := start(t, c, i)
				h := protected(checker)
				w := &writer{header: http.Header{}}
				for _, bad := range BadTokens {
					token := bad.Tokens(i, 1)[0]
					if subject, err := checker.Verify(t.Context(), token); err == nil {
						t.Errorf("Verify accepts %s as %q", bad.Name, subject)
					}
					if status := w.serve(h, requests([]string{token})[0]); status/100 != 4 {
						t.Errorf("the middleware answers %d to %s", status, bad.Name)
					}
				}
				// Twice: the second time a token may be a remembered one.
				for range 2 {
					for k, token := range good {
						want := []string{"user00000000", "user00000001"}[k]
						if got, err := checker.Verify(t.Context(), token); err != nil || got != want {
							t.Errorf("Verify: subject %q, error %v; want %q", got, err, want)
						}
						if status := w.serve(h, requests([]string{token})[0]); status != http.StatusNoContent {
							t.Errorf("the middleware answers %d to a good token", status)
						}
					}
				}
			})
		}
	}
}

func TestKeySets(t *testing.T) {
	for _, algorithm := range Algorithms {
		i := NewIssuer(algorithm, 10)
		t.Cleanup(i.Close)
		before := i.Fetches()
		for _, c := range Contestants {
			start(t, c, i).accepts(t, []string{i.Token(logtotest.Token{})})
		}
		if got, want := i.Fetches()-before, len(Contestants); got != want {
			t.Errorf("%s: %d fetches by %d contestants", algorithm, got, want)
		}
	}
}

// Junk is as long as it is meant to be, and is read as far as it is meant to.
func TestJunk(t *testing.T) {
	i := NewIssuer("ES384", 1)
	t.Cleanup(i.Close)
	c := start(t, Contestants[0], i)
	c.accepts(t, []string{i.Token(logtotest.Token{})})
	for _, junk := range Junk {
		for _, kind := range JunkKinds {
			token := junk.Token(i, kind.KeyID(i), kind.Bytes)
			if len(token) > kind.Bytes || len(token) < kind.Bytes*3/4 {
				t.Errorf("%s, %s: %d bytes", junk.Name, kind.Name, len(token))
			}
			_, err := c.Verify(t.Context(), token)
			t.Logf("%-35s %-17s %.150v", junk.Name, kind.Name, err)
			switch reason := logto.Reason(err); reason {
			case "signature":
			case "malformed", "audience", "issuer", "unknown_key", "key_not_yet_known":
				if kind.Name == "16KiB" {
					t.Errorf("%s, %s: read before its signature: %v", junk.Name, kind.Name, err)
				}
			default:
				t.Errorf("%s, %s: error %v", junk.Name, kind.Name, err)
			}
		}
	}
}

func TestTokenOfSize(t *testing.T) {
	i := NewIssuer("ES384", 1)
	t.Cleanup(i.Close)
	for _, size := range []int{1 << 10, 16 << 10, 1 << 20} {
		if got := len(i.TokenOfSize(size)); got > size || got < size-3 {
			t.Errorf("got a token of %d bytes, want %d", got, size)
		}
	}
}
