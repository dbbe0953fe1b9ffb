package gitea

import (
	"context"
	"errors"
	"maps"
	"net/url"
	"slices"

	"tributary/connectors"
)

const (
	// maxWikiPages is how many pages of a wiki the feed compares one by one.
	maxWikiPages = 300
	// maxGaps is how many missing numbers of issues are looked at, the highest first, when an issue was deleted.
	maxGaps = 200
	// remarkOverlap is how far the list of comments goes back behind what was seen, in seconds.
	remarkOverlap = 10
)

var errEnough = errors.New("the consumer stopped")

// probe returns the state of a repository, at the server's time since.
func (s *session) probe(ctx context.Context, op string, r *repository, since int64) (repoState, error) {
	st := repoState{ID: r.ID, Shape: s.shape(r), About: r.aboutRef().Revision, CommentsSince: since}
	var err error
	if st.Head, err = s.head(ctx, op, r); err != nil {
		return st, err
	}
	if st.Issues, st.Newest, err = s.issueTotal(ctx, op, r); err != nil {
		return st, err
	}
	if st.Comments, st.LastComment, err = s.lastComment(ctx, op, r); err != nil {
		return st, err
	}
	pages, _, err := s.wikiPages(ctx, op, r)
	st.setWiki(pages)
	return st, err
}

// issueTotal returns how many issues and pull requests there are, and the highest number.
func (s *session) issueTotal(ctx context.Context, op string, r *repository) (total int, newest int64, err error) {
	kind, ok := r.kinds(s.want)
	if !ok {
		return 0, 0, nil
	}
	c := repoCall(op, r, "issues")
	c.Scope, c.Query = scopeIssue, issueQuery(kind)
	p, err := readPage[issue](ctx, s, c, 1, 1)
	if refused(err) {
		return 0, 0, nil
	}
	for _, is := range p.entries {
		newest = max(newest, is.Number)
	}
	return p.total, newest, err
}

// commentPage reads the comment at a place in the order of their creation, and how many there are.
func (s *session) commentPage(ctx context.Context, op string, r *repository, page int) (listPage[comment], error) {
	if _, ok := r.kinds(s.want); !ok {
		return listPage[comment]{}, nil
	}
	c := repoCall(op, r, "issues", "comments")
	c.Scope = scopeIssue
	p, err := readPage[comment](ctx, s, c, page, 1)
	if refused(err) {
		return listPage[comment]{}, nil
	}
	return p, err
}

// lastComment returns how many comments there are and the id of the newest.
func (s *session) lastComment(ctx context.Context, op string, r *repository) (total int, last int64, err error) {
	p, err := s.commentPage(ctx, op, r, 1)
	if err == nil && p.total > 1 {
		total := p.total
		p, err = s.commentPage(ctx, op, r, total)
		p.total = total
	}
	for _, c := range p.entries {
		last = max(last, c.ID)
	}
	return p.total, last, err
}

// wikiPages returns the list of wiki pages; ok is false where there is none to read.
func (s *session) wikiPages(ctx context.Context, op string, r *repository) (pages []wikiMeta, ok bool, err error) {
	if !s.want.wiki || !r.hasWiki() {
		return nil, false, nil
	}
	pages, err = all[wikiMeta](ctx, s, repoCall(op, r, "wiki", "pages"))
	if refused(err) {
		return nil, false, nil
	}
	return pages, err == nil, err
}

// setWiki keeps the commits of the wiki's pages, as many as are compared one by one.
func (st *repoState) setWiki(pages []wikiMeta) {
	st.Pages = nil
	var marks []string
	for _, m := range pages {
		marks = append(marks, m.SubURL+"@"+m.LastCommit.SHA)
	}
	st.Wiki = digestOf(marks)
	if len(pages) > maxWikiPages {
		return
	}
	for _, m := range pages {
		if st.Pages == nil {
			st.Pages = map[string]string{}
		}
		st.Pages[m.SubURL] = short(m.LastCommit.SHA)
	}
}

