package store_test

import (
	"context"
	"errors"
	"testing"

	"tributary/internal/pgtest"
	"tributary/store"
)

func TestMigrateIsRepeatable(t *testing.T) {
	t.Parallel()
	db := pgtest.Empty(t, "")
	opts := store.MigrateOptions{RolePrefix: pgtest.RolePrefix()}
	first, err := store.Migrate(context.Background(), db.SuperURL, opts)
	if err != nil {
		t.Fatal(err)
	}
	if first.From != 0 || first.To == 0 || !first.Routines {
		t.Fatalf("first migration: %+v", first)
	}
	second, err := store.Migrate(context.Background(), db.SuperURL, opts)
	if err != nil {
		t.Fatal(err)
	}
	if second.From != second.To || second.Routines {
		t.Fatalf("second migration did something: %+v", second)
	}
}

func TestMigrateRefusesChangedHistory(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.MustExec(t, `UPDATE migration_sum SET sha256 = '\x00'`)
	_, err := store.Migrate(context.Background(), db.SuperURL, store.MigrateOptions{RolePrefix: pgtest.RolePrefix()})
	if err == nil {
		t.Fatal("a database with other migrations was accepted")
	}
}

func TestOpenRefusesOldSchema(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	s, err := store.Open(context.Background(), store.Config{URL: db.URL})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	db.MustExec(t, `UPDATE setting SET value = '0' WHERE key = 'schema.version'`)
	_, err = store.Open(context.Background(), store.Config{URL: db.URL})
	if _, ok := errors.AsType[*store.SchemaError](err); !ok {
		t.Fatalf("opening an old schema: %v", err)
	}
}
