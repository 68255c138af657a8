package emulator

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// Whatever is taken for a loopback address is one for a browser too, which reads
// addresses in its own way.
func FuzzRedirect(f *testing.F) {
	for _, uri := range []string{
		"http://localhost:5173/callback", "http://localhost", "http://localhost/", "http://localhost?x", "http://localhost:1@evil.example/", "http://localhost:@evil.example/",
		`http://localhost\@evil.example/`, "http://localhost\t.evil.example/", "http://localhost%2eevil.example/", "http://localhost:80#@evil.example/", "http:localhost/", "http:/localhost/",
		"http:///localhost/", "http://localhost:99999999/", "http://localhost:-1/", "HTTP://localhost/", "http://LOCALHOST/", "http://localhost./", "http://localhost/*", "http://[localhost]/",
	} {
		f.Add(uri)
	}
	authority := regexp.MustCompile(`^localhost(:[0-9]*)?$`)
	f.Fuzz(func(t *testing.T, uri string) {
		if registered([]string{"http://localhost:5173/callback"}, uri) != (uri == "http://localhost:5173/callback") {
			t.Errorf("%q for an exact one", uri)
		}
		if !registered([]string{"http://localhost:*/*"}, uri) {
			return
		}
		rest, ok := strings.CutPrefix(uri, "http://")
		end := strings.IndexAny(rest, `/?#\`)
		if end < 0 {
			end = len(rest)
		}
		if !ok || !authority.MatchString(rest[:end]) || strings.ContainsAny(uri, "\\#\t\r\n ") {
			t.Errorf("%q is taken", uri)
		}
	})
}

// A template in which ${ is not closed, or leads nowhere, is text.
func FuzzTemplate(f *testing.F) {
	for _, text := range []string{"", "${", "${}", "${a}", "x${a.b}y", "${a.c.d}", "${a${b}}", "}${", "${a}${a}"} {
		f.Add(text)
	}
	about := map[string]any{"a": map[string]any{"b": "value", "c": []any{map[string]any{"d": 1}, "x"}}}
	f.Fuzz(func(t *testing.T, text string) {
		v, ok := fill(text, about)
		if got, isText := v.(string); !strings.Contains(text, "${") && (!ok || !isText || got != text) {
			t.Errorf("%q became %v", text, v)
		}
	})
}

// Whose address an event tells: the browser's, or this machine's where there is no network.
func TestAddressOf(t *testing.T) {
	for remote, want := range map[string]string{"192.0.2.1:5": "192.0.2.1", "[2001:db8::1]:5": "2001:db8::1", "": "127.0.0.1", "@": "127.0.0.1"} {
		if got := addressOf(&http.Request{RemoteAddr: remote}); got != want {
			t.Errorf("%q: %s, want %s", remote, got, want)
		}
	}
}

// An origin as a browser writes it, and no other text.
func TestIsOrigin(t *testing.T) {
	for text, want := range map[string]bool{
		"http://localhost": true, "http://localhost:5173": true, "https://app.example.test": true, "https://app.example.test:8443": true, "http://app.example.test:443": true, "https://app.example.test:80": true,
		"capacitor://localhost": true, "app://x.y": true,
		"": false, "null": false, "*": false, "localhost": false, "http://": false, "capacitor://": false, "http:localhost": false, "http://%zz": false, "//localhost": false,
		"http://localhost:80": false, "https://app.example.test:443": false, "HTTP://localhost": false, "http://LOCALHOST": false, "http://localhost/": false, "http://localhost#": false, "http://localhost?": false,
		"http://user@localhost": false, "http://löcalhost": false, "http://localhost ": false, "capacitor://localhost:1": false, "capacitor://localhost/": false, "capacitor://lo calhost": false,
	} {
		if got := isOrigin(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

// The origins that an application redirects to may call, by whatever port is the default.
func TestAllowsOrigin(t *testing.T) {
	a := &application{CORSAllowedOrigins: []string{"capacitor://localhost"},
		RedirectURIs: []string{"com.example.app:/cb", "https://app.example.test:443/cb", "http://app.example.test:80/cb", "https://Other.example.test/cb", "http://localhost:*/*"}}
	for origin, want := range map[string]bool{
		"https://app.example.test": true, "http://app.example.test": true, "https://other.example.test": true, "http://localhost": true, "http://localhost:1": true, "capacitor://localhost": true,
		"": false, "null": false, "%zz": false, "https://app.example.test:443": false, "https://app.example.test:80": false, "http://other.example.test": false, "https://localhost": false, "http://127.0.0.1:1": false,
		"com.example.app:/cb": false, "com.example.app://": false, "capacitor://other": false,
	} {
		if got := a.allowsOrigin(origin); got != want {
			t.Errorf("%q: %v", origin, got)
		}
	}
}
