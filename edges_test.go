package logto_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/logtotest"
)

// Bounds, on both sides. The numbers stand here as they are promised, not by the
// names that the code has for them: a test that follows a constant doesn't notice
// when it changes.

// tokenOfSize mints a good token of n bytes.
func tokenOfSize(t *testing.T, issuer *logtotest.Issuer, n int) string {
	t.Helper()
	with := func(object string, size int) string {
		return strings.TrimSuffix(object, "}") + `,"x":"` + strings.Repeat("x", size-len(object)-7) + `"}`
	}
	const signature = 128 // characters, for ES384
	coded := base64.RawURLEncoding
	for more := 7; more < 10; more++ { // not each size can be had by the payload alone
		header := with(goodHeader(issuer), len(goodHeader(issuer))+more)
		part := n - coded.EncodedLen(len(header)) - signature - 2
		if size := coded.DecodedLen(part); coded.EncodedLen(size) == part {
			if token := issuer.Sign(header, with(goodPayload(issuer), size)); len(token) == n {
				return token
			}
		}
	}
	t.Fatalf("no token of %d bytes", n)
	return ""
}

// One character that is none of a token68's makes the header malformed, wherever it stands.
func TestToken68Places(t *testing.T) {
	for length := 1; length <= 40; length++ {
		good := strings.Repeat("a.b-C_7~+/", 4)[:length]
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Authorization", "Bearer "+good+"==")
		if token, err := logto.BearerToken(r); err != nil || token != good+"==" {
			t.Errorf("%s: %s, %v", good, token, err)
		}
		for at := range length {
			for _, c := range []string{"%", "\xff", ",", "\x7f"} {
				r.Header.Set("Authorization", "Bearer "+good[:at]+c+good[at+1:])
				if _, err := logto.BearerToken(r); logto.Reason(err) != "malformed_request" {
					t.Errorf("%q at %d of %d: %v", c, at, length, err)
				}
			}
		}
	}
}

func TestTokenEdges(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	v := newVerifier(t, issuer.Config())
	good := issuer.Token(logtotest.Token{})
	parts := strings.Split(good, ".")
	nested := func(open, inner, end string, n int) string {
		return rawClaim(issuer, `"x":`+strings.Repeat(open, n)+inner+strings.Repeat(end, n))
	}
	const most = 63 // in the payload, which is an object itself
	header := func(size int) string {
		h := strings.TrimSuffix(goodHeader(issuer), "}") + `,"x":"`
		return issuer.Sign(h+strings.Repeat("x", size-len(h)-2)+`"}`, goodPayload(issuer))
	}
	for _, test := range []struct{ name, token, reason string }{
		// encoding/base64 passes over them, and over the first one, too.
		{"line feed first in the payload", parts[0] + ".\n" + parts[1] + "." + parts[2], "malformed"},
		{"line feed first in the signature", parts[0] + "." + parts[1] + ".\n" + parts[2], "malformed"},
		{"carriage return first in the payload", parts[0] + ".\r" + parts[1] + "." + parts[2], "malformed"},
		{"carriage return first in the signature", parts[0] + "." + parts[1] + ".\r" + parts[2], "malformed"},

		{"longest", tokenOfSize(t, issuer, 16<<10), ""},
		{"one byte too long", tokenOfSize(t, issuer, 16<<10+1), "malformed"},
		{"longest header", header(512 * 3 / 4), ""},
		{"header too long", header(512*3/4 + 1), "malformed"},

		{"arrays", nested("[", "", "]", most), ""},
		{"arrays with a value in them", nested("[", "1", "]", most), ""},
		{"arrays, one too many", nested("[", "", "]", most+1), "malformed"},
		{"objects", nested(`{"a":`, "{}", "}", most-1), ""},
		{"objects with a value in them", nested(`{"a":`, "1", "}", most), ""},
		{"objects, one too many", nested(`{"a":`, "{}", "}", most), "malformed"},
		{"an object in arrays", nested("[", "{}", "]", most-1), ""},
		{"an object in arrays, one too many", nested("[", "{}", "]", most), "malformed"},
		{"an array in objects, one too many", nested(`{"a":`, "[]", "}", most), "malformed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := v.Verify(ctx, test.token); logto.Reason(err) != test.reason || (err == nil) != (test.reason == "") {
				t.Errorf("error %v, want reason %q", err, test.reason)
			}
		})
	}
}

