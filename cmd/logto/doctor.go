package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/internal/jwk"
	"github.com/seed-70fe37f4/logto/internal/policy"
	"github.com/seed-70fe37f4/logto/internal/quote"
)

const clockNoise = 2 * time.Second // Date has whole seconds

func doctor(o *options) *report {
	ctx, cancel := context.WithTimeout(context.Background(), 6*o.timeout)
	defer cancel()
	subject := o.config.Endpoint
	if subject == "" {
		subject = o.config.Issuers[0]
	}
	r := &report{Command: "doctor", subject: policy.Shown(subject)}
	found := advice{options: o, issuers: o.config.Issuers}
	t, err := o.reach(ctx)
	if err != nil {
		r.refusedConfig(err)
	} else {
		found.jwksURL, found.issuers = t.jwksURL, slices.Clone(t.issuers)
		r.add("config", ok, fmt.Sprintf("issuer %s, keys at %s", quote.List(t.issuers), policy.Shown(t.jwksURL)), "")
		for _, issuer := range t.issuers {
			if u, err := url.Parse(issuer); err == nil && u.Port() == "3002" {
				r.add("config", warn, quote.String(issuer)+" has port 3002", "that is usually Logto's console, whose tokens are for administrators; the endpoint is usually at port 3001")
			}
		}
		if slices.ContainsFunc(t.issuers, policy.IsEmulator) {
			r.add("config", note, "this is logto emulate, and no Logto: anybody can be anybody there", "for development and tests only")
		}
		r.reached(t)
		r.keySet(t, o)
		r.discovery(ctx, t, o, &found)
		r.clock(t.net)
		r.audience(o)
		if o.credentials.hook != "" {
			r.webhook(ctx, o)
		}
	}

	switch wrong := r.settle(); {
	case !r.OK:
		r.Summary = wrong
	case r.has(warn):
		r.Summary = "It works, but look at each warn."
	default:
		r.Summary = "Nothing wrong was found. If tokens are refused all the same, give one to logto explain."
	}
	if err == nil {
		r.Config = found.config(t.keysErr == nil)
	}
	return r
}

// refusedConfig reports an error of logto.New.
func (r *report) refusedConfig(err error) {
	hint := ""
	var config *policy.ConfigError
	if errors.As(err, &config) && config.InsecureHTTP {
		hint = "if only this network can change the answer (containers of one host): -insecure-allow-http"
	}
	r.add("config", fail, details(err), hint)
}

// reached reports on the connection for the key set.
func (r *report) reached(t *target) {
	x := t.keys
	u, err := url.Parse(x.url)
	if err != nil {
		u = &url.URL{}
	}
	if x.status == 0 {
		hint := policy.NetworkHint(x.err)
		if hint.TLS {
			r.add("reach", ok, u.Host+" can be connected to", "")
			r.add("tls", fail, x.err.Error(), hint.Long)
			return
		}
		saw := u.Host + ": " + x.err.Error()
		if errors.Is(x.err, errTime) {
			saw = fmt.Sprintf("%s: no answer within %v", u.Host, x.took.Round(100*time.Millisecond))
		}
		r.add("reach", fail, saw, hint.Long)
		return
	}
	by := ""
	if x.proxied {
		by = ", through the proxy of the environment"
	}
	r.add("reach", ok, fmt.Sprintf("%s answered in %v from %s%s", u.Host, x.took.Round(time.Millisecond), x.remote, by), "")
	switch {
	case x.tls != nil && len(x.tls.PeerCertificates) > 0:
		certificate := x.tls.PeerCertificates[0]
		left := time.Until(certificate.NotAfter)
		names := certificate.DNSNames
		if len(names) == 0 {
			names = []string{certificate.Subject.CommonName}
		}
		saw := fmt.Sprintf("%s, certificate for %s until %s (%d days)", tls.VersionName(x.tls.Version), quote.List(names), certificate.NotAfter.UTC().Format(time.DateOnly), int(left.Hours()/24))
		if left < 14*24*time.Hour {
			r.add("tls", warn, saw, "the certificate expires soon; then no key can be fetched")
			return
		}
		r.add("tls", ok, saw, "")
	case policy.IsLoopback(u.Hostname()):
		r.add("tls", note, "plain http to loopback: for development only", "")
	default:
		r.add("tls", warn, "plain http: whoever can change the answer can sign tokens for this API", "use https where the network isn't yours alone")
	}
}

