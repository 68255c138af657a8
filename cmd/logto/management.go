package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed-70fe37f4/logto/internal/policy"
	"github.com/seed-70fe37f4/logto/internal/quote"
)

const (
	appIDVariable      = "LOGTO_APP_ID"
	secretVariable     = "LOGTO_APP_SECRET"
	signingKeyVariable = "LOGTO_SIGNING_KEY"

	maxSecret = 4 << 10 // bytes of a file

	tries    = 3
	maxPause = 30 * time.Second // that a request waits for its next try
	// maxAfter bounds what Retry-After can ask of a loop.
	maxAfter = time.Hour
)

const noSecretArgument = `logto: a secret must not be on the command line: everybody on this machine can read
that (ps), and the shell keeps it in its history. Put it into the environment or a
file:

	LOGTO_APP_SECRET  or -secret-file PATH       of the machine-to-machine application
	LOGTO_SIGNING_KEY or -signing-key-file PATH  of the webhook; not needed by replay

	read -rs LOGTO_APP_SECRET && export LOGTO_APP_SECRET
`

var errSecretArgument = errors.New("secret on the command line")

// secretArgument reports whether there is a flag that would have a secret for its
// value.
func secretArgument(args []string) bool {
	for _, arg := range args {
		name := strings.TrimLeft(arg, "-")
		if arg == name {
			continue
		}
		switch name, _, _ = strings.Cut(name, "="); name {
		case "secret", "app-secret", "client-secret", "signing-key", "password":
			return true
		}
	}
	return false
}

// credentials are those of the machine-to-machine application, and which webhook
// it is about.
type credentials struct {
	hook, appID, resource string
	secretFile, keyFile   string
	secret, signingKey    string // from the environment or the files; the key may be ""
	endpoint              string
	insecureAllowHTTP     bool
}

func (c *credentials) flags(f *flag.FlagSet) {
	f.StringVar(&c.hook, "hook", "", "")
	f.StringVar(&c.appID, "app-id", "", "")
	f.StringVar(&c.secretFile, "secret-file", "", "")
	f.StringVar(&c.keyFile, "signing-key-file", "", "")
	f.StringVar(&c.resource, "resource", "", "")
}

// load completes the credentials. Its errors repeat neither a secret nor what may
// be one, such as the name of a file that isn't there.
func (c *credentials) load(endpoint string, insecure bool) error {
	c.endpoint, c.insecureAllowHTTP = endpoint, insecure
	if endpoint == "" {
		return errors.New("-hook needs -endpoint")
	}
	if c.appID == "" {
		c.appID = strings.TrimSpace(os.Getenv(appIDVariable))
	}
	if c.appID == "" {
		return errors.New("-app-id (or " + appIDVariable + ") is missing: the App ID of a machine-to-machine application in the Logto console")
	}
	var err error
	if c.secret, err = secretOf("-secret-file", c.secretFile, secretVariable); err != nil {
		return err
	}
	if c.secret == "" {
		return errors.New("the application's secret is missing: set " + secretVariable + " or give -secret-file")
	}
	c.signingKey, err = secretOf("-signing-key-file", c.keyFile, signingKeyVariable)
	return err
}

// secretOf reads the file if there is one, else the environment.
func secretOf(name, path, variable string) (string, error) {
	if path == "" {
		return strings.TrimSpace(os.Getenv(variable)), nil
	}
	file, err := os.Open(path)
	if err == nil {
		defer file.Close()
		var data []byte
		if data, err = io.ReadAll(io.LimitReader(file, maxSecret+1)); err == nil {
			secret := strings.TrimSpace(string(data))
			switch {
			case len(data) > maxSecret:
				return "", fmt.Errorf("the file of %s has over %d bytes", name, maxSecret)
			case secret == "":
				return "", fmt.Errorf("the file of %s is empty", name)
			}
			return secret, nil
		}
	}
	if inPath := (*fs.PathError)(nil); errors.As(err, &inPath) {
		err = inPath.Err
	}
	return "", fmt.Errorf("the file of %s can't be read: %w", name, err)
}

// trouble is why the Management API didn't give what it was asked for.
type trouble struct {
	check     string // the name of the check that fails
	saw, hint string
	after     time.Duration // not to be tried sooner
}

