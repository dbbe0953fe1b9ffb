package sandbox

import (
	"context"

	"tributary/connectors"
	"tributary/internal/httpx"
)

// maxDepth is how deep folders may lie in each other; deeper is treated as
// unknown.
const maxDepth = 64

// keptFolder is a folder of an earlier listing.
type keptFolder struct {
	item       item
	validators httpx.Validators
}

// folders are the folders of one listing, each asked for once. What the
// listing itself shows is taken from there. Nil stands for a folder that the
// account cannot see.
type folders struct {
	s    *session
	op   string
	seen map[string]*item
	// closed are those that answer 403: what lies below them cannot be told.
	closed map[string]bool
	// page is what is told of folders with the next page.
	page connectors.Page
	// left are the people who have left; nil until it is needed.
	left map[string]bool
}

func (s *session) newFolders(op string) *folders {
	return &folders{s: s, op: op, seen: map[string]*item{}, closed: map[string]bool{}}
}

// note takes over a folder that a listing shows.
func (f *folders) note(it *item) {
	if it.Kind == kindFolder {
		f.seen[it.ID] = it
		f.page.Containers = append(f.page.Containers, connectors.Place{ID: it.ID, Parent: it.container()})
	}
}

// tell puts on a page what was learned of folders since the one before.
func (f *folders) tell(page *connectors.Page) {
	page.Containers, page.Blocked = append(page.Containers, f.page.Containers...), append(page.Blocked, f.page.Blocked...)
	f.page = connectors.Page{}
}

// unclear reports whether it may be selected and nobody can tell, because chain
// ends below a folder that answers 403.
func (f *folders) unclear(it *item, chain []*item) bool {
	return f.closed[chain[len(chain)-1].ParentID] && f.s.sel.paths.Has(it.Path) && !f.s.sel.file(it, chain)
}

// keep is a change that leaves a document as it is, and lets nobody read it.
func keep(it *item) connectors.Change {
	return connectors.Change{Op: connectors.SetACL, Ref: it.ref()}
}

// get returns a folder, or nil for one that the account cannot see.
func (f *folders) get(ctx context.Context, id string) (*item, error) {
	if it, ok := f.seen[id]; ok {
		return it, nil
	}
	kept := f.s.kept[id]
	var answer item
	c := httpx.Call{Op: f.op, Scope: scopeFiles, Path: itemPath(id), Kept: kept.validators, Ref: connectors.ItemRef{ID: id}}
	m, err := f.s.api.JSON(ctx, c, &answer)
	switch {
	case connectors.ClassOf(err) == connectors.ItemRefused:
		delete(f.s.kept, id)
		f.seen[id] = nil
		if forbidden(err) {
			f.closed[id] = true
			f.page.Blocked = append(f.page.Blocked, connectors.Container{ID: id, Reason: "The folder is not given out to this account."})
		}
		return nil, nil
	case err != nil:
		return nil, err
	case !m.NotModified:
		kept = keptFolder{item: answer, validators: m.Kept}
		f.s.kept[id] = kept
	}
	if kept.item.ID != id || kept.item.Kind != kindFolder {
		f.seen[id] = nil
		return nil, nil
	}
	f.note(&kept.item)
	return &kept.item, nil
}

// path returns it and the folders above it up to the root. Whole is false where
// one of them cannot be seen, or where they do not end.
func (f *folders) path(ctx context.Context, it *item) (chain []*item, whole bool, err error) {
	chain = []*item{it}
	for id := it.ParentID; id != ""; {
		parent, err := f.get(ctx, id)
		if err != nil {
			return nil, false, err
		}
		if parent == nil || len(chain) > maxDepth {
			return chain, false, nil
		}
		chain = append(chain, parent)
		id = parent.ParentID
	}
	return chain, true, nil
}

// hasLeft reports whether a person has left, for whom the sandbox lets nothing
// be read, whatever is shared. Without the scope to ask nobody has.
func (f *folders) hasLeft(ctx context.Context, id string) (bool, error) {
	if f.left == nil {
		left := map[string]bool{}
		for p, err := range f.s.people(ctx, f.op) {
			if connectors.ClassOf(err) == connectors.ScopeDenied {
				break
			}
			if err != nil {
				return false, err
			}
			if !p.Active {
				left[p.ID] = true
			}
		}
		f.left = left
	}
	return f.left[id], nil
}
