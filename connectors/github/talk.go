package github

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"tributary/connectors"
	"tributary/internal/httpx"
)

// talk yields issues and pull requests that changed, and those on which a
// comment was made or edited.
func (f *feed) talk(ctx context.Context, rs *repoState, r *repository) error {
	o := f.s.opt
	if !o.issues && !o.pulls || r.noIssues() && !o.pulls {
		return nil
	}
	told := map[int]string{}
	if err := f.issues(ctx, rs, r, told); err != nil {
		return err
	}
	lists := []struct {
		name string
		poll *poll
	}{{"issues/comments", &rs.Comments}, {"pulls/comments", &rs.Reviews}}
	if !o.pulls {
		lists = lists[:1]
	}
	for _, l := range lists {
		if err := f.comments(ctx, rs, r, l.name, l.poll, told); err != nil {
			return err
		}
	}
	return nil
}

// from returns the time from which on p's entries may be new.
func (p *poll) from() string { return max(p.High, p.Since) }

// settle takes over an answer whose entries were all told. While they fit on
// one page the question stays the same, so that its ETag answers the next one;
// else it asks from a later time on.
func (p *poll) settle(m httpx.Meta) {
	p.Tag, p.High = m.Kept.ETag, ""
	if at := serverTime(m.Header); !at.IsZero() {
		p.High = stamp(at.Add(-overlap))
	}
	if m.Next != "" && p.High > p.Since {
		p.Since, p.Tag = p.High, ""
	}
}

// issues yields what the list of issues has that is new, and notes the times
// of what it told. The newest stand first on the page that is asked for, so
// that its ETag changes with any of them.
func (f *feed) issues(ctx context.Context, rs *repoState, r *repository, told map[int]string) error {
	list := "issues"
	q := f.s.paged("state", "all", "sort", "updated", "direction", "desc")
	if r.noIssues() {
		list = "pulls"
	} else if rs.Issues.Since != "" {
		q.Set("since", rs.Issues.Since)
	}
	var entries []issue
	call := httpx.Call{Op: f.op, Path: repoPath(r, list), Query: q, Kept: httpx.Validators{ETag: rs.Issues.Tag}}
	m, err := f.s.api.JSON(ctx, call, &entries)
	if statusOf(err) == http.StatusGone && codeOf(err) == "" {
		return nil // issues are switched off
	}
	if err != nil || m.NotModified {
		return err
	}
	from := rs.Issues.from()
	w := f.walker(rs, r)
	w.told = told
	var st step
	switch {
	case r.noIssues():
		st, err = f.pulls(ctx, w, entries, m.Next, from)
	case m.Next != "":
		err = f.catchUp(ctx, rs, w, from)
	default:
		_, err = f.tell(w, &st, entries, from)
	}
	if err != nil {
		return err
	}
	rs.Issues.settle(m)
	return f.rest(st)
}

// rest yields what is left in st; the position has moved in any case.
func (f *feed) rest(st step) error {
	f.moved = true
	if st.empty() {
		return nil
	}
	return f.page(st.changes, st.skipped)
}

// tell adds entries that are not older than from; older says that some are.
func (f *feed) tell(w *walker, st *step, entries []issue, from string) (older bool, err error) {
	for i := range entries {
		e := &entries[i]
		if e.Number <= 0 || e.UpdatedAt.IsZero() {
			return false, malformed(f.op)
		}
		if stamp(e.UpdatedAt) < from {
			older = true
			continue
		}
		w.issue(st, e)
	}
	return older, nil
}

// catchUp yields the issues since a time, oldest change first. Each page moves
// the position, so that a long way is gone once.
func (f *feed) catchUp(ctx context.Context, rs *repoState, w *walker, from string) error {
	for at := (place{Stage: stageIssues, Since: from}); at.Stage != stageEnd; {
		st, err := w.issueStep(ctx, at)
		if err != nil {
			return err
		}
		at = st.next
		rs.Issues.High = max(rs.Issues.High, at.Since)
		if err := f.rest(st); err != nil {
			return err
		}
	}
	return nil
}

// pulls reads the pull requests of a repository whose issues are switched off,
// newest change first, and yields all but the last page.
func (f *feed) pulls(ctx context.Context, w *walker, entries []issue, next, from string) (step, error) {
	for {
		st := step{}
		for i := range entries {
			entries[i].isPull()
		}
		older, err := f.tell(w, &st, entries, from)
		if err != nil || older || next == "" {
			return st, err
		}
		if err := f.rest(st); err != nil {
			return step{}, err
		}
		entries = nil
		m, err := f.s.api.JSON(ctx, httpx.Call{Op: f.op, URL: next}, &entries)
		if err != nil {
			return step{}, err
		}
		next = m.Next
	}
}

// comments yields the issues on which comments were made or edited, unless the
// list of issues told them as new or newer.
func (f *feed) comments(ctx context.Context, rs *repoState, r *repository, list string, p *poll, told map[int]string) error {
	q := f.s.paged("sort", "updated", "direction", "desc")
	if p.Since != "" {
		q.Set("since", p.Since)
	}
	call := httpx.Call{Op: f.op, Path: repoPath(r, list), Query: q, Kept: httpx.Validators{ETag: p.Tag}}
	var entries []comment
	m, err := f.s.api.JSON(ctx, call, &entries)
	if statusOf(err) == http.StatusGone && codeOf(err) == "" || err == nil && m.NotModified {
		return nil
	}
	if err != nil {
		return err
	}
	commented := map[int]string{}
	for next := m.Next; ; {
		for i := range entries {
			c := &entries[i]
			at := stamp(c.UpdatedAt)
			if at >= p.from() && at > told[c.number()] {
				commented[c.number()] = max(commented[c.number()], at)
			}
		}
		if next == "" {
			break
		}
		entries = nil
		more, err := f.s.api.JSON(ctx, httpx.Call{Op: f.op, URL: next}, &entries)
		if err != nil {
			return err
		}
		next = more.Next
	}
	delete(commented, 0)
	st, err := f.commented(ctx, rs, r, commented)
	if err != nil {
		return err
	}
	maps.Copy(told, commented)
	p.settle(m)
	return f.rest(st)
}

// commented reads issues by number, each with the time of its newest comment,
// and yields all but the last page. Where the issue itself is older, its
// revision says so.
func (f *feed) commented(ctx context.Context, rs *repoState, r *repository, numbers map[int]string) (step, error) {
	w := f.walker(rs, r)
	st := step{}
	for _, n := range slices.Sorted(maps.Keys(numbers)) {
		if w.full(&st) {
			if err := f.rest(st); err != nil {
				return step{}, err
			}
			st = step{}
		}
		i, err := f.s.oneIssue(ctx, f.op, r, n)
		switch {
		case err != nil:
			return step{}, err
		case i == nil:
			st.changes = append(st.changes, connectors.Change{Op: connectors.Delete, Ref: connectors.ItemRef{ID: issueID(r, n)}})
		case f.s.wanted(r, i):
			ref := issueRef(r, i)
			if numbers[n] > stamp(i.UpdatedAt) {
				ref.Revision += "+" + numbers[n]
			}
			w.add(&st, ref, f.s.issueDocument(r, i))
		}
	}
	return st, nil
}

// sameRepository reports whether an API address is that of r.
func sameRepository(address string, r *repository) bool {
	u, err := url.Parse(address)
	return err == nil && strings.HasSuffix(strings.ToLower(u.Path), "/repos/"+strings.ToLower(r.FullName))
}
