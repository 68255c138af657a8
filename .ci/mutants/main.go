// Command mutants asks whether the tests look: it changes one operator,
// condition, constant or statement of the module, runs the tests that can see
// it, and tells of the changes that no test noticed.
//
//	go run ./.ci/mutants -n 150 -seed 1
//
// It draws from all files of the root module that are no tests, not generated and
// no examples, and takes what is drawn until n mutants have been judged: one that
// doesn't build is not counted. The work tree stays as it is (go test -overlay).
// A mutant that makes a test run for longer than -timeout counts as killed.
//
// -in emulator draws from one folder, and those in it. What lives is printed with
// its line as it was and as it became. To see a mutant die by a new test, judge it
// alone:
//
//	go run ./.ci/mutants -v -at token_cache.go:71
//
// A mutant that no test can notice, since nothing that matters has changed, is
// explained in equivalents.txt; the file says how. Such mutants are judged, but
// not counted.
//
// The exit status is 1 if more than -most per cent live or an explanation is
// wrong, 2 if nothing could be judged.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

type options struct {
	dir         string // in the module
	n, p        int
	seed        uint64
	most        float64
	timeout     time.Duration
	at, in      string
	equivalents string // a path from the module's root
	verbose     bool
}

func main() {
	var o options
	flag.IntVar(&o.n, "n", 150, "how many mutants to judge")
	flag.Uint64Var(&o.seed, "seed", rand.Uint64()>>32, "of the drawing; the default is another one each time")
	flag.IntVar(&o.p, "p", 1, "how many mutants to judge at once")
	flag.Float64Var(&o.most, "most", 3, "how many per cent may live")
	flag.DurationVar(&o.timeout, "timeout", time.Minute, "of a package's tests")
	flag.StringVar(&o.at, "at", "", "judge all mutants of this `file or file:line`, in place of a drawing")
	flag.StringVar(&o.in, "in", "", "draw from this `folder` alone")
	flag.StringVar(&o.equivalents, "equivalents", ".ci/mutants/equivalents.txt", "`file` of the mutants that no test can notice")
	flag.BoolVar(&o.verbose, "v", false, "print those that are killed or don't build, too")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "mutants: takes no arguments; see go doc ./.ci/mutants")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	ok, err := run(ctx, o, os.Stdout)
	stop()
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(2)
	case !ok:
		os.Exit(1)
	}
}

// run reports whether few enough mutants live and all explanations are right.
func run(ctx context.Context, o options, out io.Writer) (ok bool, err error) {
	root, pkgs, err := list(ctx, o.dir)
	if err != nil {
		return false, err
	}
	explained, err := readEquivalents(filepath.Join(root, o.equivalents))
	if err != nil {
		return false, err
	}
	var all, among, drawn []mutant
	for _, p := range pkgs {
		if p.example {
			continue
		}
		for _, name := range p.GoFiles {
			mutants, err := mutate(root, filepath.Join(p.Dir, name))
			if err != nil {
				return false, err
			}
			for _, m := range mutants {
				m.pkg = p
				all = append(all, m)
				if o.in == "" || strings.HasPrefix(m.file, path.Clean(o.in)+"/") {
					among = append(among, m)
				}
				if m.file == o.at || fmt.Sprintf("%s:%d", m.file, m.line) == o.at {
					drawn = append(drawn, m)
				}
			}
		}
	}
	if o.at != "" {
		o.n = len(drawn)
		_, _ = fmt.Fprintf(out, "%s: %d of %d mutants\n", o.at, o.n, len(all))
	} else {
		drawn = among
		rand.New(rand.NewPCG(o.seed, 0)).Shuffle(len(drawn), func(i, j int) { drawn[i], drawn[j] = drawn[j], drawn[i] })
		_, _ = fmt.Fprintf(out, "seed %d: %d of %d mutants\n", o.seed, min(o.n, len(among)), len(among))
	}

	temp, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(temp)
	j := &judge{root: root, temp: temp, timeout: o.timeout}
	// Tests that fail anyway would kill every mutant.
	var seeing []string
	for _, p := range pkgs {
		if p.hasTests() {
			seeing = append(seeing, p.ImportPath)
		}
	}
	if v, output, err := j.test(ctx, "", seeing); err != nil {
		return false, err
	} else if v != lived {
		return false, fmt.Errorf("the tests fail without any mutant:\n%s", output)
	}

	var mu sync.Mutex
	count, wrong := map[verdict]int{}, 0
	one := func(m mutant) error {
		v, err := j.judge(ctx, m)
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			return err
		}
		note := ""
		switch {
		case !explained[m.what()]:
		case v == lived:
			v = equivalent
		case v != notBuilt:
			wrong++
			note = ", but " + o.equivalents + " says that it can't be"
		}
		count[v]++
		if v == lived || v == timedOut || note != "" || o.verbose {
			_, _ = fmt.Fprintf(out, "\n%s%s\n%s:%d %s\n- %s\n+ %s\n", v, note, m.file, m.line, m.function, m.was, m.is)
		}
		return nil
	}
	total := 0
	for next := drawn; len(next) > 0 && total-count[notBuilt] < o.n; {
		batch := next[:min(len(next), o.n-(total-count[notBuilt]))]
		next = next[len(batch):]
		total += len(batch)
		if err := each(batch, o.p, one); err != nil {
			return false, err
		}
	}

	if total == count[notBuilt] {
		return false, errors.New("no mutant was judged")
	}
	known := map[what]bool{}
	for _, m := range all {
		known[m.what()] = true
	}
	for w := range explained {
		if !known[w] {
			wrong++
			_, _ = fmt.Fprintf(out, "\nnothing is like this any more: take it out of %s\n%s %s\n- %s\n+ %s\n", o.equivalents, w.file, w.function, w.was, w.is)
		}
	}
	counted := total - count[notBuilt] - count[equivalent]
	percent := 100 * float64(count[lived]) / float64(max(counted, 1))
	_, _ = fmt.Fprintf(out, "\n%d drawn, %d did not build, %d equivalent, %d killed, %d timed out, %d lived: %.1f %% of %d\n",
		total, count[notBuilt], count[equivalent], count[killed], count[timedOut], count[lived], percent, counted)
	return percent <= o.most && wrong == 0, nil
}

