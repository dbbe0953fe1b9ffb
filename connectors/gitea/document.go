package gitea

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"tributary/connectors"
	"tributary/internal/httpx"
)

// The kinds of documents.
const (
	kindRepository = "repository"
	kindFile       = "file"
	kindIssue      = "issue"
	kindPull       = "pull request"
	kindWiki       = "wiki page"
)

const markdown = "text/markdown"

// digest returns a short name of parts, in their order.
func digest(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		_, _ = h.Write([]byte(strconv.Itoa(len(p)) + ":" + p)) // a hash never fails
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// stamp names one version of an entry.
func stamp(id int64, at time.Time) string {
	return strconv.FormatInt(id, 10) + "@" + strconv.FormatInt(at.Unix(), 10)
}

// text is a body that is at hand.
func text(s string) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(s)), nil }

// aboutRef names the document of the repository itself.
func (r *repository) aboutRef() connectors.ItemRef {
	parts := append([]string{r.FullName, r.Description, r.Website, strconv.FormatBool(r.Archived)}, r.Topics...)
	return connectors.ItemRef{ID: r.id(), Revision: digest(parts...)}
}

// aboutDocument describes the repository itself. Its text is what lists tell of it, asked for again.
func (s *session) aboutDocument(r *repository) *connectors.Document {
	id, ref := r.ID, r.aboutRef()
	return &connectors.Document{
		Title: r.FullName, URL: r.HTMLURL, Path: r.FullName, Container: r.id(), Kind: kindRepository, MediaType: markdown, Size: -1,
		Author: r.Owner.name(), CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt,
		Open: func(ctx context.Context) (io.ReadCloser, error) {
			current, err := s.repository(ctx, "reading gitea repository", id, ref)
			if err != nil {
				return nil, err
			}
			return text(current.text())
		},
	}
}

// text is the canonical text of the repository's own document.
func (r *repository) text() string {
	var b strings.Builder
	b.WriteString("# " + r.FullName + "\n")
	paragraph(&b, r.Description)
	if len(r.Topics) > 0 {
		paragraph(&b, "Topics: "+strings.Join(r.Topics, ", "))
	}
	paragraph(&b, r.Website)
	if r.Archived {
		paragraph(&b, "The repository is archived.")
	}
	return b.String()
}

// paragraph adds a paragraph, if there is text in it.
func paragraph(b *strings.Builder, s string) {
	if s = strings.TrimSpace(strings.ReplaceAll(s, "\r\n", "\n")); s != "" {
		b.WriteString("\n" + s + "\n")
	}
}

// fileDocument describes a file of the default branch.
func (s *session) fileDocument(r *repository, e treeEntry) *connectors.Document {
	repo, ref := *r, connectors.ItemRef{ID: r.fileID(e.Path), Revision: e.SHA}
	elems := strings.Split(e.Path, "/")
	return &connectors.Document{
		Title: elems[len(elems)-1], URL: r.HTMLURL + "/src/branch/" + join(strings.Split(r.DefaultBranch, "/")...) + "/" + join(elems...),
		Path: r.FullName + "/" + e.Path, Container: r.container(unitCode), Kind: kindFile, Size: e.Size,
		Open: func(ctx context.Context) (io.ReadCloser, error) { return s.openFile(ctx, &repo, elems, ref) },
	}
}

const opFile = "reading gitea file"

// openFile asks for a file's bytes as the default branch has them: what was deleted since it was listed is not given out.
func (s *session) openFile(ctx context.Context, r *repository, elems []string, ref connectors.ItemRef) (io.ReadCloser, error) {
	c := repoCall(opFile, r, "media", join(elems...))
	c.Accept, c.Ref, c.Query = "*/*", ref, url.Values{"ref": {r.DefaultBranch}}
	raw, _, err := s.api.Open(ctx, c)
	if err != nil {
		return nil, itemError(err, ref)
	}
	return &body{ctx: ctx, raw: raw, ref: ref}, nil
}

