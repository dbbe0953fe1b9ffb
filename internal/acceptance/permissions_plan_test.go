//go:build linux

package acceptance

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
)

// permStranger is the id of no account and no group.
const permStranger = 54321

// permPlan is a tree for two accounts.
type permPlan struct {
	*permTree
	a, b   permAccount
	owners []int
	groups []int
}

func permNewTree(t *testing.T, connection string, root *permDir, first int) *permTree {
	return &permTree{t: t, connection: connection, root: root, first: first, buckets: map[string]int{}}
}

// permPlanTree plans every combination of modes, owners, groups, extended ACLs
// and closed ancestors, up to two levels deep.
func permPlanTree(t *testing.T, root string, a, b permAccount) *permTree {
	p := permPlan{permTree: permNewTree(t, "tree", &permDir{full: root, rights: permRights{mode: 0o755}}, 0), a: a, b: b}
	p.owners = []int{0, a.uid, b.uid, permStranger}
	p.groups = []int{0, a.gid, b.gid, permStranger}
	for _, g := range a.groups {
		if g != a.gid {
			p.groups = append(p.groups, g)
			break
		}
	}
	p.modes()
	p.classes()
	p.closedOnce()
	p.closedTwice()
	p.fileLists()
	p.dirLists()
	return p.permTree
}

// triple spreads three bits, one a class, over a mode.
func triple(classes, bit int) int {
	return (classes>>2&1)<<6*bit | (classes>>1&1)<<3*bit | (classes&1)*bit
}

// modes has all 512 modes for every owner, the groups in turn.
func (p permPlan) modes() {
	for mode := range 0o1000 {
		for i, uid := range p.owners {
			gid := p.groups[(mode+mode/7+i)%len(p.groups)]
			p.file(p.room("modes", 1), fmt.Sprintf("%03o-%d-%d.txt", mode, uid, gid), permRights{uid: uid, gid: gid, mode: mode})
		}
	}
}

// classes has every set of classes that may read, for every owner and group,
// with the special bits in turn.
func (p permPlan) classes() {
	n := 0
	for classes := range 8 {
		for _, uid := range p.owners {
			for _, gid := range p.groups {
				mode := triple(classes, permRead) | n%8<<9 | triple(n%8, 2)
				p.file(p.room("classes", 1), fmt.Sprintf("%04o-%d-%d.txt", mode, uid, gid), permRights{uid: uid, gid: gid, mode: mode})
				n++
			}
		}
	}
}

// inClosed are the files that lie in each closed directory.
func (p permPlan) inClosed() []permRights {
	return []permRights{
		{mode: 0o644},
		{gid: p.a.gid, mode: 0o640},
		{uid: p.b.uid, gid: p.groups[len(p.groups)-1], mode: 0o604},
		{uid: p.a.uid, gid: p.b.gid, mode: 0o440},
	}
}

// closedOnce has directories with every set of classes that may search, for
// every owner and group; the other bits of the mode change in turn.
func (p permPlan) closedOnce() {
	n := 0
	for classes := range 8 {
		for _, uid := range p.owners {
			for _, gid := range p.groups {
				mode := triple(classes, permSearch) | triple(n%8, permRead) | triple(n/8%8, 2) | n%4<<9
				files := p.inClosed()
				d := p.dir(p.room("closed", len(files)), fmt.Sprintf("%04o-%d-%d", mode, uid, gid), permRights{uid: uid, gid: gid, mode: mode})
				for i, r := range files {
					p.file(d, fmt.Sprintf("%d.txt", i), r)
				}
				n++
			}
		}
	}
}

// closedTwice has a closed directory in a closed directory.
func (p permPlan) closedTwice() {
	var kinds []permRights
	for classes := range 8 {
		mode := triple(classes, permSearch)
		kinds = append(kinds, permRights{mode: mode}, permRights{gid: p.a.gid, mode: mode}, permRights{uid: p.a.uid, gid: p.b.gid, mode: mode},
			permRights{uid: p.b.uid, gid: p.groups[len(p.groups)-1], mode: mode}, permRights{uid: permStranger, gid: p.b.gid, mode: mode})
	}
	files, n := p.inClosed(), 0
	for i, outer := range kinds {
		up := p.dir(p.room("twice", len(kinds)), fmt.Sprintf("%02d-%04o", i, outer.mode), outer)
		for j, inner := range kinds {
			d := p.dir(up, fmt.Sprintf("%02d-%04o", j, inner.mode), inner)
			p.file(d, "x.txt", files[n%len(files)])
			n++
		}
		n++ // another file for each kind in the next directory
	}
}

// lists are sets of named entries.
func (p permPlan) lists(bit int) [][]permEntry {
	last := p.groups[len(p.groups)-1]
	return [][]permEntry{
		{{id: p.a.uid, perm: bit}},
		{{id: p.a.uid}},
		{{id: p.b.uid, perm: bit}},
		{{group: true, id: p.a.gid, perm: bit}},
		{{group: true, id: p.a.gid}},
		{{id: p.a.uid, perm: bit}, {group: true, id: p.b.gid}},
		{{id: p.a.uid}, {group: true, id: p.a.gid, perm: bit}},
		{{id: 0}, {id: permStranger, perm: bit}, {group: true, id: last, perm: bit}},
		{{group: true, id: last, perm: bit}, {group: true, id: p.b.gid}},
	}
}

func (p permPlan) fileLists() {
	for i, list := range p.lists(permRead) {
		for _, mode := range []int{0o640, 0o644, 0o600, 0o604, 0o444} {
			for _, mask := range []int{permRead, 0} {
				for _, uid := range []int{0, p.a.uid} {
					r := permRights{uid: uid, gid: p.b.gid, mode: mode, acl: slices.Clone(list), mask: mask}
					p.file(p.room("lists", 1), fmt.Sprintf("%d-%o-%d-%d.txt", i, mode, mask, uid), r)
				}
			}
		}
	}
}

func (p permPlan) dirLists() {
	for i, list := range p.lists(permSearch) {
		for _, mode := range []int{0o710, 0o711, 0o700, 0o701} {
			for _, mask := range []int{permSearch, 0} {
				r := permRights{gid: p.b.gid, mode: mode, acl: slices.Clone(list), mask: mask}
				files := p.inClosed()[:2]
				d := p.dir(p.room("dirlists", len(files)), fmt.Sprintf("%d-%o-%d", i, mode, mask), r)
				for j, f := range files {
					p.file(d, fmt.Sprintf("%d.txt", j), f)
				}
			}
		}
	}
}

// permPlanBelow plans a tree whose root is open and lies in a directory that
// is open to the group of a alone.
func permPlanBelow(t *testing.T, base string, a permAccount, first int) *permTree {
	gate := &permDir{full: filepath.Join(base, "gate"), rights: permRights{gid: a.gid, mode: 0o710}}
	root := &permDir{parent: gate, full: filepath.Join(gate.full, "root"), rights: permRights{mode: 0o755}}
	tr := permNewTree(t, "below", root, first)
	tr.dirs = append(tr.dirs, gate, root)
	for classes := range 8 {
		for _, gid := range a.groups {
			tr.file(tr.room("below", 1), fmt.Sprintf("%d-%d.txt", classes, gid), permRights{gid: gid, mode: triple(classes, permRead)})
		}
	}
	return tr
}