// each calls f for each mutant, p at a time, until one call fails.
func each(mutants []mutant, p int, f func(mutant) error) error {
	errs := make(chan error, len(mutants))
	slots := make(chan struct{}, max(p, 1))
	var wg sync.WaitGroup
	for _, m := range mutants {
		slots <- struct{}{}
		if len(errs) > 0 {
			break
		}
		wg.Go(func() {
			if err := f(m); err != nil {
				errs <- err
			}
			<-slots
		})
	}
	wg.Wait()
	close(errs)
	return <-errs
}

// pkg is a package of the module, as go list gives it.
type pkg struct {
	Dir, ImportPath                    string
	GoFiles, TestGoFiles, XTestGoFiles []string
	Imports, TestImports, XTestImports []string

	example bool
	seenBy  []string // the packages whose tests can see it, its own first
}

func (p *pkg) hasTests() bool { return len(p.TestGoFiles)+len(p.XTestGoFiles) > 0 }

// list returns the root of the module that dir is in, and its packages.
func list(ctx context.Context, dir string) (root string, pkgs []*pkg, err error) {
	output, err := goCommand(ctx, dir, "env", "GOMOD")
	if err != nil {
		return "", nil, err
	}
	root = filepath.Dir(strings.TrimSpace(output))
	if root == "." {
		return "", nil, errors.New("not in a module")
	}
	output, err = goCommand(ctx, root, "list", "-json=Dir,ImportPath,GoFiles,TestGoFiles,XTestGoFiles,Imports,TestImports,XTestImports", "./...")
	if err != nil {
		return "", nil, err
	}
	byPath := map[string]*pkg{}
	for dec := json.NewDecoder(strings.NewReader(output)); dec.More(); {
		p := new(pkg)
		if err := dec.Decode(p); err != nil {
			return "", nil, err
		}
		rel, err := filepath.Rel(root, p.Dir)
		if err != nil {
			return "", nil, err
		}
		p.example = strings.HasPrefix(filepath.ToSlash(rel)+"/", "examples/")
		pkgs = append(pkgs, p)
		byPath[p.ImportPath] = p
	}
	for _, p := range pkgs {
		if !p.hasTests() {
			continue
		}
		seen := map[*pkg]bool{p: true}
		var walk func(imports []string)
		walk = func(imports []string) {
			for _, path := range imports {
				if q := byPath[path]; q != nil && !seen[q] {
					seen[q] = true
					walk(q.Imports)
				}
			}
		}
		walk(slices.Concat(p.Imports, p.TestImports, p.XTestImports))
		for q := range seen {
			if q == p {
				q.seenBy = slices.Insert(q.seenBy, 0, p.ImportPath)
			} else {
				q.seenBy = append(q.seenBy, p.ImportPath)
			}
		}
	}
	return root, pkgs, nil
}