// keySet reports on the answer and on each key in it.
func (r *report) keySet(t *target, o *options) {
	x := t.keys
	if x.status == 0 {
		r.add("jwks", skip, "no answer", "")
		return
	}
	contentType := x.header.Get("Content-Type")
	media, _, _ := mime.ParseMediaType(contentType)
	html := media == "text/html"
	saw := fmt.Sprintf("status %d, %s, %d bytes", x.status, quote.String(contentType), len(x.body))
	var document struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if x.url != t.jwksURL {
		saw += ", after a redirect to " + x.shown()
	}
	isSet := len(x.body) <= maxBody && x.err == nil && decodeJSON(x.body, &document) == nil && document.Keys != nil
	if isSet {
		saw += fmt.Sprintf(", keys: %d", len(document.Keys))
	}
	missing := "" // what is wrong with the address
	if html || x.status == http.StatusNotFound {
		switch {
		case strings.HasSuffix(t.jwksURL, policy.OIDCPath+policy.KeySetPath):
			missing = "this is no address of Logto's keys: is it the console's (port 3002) or the application's, or does the endpoint lack a path, or have one that is a page's?"
		case o.config.JWKSURL != "":
			missing = "this is no address of Logto's keys: -jwks-url (Config.JWKSURL) must end with /oidc/jwks, unless something else serves the keys"
		default:
			missing = "this is no key set: the address lacks /oidc. The issuer is the endpoint + /oidc, the keys are at <issuer>/jwks: use -endpoint (Config.Endpoint), which adds both"
		}
	}
	switch {
	case t.keysErr == nil && (media == "application/jwk-set+json" || media == "application/json"):
		r.add("jwks", ok, saw, "")
	case t.keysErr == nil:
		r.add("jwks", warn, saw, "it works, but Logto sends application/jwk-set+json: is there something in between?")
	case x.status >= 300 && x.status < 400:
		hint := "Logto doesn't answer so: is there a cache or a proxy in between?"
		if x.header.Get("Location") != "" {
			hint = "a redirect to another host or away from https is not followed: configure the address where it leads, if that is your Logto"
		}
		var redirect *policy.RedirectError
		if errors.As(t.keysErr, &redirect) {
			hint = policy.NetworkHint(redirect).Long
		}
		r.add("jwks", fail, saw+": "+details(t.keysErr), hint)
	case x.status == http.StatusTooManyRequests:
		r.add("jwks", fail, saw, "something in front of Logto limits how often this machine may ask: wait, and raise the limit for the key set if other services ask from the same address")
	case x.status == http.StatusProxyAuthRequired:
		r.add("jwks", fail, saw, policy.NetworkHint(&policy.ProxyError{Status: "407"}).Long)
	case x.status == http.StatusForbidden || x.status == http.StatusUnauthorized:
		r.add("jwks", fail, saw, "the key set is public in Logto: a firewall or proxy in between refuses this machine, or programs that call themselves Go-http-client")
	case x.status == http.StatusBadRequest && strings.HasPrefix(x.url, "http://"):
		r.add("jwks", fail, saw, "is this a port for https?")
	case x.status >= 500:
		r.add("jwks", fail, saw, "Logto, or the proxy in front of it, is failing: look at its log. Tokens that need the keys get 503 until it is back; known keys go on working for a day")
	case missing != "":
		r.add("jwks", fail, saw, missing)
	case x.err != nil:
		r.add("jwks", fail, saw+", then "+x.err.Error(), policy.NetworkHint(x.err).Long)
	case isSet && len(document.Keys) == 0:
		r.add("jwks", fail, saw, "the key set is empty: is it Logto's?")
	case isSet:
		r.add("jwks", fail, saw+", none usable", "Logto publishes EC keys (P-256, P-384, P-521) or RSA keys of 2048 bits or more: is it Logto's key set?")
	default:
		r.add("jwks", fail, saw+": "+short(details(t.keysErr), 300), "is it Logto's key set, and the whole of it?")
	}
	if !isSet {
		return
	}
	const most = 50
	usable := t.verifier.KeySetStatus().KeyIDs
	for _, raw := range document.Keys[:min(len(document.Keys), most)] {
		k := judge(raw)
		if k.Usable && t.keysErr == nil && !slices.Contains(usable, k.ID) {
			k.Usable, k.Why = false, "its ID is not unique"
		}
		saw := fmt.Sprintf("%s, %s, ", quote.String(k.ID), k.Type)
		if k.Algorithm != "" {
			saw += k.Algorithm + ": "
		} else if strings.HasPrefix(k.Type, "RSA") {
			saw += "no alg, as Logto does for RSA (RS256, PS256): "
		} else {
			saw += "no alg: "
		}
		c := check{Name: "key", Status: ok, Saw: saw + "usable", Key: &k}
		if !k.Usable {
			c.Status, c.Saw = warn, saw+"not usable: "+k.Why
		}
		r.Checks = append(r.Checks, c)
	}
	if n := len(document.Keys); n > most {
		r.add("key", note, fmt.Sprintf("%d more keys are not listed", n-most), "")
	}
}

