package store

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// UnsafeError says in what a database is not as it was left by migrating, so that
// nobody can say who reads what.
type UnsafeError struct {
	// Problems name what differs.
	Problems []string
	// Remedy says what helps.
	Remedy string
}

// maxProblems bounds what a message names.
const maxProblems = 5

// Error names what differs, and the remedy.
func (e *UnsafeError) Error() string {
	list := e.Problems
	more := ""
	if len(list) > maxProblems {
		list, more = list[:maxProblems], fmt.Sprintf(", and %d more", len(e.Problems)-maxProblems)
	}
	return "the database does not guard what it holds: " + strings.Join(list, "; ") + more + ". " + e.Remedy
}

const (
	remedyRoles = "Take the attributes and memberships away as a superuser (ALTER ROLE …, REVOKE …), or run deploy/roles.sql for a new role; then start again"
	remedyURL   = "Name the role app in TRIBUTARY_DATABASE_URL: see docs/database.md"
	remedyAgain = "Find out who changed it; `tributary migrate up` puts the functions, owners and rights back"
)

// CheckDatabase returns an *UnsafeError where the roles, rights, owners or
// functions of the database are not those that migrating left: a process that
// answers questions must not start on it (PE-3).
func (s *Store) CheckDatabase(ctx context.Context) error {
	// One snapshot: a migration may be at work beside.
	opts := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	return pgx.BeginTxFunc(ctx, s.pool, opts, func(tx pgx.Tx) error {
		roles, err := recordedRoles(ctx, tx)
		if err != nil {
			return err
		}
		for _, check := range []func(context.Context, pgx.Tx, Roles) error{checkSession, checkRoles, checkCatalog} {
			if err := check(ctx, tx, roles); err != nil {
				return err
			}
		}
		return nil
	})
}

// recordedRoles are the roles as migrating named them.
func recordedRoles(ctx context.Context, tx pgx.Tx) (Roles, error) {
	named := map[string]string{}
	rows, err := tx.Query(ctx, `SELECT key, value FROM setting WHERE key LIKE 'role.%'`)
	if err != nil {
		return Roles{}, fmt.Errorf("reading settings: %w", err)
	}
	var key, value string
	if _, err := pgx.ForEachRow(rows, []any{&key, &value}, func() error { named[key] = value; return nil }); err != nil {
		return Roles{}, fmt.Errorf("reading settings: %w", err)
	}
	return Roles{Owner: named["role.owner"], App: named["role.app"], SearchDefiner: named["role.search_definer"], Reader: named["role.reader"]}, nil
}

// checkSession refuses another login than app, and a pooler that drops what a
// session is set to.
func checkSession(ctx context.Context, tx pgx.Tx, r Roles) error {
	var session, current, path string
	err := tx.QueryRow(ctx, `SELECT session_user, current_user, current_setting('search_path')`).Scan(&session, &current, &path)
	if err != nil {
		return fmt.Errorf("reading who this session is: %w", err)
	}
	if session != r.App || current != r.App {
		return &UnsafeError{Problems: []string{fmt.Sprintf("the session is role %s and not %s", session, r.App)}, Remedy: remedyURL}
	}
	if path != searchPath {
		return &UnsafeError{
			Problems: []string{fmt.Sprintf("the search path is %q and not %q", path, searchPath)},
			Remedy:   "A pooler that drops what a connection begins with needs it set for the role: see docs/database.md",
		}
	}
	return nil
}

// checkRoles refuses roles that escape what is granted to them: by attributes, or
// by being members of a role that may more.
func checkRoles(ctx context.Context, tx pgx.Tx, r Roles) error {
	rows, err := tx.Query(ctx, `
		WITH RECURSIVE member (role, self, way) AS (
			SELECT rolname::text COLLATE "default", oid, '' FROM pg_roles WHERE rolname = ANY ($1)
			UNION
			SELECT m.role, a.roleid, ' through ' || p.rolname::text COLLATE "default" FROM member m JOIN pg_auth_members a ON a.member = m.self JOIN pg_roles p ON p.oid = a.roleid)
		SELECT 'role ' || m.role || ' is ' || x.what || m.way
		FROM member m JOIN pg_roles p ON p.oid = m.self, LATERAL (VALUES
			(p.rolsuper, 'a superuser'), (p.rolbypassrls, 'above row security (BYPASSRLS)'), (p.rolcreaterole, 'one that makes roles (CREATEROLE)'),
			(p.rolcreatedb, 'one that makes databases (CREATEDB)'), (p.rolreplication, 'one that replicates (REPLICATION)'),
			(m.way <> '' AND p.rolname = ANY ($2), 'a member of what it must not be'),
			(m.way = '' AND p.rolcanlogin AND m.role <> $3, 'a login')) AS x (yes, what)
		WHERE x.yes
		UNION ALL SELECT 'role ' || n || ' is missing' FROM unnest($1::text[]) n WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = n)
		ORDER BY 1`,
		[]string{r.App, r.SearchDefiner, r.Reader}, []string{
			r.Owner, r.SearchDefiner, r.App, "pg_read_all_data", "pg_write_all_data", "pg_read_server_files", "pg_write_server_files", "pg_execute_server_program", "pg_maintain",
		}, r.App)
	if err != nil {
		return fmt.Errorf("reading roles: %w", err)
	}
	problems, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("reading roles: %w", err)
	}
	if len(problems) > 0 {
		return &UnsafeError{Problems: problems, Remedy: remedyRoles}
	}
	return nil
}

// checkCatalog refuses owners, rights and functions that are not those recorded.
func checkCatalog(ctx context.Context, tx pgx.Tx, r Roles) error {
	want, err := recordedCatalog(ctx, tx)
	if err != nil {
		return err
	}
	if want == nil {
		return &UnsafeError{Problems: []string{"it has no record of its functions and rights"}, Remedy: "Run `tributary migrate up`"}
	}
	have, err := readCatalog(ctx, tx, r)
	if err != nil {
		return err
	}
	problems := want.differences(have)
	// Vector tables are made at run time, so their rights follow a rule and no record.
	if v, ok := have["vector tables"]; ok {
		if v["owner"] != r.Owner {
			problems = append(problems, "vector tables belong to "+v["owner"]+" and not to "+r.Owner)
		}
		for right := range strings.FieldsSeq(v["rights"]) {
			if strings.HasPrefix(right, "PUBLIC:") || strings.HasPrefix(right, r.Reader+":") || strings.HasPrefix(right, r.SearchDefiner+":") && right != r.SearchDefiner+":SELECT" {
				problems = append(problems, "vector tables have rights with "+right)
			}
		}
	}
	if len(problems) > 0 {
		return &UnsafeError{Problems: problems, Remedy: remedyAgain}
	}
	return nil
}

// rightsDiffer says what of two lists of rights is not in the other.
func rightsDiffer(want, have string) string {
	w, h := strings.Fields(want), strings.Fields(have)
	var out []string
	for _, x := range h {
		if !slices.Contains(w, x) {
			out = append(out, "with "+x)
		}
	}
	for _, x := range w {
		if !slices.Contains(h, x) {
			out = append(out, "without "+x)
		}
	}
	return strings.Join(out, ", ")
}
