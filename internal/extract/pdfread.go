package extract

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/klippa-app/go-pdfium"
	pdferrors "github.com/klippa-app/go-pdfium/errors"
	"github.com/klippa-app/go-pdfium/references"
	"github.com/klippa-app/go-pdfium/requests"
	"github.com/klippa-app/go-pdfium/responses"
)

// pdfAPI is what is used of PDFium.
type pdfAPI interface {
	OpenDocument(*requests.OpenDocument) (*responses.OpenDocument, error)
	FPDF_GetPageCount(*requests.FPDF_GetPageCount) (*responses.FPDF_GetPageCount, error)
	FPDF_GetMetaText(*requests.FPDF_GetMetaText) (*responses.FPDF_GetMetaText, error)
	FPDF_LoadPage(*requests.FPDF_LoadPage) (*responses.FPDF_LoadPage, error)
	FPDF_ClosePage(*requests.FPDF_ClosePage) (*responses.FPDF_ClosePage, error)
	FPDFText_LoadPage(*requests.FPDFText_LoadPage) (*responses.FPDFText_LoadPage, error)
	FPDFText_ClosePage(*requests.FPDFText_ClosePage) (*responses.FPDFText_ClosePage, error)
	FPDFText_CountChars(*requests.FPDFText_CountChars) (*responses.FPDFText_CountChars, error)
	FPDFText_GetText(*requests.FPDFText_GetText) (*responses.FPDFText_GetText, error)
	FPDFBookmark_GetFirstChild(*requests.FPDFBookmark_GetFirstChild) (*responses.FPDFBookmark_GetFirstChild, error)
	FPDFBookmark_GetNextSibling(*requests.FPDFBookmark_GetNextSibling) (*responses.FPDFBookmark_GetNextSibling, error)
	GetBookmarks(*requests.GetBookmarks) (*responses.GetBookmarks, error)
}

// pdfDoc is what a PDF contains.
type pdfDoc struct {
	title     string
	pages     []string // as PDFium gives them
	outline   []bookmark
	imageOnly int
	warnings  []string
}

// bookmark is an entry of the outline.
type bookmark struct {
	title string
	level int // 1 is the highest
	page  int // index of the page
}

const (
	maxBookmarks    = 5000
	maxOutlineDepth = 64
	imageOnlyText   = 16 // a page with fewer characters is an image
)

// readPDF reads a document under ctx. When ctx ends first, it ends the
// instance and reports that.
func readPDF(ctx context.Context, instance pdfium.Pdfium, body []byte, cfg Config) (pdfDoc, bool, error) {
	// The implementation behind the instance is called directly: Kill changes
	// the instance's own fields while a call may be reading them.
	holder, ok := instance.(interface{ GetImplementation() any })
	if !ok {
		return pdfDoc{}, false, ErrBroken.because(errors.New("the PDF engine has no implementation"))
	}
	api, ok := holder.GetImplementation().(pdfAPI)
	if !ok {
		return pdfDoc{}, false, ErrBroken.because(errors.New("the PDF engine lacks a function"))
	}
	type outcome struct {
		doc pdfDoc
		err error
	}
	done := make(chan outcome, 1)
	go func() {
		var o outcome
		defer func() {
			if r := recover(); r != nil {
				o.err = ErrBroken.because(fmt.Errorf("the PDF engine stopped: %v", r))
			}
			done <- o
		}()
		o.doc, o.err = (&pdfReader{api: api, cfg: cfg}).read(ctx, body)
	}()
	select {
	case o := <-done:
		return o.doc, false, o.err
	case <-ctx.Done():
		err := instance.Kill() // interrupts the running call
		<-done
		return pdfDoc{}, true, err
	}
}

// pdfReader reads one document.
type pdfReader struct {
	api pdfAPI
	cfg Config
	doc references.FPDF_DOCUMENT
	out pdfDoc
}

func (r *pdfReader) read(ctx context.Context, body []byte) (pdfDoc, error) {
	opened, err := r.api.OpenDocument(&requests.OpenDocument{File: &body})
	switch {
	case errors.Is(err, pdferrors.ErrPassword), errors.Is(err, pdferrors.ErrSecurity):
		return pdfDoc{}, ErrEncrypted
	case err != nil:
		return pdfDoc{}, ErrBroken.because(err)
	}
	r.doc = opened.Document
	count, err := r.api.FPDF_GetPageCount(&requests.FPDF_GetPageCount{Document: r.doc})
	if err != nil {
		return pdfDoc{}, ErrBroken.because(err)
	}
	pages := count.PageCount
	if pages > r.cfg.PDFPages {
		r.out.warnings = append(r.out.warnings, fmt.Sprintf("Only the first %d of %d pages were read.", r.cfg.PDFPages, pages))
		pages = r.cfg.PDFPages
	}
	if err := r.readPages(ctx, pages); err != nil {
		return pdfDoc{}, err
	}
	r.readTitle()
	r.readOutline(ctx)
	return r.out, nil
}

