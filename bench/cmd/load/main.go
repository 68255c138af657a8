// Command load measures whole servers: it starts one in a second process, the
// same handler behind different middleware, and sends it requests over loopback.
//
//	go run ./cmd/load                                      # requests per second
//	go run ./cmd/load -forged 16 -conns 4 -pace 10ms       # latency in a flood
//
// Contestants take turns, round after round, and medians are reported. It ends
// after rounds × contestants × (time + a second or two).
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/seed-70fe37f4/logto/bench"
	"github.com/seed-70fe37f4/logto/logtotest"
)

type options struct {
	algorithm string
	conns     int
	forged    int
	tokens    int
	pace      time.Duration
	time      time.Duration
}

// A Result is what one contestant did: medians of the rounds.
type Result struct {
	Contestant string
	PerSecond  float64       // good requests
	CPU        time.Duration // of the server for one good request; 0 if unknown or in a flood
	P50, P99   time.Duration // of good requests
	Forged     float64       // forged requests that were refused, a second
}

func main() {
	var o options
	serve := flag.String("serve", "", "for the second process: the contestant to serve")
	endpoint := flag.String("endpoint", "", "for the second process: Logto's address")
	names := flag.String("contestants", "none,logto,logto-nocache,golang-jwt", "who takes part; none is the handler without middleware")
	rounds := flag.Int("rounds", 3, "how often each contestant's turn comes")
	asJSON := flag.Bool("json", false, "write JSON")
	flag.StringVar(&o.algorithm, "alg", "ES384", "algorithm of the tokens")
	flag.IntVar(&o.conns, "conns", 32, "connections that send good tokens")
	flag.IntVar(&o.forged, "forged", 0, "more connections, which send tokens with a bad signature and a good key ID")
	flag.IntVar(&o.tokens, "tokens", 1000, "tokens that take turns; each is sent once before the clock starts")
	flag.DurationVar(&o.pace, "pace", 0, "a good connection sends a request each that time, whatever the answers take; 0: each as soon as the one before is answered")
	flag.DurationVar(&o.time, "time", 3*time.Second, "how long a turn lasts")
	flag.Parse()
	log.SetFlags(0)

	if *serve != "" {
		if err := server(*serve, bench.Target{Endpoint: *endpoint, Algorithm: o.algorithm}); err != nil {
			log.Fatal(err)
		}
		return
	}
	results, err := run(o, strings.Split(*names, ","), *rounds)
	if err != nil {
		log.Fatal(err)
	}
	if *asJSON {
		_ = json.NewEncoder(os.Stdout).Encode(results)
		return
	}
	fmt.Printf("%s, %d tokens, %d connections, %d with forged tokens, %v a turn, medians of %d, %d cores for both processes\n\n",
		o.algorithm, o.tokens, o.conns, o.forged, o.time, *rounds, runtime.NumCPU())
	fmt.Printf("%-14s %12s %14s %10s %10s %14s\n", "", "requests/s", "CPU/request", "p50", "p99", "forged/s")
	for _, r := range results {
		cpu := "–"
		if r.CPU > 0 {
			cpu = r.CPU.Round(100 * time.Nanosecond).String()
		}
		fmt.Printf("%-14s %12.0f %14s %10v %10v %14.0f\n", r.Contestant, r.PerSecond, cpu,
			r.P50.Round(time.Microsecond), r.P99.Round(time.Microsecond), r.Forged)
	}
}

func find(name string) (bench.Contestant, error) {
	for _, c := range append(bench.Contestants, bench.None) {
		if c.Name == name {
			return c, nil
		}
	}
	return bench.Contestant{}, fmt.Errorf("no contestant is called %q", name)
}

