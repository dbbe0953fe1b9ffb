package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Cleaned says what was done about the bytes that removed rows leave behind.
type Cleaned struct {
	// Done is true when dead rows and their index entries are gone and the
	// planner's statistics, which quote values, were gathered anew.
	Done bool `json:"done"`
	// Rewritten is true when the files of the tables were written anew, so that
	// not even free space holds old bytes.
	Rewritten bool     `json:"rewritten,omitempty"`
	Tables    []string `json:"tables,omitempty"`
	// HeldBack is true when an older transaction, replication slot or prepared
	// transaction kept dead rows alive.
	HeldBack bool   `json:"held_back,omitempty"`
	Note     string `json:"note,omitempty"`
}

// CleanTables are the tables whose storage an erasure leaves to be cleaned.
func CleanTables(e Erasure) []string {
	// Messages are erased in place.
	tables := map[string]bool{"sync_run": true, "run_event": true, "connection": true, "notice": true, "river_job": true, "document": true, "exclusion": true}
	for t := range e.Removed {
		tables[t] = true
	}
	return slices.Sorted(maps.Keys(tables))
}

// holdBackPatience is how long Clean waits for transactions that are older than
// itself.
const holdBackPatience = time.Minute

// Clean vacuums tables, gathers their statistics anew and rebuilds the indexes
// that quote values, while everything goes on: an index entry may outlive its
// row, and a key of a GIN index always does. With rewrite the tables are written
// anew, which locks one after the other. The role of url is that of Migrate.
func Clean(ctx context.Context, url string, tables []string, rewrite bool) (Cleaned, error) {
	out := Cleaned{Rewritten: rewrite}
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return out, fmt.Errorf("connecting to clean: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if out.HeldBack, err = waitForOlder(ctx, conn); err != nil {
		return out, err
	}
	c := &cleaner{conn: conn, rewrite: rewrite}
	if err := conn.QueryRow(ctx, `SELECT rolsuper FROM pg_roles WHERE rolname = current_user`).Scan(&c.super); err != nil {
		return out, fmt.Errorf("reading roles: %w", err)
	}
	for _, t := range tables {
		name, err := c.table(ctx, t)
		if err != nil {
			return out, err
		}
		if name != "" {
			out.Tables = append(out.Tables, t)
		}
	}
	// The statistics of before are rows of a catalog. Who may not vacuum it is
	// warned by the server and leaves that to autovacuum.
	catalog := `VACUUM pg_catalog.pg_statistic`
	if rewrite {
		catalog = `VACUUM FULL pg_catalog.pg_statistic`
	}
	if _, err := conn.Exec(ctx, catalog); err != nil {
		return out, fmt.Errorf("cleaning statistics: %w", err)
	}
	if out.Done = c.stale == 0; !out.Done {
		out.Note = fmt.Sprintf("the planner's statistics of %d tables that are empty now still quote values: only a superuser may take them away", c.stale)
	}
	return out, nil
}

// waitForOlder waits until no transaction is older than what was removed, and
// reports true where one stays.
func waitForOlder(ctx context.Context, conn *pgx.Conn) (bool, error) {
	var now string
	if err := conn.QueryRow(ctx, `SELECT pg_current_xact_id()::xid::text`).Scan(&now); err != nil {
		return false, fmt.Errorf("reading transactions: %w", err)
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(holdBackPatience); ; {
		var older bool
		err := conn.QueryRow(ctx, `
			SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_xmin IS NOT NULL AND age(backend_xmin) > age($1::text::xid))
			    OR EXISTS (SELECT FROM pg_replication_slots WHERE xmin IS NOT NULL AND age(xmin) > age($1::text::xid))
			    OR EXISTS (SELECT FROM pg_prepared_xacts WHERE database = current_database() AND age(transaction) > age($1::text::xid))`, now).Scan(&older)
		if err != nil {
			return false, fmt.Errorf("reading transactions: %w", err)
		}
		if !older || time.Now().After(deadline) {
			return older, nil
		}
		select {
		case <-ctx.Done():
			return false, fmt.Errorf("waiting for older transactions: %w", ctx.Err())
		case <-tick.C:
		}
	}
}

type cleaner struct {
	conn           *pgx.Conn
	rewrite, super bool
	// stale counts empty tables whose statistics could not be taken away.
	stale int
}

// table cleans one table and returns its name; "" where there is none such.
func (c *cleaner) table(ctx context.Context, table string) (string, error) {
	var name, owner string
	err := c.conn.QueryRow(ctx, `
		SELECT format('%I.%I', n.nspname, c.relname), pg_get_userbyid(c.relowner)::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname IN ('tributary', 'river') AND c.relname = $1 AND c.relkind IN ('r', 'm')`, table).Scan(&name, &owner)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("looking for table %s: %w", table, err)
	}
	indexes, err := c.quotingIndexes(ctx, name)
	if err != nil {
		return "", err
	}
	if err := c.asOwner(ctx, owner, func() error { return c.vacuum(ctx, name, indexes) }); err != nil {
		return "", err
	}
	return name, c.forgetStatistics(ctx, name)
}

