package logto_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/logtotest"
)

// TestMain runs the whole suite with loggers and answers that are kept, and looks
// in them for what must not be there.
func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.NewTextHandler(&captured, nil)))
	code := m.Run()
	if leak := findSecret(captured.String()); leak != "" && code == 0 {
		fmt.Println("Promise 6: a token, a signature or a key is in a log or an answer:", leak)
		code = 1
	}
	os.Exit(code)
}

// captured is all that was logged and answered.
var captured logBuffer

var capture = slog.New(slog.NewTextHandler(&captured, &slog.HandlerOptions{Level: slog.LevelDebug}))

// findSecret finds base64url that is longer than a key ID and no test's padding.
func findSecret(text string) string {
	for _, run := range regexp.MustCompile(`[A-Za-z0-9_-]{44,}`).FindAllString(text, -1) {
		different := map[rune]bool{}
		for _, r := range run {
			different[r] = true
		}
		if len(different) > 20 {
			return run
		}
	}
	return ""
}

// Promise 6: nothing secret is logged or echoed. This one sends secrets in every
// place where one might come back from; TestMain looks at what all others caused.
func TestPromise6NoSecrets(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	cfg := issuer.Config()
	cfg.Logger = capture
	v := newVerifier(t, cfg)
	h := logto.Require(v, logto.Scopes("admin"))(http.NotFoundHandler())
	good, opaque := issuer.Token(logtotest.Token{}), issuer.OpaqueToken()
	const personal, subject = "pat_0123456789abcdefghijklmnopqrstuv", "sub_0123456789abcdefghijk"
	parts := strings.Split(good, ".")
	before := len(captured.String())
	for _, value := range []string{
		"Bearer " + good, "Bearer " + opaque, good, "Basic " + opaque, "Bearer " + good + " x", "Bearer " + good + "," + good, "Bearer\t" + good,
		"Bearer " + issuer.IDToken("u"), "Bearer " + logtotest.BadSignature(good), "Bearer " + good + "." + good, "Bearer " + parts[0] + "." + parts[1],
		"Bearer " + parts[1] + "." + parts[0] + "." + parts[2], "Bearer " + personal, "Bearer " + subject,
	} {
		r := httptest.NewRequest("GET", "/socket/"+personal+"/"+subject+"/"+opaque+"/"+good+"?access_token="+good, nil)
		r.Method = strings.Repeat("M", 1<<20)
		r.Header.Set("Authorization", value)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		_, _ = fmt.Fprintln(&captured, w.Header(), w.Body)
		if w.Code == 200 {
			t.Errorf("%.20s…: accepted", value)
		}
	}
	log := captured.String()[before:]
	if len(log) > 20000 {
		t.Errorf("the log has %d bytes", len(log))
	}
	if strings.Count(log, "reason=") < 10 {
		t.Errorf("not all was logged:\n%s", log)
	}
	if leak := findSecret(log); leak != "" {
		t.Errorf("leaked %s", leak)
	}
	for _, secret := range append(parts, good, opaque, personal, subject) {
		if strings.Contains(log, secret) {
			t.Errorf("leaked %s", secret)
		}
	}
	if findSecret("x "+good) == "" || findSecret(opaque+"0") == "" {
		t.Error("findSecret finds nothing")
	}
}

