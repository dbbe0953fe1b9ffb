package gitea

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"tributary/connectors"
)

// Snapshot yields every document of the selection, repository by repository in the order of ids.
func (s *session) Snapshot(ctx context.Context, from connectors.Cursor) iter.Seq2[connectors.Page, error] {
	return s.list(ctx, from, &walker{s: s, op: "listing gitea documents", texts: true, readers: true})
}

// ListIDs yields the ids and revisions of the selection.
func (s *session) ListIDs(ctx context.Context, from connectors.Cursor) iter.Seq2[connectors.Page, error] {
	return s.list(ctx, from, &walker{s: s, op: "listing gitea ids"})
}

// list reads all repositories with w.
func (s *session) list(ctx context.Context, from connectors.Cursor, w *walker) iter.Seq2[connectors.Page, error] {
	return func(yield func(connectors.Page, error) bool) {
		fail := func(err error) { yield(connectors.Page{}, err) }
		c, err := parseCursor(w.op, listAll, from)
		if err != nil {
			fail(err)
			return
		}
		if c.End {
			return
		}
		if _, err := s.signedIn(ctx, w.op); err != nil {
			fail(err)
			return
		}
		repos, err := s.repositories(ctx, w.op)
		if err != nil {
			fail(err)
			return
		}
		at := *c.At
		for i := range repos {
			if repos[i].ID < at.Repo {
				continue
			}
			if repos[i].ID != at.Repo {
				at = place{Repo: repos[i].ID}
			}
			for at.Part != partEnd {
				var page connectors.Page
				if at, err = w.step(ctx, &repos[i], at, &page); err != nil {
					fail(err)
					return
				}
				if empty(page) {
					continue
				}
				page.Next = cursor{List: listAll, At: &at}.encode()
				if !yield(page, nil) {
					return
				}
			}
		}
		// SECURITY: the end is said only while the token still stands for the account.
		if _, err := s.signedIn(ctx, w.op); err != nil {
			fail(err)
			return
		}
		yield(connectors.Page{Next: cursor{List: listAll, End: true}.encode(), Complete: true}, nil)
	}
}

func empty(p connectors.Page) bool { return len(p.Changes)+len(p.Skipped)+len(p.Blocked) == 0 }

// walker reads repositories part by part and makes changes of what it finds.
type walker struct {
	s  *session
	op string
	// texts asks for documents that open, readers for ACLs; readersOnly makes changes of ACLs alone.
	texts, readers, readersOnly bool
	// told are the readers that were asked for, by repository.
	told map[int64]*readers
	// remarks are digests of the comments of issues, of one repository.
	remarks   map[int64]string
	remarksOf int64
	// refused is the repository of which a part was refused last.
	refused int64
}

// step reads the page at a place of a repository into page and returns the place behind it. A part that is refused blocks the
// repository.
func (w *walker) step(ctx context.Context, r *repository, at place, page *connectors.Page) (place, error) {
	var next place
	var err error
	switch at.Part {
	case partFiles:
		next, err = w.files(ctx, r, at, page)
	case partIssues:
		next, err = w.issues(ctx, r, at, page)
	case partWiki:
		next, err = w.wiki(ctx, r, at, page)
	default:
		return place{Repo: r.ID, Part: partEnd}, nil
	}
	if refused(err) {
		u := []unit{partFiles: unitCode, partIssues: unitIssues, partWiki: unitWiki}[at.Part]
		page.Blocked = append(page.Blocked, connectors.Container{ID: r.container(u), Reason: "The server refuses to list the " + string(u) + " of " + r.FullName + "."})
		w.refused = r.ID
		next, err = place{Repo: r.ID, Part: at.Part + 1}, nil
	}
	return next, err
}

// add appends the change of a document, if it is selected.
func (w *walker) add(ctx context.Context, page *connectors.Page, r *repository, u unit, ref connectors.ItemRef, d *connectors.Document) error {
	if !w.s.sel.paths.Has(d.Path) {
		return nil
	}
	c := connectors.Change{Op: connectors.Upsert, Ref: ref}
	if w.texts {
		c.Document = d
	}
	if w.readersOnly {
		c.Op = connectors.SetACL
	}
	if w.readers {
		var err error
		if c.ACL, err = w.acl(ctx, r, u); err != nil {
			return err
		}
	}
	page.Changes = append(page.Changes, c)
	return nil
}

