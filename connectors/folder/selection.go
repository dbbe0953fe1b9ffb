package folder

import (
	"fmt"
	"slices"
	"strings"

	"tributary/connectors"
)

// selection decides which files are synced, by patterns over the slash path
// relative to the root, and by directories.
type selection struct {
	paths connectors.Paths
	// containers are the chosen directories; none means the whole tree.
	containers [][]string
}

func newSelection(sel connectors.Selection) (*selection, error) {
	paths, err := sel.Paths()
	if err != nil {
		return nil, err
	}
	s := &selection{paths: paths}
	for _, id := range sel.Containers {
		if id == rootContainer || id == "" {
			return &selection{paths: paths}, nil
		}
		p := decodeID(id)
		if !validPath(p) {
			return nil, invalid("reading selection", "selection.containers", fmt.Errorf("%q is not a directory path relative to the root", id))
		}
		s.containers = append(s.containers, strings.Split(p, "/"))
	}
	return s, nil
}

// file reports whether the file at the path is selected.
func (s *selection) file(p string) bool {
	return s.paths.Has(p) && s.chosen(p, func(c, elems []string) bool {
		return len(c) < len(elems) && slices.Equal(c, elems[:len(c)])
	})
}

// dir reports whether the directory at the path can hold selected files.
func (s *selection) dir(p string) bool {
	return s.paths.Below(p) && s.chosen(p, func(c, elems []string) bool {
		n := min(len(c), len(elems))
		return slices.Equal(c[:n], elems[:n])
	})
}

// chosen reports whether one of the chosen directories fits the path.
func (s *selection) chosen(p string, fits func(c, elems []string) bool) bool {
	if len(s.containers) == 0 {
		return true
	}
	elems := strings.Split(p, "/")
	return slices.ContainsFunc(s.containers, func(c []string) bool { return fits(c, elems) })
}
