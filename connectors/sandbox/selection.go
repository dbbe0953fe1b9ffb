package sandbox

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"tributary/connectors"
)

// selection decides which files are synced: by patterns over their paths, and
// by folders chosen by id, whatever lies below them.
//
// In a pattern, * and ? match within a path element, [a-z] a class of
// characters (path.Match), and ** any number of elements. A pattern with a
// slash is matched from the top; one without is matched at every depth. A
// pattern that matches a folder covers everything below it.
type selection struct {
	include, exclude []pattern
	folders          []string
}

// pattern is a glob cut at its slashes.
type pattern []string

func newSelection(sel connectors.Selection) (*selection, error) {
	s := &selection{}
	var err error
	if s.include, err = parsePatterns("selection.include", sel.Include); err != nil {
		return nil, err
	}
	if s.exclude, err = parsePatterns("selection.exclude", sel.Exclude); err != nil {
		return nil, err
	}
	if !slices.Contains(sel.Containers, "") && !slices.Contains(sel.Containers, rootContainer) {
		s.folders = slices.Clone(sel.Containers)
	}
	return s, nil
}

func parsePatterns(field string, globs []string) ([]pattern, error) {
	var ps []pattern
	for _, g := range globs {
		p, err := parsePattern(g)
		if err != nil {
			return nil, &connectors.Error{
				Op: "reading selection", Class: connectors.Invalid, Err: fmt.Errorf("%s: pattern %q: %w", field, g, err),
			}
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

// file reports whether it is selected; chain is the path from it upwards, as
// far as it can be seen.
func (s *selection) file(it *item, chain []*item) bool {
	return s.patterns(it) && (len(s.folders) == 0 || slices.ContainsFunc(chain, func(f *item) bool {
		return slices.Contains(s.folders, f.ParentID)
	}))
}

func (s *selection) patterns(it *item) bool {
	if len(s.include)+len(s.exclude) == 0 {
		return true
	}
	elems := strings.Split(it.Path, "/")
	covers := func(p pattern) bool { return p.covers(elems) }
	return !slices.ContainsFunc(s.exclude, covers) && (len(s.include) == 0 || slices.ContainsFunc(s.include, covers))
}

// selected is file for listings that need nothing else of the folders, which
// are then not asked for.
func (s *session) selected(ctx context.Context, f *folders, it *item) (bool, error) {
	if len(s.sel.folders) == 0 || !s.sel.patterns(it) {
		return s.sel.patterns(it), nil
	}
	chain, _, err := f.path(ctx, it)
	return s.sel.file(it, chain), err
}
