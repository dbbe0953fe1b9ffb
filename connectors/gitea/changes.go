package gitea

import (
	"context"
	"errors"
	"iter"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"time"

	"tributary/connectors"
	"tributary/internal/httpx"
)

// overlap is how far the search for issues goes back behind what was seen, because the server's index lags.
const overlap = 2 * time.Minute

// Start returns the feed's position of this moment. What was updated shortly before may be shown again.
func (s *session) Start(ctx context.Context) (connectors.Cursor, error) {
	const op = "taking gitea's feed position"
	repos, err := s.repositories(ctx, op)
	if err != nil {
		return nil, err
	}
	c := cursor{List: listChanges, Since: s.now}
	for i := range repos {
		st, err := s.probe(ctx, op, &repos[i], s.now)
		if refused(err) {
			continue // it is new to the feed once it can be read
		}
		if err != nil {
			return nil, err
		}
		c.put(st)
	}
	return c.encode(), nil
}

// past returns a time of the server's, or the server's own where that is earlier: what is dated ahead must not hide what comes
// before it.
func (s *session) past(unix int64) int64 {
	if s.now > 0 {
		return min(unix, s.now)
	}
	return unix
}

// Changes yields what happened since from: repository by repository what differs from the state that the cursor holds.
func (s *session) Changes(ctx context.Context, from connectors.Cursor) iter.Seq2[connectors.Page, error] {
	return func(yield func(connectors.Page, error) bool) {
		const op = "listing gitea changes"
		c, err := parseCursor(op, listChanges, from)
		if err == nil {
			f := &feed{s: s, op: op, c: c, yield: yield, last: c.encode()}
			err = f.run(ctx)
		}
		if err != nil && !errors.Is(err, errEnough) {
			yield(connectors.Page{}, err)
		}
	}
}

// feed is one pass over all repositories.
type feed struct {
	s     *session
	op    string
	c     cursor
	last  connectors.Cursor
	yield func(connectors.Page, error) bool
	w     *walker
	// recent are the issues that a search found, by repository; nil is none that are new.
	recent map[int64][]issue
}

// run shows what is new, and last the position that the next pass begins at.
func (f *feed) run(ctx context.Context) error {
	f.w = &walker{s: f.s, op: f.op, texts: true, readers: true}
	repos, err := f.s.repositories(ctx, f.op)
	if err != nil {
		return err
	}
	if err := f.search(ctx); err != nil {
		return err
	}
	known := map[int64]repoState{}
	for _, st := range f.c.Repos {
		known[st.ID] = st
	}
	for i := range repos {
		r := &repos[i]
		st, had := known[r.ID]
		if !had {
			st, err = f.s.probe(ctx, f.op, r, f.c.Until)
			if refused(err) {
				continue
			}
			st.Walk = &place{Repo: r.ID}
		}
		if err == nil {
			err = f.repository(ctx, r, &st, had && r.ID > f.c.After)
		}
		if err != nil {
			return err
		}
	}
	f.c.Repos = slices.DeleteFunc(f.c.Repos, func(st repoState) bool {
		return !slices.ContainsFunc(repos, func(r repository) bool { return r.ID == st.ID })
	})
	f.c.Since, f.c.Seen, f.c.Until, f.c.Next, f.c.After = f.c.Until, f.c.Next, 0, "", 0
	return f.show(connectors.Page{})
}

// show yields a page with the position behind it, unless both are those of before.
func (f *feed) show(page connectors.Page) error {
	next := f.c.encode()
	if next.Equal(f.last) {
		return nil
	}
	page.Next, f.last = next, next
	if !f.yield(page, nil) {
		return errEnough
	}
	return nil
}

// keep stores the state of a repository and shows what led to it.
func (f *feed) keep(st repoState, page connectors.Page) error {
	f.c.put(st)
	if empty(page) {
		return nil
	}
	return f.show(page)
}

// search finds the issues that were updated since the last pass.
func (f *feed) search(ctx context.Context) error {
	resumed := f.c.After != 0
	if !f.s.want.issues && !f.s.want.pulls {
		f.c.Until, f.c.Next = f.c.Since, f.c.Seen
		return nil
	}
	c := httpx.Call{Op: f.op, Path: "repos/issues/search", Scope: scopeIssue, Query: url.Values{"state": {"all"}}}
	issueSince(c.Query, max(0, f.c.Since-int64(overlap/time.Second)))
	found, err := all[issue](ctx, f.s, c)
	if err != nil {
		return err
	}
	until := f.c.Since
	for _, is := range found {
		until = max(until, f.s.past(is.UpdatedAt.Unix()))
	}
	var marks []string
	for _, is := range found {
		if is.Repository != nil && is.UpdatedAt.Unix() >= until-int64(overlap/time.Second) {
			marks = append(marks, number(is.Repository.ID)+"#"+number(is.Number)+"="+is.revision(""))
		}
	}
	seen := digestOf(marks)
	if !resumed {
		f.c.Until, f.c.Next = until, seen
	}
	if !resumed && until == f.c.Since && seen == f.c.Seen {
		return nil
	}
	f.recent = map[int64][]issue{}
	for _, is := range found {
		if is.Repository != nil && is.Number > 0 && f.s.wants(&is) {
			f.recent[is.Repository.ID] = append(f.recent[is.Repository.ID], is)
		}
	}
	return nil
}

