// How a token is verified: its way from top to bottom, and the one verdict at the end.

package logto

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"time"

	"github.com/seed-70fe37f4/logto/internal/jwk"
	"github.com/seed-70fe37f4/logto/internal/quote"
	"github.com/seed-70fe37f4/logto/internal/refusal"
)

// Verify verifies an access token (RFC 9068) without HTTP: for gRPC, WebSocket,
// message queues. It waits for the key set if need be, no longer than ctx, 5 s at most. The
// error is [ErrNoToken] for "", [ErrExpired], [ErrInvalidToken] or
// [ErrUnavailable]; where ctx ended the wait it also wraps the context's error.
func (v *Verifier) Verify(ctx context.Context, token string) (*Claims, error) {
	var start time.Time
	observed := v.observed(ctx)
	if observed {
		start = time.Now()
	}
	t, remembered, err := v.verify(ctx, token, nil)
	if observed {
		v.observe(ctx, Event{Reason: Reason(err), Err: err, Claims: t.known(), Duration: time.Since(start), Remembered: remembered})
	}
	if err != nil {
		return nil, err
	}
	return t.claims, nil
}

// verified is a token whose signature a published key has verified, which proves
// what it says and not that it is still good: verdict does that. It doesn't change.
type verified struct {
	claims *Claims
	from   *tenant  // the Logto of its issuer
	key    *jwk.Key // of its key set, that has verified the signature
	sum    tokenSum // of the token
}

// known is nil for a nil t, too.
func (t *verified) known() *Claims {
	if t == nil {
		return nil
	}
	return t.claims
}

// verify is a token's way. Everything cheap comes before the signature. known is
// this very token if an outer Require has verified it, else nil. remembered tells
// that the signature had been verified before. Of the refused, those that were revoked
// have a result: it is known whose they were.
func (v *Verifier) verify(ctx context.Context, token string, known *verified) (_ *verified, remembered bool, _ error) {
	if err := checkForm(token); err != nil {
		return nil, false, err
	}
	var sum tokenSum
	if known == nil {
		known, sum = v.tokens.get(token)
	}
	if known != nil {
		key, err := v.keyFor(ctx, known.from, known.claims, known.key.ID())
		if err != nil {
			return nil, true, err
		}
		if key == known.key {
			known, err = v.judge(known)
			return known, true, err
		}
		// The ID stands for another key by now, which has to verify the signature.
	}
	defer yield()
	t, err := v.verifyAnew(ctx, token, sum, accessToken)
	if err != nil {
		return nil, false, err
	}
	if t, err = v.judge(t); err == nil {
		v.tokens.add(t)
	}
	return t, false, err
}

// judge is the verdict, with whom it is about: nobody, if the token proves nothing now.
func (v *Verifier) judge(t *verified) (*verified, error) {
	err := v.verdict(t)
	if err != nil && !errors.Is(err, ErrRevoked) {
		return nil, err
	}
	return t, err
}

// verifyAnew is the way of a token that [checkForm] has let pass, up to its signature. It
// alone makes a verified.
func (v *Verifier) verifyAnew(ctx context.Context, token string, sum tokenSum, want kind) (*verified, error) {
	p, err := parse(token, want.typ)
	if err != nil {
		return nil, err
	}
	var signedBy *jwk.Key
	if len(token) > maxCheap {
		var same *verified
		if signedBy, same, err = v.signer(ctx, sum, p); same != nil || err != nil {
			return same, err
		}
	}
	claims, err := want.claims(p.payload)
	if err != nil {
		return nil, err
	}
	from := v.tenantOf(claims.issuer)
	if from == nil {
		return nil, v.wrongIssuer(claims.issuer)
	}
	if err := want.expects(from, claims); err != nil {
		return nil, err
	}
	key, err := v.keyFor(ctx, from, claims, p.keyID)
	if err != nil {
		return nil, err
	}
	if key != signedBy {
		if same, err := v.checkSignature(ctx, sum, p, key); same != nil || err != nil {
			return same, err
		}
	}
	if sum == (tokenSum{}) {
		sum = sumOf(token)
	}
	return &verified{claims: claims, from: from, key: key, sum: sum}, nil
}

// verdict says whether a verified token is still good now. It is asked last, of
// every token: whoever comes here may have waited, for a key, for a place among the
// signature checks, or for the handler of an outer Require. It waits for nothing.
func (v *Verifier) verdict(t *verified) error {
	revoked := t.from.cfg.Revoked
	if err := v.current(t); err != nil || revoked == nil {
		return err
	}
	return revocation(revoked(t.claims))
}

