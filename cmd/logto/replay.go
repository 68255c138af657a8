package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/seed-70fe37f4/logto/internal/quote"
)

const replayUsage = `usage: logto replay -endpoint URL -hook ID -app-id ID [flags]

replay delivers again the webhooks that Logto has logged as failed: Logto sends each
once. It reads the log by the Management API, with a machine-to-machine application.
Its secret is never an argument: it comes from LOGTO_APP_SECRET or a file.

  -endpoint URL          address of Logto, such as https://tenant.logto.app
  -hook ID               of the webhook: in the address of its page in the console
  -app-id ID             of the application, or LOGTO_APP_ID
  -secret-file PATH      its secret, if not in LOGTO_APP_SECRET
  -signing-key-file PATH signs the deliveries, if neither LOGTO_SIGNING_KEY nor the
                         webhook's own key is to
  -resource URL          indicator of the Management API, if not that of the endpoint
  -to URL                where to deliver, if not to the webhook's URL; may be
                         repeated, for several instances
  -since DURATION        how far back, at most 720h; 24h by default. As long as access
                         tokens live, and 10m: older events revoke nothing
  -event NAME            this event too, if revocation.Config.Map acts on it; may be
                         repeated
  -all                   what had been delivered too: for a receiver without a store
                         that has restarted
  -dry-run               only print what would be delivered
  -every DURATION        go on, with this pause, until SIGINT or SIGTERM
  -timeout DURATION      for each request, at most 10s
  -insecure-allow-http   allow http to a Logto that is not loopback
  -json                  print JSON: see go doc github.com/seed-70fe37f4/logto/cmd/logto

exit status: 0 all is delivered, 1 something is not, 2 usage
`

const (
	maxSince  = 720 * time.Hour
	pageSize  = 50
	maxPage   = 64 << 20 // bytes: Logto's log has a large body up to four times
	maxPages  = 200      // of one pass
	maxBodies = 32 << 20
	// passTime bounds one pass.
	passTime = 5 * time.Minute
	// clockMargin is for a Logto whose clock is behind.
	clockMargin = time.Minute
	// overlap is how much a loop reads again: a delivery is logged when it has ended.
	overlap = 15 * time.Minute
	// patience is how many deliveries may fail one after the other until a receiver is
	// left alone for this time.
	patience  = 3
	maxListed = 50
)

// replaying are the flags of replay.
type replaying struct {
	since, every time.Duration
	to, events   list
	all, dryRun  bool
}

// deliveries counts in a report of replay.
type deliveries struct {
	Read        int `json:"read"`        // in the log
	Failed      int `json:"failed"`      // of these
	Delivered   int `json:"delivered"`   // now; counted once a receiver
	Undelivered int `json:"undelivered"` // still
}

// parseReplay reads what follows the word replay.
func parseReplay(args []string) (*options, error) {
	o := &options{}
	f := o.flags("replay")
	o.credentials.flags(f)
	f.Var(&o.replay.to, "to", "")
	f.Var(&o.replay.events, "event", "")
	f.DurationVar(&o.replay.since, "since", 24*time.Hour, "")
	f.DurationVar(&o.replay.every, "every", 0, "")
	f.BoolVar(&o.replay.all, "all", false, "")
	f.BoolVar(&o.replay.dryRun, "dry-run", false, "")
	if err := parseFlags(f, args); err != nil {
		return nil, err
	}
	looped := false
	f.Visit(func(f *flag.Flag) { looped = looped || f.Name == "every" })
	switch {
	case f.NArg() > 0:
		return nil, errors.New("replay takes flags only; secrets come from the environment or a file")
	case !o.timeIsRight():
		return nil, errTimeout
	case o.config.Endpoint == "":
		return nil, errors.New("replay needs -endpoint")
	case o.credentials.hook == "":
		return nil, errors.New("replay needs -hook: the ID in the address of the webhook's page in the console")
	case o.replay.since <= 0 || o.replay.since > maxSince:
		return nil, errors.New("-since must be over 0 and at most 720h")
	case looped && (o.replay.every < time.Second || o.replay.every >= o.replay.since):
		return nil, errors.New("-every must be at least 1s, and less than -since: nothing may be left out in between")
	case looped && o.replay.dryRun:
		return nil, errors.New("-dry-run is for one run: leave -every out")
	}
	for _, to := range o.replay.to {
		if err := parseReceiver(to); err != nil {
			return nil, err
		}
	}
	for _, event := range o.replay.events {
		if !eventName.MatchString(event) {
			return nil, errors.New("-event takes the name of one event, such as Role.Deleted; repeat it for more")
		}
	}
	return o, o.credentials.load(o.config.Endpoint, o.config.InsecureAllowHTTP)
}

