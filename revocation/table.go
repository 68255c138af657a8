package revocation

import (
	"hash/maphash"
	"strings"
	"sync/atomic"
)

// kind is what an entry revokes the tokens of.
type kind uint8

const (
	everything kind = iota // the one entry with the ID ""
	subject
	organization
	client
	tokenID
	kinds
)

// entry is one revocation. Its cutoff only ever grows.
type entry struct {
	kind   kind
	hash   uint64
	id     string
	cutoff atomic.Int64 // Unix seconds; tokens issued until then are refused
	own    int64        // when this process last raised it itself, Unix seconds; guarded by List.mu
}

// table is a hash table with open addressing. Any number of goroutines read it
// while one writes: a slot is filled once and never changed, and a growing list
// gets a new table. A look-up that finds nothing reads one or two cache lines of
// tags and no entry.
type table struct {
	seeds   [kinds]maphash.Seed
	tags    []atomic.Uint32 // 0: the slot is empty. It is set after the entry.
	entries []atomic.Pointer[entry]
	used    int // by the writer alone
}

const minSlots = 64

func newTable() *table {
	t := &table{}
	for k := range t.seeds {
		t.seeds[k] = maphash.MakeSeed()
	}
	return t.sized(0)
}

// sized makes an empty table for the same entries, which n of them fill by half
// at most.
func (t *table) sized(n int) *table {
	slots := minSlots
	for slots < 2*n {
		slots *= 2
	}
	return &table{seeds: t.seeds, tags: make([]atomic.Uint32, slots), entries: make([]atomic.Pointer[entry], slots)}
}

func (t *table) newEntry(k kind, id string, cutoff int64) *entry {
	e := &entry{kind: k, id: strings.Clone(id), hash: t.hash(k, id)} // the ID may be a piece of a webhook's body
	e.cutoff.Store(cutoff)
	return e
}

func (t *table) hash(k kind, id string) uint64 { return maphash.String(t.seeds[k], id) }

func tagOf(hash uint64) uint32 { return uint32(hash>>32) | 1 }

// find returns nil if there is no such entry.
func (t *table) find(k kind, id string) *entry {
	hash := t.hash(k, id)
	mask := uint64(len(t.tags) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		switch t.tags[i].Load() {
		case 0:
			return nil
		case tagOf(hash):
			if e := t.entries[i].Load(); e.hash == hash && e.kind == k && e.id == id {
				return e
			}
		}
	}
}

// refuses is a *revoked if tokens of that time are, of whom the ID says.
func (t *table) refuses(k kind, id string, iat int64) error {
	if e := t.find(k, id); e != nil {
		if cutoff := e.cutoff.Load(); iat <= cutoff {
			return &revoked{kind: k, iat: iat, cutoff: cutoff}
		}
	}
	return nil
}

// full reports whether one entry more would fill over half of the table.
func (t *table) full() bool { return 2*(t.used+1) > len(t.tags) }

// add puts in an entry that is not there yet, into a table that is not full.
func (t *table) add(e *entry) {
	mask := uint64(len(t.tags) - 1)
	i := e.hash & mask
	for t.tags[i].Load() != 0 {
		i = (i + 1) & mask
	}
	t.entries[i].Store(e)
	t.tags[i].Store(tagOf(e.hash))
	t.used++
}

// all calls f for each entry.
func (t *table) all(f func(*entry)) {
	for i := range t.entries {
		if e := t.entries[i].Load(); e != nil {
			f(e)
		}
	}
}
