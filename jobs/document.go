package jobs

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/internal/chunk"
	"tributary/internal/extract"
	"tributary/store"
)

// Bounds of a document's fields, in code points.
const (
	maxField    = 4000
	maxTitle    = 500
	maxMetadata = 64
)

type resultKind int

const (
	resultFatal resultKind = iota
	resultDocument
	resultTouched
	resultSkipped
	resultRefused
	resultQuarantined
)

// result is what became of an item whose body was opened.
type result struct {
	kind    resultKind
	doc     store.DocumentWrite
	vectors [][][]float32 // profile, chunk
	bytes   int64
	err     error
}

// processItem downloads, extracts, chunks and, for local profiles, embeds one
// document. A panic of a parser quarantines the document alone.
func (s *syncer) processItem(ctx context.Context, it *item) (res result) {
	defer func() {
		if v := recover(); v != nil {
			res = result{kind: resultQuarantined, err: fmt.Errorf("reading it panicked: %v", v)}
		}
	}()
	if it.byID {
		change, err := s.fetch(ctx, it.change.Ref.ID)
		if err != nil {
			return openFailure(ctx, err)
		}
		it.change = change
	}
	body, err := readBody(ctx, it.change.Document)
	if err != nil {
		return openFailure(ctx, err)
	}
	if s.processors != nil {
		if err := s.processors.Acquire(ctx, 1); err != nil {
			return result{kind: resultFatal, err: context.Cause(ctx)}
		}
		defer s.processors.Release(1)
	}
	doc := s.fields(it.change)
	doc.ContentHash = sha256.Sum256(body)
	res.bytes = int64(len(body))
	touched := it.known.ID != uuid.Nil && bytes.Equal(doc.ContentHash[:], it.known.ContentHash)
	if touched && doc.Title != path.Base(doc.Path) {
		res.kind, res.doc = resultTouched, doc
		return res
	}
	text, err := s.r.cfg.Extractor.Extract(ctx, extract.Input{
		Name: it.change.Document.Path, MediaType: it.change.Document.MediaType, Body: body, BaseURL: it.change.Document.URL,
	})
	if err != nil {
		return extractFailure(ctx, err, res.bytes)
	}
	if touched {
		// The text is stored, and gives the title that the source does not.
		doc.Title = cmp.Or(text.Title, doc.Title)
		res.kind, res.doc = resultTouched, doc
		return res
	}
	if err := s.fill(ctx, &doc, &res, text); err != nil {
		return result{kind: resultFatal, err: err}
	}
	if len(doc.Chunks) == 0 {
		return result{kind: resultSkipped, bytes: res.bytes, err: errors.New("no text")}
	}
	res.kind, res.doc = resultDocument, doc
	return res
}

// readBody opens and reads a body of at most connectors.MaxBody bytes.
func readBody(ctx context.Context, d *connectors.Document) ([]byte, error) {
	if d.Size > connectors.MaxBody {
		return nil, errTooLarge
	}
	if d.Open == nil {
		return nil, bug("a document that cannot be opened")
	}
	rc, err := d.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rc.Close() }()
	buf := bytes.Buffer{}
	if d.Size > 0 {
		buf.Grow(int(d.Size) + bytes.MinRead)
	}
	n, err := buf.ReadFrom(io.LimitReader(rc, connectors.MaxBody+1))
	if err != nil {
		return nil, err
	}
	if n > connectors.MaxBody {
		return nil, errTooLarge
	}
	return buf.Bytes(), nil
}

var errTooLarge = &connectors.Error{Op: "reading document", Class: connectors.ItemSkipped, Err: errors.New("larger than " + strconv.Itoa(connectors.MaxBody>>20) + " MB")}

// openFailure tells what an error of an opener or a body means: for the item,
// or for the whole run.
func openFailure(ctx context.Context, err error) result {
	if isCancel(ctx, err) {
		return result{kind: resultFatal, err: err}
	}
	return result{kind: outcomeOf(connectors.ClassOf(err)).item, err: err}
}

func extractFailure(ctx context.Context, err error, n int64) result {
	if isCancel(ctx, err) {
		return result{kind: resultFatal, err: err}
	}
	if errors.Is(err, extract.ErrUnsupported) || errors.Is(err, extract.ErrNoText) {
		return result{kind: resultSkipped, bytes: n, err: err}
	}
	return result{kind: resultQuarantined, bytes: n, err: &connectors.Error{Op: "extracting text", Class: connectors.ItemSkipped, Err: err}}
}

