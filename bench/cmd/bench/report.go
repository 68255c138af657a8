package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strings"

	"github.com/seed-70fe37f4/logto/bench"
)

const (
	ours    = "logto"
	first   = "logto-nocache"
	nothing = "none"
)

var rivals = []string{"golang-jwt", "go-oidc", "jwx", "auth0"}

// titles are how the tables name contestants.
var titles = map[string]string{
	"stdlib":     "the signature check alone, standard library",
	nothing:      "the handler alone",
	ours:         "**this library**",
	first:        "this library, remembering nothing",
	"golang-jwt": "golang-jwt + keyfunc",
	"go-oidc":    "go-oidc",
	"jwx":        "jwx v2",
	"auth0":      "auth0/go-jwt-middleware",
}

type report struct {
	*results
	live              int
	throughput, flood []loadResult
	versions, about   string
}

const begin, end = "<!-- results -->\n", "<!-- end of results -->"

// writeTo puts the tables into a file, between the marks.
func (r *report) writeTo(path string) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text, err := replace(string(old), r.markdown())
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.WriteFile(path, []byte(text), 0o644)
}

func replace(old, tables string) (string, error) {
	before, rest, ok1 := strings.Cut(old, begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		return "", errors.New("the marks for the results are missing")
	}
	return before + begin + "\n" + tables + "\n" + end + after, nil
}

type table struct{ strings.Builder }

func (t *table) row(cells ...string) {
	fmt.Fprintf(t, "| %s |\n", strings.Join(cells, " | "))
}

// head writes the heading of a table: the first column is text, the others are
// numbers.
func (t *table) head(title string, cells ...string) {
	fmt.Fprintf(t, "\n### %s\n\n", title)
	t.row(cells...)
	t.row(append([]string{"---"}, strings.Split(strings.Repeat("---: ", len(cells)-1), " ")[:len(cells)-1]...)...)
}

func (t *table) text(format string, args ...any) { fmt.Fprintf(t, "\n"+format+"\n", args...) }

func (r *report) markdown() string {
	var t table
	fmt.Fprintf(&t, "%s\n\n%s\n", r.about, r.versions)
	r.targets(&t)
	r.first(&t)
	r.middleware(&t)
	r.remembered(&t)
	r.refuse(&t)
	r.answers(&t)
	r.sizes(&t)
	r.keys(&t)
	r.cores(&t)
	r.fetches(&t)
	r.load(&t)
	return strings.TrimSpace(t.String()) + "\n"
}

func (r *report) targets(t *table) {
	t.head("Targets", "work", "target", "measured", "met")
	row := func(work, target, measured string, met bool) {
		yes := "**no**"
		if met {
			yes = "yes"
		}
		t.row(work, target, measured, yes)
	}
	for k, algorithm := range bench.Algorithms {
		limit := []float64{0.30, 1.12, 1.25}[k] // ES384 by the tables of the key
		base := "First/" + algorithm + "/"
		got, ahead := r.ratio(base+first, base+"stdlib"), true
		for _, c := range rivals {
			ahead = ahead && r.ratio(base+c, base+first) > 1
		}
		allocs := r.median(base+first, "allocs/op")
		row("first check, "+algorithm+", over the signature check alone", fmt.Sprintf("≤ %.2f ×, ahead of all, ≤ 45 allocations", limit),
			fmt.Sprintf("%.3f ×, %s, %s allocations", got, map[bool]string{true: "ahead", false: "behind"}[ahead], whole(allocs)),
			got <= limit && ahead && allocs <= 45)
	}
	forged := r.ratio("Refuse/ES384/bad-signature/"+ours, "First/ES384/stdlib")
	row("refusing a forged signature, ES384, over the standard library's check", "≤ 0.30 ×", fmt.Sprintf("%.3f ×", forged), forged <= 0.30)
	many, allocs := r.median("Remembered/ES384/many", "ns/op"), r.median("Remembered/ES384/many", "allocs/op")
	row("a remembered token, `Verify`, "+whole(float64(r.live))+" live tokens", "≤ 1.3 µs, 0 allocations",
		duration(many)+", "+whole(allocs), many <= 1300 && allocs == 0)
	for _, x := range []struct {
		algorithm string
		limit     float64
	}{{"ES384", 300}, {"RS256", 15}} {
		base, least := "Middleware/"+x.algorithm+"/", math.Inf(1)
		for _, c := range rivals {
			least = min(least, r.ratio(base+c, base+ours))
		}
		allocs := r.median(base+ours, "allocs/op")
		row("a remembered token through `Require`, "+x.algorithm, fmt.Sprintf("≥ %.0f × faster than all, ≤ 3 allocations", x.limit),
			times(least)+", "+whole(allocs), least >= x.limit && allocs <= 3)
	}
	scale := r.scale(ours)
	row("the same, two cores over one", "≥ 1.8 ×", times(scale)+", the signature check alone "+times(r.scale("stdlib")), scale >= 1.8)
	var worst float64
	for _, algorithm := range bench.Algorithms {
		for _, bad := range []string{"expired", "wrong-audience", "wrong-issuer"} {
			worst = math.Max(worst, r.median("Refuse/"+algorithm+"/"+bad+"/"+ours, "ns/op"))
		}
	}
	row("refusing expired, wrong audience, wrong issuer; the slowest", "≤ 8 µs", duration(worst), worst <= 8000)
	for _, bad := range []string{"opaque", "garbage-1KiB", "garbage-16KiB", "garbage-1MiB"} {
		base := "RefuseHTTP/ES384/" + bad + "/"
		more := r.difference(base+ours, base+"answer")
		row("refusing "+spaced(bad)+", beyond writing the answer", "≤ 0.5 µs", duration(more), more <= 500)
	}
	growth := r.median("RefuseHTTP/ES384/garbage-16KiB/"+ours, "B/op") - r.median("RefuseHTTP/ES384/garbage-1KiB/"+ours, "B/op")
	row("allocated more for 16 KiB of garbage than for 1 KiB", "0 B", whole(growth)+" B", growth <= 16)
	for _, kind := range bench.JunkKinds {
		worst, name := 0.0, ""
		for _, junk := range bench.Junk {
			if ns := r.median("Junk/"+strings.ReplaceAll(junk.Name, " ", "-")+"/"+kind.Name, "ns/op"); ns > worst {
				worst, name = ns, junk.Name
			}
		}
		row("the worst junk, "+spaced(kind.Name)+", before a signature", "≤ 30 µs", duration(worst)+", "+name, worst > 0 && worst <= 30_000)
	}
	memory := r.medianOn(2, "Memory", "MiB")
	row("memory of "+whole(float64(r.live))+" remembered tokens", "≤ 12 MiB", digits(memory)+" MiB", memory <= 12)
}

