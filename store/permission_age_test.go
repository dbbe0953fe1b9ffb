package store_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/internal/audit"
	"tributary/internal/pgtest"
	"tributary/store"
)

// TestSetMaxPermissionAge: permissions outlast two reads, and only those that others push may last for ever.
func TestSetMaxPermissionAge(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ctx := t.Context()
	docs := r.connect(t, "docs", "realm").conn
	made, err := r.store.CreateConnection(ctx, store.NewConnection{Name: "wiki", Source: store.PushSource, Realm: "wiki", MaxPermissionAge: store.PermissionsForever})
	if err != nil || !made.PermissionsLast() {
		t.Fatalf("a pushed connection: %+v, %v", made, err)
	}
	r.db.MustExec(t, `UPDATE schedule SET every = '1 hour' WHERE connection_id = $1 AND lane = 'permissions'`, docs)
	event := audit.Event{Actor: audit.Actor{Kind: audit.System, Name: "test"}, Action: "connection.permission_age", Target: audit.Target{Kind: "connection"}, Outcome: audit.OK}
	for _, c := range []struct {
		id  uuid.UUID
		age time.Duration
		ok  bool
	}{
		{docs, 2 * time.Hour, true},
		{docs, 2*time.Hour - time.Second, false},
		{docs, 366 * 24 * time.Hour, true},
		{docs, 367 * 24 * time.Hour, false},
		{docs, store.PermissionsForever, false},
		{docs, 0, false},
		{docs, -time.Hour, false},
		{made.ID, time.Minute, true},
		{made.ID, time.Second, false},
		{made.ID, store.PermissionsForever, true},
	} {
		err := r.store.SetMaxPermissionAge(ctx, c.id, c.age, event)
		if input, refused := errors.AsType[*store.InputError](err); refused == c.ok || refused && input.Field != "max_permission_age" || !refused && err != nil {
			t.Errorf("%s: %v", c.age, err)
		}
	}
	if c, err := r.store.Connection(ctx, "docs"); err != nil || c.MaxPermissionAge != 366*24*time.Hour || c.PermissionsLast() {
		t.Errorf("stored: %s, %v", c.MaxPermissionAge, err)
	}
	if n := pgtest.Scalar[int64](t, r.db, `SELECT count(*) FROM audit_event WHERE action = 'connection.permission_age'`); n != 4 {
		t.Errorf("%d changes are recorded, want those 4 that were made", n)
	}
	if err := r.store.SetMaxPermissionAge(ctx, uuid.New(), time.Hour, event); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("of no connection: %v", err)
	}
}
