package jwk

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/seed-70fe37f4/logto/internal/quote"
	"github.com/seed-70fe37f4/logto/internal/strictjson"
)

// A Set is a key set: its usable keys by their IDs.
type Set map[string]*Key

// maxIgnored bounds what a key set can make a log say.
const maxIgnored = 10

// ParseSet reads a JWK Set (RFC 7517 section 5). Keys that can't be used are
// skipped one by one, so that a new type of key does not disable the others;
// ignored says of the first of them why. Of two different keys with one ID both
// are skipped: nobody can say which is meant. A key that is in before stays the
// same *Key. It is an error if no usable key is left.
func ParseSet(body []byte, before Set) (keys Set, ignored []string, err error) {
	keys = Set{}
	ignore := func(id string, why error) {
		switch {
		case len(ignored) < maxIgnored:
			ignored = append(ignored, fmt.Sprintf("key %s: %v", quote.String(id), why))
		case len(ignored) == maxIgnored:
			ignored = append(ignored, "and more")
		}
	}
	ambiguous := map[string]bool{}
	found := false
	err = strictjson.ShallowObject(body, func(name, value string) error {
		if name != "keys" {
			return nil
		}
		found = true
		return strictjson.Array(value, func(value string) error {
			id, key, err := ParseKey(value)
			old := keys[id]
			switch {
			case errors.Is(err, errNotPublic):
				ambiguous[id] = true // and what else goes by this ID is known to all
				ignore(id, err)
			case err != nil:
				ignore(id, err)
			case old != nil && old.samePublicKey(key):
				if len(key.algorithms) < len(old.algorithms) {
					keys[id] = key
				}
			case old != nil:
				ambiguous[id] = true
			default:
				keys[id] = key
			}
			return nil
		})
	})
	for _, id := range slices.Sorted(maps.Keys(ambiguous)) { // in one order, or each refresh would tell of a change
		if keys[id] != nil {
			delete(keys, id)
			ignore(id, errors.New("its ID is not unique"))
		}
	}
	for id, key := range keys {
		if old := before[id]; old != nil && old.equal(key) {
			keys[id] = old
		}
	}
	switch {
	case err != nil || !found:
		return nil, nil, errors.New("the answer is no JWK Set")
	case len(keys) == 0:
		return nil, nil, fmt.Errorf("the answer has no usable key %v", ignored)
	}
	return keys, ignored, nil
}
