package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// report is what a command found. Its JSON is documented at the top of main.go.
type report struct {
	Command      string        `json:"command"`
	OK           bool          `json:"ok"`
	Verdict      string        `json:"verdict"`
	Reason       string        `json:"reason"`
	Summary      string        `json:"summary"`
	Checks       []check       `json:"checks"`
	Token        *token        `json:"token,omitempty"`
	Requirements []requirement `json:"requirements,omitempty"`
	Config       string        `json:"config,omitempty"`
	Deliveries   *deliveries   `json:"deliveries,omitempty"`

	subject string // behind the command's name in the heading
}

type check struct {
	Name   string  `json:"name"`
	Status string  `json:"status"`
	Saw    string  `json:"saw"`
	Hint   string  `json:"hint,omitempty"`
	Key    *keyRow `json:"key,omitempty"`
}

type keyRow struct {
	ID        string `json:"id"`
	Type      string `json:"type"`
	Algorithm string `json:"algorithm"`
	Usable    bool   `json:"usable"`
	Why       string `json:"why"`
}

type token struct {
	Header map[string]any `json:"header"`
	Claims map[string]any `json:"claims"`

	times map[string]string // for people
}

type requirement struct {
	Requirement string `json:"requirement"`
	Meets       bool   `json:"meets"`
	Why         string `json:"why"`
}

const (
	ok   = "ok"
	warn = "warn"
	fail = "fail"
	note = "note"
	skip = "skip"
)

func (r *report) add(name, status, saw, hint string) *check {
	r.Checks = append(r.Checks, check{Name: name, Status: status, Saw: saw, Hint: hint})
	return &r.Checks[len(r.Checks)-1]
}

func (r *report) failed() []string {
	var names []string
	for _, c := range r.Checks {
		if c.Status == fail && !slices.Contains(names, c.Name) {
			names = append(names, c.Name)
		}
	}
	return names
}

// settle sets the verdict by what failed, if anything did, and gives the sentence for that.
func (r *report) settle() (wrong string) {
	failed := r.failed()
	if r.OK = len(failed) == 0; r.OK {
		r.Verdict = "ok"
		return ""
	}
	r.Verdict = "problem"
	return "Something is wrong: " + strings.Join(failed, ", ") + ". Start with the first FAIL."
}

func (r *report) has(status string) bool {
	return slices.ContainsFunc(r.Checks, func(c check) bool { return c.Status == status })
}

// writeJSON writes ASCII only: what a terminal might obey is escaped.
func (r *report) writeJSON(w io.Writer) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if r.Checks == nil {
		r.Checks = []check{}
	}
	if err := e.Encode(r); err != nil {
		return err
	}
	var out strings.Builder
	for _, c := range b.String() {
		switch {
		case c < 0x7f:
			out.WriteRune(c)
		case c <= 0xffff:
			fmt.Fprintf(&out, `\u%04x`, c)
		default:
			c -= 0x10000
			fmt.Fprintf(&out, `\u%04x\u%04x`, 0xd800+c>>10, 0xdc00+c&0x3ff)
		}
	}
	_, err := io.WriteString(w, out.String())
	return err
}

var colours = map[string]string{ok: "32", warn: "33", fail: "1;31", note: "36", skip: "2"}

func (r *report) writeText(w io.Writer, s style) error {
	var b strings.Builder
	paint := func(colour, text string) string {
		if !s.colour {
			return text
		}
		return "\x1b[" + colour + "m" + text + "\x1b[0m"
	}
	fmt.Fprintf(&b, "%s\n", paint("1", clean("logto "+r.Command+"  "+r.subject)))
	if r.Token != nil {
		b.WriteString("\n")
		r.Token.write(&b, paint)
	}
	b.WriteString("\n")
	for i := 0; i < len(r.Checks); i++ {
		c := r.Checks[i]
		mark := c.Status
		// What was skipped for one reason gets one line.
		if c.Status == skip {
			first := i
			for i+1 < len(r.Checks) && r.Checks[i+1].Status == skip && r.Checks[i+1].Saw == c.Saw {
				i++
				c.Name += ", " + r.Checks[i].Name
			}
			if i > first {
				c.Saw, c.Name = c.Saw+": "+c.Name, "…"
			}
		}
		if mark == fail {
			mark = "FAIL"
		}
		fmt.Fprintf(&b, "%s  %-12s  %s\n", paint(colours[c.Status], fmt.Sprintf("%-4s", mark)), c.Name, fold(clean(c.Saw), s.width, 20))
		if c.Hint != "" {
			fmt.Fprintf(&b, "%18s> %s\n", "", fold(clean(c.Hint), s.width, 20))
		}
	}
	if len(r.Requirements) > 0 {
		b.WriteString("\nrequirements of a route\n")
		for _, q := range r.Requirements {
			mark, colour, text := "meets", colours[ok], q.Requirement
			if !q.Meets {
				mark, colour, text = "no", colours[skip], text+": "+q.Why
			}
			fmt.Fprintf(&b, "%s  %s\n", paint(colour, fmt.Sprintf("%-5s", mark)), fold(clean(text), s.width, 7))
		}
	}
	colour := colours[fail]
	if r.OK {
		colour = colours[ok]
	}
	if r.Verdict == "unverified" && r.OK {
		colour = colours[warn]
	}
	fmt.Fprintf(&b, "\n%s\n", paint(colour, fold(clean(r.Summary), s.width, 0)))
	if r.Config != "" {
		// Its strings are quoted by strconv.
		fmt.Fprintf(&b, "\nConfig:\n\n%s\n", r.Config)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// write shows a decoded token. Names and values are an attacker's.
func (t *token) write(b *strings.Builder, paint func(colour, text string) string) {
	for _, part := range []struct {
		name   string
		values map[string]any
		first  []string
	}{
		{"header", t.Header, []string{"typ", "alg", "kid"}},
		{"claims", t.Claims, []string{"iss", "aud", "sub", "client_id", "scope", "organization_id", "iat", "nbf", "exp"}},
	} {
		if part.values == nil {
			continue
		}
		fmt.Fprintf(b, "%s\n", part.name)
		var names []string
		for name := range part.values {
			names = append(names, name)
		}
		rank := func(name string) int {
			if i := slices.Index(part.first, name); i >= 0 {
				return i
			}
			return len(part.first)
		}
		slices.SortFunc(names, func(a, b string) int {
			if d := rank(a) - rank(b); d != 0 {
				return d
			}
			return strings.Compare(a, b)
		})
		const most = 40
		for _, name := range names[:min(len(names), most)] {
			value, err := json.Marshal(part.values[name])
			if err != nil {
				value = []byte("?")
			}
			text := short(clean(string(value)), 300)
			if when := t.times[name]; when != "" && part.name == "claims" {
				text += "  " + paint(colours[skip], clean(when))
			}
			fmt.Fprintf(b, "  %-16s  %s\n", short(clean(name), 60), text)
		}
		if len(names) > most {
			fmt.Fprintf(b, "  … and %d more\n", len(names)-most)
		}
	}
}

// clean makes text fit for a terminal and one line: what isn't printable comes
// out escaped.
func clean(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		s = s[size:]
	}
	return b.String()
}

func short(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most] + "…"
}

// fold breaks text between words, the following lines indented. Width 0 is no break.
func fold(text string, width, indent int) string {
	if width == 0 {
		return text
	}
	var b strings.Builder
	column := indent
	for i, word := range strings.Split(text, " ") {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case column+1+n > width:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			column = indent
		default:
			b.WriteString(" ")
			column++
		}
		b.WriteString(word)
		column += n
	}
	return b.String()
}