// files reads the repository's own document and one page of its files.
func (w *walker) files(ctx context.Context, r *repository, at place, page *connectors.Page) (place, error) {
	next := place{Repo: r.ID, Part: partIssues}
	if at.Page == 0 && w.s.want.about {
		if err := w.add(ctx, page, r, unitAny, r.aboutRef(), w.s.aboutDocument(r)); err != nil {
			return next, err
		}
	}
	if at.Commit == "" {
		head, err := w.s.head(ctx, w.op, r)
		if err != nil || head == "" {
			return next, err
		}
		at.Commit = head
	}
	t, err := w.s.tree(ctx, w.op, r, at.Commit, at.Page+1, true)
	if goneCommit(err) {
		// The branch was rewritten while it was listed: its new files are listed from the start.
		return place{Repo: r.ID, Part: partFiles}, w.moved(ctx, r, at)
	}
	if err != nil {
		return next, err
	}
	for _, e := range t.Entries {
		if err := w.file(ctx, page, r, e); err != nil {
			return next, err
		}
	}
	if t.Truncated && len(t.Entries) > 0 {
		return place{Repo: r.ID, Part: partFiles, Page: at.Page + 1, Commit: at.Commit}, nil
	}
	return next, nil
}

// moved returns a refusal unless the branch ends in another commit than the one that is gone.
func (w *walker) moved(ctx context.Context, r *repository, at place) error {
	head, err := w.s.head(ctx, w.op, r)
	if err == nil && head == at.Commit {
		return notSelected(w.op, about(r.id()))
	}
	return err
}

// file adds one entry of a tree.
func (w *walker) file(ctx context.Context, page *connectors.Page, r *repository, e treeEntry) error {
	if e.Type == entryTree || e.Path == "" || e.SHA == "" {
		return nil
	}
	ref := connectors.ItemRef{ID: r.fileID(e.Path), Revision: e.SHA}
	if reason := unread(e); reason != "" {
		if w.s.sel.paths.Has(r.FullName + "/" + e.Path) {
			page.Skipped = append(page.Skipped, connectors.Skip{Ref: ref, Path: r.FullName + "/" + e.Path, Reason: reason})
		}
		return nil
	}
	return w.add(ctx, page, r, unitCode, ref, w.s.fileDocument(r, e))
}

// unread says why an entry of a tree is not read, "" where it is.
func unread(e treeEntry) string {
	switch {
	case e.Type != entryBlob:
		return "It is a module of another repository."
	case slices.ContainsFunc(strings.Split(e.Path, "/"), func(el string) bool { return el == "" || el == "." || el == ".." }):
		return "Its path is none that can be asked for."
	case e.Mode == modeLink:
		return "It is a symbolic link."
	case e.Size > connectors.MaxBody:
		return "The file is larger than 64 MB."
	}
	return ""
}

// issues reads one page of issues and pull requests.
func (w *walker) issues(ctx context.Context, r *repository, at place, page *connectors.Page) (place, error) {
	next := place{Repo: r.ID, Part: partWiki}
	kind, ok := r.kinds(w.s.want)
	if !ok {
		return next, nil
	}
	if err := w.readRemarks(ctx, r); err != nil {
		return next, err
	}
	c := repoCall(w.op, r, "issues")
	c.Scope, c.Query = scopeIssue, issueQuery(kind)
	p, err := readPage[issue](ctx, w.s, c, at.Page+1, w.s.cfg.PageSize)
	if err != nil {
		return next, err
	}
	for _, is := range p.entries {
		if err := w.issue(ctx, page, r, &is, w.remarks[is.Number]); err != nil {
			return next, err
		}
	}
	if further, again := behind(at, p.more, p.total, len(p.entries)); again {
		return further, nil
	}
	return next, nil
}