// manager asks Logto's Management API. It isn't safe for concurrent use.
type manager struct {
	*credentials
	base    string
	timeout time.Duration
	client  *http.Client
	token   string
	until   time.Time // the token is good until then
	secrets []string  // never to be shown
}

// newManager checks the configuration. The error is one of package policy.
func newManager(c *credentials, timeout time.Duration) (*manager, error) {
	base, err := policy.ParseEndpoint(c.endpoint, c.insecureAllowHTTP)
	if err != nil {
		return nil, err
	}
	m := &manager{credentials: c, base: base, timeout: timeout, client: newClient()}
	if m.resource == "" {
		m.resource = resourceOf(base)
	}
	m.conceal(m.secret, m.signingKey, basic(m.appID, m.secret))
	return m, nil
}

// newClient follows no redirect: what is asked for goes with a secret, and what is
// delivered is personal data.
func newClient() *http.Client {
	return &http.Client{
		Transport:     newTransport(),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// resourceOf is the Management API's indicator: that of a tenant of Logto Cloud, or
// the one that every Logto has which is hosted by its user.
func resourceOf(base string) string {
	u, err := url.Parse(base)
	if err == nil && strings.HasSuffix(u.Hostname(), ".logto.app") {
		return "https://" + u.Hostname() + "/api"
	}
	return "https://default.logto.app/api"
}

// basic has the form of RFC 6749 section 2.3.1.
func basic(id, secret string) string {
	return base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id) + ":" + url.QueryEscape(secret)))
}

func (m *manager) conceal(secrets ...string) {
	for _, secret := range secrets {
		// Shorter ones would be found in words.
		if len(secret) >= 6 && !slices.Contains(m.secrets, secret) {
			m.secrets = append(m.secrets, secret)
		}
	}
}

// hide takes out of a report what a server may have repeated in its answer.
func (m *manager) hide(r *report) {
	for i := range r.Checks {
		for _, secret := range m.secrets {
			r.Checks[i].Saw = strings.ReplaceAll(r.Checks[i].Saw, secret, "(left out)")
			r.Checks[i].Hint = strings.ReplaceAll(r.Checks[i].Hint, secret, "(left out)")
		}
	}
}

type answer struct {
	status int
	header http.Header
	body   []byte
}

// send makes one request and reads at most limit bytes of the answer.
func send(ctx context.Context, client *http.Client, timeout time.Duration, limit int, req *http.Request) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	res, err := client.Do(req.WithContext(ctx))
	if err != nil {
		if in := (*url.Error)(nil); errors.As(err, &in) {
			err = in.Err // without the address, which may have a secret in it
		}
		return nil, inTime(ctx, err)
	}
	defer res.Body.Close()
	a := &answer{status: res.StatusCode, header: res.Header}
	if a.body, err = io.ReadAll(io.LimitReader(res.Body, int64(limit)+1)); err != nil {
		return nil, inTime(ctx, err)
	}
	return a, nil
}

// retryAfter is what the header asks for, in seconds or as a date; 0 if it doesn't.
func retryAfter(h http.Header) time.Duration {
	value := strings.TrimSpace(h.Get("Retry-After"))
	after := time.Duration(0)
	if seconds, err := strconv.ParseInt(value, 10, 32); err == nil {
		after = time.Duration(seconds) * time.Second
	} else if date, err := http.ParseTime(value); err == nil {
		after = time.Until(date)
	}
	return min(max(after, 0), maxAfter)
}

// ask makes a request, and makes it again if it may go better: after Retry-After if
// that isn't long, else after a second or two.
func (m *manager) ask(ctx context.Context, check string, limit int, build func() *http.Request) (*answer, *trouble) {
	for try := 1; ; try++ {
		req := build()
		req.Header.Set("User-Agent", policy.UserAgent)
		a, err := send(ctx, m.client, m.timeout, limit, req)
		pause := time.Duration(try) * time.Second
		t := &trouble{check: check}
		switch {
		case err != nil:
			t.saw, t.hint = "no answer by "+host(m.base)+": "+err.Error(), "see the other checks of logto doctor -endpoint "+m.base
		case len(a.body) > limit:
			return nil, &trouble{check: check, saw: fmt.Sprintf("the answer has over %d bytes", limit), hint: "is it Logto's?"}
		case a.status == http.StatusTooManyRequests || a.status >= 500:
			t.after = retryAfter(a.header)
			pause = max(pause, t.after)
			t.saw, t.hint = fmt.Sprintf("status %d by %s", a.status, host(m.base)), "Logto, or the proxy in front of it, is failing or asked too often; run it again later"
			if t.after > 0 {
				t.saw += fmt.Sprintf(", which asks to wait for %v", t.after.Round(time.Second))
			}
		default:
			return a, nil
		}
		if try == tries || pause > maxPause || !sleep(ctx, pause) {
			return nil, t
		}
	}
}

