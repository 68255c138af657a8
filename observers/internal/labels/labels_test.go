package labels

import (
	"errors"
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/seed-70fe37f4/logto"
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
