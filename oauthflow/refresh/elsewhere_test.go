package refresh_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/oauthflow"
	"tributary/oauthflow/refresh"
)

// TestOA: a registration that an owner points at another server while a refresh is under way (OA-30).
func TestOA(t *testing.T) {
	t.Parallel()
	t.Run("OA-30 between the claim and the request: nothing is sent to the other server", func(t *testing.T) {
		t.Parallel()
		pointedElsewhere(t, refresh.AfterClaim, 0)
	})
	t.Run("OA-30 while the answer comes: the late pair is not revoked at the other server", func(t *testing.T) {
		t.Parallel()
		pointedElsewhere(t, refresh.BeforeSettle, 1)
	})
}

// pointedElsewhere changes the registration at a point of a refresh, as Registrations.Change does it in the database.
func pointedElsewhere(t *testing.T, where refresh.Point, first int) {
	t.Helper()
	r, other := newRig(t, "F"), newServer(t, "F")
	g := r.consent(-time.Minute)
	cfg := r.config(calm())
	next := sender(r.server.http.URL, r.registration)
	moved := sender(other.http.URL, r.registration)
	current := next.Client
	next.Client = func(ctx context.Context, id uuid.UUID) (oauthflow.Client, error) { return current(ctx, id) }
	cfg.Sender = next
	at(&cfg, where, func() {
		r.db.MustExec(t, `UPDATE client_registration SET endpoints_digest = 'another', credential_gen = credential_gen + 1 WHERE id = $1`, r.registration)
		r.db.MustExec(t, `UPDATE oauth_grant SET closed_at = clock() WHERE id = $1`, g)
		r.db.MustExec(t, `UPDATE credential SET secret_ct = NULL, epoch = epoch + 1, gen = 0, phase = 'idle', attempt_id = NULL, state = 'needs_reauth' WHERE grant_id = $1`, g)
		current = moved.Client
	})
	_, err := r.keeper(cfg).Access(t.Context(), g)
	if connectors.ClassOf(err) == connectors.Unknown {
		t.Errorf("got %v", err)
	}
	if n := r.server.count(); n != first {
		t.Errorf("%d requests to the first server, want %d", n, first)
	}
	if n := other.count(); n != 0 {
		t.Errorf("%d token requests to the other server", n)
	}
	if v := r.row(g); v.Spares != 0 {
		t.Errorf("the pair is kept: %+v", v)
	}
	if got := other.revocations(); len(got) != 0 {
		t.Errorf("the other server was sent %s", strings.Join(got, ", "))
	}
}
