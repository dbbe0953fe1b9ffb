package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// eraseTable is a table as the catalog knows it, so that one which a later
// release adds is covered by itself.
type eraseTable struct {
	Schema, Name string
	Columns      []eraseColumn
	Readable     bool
}

type eraseColumn struct {
	Name string `json:"name"`
	// Type is what the column holds: "uuid", "text", "jsonb", "text[]", …
	Type string `json:"type"`
}

func (t eraseTable) has(column, typ string) bool {
	return slices.Contains(t.Columns, eraseColumn{Name: column, Type: typ})
}

func (t eraseTable) sql() string { return pgx.Identifier{t.Schema, t.Name}.Sanitize() }

// eraseTables lists the tables of this program and of its jobs.
func (s *Store) eraseTables(ctx context.Context) ([]eraseTable, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT n.nspname::text, c.relname::text,
			jsonb_agg(jsonb_build_object('name', a.attname, 'type', format_type(a.atttypid, NULL)) ORDER BY a.attnum), has_table_privilege(c.oid, 'SELECT')
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
		WHERE c.relkind IN ('r', 'm') AND n.nspname IN ('tributary', 'river')
		GROUP BY n.nspname, c.relname, c.oid ORDER BY n.nspname, c.relname`)
	if err != nil {
		return nil, fmt.Errorf("listing tables: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[eraseTable])
	if err != nil {
		return nil, fmt.Errorf("listing tables: %w", err)
	}
	return list, nil
}

// purgedElsewhere reports tables whose rows purgeDocuments removes, and those
// that have to outlive what is erased: the feed, of which a purge is kept, the
// proof, and the exclusions.
func purgedElsewhere(name string) bool {
	return slices.Contains([]string{"document", "embed_todo", "chunk", "revision", "outbox", "erasure", "erasure_item", "exclusion"}, name)
}

// forgetNamed removes the rows that name items by their ids at the source.
func forgetNamed(ctx context.Context, tx pgx.Tx, connection uuid.UUID, names []string, removed map[string]int64) error {
	tables, err := namingTables(ctx, tx)
	if err != nil {
		return err
	}
	for _, table := range tables {
		q := `DELETE FROM ` + pgx.Identifier{"tributary", table}.Sanitize() + ` WHERE connection_id = $1 AND external_id = ANY($2)`
		if err := removeRows(ctx, tx, removed, table, q, connection, names); err != nil {
			return err
		}
	}
	return nil
}

// namingTables lists the tables beside the documents that name items of a
// connection.
func namingTables(ctx context.Context, tx pgx.Tx) ([]string, error) {
	rows, err := tx.Query(ctx, `
		SELECT c.relname::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'connection_id' AND a.atttypid = 'uuid'::regtype
			JOIN pg_attribute b ON b.attrelid = c.oid AND b.attname = 'external_id'
		WHERE c.relkind = 'r' AND c.relnamespace = 'tributary'::regnamespace ORDER BY 1`)
	if err != nil {
		return nil, fmt.Errorf("listing tables: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("listing tables: %w", err)
	}
	return slices.DeleteFunc(list, purgedElsewhere), nil
}

// forgetDocuments removes what else is kept by the ids of documents, and the
// questions that they answered: that they were read stays.
func (x *eraser) forgetDocuments(ctx context.Context, tx pgx.Tx, ids []uuid.UUID, removed map[string]int64) error {
	if _, err := tx.Exec(ctx, `SELECT forget_questions($1, NULL)`, ids); err != nil {
		return fmt.Errorf("erasing questions: %w", err)
	}
	for _, t := range x.tables {
		if t.Schema != "tributary" || purgedElsewhere(t.Name) || !t.has("document_id", "uuid") {
			continue
		}
		q, args := `DELETE FROM `+t.sql()+` WHERE document_id = ANY($1)`, []any{ids}
		if t.has("connection_id", "uuid") {
			q, args = q+` AND connection_id = $2`, append(args, x.e.ConnectionID)
		}
		if err := removeRows(ctx, tx, removed, t.Name, q, args...); err != nil {
			return err
		}
	}
	return nil
}

// eraseRows bounds the rows that one transaction removes from a table.
const eraseRows = 5000

// sweepTable removes the rows of t that match where, some at a time.
func (x *eraser) sweepTable(ctx context.Context, t eraseTable, where string) error {
	q := `DELETE FROM ` + t.sql() + ` WHERE ctid = ANY(ARRAY(SELECT ctid FROM ` + t.sql() + ` WHERE ` + where + ` LIMIT $2))`
	for {
		n := int64(0)
		err := x.step(ctx, "erasing", func(tx pgx.Tx, removed map[string]int64) error {
			if t.Name == "principal_email" {
				if err := lockEmails(ctx, tx); err != nil {
					return err
				}
			}
			err := removeRows(ctx, tx, removed, t.Name, q, x.e.ConnectionID, eraseRows)
			n = removed[t.Name]
			if err != nil || t.Name != "principal_email" {
				return err
			}
			m, err := mapEmails(ctx, tx, nil, nil)
			removed["reader_principal"] += m.Ended
			return err
		})
		if err != nil || n < eraseRows {
			return err
		}
	}
}

// forgetConnection removes what is kept by the id of the connection or of one
// of its runs, the runs last, and then the connection.
func (x *eraser) forgetConnection(ctx context.Context) error {
	for _, t := range x.tables {
		if t.Schema == "tributary" && t.has("run_id", "uuid") && !t.has("connection_id", "uuid") && !t.has("document_id", "uuid") {
			if err := x.sweepTable(ctx, t, `run_id IN (SELECT id FROM tributary.sync_run WHERE connection_id = $1)`); err != nil {
				return err
			}
		}
	}
	for _, t := range x.tables {
		if t.Schema == "tributary" && t.has("connection_id", "uuid") && t.Name != "sync_run" && (t.Name == "exclusion" || !purgedElsewhere(t.Name)) {
			if err := x.sweepTable(ctx, t, `connection_id = $1`); err != nil {
				return err
			}
		}
	}
	return x.step(ctx, "deleting connection", func(tx pgx.Tx, removed map[string]int64) error {
		err := removeRows(ctx, tx, removed, "river_job", `
			DELETE FROM river.river_job WHERE state <> 'running' AND args ->> 'run_id' IN (SELECT id::text FROM sync_run WHERE connection_id = $1)`, x.e.ConnectionID)
		if err != nil {
			return err
		}
		if err := removeRows(ctx, tx, removed, "sync_run", `DELETE FROM sync_run WHERE connection_id = $1`, x.e.ConnectionID); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE api_key SET connections = array_remove(connections, $1) WHERE $1 = ANY(connections)`, x.e.ConnectionID); err != nil {
			return fmt.Errorf("taking the connection from keys: %w", err)
		}
		if grant := x.e.Target.Grant; grant != nil {
			if err := forgetGrantAccount(ctx, tx, *grant, x.e.ConnectionID); err != nil {
				return err
			}
		}
		return removeRows(ctx, tx, removed, "connection", `DELETE FROM connection WHERE id = $1`, x.e.ConnectionID)
	})
}