// What somebody sent is shown in an error up to 100 bytes and five values.
func TestErrorsAreCut(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	v := newVerifier(t, issuer.Config())
	x := strings.Repeat("x", 100)
	for _, test := range []struct {
		name string
		aud  any
		want string
	}{
		{"one", "a", "audience 'a': want"},
		{"longest", x, "audience '" + x + "': want"},
		{"one byte more", x + "x", "audience '" + x + "…': want"},
		{"two", []string{"a", "b"}, "audience 'a' or 'b': want"},
		{"most", []string{"a", "b", "c", "d", "e"}, "audience 'a' or 'b' or 'c' or 'd' or 'e': want"},
		{"one more", []string{"a", "b", "c", "d", "e", "f"}, "audience 'a' or 'b' or 'c' or 'd' or 'e' …: want"},
		{"escaped", "\n'\"é", `audience '\n'\"\u00e9': want`},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := v.Verify(ctx, issuer.Token(logtotest.Token{Claims: map[string]any{"aud": test.aud}}))
			if logto.Reason(err) != "audience" || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q in it", err, test.want)
			}
		})
	}
}

// A scope's characters (RFC 6749 section 3.3) are those of ASCII that can be
// seen, without the quotation mark and the backslash.
func TestScopeCharacters(t *testing.T) {
	for r := range rune(0x101) {
		want := r > ' ' && r < 0x7f && r != '"' && r != '\\'
		got := func() (ok bool) {
			defer func() { ok = recover() == nil }()
			logto.Scopes("a" + string(r))
			return
		}()
		if got != want {
			t.Errorf("%q: accepted %v, want %v", r, got, want)
		}
	}
}

// What is no token but another scheme is a 401, a bearer token that was sent the
// wrong way a 400.
func TestSchemes(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	seen := &events{}
	cfg := issuer.Config()
	cfg.Logger = slog.New(slog.DiscardHandler)
	cfg.Observer = seen.observe
	h := logto.Require(newVerifier(t, cfg))(http.NotFoundHandler())
	check := func(line string, status int, reason string) {
		t.Helper()
		r := httptest.NewRequest("GET", "/", nil)
		r.Header["Authorization"] = []string{line}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if got := seen.take(); w.Code != status || len(got) != 1 || got[0].Reason != reason {
			t.Errorf("%.40q: status %d, events %+v, want %d %s", line, w.Code, got, status, reason)
		}
	}
	for c := byte('!'); c <= '~'; c++ {
		status, reason := 400, "malformed_request"
		if c == '-' || c == '_' || '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' {
			status, reason = 401, "no_token"
		}
		check(string(c)+"x y", status, reason)
		check("x"+string(c)+" y", status, reason)
	}
	for _, test := range []struct {
		line   string
		status int
		reason string
	}{
		{"Basic x,bearer", 400, "malformed_request"},
		{"Basic x, BEARER", 400, "malformed_request"},
		{"Basic x,\tBearer y", 400, "malformed_request"},
		{"Basic x,y,bearers", 400, "malformed_request"},
		{"Basic x,beare", 401, "no_token"},
		{"Basic x,xbearer", 401, "no_token"},
		{"Basic x,", 401, "no_token"},
		// So far, and no farther, a line is looked through.
		{"Basic " + strings.Repeat("x", 2<<10-13) + ",bearer", 400, "malformed_request"},
		{"Basic " + strings.Repeat("x", 2<<10-12) + ",bearer", 401, "no_token"},
	} {
		check(test.line, test.status, test.reason)
	}
}

