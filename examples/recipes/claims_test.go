package recipes

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/seed-70fe37f4/logto"
	"github.com/seed-70fe37f4/logto/logtotest"
)

func TestAccounts(t *testing.T) {
	issuer := logtotest.NewIssuer(t)
	h := logto.Require(newVerifier(t, issuer.Config()))(http.HandlerFunc(accounts))
	claims := func(account, balance, shard, other string) http.Header {
		return bearer(issuer, logtotest.Token{Claims: map[string]any{"account": json.Number(account), "balance": json.Number(balance),
			"shard": shard, "other": json.Number(other)}})
	}
	const n = "9007199254740993" // 2^53 + 1
	expect(t, h, []expectation{
		{"no token", "GET", "/", nil, 401, nil, ""},
		{"a fraction", "GET", "/", claims("1.5", n, n, n), 403, nil, "unexpected claims"},
		{"over 64 bits", "GET", "/", claims("9223372036854775808", n, n, n), 403, nil, "unexpected claims"},
		{"text that is no number", "GET", "/", claims(n, n, "many", n), 403, nil, "unexpected claims"},
		{"exact, but for any", "GET", "/", claims(n, "12345678901234567890.25", n, n), 200, nil,
			"9007199254740993 12345678901234567890.25 9007199254740993 9007199254740992"},
	})
}
