package store_test

import (
	"bufio"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"tributary/internal/pgtest"
	"tributary/store"
)

const (
	migrateURL  = "TEST_MIGRATE_URL"
	migrateDone = "migrated"
)

func migrate(ctx context.Context, url string) (store.MigrateReport, error) {
	return store.Migrate(ctx, url, store.MigrateOptions{RolePrefix: pgtest.RolePrefix()})
}

// TestMigrateHelper is the process that TestMigrateSurvivesKills kills.
func TestMigrateHelper(t *testing.T) {
	url := os.Getenv(migrateURL)
	if url == "" {
		t.Skip("runs in a process of its own, with " + migrateURL)
	}
	_, _ = os.Stdout.WriteString("begin\n")
	if _, err := migrate(context.Background(), url); err != nil {
		t.Fatal(err)
	}
	_, _ = os.Stdout.WriteString(migrateDone + "\n")
}

// fingerprint is everything that migrations make: columns, indexes,
// constraints, functions, privileges, settings and versions.
func fingerprint(t *testing.T, url string) []string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	rows, err := conn.Query(t.Context(), `
		SELECT x FROM (
			SELECT format('column %s.%s.%s %s', table_schema, table_name, column_name, data_type) FROM information_schema.columns WHERE table_schema IN ('tributary', 'river')
			UNION ALL SELECT format('index %s %s', indexdef, i.indisvalid) FROM pg_indexes x JOIN pg_index i ON i.indexrelid = format('%I.%I', x.schemaname, x.indexname)::regclass WHERE schemaname IN ('tributary', 'river')
			UNION ALL SELECT format('constraint %s %s', conrelid::regclass, pg_get_constraintdef(oid)) FROM pg_constraint WHERE connamespace IN ('tributary'::regnamespace, 'river'::regnamespace)
			UNION ALL SELECT format('function %s %s %s %s', p.oid::regprocedure, md5(prosrc), pg_get_userbyid(proowner), array_to_string(proacl, ' ')) FROM pg_proc p WHERE pronamespace IN ('tributary'::regnamespace, 'river'::regnamespace)
			UNION ALL SELECT format('relation %s %s %s', oid::regclass, pg_get_userbyid(relowner), array_to_string(relacl, ' ')) FROM pg_class WHERE relnamespace IN ('tributary'::regnamespace, 'river'::regnamespace)
			UNION ALL SELECT format('database %s', array_to_string(datacl, ' ')) FROM pg_database WHERE datname = current_database()
			UNION ALL SELECT format('setting %s %s', key, value) FROM tributary.setting
			UNION ALL SELECT format('version %s', version_id) FROM tributary.goose_version
			UNION ALL SELECT format('sum %s %s', name, sha256) FROM tributary.migration_sum
		) AS t (x) ORDER BY x`)
	if err != nil {
		t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func wantSame(t *testing.T, what string, got, want []string) {
	t.Helper()
	seen := map[string]int{}
	for _, x := range want {
		seen[x]++
	}
	for _, x := range got {
		seen[x]--
	}
	for x, n := range seen {
		if n != 0 {
			t.Errorf("%s: %d times more wanted: %s", what, n, x)
		}
	}
}

// TestMigrateSurvivesKills kills a migrating process at random moments; the
// migration that follows makes the database of one that was never disturbed.
func TestMigrateSurvivesKills(t *testing.T) {
	clean := pgtest.Empty(t, "")
	started := time.Now()
	if _, err := migrate(t.Context(), clean.SuperURL); err != nil {
		t.Fatal(err)
	}
	took := time.Since(started)
	want := fingerprint(t, clean.SuperURL)
	rnd := rand.New(rand.NewPCG(uint64(os.Getpid()), 1))
	killed := 0
	for range 3 {
		db := pgtest.Empty(t, "")
		for range 4 {
			if killedMigrating(t, db.SuperURL, time.Duration(rnd.Int64N(int64(took)))) {
				killed++
			}
		}
		if _, err := migrate(t.Context(), db.SuperURL); err != nil {
			t.Fatalf("after a kill: %v", err)
		}
		wantSame(t, "after kills", fingerprint(t, db.SuperURL), replaced(want, clean.Name, db.Name))
	}
	if killed == 0 {
		t.Error("every process had ended before it was killed")
	}
}

func replaced(list []string, from, to string) []string {
	out := make([]string, len(list))
	for i, x := range list {
		out[i] = strings.ReplaceAll(x, from, to)
	}
	return out
}

// killedMigrating kills a migrating process after a while and reports whether
// it was still at it.
func killedMigrating(t *testing.T, url string, after time.Duration) bool {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestMigrateHelper$")
	cmd.Env = append(os.Environ(), migrateURL+"="+url)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	lines.Scan()
	timer := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	done := false
	for lines.Scan() {
		done = done || lines.Text() == migrateDone
	}
	_ = cmd.Wait()
	return !done
}

// TestMigratorsAtOnce: each of them finds a migrated database, one made it.
func TestMigratorsAtOnce(t *testing.T) {
	t.Parallel()
	db := pgtest.Empty(t, "")
	reports := make([]store.MigrateReport, 3)
	err := together(len(reports), func(i int) (err error) {
		reports[i], err = migrate(t.Context(), db.SuperURL)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	first := 0
	for _, r := range reports {
		if r.From == 0 {
			first++
		}
	}
	if first != 1 {
		t.Errorf("%d migrators began with an empty database", first)
	}
}

// TestMigrateUnderLoad applies routines and privileges again while documents
// are written and read: nobody fails, nobody waits for three seconds.
func TestMigrateUnderLoad(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.connect(t, "c", "realm")
	run := s.start(t, store.Content)
	longest := make([]time.Duration, 4)
	var migrated atomic.Bool
	err := together(5, func(i int) error {
		if i == 4 {
			defer migrated.Store(true)
			for range 3 {
				r.db.MustExec(t, `UPDATE setting SET value = '' WHERE key = 'routines.sha256'`)
				if _, err := migrate(t.Context(), r.db.SuperURL); err != nil {
					return err
				}
			}
			return nil
		}
		for n := 0; !migrated.Load(); n++ {
			before := time.Now()
			var err error
			if i == 0 {
				_, err = s.write(t.Context(), &store.Batch{Run: run, Documents: []store.DocumentWrite{document("d", readable("u"), "text", strings.Repeat("x", n%50+1))}})
			} else {
				_, err = r.store.KnownDocuments(t.Context(), s.conn, []string{"d"})
			}
			if err != nil {
				return err
			}
			longest[i] = max(longest[i], time.Since(before))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, d := range longest {
		if d > 3*time.Second {
			t.Errorf("client %d waited %v", i, d)
		}
	}
	r.wantWhole(t)
}

// TestInvalidIndexIsRepaired: what CREATE INDEX CONCURRENTLY and its repair
// leave behind when they are interrupted.
func TestInvalidIndexIsRepaired(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	super, err := pgx.Connect(t.Context(), db.SuperURL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = super.Close(context.Background()) }()
	for _, sql := range []string{
		`CREATE INDEX chunk_tsv_ccnew ON tributary.chunk USING gin (tsv)`,
		`UPDATE pg_index SET indisvalid = false WHERE indexrelid IN ('tributary.chunk_tsv'::regclass, 'tributary.chunk_tsv_ccnew'::regclass, 'tributary.document_lang'::regclass)`,
	} {
		if _, err := super.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := migrate(t.Context(), db.SuperURL); err != nil {
		t.Fatal(err)
	}
	rows, err := super.Query(t.Context(), `SELECT c.relname || ' ' || i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE c.relname LIKE 'chunk_tsv%' OR c.relname = 'document_lang' ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || strings.Join(got, ", ") != "chunk_tsv true, document_lang true" {
		t.Errorf("indexes are %v (%v)", got, err)
	}
}

// TestNewerSchemaIsLeftAlone: a program of the release before opens it, and its
// migrator replaces nothing.
func TestNewerSchemaIsLeftAlone(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.MustExec(t, `INSERT INTO goose_version (version_id, is_applied) VALUES (99999, true)`)
	db.MustExec(t, `UPDATE setting SET value = '99999' WHERE key = 'schema.version'`)
	db.MustExec(t, `UPDATE setting SET value = 'of the newer release' WHERE key = 'routines.sha256'`)
	got, err := migrate(t.Context(), db.SuperURL)
	if err != nil || got.Routines || got.From != 99999 || got.To != 99999 {
		t.Errorf("migrating a newer database: %+v, %v", got, err)
	}
	if sum := pgtest.Scalar[string](t, db, `SELECT value FROM setting WHERE key = 'routines.sha256'`); sum != "of the newer release" {
		t.Error("routines of a newer release were replaced")
	}
	s, err := store.Open(t.Context(), store.Config{URL: db.URL})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
}

// TestOnlyAppliedMigrationsAreHistory: a sum is recorded once a migration has
// been applied, and a changed one is refused before anything is touched.
func TestOnlyAppliedMigrationsAreHistory(t *testing.T) {
	t.Parallel()
	db := pgtest.Empty(t, "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := migrate(ctx, db.SuperURL); !errors.Is(err, context.Canceled) {
		t.Fatalf("migrating with a cancelled context: %v", err)
	}
	full := pgtest.New(t)
	full.MustExec(t, `UPDATE migration_sum SET sha256 = '\x00'`)
	full.MustExec(t, `UPDATE setting SET value = '' WHERE key = 'routines.sha256'`)
	_, err := migrate(t.Context(), full.SuperURL)
	if err == nil || !strings.Contains(err.Error(), "00001_foundation.sql") {
		t.Fatalf("a changed migration: %v", err)
	}
	if sum := pgtest.Scalar[string](t, full, `SELECT value FROM setting WHERE key = 'routines.sha256'`); sum != "" {
		t.Error("routines were applied to a database with another history")
	}
	full.MustExec(t, `DELETE FROM migration_sum`)
	if _, err := migrate(t.Context(), full.SuperURL); err != nil {
		t.Fatal(err)
	}
	if n := pgtest.Scalar[int](t, full, `SELECT count(*) FROM migration_sum`); n == 0 {
		t.Error("the sums of applied migrations were not recorded")
	}
}
