// Command bench runs all benchmarks of this module in rounds, in which the
// contestants take turns, and writes the medians into README.md and chart.svg.
//
//	go run ./cmd/bench           # about 20 minutes
//	go run ./cmd/bench -quick    # a short trial, which only prints
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

const module = "github.com/seed-70fe37f4/logto/bench"

type options struct {
	rounds     int
	benchtime  time.Duration
	live       int
	loadRounds int
	loadTime   time.Duration
}

func main() {
	var o options
	quick := flag.Bool("quick", false, "a short trial: little time and few tokens; prints the tables and writes nothing")
	raw := flag.String("raw", "", "a file for what the benchmarks print, as benchstat reads it")
	flag.IntVar(&o.rounds, "rounds", 11, "rounds")
	flag.DurationVar(&o.benchtime, "benchtime", 300*time.Millisecond, "time for a benchmark in a round")
	flag.IntVar(&o.live, "live", 10_000, "how many tokens are many")
	flag.IntVar(&o.loadRounds, "load-rounds", 5, "rounds of the load test")
	flag.DurationVar(&o.loadTime, "load-time", 3*time.Second, "time for a server in a round of the load test")
	flag.Parse()
	log.SetFlags(log.Ltime)
	if *quick {
		o = options{rounds: 2, benchtime: 20 * time.Millisecond, live: 200, loadRounds: 1, loadTime: time.Second}
	}
	if err := run(o, *quick, *raw); err != nil {
		log.Fatal(err)
	}
}

func run(o options, quick bool, raw string) error {
	out, err := exec.Command("go", "list", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		return fmt.Errorf("run it inside of the module %s: %w", module, err)
	}
	dir := strings.TrimSpace(string(out))
	temp, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	// With a suffix that Windows wants too.
	bench, load := filepath.Join(temp, "bench.test.exe"), filepath.Join(temp, "load.exe")
	if _, err := output(dir, "go", "test", "-c", "-o", bench, "."); err != nil {
		return err
	}
	if _, err := output(dir, "go", "build", "-o", load, "./cmd/load"); err != nil {
		return err
	}

	var all bytes.Buffer
	for round := range o.rounds {
		log.Printf("round %d of %d", round+1, o.rounds)
		for k, group := range []struct{ pattern, cpu, benchtime string }{
			// One processor: what the garbage collector takes counts too. Three
			// times what has the finest differences.
			{"First", "1", o.benchtime.String()},
			{"First", "1", o.benchtime.String()},
			{"First", "1", o.benchtime.String()},
			{"Remembered|Middleware", "1", o.benchtime.String()},
			{"Refuse|RefuseHTTP|Size|Keys", "1", (o.benchtime / 3).String()},
			{"Junk", "1", o.benchtime.String()},
			{"Parallel", "1,2", o.benchtime.String()},
			{"Memory|Flood|ColdStart", "2", "1x"},
		} {
			text, err := output(dir, bench, "-test.run", "^$", "-test.bench", "^Benchmark("+group.pattern+")$",
				"-test.cpu", group.cpu, "-test.benchtime", group.benchtime, "-test.timeout", "10m",
				"-live", fmt.Sprint(o.live), "-rotate", fmt.Sprint(round+k))
			if err != nil {
				return err
			}
			all.Write(text)
		}
	}
	if raw != "" {
		if err := os.WriteFile(raw, all.Bytes(), 0o644); err != nil {
			return err
		}
	}
	res, err := parse(all.String())
	if err != nil {
		return err
	}
	rep := report{results: res, live: o.live}
	loads := []string{"-json", "-rounds", fmt.Sprint(o.loadRounds), "-time", o.loadTime.String()}
	log.Print("load")
	if rep.throughput, err = loadTest(dir, load, loads...); err != nil {
		return err
	}
	log.Print("latency in a flood")
	if rep.flood, err = loadTest(dir, load, append(loads, "-forged", "16", "-conns", "4", "-pace", "10ms")...); err != nil {
		return err
	}
	if rep.versions, err = versions(dir); err != nil {
		return err
	}
	rep.about = fmt.Sprintf("%s, %s/%s, %s, %d cores; %s. Medians of %d rounds of %v for a benchmark, %d rounds of %v for a server.",
		runtime.Version(), runtime.GOOS, runtime.GOARCH, res.cpu, runtime.NumCPU(), time.Now().Format(time.DateOnly),
		o.rounds, o.benchtime, o.loadRounds, o.loadTime)

	if quick {
		fmt.Println(rep.markdown())
		return nil
	}
	if err := rep.writeTo(filepath.Join(dir, "README.md")); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "chart.svg"), []byte(rep.chart()), 0o644)
}

func output(dir, name string, args ...string) ([]byte, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", filepath.Base(name), err, out)
	}
	return out, nil
}

// loadResult is Result of cmd/load.
type loadResult struct {
	Contestant string
	PerSecond  float64
	CPU        time.Duration
	P50, P99   time.Duration
	Forged     float64
}

func loadTest(dir, load string, args ...string) ([]loadResult, error) {
	out, err := output(dir, load, args...)
	if err != nil {
		return nil, err
	}
	var results []loadResult
	err = json.Unmarshal(out, &results)
	return results, err
}

// versions tells which versions of the contestants were measured.
func versions(dir string) (string, error) {
	out, err := output(dir, "go", "list", "-m", "-f", "{{.Path}} {{.Version}}",
		"github.com/golang-jwt/jwt/v5", "github.com/MicahParks/keyfunc/v3", "github.com/coreos/go-oidc/v3",
		"github.com/lestrrat-go/jwx/v2", "github.com/auth0/go-jwt-middleware/v3")
	if err != nil {
		return "", err
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	for k := range lines {
		lines[k] = strings.TrimPrefix(lines[k], "github.com/")
	}
	return strings.Join(lines, ", "), nil
}
