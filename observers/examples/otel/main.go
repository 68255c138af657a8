// Otel is an API that exports the metrics of its checks of access tokens, and
// spans with an event for a refusal, to the standard output. It brings an issuer
// of its own and prints commands to try it with:
//
//	go run ./examples/otel
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/observers/examples/internal/demo"
	"github.com/seed-70fe37f4/logto/observers/otellogto"
	"go.opentelemetry.io/otel/exporters/stdout/stdoutmetric"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "address to listen on; port 0 takes a free one")
	every := flag.Duration("every", 10*time.Second, "time between two exports of the metrics")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *addr, *every, os.Stdout, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// run serves until ctx ends. It prints commands to out and exports to telemetry.
func run(ctx context.Context, addr string, every time.Duration, out, telemetry io.Writer) (err error) {
	metricExporter, err := stdoutmetric.New(stdoutmetric.WithWriter(telemetry))
	if err != nil {
		return err
	}
	traceExporter, err := stdouttrace.New(stdouttrace.WithWriter(telemetry))
	if err != nil {
		return err
	}
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewPeriodicReader(metricExporter, sdkmetric.WithInterval(every))))
	tracers := sdktrace.NewTracerProvider(sdktrace.WithBatcher(traceExporter, sdktrace.WithBatchTimeout(time.Second)))
	defer func() {
		timeout, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		err = errors.Join(err, tracers.Shutdown(timeout), meters.Shutdown(timeout))
	}()

	issuer, err := demo.Issuer(ctx)
	if err != nil {
		return err
	}
	cfg := issuer.Config()
	cfg.Logger = nil // slog.Default(): the issuer's is silent, for tests
	metrics, err := otellogto.Instrument(&cfg, meters)
	if err != nil {
		return err
	}
	v, err := logto.New(cfg)
	if err != nil {
		return err
	}
	metrics.Watch(v)

	listener, url, err := demo.Listen(addr)
	if err != nil {
		return err
	}
	demo.Print(out, url, issuer)
	fmt.Fprintf(out, "Ctrl-C stops it. Spans are exported after a second, metrics every %v, all of them at the end:\n", every)
	return demo.Serve(ctx, listener, spans(tracers.Tracer("example"), demo.API(v)))
}

// spans begins a span for each request, around logto.Require. In a service that
// is the work of otelhttp.
func spans(tracer trace.Tracer, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, span := tracer.Start(r.Context(), r.Method, trace.WithSpanKind(trace.SpanKindServer))
		defer span.End()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}
