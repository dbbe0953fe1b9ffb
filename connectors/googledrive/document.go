package googledrive

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"

	"tributary/connectors"
	"tributary/internal/httpx"
)

// rendering is part of every revision of a Google file: raised when its text is
// made differently.
const rendering = "1"

// format is how the text of a kind of file is had.
type format struct {
	kind string
	// exports are asked for in turn, while Google says that one is too large;
	// none means that the file's own bytes are the document.
	exports []string
	// render makes text of an export; nil leaves it.
	render func(media string, data []byte) ([]byte, error)
	// media is the type of the text.
	media string
	// reason says why a file is no document.
	reason string
}

const (
	mediaMarkdown = "text/markdown"
	mediaPlain    = "text/plain"
	mediaPDF      = "application/pdf"
	mediaCSV      = "text/csv"
	mediaXLSX     = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
)

// formatOf decides what becomes of a file by its media type,
// https://developers.google.com/workspace/drive/api/guides/ref-export-formats.
func formatOf(f *file) format {
	switch {
	case f.MimeType == typeDoc:
		return format{kind: "document", exports: []string{mediaMarkdown, mediaPlain}, render: withoutImages, media: mediaMarkdown}
	case f.MimeType == typeSheet:
		return format{kind: "spreadsheet", exports: []string{mediaXLSX, mediaCSV}, render: tables, media: mediaMarkdown}
	case f.MimeType == typeSlides:
		return format{kind: "presentation", exports: []string{mediaPlain}, media: mediaPlain}
	case f.MimeType == typeDrawing:
		return format{kind: "drawing", exports: []string{mediaPDF}, media: mediaPDF}
	case f.MimeType == typeShortcut:
		return format{reason: "It is a shortcut: what it leads to is read where it lies."}
	case f.native():
		return format{reason: "Google exports no text of it (" + strings.TrimPrefix(f.MimeType, native) + ")."}
	case !readable(f):
		return format{reason: "Files of this type are not read (" + f.MimeType + "). Office files can be saved as Google Docs, Sheets or Slides."}
	case f.size() > connectors.MaxBody:
		return format{reason: "The file is larger than 64 MB."}
	case f.MimeType == mediaPDF:
		return format{kind: "pdf", media: mediaPDF}
	default:
		return format{kind: "file", media: f.MimeType}
	}
}

// readable reports whether a file's own bytes are text, or become text.
func readable(f *file) bool {
	media, _, _ := strings.Cut(strings.ToLower(f.MimeType), ";")
	switch {
	case strings.HasPrefix(media, "text/"):
		return media != "text/rtf"
	case strings.HasSuffix(media, "+json"), strings.HasSuffix(media, "+xml"):
		return !strings.HasPrefix(media, "image/")
	}
	switch media {
	case mediaPDF, "application/json", "application/xml", "application/xhtml+xml", "application/yaml", "application/x-yaml",
		"application/toml", "application/javascript", "application/x-javascript", "application/typescript", "application/sql",
		"application/x-sh", "application/x-httpd-php", "application/x-python", "application/x-ruby", "application/x-tex":
		return true
	case "application/octet-stream", "":
		// Google does not know the types of every text.
		switch strings.ToLower(path.Ext(f.Name)) {
		case ".md", ".markdown", ".txt", ".rst", ".adoc", ".org", ".csv", ".tsv", ".json", ".jsonl", ".yaml", ".yml", ".toml",
			".xml", ".html", ".htm", ".log", ".sql", ".sh", ".go", ".py", ".js", ".ts", ".java", ".c", ".h", ".cpp", ".rs", ".rb":
			return true
		}
	}
	return false
}

// ref names the revision of a file. Google's own version is raised by every
// change of permissions and by mere viewing: what counts are the bytes, and for
// Google's files the time of the last edit.
func (f *file) ref(format format) connectors.ItemRef {
	rev := "t" + rendering + ":" + f.Modified
	if !f.native() {
		switch {
		case f.MD5 != "":
			rev = "m:" + f.MD5
		case f.SHA256 != "":
			rev = "s:" + f.SHA256
		case f.HeadRevision != "":
			rev = "h:" + f.HeadRevision
		}
	}
	if format.reason == "" && f.locked() {
		rev += ":locked"
	}
	return connectors.ItemRef{ID: f.ID, Revision: rev}
}

// locked reports whether the account may look at the file and not take its
// content.
func (f *file) locked() bool {
	return f.Capabilities.CanDownload != nil && !*f.Capabilities.CanDownload
}

