package googledrive

import (
	"errors"
	"slices"
	"strings"

	"tributary/connectors"
)

// selection decides which files are synced: by patterns over their paths, and
// by containers chosen by id: containerMine, containerShared, a shared drive,
// or a folder with whatever lies below it.
type selection struct {
	paths      connectors.Paths
	containers []string
}

func newSelection(sel connectors.Selection) (*selection, error) {
	if slices.Contains(sel.Containers, "") || slices.Contains(sel.Containers, containerDrive) {
		return nil, connectors.InvalidField(opOpen, "selection.containers", errors.New("holds an empty id: choose from the list"))
	}
	paths, err := sel.Paths()
	return &selection{paths: paths, containers: slices.Clone(sel.Containers)}, err
}

// everything reports whether nothing is left out.
func (s *selection) everything() bool { return s.paths.All() && len(s.containers) == 0 }

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
	return s.chosen(p) && s.paths.Has(p.path)
}

// unclear reports whether a file that lies at p may be selected and nobody can
// tell, because its place is not known as far as a chosen folder or the patterns
// need it.
func (s *selection) unclear(p place) bool {
	return p.closed && (!s.chosen(p) || !s.paths.All())
}

func (s *selection) chosen(p place) bool {
	return len(s.containers) == 0 || slices.Contains(s.containers, p.container) ||
		slices.ContainsFunc(p.above, func(folder *file) bool { return slices.Contains(s.containers, folder.ID) })
}
