// A gRPC service: an interceptor for each kind of call, around Verify.
package main

import (
	"context"
	"errors"
	"log"
	"log/slog"
	"net"
	"os"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/examples/frameworks/grpc/hellopb"
)

func main() {
	v, err := logto.New(logto.Config{
		Endpoint:  os.Getenv("LOGTO_ENDPOINT"),
		Audiences: []string{os.Getenv("LOGTO_AUDIENCE")},
	})
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:8080")
	if err != nil {
		log.Fatal(err)
	}
	log.Print(listener.Addr(), " without TLS: for other addresses, add grpc.Creds, or everybody can read the tokens")
	log.Fatal(newServer(v).Serve(listener))
}

// newServer puts the interceptors before those of opts. Every method needs a
// token, reflection too; scopes says which need more.
func newServer(v *logto.Verifier, opts ...grpc.ServerOption) *grpc.Server {
	s := grpc.NewServer(append([]grpc.ServerOption{
		grpc.ChainUnaryInterceptor(unary(v)),
		grpc.ChainStreamInterceptor(stream(v)),
	}, opts...)...)
	hellopb.RegisterGreeterServer(s, greeter{})
	reflection.Register(s)
	return s
}

var scopes = map[string]string{
	hellopb.Greeter_Things_FullMethodName: "read:things",
}

func unary(v *logto.Verifier) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		ctx, err := authenticate(ctx, v, info.FullMethod)
		if err != nil {
			return nil, err
		}
		return handler(ctx, req)
	}
}

// stream checks the token when a stream begins. One that lives long can outlive
// it: let the handler end it at claims.ExpiresAt, as ../websocket does.
func stream(v *logto.Verifier) grpc.StreamServerInterceptor {
	return func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		ctx, err := authenticate(ss.Context(), v, info.FullMethod)
		if err != nil {
			return err
		}
		return handler(srv, authenticated{ss, ctx})
	}
}

// authenticated is a stream whose context has the claims.
type authenticated struct {
	grpc.ServerStream
	ctx context.Context
}

func (s authenticated) Context() context.Context { return s.ctx }

// authenticate returns the context for the handler, or the status for the
// client. The texts of a status are fixed: what Verify says is for the log.
func authenticate(ctx context.Context, v *logto.Verifier, method string) (context.Context, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	claims, err := v.Verify(ctx, bearer(md.Get("authorization")))
	if err != nil {
		slog.InfoContext(ctx, "call refused", "method", method, "reason", logto.Reason(err), "error", err)
	}
	switch {
	case err == nil:
	case errors.Is(err, logto.ErrNoToken), errors.Is(err, logto.ErrInvalidToken):
		return nil, status.Error(codes.Unauthenticated, "a valid access token is needed")
	default:
		// The keys are missing, or the caller has left: nothing is known of the
		// token, and the client shall not sign in again.
		return nil, status.Error(codes.Unavailable, "the access token can't be checked now")
	}
	// HasScope is false for a token that is bound to an organization. For a method
	// that belongs to one, ask claims.HasScopeIn with the one in the request instead.
	if scope := scopes[method]; scope != "" && !claims.HasScope(scope) {
		slog.InfoContext(ctx, "call refused", "method", method, "reason", "missing_scope", "want", scope)
		return nil, status.Error(codes.PermissionDenied, "the access token does not permit this")
	}
	return logto.NewContext(ctx, claims), nil
}

// bearer takes the token from the metadata authorization; "" if there is none,
// or more than one, so that it isn't said here which one counts.
func bearer(values []string) string {
	if len(values) != 1 {
		return ""
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return token
}

type greeter struct {
	hellopb.UnimplementedGreeterServer
}

func (greeter) Hello(ctx context.Context, _ *hellopb.HelloRequest) (*hellopb.Greeting, error) {
	return &hellopb.Greeting{Message: "Hello, " + logto.UserID(ctx) + "!"}, nil
}

func (greeter) Things(_ *hellopb.HelloRequest, ss grpc.ServerStreamingServer[hellopb.Greeting]) error {
	return ss.Send(&hellopb.Greeting{Message: "Hello, " + logto.UserID(ss.Context()) + "!"})
}
