// Package refusal has the error of a refused request. Package logto makes it, from
// one table of reasons; the command logto reads it, so that neither has to read
// texts.
package refusal

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// A Reason is a row of the table of reasons: why a request is refused, and all that
// follows from that. The rows stand in refusal.go of package logto.
type Reason struct {
	// Code is the name for log, metrics and documentation, where it is the heading.
	// It is stable. Rows with one code differ in what else follows.
	Code string
	// Kind is the exported error that errors.Is finds.
	Kind error
	// Status is that of the answer.
	Status int
	// Error and Sentence are error and error_description in the answer's body.
	Error, Sentence string
	// Challenge is what the WWW-Authenticate header says.
	Challenge Challenge
	// Level is that of the line in the log.
	Level slog.Level
	// Step is the step of a token's way that refuses, for explain.
	Step Step
	// Remedy is what to do about it, for whoever asks explain, where the Refusal
	// has none of its own.
	Remedy string
}

// Challenge is how much a WWW-Authenticate header says (RFC 6750 section 3).
type Challenge int

const (
	NoChallenge     Challenge = iota // there is no header: a new token would not help
	RealmOnly                        // where to get a token, and no error: none was sent
	WithError                        // the error too, and the scopes if there are any
	WithDescription                  // the error_description too: the client can act on it
)

// Step is a step of a token's way. They come in the order of the constants.
type Step int

const (
	NoStep    Step = iota // the request's, or a requirement's
	Form                  // three parts, base64url, the header's JSON
	Type                  // access token, and no other kind
	Algorithm             // of the header, and of the key
	Claims                // the payload's JSON and the types in it
	Issuer
	Audience
	Client
	Times
	Key
	Signature
)

var steps = [...]string{"", "form", "type", "algorithm", "claims", "issuer", "audience", "client", "times", "key", "signature"}

func (s Step) String() string { return steps[s] }

// Refusal is the error of a refused request. Its text is for the log.
type Refusal struct {
	Reason *Reason
	Text   string // what was got and wanted
	Cause  error  // nil if there is none
	Realm  string // how the challenge begins; "" if no route is known
	Scope  string // what the route asks for, for the challenge
	Remedy string // what to do about it, if it isn't what the row says

	// RetryAfter is when asking again may help, of what is answered 503. Below a
	// second it is a second.
	RetryAfter time.Duration
}

// New makes a Refusal with a text.
func New(reason *Reason, format string, args ...any) *Refusal {
	return &Refusal{Reason: reason, Text: fmt.Sprintf(format, args...)}
}

func (e *Refusal) Error() string { return fmt.Sprintf("%v: %s", e.Reason.Kind, e.Details()) }

// With gives the refusal a remedy of its own.
func (e *Refusal) With(remedy string) *Refusal {
	e.Remedy = remedy
	return e
}

// Advice is what to do about it.
func (e *Refusal) Advice() string { return cmp.Or(e.Remedy, e.Reason.Remedy) }

// Details is the text without that of the exported error.
func (e *Refusal) Details() string {
	if e.Cause != nil {
		return fmt.Sprintf("%s: %v", e.Text, e.Cause)
	}
	return e.Text
}

// Unwrap gives the exported error and the cause.
func (e *Refusal) Unwrap() []error {
	if e.Cause != nil {
		return []error{e.Reason.Kind, cause{e.Cause}}
	}
	return []error{e.Reason.Kind}
}

// Kinds are those of all reasons. They don't change once package logto is initialised.
var Kinds []error

// cause is what other code returned. It may wrap errors of package logto, and does not
// decide of which kind the refusal is: a Check whose store says that a token of its own
// expired must not sign anybody out.
type cause struct{ error }

func (c cause) Is(target error) bool {
	return !slices.Contains(Kinds, target) && errors.Is(c.error, target)
}

func (c cause) As(target any) bool { return errors.As(c.error, target) }

// Of finds the Refusal in err. It is nil if there is none.
func Of(err error) *Refusal {
	// Without the allocation that errors.As costs.
	if e, ok := err.(*Refusal); ok || err == nil {
		return e
	}
	var e *Refusal
	_ = errors.As(err, &e)
	return e
}