// issues shows the issues that were updated or whose comments were, and those that are gone. Where a comment is gone, which no
// issue tells, all of them are listed.
func (f *feed) issues(ctx context.Context, r *repository, st *repoState, page *connectors.Page) error {
	kind, ok := r.kinds(f.s.want)
	if !ok {
		return nil
	}
	fresh := map[int64]*issue{}
	added := 0
	for i := range f.recent[r.ID] {
		is := &f.recent[r.ID][i]
		if is.Number > st.Newest && fresh[is.Number] == nil {
			added++
		}
		fresh[is.Number] = is
	}
	remarked, err := f.remarks(ctx, r, st)
	if err != nil {
		return err
	}
	for n := range remarked {
		if _, ok := fresh[n]; !ok {
			fresh[n] = nil
		}
	}
	for _, n := range slices.Sorted(maps.Keys(fresh)) {
		if err := f.issue(ctx, r, n, fresh[n], page); err != nil {
			return err
		}
	}
	total, newest, err := f.s.issueTotal(ctx, f.op, r)
	if err != nil {
		return err
	}
	if total >= 0 && total < st.Issues+added {
		if err := f.deletedIssues(ctx, r, kind, max(newest, st.Newest), page); err != nil {
			return err
		}
	}
	st.Issues, st.Newest = total, max(newest, st.Newest)
	return nil
}

// remarks returns the issues whose comments are new or were edited.
func (f *feed) remarks(ctx context.Context, r *repository, st *repoState) (map[int64]bool, error) {
	p, err := f.s.commentPage(ctx, f.op, r, 1)
	if err != nil {
		return nil, err
	}
	var list []comment
	if p.total != 0 {
		c := repoCall(f.op, r, "issues", "comments")
		c.Scope, c.Query = scopeIssue, issueSince(url.Values{}, max(0, st.CommentsSince-remarkOverlap))
		if list, err = all[comment](ctx, f.s, c); err != nil {
			return nil, err
		}
	}
	since, last, added := st.CommentsSince, st.LastComment, map[int64]bool{}
	for _, one := range list {
		since, last = max(since, f.s.past(one.UpdatedAt.Unix())), max(last, one.ID)
		if one.ID > st.LastComment {
			added[one.ID] = true
		}
	}
	var near []comment
	for _, one := range list {
		if one.UpdatedAt.Unix() >= since-remarkOverlap {
			near = append(near, one)
		}
	}
	seen := remarksOf(near)
	if p.total >= 0 && p.total < st.Comments+len(added) && st.Walk == nil {
		st.Walk = &place{Repo: r.ID, Part: partIssues}
		f.w.remarksOf = 0
	}
	quiet := since == st.CommentsSince && seen == st.CommentsSeen
	st.Comments, st.LastComment, st.CommentsSince, st.CommentsSeen = p.total, last, since, seen
	out := map[int64]bool{}
	for _, one := range list {
		if n := one.number(); n > 0 && !quiet {
			out[n] = true
		}
	}
	return out, nil
}

// issue shows one issue; is is nil where it is still to be read.
func (f *feed) issue(ctx context.Context, r *repository, n int64, is *issue, page *connectors.Page) error {
	ref := connectors.ItemRef{ID: r.issueID(n)}
	var err error
	if is == nil {
		is, err = f.s.issue(ctx, f.op, r, n, ref)
	}
	var list []comment
	if err == nil && f.s.wants(is) {
		list, err = f.s.comments(ctx, f.op, r, is, ref)
	}
	switch {
	case gone(err):
		tombstone(page, ref.ID)
		return nil
	case err != nil:
		return err
	case !f.s.wants(is):
		return nil
	}
	return f.w.issue(ctx, page, r, is, remarksOf(list))
}

// deletedIssues shows the issues whose numbers the list lacks and which the server does not have. SECURITY: the list comes from a
// search index, so that a number that it lacks proves nothing.
func (f *feed) deletedIssues(ctx context.Context, r *repository, kind string, newest int64, page *connectors.Page) error {
	c := repoCall(f.op, r, "issues")
	c.Scope, c.Query = scopeIssue, issueQuery(kind)
	here := map[int64]bool{}
	for is, err := range entries[issue](ctx, f.s, c) {
		if err != nil {
			return err
		}
		here[is.Number] = true
	}
	looked := 0
	for n := newest; n > 0 && looked < maxGaps; n-- {
		if here[n] {
			continue
		}
		looked++
		ref := connectors.ItemRef{ID: r.issueID(n)}
		if _, err := f.s.issue(ctx, f.op, r, n, ref); gone(err) {
			tombstone(page, ref.ID)
		} else if err != nil {
			return err
		}
	}
	return nil
}
