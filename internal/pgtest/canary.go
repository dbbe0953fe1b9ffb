package pgtest

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// FindSecrets looks for secrets, by name, in every row of every table of the database at url, whose role must read them
// all, and in files; directories are walked. It finds them as they are, in hexadecimal, in base64 at any offset, and
// escaped for URLs and JSON, and returns where: "river.river_job row (0,1): access token". A secret shorter than eight
// characters is an error: it would be found by chance.
func FindSecrets(ctx context.Context, url string, secrets map[string]string, files ...string) ([]string, error) {
	forms := map[string][]string{}
	for name, s := range secrets {
		if len(s) < 8 {
			return nil, fmt.Errorf("looking for secret %s: it is too short to be told from chance", name)
		}
		forms[name] = formsOf(s)
	}
	var hits []string
	look := func(where, text string) {
		for name, list := range forms {
			if slices.ContainsFunc(list, func(f string) bool { return strings.Contains(text, f) }) {
				hits = append(hits, where+": "+name)
			}
		}
	}
	if err := lookInTables(ctx, url, look); err != nil {
		return nil, err
	}
	for _, root := range files {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			raw, err := os.ReadFile(path)
			if err == nil {
				look(path, string(raw))
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("looking through %s: %w", root, err)
		}
	}
	slices.Sort(hits)
	return hits, nil
}

// formsOf returns how s may stand in a text.
func formsOf(s string) []string {
	list := []string{s, hex.EncodeToString([]byte(s)), strings.ToUpper(hex.EncodeToString([]byte(s))), url.QueryEscape(s), strings.ReplaceAll(s, "/", `\/`)}
	for shift := range 3 {
		// Of base64 at another offset the middle stays, whatever stands around it.
		whole := base64.StdEncoding.EncodeToString([]byte("\x00\x00"[:shift%3] + s))
		middle := whole[4*((shift+2)/3) : len(whole)-4]
		list = append(list, middle, strings.NewReplacer("+", "-", "/", "_").Replace(middle))
	}
	return list
}

// lookInTables hands each row as text to look; a bytea stands in it in hexadecimal.
func lookInTables(ctx context.Context, url string, look func(where, text string)) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return fmt.Errorf("connecting to look for secrets: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	rows, err := conn.Query(ctx, `
		SELECT n.nspname::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') ORDER BY 1, 2`)
	if err != nil {
		return fmt.Errorf("listing tables: %w", err)
	}
	tables, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (pgx.Identifier, error) {
		id := make(pgx.Identifier, 2)
		return id, row.Scan(&id[0], &id[1])
	})
	if err != nil {
		return fmt.Errorf("listing tables: %w", err)
	}
	for _, table := range tables {
		rows, err := conn.Query(ctx, `SELECT t.ctid::text, t::text FROM `+table.Sanitize()+` t`)
		if err != nil {
			return fmt.Errorf("reading %s: %w", table.Sanitize(), err)
		}
		var id, text string
		_, err = pgx.ForEachRow(rows, []any{&id, &text}, func() error {
			look(table[0]+"."+table[1]+" row "+id, text)
			return nil
		})
		if err != nil {
			return fmt.Errorf("reading %s: %w", table.Sanitize(), err)
		}
	}
	return nil
}
