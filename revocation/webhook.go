package revocation

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/seed-70fe37f4/logto/internal/guard"
	"github.com/seed-70fe37f4/logto/internal/policy"
	"github.com/seed-70fe37f4/logto/internal/quote"
	"github.com/seed-70fe37f4/logto/internal/strictjson"
)

const (
	// maxBody is far above what Logto sends: an event has all of its user in it, custom data
	// too, and who fills that must not be able to keep a suspension away. Of those over
	// smallBody one is read at a time, so that strangers fill no memory.
	maxBody   = 16 << 20
	smallBody = 1 << 20
	// answerTime is for reading the body and for the store: Logto waits 10 s and
	// never sends an event twice.
	answerTime = 2500 * time.Millisecond
	// grace is added to the createdAt of suspended, deleted and organization
	// deleted: a refresh that is under way signs its token after the event, and
	// nobody comes back legitimately within that time.
	grace = 5 * time.Second
	// listCut is where Logto cuts off a list of IDs, without a mark.
	listCut = 5000
	// fakeID is in the events of the console's test button. Logto's own IDs have
	// no hyphen.
	fakeID = "fake-id"

	maxShown = 100 // bytes of what somebody sent, in a log

	signatureHeader = "Logto-Signature-Sha-256"
)

// events are those of Logto 1.42.
var events = []string{
	"PostRegister", "PostSignIn", "PostSignInAdaptiveMfaTriggered", "PostResetPassword",
	"User.Created", "User.Deleted", "User.Data.Updated", "User.SuspensionStatus.Updated",
	"TrustedDevice.Created", "TrustedDevice.Deleted",
	"Role.Created", "Role.Deleted", "Role.Data.Updated", "Role.Scopes.Updated",
	"OrganizationRole.Created", "OrganizationRole.Deleted", "OrganizationRole.Data.Updated", "OrganizationRole.Scopes.Updated",
	"Scope.Created", "Scope.Deleted", "Scope.Data.Updated",
	"OrganizationScope.Created", "OrganizationScope.Deleted", "OrganizationScope.Data.Updated",
	"Organization.Created", "Organization.Deleted", "Organization.Data.Updated", "Organization.Membership.Updated",
	"Identifier.Lockout", "Message.RateLimited", "Grant.LimitExceeded",
}

// Webhook receives Logto's webhooks (console: Webhooks). It takes the signing keys
// that the console shows: two while one replaces the other, for Logto changes
// its key at once. White space and quotation marks around a key are taken off, empty
// ones passed over; without any it panics, for anybody could sign. The signature is
// checked over the raw body before that is parsed.
//
//	User.SuspensionStatus.Updated   suspended: the user; unsuspended: nothing
//	User.Deleted                    the user
//	PostResetPassword               the user
//	User.Data.Updated               a password set by an administrator: the user; else nothing
//	Organization.Membership.Updated each user and application that was removed
//	Organization.Deleted            the organization
//
// The cutoff is the event's createdAt, by Logto's clock as iat is, and 5 s later
// for suspended, deleted and organization deleted. So a replay changes nothing. A
// list of 5000 removed IDs may have been cut off: then the organization is
// revoked as well. All other events revoke nobody, unless Config.Map says so.
//
// The answer comes within 3 s, and its one word is Event.Outcome, which Logto's
// console shows: 200 if there is nothing to be done or it is done everywhere; 503
// if it is in force here and the store has not taken it yet; 401 without a good
// signature; 400 for what Logto signed but isn't as expected: an administrator
// sees these in the console, for Logto sends nothing twice.
func (l *List) Webhook(signingKeys ...string) http.Handler {
	var keys [][]byte
	for _, key := range signingKeys {
		// A file or a variable often ends in a line end, and Logto's keys have no space.
		if key = strings.Trim(key, " \t\r\n\ufeff\"'"); key != "" {
			keys = append(keys, []byte(key))
		}
	}
	if len(keys) == 0 {
		panic("revocation: Webhook needs a signing key: is an environment variable not set?")
	}
	return l.receiver(func(w http.ResponseWriter, r *http.Request) delivery { return l.receive(w, r, keys) })
}

