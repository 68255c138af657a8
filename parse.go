// Reading a token that nobody has verified yet. What is read here is used to refuse
// it, until a signature check has passed, and for nothing else.

package logto

import (
	"encoding/base64"
	"slices"
	"strings"

	"github.com/seed-70fe37f4/logto/internal/jwk"
	"github.com/seed-70fe37f4/logto/internal/quote"
	"github.com/seed-70fe37f4/logto/internal/refusal"
	"github.com/seed-70fe37f4/logto/internal/strictjson"
)

const (
	maxToken     = 16 << 10 // bytes; Logto's tokens have about 700
	maxHeader    = 512      // characters of base64url; Logto's have about 140
	maxAudiences = 64       // Logto's tokens have one

	organizationURN = "urn:logto:organization:" // + ID: the audience of an organization token

	wantString = "want a string"
	wantTime   = "want a number of seconds between 1970 and 9999"
)

// parsed is a token in its three parts. The payload is not read yet.
type parsed struct {
	header
	payload      []byte
	signingInput string
	signature    []byte
}

// checkForm refuses noise at next to no cost.
func checkForm(token string) error {
	switch {
	case token == "":
		return errNoHeader
	case len(token) > maxToken:
		return errTooLong
	case strings.Count(token, ".") != 2:
		if err := mistaken(token); err != nil {
			return err
		}
		return notCompact(token)
	// base64url of a brace or of JSON's white space begins with one of these. It saves
	// decoding up to maxHeader of noise, and the hash: Refuse/garbage in bench.
	case strings.IndexByte("eCDI", token[0]) < 0:
		if err := mistaken(token); err != nil {
			return err
		}
		return errHeader
	case strings.IndexByte(token, '.') > maxHeader:
		return errLongHeader
	}
	return nil
}

// kind is what a token must be.
type kind struct {
	typ     string // RFC 9068 section 2.1; RFC 8725 section 3.11
	claims  func(payload []byte) (*Claims, error)
	expects func(*tenant, *Claims) error // what the configuration says of it, but for the issuer
}

var accessToken = kind{"at+jwt", parseClaims, (*tenant).expects}

// parse reads the header of a token that [checkForm] has let pass, and decodes the rest.
func parse(token, typ string) (p parsed, err error) {
	headerPart, rest, _ := strings.Cut(token, ".")
	payloadPart, signaturePart, _ := strings.Cut(rest, ".")
	text, err := decodePart(headerPart)
	if err != nil {
		return p, err
	}
	if p.header, err = parseHeader(text, typ); err != nil {
		return p, err
	}
	if p.payload, err = decodePart(payloadPart); err != nil {
		return p, err
	}
	p.signingInput = token[:len(headerPart)+1+len(payloadPart)]
	p.signature, err = decodePart(signaturePart)
	return p, err
}

// decodePart decodes base64url in its only spelling: no padding, no line ends,
// no bits left over (RFC 7515 section 2, RFC 4648 section 3.5).
func decodePart(part string) ([]byte, error) {
	// encoding/base64 passes over line ends, even if strict.
	if strings.IndexByte(part, '\n') >= 0 || strings.IndexByte(part, '\r') >= 0 {
		return nil, errBlank
	}
	b, err := strictBase64.DecodeString(part)
	if at, ok := err.(base64.CorruptInputError); ok {
		return nil, notBase64(part[min(int(at), len(part)):])
	}
	if err != nil || len(b) == 0 {
		return nil, errEncoding
	}
	return b, nil
}

var strictBase64 = base64.RawURLEncoding.Strict()

// header is what is used of a JOSE header.
type header struct{ algorithm, keyID string }

// faults are the refusals of a text that is not one JSON object, with each name once, to
// a bounded depth.
type faults struct{ malformed, twice, deep error }

var (
	headerFaults  = faults{errHeader, errHeaderTwice, errHeaderDepth}
	payloadFaults = faults{errPayload, errPayloadTwice, errPayloadDepth}
)

// readObject is [strictjson.Object] with refusals for errors.
func readObject(data []byte, f faults, member func(name, value string) error) error {
	switch err := strictjson.Object(data, member); err {
	case strictjson.Err:
		return f.malformed
	case strictjson.ErrTwice:
		return f.twice
	case strictjson.ErrDepth:
		return f.deep
	default:
		return err
	}
}