// judge tells of one key what the library makes of it.
func judge(raw json.RawMessage) keyRow {
	var members map[string]any
	_ = decodeJSON(raw, &members) // whatever can be shown
	text := func(name string) string {
		s, _ := members[name].(string)
		return short(s, 100)
	}
	k := keyRow{ID: text("kid"), Type: strings.TrimSpace(text("kty") + " " + text("crv")), Algorithm: text("alg")}
	if n, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(stringOf(members["n"]), "=")); err == nil && len(n) > 0 && k.Type == "RSA" {
		k.Type += " " + strconv.Itoa(8*len(n)) + " bit"
	}
	if k.Type == "" {
		k.Type = "no type"
	}
	if _, _, err := jwk.ParseKey(string(raw)); err != nil {
		k.Why = short(err.Error(), 300)
	} else {
		k.Usable = true
	}
	return k
}

func stringOf(v any) string {
	s, _ := v.(string)
	return s
}

// advice collects what should be in the configuration.
type advice struct {
	*options
	issuers []string
	jwksURL string
	changed bool
}

type metadata struct {
	Issuer  string `json:"issuer"`
	JWKSURI string `json:"jwks_uri"`
}

// ask gets the discovery document of an issuer. The text says what is wrong with it.
func (t *target) ask(ctx context.Context, issuer string, o *options) (*metadata, string, string) {
	x, err := t.net.get(ctx, issuer+policy.DiscoveryPath, o.timeout)
	if err != nil && x != nil && len(x.body) > maxBody {
		return nil, err.Error(), ""
	}
	if err != nil {
		return nil, err.Error(), policy.NetworkHint(err).Long
	}
	var m metadata
	switch contentType := x.header.Get("Content-Type"); {
	case x.status != http.StatusOK:
		return nil, fmt.Sprintf("status %d from %s", x.status, x.shown()), ""
	case decodeJSON(x.body, &m) != nil || m.Issuer == "":
		return nil, fmt.Sprintf("%s answered %s, no discovery document", x.shown(), quote.String(contentType)), ""
	}
	return &m, "", ""
}

