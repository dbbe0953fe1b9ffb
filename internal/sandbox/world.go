package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"tributary/internal/sandbox/company"
)

// Errors of a World's methods.
var (
	ErrNotFound = errors.New("there is no such thing in the drive")
	ErrInvalid  = errors.New("the drive does not take this")
)

// maxItemBytes is how large an item's content may be.
const maxItemBytes = 16 << 20

// The kinds of items, entries and changes, and the roles.
const (
	kindFile, kindFolder                 = "file", "folder"
	kindUser, kindGroup, kindDomain      = "user", "group", "domain"
	kindAnyone, kindPublic, kindLink     = "anyone", "public", "link"
	roleOwner, roleWriter                = "owner", "writer"
	roleReader, roleBlocked              = "reader", "blocked"
	changeUpsert, changeDelete, changeAC = "upsert", "delete", "access"
)

// Item is a file or folder as it stands.
type Item struct {
	company.Item
	// Revision moves with the name and the content, not with the place or the access.
	Revision int
	Deleted  bool
}

// record is an item as it is kept. Its body is bytes, because JSON would mend what is not UTF-8.
type record struct {
	Item
	Content []byte
	// DeletedWith is the item whose deletion took this one along.
	DeletedWith string `json:",omitempty"`
}

// drive is the state of a World.
type drive struct {
	Version      int
	Organisation struct{ ID, Name, Domain string }
	People       []company.Person
	Groups       []company.Group
	Items        map[string]*record
	Changes      []change
	Seq          int64
	// Floor is the oldest position that the feed can continue from.
	Floor int64
}

// World is what the drive holds: people, groups, items and the feed of changes. Its methods are safe for concurrent
// use; those that change something save it before they return.
type World struct {
	mu   sync.RWMutex
	file file
	d    *drive
	org  company.Organisation
	now  func() time.Time
}

// NewWorld returns a World in memory.
func NewWorld(org company.Organisation) (*World, error) { return openWorld("", org, time.Now) }

func openWorld(f file, org company.Organisation, now func() time.Time) (*World, error) {
	w := &World{file: f, d: &drive{}, org: org, now: now}
	found, err := f.load(w.d)
	if err != nil {
		return nil, err
	}
	if found && w.d.Version == 1 && w.d.Organisation.ID == org.ID {
		return w, nil
	}
	if found {
		return nil, fmt.Errorf("reading the sandbox's state %s: it is of another version or organisation; remove the file to start over", f)
	}
	return w, w.StartOver()
}

// StartOver puts back the organisation that the server was made with, and continues the feed behind its last change.
func (w *World) StartOver() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := &drive{Version: 1, Items: map[string]*record{}, People: slices.Clone(w.org.People)}
	d.Organisation.ID, d.Organisation.Name, d.Organisation.Domain = w.org.ID, w.org.Name, w.org.Domain
	for _, g := range w.org.Groups {
		g.Members = slices.Clone(g.Members)
		d.Groups = append(d.Groups, g)
	}
	for _, it := range w.org.Items {
		if it.ID == "" || d.Items[it.ID] != nil {
			return fmt.Errorf("filling the drive: item %q: ids are unique and not empty", it.ID)
		}
		d.put(it)
	}
	for id, r := range d.Items {
		if err := d.check(&r.Item); err != nil {
			return fmt.Errorf("filling the drive: item %q: %w", id, err)
		}
	}
	if w.d.Version > 0 {
		// A position from before would miss what this undoes.
		d.Seq = w.d.Seq + 1
		d.Floor = d.Seq
	}
	w.d = d
	return w.save()
}

// put stores a new item at revision 1.
func (d *drive) put(it company.Item) {
	r := &record{Item: Item{Item: it, Revision: 1}, Content: []byte(it.Body)}
	r.Body, r.Entries = "", slices.Clone(it.Entries)
	d.Items[it.ID] = r
}

