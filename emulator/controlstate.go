package emulator

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/internal/mint"
	"github.com/seed-70fe37f4/logto/internal/refusal"
)

type keyState struct {
	ID        string `json:"id"`
	Algorithm string `json:"algorithm"`
	Status    string `json:"status"` // Next, Current, Previous: Logto's words
}

type lifetimes struct {
	AccessToken  *float64 `json:"accessToken"` // seconds; null: as described
	IDToken      float64  `json:"idToken"`     // 0: as described
	RefreshToken float64  `json:"refreshToken"`
}

// A verdict is what an API on package logto says of a token.
type verdict struct {
	Accepted bool   `json:"accepted"`
	Reason   string `json:"reason,omitempty"` // a heading of docs/troubleshooting.md
	Text     string `json:"text"`
	Remedy   string `json:"remedy,omitempty"`
}

type tokenState struct {
	*issuedJWT
	Verdict *verdict `json:"verdict,omitempty"`
}

type state struct {
	Endpoint   string       `json:"endpoint"`
	Issuer     string       `json:"issuer"`
	Now        time.Time    `json:"now"` // by its clock
	Problem    string       `json:"problem,omitempty"`
	Audience   string       `json:"audience"`
	Tenant     *tenant      `json:"tenant"`
	Keys       []keyState   `json:"keys"`
	Faults     []*Fault     `json:"faults"`
	Clock      float64      `json:"clock"` // seconds that it is off
	Lifetimes  lifetimes    `json:"lifetimes"`
	Sessions   int          `json:"sessions"`
	Grants     int          `json:"grants"`
	Tokens     []tokenState `json:"tokens"`
	Calls      []call       `json:"calls"`
	Deliveries []*delivery  `json:"deliveries"`
}

// serveState tells all, with the verdict on each token for the audience in the query,
// or for the first resource.
func (s *Server) serveState(w http.ResponseWriter, r *http.Request) {
	audience, verdicts := s.verdicts(r)
	s.lock()
	b, err := json.Marshal(s.describe(audience, verdicts))
	s.unlock()
	if err != nil {
		writeJSON(w, http.StatusInternalServerError, map[string]string{"error": err.Error()})
		return
	}
	writeJSON(w, http.StatusOK, json.RawMessage(b))
}

// verdicts are those on the tokens, by ID. They cost signature checks, so the provider
// goes on meanwhile.
func (s *Server) verdicts(r *http.Request) (audience string, all map[int64]*verdict) {
	audience = r.URL.Query().Get("audience")
	s.mu.Lock()
	if audience == "" && len(s.tenant.Resources) > 0 {
		audience = s.tenant.Resources[0].Indicator
	}
	set, tokens := mint.KeySet(s.issued.published()), slices.Clone(s.log.Tokens)
	if s.judge == nil || s.judge.set != set || s.judge.audience != audience {
		s.judge = s.newJudge(set, audience)
	}
	judge := s.judge
	s.mu.Unlock()
	all = map[int64]*verdict{}
	for _, t := range tokens {
		all[t.ID] = judge.verdict(r.Context(), t.Token)
	}
	return audience, all
}

func (s *Server) describe(audience string, verdicts map[int64]*verdict) state {
	now := state{
		Endpoint: s.endpoint, Issuer: s.issuer(), Now: s.now(), Problem: s.problem, Audience: audience, Tenant: s.tenant,
		Faults: append([]*Fault{}, s.knobs.faults...), Clock: s.knobs.offset.Seconds(), Sessions: len(s.issued.Sessions), Grants: len(s.issued.Grants),
		Lifetimes: lifetimes{IDToken: s.knobs.idToken.Seconds(), RefreshToken: s.knobs.refreshToken.Seconds()},
		Calls:     append([]call{}, s.log.Calls...), Deliveries: append([]*delivery{}, s.log.Deliveries...), Tokens: []tokenState{},
	}
	if s.knobs.accessToken != nil {
		seconds := s.knobs.accessToken.Seconds()
		now.Lifetimes.AccessToken = &seconds
	}
	if s.issued.Next != nil {
		now.Keys = append(now.Keys, keyState{s.issued.Next.ID, s.issued.Next.Algorithm, "Next"})
	}
	for i, k := range s.issued.Keys {
		status := "Previous"
		if i == 0 {
			status = "Current"
		}
		now.Keys = append(now.Keys, keyState{k.ID, k.Algorithm, status})
	}
	for _, t := range s.log.Tokens {
		now.Tokens = append(now.Tokens, tokenState{t, verdicts[t.ID]}) // nil if it is newer
	}
	return now
}

// A judge is package logto itself, as for explain, with the keys that are published. It
// is kept for as long as they are, for its cache of tokens.
type judge struct {
	set, audience string
	verifier      *logto.Verifier
	err           error // of the audience
}

func (s *Server) newJudge(set, audience string) *judge {
	cfg := logto.Config{
		Endpoint: s.endpoint, InsecureAllowHTTP: s.insecure, OrganizationTokens: true, Logger: slog.New(slog.DiscardHandler),
		HTTPClient: &http.Client{Transport: answering(set)},
	}
	if audience != "" {
		cfg.Audiences = []string{audience}
	}
	v, err := logto.New(cfg)
	return &judge{set, audience, v, err}
}

func (j *judge) verdict(ctx context.Context, token string) *verdict {
	if j.err != nil {
		return &verdict{Text: j.err.Error()}
	}
	_, err := j.verifier.Verify(ctx, token)
	if err == nil {
		return &verdict{Accepted: true, Text: "accepted"}
	}
	found := &verdict{Text: err.Error()}
	if e := refusal.Of(err); e != nil {
		found.Reason, found.Remedy = e.Reason.Code, e.Advice()
	}
	return found
}

// answering is a transport that has the key set.
type answering string

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK, Request: r, Header: http.Header{"Content-Type": {"application/jwk-set+json"}}, Body: io.NopCloser(strings.NewReader(string(a))),
	}, nil
}