// elsewhere looks for Logto at other paths of the address at which it is not: with
// /oidc, without the last segments of the path, and on this machine at the emulator's.
// It returns nil if there is none.
func (t *target) elsewhere(ctx context.Context, issuer string, o *options) (m *metadata, at string) {
	path, isOIDC := strings.CutSuffix(issuer, policy.OIDCPath)
	u, err := url.Parse(path)
	if err != nil {
		return nil, ""
	}
	const most = 4
	for i := 0; i < most; i++ {
		if !isOIDC || i > 0 {
			at = strings.TrimRight(u.String(), "/") + policy.OIDCPath
			if m, _, _ = t.ask(ctx, at, o); m != nil {
				return m, at
			}
		}
		slash := strings.LastIndexByte(strings.TrimRight(u.Path, "/"), '/')
		if slash < 0 {
			break
		}
		u.Path, u.RawPath = u.Path[:slash], ""
	}
	if policy.IsLoopback(u.Hostname()) {
		u.Path, u.RawPath = policy.EmulatorPath+policy.OIDCPath, ""
		if m, _, _ = t.ask(ctx, u.String(), o); m != nil {
			return m, u.String()
		}
	}
	return nil, ""
}

// discovery compares what Logto calls itself with the configured issuers, by
// each of its names.
func (r *report) discovery(ctx context.Context, t *target, o *options, found *advice) {
	for _, issuer := range t.issuers[:min(len(t.issuers), 5)] {
		bare := strings.TrimRight(issuer, "/")
		sameHost := host(issuer) == host(t.jwksURL)
		if t.keys.status == 0 && sameHost {
			r.add("discovery", skip, "no answer", "")
			continue
		}
		m, problem, hint := t.ask(ctx, bare, o)
		if m == nil && hint != "" && t.keysErr == nil && !sameHost {
			r.add("discovery", note, "the public name can't be reached from here: "+problem, "no harm, as the keys come from elsewhere (Config.JWKSURL)")
			continue
		}
		if m == nil {
			if other, at := t.elsewhere(ctx, bare, o); other != nil {
				advice := "the issuer's path is wrong: tokens have " + quote.String(other.Issuer) + ". Use -endpoint (Config.Endpoint) with " + quote.String(strings.TrimSuffix(at, policy.OIDCPath))
				switch {
				case at == bare+policy.OIDCPath:
					advice = "the configured issuer lacks /oidc: tokens have " + quote.String(other.Issuer) + ". Use -endpoint (Config.Endpoint), which adds it"
				case policy.IsEmulator(at):
					advice = "this is logto emulate, whose endpoint ends in " + policy.EmulatorPath + ": it is " + quote.String(strings.TrimSuffix(at, policy.OIDCPath))
				case len(o.config.Issuers) == 0:
					advice = "the endpoint has a path too many, as of a page: it is " + quote.String(strings.TrimSuffix(at, policy.OIDCPath))
				}
				r.add("discovery", fail, fmt.Sprintf("no discovery document at issuer %s, but there is one at %s, of issuer %s", quote.String(issuer), quote.String(at), quote.String(other.Issuer)), advice)
				found.replace(issuer, other.Issuer)
				if o.config.JWKSURL == "" {
					found.jwksURL = other.Issuer + policy.KeySetPath
				}
				continue
			}
			status := warn
			if t.keysErr != nil && t.keys.status != 0 {
				status = note // jwks has said it
			}
			r.add("discovery", status, "the issuer can't be compared: "+problem, cmp.Or(hint, "package logto doesn't need this document. Compare the iss of a token: logto explain"))
			continue
		}
		r.compare("discovery", issuer, m, t, found)
	}
	// The name by which the service gets the keys.
	internal, isLogto := strings.CutSuffix(t.jwksURL, "/jwks")
	isIssuer := slices.ContainsFunc(t.issuers, func(issuer string) bool { return strings.TrimRight(issuer, "/") == internal })
	if isLogto && !isIssuer && t.keys.status != 0 {
		m, problem, _ := t.ask(ctx, internal, o)
		switch {
		case m == nil:
			r.add("internal", note, "no discovery document by the name of -jwks-url: "+problem, "")
		case !slices.Contains(t.issuers, m.Issuer):
			r.compare("internal", internal, m, t, found)
		default:
			r.add("internal", ok, fmt.Sprintf("by the name %s too, the issuer is %s; jwks_uri is %s, as it follows the name that Logto is asked by", quote.String(host(internal)), quote.String(m.Issuer), quote.String(policy.Shown(m.JWKSURI))), "")
		}
	}
}

