package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/examples/frameworks/grpc/hellopb"
	"github.com/seed-70fe37f4/logto/examples/frameworks/grpc/hellopb/hellopbconnect"
	"github.com/seed-70fe37f4/logto/examples/frameworks/internal/contract"
	"github.com/seed-70fe37f4/logto/logtotest"
)

// answers are the HTTP statuses of the contract as Connect has them: the code and
// all texts that a client may see.
var answers = map[int]struct {
	code     connect.Code
	messages []string
}{
	400: {connect.CodeUnauthenticated, []string{"The Authorization header is malformed"}},
	401: {connect.CodeUnauthenticated, []string{"An access token is needed", "The access token is not valid", "The access token expired"}},
	403: {connect.CodePermissionDenied, []string{"The access token does not permit this", "The access token lacks a scope"}},
	503: {connect.CodeUnavailable, []string{"The access token can't be checked now"}},
}

var protocols = []struct {
	name   string
	option connect.ClientOption
}{
	{"connect", connect.WithClientOptions()},
	{"connect with JSON", connect.WithProtoJSON()},
	{"gRPC", connect.WithGRPC()},
	{"gRPC-Web", connect.WithGRPCWeb()},
}

func TestContract(t *testing.T) {
	for _, protocol := range protocols {
		t.Run(protocol.name, func(t *testing.T) {
			for _, kind := range []string{"unary", "stream"} {
				t.Run(kind, func(t *testing.T) {
					// Both kinds behind the scope, to have every case for each.
					asks(t, hellopbconnect.GreeterHelloProcedure, logto.Scopes(contract.Scope))
					contract.Run(t, []string{contract.Chain}, func(t *testing.T, v *logto.Verifier, ran *contract.Ran) contract.Send {
						client := hellopbconnect.NewGreeterClient(h2c(t), serve(t, newHandler(v, connect.WithInterceptors(counter{ran}))), protocol.option)
						return func(t *testing.T, c contract.Case, _ string) (int, string) {
							message, err := call(t, client, kind, c.Authorization)
							if err == nil {
								return 200, message
							}
							checkError(t, c, err)
							return c.Status, ""
						}
					}, func(cfg *logto.Config) { cfg.ErrorHandler = refuse })
				})
			}
		})
	}
}

// asks changes what a procedure asks for, until the test ends.
func asks(t *testing.T, procedure string, requirements ...logto.Requirement) {
	before := procedures[procedure]
	procedures[procedure] = requirements
	t.Cleanup(func() { procedures[procedure] = before })
}

// serve is an http.Server of main.
func serve(t *testing.T, h http.Handler) string {
	server := httptest.NewUnstartedServer(h)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	return server.URL
}

// h2c is a client that speaks HTTP/2 without TLS.
func h2c(t *testing.T) *http.Client {
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// call gives the greeting of a unary call or of a stream.
func call(t *testing.T, client hellopbconnect.GreeterClient, kind string, authorization []string) (string, error) {
	ctx, info := connect.NewClientContext(t.Context())
	info.RequestHeader()["Authorization"] = authorization
	if kind == "unary" {
		greeting, err := client.Hello(ctx, &hellopb.HelloRequest{})
		return greeting.GetMessage(), err
	}
	stream, err := client.Things(ctx, &hellopb.HelloRequest{})
	if err != nil {
		return "", err
	}
	defer stream.Close()
	if !stream.Receive() {
		return "", stream.Err()
	}
	return stream.Msg().GetMessage(), nil
}

// checkError checks all that a client finds out about a refused call.
func checkError(t *testing.T, c contract.Case, err error) {
	t.Helper()
	want, known := answers[c.Status]
	var refused *connect.Error
	if !known || !errors.As(err, &refused) {
		t.Errorf("got %v, want status %d", err, c.Status)
		return
	}
	// A wire error was sent as such: its code is not guessed from a status of HTTP.
	if refused.Code() != want.code || !slices.Contains(want.messages, refused.Message()) || !connect.IsWireError(err) || len(refused.Details()) > 0 {
		t.Errorf("got %v (wire error: %v, %d details), want %v", err, connect.IsWireError(err), len(refused.Details()), want)
	}
	contract.CheckHeader(t, c, refused.Meta())
	if c.Status == 400 && !strings.HasSuffix(refused.Meta().Get("WWW-Authenticate"), c.Challenge) {
		t.Errorf("challenge: got %q, want %q at its end", refused.Meta().Get("WWW-Authenticate"), c.Challenge)
	}
	if got := refused.Meta().Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control: got %q, want no-store", got)
	}
}

// counter counts the calls that reach the interceptors.
type counter struct{ ran *contract.Ran }

func (c counter) count() {
	c.ran.CountMiddleware()
	c.ran.Greet("")
}

func (c counter) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		c.count()
		return next(ctx, req)
	}
}

func (c counter) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		c.count()
		return next(ctx, conn)
	}
}

func (c counter) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// start is the program on an issuer's tokens.
func start(t *testing.T, issuer *logtotest.Issuer) string {
	t.Helper()
	cfg := issuer.Config()
	cfg.Logger = slog.New(slog.DiscardHandler)
	cfg.ErrorHandler = refuse
	v, err := logto.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, newHandler(v))
}

