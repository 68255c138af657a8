// An API with gorilla/mux: Require goes straight into Use, of the router and of a
// subrouter.
package main

import (
	"encoding/json"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/gorilla/mux"

	"github.com/seed-70fe37f4/logto"
)

func main() {
	v, err := logto.New(logto.Config{
		Endpoint:  os.Getenv("LOGTO_ENDPOINT"),
		Audiences: []string{os.Getenv("LOGTO_AUDIENCE")},
	})
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Addr: "127.0.0.1:8080", Handler: newHandler(v), ReadHeaderTimeout: 5 * time.Second}
	log.Print("http://", server.Addr, "/api/hello")
	log.Fatal(server.ListenAndServe())
}

func newHandler(v *logto.Verifier) *mux.Router {
	r := mux.NewRouter()
	r.Use(logto.Require(v))
	r.HandleFunc("/api/hello", hello).Methods("GET")

	things := r.NewRoute().Subrouter()
	things.Use(logto.Require(v, logto.Scopes("read:things")))
	things.HandleFunc("/api/things", hello).Methods("GET")
	return r
}

func hello(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]string{"message": "Hello, " + logto.UserID(r.Context()) + "!"})
}
