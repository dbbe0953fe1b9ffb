package reference

import (
	"cmp"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"tributary/connectors"
	"tributary/connectors/connectortest"
)

// Name is the world setting's value of a world made by [New].
const Name = "reference"

// World is a source in memory. Its methods are safe for concurrent use, and
// what a world answers depends only on what was asked of it before.
type World struct {
	mu       sync.Mutex
	name     string
	token    string
	pageSize int
	items    map[string]*entry
	people   []connectors.Principal
	members  map[connectors.Membership]bool
	emails   []connectors.Person
	log      []event
	// listEpoch and feedEpoch are part of every cursor: raising one expires
	// the cursors given out before.
	listEpoch int
	feedEpoch int
	faults    []*fault
	hits      map[connectortest.FaultKind]int
	hooks     []hook
	counts    Counts
	mended    chan struct{}
	held      chan struct{}
}

// Item is one document of a world.
type Item struct {
	ID string
	// Path is the item's slash path; its directory is the container. Empty
	// means ID.
	Path  string
	Title string
	Text  string
	ACL   connectors.ACL
	// MediaType is the hint that the connector gives.
	MediaType string
	Metadata  map[string]string
	// Skip is a reason to list the item and not ingest it.
	Skip string
}

// entry is an item with what the world keeps about it.
type entry struct {
	Item
	revision int
	created  time.Time
	updated  time.Time
}

// Counts is how often a world was asked.
type Counts struct {
	// Requests is every request, failed ones included.
	Requests int
	// Listings and Feeds are pages of listings and of the change feed.
	Listings int
	Feeds    int
	// Bodies is how many bodies were opened.
	Bodies int
}

type eventKind int

const (
	contentEvent eventKind = iota
	aclEvent
	deleteEvent
)

// event is one entry of the change feed.
type event struct {
	id   string
	kind eventKind
}

const defaultPageSize = 100

// New returns an empty world.
func New() *World {
	return &World{
		name: Name, pageSize: defaultPageSize,
		items: map[string]*entry{}, members: map[connectors.Membership]bool{}, hits: map[connectortest.FaultKind]int{},
		mended: make(chan struct{}), held: make(chan struct{}, 1),
	}
}

// User returns the principal of a person.
func User(id string) connectors.Principal {
	return connectors.Principal{Kind: connectors.User, ID: id}
}

// Group returns the principal of a group.
func Group(id string) connectors.Principal {
	return connectors.Principal{Kind: connectors.Group, ID: id}
}

// Everyone returns the principal that every person of the world is.
func Everyone() connectors.Principal {
	return connectors.Principal{Kind: connectors.Anyone, ID: "*"}
}

// Readers returns an ACL of one clause: any of ps may read.
func Readers(ps ...connectors.Principal) connectors.ACL {
	return connectors.ACL{AllOf: [][]connectors.Principal{ps}}
}

// SetPageSize sets how many items or events a page holds.
func (w *World) SetPageSize(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pageSize = max(1, n)
}

// SetToken sets the credential that the setting "token" must carry from then
// on; "" takes any.
func (w *World) SetToken(token string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.token = token
}

// Put creates the item called id, or replaces its text and ACL.
func (w *World) Put(id, text string, acl connectors.ACL) {
	w.mu.Lock()
	it := Item{ID: id, Path: id}
	if e := w.items[id]; e != nil {
		it = e.Item
	}
	w.mu.Unlock()
	it.Text, it.ACL = text, acl
	w.PutItem(it)
}

// PutItem creates it or replaces everything about it. The revision changes only
// if something besides the ACL does.
func (w *World) PutItem(it Item) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if it.Path == "" {
		it.Path = it.ID
	}
	it.ACL = cloneACL(it.ACL)
	it.Metadata = maps.Clone(it.Metadata)
	now := w.now()
	e := w.items[it.ID]
	if e == nil {
		w.items[it.ID] = &entry{Item: it, revision: len(w.log) + 1, created: now, updated: now}
		w.append(it.ID, contentEvent)
		return
	}
	old := e.Item
	e.Item = it
	if sameContent(old, it) {
		w.append(it.ID, aclEvent)
		return
	}
	e.revision, e.updated = len(w.log)+1, now
	w.append(it.ID, contentEvent)
}

func sameContent(a, b Item) bool {
	return a.Path == b.Path && a.Title == b.Title && a.Text == b.Text && a.MediaType == b.MediaType &&
		a.Skip == b.Skip && maps.Equal(a.Metadata, b.Metadata)
}

// Edit replaces the text of an item and reports whether it is there.
func (w *World) Edit(id, text string) bool {
	return w.update(id, contentEvent, func(e *entry) { e.Text = text })
}

// SetACL replaces the ACL of an item and reports whether it is there.
func (w *World) SetACL(id string, acl connectors.ACL) bool {
	return w.update(id, aclEvent, func(e *entry) { e.ACL = cloneACL(acl) })
}

// Move gives an item another path; its id stays. It reports whether the item
// is there.
func (w *World) Move(id, to string) bool {
	return w.update(id, contentEvent, func(e *entry) { e.Path = to })
}

func (w *World) update(id string, kind eventKind, change func(*entry)) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := w.items[id]
	if e == nil {
		return false
	}
	change(e)
	if kind == contentEvent {
		e.revision, e.updated = len(w.log)+1, w.now()
	}
	w.append(id, kind)
	return true
}

// Delete removes an item, with a tombstone in the feed, and reports whether it
// was there.
func (w *World) Delete(id string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.items[id] == nil {
		return false
	}
	delete(w.items, id)
	w.append(id, deleteEvent)
	return true
}

// Lose removes an item without a word in the feed, as sources do at times.
func (w *World) Lose(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.items, id)
}

// AddPeople makes accounts of the realm.
func (w *World) AddPeople(ids ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range ids {
		if p := User(id); !slices.Contains(w.people, p) {
			w.people = append(w.people, p)
		}
	}
}

// Join makes member, a person or a group, belong to group.
func (w *World) Join(member, group connectors.Principal) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.members[connectors.Membership{Member: member, Group: group}] = true
}

// Leave ends a membership.
func (w *World) Leave(member, group connectors.Principal) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.members, connectors.Membership{Member: member, Group: group})
}

// Counts returns how often the world was asked so far.
func (w *World) Counts() Counts {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.counts
}

// now is the world's own clock: one second for each event.
func (w *World) now() time.Time {
	return time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(len(w.log)) * time.Second)
}

func (w *World) append(id string, kind eventKind) {
	w.log = append(w.log, event{id: id, kind: kind})
}

// sorted returns the entries in the order of their ids. The caller holds mu.
func (w *World) sorted() []*entry {
	return slices.SortedFunc(maps.Values(w.items), func(a, b *entry) int { return cmp.Compare(a.ID, b.ID) })
}

// container is the directory of p, "" at the root.
func container(p string) string {
	if d := path.Dir(p); d != "." && d != "/" {
		return d
	}
	return ""
}

// within reports whether the container c is parent or lies below it.
func within(c, parent string) bool {
	return c == parent || strings.HasPrefix(c, parent+"/")
}

func cloneACL(a connectors.ACL) connectors.ACL {
	out := connectors.ACL{Deny: slices.Clone(a.Deny)}
	for _, c := range a.AllOf {
		out.AllOf = append(out.AllOf, slices.Clone(c))
	}
	return out
}