// parseHeader reads a JOSE header (RFC 7515 section 4). Members that would
// change what the token means are refused, others are passed over.
func parseHeader(data []byte, want string) (header, error) {
	var h header
	var typ string
	err := readObject(data, headerFaults, func(name, value string) error {
		text, ok := strictjson.Unquote(value)
		switch name {
		case "alg":
			h.algorithm = text
		case "kid":
			h.keyID = text
		case "typ":
			typ = text
		case "cty": // nested tokens
			if t := strings.TrimPrefix(strings.ToLower(text), "application/"); t != "jwt" {
				break
			}
			fallthrough
		case "crit", "b64", "zip", "jwk", "jku", "x5u", "x5c":
			return refusal.New(reasonMalformed, "header member %s is not allowed", name)
		default:
			return nil
		}
		if !ok {
			return refusal.New(reasonMalformed, "header member %s is %s: want a string", name, quote.String(value))
		}
		return nil
	})
	switch {
	case err != nil:
		return h, err
	case !strings.EqualFold(typ, want) && !strings.EqualFold(typ, "application/"+want):
		return h, wrongType(typ, want)
	case !slices.Contains(jwk.Algorithms, h.algorithm):
		return h, refusal.New(reasonAlgorithm, "algorithm %s: want one of %s", quote.String(h.algorithm), strings.Join(jwk.Algorithms, ", "))
	case h.keyID == "" || len(h.keyID) > jwk.MaxKeyID:
		return h, errKeyID
	}
	return h, nil
}

// parseClaims reads a payload that nobody has verified yet: exact names, exact
// types (RFC 9068 section 2.2, RFC 7519 section 4.1).
func parseClaims(payload []byte) (*Claims, error) {
	text := string(payload)
	c := &Claims{payload: &text}
	err := readObject(payload, payloadFaults, func(name, value string) error {
		ok, want := true, wantString
		switch name {
		case "client_id":
			c.clientID, ok = strictjson.Unquote(value)
		case "scope":
			c.scope, ok = strictjson.Unquote(value)
		case "nbf":
			c.notBefore, ok = strictjson.NumericDate(value)
			want = wantTime
		case "organization_id":
			id, isString := strictjson.Unquote(value)
			c.bindTo(id, isString)
		case "act":
			c.actor, c.actorKnown = actor(value)
		case "cnf":
			// A token bound to a key (RFC 7800, RFC 9449, RFC 8705) is no bearer token.
			return errBoundToKey
		default:
			ok, want = c.set(name, value)
		}
		if !ok {
			return refusal.New(reasonMalformedClaims, "claim %s is %s: %s", name, quote.String(value), want)
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case c.issuer == "":
		return nil, errNoIssuer
	case c.subject == "":
		return nil, errNoSubject
	case c.clientID == "":
		return nil, errNoClientID
	case c.audiences == nil:
		return nil, errNoAudience
	case c.expiresAt.IsZero():
		return nil, errNoExpiry
	case c.issuedAt.IsZero():
		return nil, errNoIssuedAt
	}
	return c, nil
}

// set keeps a claim of those that every kind of token has. Where it is not ok, want says
// what it must be.
func (c *Claims) set(name, value string) (ok bool, want string) {
	ok, want = true, wantString
	switch name {
	case "iss":
		c.issuer, ok = strictjson.Unquote(value)
	case "sub":
		c.subject, ok = strictjson.Unquote(value)
	case "jti":
		c.tokenID, ok = strictjson.Unquote(value)
	case "aud":
		ok, want = c.setAudience(value), "want a string or an array of at most 64 strings"
	case "exp":
		c.expiresAt, ok = strictjson.NumericDate(value)
		want = wantTime
	case "iat":
		c.issuedAt, ok = strictjson.NumericDate(value)
		want = wantTime
	}
	return ok, want
}

// setAudience keeps aud and takes the organization from it, if there is one.
func (c *Claims) setAudience(value string) bool {
	c.audiences = []string{} // it is there
	one := func(value string) error {
		aud, ok := strictjson.Unquote(value)
		if !ok || len(c.audiences) == maxAudiences {
			return strictjson.Err
		}
		if id, ok := strings.CutPrefix(aud, organizationURN); ok {
			c.bindTo(id, true)
		}
		c.audiences = append(c.audiences, aud)
		return nil
	}
	if value[0] == '[' {
		return strictjson.Array(value, one) == nil
	}
	return one(value) == nil
}

// bindTo notes an organization. A second one that differs, an empty one or one
// that is no string leaves the token bound to an organization that no request
// can be in.
func (c *Claims) bindTo(id string, ok bool) {
	if !ok || id == "" || c.bound && c.organization != id {
		id = ""
	}
	c.organization, c.bound = id, true
}

// actor reads the act claim: see Claims.Actor. known tells that it is an ID.
func actor(value string) (text string, known bool) {
	if value == "null" {
		return "", false
	}
	sub, ok := "", false
	_ = strictjson.Members(value, func(name, value string) error {
		if name == "sub" {
			sub, ok = strictjson.Unquote(value)
		}
		return nil
	})
	if !ok || sub == "" {
		return value, false
	}
	return sub, true
}
