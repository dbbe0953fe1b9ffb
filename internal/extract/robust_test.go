package extract

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"
)

// checkText fails if a text is not canonical.
func checkText(tb testing.TB, text string) {
	tb.Helper()
	switch {
	case !utf8.ValidString(text):
		tb.Errorf("not UTF-8: %q", text)
	case !norm.NFC.IsNormalString(text):
		tb.Errorf("not in NFC: %q", text)
	case strings.ContainsAny(text, "\x00\r\f\v\ufeff\u200b\u202e"):
		tb.Errorf("a character that Clean removes: %q", text)
	case Clean(text) != text:
		tb.Errorf("Clean changes it again: %q", text)
	}
}

// checkExtract fails unless a document gives canonical text, the same twice,
// or an *Error.
func checkExtract(tb testing.TB, e *Extractor, in Input) {
	tb.Helper()
	before := string(in.Body)
	r, err := e.Extract(context.Background(), in)
	if string(in.Body) != before {
		tb.Error("Extract changed the body")
	}
	if err != nil {
		if reason := (*Error)(nil); !errors.As(err, &reason) || reason.Reason == "" {
			tb.Errorf("an error without a reason: %v", err)
		}
		return
	}
	checkText(tb, r.Text)
	checkText(tb, r.Title)
	if strings.TrimSpace(r.Text) == "" || r.Language == "" {
		tb.Errorf("text %q in language %q without an error", r.Text, r.Language)
	}
	again, err := e.Extract(context.Background(), in)
	if err != nil || again.Text != r.Text || again.Title != r.Title || again.Language != r.Language {
		tb.Errorf("the second time: %q %q %v, want %q %q", again.Title, again.Text, err, r.Title, r.Text)
	}
}

func FuzzExtractHTML(f *testing.F) {
	for _, s := range []string{
		"<p>a", "<table><tr><td>a<td><table>", "<ul><li><ul><li><pre>a\n</ul>b", "<b><i>a</b>b</i>", "<a href=x><h1>a</a>b</h1>", "<dl><dt><table><tr><td>x",
		"<!DOCTYPE html><title>&#0;\xff</title><main>\u0301a", "<table><tr><td rowspan=9 colspan=9><td><tr><td><h1>a", "<header><h1>a</h1><main>b</header></main>", "\xff\xfe<\x00p\x00>\x00",
		"<blockquote><ol><li><table><tr><th>a<th>b<caption>c", "<pre><code class=language-go>x</pre></code>", "<svg><title>a</svg><td><li></td>b", "<?xml ?><html><div/><p/>a",
	} {
		f.Add([]byte(s))
	}
	e := New(Config{MaxInput: 1 << 20, MaxText: 1 << 16, MaxLine: 512})
	f.Fuzz(func(t *testing.T, body []byte) {
		checkExtract(t, e, Input{Name: "x.html", Body: body, BaseURL: "https://example.org/a/"})
	})
}

func FuzzExtractText(f *testing.F) {
	for _, s := range []string{"a", "---\ntitle: x\n---\n# a\n<!-- b -->", "```\n<!-- a\n```\n-->", "\xff\xfea\x00", "a\u0301\u0323\x00\r\nb\x1b", "\xe9\xe8", "#!/bin/sh\n", "{\"a\":1}"} {
		f.Add("x.md", []byte(s))
		f.Add("x.txt", []byte(s))
		f.Add("x", []byte(s))
		f.Add("x.go", []byte(s))
	}
	e := New(Config{MaxInput: 1 << 20, MaxText: 1 << 16, MaxLine: 512})
	f.Fuzz(func(t *testing.T, name string, body []byte) {
		if isPDF(body) {
			return // a PDF is no text; robust tests of its own read damaged ones
		}
		checkExtract(t, e, Input{Name: name, Body: body})
	})
}

func FuzzClean(f *testing.F) {
	for _, s := range []string{"", "a\x00b", "\xed\xa0\x80", "e\u0301", "\r\r\n", "\u2028\u00ad\U000e0041", "\uac00\u11a8", strings.Repeat("\u0301", 40)} {
		f.Add(s, 10)
	}
	f.Fuzz(func(t *testing.T, s string, limit int) {
		checkText(t, Clean(s))
		field := CleanField(s, limit)
		checkText(t, field)
		if len(field) > max(limit, 0) || strings.ContainsAny(field, "\n\t") || CleanField(field, limit) != field {
			t.Errorf("CleanField(%q, %d) = %q", s, limit, field)
		}
	})
}

