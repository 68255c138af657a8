// The cache of verified tokens.

package logto

import (
	"crypto/sha256"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

const (
	defaultCacheSize = 10_000
	// A token takes as many of the cache's places as its memory needs: entryMemory, and
	// its payload, in units of unitMemory. Logto's take one, so the default is 12 MiB at
	// most, whatever the sizes of the tokens.
	unitMemory  = 1200 // bytes
	entryMemory = 600  // bytes of an entry without its payload
	// onStack is the size, in bytes, up to which a token is hashed without an allocation.
	onStack = 4 << 10
)

// tokenCache remembers verified tokens, so that a signature is checked once per
// token, not once per request. It holds accepted tokens only, by their SHA-256; the
// token itself, which is as good as a password, is not kept. An entry is no verdict.
// A nil *tokenCache remembers nothing.
type tokenCache struct {
	size int // in units

	mu   sync.Mutex
	lru  *simplelru.LRU[tokenSum, *verified]
	used int // of size
}

// tokenSum is the SHA-256 of a token: all its bytes, signature included, so that
// no other spelling of a token is taken for it.
type tokenSum = [sha256.Size]byte

func sumOf(token string) tokenSum {
	if len(token) > onStack {
		return sha256.Sum256([]byte(token))
	}
	var buffer [onStack]byte
	return sha256.Sum256(buffer[:copy(buffer[:], token)])
}

// newTokenCache makes a cache for so many tokens of ordinary size; 0 is
// defaultCacheSize, and a negative one makes none.
func newTokenCache(size int) *tokenCache {
	if size < 0 {
		return nil
	}
	if size == 0 {
		size = defaultCacheSize
	}
	c := &tokenCache{size: size}
	var err error
	// An entry takes one unit at least: the list never evicts by itself.
	c.lru, err = simplelru.NewLRU(size, func(_ tokenSum, t *verified) { c.used -= t.units() })
	if err != nil {
		panic(err) // only for a size below 1
	}
	return c
}

// units is how many places t takes.
func (t *verified) units() int {
	return (entryMemory + len(*t.claims.payload) + unitMemory - 1) / unitMemory
}

// get returns nil for a token that is not remembered. The sum is the token's, or
// zero if nothing is remembered.
func (c *tokenCache) get(token string) (*verified, tokenSum) {
	if c == nil {
		return nil, tokenSum{}
	}
	sum := sumOf(token)
	c.mu.Lock()
	t, _ := c.lru.Get(sum)
	c.mu.Unlock()
	return t, sum
}

// again looks once more for a token that get has not found.
func (c *tokenCache) again(sum tokenSum) *verified {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	t, _ := c.lru.Peek(sum)
	c.mu.Unlock()
	return t
}

// add remembers t, if there is room for it at all. What was not used for longest goes.
func (c *tokenCache) add(t *verified) {
	if c == nil {
		return
	}
	units := t.units()
	if units > c.size {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lru.Remove(t.sum) // of the same token by another key
	for c.used+units > c.size {
		c.lru.RemoveOldest()
	}
	c.lru.Add(t.sum, t)
	c.used += units
}
