package extract

// tag names the elements that the converter tells apart.
type tag uint8

const (
	tagOther tag = iota // unknown elements are transparent
	tagA
	tagAddress
	tagArticle
	tagAside
	tagB
	tagBase
	tagBlockquote
	tagBody
	tagBr
	tagButton
	tagCaption
	tagCode
	tagDd
	tagDel
	tagDetails
	tagDiv
	tagDl
	tagDt
	tagEm
	tagFieldset
	tagFigcaption
	tagFigure
	tagFooter
	tagForm
	tagH1
	tagH2
	tagH3
	tagH4
	tagH5
	tagH6
	tagHead
	tagHeader
	tagHgroup
	tagHr
	tagHTML
	tagI
	tagIframe
	tagImg
	tagInput
	tagKbd
	tagLegend
	tagLi
	tagLink
	tagMain
	tagMath
	tagMeta
	tagNav
	tagNoembed
	tagNoframes
	tagNoscript
	tagObject
	tagOl
	tagOption
	tagP
	tagPlaintext
	tagPre
	tagQ
	tagS
	tagSamp
	tagScript
	tagSection
	tagSelect
	tagSpan
	tagStrong
	tagStyle
	tagSub
	tagSummary
	tagSup
	tagSvg
	tagTable
	tagTbody
	tagTd
	tagTemplate
	tagTextarea
	tagTfoot
	tagTh
	tagThead
	tagTitle
	tagTr
	tagTt
	tagUl
	tagVar
	tagWbr
	tagXmp
	tagCount
)

// tagNamed returns the tag of a name in any case.
func tagNamed(name []byte) tag {
	var buf [12]byte
	if len(name) > len(buf) {
		return tagOther
	}
	for i, c := range name {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		buf[i] = c
	}
	if n := len(name); n <= 2 {
		return shortTag(buf[:n])
	}
	if len(name) <= 4 {
		return fourTag(buf[:len(name)])
	}
	if len(name) <= 5 {
		return middleTag(buf[:len(name)])
	}
	return longTag(buf[:len(name)])
}

func shortTag(name []byte) tag {
	switch string(name) {
	case "a":
		return tagA
	case "b":
		return tagB
	case "br":
		return tagBr
	case "dd":
		return tagDd
	case "dl":
		return tagDl
	case "dt":
		return tagDt
	case "em":
		return tagEm
	case "h1":
		return tagH1
	case "h2":
		return tagH2
	case "h3":
		return tagH3
	case "h4":
		return tagH4
	case "h5":
		return tagH5
	case "h6":
		return tagH6
	case "hr":
		return tagHr
	case "i":
		return tagI
	case "li":
		return tagLi
	case "ol":
		return tagOl
	case "p":
		return tagP
	case "q":
		return tagQ
	case "s":
		return tagS
	case "td":
		return tagTd
	case "th":
		return tagTh
	case "tr":
		return tagTr
	case "tt":
		return tagTt
	case "ul":
		return tagUl
	default:
		return tagOther
	}
}

func fourTag(name []byte) tag {
	switch string(name) {
	case "base":
		return tagBase
	case "body":
		return tagBody
	case "code":
		return tagCode
	case "del":
		return tagDel
	case "div":
		return tagDiv
	case "form":
		return tagForm
	case "head":
		return tagHead
	case "html":
		return tagHTML
	case "img":
		return tagImg
	case "kbd":
		return tagKbd
	case "link":
		return tagLink
	case "main":
		return tagMain
	case "math":
		return tagMath
	case "meta":
		return tagMeta
	case "nav":
		return tagNav
	case "pre":
		return tagPre
	case "samp":
		return tagSamp
	case "span":
		return tagSpan
	case "sub":
		return tagSub
	case "sup":
		return tagSup
	case "svg":
		return tagSvg
	case "var":
		return tagVar
	case "wbr":
		return tagWbr
	case "xmp":
		return tagXmp
	default:
		return tagOther
	}
}

func middleTag(name []byte) tag {
	switch string(name) {
	case "aside":
		return tagAside
	case "input":
		return tagInput
	case "style":
		return tagStyle
	case "table":
		return tagTable
	case "tbody":
		return tagTbody
	case "tfoot":
		return tagTfoot
	case "thead":
		return tagThead
	case "title":
		return tagTitle
	default:
		return tagOther
	}
}

func longTag(name []byte) tag {
	switch string(name) {
	case "address":
		return tagAddress
	case "article":
		return tagArticle
	case "blockquote":
		return tagBlockquote
	case "button":
		return tagButton
	case "caption":
		return tagCaption
	case "details":
		return tagDetails
	case "fieldset":
		return tagFieldset
	case "figcaption":
		return tagFigcaption
	case "figure":
		return tagFigure
	case "footer":
		return tagFooter
	case "header":
		return tagHeader
	case "hgroup":
		return tagHgroup
	case "iframe":
		return tagIframe
	case "legend":
		return tagLegend
	case "noembed":
		return tagNoembed
	case "noframes":
		return tagNoframes
	case "noscript":
		return tagNoscript
	case "object":
		return tagObject
	case "option":
		return tagOption
	case "plaintext":
		return tagPlaintext
	case "script":
		return tagScript
	case "section":
		return tagSection
	case "select":
		return tagSelect
	case "strong":
		return tagStrong
	case "summary":
		return tagSummary
	case "template":
		return tagTemplate
	case "textarea":
		return tagTextarea
	default:
		return tagOther
	}
}

// isRaw reports whether the element's content is text up to its end tag.
func (t tag) isRaw() bool {
	switch t {
	case tagScript, tagStyle, tagTitle, tagTextarea, tagXmp, tagIframe, tagNoembed, tagNoframes, tagPlaintext:
		return true
	default:
		return false
	}
}

// String returns the name of an element with raw content.
func (t tag) String() string {
	switch t {
	case tagScript:
		return "script"
	case tagStyle:
		return "style"
	case tagTitle:
		return "title"
	case tagTextarea:
		return "textarea"
	case tagXmp:
		return "xmp"
	case tagIframe:
		return "iframe"
	case tagNoembed:
		return "noembed"
	case tagNoframes:
		return "noframes"
	case tagPlaintext:
		return "plaintext"
	default:
		return "element"
	}
}

// isVoid reports whether the element never has content.
func (t tag) isVoid() bool {
	switch t {
	case tagBase, tagBr, tagHr, tagImg, tagInput, tagLink, tagMeta, tagWbr:
		return true
	default:
		return false
	}
}

// isBlock reports whether the element starts and ends a block.
func (t tag) isBlock() bool {
	switch t {
	case tagAddress, tagArticle, tagAside, tagBlockquote, tagBody, tagCaption, tagDd, tagDetails, tagDiv, tagDl, tagDt,
		tagFieldset, tagFigcaption, tagFigure, tagFooter, tagForm, tagH1, tagH2, tagH3, tagH4, tagH5, tagH6, tagHeader,
		tagHgroup, tagHr, tagHTML, tagLegend, tagLi, tagMain, tagNav, tagOl, tagP, tagPre, tagSection, tagSummary,
		tagTable, tagTbody, tagTd, tagTfoot, tagTh, tagThead, tagTr, tagUl, tagXmp, tagPlaintext:
		return true
	default:
		return false
	}
}

// isHeading reports whether the element is one of h1 to h6.
func (t tag) isHeading() bool { return t >= tagH1 && t <= tagH6 }
