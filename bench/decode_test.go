package bench

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/logtotest"
)

// What a handler pays for its custom claims, by Claims.Decode and ClaimsAs, beside
// encoding/json with the payload alone: into one field, into a struct of many, some
// of them structs, and into a map.
func BenchmarkDecode(b *testing.B) {
	b.Run("few", func(b *testing.B) { decode[decodeFew](b) })
	b.Run("many", func(b *testing.B) { decode[decodeMany](b) })
	b.Run("untagged", func(b *testing.B) { decode[decodeUntagged](b) })
	b.Run("map", func(b *testing.B) { decode[map[string]any](b) })
}

type decodeFew struct {
	Plan string `json:"plan"`
}

type decodeMany struct {
	Subject  string          `json:"sub"`
	Email    string          `json:"email"`
	Verified bool            `json:"emailVerified"`
	Plan     string          `json:"plan"`
	Roles    []string        `json:"roles"`
	Limits   json.RawMessage `json:"limits"`
	Projects []struct {
		ID    string         `json:"id"`
		Roles map[string]int `json:"roles"`
	} `json:"projects"`
	Account struct {
		Number int64 `json:"number"`
	} `json:"account"`
}

type decodeUntagged struct{ Plan, Email string }

var decodeClaims = map[string]any{
	"email": "alice@example.test", "emailVerified": true, "plan": "pro", "roles": []string{"admin", "billing"},
	"limits":   map[string]any{"requests": 1000, "seats": 20},
	"projects": []any{map[string]any{"id": "p1", "roles": map[string]int{"read": 1, "write": 2}}, map[string]any{"id": "p2", "roles": map[string]int{"read": 1}}},
	"account":  map[string]any{"number": int64(9007199254740993), "name": "Example Ltd"},
}

func decode[T any](b *testing.B) {
	i := issuer("ES384", 1)
	v, err := logto.New(i.Config())
	must(err)
	claims, err := v.Verify(context.Background(), i.Token(logtotest.Token{Scopes: []string{"read:things", "write:things"}, Claims: decodeClaims}))
	must(err)
	ctx := logto.NewContext(context.Background(), claims)
	payload, err := logto.ClaimsAs[json.RawMessage](ctx)
	must(err)
	b.Run("encoding-json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var v T
			must(json.Unmarshal(payload, &v))
		}
	})
	b.Run("Decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var v T
			must(claims.Decode(&v))
		}
	})
	b.Run("ClaimsAs", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, err := logto.ClaimsAs[T](ctx)
			must(err)
		}
	})
}