// What the log tells of a refused request.
func TestRefusalLogEdges(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	for _, test := range []struct{ name, path, want string }{
		{"short", "/a/b", "/a/b"},
		{"root", "/", "/"},
		{"slash at the end", "/a/", "/a/"},
		{"longest segment", "/" + strings.Repeat("x", 39) + "/b", "/" + strings.Repeat("x", 39) + "/b"},
		{"could be a token", "/" + strings.Repeat("x", 40) + "/b", "/…/b"},
		{"longest", strings.Repeat("/1234567890123456789", 10), strings.Repeat("/1234567890123456789", 10)},
		{"too long", strings.Repeat("/1234567890123456789", 10) + "x", strings.Repeat("/1234567890123456789", 10)},
		{"most segments", strings.Repeat("/a", 18) + "/" + strings.Repeat("b/", 19) + "b", strings.Repeat("/a", 18) + "/" + strings.Repeat("b/", 19) + "b"},
		{"the rest could be a token", strings.Repeat("/a", 18) + "/" + strings.Repeat("b/", 20), strings.Repeat("/a", 18) + "/…"},
	} {
		t.Run(test.name, func(t *testing.T) {
			log := &logBuffer{}
			cfg := issuer.Config()
			cfg.Logger = slog.New(slog.NewJSONHandler(log, nil))
			r := httptest.NewRequest("GET", test.path, nil)
			r.Method = strings.Repeat("M", 21)
			r.Header.Set("Authorization", "Bearer opaque")
			logto.Require(newVerifier(t, cfg))(http.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(), r)
			line := map[string]any{}
			if err := json.Unmarshal([]byte(log.String()), &line); err != nil {
				t.Fatal(err)
			}
			if line["path"] != test.want || line["method"] != strings.Repeat("M", 20) {
				t.Errorf("path %s, want %s, method %s", line["path"], test.want, line["method"])
			}
			if missed, ok := line["not_logged_before"]; ok {
				t.Errorf("%v lines were left out, want no word of it", missed)
			}
		})
	}
	// Nor later, where there is a line before and none was left out.
	inBubble(t, func(s *service) {
		h := logto.Require(s.v)(http.NotFoundHandler())
		for range 3 {
			for range 10 {
				serve(h, "opaque")
			}
			time.Sleep(10 * time.Second)
		}
		if log := s.log.String(); strings.Count(log, "reason=opaque_token") != 30 || strings.Contains(log, "not_logged_before") {
			t.Errorf("log:\n%s", log)
		}
	})
}

func TestKeySetEdges(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	issuer.Rotate("RS256")
	set := issuer.KeySet()
	longest := strings.Repeat("k", 256)
	// The same key twice, for one algorithm each: the first one decides.
	var jwks struct{ Keys []map[string]any }
	if err := json.Unmarshal([]byte(set), &jwks); err != nil {
		t.Fatal(err)
	}
	twice := func(first, second string) string {
		var keys []string
		for _, algorithm := range []string{first, second} {
			jwks.Keys[0]["alg"] = algorithm
			keys = append(keys, string(must(json.Marshal(jwks.Keys[0]))))
		}
		return `{"keys":[` + strings.Join(keys, ",") + `]}`
	}
	for _, test := range []struct{ name, set, keyID, algorithm, reason string }{
		{"longest key ID", strings.ReplaceAll(set, issuer.KeyID(), longest), longest, "RS256", ""},
		{"key ID too long", strings.ReplaceAll(set, issuer.KeyID(), longest+"k"), longest + "k", "RS256", "malformed"},
		{"largest", set + strings.Repeat(" ", 1<<20-len(set)), issuer.KeyID(), "RS256", ""},
		{"too large", set + strings.Repeat(" ", 1<<20-len(set)+1), issuer.KeyID(), "RS256", "keys_unavailable"},
		{"RS256 and PS256, a token with RS256", twice("RS256", "PS256"), issuer.KeyID(), "RS256", ""},
		{"RS256 and PS256, a token with PS256", twice("RS256", "PS256"), issuer.KeyID(), "PS256", "algorithm"},
		{"PS256 and RS256, a token with RS256", twice("PS256", "RS256"), issuer.KeyID(), "RS256", "algorithm"},
		{"PS256 and RS256, a token with PS256", twice("PS256", "RS256"), issuer.KeyID(), "PS256", "signature"}, // the issuer signs with RS256
	} {
		t.Run(test.name, func(t *testing.T) {
			v := newVerifier(t, withKeySet(issuer, test.set))
			token := issuer.Token(logtotest.Token{Header: map[string]any{"kid": test.keyID, "alg": test.algorithm}})
			if _, err := v.Verify(ctx, token); logto.Reason(err) != test.reason || (err == nil) != (test.reason == "") {
				t.Errorf("error %v, want reason %q", err, test.reason)
			}
		})
	}
}