var eventName = regexp.MustCompile(`^[A-Za-z][A-Za-z.]{0,99}$`)

// replay runs once, or until it is told to stop.
func replay(o *options, stdout, stderr io.Writer) int {
	p, err := newReplayer(o)
	if err != nil {
		r := &report{Command: "replay", subject: o.config.Endpoint, Deliveries: &deliveries{}}
		r.refusedConfig(err)
		r.conclude(o)
		return o.print(r, stdout, stderr)
	}
	if o.replay.every == 0 {
		r, _ := p.pass(context.Background())
		return o.print(r, stdout, stderr)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return p.loop(ctx, stdout, stderr)
}

// A replayer delivers what had failed. Between the passes of a loop it remembers
// what it has delivered, and where to read on; losing that costs time only, for
// revocations merge by their maximum.
type replayer struct {
	*manager
	o      *options
	client *http.Client
	events []string
	room   int // bytes of deliveries that one pass holds

	done    map[string]time.Time // receiver and log ID: when it was logged
	pending map[string]time.Time // log ID, of those that failed again
	newest  time.Time            // logged, up to which all was read; zero before the first pass
}

func newReplayer(o *options) (*replayer, error) {
	m, err := newManager(&o.credentials, o.timeout)
	if err != nil {
		return nil, err
	}
	p := &replayer{manager: m, o: o, client: newClient(), events: revokingEvents(), room: maxBodies,
		done: map[string]time.Time{}, pending: map[string]time.Time{}}
	for _, event := range o.replay.events {
		if !slices.Contains(p.events, event) {
			p.events = append(p.events, event)
		}
	}
	return p, nil
}

// loop says something at first, whenever something was delivered or went wrong, and
// when it goes well again. The status is that of the last whole pass.
func (p *replayer) loop(ctx context.Context, stdout, stderr io.Writer) int {
	status, first := 1, true
	for {
		r, after := p.pass(ctx)
		if ctx.Err() != nil {
			return status // the pass was cut off: what it says is about that
		}
		if first || !r.OK || status != 0 || r.Deliveries.Delivered > 0 {
			r.subject += "  " + time.Now().UTC().Format(time.RFC3339)
			if status = p.o.print(r, stdout, stderr); r.OK && status != 0 {
				return status // it can't be written: nobody would notice what goes wrong
			}
		}
		first = false
		if !sleep(ctx, max(p.o.replay.every, after)) {
			return status
		}
	}
}

// pass reads the log once and delivers once. The duration is how long Logto asks not
// to be asked again.
func (p *replayer) pass(ctx context.Context) (*report, time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, passTime)
	defer cancel()
	r := &report{Command: "replay", subject: fmt.Sprintf("%s  hook %s", p.base, p.hook), Deliveries: &deliveries{}}
	t := p.try(ctx, r)
	after := time.Duration(0)
	if t != nil {
		r.addTrouble(t)
		after = t.after
	}
	p.hide(r)
	r.conclude(p.o)
	return r, after
}

func (p *replayer) try(ctx context.Context, r *report) *trouble {
	h, t := p.webhook(ctx)
	if t != nil {
		return t
	}
	r.managed(p.manager)
	r.enabled(h)
	r.events(h, p.events, warn)
	key := p.signingKey
	if key == "" {
		key = h.SigningKey
	} else if h.SigningKey != "" {
		r.signingKey(p.manager, h)
	}
	if key == "" {
		r.signingKey(p.manager, h)
		return nil
	}
	receivers := []string(p.o.replay.to)
	if len(receivers) == 0 {
		if !r.address(h) {
			return nil
		}
		receivers = []string{h.Config.URL}
	}

	found, newest, t := p.read(ctx, r, receivers)
	if t == nil && newest.After(p.newest) {
		p.newest = newest
	}
	undelivered := map[string]time.Time{}
	for _, receiver := range receivers {
		p.deliver(ctx, r, receiver, h.Config.Headers, []byte(key), found, undelivered)
	}
	p.pending = undelivered
	return t
}

// conclude writes the verdict of a pass.
func (r *report) conclude(o *options) {
	n := r.Deliveries
	switch wrong := r.settle(); {
	case n.Undelivered > 0:
		r.Summary = fmt.Sprintf("Not delivered: %d. The next run tries again.", n.Undelivered)
	case !r.OK:
		r.Summary = wrong
	case o.replay.dryRun:
		r.Summary = "Nothing was delivered: this was a dry run."
	case n.Delivered > 0:
		r.Summary = fmt.Sprintf("Delivered: %d. Nothing is left to be delivered.", n.Delivered)
	default:
		r.Summary = "Nothing is to be delivered."
	}
}

// A delivery is one that is to be made again.
type delivery struct {
	id, event       string
	logged, created time.Time
	body            []byte
	why             string // it had failed; "" if it hadn't
}

