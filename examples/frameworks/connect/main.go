// A Connect service: Require around its handler, before a message is read, and
// refusals as Connect errors, in whichever of the three protocols the client speaks.
package main

import (
	"context"
	"errors"
	"log"
	"maps"
	"net/http"
	"os"
	"time"

	"connectrpc.com/connect"
	connectcors "connectrpc.com/cors"
	"github.com/rs/cors"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/examples/frameworks/grpc/hellopb"
	"github.com/seed-70fe37f4/logto/examples/frameworks/grpc/hellopb/hellopbconnect"
)

// page is the origin of the browsers' page.
const page = "http://localhost:5173"

func main() {
	v, err := logto.New(logto.Config{
		Endpoint:     os.Getenv("LOGTO_ENDPOINT"),
		Audiences:    []string{os.Getenv("LOGTO_AUDIENCE")},
		ErrorHandler: refuse,
	})
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Addr: "127.0.0.1:8080", Handler: newHandler(v), ReadHeaderTimeout: 5 * time.Second}
	server.Protocols = new(http.Protocols)
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true) // gRPC wants HTTP/2
	log.Print("http://", server.Addr, " without TLS: for other addresses, take ListenAndServeTLS, or everybody can read the tokens")
	log.Fatal(server.ListenAndServe())
}

// procedures says what each asks for besides a token. One that isn't here is
// served to nobody.
var procedures = map[string][]logto.Requirement{
	hellopbconnect.GreeterHelloProcedure:  nil,
	hellopbconnect.GreeterThingsProcedure: {logto.Scopes("read:things")},
}

// newHandler needs a verifier with refuse as its ErrorHandler.
func newHandler(v *logto.Verifier, opts ...connect.HandlerOption) http.Handler {
	_, service := hellopbconnect.NewGreeterHandler(greeter{}, opts...)
	mux := http.NewServeMux()
	for procedure, requirements := range procedures {
		mux.Handle(procedure, logto.Require(v, requirements...)(service))
	}
	return cors.New(cors.Options{
		AllowedOrigins: []string{page},
		AllowedMethods: connectcors.AllowedMethods(),
		AllowedHeaders: append(connectcors.AllowedHeaders(), "Authorization"),
		ExposedHeaders: append(connectcors.ExposedHeaders(), "WWW-Authenticate", "Retry-After"),
		MaxAge:         600,
	}).Handler(mux)
}

// errorWriter takes the handlers' options, if they have any that change the codecs.
var errorWriter = connect.NewErrorWriter()

// refuse is a logto.Config's ErrorHandler. If the verifier stands before handlers of
// another kind, too, ask errorWriter.IsSupported, and leave those to logto.WriteError.
func refuse(w http.ResponseWriter, r *http.Request, err error) {
	answer := logto.AnswerTo(r, err)
	// These belong into the header, where clients of all protocols have them in the
	// error's Meta. Set in Meta here, or by an interceptor, they would be trailers of
	// gRPC, and net/http sends no WWW-Authenticate in a trailer (RFC 9110 section 6.5.1).
	maps.Copy(w.Header(), answer.Header)
	var code connect.Code
	switch answer.Status {
	case http.StatusBadRequest, http.StatusUnauthorized: // a malformed header is no invalid argument
		code = connect.CodeUnauthenticated
	case http.StatusForbidden:
		code = connect.CodePermissionDenied
	case http.StatusServiceUnavailable:
		code = connect.CodeUnavailable
	default:
		code = connect.CodeInternal
	}
	// The client may have gone; there is nobody to tell.
	_ = errorWriter.Write(w, r, connect.NewError(code, errors.New(answer.Description)))
}

type greeter struct{}

func (greeter) Hello(ctx context.Context, _ *hellopb.HelloRequest) (*hellopb.Greeting, error) {
	return greeting(ctx), nil
}

// Things is a stream: its token was checked when it began. One that lives long can
// outlive the token: end it at claims.ExpiresAt, as ../websocket does.
func (greeter) Things(ctx context.Context, _ *hellopb.HelloRequest, stream *connect.ServerStream[hellopb.Greeting]) error {
	return stream.Send(greeting(ctx))
}

func greeting(ctx context.Context) *hellopb.Greeting {
	return &hellopb.Greeting{Message: "Hello, " + logto.UserID(ctx) + "!"}
}
