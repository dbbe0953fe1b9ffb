package player

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/html"
)

// page is a page as a person sees it.
type page struct {
	address *url.URL
	status  int
	root    *html.Node
}

// form is a form of a page, filled in as the page has it.
type form struct {
	action, method string
	values         url.Values
	// ticks are the boxes to tick, by name; those that are ticked stand in values.
	ticks map[string]string
}

// tick ticks a box.
func (f *form) tick(name string) { f.values.Set(name, f.ticks[name]) }

func readPage(address *url.URL, status int, text string) (*page, error) {
	root, err := html.Parse(strings.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("reading a page of %s: %w", address.Host, err)
	}
	return &page{address: address, status: status, root: root}, nil
}

// each calls fn with every element of the page, in order, until it returns false.
func each(n *html.Node, fn func(n *html.Node) bool) {
	for d := range n.Descendants() {
		if d.Type == html.ElementNode && !fn(d) {
			return
		}
	}
}

func attr(n *html.Node, name string) (string, bool) {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val, true
		}
	}
	return "", false
}

func value(n *html.Node, name string) string {
	v, _ := attr(n, name)
	return v
}

// text returns the text of n in one line.
func text(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data + " ")
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// form returns the form whose action is path.
func (p *page) form(path string) (*form, bool) {
	var found *form
	each(p.root, func(n *html.Node) bool {
		if n.Data == "form" && value(n, "action") == path {
			found = readForm(n)
		}
		return found == nil
	})
	return found, found != nil
}

func readForm(n *html.Node) *form {
	f := &form{action: value(n, "action"), method: strings.ToUpper(value(n, "method")), values: url.Values{}, ticks: map[string]string{}}
	if f.method == "" {
		f.method = http.MethodGet
	}
	each(n, func(e *html.Node) bool {
		name := value(e, "name")
		if name == "" {
			return true
		}
		switch e.Data {
		case "input":
			f.input(e, name)
		case "textarea":
			f.values.Add(name, strings.TrimPrefix(innerText(e), "\n"))
		case "select":
			f.values.Add(name, chosen(e))
		}
		return true
	})
	return f
}

// input takes what a browser would send of a field.
func (f *form) input(e *html.Node, name string) {
	switch value(e, "type") {
	case "submit", "button", "image", "reset", "file":
	case "checkbox", "radio":
		v, ok := attr(e, "value")
		if !ok {
			v = "on"
		}
		if _, checked := attr(e, "checked"); checked {
			f.values.Add(name, v)
		} else {
			f.ticks[name] = v
		}
	default:
		f.values.Add(name, value(e, "value"))
	}
}

func innerText(n *html.Node) string {
	var b strings.Builder
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		if c.Type == html.TextNode {
			b.WriteString(c.Data)
		}
	}
	return b.String()
}

// chosen returns the option of a select that is selected, or the first.
func chosen(n *html.Node) string {
	var options []string
	picked := ""
	each(n, func(o *html.Node) bool {
		if o.Data != "option" {
			return true
		}
		v := value(o, "value")
		options = append(options, v)
		if _, ok := attr(o, "selected"); ok {
			picked = v
		}
		return true
	})
	if picked == "" && len(options) > 0 {
		picked = options[0]
	}
	return picked
}

// link returns the address of the first link that want takes.
func (p *page) link(want func(to *url.URL, label string) bool) (string, bool) {
	found := ""
	each(p.root, func(n *html.Node) bool {
		if n.Data != "a" {
			return true
		}
		to, err := p.address.Parse(value(n, "href"))
		if err == nil && want(to, text(n)) {
			found = to.String()
		}
		return found == ""
	})
	return found, found != ""
}

// byID returns the value of a field, or the text of any other element.
func (p *page) byID(id string) string {
	found := ""
	each(p.root, func(n *html.Node) bool {
		if value(n, "id") != id {
			return true
		}
		if found = value(n, "value"); n.Data != "input" {
			found = text(n)
		}
		return false
	})
	return found
}

// heading is the page's first heading.
func (p *page) heading() string {
	found := ""
	each(p.root, func(n *html.Node) bool {
		if n.Data == "h1" {
			found = text(n)
		}
		return found == ""
	})
	return found
}

// says is what the page tells the person who looks at it: its alert, or where
// there is none its heading and what stands below.
func (p *page) says() string {
	var alerts, parts []string
	each(p.root, func(n *html.Node) bool {
		switch {
		case value(n, "role") == "alert":
			alerts = append(alerts, text(n))
		case slices.Contains([]string{"h1", "p", "dd"}, n.Data) && value(n, "class") != "hint" && len(parts) < 6:
			parts = append(parts, strings.TrimRight(text(n), ".:")+".")
		}
		return true
	})
	if len(alerts) > 0 {
		return strings.Join(alerts, " ")
	}
	return strings.Join(parts, " ")
}
