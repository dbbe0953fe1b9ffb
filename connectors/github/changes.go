package github

import (
	"context"
	"errors"
	"iter"
	"slices"
	"time"

	"tributary/connectors"
)

// overlap is how far back the feed looks again: GitHub's lists may lag behind
// its own clock.
const overlap = 2 * time.Minute

var errOpened = errors.New("a repository that was closed can be read: a whole listing brings it")

var errVanished = errors.New("a repository is gone: a whole listing decides what is left")

// Start returns what is known of every repository at this moment. The next
// snapshot of the session lists the very commits, so that no file can come and
// go between the two.
func (s *session) Start(ctx context.Context) (connectors.Cursor, error) {
	const op = "taking github's feed position"
	c, err := s.selected(ctx, op)
	if err != nil {
		return nil, err
	}
	at := feedCursor{Lists: c.pages, Repos: make([]repoState, 0, len(c.repos))}
	s.heads = map[int64]string{}
	for i := range c.repos {
		r := &c.repos[i]
		rs := stateOf(r, c.at)
		commit, m, err := s.head(ctx, op, r, "")
		switch {
		case closed(err):
			rs.Closed = true
		case err != nil:
			return nil, err
		}
		rs.Head, rs.HeadTag = commit, m.Kept.ETag
		if commit != "" {
			s.heads[r.ID] = commit
		}
		at.Repos = append(at.Repos, rs)
	}
	return at.encode(), nil
}

// stateOf is what a list tells of a repository that is up to date at a time of
// the server.
func stateOf(r *repository, at time.Time) repoState {
	ref, _ := repoDocument(r)
	since := poll{}
	if !at.IsZero() {
		since.Since = stamp(at.Add(-overlap))
	}
	return repoState{
		ID: r.ID, Name: r.FullName, Branch: r.DefaultBranch, Text: ref.Revision, NoIssue: r.noIssues(),
		Issues: since, Comments: since, Reviews: since,
	}
}

// feed reads what is new since at.
type feed struct {
	s  *session
	op string
	at feedCursor
	// full are the repositories as the list has them, where it was read.
	full map[int64]*repository
	// moved says that at holds what no page has said yet.
	moved bool
	yield func(connectors.Page, error) bool
}

// errStopped ends the feed at its consumer's wish.
var errStopped = errors.New("stopped")

// Changes yields what happened since from. Repositories that are new or were
// renamed are read as a whole.
func (s *session) Changes(ctx context.Context, from connectors.Cursor) iter.Seq2[connectors.Page, error] {
	return func(yield func(connectors.Page, error) bool) {
		f := &feed{s: s, op: "listing github changes", yield: yield}
		err := f.run(ctx, from)
		if err != nil && !errors.Is(err, errStopped) {
			yield(connectors.Page{}, err)
		}
	}
}

func (f *feed) run(ctx context.Context, from connectors.Cursor) error {
	var err error
	if f.at, err = parseFeed(f.op, from); err != nil {
		return err
	}
	if err := f.refresh(ctx); err != nil {
		return err
	}
	for i := range f.at.Repos {
		err := f.repository(ctx, &f.at.Repos[i])
		if closed(err) {
			f.s.log.WarnContext(ctx, "changes of a repository cannot be read", "repository", f.at.Repos[i].ID, "error", err)
			continue
		}
		if err != nil {
			return err
		}
	}
	if f.moved {
		return f.page(nil, nil)
	}
	return nil
}

// page yields changes with the position behind them.
func (f *feed) page(changes []connectors.Change, skipped []connectors.Skip) error {
	f.moved = false
	f.at.Seq++
	if !f.yield(connectors.Page{Changes: changes, Skipped: skipped, Next: f.at.encode()}, nil) {
		return errStopped
	}
	return nil
}

// refresh brings the list of repositories up to date. It is asked for whole
// where it changed, or where what it said of a repository was not all told.
func (f *feed) refresh(ctx context.Context) error {
	whole := false
	for i := range f.at.Repos {
		rs := &f.at.Repos[i]
		whole = whole || rs.Walk != nil || rs.Text == ""
	}
	if !whole {
		same, err := f.s.unchanged(ctx, f.op, f.at.Lists)
		if err != nil || same {
			return err
		}
	}
	c, err := f.s.selected(ctx, f.op)
	if err != nil {
		return err
	}
	return f.merge(c)
}