// sleep reports whether the whole time has passed.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// authorize gets an access token, if the one at hand is too old (RFC 6749 section
// 4.4, RFC 8707).
func (m *manager) authorize(ctx context.Context) *trouble {
	if m.token != "" && time.Now().Before(m.until) {
		return nil
	}
	m.token = ""
	form := url.Values{"grant_type": {"client_credentials"}, "resource": {m.resource}, "scope": {"all"}}.Encode()
	a, t := m.ask(ctx, "management", maxBody, func() *http.Request {
		req, err := http.NewRequest(http.MethodPost, m.base+policy.OIDCPath+"/token", strings.NewReader(form))
		if err != nil {
			panic(err) // the base has been parsed
		}
		req.Header.Set("Authorization", "Basic "+basic(m.appID, m.secret))
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Accept", "application/json")
		return req
	})
	if t != nil {
		return t
	}
	if a.status != http.StatusOK {
		t := &trouble{check: "management", saw: fmt.Sprintf("no token for %s: status %d%s", quote.String(m.resource), a.status, codeOf(a.body))}
		switch code := codeOf(a.body); {
		case a.status == http.StatusUnauthorized || strings.Contains(code, "invalid_client"):
			t.hint = "are App ID and secret those of one machine-to-machine application of this Logto?"
		case strings.Contains(code, "invalid_target"):
			t.hint = "there is no such API: with a custom domain of Logto Cloud, give -resource https://<tenant>.logto.app/api"
		case strings.Contains(code, "invalid_scope"):
			t.hint = noRole
		default:
			t.hint = "is this the address of Logto, without /oidc, and the application a machine-to-machine one?"
		}
		return t
	}
	var token struct {
		AccessToken string      `json:"access_token"`
		ExpiresIn   json.Number `json:"expires_in"`
	}
	if decodeJSON(a.body, &token) != nil || !policy.IsScope(token.AccessToken) {
		return &trouble{check: "management", saw: "no token in the answer of the token endpoint", hint: "is this the address of Logto?"}
	}
	seconds, _ := token.ExpiresIn.Int64()
	m.token = token.AccessToken
	m.until = time.Now().Add(time.Duration(min(max(seconds-60, 0), 86400)) * time.Second)
	m.conceal(m.token)
	return nil
}

const noRole = "give the application a machine-to-machine role with the permission all of the Logto Management API (console: Roles)"

// get asks the Management API for what is at a path, which begins with a slash. The
// check is the one that fails if it isn't there.
func (m *manager) get(ctx context.Context, check, path string, query url.Values, limit int) (*answer, *trouble) {
	for renewed := false; ; renewed = true {
		if t := m.authorize(ctx); t != nil {
			return nil, t
		}
		a, t := m.ask(ctx, check, limit, func() *http.Request {
			req, err := http.NewRequest(http.MethodGet, m.base+"/api"+path+"?"+query.Encode(), nil)
			if err != nil {
				panic(err) // the base has been parsed, the rest is escaped
			}
			req.Header.Set("Authorization", "Bearer "+m.token)
			req.Header.Set("Accept", "application/json")
			return req
		})
		if t != nil {
			return nil, t
		}
		saw := fmt.Sprintf("status %d by the Management API%s", a.status, codeOf(a.body))
		switch {
		case a.status == http.StatusOK:
			return a, nil
		case a.status == http.StatusUnauthorized && !renewed:
			m.token = "" // taken back, or the key was rotated: another one, once
		case a.status == http.StatusUnauthorized:
			return nil, &trouble{check: "management", saw: saw, hint: "is -resource the Management API's indicator (console: API resources)? It was " + m.resource}
		case a.status == http.StatusForbidden:
			return nil, &trouble{check: "management", saw: saw, hint: noRole}
		case a.status == http.StatusNotFound:
			return nil, &trouble{check: "hook", saw: saw + ": no webhook " + quote.String(m.hook), hint: "its ID is in the address of its page in the console: /webhooks/<ID>"}
		case a.status >= 300 && a.status < 400:
			return nil, &trouble{check: "management", saw: saw + ", a redirect", hint: "it isn't followed: give the address where it leads as -endpoint, if that is your Logto"}
		default:
			return nil, &trouble{check: "management", saw: saw, hint: "is this the address of Logto?"}
		}
	}
}

