package emulator_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-70fe37f4/logto/emulator"
)

// What has expired is forgotten, and nothing before; the browser's session too.
func TestForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "state.json")
		_, b := newMemory(t, emulator.Config{StateFile: file})
		start := time.Now()
		b.exchange(b.signIn("alice"))
		b.signInAgain()
		b.control("subject-token", `{"user":"bob"}`)
		const day = 24 * time.Hour
		for _, step := range []struct {
			at   time.Duration
			want string
		}{
			{0, "sessions 1, grants 2, codes 2, refresh tokens 1, opaque tokens 1, subject tokens 1"},
			{10 * time.Minute, "sessions 1, grants 2, codes 2, refresh tokens 1, opaque tokens 1, subject tokens 1"},
			{12 * time.Minute, "sessions 1, grants 2, codes 2, refresh tokens 1, opaque tokens 1, subject tokens 0"},
			{time.Hour, "sessions 1, grants 2, codes 2, refresh tokens 1, opaque tokens 1, subject tokens 0"},
			{time.Hour + time.Minute + time.Second, "sessions 1, grants 2, codes 0, refresh tokens 1, opaque tokens 0, subject tokens 0"},
			{14 * day, "sessions 1, grants 2, codes 0, refresh tokens 1, opaque tokens 0, subject tokens 0"},
			{14*day + 2*time.Minute, "sessions 0, grants 0, codes 0, refresh tokens 0, opaque tokens 0, subject tokens 0"},
		} {
			time.Sleep(step.at - time.Since(start))
			state := b.get("/control/state").json(t)
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var kept struct {
				Issued struct {
					Sessions, Grants, Codes, RefreshTokens, OpaqueTokens, SubjectTokens map[string]any
				}
			}
			if err := json.Unmarshal(text, &kept); err != nil {
				t.Fatal(err)
			}
			i := kept.Issued
			got := fmt.Sprintf("sessions %d, grants %d, codes %d, refresh tokens %d, opaque tokens %d, subject tokens %d", len(i.Sessions), len(i.Grants), len(i.Codes), len(i.RefreshTokens), len(i.OpaqueTokens), len(i.SubjectTokens))
			if got != step.want || state["sessions"] != float64(len(i.Sessions)) || state["grants"] != float64(len(i.Grants)) {
				t.Errorf("after %v: %s, want %s; shown are %v and %v", step.at, got, step.want, state["sessions"], state["grants"])
			}
		}
		if b.signInAgain() != "" {
			t.Error("the browser is signed in still")
		}
	})
}

// A refresh token that is used goes on, and its grant with it.
func TestRefreshGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, b := newMemory(t, emulator.Config{})
		refresh := b.exchange(b.signIn("alice")).text(t, "refresh_token")
		for i := range 4 {
			time.Sleep(13 * 24 * time.Hour)
			a := b.refresh(refresh, "resource", api)
			if a.status != 200 {
				t.Fatalf("use %d: %d %s", i, a.status, a.body)
			}
			refresh = a.text(t, "refresh_token")
			// With openid there is an ID token each time.
			if _, claims := decode(t, a.text(t, "id_token")); claims["sub"] != "alice" || claims["iat"] != float64(time.Now().Unix()) {
				t.Errorf("use %d: ID token %v", i, claims)
			}
		}
	})
}

// What has expired is refused at once, though it is forgotten only within a minute.
func TestExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, b := newMemory(t, emulator.Config{})
		b.control("lifetimes", `{"refreshToken":3600}`)
		first := b.exchange(b.signIn("alice", "scope", "openid offline_access"))
		opaque, refresh := first.text(t, "access_token"), first.text(t, "refresh_token")
		ask := func() string {
			introspect := func(token string) any {
				return b.post("/oidc/token/introspection", url.Values{"client_id": {"page"}, "token": {token}}).json(t)["active"]
			}
			subject := b.control("subject-token", `{"user":"bob"}`).text(t, "subjectToken")
			acting := b.machine("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange", "resource", api, "subject_token", subject, "subject_token_type", "urn:ietf:params:oauth:token-type:access_token",
				"actor_token", opaque, "actor_token_type", "urn:ietf:params:oauth:token-type:access_token")
			return fmt.Sprint(b.get("/oidc/me", "Authorization", "Bearer "+opaque).status, " ", acting.status, " ", introspect(opaque), " ", introspect(refresh))
		}
		for _, step := range []struct {
			sleep time.Duration
			want  string
		}{
			{0, "200 200 true true"},
			{time.Hour - 10*time.Second, "200 200 true true"}, // which sweeps
			{10 * time.Second, "200 200 true true"},
			{1, "401 400 false false"},
		} {
			time.Sleep(step.sleep)
			if got := ask(); got != step.want {
				t.Errorf("after %v: %s, want %s", step.sleep, got, step.want)
			}
		}
		if a := b.refresh(refresh); a.status != 400 {
			t.Errorf("refresh: %d %s", a.status, a.body)
		}
	})
}

// What introspection tells of a token that is good.
func TestIntrospection(t *testing.T) {
	_, b := newMemory(t, emulator.Config{})
	first := b.exchange(b.signIn("alice", "scope", "openid offline_access read:things"))
	for _, test := range []struct {
		token, members, scope string
		life                  float64
	}{
		{first.text(t, "access_token"), "active client_id exp iat iss scope sub token_type", "openid offline_access", 3600},
		{first.text(t, "refresh_token"), "active client_id exp iat iss scope sub", "openid offline_access read:things", 14 * 24 * 3600},
	} {
		got := b.post("/oidc/token/introspection", url.Values{"client_id": {"page"}, "token": {test.token}}).json(t)
		if strings.Join(slices.Sorted(maps.Keys(got)), " ") != test.members || got["active"] != true || got["sub"] != "alice" || got["client_id"] != "page" || got["iss"] != "http://localhost:3001/emulator/oidc" ||
			got["scope"] != test.scope || got["exp"].(float64)-got["iat"].(float64) != test.life {
			t.Errorf("%v", got)
		}
	}
	// One that was rotated is good for 3 seconds more, and told as over.
	b.refresh(first.text(t, "refresh_token"))
	if got := b.post("/oidc/token/introspection", url.Values{"client_id": {"page"}, "token": {first.text(t, "refresh_token")}}).body; got != `{"active":false}` {
		t.Errorf("rotated: %s", got)
	}
}
