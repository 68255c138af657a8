// The texts of refusals, for the log: what was got and wanted, and the likely mistake.

package logto

import (
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/seed-70fe37f4/logto/internal/policy"
	"github.com/seed-70fe37f4/logto/internal/quote"
	"github.com/seed-70fe37f4/logto/internal/refusal"
	"github.com/seed-70fe37f4/logto/internal/strictjson"
)

// What a token exchange names (RFC 8693 section 2.1).
const (
	exchange    = "grant_type=urn:ietf:params:oauth:grant-type:token-exchange"
	patType     = "urn:logto:token-type:personal_access_token"
	subjectType = "urn:ietf:params:oauth:token-type:access_token"
)

const notBase64URL = "a part of the token is not strict base64url"

// Refusals without anything of the token in them are made once: refusing noise
// must cost next to nothing.
var (
	errNoHeader    = refusal.New(reasonNoHeader, "want Authorization: Bearer and an access token")
	errNoToken     = refusal.New(reasonNoHeader, "TokenFrom has found no token in the request")
	errOtherScheme = refusal.New(reasonOtherScheme, "the Authorization header has another scheme than Bearer")
	errTwoHeaders  = refusal.New(reasonBadRequest, "more than one Authorization header")
	errCredentials = refusal.New(reasonBadRequest, "malformed Authorization header: want the word Bearer, a space and one token")

	errTooLong = refusal.New(reasonMalformed, "the token has over %d bytes", maxToken).
			With("keep what a JWT customizer puts into the token small, and let the handler look up the rest")
	errParts    = refusal.New(reasonMalformed, "the token has not three parts")
	errEncoding = refusal.New(reasonMalformed, notBase64URL)
	errBlank    = refusal.New(reasonMalformed, notBase64URL+": there is white space, a line end or a byte order mark in it, or around it").
			With("take away the white space around the token (strings.TrimSpace); inside of it there must be none")
	errQuoted = refusal.New(reasonMalformed, notBase64URL+": there are quotation marks around it").
			With("hand over the token without quotation marks (jq -r)")
	errPercent = refusal.New(reasonMalformed, notBase64URL+": it is percent-encoded, as %%2E for a dot").
			With("decode the token before it is handed over (url.QueryUnescape)")
	errPadding  = refusal.New(reasonMalformed, notBase64URL+": it is padded")
	errAlphabet = refusal.New(reasonMalformed, notBase64URL+": it has + or /, as standard base64 has")
	errUTF16    = refusal.New(reasonMalformed, "the token is in UTF-16, as PowerShell writes files").
			With("decode the file that the token was read from, or write it anew in UTF-8 or ASCII")
	errWithScheme = refusal.New(reasonMalformed, "the word Bearer, or the name of the Authorization header, stands before the token").
			With("hand over what stands behind the word Bearer and a space, and nothing else")
	errTokenResponse = refusal.New(reasonMalformed, "this is the token endpoint's answer, and not the token in it").
				With("hand over the value of access_token alone (jq -r .access_token)")
	errLongHeader  = refusal.New(reasonMalformed, "the token's header has over %d characters", maxHeader)
	errHeader      = refusal.New(reasonMalformed, "the token's header is not one well-formed JSON object")
	errHeaderTwice = refusal.New(reasonMalformed, "the token's header is not unambiguous JSON: a name stands twice in one object")
	errHeaderDepth = refusal.New(reasonMalformed, "the token's header is not read: its JSON is nested over %d levels deep", strictjson.MaxDepth)
	errKeyID       = refusal.New(reasonMalformed, "the token's header has no usable kid")
	errOpaque      = refusal.New(reasonOpaque, "the token is opaque, no JWT: the client must ask for this API's resource (React: resources in LogtoConfig and getAccessToken(resource); machine: the resource parameter)")
	errJSWord      = refusal.New(reasonOpaque, "the client sent the word undefined or null for a token: getAccessToken gave nothing; is the user signed in, is the resource in LogtoConfig.resources?")
	errJSObject    = refusal.New(reasonOpaque, "the client sent an object of JavaScript for a token: did it await getAccessToken?").
			With("await getAccessToken(resource), and send the string that it gives")
	errPersonal = refusal.New(reasonOpaque, "this is a personal access token, no access token: the client must exchange it (subject_token_type "+patType+", with this API's resource)").
			With("exchange it at Logto's token endpoint: " + exchange + ", subject_token_type=" + patType + ", the token as subject_token, and the identifier of this API as resource; send the access_token of the answer")
	errSubject = refusal.New(reasonOpaque, "this is a subject token, for acting in a user's name, no access token: the client must exchange it (subject_token_type "+subjectType+", with this API's resource)").
			With("exchange it at Logto's token endpoint: " + exchange + ", subject_token_type=" + subjectType + ", the token as subject_token, and the identifier of this API as resource; send the access_token of the answer")

	errPayload      = refusal.New(reasonMalformedClaims, "the token's payload is not one well-formed JSON object")
	errPayloadTwice = refusal.New(reasonMalformedClaims, "the token's payload is not unambiguous JSON: a name stands twice in one object")
	errPayloadDepth = refusal.New(reasonMalformedClaims, "the token's payload is not read: its JSON is nested over %d levels deep", strictjson.MaxDepth).
			With("let the JWT customizer set claims that are less deep")
	errNoIssuer   = refusal.New(reasonMalformedClaims, "claim iss is missing or empty")
	errNoSubject  = refusal.New(reasonMalformedClaims, "claim sub is missing or empty")
	errNoAudience = refusal.New(reasonMalformedClaims, "claim aud is missing")
	errNoExpiry   = refusal.New(reasonMalformedClaims, "claim exp is missing")
	errNoIssuedAt = refusal.New(reasonMalformedClaims, "claim iat is missing")
	errNoTokenID  = refusal.New(reasonMalformedClaims, "claim jti is missing or empty")
	errNoEvent    = refusal.New(reasonMalformedClaims, "claim events has no back-channel logout")
	errNoClientID = refusal.New(reasonType, "claim client_id is missing or empty, which every access token of Logto's has").
			With("the token is another issuer's: a Logto access token names the application that asked for it")
	errBoundToKey = refusal.New(reasonBoundToKey, "the token is bound to a key (claim cnf): it may not be used as a bearer token")

	errSignature = refusal.New(reasonSignature, "the signature is wrong")
	errQueueFull = refusal.New(reasonOverload, "too many signature checks wait for their turn")
)

