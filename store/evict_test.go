package store_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/connectors/reference"
	"tributary/internal/pgtest"
	"tributary/store"
)

// TestFrozenInTheMiddleOfACopy: a holder whose process stands still while it
// copies rows in holds the row of its run; whoever takes over gets it. One that
// has just begun to is left alone.
func TestFrozenInTheMiddleOfACopy(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	s, err := store.Open(t.Context(), store.Config{URL: db.URL, Purpose: store.Worker, MaxConns: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	c, err := s.CreateConnection(t.Context(), store.NewConnection{Name: "world", Source: reference.Source})
	if err != nil {
		t.Fatal(err)
	}
	run, _, err := s.RequestRun(t.Context(), store.RunRequest{ConnectionID: c.ID, Lane: store.Content, Kind: store.RunSnapshot, Cause: "test"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if run, err = s.ClaimRun(t.Context(), run.ID, "frozen", time.Minute); err != nil {
		t.Fatal(err)
	}
	db.MustExec(t, `UPDATE sync_run SET heartbeat_at = clock() - interval '1 hour'`)
	ended := copyForEver(t, db.URL, run.ID)

	if _, err := s.ClaimRun(t.Context(), run.ID, "heir", 30*time.Minute); !errors.Is(err, store.ErrTimeout) {
		t.Fatalf("a holder that began a moment ago was not waited for: %v", err)
	}
	heir, err := s.ClaimRun(t.Context(), run.ID, "heir", time.Second)
	if err != nil || heir.Worker != "heir" || heir.Fence != run.Fence+1 {
		t.Fatalf("taken over as %q with fence %d of %d: %v", heir.Worker, heir.Fence, run.Fence, err)
	}
	if err := <-ended; err == nil {
		t.Error("the frozen holder's transaction went on")
	}
}

// copyForEver holds the row of a run in a transaction that waits for its client
// in the middle of a COPY; what ends it arrives in the channel.
func copyForEver(t *testing.T, url string, run uuid.UUID) <-chan error {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `UPDATE sync_run SET heartbeat_at = heartbeat_at WHERE id = $1`, run); err != nil {
		t.Fatal(err)
	}
	r, w := io.Pipe()
	began, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		// The first read is answered, the second never.
		_, _ = w.Write([]byte("x"))
		close(began)
	}()
	go func() {
		_, err := conn.PgConn().CopyFrom(context.WithoutCancel(t.Context()), r, `COPY seen FROM STDIN`)
		ended <- err
	}()
	<-began
	t.Cleanup(func() {
		_ = w.Close()
		_ = conn.Close(context.Background())
	})
	return ended
}
