package gitea

import (
	"context"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"

	"tributary/connectors"
	"tributary/internal/httpx"
)

const opIssue = "reading gitea issue"

// revision names one version of an issue; remarks is a digest of its comments, which may be older than the issue: their number
// then tells.
func (is *issue) revision(remarks string) string {
	return digest(stamp(is.Comments, is.UpdatedAt), is.Title, is.Body, is.State, remarks)
}

func (is *issue) kind() string {
	if is.Pull != nil {
		return kindPull
	}
	return kindIssue
}

// author is who wrote it, where it was moved here from another server the one of there.
func author(a *account, original string) string {
	if original != "" {
		return original
	}
	return a.name()
}

// issueDocument describes an issue or a pull request.
func (s *session) issueDocument(r *repository, is *issue) *connectors.Document {
	repo, number := *r, is.Number
	place := "issues"
	if is.Pull != nil {
		place = "pulls"
	}
	ref := connectors.ItemRef{ID: r.issueID(number)}
	return &connectors.Document{
		Title: is.Title, URL: is.HTMLURL, Path: r.FullName + "/" + place + "/" + strconv.FormatInt(number, 10) + "/" + strings.ReplaceAll(is.Title, "/", "-"), Container: r.container(unitIssues),
		Kind: is.kind(), MediaType: markdown, Size: -1, Author: author(is.User, is.Author), CreatedAt: is.CreatedAt, UpdatedAt: is.UpdatedAt,
		Metadata: map[string]string{"state": is.State, "number": strconv.FormatInt(number, 10)},
		Open: func(ctx context.Context) (io.ReadCloser, error) {
			t, err := s.thread(ctx, &repo, number, ref)
			if err != nil {
				return nil, err
			}
			return text(t.text())
		},
	}
}

// thread is an issue with everything that was said to it.
type thread struct {
	issue    *issue
	comments []comment
	reviews  []review
	// lines are the comments to lines, by review.
	lines map[int64][]lineComment
}

// thread reads an issue with its comments and, of a pull request, its reviews.
func (s *session) thread(ctx context.Context, r *repository, number int64, ref connectors.ItemRef) (*thread, error) {
	is, err := s.issue(ctx, opIssue, r, number, ref)
	if err != nil {
		return nil, err
	}
	t := &thread{issue: is, lines: map[int64][]lineComment{}}
	if t.comments, err = s.comments(ctx, opIssue, r, is, ref); err != nil {
		return nil, err
	}
	if is.Pull == nil {
		return t, nil
	}
	return t, s.readReviews(ctx, r, t, ref)
}

// issue reads one issue or pull request.
func (s *session) issue(ctx context.Context, op string, r *repository, number int64, ref connectors.ItemRef) (*issue, error) {
	var is issue
	_, err := s.api.JSON(ctx, issueCall(op, r, number, ref), &is)
	if err == nil && is.Number != number {
		err = notSelected(op, ref)
	}
	return &is, err
}

func issueCall(op string, r *repository, number int64, ref connectors.ItemRef, elems ...string) httpx.Call {
	c := repoCall(op, r, append([]string{"issues", strconv.FormatInt(number, 10)}, elems...)...)
	c.Scope, c.Ref = scopeIssue, ref
	return c
}

// comments reads the comments of one issue, which the server gives all at once.
func (s *session) comments(ctx context.Context, op string, r *repository, is *issue, ref connectors.ItemRef) ([]comment, error) {
	if is.Comments == 0 {
		return nil, nil
	}
	var list []comment
	_, err := s.api.JSON(ctx, issueCall(op, r, is.Number, ref, "comments"), &list)
	return list, err
}

// readReviews adds the reviews of a pull request. An account that may read pull requests and no code is refused them, and the
// text is then without.
func (s *session) readReviews(ctx context.Context, r *repository, t *thread, ref connectors.ItemRef) error {
	c := repoCall(opIssue, r, "pulls", strconv.FormatInt(t.issue.Number, 10), "reviews")
	c.Ref = ref
	var err error
	if t.reviews, err = all[review](ctx, s, c); refused(err) {
		return nil
	}
	for _, rev := range t.reviews {
		if err != nil || rev.Comments == 0 {
			continue
		}
		var list []lineComment
		step := c
		step.Path += "/" + strconv.FormatInt(rev.ID, 10) + "/comments"
		if _, err = s.api.JSON(ctx, step, &list); refused(err) {
			err = nil
		}
		t.lines[rev.ID] = list
	}
	return err
}

// text is the canonical text of a thread.
func (t *thread) text() string {
	is := t.issue
	var b strings.Builder
	b.WriteString("# " + strings.TrimSpace(is.Title) + "\n")
	facts := []string{"#" + strconv.FormatInt(is.Number, 10), is.state()}
	for _, l := range is.Labels {
		fact := l.Name
		if l.Description != "" {
			fact += " (" + l.Description + ")"
		}
		facts = append(facts, fact)
	}
	if is.Milestone != nil && is.Milestone.Title != "" {
		facts = append(facts, "milestone "+is.Milestone.Title)
	}
	for _, a := range is.Assignees {
		facts = append(facts, "assigned to "+a.name())
	}
	paragraph(&b, strings.Join(facts, ", "))
	paragraph(&b, is.Body)
	for _, c := range t.comments {
		said(&b, "Comment", author(c.User, c.Author), c.CreatedAt, c.Body)
	}
	for _, rev := range t.reviews {
		if rev.Body != "" || len(t.lines[rev.ID]) > 0 {
			said(&b, "Review ("+strings.ToLower(strings.ReplaceAll(rev.State, "_", " "))+")", rev.User.name(), rev.Submitted, rev.Body)
		}
		for _, l := range t.lines[rev.ID] {
			paragraph(&b, "`"+l.Path+"`, "+l.User.name()+":")
			paragraph(&b, l.Body)
		}
	}
	return b.String()
}

func (is *issue) state() string {
	if is.Pull != nil && is.Pull.Merged {
		return "merged"
	}
	return is.State
}

// said adds what somebody wrote, under a heading.
func said(b *strings.Builder, what, who string, at time.Time, words string) {
	heading := what
	if who != "" {
		heading += " by " + who
	}
	if !at.IsZero() {
		heading += ", " + at.UTC().Format(time.DateOnly)
	}
	b.WriteString("\n## " + heading + "\n")
	paragraph(b, words)
}

// issueSince is the query for what was updated at or after a time.
func issueSince(q url.Values, unix int64) url.Values {
	q.Set("since", time.Unix(unix, 0).UTC().Format(time.RFC3339))
	return q
}