// notCompact is for a token that has not three parts.
func notCompact(token string) error {
	switch {
	case token == "undefined" || token == "null":
		return errJSWord
	case token == "[object Promise]" || token == "[object Object]":
		return errJSObject
	case strings.HasPrefix(token, "pat_"):
		return errPersonal
	case strings.HasPrefix(token, "sub_"):
		return errSubject
	case !strings.Contains(token, "."):
		return errOpaque
	}
	return errParts
}

// mistaken names what a caller has done to a token on the way here, by its beginning:
// that is where a token tells what it is, and looking there costs the same whatever is
// sent. It is nil if nothing is known.
func mistaken(token string) error {
	start := token[:min(len(token), maxMistake)]
	first, _ := utf8.DecodeRuneInString(start)
	switch {
	case isQuotationMark(first):
		return errQuoted
	case isBlank(first):
		return errBlank
	case start[0] == 0xff || start[0] == 0xfe || first == 0 || len(start) > 1 && start[1] == 0:
		return errUTF16
	case hasPrefixFold(start, "authorization:"), hasPrefixFold(start, "bearer") && (len(start) == 6 || no68[start[6]] != 0 || strings.HasPrefix(start[6:], "eyJ")):
		return errWithScheme
	case first == '{' && strings.Contains(start, `"access_token"`):
		return errTokenResponse
	case strings.HasPrefix(start, "access_token="):
		return errTokenResponse
	case strings.HasPrefix(start, "eyJ") && strings.Contains(start, "%2"):
		return errPercent
	}
	return nil
}

const maxMistake = 512 // bytes; the header of Logto's tokens, with its dot, has about 140

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// isBlank is white space, and what looks like none at all: a byte order mark, a space
// of no width.
func isBlank(r rune) bool { return unicode.IsSpace(r) || r == '\ufeff' || r == '\u200b' }

