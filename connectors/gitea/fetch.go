package gitea

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"tributary/connectors"
)

// Fetch reads one document again. What is gone, or not selected, is ItemRefused.
func (s *session) Fetch(ctx context.Context, id string) (connectors.Change, error) {
	const op = "fetching gitea document"
	ref := connectors.ItemRef{ID: id}
	repoID, kind, rest, ok := splitID(id)
	if !ok {
		return connectors.Change{}, notSelected(op, ref)
	}
	r, err := s.repository(ctx, op, repoID, ref)
	if err != nil {
		return connectors.Change{}, err
	}
	w := &walker{s: s, op: op, texts: true, readers: true}
	var page connectors.Page
	switch kind {
	case "":
		if !s.want.about {
			break
		}
		err = w.add(ctx, &page, r, unitAny, r.aboutRef(), s.aboutDocument(r))
	case "file":
		err = w.fetchFile(ctx, &page, r, rest)
	case "issue":
		err = w.fetchIssue(ctx, &page, r, rest, ref)
	case "wiki":
		err = w.fetchWiki(ctx, &page, r, rest)
	}
	switch {
	case refused(err) || statusOf(err) == http.StatusBadRequest, err == nil && (len(page.Changes) != 1 || page.Changes[0].Ref.ID != id):
		return connectors.Change{}, notSelected(op, ref)
	case err != nil:
		return connectors.Change{}, err
	}
	return page.Changes[0], nil
}

// splitID takes the id of a document apart: "repo:12", "repo:12:file:a/b.md", "repo:12:issue:3", "repo:12:wiki:Home".
func splitID(id string) (repo int64, kind, rest string, ok bool) {
	elems := strings.SplitN(id, ":", 4)
	if elems[0] != "repo" || len(elems) != 2 && len(elems) != 4 {
		return 0, "", "", false
	}
	repo, err := strconv.ParseInt(elems[1], 10, 64)
	if err != nil || repo <= 0 {
		return 0, "", "", false
	}
	if len(elems) == 4 {
		kind, rest = elems[2], elems[3]
	}
	return repo, kind, rest, kind == "" || rest != ""
}

// fetchFile finds a file by going down from the head of the default branch.
func (w *walker) fetchFile(ctx context.Context, page *connectors.Page, r *repository, path string) error {
	sha, err := w.s.head(ctx, w.op, r)
	if err != nil || sha == "" {
		return err
	}
	d := &difference{s: w.s, op: w.op, r: r}
	elems := strings.Split(path, "/")
	for i := range elems {
		here := strings.Join(elems[:i+1], "/")
		prefix := strings.TrimSuffix(here, elems[i])
		entries, err := d.entriesOf(ctx, sha, prefix, false)
		if err != nil {
			return err
		}
		e, ok := entries[here]
		switch {
		case !ok:
			return nil
		case i == len(elems)-1:
			return w.file(ctx, page, r, e)
		case e.Type != entryTree:
			return nil
		}
		sha = e.SHA
	}
	return nil
}

// fetchIssue reads an issue or a pull request, by its number.
func (w *walker) fetchIssue(ctx context.Context, page *connectors.Page, r *repository, text string, ref connectors.ItemRef) error {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 {
		return notSelected(w.op, ref)
	}
	is, err := w.s.issue(ctx, w.op, r, n, ref)
	if err != nil || !w.s.wants(is) {
		return err
	}
	list, err := w.s.comments(ctx, w.op, r, is, ref)
	if err != nil {
		return err
	}
	return w.issue(ctx, page, r, is, remarksOf(list))
}

// fetchWiki reads a wiki page, by its address.
func (w *walker) fetchWiki(ctx context.Context, page *connectors.Page, r *repository, sub string) error {
	if !w.s.want.wiki || !r.hasWiki() {
		return nil
	}
	var answer wikiPage
	c := repoCall(w.op, r, "wiki", "page", wikiElem(sub))
	if _, err := w.s.api.JSON(ctx, c, &answer); err != nil {
		return err
	}
	return w.wikiPage(ctx, page, r, answer.wikiMeta)
}