// asOwner runs fn with the rights of a table's owner.
func (c *cleaner) asOwner(ctx context.Context, owner string, fn func() error) error {
	if _, err := c.conn.Exec(ctx, `SET ROLE `+pgx.Identifier{owner}.Sanitize()); err != nil {
		return fmt.Errorf("becoming %s: %w", owner, err)
	}
	err := fn()
	_, reset := c.conn.Exec(context.WithoutCancel(ctx), `RESET ROLE`)
	return errors.Join(err, reset)
}

// forgetStatistics takes away the statistics of a table that has no rows any
// more: ANALYZE leaves those as they were. Only a superuser may.
func (c *cleaner) forgetStatistics(ctx context.Context, table string) error {
	var stale bool
	err := c.conn.QueryRow(ctx, `
		SELECT NOT EXISTS (SELECT FROM `+table+`) AND EXISTS (SELECT FROM pg_stats s WHERE format('%I.%I', s.schemaname, s.tablename)::regclass = $1::text::regclass)`, table).Scan(&stale)
	if err != nil || !stale {
		return err
	}
	if !c.super {
		c.stale++
		return nil
	}
	_, err = c.conn.Exec(ctx, `DELETE FROM pg_catalog.pg_statistic WHERE starelid = $1::text::regclass`, table)
	if err != nil {
		return fmt.Errorf("forgetting the statistics of %s: %w", table, err)
	}
	return nil
}

func (c *cleaner) vacuum(ctx context.Context, name string, indexes []string) error {
	if c.rewrite {
		return c.locking(ctx, `VACUUM (FULL, ANALYZE) `+name)
	}
	statements := []string{`VACUUM (ANALYZE, INDEX_CLEANUP ON) ` + name}
	for _, x := range indexes {
		statements = append(statements, `REINDEX INDEX CONCURRENTLY `+x)
	}
	for _, q := range statements {
		if _, err := c.conn.Exec(ctx, q); err != nil {
			return fmt.Errorf("cleaning %s: %w", name, err)
		}
	}
	return nil
}

// quotingIndexes lists the indexes of a table that hold words as keys.
func (c *cleaner) quotingIndexes(ctx context.Context, table string) ([]string, error) {
	rows, err := c.conn.Query(ctx, `
		SELECT DISTINCT format('%I.%I', n.nspname, x.relname) FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_namespace n ON n.oid = x.relnamespace
			JOIN pg_attribute a ON a.attrelid = x.oid
		WHERE i.indrelid = $1::text::regclass AND a.atttypid IN ('text'::regtype, 'varchar'::regtype, 'name'::regtype, 'bytea'::regtype, 'tsvector'::regtype, 'jsonb'::regtype, 'text[]'::regtype)
		ORDER BY 1`, table)
	if err != nil {
		return nil, fmt.Errorf("listing indexes of %s: %w", table, err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("listing indexes of %s: %w", table, err)
	}
	return list, nil
}

// locking runs a statement that locks a table, without queueing in front of
// everybody else for long.
func (c *cleaner) locking(ctx context.Context, sql string) error {
	if _, err := c.conn.Exec(ctx, `SET lock_timeout = '3s'`); err != nil {
		return fmt.Errorf("setting time limits: %w", err)
	}
	defer func() { _, _ = c.conn.Exec(context.WithoutCancel(ctx), `RESET lock_timeout`) }()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(lockPatience); ; {
		_, err := c.conn.Exec(ctx, sql)
		var pe *pgconn.PgError
		if err == nil {
			return nil
		}
		if !errors.As(err, &pe) || pe.Code != stateLockNotAvailable || time.Now().After(deadline) {
			return fmt.Errorf("rewriting %s: %w", sql[strings.LastIndexByte(sql, ' ')+1:], err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for a table: %w", ctx.Err())
		case <-tick.C:
		}
	}
}
