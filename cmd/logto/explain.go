package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/internal/policy"
	"github.com/seed-70fe37f4/logto/internal/quote"
	"github.com/seed-70fe37f4/logto/internal/refusal"
)

// The steps of a token's way, in the order of the library. The first four ask for no
// configuration.
var steps = []refusal.Step{refusal.Form, refusal.Type, refusal.Algorithm, refusal.Claims, refusal.Issuer,
	refusal.Audience, refusal.Client, refusal.Times, refusal.Key, refusal.Signature}

// explainer has a token and what is known of it.
type explainer struct {
	*options
	report *report
	token  string
	target *target // nil: nothing is verified
	header map[string]any
	claims map[string]any
	steps  map[refusal.Step]*check
}

func explain(o *options, stdin io.Reader, stderr io.Writer) *report {
	e := &explainer{options: o, report: &report{Command: "explain", subject: "from standard input"}, steps: map[refusal.Step]*check{}}
	r := e.report
	var err error
	if e.token, err = readToken(stdin, stderr); err != nil {
		r.add(refusal.Form.String(), fail, err.Error(), "give the token alone, as the client sent it: three parts with two dots, about 700 bytes")
		r.Verdict, r.Reason, r.Summary = "refused", "malformed", "Refused, malformed: "+err.Error()
		return r
	}
	e.decode()
	ctx, cancel := context.WithTimeout(context.Background(), 2*o.timeout)
	defer cancel()
	if o.hasIssuer() {
		if e.target, err = o.reach(ctx); err != nil {
			r.refusedConfig(err)
			r.Verdict, r.Summary = "unverified", "Nothing was verified: the configuration is refused."
			return r
		}
	}
	verdict := e.check(ctx)
	for _, step := range steps {
		r.Checks = append(r.Checks, *e.steps[step])
	}
	if e.target != nil && (e.steps[refusal.Times].Status == fail || e.steps[refusal.Times].Status == warn) {
		r.clock(e.target.net)
	}
	if e.target != nil && verdict == nil {
		verdict = e.route()
	}
	e.conclude(verdict)
	return r
}

// readToken reads what stands before the end of the input, or on a terminal
// before the end of the line.
func readToken(stdin io.Reader, stderr io.Writer) (string, error) {
	var text []byte
	var err error
	if isTerminal(stdin) && !isNull(stdin) {
		_, _ = fmt.Fprintln(stderr, "Paste the token and press Enter. Better pipe it in: a terminal shows it,\nand cuts a line at about 4000 characters.")
		text, err = bufio.NewReaderSize(io.LimitReader(stdin, maxToken+1), maxToken+1).ReadBytes('\n')
		if err == io.EOF {
			err = nil
		}
	} else {
		text, err = io.ReadAll(io.LimitReader(stdin, maxToken+1))
	}
	switch {
	case err != nil:
		return "", fmt.Errorf("reading standard input: %w", err)
	case len(text) > maxToken:
		return "", fmt.Errorf("standard input has over %d KiB", maxToken>>10)
	}
	token := trim(decodeText(text))
	for _, prefix := range []string{"Authorization:", "Bearer "} {
		if len(token) >= len(prefix) && strings.EqualFold(token[:len(prefix)], prefix) {
			token = trim(token[len(prefix):])
		}
	}
	return token, nil
}

// trim takes away white space, byte order marks and spaces of no width.
func trim(s string) string {
	return strings.TrimFunc(s, func(r rune) bool { return unicode.IsSpace(r) || r == '\ufeff' || r == '\u200b' })
}

// decodeText reads what an editor or PowerShell has written: UTF-8, or UTF-16 of either
// byte order, which shows by its mark or, as a token is ASCII, by its zeros.
func decodeText(text []byte) string {
	var order binary.ByteOrder
	switch {
	case len(text) < 2:
		return string(text)
	case text[0] == 0xff && text[1] == 0xfe, text[0] != 0 && text[1] == 0:
		order = binary.LittleEndian
	case text[0] == 0xfe && text[1] == 0xff, text[0] == 0 && text[1] != 0:
		order = binary.BigEndian
	default:
		return string(text)
	}
	units := make([]uint16, len(text)/2)
	for i := range units {
		units[i] = order.Uint16(text[2*i:])
	}
	return string(utf16.Decode(units))
}

