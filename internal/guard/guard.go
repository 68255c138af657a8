// Package guard runs code of the user's where a panic would do more harm than an error:
// on goroutines of ours it would end the process and not a request.
package guard

import (
	"fmt"
	"log/slog"
)

const most = 300 // characters of what it panicked with

// Run calls f and logs what it panics with. The logger may be what panics.
func Run(logger func() *slog.Logger, f func()) {
	if text, ok := caught(f); ok {
		defer func() { _ = recover() }()
		logger().Error("logto: panic in a logger, an observer, a store or a transport", "panic", text)
	}
}

// Call calls f. What it panics with is an error.
func Call(f func() error) (err error) {
	if text, ok := caught(func() { err = f() }); ok {
		return fmt.Errorf("panic: %s", text)
	}
	return err
}

func caught(f func()) (text string, ok bool) {
	defer func() {
		if p := recover(); p != nil {
			text, ok = fmt.Sprintf("%.*s", most, fmt.Sprint(p)), true
		}
	}()
	f()
	return "", false
}
