package main

import (
	"context"
	"io"
	"strings"
	"testing"

	"github.com/seed-70fe37f4/logto/observers/examples/internal/demotest"
)

func TestWrongAddress(t *testing.T) {
	if err := run(t.Context(), "256.0.0.1:0", io.Discard); err == nil || !strings.Contains(err.Error(), "-addr") {
		t.Errorf("error %v", err)
	}
}

// The program does what it prints.
func TestPrintedCommands(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out, in := io.Pipe()
	ended := make(chan error)
	go func() { ended <- run(ctx, "127.0.0.1:0", in) }()
	metrics, n := demotest.Try(t, out)
	if n != 10 {
		t.Errorf("%d commands", n)
	}
	for _, want := range []string{
		`logto_checks_total{reason="none",remembered="false",result="accepted"} 1`,
		`logto_checks_total{reason="missing_scope",remembered="true",result="refused"} 1`,
		`logto_check_duration_seconds_count{remembered="false",result="refused"} 5`,
		`logto_key_set_fetches_total{result="fetched"} 1`,
		`logto_key_set_keys 1`,
		`logto_key_set_age_seconds `,
		`logto_revocation_events_total{event="User.SuspensionStatus.Updated",outcome="revoked"} 1`,
		`logto_revocation_entries 1`,
		`logto_revocation_ready 1`,
		`logto_checks_total{reason="revoked",remembered="true",result="refused"} 1`,
	} {
		if !strings.Contains(metrics, "\n"+want) {
			t.Errorf("no %s in\n%s", want, metrics)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