func issueQuery(kind string) url.Values {
	q := url.Values{"state": {"all"}}
	if kind != "" {
		q.Set("type", kind)
	}
	return q
}

// issue adds one issue or pull request.
func (w *walker) issue(ctx context.Context, page *connectors.Page, r *repository, is *issue, remarks string) error {
	if is.Number <= 0 {
		return nil
	}
	u := unitIssues
	if is.Pull != nil {
		u = unitPulls
	}
	ref := connectors.ItemRef{ID: r.issueID(is.Number), Revision: is.revision(remarks)}
	return w.add(ctx, page, r, u, ref, w.s.issueDocument(r, is))
}

// behind returns the place behind a page of a list that new entries do not shift to and fro: where entries have vanished since the
// page before, later ones have moved up to it, so the listing goes back as many pages. again is false at the end.
func behind(at place, more bool, total, n int) (next place, again bool) {
	next = place{Repo: at.Repo, Part: at.Part, Page: at.Page + 1, Total: total}
	if lost := at.Total - total; at.Page > 0 && total >= 0 && lost > 0 {
		back := 1
		if n > 0 {
			back += lost / n
		}
		next.Page = max(0, at.Page-back)
		return next, true
	}
	return next, more && (total < 0 || at.Page < total) // no page before the end is empty
}

// wiki reads one page of the list of wiki pages.
func (w *walker) wiki(ctx context.Context, r *repository, at place, page *connectors.Page) (place, error) {
	next := place{Repo: r.ID, Part: partEnd}
	if !w.s.want.wiki || !r.hasWiki() {
		return next, nil
	}
	p, err := readPage[wikiMeta](ctx, w.s, repoCall(w.op, r, "wiki", "pages"), at.Page+1, w.s.cfg.PageSize)
	if statusOf(err) == http.StatusNotFound && w.refused != r.ID {
		return next, nil // a wiki that was never written is answered so, and a repository that cannot be seen
	}
	if err != nil {
		return next, err
	}
	for _, m := range p.entries {
		if err := w.wikiPage(ctx, page, r, m); err != nil {
			return next, err
		}
	}
	if further, again := behind(at, p.more, p.total, len(p.entries)); again {
		return further, nil
	}
	return next, nil
}

func (w *walker) wikiPage(ctx context.Context, page *connectors.Page, r *repository, m wikiMeta) error {
	if m.SubURL == "" || m.LastCommit.SHA == "" {
		return nil
	}
	ref := connectors.ItemRef{ID: r.wikiID(m.SubURL), Revision: m.LastCommit.SHA}
	return w.add(ctx, page, r, unitWiki, ref, w.s.wikiDocument(r, m))
}

// readRemarks reads the digests of all comments of a repository, once.
func (w *walker) readRemarks(ctx context.Context, r *repository) error {
	if w.readersOnly || w.remarksOf == r.ID {
		return nil
	}
	c := repoCall(w.op, r, "issues", "comments")
	c.Scope = scopeIssue
	byIssue := map[int64][]string{}
	for one, err := range entries[comment](ctx, w.s, c) {
		if err != nil {
			return err
		}
		byIssue[one.number()] = append(byIssue[one.number()], one.mark())
	}
	w.remarks, w.remarksOf = make(map[int64]string, len(byIssue)), r.ID
	for n, marks := range byIssue {
		w.remarks[n] = digestOf(marks)
	}
	return nil
}

// mark names one version of a comment; an edit within the server's second makes another.
func (c *comment) mark() string { return stamp(c.ID, c.UpdatedAt) + "=" + digest(c.Body) }

// remarksOf is a digest of the comments of one issue.
func remarksOf(list []comment) string {
	marks := make([]string, len(list))
	for i := range list {
		marks[i] = list[i].mark()
	}
	return digestOf(marks)
}

// digestOf is equal for equal marks in whatever order, and "" for none.
func digestOf(marks []string) string {
	if len(marks) == 0 {
		return ""
	}
	slices.Sort(marks)
	return digest(slices.Compact(marks)...)
}
