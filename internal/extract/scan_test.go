package extract

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/net/html"
	"pgregory.net/rapid"
)

// ownTags lists the known tags that the scanner finds, with their attributes.
func ownTags(doc []byte) []string {
	s := scanner{data: doc}
	var list []string
	var t token
	for {
		s.next(&t)
		switch t.kind {
		case tokenEnd:
			return list
		case tokenOpen:
			if t.tag == tagOther {
				continue
			}
			var line strings.Builder
			fmt.Fprintf(&line, "<%d", t.tag)
			a := attrs{t.attrs}
			seen := map[string]bool{} // the first of two attributes of a name counts
			for {
				name, value, ok := a.next()
				if !ok {
					break
				}
				if key := string(bytes.ToLower(name)); !seen[key] {
					seen[key] = true
					fmt.Fprintf(&line, " %s=%q", key, decodeRefs(value))
				}
			}
			list = append(list, line.String())
		case tokenClose:
			if t.tag != tagOther {
				list = append(list, fmt.Sprintf("</%d", t.tag))
			}
		case tokenText:
		}
	}
}

// referenceTags does the same with the tokenizer of golang.org/x/net/html.
func referenceTags(doc []byte) []string {
	z := html.NewTokenizer(bytes.NewReader(doc))
	var list []string
	for {
		switch z.Next() {
		case html.ErrorToken:
			return list
		case html.StartTagToken, html.SelfClosingTagToken:
			name, more := z.TagName()
			tag := tagNamed(name)
			var line strings.Builder
			fmt.Fprintf(&line, "<%d", tag)
			for more {
				var key, value []byte
				key, value, more = z.TagAttr()
				fmt.Fprintf(&line, " %s=%q", key, value)
			}
			if tag != tagOther {
				list = append(list, line.String())
			}
		case html.EndTagToken:
			name, _ := z.TagName()
			if tag := tagNamed(name); tag != tagOther {
				list = append(list, fmt.Sprintf("</%d", tag))
			}
		case html.TextToken, html.CommentToken, html.DoctypeToken:
		}
	}
}

// TestScannerAgreesWithReference finds the same tags and attributes as
// golang.org/x/net/html in whatever is made of the pieces of HTML.
func TestScannerAgreesWithReference(t *testing.T) {
	t.Parallel()
	pieces := []string{
		"<p>", "</p>", "<a href='x y'>", `<a href="&lt;&amp;" class=b>`, "<A HREF=z>", "<br/>", "<img alt=a/b>", "</a >", "<td\nid=x\tclass='y'>",
		"<b =c d>", "text", " ", "\n", "<", ">", "&amp;", "<!-- c -->", "<!-- <p> -->", "<!doctype html>", "<?php x ?>", "</ x>", "< p>", "<1>",
		"<script>a<b</script>", "<style><p></style>", "<title>t</title>", "<textarea></p></textarea>", "<unknown x=1>", "<div class=a class=b>", "<p a='>'>", "'", `"`, "=", "/",
	}
	rapid.Check(t, func(t *rapid.T) {
		doc := []byte(strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 30).Draw(t, "pieces"), ""))
		own, reference := ownTags(doc), referenceTags(doc)
		if strings.Join(own, "\n") != strings.Join(reference, "\n") {
			t.Fatalf("tags of %q:\n%q\nwant:\n%q", doc, own, reference)
		}
	})
}

func TestScannerAgreesOnPages(t *testing.T) {
	t.Parallel()
	for i, doc := range corpus(t) {
		own, reference := ownTags(doc), referenceTags(doc)
		for k := range min(len(own), len(reference)) {
			if own[k] != reference[k] {
				t.Errorf("page %d, tag %d: %s, want %s", i, k, own[k], reference[k])
				break
			}
		}
		if len(own) != len(reference) {
			t.Errorf("page %d: %d tags, want %d", i, len(own), len(reference))
		}
	}
}
