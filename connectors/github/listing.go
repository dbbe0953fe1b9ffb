package github

import (
	"context"
	"iter"
	"maps"

	"tributary/connectors"
)

// Snapshot yields every document of the selection, repository by repository in
// the order of ids.
func (s *session) Snapshot(ctx context.Context, from connectors.Cursor) iter.Seq2[connectors.Page, error] {
	return s.list(ctx, "listing github repositories", from, modeWhole)
}

// ListIDs yields the ids of the selection.
func (s *session) ListIDs(ctx context.Context, from connectors.Cursor) iter.Seq2[connectors.Page, error] {
	return s.list(ctx, "listing github ids", from, modeIDs)
}

// list walks every repository of the selection. It is complete where the list
// of repositories was.
func (s *session) list(ctx context.Context, op string, from connectors.Cursor, m mode) iter.Seq2[connectors.Page, error] {
	return func(yield func(connectors.Page, error) bool) {
		at, err := parseList(op, from)
		if err != nil || at.End {
			if err != nil {
				yield(connectors.Page{}, err)
			}
			return
		}
		if from.IsZero() && m == modeWhole {
			at.Heads, s.heads = s.heads, nil
		}
		c, err := s.selected(ctx, op)
		if err != nil {
			yield(connectors.Page{}, err)
			return
		}
		for i := range c.repos {
			r := &c.repos[i]
			if r.ID < at.Repo {
				continue
			}
			if r.ID != at.Repo {
				at.Repo, at.At = r.ID, place{Commit: at.Heads[r.ID]}
				maps.DeleteFunc(at.Heads, func(id int64, _ string) bool { return id <= r.ID })
			}
			for page, err := range s.repository(ctx, op, r, at, m) {
				if !yield(page, err) || err != nil {
					return
				}
			}
		}
		yield(connectors.Page{Complete: !c.partial, Next: listCursor{End: true}.encode()}, nil)
	}
}

// repository yields the pages of one repository.
func (s *session) repository(ctx context.Context, op string, r *repository, at listCursor, m mode) iter.Seq2[connectors.Page, error] {
	return func(yield func(connectors.Page, error) bool) {
		w := &walker{s: s, op: op, r: r, mode: m}
		for st, err := range w.steps(ctx, at.At) {
			at.At = st.next
			page := connectors.Page{Changes: st.changes, Skipped: st.skipped, Blocked: st.blocked, Next: at.encode()}
			if !yield(page, err) || err != nil {
				return
			}
		}
	}
}
