package sandbox

import (
	"context"
	"slices"

	"tributary/connectors"
)

// selection decides which files are synced: by patterns over their paths, and
// by folders chosen by id, whatever lies below them.
type selection struct {
	paths   connectors.Paths
	folders []string
}

func newSelection(sel connectors.Selection) (*selection, error) {
	paths, err := sel.Paths()
	if err != nil {
		return nil, err
	}
	s := &selection{paths: paths}
	if !slices.Contains(sel.Containers, "") && !slices.Contains(sel.Containers, rootContainer) {
		s.folders = slices.Clone(sel.Containers)
	}
	return s, nil
}

// file reports whether it is selected; chain is the path from it upwards, as
// far as it can be seen.
func (s *selection) file(it *item, chain []*item) bool {
	return s.paths.Has(it.Path) && (len(s.folders) == 0 || slices.ContainsFunc(chain, func(f *item) bool {
		return slices.Contains(s.folders, f.ParentID)
	}))
}

// selected is file for listings that need nothing else of the folders, which
// are then not asked for. Unclear says that nobody can tell.
func (s *session) selected(ctx context.Context, f *folders, it *item) (selected, unclear bool, err error) {
	if len(s.sel.folders) == 0 || !s.sel.paths.Has(it.Path) {
		return s.sel.paths.Has(it.Path), false, nil
	}
	chain, _, err := f.path(ctx, it)
	if err != nil {
		return false, false, err
	}
	return s.sel.file(it, chain), f.unclear(it, chain), nil
}