// decode reads header and claims for showing them; the library reads them anew.
func (e *explainer) decode() {
	parts := strings.Split(e.token, ".")
	if len(parts) != 3 {
		return
	}
	for i, to := range []*map[string]any{&e.header, &e.claims} {
		data, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[i], "="))
		if err == nil {
			_ = decodeJSON(data, to) // the library says what is wrong with it
		}
	}
	if e.header == nil && e.claims == nil {
		return
	}
	t := &token{times: map[string]string{}}
	t.Header, _ = showable(e.header).(map[string]any)
	t.Claims, _ = showable(e.claims).(map[string]any)
	now := time.Now()
	for _, name := range []string{"iat", "nbf", "exp"} {
		if when, ok := e.time(name); ok {
			t.times[name] = when.UTC().Format("2006-01-02 15:04:05 UTC") + ", " + distance(when.Sub(now))
		}
	}
	e.report.Token = t
}

func (e *explainer) time(name string) (time.Time, bool) {
	number, _ := e.claims[name].(json.Number)
	seconds, err := strconv.ParseFloat(number.String(), 64)
	if err != nil || seconds < 0 || seconds > 253402300799 {
		return time.Time{}, false
	}
	return time.Unix(int64(seconds), 0), true
}

func distance(d time.Duration) string {
	text := d.Abs().Round(time.Second).String()
	if d.Abs() >= 10*time.Minute {
		text = strings.TrimSuffix(d.Abs().Round(time.Minute).String(), "0s")
		if strings.HasSuffix(text, "h0m") {
			text = strings.TrimSuffix(text, "0m")
		}
	}
	if d < 0 {
		return text + " ago"
	}
	return "in " + text
}

// showable is a copy with long strings cut, and without tokens inside of it.
func showable(v any) any {
	switch v := v.(type) {
	case map[string]any:
		if v == nil {
			return v
		}
		m := map[string]any{}
		for name, value := range v {
			m[short(name, 200)] = showable(value)
		}
		return m
	case []any:
		list := []any{}
		for _, value := range v[:min(len(v), 100)] {
			list = append(list, showable(value))
		}
		return list
	case json.Number:
		if len(v) > 40 {
			return short(v.String(), 40)
		}
	case string:
		if strings.HasPrefix(v, "eyJ") && strings.Count(v, ".") >= 2 {
			return fmt.Sprintf("(a token of %d characters, left out)", len(v))
		}
		return short(v, 1000)
	}
	return v
}

// probe asks the library about the token under a configuration made for one
// question. It never goes to the network.
func (e *explainer) probe(issuers, audiences, clients []string, network http.RoundTripper) error {
	cfg := logto.Config{
		Issuers: issuers, Audiences: audiences, ClientIDs: clients, OrganizationTokens: e.config.OrganizationTokens,
		JWKSURL: "https://offline.invalid/jwks", InsecureAllowHTTP: true,
		HTTPClient: &http.Client{Transport: network}, Logger: slog.New(slog.DiscardHandler),
	}
	if network == nil {
		cfg.HTTPClient.Transport = offline{}
	} else {
		cfg.JWKSURL = e.target.jwksURL
	}
	v, err := logto.New(cfg)
	// The claims of the token may be none that anybody could configure.
	nobody, nothing := []string{"https://offline.invalid"}, []string{"any"}
	for _, other := range [][2][]string{{issuers, nothing}, {nobody, audiences}, {nobody, nothing}} {
		if err != nil {
			cfg.Issuers, cfg.Audiences = other[0], other[1]
			v, err = logto.New(cfg)
		}
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), maxTimeout)
	defer cancel()
	_, err = v.Verify(ctx, e.token)
	return err
}