// server serves one contestant until standard input ends, which it does when
// the first process is gone, however it went.
func server(name string, target bench.Target) error {
	c, err := find(name)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	checker, err := c.New(ctx, target)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /api/hello", checker.Protect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]string{"user": checker.Subject(r.Context())})
	})))
	mux.HandleFunc("GET /cpu", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, int64(cpuTime()))
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(listener.Addr())
	s := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = s.Close()
	}()
	if err := s.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func run(o options, names []string, rounds int) ([]Result, error) {
	if o.forged > 0 { // it refuses nothing
		names = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name == bench.None.Name })
	}
	for _, name := range names {
		if _, err := find(name); err != nil {
			return nil, err
		}
	}
	if o.conns < 1 || o.tokens < 1 || rounds < 1 || o.time > time.Minute/2 {
		return nil, errors.New("want at least one connection, one token and one round, and turns of 30 s at most")
	}
	issuer := bench.NewIssuer(o.algorithm, 1)
	defer issuer.Close()
	good := issuer.Tokens(o.tokens, logtotest.Token{})
	forged := issuer.Tokens(min(o.tokens, 64), logtotest.Token{})
	for k := range forged {
		forged[k] = logtotest.BadSignature(forged[k])
	}
	turns := map[string][]Result{}
	for round := range rounds {
		for k := range names {
			name := names[(k+round)%len(names)]
			r, err := turn(o, name, issuer.Target.Endpoint, good, forged)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			turns[name] = append(turns[name], r)
		}
	}
	var results []Result
	for _, name := range names {
		results = append(results, Result{
			Contestant: name,
			PerSecond:  median(turns[name], func(r Result) float64 { return r.PerSecond }),
			CPU:        median(turns[name], func(r Result) time.Duration { return r.CPU }),
			P50:        median(turns[name], func(r Result) time.Duration { return r.P50 }),
			P99:        median(turns[name], func(r Result) time.Duration { return r.P99 }),
			Forged:     median(turns[name], func(r Result) float64 { return r.Forged }),
		})
	}
	return results, nil
}

func median[T float64 | time.Duration](results []Result, of func(Result) T) T {
	var all []T
	for _, r := range results {
		all = append(all, of(r))
	}
	slices.Sort(all)
	return (all[(len(all)-1)/2] + all[len(all)/2]) / 2
}

// turn starts a server and drives it once.
func turn(o options, name, endpoint string, good, forged []string) (Result, error) {
	exe, err := os.Executable()
	if err != nil {
		return Result{}, err
	}
	// The server ends with its standard input; this is for one that hangs.
	ctx, cancel := context.WithTimeout(context.Background(), o.time+time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, exe, "-serve", name, "-endpoint", endpoint, "-alg", o.algorithm)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return Result{}, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return Result{}, err
	}
	if err := cmd.Start(); err != nil {
		return Result{}, err
	}
	r, err := drive(o, bufio.NewReader(stdout), good, forged)
	_ = stdin.Close()
	if waitErr := cmd.Wait(); err == nil {
		err = waitErr
	}
	return r, err
}

func drive(o options, stdout *bufio.Reader, good, forged []string) (Result, error) {
	address, err := stdout.ReadString('\n')
	if err != nil {
		return Result{}, fmt.Errorf("the server did not start: %w", err)
	}
	address = strings.TrimSpace(address)
	control, err := dial(address)
	if err != nil {
		return Result{}, err
	}
	defer control.close()

	goodRequests, forgedRequests := texts(good), texts(forged)
	// Each token once: it lives for an hour, and of that the clock sees seconds.
	for _, request := range goodRequests {
		if err := control.do(request, http.StatusOK); err != nil {
			return Result{}, err
		}
	}
	cpuBefore, err := control.cpu()
	if err != nil {
		return Result{}, err
	}
	var (
		wg        sync.WaitGroup
		mu        sync.Mutex
		latencies []time.Duration
		refused   int
		firstErr  error
	)
	begin := time.Now()
	end := begin.Add(o.time)
	work := func(f func(c *conn) ([]time.Duration, error), bad bool) {
		wg.Go(func() {
			c, err := dial(address)
			var took []time.Duration
			if err == nil {
				defer c.close()
				took, err = f(c)
			}
			mu.Lock()
			defer mu.Unlock()
			if firstErr == nil {
				firstErr = err
			}
			if bad {
				refused += len(took)
			} else {
				latencies = append(latencies, took...)
			}
		})
	}
	for k := range o.conns {
		work(func(c *conn) ([]time.Duration, error) {
			return c.loop(goodRequests, k*len(goodRequests)/o.conns, http.StatusOK, end, o.pace)
		}, false)
	}
	for k := range o.forged {
		work(func(c *conn) ([]time.Duration, error) {
			return c.loop(forgedRequests, k, http.StatusUnauthorized, end, 0)
		}, true)
	}
	wg.Wait()
	took := time.Since(begin)
	if firstErr != nil {
		return Result{}, firstErr
	}
	if len(latencies) == 0 {
		return Result{}, errors.New("no request was answered")
	}
	cpuAfter, err := control.cpu()
	if err != nil {
		return Result{}, err
	}
	slices.Sort(latencies)
	r := Result{
		PerSecond: float64(len(latencies)) / took.Seconds(),
		P50:       latencies[len(latencies)/2],
		P99:       latencies[len(latencies)*99/100],
		Forged:    float64(refused) / took.Seconds(),
	}
	if o.forged == 0 {
		r.CPU = (cpuAfter - cpuBefore) / time.Duration(len(latencies))
	}
	return r, nil
}