// check says what is wrong with an item.
func (d *drive) check(it *Item) error {
	switch {
	case it.Kind != kindFile && it.Kind != kindFolder:
		return fmt.Errorf("%w: the kind is file or folder", ErrInvalid)
	case strings.TrimSpace(it.Name) == "" || len(it.Name) > 1000:
		return fmt.Errorf("%w: a name of 1 to 1000 bytes", ErrInvalid)
	}
	for id, depth := it.ParentID, 0; id != ""; depth++ {
		p, ok := d.Items[id]
		switch {
		case !ok || p.Kind != kindFolder:
			return fmt.Errorf("%w: the parent %q is no folder", ErrInvalid, id)
		case id == it.ID || depth > 100:
			return fmt.Errorf("%w: a folder cannot lie in itself", ErrInvalid)
		}
		id = p.ParentID
	}
	return d.checkEntries(it.Entries)
}

// checkEntries says what is wrong with entries, and completes those of kinds that have one principal.
func (d *drive) checkEntries(entries []company.Entry) error {
	for i, e := range entries {
		named := e.Kind == kindUser || e.Kind == kindGroup || e.Kind == kindDomain
		switch e.Kind {
		case kindAnyone:
			entries[i].ID = d.Organisation.ID
		case kindPublic, kindLink:
			entries[i].ID = e.Kind
		}
		known := named || e.Kind == kindAnyone || e.Kind == kindPublic || e.Kind == kindLink
		if !known || (named && e.ID == "") || !slices.Contains([]string{roleOwner, roleWriter, roleReader, roleBlocked}, e.Role) {
			return fmt.Errorf("%w: an entry is a user, group or domain with an id, or anyone, public or link without, and a role", ErrInvalid)
		}
	}
	return nil
}

// save writes the state; where that does not work the last saved state is back.
func (w *World) save() error {
	if w.file == "" {
		return nil
	}
	b, err := json.Marshal(w.d)
	if err == nil {
		err = w.file.save(b)
	}
	if err == nil {
		return nil
	}
	back := &drive{}
	if found, lerr := w.file.load(back); lerr == nil && found {
		w.d = back
	}
	return err
}

// Organisation returns the id, name and domain.
func (w *World) Organisation() (id, name, domain string) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	o := w.d.Organisation
	return o.ID, o.Name, o.Domain
}

// Person returns a person by id.
func (w *World) Person(id string) (company.Person, bool) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	i := slices.IndexFunc(w.d.People, func(p company.Person) bool { return p.ID == id })
	if i < 0 {
		return company.Person{}, false
	}
	return w.d.People[i], true
}

// People returns everybody, by id.
func (w *World) People() []company.Person {
	w.mu.RLock()
	defer w.mu.RUnlock()
	list := slices.Clone(w.d.People)
	slices.SortFunc(list, func(a, b company.Person) int { return strings.Compare(a.ID, b.ID) })
	return list
}

// active returns the people who can sign in, in the organisation's order.
func (w *World) active() []company.Person {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return slices.DeleteFunc(slices.Clone(w.d.People), func(p company.Person) bool { return !p.Active })
}

// Groups returns every group, by id.
func (w *World) Groups() []company.Group {
	w.mu.RLock()
	defer w.mu.RUnlock()
	list := slices.Clone(w.d.Groups)
	for i := range list {
		list[i].Members = slices.Clone(list[i].Members)
	}
	slices.SortFunc(list, func(a, b company.Group) int { return strings.Compare(a.ID, b.ID) })
	return list
}

// Item returns an item with its content in Body, a deleted one too.
func (w *World) Item(id string) (Item, bool) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	r, ok := w.d.Items[id]
	if !ok {
		return Item{}, false
	}
	return r.copy(), true
}

func (r *record) copy() Item {
	it := r.Item
	it.Body, it.Entries = string(r.Content), slices.Clone(r.Entries)
	return it
}

// Items returns every item that is not deleted, by id, with its content in Body.
func (w *World) Items() []Item {
	w.mu.RLock()
	defer w.mu.RUnlock()
	var list []Item
	for _, id := range w.d.ids() {
		if r := w.d.Items[id]; !r.Deleted {
			list = append(list, r.copy())
		}
	}
	return list
}

func (d *drive) ids() []string { return slices.Sorted(maps.Keys(d.Items)) }

// below returns the id and those of everything below it, by id.
func (d *drive) below(id string) []string {
	in := func(r *record) bool {
		for p := r; p != nil; p = d.Items[p.ParentID] {
			if p.ID == id {
				return true
			}
		}
		return false
	}
	return slices.DeleteFunc(d.ids(), func(i string) bool { return !in(d.Items[i]) })
}
