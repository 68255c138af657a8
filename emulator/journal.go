package emulator

import (
	"encoding/json"
	"strings"
	"time"
)

// A journal is what the control page shows of the last minutes. It is not kept.
type journal struct {
	Calls      []call       `json:"calls"`
	Tokens     []*issuedJWT `json:"tokens"`
	Deliveries []*delivery  `json:"deliveries"`
	next       int64        // ID of the next token or delivery
	swept      time.Time
}

const remembered = 50

// A call is a request to the provider.
type call struct {
	Time     time.Time `json:"time"`
	Method   string    `json:"method"`
	Endpoint string    `json:"endpoint"`
	Client   string    `json:"client,omitempty"`
	Status   int       `json:"status"`
	Note     string    `json:"note,omitempty"` // what was refused, and why
}

// An issuedJWT is a token as it was given out.
type issuedJWT struct {
	ID     int64           `json:"id"`
	Time   time.Time       `json:"time"`
	Kind   string          `json:"kind"` // access token, ID token, logout token
	Token  string          `json:"token"`
	Header json.RawMessage `json:"header"`
	Claims json.RawMessage `json:"claims"`
}

// maxNote is how much of what a client sends is shown, in bytes.
const maxNote = 500

func (j *journal) call(c call) {
	c.Client, c.Note = cut(c.Client), cut(c.Note)
	j.Calls = last(append(j.Calls, c))
}

func cut(text string) string {
	if len(text) <= maxNote {
		return text
	}
	return strings.ToValidUTF8(text[:maxNote], "") + " …"
}

func (j *journal) id() int64 {
	j.next++
	return j.next
}

func last[T any](all []T) []T {
	if len(all) > remembered {
		return append([]T(nil), all[len(all)-remembered:]...)
	}
	return all
}