// Promise 6, of what is configured: an address is shown without user and query, in logs,
// errors, events and the status, whatever goes wrong.
func TestPromise6NoSecretsOfTheConfiguration(t *testing.T) {
	secret := "Hush"
	issuer := logtotest.NewIssuer(t)
	elsewhere := func(status int, location string) roundTrip {
		return func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: status, Header: http.Header{"Location": {location}}, Body: http.NoBody, Request: r}, nil
		}
	}
	for name, transport := range map[string]http.RoundTripper{
		"good":             logtotest.NewIssuer(t).Config().HTTPClient.Transport,
		"status":           elsewhere(500, ""),
		"error":            roundTrip(func(r *http.Request) (*http.Response, error) { return nil, fmt.Errorf("asking %v: EOF", r.URL) }),
		"panic":            roundTrip(func(r *http.Request) (*http.Response, error) { panic(r.URL) }),
		"redirect":         elsewhere(302, "https://b.test/?key="+secret),
		"redirect, broken": elsewhere(302, "https://u:"+secret+"%zz@b.test/"),
		"proxy": &http.Transport{Proxy: func(*http.Request) (*url.URL, error) {
			return url.Parse("http://u:" + secret + "@127.0.0.1:1")
		}},
		"broken proxy": &http.Transport{Proxy: func(*http.Request) (*url.URL, error) {
			return url.Parse("http://u:" + secret + "/x@proxy:3128")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			log := &logBuffer{}
			cfg := issuer.Config()
			cfg.JWKSURL = "https://logto.example.test/oidc/jwks?key=" + secret
			cfg.HTTPClient = &http.Client{Transport: transport}
			cfg.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
			told := make(chan struct{}, 10) // of a fetch, beside the request that waited for it
			cfg.Observer = func(_ context.Context, e logto.Event) {
				_, _ = fmt.Fprintf(log, "event %+v\n", e)
				if e.Fetch {
					told <- struct{}{}
				}
			}
			v := newVerifier(t, cfg)
			w := serve(logto.Require(v)(http.NotFoundHandler()), issuer.Token(logtotest.Token{}))
			left, leave := context.WithCancel(ctx)
			leave() // it waits for no turn
			_, _ = fmt.Fprintf(log, "answer %v %v\nstatus %+v\nready %v\nrefresh %v\n", w.Header(), w.Body, v.KeySetStatus(), v.Ready(), v.Refresh(left))
			<-told
			if text := log.String(); strings.Contains(text, secret) || !strings.Contains(text, "https://logto.example.test/oidc/jwks?…") {
				t.Errorf("log:\n%s", text)
			}
		})
	}
}

// What a token says can't break out of a log line, a header or a body.
func TestNothingUnescaped(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	log := &logBuffer{}
	cfg := issuer.Config()
	cfg.Logger = slog.New(slog.NewJSONHandler(log, nil))
	h := logto.Require(newVerifier(t, cfg), logto.Scopes("admin"), logto.Organization(func(*http.Request) string { return "o\n1" }))(http.NotFoundHandler())
	evil := "\"\r\nX-Evil: 1\r\n\r\n<script>\u2028\x1b[31m" + strings.Repeat("x", 5000)
	for _, token := range []logtotest.Token{
		{Audience: evil}, {Organization: evil}, {ClientID: evil}, {User: evil}, {Scopes: []string{evil}},
		{Header: map[string]any{"kid": evil[:200]}}, {Header: map[string]any{"alg": evil}}, {Header: map[string]any{"typ": evil}},
		{Claims: map[string]any{"iss": evil}}, {Claims: map[string]any{"exp": evil}}, {Header: map[string]any{"cty": []string{evil}}},
	} {
		w := serve(h, issuer.Token(token))
		if w.Code == 200 {
			t.Errorf("%+v: accepted", token)
		}
		if answer := fmt.Sprint(w.Header(), w.Body); strings.Contains(answer, "<script") || strings.Contains(answer, "Evil") {
			t.Errorf("answer %s", answer)
		}
	}
	for line := range strings.Lines(log.String()) {
		if len(line) > 2000 || strings.ContainsAny(line[:len(line)-1], "\r\n\x1b\u2028") || !strings.HasPrefix(line, `{"time"`) {
			t.Errorf("log line %.300q", line)
		}
	}
}

