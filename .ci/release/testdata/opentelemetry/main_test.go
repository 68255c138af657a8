// A service with OpenTelemetry's metrics. The SDK is the service's own choice.
package main

import (
	"testing"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/logtotest"
	"github.com/seed-70fe37f4/logto/observers/otellogto"
	"go.opentelemetry.io/otel"
)

func TestMetrics(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	cfg := issuer.Config()
	metrics, err := otellogto.Instrument(&cfg, otel.GetMeterProvider())
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
}
