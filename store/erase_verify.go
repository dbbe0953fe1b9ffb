package store

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// VerifiedTable is what a look through one table found.
type VerifiedTable struct {
	Table string `json:"table"`
	Rows  int64  `json:"rows"`
	// Hits are rows that still name what was erased.
	Hits int64 `json:"hits"`
	// Kept are rows that name it by our own ids and have to stay; Why says so.
	Kept int64  `json:"kept,omitempty"`
	Why  string `json:"why,omitempty"`
	// Unread is true for a table that the service may not read.
	Unread bool `json:"unread,omitempty"`
}

// erasedIDs is what a verification looks for: our ids in whatever form a column
// holds them, and ids at the source by hash, as whole values.
type erasedIDs struct {
	connection uuid.UUID
	ids        []uuid.UUID
	raw        [][]byte
	texts      []string
	hashes     [][]byte
}

func (w *erasedIDs) add(id uuid.UUID) {
	w.ids, w.raw, w.texts = append(w.ids, id), append(w.raw, id[:]), append(w.texts, id.String())
}

func newErasedIDs(connection uuid.UUID, scope EraseScope, items []ReceiptItem) *erasedIDs {
	w := &erasedIDs{connection: connection, ids: []uuid.UUID{}, raw: [][]byte{}, texts: []string{}, hashes: [][]byte{}}
	for _, it := range items {
		w.hashes = append(w.hashes, it.Hash[:])
		if it.Document != uuid.Nil {
			w.add(it.Document)
		}
	}
	if scope == EraseConnection {
		w.add(connection)
	}
	return w
}

