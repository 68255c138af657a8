// An API on AWS Lambda, and the same on Cloud Run.

package recipes

import (
	"cmp"
	"context"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambdaurl"

	"github.com/seed-70fe37f4/logto"
)

func newAPI(v *logto.Verifier) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /api/hello", logto.Require(v)(hello))
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if v.Ready() != nil {
			http.Error(w, "no keys", http.StatusServiceUnavailable)
		}
	})
	return mux
}

func newServer(v *logto.Verifier) *http.Server {
	return &http.Server{
		Addr:              ":" + cmp.Or(os.Getenv("PORT"), "8080"),
		Handler:           newAPI(v),
		ReadHeaderTimeout: 10 * time.Second,
	}
}

// lambdaMain is the main of a program on Lambda.
func lambdaMain(cfg logto.Config) {
	v, err := logto.New(cfg) // once for the process, not for each event
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	_ = v.Refresh(ctx) // so that no request waits for the keys; if it fails, the first one tries again
	cancel()
	lambdaurl.Start(newAPI(v))
}