// wants reports whether the settings ask for what is an issue or a pull request.
func (s *session) wants(is *issue) bool {
	if is.Pull != nil {
		return s.want.pulls
	}
	return s.want.issues
}

// repository shows what is new in one repository. It is searched for differences unless this pass has done so, or it is new to
// the feed and listed as a whole.
func (f *feed) repository(ctx context.Context, r *repository, st *repoState, compare bool) error {
	if shape := f.s.shape(r); st.Shape != shape {
		st.Shape, st.Walk = shape, &place{Repo: r.ID}
	}
	if err := f.walk(ctx, r, st); err != nil || !compare {
		return err
	}
	f.c.After = r.ID - 1
	for _, step := range []step{f.about, f.files, f.wiki} {
		if err := f.take(ctx, r, st, step, f.c.After); err != nil {
			return err
		}
	}
	// Only the issues are known by a search over all repositories: with them the pass is through with this one.
	if err := f.take(ctx, r, st, f.issues, r.ID); err != nil {
		return err
	}
	return f.walk(ctx, r, st)
}

// step compares one part of a repository with its state, adds what changed to a page, and brings the state up to date.
type step func(context.Context, *repository, *repoState, *connectors.Page) error

// take shows what a step finds. What is refused now is read when it can be.
func (f *feed) take(ctx context.Context, r *repository, st *repoState, do step, after int64) error {
	var page connectors.Page
	now := *st
	err := do(ctx, r, &now, &page)
	if refused(err) {
		return nil
	}
	if err != nil {
		return err
	}
	*st, f.c.After = now, after
	return f.keep(*st, page)
}

// walk goes through a listing of the repository, where one is due.
func (f *feed) walk(ctx context.Context, r *repository, st *repoState) error {
	for st.Walk != nil {
		var page connectors.Page
		next, err := f.w.step(ctx, r, *st.Walk, &page)
		if err != nil {
			return err
		}
		st.Walk = &next
		if next.Part == partEnd {
			st.Walk = nil
		}
		if err := f.keep(*st, page); err != nil {
			return err
		}
	}
	return nil
}

// shape is a digest of what every document of a repository shows of it: where it is, and to whom it is open.
func (s *session) shape(r *repository) string {
	parts := []string{r.FullName, r.HTMLURL, r.DefaultBranch}
	for _, p := range s.open(r) {
		parts = append(parts, string(p.Kind)+":"+p.ID)
	}
	return digest(parts...)
}

// about shows the repository's own document where it changed.
func (f *feed) about(ctx context.Context, r *repository, st *repoState, page *connectors.Page) error {
	ref := r.aboutRef()
	if ref.Revision == st.About || !f.s.want.about {
		return nil
	}
	st.About = ref.Revision
	return f.w.add(ctx, page, r, unitAny, ref, f.s.aboutDocument(r))
}

// files shows the files that changed since the commit that the state names.
func (f *feed) files(ctx context.Context, r *repository, st *repoState, page *connectors.Page) error {
	head, err := f.s.head(ctx, f.op, r)
	if err != nil || head == st.Head {
		return err
	}
	d := &difference{s: f.s, op: f.op, r: r, changed: map[string]treeEntry{}, gone: map[string]bool{}}
	if err := d.between(ctx, st.Head, head, ""); err != nil {
		return err
	}
	for _, e := range d.entries() {
		if err := f.w.file(ctx, page, r, e); err != nil {
			return err
		}
	}
	for _, path := range d.deleted() {
		tombstone(page, r.fileID(path))
	}
	st.Head = head
	return nil
}

// tombstone says that a document is gone.
func tombstone(page *connectors.Page, id string) {
	page.Changes = append(page.Changes, connectors.Change{Op: connectors.Delete, Ref: connectors.ItemRef{ID: id}})
}

// wiki shows the pages that changed, and those that are gone: a page that the list lacks and the server still has stays.
func (f *feed) wiki(ctx context.Context, r *repository, st *repoState, page *connectors.Page) error {
	pages, ok, err := f.s.wikiPages(ctx, f.op, r)
	if err != nil || !ok {
		return err
	}
	now := *st
	now.setWiki(pages)
	if now.Wiki == st.Wiki {
		return nil
	}
	here := map[string]bool{}
	for _, m := range pages {
		here[m.SubURL] = true
		if short(m.LastCommit.SHA) == st.Pages[m.SubURL] {
			continue
		}
		if err := f.w.wikiPage(ctx, page, r, m); err != nil {
			return err
		}
	}
	for _, sub := range slices.Sorted(maps.Keys(st.Pages)) {
		if here[sub] {
			continue
		}
		c := repoCall(f.op, r, "wiki", "page", wikiElem(sub))
		if _, err := f.s.api.JSON(ctx, c, nil); gone(err) {
			tombstone(page, r.wikiID(sub))
		} else if err != nil {
			return err
		}
	}
	*st = now
	return nil
}

// short is enough of a commit's name to know it by.
func short(sha string) string { return sha[:min(len(sha), 12)] }

// number writes a number for a path.
func number(n int64) string { return strconv.FormatInt(n, 10) }
