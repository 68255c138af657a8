// Package loglimit bounds what strangers can make a log say: at most 10 lines a kind in
// 10 s. How many were left out is told by the next line of the kind, or, if none comes,
// by one of its own.
package loglimit

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	windowTime  = 10 * time.Second
	windowLines = 10
	// summaryDelay lets a line that comes as a window ends tell of it.
	summaryDelay = 100 * time.Millisecond

	// missedAttr is how many lines were left out.
	missedAttr = "not_logged_before"
)

// A Log is safe for concurrent use. Its fields are set before the first line.
type Log struct {
	Logger  func() *slog.Logger
	Summary string // the message of a line about what was left out
	Kind    string // the name of its attribute for the kind

	mu      sync.Mutex
	windows map[string]*window
}

type window struct {
	start         time.Time
	lines, missed int
	level         slog.Level // the highest of those missed
}

// Line writes a line, if there is room for one of its kind. Kinds are a small closed set.
// attrs is only called for a line that is written.
func (l *Log) Line(ctx context.Context, level slog.Level, kind, message string, attrs func() []slog.Attr) {
	log := l.Logger()
	if !log.Enabled(ctx, level) {
		return
	}
	missed, ok := l.allow(kind, level)
	if !ok {
		return
	}
	all := attrs()
	if missed > 0 {
		all = append(all, slog.Int(missedAttr, missed))
	}
	log.LogAttrs(ctx, level, message, all...)
}

// allow reports whether a line may be written, and how many were left out
// since the last window.
func (l *Log) allow(kind string, level slog.Level) (missed int, ok bool) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.windows == nil {
		l.windows = map[string]*window{}
	}
	win := l.windows[kind]
	if win == nil {
		win = &window{start: now}
		l.windows[kind] = win
	}
	if now.Sub(win.start) >= windowTime {
		missed = win.missed
		*win = window{start: now}
	}
	if win.lines++; win.lines <= windowLines {
		return missed, true
	}
	if win.missed++; win.missed == 1 || level > win.level {
		win.level = level
	}
	if win.missed == 1 {
		start := win.start
		time.AfterFunc(start.Add(windowTime+summaryDelay).Sub(now), func() { l.summarize(kind, start) })
	}
	return 0, false
}

// summarize tells what was left out in the window that began at start, unless a line
// has done so. It runs in a goroutine of its own, in which a panic, of the user's
// slog.Handler, would end the process.
func (l *Log) summarize(kind string, start time.Time) {
	defer func() { _ = recover() }()
	l.mu.Lock()
	win := l.windows[kind]
	missed, level := win.missed, win.level
	told := win.start != start
	if !told {
		win.missed = 0
	}
	l.mu.Unlock()
	if !told {
		l.Logger().LogAttrs(context.Background(), level, l.Summary, slog.String(l.Kind, kind), slog.Int(missedAttr, missed))
	}
}