// own are the issuer and the audiences that the token itself names.
func (e *explainer) own() (issuers, audiences []string) {
	issuers = []string{stringOf(e.claims["iss"])}
	switch aud := e.claims["aud"].(type) {
	case string:
		audiences = []string{aud}
	case []any:
		for _, one := range aud {
			if s, ok := one.(string); ok && s != "" {
				audiences = append(audiences, s)
			}
		}
	}
	return issuers, audiences
}

func (e *explainer) set(step refusal.Step, status, saw, hint string) {
	e.steps[step] = &check{Name: step.String(), Status: status, Saw: saw, Hint: hint}
}

func (e *explainer) pass(steps ...refusal.Step) {
	for _, step := range steps {
		e.set(step, ok, e.saw(step), "")
	}
}

func (e *explainer) fail(step refusal.Step, err error) {
	e.set(step, fail, details(err), remedy(err))
}

// step is the one that an error of the library refused at: the first, if at none.
func step(err error) refusal.Step {
	if e := refusal.Of(err); e != nil && e.Reason.Step != refusal.NoStep {
		return e.Reason.Step
	}
	return refusal.Form
}

// check fills in the steps and returns the verdict: that of the verifier with
// the given configuration, or without one what can be said at all. The
// verdict is the library's; the probes tell of the steps it didn't come to.
func (e *explainer) check(ctx context.Context) error {
	for _, step := range steps {
		e.set(step, skip, "not checked, as a check before it failed", "")
	}
	issuers, audiences := e.own()
	static := e.probe(issuers, audiences, nil, nil)
	verdict := static
	if e.target != nil {
		_, verdict = e.target.verifier.Verify(ctx, e.token)
	}
	if at := step(static); at < refusal.Issuer {
		e.pass(steps[:slices.Index(steps, at)]...)
		e.fail(at, static)
		return verdict
	}
	e.pass(steps[:slices.Index(steps, refusal.Issuer)]...)

	switch step(static) {
	case refusal.Times:
		e.fail(refusal.Times, static)
	case refusal.Issuer, refusal.Audience:
		e.set(refusal.Times, skip, "not checked", "")
	default:
		e.pass(refusal.Times)
	}
	if e.target == nil {
		for _, step := range []refusal.Step{refusal.Issuer, refusal.Audience, refusal.Client, refusal.Key, refusal.Signature} {
			e.set(step, skip, "not verified: give -endpoint and -audience", "")
		}
		if step(static) == refusal.Key {
			return nil
		}
		return static
	}

	// What the configuration wants, one thing at a time.
	cfg := e.config
	for _, one := range []struct {
		step                         refusal.Step
		issuers, audiences, clientID []string
	}{
		{refusal.Issuer, e.target.issuers, audiences, nil},
		{refusal.Audience, issuers, cfg.Audiences, nil},
		{refusal.Client, issuers, audiences, cfg.ClientIDs},
	} {
		if err := e.probe(one.issuers, one.audiences, one.clientID, nil); step(err) == one.step {
			e.fail(one.step, err)
		} else {
			e.pass(one.step)
		}
	}

	// The key and the signature, by the key set that the verifier got.
	online := e.probe(issuers, audiences, nil, e.target.net)
	published := e.target.verifier.KeySetStatus().KeyIDs
	kid := stringOf(e.header["kid"])
	switch {
	case online == nil:
		e.pass(refusal.Key, refusal.Signature)
	case step(online) == refusal.Signature, step(online) == refusal.Algorithm:
		e.pass(refusal.Key)
		e.fail(step(online), online)
	case e.target.keysErr != nil:
		e.fail(refusal.Key, e.target.keysErr)
		if hint := e.keyHint(); hint != "" {
			e.steps[refusal.Key].Hint = hint
		}
	case step(online) == refusal.Key:
		e.fail(refusal.Key, online)
		e.steps[refusal.Key].Saw += "; it has " + quote.List(published)
	case slices.Contains(published, kid):
		e.pass(refusal.Key)
		e.set(refusal.Signature, skip, "not checked: "+logto.Reason(online), "")
	default:
		e.set(refusal.Key, fail, "the key set has no key "+quote.String(kid)+"; it has "+quote.List(published),
			"is the endpoint that of the tenant which issued the token? If so, its key was rotated out: get a new token")
	}

	// The verdict decides, should a probe have said something else.
	if verdict == nil {
		for _, step := range steps {
			if e.steps[step].Status != ok {
				e.pass(step)
			}
		}
	} else if step := step(verdict); e.steps[step].Status != fail {
		e.fail(step, verdict)
	}
	return verdict
}

