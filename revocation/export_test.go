package revocation

import (
	"cmp"
	"slices"
	"time"
)

// Entries gives what is in the list, sorted.
func (l *List) Entries() []Revocation {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []*entry
	l.table.Load().all(func(e *entry) { all = append(all, e) })
	slices.SortFunc(all, func(a, b *entry) int { return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.id, b.id)) })
	var rs []Revocation
	for _, e := range all {
		rs = append(rs, e.revocation())
	}
	return rs
}

// SetLimit replaces the million entries.
func (l *List) SetLimit(n int) { l.limit = n }

// Hold keeps what changes the list from doing so.
func (l *List) Hold() (release func()) {
	l.mu.Lock()
	return l.mu.Unlock
}

// Slept makes the copy older by the wall clock alone, as after a machine's sleep.
func (l *List) Slept(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.contact.Wall = l.contact.Wall.Add(-d)
}

// TokenIDs are those of logout tokens, and how many there are.
func TokenIDs() (add func(id string, until time.Time) bool, size func() int) {
	var s tokenIDs
	return s.add, func() int { return len(s.until) }
}