func TestCleanKeepsCleanText(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"a\tb\nc":                 "a\tb\nc",
		"a\r\nb\rc\n\rd":          "a\nb\nc\n\nd",
		"a\x00b\x07c\x7fd\u0085e": "abcd\ne",
		"\ufeffa\u200bb\u00adc":   "abc",
		"e\u0301":                 "é",
		"\xff\xed\xa0\x80":        "\ufffd\ufffd\ufffd\ufffd",
		"\u202eabc\u2066d":        "abcd",
		"\u0915\u094d\u200d\u0937 👩\u200d🚀": "\u0915\u094d\u200d\u0937 👩\u200d🚀",
		"x\U000e0041\U000e0042y\ufffe":      "xy",
		"p\fq\vr\u2028s":                    "p\nq\nr\ns",
	} {
		if got := Clean(in); got != want {
			t.Errorf("Clean(%q) = %q, want %q", in, got, want)
		}
	}
	if got := CleanField(" a\n b\x00 Blüte", 7); got != "a b Bl" {
		t.Errorf("CleanField = %q", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringOf(rapid.RuneFrom([]rune("aé\u0301\u0323\u1100\u1161가\n\u200d\u0344"))).Draw(t, "s")
		if got := Clean(s); norm.NFC.String(got) != got || got != norm.NFC.String(s) {
			t.Fatalf("Clean(%q) = %q", s, got)
		}
	})
}

// TestHostileHTMLIsLinear reads documents that make converters quadratic or
// overflow their stack. The bound is far above what they take and far below
// what a quadratic pass would.
func TestHostileHTMLIsLinear(t *testing.T) {
	t.Parallel()
	const n = 200_000
	rep := strings.Repeat
	e := New(Config{})
	for name, body := range map[string]string{
		"nested divisions":        rep("<div>", n) + "x" + rep("</div>", n),
		"nested lists":            rep("<ul><li>", n) + "x" + rep("<p>y", n),
		"nested quotations":       rep("<blockquote>", n) + rep("<p>x", n),
		"nested tables":           rep("<table><tr><td>", n) + "x",
		"nested tables and cells": rep("<table><tr><td>a<td>", n) + "x" + rep("</table>", n),
		"nested emphasis":         rep("<b><i>", n) + rep("x</i>", n),
		"unclosed links":          rep("<a href=x>y", n),
		"end tags of nothing":     "<div>" + rep("<section>", n) + rep("</span></article></td></li>", n) + "x",
		"end tags inside a cell":  rep("<div>", n) + "<table><tr><td>" + rep("<span>", n) + rep("</div>", n) + "x",
		"open comments":           rep("<!-- ", n) + "x",
		"open tags":               rep("<a b", n) + "x>y",
		"open quotes":             rep("<a b='", n) + "x'>y",
		"lone signs":              rep("<", n) + rep("&", n) + "x",
		"open scripts":            rep("<script></", n) + "x",
		"attributes":              "<p " + rep("a=b ", n) + ">x",
		"a huge attribute":        "<p class='" + rep("nav x", n) + "'>x",
		"classes":                 rep("<p class='a b c d e f g'>x", n/4),
		"a wide table":            "<table>" + rep("<tr><td rowspan=9999 colspan=9999>x", n/100) + "</table>",
		"rows that span":          "<table><tr>" + rep("<td rowspan=99999>a", 100) + rep("<tr><td>b", n/20) + "</table>",
		"headings in tables":      rep("<table><tr><td>a<td>b<tr><td><h1>x</h1></table>", n/20),
		"dots":                    rep("<p>&#8230;. . . ", n/4) + "x",
		"definitions":             rep("<dl><dt>a<dd>", n) + "x",
		"backticks":               "<code>" + rep("`x", n) + "</code>",
		"headers":                 rep("<header><h1>x</h1>", n/4),
		"articles":                rep("<article><main>x", n/4),
	} {
		start := time.Now()
		checkExtractOnce(t, e, name, body)
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("%s: %d bytes took %s", name, len(body), took)
		}
	}
}

func checkExtractOnce(tb testing.TB, e *Extractor, name, body string) {
	tb.Helper()
	r, err := e.Extract(context.Background(), Input{Name: "x.html", Body: []byte(body)})
	if err == nil {
		checkText(tb, r.Text[:min(len(r.Text), 1<<20)])
	} else if !errors.Is(err, ErrNoText) {
		tb.Errorf("%s: %v", name, err)
	}
}
