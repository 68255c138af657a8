package main

import (
	"testing"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/examples/frameworks/internal/contract"
)

func TestContract(t *testing.T) {
	contract.HTTP(t, func(t *testing.T, v *logto.Verifier, ran *contract.Ran) string {
		r := newHandler(v)
		s := r.NewRoute().Subrouter()
		s.Use(logto.Require(v, logto.Scopes(contract.Scope)), ran.Middleware)
		s.Handle(contract.Chain, ran)
		return contract.Serve(t, r)
	})
}
