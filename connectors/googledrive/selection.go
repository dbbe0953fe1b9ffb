package googledrive

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"tributary/connectors"
)

// selection decides which files are synced: by patterns over their paths, and
// by containers chosen by id: containerMine, containerShared, a shared drive,
// or a folder with whatever lies below it.
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
	if slices.Contains(s.containers, "") || slices.Contains(s.containers, containerDrive) {
		return nil, invalid("selection.containers", errors.New("holds an empty id: choose from the list"))
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
			return nil, invalid(field, fmt.Errorf("pattern %q: %w", g, err))
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

// everything reports whether nothing is left out.
func (s *selection) everything() bool { return len(s.include)+len(s.exclude)+len(s.containers) == 0 }

// drives returns the shared drives that are chosen as such.
func (s *selection) drives() []string {
	var ids []string
	for _, c := range s.containers {
		if id, ok := strings.CutPrefix(c, containerDrive); ok {
			ids = append(ids, id)
		}
	}
	return ids
}

// corpus reports whether files of the selection may lie in c. A chosen folder
// may be moved anywhere.
func (s *selection) corpus(c corpus) bool {
	return len(s.containers) == 0 || slices.ContainsFunc(s.containers, func(id string) bool {
		switch {
		case id == containerMine || id == containerShared:
			return c == userCorpus
		case strings.HasPrefix(id, containerDrive):
			return id == containerDrive+string(c)
		default:
			return true
		}
	})
}

// has reports whether a file that lies at p is selected.
func (s *selection) has(p place) bool {
	return s.chosen(p) && s.matches(p.path)
}

func (s *selection) chosen(p place) bool {
	return len(s.containers) == 0 || slices.Contains(s.containers, p.container) ||
		slices.ContainsFunc(p.above, func(folder *file) bool { return slices.Contains(s.containers, folder.ID) })
}

func (s *selection) matches(path string) bool {
	if len(s.include)+len(s.exclude) == 0 {
		return true
	}
	elems := strings.Split(path, "/")
	covers := func(p pattern) bool { return p.covers(elems) }
	return !slices.ContainsFunc(s.exclude, covers) && (len(s.include) == 0 || slices.ContainsFunc(s.include, covers))
}