// What no key can be taken from says why.
func TestNoKeys(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	for set, want := range map[string]string{
		`{}`:                 "the answer is no JWK Set",
		`{"Keys":[]}`:        "the answer is no JWK Set",
		`{"keys":{}}`:        "the answer is no JWK Set",
		`[]`:                 "the answer is no JWK Set",
		`{"keys":[]}`:        "the answer has no usable key []",
		`{"keys":[{},{},1]}`: "the answer has no usable key [key '': ",
	} {
		cfg := withKeySet(issuer, set)
		cfg.Logger = capture
		v := newVerifier(t, cfg)
		if err := v.Refresh(ctx); !errors.Is(err, logto.ErrUnavailable) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %s", set, err, want)
		}
	}
}

// The age of a key set, and the pauses between fetches.
func TestPromisedTimes(t *testing.T) {
	for _, test := range []struct {
		name    string
		age     time.Duration
		want    error
		took    time.Duration
		fetches int
	}{
		{"fresh", 10*time.Minute - 1, nil, 0, 1},
		{"stale", 10 * time.Minute, nil, 0, 2},
		{"not yet to wait for", time.Hour - 1, nil, 0, 2},
		{"to wait for", time.Hour, nil, time.Second, 2},
		{"not yet dead", 24*time.Hour - 1, nil, time.Second, 2},
		{"dead", 24 * time.Hour, logto.ErrUnavailable, 5 * time.Second, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(s *service) {
				token := s.token()
				s.verify(token, nil, 0, 1)
				s.issuer.Fail(logtotest.Hang())
				time.Sleep(test.age)
				s.verify(token, test.want, test.took, test.fetches)
			})
		})
	}
	t.Run("pauses", func(t *testing.T) {
		inBubble(t, func(s *service) {
			refresh := func(after time.Duration, want error, fetches int, took time.Duration) {
				t.Helper()
				time.Sleep(after)
				start := time.Now()
				if err := s.v.Refresh(ctx); !errors.Is(err, want) || s.issuer.Fetches() != fetches || time.Since(start) != took {
					t.Errorf("error %v, %d fetches, %v, want %v, %d, %v", err, s.issuer.Fetches(), time.Since(start), want, fetches, took)
				}
			}
			refresh(0, nil, 1, 0)
			refresh(10*time.Second-1, nil, 2, 1) // waits for its turn
			refresh(time.Second, nil, 3, 9*time.Second)
			impatient, cancel := context.WithTimeout(ctx, 3*time.Second)
			defer cancel()
			if err := s.v.Refresh(impatient); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, logto.ErrUnavailable) || s.issuer.Fetches() != 3 {
				t.Errorf("error %v, %d fetches", err, s.issuer.Fetches())
			}
			s.issuer.Fail(logtotest.Status(500))
			refresh(7*time.Second, logto.ErrUnavailable, 4, 0)
			s.issuer.Fail(nil)
			refresh(time.Second-1, logto.ErrUnavailable, 4, 0)
			refresh(1, nil, 5, 0)
		})
	})
}

// Fetches for unknown key IDs keep their pause among themselves: a key that is rotated in
// just after a refresh is found at once, though one was looked for before.
func TestRotationAfterRefresh(t *testing.T) {
	inBubble(t, func(s *service) {
		s.verify(s.token(), nil, 0, 1)
		s.verify(s.madeUp("x", 0), logto.ErrUnavailable, 0, 2)
		time.Sleep(time.Minute)
		if err := s.v.Refresh(ctx); err != nil {
			t.Fatal(err)
		}
		s.issuer.Rotate("ES384")
		s.verify(s.token(), nil, 0, 4)
		s.verify(s.madeUp("y", 0), logto.ErrUnavailable, 0, 4) // the pause
	})
}

