package github

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"tributary/connectors"
	"tributary/internal/httpx"
)

// issueStep reads a page of issues and pull requests, oldest change first. It
// goes by the time of the last one that was read and not by page numbers,
// because what changes or vanishes meanwhile shifts those.
func (w *walker) issueStep(ctx context.Context, at place) (step, error) {
	end := step{next: place{Stage: stageEnd}}
	o := w.s.opt
	if !o.issues && !o.pulls {
		return end, nil
	}
	if w.r.noIssues() {
		if !o.pulls {
			return end, nil
		}
		return w.pullStep(ctx, at)
	}
	q := w.s.paged("state", "all", "sort", "updated", "direction", "asc")
	if at.Since != "" {
		q.Set("since", at.Since)
	}
	if at.Page > 1 {
		q.Set("page", strconv.Itoa(at.Page))
	}
	var entries []issue
	m, err := w.s.api.JSON(ctx, httpx.Call{Op: w.op, Path: repoPath(w.r, "issues"), Query: q}, &entries)
	if statusOf(err) == http.StatusGone && codeOf(err) == "" {
		return end, nil // issues are switched off
	}
	if err != nil {
		return step{}, err
	}
	st := step{next: following(at, entries)}
	if m.Next == "" {
		st.next = end.next
	}
	for i := range entries {
		e := &entries[i]
		if e.Number <= 0 || e.UpdatedAt.IsZero() {
			return step{}, malformed(w.op)
		}
		if stamp(e.UpdatedAt) != at.Since || !slices.Contains(at.Seen, e.Number) {
			w.issue(&st, e)
		}
	}
	return st, nil
}

// following returns the place behind entries.
func following(at place, entries []issue) place {
	next := place{Stage: stageIssues, Since: at.Since, Seen: slices.Clone(at.Seen), Page: max(at.Page, 1) + 1}
	if n := len(entries); n > 0 {
		if last := stamp(entries[n-1].UpdatedAt); last > at.Since {
			next = place{Stage: stageIssues, Since: last}
		}
	}
	for _, e := range entries {
		if stamp(e.UpdatedAt) == next.Since && !slices.Contains(next.Seen, e.Number) {
			next.Seen = append(next.Seen, e.Number)
		}
	}
	return next
}

// pullStep reads a page of pull requests of a repository whose issues are
// switched off. They are never deleted, so that pages by creation stand still.
func (w *walker) pullStep(ctx context.Context, at place) (step, error) {
	page := max(at.Page, 1)
	q := w.s.paged("state", "all", "sort", "created", "direction", "asc", "page", strconv.Itoa(page))
	var entries []issue
	m, err := w.s.api.JSON(ctx, httpx.Call{Op: w.op, Path: repoPath(w.r, "pulls"), Query: q}, &entries)
	if err != nil {
		return step{}, err
	}
	st := step{next: place{Stage: stageIssues, Page: page + 1}}
	if m.Next == "" {
		st.next = place{Stage: stageEnd}
	}
	for i := range entries {
		e := &entries[i]
		if e.Number <= 0 {
			return step{}, malformed(w.op)
		}
		e.isPull()
		w.issue(&st, e)
	}
	return st, nil
}

// noIssues reports whether issues are switched off, so that pull requests have
// a list of their own alone.
func (r *repository) noIssues() bool { return r.HasIssues != nil && !*r.HasIssues }

// isPull marks what the list of pull requests holds. It tells no number of
// comments.
func (i *issue) isPull() {
	if i.PullRequest == nil {
		i.PullRequest = &struct {
			MergedAt *time.Time `json:"merged_at"`
		}{}
	}
	i.Comments = unstated
}

// unstated is a number of comments that was not told.
const unstated = -1

// issue adds one issue or pull request.
func (w *walker) issue(st *step, i *issue) {
	if w.told != nil {
		w.told[i.Number] = max(w.told[i.Number], stamp(i.UpdatedAt))
	}
	if w.s.wanted(w.r, i) {
		w.add(st, issueRef(w.r, i), w.s.issueDocument(w.r, i))
	}
}

// wanted reports whether it is selected.
func (s *session) wanted(r *repository, i *issue) bool {
	on := s.opt.issues
	if i.PullRequest != nil {
		on = s.opt.pulls
	}
	return on && s.sel.paths.Has(issuePath(r, i))
}

func issueID(r *repository, number int) string { return r.id() + ":issue:" + strconv.Itoa(number) }

// issueRef names the state of an issue: a comment that is made, edited or
// deleted changes the time or the number of comments, and what was edited
// twice within the second that times are told in has another digest.
func issueRef(r *repository, i *issue) connectors.ItemRef {
	merged := strconv.FormatBool(i.merged())
	sum := sha256.Sum256([]byte(strings.Join([]string{i.Title, i.Body, i.State, labelNames(i), merged}, "\x00")))
	revision := []string{stamp(i.UpdatedAt), strconv.Itoa(i.Comments), hex.EncodeToString(sum[:6])}
	return connectors.ItemRef{ID: issueID(r, i.Number), Revision: strings.Join(revision, ".")}
}

func issuePath(r *repository, i *issue) string {
	folder := "issues"
	if i.PullRequest != nil {
		folder = "pull"
	}
	return r.FullName + "/" + folder + "/" + strconv.Itoa(i.Number)
}

// stamp writes a time as GitHub does, so that times compare as text.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// oneIssue reads an issue again. One that is gone, or was transferred to
// another repository, is nil.
func (s *session) oneIssue(ctx context.Context, op string, r *repository, number int) (*issue, error) {
	var i issue
	list := "issues"
	if r.noIssues() {
		list = "pulls"
	}
	call := httpx.Call{Op: op, Path: repoPath(r, list, strconv.Itoa(number)), Ref: connectors.ItemRef{ID: issueID(r, number)}}
	_, err := s.api.JSON(ctx, call, &i)
	if connectors.ClassOf(err) == connectors.ItemRefused {
		if code := statusOf(err); code == http.StatusNotFound || code == http.StatusGone {
			return nil, nil
		}
	}
	if err != nil {
		return nil, err
	}
	if i.Number != number || i.RepositoryURL != "" && !sameRepository(i.RepositoryURL, r) {
		return nil, nil
	}
	if i.UpdatedAt.IsZero() {
		return nil, malformed(op)
	}
	if r.noIssues() {
		i.isPull()
	}
	return &i, nil
}