// Promise 7: there is one spelling. Whatever one character of a good token is
// changed to, or put in, taken away or swapped with its neighbour: no other token
// is accepted.
func TestPromise7OneSpelling(t *testing.T) {
	for _, algorithm := range []string{"ES384", "RS256"} {
		t.Run(algorithm, func(t *testing.T) {
			issuer := logtotest.NewIssuer(t)
			issuer.Rotate(algorithm)
			v := newVerifier(t, issuer.Config())
			good := issuer.Token(logtotest.Token{Claims: aged()})
			if _, err := v.Verify(ctx, good); err != nil {
				t.Fatal(err)
			}
			refuse := func(token string) {
				if token == good || token == "" {
					return
				}
				if _, err := v.Verify(ctx, token); !errors.Is(err, logto.ErrInvalidToken) {
					t.Errorf("error %v for %s", err, token)
				}
			}
			const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
			every := 16 // of the alphabet, at each position
			if raceEnabled {
				every = 64
			}
			const foreign = "=+/.~ \t\r\n\x00%,\"é"
			for i := range len(good) + 1 {
				// The last characters of a part have bits left over: all 64.
				tail := i >= len(good)-2 || good[i] == '.' || good[i+1] == '.'
				for j, c := range alphabet + foreign {
					if !tail && j%every != i%every {
						continue
					}
					refuse(good[:i] + string(c) + good[i:])
					if i < len(good) {
						refuse(good[:i] + string(c) + good[i+1:])
					}
				}
				if i < len(good) {
					refuse(good[:i] + good[i+1:])
					refuse(good[:i])
					refuse(good[i:])
				}
				if i+1 < len(good) {
					refuse(good[:i] + good[i+1:i+2] + good[i:i+1] + good[i+2:])
				}
			}
		})
	}
}

