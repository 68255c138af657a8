// Package quote makes what somebody sent fit for a log line or an error: escaped,
// so that it can't be another line, and cut, so that it can't be the log.
package quote

import (
	"strconv"
	"strings"
)

const (
	most     = 100 // bytes of one string
	mostList = 5   // strings of a list
)

// String gives s in single quotation marks, in ASCII.
func String(s string) string {
	more := ""
	if len(s) > most {
		s, more = s[:most], "…"
	}
	quoted := strconv.QuoteToASCII(s)
	return "'" + quoted[1:len(quoted)-1] + more + "'"
}

// List gives each as [String] does, with "or" in between.
func List(list []string) string {
	var b strings.Builder
	for i, s := range list[:min(len(list), mostList)] {
		if i > 0 {
			b.WriteString(" or ")
		}
		b.WriteString(String(s))
	}
	if len(list) > mostList {
		b.WriteString(" …")
	}
	return b.String()
}

// Cut gives the first bytes of s, whole characters, and marks that there were more. It
// escapes nothing: it is for the attributes of a log that does so itself.
func Cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
