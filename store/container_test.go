package store_test

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"tributary/connectors"
	"tributary/internal/pgtest"
	"tributary/store"
)

// writtenSince counts the rows of a table that were written by transactions
// from mark on.
func writtenSince(t *testing.T, r *rig, table string, mark int64) int64 {
	t.Helper()
	return pgtest.Scalar[int64](t, r.db, `SELECT count(*) FROM `+table+` WHERE xmin::text::bigint >= $1`, mark)
}

// TestReadersOfAContainerChange: who may read all documents of a container
// changes by memberships alone; a share that alters the ACL of each writes
// document rows alone, and neither chunk nor vector. TEST_CONTAINER=n stores n
// documents instead of 500, and holds a change of readers to 100 ms.
func TestReadersOfAContainerChange(t *testing.T) {
	n, timed := 500, false
	if text := os.Getenv("TEST_CONTAINER"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatalf("reading TEST_CONTAINER: %v", err)
		}
		timed = true
	}
	r := newRig(t)
	s := r.connect(t, "wiki", "org")
	readers := connectors.Principal{Kind: connectors.Group, ID: "space readers"}
	run := s.start(t, store.Content)
	for from := 0; from < n; from += 200 {
		b := &store.Batch{Run: run}
		for i := from; i < min(n, from+200); i++ {
			b.Documents = append(b.Documents, document(fmt.Sprint("d", i), connectors.ACL{AllOf: [][]connectors.Principal{{readers}}}, fmt.Sprint("text ", i)))
		}
		s.mustWrite(t, b)
	}
	s.end(t, run)
	vectors := fmt.Sprint("vec_", r.local)
	mark := pgtest.Scalar[int64](t, r.db, `SELECT pg_current_xact_id()::text::bigint`)
	since := func(table string) int64 { return writtenSince(t, r, table, mark) }
	if got := writtenSince(t, r, "chunk", 0); got != int64(n) || since("chunk") != 0 {
		t.Fatalf("%d chunks are counted, want %d", got, n)
	}

	run = s.start(t, store.Permissions)
	var members []connectors.Membership
	for i := range 200 {
		members = append(members, connectors.Membership{Member: user(fmt.Sprint("u", i)), Group: readers})
	}
	if _, err := r.store.ReplaceMemberships(t.Context(), run, s.realm, members); err != nil {
		t.Fatal(err)
	}
	for i, change := range [][]connectors.Membership{members[1:], members, append(members[2:], members[0])} {
		began := time.Now()
		rows, err := r.store.ReplaceMemberships(t.Context(), run, s.realm, change)
		took := time.Since(began)
		if err != nil || rows < 1 || rows > 10 {
			t.Errorf("change %d wrote %d rows: %v", i, rows, err)
		}
		t.Logf("change %d of the readers of %d documents: %d rows in %v", i, n, rows, took)
		if timed && took > 100*time.Millisecond {
			t.Errorf("change %d took %v", i, took)
		}
	}
	for _, table := range []string{"chunk", vectors, "document", "revision"} {
		if got := since(table); got != 0 {
			t.Errorf("a change of members wrote %d rows of %s", got, table)
		}
	}

	began := time.Now()
	for from := 0; from < n; from += 1000 {
		b := &store.Batch{Run: run}
		for i := from; i < min(n, from+1000); i++ {
			b.ACLs = append(b.ACLs, store.ACLWrite{ExternalID: fmt.Sprint("d", i), ACL: connectors.ACL{AllOf: [][]connectors.Principal{{readers, user("guest")}}}})
		}
		s.mustWrite(t, b)
	}
	t.Logf("a share that alters the ACLs of %d documents: %v", n, time.Since(began))
	s.end(t, run)
	if got := since("document"); got != int64(n) {
		t.Errorf("the share wrote %d rows of document, want %d", got, n)
	}
	for _, table := range []string{"chunk", vectors, "revision"} {
		if got := since(table); got != 0 {
			t.Errorf("the share wrote %d rows of %s", got, table)
		}
	}
}