// compare reports on a discovery document that was found at issuer.
func (r *report) compare(name, issuer string, m *metadata, t *target, found *advice) {
	got, want := m.Issuer, quote.List(t.issuers)
	configured := issuer
	if !slices.Contains(t.issuers, issuer) {
		configured = t.issuers[0] // issuer is another name of it
	}
	difference := policy.CompareIssuers(got, configured)
	switch {
	case slices.Contains(t.issuers, got):
		saw := fmt.Sprintf("issuer %s is as configured", quote.String(got))
		switch {
		case m.JWKSURI == t.jwksURL:
			r.add(name, ok, saw+", and so is jwks_uri", "")
		case strings.HasPrefix(issuer, "https://") && strings.HasPrefix(m.JWKSURI, "http://"):
			r.add(name, warn, saw+"; jwks_uri is "+quote.String(policy.Shown(m.JWKSURI)), "asked by https, Logto answers with an http address: behind a TLS proxy, set its ENDPOINT to the https address and TRUST_PROXY_HEADER=1, and let the proxy send X-Forwarded-Proto")
		default:
			r.add(name, ok, fmt.Sprintf("%s; jwks_uri is %s, the keys come from %s: jwks_uri follows the name that Logto is asked by, and is not used", saw, quote.String(policy.Shown(m.JWKSURI)), policy.Shown(t.jwksURL)), "")
		}
		return
	case strings.HasPrefix(got, "http://") && strings.TrimPrefix(got, "http://") == strings.TrimPrefix(configured, "https://"):
		r.add(name, fail, fmt.Sprintf("Logto calls itself %s, want %s", quote.String(got), want),
			"Logto runs behind a TLS proxy and doesn't know it: set its ENDPOINT to the https address and TRUST_PROXY_HEADER=1")
		return // The configuration is right, Logto isn't.
	case policy.IsEmulator(got) != policy.IsEmulator(configured):
		r.add(name, fail, fmt.Sprintf("it calls itself %s, want %s: one of them is logto emulate", quote.String(got), want), "the emulator is for development: take its endpoint or that of your Logto for Endpoint and JWKSURL both")
		return // Which one is meant can't be seen.
	case difference.Kind <= policy.SameLogto:
		r.add(name, fail, fmt.Sprintf("Logto calls itself %s, want %s: %s", quote.String(got), want, difference.Text), difference.Remedy)
	default:
		r.add(name, fail, fmt.Sprintf("Logto calls itself %s, want %s", quote.String(got), want),
			"tokens have the iss that Logto calls itself. If this is your Logto by an internal name, set Endpoint to the public address and JWKSURL to the internal one, as below; with a custom domain, list both issuers")
	}
	found.replace(configured, got)
}

func (a *advice) replace(old, new string) {
	a.changed = true
	if i := slices.Index(a.issuers, old); i >= 0 && !slices.Contains(a.issuers, new) {
		a.issuers[i] = new
	}
}

