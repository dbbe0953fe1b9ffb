package github

import (
	"context"
	"iter"
	"net/http"

	"tributary/connectors"
)

// mode says what a listing is for.
type mode int

const (
	// modeWhole yields documents with their ACL.
	modeWhole mode = iota
	// modeIDs yields ids alone.
	modeIDs
)

// walker reads one repository as a whole.
type walker struct {
	s    *session
	op   string
	r    *repository
	mode mode
	// commit is the one that files are of.
	commit string
	files  []treeEntry
	// told takes the time of each issue that was added; it may be nil.
	told map[int]string
}

// step is a piece of a repository. Next is the place behind it.
type step struct {
	changes []connectors.Change
	skipped []connectors.Skip
	blocked []connectors.Container
	next    place
}

func (st *step) empty() bool { return len(st.changes)+len(st.skipped)+len(st.blocked) == 0 }

// full reports whether the step is as large as a page may be.
func (w *walker) full(st *step) bool { return len(st.changes)+len(st.skipped) >= w.s.cfg.PageSize }

// add adds one document in the form that the mode asks for.
func (w *walker) add(st *step, ref connectors.ItemRef, d *connectors.Document) {
	c := connectors.Change{Op: connectors.Upsert, Ref: ref}
	if w.mode == modeWhole {
		c.Document, c.ACL = d, aclOf(w.r)
	}
	st.changes = append(st.changes, c)
}

func (w *walker) skip(st *step, ref connectors.ItemRef, path, reason string) {
	st.skipped = append(st.skipped, connectors.Skip{Ref: ref, Path: path, Reason: reason})
}

// steps reads the repository from at to its end. What is closed to the account
// ends it as a blocked container.
func (w *walker) steps(ctx context.Context, at place) iter.Seq2[step, error] {
	return func(yield func(step, error) bool) {
		for at.Stage != stageEnd {
			st, err := w.step(ctx, at)
			if closed(err) {
				st, err = w.blocked(ctx, err), nil
			}
			if err != nil {
				yield(step{}, err)
				return
			}
			at = st.next
			if !st.empty() && !yield(st, nil) {
				return
			}
		}
	}
}

// blocked ends the repository with the reason why the rest of it cannot be
// listed.
func (w *walker) blocked(ctx context.Context, err error) step {
	w.s.log.WarnContext(ctx, "repository cannot be listed", "repository", w.r.ID, "error", err)
	return step{
		blocked: []connectors.Container{{ID: w.r.id(), Reason: err.Error()}},
		next:    place{Stage: stageEnd},
	}
}

func (w *walker) step(ctx context.Context, at place) (step, error) {
	if ctx.Err() != nil {
		return step{}, &connectors.Error{Op: w.op, Class: connectors.Transient, Err: ctx.Err()}
	}
	switch at.Stage {
	case stageFiles:
		return w.fileStep(ctx, at)
	case stageIssues:
		return w.issueStep(ctx, at)
	default:
		st := step{next: place{Stage: stageFiles, Commit: at.Commit}}
		w.about(&st)
		return st, nil
	}
}

// about adds the repository's own document.
func (w *walker) about(st *step) {
	if ref, d := repoDocument(w.r); w.s.opt.about && w.s.sel.paths.Has(d.Path) {
		w.add(st, ref, d)
	}
}

// fileStep reads the files behind at.After.
func (w *walker) fileStep(ctx context.Context, at place) (step, error) {
	if !w.s.opt.files {
		return step{next: place{Stage: stageIssues}}, nil
	}
	at, err := w.load(ctx, at)
	if err != nil {
		return step{}, err
	}
	st := step{next: place{Stage: stageIssues}}
	for _, e := range w.files {
		if e.Path <= at.After {
			continue
		}
		if w.full(&st) {
			return st, nil
		}
		w.file(&st, e)
		st.next = place{Stage: stageFiles, Commit: at.Commit, After: e.Path}
	}
	st.next = place{Stage: stageIssues}
	return st, nil
}

// load reads the files of at's commit, or of the branch as it is where none is
// set. A commit that is gone since the cursor was made gives way to the
// branch as it is.
func (w *walker) load(ctx context.Context, at place) (place, error) {
	if at.Commit != "" && at.Commit == w.commit {
		return at, nil
	}
	resumed := at.Commit != ""
	var err error
	if !resumed {
		if at.Commit, _, err = w.s.head(ctx, w.op, w.r, ""); err != nil {
			return at, err
		}
	}
	files, err := w.s.tree(ctx, w.op, w.r, at.Commit)
	switch status := statusOf(err); {
	case status == http.StatusConflict: // it has no commits
	case resumed && status == http.StatusNotFound:
		return w.load(ctx, place{Stage: stageFiles})
	case err != nil:
		return at, err
	}
	w.commit, w.files = at.Commit, files
	return at, nil
}

// file adds one entry of a tree.
func (w *walker) file(st *step, e treeEntry) {
	path := filePath(w.r, e.Path)
	if !w.s.sel.paths.Has(path) {
		return
	}
	ref := fileRef(w.r, e)
	if reason := w.s.unfit(e); reason != "" {
		w.skip(st, ref, path, reason)
		return
	}
	w.add(st, ref, w.s.fileDocument(w.r, e))
}
