// Package guard runs code of the user's on goroutines of ours, where a panic would end
// the process and not a request.
package guard

import (
	"fmt"
	"log/slog"
)

const most = 300 // characters of what it panicked with

// Run calls f and logs what it panics with. The logger may be what panics.
func Run(logger func() *slog.Logger, f func()) {
	defer func() {
		if p := recover(); p != nil {
			defer func() { _ = recover() }()
			logger().Error("logto: panic in a logger, an observer, a store or a transport", "panic", fmt.Sprintf("%.*s", most, fmt.Sprint(p)))
		}
	}()
	f()
}
