// The log of refusals: a line each.

package logto

import (
	"log/slog"
	"net/http"
	"strings"

	"github.com/seed-70fe37f4/logto/internal/refusal"
)

// logRefusal writes the line of a refused request, with who sent it where that is known. Of
// one reason there are at most 10 lines in 10 s: a flood must not fill the disk.
func (v *Verifier) logRefusal(r *http.Request, c *Claims, err error, reportOnly bool) {
	e := refusal.Of(err)
	if e == nil {
		return
	}
	message := "logto: request refused"
	if reportOnly {
		message = "logto: request would be refused, but InsecureReportOnly protects nothing"
	}
	v.log.Line(r.Context(), e.Reason.Level, e.Reason.Code, message, func() []slog.Attr {
		attrs := []slog.Attr{slog.String("reason", e.Reason.Code), slog.String("error", err.Error()),
			slog.String("method", r.Method[:min(len(r.Method), 20)]), slog.String("path", maskPath(r.URL.Path))}
		if c != nil {
			attrs = append(attrs, slog.Any("token", c))
		}
		return attrs
	})
}

// maskPath shortens a path for the log, and leaves out what could be a token in it.
func maskPath(path string) string {
	const longest = 40 // bytes of a segment; an opaque token has 43
	var b strings.Builder
	for i, segment := range strings.SplitN(path, "/", 20) {
		if i > 0 {
			b.WriteByte('/')
		}
		if len(segment) >= longest || len(segment) >= 20 && (strings.HasPrefix(segment, "pat_") || strings.HasPrefix(segment, "sub_")) {
			segment = "…"
		}
		b.WriteString(segment)
	}
	return strings.ToValidUTF8(b.String()[:min(b.Len(), 200)], "")
}