func (e *explainer) keyHint() string {
	if x := e.target.keys; x != nil && x.err != nil {
		return policy.NetworkHint(x.err).Long
	}
	return ""
}

// saw is what a check that passed looked at.
func (e *explainer) saw(step refusal.Step) string {
	text := func(name string) string { return quote.String(stringOf(e.claims[name])) }
	switch step {
	case refusal.Form:
		return fmt.Sprintf("three parts, %d bytes", len(e.token))
	case refusal.Type:
		return quote.String(stringOf(e.header["typ"])) + ", an access token"
	case refusal.Algorithm:
		algorithm := stringOf(e.header["alg"])
		if algorithm == "ES384" {
			return "ES384, Logto's default (libraries and gateways that know RS256 only refuse it)"
		}
		return clean(algorithm)
	case refusal.Claims:
		kind := "user " + text("sub") + ", by application " + text("client_id")
		if e.claims["sub"] == e.claims["client_id"] {
			kind = "machine " + text("sub") + " (sub is client_id)"
		}
		_, audiences := e.own()
		switch id := e.claims["organization_id"].(type) {
		case string:
			kind += ", in organization " + quote.String(id)
		case nil:
			for _, audience := range audiences {
				if strings.HasPrefix(audience, "urn:logto:organization:") {
					kind += ", an organization token"
				}
			}
		}
		return kind
	case refusal.Issuer:
		return text("iss")
	case refusal.Audience:
		_, audiences := e.own()
		return quote.List(audiences)
	case refusal.Client:
		if len(e.config.ClientIDs) == 0 {
			return text("client_id") + "; any is accepted, without -client-id"
		}
		return text("client_id")
	case refusal.Times:
		exp, _ := e.time("exp")
		if left := time.Until(exp); left < 0 {
			return "expired " + distance(left) + ", within the leeway of " + policy.Leeway.String()
		}
		return "expires " + distance(time.Until(exp)) + ". Until then it is good: suspending the user, signing out or a changed role doesn't end a JWT, unless the API has a list of revocations (Config.Revoked)"
	case refusal.Key:
		return quote.String(stringOf(e.header["kid"])) + " is published"
	}
	return "it is by this key"
}

