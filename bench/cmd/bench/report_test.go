package main

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/seed-70fe37f4/logto/bench"
)

const printed = `goos: linux
cpu: Some CPU
BenchmarkMiddleware/ES384/logto         	  100	    1000 ns/op	     500 B/op	       3 allocs/op
BenchmarkMiddleware/ES384/golang-jwt    	  100	  600000 ns/op	    5000 B/op	      88 allocs/op
BenchmarkParallel/ES384/logto           	  100	    1000 ns/op
BenchmarkParallel/ES384/logto-2         	  100	     500 ns/op
BenchmarkMemory-2                       	    1	  600000 ns/op	         7.500 MiB
PASS
BenchmarkMiddleware/ES384/logto         	  100	    3000 ns/op	     500 B/op	       3 allocs/op
BenchmarkMiddleware/ES384/golang-jwt    	  100	  900000 ns/op	    5000 B/op	      88 allocs/op
BenchmarkMiddleware/ES384/logto         	  100	    2000 ns/op	     500 B/op	       3 allocs/op
BenchmarkMiddleware/ES384/golang-jwt    	  100	  800000 ns/op	    5000 B/op	      88 allocs/op
`

func TestParse(t *testing.T) {
	if _, err := parse("PASS\n"); err == nil {
		t.Error("no results are no error")
	}
	res, err := parse(printed)
	if err != nil {
		t.Fatal(err)
	}
	r := &report{results: res}
	for _, c := range []struct {
		what      string
		got, want float64
	}{
		{"median", r.median("Middleware/ES384/logto", "ns/op"), 2000},
		// 600, 300, 400: each round by itself.
		{"ratio", r.ratio("Middleware/ES384/golang-jwt", "Middleware/ES384/logto"), 400},
		{"difference", r.difference("Middleware/ES384/golang-jwt", "Middleware/ES384/logto"), 798000},
		{"allocations", r.median("Middleware/ES384/golang-jwt", "allocs/op"), 88},
		{"two cores", r.scale("logto"), 2},
		{"a metric of its own", r.medianOn(2, "Memory", "MiB"), 7.5},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %v, want %v", c.what, c.got, c.want)
		}
	}
	if got := r.median("Nothing", "ns/op"); !math.IsNaN(got) {
		t.Errorf("median of nothing: got %v", got)
	}
	if res.cpu != "Some CPU" {
		t.Errorf("cpu: got %q", res.cpu)
	}
}

func TestNumbers(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{duration(4.567), "4.57 ns"},
		{duration(-712), "-712 ns"},
		{duration(999.7), "1.00 µs"},
		{duration(598123), "598 µs"},
		{duration(4.64e6), "4.64 ms"},
		{duration(12e9), "12.0 s"},
		{duration(math.NaN()), "–"},
		{times(481.2), "481 ×"},
		{times(21234), "21 234 ×"},
		{whole(2887904), "2 887 904"},
		{decade(3), "1 µs"},
		{decade(5), "100 µs"},
		{decade(2), "100 ns"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

// full has a value for everything.
func full() *report {
	var text strings.Builder
	for _, algorithm := range bench.Algorithms {
		for k, c := range append([]string{"stdlib", nothing, ours, first}, rivals...) {
			for _, name := range []string{"First", "Middleware"} {
				fmt.Fprintf(&text, "Benchmark%s/%s/%s 1 %d ns/op 1 B/op 1 allocs/op\n", name, algorithm, c, 1000*(k+1))
			}
		}
	}
	res, err := parse(text.String())
	must(err)
	loads := []loadResult{{Contestant: ours, PerSecond: 50000, P50: time.Millisecond}}
	return &report{results: res, live: 10_000, throughput: loads, flood: loads, versions: "versions", about: "about"}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func TestReadme(t *testing.T) {
	if _, err := replace("no marks", "new"); err == nil {
		t.Error("a file without marks is no error")
	}
	got, err := replace("before\n"+begin+"old\n"+end+"\nafter\n", "new\n")
	if want := "before\n" + begin + "\nnew\n\n" + end + "\nafter\n"; err != nil || got != want {
		t.Errorf("got %q, error %v; want %q", got, err, want)
	}
	// All rows of a table have as many cells as its heading.
	cells := 0
	for line := range strings.Lines(full().markdown()) {
		n := strings.Count(line, "|")
		if n > 0 && cells > 0 && n != cells {
			t.Errorf("%d bars, want %d: %s", n, cells, line)
		}
		cells = n
	}
}

func TestChart(t *testing.T) {
	chart := full().chart()
	if strings.Contains(chart, "NaN") || strings.Contains(chart, "Inf") {
		t.Error("the chart has a number that is none")
	}
	d := xml.NewDecoder(strings.NewReader(chart))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}