// TestProcedures: what nobody has said the requirements of is served to nobody, and
// every other procedure of the service has them.
func TestProcedures(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	good := []string{"Bearer " + issuer.Token(logtotest.Token{Scopes: []string{contract.Scope}})}
	hello := procedures[hellopbconnect.GreeterHelloProcedure]
	delete(procedures, hellopbconnect.GreeterHelloProcedure)
	url := start(t, issuer)
	procedures[hellopbconnect.GreeterHelloProcedure] = hello
	client := hellopbconnect.NewGreeterClient(h2c(t), url)
	if _, err := call(t, client, "unary", good); connect.CodeOf(err) != connect.CodeUnimplemented {
		t.Errorf("not listed: got %v, want %v", err, connect.CodeUnimplemented)
	}
	methods := hellopb.File_hello_proto.Services().ByName("Greeter").Methods()
	for i := range methods.Len() {
		procedure := "/" + hellopbconnect.GreeterName + "/" + string(methods.Get(i).Name())
		if _, ok := procedures[procedure]; !ok {
			t.Errorf("%s is not listed", procedure)
		}
	}
	client = hellopbconnect.NewGreeterClient(h2c(t), start(t, issuer))
	lacking := []string{"Bearer " + issuer.Token(logtotest.Token{User: "alice"})}
	if _, err := call(t, client, "stream", lacking); connect.CodeOf(err) != connect.CodePermissionDenied {
		t.Errorf("Things without the scope: got %v, want %v", err, connect.CodePermissionDenied)
	}
	if message, err := call(t, client, "unary", lacking); message != "Hello, alice!" || err != nil {
		t.Errorf("Hello without the scope: got %q, %v", message, err)
	}
}

// TestGRPC: what a client of another library finds, which reads gRPC's own status and
// its header metadata.
func TestGRPC(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	conn, err := grpc.NewClient(strings.TrimPrefix(start(t, issuer), "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := hellopb.NewGreeterClient(conn)
	realm := `Bearer realm="https://logto.example.test/oidc"`
	for _, test := range []struct {
		name, authorization string
		code                codes.Code
		challenge           []string
	}{
		{"no token", "", codes.Unauthenticated, []string{realm + `, scope="read:things"`}},
		{"scope missing", "Bearer " + issuer.Token(logtotest.Token{User: "alice"}), codes.PermissionDenied,
			[]string{realm + `, error="insufficient_scope", scope="read:things"`}},
		{"good", "Bearer " + issuer.Token(logtotest.Token{User: "alice", Scopes: []string{contract.Scope}}), codes.OK, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", test.authorization)
			stream, err := client.Things(ctx, &hellopb.HelloRequest{})
			if err != nil {
				t.Fatal(err)
			}
			header, _ := stream.Header() // the error comes again
			greeting, err := stream.Recv()
			if status.Code(err) != test.code || (err == nil) != (greeting.GetMessage() == "Hello, alice!") {
				t.Errorf("got %q, %v, want %v", greeting.GetMessage(), err, test.code)
			}
			if got := header.Get("www-authenticate"); !slices.Equal(got, test.challenge) {
				t.Errorf("challenge: got %q, want %q", got, test.challenge)
			}
		})
	}
}

// TestHTTP: a unary call of Connect's is plain HTTP, for curl and for pages of another
// origin, which may read why they were refused.
func TestHTTP(t *testing.T) {
	const allow, expose = "Access-Control-Allow-", "Access-Control-Expose-Headers"
	issuer := logtotest.NewIssuer(t)
	url := start(t, issuer) + hellopbconnect.GreeterHelloProcedure
	preflight := func(origin string) map[string]string {
		return map[string]string{"Origin": origin, "Access-Control-Request-Method": "POST",
			"Access-Control-Request-Headers": "authorization,connect-protocol-version,content-type"}
	}
	exposed := "Grpc-Status, Grpc-Message, Grpc-Status-Details-Bin, Www-Authenticate, Retry-After"
	for _, test := range []struct {
		name, method string
		header       map[string]string
		status       int
		body         string
		want         map[string]string
	}{
		{"no token", "POST", map[string]string{"Origin": page}, 401, `{"code":"unauthenticated","message":"An access token is needed"}`,
			map[string]string{allow + "Origin": page, expose: exposed, "WWW-Authenticate": `Bearer realm="https://logto.example.test/oidc"`}},
		{"preflight of another page", "OPTIONS", preflight("https://evil.example.test"), 204, "",
			map[string]string{allow + "Origin": "", allow + "Headers": ""}},
		{"preflight", "OPTIONS", preflight(page), 204, "",
			map[string]string{allow + "Origin": page, allow + "Methods": "POST", allow + "Headers": "authorization,connect-protocol-version,content-type"}},
		{"good", "POST", map[string]string{"Origin": page, "Authorization": "Bearer " + issuer.Token(logtotest.Token{User: "alice"})},
			200, `{"message":"Hello, alice!"}`, map[string]string{allow + "Origin": page}},
	} {
		t.Run(test.name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), test.method, url, strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			for name, value := range test.header {
				req.Header.Set(name, value)
			}
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			if err != nil || res.StatusCode != test.status || string(body) != test.body {
				t.Errorf("got %d %q, %v, want %d %q", res.StatusCode, body, err, test.status, test.body)
			}
			for name, want := range test.want {
				if got := res.Header.Get(name); got != want {
					t.Errorf("%s: got %q, want %q", name, got, want)
				}
			}
		})
	}
}
