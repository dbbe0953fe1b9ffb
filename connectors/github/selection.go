package github

import (
	"fmt"
	"slices"
	"strings"

	"tributary/connectors"
)

// selection decides what is synced: by patterns over paths such as
// "owner/repository/docs/intro.md", and by owners and repositories chosen by
// id. An owner stands for repositories that are created later, too.
type selection struct {
	paths      connectors.Paths
	containers []string
}

func newSelection(sel connectors.Selection) (*selection, error) {
	paths, err := sel.Paths()
	if err != nil {
		return nil, err
	}
	for _, c := range sel.Containers {
		kind, id, _ := strings.Cut(c, ":")
		if (kind != "repo" && kind != "owner") || id == "" {
			return nil, &connectors.Error{
				Op: "reading selection", Class: connectors.Invalid,
				Err: fmt.Errorf("selection.containers: %q is neither repo:ID nor owner:ID: choose it again", c),
			}
		}
	}
	return &selection{paths: paths, containers: slices.Clone(sel.Containers)}, nil
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
