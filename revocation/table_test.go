package revocation

import "testing"

// Two entries with one hash are two entries, and so are two of one ID.
func TestCollisions(t *testing.T) {
	table := newTable()
	hash := table.hash(subject, "alice")
	for _, e := range []*entry{{kind: subject, id: "bob", hash: hash}, {kind: client, id: "alice", hash: hash}, {kind: subject, id: "carol", hash: hash ^ 1<<20}} {
		table.add(e)
	}
	if e := table.find(subject, "alice"); e != nil {
		t.Errorf("found %v %q", e.kind, e.id)
	}
	alice := table.newEntry(subject, "alice", 1)
	table.add(alice)
	if e := table.find(subject, "alice"); e != alice {
		t.Errorf("found %v", e)
	}
}
