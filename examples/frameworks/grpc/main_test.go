package main

import (
	"context"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/examples/frameworks/grpc/hellopb"
	"github.com/seed-70fe37f4/logto/examples/frameworks/internal/contract"
)

// answers are the HTTP statuses of the contract as gRPC has them: the code and
// the whole text that the client sees.
var answers = map[int]*status.Status{
	200: status.New(codes.OK, ""),
	400: status.New(codes.Unauthenticated, "a valid access token is needed"),
	401: status.New(codes.Unauthenticated, "a valid access token is needed"),
	403: status.New(codes.PermissionDenied, "the access token does not permit this"),
	503: status.New(codes.Unavailable, "the access token can't be checked now"),
}

func TestContract(t *testing.T) {
	for _, kind := range []string{"unary", "stream"} {
		t.Run(kind, func(t *testing.T) {
			// Both kinds behind the scope, to have every case for each.
			scopes[hellopb.Greeter_Hello_FullMethodName] = contract.Scope
			t.Cleanup(func() { delete(scopes, hellopb.Greeter_Hello_FullMethodName) })
			contract.Run(t, []string{contract.Chain}, func(t *testing.T, v *logto.Verifier, ran *contract.Ran) contract.Send {
				client := start(t, v,
					grpc.ChainUnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
						ran.CountMiddleware()
						ran.Greet("")
						return handler(ctx, req)
					}),
					grpc.ChainStreamInterceptor(func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
						ran.CountMiddleware()
						ran.Greet("")
						return handler(srv, ss)
					}))
				return func(t *testing.T, c contract.Case, _ string) (int, string) {
					ctx := metadata.NewOutgoingContext(t.Context(), metadata.MD{"authorization": c.Authorization})
					var greeting *hellopb.Greeting
					var err error
					if kind == "unary" {
						greeting, err = client.Hello(ctx, &hellopb.HelloRequest{})
					} else {
						var stream grpc.ServerStreamingClient[hellopb.Greeting]
						if stream, err = client.Things(ctx, &hellopb.HelloRequest{}); err == nil {
							greeting, err = stream.Recv()
						}
					}
					got, want := status.Convert(err), answers[c.Status]
					if got.Code() != want.Code() || got.Message() != want.Message() || len(got.Details()) > 0 {
						t.Errorf("got %v, want %v", got, want)
						return 0, ""
					}
					return c.Status, greeting.GetMessage()
				}
			})
		})
	}
}

func start(t *testing.T, v *logto.Verifier, opts ...grpc.ServerOption) hellopb.GreeterClient {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := newServer(v, opts...)
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		server.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return hellopb.NewGreeterClient(conn)
}
