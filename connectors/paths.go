package connectors

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// Paths decides by the patterns of a [Selection] over item paths.
//
// In a pattern, * and ? match within a path element, [a-z] a class of
// characters (path.Match), and ** any number of elements. A pattern with a
// slash is matched from the top; one without is matched at every depth. A
// pattern that matches a container covers everything below it. What an exclude
// pattern covers is left out; where there are include patterns, one of them has
// to cover what is synced.
type Paths struct{ include, exclude []pattern }

// pattern is a glob cut at its slashes.
type pattern []string

// Paths reads the selection's patterns. One that cannot be read is an error of
// class Invalid that names its field.
func (s Selection) Paths() (Paths, error) {
	include, err := parsePatterns("selection.include", s.Include)
	if err != nil {
		return Paths{}, err
	}
	exclude, err := parsePatterns("selection.exclude", s.Exclude)
	if err != nil {
		return Paths{}, err
	}
	return Paths{include: include, exclude: exclude}, nil
}

// All reports whether there is no pattern.
func (p Paths) All() bool { return len(p.include)+len(p.exclude) == 0 }

// Has reports whether the item at the path is synced.
func (p Paths) Has(item string) bool {
	if p.All() {
		return true
	}
	elems := strings.Split(item, "/")
	covers := func(g pattern) bool { return g.covers(elems) }
	return !slices.ContainsFunc(p.exclude, covers) && (len(p.include) == 0 || slices.ContainsFunc(p.include, covers))
}

// Below reports whether the container at the path can hold items that are
// synced.
func (p Paths) Below(container string) bool {
	if p.All() {
		return true
	}
	elems := strings.Split(container, "/")
	if slices.ContainsFunc(p.exclude, func(g pattern) bool { return g.covers(elems) }) {
		return false
	}
	return len(p.include) == 0 || slices.ContainsFunc(p.include, func(g pattern) bool { return g.covers(elems) || g.reaches(elems) })
}

func parsePatterns(field string, globs []string) ([]pattern, error) {
	var ps []pattern
	for _, g := range globs {
		p, err := parsePattern(g)
		if err != nil {
			return nil, &Error{Op: "reading selection", Class: Invalid, Err: fmt.Errorf("%s: pattern %q: %w", field, g, err)}
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

// covers reports whether p matches the path or a container above it.
func (p pattern) covers(elems []string) bool {
	return walkPattern(p, elems, func(rest pattern, _ []string) bool {
		// What is left of the path lies below a match. A trailing ** stands for at
		// least one element.
		return len(rest) == 0
	})
}

// reaches reports whether p may match something below the container.
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
