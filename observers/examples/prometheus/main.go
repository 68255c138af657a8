// Prometheus is an API whose checks of access tokens are metrics at /metrics, and what
// its revocation list is told by webhooks. It brings an issuer of its own and prints
// commands to try it with:
//
//	go run ./examples/prometheus
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/observers/examples/internal/demo"
	"github.com/seed-70fe37f4/logto/observers/promlogto"
	"github.com/seed-70fe37f4/logto/revocation"
)

const webhookPath = "/logto/webhook"

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "address to listen on; port 0 takes a free one")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *addr, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, addr string, out io.Writer) error {
	issuer, err := demo.Issuer(ctx)
	if err != nil {
		return err
	}
	registry := prometheus.NewRegistry() // or prometheus.DefaultRegisterer

	var listConfig revocation.Config
	revocations, err := promlogto.InstrumentRevocations(&listConfig, registry)
	if err != nil {
		return err
	}
	list, err := revocation.New(listConfig)
	if err != nil {
		return err
	}
	revocations.Watch(list)

	cfg := issuer.Config()
	cfg.Logger = nil // slog.Default(): the issuer's is silent, for tests
	cfg.Revoked = list.Check
	metrics, err := promlogto.Instrument(&cfg, registry)
	if err != nil {
		return err
	}
	v, err := logto.New(cfg)
	if err != nil {
		return err
	}
	metrics.Watch(v)

	api := demo.API(v)
	api.Handle("POST "+webhookPath, list.Webhook(issuer.SigningKey()))
	// In a service: on a port that the internet doesn't reach.
	api.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))

	listener, url, err := demo.Listen(addr)
	if err != nil {
		return err
	}
	demo.Print(out, url, issuer)
	if err := demo.PrintSuspension(out, url, webhookPath, issuer); err != nil {
		return err
	}
	fmt.Fprintf(out, "# 200: the metrics\ncurl -s %s/metrics\n\nCtrl-C stops it.\n", url)
	return demo.Serve(ctx, listener, api)
}
