// Custom claims with large integers in them.

package recipes

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/seed-70fe37f4/logto"
)

type ledger struct {
	Account int64       `json:"account"`      // exact; an error if it has a fraction or is too large
	Balance json.Number `json:"balance"`      // the digits as they stand in the token
	Shard   int64       `json:"shard,string"` // a number in quotation marks, as a script should write it
	Other   any         `json:"other"`        // float64: 9007199254740993 becomes …992
}

func accounts(w http.ResponseWriter, r *http.Request) {
	claims, err := logto.ClaimsAs[ledger](r.Context())
	if err != nil {
		http.Error(w, "unexpected claims", http.StatusForbidden)
		return
	}
	fmt.Fprintf(w, "%d %s %d %.0f", claims.Account, claims.Balance, claims.Shard, claims.Other)
}