// verify looks through every row of every table.
func (s *Store) verify(ctx context.Context, w *erasedIDs) ([]VerifiedTable, error) {
	tables, err := s.eraseTables(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]VerifiedTable, 0, len(tables))
	for _, t := range tables {
		v, err := s.verifyTable(ctx, t, w)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// verifyPages bounds what one statement looks through: 64 MB.
const verifyPages = 8192

func (s *Store) verifyTable(ctx context.Context, t eraseTable, w *erasedIDs) (VerifiedTable, error) {
	out := VerifiedTable{Table: t.Schema + "." + t.Name, Unread: !t.Readable}
	if out.Unread {
		return out, nil
	}
	var pages int64
	if err := s.pool.QueryRow(ctx, `SELECT pg_relation_size($1::text::regclass) / current_setting('block_size')::bigint`, t.sql()).Scan(&pages); err != nil {
		return out, fmt.Errorf("verifying %s: %w", t.Name, err)
	}
	why, keep := keptRows(t.Name)
	sql := t.verification(keep)
	for from := int64(0); from < pages; from += verifyPages {
		var rows, ours, kept, named int64
		err := s.inTxErr(ctx, "verifying "+t.Name, func(tx pgx.Tx) error {
			if err := patient(ctx, tx); err != nil {
				return err
			}
			// Only with the values at hand does the planner hash them.
			if _, err := tx.Exec(ctx, `SELECT set_config('plan_cache_mode', 'force_custom_plan', true)`); err != nil {
				return err
			}
			return tx.QueryRow(ctx, sql, w.ids, w.raw, w.texts, w.connection, w.hashes, fmt.Sprintf("(%d,0)", from), fmt.Sprintf("(%d,0)", from+verifyPages)).
				Scan(&rows, &ours, &kept, &named)
		})
		if err != nil {
			return out, err
		}
		out.Rows, out.Kept, out.Hits = out.Rows+rows, out.Kept+kept, out.Hits+ours-kept+named
	}
	if out.Kept > 0 {
		out.Why = why
	}
	return out, nil
}

// keptRows says which rows stay although they name what was erased, and why.
func keptRows(table string) (why, where string) {
	switch table {
	case "outbox":
		return "ids only: consumers of the feed learn from them what to delete", "kind = 'purge'"
	case "audit_event":
		return "ids only: the audit log is append-only", "true"
	case "read_event":
		return "ids only: who read what was erased, and no question", "query IS NULL"
	case "erasure", "erasure_item":
		return "ids and hashes only: the proof of the erasure", "true"
	default:
		return "", "false"
	}
}

const uuidPattern = `[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}`

// verification returns the statement that counts the rows of t between two
// places: all, those that name what was erased by our ids, those of them that
// are kept, and those that name it by its id at the source alone.
func (t eraseTable) verification(keep string) string {
	var ours, inText, named []string
	for _, c := range t.Columns {
		col := `t.` + pgx.Identifier{c.Name}.Sanitize()
		switch c.Type {
		case "uuid":
			ours = append(ours, col+` = ANY($1)`)
		case "uuid[]":
			ours = append(ours, col+` && $1`)
		case "bytea":
			ours = append(ours, `(length(`+col+`) = 16 AND `+col+` = ANY($2))`)
		default:
			if silentType(c.Type) {
				continue
			}
			inText = append(inText, `EXISTS (SELECT FROM regexp_matches(`+col+`::text, '`+uuidPattern+`', 'g') m WHERE lower(m[1]) = ANY($3))`)
			if test := namedTest(c.Type, col); test != "" && (c.Name == "external_id" || !t.has("external_id", "text")) {
				named = append(named, test)
			}
		}
	}
	// The text of another document, and what is kept of it, is its own.
	owned := t.has("document_id", "uuid")
	switch {
	case owned && len(inText) > 0:
		ours = append(ours, `(t.document_id IS NULL AND (`+strings.Join(inText, ` OR `)+`))`)
	case t.Name != "document":
		ours = append(ours, inText...)
	}
	mine := `true`
	switch {
	case t.has("connection_id", "uuid"):
		mine = `t.connection_id = $4`
	case t.Name == "connection":
		mine = `t.id = $4`
	case owned, t.Name == "principal", t.Name == "realm":
		// People and groups of a realm belong to every connection of it.
		mine = `false`
	}
	anyOf := func(list []string) string {
		if len(list) == 0 {
			return `false`
		}
		return `coalesce(` + strings.Join(list, ` OR `) + `, false)`
	}
	return `SELECT count(*), count(*) FILTER (WHERE x.ours), count(*) FILTER (WHERE x.ours AND x.keep), count(*) FILTER (WHERE NOT x.ours AND x.named) FROM (
		SELECT ` + anyOf(ours) + ` AS ours, ` + keep + ` AS keep, (` + mine + `) AND ` + anyOf(named) + ` AS named FROM ` + t.sql() + ` t
		WHERE ctid >= $6::text::tid AND ctid < $7::text::tid
		  AND ($1::uuid[] IS NOT NULL OR $2::bytea[] IS NOT NULL OR $3::text[] IS NOT NULL OR $4::uuid IS NOT NULL OR $5::bytea[] IS NOT NULL)) x`
}

// silentType reports types that cannot hold an id.
func silentType(typ string) bool {
	base := strings.TrimSuffix(typ, "[]")
	return slices.Contains([]string{
		"boolean", "smallint", "integer", "bigint", "real", "double precision", "numeric", "date", "interval", "timestamp with time zone", "timestamp without time zone",
		"vector", "halfvec", "public.vector", "public.halfvec", "river.river_job_state", "river_job_state",
	}, base)
}

// namedTest finds an id at the source among the values of a column.
func namedTest(typ, col string) string {
	hash := func(v string) string { return `sha256(uuid_send($4) || convert_to(` + v + `, 'UTF8')) = ANY($5)` }
	switch typ {
	case "text", "character varying", "name":
		return hash(col + `::text`)
	case "text[]", "character varying[]":
		return `EXISTS (SELECT FROM unnest(` + col + `) v WHERE ` + hash(`v::text`) + `)`
	case "json", "jsonb":
		return `EXISTS (SELECT FROM jsonb_path_query(` + col + `::jsonb, 'strict $.**') v WHERE jsonb_typeof(v) = 'string' AND ` + hash(`v #>> '{}'`) + `)`
	default:
		return ""
	}
}
