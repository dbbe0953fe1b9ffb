package jobs

import (
	"context"
	"errors"

	"tributary/store"
)

// expect finds out, in the first slice of a listing, how many items there will
// be. A run that does not know goes on without.
func (s *syncer) expect(ctx context.Context) error {
	if s.run.Expected != nil || s.run.Slices > 1 {
		return nil
	}
	n, err := s.r.store.ExpectListing(ctx, s.run)
	if errors.Is(err, store.ErrFenced) {
		return err
	}
	if err != nil {
		s.r.cfg.Log.Warn("counting what a listing will contain", "run", s.run.ID, "error", err)
	}
	s.run.Expected = n
	return nil
}
