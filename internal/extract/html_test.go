package extract

import (
	"strings"
	"testing"
)

func TestHTMLBlocks(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ in, want string }{
		"white space collapses":                 {"<p> a\n  b&nbsp;c </p>", "a b c"},
		"paragraphs need no end tag":            {"<p>a<p>b<div>c</div>d", "a\n\nb\n\nc\n\nd"},
		"headings keep their level":             {"<h1>a</h1><h3>b</h3>x", "# a\n\n### b\n\nx"},
		"a heading's own link is not its text":  {`<h2>C# <a class="headerlink" href="#c">#</a></h2><h2>Why <a href="#w">¶</a></h2>x`, "## C#\n\n## Why\n\nx"},
		"headings carry no links or emphasis":   {`<h2><a href="x"><b>a</b></a> <code>b</code></h2><a href="y"><h3>c</h3></a>x`, "## a `b`\n\n### c\n\nx"},
		"empty elements leave no trace":         {"<h2></h2><ul><li></li></ul><b></b><p></p><blockquote></blockquote>x", "x"},
		"lists nest":                            {"<ul><li>a<ul><li>b</ul><li>c</ul>d", "- a\n  - b\n- c\n\nd"},
		"ordered lists count":                   {"<ol><li>a<li value=7>b<li>c</ol>", "1. a\n7. b\n8. c"},
		"an item's paragraphs are indented":     {"<ol start=10><li><p>a<p>b</ol>", "10. a\n\n    b"},
		"code in an item":                       {"<ul><li>a<pre>x\n\n  y</pre></ul>", "- a\n\n  ```\n  x\n\n    y\n  ```"},
		"quotations":                            {"a<blockquote>b<blockquote>c</blockquote>d</blockquote>e", "a\n\n> b\n>\n> > c\n>\n> d\n\ne"},
		"definitions":                           {"<dl><dt>a<dt>b<dd>c<dt>d<dd><p>e<p>f</dl>", "**a**\n**b**\nc\n\n**d**\ne\n\nf"},
		"signatures are code":                   {`<dl><dt class="sig sig-object">f(<em>*a</em>)<a class="headerlink" href="#f">¶</a></dt><dd>x</dd></dl>`, "`f(*a)`\nx"},
		"line breaks":                           {"a<br>b<br><br>c", "a\nb\n\nc"},
		"verbatim text":                         {"<pre>\n\n  a &lt; b\n\tc  \n\n</pre>", "```\n  a < b\n\tc\n```"},
		"the fence is longer than any inside":   {"<pre>````</pre>", "`````\n````\n`````"},
		"the language of code":                  {`<pre><code class="language-go">x</code></pre><div class="highlight-python3"><pre>y</pre></div><pre class="lang-js">z</pre><pre class="language-text">t</pre>`, "```go\nx\n```\n\n```python\ny\n```\n\n```javascript\nz\n```\n\n```\nt\n```"},
		"code with backticks":                   {"<code>a`b</code>", "`` a`b ``"},
		"adjacent code is one span":             {"<code>a.</code><code>b</code> <b>c</b><b>d</b>", "`a.b` **cd**"},
		"emphasis hugs its text":                {"a<b> b </b>c <i>d</i>, <s>e</s>", "a **b** c *d*, ~~e~~"},
		"emphasis ends at blocks":               {"<b>a<p>b</p>c</b>", "**a**\n\n**b**\n\n**c**"},
		"misnested inline elements":             {"<b>a<i>b</b>c</i>d", "**a*b***cd"},
		"an end tag inside blocks":              {"<b><p>a</b>b<p>c", "**a**b\n\nc"},
		"superscripts of numbers":               {"2<sup>10</sup> x<sup>a</sup>", "2^10 xa"},
		"images are their text":                 {`a <img src=x alt="b &amp; c"> <img src=y>d`, "a b & c d"},
		"what would be a heading is escaped":    {"<p># a<p>#hash<p>===<p>---<p>```x", "\\# a\n\n#hash\n\n\\===\n\n\\---\n\n\\```x"},
		"words with signs are not escaped":      {"<p>pg_class a*b* [x] 1. - > c", "pg_class a*b* [x] 1. - > c"},
		"a quotation in a sentence":             {"He said <q>no</q>.", `He said "no".`},
		"figures and captions":                  {"<figure><img alt=a><figcaption>b</figcaption></figure>", "a\n\nb"},
		"unknown elements are transparent":      {"a <foo-bar>b</foo-bar> <font>c</font>", "a b c"},
		"characters that are not tags":          {"1 < 2 <3 a<>b </ c> d", "1 < 2 <3 a<>b d"},
		"comments":                              {"a<!-- x -- > y -->b<!-->c<!--->d<!-- z --!>e<!x>f<?y?>g", "abcdefg"},
		"an open comment hides the rest":        {"a<!-- b", "a"},
		"cdata is text":                         {"a<![CDATA[<b> & c]]>d", "a<b> & cd"},
		"references":                            {"&lt;p&gt; &copy; &#x41;&#66; &amp;amp; &unknown; &notit; &", "<p> © AB &amp; &unknown; ¬it; &"},
		"a quoted > does not end a tag":         {`<a title="x > y" href='z'>b</a>`, "[b](z)"},
		"a table that arranges becomes blocks":  {"<table><tr><td><h2>a</h2>b<td><p>c</table>", "## a\n\nb\n\nc"},
		"a nested table becomes blocks outside": {"<table><tr><td>a<td><table><tr><th>b<th>c<tr><td>1<td>2</table></table>", "a\n\n| b | c |\n|---|---|\n| 1 | 2 |"},
		"code of several lines in a cell":       {"<table><tr><th>a<th>b<tr><td><pre>x\ny</pre><td>c</table>", "**a**\n**b**\n\n```\nx\ny\n```\n\nc"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := htmlText(t, c.in); got != c.want {
				t.Errorf("text of %q:\n%s\nwant:\n%s", c.in, got, c.want)
			}
		})
	}
}