// The endpoint can ask for five minutes of peace, and for no more.
func TestLongestRetryAfter(t *testing.T) {
	inBubble(t, func(s *service) {
		s.verify(s.token(), nil, 0, 1)
		time.Sleep(logto.FetchPause)
		s.issuer.Fail(retryAfter(429, "3600"))
		for _, test := range []struct {
			wait    time.Duration
			fetches int
		}{{0, 2}, {5*time.Minute - 1, 2}, {1, 3}} {
			time.Sleep(test.wait)
			if err := s.v.Refresh(ctx); !errors.Is(err, logto.ErrUnavailable) || s.issuer.Fetches() != test.fetches {
				t.Errorf("error %v, %d fetches, want %d", err, s.issuer.Fetches(), test.fetches)
			}
		}
	})
}

// A client that ignores its context is given up after 11 s. Where 16 such fetches still
// run, another one starts in a minute.
func TestClientIgnoresItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := logtotest.NewIssuer(t).Config()
		cfg.Logger = capture
		var fetches atomic.Int64
		cfg.HTTPClient = &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
			fetches.Add(1)
			time.Sleep(time.Hour)
			return nil, errors.New("too late")
		})}
		start := time.Now()
		if err := newVerifier(t, cfg).Refresh(ctx); !errors.Is(err, logto.ErrUnavailable) || time.Since(start) != 11*time.Second {
			t.Errorf("error %v after %v", err, time.Since(start))
		}
		fetches.Store(0)
		v := newVerifier(t, cfg)
		for start := time.Now(); time.Since(start) < time.Minute; time.Sleep(1500 * time.Millisecond) {
			_ = v.Ready()
		}
		// The last one began after 33 s: the 16th was given up after 33.5 s.
		if n := fetches.Load(); n != 23 {
			t.Errorf("%d fetches in a minute, want 23", n)
		}
		time.Sleep(34500 * time.Millisecond)
		_ = v.Ready()
		synctest.Wait()
		if n := fetches.Load(); n != 24 {
			t.Errorf("%d fetches, want 24", n)
		}
		time.Sleep(2 * time.Hour)
	})
}

// Ready starts the refresh of a key set that is ten minutes old, not before.
func TestReadyStartsTheRefresh(t *testing.T) {
	inBubble(t, func(s *service) {
		s.verify(s.token(), nil, 0, 1)
		for _, test := range []struct {
			wait    time.Duration
			fetches int
		}{{10*time.Minute - 1, 1}, {1, 2}} {
			time.Sleep(test.wait)
			err := s.v.Ready()
			synctest.Wait()
			if n := s.issuer.Fetches(); err != nil || n != test.fetches {
				t.Errorf("error %v, %d fetches, want %d", err, n, test.fetches)
			}
		}
	})
}

// Without a key set Refresh asks again in a second, however often that has failed.
func TestRefreshWithoutKeySet(t *testing.T) {
	inBubble(t, func(s *service) {
		s.issuer.Fail(logtotest.Status(500))
		for i := range 5 {
			for range 2 {
				if err := s.v.Refresh(ctx); !errors.Is(err, logto.ErrUnavailable) || s.issuer.Fetches() != i+1 {
					t.Errorf("error %v, %d fetches, want %d", err, s.issuer.Fetches(), i+1)
				}
			}
			time.Sleep(time.Second)
		}
	})
}

// Who has no key set doesn't wait for a fetch that began a pause before it asked, to the
// nanosecond: another one starts.
func TestFetchFromBefore(t *testing.T) {
	for _, test := range []struct {
		name    string
		before  time.Duration
		want    error
		took    time.Duration
		fetches int
	}{
		{"a pause ago", time.Second, nil, 0, 2},
		{"just now", time.Second - 1, logto.ErrUnavailable, 5 * time.Second, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(s *service) {
				token := s.token()
				s.issuer.Fail(logtotest.Hang())
				impatient, cancel := context.WithTimeout(ctx, test.before)
				defer cancel()
				if _, err := s.v.Verify(impatient, token); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("error %v", err)
				}
				s.issuer.Fail(nil)
				s.verify(token, test.want, test.took, test.fetches)
			})
		})
	}
}

