package logto_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"strings"
	"sync"
	"time"

	"github.com/seed-70fe37f4/logto/logtotest"
)

// goodHeader and goodPayload are the parts of a token that is accepted, as text,
// for tests to spoil one thing of.
func goodHeader(issuer *logtotest.Issuer) string {
	return fmt.Sprintf(`{"alg":"ES384","typ":"at+jwt","kid":%q}`, issuer.KeyID())
}

func goodPayload(issuer *logtotest.Issuer) string {
	now := time.Now().Unix()
	b, err := json.Marshal(map[string]any{
		"jti": "j", "iss": issuer.Endpoint() + "/oidc", "sub": "user", "client_id": logtotest.ClientID,
		"aud": logtotest.Audience, "scope": "read", "iat": now - 60, "exp": now + 3600,
	})
	if err != nil {
		panic(err)
	}
	return string(b)
}

// aged are claims of a token so old that a key which is not in a key set of now does
// not exist.
func aged() map[string]any { return map[string]any{"iat": time.Now().Add(-time.Minute).Unix()} }

// logBuffer collects a log, safely for concurrent use.
type logBuffer struct {
	mu  sync.Mutex
	buf strings.Builder
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

func sum256(b []byte) []byte {
	sum := sha256.Sum256(b)
	return sum[:]
}

// raceEnabled: the race detector allocates, too.
var raceEnabled = false

// discardLog is for servers of which panics are expected.
var discardLog = log.New(io.Discard, "", 0)