// current is the verdict but for revocation.
func (v *Verifier) current(t *verified) error {
	if err := v.checkTimes(t.claims, time.Now()); err != nil {
		return err
	}
	return t.from.keys.stillPublished(t.key, t.claims.issuedAt)
}

// keyFor looks up a key of the Logto that the token says it is from. It may wait for it,
// but not for a token that is refused by its times anyway.
func (v *Verifier) keyFor(ctx context.Context, from *tenant, c *Claims, id string) (*jwk.Key, error) {
	if err := v.checkTimes(c, time.Now()); err != nil {
		return nil, err
	}
	return lookUp(ctx, from, id, c.issuedAt)
}

// lookUp waits for a key if need be. What a fetch says stands; that it was not waited for says
// nothing of Logto.
func lookUp(ctx context.Context, from *tenant, id string, issued time.Time) (*jwk.Key, error) {
	key, err := from.keys.key(ctx, id, issued)
	if err != nil && errors.Is(err, ErrUnavailable) {
		if ended := ended(ctx, "the key set"); ended != nil {
			return nil, ended
		}
	}
	return key, err
}

// maxQueue bounds the requests that wait for a signature check, by CPU: at 600 µs a
// check the last one waits 0.3 s, and each may hold a token of 16 KiB. minQueue takes the
// 1000 first requests of a service that has just started.
const (
	maxQueue = 512
	minQueue = 1024
)

// checkSignature is an error if the key hasn't signed the token. As many signature checks
// run at once as there are CPUs, and so many wait: who sends forged signatures takes
// nobody's time but that of other new tokens. same is this token where another request has
// verified it meanwhile.
func (v *Verifier) checkSignature(ctx context.Context, sum tokenSum, p parsed, key *jwk.Key) (same *verified, _ error) {
	if !key.Allows(p.algorithm) {
		return nil, refusal.New(reasonAlgorithm, "the token says it was signed with %s, its key %s is for %s",
			quote.String(p.algorithm), quote.String(p.keyID), strings.Join(key.Algorithms(), " or "))
	}
	if len(p.signature) != key.SignatureSize() {
		return nil, errSignature
	}
	waited, err := v.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer v.leave()
	if waited {
		if same := v.tokens.again(sum); same != nil && same.key == key {
			return same, nil
		}
	}
	if !key.Verify(p.algorithm, p.signingInput, p.signature) {
		return nil, errSignature
	}
	return nil, nil
}

// enter takes a place among the signature checks, and tells whether it had to wait. Where
// as many wait already as may, it is an error at once.
func (v *Verifier) enter(ctx context.Context) (waited bool, err error) {
	select {
	case v.signatures <- struct{}{}:
		return false, nil
	default:
	}
	select {
	case v.queued <- struct{}{}:
	default:
		return false, errQueueFull
	}
	defer func() { <-v.queued }()
	select {
	case v.signatures <- struct{}{}:
		return true, nil
	case <-ctx.Done():
		return true, ended(ctx, "its signature check")
	}
}

// leave gives the place away.
func (v *Verifier) leave() { <-v.signatures }

// yield gives the CPU away after a token that is new: in a flood their checks keep all CPUs
// busy, and without that the connections of others are looked after every 10 ms only. A token
// is remembered by then, or those that wait with the same one would check it again.
func yield() { runtime.Gosched() }

// checkTimes applies exp, nbf and iat with the same leeway on all sides: a token
// is valid from nbf - leeway on and while now < exp + leeway.
func (v *Verifier) checkTimes(c *Claims, now time.Time) error {
	leeway := v.cfg.Leeway
	switch {
	case !now.Before(c.expiresAt.Add(leeway)):
		return refusal.New(reasonExpired, "the token expired at %s; here it is %s", stamp(c.expiresAt), stamp(now))
	case now.Add(leeway).Before(c.notBefore):
		return refusal.New(reasonNotYetValid, "the token is not valid before %s; here it is %s", stamp(c.notBefore), stamp(now))
	case now.Add(leeway).Before(c.issuedAt):
		return refusal.New(reasonNotYetValid, "the token was issued at %s, but here it is %s: the two clocks differ by about %v", stamp(c.issuedAt), stamp(now), c.issuedAt.Sub(now).Round(time.Second))
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