// The log tells of the end of an outage only if there was one.
func TestKeySetLogEdges(t *testing.T) {
	inBubble(t, func(s *service) {
		s.verify(s.token(), nil, 0, 1)
		time.Sleep(logto.FetchPause)
		if err := s.v.Refresh(ctx); err != nil {
			t.Error(err)
		}
		if log := s.log.String(); strings.Contains(log, "fetched again") || strings.Contains(log, "key set changed") || strings.Count(log, `"logto: key set fetched"`) != 1 {
			t.Errorf("log:\n%s", log)
		}
		s.issuer.Fail(logtotest.Status(500))
		time.Sleep(logto.FetchPause)
		_ = s.v.Refresh(ctx)
		s.issuer.Fail(nil)
		time.Sleep(logto.RetryPause)
		if err := s.v.Refresh(ctx); err != nil {
			t.Error(err)
		}
		if log := s.log.String(); strings.Count(log, "fetched again") != 1 || !strings.Contains(log, "failures=1\n") {
			t.Errorf("log:\n%s", log)
		}
	})
}

// What the endpoint sends comes back to it, or into an error, up to a length.
func TestLongAnswers(t *testing.T) {
	for _, test := range []struct {
		etag string
		want bool // sent back
	}{
		{`"` + strings.Repeat("x", 254) + `"`, true},
		{`"` + strings.Repeat("x", 255) + `"`, false},
	} {
		inBubble(t, func(s *service) {
			keySet, sent := s.issuer.KeySet(), ""
			s.issuer.Fail(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				sent = r.Header.Get("If-None-Match")
				w.Header().Set("ETag", test.etag)
				_, _ = io.WriteString(w, keySet)
			}))
			for range 2 {
				if err := s.v.Refresh(ctx); err != nil {
					t.Error(err)
				}
				time.Sleep(logto.FetchPause)
			}
			if (sent == test.etag) != test.want || !test.want && sent != "" {
				t.Errorf("an ETag of %d bytes: sent back %q", len(test.etag), sent)
			}
		})
	}

	failed := func(length int) string {
		cfg := logtotest.NewIssuer(t).Config()
		cfg.Logger = slog.New(slog.DiscardHandler)
		cfg.HTTPClient = &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
			return nil, errors.New(strings.Repeat("x", length))
		})}
		v := newVerifier(t, cfg)
		_ = v.Refresh(ctx)
		return v.KeySetStatus().Err.Error()
	}
	most := 300 - len(failed(0))
	if got := failed(most); len(got) != 300 || strings.HasSuffix(got, "…") {
		t.Errorf("longest: %d bytes, %s", len(got), got)
	}
	if got := failed(most + 1); len(got) != 300+len("…") || !strings.HasSuffix(got, "…") {
		t.Errorf("one more: %d bytes, %s", len(got), got)
	}
}

// queue is a verifier that checks one signature at a time, and those that wait
// for it in turn.
type queue struct {
	*testing.T
	v *logto.Verifier
}

type answer struct {
	claims *logto.Claims
	err    error
}

func newQueue(t *testing.T, cfg logto.Config) *queue {
	t.Helper()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // New makes as many places as there are CPUs
	q := &queue{t, newVerifier(t, cfg)}
	if err := q.v.Refresh(ctx); err != nil {
		t.Fatal(err)
	}
	return q
}

// verify begins to verify the token, and returns when that waits.
func (q *queue) verify(token string) <-chan answer {
	done := make(chan answer, 1)
	go func() {
		c, err := q.v.Verify(ctx, token)
		done <- answer{c, err}
	}()
	synctest.Wait()
	return done
}

// occupy queues for the only place, to keep it from those behind. The channel
// gives the function that gives it back.
func (q *queue) occupy() <-chan func() {
	done := make(chan func(), 1)
	go func() { done <- q.v.OccupyChecks() }()
	synctest.Wait()
	return done
}