func spaced(name string) string { return strings.ReplaceAll(name, "-", " ") }

func (r *report) first(t *table) {
	t.head("A token seen for the first time, `Verify`", append(append([]string{""}, bench.Algorithms...), "allocations, RS256", "bytes, RS256")...)
	for _, c := range append([]string{"stdlib", ours, first}, rivals...) {
		cells := []string{titles[c]}
		for _, algorithm := range bench.Algorithms {
			base := "First/" + algorithm + "/"
			if c == "stdlib" {
				cells = append(cells, "1 ("+duration(r.median(base+c, "ns/op"))+")")
			} else {
				cells = append(cells, fmt.Sprintf("%.3f ×", r.ratio(base+c, base+"stdlib")))
			}
		}
		t.row(append(cells, whole(r.median("First/RS256/"+c, "allocs/op")), whole(r.median("First/RS256/"+c, "B/op")))...)
	}
}

func (r *report) middleware(t *table) {
	t.head("A token seen before, the whole middleware", append(append([]string{""}, bench.Algorithms...), "allocations, RS256", "bytes, RS256")...)
	for _, c := range append([]string{nothing, ours, first}, rivals...) {
		cells := []string{titles[c]}
		for _, algorithm := range bench.Algorithms {
			base := "Middleware/" + algorithm + "/"
			switch c {
			case nothing:
				cells = append(cells, "("+duration(r.median(base+c, "ns/op"))+")")
			case ours:
				cells = append(cells, "1 ("+duration(r.median(base+c, "ns/op"))+")")
			default:
				cells = append(cells, times(r.ratio(base+c, base+ours)))
			}
		}
		t.row(append(cells, whole(r.median("Middleware/RS256/"+c, "allocs/op")), whole(r.median("Middleware/RS256/"+c, "B/op")))...)
	}
}

func (r *report) remembered(t *table) {
	t.head("A remembered token, `Verify`, this library", "tokens", "time", "allocations")
	for _, algorithm := range bench.Algorithms {
		name := "Remembered/" + algorithm + "/few"
		t.row("64, "+algorithm, duration(r.median(name, "ns/op")), whole(r.median(name, "allocs/op")))
	}
	t.row(whole(float64(r.live))+", ES384, in random order", duration(r.median("Remembered/ES384/many", "ns/op")), whole(r.median("Remembered/ES384/many", "allocs/op")))
	t.row("of that, SHA-256 of the token", duration(r.median("Remembered/ES384/sha256", "ns/op")), "")
	t.text("%s remembered tokens hold %s MiB.", whole(float64(r.live)), digits(r.medianOn(2, "Memory", "MiB")))
}