// config is the Go expression for what was found.
func (a *advice) config(confirmed bool) string {
	var b strings.Builder
	switch {
	case a.changed:
		b.WriteString("// Changed by what was found: make sure that this is your Logto.\n")
	case !confirmed:
		b.WriteString("// As given, not confirmed.\n")
	}
	jwksURL := policy.Shown(a.jwksURL)
	if jwksURL != a.jwksURL {
		b.WriteString("// What is left out of JWKSURL (…) may be secret.\n")
	}
	b.WriteString("logto.Config{\n")
	// Members are aligned as gofmt does it.
	var members [][2]string
	set := func(name, value string) { members = append(members, [2]string{name + ":", value}) }
	endpoint, isLogto := strings.CutSuffix(a.issuers[0], "/oidc")
	if isLogto {
		// A path, as of a tenant, may be part of it; what else the library would change may not.
		derived := issuersOf(logto.Config{Endpoint: endpoint, InsecureAllowHTTP: true})
		isLogto = len(derived) == 1 && derived[0] == a.issuers[0]
	}
	if isLogto {
		set("Endpoint", strconv.Quote(endpoint))
	}
	if len(a.options.config.Audiences) > 0 {
		set("Audiences", goStrings(a.options.config.Audiences))
	}
	if !isLogto || len(a.issuers) > 1 {
		set("Issuers", goStrings(a.issuers))
	}
	if a.jwksURL != a.issuers[0]+"/jwks" {
		set("JWKSURL", strconv.Quote(jwksURL))
	}
	if len(a.options.config.ClientIDs) > 0 {
		set("ClientIDs", goStrings(a.options.config.ClientIDs))
	}
	if a.options.config.OrganizationTokens {
		set("OrganizationTokens", "true")
	}
	if a.options.config.InsecureAllowHTTP {
		set("InsecureAllowHTTP", "true")
	}
	width := 0
	for _, m := range members {
		width = max(width, len(m[0]))
	}
	for _, m := range members {
		fmt.Fprintf(&b, "\t%-*s %s,\n", width, m[0], m[1])
	}
	b.WriteString("}")
	return b.String()
}

func goStrings(list []string) string {
	var quoted []string
	for _, s := range list {
		quoted = append(quoted, strconv.Quote(s))
	}
	return "[]string{" + strings.Join(quoted, ", ") + "}"
}

func host(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	return u.Host
}

// clockDifference is how far this clock is ahead of the server's, by its newest
// answer with a Date header.
func (r *recorder) clockDifference() (time.Duration, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := len(r.seen) - 1; i >= 0; i-- {
		x := r.seen[i]
		if x.status == 0 {
			continue
		}
		date, err := http.ParseTime(x.header.Get("Date"))
		if err != nil {
			continue
		}
		// The header was written somewhere in between, and has no fraction.
		here := x.start.Add(x.took / 2)
		return here.Sub(date.Add(500 * time.Millisecond)), nil
	}
	return 0, errors.New("no answer with a Date header")
}

func (r *report) clock(net *recorder) {
	ahead, err := net.clockDifference()
	if err != nil {
		r.add("clock", note, "can't be compared: "+err.Error(), "")
		return
	}
	word := "ahead of"
	if ahead < 0 {
		word = "behind"
	}
	saw := fmt.Sprintf("this machine is %v %s the server", ahead.Abs().Round(time.Second), word)
	const hint = "set the clocks right (NTP), here or there"
	switch {
	case ahead.Abs() <= clockNoise:
		r.add("clock", ok, "this machine and the server differ by less than 3 s", "")
	case ahead.Abs() < policy.Leeway:
		r.add("clock", warn, saw, hint+"; the library tolerates "+policy.Leeway.String()+" (Config.Leeway)")
	case ahead < 0:
		r.add("clock", fail, saw+": new tokens are refused as not_yet_valid", hint)
	default:
		r.add("clock", fail, saw+": tokens are refused as expired before their time", hint)
	}
}

// audience reports what can be told of an identifier without a token.
func (r *report) audience(o *options) {
	for _, audience := range o.config.Audiences {
		u, err := url.Parse(audience)
		switch {
		case err == nil && strings.HasSuffix(u.Host, ".logto.app") && u.Path == "/api":
			r.add("audience", warn, quote.String(audience)+" is Logto's Management API", "make an API resource of your own in the console")
		case len(policy.Parts(audience)) > 1:
			r.add("audience", warn, quote.String(audience)+" is one identifier", "if it is meant as several: -audience may be repeated, and Config.Audiences has a string for each")
		case strings.HasSuffix(audience, "/"):
			r.add("audience", warn, quote.String(audience)+" ends with a slash", "it is compared byte by byte: is the slash in the console too?")
		default:
			r.add("audience", note, quote.String(audience)+" must be, byte by byte, the API identifier in the console and the resource that the client asks for: a token shows it (logto explain)", "")
		}
	}
}
