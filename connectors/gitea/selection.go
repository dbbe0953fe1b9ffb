package gitea

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"tributary/connectors"
)

// selection decides what is synced: repositories by their own or their owner's id, and documents by patterns over their paths.
//
// In a pattern, * and ? match within a path element, [a-z] a class of characters (path.Match), and ** any number of elements. A
// pattern with a slash is matched from the top, which is the owner's name; one without is matched at every depth. A pattern that
// matches a container covers everything below it.
type selection struct {
	include, exclude []pattern
	containers       []string
}

// pattern is a glob cut at its slashes.
type pattern []string

func newSelection(sel connectors.Selection) (*selection, error) {
	s := &selection{containers: slices.Clone(sel.Containers)}
	for _, id := range sel.Containers {
		if !strings.HasPrefix(id, "repo:") && !strings.HasPrefix(id, "owner:") {
			return nil, &connectors.Error{
				Op: "reading selection", Class: connectors.Invalid,
				Err: fmt.Errorf("selection.containers: %q is neither repo:ID nor owner:ID: choose from the list", id),
			}
		}
	}
	var err error
	if s.include, err = parsePatterns("selection.include", sel.Include); err != nil {
		return nil, err
	}
	s.exclude, err = parsePatterns("selection.exclude", sel.Exclude)
	return s, err
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

// covers reports whether p matches the path or a container above it. A ** at the end stands for at least one element. Its cost
// is len(p) times len(elems).
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

// repo reports whether a repository is selected.
func (s *selection) repo(r *repository) bool {
	return len(s.containers) == 0 || slices.Contains(s.containers, r.id()) || slices.Contains(s.containers, r.ownerID())
}

// path reports whether the patterns let a document be synced.
func (s *selection) path(p string) bool {
	if len(s.include)+len(s.exclude) == 0 {
		return true
	}
	elems := strings.Split(p, "/")
	covers := func(p pattern) bool { return p.covers(elems) }
	return !slices.ContainsFunc(s.exclude, covers) && (len(s.include) == 0 || slices.ContainsFunc(s.include, covers))
}
