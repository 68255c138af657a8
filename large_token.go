// Large tokens, of which the signature is checked before they are read.

package logto

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/seed-70fe37f4/logto/internal/jwk"
	"github.com/seed-70fe37f4/logto/internal/refusal"
)

// maxCheap is the size, in bytes, up to which a token is read before its signature is
// checked: who sends an expired one, or one for another API, then costs next to nothing.
// Logto's tokens have about 700. To read 16 KiB of junk, which anybody may send, would cost
// as much as three checks of a signature.
const maxCheap = 2 << 10

// maxUnsigned is how many large tokens are read in a second of which no known key has signed
// any, to say why they are refused. That takes 4 % of a CPU at most.
const maxUnsigned = 100

// signer is the published key that has signed a large token, whosever it is: nothing of the
// token is read. If none is known it is nil, and the token may be read; or, when enough of
// those have been read in this second, it waits for the key.
func (v *Verifier) signer(ctx context.Context, sum tokenSum, p parsed) (by *jwk.Key, same *verified, err error) {
	for _, t := range v.tenants {
		key, first := t.keys.known(p.keyID, time.Now())
		if key == nil {
			continue
		}
		if by, same, err = v.signed(ctx, sum, p, key, first == nil); by != nil || same != nil || err != nil {
			return by, same, err
		}
	}
	if v.unsigned.next() <= maxUnsigned {
		return nil, nil, nil
	}
	return v.awaitSigner(ctx, sum, p)
}

// awaitSigner asks all at once: one that hangs keeps nobody from another one's key. Of what
// was not read nothing is proven, so a key that nobody has is a 503.
func (v *Verifier) awaitSigner(ctx context.Context, sum tokenSum, p parsed) (by *jwk.Key, same *verified, err error) {
	type answer struct {
		key *jwk.Key
		err error
	}
	answers := make(chan answer, len(v.tenants))
	for _, t := range v.tenants {
		go func() {
			key, err := lookUp(ctx, t, p.keyID, time.Now())
			answers <- answer{key, err}
		}()
	}
	unknown := keyNotYetKnown(p.keyID, 0)
	for range v.tenants {
		a := <-answers
		if e := refusal.Of(a.err); e != nil {
			if unknown.Reason == reasonNewKey { // an outage tells more
				unknown = e
			}
		} else if by, same, err = v.signed(ctx, sum, p, a.key, true); by != nil || same != nil || err != nil {
			return by, same, err
		}
	}
	if unknown.Reason == reasonNewKey {
		unknown.Text = fmt.Sprintf("no key that is known has signed this token, and it was not read, for it has over %d bytes: too many such tokens come", maxCheap)
	}
	return nil, nil, unknown
}

// signed tells whether a key has signed a token that is not read: by is that key then. That
// it has not is an error where the key is what its Logto has now, if there is no other Logto:
// among several, of which one may publish what it likes, it says nothing.
func (v *Verifier) signed(ctx context.Context, sum tokenSum, p parsed, key *jwk.Key, fresh bool) (by *jwk.Key, same *verified, err error) {
	same, err = v.checkSignature(ctx, sum, p, key)
	switch {
	case same != nil:
		return nil, same, nil
	case err == nil:
		return key, nil, nil
	case errors.Is(err, ErrUnavailable), fresh && len(v.tenants) == 1:
		return nil, nil, err
	}
	return nil, nil, nil
}

// perSecond counts what happens in the running second.
type perSecond struct {
	mu    sync.Mutex
	since time.Time
	n     int
}

// next counts one more, and returns how many there are.
func (p *perSecond) next() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := time.Now(); now.Sub(p.since) >= time.Second {
		p.since, p.n = now, 0
	}
	p.n++
	return p.n
}
