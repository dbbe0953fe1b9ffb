package extract

import "bytes"

// keepLevel says how much of a page around its main content is kept. The
// converter begins with keepMain and goes on to the next level when almost
// nothing is left.
type keepLevel uint8

const (
	keepMain  keepLevel = iota // leave out navigation and tables of contents
	keepLists                  // leave out navigation
	keepAll                    // leave out only what is never text
)

// dropKind says why an element is left out.
type dropKind uint8

const (
	dropNothing  dropKind = iota
	dropContents          // a list of links to the page's or the book's parts
	dropPage              // navigation, banners and other parts of the site
	dropAlways            // never text
)

// drops reports whether an element of this kind is left out.
func (l keepLevel) drops(k dropKind) bool {
	switch k {
	case dropContents:
		return l < keepLists
	case dropPage:
		return l < keepAll
	case dropAlways:
		return true
	default:
		return false
	}
}

// dropByTag returns how an element counts by its name alone.
func dropByTag(t tag) dropKind {
	switch t {
	case tagScript, tagStyle, tagTemplate, tagNoscript, tagSvg, tagMath, tagIframe, tagNoembed, tagObject,
		tagTextarea, tagSelect, tagButton, tagOption:
		return dropAlways
	case tagNav, tagAside, tagNoframes:
		return dropPage
	default:
		return dropNothing
	}
}

// dropByRole returns how an element counts by its ARIA role
// (https://www.w3.org/TR/wai-aria-1.2/#landmark_roles).
func dropByRole(role []byte) dropKind {
	switch string(role) {
	case "navigation", "banner", "contentinfo", "search", "menu", "menubar", "toolbar", "tablist":
		return dropPage
	case "doc-toc", "directory":
		return dropContents
	default:
		return dropNothing
	}
}

// dropByTokens returns how an element counts by the words of its class or id.
func dropByTokens(list []byte) dropKind {
	result := dropNothing
	contents, topic := false, false
	for len(list) > 0 {
		var word []byte
		word, list = cutWord(list)
		switch string(word) {
		case "contents":
			contents = true
		case "topic", "local":
			topic = true
		case "footnote", "footnote-list", "citation-list", "admonition", "note", "tip", "warning", "callout":
			return dropNothing
		default:
			result = max(result, dropByToken(word))
		}
	}
	if contents && topic { // what Docutils writes for its contents directive
		result = max(result, dropContents)
	}
	return result
}

// dropByToken knows the class and id names that documentation tools and site
// themes use for what is not content.
func dropByToken(word []byte) dropKind {
	switch string(word) {
	case "navheader", "navfooter", "navigation", "navbar", "nav", "nav-links", "sidenav", "topnav", "bottomnav",
		"mobile-nav", "main-nav", "site-nav", "nav-path", "navpath", "side-nav", "navrow1", "navrow2", "navrow3",
		"sphinxsidebar", "sphinxsidebarwrapper", "related", "sidebar", "side-bar", "spirit-nav", "breadcrumb",
		"breadcrumbs", "site-header", "site-footer", "footer", "copyright-footer", "tagline", "logo", "page-footer", "pagination", "pager",
		"prev-next-area", "prevnext", "menu", "menubar", "menu-bar", "topmenu", "mainmenu", "submenu", "toolbar":
		return dropPage
	case "skip-link", "skiplink", "skip-nav", "skip-to-content", "screen-reader-shortcut", "mw-jump-link",
		"mw-editsection", "editsection", "printfooter", "catlinks", "noprint", "edit-this-page", "viewcode-link",
		"viewcode-back", "cookie-banner", "cookie-consent", "cookie-notice", "share-buttons", "social-share",
		"rst-footer-buttons", "rst-breadcrumbs-buttons", "rst-versions", "wy-nav-side", "wy-nav-top",
		"wy-breadcrumbs", "bd-sidebar", "bd-header", "bd-footer", "searchbox", "search-box", "searchform",
		"msearchbox", "msearchselectwindow", "msearchresultswindow", "language-selector", "version-switcher":
		return dropPage
	case "headerlink", "permalink", "header-anchor", "heading-anchor", "hash-link", "anchorjs-link", "anchor-link",
		"toc-backref-mark", "copybtn", "copybutton", "copy-button", "linenos", "lineno", "line-numbers-rows",
		"gutter", "katex-html", "mathjax_preview":
		return dropAlways
	case "toc", "table-of-contents", "tableofcontents", "localtoc", "toctree-wrapper", "toc-drawer", "toc-tree",
		"minitoc", "fancy_toc", "onthispage", "on-this-page":
		return dropContents
	default:
		return dropNothing
	}
}

// cutWord cuts the first word off a space separated list and lowers its case
// in place of a copy only when it has capitals.
func cutWord(list []byte) ([]byte, []byte) {
	for len(list) > 0 && isSpace(list[0]) {
		list = list[1:]
	}
	end := 0
	upper := false
	for end < len(list) && !isSpace(list[end]) {
		upper = upper || (list[end] >= 'A' && list[end] <= 'Z')
		end++
	}
	word := list[:end]
	if upper {
		word = bytes.ToLower(word)
	}
	return word, list[end:]
}

// pageMark is what an element's attributes say about it.
type pageMark struct {
	drop    dropKind
	main    bool   // role=main
	layout  bool   // a table that only arranges
	hidden  bool   // not shown
	panel   bool   // shown when its tab is chosen
	sig     bool   // a definition term that is the signature of code
	lang    string // language of the code inside
	href    []byte
	alt     []byte
	colspan int
	rowspan int
	start   int // first number of an ordered list
}