// route asks about the requirements of a route, for a token that was accepted.
func (e *explainer) route() error {
	claims, err := e.target.verifier.Verify(context.Background(), e.token)
	if err != nil {
		return err
	}
	t, r := e.target, e.report
	var verdict error
	organization := func(id string) logto.Requirement {
		return logto.Organization(func(*http.Request) string { return id })
	}
	var naming []logto.Requirement // the organization
	if e.organized {
		if err := t.meets(e.token, organization(e.organization)); err != nil {
			verdict = err
			r.add("organization", fail, details(err), remedy(err))
			naming = append(naming, logto.AnyOrganization())
		} else {
			r.add("organization", ok, quote.String(e.organization), "")
			naming = append(naming, organization(e.organization))
		}
	}
	if len(e.scopes) > 0 {
		err := t.meets(e.token, append(slices.Clone(naming), logto.Scopes(e.scopes...))...)
		switch {
		case err == nil:
			r.add("scopes", ok, "granted: "+quote.String(strings.Join(e.scopes, " ")), "")
		case verdict != nil && logto.Reason(err) == "organization":
			r.add("scopes", skip, "not checked, as the organization is wrong", "")
		default:
			verdict = cmp.Or(verdict, err)
			hint := remedy(err)
			if logto.Reason(err) == "organization" {
				hint = "give -organization too; the route must have logto.Organization(…)"
			}
			r.add("scopes", fail, details(err), hint)
		}
	}

	ask := func(name string, reqs ...logto.Requirement) {
		err := t.meets(e.token, reqs...)
		q := requirement{Requirement: name, Meets: err == nil}
		if err != nil {
			q.Why = details(err)
		}
		r.Requirements = append(r.Requirements, q)
	}
	ask("logto.Users()", logto.Users())
	ask("logto.Machines()", logto.Machines())
	ask("logto.AnyOrganization()", logto.AnyOrganization())
	bound := claims.OrganizationID()
	if bound != "" {
		ask("logto.Organization(…) of "+quote.String(bound), organization(bound))
	}
	if e.organized && e.organization != bound {
		ask("logto.Organization(…) of "+quote.String(e.organization), organization(e.organization))
	}
	scopes := []string(e.scopes)
	if len(scopes) == 0 {
		// What can't be a scope would make Scopes panic.
		scopes = slices.DeleteFunc(claims.Scopes(), func(s string) bool { return !policy.IsScope(s) })
	}
	scopes = scopes[:min(len(scopes), 20)]
	for _, scope := range scopes {
		if bound == "" {
			ask("logto.Scopes("+strconv.Quote(scope)+")", logto.Scopes(scope))
		} else {
			ask("logto.Scopes("+strconv.Quote(scope)+") with logto.AnyOrganization()", logto.AnyOrganization(), logto.Scopes(scope))
		}
	}
	if len(scopes) == 0 {
		why := t.meets(e.token, append(organizationOf(bound), logto.Scopes("any"))...)
		r.Requirements = append(r.Requirements, requirement{Requirement: "logto.Scopes(…)", Why: "the token has no scope: " + remedy(why)})
	} else if bound != "" {
		ask("logto.Scopes("+strconv.Quote(scopes[0])+") without the organization", logto.Scopes(scopes[0]))
	}
	return verdict
}

// organizationOf names the organization that a token is bound to, if it is.
func organizationOf(bound string) []logto.Requirement {
	if bound == "" {
		return nil
	}
	return []logto.Requirement{logto.AnyOrganization()}
}

func (e *explainer) conclude(verdict error) {
	r := e.report
	r.OK = verdict == nil && e.target != nil // what nobody verified is not well
	switch {
	case verdict != nil:
		r.Verdict, r.Reason = "refused", logto.Reason(verdict)
		r.Summary = fmt.Sprintf("Refused, %s: %s (%d; docs/troubleshooting.md#%s)", r.Reason, details(verdict), refusal.Of(verdict).Reason.Status, r.Reason)
		others := slices.DeleteFunc(r.failed(), func(name string) bool { return name == step(verdict).String() })
		if errors.Is(verdict, logto.ErrInvalidToken) && len(others) > 0 {
			r.Summary += ". Also wrong: " + strings.Join(others, ", ")
		}
		if e.target == nil {
			r.Summary = fmt.Sprintf("Nothing was verified, as there is no -endpoint. It would be refused, %s: %s", r.Reason, details(verdict))
		}
	case e.target == nil:
		r.Verdict = "unverified"
		r.Summary = "Nothing was verified: anybody could have written this token. Give -endpoint and -audience."
	default:
		r.Verdict = "accepted"
		r.Summary = "Accepted"
		if user := stringOf(e.claims["sub"]); e.claims["sub"] == e.claims["client_id"] {
			r.Summary += ": machine " + quote.String(user)
		} else {
			r.Summary += ": user " + quote.String(user)
		}
		if len(e.scopes) == 0 && !e.organized {
			r.Summary += ". A 403 is then by a requirement of the route: see above, or give -scope and -organization"
		}
	}
}
