// A service with Prometheus' metrics.
package main

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/logtotest"
	"github.com/seed-70fe37f4/logto/observers/promlogto"
)

func TestMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	issuer := logtotest.NewIssuer(t)
	cfg := issuer.Config()
	metrics, err := promlogto.Instrument(&cfg, registry)
	if err != nil {
		t.Fatal(err)
	}
	v, err := logto.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	metrics.Watch(v)
	if _, err := v.Verify(t.Context(), issuer.Token(logtotest.Token{})); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil || len(families) == 0 {
		t.Errorf("%d families, error %v", len(families), err)
	}
}
