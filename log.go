// The log of refusals: a line each, and no flood of them.

package logto

import (
	"context"
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
	// logSummaryDelay lets a line that comes as a window ends tell of it.
	logSummaryDelay = 100 * time.Millisecond
)

// refusalLog limits the lines a reason gets: a flood must not fill the disk. What was
// left out is told by the next line, or, if none comes, by one of its own.
type refusalLog struct {
	logger func() *slog.Logger // for what no request is at hand for

	mu      sync.Mutex
	reasons map[string]*logWindow
}

type logWindow struct {
	start         time.Time
	lines, missed int
	level         slog.Level // the highest of those missed
}

// allow reports whether a line may be written, and how many were left out
// since the last window.
func (l *refusalLog) allow(reason *refusal.Reason) (missed int, ok bool) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.reasons == nil {
		l.reasons = map[string]*logWindow{}
	}
	win := l.reasons[reason.Code]
	if win == nil {
		win = &logWindow{start: now}
		l.reasons[reason.Code] = win
	}
	if now.Sub(win.start) >= logWindowTime {
		missed = win.missed
		*win = logWindow{start: now}
	}
	if win.lines++; win.lines <= logWindowLines {
		return missed, true
	}
	if win.missed++; win.missed == 1 || reason.Level > win.level {
		win.level = reason.Level
	}
	if win.missed == 1 {
		start := win.start
		time.AfterFunc(start.Add(logWindowTime+logSummaryDelay).Sub(now), func() { l.summarize(reason.Code, start) })
	}
	return 0, false
}

// summarize tells what was left out in the window that began at start, unless a line
// has done so. It runs in a goroutine of its own, in which a panic, of the user's
// slog.Handler, would end the process.
func (l *refusalLog) summarize(code string, start time.Time) {
	defer func() { _ = recover() }()
	l.mu.Lock()
	win := l.reasons[code]
	missed, level := win.missed, win.level
	told := win.start != start
	if !told {
		win.missed = 0
	}
	l.mu.Unlock()
	if !told {
		l.logger().LogAttrs(context.Background(), level, "logto: lines left out",
			slog.String("reason", code), slog.Int(notLogged, missed))
	}
}

// notLogged is how many lines were left out.
const notLogged = "not_logged_before"

func (l *refusalLog) refused(r *http.Request, log *slog.Logger, err error, reportOnly bool) {
	e := refusal.Of(err)
	if e == nil || !log.Enabled(r.Context(), e.Reason.Level) {
		return
	}
	missed, ok := l.allow(e.Reason)
	if !ok {
		return
	}
	attrs := []slog.Attr{slog.String("reason", e.Reason.Code), slog.String("error", err.Error()),
		slog.String("method", r.Method[:min(len(r.Method), 20)]), slog.String("path", maskPath(r.URL.Path))}
	if missed > 0 {
		attrs = append(attrs, slog.Int(notLogged, missed))
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
		if len(segment) >= longest || len(segment) >= 20 && (strings.HasPrefix(segment, "pat_") || strings.HasPrefix(segment, "sub_")) {
			segment = "…"
		}
		b.WriteString(segment)
	}
	return b.String()
}