// itemError names the item that a failure concerns alone.
func itemError(err error, ref connectors.ItemRef) error {
	if e, ok := errors.AsType[*connectors.Error](err); ok && e.Class == connectors.ItemSkipped {
		e.Ref = ref
	}
	return err
}

// body reads content and gives its failures a class.
type body struct {
	ctx context.Context //nolint:containedctx // it is the request's, and tells why a read ended
	raw io.ReadCloser
	ref connectors.ItemRef
}

// Read reads on. Content that ends before its announced length is an error, not the end.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.raw.Read(p)
	if err == nil || errors.Is(err, io.EOF) {
		return n, err
	}
	return n, itemError(httpx.Failure(b.ctx, opFile, err), b.ref)
}

// Close ends the request.
func (b *body) Close() error { return b.raw.Close() }

// wikiDocument describes a wiki page.
func (s *session) wikiDocument(r *repository, m wikiMeta) *connectors.Document {
	repo, ref := *r, connectors.ItemRef{ID: r.wikiID(m.SubURL), Revision: m.LastCommit.SHA}
	title := m.Title
	if title == "" {
		title = m.SubURL
	}
	updated, _ := time.Parse(time.RFC3339, m.LastCommit.Author.Date) // zero where unknown
	address := m.HTMLURL
	if address == "" {
		address = r.HTMLURL + "/wiki/" + wikiElem(m.SubURL)
	}
	return &connectors.Document{
		Title: title, URL: address, Path: r.FullName + "/wiki/" + title, Container: r.container(unitWiki), Kind: kindWiki, MediaType: markdown,
		Size: -1, Author: m.LastCommit.Author.Name, UpdatedAt: updated,
		Open: func(ctx context.Context) (io.ReadCloser, error) { return s.openWiki(ctx, &repo, m.SubURL, title, ref) },
	}
}

// openWiki asks for the text of a wiki page.
func (s *session) openWiki(ctx context.Context, r *repository, sub, title string, ref connectors.ItemRef) (io.ReadCloser, error) {
	const op = "reading gitea wiki page"
	var answer wikiPage
	c := repoCall(op, r, "wiki", "page", wikiElem(sub))
	c.Ref = ref
	if _, err := s.api.JSON(ctx, c, &answer); err != nil {
		return nil, err
	}
	content, err := base64.StdEncoding.DecodeString(answer.Content)
	if err != nil {
		return nil, &connectors.Error{Op: op, Class: connectors.ItemSkipped, Ref: ref, Err: errors.New("the page's content is no base64")}
	}
	return text("# " + title + "\n\n" + string(bytes.TrimSpace(content)) + "\n")
}

// wikiElem is the address of a wiki page as the server names it, which is escaped already. SECURITY: what would leave its element
// is escaped again.
func wikiElem(sub string) string {
	if sub == "." || sub == ".." || strings.ContainsAny(sub, "/?#\\ ") {
		return url.PathEscape(sub)
	}
	if _, err := url.PathUnescape(sub); err != nil {
		return url.PathEscape(sub)
	}
	return sub
}

// tree reads one page of the files of a commit or a directory, counted from 1.
func (s *session) tree(ctx context.Context, op string, r *repository, sha string, page int, recursive bool) (tree, error) {
	var t tree
	c := repoCall(op, r, "git", "trees", join(sha))
	c.Query = url.Values{"page": {strconv.Itoa(page)}, "per_page": {strconv.Itoa(s.cfg.TreePage)}}
	if recursive {
		c.Query.Set("recursive", "true")
	}
	_, err := s.api.JSON(ctx, c, &t)
	return t, err
}

// goneCommit reports whether a tree cannot be read because its commit is not there, as after a branch was rewritten.
func goneCommit(err error) bool {
	code := statusOf(err)
	return code == http.StatusBadRequest || code == http.StatusNotFound && refused(err)
}