func isQuotationMark(r rune) bool { return r == '"' || r == '\'' || r == '`' }

// notBase64 names the likely mistake behind a part that is not base64url, by the place
// where decoding ended.
func notBase64(rest string) error {
	switch r, _ := utf8.DecodeRuneInString(rest); {
	case isBlank(r):
		return errBlank
	case isQuotationMark(r):
		return errQuoted
	case r == 0:
		return errUTF16
	case r == '%':
		return errPercent
	case r == '=':
		return errPadding
	case r == '+' || r == '/':
		return errAlphabet
	}
	return errEncoding
}

func wrongType(typ, want string) error {
	e := refusal.New(reasonType, "typ %s: want '%s'", quote.String(typ), want)
	if want != accessToken.typ {
		return e
	}
	switch strings.ToLower(typ) {
	case "", "jwt":
		e.Text += ": this looks like an ID token, if it is Logto's; the client must send the access token, from getAccessToken(resource)"
	case "logout+jwt":
		e.Text += ": this is a logout token"
		return e.With("a logout token is for the back-channel logout URI of an application; what an API wants is an access token")
	default:
		return e.With("Logto's access tokens are of type at+jwt: the token is another issuer's, or for something else")
	}
	return e
}

func unknownKey(id string) error {
	return refusal.New(reasonUnknownKey, "the key set has no key %s: the token is from another Logto, or its key was rotated out", quote.String(id))
}

func keyNotYetKnown(id string, wait time.Duration) *refusal.Refusal {
	e := refusal.New(reasonNewKey, "the key set has no key %s, and is not newer than the token: the key may be a new one", quote.String(id))
	e.RetryAfter = wait
	return e
}

func (v *Verifier) wrongIssuer(got string) error {
	wanted := v.issuers()
	best := policy.CompareIssuers(got, wanted[0])
	for _, want := range wanted[1:] {
		if other := policy.CompareIssuers(got, want); other.Kind < best.Kind {
			best = other
		}
	}
	return refusal.New(reasonIssuer, "issuer %s: want %s; %s", quote.String(got), quote.List(wanted), best.Text).With(best.Remedy)
}

func (t *tenant) wrongAudience(c *Claims) error {
	want := quote.List(t.cfg.Audiences)
	if want == "" {
		want = "an organization's, as Config.Audiences is empty"
	}
	e := refusal.New(reasonAudience, "audience %s: want %s; ", quote.List(c.audiences), want)
	hint, remedy := t.audienceHint(c)
	e.Text += hint
	return e.With(remedy)
}

// audienceHint tells the likely mistake, and a remedy if it isn't that of the row.
func (t *tenant) audienceHint(c *Claims) (hint, remedy string) {
	all := c.audiences
	for _, got := range all[:min(len(all), 5)] {
		for _, want := range t.cfg.Audiences {
			switch {
			case strings.TrimRight(got, "/") == strings.TrimRight(want, "/"):
				return "they differ by a slash", ""
			case strings.EqualFold(got, want):
				return "they differ in upper and lower case", ""
			case strings.TrimPrefix(got, "http://") == strings.TrimPrefix(want, "https://"), strings.TrimPrefix(got, "https://") == strings.TrimPrefix(want, "http://"):
				return "they differ by http and https", ""
			case slices.Contains(policy.Parts(want), got):
				return "Config.Audiences has several in one string, and a comma or space doesn't part them", "give each audience a string of its own in Config.Audiences, as strings.Split does"
			}
		}
		switch u, err := url.Parse(got); {
		case err == nil && strings.HasSuffix(u.Host, ".logto.app") && u.Path == "/api":
			return "this token is for Logto's Management API", "make an API resource of your own in the console, and let the client ask for that"
		case got == "urn:logto:resource:organizations":
			return "this token is for Logto's organizations, not for an API", "the client must ask for the identifier of this API as its resource"
		case strings.HasPrefix(got, organizationURN) && t.cfg.OrganizationTokens:
			return "this organization token names no organization", "the token isn't Logto's"
		case strings.HasPrefix(got, organizationURN):
			return "this is an organization token: set Config.OrganizationTokens if this API takes them, else the client must ask for the API's resource together with the organization",
				"set Config.OrganizationTokens, or let the client ask for the API's resource and the organization: getAccessToken(resource, organizationId), a machine by resource and organization_id"
		}
	}
	if len(t.cfg.Audiences) == 0 {
		return "a client asks for an organization's token by the organization alone, without a resource", "add this API's identifier to Config.Audiences, or let the client ask for an organization's token (getOrganizationToken)"
	}
	return "the client must ask for this API's resource indicator, byte by byte as in the Logto console", ""
}