// read gives the deliveries that are to be made again, the newest event last, and when
// the newest of all that Logto has logged was logged. If there is trouble, they may
// not be all.
func (p *replayer) read(ctx context.Context, r *report, receivers []string) (found []delivery, newest time.Time, t *trouble) {
	flags := p.o.replay
	since := time.Now().Add(-flags.since - clockMargin)
	for key, logged := range p.done {
		if logged.Before(since) {
			delete(p.done, key)
		}
	}
	lost := 0
	from := since
	if !flags.all && !p.newest.IsZero() {
		// By Logto's own clock.
		from = p.newest.Add(-overlap)
		for _, logged := range p.pending {
			if logged.Before(since) {
				lost++
			} else if logged.Before(from) {
				from = logged.Add(-time.Millisecond)
			}
		}
		if from.Before(since) {
			from = since
		}
	}

	seen := map[string]bool{}
	pages, bodies, bad := 0, 0, 0
events:
	for _, event := range p.events {
		for page := 1; ; page++ {
			pages++
			if pages > maxPages || bodies > p.room {
				t = &trouble{check: "logs", saw: "the log is longer than one run reads: the oldest deliveries are left out", hint: "a shorter -since; and tick no event in the console that isn't needed"}
				break events
			}
			entries, total, trouble := p.logs(ctx, event, from, page)
			if trouble != nil {
				t = trouble
				break events
			}
			for _, raw := range entries {
				d, failed, err := p.entry(raw)
				switch {
				case err != nil:
					bad++
					continue
				case d.logged.Before(from) || seen[d.id] || d.event != event:
					continue // the log grew while it was read, or Logto is an old one
				}
				seen[d.id] = true
				r.Deliveries.Read++
				if d.logged.After(newest) {
					newest = d.logged
				}
				if failed {
					r.Deliveries.Failed++
				}
				if flags.all || failed && slices.ContainsFunc(receivers, func(receiver string) bool { return !p.has(receiver, d.id) }) {
					bodies += len(d.body)
					found = append(found, d)
				}
			}
			if len(entries) == 0 || total >= 0 && page*pageSize >= total {
				break
			}
		}
	}
	slices.SortFunc(found, func(a, b delivery) int {
		if c := a.created.Compare(b.created); c != 0 {
			return c
		}
		return strings.Compare(a.id, b.id)
	})
	if t == nil {
		r.add("logs", ok, fmt.Sprintf("since %s: %d, of which failed: %d", from.UTC().Format(time.RFC3339), r.Deliveries.Read, r.Deliveries.Failed), "")
	}
	if bad > 0 {
		r.add("logs", fail, fmt.Sprintf("not as expected: %d", bad), "is Logto newer than this tool? Whatever these events revoke is not revoked: use revocation.List.Revoke")
	}
	if lost > 0 {
		r.add("logs", note, fmt.Sprintf("given up, as they are older than -since: %d", lost), "")
	}
	return found, newest, t
}

// entry reads what Logto has logged of one delivery. What it doesn't say of this very
// webhook is not signed.
func (p *replayer) entry(raw json.RawMessage) (d delivery, failed bool, err error) {
	var e logEntry
	if err := json.Unmarshal(raw, &e); err != nil {
		return d, false, err
	}
	var body struct {
		Event     string    `json:"event"`
		HookID    string    `json:"hookId"`
		CreatedAt time.Time `json:"createdAt"`
	}
	if err := json.Unmarshal(e.Payload.HookRequest.Body, &body); err != nil {
		return d, false, err
	}
	event, isHook := strings.CutPrefix(e.Key, logPrefix)
	if !isHook || e.ID == "" || body.Event != event || body.HookID != p.hook || e.Payload.HookID != p.hook ||
		body.CreatedAt.IsZero() || !(e.CreatedAt > 0 && e.CreatedAt < math.MaxInt32*1000) {
		return d, false, errors.New("no delivery of this webhook")
	}
	d = delivery{id: e.ID, event: event, logged: time.UnixMilli(int64(e.CreatedAt)), created: body.CreatedAt}
	failed = e.Payload.Result != "Success"
	if failed {
		d.why = whyFailed(&e)
	}
	d.body, err = compact(e.Payload.HookRequest.Body)
	return d, failed, err
}

// whyFailed is short and has nothing of the body in it, which Logto writes into the
// error too.
func whyFailed(e *logEntry) string {
	if e.Payload.Response.StatusCode > 0 {
		return fmt.Sprintf("status %d", e.Payload.Response.StatusCode)
	}
	var text string
	_ = json.Unmarshal(e.Payload.Error, &text)
	_, object, _ := strings.Cut(text, ": ")
	var in struct {
		Message string `json:"message"`
		Cause   struct {
			Message string `json:"message"`
		} `json:"cause"`
	}
	_ = json.Unmarshal([]byte(object), &in)
	switch {
	case in.Cause.Message != "":
		return short(in.Cause.Message, 100)
	case in.Message != "":
		return short(in.Message, 100)
	}
	return "no answer"
}

