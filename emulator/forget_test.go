package emulator_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
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
		}
	})
}
