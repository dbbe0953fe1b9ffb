package jobs

import (
	"context"
	"slices"

	"tributary/connectors"
)

// withoutExcluded returns page without what an admin excluded or erased: none
// of it is opened, and no row names it. n is how many those were.
func (s *syncer) withoutExcluded(ctx context.Context, page connectors.Page) (rest connectors.Page, n int64, err error) {
	whole := len(page.Changes) + len(page.Skipped)
	ids := make([]string, 0, whole)
	for i := range page.Changes {
		ids = append(ids, page.Changes[i].Ref.ID)
	}
	for i := range page.Skipped {
		ids = append(ids, page.Skipped[i].Ref.ID)
	}
	out, err := s.r.store.Excluded(ctx, s.conn.ID, ids)
	if err != nil || len(out) == 0 {
		return page, 0, err
	}
	page.Changes = slices.DeleteFunc(slices.Clone(page.Changes), func(c connectors.Change) bool { return out[c.Ref.ID] })
	page.Skipped = slices.DeleteFunc(slices.Clone(page.Skipped), func(k connectors.Skip) bool { return out[k.Ref.ID] })
	return page, int64(whole - len(page.Changes) - len(page.Skipped)), nil
}