// fields returns what the source says of a document, cleaned for storage.
func (s *syncer) fields(c connectors.Change) store.DocumentWrite {
	d := c.Document
	title := extract.CleanField(d.Title, maxTitle)
	w := store.DocumentWrite{
		ExternalID: c.Ref.ID, SourceRevision: c.Ref.Revision, ACL: c.ACL,
		Title: title, URL: safeURL(extract.CleanField(d.URL, maxField)), Path: extract.CleanField(d.Path, maxField),
		Container: extract.CleanField(d.Container, maxField), Kind: extract.CleanField(d.Kind, maxMetadata), MediaType: extract.CleanField(d.MediaType, maxMetadata*2),
		Author: extract.CleanField(d.Author, maxTitle), SourceCreatedAt: d.CreatedAt, SourceUpdatedAt: d.UpdatedAt,
		Metadata: map[string]string{},
	}
	if w.Title == "" {
		w.Title = path.Base(w.Path)
	}
	for k, v := range d.Metadata {
		if len(w.Metadata) < maxMetadata {
			w.Metadata[extract.CleanField(k, maxMetadata)] = extract.CleanField(v, maxField)
		}
	}
	return w
}

// moved returns the fields of a document whose text is stored, and whether it
// stands elsewhere than when it was stored.
func (s *syncer) moved(it *item) (store.DocumentWrite, bool) {
	k := it.known
	if k.ID == uuid.Nil || it.change.Document == nil {
		return store.DocumentWrite{}, false
	}
	doc := s.fields(it.change)
	if doc.Title == path.Base(doc.Path) && k.Title != path.Base(k.Path) {
		doc.Title = k.Title // the text gave it
	}
	return doc, doc.Path != k.Path || doc.Container != k.Container || doc.URL != k.URL || doc.Title != k.Title
}

// fill adds the text, the chunks and the vectors of local profiles.
func (s *syncer) fill(ctx context.Context, doc *store.DocumentWrite, res *result, text extract.Result) error {
	if text.Title != "" && (doc.Title == "" || doc.Title == path.Base(doc.Path)) {
		doc.Title = text.Title
	}
	doc.Text, doc.Language = text.Text, text.Language
	doc.Extractor = text.Format.String() + "/" + strconv.Itoa(extract.Version)
	doc.Chunker = "structure/" + strconv.Itoa(chunk.Version)
	pages := make([]chunk.Page, len(text.Pages))
	for i, p := range text.Pages {
		pages[i] = chunk.Page{Number: p.Number, Start: p.Start}
	}
	chunks := chunk.Split(text.Text, pages, s.r.cfg.Chunking)
	doc.Chunks = make([]store.ChunkWrite, len(chunks))
	inputs := make([]string, len(chunks))
	nth := make(map[[32]byte]int, len(chunks))
	for i, c := range chunks {
		inputs[i] = chunk.Input(c.Context, c.Text)
		first := chunk.Identity(c.Text, c.Context, 0)
		id := first
		if n := nth[first]; n > 0 {
			id = chunk.Identity(c.Text, c.Context, n)
		}
		nth[first]++
		doc.Chunks[i] = store.ChunkWrite{
			Identity: id, InputHash: sha256.Sum256([]byte(inputs[i])), Text: c.Text, Context: c.Context, HeadingPath: c.HeadingPath,
			Tokens: c.Tokens, Start: c.Start, End: c.End, StartCP: c.StartCP, EndCP: c.EndCP,
		}
	}
	res.vectors = make([][][]float32, len(s.locals))
	for i, local := range s.locals {
		v, err := local.embed(ctx, inputs)
		if err != nil {
			return fmt.Errorf("embedding with profile %s: %w", local.name, err)
		}
		res.vectors[i] = v
	}
	return nil
}

// safeURL keeps the addresses that a person may follow.
func safeURL(u string) string {
	for _, scheme := range []string{"https://", "http://", "file:///"} {
		if strings.HasPrefix(u, scheme) {
			return u
		}
	}
	return ""
}
