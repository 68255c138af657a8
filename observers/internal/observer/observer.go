// Package observer adds an observer to a configuration: one that was set is still called,
// first.
package observer

import (
	"context"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/revocation"
)

// Add adds f to the Observer of a Config.
func Add(cfg *logto.Config, f func(context.Context, logto.Event)) {
	before := cfg.Observer
	if before == nil {
		cfg.Observer = f
		return
	}
	cfg.Observer = func(ctx context.Context, e logto.Event) {
		before(ctx, e)
		f(ctx, e)
	}
}

// AddRevocations does it for a list.
func AddRevocations(cfg *revocation.Config, f func(revocation.Event)) {
	before := cfg.Observer
	if before == nil {
		cfg.Observer = f
		return
	}
	cfg.Observer = func(e revocation.Event) {
		before(e)
		f(e)
	}
}
