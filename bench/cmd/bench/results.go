package main

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// results are what the benchmarks printed, a value a round.
type results struct {
	cpu    string
	values map[key][]float64
}

// key names a value: a benchmark, without Benchmark; how many processors it
// had; the unit.
type key struct {
	name string
	cpus int
	unit string
}

var (
	line      = regexp.MustCompile(`^Benchmark(\S+)\s+\d+\s+(.*)$`)
	processes = regexp.MustCompile(`-(\d+)$`)
)

func parse(text string) (*results, error) {
	r := &results{values: map[key][]float64{}}
	for l := range strings.Lines(text) {
		l = strings.TrimSpace(l)
		if cpu, ok := strings.CutPrefix(l, "cpu: "); ok {
			r.cpu = cpu
		}
		m := line.FindStringSubmatch(l)
		if m == nil {
			continue
		}
		name, cpus := m[1], 1
		if p := processes.FindStringSubmatch(name); p != nil {
			name = strings.TrimSuffix(name, p[0])
			cpus, _ = strconv.Atoi(p[1])
		}
		fields := strings.Fields(m[2])
		for k := 0; k+1 < len(fields); k += 2 {
			v, err := strconv.ParseFloat(fields[k], 64)
			if err != nil {
				return nil, fmt.Errorf("in %q: %w", l, err)
			}
			id := key{name, cpus, fields[k+1]}
			r.values[id] = append(r.values[id], v)
		}
	}
	if len(r.values) == 0 {
		return nil, fmt.Errorf("the benchmarks printed no results:\n%s", text)
	}
	return r, nil
}

// median of the rounds; NaN if there is none.
func (r *results) median(name, unit string) float64 { return r.medianOn(1, name, unit) }

func (r *results) medianOn(cpus int, name, unit string) float64 {
	return median(r.values[key{name, cpus, unit}])
}

// ratio is the median of each round's own ratio: what disturbs the machine for
// a while disturbs both sides of it.
func (r *results) ratio(name, over string) float64 {
	return r.eachRound(key{name, 1, "ns/op"}, key{over, 1, "ns/op"}, func(a, b float64) float64 { return a / b })
}

// difference is the same for the difference, in nanoseconds.
func (r *results) difference(name, minus string) float64 {
	return r.eachRound(key{name, 1, "ns/op"}, key{minus, 1, "ns/op"}, func(a, b float64) float64 { return a - b })
}

func (r *results) eachRound(a, b key, f func(a, b float64) float64) float64 {
	var all []float64
	for k := range min(len(r.values[a]), len(r.values[b])) {
		all = append(all, f(r.values[a][k], r.values[b][k]))
	}
	return median(all)
}

func median(all []float64) float64 {
	if len(all) == 0 {
		return math.NaN()
	}
	all = slices.Sorted(slices.Values(all))
	return (all[(len(all)-1)/2] + all[len(all)/2]) / 2
}

// duration writes nanoseconds with three digits.
func duration(ns float64) string {
	switch abs := math.Abs(ns); {
	case math.IsNaN(ns):
		return "–"
	case abs < 999.5:
		return digits(ns) + " ns"
	case abs < 999.5e3:
		return digits(ns/1e3) + " µs"
	case abs < 999.5e6:
		return digits(ns/1e6) + " ms"
	default:
		return digits(ns/1e9) + " s"
	}
}

func times(x float64) string {
	if math.IsNaN(x) {
		return "–"
	}
	return digits(x) + " ×"
}

// digits writes a number with three digits, or all that come before the point.
func digits(x float64) string {
	switch abs := math.Abs(x); {
	case math.IsNaN(x):
		return "–"
	case abs < 9.995:
		return strconv.FormatFloat(x, 'f', 2, 64)
	case abs < 99.95:
		return strconv.FormatFloat(x, 'f', 1, 64)
	default:
		return thousands(strconv.FormatFloat(x, 'f', 0, 64))
	}
}

// thousands puts spaces into numbers of five digits and more.
func thousands(s string) string {
	if len(s) <= 4 {
		return s
	}
	for k := len(s) - 3; k > 0; k -= 3 {
		s = s[:k] + " " + s[k:]
	}
	return s
}

func whole(x float64) string {
	if math.IsNaN(x) {
		return "–"
	}
	return thousands(strconv.FormatFloat(x, 'f', 0, 64))
}
