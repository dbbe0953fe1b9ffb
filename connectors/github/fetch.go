package github

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"tributary/connectors"
)

var errGone = errors.New("it is not there, or not in the selection")

// Fetch reads one document again. What is gone, or not selected, is
// ItemRefused.
func (s *session) Fetch(ctx context.Context, id string) (connectors.Change, error) {
	const op = "fetching github document"
	gone := &connectors.Error{Op: op, Class: connectors.ItemRefused, Ref: connectors.ItemRef{ID: id}, Err: errGone}
	c, err := s.selected(ctx, op)
	if err != nil {
		return connectors.Change{}, err
	}
	for i := range c.repos {
		r := &c.repos[i]
		rest, ours := strings.CutPrefix(id, r.id())
		if !ours || rest != "" && rest[0] != ':' {
			continue
		}
		w := &walker{s: s, op: op, r: r}
		var st step
		if err = w.one(ctx, &st, rest); err == nil && len(st.changes) == 0 {
			err = gone
		}
		if closed(err) && connectors.ClassOf(err) != connectors.ItemRefused {
			gone.Err = err
			err = gone
		}
		if err != nil {
			return connectors.Change{}, err
		}
		return st.changes[0], nil
	}
	return connectors.Change{}, gone
}

// one adds the document whose id ends with rest.
func (w *walker) one(ctx context.Context, st *step, rest string) error {
	if rest == "" {
		w.about(st)
		return nil
	}
	if path, ok := strings.CutPrefix(rest, ":file:"); ok && w.s.opt.files {
		commit, _, err := w.s.head(ctx, w.op, w.r, "")
		if err != nil || commit == "" {
			return err
		}
		found, err := w.s.entries(ctx, w.op, w.r, commit, []string{path})
		if e, ok := found[path]; ok && err == nil {
			w.file(st, e)
		}
		return err
	}
	text, _ := strings.CutPrefix(rest, ":issue:")
	number, _ := strconv.Atoi(text) // no number is 0, which no issue has
	if number <= 0 {
		return nil
	}
	i, err := w.s.oneIssue(ctx, w.op, w.r, number)
	if i != nil {
		w.issue(st, i)
	}
	return err
}