var errorCode = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,60}$`)

// codeOf is the code in an error of Logto's, with a comma before it: never its text.
func codeOf(body []byte) string {
	var e struct {
		Code  string `json:"code"`
		Error string `json:"error"`
	}
	_ = json.Unmarshal(body, &e)
	for _, code := range []string{e.Error, e.Code} {
		if errorCode.MatchString(code) {
			return ", " + code
		}
	}
	return ""
}

// webhook is a hook as the Management API shows it.
type webhook struct {
	ID     string   `json:"id"`
	Name   string   `json:"name"`
	Event  string   `json:"event"` // of old ones, instead of events
	Events []string `json:"events"`
	Config struct {
		URL     string            `json:"url"`
		Headers map[string]string `json:"headers"` // may have secrets in them
	} `json:"config"`
	SigningKey string `json:"signingKey"`
	Enabled    bool   `json:"enabled"`
	Stats      *struct {
		Requests  int `json:"requestCount"`
		Successes int `json:"successCount"`
	} `json:"executionStats"` // of the last 24 hours
}

func (m *manager) webhook(ctx context.Context) (*webhook, *trouble) {
	a, t := m.get(ctx, "hook", "/hooks/"+url.PathEscape(m.hook), url.Values{"includeExecutionStats": {"true"}}, maxBody)
	if t != nil {
		return nil, t
	}
	h := &webhook{}
	if err := json.Unmarshal(a.body, h); err != nil || h.ID != m.hook {
		return nil, &trouble{check: "hook", saw: "the answer is no webhook " + quote.String(m.hook), hint: "is this the address of Logto?"}
	}
	if len(h.Events) == 0 && h.Event != "" {
		h.Events = []string{h.Event}
	}
	m.conceal(h.SigningKey)
	for _, value := range h.Config.Headers {
		m.conceal(value)
	}
	return h, nil
}

// logEntry is a delivery as Logto has logged it.
type logEntry struct {
	ID        string  `json:"id"`
	Key       string  `json:"key"` // TriggerHook. and the event
	CreatedAt float64 `json:"createdAt"`
	Payload   struct {
		Result   string          `json:"result"`
		Error    json.RawMessage `json:"error"`
		HookID   string          `json:"hookId"`
		Response struct {
			StatusCode int `json:"statusCode"`
		} `json:"response"`
		HookRequest struct {
			Body json.RawMessage `json:"body"`
		} `json:"hookRequest"`
	} `json:"payload"`
}

// logs gives one page of the deliveries of an event since a time. The total is -1
// if it isn't told. Logto before 1.42 knows no start_time: then it is a day.
func (m *manager) logs(ctx context.Context, event string, since time.Time, page int) (entries []json.RawMessage, total int, t *trouble) {
	a, t := m.get(ctx, "logs", "/hooks/"+url.PathEscape(m.hook)+"/recent-logs", url.Values{
		"logKey": {logPrefix + event}, "start_time": {strconv.FormatInt(since.UnixMilli(), 10)},
		"page": {strconv.Itoa(page)}, "page_size": {strconv.Itoa(pageSize)},
	}, maxPage)
	if t != nil {
		return nil, 0, t
	}
	if err := json.Unmarshal(a.body, &entries); err != nil || entries == nil {
		return nil, 0, &trouble{check: "logs", saw: "the answer is no list of deliveries", hint: "is this the address of Logto?"}
	}
	total = -1
	if n, err := strconv.Atoi(a.header.Get("Total-Number")); err == nil && n >= 0 {
		total = n
	}
	return entries, total, nil
}

// compact gives the bytes that are signed and sent: Logto keeps a body as JSON, not
// as the bytes it had sent.
func compact(body json.RawMessage) ([]byte, error) {
	var b bytes.Buffer
	err := json.Compact(&b, body)
	return b.Bytes(), err
}