// receiver tells what became of a request: to observer, log and sender.
func (l *List) receiver(receive func(http.ResponseWriter, *http.Request) delivery) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d := receive(w, r)
		l.observe(Event{Kind: d.kind, Outcome: d.outcome, Revocations: d.changed, Err: d.err})
		l.logDelivery(d)
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.WriteHeader(d.status)
		_, _ = io.WriteString(w, d.outcome+"\n")
	})
}

// delivery is what became of one request.
type delivery struct {
	kind, outcome string
	status        int
	created       time.Time
	first         string // whom it is about
	changed       int
	err           error
}

func (l *List) logDelivery(d delivery) {
	level := slog.LevelInfo
	switch {
	case d.kind == "unverified":
		level = slog.LevelWarn
	case d.err != nil:
		level = slog.LevelError
	}
	attrs := []slog.Attr{slog.String("event", d.kind), slog.String("outcome", d.outcome)}
	if !d.created.IsZero() {
		attrs = append(attrs, slog.Time("created_at", d.created))
	}
	if d.first != "" {
		attrs = append(attrs, slog.String("of", d.first), slog.Int("revocations", d.changed))
	}
	if d.err != nil {
		attrs = append(attrs, slog.String("error", d.err.Error()))
	}
	if d.kind == "unverified" {
		l.log.Line(context.Background(), level, d.outcome, "revocation: request refused", func() []slog.Attr { return attrs })
		return
	}
	l.logger().LogAttrs(context.Background(), level, "revocation: event", attrs...)
}

// refuse is for a request that isn't known to come from Logto.
func refuse(status int, outcome, format string, args ...any) delivery {
	return delivery{kind: "unverified", outcome: outcome, status: status, err: fmt.Errorf("revocation: "+format, args...)}
}

func (l *List) receive(w http.ResponseWriter, r *http.Request, keys [][]byte) delivery {
	until := time.Now().Add(answerTime)
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return refuse(http.StatusMethodNotAllowed, "refused", "method %q: want POST", quote.Cut(r.Method, maxShown))
	}
	signature, err := hex.DecodeString(r.Header.Get(signatureHeader))
	if err != nil || len(signature) != sha256.Size {
		// Before the body is read, of which anybody can send a lot.
		return refuse(http.StatusUnauthorized, "unauthorized", "no header %s with 64 hexadecimal digits", signatureHeader)
	}
	// Where the server can't do that, its own ReadTimeout has to.
	_ = http.NewResponseController(w).SetReadDeadline(until)
	body, leave, err := l.readBody(w, r, until)
	defer leave()
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return refuse(http.StatusRequestEntityTooLarge, "refused", "the body has over %d bytes", maxBody)
	}
	if err != nil {
		return refuse(http.StatusRequestTimeout, "refused", "reading the body: %w", err)
	}
	if !signed(body, signature, keys) {
		return refuse(http.StatusUnauthorized, "unauthorized", "the signature is none of the body by a signing key: is it the one that Logto's console shows?")
	}
	d := delivery{status: http.StatusOK}
	m, err := readMessage(body)
	if d.kind = "other"; slices.Contains(events, m.event) {
		d.kind = m.event
	}
	d.created = m.created
	switch {
	case err != nil:
		d.status, d.outcome, d.err = http.StatusBadRequest, "malformed", err
	case m.test:
		d.outcome = "test"
	default:
		l.take(r.Context(), until, m, body, &d)
	}
	return d
}

// readBody reads a body of up to maxBody. leave lets the next large one in.
func (l *List) readBody(w http.ResponseWriter, r *http.Request, until time.Time) (body []byte, leave func(), err error) {
	leave = func() {}
	all := http.MaxBytesReader(w, r.Body, maxBody)
	if body, err = io.ReadAll(io.LimitReader(all, smallBody+1)); err != nil || len(body) <= smallBody {
		return body, leave, err
	}
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case l.large <- struct{}{}:
		leave = func() { <-l.large }
	case <-timer.C:
		return nil, leave, errors.New("other large bodies are being read")
	}
	rest, err := io.ReadAll(all)
	return append(body, rest...), leave, err
}

// signed compares in constant time: how far a forged signature was right can't
// be told from the time.
func signed(body, signature []byte, keys [][]byte) bool {
	ok := false
	for _, key := range keys {
		mac := hmac.New(sha256.New, key)
		mac.Write(body)
		ok = hmac.Equal(mac.Sum(nil), signature) || ok
	}
	return ok
}

