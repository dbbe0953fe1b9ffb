package github

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"tributary/connectors"
)

// selection decides what is synced: by patterns over paths such as
// "owner/repository/docs/intro.md", and by owners and repositories chosen by
// id. An owner stands for repositories that are created later, too.
//
// In a pattern, * and ? match within a path element, [a-z] a class of
// characters (path.Match), and ** any number of elements. A pattern with a
// slash is matched from the top; one without is matched at every depth. A
// pattern that matches a folder covers everything below it.
type selection struct {
	include, exclude []pattern
	containers       []string
}

// pattern is a glob cut at its slashes.
type pattern []string

func newSelection(sel connectors.Selection) (*selection, error) {
	s := &selection{containers: slices.Clone(sel.Containers)}
	var err error
	if s.include, err = parsePatterns("selection.include", sel.Include); err != nil {
		return nil, err
	}
	if s.exclude, err = parsePatterns("selection.exclude", sel.Exclude); err != nil {
		return nil, err
	}
	for _, c := range s.containers {
		kind, id, _ := strings.Cut(c, ":")
		if (kind != "repo" && kind != "owner") || id == "" {
			return nil, selectionError("selection.containers", c, errors.New("is neither repo:ID nor owner:ID: choose it again"))
		}
	}
	return s, nil
}

func selectionError(field, value string, err error) error {
	return &connectors.Error{
		Op: "reading selection", Class: connectors.Invalid, Err: fmt.Errorf("%s: %q: %w", field, value, err),
	}
}

func parsePatterns(field string, globs []string) ([]pattern, error) {
	var ps []pattern
	for _, g := range globs {
		p, err := parsePattern(g)
		if err != nil {
			return nil, selectionError(field, g, err)
		}
		ps = append(ps, p)
	}
	return ps, nil
}

func parsePattern(glob string) (pattern, error) {
	g := strings.TrimSpace(glob)
	anchored := strings.Contains(strings.TrimSuffix(g, "/"), "/")
	g = strings.Trim(g, "/")
	if g == "" {
		return nil, errors.New("is empty: leave it out, or use ** for everything")
	}
	var p pattern
	if !anchored {
		p = append(p, "**")
	}
	for el := range strings.SplitSeq(g, "/") {
		if el == "" || el == "." || el == ".." {
			return nil, errors.New("must be a path without . or .. or empty elements")
		}
		if _, err := path.Match(el, ""); err != nil {
			return nil, errors.New("has an unfinished [ class or a trailing backslash")
		}
		p = append(p, el)
	}
	return p, nil
}

// covers reports whether p matches the path or a folder above it. A ** at the
// end stands for at least one element. Its cost is len(p) times len(elems).
func (p pattern) covers(elems []string) bool {
	at := p.over(map[int]bool{0: true})
	for _, el := range elems {
		next := map[int]bool{}
		for j := range at {
			if p[j] == "**" {
				next[j] = true
				if j == len(p)-1 {
					return true
				}
				continue
			}
			if ok, err := path.Match(p[j], el); ok && err == nil {
				if j == len(p)-1 {
					return true
				}
				next[j+1] = true
			}
		}
		at = p.over(next)
	}
	return false
}

// over adds the positions reached by letting ** stand for no element.
func (p pattern) over(at map[int]bool) map[int]bool {
	for j := range p {
		if at[j] && p[j] == "**" && j < len(p)-1 {
			at[j+1] = true
		}
	}
	return at
}

// path reports whether the patterns select an item.
func (s *selection) path(p string) bool {
	if len(s.include)+len(s.exclude) == 0 {
		return true
	}
	elems := strings.Split(p, "/")
	covers := func(p pattern) bool { return p.covers(elems) }
	return !slices.ContainsFunc(s.exclude, covers) && (len(s.include) == 0 || slices.ContainsFunc(s.include, covers))
}

// repository reports whether r is selected: by name, or as one of its owner's
// or of everything, of which archived ones and forks may be left out.
func (s *selection) repository(r *repository, o options) bool {
	if slices.Contains(s.containers, r.id()) {
		return true
	}
	if len(s.containers) > 0 && !slices.Contains(s.containers, r.ownerID()) {
		return false
	}
	return (o.archived || !r.Archived) && (o.forks || !r.Fork)
}