// Promise 5: no input panics. What a fuzzer would find first.
func TestPromise5NoPanic(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	cfg := issuer.Config()
	cfg.Logger = capture
	v := newVerifier(t, cfg)
	h := logto.Require(v)(http.NotFoundHandler())
	random := rand.New(rand.NewPCG(1, 2))
	good := issuer.Token(logtotest.Token{})
	for range 20000 {
		b := []byte(good)
		for range 1 + random.IntN(4) {
			b[random.IntN(len(b))] = byte(random.IntN(256))
		}
		b = b[random.IntN(5):]
		if w := serve(h, string(b)); w.Code == 200 {
			t.Errorf("accepted %q", b)
		}
	}
	for _, object := range []string{"", "{", "}", `{"`, `{"a`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a":[`, `{"a":"\`, `{"a":"\u`, `{"a":"\ud800\`, `[`, `"`, "\x00"} {
		_, _ = v.Verify(ctx, issuer.Sign(object, goodPayload(issuer)))
		_, _ = v.Verify(ctx, issuer.Sign(goodHeader(issuer), object))
	}
}

// ECDSA has r and s between 1 and the order n of the curve, in one encoding. That
// n - s does for s whoever made the signature, and that Logto's are not limited to
// the smaller one, can't be helped: see docs/threats.md.
func TestECDSASignatures(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	v := newVerifier(t, issuer.Config())
	good := issuer.Token(logtotest.Token{})
	dot := strings.LastIndexByte(good, '.')
	sig, err := base64.RawURLEncoding.DecodeString(good[dot+1:])
	if err != nil {
		t.Fatal(err)
	}
	r, s := sig[:48], sig[48:]
	zero, ones := make([]byte, 48), []byte(strings.Repeat("\xff", 48))
	der := append([]byte{0x30, 100, 2, 48}, append(append(append([]byte{}, r...), 2, 48), s...)...)
	for name, sig := range map[string][]byte{
		"r 0": append(zero[:48:48], s...), "s 0": append(r[:48:48], zero...), "both 0": make([]byte, 96),
		"r too large": append(ones[:48:48], s...), "s too large": append(r[:48:48], ones...),
		"swapped": append(s[:48:48], r...), "DER": der, "longer halves": append(append([]byte{0}, r...), append([]byte{0}, s...)...),
		"for P-256": append(r[:32:32], s[:32]...), "one byte": {0}, "a byte more": append(sig[:96:96], 0),
	} {
		if _, err := v.Verify(ctx, good[:dot+1]+b64(sig)); !errors.Is(err, logto.ErrInvalidToken) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// Signature checks that run at once are bounded; those that wait leave with their
// context, and it isn't the client's fault.
func TestQueueForSignatureChecks(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	inBubble(t, func(s *service) {
		token := s.token()
		s.verify(token, nil, 0, 1)
		free := s.v.OccupyChecks()
		s.verify(token, nil, 0, 1) // remembered: nothing to wait for
		// Nor is there for a signature that can't be one.
		if _, err := s.v.Verify(ctx, token[:len(token)-4]); logto.Reason(err) != "signature" {
			t.Errorf("short signature: %v", err)
		}
		h := logto.Require(s.v)(http.NotFoundHandler())
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Authorization", "Bearer "+s.issuer.Token(logtotest.Token{User: "new"}))
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		start, w := time.Now(), httptest.NewRecorder()
		h.ServeHTTP(w, r.WithContext(ctx))
		checkAnswer(t, w, 503, noChallenge, "")
		if _, err := s.v.Verify(ctx, s.issuer.Token(logtotest.Token{User: "newer"})); !errors.Is(err, logto.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) || logto.Reason(err) != "deadline_exceeded" {
			t.Errorf("error %v", err)
		}
		if d := time.Since(start); d != time.Second {
			t.Errorf("waited %v", d)
		}
		// One that waited in vain for what another has found out.
		other := s.issuer.Token(logtotest.Token{User: "other", Claims: map[string]any{"pad": s.pad}})
		got := make(chan *logto.Claims)
		for range 3 {
			go func() {
				c, err := s.v.Verify(context.Background(), other)
				if err != nil {
					t.Error(err)
				}
				got <- c
			}()
		}
		time.Sleep(time.Second)
		free()
		a, b, c := <-got, <-got, <-got
		if a != b || b != c {
			t.Error("verified more than once")
		}
	})
}

// The heap doesn't grow with traffic, and goroutines go.
func TestMixedLoad(t *testing.T) {
	requests := 1_000_000
	if raceEnabled || testing.Short() {
		requests = 50_000
	}
	issuer := logtotest.NewIssuer(t)
	cfg := issuer.Config()
	cfg.CacheSize = 100
	cfg.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	v := newVerifier(t, cfg)
	h := logto.Require(v, logto.Scopes("read"))(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	var fixed []string
	for i := range 20 {
		fixed = append(fixed, issuer.Token(logtotest.Token{User: fmt.Sprint(i), Scopes: []string{"read"}}))
	}
	noScope, expired := issuer.Token(logtotest.Token{}), issuer.Token(logtotest.Token{ExpiresIn: -time.Hour})
	payload := b64([]byte(goodPayload(issuer))) + "." + b64(make([]byte, 96))
	unknown := func(i int) string {
		return b64(fmt.Appendf(nil, `{"alg":"ES384","typ":"at+jwt","kid":"%d"}`, i)) + "." + payload
	}
	run := func(n int) {
		for i := range n {
			token, want := fixed[i%len(fixed)], 200
			switch {
			case i%10000 == 7: // new ones push old ones out
				token = issuer.Token(logtotest.Token{Scopes: []string{"read"}})
			case i%10000 == 8:
				token, want = logtotest.BadSignature(fixed[0]), 401
			case i%10 == 1:
				token, want = noScope, 403
			case i%10 == 2:
				token, want = expired, 401
			case i%10 == 3:
				token, want = unknown(i), 401
			case i%10 == 4:
				token, want = fmt.Sprintf("opaque%d", i), 401
			case i%10 == 5:
				token, want = "", 401
			}
			if w := serve(h, token); w.Code != want {
				t.Fatalf("request %d: status %d, want %d", i, w.Code, want)
			}
		}
	}
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	run(20_000)
	before, goroutines := heap(), runtime.NumGoroutine()
	run(requests)
	if after := heap(); after > before+1<<20 {
		t.Errorf("the heap grew from %d to %d bytes", before, after)
	}
	if n := runtime.NumGoroutine(); n > goroutines {
		t.Errorf("%d goroutines, %d before", n, goroutines)
	}
}

// A flood of refusals gets 10 lines a reason in 10 seconds, and the number of
// those left out.
func TestRefusalLog(t *testing.T) {
	inBubble(t, func(s *service) {
		h := logto.Require(s.v)(http.NotFoundHandler())
		for range 3 {
			for range 50 {
				serve(h, "opaque")
				serve(h, "")
			}
			serve(h, s.issuer.IDToken("alice"))
			time.Sleep(10 * time.Second)
		}
		log := s.log.String()
		for text, want := range map[string]int{"reason=opaque_token": 30, "not_logged_before=40": 2, "reason=wrong_type": 3, "reason=no_token": 0} {
			if n := strings.Count(log, text); n != want {
				t.Errorf("%q %d times, want %d", text, n, want)
			}
		}
	})
}

// What was left out is told even if nothing follows, once, and by a goroutine that ends.
func TestRefusalLogEnds(t *testing.T) {
	inBubble(t, func(s *service) {
		h := logto.Require(s.v)(http.NotFoundHandler())
		flood := func(n int) {
			for range n {
				serve(h, "opaque")
				r := httptest.NewRequest("GET", "/", nil)
				r.Header.Set("Authorization", "Basic x") // at another level than no header at all
				h.ServeHTTP(httptest.NewRecorder(), r)
			}
		}
		told := func(want ...string) {
			t.Helper()
			time.Sleep(11 * time.Second)
			synctest.Wait()
			log := s.log.String()
			if n := strings.Count(log, "not_logged_before="); n != len(want) {
				t.Errorf("%d times, want %d:\n%s", n, len(want), log)
			}
			for _, line := range want {
				if strings.Count(log, line) != 1 {
					t.Errorf("no %q, or twice, in\n%s", line, log)
				}
			}
		}
		flood(10)
		told() // nothing was left out
		flood(51)
		told("reason=opaque_token not_logged_before=41", "reason=no_token not_logged_before=41")
		flood(1)
		told("reason=opaque_token not_logged_before=41", "reason=no_token not_logged_before=41") // and not again
		if !strings.Contains(s.log.String(), `level=INFO msg="logto: lines left out"`) {
			t.Errorf("level of\n%s", s.log)
		}
		// At the highest level of those that were left out.
		debug := &logBuffer{}
		cfg := s.issuer.Config()
		cfg.Logger = slog.New(slog.NewTextHandler(debug, &slog.HandlerOptions{Level: slog.LevelDebug}))
		quiet := logto.Require(newVerifier(s.T, cfg))(http.NotFoundHandler())
		for range 11 {
			quiet.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
		}
		time.Sleep(11 * time.Second)
		for range 11 {
			quiet.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
		}
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Authorization", "Basic x")
		quiet.ServeHTTP(httptest.NewRecorder(), r)
		time.Sleep(11 * time.Second)
		synctest.Wait()
		for _, line := range []string{`level=DEBUG msg="logto: lines left out" reason=no_token not_logged_before=1`, `level=INFO msg="logto: lines left out" reason=no_token not_logged_before=2`} {
			if strings.Count(debug.String(), line) != 1 {
				t.Errorf("no %q in\n%s", line, debug)
			}
		}
		// A line that follows at once tells it, and then none else.
		flood(12)
		time.Sleep(10 * time.Second)
		flood(1)
		told("reason=opaque_token not_logged_before=41", "reason=no_token not_logged_before=41",
			`path=/ not_logged_before=2`+"\n"+`time`, `the Authorization header has another scheme than Bearer" method=GET path=/ not_logged_before=2`)
	})
}

// A slog.Handler that panics costs the requests that it is called for, and not the
// process: the goroutine of the summary is the package's own.
func TestRefusalLogPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handler := &panicking{Handler: slog.DiscardHandler}
		cfg := logtotest.NewIssuer(t).Config()
		cfg.Logger = slog.New(handler)
		h := logto.Require(newVerifier(t, cfg))(http.NotFoundHandler())
		for range 11 {
			serve(h, "opaque")
		}
		handler.armed.Store(true)
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if handler.armed.Load() {
			t.Error("the handler was not called")
		}
	})
}

type panicking struct {
	slog.Handler
	armed atomic.Bool
}

func (*panicking) Enabled(context.Context, slog.Level) bool { return true }

func (h *panicking) Handle(context.Context, slog.Record) error {
	if h.armed.Swap(false) {
		panic("handler")
	}
	return nil
}