// take puts into force what the message says, and then what the user's code makes of it:
// that can take nothing away, whatever it does.
func (l *List) take(ctx context.Context, until time.Time, m message, body []byte, d *delivery) {
	l.enforce(ctx, until, m.revocations, d)
	if d.outcome == "nothing" && d.kind == "other" {
		d.outcome = "unknown"
	}
	if l.cfg.Map == nil {
		return
	}
	var more []Revocation
	err := guard.Call(func() (err error) {
		more, err = issuedAt(m.created, l.cfg.Map(m.event, body))
		return err
	})
	if len(more) > 0 {
		also := delivery{status: http.StatusOK}
		l.enforce(ctx, until, more, &also)
		also.merge(d)
	}
	if err != nil {
		d.status, d.outcome, d.err = http.StatusInternalServerError, "failed", fmt.Errorf("revocation: Config.Map: %w", err)
	}
}

// merge adds to d what became of further revocations of the same event.
func (also *delivery) merge(d *delivery) {
	if d.first == "" {
		d.first = also.first
	}
	if d.changed += also.changed; d.err == nil {
		d.status, d.err = also.status, also.err
		if also.err != nil || d.outcome != "revoked" {
			d.outcome = also.outcome
		}
	}
}

// issuedAt gives the revocations that the user's code made the time of the event where
// they have none, and leaves out what is none, of which the error tells.
func issuedAt(created time.Time, revocations []Revocation) (good []Revocation, err error) {
	for _, r := range revocations {
		if r.IssuedAt.IsZero() {
			r.IssuedAt = created
		}
		if _, _, none := r.target(); none != nil {
			err = none
			continue
		}
		good = append(good, r)
	}
	return good, err
}

// enforce puts revocations into force, and notes in d what became of it.
func (l *List) enforce(ctx context.Context, until time.Time, revocations []Revocation, d *delivery) {
	if len(revocations) == 0 {
		d.outcome = "nothing"
		return
	}
	d.first = revocations[0].String()
	// Who sent the event may leave; it counts all the same.
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), until)
	defer cancel()
	changed, alive, err := l.revoke(ctx, revocations)
	d.changed, d.err = changed, err
	if d.outcome = outcome(changed, alive, err); err != nil {
		d.status = http.StatusServiceUnavailable
	}
}

// String names the target, for a log.
func (r Revocation) String() string {
	k, id, err := r.target()
	if err != nil {
		return "nothing"
	}
	return strings.TrimSpace(kindNames[k] + " " + quote.Cut(id, maxShown))
}

// message is a webhook's body, read by exact names and types.
type message struct {
	event       string
	test        bool
	created     time.Time
	revocations []Revocation
}

// object is a JSON object. Unlike a struct it takes names as they are written.
type object map[string]json.RawMessage

func readObject(data []byte) (object, error) {
	var o object
	if !utf8.Valid(data) || json.Unmarshal(data, &o) != nil || o == nil {
		return nil, errors.New("revocation: not a JSON object")
	}
	return o, nil
}

// text is "" for a member that is absent or null.
func (o object) text(name string) (string, error) {
	value, ok := o[name]
	if !ok || string(value) == "null" {
		return "", nil
	}
	return readText(name, value)
}

func readText(name string, value json.RawMessage) (string, error) {
	text, ok := strictjson.Unquote(string(value))
	if !ok {
		return "", fmt.Errorf("revocation: %s is no string", name)
	}
	return text, nil
}

// object is empty for a member that is absent or no object: in some events data
// is an array.
func (o object) object(name string) object {
	inner, _ := readObject(o[name])
	return inner
}

// ids is nil for a member that is absent or null.
func (o object) ids(name string) ([]string, error) {
	value, ok := o[name]
	if !ok || string(value) == "null" {
		return nil, nil
	}
	var elements []json.RawMessage
	if value[0] != '[' || json.Unmarshal(value, &elements) != nil {
		return nil, fmt.Errorf("revocation: %s is no array", name)
	}
	ids := make([]string, len(elements))
	for i, element := range elements {
		id, err := readText("an element of "+name, element)
		if err != nil {
			return nil, err
		}
		if ids[i] = id; id == "" {
			return nil, fmt.Errorf("revocation: an element of %s is empty", name)
		}
	}
	return ids, nil
}

