package extract

import (
	"strings"
	"testing"

	"golang.org/x/text/encoding/htmlindex"
)

func encodeAs(tb testing.TB, name, text string) []byte {
	tb.Helper()
	enc, err := htmlindex.Get(name)
	if err != nil {
		tb.Fatal(err)
	}
	body, err := enc.NewEncoder().Bytes([]byte(text))
	if err != nil {
		tb.Fatal(err)
	}
	return body
}

func TestDecode(t *testing.T) {
	t.Parallel()
	russian := strings.Repeat("Крыша дома — это место, где держат пчёл. ", 20)
	japanese := strings.Repeat("これは日本語の文章です。屋根の上で蜂を飼っています。", 20)
	for name, c := range map[string]struct {
		body []byte
		hint string
		html bool
		want string
		warn bool
	}{
		"ascii":                            {[]byte("abc"), "utf-16", false, "abc", false},
		"utf-8 whatever is declared":       {[]byte("<meta charset=iso-8859-1>ü"), "latin1", true, "<meta charset=iso-8859-1>ü", false},
		"utf-8 with a mark":                {[]byte("\xef\xbb\xbfü"), "", false, "ü", false},
		"utf-16 with a mark":               {[]byte("\xfe\xff\x00a\x00\xfc"), "", false, "aü", false},
		"utf-16 without":                   {encodeAs(t, "utf-16le", "plain text"), "", false, "plain text", false},
		"utf-32":                           {[]byte("\xff\xfe\x00\x00a\x00\x00\x00b\x00\x00\x00"), "", false, "ab", false},
		"meta before the hint":             {append([]byte(`<meta http-equiv=x content="text/html; charset=windows-1251">`), encodeAs(t, "windows-1251", "Крыша")...), "iso-8859-1", true, `<meta http-equiv=x content="text/html; charset=windows-1251">Крыша`, false},
		"the xml declaration":              {append([]byte(`<?xml version="1.0" encoding="iso-8859-15"?>`), 0xa4), "", true, `<?xml version="1.0" encoding="iso-8859-15"?>€`, false},
		"meta in text is text":             {[]byte("charset=windows-1251 \xe9"), "latin1", false, "charset=windows-1251 é", false},
		"iso-2022-jp is ascii with shifts": {encodeAs(t, "iso-2022-jp", "日本"), "iso-2022-jp", false, "日本", false},
		"a wrong utf-8 declaration":        {[]byte("caf\xe9"), "utf-8", false, "café", true},
		"an unknown name":                  {[]byte("caf\xe9"), "klingon", false, "café", true},
		"guessed russian":                  {encodeAs(t, "windows-1251", russian), "", false, russian, true},
		"guessed japanese":                 {encodeAs(t, "shift_jis", japanese), "", false, japanese, true},
		"guessed euc-jp":                   {encodeAs(t, "euc-jp", japanese), "", false, japanese, true},
		"utf-8 with a broken byte":         {[]byte(russian + "\xff"), "", false, russian + "\ufffd", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, warning := decode(c.body, c.hint, c.html)
			if string(got) != c.want || (warning != "") != c.warn {
				t.Errorf("got %q with warning %q, want %q", got, warning, c.want)
			}
		})
	}
}

func TestMarkdownText(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ in, text, title string }{
		"toml front matter":           {"+++\ntitle = 'a b'\n+++\n\nx", "x", "a b"},
		"a rule is no front matter":   {"---\nx\n---\ny", "---\nx\n---\ny", ""},
		"open front matter is text":   {"---\na: b\n\nx", "---\na: b\n\nx", ""},
		"front matter ends with dots": {"---\ntitle: c\n...\nx", "x", "c"},
		"the first h1":                {"## a\n# b #\n# c", "## a\n# b #\n# c", "b"},
		"else the first heading":      {"### a\n## b", "### a\n## b", "a"},
		"headings in code are code":   {"~~~sh\n# a\n~~~\n    # b\n#c", "~~~sh\n# a\n~~~\n    # b\n#c", ""},
		"comments":                    {"a <!-- x\ny --> b\n<!-- z -->\nc", "a  b\nc", ""},
		"comments in code":            {"```\n<!-- x -->\n```\n`<!-- y -->`\n<!-- open", "```\n<!-- x -->\n```\n`<!-- y -->`\n<!-- open", ""},
		"space at line ends":          {"a  \nb\t\n\n", "a\nb", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if text, title := markdownText(c.in); text != c.text || title != c.title {
				t.Errorf("got %q titled %q, want %q titled %q", text, title, c.text, c.title)
			}
		})
	}
}
