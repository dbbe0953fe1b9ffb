package sandbox

import (
	"context"
	"iter"

	"tributary/connectors"
	"tributary/internal/httpx"
)

// Choices yields the folders directly in parent. A folder whose own folder the
// account cannot see stands at the top.
func (s *session) Choices(ctx context.Context, parent string) iter.Seq2[connectors.Choice, error] {
	const op = "listing sandbox folders"
	return func(yield func(connectors.Choice, error) bool) {
		all, err := s.allFolders(ctx, op)
		if err != nil {
			yield(connectors.Choice{}, err)
			return
		}
		if parent == rootContainer {
			parent = ""
		}
		seen, children := map[string]bool{}, map[string]bool{}
		for _, f := range all {
			seen[f.ID], children[f.ParentID] = true, true
		}
		for _, f := range all {
			at := f.ParentID
			if !seen[at] {
				at = ""
			}
			if at != parent {
				continue
			}
			if !yield(connectors.Choice{ID: f.ID, Name: f.Name, HasChildren: children[f.ID], Detail: f.Description}, nil) {
				return
			}
		}
	}
}

// allFolders returns every folder that the account can see, in the order of
// ids.
func (s *session) allFolders(ctx context.Context, op string) ([]item, error) {
	var all []item
	for it, err := range httpx.Paged(ctx, op, func(ctx context.Context, token string) ([]item, string, error) {
		answer, err := s.items(ctx, op, token)
		return answer.Items, answer.Next, err
	}) {
		if err != nil {
			return nil, err
		}
		if it.Kind == kindFolder {
			all = append(all, it)
		}
	}
	return all, nil
}
