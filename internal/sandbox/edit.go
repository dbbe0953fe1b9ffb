package sandbox

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strings"

	"tributary/internal/sandbox/company"
)

// maxFeed is how many changes are always kept.
const maxFeed = 10_000

// change is one entry of the feed.
type change struct {
	Seq    int64
	ItemID string
	Kind   string
	// Lost are the people who could read the item before and no longer can; for them it is a deletion.
	Lost []string `json:",omitempty"`
	// Only are the people whom the change is told to; nil is everybody. A group's new member gains items that did not
	// change themselves.
	Only []string `json:",omitempty"`
}

// sight is who can read what.
type sight map[string]map[string]bool

// sight returns, for each of the items, the people who can read it.
func (d *drive) sight(items []string) sight {
	out := make(sight, len(items))
	for _, id := range items {
		out[id] = map[string]bool{}
	}
	for _, p := range d.People {
		r := d.reader(p.ID)
		for _, id := range items {
			if d.canRead(r, d.Items[id]) {
				out[id][p.ID] = true
			}
		}
	}
	return out
}

func (d *drive) note(c change) {
	d.Seq++
	c.Seq = d.Seq
	d.Changes = append(d.Changes, c)
	if len(d.Changes) > 2*maxFeed {
		d.Changes = slices.Clone(d.Changes[len(d.Changes)-maxFeed:])
		d.Floor = d.Changes[0].Seq - 1
	}
}

// edit changes one item and tells the feed: first about the item, then about everything below it where below is set.
func (w *World) edit(id, kind string, below bool, f func(d *drive, r *record) error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	r, ok := w.d.Items[id]
	if !ok {
		return fmt.Errorf("%w: item %q", ErrNotFound, id)
	}
	affected := []string{id}
	if below {
		affected = append(affected, slices.DeleteFunc(w.d.below(id), func(i string) bool { return i == id || w.d.Items[i].Deleted != r.Deleted })...)
	}
	before := w.d.sight(affected)
	if err := f(w.d, r); err != nil {
		return err
	}
	after := w.d.sight(affected)
	for _, a := range affected {
		k := kind
		if w.d.Items[a].Deleted {
			if k != changeDelete {
				continue
			}
		}
		w.d.note(change{ItemID: a, Kind: k, Lost: lost(before[a], after[a])})
	}
	return w.save()
}

// lost returns who is in before and not in after, sorted.
func lost(before, after map[string]bool) []string {
	var list []string
	for p := range before {
		if !after[p] {
			list = append(list, p)
		}
	}
	slices.Sort(list)
	return list
}

// Create adds an item and returns its id, a new one where it.ID is empty.
func (w *World) Create(it company.Item) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if it.ID == "" {
		it.ID = "itm-" + strings.ToLower(rand.Text()[:12])
	}
	if w.d.Items[it.ID] != nil {
		return "", fmt.Errorf("%w: item %q exists", ErrInvalid, it.ID)
	}
	if it.Created.IsZero() {
		it.Created = w.now()
	}
	if it.Updated.IsZero() {
		it.Updated = it.Created
	}
	if it.Kind == kindFile && it.MediaType == "" {
		it.MediaType = "text/markdown"
	}
	it.Entries = slices.Clone(it.Entries)
	if err := w.d.check(&Item{Item: it}); err != nil {
		return "", err
	}
	if p := w.d.Items[it.ParentID]; p != nil && p.Deleted {
		return "", fmt.Errorf("%w: the folder is deleted", ErrInvalid)
	}
	if len(it.Body) > maxItemBytes {
		return "", fmt.Errorf("%w: at most %d bytes", ErrInvalid, maxItemBytes)
	}
	w.d.put(it)
	w.d.note(change{ItemID: it.ID, Kind: changeUpsert})
	return it.ID, w.save()
}

// Edit replaces a file's content.
func (w *World) Edit(id, body string) error {
	return w.edit(id, changeUpsert, false, func(_ *drive, r *record) error {
		if r.Kind != kindFile || r.Deleted || len(body) > maxItemBytes {
			return fmt.Errorf("%w: only a file that is not deleted has content, of at most %d bytes", ErrInvalid, maxItemBytes)
		}
		r.Content = []byte(body)
		r.Revision++
		r.Updated = w.now()
		return nil
	})
}

// Rename gives an item another name; the paths of everything below it change too.
func (w *World) Rename(id, name string) error {
	return w.edit(id, changeUpsert, true, func(d *drive, r *record) error {
		changed := r.Item
		changed.Name = strings.TrimSpace(name)
		if err := d.check(&changed); err != nil {
			return err
		}
		r.Item = changed
		r.Revision++
		r.Updated = w.now()
		return nil
	})
}

// Move puts an item into another folder, "" for the root.
func (w *World) Move(id, parentID string) error {
	return w.edit(id, changeUpsert, true, func(d *drive, r *record) error {
		changed := r.Item
		changed.ParentID = parentID
		if err := d.check(&changed); err != nil {
			return err
		}
		if p := d.Items[parentID]; p != nil && p.Deleted {
			return fmt.Errorf("%w: the folder is deleted", ErrInvalid)
		}
		r.Item = changed
		return nil
	})
}

