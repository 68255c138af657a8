// The log of refusals: a line each, and no flood of them.

package logto

import (
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/seed-70fe37f4/logto/internal/refusal"
)

const (
	logWindowTime  = 10 * time.Second
	logWindowLines = 10
)

// refusalLog limits the lines a reason gets: a flood must not fill the disk.
type refusalLog struct {
	mu      sync.Mutex
	reasons map[string]*logWindow
}

type logWindow struct {
	start         time.Time
	lines, missed int
}

// allow reports whether a line may be written, and how many were left out
// since the last window.
func (l *refusalLog) allow(code string) (missed int, ok bool) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.reasons == nil {
		l.reasons = map[string]*logWindow{}
	}
	win := l.reasons[code]
	if win == nil {
		win = &logWindow{start: now}
		l.reasons[code] = win
	}
	if now.Sub(win.start) >= logWindowTime {
		missed = win.missed
		*win = logWindow{start: now}
	}
	if win.lines++; win.lines > logWindowLines {
		win.missed++
		return 0, false
	}
	return missed, true
}

func (l *refusalLog) refused(r *http.Request, log *slog.Logger, err error, reportOnly bool) {
	e := refusal.Of(err)
	if e == nil || !log.Enabled(r.Context(), e.Reason.Level) {
		return
	}
	missed, ok := l.allow(e.Reason.Code)
	if !ok {
		return
	}
	attrs := []slog.Attr{slog.String("reason", e.Reason.Code), slog.String("error", err.Error()),
		slog.String("method", r.Method[:min(len(r.Method), 20)]), slog.String("path", maskPath(r.URL.Path))}
	if missed > 0 {
		attrs = append(attrs, slog.Int("not_logged_before", missed))
	}
	message := "logto: request refused"
	if reportOnly {
		message = "logto: request would be refused, but InsecureReportOnly protects nothing"
	}
	log.LogAttrs(r.Context(), e.Reason.Level, message, attrs...)
}

// maskPath shortens a path for the log, and leaves out what could be a token in it.
func maskPath(path string) string {
	const longest = 40 // bytes of a segment; an opaque token has 43
	var b strings.Builder
	for i, segment := range strings.SplitN(path[:min(len(path), 200)], "/", 20) {
		if i > 0 {
			b.WriteByte('/')
		}
		if len(segment) >= longest {
			segment = "…"
		}
		b.WriteString(segment)
	}
	return b.String()
}
