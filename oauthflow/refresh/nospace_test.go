package refresh_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/connectors"
)

// TestNoTokenIsSpentWithoutRoom: while the record that comes before a refresh
// cannot be written, no refresh token is presented, whoever asks and however
// often, and nobody is asked to consent; with room again each grant is refreshed,
// once.
func TestNoTokenIsSpentWithoutRoom(t *testing.T) {
	t.Parallel()
	for name, refuse := range map[string]func(r *rig, on bool){
		"a disk without room":  func(r *rig, on bool) { r.db.Full(t, on, "refresh_attempt") },
		"a read-only database": func(r *rig, on bool) { r.db.ReadOnly(t, on) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "F")
			grants := []uuid.UUID{r.consent(-time.Minute), r.consent(-time.Minute), r.consent(30 * time.Second)}
			refuse(r, true)
			k := r.running(r.config(calm()))
			for range 4 {
				for _, g := range grants[:2] {
					ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
					if _, err := k.Access(ctx, g); err == nil || connectors.ClassOf(err) == connectors.GrantLost {
						t.Errorf("without room there was a token, or the grant is lost: %v", err)
					}
					cancel()
				}
				if err := k.Ahead(t.Context(), grants[2]); err == nil {
					t.Error("a refresh ahead of time succeeded without room")
				}
			}
			if n := r.server.count(); n != 0 {
				t.Errorf("%d refresh tokens were presented", n)
			}
			refuse(r, false)
			for _, g := range grants[:2] {
				accessUntil(t, k, g, 30*time.Second)
				r.mustBeSound(g)
				if n := r.server.countOf(g); n != 1 {
					t.Errorf("with room again the server was asked %d times", n)
				}
			}
			if twice := r.server.twice(); len(twice) != 0 {
				t.Errorf("presented twice: %v", twice)
			}
		})
	}
}