// A request that queued for a signature check takes what another one has found
// out about the same token, but only by the same key.
func TestSecondLook(t *testing.T) {
	t.Run("same key", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			issuer := logtotest.NewIssuer(t)
			q := newQueue(t, issuer.Config())
			token := issuer.Token(logtotest.Token{})
			free := <-q.occupy()
			first, between, second, other := q.verify(token), q.occupy(), q.verify(token), q.verify(issuer.Token(logtotest.Token{User: "other"}))
			free()
			a := <-first
			(<-between)()
			b, c := <-second, <-other
			if a.err != nil || b.err != nil || a.claims != b.claims {
				t.Errorf("errors %v and %v, the same claims %v", a.err, b.err, a.claims == b.claims)
			}
			if c.err != nil || c.claims.UserID() != "other" {
				t.Errorf("error %v, another token's claims %+v", c.err, c.claims)
			}
			(<-q.occupy())() // all have left
		})
	})
	t.Run("key changed in between", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			issuer := logtotest.NewIssuer(t)
			issuer.Rotate("RS256")
			cfg := issuer.Config()
			cfg.Logger = capture
			q := newQueue(t, cfg)
			token := issuer.Token(logtotest.Token{})
			free := <-q.occupy()
			first, between := q.verify(token), q.occupy()
			// From now on the key is for one algorithm and not for two.
			issuer.Fail(logtotest.Body("", strings.Replace(issuer.KeySet(), `"kty":"RSA"`, `"kty":"RSA","alg":"RS256"`, 1)))
			time.Sleep(logto.FetchPause)
			if err := q.v.Refresh(ctx); err != nil {
				t.Fatal(err)
			}
			second := q.verify(token)
			free()
			a := <-first
			(<-between)()
			b := <-second
			if b.err != nil || a.claims == b.claims {
				t.Errorf("error %v, claims by the old key %v", b.err, a.claims == b.claims)
			}
		})
	})
	for name, change := range map[string]func(*logto.Config, *logtotest.Token){
		"nothing is remembered": func(cfg *logto.Config, _ *logtotest.Token) { cfg.CacheSize = -1 },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				issuer := logtotest.NewIssuer(t)
				cfg, alice, bob := issuer.Config(), logtotest.Token{User: "alice"}, logtotest.Token{User: "bob"}
				change(&cfg, &alice)
				change(&cfg, &bob)
				q := newQueue(t, cfg)
				free := <-q.occupy()
				first, between, second := q.verify(issuer.Token(alice)), q.occupy(), q.verify(issuer.Token(bob))
				free()
				a := <-first
				(<-between)()
				b := <-second
				if a.err != nil || b.err != nil || a.claims.UserID() != "alice" || b.claims.UserID() != "bob" {
					t.Errorf("%+v, %+v", a, b)
				}
			})
		})
	}
}

// What is not remembered takes no place from what is, and is verified once by
// Require inside of Require all the same.
func TestNotRemembered(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	long := issuer.Token(logtotest.Token{Claims: map[string]any{"x": strings.Repeat("x", 4<<10)}})
	cfg := issuer.Config()
	cfg.CacheSize = 1
	v := newVerifier(t, cfg)
	token := issuer.Token(logtotest.Token{})
	first, err := v.Verify(ctx, token)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(ctx, long); err != nil {
		t.Fatal(err)
	}
	if again, err := v.Verify(ctx, token); again != first {
		t.Errorf("forgotten, error %v", err)
	}

	for _, size := range []int{4 << 10, 4<<10 + 1, 16 << 10} {
		if !remembered(t, newVerifier(t, issuer.Config()), tokenOfSize(t, issuer, size)) {
			t.Errorf("a token of %d bytes is not remembered", size)
		}
	}

	for _, size := range []int{0, -1} {
		for name, token := range map[string]string{"short": token, "long": long} {
			t.Run(fmt.Sprintf("size %d, %s", size, name), func(t *testing.T) {
				cfg.CacheSize = size
				v := newVerifier(t, cfg)
				var seen []*logto.Claims
				note := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					c, _ := logto.FromContext(r.Context())
					seen = append(seen, c)
				})
				inner := logto.Require(v)(note)
				w := serve(logto.Require(v)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					note(w, r)
					inner.ServeHTTP(w, r)
				})), token)
				if w.Code != 200 || len(seen) != 2 || seen[0] != seen[1] {
					t.Errorf("status %d, claims %p", w.Code, seen)
				}
				// It is the whole token that has to be the same.
				w = serve(logto.Require(v)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					r.Header.Set("Authorization", "Bearer "+logtotest.BadSignature(token))
					inner.ServeHTTP(w, r)
				})), token)
				if w.Code != 401 {
					t.Errorf("another token that differs at its end: status %d, want 401", w.Code)
				}
			})
		}
	}
}
