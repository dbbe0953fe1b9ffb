package folder

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"tributary/connectors"
)

// selection decides which files are synced, by patterns over the slash path
// relative to the root.
//
// In a pattern, * and ? match within a path element, [a-z] a class of
// characters (path.Match), and ** any number of elements. A pattern with a
// slash is matched from the root; one without is matched at every depth. A
// pattern that matches a directory covers everything below it.
type selection struct {
	include, exclude []pattern
	// containers are the chosen directories; none means the whole tree.
	containers [][]string
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
	for _, id := range sel.Containers {
		if id == rootContainer || id == "" {
			return &selection{include: s.include, exclude: s.exclude}, nil
		}
		p := decodeID(id)
		if !validPath(p) {
			return nil, invalid("reading selection", "selection.containers", fmt.Errorf("%q is not a directory path relative to the root", id))
		}
		s.containers = append(s.containers, strings.Split(p, "/"))
	}
	return s, nil
}

func parsePatterns(field string, globs []string) ([]pattern, error) {
	var ps []pattern
	for _, g := range globs {
		p, err := parsePattern(g)
		if err != nil {
			return nil, invalid("reading selection", field, fmt.Errorf("pattern %q: %w", g, err))
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
		switch {
		case el == "" || el == "." || el == "..":
			return nil, errors.New("must be a path below the root, without . or .. or empty elements")
		case el == "**" && len(p) > 0 && p[len(p)-1] == "**":
			continue
		case el == "**":
		default:
			if _, err := path.Match(el, ""); err != nil {
				return nil, errors.New("has an unfinished [ class or a trailing backslash")
			}
		}
		p = append(p, el)
	}
	return p, nil
}

// covers reports whether p matches path or a directory above it.
func (p pattern) covers(elems []string) bool {
	return walkPattern(p, elems, func(rest pattern, _ []string) bool {
		// What is left of the path lies below a match. A trailing ** stands for at
		// least one element.
		return len(rest) == 0
	})
}

// reaches reports whether p may match something below the directory.
func (p pattern) reaches(elems []string) bool {
	return walkPattern(p, elems, func(_ pattern, left []string) bool { return len(left) == 0 })
}

// walkPattern matches element by element and calls found with what is left of
// both sides, until found returns true. It keeps the set of positions in p that
// the elements so far can stand at, so its cost is len(p) times len(elems).
func walkPattern(p pattern, elems []string, found func(rest pattern, left []string) bool) bool {
	at := []int{0}
	for i := 0; ; i++ {
		at = closeOver(p, at)
		for _, j := range at {
			if found(p[j:], elems[i:]) {
				return true
			}
		}
		if i == len(elems) || len(at) == 0 {
			return false
		}
		var next []int
		for _, j := range at {
			switch {
			case j == len(p):
			case p[j] == "**":
				next = append(next, j)
				if j == len(p)-1 {
					next = append(next, j+1)
				}
			default:
				if ok, err := path.Match(p[j], elems[i]); ok && err == nil {
					next = append(next, j+1)
				}
			}
		}
		at = next
	}
}

// closeOver adds the positions reached by letting ** stand for no element. A
// trailing ** stands for at least one.
func closeOver(p pattern, at []int) []int {
	for i := 0; i < len(at); i++ {
		j := at[i]
		if j < len(p)-1 && p[j] == "**" && !slices.Contains(at, j+1) {
			at = append(at, j+1)
		}
	}
	return at
}

// everything reports whether no path is left out.
func (s *selection) everything() bool {
	return len(s.include) == 0 && len(s.exclude) == 0 && len(s.containers) == 0
}

// file reports whether the file at the path is selected.
func (s *selection) file(p string) bool {
	if s.everything() {
		return true
	}
	elems := strings.Split(p, "/")
	if slices.ContainsFunc(s.exclude, func(g pattern) bool { return g.covers(elems) }) {
		return false
	}
	if len(s.include) > 0 && !slices.ContainsFunc(s.include, func(g pattern) bool { return g.covers(elems) }) {
		return false
	}
	return len(s.containers) == 0 || slices.ContainsFunc(s.containers, func(c []string) bool {
		return len(c) < len(elems) && slices.Equal(c, elems[:len(c)])
	})
}

// dir reports whether the directory at the path can hold selected files.
func (s *selection) dir(p string) bool {
	if s.everything() {
		return true
	}
	elems := strings.Split(p, "/")
	if slices.ContainsFunc(s.exclude, func(g pattern) bool { return g.covers(elems) }) {
		return false
	}
	if len(s.include) > 0 && !slices.ContainsFunc(s.include, func(g pattern) bool { return g.covers(elems) || g.reaches(elems) }) {
		return false
	}
	return len(s.containers) == 0 || slices.ContainsFunc(s.containers, func(c []string) bool {
		n := min(len(c), len(elems))
		return slices.Equal(c[:n], elems[:n])
	})
}
