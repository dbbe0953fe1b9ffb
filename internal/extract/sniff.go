package extract

import (
	"bytes"
	"net/http"
	"path"
	"strings"
	"unicode/utf8"
)

// SniffLen is how many bytes from the start of a file Sniff looks at; more
// change nothing.
const SniffLen = 64 << 10

// Sniff says whether a file would be ingested, from its name and its first
// SniffLen bytes, and as what. It agrees with file(1) about what is text: a
// file is a document if file --mime-type calls it text, JSON, a script or PDF.
// It returns the format, a media type, which for what is not a document is good
// enough for a reason, and whether the file is a document.
func Sniff(name string, head []byte) (Format, string, bool) {
	head = head[:min(len(head), SniffLen)]
	switch {
	case len(head) == 0:
		return Unknown, "inode/x-empty", false
	case len(head) == 1:
		return Unknown, "application/octet-stream", false
	case isPDF(head):
		return PDF, "application/pdf", true
	}
	text := head
	if enc := markedEncoding(head); enc != nil {
		text = transcode(head[:len(head)&^3], enc)
	} else if !isTextual(head) {
		return Unknown, binaryType(head), false
	}
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	if mediaType := textualType(text); mediaType != "" {
		return Unknown, mediaType, false
	}
	format, mediaType := textFormat(name, text)
	return format, mediaType, true
}

func isPDF(head []byte) bool {
	return bytes.Contains(head[:min(len(head), 256+5)], []byte("%PDF-"))
}

// isTextual reports whether the bytes are text in UTF-8 or a single-byte
// encoding, as libmagic's src/encoding.c defines it: no control characters but
// those that occur in text. JSON may contain U+007F.
func isTextual(head []byte) bool {
	for _, c := range head {
		if c < ' ' && (c < 7 || c > 13) && c != 27 || c == 0x7f && !looksJSON(head) {
			return false
		}
	}
	return true
}

// textualType returns the media type of formats that are written in text and
// are no documents: images, fonts, keys, printer languages.
func textualType(text []byte) string {
	start := text[:min(len(text), 4200)]
	trimmed := bytes.TrimLeft(start, " \t\r\n")
	has := func(prefix string) bool { return bytes.HasPrefix(start, []byte(prefix)) }
	switch {
	case bytes.HasPrefix(trimmed, []byte("<svg")), has("<?xml") && bytes.Contains(start, []byte("<svg")):
		return "image/svg+xml"
	case has("%!"), has("\x04%!"):
		return "application/postscript"
	case has("/* XPM */"):
		return "image/x-xpixmap"
	case isPortableImage(start):
		return "image/x-portable-anymap"
	case has("-----BEGIN PGP PUBLIC KEY"), has("-----BEGIN PGP PRIVATE KEY"):
		return "application/pgp-keys"
	case has("-----BEGIN PGP SIGNATURE"):
		return "application/pgp-signature"
	default:
		return ""
	}
}

// isPortableImage recognises the text forms of netpbm: P1, P2, P3 and a size.
func isPortableImage(b []byte) bool {
	if len(b) < 4 || b[0] != 'P' || b[1] < '1' || b[1] > '6' || !isSpace(b[2]) {
		return false
	}
	rest := bytes.TrimLeft(b[3:], " \t\r\n")
	return len(rest) > 0 && (rest[0] >= '0' && rest[0] <= '9' || rest[0] == '#')
}

// binaryType names what is not text.
func binaryType(head []byte) string {
	if t, _, _ := strings.Cut(http.DetectContentType(head), ";"); t != "text/plain" {
		return strings.Replace(t, "x-gzip", "gzip", 1)
	}
	return "application/octet-stream"
}