func goCommand(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	var stderr strings.Builder
	cmd.Stderr = &stderr
	output, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, &stderr)
	}
	return string(output), nil
}

type verdict string

const (
	killed     verdict = "killed"
	timedOut   verdict = "timed out"
	lived      verdict = "lived"
	equivalent verdict = "equivalent"
	notBuilt   verdict = "did not build"
)

type judge struct {
	root, temp string
	timeout    time.Duration
}

// judge runs the tests that can see the mutant: those of its own package first,
// which kill most.
func (j *judge) judge(ctx context.Context, m mutant) (verdict, error) {
	dir, err := os.MkdirTemp(j.temp, "")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(j.root, filepath.FromSlash(m.file))
	src, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	changed, overlay := filepath.Join(dir, "mutant.go"), filepath.Join(dir, "overlay.json")
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{path: changed}})
	if err != nil {
		return "", err
	}
	err = errors.Join(os.WriteFile(overlay, replace, 0o600),
		os.WriteFile(changed, slices.Concat(src[:m.start], []byte(m.text), src[m.end:]), 0o600))
	if err != nil {
		return "", err
	}
	// A package without tests that see it is built, to know whether it does.
	if len(m.pkg.seenBy) == 0 {
		v, _, err := j.command(ctx, "build", "-overlay="+overlay, "-o="+os.DevNull, m.pkg.ImportPath)
		if v == killed {
			v = notBuilt
		}
		return v, err
	}
	for i := range m.pkg.seenBy {
		if v, _, err := j.test(ctx, overlay, m.pkg.seenBy[i:i+1]); v != lived || err != nil {
			return v, err
		}
	}
	return lived, nil
}

func (j *judge) test(ctx context.Context, overlay string, pkgs []string) (verdict, string, error) {
	return j.command(ctx, append([]string{"test", "-p=1", "-vet=off", "-short", "-failfast", "-timeout=" + j.timeout.String(), "-overlay=" + overlay}, pkgs...)...)
}

var (
	doesNotBuild = regexp.MustCompile(`(?m)^FAIL\t\S+ \[(build|setup) failed\]$`)
	tookTooLong  = regexp.MustCompile(`(?m)^panic: test timed out after |^\*\*\* Test killed`)
)

func (j *judge) command(ctx context.Context, args ...string) (verdict, string, error) {
	// An endless loop may take memory, too: 4 GiB of it at most, where there is
	// ulimit.
	cmd := exec.CommandContext(ctx, "sh", append([]string{"-c", `ulimit -v 4194304 2>/dev/null; exec "$@"`, "sh", "go"}, args...)...)
	cmd.Dir = j.root
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	output, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return "", "", ctx.Err()
	case err == nil:
		return lived, "", nil
	case !errors.As(err, &exit):
		return "", "", err
	case doesNotBuild.Match(output):
		return notBuilt, string(output), nil
	case tookTooLong.Match(output):
		return timedOut, string(output), nil
	}
	return killed, string(output), nil
}

// what is a mutant as an explanation knows it: what it changes, wherever that is
// in the file.
type what struct{ file, function, was, is string }

func (m *mutant) what() what { return what{m.file, m.function, m.was, m.is} }

// readEquivalents reads the file of explanations: see equivalents.txt.
func readEquivalents(path string) (map[what]bool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	all := map[what]bool{}
	for i, entry := range regexp.MustCompile(`\n\s*\n`).Split(strings.TrimSpace(string(text)), -1) {
		var w what
		var found []what
		reason := false
		for line := range strings.Lines(entry) {
			line = strings.TrimRight(line, "\n")
			switch {
			case strings.HasPrefix(line, "#"):
			case w.file == "":
				var ok bool
				if w.file, w.function, ok = strings.Cut(line, " "); !ok {
					return nil, fmt.Errorf("%s: entry %d: want a file and a function: %s", path, i+1, line)
				}
				w.file, _, _ = strings.Cut(w.file, ":")
			case strings.HasPrefix(line, "- "):
				w.was = line[2:]
			case strings.HasPrefix(line, "+ "):
				w.is = line[2:]
				found = append(found, w)
			case len(found) == 0:
				return nil, fmt.Errorf("%s: entry %d: want a line with - before: %s", path, i+1, line)
			default:
				reason = true
			}
		}
		if w.file == "" {
			continue // comments
		}
		if len(found) == 0 || !reason {
			return nil, fmt.Errorf("%s: entry %d: want a line with -, one with + and a reason", path, i+1)
		}
		for _, w := range found {
			all[w] = true
		}
	}
	return all, nil
}
