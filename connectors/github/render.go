package github

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"tributary/connectors"
	"tributary/internal/httpx"
)

// issueDocument describes an issue or pull request; its text is written when
// it is opened.
func (s *session) issueDocument(r *repository, i *issue) *connectors.Document {
	ref, kind := issueRef(r, i), kindIssue
	meta := map[string]string{"repository": r.FullName, "number": strconv.Itoa(i.Number), "state": i.State}
	if i.PullRequest != nil {
		kind = kindPull
		if i.merged() {
			meta["state"] = "merged"
		}
	}
	if labels := labelNames(i); labels != "" {
		meta["labels"] = labels
	}
	return &connectors.Document{
		Title: i.Title, URL: i.HTMLURL, Path: issuePath(r, i), Container: r.id(), Kind: kind, MediaType: mediaMarkdown, Size: -1,
		Author: i.User.name(), CreatedAt: i.CreatedAt, UpdatedAt: i.UpdatedAt, Metadata: meta,
		Open: func(ctx context.Context) (io.ReadCloser, error) { return s.openIssue(ctx, r, i, ref) },
	}
}

func labelNames(i *issue) string {
	var names []string
	for _, l := range i.Labels {
		if l.Name != "" {
			names = append(names, l.Name)
		}
	}
	return strings.Join(names, ", ")
}

var errTooMuchTalk = errors.New("its comments are larger than a document may be")

// openIssue writes an issue with everything that was said on it.
func (s *session) openIssue(ctx context.Context, r *repository, i *issue, ref connectors.ItemRef) (io.ReadCloser, error) {
	said, err := s.said(ctx, r, i, ref)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(strings.NewReader(issueText(i, said))), nil
}

// said returns comments, reviews and comments on lines, in the order of time.
func (s *session) said(ctx context.Context, r *repository, i *issue, ref connectors.ItemRef) ([]comment, error) {
	number := strconv.Itoa(i.Number)
	var lists []string
	if i.Comments != 0 {
		lists = append(lists, repoPath(r, "issues", number, "comments"))
	}
	if i.PullRequest != nil {
		lists = append(lists, repoPath(r, "pulls", number, "reviews"), repoPath(r, "pulls", number, "comments"))
	}
	var all []comment
	size := len(i.Body)
	for _, list := range lists {
		call := httpx.Call{Op: "reading github comments", Path: list, Query: s.paged(), Ref: ref}
		for c, err := range httpx.Links[comment](ctx, s.api, call) {
			if err != nil {
				return nil, err
			}
			if size += len(c.Body) + len(c.Path); size > connectors.MaxBody {
				return nil, &connectors.Error{Op: call.Op, Class: connectors.ItemSkipped, Ref: ref, Err: errTooMuchTalk}
			}
			all = append(all, c)
		}
	}
	slices.SortStableFunc(all, func(a, b comment) int { return a.when().Compare(b.when()) })
	return all, nil
}

// issueText is the canonical text of an issue or pull request.
func issueText(i *issue, said []comment) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n", i.Title)
	facts := []string{cmp.Or(i.State, "open")}
	if i.merged() {
		facts[0] = "merged"
	}
	if labels := labelNames(i); labels != "" {
		facts = append(facts, "labels: "+labels)
	}
	if i.Milestone != nil && i.Milestone.Title != "" {
		facts = append(facts, "milestone: "+i.Milestone.Title)
	}
	fmt.Fprintf(&b, "\n%s, opened by %s%s\n", strings.Join(facts, "; "), i.User.name(), on(i.CreatedAt))
	if i.Body != "" {
		fmt.Fprintf(&b, "\n%s\n", strings.TrimRight(i.Body, "\r\n"))
	}
	for _, c := range said {
		writeComment(&b, &c)
	}
	return b.String()
}

// writeComment writes one thing that was said. A review without text says at
// most what was decided.
func writeComment(b *strings.Builder, c *comment) {
	verdict := reviewVerdict(c.State)
	if c.Body == "" && verdict == "" {
		return
	}
	fmt.Fprintf(b, "\n## %s %s%s", c.User.name(), cmp.Or(verdict, "said"), on(c.when()))
	if c.Path != "" {
		fmt.Fprintf(b, ", on %s", c.Path)
	}
	b.WriteString("\n")
	if c.Body != "" {
		fmt.Fprintf(b, "\n%s\n", strings.TrimRight(c.Body, "\r\n"))
	}
}

// reviewVerdict says in words what a review decided.
func reviewVerdict(state string) string {
	switch strings.ToUpper(state) {
	case "APPROVED":
		return "approved"
	case "CHANGES_REQUESTED":
		return "requested changes"
	case "DISMISSED":
		return "reviewed (dismissed)"
	}
	return ""
}

func on(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return " on " + t.UTC().Format(time.DateOnly)
}
