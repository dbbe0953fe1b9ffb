package extract

import (
	"context"
	"fmt"
	"net/url"
	"path"
	"strings"
	"sync"
	"time"
)

// Version is recorded in the lineage of every chunk. It is raised whenever the
// canonical text of a document can change.
const Version = 1

// Input is a document as its source has it.
type Input struct {
	Name      string // file name or path: a hint
	MediaType string // what the source says, a hint, may be ""
	Charset   string // what the source says, a hint, may be ""
	Body      []byte // not changed and not kept
	BaseURL   string // the document's address, for relative links; may be ""
}

// Result is the text of a document.
type Result struct {
	Title          string
	Text           string // canonical Markdown: UTF-8, NFC, LF, no NUL
	Language       string // PostgreSQL text search configuration: "english", "simple"
	Format         Format
	Pages          []Page // of a PDF, in order
	ImageOnlyPages int    // pages of a PDF with almost no characters
	Warnings       []string
}

// Page is where a page of a PDF begins in Text.
type Page struct{ Number, Start int }

// Config bounds what an Extractor takes and gives. Zero values are replaced by
// the defaults.
type Config struct {
	MaxInput      int           // bytes of a document, 64 MiB
	MaxText       int           // bytes of its text, 32 MiB; the rest is cut off with a warning
	MaxLine       int           // bytes of a line, 64 KiB; longer ones are broken with a warning
	CacheDir      string        // where the compiled PDF engine is kept; "" compiles in every process
	PDFTimeout    time.Duration // for one document, 2 minutes
	PDFPages      int           // pages of one document, 5,000; the rest is left out with a warning
	PDFInstances  int           // documents read at the same time, 1
	PDFMemoryPage int           // memory of an instance in pages of 64 KiB, 8,192 (512 MiB)
}

const (
	maxTitle      = 500
	proseShare    = 0.08
	codeShare     = 0.22
	defaultInput  = 64 << 20
	defaultText   = 32 << 20
	defaultLine   = 64 << 10
	defaultPages  = 5000
	defaultMemory = 8192
)

// Extractor turns documents into canonical text. It is safe for concurrent
// use; Close releases the PDF engine.
type Extractor struct {
	cfg        Config
	converters sync.Pool
	pdf        *pdfEngine
}

// New returns an Extractor. The PDF engine starts with the first PDF.
func New(cfg Config) *Extractor {
	setDefault(&cfg.MaxInput, defaultInput)
	setDefault(&cfg.MaxText, defaultText)
	setDefault(&cfg.MaxLine, defaultLine)
	setDefault(&cfg.PDFPages, defaultPages)
	setDefault(&cfg.PDFInstances, 1)
	setDefault(&cfg.PDFMemoryPage, defaultMemory)
	if cfg.PDFTimeout <= 0 {
		cfg.PDFTimeout = 2 * time.Minute
	}
	cfg.MaxLine = max(cfg.MaxLine, 256)
	return &Extractor{
		cfg:        cfg,
		converters: sync.Pool{New: func() any { return new(converter) }},
		pdf:        newPDFEngine(cfg),
	}
}

func setDefault(value *int, standard int) {
	if *value <= 0 {
		*value = standard
	}
}

// Close waits for documents that are being read and releases the PDF engine.
// Extract still works afterwards for everything but PDF.
func (e *Extractor) Close(ctx context.Context) error { return e.pdf.close(ctx) }

// Extract returns the text of a document. What cannot become text gives an
// *Error, every time; any other error is ctx's, or says that the PDF engine
// cannot start, and may be gone the next time.
func (e *Extractor) Extract(ctx context.Context, in Input) (Result, error) {
	if err := ctx.Err(); err != nil {
		return Result{}, fmt.Errorf("extracting text: %w", err)
	}
	if len(in.Body) > e.cfg.MaxInput {
		return Result{}, ErrTooLarge.because(fmt.Errorf("%d bytes where %d are allowed", len(in.Body), e.cfg.MaxInput))
	}
	if len(in.Body) == 0 {
		return Result{}, ErrEmpty
	}
	format, lang, err := classify(in)
	if err != nil {
		return Result{}, err
	}
	r := Result{Format: format}
	stated := ""
	if format == PDF {
		err = e.extractPDF(ctx, in, &r)
	} else {
		stated = e.extractText(in, lang, &r)
	}
	if err != nil {
		return Result{}, err
	}
	if strings.TrimSpace(r.Text) == "" {
		return Result{}, ErrNoText
	}
	r.Title = CleanField(r.Title, maxTitle)
	if r.Title == "" {
		r.Title = CleanField(fileTitle(in.Name), maxTitle)
	}
	share := proseShare
	if format == Source {
		share = codeShare
	}
	r.Language = detectLanguage(r.Text, stated, share)
	return r, nil
}