// textFormat decides between the formats of text.
func textFormat(name string, text []byte) (Format, string) {
	base := strings.ToLower(path.Base(strings.ReplaceAll(name, "\\", "/")))
	switch ext := path.Ext(base); ext {
	case ".html", ".htm", ".xhtml", ".xht", ".shtml":
		return HTML, "text/html"
	case ".md", ".markdown", ".mdown", ".mkd", ".mkdn", ".mdx", ".qmd", ".rmd":
		return Markdown, "text/markdown"
	case ".txt", ".text", ".rst", ".rest", ".adoc", ".asciidoc", ".org", ".textile", ".log", ".pod":
		if !looksHTML(text) {
			return PlainText, "text/plain"
		}
		return HTML, "text/html"
	default:
		lang := fileLanguage(base)
		if lang == "" && looksHTML(text) || lang == "xml" && xmlRootHTML(text) {
			return HTML, "text/html"
		}
		if lang == "" {
			lang = contentLanguage(text)
		}
		if lang != "" {
			return Source, sourceType(lang)
		}
		return PlainText, "text/plain"
	}
}

// sourceType returns the media type of a programming language.
func sourceType(lang string) string {
	switch lang {
	case "json":
		return "application/json"
	case "javascript":
		return "application/javascript"
	case "xml":
		return "text/xml"
	case "css", "csv":
		return "text/" + lang
	case "yaml":
		return "application/yaml"
	default:
		return "text/x-" + lang
	}
}

// looksHTML reports whether text without a telling name is a page.
func looksHTML(text []byte) bool {
	start := bytes.TrimLeft(text[:min(len(text), 1024)], " \t\r\n")
	for bytes.HasPrefix(start, []byte("<!--")) {
		_, rest, ok := bytes.Cut(start, []byte("-->"))
		if !ok {
			return false
		}
		start = bytes.TrimLeft(rest, " \t\r\n")
	}
	if bytes.HasPrefix(start, []byte("<?xml")) {
		return xmlRootHTML(text)
	}
	lower := bytes.ToLower(start[:min(len(start), 32)])
	for _, mark := range []string{"<!doctype html", "<html>", "<html ", "<html\n", "<head>", "<body>", "<body "} {
		if bytes.HasPrefix(lower, []byte(mark)) {
			return true
		}
	}
	return false
}

// xmlRootHTML reports whether the root element of an XML document is html.
func xmlRootHTML(text []byte) bool {
	rest := text[:min(len(text), 8<<10)]
	for {
		_, after, ok := bytes.Cut(rest, []byte{'<'})
		if !ok || len(after) == 0 {
			return false
		}
		rest = after
		switch {
		case bytes.HasPrefix(rest, []byte("!--")):
			_, rest, _ = bytes.Cut(rest, []byte("-->"))
		case rest[0] == '?', rest[0] == '!':
			_, rest, _ = bytes.Cut(rest, []byte{'>'})
		default:
			return len(rest) > 4 && bytes.EqualFold(rest[:4], []byte("html")) && (isSpace(rest[4]) || rest[4] == '>')
		}
	}
}

// contentLanguage recognises source without a telling name.
func contentLanguage(text []byte) string {
	first, _, _ := bytes.Cut(text[:min(len(text), 256)], []byte{'\n'})
	switch {
	case bytes.HasPrefix(first, []byte("#!")):
		return shebangLanguage(string(first))
	case bytes.HasPrefix(first, []byte("<?xml")):
		return "xml"
	case bytes.HasPrefix(first, []byte("<?php")):
		return "php"
	case looksJSON(text):
		return "json"
	default:
		return ""
	}
}

// looksJSON reports whether text begins like a JSON object with a key, or an
// array of objects.
func looksJSON(text []byte) bool {
	if !utf8.Valid(text[:min(len(text), 64)]) && len(text) < 64 {
		return false
	}
	b := bytes.TrimLeft(text, " \t\r\n")
	if len(b) > 0 && b[0] == '[' {
		b = bytes.TrimLeft(b[1:], " \t\r\n")
	}
	if len(b) == 0 || b[0] != '{' {
		return false
	}
	b = bytes.TrimLeft(b[1:], " \t\r\n")
	return len(b) > 1 && b[0] == '"'
}