// merge takes over what the list of repositories says.
func (f *feed) merge(c *catalogue) error {
	old := map[int64]repoState{}
	for _, rs := range f.at.Repos {
		old[rs.ID] = rs
	}
	f.full = map[int64]*repository{}
	var repos []repoState
	for i := range c.repos {
		r := &c.repos[i]
		f.full[r.ID] = r
		rs, known := old[r.ID]
		delete(old, r.ID)
		if !known {
			rs = stateOf(r, c.at)
		}
		if !known || rs.Name != r.FullName || rs.NoIssue != r.noIssues() {
			rs.Walk = &place{}
		}
		if ref, _ := repoDocument(r); ref.Revision != rs.Text {
			rs.Text = ""
		}
		rs.Name, rs.Branch, rs.NoIssue = r.FullName, r.DefaultBranch, r.noIssues()
		repos = append(repos, rs)
	}
	for _, rs := range old {
		if !c.partial {
			return expired(f.op, errVanished)
		}
		repos = append(repos, rs)
	}
	slices.SortFunc(repos, func(a, b repoState) int { return int(min(max(a.ID-b.ID, -1), 1)) })
	f.at.Lists, f.at.Repos, f.moved = c.pages, repos, true
	return nil
}

// known is the repository as far as the cursor tells.
func (f *feed) known(rs *repoState) *repository {
	if r := f.full[rs.ID]; r != nil {
		return r
	}
	issues := !rs.NoIssue
	return &repository{ID: rs.ID, FullName: rs.Name, DefaultBranch: rs.Branch, HasIssues: &issues, HTMLURL: f.s.webAddress(rs.Name)}
}

// repository yields what is new in one repository.
func (f *feed) repository(ctx context.Context, rs *repoState) error {
	r := f.known(rs)
	if rs.Closed {
		return f.opened(ctx, r)
	}
	if f.full[rs.ID] == nil && (rs.Walk != nil || rs.Text == "") {
		return nil // the list was partial: it is for another run
	}
	if rs.Walk != nil {
		if err := f.walk(ctx, rs, r); err != nil || rs.Walk != nil {
			return err
		}
	}
	if err := f.text(rs, r); err != nil {
		return err
	}
	if err := f.files(ctx, rs, r); err != nil {
		return err
	}
	return f.talk(ctx, rs, r)
}

// opened returns CursorExpired where a repository that was closed can be read.
func (f *feed) opened(ctx context.Context, r *repository) error {
	if _, _, err := f.s.head(ctx, f.op, r, ""); err != nil {
		return err
	}
	return expired(f.op, errOpened)
}

// text yields the repository's own document where it changed.
func (f *feed) text(rs *repoState, r *repository) error {
	if rs.Text != "" {
		return nil
	}
	ref, _ := repoDocument(r)
	rs.Text, f.moved = ref.Revision, true
	st := step{}
	f.walker(r).about(&st)
	return f.page(st.changes, nil)
}

func (f *feed) walker(r *repository) *walker {
	return &walker{s: f.s, op: f.op, r: r, mode: modeWhole}
}

// walk reads the repository as a whole, from rs.Walk on.
func (f *feed) walk(ctx context.Context, rs *repoState, r *repository) error {
	if rs.Walk.Stage == stageStart {
		if err := f.begin(ctx, rs, r); err != nil {
			return err
		}
	}
	for st, err := range f.walker(r).steps(ctx, *rs.Walk) {
		if err != nil || len(st.blocked) > 0 {
			return err
		}
		rs.Walk = &st.next
		if st.next.Stage == stageEnd {
			rs.Walk = nil
		}
		if err := f.page(st.changes, st.skipped); err != nil {
			return err
		}
	}
	rs.Walk, f.moved = nil, true
	return nil
}

// begin notes what the repository is before it is read as a whole, and tells
// files that are gone, which no walk meets.
func (f *feed) begin(ctx context.Context, rs *repoState, r *repository) error {
	if rs.Head != "" {
		if err := f.files(ctx, rs, r); err != nil {
			return err
		}
	} else {
		commit, m, err := f.s.head(ctx, f.op, r, "")
		if err != nil {
			return err
		}
		rs.Head, rs.HeadTag = commit, m.Kept.ETag
	}
	ref, _ := repoDocument(r)
	rs.Text, rs.Issues.Tag = ref.Revision, ""
	rs.Walk, f.moved = &place{Commit: rs.Head}, true
	return nil
}
