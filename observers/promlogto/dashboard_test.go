package promlogto_test

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/logtotest"
	"github.com/seed-70fe37f4/logto/revocation"
)

type datasource struct{ Type, UID string }

type dashboard struct {
	Inputs []struct{ Name, Type, PluginID string } `json:"__inputs"`

	ID            *int
	UID, Title    string
	SchemaVersion int
	Templating    struct {
		List []struct {
			Name, Type, Definition string
			Datasource             datasource
			Query                  struct{ Query string }
		}
	}
	Panels []struct {
		ID          int
		Type, Title string
		Description string
		Datasource  datasource
		GridPos     struct{ X, Y, W, H int }
		FieldConfig struct {
			Defaults struct {
				Unit       string
				Thresholds struct {
					Steps []struct{ Value *float64 }
				}
			}
		}
		Targets []struct {
			RefID, Expr string
			Datasource  datasource
		}
	}
}

// exported gathers every metric that Metrics and Revocations have, with its type.
func exported(t *testing.T) map[string]dto.MetricType {
	t.Helper()
	reg := prometheus.NewRegistry()
	m := newMetrics(t, reg)
	v := newVerifier(t, logtotest.NewIssuer(t).Config())
	if err := v.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.Watch(v)
	m.Observe(t.Context(), logto.Event{})
	newRevocations(t, reg).Watch(newList(t, revocation.Config{}))
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]dto.MetricType{}
	for _, family := range families {
		names[family.GetName()] = family.GetType()
	}
	return names
}

var (
	metricName = regexp.MustCompile(`\blogto_\w+`)
	matcher    = regexp.MustCompile(`(\w+)(?:=|!=|=~|!~)"([^"]*)"`)
	grouping   = regexp.MustCompile(`\bby \(([^)]*)\)`)
)

// The dashboard imports: it asks for a data source and uses no other, and every
// expression is about metrics and labels that there are.
func TestDashboard(t *testing.T) {
	b, err := os.ReadFile("../grafana/logto.json")
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(b, &d); err != nil {
		t.Fatal(err)
	}
	if d.ID != nil || d.UID == "" || d.Title == "" || d.SchemaVersion < 36 {
		t.Errorf("id %v, uid %q, title %q, schema version %d", d.ID, d.UID, d.Title, d.SchemaVersion)
	}
	if len(d.Inputs) != 1 || d.Inputs[0].Name != "DS_PROMETHEUS" || d.Inputs[0].Type != "datasource" || d.Inputs[0].PluginID != "prometheus" {
		t.Errorf("inputs %+v", d.Inputs)
	}
	source := datasource{"prometheus", "${DS_PROMETHEUS}"}

	names, used := exported(t), map[string]bool{}
	check := func(where, expr string) {
		t.Helper()
		found := metricName.FindAllString(expr, -1)
		if len(found) == 0 {
			t.Errorf("%s: no metric in %s", where, expr)
		}
		for _, name := range found {
			base, bucket := strings.CutSuffix(name, "_bucket")
			if kind, ok := names[base]; !ok || bucket != (kind == dto.MetricType_HISTOGRAM) {
				t.Errorf("%s: %s is not exported", where, name)
			}
			used[base] = true
		}
	}
	if len(d.Templating.List) != 1 {
		t.Fatalf("variables %+v", d.Templating.List)
	}
	if v := d.Templating.List[0]; v.Name != "job" || v.Type != "query" || v.Datasource != source || v.Query.Query != v.Definition {
		t.Errorf("variable %+v", v)
	}
	check("variable", d.Templating.List[0].Definition)

	ids, titles, thresholds := map[int]bool{}, []string{}, 0
	for i, p := range d.Panels {
		if ids[p.ID] || p.Datasource != source || p.Description == "" || p.FieldConfig.Defaults.Unit == "" || len(p.Targets) == 0 {
			t.Errorf("panel %+v", p)
		}
		ids[p.ID] = true
		titles = append(titles, p.Title)
		for _, q := range d.Panels[:i] {
			a, b := p.GridPos, q.GridPos
			if a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
				t.Errorf("panels %s and %s overlap", p.Title, q.Title)
			}
		}
		if g := p.GridPos; g.X+g.W > 24 {
			t.Errorf("panel %s is too far right", p.Title)
		}
		for _, target := range p.Targets {
			if target.Datasource != source || target.RefID == "" {
				t.Errorf("%s: target %+v", p.Title, target)
			}
			check(p.Title, target.Expr)
			for _, m := range matcher.FindAllStringSubmatch(target.Expr, -1) {
				if m[1] == "job" && m[2] == "$job" {
					continue
				}
				if !slices.Contains(allowed[m[1]], m[2]) {
					t.Errorf("%s: no label %s=%q", p.Title, m[1], m[2])
				}
			}
			for _, m := range grouping.FindAllStringSubmatch(target.Expr, -1) {
				for label := range strings.SplitSeq(m[1], ", ") {
					if allowed[label] == nil && label != "le" && label != "instance" {
						t.Errorf("%s: no label %s", p.Title, label)
					}
				}
			}
		}
		steps := p.FieldConfig.Defaults.Thresholds.Steps
		if p.Title == "Revocation list" && (len(steps) != 2 || *steps[1].Value != 60) {
			t.Errorf("%s: thresholds %+v", p.Title, steps)
		}
		if strings.HasPrefix(p.Title, "Key-set age") {
			if len(steps) != 3 || steps[0].Value != nil || *steps[1].Value != 3600 || *steps[2].Value != 86400 {
				t.Errorf("%s: thresholds %+v", p.Title, steps)
			}
			thresholds++
		}
	}
	if thresholds == 0 {
		t.Error("no panel of the key set's age")
	}
	for name := range names {
		if !used[name] {
			t.Errorf("%s is in no panel", name)
		}
	}
	for _, want := range []string{"Requests by outcome", "Refusals by reason", "Check duration", "Remembered tokens", "Fetches of the key set", "Revocation events", "Revocation list"} {
		if !slices.Contains(titles, want) {
			t.Errorf("no panel %s", want)
		}
	}
}

// The README's table has the metrics that there are.
func TestREADME(t *testing.T) {
	b, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[dto.MetricType]string{dto.MetricType_COUNTER: "counter", dto.MetricType_GAUGE: "gauge", dto.MetricType_HISTOGRAM: "histogram"}
	names := exported(t)
	for name, kind := range names {
		if !strings.Contains(string(b), "\n| `"+name+"` | "+kinds[kind]+" | ") {
			t.Errorf("README.md lacks the %s %s", kinds[kind], name)
		}
	}
	for _, name := range metricName.FindAllString(string(b), -1) {
		if _, ok := names[name]; !ok {
			t.Errorf("README.md has %s", name)
		}
	}
	alerts := 0
	for line := range strings.Lines(string(b)) {
		if !strings.HasPrefix(line, "  expr: ") {
			continue
		}
		alerts++
		for _, m := range matcher.FindAllStringSubmatch(line, -1) {
			for value := range strings.SplitSeq(m[2], "|") {
				if !slices.Contains(allowed[m[1]], value) {
					t.Errorf("README.md: no label %s=%q", m[1], value)
				}
			}
		}
	}
	if alerts < 4 {
		t.Errorf("%d alerts", alerts)
	}
	if most := fmt.Sprintf("at most %d", mostChecks); !strings.Contains(string(b), most) {
		t.Errorf("README.md lacks %q series of checks", most)
	}
}
