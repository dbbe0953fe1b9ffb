package extract

import (
	"bytes"
	"net/url"
	"strings"

	"golang.org/x/net/html"
)

// maxLink is the length from which a link keeps only its text.
const maxLink = 2000

// link returns the target of a link as it stands in Markdown, or nil where
// only the text is kept: without a target, inside the page, and where a target
// is code or data instead of a place.
func (c *converter) link(href []byte) []byte {
	href = bytes.TrimSpace(decodeRefs(href))
	if len(href) == 0 || href[0] == '#' || len(href) > maxLink {
		return nil
	}
	if bytes.IndexFunc(href, func(r rune) bool { return r < ' ' || r == 0x7f }) >= 0 {
		// Browsers ignore line ends and tabs inside an address.
		href = bytes.Map(func(r rune) rune {
			if r < ' ' || r == 0x7f {
				return -1
			}
			return r
		}, href)
	}
	if !safeScheme(href) {
		return nil
	}
	if c.base != nil {
		ref, err := c.base.Parse(string(href))
		if err != nil {
			return nil
		}
		href = []byte(ref.String())
	}
	return escapeLink(href)
}

// safeScheme allows relative addresses and those of places and people.
func safeScheme(href []byte) bool {
	i := bytes.IndexAny(href, ":/?#")
	if i < 0 || href[i] != ':' {
		return true
	}
	switch strings.ToLower(string(href[:i])) {
	case "http", "https", "mailto", "ftp", "ftps", "sftp", "ssh", "git", "tel", "news", "irc", "ircs", "doi", "urn":
		return true
	default:
		return false
	}
}

// escapeLink percent-encodes what would end a link in Markdown.
func escapeLink(href []byte) []byte {
	if !bytes.ContainsAny(href, " ()<>|\\`") {
		return href
	}
	out := make([]byte, 0, len(href)+16)
	for _, b := range href {
		switch b {
		case ' ', '(', ')', '<', '>', '|', '\\', '`':
			out = append(out, '%', "0123456789ABCDEF"[b>>4], "0123456789ABCDEF"[b&15])
		default:
			out = append(out, b)
		}
	}
	return out
}

// setBase takes the address in a base element.
func (c *converter) setBase(href []byte) {
	if len(href) == 0 || len(href) > maxLink {
		return
	}
	u, err := url.Parse(string(bytes.TrimSpace(decodeRefs(href))))
	if err != nil {
		return
	}
	if c.base != nil {
		u = c.base.ResolveReference(u)
	}
	if u.Scheme == "http" || u.Scheme == "https" {
		c.base = u
	}
}

// appendDecoded appends b with character references replaced.
func appendDecoded(dst, b []byte) []byte {
	for {
		i := bytes.IndexByte(b, '&')
		if i < 0 {
			return append(dst, b...)
		}
		dst = append(dst, b[:i]...)
		b = b[i:]
		n := referenceLen(b)
		switch string(b[:n]) {
		case "&":
			dst = append(dst, '&')
		case "&lt;":
			dst = append(dst, '<')
		case "&gt;":
			dst = append(dst, '>')
		case "&amp;":
			dst = append(dst, '&')
		case "&quot;", "&#34;":
			dst = append(dst, '"')
		case "&#39;":
			dst = append(dst, '\'')
		case "&nbsp;", "&#160;":
			dst = append(dst, ' ')
		default:
			dst = append(dst, html.UnescapeString(string(b[:n]))...)
		}
		b = b[n:]
	}
}

// referenceLen returns how far a character reference at the start of b can
// reach.
func referenceLen(b []byte) int {
	const longest = 34
	n := 1
	for n < len(b) && n < longest && (isLetter(b[n]) || (b[n] >= '0' && b[n] <= '9') || (n == 1 && b[n] == '#')) {
		n++
	}
	if n < len(b) && b[n] == ';' {
		n++
	}
	return n
}
