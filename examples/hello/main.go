// Hello is the smallest API that accepts Logto access tokens.
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"

	"github.com/seed-70fe37f4/logto"
)

func main() {
	v, err := logto.New(logto.Config{
		Endpoint:  os.Getenv("LOGTO_ENDPOINT"),           // https://tenant.logto.app
		Audiences: []string{os.Getenv("LOGTO_AUDIENCE")}, // https://api.example.com
	})
	if err != nil {
		log.Fatal(err)
	}

	hello := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "Hello, %s!\n", logto.UserID(r.Context()))
	})
	http.Handle("GET /api/hello", logto.Require(v)(hello))
	log.Fatal(http.ListenAndServe("127.0.0.1:8080", nil))
}
