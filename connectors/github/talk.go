package github

import (
	"context"
	"iter"
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
		if err := f.comments(ctx, r, l.name, l.poll, told); err != nil {
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
	p.Tag = m.Kept.ETag
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
	w := f.walker(r)
	w.told = told
	var st step
	switch {
	case r.noIssues():
		st, err = f.pulls(ctx, w, entries, m.Next, from)
	case m.Next != "":
		err = f.catchUp(ctx, rs, w, from)
	default:
		for i := 0; i < len(entries) && err == nil; i++ {
			_, err = f.tell(w, &st, &entries[i], from)
		}
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

// tell adds an entry unless it is older than from, which older says.
func (f *feed) tell(w *walker, st *step, e *issue, from string) (older bool, err error) {
	if e.Number <= 0 || e.UpdatedAt.IsZero() {
		return false, malformed(f.op)
	}
	if stamp(e.UpdatedAt) < from {
		return true, nil
	}
	w.issue(st, e)
	return false, nil
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
	st := step{}
	for e, err := range onward(ctx, f, entries, next) {
		if err != nil {
			return step{}, err
		}
		e.isPull()
		if older, err := f.tell(w, &st, &e, from); err != nil || older {
			return st, err
		}
		if w.full(&st) {
			if err := f.rest(st); err != nil {
				return step{}, err
			}
			st = step{}
		}
	}
	return st, nil
}

// onward yields the entries of a page, and of the pages behind it.
func onward[T any](ctx context.Context, f *feed, entries []T, next string) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, e := range entries {
			if !yield(e, nil) {
				return
			}
		}
		if next == "" {
			return
		}
		for e, err := range httpx.Links[T](ctx, f.s.api, httpx.Call{Op: f.op, URL: next}) {
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// comments yields the issues on which comments were made or edited, unless the
// list of issues told them as new or newer.
func (f *feed) comments(ctx context.Context, r *repository, list string, p *poll, told map[int]string) error {
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
	for c, err := range onward(ctx, f, entries, m.Next) {
		if err != nil {
			return err
		}
		n, at := c.number(), stamp(c.UpdatedAt)
		if at >= p.from() && at > told[n] {
			commented[n] = max(commented[n], at)
		}
	}
	delete(commented, 0)
	st, err := f.commented(ctx, r, commented)
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
func (f *feed) commented(ctx context.Context, r *repository, numbers map[int]string) (step, error) {
	w := f.walker(r)
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