func (t *tenant) wrongClient(c *Claims) error {
	e := refusal.New(reasonClient, "client %s: want %s", quote.String(c.clientID), quote.List(t.cfg.ClientIDs))
	for _, want := range t.cfg.ClientIDs {
		if slices.Contains(policy.Parts(want), c.clientID) {
			e.Text += "; Config.ClientIDs has several in one string, and a comma or space doesn't part them"
			return e.With("give each ID a string of its own in Config.ClientIDs, as strings.Split does")
		}
	}
	return e
}

// missingScope has advice for a user or for a machine: they get scopes in different
// ways.
func missingScope(want string, scopes []string, c *Claims) *refusal.Refusal {
	e := refusal.New(reasonScope, "scopes %s: want %s of %s; ", quote.String(c.scope), want, quote.String(strings.Join(scopes, " ")))
	in := ""
	if c.bound {
		in = " in the organization"
	}
	if c.IsMachine() {
		e.Text += "a machine gets what its token request names in scope and a role of its application" + in + " grants"
		return e.With("name the scope in scope of the machine's token request, and give its application a role" + in + " with this permission of this API, then request a new token")
	}
	e.Text += "Logto drops what isn't granted: has the user a role with it" + in + ", did the client ask for it?"
	if c.bound {
		return e.With("give the user a role in the organization with this permission of this API, let the page ask for it in scopes, then get a new token for the organization")
	}
	return e
}

// wrongOrganization is for a token that is not bound to the organization that the
// request is about.
func wrongOrganization(c *Claims, want string) *refusal.Refusal {
	if e := unreadableOrganization(c); e != nil {
		return e
	}
	ask, remedy := askForOrganization(c)
	return refusal.New(reasonOrganization, "the token's organization is %s, the request's %s: the client must ask for it (%s)",
		quote.String(c.organization), quote.String(want), ask).With(remedy)
}

// noOrganization is for a token that is bound to none.
func noOrganization(c *Claims) *refusal.Refusal {
	if e := unreadableOrganization(c); e != nil {
		return e
	}
	ask, remedy := askForOrganization(c)
	return refusal.New(reasonOrganization, "the token is bound to no organization: the client must ask for one (%s)", ask).With(remedy)
}

// organizationNotNamed is for a route that asks for a scope and doesn't say where.
func organizationNotNamed(c *Claims) *refusal.Refusal {
	return refusal.New(reasonOrganization, "the token is bound to organization %s, and the route asks for a scope without naming the organization: "+
		"add logto.Organization(…), or logto.AnyOrganization() if it doesn't matter which; if the route belongs to no organization, the client must ask for a token without one", quote.String(c.organization)).
		With("the route must name the organization, logto.Organization(…); or the client asks for a token without one")
}

// unreadableOrganization is for a token that is bound to an organization that nobody
// can name: see bindTo. It is nil for others.
func unreadableOrganization(c *Claims) *refusal.Refusal {
	if !c.bound || c.organization != "" {
		return nil
	}
	return refusal.New(reasonOrganization, "the token's organization_id is no text, or empty, or not the organization of its audience: look at the JWT customizer").
		With("take organization_id out of the JWT customizer: Logto sets it itself")
}

// askForOrganization is how a client gets a token that is bound to an organization.
func askForOrganization(c *Claims) (ask, remedy string) {
	if c.IsMachine() {
		return "organization_id in the machine's token request", "the machine must name the organization as organization_id in its token request, and have a role in it"
	}
	return "getAccessToken(resource, organizationId)", "the client must ask for the organization, getAccessToken(resource, organizationId); the user must be a member of it"
}