// Share adds entries; one for the same principal is replaced.
func (w *World) Share(id string, entries ...company.Entry) error {
	return w.edit(id, changeAC, true, func(d *drive, r *record) error {
		entries = slices.Clone(entries)
		if err := d.checkEntries(entries); err != nil {
			return err
		}
		list := slices.Clone(r.Entries)
		for _, e := range entries {
			list = append(without(list, e.Kind, e.ID), e)
		}
		r.Entries = list
		return nil
	})
}

// Unshare removes the entry of a principal; the id matters only for users, groups and domains.
func (w *World) Unshare(id, kind, principalID string) error {
	return w.edit(id, changeAC, true, func(_ *drive, r *record) error {
		r.Entries = slices.DeleteFunc(slices.Clone(r.Entries), func(e company.Entry) bool {
			return e.Kind == kind && (e.ID == principalID || kind == kindAnyone || kind == kindPublic || kind == kindLink)
		})
		return nil
	})
}

func without(list []company.Entry, kind, id string) []company.Entry {
	return slices.DeleteFunc(list, func(e company.Entry) bool { return e.Kind == kind && e.ID == id })
}

// SetAccess says whether an item takes its parent's readers over, and whether a reader must be one of both.
func (w *World) SetAccess(id string, inherit, restricted bool) error {
	return w.edit(id, changeAC, true, func(_ *drive, r *record) error {
		r.Inherit, r.Restricted = inherit, restricted
		return nil
	})
}

// Delete removes an item with everything below it; Restore brings them back.
func (w *World) Delete(id string) error {
	return w.edit(id, changeDelete, true, func(d *drive, r *record) error {
		if r.Deleted {
			return fmt.Errorf("%w: it is deleted", ErrInvalid)
		}
		for _, b := range d.below(id) {
			if it := d.Items[b]; !it.Deleted {
				it.Deleted, it.DeletedWith = true, id
			}
		}
		return nil
	})
}

// Restore brings back an item that Delete removed, with everything that went with it. Where its folder is gone it comes
// back at the root.
func (w *World) Restore(id string) error {
	return w.edit(id, changeUpsert, true, func(d *drive, r *record) error {
		if !r.Deleted || r.DeletedWith != id {
			return fmt.Errorf("%w: it was not deleted, or went with a folder: restore that one", ErrInvalid)
		}
		for _, b := range d.below(id) {
			if it := d.Items[b]; it.DeletedWith == id {
				it.Deleted, it.DeletedWith = false, ""
			}
		}
		if p := d.Items[r.ParentID]; p != nil && p.Deleted {
			r.ParentID = ""
		}
		return nil
	})
}

// members changes people or groups and tells those whose view of the drive changed.
func (w *World) members(f func(d *drive) error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	ids := w.d.ids()
	before := w.d.sight(ids)
	if err := f(w.d); err != nil {
		return err
	}
	after := w.d.sight(ids)
	noted := false
	for _, id := range ids {
		gone, come := lost(before[id], after[id]), lost(after[id], before[id])
		if len(gone)+len(come) > 0 {
			w.d.note(change{ItemID: id, Kind: changeAC, Lost: gone, Only: append(slices.Clone(gone), come...)})
			noted = true
		}
	}
	if !noted {
		w.d.Seq++
	}
	return w.save()
}

func (d *drive) group(id string) (*company.Group, error) {
	i := slices.IndexFunc(d.Groups, func(g company.Group) bool { return g.ID == id })
	if i < 0 {
		return nil, fmt.Errorf("%w: group %q", ErrNotFound, id)
	}
	return &d.Groups[i], nil
}

// AddMember puts a person or group into a group.
func (w *World) AddMember(groupID string, m company.Ref) error {
	return w.members(func(d *drive) error {
		g, err := d.group(groupID)
		if err != nil {
			return err
		}
		if !slices.Contains(g.Members, m) {
			g.Members = append(g.Members, m)
		}
		return nil
	})
}

// RemoveMember takes a person or group out of a group.
func (w *World) RemoveMember(groupID string, m company.Ref) error {
	return w.members(func(d *drive) error {
		g, err := d.group(groupID)
		if err != nil {
			return err
		}
		g.Members = slices.DeleteFunc(g.Members, func(x company.Ref) bool { return x == m })
		return nil
	})
}

// SetActive says whether a person works here: one who does not can neither sign in nor read, and the person's tokens
// are refused.
func (w *World) SetActive(personID string, active bool) error {
	return w.members(func(d *drive) error {
		i := slices.IndexFunc(d.People, func(p company.Person) bool { return p.ID == personID })
		if i < 0 {
			return fmt.Errorf("%w: person %q", ErrNotFound, personID)
		}
		d.People[i].Active = active
		return nil
	})
}