func TestHTMLTables(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ in, want string }{
		"a header row":              {"<table><tr><th>a<th>b<tr><td>1<td>2</table>", "| a | b |\n|---|---|\n| 1 | 2 |"},
		"thead makes a header":      {"<table><thead><tr><td>a<td>b<tbody><tr><td>1<td>2</table>", "| a | b |\n|---|---|\n| 1 | 2 |"},
		"no header":                 {"<table><tr><td>a<td>b<tr><td>1<td>2</table>", "| | |\n|---|---|\n| a | b |\n| 1 | 2 |"},
		"a header column":           {"<table><tr><th>a<td>b<tr><th>c<td>d</table>", "| | |\n|---|---|\n| a | b |\n| c | d |"},
		"a caption":                 {"<table><caption>t</caption><tr><th>a<th>b<tr><td>1<td>2</table>", "t\n\n| a | b |\n|---|---|\n| 1 | 2 |"},
		"columns that are spanned":  {"<table><tr><th colspan=2>a<th>b<tr><td>1<td>2<td>3</table>", "| a | | b |\n|---|---|---|\n| 1 | 2 | 3 |"},
		"rows that are spanned":     {"<table><tr><th>a<th>b<tr><td rowspan=2>1<td>2<tr><td>3</table>", "| a | b |\n|---|---|\n| 1 | 2 |\n| | 3 |"},
		"longer rows widen":         {"<table><tr><th>a<th>b<tr><td>1<td>2<td>3</table>", "| a | b | |\n|---|---|---|\n| 1 | 2 | 3 |"},
		"empty rows are left out":   {"<table><tr><td><td><tr><th>a<th>b<tr><td> <td><tr><td>1<td>2</table>", "| a | b |\n|---|---|\n| 1 | 2 |"},
		"bars are escaped":          {"<table><tr><th>a|b<th>c<tr><td>1<td><code>x|y</code></table>", "| a\\|b | c |\n|---|---|\n| 1 | `x\\|y` |"},
		"blocks in cells":           {"<table><tr><th>a<th>b<tr><td><p>x<p>y<td><ul><li>1<li>2</ul></table>", "| a | b |\n|---|---|\n| x y | 1; 2 |"},
		"one column is no table":    {"<table><tr><td>a<tr><td><p>b<p>c</table>", "a\n\nb\nc"},
		"one row is no table":       {"<table><tr><td>a<td>b</table>", "a\nb"},
		"in a list":                 {"<ul><li><table><tr><th>a<th>b<tr><td>1<td>2</table></ul>", "- | a | b |\n  |---|---|\n  | 1 | 2 |"},
		"emphasis around":           {"<b><table><tr><td>a<td>b<tr><td>1<td>2</table></b>", "| | |\n|---|---|\n| **a** | **b** |\n| **1** | **2** |"},
		"text between cells":        {"<table><tr><td>a<td>b<tr>x<td>1<td>2</table>", "a\nb\n\nx\n1\n2"},
		"text before the first row": {"<table>x<tr><td>a<td>b<tr><td>1<td>2</table>", "x\n\n| | |\n|---|---|\n| a | b |\n| 1 | 2 |"},
		"an open table":             {"<table><tr><td>a<td>b<tr><td>1<td>2", "| | |\n|---|---|\n| a | b |\n| 1 | 2 |"},
		"two tables":                {"<table><tr><td>a<td>b<tr><td>1<td>2</table><table><tr><td>c<td>d<tr><td>3<td>4</table>", "| | |\n|---|---|\n| a | b |\n| 1 | 2 |\n\n| | |\n|---|---|\n| c | d |\n| 3 | 4 |"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := htmlText(t, c.in); got != c.want {
				t.Errorf("text of %q:\n%s\nwant:\n%s", c.in, got, c.want)
			}
		})
	}
}

