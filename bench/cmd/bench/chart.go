package main

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// chart draws what one request costs in the middleware, for Logto's default
// algorithm and for the cheapest one. It brings its own colours for light and
// dark pages and needs no font, script or service.
func (r *report) chart() string {
	const (
		width, left, right = 760, 190, 90
		rowHeight, bar     = 28, 16
		top, gap           = 64, 46
	)
	type row struct{ label, name string }
	rows := []row{
		{"logto, token seen before", ours},
		{"logto, first time", first},
		{"golang-jwt + keyfunc", "golang-jwt"},
		{"go-oidc", "go-oidc"},
		{"jwx v2", "jwx"},
		{"auth0", "auth0"},
	}
	panels := []struct{ title, algorithm string }{
		{"ES384, Logto’s default", "ES384"},
		{"RS256", "RS256"},
	}
	low, high := math.Inf(1), 0.0
	for _, p := range panels {
		for _, w := range rows {
			v := r.median("Middleware/"+p.algorithm+"/"+w.name, "ns/op")
			low, high = math.Min(low, v), math.Max(high, v)
		}
	}
	// Whole decades; the bars begin at the lower end, and the shortest is to be seen.
	from, to := math.Floor(math.Log10(low/1.2)), math.Ceil(math.Log10(high))
	x := func(ns float64) float64 {
		return left + (math.Log10(ns)-from)/(to-from)*(width-left-right)
	}
	panelHeight := len(rows)*rowHeight + gap
	height := top + len(panels)*panelHeight + 10

	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-labelledby="title desc">
<title id="title">Cost of one request in the middleware</title>
<desc id="desc">`, width, height, width, height)
	for _, p := range panels {
		for _, w := range rows {
			fmt.Fprintf(&b, "%s, %s: %s. ", p.algorithm, html.EscapeString(w.label), duration(r.median("Middleware/"+p.algorithm+"/"+w.name, "ns/op")))
		}
	}
	b.WriteString(`</desc>
<style>
text { font: 13px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328 }
.head { font-weight: 600; font-size: 15px }
.sub { font-weight: 600 }
.note { fill: #59636e; font-size: 12px }
.grid { stroke: #8c959f; stroke-opacity: .35 }
.ours { fill: #1a7f64 }
.first { fill: #1a7f64; fill-opacity: .55 }
.rival { fill: #8c959f }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .note { fill: #9198a1 }
  .ours { fill: #3fb68f }
  .first { fill: #3fb68f }
  .rival { fill: #6e7681 }
}
</style>
`)
	fmt.Fprintf(&b, `<text class="head" x="0" y="18">Cost of one request in the middleware</text>
<text class="note" x="0" y="38">Time with one core, logarithmic: each line is ten times the one before it; shorter is better</text>
`)
	for k, p := range panels {
		y := top + k*panelHeight
		bottom := y + 12 + len(rows)*rowHeight
		for d := from; d <= to; d++ {
			at := x(math.Pow(10, d))
			fmt.Fprintf(&b, `<line class="grid" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/>`+"\n", at, at, y+8, bottom)
			fmt.Fprintf(&b, `<text class="note" x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n", at, bottom+16, decade(d))
		}
		fmt.Fprintf(&b, `<text class="sub" x="0" y="%d">%s</text>`+"\n", y, p.title)
		for n, w := range rows {
			v := r.median("Middleware/"+p.algorithm+"/"+w.name, "ns/op")
			class := "rival"
			switch w.name {
			case ours:
				class = "ours"
			case first:
				class = "first"
			}
			line := y + 12 + n*rowHeight
			fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n", left-10, line+18, html.EscapeString(w.label))
			fmt.Fprintf(&b, `<rect class="%s" x="%d" y="%d" width="%.1f" height="%d" rx="2"/>`+"\n", class, left, line+5, max(1, x(v)-left), bar)
			fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n", width-10, line+18, duration(v))
		}
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// decade writes a power of ten of nanoseconds.
func decade(d float64) string {
	units := []string{"ns", "µs", "ms", "s"}
	unit := min(max(int(d)/3, 0), 3)
	return fmt.Sprintf("%.0f %s", math.Pow(10, d-float64(3*unit)), units[unit])
}
