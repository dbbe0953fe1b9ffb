package extract

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/wlynxg/chardet"
	"golang.org/x/net/html/charset"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/unicode/utf32"
)

// decode returns the bytes as UTF-8 and a warning when the encoding had to be
// guessed. The order is that of
// https://html.spec.whatwg.org/multipage/parsing.html#determining-the-character-encoding
// with one exception: text that is valid UTF-8 and not ASCII is UTF-8 whatever
// is declared, since other encodings practically never look like that.
func decode(body []byte, hint string, isHTML bool) ([]byte, string) {
	if rest, ok := bytes.CutPrefix(body, []byte("\xef\xbb\xbf")); ok {
		return rest, ""
	}
	if enc := markedEncoding(body); enc != nil {
		return transcode(body, enc), ""
	}
	if enc, ok := pairedEncoding(body); ok {
		return transcode(body, enc), ""
	}
	ascii, valid := inspect(body)
	if ascii {
		if stateful := declared(body, hint, isHTML); stateful != nil && bytes.IndexByte(body, 0x1b) >= 0 {
			return transcode(body, stateful), ""
		}
		return body, ""
	}
	if valid {
		return body, ""
	}
	if enc := declared(body, hint, isHTML); enc != nil {
		return transcode(body, enc), ""
	}
	return guess(body)
}

// inspect reports whether the bytes are ASCII and whether they are UTF-8.
func inspect(body []byte) (bool, bool) {
	ascii := true
	for _, c := range body {
		if c >= utf8.RuneSelf {
			ascii = false
			break
		}
	}
	return ascii, ascii || utf8.Valid(body)
}

// markedEncoding returns the encoding that a byte order mark states.
func markedEncoding(body []byte) encoding.Encoding {
	switch {
	case bytes.HasPrefix(body, []byte("\xff\xfe\x00\x00")):
		return utf32.UTF32(utf32.LittleEndian, utf32.ExpectBOM)
	case bytes.HasPrefix(body, []byte("\x00\x00\xfe\xff")):
		return utf32.UTF32(utf32.BigEndian, utf32.ExpectBOM)
	case bytes.HasPrefix(body, []byte("\xff\xfe")):
		return named("utf-16le")
	case bytes.HasPrefix(body, []byte("\xfe\xff")):
		return named("utf-16be")
	default:
		return nil
	}
}

// pairedEncoding recognises UTF-16 without a mark: nearly every second byte of
// text in a Latin script is zero.
func pairedEncoding(body []byte) (encoding.Encoding, bool) {
	head := body[:min(len(body), 512)&^1]
	if len(head) < 8 {
		return nil, false
	}
	even, odd := 0, 0
	for i := 0; i < len(head); i += 2 {
		if head[i] == 0 {
			even++
		}
		if head[i+1] == 0 {
			odd++
		}
	}
	most := len(head) / 2 * 9 / 10
	switch {
	case odd >= most && even == 0:
		return named("utf-16le"), true
	case even >= most && odd == 0:
		return named("utf-16be"), true
	default:
		return nil, false
	}
}

// declared returns the encoding that the document or its source states, if it
// is known and can be true: text declared as UTF-8 that is not is in something
// else.
func declared(body []byte, hint string, isHTML bool) encoding.Encoding {
	if isHTML {
		if name := metaCharset(body[:min(len(body), 1024)]); name != "" {
			if enc := named(name); enc != nil {
				return enc
			}
		}
	}
	return named(hint)
}

// metaCharset finds what a meta element or an XML declaration states.
func metaCharset(head []byte) string {
	lower := bytes.ToLower(head)
	for _, key := range []string{"charset=", "encoding="} {
		i := bytes.Index(lower, []byte(key))
		if i < 0 {
			continue
		}
		rest := bytes.TrimLeft(lower[i+len(key):], " \"'")
		end := 0
		for end < len(rest) && (isLetter(rest[end]) || rest[end] >= '0' && rest[end] <= '9' || rest[end] == '-' || rest[end] == '_') {
			end++
		}
		if end > 0 {
			return string(rest[:end])
		}
	}
	return ""
}

// named returns the encoding of a name other than UTF-8, or nil.
func named(name string) encoding.Encoding {
	name = strings.ToLower(strings.TrimSpace(name))
	if name == "" || name == "utf-8" || name == "utf8" || name == "us-ascii" || name == "ascii" {
		return nil
	}
	enc, err := htmlindex.Get(name)
	if err != nil {
		enc, _ = charset.Lookup(name)
	}
	return enc
}

// guess looks at the bytes alone. Windows-1252 reads every byte as something
// and is what undeclared Western text nearly always is.
func guess(body []byte) ([]byte, string) {
	sample := body[:min(len(body), 64<<10)]
	result := chardet.Detect(sample)
	if result.Encoding == "MacCyrillic" {
		result.Encoding = "windows-1251" // the small letters are the same, and Mac files are rare
	}
	if result.Confidence >= 0.6 && !strings.HasPrefix(strings.ToLower(result.Encoding), "utf-8") {
		if enc := named(result.Encoding); enc != nil {
			return transcode(body, enc), "The encoding was not declared; it was read as " + strings.ToLower(result.Encoding) + "."
		}
	}
	if mostlyUTF8(sample) {
		return bytes.ToValidUTF8(body, []byte("\uFFFD")), "Bytes that are not valid UTF-8 were replaced."
	}
	return transcode(body, named("windows-1252")), "The encoding was not declared; it was read as windows-1252."
}

// mostlyUTF8 reports whether the text is UTF-8 but for a few bytes.
func mostlyUTF8(sample []byte) bool {
	multi, bad := 0, 0
	for i := 0; i < len(sample); {
		if sample[i] < utf8.RuneSelf {
			i++
			continue
		}
		_, size := utf8.DecodeRune(sample[i:])
		if size == 1 {
			bad++
		} else {
			multi++
		}
		i += size
	}
	return multi > 10*bad
}

// transcode converts to UTF-8; what has no meaning in enc becomes U+FFFD.
func transcode(body []byte, enc encoding.Encoding) []byte {
	out, err := enc.NewDecoder().Bytes(body)
	if err != nil {
		return bytes.ToValidUTF8(body, []byte("\uFFFD"))
	}
	return bytes.TrimPrefix(out, []byte("\xef\xbb\xbf"))
}
