package main

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed-70fe37f4/logto/logtotest"
)

func TestAccessLog(t *testing.T) {
	s := newService(t, t.Context(), isAdmin)
	reader := logtotest.Token{User: "alice", Scopes: []string{"read:things"}}
	alice, dave := s.issuer.Token(reader), s.issuer.Token(logtotest.Token{User: "dave"})
	if status := s.deliver(s.issuer.Suspend("dave")); status != 200 {
		t.Fatalf("the webhook: status %d", status)
	}
	for _, test := range []struct {
		name, path, token string
		status            int
		user, reason      string
	}{
		{"forged", "/things", logtotest.BadSignature(alice), 401, "", "signature"},
		{"expired", "/things", s.issuer.Token(logtotest.Token{User: "alice", ExpiresIn: -time.Hour}), 401, "", "expired"},
		{"no token", "/things", "", 401, "", "no_token"},
		{"revoked", "/account/profile", dave, 401, "dave", "revoked"},
		{"no scope", "/reports", alice, 403, "alice", "missing_scope"},
		{"no scope, in the group", "/admin/users", alice, 403, "alice", "missing_scope"},
		{"a machine", "/account/profile", s.issuer.Token(logtotest.Token{Machine: true}), 403, "", "user_or_machine"},
		{"nothing there", "/nothing", alice, 404, "", ""},
		{"a stranger", "/feed", "", 200, "", ""},
		{"a user", "/things", alice, 200, "alice", ""},
		{"a user, in the group", "/account/profile", alice, 200, "alice", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			s.log.take()
			s.send("GET", test.path, test.token)
			log := s.log.take()
			if strings.Contains(log, alice) {
				t.Error("a token is in the log")
			}
			var requests int
			for line := range strings.Lines(log) {
				var got struct {
					Msg, Method, Path, User, Reason string
					Status                          int
				}
				if err := json.Unmarshal([]byte(line), &got); err != nil {
					t.Fatal(err)
				}
				if got.Msg != "request" {
					continue // the library's own
				}
				requests++
				if got.Method != "GET" || got.Path != test.path || got.Status != test.status || got.User != test.user || got.Reason != test.reason {
					t.Errorf("%s", line)
				}
			}
			if requests != 1 {
				t.Errorf("%d lines in\n%s", requests, log)
			}
		})
	}
}

// One request is one check, also in the group, whose inner Require decides.
func TestMetrics(t *testing.T) {
	s := newService(t, t.Context(), isAdmin)
	alice := s.issuer.Token(logtotest.Token{User: "alice", Scopes: []string{"erase:account"}})
	bob := s.issuer.Token(logtotest.Token{User: "bob"})
	// The metrics are the process's, and so those of other tests too. sum is of all series
	// whose name and labels begin so.
	sum := func(series string) (sum float64) {
		for line := range strings.Lines(s.send("GET", "/metrics", "").Body.String()) {
			if fields := strings.Fields(line); strings.HasPrefix(line, series) {
				value, err := strconv.ParseFloat(fields[len(fields)-1], 64)
				if err != nil {
					t.Fatal(err)
				}
				sum += value
			}
		}
		return sum
	}
	for _, test := range []struct{ name, path, token, result, remembered, reason string }{
		{"none", "/account/erase", "", "refused", "false", "no_token"},
		{"forged", "/account/erase", logtotest.BadSignature(bob), "refused", "false", "signature"},
		{"refused inside", "/account/erase", bob, "refused", "false", "missing_scope"},
		{"accepted", "/account/erase", alice, "accepted", "false", "none"},
		{"again", "/account/erase", alice, "accepted", "true", "none"},
	} {
		t.Run(test.name, func(t *testing.T) {
			name := `logto_checks_total{reason="` + test.reason + `",remembered="` + test.remembered + `",result="` + test.result + `"}`
			before, allBefore := sum(name), sum("logto_checks_total{")
			s.send("POST", test.path, test.token)
			if after, all := sum(name), sum("logto_checks_total{"); after != before+1 || all != allBefore+1 {
				t.Errorf("%s was %v, is %v; all were %v, are %v", name, before, after, allBefore, all)
			}
		})
	}
	if keys := sum("logto_key_set_keys"); keys != 1 {
		t.Errorf("keys %v", keys)
	}
	if w := s.send("GET", "/metrics", ""); strings.Contains(w.Body.String(), "alice") {
		t.Error("a user is in the metrics")
	}
}
