//go:build !logto_stdlib

package jwk

import (
	"crypto/ecdsa"
	"crypto/fips140"
	"sync/atomic"

	"github.com/seed-70fe37f4/logto/internal/p384"
)

// prepareAfter is how many signatures of a key are checked by the standard library
// before its tables are made: a process that checks a few, such as a command, does
// without. Made-up tokens count as well: it is for their sake, too.
const prepareAfter = 8

// prepared has the tables of a P-384 key, once they are made. The standard library
// serves until then; always in FIPS 140-3 mode, for the tables are not of the validated
// module; and in a build with the tag logto_stdlib.
type prepared struct {
	asked atomic.Int32
	key   atomic.Pointer[p384.Key]
}

var fips = fips140.Enabled // for tests

// get returns nil where the standard library serves. It never waits: the goroutine that
// it starts, once a key, ends after a few milliseconds.
func (p *prepared) get(public *ecdsa.PublicKey) *p384.Key {
	if key := p.key.Load(); key != nil {
		return key
	}
	if p.asked.Load() < prepareAfter && p.asked.Add(1) == prepareAfter && !fips() {
		go func() {
			if key, err := p384.Prepare(public); err == nil {
				p.key.Store(key)
			}
		}()
	}
	return nil
}
