package gitea

import (
	"fmt"
	"slices"
	"strings"

	"tributary/connectors"
)

// selection decides what is synced: repositories by their own or their owner's id, and documents by patterns over paths that
// begin with the owner's name.
type selection struct {
	paths      connectors.Paths
	containers []string
}

func newSelection(sel connectors.Selection) (*selection, error) {
	for _, id := range sel.Containers {
		if !strings.HasPrefix(id, "repo:") && !strings.HasPrefix(id, "owner:") {
			return nil, &connectors.Error{
				Op: "reading selection", Class: connectors.Invalid,
				Err: fmt.Errorf("selection.containers: %q is neither repo:ID nor owner:ID: choose from the list", id),
			}
		}
	}
	paths, err := sel.Paths()
	return &selection{paths: paths, containers: slices.Clone(sel.Containers)}, err
}

// repo reports whether a repository is selected.
func (s *selection) repo(r *repository) bool {
	return len(s.containers) == 0 || slices.Contains(s.containers, r.id()) || slices.Contains(s.containers, r.ownerID())
}
