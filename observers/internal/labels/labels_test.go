package labels

import (
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/revocation"
)

// The library's documentation lists every reason, and its tests see to that.
func TestReasons(t *testing.T) {
	doc, err := os.ReadFile("../../../docs/troubleshooting.md")
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("the module is tested outside of its repository")
	}
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	status := ""
	for _, m := range regexp.MustCompile("(?m)^## (\\d+)|^### `(\\w+)`").FindAllStringSubmatch(string(doc), -1) {
		if m[1] != "" {
			status = m[1]
			continue
		}
		want = append(want, m[2])
		if got := Result(m[2]); (got == Unavailable) != (status == "503") {
			t.Errorf("%s, status %s, is %s", m[2], status, got)
		}
	}
	slices.Sort(want)
	if len(want) < 15 || !slices.Equal(Reasons, want) {
		t.Errorf("reasons\n%v, documented\n%v", Reasons, want)
	}
}

func TestCheck(t *testing.T) {
	err := errors.New("x")
	for _, test := range []struct {
		name           string
		event          logto.Event
		result, reason string
	}{
		{"a reason from the client", logto.Event{Reason: "x\ny", Err: err}, Refused, "other"},
		{"a new reason, report only", logto.Event{Reason: "new", Err: err, ReportOnly: true}, Reported, "other"},
		{"an error without a reason", logto.Event{Err: err}, Refused, "other"},
		{"a reason of fetches", logto.Event{Reason: "fetched"}, Refused, "other"},
		{"the labels themselves", logto.Event{Reason: "none"}, Refused, "other"},
		{"known", logto.Event{Reason: "expired", Err: err}, Refused, "expired"},
		{"known, report only", logto.Event{Reason: "expired", Err: err, ReportOnly: true}, Reported, "expired"},
		{"not now", logto.Event{Reason: "keys_unavailable", Err: err}, Unavailable, "keys_unavailable"},
		{"a new reason, not now", logto.Event{Reason: "new", Err: logto.ErrUnavailable}, Unavailable, "other"},
		{"not now, report only", logto.Event{Reason: "overload", Err: logto.ErrUnavailable, ReportOnly: true}, Reported, "overload"},
		{"accepted", logto.Event{}, Accepted, "none"},
		{"anonymous", logto.Event{Anonymous: true}, Anonymous, "none"},
		{"accepted, report only", logto.Event{ReportOnly: true}, Accepted, "none"},
	} {
		if result, reason := Check(test.event, "none", "other"); result != test.result || reason != test.reason {
			t.Errorf("%s: %s, %s", test.name, result, reason)
		}
	}
}

func TestFetch(t *testing.T) {
	for reason, want := range map[string]string{"": "other", "expired": "other", "failed": "failed", "fetched": "fetched", "not_modified": "not_modified"} {
		if got := Fetch(logto.Event{Fetch: true, Reason: reason}, "other"); got != want {
			t.Errorf("%q: %s", reason, got)
		}
	}
}

// Package revocation has these kinds and outcomes, and no others.
func TestRevocationSets(t *testing.T) {
	read := func(name string) string {
		b, err := os.ReadFile("../../../revocation/" + name)
		if errors.Is(err, os.ErrNotExist) {
			t.Skip("the module is tested outside of its repository")
		}
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	quoted := func(in, from, to string) (words []string) {
		_, in, _ = strings.Cut(in, from)
		in, _, _ = strings.Cut(in, to)
		for _, m := range regexp.MustCompile(`"([\w.]+)"`).FindAllStringSubmatch(in, -1) {
			words = append(words, m[1])
		}
		return words
	}
	comment := read("revocation.go")
	kinds := append(quoted(read("webhook.go"), "var events = ", "\n}"), quoted(comment, "\t// Kind is", "\tKind ")...)
	// "unverified" and so on are named where their outcomes are told, too.
	outcomes := slices.DeleteFunc(quoted(comment, "\t// Outcome is", "\tOutcome "), func(s string) bool { return slices.Contains(kinds, s) })
	for _, test := range []struct {
		name      string
		got, want []string
	}{{"events", RevocationEvents, kinds}, {"outcomes", RevocationOutcomes, outcomes}} {
		got, want := slices.Sorted(slices.Values(test.got)), slices.Compact(slices.Sorted(slices.Values(test.want)))
		if len(want) < 10 || !slices.Equal(got, want) {
			t.Errorf("%s\n%v, those of the library\n%v", test.name, got, want)
		}
	}
}

func TestRevocation(t *testing.T) {
	for _, test := range []struct {
		name          string
		event         revocation.Event
		kind, outcome string
	}{
		{"known", revocation.Event{Kind: "User.Deleted", Outcome: "revoked"}, "User.Deleted", "revoked"},
		{"failed", revocation.Event{Kind: "store", Outcome: "lost", Err: errors.New("x")}, "store", "lost"},
		{"one that the library doesn't know", revocation.Event{Kind: "other", Outcome: "unknown"}, "other", "unknown"},
		{"a new kind", revocation.Event{Kind: "x\ny", Outcome: "revoked"}, "other", "revoked"},
		{"a new outcome", revocation.Event{Kind: "call", Outcome: "x\ny"}, "call", "other"},
		{"an outcome as a kind", revocation.Event{Kind: "revoked", Outcome: "User.Deleted"}, "other", "other"},
		{"zero", revocation.Event{}, "other", "other"},
	} {
		if kind, outcome := Revocation(test.event); kind != test.kind || outcome != test.outcome {
			t.Errorf("%s: %s, %s", test.name, kind, outcome)
		}
	}
	for _, first := range FirstRevocations() {
		if kind, outcome := Revocation(revocation.Event{Kind: first[0], Outcome: first[1]}); [2]string{kind, outcome} != first {
			t.Errorf("%v is %s, %s", first, kind, outcome)
		}
	}
}
