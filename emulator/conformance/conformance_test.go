// Package conformance signs in to the emulator with clients that know nothing of it or
// of Logto: coreos/go-oidc and golang.org/x/oauth2.
package conformance

import (
	"context"
	"errors"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/emulator"
)

const (
	api      = "https://api.example.test"
	callback = "http://localhost:5173/callback"
)

// signIn goes where a browser goes, and gives what comes back to the client.
func signIn(t *testing.T, address, user string) url.Values {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	var back *url.URL
	browser := &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), callback) {
			back = r.URL
			return http.ErrUseLastResponse
		}
		return nil
	}}
	res, err := browser.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	page := res.Request.URL
	_ = res.Body.Close()
	if back == nil {
		res, err = browser.PostForm(page.String(), url.Values{"user": {user}})
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
	}
	if back == nil {
		t.Fatalf("status %d at %v", res.StatusCode, page)
	}
	return back.Query()
}

func newAPI(t *testing.T, em *emulator.Server) http.Handler {
	t.Helper()
	v, err := logto.New(em.Config())
	if err != nil {
		t.Fatal(err)
	}
	return logto.Require(v, logto.Scopes("read:things"))(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
}

func ask(h http.Handler, token string) int {
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code
}

// Discovery, authorization code with PKCE and nonce, ID token, userinfo, refresh and a
// rotation to another algorithm, for a public and for a confidential client.
func TestAuthorizationCode(t *testing.T) {
	for _, client := range []struct{ id, secret string }{{"page", ""}, {"web", "web-secret"}} {
		em := emulator.Start(t)
		ctx := context.Background()
		provider, err := oidc.NewProvider(ctx, em.Endpoint()+"/oidc")
		if err != nil {
			t.Fatal(err)
		}
		config := oauth2.Config{ClientID: client.id, ClientSecret: client.secret, Endpoint: provider.Endpoint(), RedirectURL: callback,
			Scopes: []string{oidc.ScopeOpenID, oidc.ScopeOfflineAccess, "profile", "email", "read:things"}}
		pkce := oauth2.GenerateVerifier()
		back := signIn(t, config.AuthCodeURL("the state", oidc.Nonce("the nonce"), oauth2.S256ChallengeOption(pkce),
			oauth2.SetAuthURLParam("prompt", "consent"), oauth2.SetAuthURLParam("resource", api)), "alice")
		if back.Get("state") != "the state" || back.Get("iss") != em.Endpoint()+"/oidc" {
			t.Fatalf("%s: back with %v", client.id, back)
		}
		token, err := config.Exchange(ctx, back.Get("code"), oauth2.VerifierOption(pkce))
		if err != nil {
			t.Fatal(err)
		}
		verifier := provider.Verifier(&oidc.Config{ClientID: client.id})
		raw, _ := token.Extra("id_token").(string)
		id, err := verifier.Verify(ctx, raw)
		if err != nil {
			t.Fatal(err)
		}
		info, err := provider.UserInfo(ctx, oauth2.StaticTokenSource(token))
		if err != nil {
			t.Fatal(err)
		}
		if id.Subject != "alice" || id.Nonce != "the nonce" || info.Subject != "alice" || info.Email != "alice@example.test" || !info.EmailVerified {
			t.Errorf("%s: ID token %+v, userinfo %+v", client.id, id, info)
		}

		// After a rotation to RSA, refreshed by a library that names no resource.
		if err := em.Rotate("RS256"); err != nil {
			t.Fatal(err)
		}
		token.Expiry = time.Now().Add(-time.Hour)
		again, err := config.TokenSource(ctx, token).Token()
		if err != nil {
			t.Fatal(err)
		}
		raw, _ = again.Extra("id_token").(string)
		if id, err := verifier.Verify(ctx, raw); err != nil || id.Subject != "alice" {
			t.Errorf("%s: ID token of the new key: %+v, error %v", client.id, id, err)
		}
		if (again.RefreshToken != token.RefreshToken) != (client.secret == "") {
			t.Errorf("%s: the refresh token was rotated, or wasn't", client.id)
		}

		// The code is used up, and with it what came of it.
		_, err = config.Exchange(ctx, back.Get("code"), oauth2.VerifierOption(pkce))
		var refused *oauth2.RetrieveError
		if !errors.As(err, &refused) || refused.ErrorCode != "invalid_grant" {
			t.Errorf("%s: the code again: %v", client.id, err)
		}
		again.Expiry = time.Now().Add(-time.Hour)
		if _, err = config.TokenSource(ctx, again).Token(); !errors.As(err, &refused) || refused.ErrorCode != "invalid_grant" {
			t.Errorf("%s: refresh after that: %v", client.id, err)
		}
	}
}

// A machine's token, by clientcredentials.
func TestClientCredentials(t *testing.T) {
	em := emulator.Start(t)
	things := newAPI(t, em)
	for name, style := range map[string]oauth2.AuthStyle{"header": oauth2.AuthStyleInHeader, "params": oauth2.AuthStyleInParams, "found out": oauth2.AuthStyleAutoDetect} {
		config := clientcredentials.Config{ClientID: "machine", ClientSecret: "machine-secret", TokenURL: em.Endpoint() + "/oidc/token",
			Scopes: []string{"read:things"}, EndpointParams: url.Values{"resource": {api}}, AuthStyle: style}
		token, err := config.Token(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if status := ask(things, token.AccessToken); status != 200 || time.Until(token.Expiry) < 59*time.Minute {
			t.Errorf("%s: status %d, expires %v", name, status, token.Expiry)
		}
	}
	config := clientcredentials.Config{ClientID: "machine", ClientSecret: "wrong", TokenURL: em.Endpoint() + "/oidc/token", EndpointParams: url.Values{"resource": {api}}}
	var refused *oauth2.RetrieveError
	if _, err := config.Token(context.Background()); !errors.As(err, &refused) || refused.ErrorCode != "invalid_client" || refused.Response.StatusCode != 401 {
		t.Errorf("error %v", err)
	}
}
