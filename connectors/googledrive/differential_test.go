package googledrive

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"tributary/connectors/connectortest"
)

// TestDifferential plays random sites, on which folders are shared, limited,
// moved, trashed and restored besides what happens everywhere, and a shared
// drive comes and goes.
func TestDifferential(t *testing.T) {
	connectortest.Differential(t, connectortest.Harness{Setup: setup(t)}, connectortest.DifferentialOptions{
		Steps: []connectortest.Step{
			{Name: "share folder", Do: onFolder(func(_ *site, n *node, r *rand.Rand) {
				n.shares = append(slices.Clone(n.shares), []share{
					{kind: typeUser, who: "dave", role: roleReader},
					{kind: typeGroup, who: "team", role: roleWriter},
					{kind: typeGroup, who: "staff", role: roleCommenter},
					{kind: typeAnyone, role: roleReader, link: true},
				}[r.IntN(4)])
			})},
			{Name: "unshare folder", Do: onFolder(func(_ *site, n *node, _ *rand.Rand) {
				n.shares = slices.DeleteFunc(slices.Clone(n.shares), func(sh share) bool { return sh.who != account })
			})},
			{Name: "limit folder", Do: onFolder(func(_ *site, n *node, _ *rand.Rand) { n.limited = !n.limited })},
			{Name: "trash folder", Do: onFolder(func(_ *site, n *node, _ *rand.Rand) { n.trashed = !n.trashed })},
			{Name: "move folder", Do: onFolder(func(s *site, n *node, r *rand.Rand) {
				up := s.nodes[[]string{rootID, driveA}[r.IntN(2)]]
				if n.owner == account || n.drive != "" {
					s.carry(n, up)
				}
			})},
			{Name: "join or leave drive", Do: func(kit connectortest.Site, _ *rand.Rand) ([]string, error) {
				s := kit.(*site)
				s.mu.Lock()
				defer s.mu.Unlock()
				return s.comeOrGo(), nil
			}},
		},
		FeedMisses: map[connectortest.Happening]string{
			"join or leave drive": "what lies in a shared drive that the account has left has no log any more",
		},
	})
}

// onFolder does something to a random folder, of which the log says nothing
// more than that the folder changed.
func onFolder(do func(s *site, n *node, r *rand.Rand)) func(connectortest.Site, *rand.Rand) ([]string, error) {
	return func(kit connectortest.Site, r *rand.Rand) ([]string, error) {
		s := kit.(*site)
		s.mu.Lock()
		defer s.mu.Unlock()
		var all []*node
		for _, id := range s.ids() {
			if s.nodes[id].mime == typeFolder {
				all = append(all, s.nodes[id])
			}
		}
		if len(all) == 0 {
			return nil, errors.ErrUnsupported
		}
		n := all[r.IntN(len(all))]
		s.noted(n)
		do(s, n, r)
		s.noted(n)
		return nil, nil
	}
}

// carry moves a folder with all that it holds.
func (s *site) carry(n, up *node) {
	n.parent = up.id
	var take func(n *node)
	take = func(n *node) {
		n.drive, n.owner = up.drive, up.owner
		for _, below := range s.nodes {
			if below.parent == n.id {
				take(below)
			}
		}
	}
	take(n)
}

// comeOrGo makes the account a member of a second shared drive, with two files,
// or no longer.
func (s *site) comeOrGo() []string {
	if s.joined(driveB) {
		s.drives[driveB].members = []share{{kind: typeUser, who: "bob", role: roleOrganizer}}
		return []string{"1inB", "1inBdeep"}
	}
	if s.nodes[driveB] == nil {
		s.nodes[driveB] = &node{id: driveB, name: "Drive", drive: driveB, mime: typeFolder}
		s.add(node{id: "1Bfolder", name: "folder", parent: driveB, drive: driveB, mime: typeFolder})
		s.add(node{id: "1inB", name: "in-b.md", parent: driveB, drive: driveB, mime: "text/markdown", text: "# in b\n"})
		s.add(node{id: "1inBdeep", name: "in-b-deep.md", parent: "1Bfolder", drive: driveB, mime: typeDoc, text: "# in b, deep\n"})
	}
	s.drives[driveB] = &sharedDrive{name: "b drive", members: []share{
		{kind: typeUser, who: account, role: roleReader}, {kind: typeUser, who: "bob", role: roleOrganizer},
	}}
	return []string{"1inB", "1inBdeep"}
}