// names are headings for the rivals' columns.
func names(before ...string) []string {
	for _, c := range rivals {
		before = append(before, titles[c])
	}
	return before
}

func (r *report) refuse(t *table) {
	t.head("Refusing, `Verify`", names("", titles[ours], "allocations")...)
	for _, algorithm := range bench.Algorithms {
		for _, bad := range bench.BadTokens {
			base := "Refuse/" + algorithm + "/" + bad.Name + "/"
			if len(r.values[key{base + ours, 1, "ns/op"}]) == 0 {
				continue
			}
			title := spaced(bad.Name)
			if bad.Signed {
				title += ", " + algorithm
			}
			cells := []string{title, duration(r.median(base+ours, "ns/op")), whole(r.median(base+ours, "allocs/op"))}
			for _, c := range rivals {
				cells = append(cells, times(r.ratio(base+c, base+ours)))
			}
			t.row(cells...)
		}
	}
}

func (r *report) answers(t *table) {
	t.head("Refusing, this library's whole middleware", "", "time", "beyond writing the answer", "allocations", "bytes")
	for _, bad := range bench.BadTokens {
		base := "RefuseHTTP/ES384/" + bad.Name + "/"
		t.row(spaced(bad.Name), duration(r.median(base+ours, "ns/op")), duration(r.difference(base+ours, base+"answer")),
			whole(r.median(base+ours, "allocs/op")), whole(r.median(base+ours, "B/op")))
	}
}

func (r *report) sizes(t *table) {
	t.head("Long tokens, well signed, ES384, first seen", names("", titles[first])...)
	for _, size := range []string{"1KiB", "16KiB", "1MiB"} {
		base := "Size/ES384/" + size + "/"
		verdict := func(c string) string {
			if r.median(base+c, "refused") == 1 {
				return ", refused"
			}
			return ""
		}
		cells := []string{size, duration(r.median(base+first, "ns/op")) + verdict(first)}
		for _, c := range rivals {
			cells = append(cells, duration(r.median(base+c, "ns/op"))+verdict(c))
		}
		t.row(cells...)
	}
}

func (r *report) keys(t *table) {
	t.head("Published keys, first check, over one key", names("", titles[first])...)
	for _, algorithm := range bench.Algorithms {
		for _, keys := range []string{"10keys", "100keys"} {
			cells := []string{strings.TrimSuffix(keys, "keys") + ", " + algorithm}
			for _, c := range append([]string{first}, rivals...) {
				cells = append(cells, fmt.Sprintf("%.3f ×", r.ratio("Keys/"+algorithm+"/"+c+"/"+keys, "Keys/"+algorithm+"/"+c+"/1keys")))
			}
			t.row(cells...)
		}
	}
}

// scale is how much more two processors do than one.
func (r *report) scale(c string) float64 {
	name := "Parallel/ES384/" + c
	return r.eachRound(key{name, 1, "ns/op"}, key{name, 2, "ns/op"}, func(a, b float64) float64 { return a / b })
}

func (r *report) cores(t *table) {
	t.head("One core and two, the whole middleware, ES384", "", "one core", "two cores", "gain")
	for _, c := range append([]string{"stdlib", ours, first}, rivals...) {
		name := "Parallel/ES384/" + c
		t.row(titles[c], duration(r.medianOn(1, name, "ns/op")), duration(r.medianOn(2, name, "ns/op")), times(r.scale(c)))
	}
}

func (r *report) fetches(t *table) {
	t.head("Fetches of the key set", "", "1000 unknown key IDs", "1000 first requests at once", "of them refused", "time they took")
	for _, c := range append([]string{ours}, rivals...) {
		flood, cold := "Flood/ES384/"+c, "ColdStart/ES384/"+c
		t.row(titles[c], whole(r.medianOn(2, flood, "fetches/op")), whole(r.medianOn(2, cold, "fetches/op")),
			whole(r.medianOn(2, cold, "refused/op")), duration(r.medianOn(2, cold, "ns/op")))
	}
}

func (r *report) load(t *table) {
	t.head("Whole servers, driven from a second process over loopback, ES384", "", "requests/s", "server's CPU time for one", "p50", "p99")
	for _, l := range r.throughput {
		t.row(titles[l.Contestant], whole(l.PerSecond), duration(float64(l.CPU)), duration(float64(l.P50)), duration(float64(l.P99)))
	}
	t.head("The same, in a flood of forged tokens: how long good requests take", "", "p50", "p99", "forged requests/s")
	for _, l := range r.flood {
		t.row(titles[l.Contestant], duration(float64(l.P50)), duration(float64(l.P99)), whole(l.Forged))
	}
}
