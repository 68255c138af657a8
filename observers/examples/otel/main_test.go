package main

import (
	"bytes"
	"context"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-70fe37f4/logto/observers/examples/internal/demotest"
)

func TestWrongAddress(t *testing.T) {
	if err := run(t.Context(), "256.0.0.1:0", time.Hour, io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), "-addr") {
		t.Errorf("error %v", err)
	}
}

// The program does what it prints, and exports what came of it.
func TestPrintedCommands(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out, in := io.Pipe()
	var telemetry buffer
	ended := make(chan error)
	go func() { ended <- run(ctx, "127.0.0.1:0", time.Hour, in, &telemetry) }()
	if _, n := demotest.Try(t, out); n != 7 {
		t.Errorf("%d commands", n)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	got := telemetry.String()
	for what, want := range map[string]int{
		`"Name":"logto.check.refused"`: 6, `"Name":"logto.check.duration"`: 1, `"Name":"logto.key_set.fetch.duration"`: 1,
		`"Name":"logto.key_set.changes"`: 1, `"Name":"logto.key_set.age"`: 1, `"Name":"logto.key_set.key.count"`: 1,
	} {
		if n := strings.Count(got, what); n != want {
			t.Errorf("%d times %s, want %d, in\n%s", n, what, want, got)
		}
	}
}

// buffer is written by two exporters.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
