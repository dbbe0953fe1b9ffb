package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/internal/audit"
	"tributary/internal/pgtest"
	"tributary/oauthflow"
	"tributary/oauthflow/refresh"
	"tributary/store"
)

// TestRefreshMeetsTheEnd: what ends or renews a grant takes its locks in the order of a refresh, so that neither of two
// that meet is broken off: the credential, then the rest.
func TestRefreshMeetsTheEnd(t *testing.T) {
	t.Parallel()
	event := audit.Event{Actor: audit.Actor{Kind: audit.System, Name: "test"}, Action: "test.end", Outcome: audit.OK}
	for name, end := range map[string]func(ctx context.Context, s *store.Store, r oauthflow.Registration, grant, connection uuid.UUID) error{
		"disconnected": func(ctx context.Context, s *store.Store, _ oauthflow.Registration, _, connection uuid.UUID) error {
			_, err := s.LeaveGrant(ctx, connection, event)
			return err
		},
		"revoked": func(ctx context.Context, s *store.Store, _ oauthflow.Registration, grant, _ uuid.UUID) error {
			return s.BeginClosing(ctx, grant, "why", event)
		},
		"grant expired": func(ctx context.Context, s *store.Store, _ oauthflow.Registration, grant, _ uuid.UUID) error {
			past := time.Now().Add(-time.Hour)
			if err := s.SetGrantExpiry(ctx, grant, &past, oauthflow.KeepDocuments, event); err != nil {
				return err
			}
			_, err := s.ExpireDue(ctx)
			return err
		},
		"connection expired": func(ctx context.Context, s *store.Store, _ oauthflow.Registration, _, connection uuid.UUID) error {
			past := time.Now().Add(-time.Hour)
			if err := s.SetConnectionExpiry(ctx, connection, &past, oauthflow.KeepDocuments, event); err != nil {
				return err
			}
			_, err := s.ExpireDue(ctx)
			return err
		},
		"registration pointed elsewhere": func(ctx context.Context, s *store.Store, r oauthflow.Registration, _, _ uuid.UUID) error {
			return s.SaveRegistration(ctx, oauthflow.RegistrationUpdate{Registration: r, Drop: "another server"}, event)
		},
		"consent": func(ctx context.Context, s *store.Store, r oauthflow.Registration, grant, _ uuid.UUID) error {
			_, err := s.SaveConsent(ctx, oauthflow.Consent{
				Registration: r.ID, Digest: r.Digest, Kind: oauthflow.GrantCode, Renew: &grant, Scopes: []string{"b"}, Refreshable: true,
				By: oauthflow.By{Actor: event.Actor}, Seal: func(uuid.UUID, int, time.Time) ([]byte, error) { return []byte("y"), nil },
				Missing: func([]string) []string { return nil },
			})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			meet(t, end)
		})
	}
}

// granted returns a store with a connection and its grant.
func granted(t *testing.T) (*pgtest.DB, *store.Store, oauthflow.Registration, uuid.UUID, uuid.UUID) {
	t.Helper()
	db := pgtest.New(t)
	s, err := store.Open(t.Context(), store.Config{URL: db.URL, Purpose: store.Worker})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	profile := &oauthflow.Profile{
		Name: "fake", Title: "Fake", Hosting: oauthflow.HostingFixed, Grants: []oauthflow.GrantType{oauthflow.GrantCode}, ClientAuth: oauthflow.AuthPost, PKCE: oauthflow.PKCES256,
		Endpoints: oauthflow.Endpoints{Authorize: "https://id.example.com/a", Token: "https://id.example.com/t"}, Request: oauthflow.TokenRequest{Body: oauthflow.BodyForm},
		Scopes: oauthflow.ScopeRule{Separator: " ", AnswerSeparator: " "}, Refresh: oauthflow.RefreshRule{Rotation: oauthflow.RotationStrict},
		Revocation: oauthflow.Revocation{Style: oauthflow.RevokeNone}, GrantPer: oauthflow.PerAccount,
	}
	raw, err := oauthflow.StoreProfile(profile)
	if err != nil {
		t.Fatal(err)
	}
	r := oauthflow.Registration{ID: uuid.New(), Name: "fake", Provider: "fake", Profile: profile, Digest: profile.Digest(), ClientID: "c", State: oauthflow.RegistrationActive}
	grant, connection := uuid.New(), uuid.New()
	db.MustExec(t, `INSERT INTO client_registration (id, name, provider, profile, endpoints_digest, redirect_uri, client_id, state) VALUES ($1, 'fake', 'fake', $2, $3, '', 'c', 'active')`, r.ID, raw, r.Digest)
	db.MustExec(t, `INSERT INTO oauth_grant (id, registration_id, kind) VALUES ($1, $2, 'authorization_code')`, grant, r.ID)
	db.MustExec(t, `INSERT INTO connection (id, name, source, grant_id) VALUES ($1, 'c', 'fake', $2)`, connection, grant)
	db.MustExec(t, `INSERT INTO schedule (connection_id, lane, every) SELECT $1, l, interval '1 hour' FROM unnest(ARRAY['content', 'permissions']) l`, connection)
	db.MustExec(t, `INSERT INTO credential (grant_id, secret_ct) VALUES ($1, 'x')`, grant)
	return db, s, r, grant, connection
}

// meet lets end come while a refresh holds the credential.
func meet(t *testing.T, end func(ctx context.Context, s *store.Store, r oauthflow.Registration, grant, connection uuid.UUID) error) {
	t.Helper()
	db, s, r, grant, connection := granted(t)
	ended := make(chan error, 1)
	err := s.Credentials().InRow(t.Context(), grant, func(tx refresh.Tx) error {
		ctx := t.Context()
		go func() { ended <- end(ctx, s, r, grant, connection) }()
		for deadline := time.Now().Add(2 * time.Second); time.Now().Before(deadline); { // until it waits, or passes over the row
			if pgtest.Scalar[bool](t, db, `SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE a.datname = current_database() AND NOT l.granted)`) {
				break
			}
		}
		if err := tx.Begin(ctx, refresh.Attempt{ID: uuid.New(), Grant: grant, Epoch: 1, Holder: "h", Presentation: []byte("x"), At: time.Now()}); err != nil {
			return err
		}
		if err := tx.SetScopes(ctx, []string{"a"}); err != nil {
			return err
		}
		if _, err := tx.Reject(ctx, 0, "test"); err != nil {
			return err
		}
		return tx.Follow(ctx, refresh.Follow{State: oauthflow.GrantNeedsReauth, Reason: "test"})
	})
	if err != nil {
		t.Errorf("the refresh: %v", err)
	}
	if err := <-ended; err != nil {
		t.Errorf("the end: %v", err)
	}
}
