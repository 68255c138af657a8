package emulator

import (
	"encoding/json"
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

func (j *journal) call(c call) { j.Calls = last(append(j.Calls, c)) }

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
