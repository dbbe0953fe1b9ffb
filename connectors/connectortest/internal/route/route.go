package route

import (
	"fmt"
	"iter"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Table maps methods and path templates to operations. A template is a path
// with parameters in braces: "/repos/{owner}/{repo}". A parameter is one
// segment; "{path...}" is any number of them, and stands last.
type Table[T any] struct {
	routes []entry[T]
}

type entry[T any] struct {
	method, template string
	pattern          *regexp.Regexp
	op               T
}

var parameter = regexp.MustCompile(`\{\+?([^{}]+?)(\.\.\.)?\}`)

// Add makes op the operation of a method and a template.
func (t *Table[T]) Add(method, template string, op T) error {
	var b strings.Builder
	at := 0
	for _, m := range parameter.FindAllStringSubmatchIndex(template, -1) {
		literal := template[at:m[0]]
		many := m[4] >= 0
		if many && m[1] != len(template) {
			return fmt.Errorf("template %q: a parameter of several segments stands last", template)
		}
		if many {
			b.WriteString(regexp.QuoteMeta(strings.TrimSuffix(literal, "/")) + `(?:/(.*))?`)
		} else {
			b.WriteString(regexp.QuoteMeta(literal) + `([^/]+)`)
		}
		at = m[1]
	}
	b.WriteString(regexp.QuoteMeta(template[at:]))
	pattern, err := regexp.Compile("^" + b.String() + "$")
	if err != nil {
		return fmt.Errorf("template %q: %w", template, err)
	}
	t.routes = append(t.routes, entry[T]{method: method, template: template, pattern: pattern, op: op})
	slices.SortStableFunc(t.routes, func(a, b entry[T]) int { return strings.Compare(rank(a.template), rank(b.template)) })
	return nil
}

// rank sorts literal segments before parameters, and those before parameters of
// several segments.
func rank(template string) string {
	return parameter.ReplaceAllStringFunc(template, func(p string) string {
		if strings.HasSuffix(p, "...}") {
			return "\U0010FFFF"
		}
		return "\U0010FFFE"
	})
}

// Match is an operation that a request is for.
type Match[T any] struct {
	Op       T
	Template string
	// Params are the values of the template's parameters, unescaped.
	Params map[string]string
}

// Find returns the operation of a method and an escaped path. Of several
// templates that fit, the one with the earliest literal segment wins.
func (t *Table[T]) Find(method, path string) (Match[T], bool) {
	for _, r := range t.routes {
		if r.method != method {
			continue
		}
		values := r.pattern.FindStringSubmatch(path)
		if values == nil {
			continue
		}
		m := Match[T]{Op: r.op, Template: r.template, Params: map[string]string{}}
		for i, name := range parameter.FindAllStringSubmatch(r.template, -1) {
			value, err := url.PathUnescape(values[i+1])
			if err != nil {
				value = values[i+1]
			}
			m.Params[name[1]] = value
		}
		return m, true
	}
	return Match[T]{}, false
}

// All yields every operation with its method and template: "GET /user".
func (t *Table[T]) All() iter.Seq2[string, T] {
	return func(yield func(string, T) bool) {
		for _, r := range t.routes {
			if !yield(r.method+" "+r.template, r.op) {
				return
			}
		}
	}
}