// deliver sends to one receiver what it hasn't got yet. What it doesn't take is put
// into undelivered.
func (p *replayer) deliver(ctx context.Context, r *report, receiver string, headers map[string]string, key []byte, found []delivery, undelivered map[string]time.Time) {
	flags := p.o.replay
	listed := map[string]int{}
	list := func(status, saw, hint string) {
		if listed[status]++; listed[status] <= maxListed {
			r.add("delivery", status, saw, hint)
		}
	}
	inARow, untried, stopped := 0, 0, false
	for _, d := range found {
		if p.has(receiver, d.id) && !flags.all {
			continue
		}
		what := fmt.Sprintf("%s of %s to %s", d.event, d.created.UTC().Format(time.RFC3339), shown(receiver))
		had := "it had been delivered"
		if d.why != "" {
			had = "it had failed with " + quote.String(d.why)
		}
		if flags.dryRun {
			list(note, "would be delivered: "+what+"; "+had, "")
			continue
		}
		if stopped || ctx.Err() != nil {
			untried++
			r.Deliveries.Undelivered++
			undelivered[d.id] = d.logged
			continue
		}
		status, word, err := p.post(ctx, receiver, headers, key, d.body)
		if err == nil && status >= 200 && status < 300 {
			inARow = 0
			p.done[receiver+" "+d.id] = d.logged
			r.Deliveries.Delivered++
			list(ok, fmt.Sprintf("%s: %d%s; %s", what, status, word, had), "")
			continue
		}
		r.Deliveries.Undelivered++
		undelivered[d.id] = d.logged
		saw, hint := fmt.Sprintf("%s: status %d%s", what, status, word), ""
		switch {
		case err != nil:
			saw, hint = what+": "+err.Error(), "can the receiver be reached from here? -to gives another address of it"
			inARow++
		case status == http.StatusUnauthorized:
			hint, stopped = "the receiver has another signing key than the one that this was signed with: see logto doctor -hook", true
		case status == http.StatusServiceUnavailable && word != "":
			hint = "it is in force in that instance, but its store has not taken it"
			inARow++
		case status >= 500 || status == http.StatusTooManyRequests:
			hint = "the receiver, or the proxy in front of it, is failing"
			inARow++
		case status >= 300 && status < 400:
			hint, stopped = "a redirect isn't followed: set the webhook's URL, or -to, to the address where it leads", true
		case status == http.StatusForbidden || status == http.StatusNotFound || status == http.StatusMethodNotAllowed:
			hint, stopped = "this is no address of revocation.List.Webhook, or something in between refuses it", true
		default:
			hint = "the receiver's log says why"
		}
		list(fail, saw, hint)
		stopped = stopped || inARow >= patience
	}
	for _, status := range []string{ok, fail, note} {
		if n := listed[status] - maxListed; n > 0 {
			r.add("delivery", status, fmt.Sprintf("to %s: %d more are not listed", shown(receiver), n), "")
		}
	}
	if untried > 0 {
		r.add("delivery", fail, fmt.Sprintf("to %s: not tried after that: %d", shown(receiver), untried), "")
	}
}

// has reports whether the receiver has got a delivery in this process.
func (p *replayer) has(receiver, id string) bool {
	_, ok := p.done[receiver+" "+id]
	return ok
}

var outcomeWord = regexp.MustCompile(`^[a-z_]{1,30}$`)

// post makes one delivery as Logto does, signed anew. The word is that of
// revocation.List.Webhook, with a space before it, if it is one.
func (p *replayer) post(ctx context.Context, receiver string, headers map[string]string, key, body []byte) (status int, word string, err error) {
	if len(body) > maxBody {
		return 0, "", fmt.Errorf("the body has over %d bytes", maxBody)
	}
	req, err := http.NewRequest(http.MethodPost, receiver, bytes.NewReader(body))
	if err != nil {
		return 0, "", errors.New("the address is no URL")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "logto-replay")
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	mac := hmac.New(sha256.New, key)
	mac.Write(body)
	req.Header.Set("Logto-Signature-Sha-256", hex.EncodeToString(mac.Sum(nil)))
	a, err := send(ctx, p.client, p.timeout, 4<<10, req)
	if err != nil {
		return 0, "", err
	}
	if text := strings.TrimSpace(string(a.body)); outcomeWord.MatchString(text) {
		word = " " + text
	}
	return a.status, word, nil
}
