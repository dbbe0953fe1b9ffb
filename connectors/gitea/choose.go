package gitea

import (
	"context"
	"iter"

	"tributary/connectors"
)

// Choices yields the owners of repositories, and below each its repositories.
func (s *session) Choices(ctx context.Context, parent string) iter.Seq2[connectors.Choice, error] {
	return func(yield func(connectors.Choice, error) bool) {
		repos, err := s.repositories(ctx, "listing gitea repositories")
		if err != nil {
			yield(connectors.Choice{}, err)
			return
		}
		owners := map[string]bool{}
		for i := range repos {
			r := &repos[i]
			choice := connectors.Choice{ID: r.ownerID(), Name: r.Owner.Login, HasChildren: true, Detail: r.Owner.FullName}
			switch {
			case parent == r.ownerID():
				choice = connectors.Choice{ID: r.id(), Name: r.Name, Detail: r.Description}
			case parent != "" || owners[r.ownerID()]:
				continue
			}
			owners[r.ownerID()] = true
			if !yield(choice, nil) {
				return
			}
		}
	}
}