func TestHTMLLinks(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ base, in, want string }{
		"as written":               {"", `<a href="../x.html#y">a</a>`, "[a](../x.html#y)"},
		"absolute with a base":     {"https://h/d/p.html", `<a href="../x.html">a</a>`, "[a](https://h/x.html)"},
		"the page's own base":      {"https://h/d/p.html", `<base href="/b/"><a href="x">a</a>`, "[a](https://h/b/x)"},
		"inside the page":          {"https://h/d", `<a href="#x">a</a> <a name=y>b</a>`, "a b"},
		"code and data":            {"", `<a href="javascript:x()">a</a> <a href=" JAVA&#10;SCRIPT:x">b</a> <a href="data:text/html,x">c</a> <a href="vbscript:x">d</a>`, "a b c d"},
		"mail":                     {"", `<a href="mailto:a@b">m</a>`, "[m](mailto:a@b)"},
		"what would end the link":  {"", `<a href="x (1).html">a</a>`, "[a](x%20%281%29.html)"},
		"a link that is its text":  {"", `<a href="https://h/x">https://h/x</a>`, "https://h/x"},
		"code as its text":         {"", `<a href="x"><code>f</code></a>`, "[`f`](x)"},
		"a sign as its text":       {"", `a <a href="x">§</a> b`, "a b"},
		"no text":                  {"", `a<a href="x"></a><a href="y"><img></a>b`, "ab"},
		"blocks inside":            {"", `<a href="x"><p>a</p><p>b</p></a>c`, "[a](x)\n\n[b](x)\n\nc"},
		"an address that is wrong": {"https://h/", `<a href="http://[::1">a</a>`, "a"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := mustExtract(t, Config{}, Input{Name: "p.html", BaseURL: c.base, Body: []byte(c.in)}).Text
			if got != c.want {
				t.Errorf("text of %q:\n%s\nwant:\n%s", c.in, got, c.want)
			}
		})
	}
}

func TestHTMLMainContent(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("Bees are kept on the roof of the house. ", 10)
	text := strings.TrimSpace(long)
	for name, c := range map[string]struct{ in, want string }{
		"main":                        {"<p>x</p><main><p>" + long + "</main><p>y", text},
		"role main":                   {`<p>x</p><div role="main"><p>` + long + "</div><p>y", text},
		"a main of no substance":      {"<p>" + long + "</p><main>x</main>", text + "\n\nx"},
		"an article":                  {"<p>x</p><article><p>" + long + "</article><p>y", text},
		"several articles":            {"<p>x</p><article><p>" + long + "</article><article>b</article><p>y", text + "\n\nb"},
		"scripts and controls":        {"<script>a</script><style>b</style><template>c</template><noscript>d</noscript><svg><title>e</title><text>f</text></svg><select><option>g</select><textarea>h</textarea><button>i</button><p>" + long, text},
		"navigation":                  {"<nav>a</nav><aside>b</aside><footer>c</footer><div role=navigation>d</div><div role=search>e</div><p>" + long, text},
		"navigation by class":         {`<div class="x navheader">a</div><div class="sphinxsidebar">b</div><div id="Sidebar">c</div><ul class="breadcrumb"><li>d</ul><p>` + long + `<div class="spirit-nav">e</div>`, text},
		"a table of contents":         {`<div class="toc"><ul><li>a</ul></div><div class="contents local topic">b</div><p>` + long, text},
		"a page of contents":          {`<h1>Index</h1><div class="toc"><ul><li>` + long + `</ul></div>`, "# Index\n\n- " + text},
		"nothing but navigation":      {`<nav><p>` + long + `</nav>`, text},
		"the page's header":           {"<header><a href=1>a</a><a href=2>b</a><a href=3>c</a></header><p>" + long, text},
		"a header with the title":     {"<header><h1>a</h1></header><p>" + long, "# a\n\n" + text},
		"an article's own header":     {"<article><header><p>by me</p></header><p>" + long + "</article>", "by me\n\n" + text},
		"a quotation's footer":        {"<blockquote>" + long + "<footer>me</footer></blockquote>", "> " + text + "\n>\n> me"},
		"a footnote aside":            {`<p>` + long + `</p><aside class="footnote">1 a</aside>`, text + "\n\n1 a"},
		"hidden parts but not panels": {`<p>` + long + `</p><p hidden>a</p><p style="color: red; Display : NONE">b</p><div role=tabpanel hidden>c</div>`, text + "\n\nc"},
		"a menu in a table":           {"<table><tr><td><a href=1>a</a><td><a href=2>b</a><td><a href=3>c</a></table><p>" + long, text},
		"line numbers":                {`<p>` + long + `</p><table class="highlighttable"><tr><td class="linenos"><pre>1` + "\n" + `2</pre></td><td class="code"><pre>a` + "\n" + `b</pre></td></tr></table>`, text + "\n\n```\na\nb\n```"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := htmlText(t, c.in); got != c.want {
				t.Errorf("text of %q:\n%s\nwant:\n%s", c.in, got, c.want)
			}
		})
	}
}
