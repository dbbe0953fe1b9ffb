package github

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"

	"tributary/connectors"
	"tributary/internal/httpx"
)

// noCommit stands for the tip of a branch that does not exist.
const noCommit = "0000000000000000000000000000000000000000"

// maxCompared is how many files a comparison lists; more are cut off.
// https://docs.github.com/rest/commits/commits#compare-two-commits
const maxCompared = 300

var errBase = errors.New("a commit that was read is gone")

// fileChange is a file that another commit has otherwise; entry is nil where it
// has it no more.
type fileChange struct {
	path  string
	entry *treeEntry
}

// files yields the files that differ between the commit that is known and the
// tip of the default branch.
func (f *feed) files(ctx context.Context, rs *repoState, r *repository) error {
	if !f.s.opt.files {
		return nil
	}
	if rs.To == "" {
		if err := f.tip(ctx, rs, r); err != nil || rs.To == "" {
			return err
		}
	}
	changes, err := f.s.difference(ctx, f.op, r, rs.Head, rs.To)
	if err != nil {
		return err
	}
	w := f.walker(r)
	st := step{}
	for _, c := range changes {
		if c.path <= rs.After {
			continue
		}
		if w.full(&st) {
			if err := f.page(st.changes, st.skipped); err != nil {
				return err
			}
			st = step{}
		}
		w.changed(&st, c)
		rs.After = c.path
	}
	rs.Head, rs.To, rs.After, f.moved = realCommit(rs.To), "", "", true
	if st.empty() {
		return nil
	}
	return f.page(st.changes, st.skipped)
}

// tip sets rs.To where the branch has moved.
func (f *feed) tip(ctx context.Context, rs *repoState, r *repository) error {
	commit, m, err := f.s.head(ctx, f.op, r, rs.HeadTag)
	if err != nil || m.NotModified {
		return err
	}
	if m.Kept.ETag != rs.HeadTag {
		rs.HeadTag, f.moved = m.Kept.ETag, true
	}
	if commit != rs.Head {
		rs.To, f.moved = cmp.Or(commit, noCommit), true
	}
	return nil
}

func realCommit(sha string) string {
	if sha == noCommit {
		return ""
	}
	return sha
}

// changed adds one changed file. What is a document no more is a deletion,
// with the reason beside it.
func (w *walker) changed(st *step, c fileChange) {
	path := filePath(w.r, c.path)
	if !w.s.sel.paths.Has(path) {
		return
	}
	gone := connectors.Change{Op: connectors.Delete, Ref: connectors.ItemRef{ID: fileID(w.r, c.path)}}
	if c.entry == nil {
		st.changes = append(st.changes, gone)
		return
	}
	if w.s.unfit(*c.entry) != "" {
		st.changes = append(st.changes, gone)
	}
	w.file(st, *c.entry)
}

// difference returns what differs between two commits, in the order of paths:
// by comparison where it is whole and goes straight ahead, else by both trees,
// as after a push by force. A first commit that is gone is CursorExpired,
// because nothing tells which files it had.
func (s *session) difference(ctx context.Context, op string, r *repository, from, to string) ([]fileChange, error) {
	if from != "" && to != noCommit {
		changes, ok, err := s.compared(ctx, op, r, from, to)
		if err != nil || ok {
			return changes, err
		}
	}
	before, err := s.known(ctx, op, r, from)
	if err != nil {
		return nil, err
	}
	after, err := s.known(ctx, op, r, realCommit(to))
	return treeDifference(before, after), err
}

// known returns the files of a commit that there was.
func (s *session) known(ctx context.Context, op string, r *repository, commit string) ([]treeEntry, error) {
	files, err := s.tree(ctx, op, r, commit)
	if status := statusOf(err); status == http.StatusNotFound || status == http.StatusConflict {
		return nil, expired(op, errBase)
	}
	return files, err
}

// compared asks GitHub for the difference; ok is false where its answer is not
// the whole of it.
func (s *session) compared(ctx context.Context, op string, r *repository, from, to string) (changes []fileChange, ok bool, err error) {
	var c comparison
	call := httpx.Call{Op: op, Path: repoPath(r, "compare", url.PathEscape(from+"..."+to)), Query: url.Values{"per_page": {"1"}, "page": {"1"}}}
	_, err = s.api.JSON(ctx, call, &c)
	switch status := statusOf(err); {
	case status == http.StatusNotFound, status == http.StatusUnprocessableEntity, status >= http.StatusInternalServerError:
		return nil, false, nil // no common history, or too much of it
	case err != nil:
		return nil, false, err
	case c.Status == compareIdentical:
		return nil, true, nil
	case c.Status != compareAhead || len(c.Files) >= maxCompared:
		return nil, false, nil
	}
	gone, there := pathsOf(c.Files)
	entries, err := s.entries(ctx, op, r, to, there)
	if err != nil {
		return nil, false, err
	}
	for _, p := range gone {
		if !slices.Contains(there, p) {
			changes = append(changes, fileChange{path: p})
		}
	}
	for _, p := range there {
		e, found := entries[p]
		if !found {
			return nil, false, nil
		}
		changes = append(changes, fileChange{path: p, entry: &e})
	}
	sortChanges(changes)
	return changes, true, nil
}

// pathsOf returns the paths that a comparison says are gone, and those that are
// there.
func pathsOf(files []changedFile) (gone, there []string) {
	for _, f := range files {
		switch f.Status {
		case fileUnchanged:
		case fileRemoved:
			gone = append(gone, f.Filename)
		case fileRenamed:
			gone, there = append(gone, f.Previous), append(there, f.Filename)
		default:
			there = append(there, f.Filename)
		}
	}
	return gone, there
}

func treeDifference(before, after []treeEntry) []fileChange {
	old := map[string]treeEntry{}
	for _, e := range before {
		old[e.Path] = e
	}
	var changes []fileChange
	for i := range after {
		e := &after[i]
		was, had := old[e.Path]
		delete(old, e.Path)
		if !had || was.SHA != e.SHA || was.Mode != e.Mode {
			changes = append(changes, fileChange{path: e.Path, entry: e})
		}
	}
	for p := range old {
		changes = append(changes, fileChange{path: p})
	}
	sortChanges(changes)
	return changes
}

func sortChanges(changes []fileChange) {
	slices.SortFunc(changes, func(a, b fileChange) int { return cmp.Compare(a.path, b.path) })
}
