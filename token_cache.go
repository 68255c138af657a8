// The cache of verified tokens.

package logto

import (
	"crypto/sha256"

	lru "github.com/hashicorp/golang-lru/v2"
)

const (
	defaultCacheSize = 10_000
	// maxRemembered bounds, in bytes, the tokens that are remembered, and with
	// defaultCacheSize their memory. Logto's have about 700.
	maxRemembered = 4 << 10
)

// tokenCache remembers verified tokens, so that a signature is checked once per
// token, not once per request. It holds accepted tokens only, by their SHA-256; the
// token itself, which is as good as a password, is not kept. An entry is no verdict.
// A nil *tokenCache remembers nothing.
type tokenCache struct {
	lru *lru.Cache[tokenSum, *verified]
}

// tokenSum is the SHA-256 of a token: all its bytes, signature included, so that
// no other spelling of a token is taken for it.
type tokenSum = [sha256.Size]byte

func sumOf(token string) tokenSum {
	if len(token) > maxRemembered {
		return sha256.Sum256([]byte(token))
	}
	var onStack [maxRemembered]byte
	return sha256.Sum256(onStack[:copy(onStack[:], token)])
}

// newTokenCache makes a cache of the given size; 0 is defaultCacheSize, and a
// negative one makes none.
func newTokenCache(size int) *tokenCache {
	if size < 0 {
		return nil
	}
	if size == 0 {
		size = defaultCacheSize
	}
	cache, err := lru.New[tokenSum, *verified](size)
	if err != nil {
		panic(err) // only for a size below 1
	}
	return &tokenCache{cache}
}

// get returns nil for a token that is not remembered. The sum is the token's, or
// zero where it can't be remembered.
func (c *tokenCache) get(token string) (*verified, tokenSum) {
	if c == nil || len(token) > maxRemembered {
		return nil, tokenSum{}
	}
	sum := sumOf(token)
	t, _ := c.lru.Get(sum)
	return t, sum
}

// again looks once more for a token that get has not found.
func (c *tokenCache) again(sum tokenSum) *verified {
	if c == nil || sum == (tokenSum{}) {
		return nil
	}
	t, _ := c.lru.Peek(sum)
	return t
}

// add remembers t, which is the given token.
func (c *tokenCache) add(token string, t *verified) {
	if c != nil && len(token) <= maxRemembered {
		c.lru.Add(t.sum, t)
	}
}
