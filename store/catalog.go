package store

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"
)

// catalog is what guards content in a database: for each schema, table and
// function its owner, the rights of PUBLIC and of the instance's roles, and its
// definition.
type catalog map[string]map[string]string

// catalogSQL reads the catalog. $1 are the roles whose rights count, as the
// settings name them. Vector tables, which are made at run time, are one object.
const catalogSQL = `
	WITH held AS (SELECT rolname, oid FROM pg_roles WHERE rolname = ANY ($1) UNION ALL SELECT 'PUBLIC', 0),
	object AS (
		SELECT 'schema ' || n.nspname AS name, n.nspowner AS owner, acl.entries, '' AS definition
		FROM pg_namespace n, LATERAL (SELECT array_agg(h.rolname || ':' || a.privilege_type) AS entries
			FROM aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a JOIN held h ON h.oid = a.grantee WHERE a.grantee <> n.nspowner) acl
		WHERE n.nspname IN ('tributary', $2)
		UNION ALL
		SELECT CASE WHEN c.relname ~ '^vec_[0-9]+$' THEN 'vector tables' ELSE CASE c.relkind WHEN 'S' THEN 'sequence ' ELSE 'table ' END || n.nspname || '.' || c.relname END,
			c.relowner, acl.entries || columns.entries, c.relkind::text || CASE WHEN c.relrowsecurity THEN ' row security' ELSE '' END || CASE WHEN c.relforcerowsecurity THEN ' forced' ELSE '' END
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace,
		LATERAL (SELECT array_agg(h.rolname || ':' || a.privilege_type) AS entries
			FROM aclexplode(coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's'::"char" ELSE 'r'::"char" END, c.relowner))) a JOIN held h ON h.oid = a.grantee WHERE a.grantee <> c.relowner) acl,
		LATERAL (SELECT array_agg(h.rolname || ':' || a.privilege_type || '(' || t.attname || ')') AS entries
			FROM pg_attribute t, aclexplode(t.attacl) a JOIN held h ON h.oid = a.grantee WHERE t.attrelid = c.oid AND NOT t.attisdropped AND a.grantee <> c.relowner) columns
		WHERE n.nspname IN ('tributary', $2) AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
		UNION ALL
		SELECT 'function ' || n.nspname || '.' || p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')', p.proowner, acl.entries,
			CASE WHEN p.prosecdef THEN 'definer ' ELSE '' END || coalesce(array_to_string(p.proconfig, ' ') || ' ', '') || l.lanname || ' ' || p.provolatile::text || ' ' ||
			left(encode(sha256(convert_to(concat_ws(E'\n', p.prosrc, pg_get_function_result(p.oid), pg_get_function_arguments(p.oid), p.proisstrict), 'UTF8')), 'hex'), 32)
		FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang,
		LATERAL (SELECT array_agg(h.rolname || ':' || a.privilege_type) AS entries
			FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a JOIN held h ON h.oid = a.grantee WHERE a.grantee <> p.proowner) acl
		WHERE n.nspname = 'tributary')
	SELECT o.name, string_agg(DISTINCT pg_get_userbyid(o.owner), ' '), string_agg(DISTINCT o.definition, ' '),
		coalesce((SELECT string_agg(DISTINCT e, ' ' ORDER BY e) FROM unnest(array_agg(coalesce(array_to_string(o.entries, ' '), ''))) joined, regexp_split_to_table(joined, ' ') e WHERE e <> ''), '')
	FROM object o GROUP BY o.name ORDER BY o.name`

// readCatalog reads the catalog of the database for the roles of an instance.
func readCatalog(ctx context.Context, tx pgx.Tx, r Roles) (catalog, error) {
	rows, err := tx.Query(ctx, catalogSQL, []string{r.Owner, r.App, r.SearchDefiner, r.Reader}, RiverSchema)
	if err != nil {
		return nil, fmt.Errorf("reading catalog: %w", err)
	}
	c := catalog{}
	var name, owner, definition, rights string
	_, err = pgx.ForEachRow(rows, []any{&name, &owner, &definition, &rights}, func() error {
		c[name] = map[string]string{"owner": owner, "definition": definition, "rights": rights}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading catalog: %w", err)
	}
	return c, nil
}

// recordedCatalog is the catalog as migrating left it; nil where none is recorded.
func recordedCatalog(ctx context.Context, tx pgx.Tx) (catalog, error) {
	var text *string
	if err := tx.QueryRow(ctx, `SELECT (SELECT value FROM setting WHERE key = 'catalog')`).Scan(&text); err != nil {
		return nil, fmt.Errorf("reading settings: %w", err)
	}
	if text == nil {
		return nil, nil
	}
	c := catalog{}
	if err := json.Unmarshal([]byte(*text), &c); err != nil {
		return nil, fmt.Errorf("reading the recorded catalog: %w", err)
	}
	return c, nil
}

func recordCatalog(ctx context.Context, tx pgx.Tx, c catalog) error {
	text, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("writing the recorded catalog: %w", err)
	}
	_, err = tx.Exec(ctx, `INSERT INTO setting (key, value) VALUES ('catalog', $1) ON CONFLICT (key) DO UPDATE SET value = excluded.value`, string(text))
	if err != nil {
		return fmt.Errorf("writing settings: %w", err)
	}
	return nil
}

// differences says in what have differs from want. Vector tables may be missing;
// a table that nobody of the instance has rights on may be there besides.
func (want catalog) differences(have catalog) []string {
	var out []string
	names := slices.Sorted(maps.Keys(want))
	for name := range have {
		if _, ok := want[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		w, wanted := want[name]
		h, there := have[name]
		switch {
		case name == "vector tables":
			// Their record may be older than the first of them.
			continue
		case !there:
			out = append(out, name+" is missing")
		case !wanted && h["rights"] != "":
			out = append(out, name+" is not one of ours, and "+h["rights"]+" is granted on it")
		case !wanted:
		case w["owner"] != h["owner"]:
			out = append(out, name+" belongs to "+h["owner"]+" and not to "+w["owner"])
		case w["rights"] != h["rights"]:
			out = append(out, name+" has rights "+rightsDiffer(w["rights"], h["rights"]))
		case w["definition"] != h["definition"]:
			out = append(out, name+" has another definition")
		}
	}
	return out
}