// document describes a file and opens its text.
func (s *session) document(f *file, p place, format format) *connectors.Document {
	d := &connectors.Document{
		Title: f.title(), URL: f.Link, Path: p.path, Container: p.container, Kind: format.kind, MediaType: format.media,
		Size: -1, CreatedAt: moment(f.Created), UpdatedAt: moment(f.Modified), Author: f.ModifiedBy.Name,
	}
	if len(f.Owners) > 0 && f.Owners[0].Name != "" {
		d.Author = f.Owners[0].Name
	}
	if len(format.exports) == 0 {
		d.Size = f.size()
	}
	if f.Description != "" {
		d.Metadata = map[string]string{"description": f.Description}
	}
	ref, key, locked := f.ref(format), f.ResourceKey, f.locked()
	d.Open = func(ctx context.Context) (io.ReadCloser, error) {
		if locked {
			return nil, &connectors.Error{Op: opContent, Class: connectors.ItemRefused, Ref: ref, Err: errors.New("downloading is turned off for this account")}
		}
		return s.open(ctx, ref, key, format)
	}
	return d
}

// title returns the name without the ending of a document's format.
func (f *file) title() string {
	if f.native() {
		return f.Name
	}
	ext := path.Ext(f.Name)
	switch strings.ToLower(ext) {
	case ".md", ".html", ".txt", ".csv", ".pdf":
		if t := strings.TrimSuffix(f.Name, ext); t != "" {
			return t
		}
	}
	return f.Name
}

const opContent = "reading Google Drive content"

// open asks for a file's text.
func (s *session) open(ctx context.Context, ref connectors.ItemRef, key string, format format) (io.ReadCloser, error) {
	if len(format.exports) == 0 {
		return s.content(ctx, ref, key, "", url.Values{"alt": {"media"}, "supportsAllDrives": {"true"}})
	}
	var body io.ReadCloser
	var err error
	for _, media := range format.exports {
		body, err = s.content(ctx, ref, key, "/export", url.Values{"mimeType": {media}})
		if errors.Is(err, errExportSize) {
			continue
		}
		if err != nil || format.render == nil {
			return body, err
		}
		return rendered(body, ref, media, format.render)
	}
	return nil, err
}

// rendered reads an export whole, which Google limits to 10 MB, and makes text
// of it.
func rendered(body io.ReadCloser, ref connectors.ItemRef, media string, render func(media string, data []byte) ([]byte, error)) (io.ReadCloser, error) {
	defer body.Close()
	data, err := io.ReadAll(io.LimitReader(body, maxExport+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxExport {
		return nil, &connectors.Error{Op: opContent, Class: connectors.ItemSkipped, Ref: ref, Err: errExportSize}
	}
	text, err := render(media, data)
	if err != nil {
		return nil, &connectors.Error{Op: opContent, Class: connectors.ItemSkipped, Ref: ref, Err: err}
	}
	return io.NopCloser(bytes.NewReader(text)), nil
}

// maxExport is more than Google exports.
const maxExport = 16 << 20

// content requests a body.
func (s *session) content(ctx context.Context, ref connectors.ItemRef, key, rest string, query url.Values) (io.ReadCloser, error) {
	call := itemCall(opContent, ref.ID, rest, query)
	call.Ref = ref
	if key != "" {
		// Older files that are shared by link are opened by their key,
		// https://developers.google.com/workspace/drive/api/guides/resource-keys.
		call.Header = http.Header{"X-Goog-Drive-Resource-Keys": {ref.ID + "/" + key}}
	}
	content, _, err := s.api.Open(ctx, call)
	if errors.Is(err, httpx.ErrRedirect) {
		// One file's content lies elsewhere; the others do not.
		return nil, &connectors.Error{Op: opContent, Class: connectors.ItemSkipped, Ref: ref, Err: httpx.ErrRedirect}
	}
	return content, err
}

// Fetch reads one file again. What is gone, no document, or not selected is
// ItemRefused.
func (s *session) Fetch(ctx context.Context, id string) (connectors.Change, error) {
	const op = "fetching Google Drive file"
	f, at, err := s.file(ctx, op, id, fileFields)
	if err != nil {
		return connectors.Change{}, err
	}
	var page connectors.Page
	if f.ID == id && !f.Trashed && f.MimeType != typeFolder {
		if err := upsert(ctx, s.newTree(op), &f, at, &page); err != nil {
			return connectors.Change{}, err
		}
	}
	if len(page.Changes) == 0 {
		return connectors.Change{}, &connectors.Error{
			Op: op, Class: connectors.ItemRefused, Ref: connectors.ItemRef{ID: id}, Err: errors.New("it is not a document of the selection"),
		}
	}
	return page.Changes[0], nil
}
