package main

import (
	"os"
	"testing"
	"time"

	"github.com/seed-70fe37f4/logto/bench"
)

// The second process is this test's own program.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "-serve" {
		main()
		return
	}
	os.Exit(m.Run())
}

// Every contestant can be served and driven, and every answer is the right one:
// run fails on any other status. Times decide nothing.
func TestRun(t *testing.T) {
	if _, err := run(options{algorithm: "ES384", conns: 1, tokens: 1, time: time.Millisecond}, []string{"nobody"}, 1); err == nil {
		t.Error("an unknown contestant is no error")
	}
	var names []string
	for _, c := range bench.Contestants {
		names = append(names, c.Name)
	}
	for _, o := range []options{
		{algorithm: "ES384", conns: 2, tokens: 10, time: 50 * time.Millisecond},
		{algorithm: "RS256", conns: 2, tokens: 10, time: 50 * time.Millisecond, pace: 10 * time.Millisecond, forged: 2},
	} {
		results, err := run(o, append(names, bench.None.Name), 1)
		if err != nil {
			t.Fatal(err)
		}
		want := len(names) + 1
		if o.forged > 0 {
			want--
		}
		if len(results) != want {
			t.Errorf("%d results, want %d", len(results), want)
		}
		for _, r := range results {
			if r.PerSecond <= 0 || r.P50 <= 0 || r.P99 < r.P50 || (r.Forged > 0) != (o.forged > 0) {
				t.Errorf("a result that can't be: %+v", r)
			}
		}
	}
}