// readMessage reads what Logto has signed. Parts of it come from users: data on
// the route of custom data is just what they have set.
func readMessage(body []byte) (m message, err error) {
	top, err := readObject(body)
	if err != nil {
		return m, err
	}
	if m.event, err = top.text("event"); m.event == "" {
		return m, cmp.Or(err, errors.New("revocation: no event"))
	}
	params := top.object("params")
	userID, err := top.text("userId")
	if id, _ := params.text("id"); id == fakeID || userID == fakeID {
		m.test = true
		return m, nil
	}
	createdAt, errCreated := top.text("createdAt")
	if errCreated == nil {
		if m.created, errCreated = time.Parse(time.RFC3339, createdAt); errCreated != nil {
			errCreated = errors.New("revocation: createdAt is no time")
		}
	}
	if !policy.IsRevoking(m.event) {
		return m, nil // whatever it is, and whatever a later version puts into it
	}
	if err = cmp.Or(err, errCreated); err != nil {
		return m, err
	}

	data := top.object("data")
	until := m.created
	user := func() error {
		// The route names the user; events without one have the user in data.
		for _, at := range []struct {
			in   object
			name string
		}{{params, "userId"}, {data, "id"}, {top, "userId"}} {
			id, err := at.in.text(at.name)
			if err != nil {
				return err
			}
			if r := (Revocation{Subject: id, IssuedAt: until}); id != "" && !slices.Contains(m.revocations, r) {
				m.revocations = append(m.revocations, r)
			}
		}
		if len(m.revocations) == 0 {
			return errors.New("revocation: the event names no user")
		}
		return nil
	}
	switch m.event {
	case "User.SuspensionStatus.Updated":
		switch string(data["isSuspended"]) {
		case "true":
			until = m.created.Add(grace)
			err = user()
		case "false":
		default:
			err = errors.New("revocation: data.isSuspended is neither true nor false")
		}
	case "User.Deleted":
		until = m.created.Add(grace)
		err = user()
	case "PostResetPassword":
		err = user()
	case "User.Data.Updated":
		var route string
		if route, err = top.text("matchedRoute"); route == "/users/:userId/password" {
			err = user()
		}
	case "Organization.Membership.Updated":
		err = m.membership(top, params)
	case "Organization.Deleted":
		var id string
		if id, err = params.text("id"); err == nil && id == "" {
			err = errors.New("revocation: the event names no organization")
		}
		m.revocations = append(m.revocations, Revocation{OrganizationID: id, IssuedAt: m.created.Add(grace)})
	}
	if err != nil {
		m.revocations = nil
		return m, err
	}
	for _, r := range m.revocations {
		if _, _, err := r.target(); err != nil {
			m.revocations = nil
			return m, err
		}
	}
	return m, nil
}

// membership revokes those who were removed. A token that is bound to no
// organization carries the scopes of all of the user's: so it is the subject.
func (m *message) membership(top, params object) error {
	organizationID, err := top.text("organizationId")
	if err != nil {
		return err
	}
	method, err := top.text("method")
	if err != nil {
		return err
	}
	named, cutOff := false, false
	for _, name := range []string{"removedUserIds", "removedApplicationIds"} {
		ids, err := top.ids(name)
		if err != nil {
			return err
		}
		named = named || len(ids) > 0
		cutOff = cutOff || len(ids) >= listCut
		for _, id := range ids {
			m.revocations = append(m.revocations, Revocation{Subject: id, IssuedAt: m.created})
		}
	}
	if method == http.MethodDelete && !named {
		for _, name := range []string{"userId", "applicationId"} {
			id, err := params.text(name)
			if err != nil {
				return err
			}
			if id != "" {
				m.revocations = append(m.revocations, Revocation{Subject: id, IssuedAt: m.created})
			}
		}
		// Somebody was removed, and nobody is named: nobody else can be spared.
		cutOff = len(m.revocations) == 0
	}
	if cutOff {
		if organizationID == "" {
			return errors.New("revocation: the event names no organization")
		}
		m.revocations = append(m.revocations, Revocation{OrganizationID: organizationID, IssuedAt: m.created})
	}
	return nil
}