// texts are requests as they go over the wire. net/http's client would take
// more of the processors than the server under test does.
func texts(tokens []string) [][]byte {
	var all [][]byte
	for _, token := range tokens {
		all = append(all, []byte("GET /api/hello HTTP/1.1\r\nHost: api.example.test\r\nAuthorization: Bearer "+token+"\r\n\r\n"))
	}
	return all
}

type conn struct {
	net.Conn
	r *bufio.Reader
}

func dial(address string) (*conn, error) {
	c, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		return nil, err
	}
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	return &conn{c, bufio.NewReader(c)}, nil
}

func (c *conn) close() { _ = c.Close() }

// loop sends requests until the end, at least one, and returns how long each took, with pace
// from the time at which it was due.
func (c *conn) loop(requests [][]byte, first, want int, end time.Time, pace time.Duration) ([]time.Duration, error) {
	var took []time.Duration
	due := time.Now()
	for k := first; k == first || due.Before(end); k++ {
		if pace > 0 {
			time.Sleep(time.Until(due))
		}
		if err := c.do(requests[k%len(requests)], want); err != nil {
			return nil, err
		}
		took = append(took, time.Since(due))
		if pace > 0 {
			due = due.Add(pace)
		} else {
			due = time.Now()
		}
	}
	return took, nil
}

func (c *conn) do(request []byte, want int) error {
	if _, err := c.Write(request); err != nil {
		return err
	}
	status, _, err := c.answer(nil)
	if err == nil && status != want {
		err = fmt.Errorf("status %d, want %d", status, want)
	}
	return err
}

func (c *conn) cpu() (time.Duration, error) {
	if _, err := c.Write([]byte("GET /cpu HTTP/1.1\r\nHost: api.example.test\r\n\r\n")); err != nil {
		return 0, err
	}
	_, body, err := c.answer([]byte{})
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(string(body), 10, 64)
	return time.Duration(n), err
}

// answer reads what net/http sends for a short answer: a status line, header
// fields with Content-Length, a body; the body only if there is somewhere to put it.
func (c *conn) answer(body []byte) (status int, _ []byte, err error) {
	length := -1
	for first := true; ; first = false {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return 0, nil, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if first {
			if len(line) < 12 {
				return 0, nil, fmt.Errorf("status line %q", line)
			}
			if status, err = strconv.Atoi(string(line[9:12])); err != nil {
				return 0, nil, err
			}
			continue
		}
		if len(line) == 0 {
			break
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if length, err = strconv.Atoi(string(value)); err != nil {
				return 0, nil, err
			}
		}
	}
	if length < 0 {
		return 0, nil, errors.New("an answer without Content-Length")
	}
	if body == nil {
		_, err = c.r.Discard(length)
		return status, nil, err
	}
	body = make([]byte, length)
	_, err = io.ReadFull(c.r, body)
	return status, body, err
}