// readPages reads the text of every page; a page that cannot be read is empty.
func (r *pdfReader) readPages(ctx context.Context, pages int) error {
	size, failed := 0, 0
	for i := range pages {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		text, err := r.pageText(i)
		r.out.pages = append(r.out.pages, text)
		if err != nil {
			failed++
			continue
		}
		if len(strings.Join(strings.Fields(text), "")) < imageOnlyText {
			r.out.imageOnly++
		}
		if size += len(text); size > r.cfg.MaxText {
			break
		}
	}
	if failed > 0 {
		if failed == pages {
			return ErrBroken.because(errors.New("no page can be read"))
		}
		r.out.warnings = append(r.out.warnings, fmt.Sprintf("%d pages could not be read.", failed))
	}
	return nil
}

// pageText reads the text of one page with few calls, each of which is costly
// in an engine that can be interrupted.
func (r *pdfReader) pageText(index int) (string, error) {
	page, err := r.api.FPDF_LoadPage(&requests.FPDF_LoadPage{Document: r.doc, Index: index})
	if err != nil {
		return "", fmt.Errorf("loading page %d: %w", index+1, err)
	}
	text, err := r.loadedText(page.Page)
	if _, closing := r.api.FPDF_ClosePage(&requests.FPDF_ClosePage{Page: page.Page}); err == nil && closing != nil {
		err = fmt.Errorf("closing page %d: %w", index+1, closing)
	}
	return text, err
}

func (r *pdfReader) loadedText(ref references.FPDF_PAGE) (string, error) {
	loaded, err := r.api.FPDFText_LoadPage(&requests.FPDFText_LoadPage{Page: requests.Page{ByReference: &ref}})
	if err != nil {
		return "", fmt.Errorf("loading the page's text: %w", err)
	}
	text := ""
	count, err := r.api.FPDFText_CountChars(&requests.FPDFText_CountChars{TextPage: loaded.TextPage})
	if err == nil && count.Count > 0 {
		var got *responses.FPDFText_GetText
		got, err = r.api.FPDFText_GetText(&requests.FPDFText_GetText{TextPage: loaded.TextPage, Count: count.Count})
		if err == nil {
			text = strings.TrimRight(got.Text, "\x00")
		}
	}
	if _, closing := r.api.FPDFText_ClosePage(&requests.FPDFText_ClosePage{TextPage: loaded.TextPage}); err == nil {
		err = closing
	}
	return text, err
}

// readTitle takes the title from the document's information, unless a program
// put its own words there.
func (r *pdfReader) readTitle() {
	resp, err := r.api.FPDF_GetMetaText(&requests.FPDF_GetMetaText{Document: r.doc, Tag: "Title"})
	if err != nil {
		return
	}
	title := CleanField(resp.Value, maxTitle)
	lower := strings.ToLower(title)
	for _, junk := range []string{"untitled", "microsoft word - ", "microsoft powerpoint - ", "document1", "title"} {
		if lower == strings.TrimSpace(junk) || strings.HasSuffix(junk, " ") && strings.HasPrefix(lower, junk) {
			return
		}
	}
	r.out.title = title
}

// readOutline collects the bookmarks in order. An outline that cannot be read
// is none.
func (r *pdfReader) readOutline(ctx context.Context) {
	if !r.outlineEnds(ctx) {
		return
	}
	resp, err := r.api.GetBookmarks(&requests.GetBookmarks{Document: r.doc})
	if err != nil {
		return
	}
	r.addBookmarks(resp.Bookmarks, 1)
}

// outlineEnds reports whether the outline is a tree of bounded size. Broken
// documents have outlines that lead back to themselves, and GetBookmarks would
// follow them until its stack ends the process.
func (r *pdfReader) outlineEnds(ctx context.Context) bool {
	first, err := r.api.FPDFBookmark_GetFirstChild(&requests.FPDFBookmark_GetFirstChild{Document: r.doc})
	if err != nil || first.Bookmark == nil {
		return false
	}
	type entry struct {
		ref   references.FPDF_BOOKMARK
		level int
	}
	todo := []entry{{*first.Bookmark, 1}}
	for count := 0; len(todo) > 0; count++ {
		e := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if count > maxBookmarks || e.level > maxOutlineDepth || ctx.Err() != nil {
			return false
		}
		next, err := r.api.FPDFBookmark_GetNextSibling(&requests.FPDFBookmark_GetNextSibling{Document: r.doc, Bookmark: e.ref})
		if err != nil {
			return false
		}
		if next.Bookmark != nil {
			todo = append(todo, entry{*next.Bookmark, e.level})
		}
		child, err := r.api.FPDFBookmark_GetFirstChild(&requests.FPDFBookmark_GetFirstChild{Document: r.doc, Bookmark: &e.ref})
		if err != nil {
			return false
		}
		if child.Bookmark != nil {
			todo = append(todo, entry{*child.Bookmark, e.level + 1})
		}
	}
	return true
}

// addBookmarks flattens a level of the outline; its depth is bounded.
func (r *pdfReader) addBookmarks(list []responses.GetBookmarksBookmark, level int) {
	for _, entry := range list {
		b := bookmark{title: CleanField(entry.Title, maxTitle), level: min(level, 6), page: -1}
		switch {
		case entry.DestInfo != nil:
			b.page = entry.DestInfo.PageIndex
		case entry.ActionInfo != nil && entry.ActionInfo.DestInfo != nil:
			b.page = entry.ActionInfo.DestInfo.PageIndex
		}
		r.out.outline = append(r.out.outline, b)
		r.addBookmarks(entry.Children, level+1)
	}
}
