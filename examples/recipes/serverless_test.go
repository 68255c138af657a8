package recipes

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambdaurl"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/logtotest"
)

// TestMain is the program of TestLambdaRuntime, if the environment says so.
func TestMain(m *testing.M) {
	if endpoint := os.Getenv("RECIPES_LAMBDA_ENDPOINT"); endpoint != "" {
		lambdaMain(logto.Config{Endpoint: endpoint, Audiences: []string{logtotest.Audience}})
	}
	os.Exit(m.Run())
}

func event(path string, headers map[string]string) *events.LambdaFunctionURLRequest {
	e := &events.LambdaFunctionURLRequest{Version: "2.0", RawPath: path, Headers: headers}
	e.RequestContext.DomainName = "abc.lambda-url.eu-west-1.on.aws"
	e.RequestContext.HTTP = events.LambdaFunctionURLRequestContextHTTPDescription{Method: "GET", Path: path, Protocol: "HTTP/1.1"}
	return e
}

func TestLambda(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	handle := lambdaurl.Wrap(newAPI(newVerifier(t, issuer.Config())))
	good := "Bearer " + issuer.Token(logtotest.Token{User: "alice"})
	for _, test := range []struct {
		name            string
		headers         map[string]string
		status          int
		challenge, body string
	}{
		{"no token", nil, 401, realm, ""},
		{"expired", map[string]string{"authorization": "Bearer " + issuer.Token(logtotest.Token{ExpiresIn: -time.Hour})}, 401,
			realm + `, error="invalid_token", error_description="The access token expired"`, ""},
		{"two tokens, which an event joins", map[string]string{"authorization": good + "," + good}, 400, realm + `, error="invalid_request"`, ""},
		{"good", map[string]string{"authorization": good}, 200, "", "Hello, alice!"},
	} {
		t.Run(test.name, func(t *testing.T) {
			res, err := handle(t.Context(), event("/api/hello", test.headers))
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(res.Body)
			if err != nil || res.StatusCode != test.status || res.Headers["Www-Authenticate"] != test.challenge || test.body != "" && string(body) != test.body {
				t.Errorf("got %d, %v, %s, %v", res.StatusCode, res.Headers, body, err)
			}
		})
	}
}

// TestLambdaRuntime runs the program beside a runtime API as Lambda's: the keys are there
// before the first event, and are fetched once for all events.
func TestLambdaRuntime(t *testing.T) {
	issuer := logtotest.NewServer(t)
	headers := map[string]string{"authorization": "Bearer " + issuer.Token(logtotest.Token{User: "alice"})}
	answers := make(chan string)
	next := make(chan *events.LambdaFunctionURLRequest)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", func(w http.ResponseWriter, r *http.Request) {
		select {
		case e := <-next:
			w.Header().Set("Lambda-Runtime-Aws-Request-Id", "id")
			w.Header().Set("Lambda-Runtime-Deadline-Ms", "4102444800000")
			_ = json.NewEncoder(w).Encode(e)
		case <-r.Context().Done():
		}
	})
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/id/response", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.WriteHeader(http.StatusAccepted)
		answers <- string(body)
	})
	runtime := httptest.NewServer(mux)
	defer runtime.Close()

	var output bytes.Buffer
	program := exec.CommandContext(t.Context(), os.Args[0])
	program.Env = append(os.Environ(), "RECIPES_LAMBDA_ENDPOINT="+issuer.Endpoint(), "AWS_LAMBDA_RUNTIME_API="+strings.TrimPrefix(runtime.URL, "http://"))
	program.Stdout, program.Stderr = &output, &output
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = program.Wait(); close(ended) }()
	defer func() {
		_ = program.Process.Kill()
		<-ended
	}()
	for _, test := range []struct {
		headers map[string]string
		want    []string
	}{
		{nil, []string{`"statusCode":401`, `"Www-Authenticate":"Bearer realm=`}},
		{headers, []string{`"statusCode":200`, "Hello, alice!"}},
		{headers, []string{`"statusCode":200`, "Hello, alice!"}},
	} {
		select {
		case next <- event("/api/hello", test.headers):
		case <-ended:
			t.Fatalf("the program ended: %s", &output)
		}
		if fetches := issuer.Fetches(); fetches != 1 {
			t.Errorf("%d fetches of the key set", fetches)
		}
		select {
		case got := <-answers:
			for _, want := range test.want {
				if !strings.Contains(got, want) {
					t.Errorf("got %q, want %q in it", got, want)
				}
			}
		case <-ended:
			t.Fatalf("the program ended: %s", &output)
		}
	}
}

func TestCloudRun(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	issuer.Fail(logtotest.Status(503))
	v := newVerifier(t, issuer.Config())
	for port, want := range map[string]string{"": ":8080", "9090": ":9090"} {
		t.Setenv("PORT", port)
		if got := newServer(v).Addr; got != want {
			t.Errorf("address %s, want %s", got, want)
		}
	}
	h := newServer(v).Handler
	expect(t, h, []expectation{{"no keys", "GET", "/readyz", nil, 503, nil, "no keys"}})

	issuer = logtotest.NewIssuer(t)
	v = newVerifier(t, issuer.Config())
	if err := v.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	expect(t, newServer(v).Handler, []expectation{
		{"ready", "GET", "/readyz", nil, 200, nil, ""},
		{"no token", "GET", "/api/hello", nil, 401, nil, ""},
		{"good", "GET", "/api/hello", bearer(issuer, logtotest.Token{User: "alice"}), 200, nil, "Hello, alice!"},
	})
}