// classify decides the format: what the bytes are, then what the name and the
// source say about the kind of text. It returns the language of source code.
func classify(in Input) (Format, string, error) {
	format, mediaType, ok := Sniff(in.Name, in.Body)
	if !ok {
		return Unknown, "", ErrUnsupported.because(fmt.Errorf("it is %s", mediaType))
	}
	if format == PDF {
		return PDF, "", nil
	}
	hint, _, _ := strings.Cut(strings.ToLower(in.MediaType), ";")
	switch strings.TrimSpace(hint) {
	case "text/html", "application/xhtml+xml":
		return HTML, "", nil
	case "text/markdown", "text/x-markdown":
		return Markdown, "", nil
	default:
	}
	lang := ""
	if format == Source {
		lang = fileLanguage(strings.ToLower(path.Base(strings.ReplaceAll(in.Name, "\\", "/"))))
		if lang == "" {
			lang = contentLanguage(in.Body[:min(len(in.Body), SniffLen)])
		}
	}
	return format, lang, nil
}

// extractText handles every format that is text to begin with, and returns the
// natural language that the document states.
func (e *Extractor) extractText(in Input, lang string, r *Result) string {
	stated := ""
	body, warning := decode(in.Body, in.Charset, r.Format == HTML)
	if warning != "" {
		r.Warnings = append(r.Warnings, warning)
	}
	cut := false
	switch r.Format {
	case HTML:
		p := e.extractHTML(body, in.BaseURL)
		r.Text, r.Title, stated, cut = strings.TrimSpace(Clean(string(p.text))), p.title, p.lang, p.truncated
	case Markdown:
		r.Text, r.Title = markdownText(Clean(string(body)))
	case Source:
		r.Title = fileTitle(in.Name)
		r.Text = sourceText(Clean(string(body)), lang)
	default:
		r.Text = plainText(Clean(string(body)))
		r.Title = fileTitle(in.Name)
	}
	e.bound(r, cut)
	return stated
}

// bound keeps the text below the limits.
func (e *Extractor) bound(r *Result, cut bool) {
	text, broken := capLines(r.Text, e.cfg.MaxLine)
	r.Text = text
	if broken > 0 {
		r.Warnings = append(r.Warnings, fmt.Sprintf("Lines longer than %d bytes were broken in %d places.", e.cfg.MaxLine, broken))
	}
	if len(r.Text) > e.cfg.MaxText {
		r.Text = cutText(r.Text, e.cfg.MaxText)
		cut = true
	}
	if cut {
		r.Warnings = append(r.Warnings, fmt.Sprintf("The text was cut off after %d bytes.", e.cfg.MaxText))
	}
}

// cutText cuts at the last line end that fits, or between two characters.
func cutText(s string, limit int) string {
	if i := strings.LastIndexByte(s[:limit+1], '\n'); i > limit/2 {
		return strings.TrimRight(s[:i], "\n")
	}
	for limit > 0 && s[limit]&0xc0 == 0x80 {
		limit--
	}
	return s[:limit]
}

// extractHTML converts a page. A page without text has its title as its text.
func (e *Extractor) extractHTML(body []byte, baseURL string) page {
	var base *url.URL
	if baseURL != "" {
		if u, err := url.Parse(baseURL); err == nil && u.IsAbs() {
			base = u
		}
	}
	c, ok := e.converters.Get().(*converter)
	if !ok {
		c = new(converter)
	}
	p := c.convert(body, base, e.cfg.MaxText)
	c.release()
	e.converters.Put(c)
	if title := CleanField(p.title, maxTitle); len(p.text) == 0 && title != "" {
		p.text = []byte("# " + title)
	}
	return p
}
