package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"tributary/internal/settings"
	"tributary/store"
)

const (
	checkTimeout = 10 * time.Second
	skewWarn     = 2 * time.Second
	skewFail     = 30 * time.Second
)

// checkDatabase looks at the database as far as it gets. It does not start a
// managed one that is stopped.
func (a *app) checkDatabase(ctx context.Context, s settings.Settings) []finding {
	const check = "database"
	ctx, cancel := context.WithTimeout(ctx, 4*checkTimeout)
	defer cancel()
	d := configuredDatabase(s)
	if !s.DatabaseURL.IsSet() {
		var err error
		if d, err = attachManaged(s); err != nil {
			return []finding{fail(check, err.Error(), "ask as the account that runs tributary up")}
		}
		if d == nil {
			return []finding{warn(check, "the managed local PostgreSQL is not running", "start it with tributary up, or set TRIBUTARY_DATABASE_URL")}
		}
	}
	conn, err := pgx.Connect(ctx, d.url)
	if err != nil {
		return []finding{fail(check, describe(err), "start the database, or mend TRIBUTARY_DATABASE_URL")}
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	list := []finding{
		checkServer(ctx, conn, d.managed), checkVector(ctx, conn), checkRole(ctx, conn), checkClock(ctx, conn),
	}
	return append(list, a.checkStore(ctx, s, d)...)
}

func checkServer(ctx context.Context, conn *pgx.Conn, managed bool) finding {
	var v string
	var num, connections int
	err := conn.QueryRow(ctx, `SELECT current_setting('server_version'), current_setting('server_version_num')::int, current_setting('max_connections')::int`).Scan(&v, &num, &connections)
	if err != nil {
		return fail("database", err.Error(), "mend the database")
	}
	kind := "PostgreSQL"
	if managed {
		kind = "managed local PostgreSQL"
	}
	if num < 150000 {
		return fail("database", kind+" "+v+" is too old", "use PostgreSQL 15 or newer")
	}
	if connections < 40 {
		return warn("database", fmt.Sprintf("%s %s allows %d connections; a process with workers uses up to 26", kind, v, connections), "raise max_connections")
	}
	return ok("database", "%s %s", kind, v)
}

func checkVector(ctx context.Context, conn *pgx.Conn) finding {
	const check, remedy = "pgvector", "install pgvector 0.8 or newer on the database server, then tributary migrate up"
	var v *string
	if err := conn.QueryRow(ctx, `SELECT (SELECT extversion FROM pg_extension WHERE extname = 'vector')`).Scan(&v); err != nil {
		return fail(check, err.Error(), remedy)
	}
	if v == nil {
		return fail(check, "the extension vector is missing", remedy)
	}
	parts := strings.SplitN(*v, ".", 3)
	major, _ := strconv.Atoi(parts[0])
	minor := 0
	if len(parts) > 1 {
		minor, _ = strconv.Atoi(parts[1])
	}
	if major == 0 && minor < 8 {
		return fail(check, *v+" is too old", remedy)
	}
	return ok(check, "%s", *v)
}

// checkRole warns about a service that could do more than it needs.
func checkRole(ctx context.Context, conn *pgx.Conn) finding {
	const check, remedy = "roles", "let TRIBUTARY_DATABASE_URL name the role app, and keep the other for TRIBUTARY_MIGRATE_DATABASE_URL"
	var name string
	var super, createDB, createRole, bypass, createSchema bool
	err := conn.QueryRow(ctx, `
		SELECT r.rolname, r.rolsuper, r.rolcreatedb, r.rolcreaterole, r.rolbypassrls,
			coalesce((SELECT has_schema_privilege(r.rolname, n.oid, 'CREATE') FROM pg_namespace n WHERE n.nspname = 'tributary'), false)
		FROM pg_roles r WHERE r.rolname = current_user`).Scan(&name, &super, &createDB, &createRole, &bypass, &createSchema)
	app := ""
	if err == nil {
		// Without the table, the check of the schema says so.
		_ = conn.QueryRow(ctx, `SELECT value FROM tributary.setting WHERE key = 'role.app'`).Scan(&app)
	}
	switch {
	case err != nil:
		return fail(check, err.Error(), remedy)
	case super:
		return fail(check, name+" is a superuser", remedy)
	case app != "" && app != name:
		return fail(check, "the service connects as "+name+" and not as "+app+", so that nobody is found to be a reader", remedy)
	case createDB || createRole || bypass || createSchema:
		return warn(check, name+" may do more than the service needs (create databases, roles or tables, or bypass row security)", remedy)
	default:
		return ok(check, "the service is %s, without rights on the schema's structure", name)
	}
}

func checkClock(ctx context.Context, conn *pgx.Conn) finding {
	const check, remedy = "clock", "synchronise both machines with NTP"
	before := time.Now()
	var at time.Time
	if err := conn.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&at); err != nil {
		return fail(check, err.Error(), remedy)
	}
	// The database's answer lies between the two readings of ours.
	middle := before.Add(time.Since(before) / 2)
	skew := at.Sub(middle).Abs()
	detail := fmt.Sprintf("the database's clock is %s away from ours", skew.Round(time.Millisecond))
	switch {
	case skew > skewFail:
		return fail(check, detail, remedy)
	case skew > skewWarn:
		return warn(check, detail, remedy)
	default:
		return ok(check, "%s", detail)
	}
}

// checkStore looks at what only an up-to-date schema can tell.
func (a *app) checkStore(ctx context.Context, s settings.Settings, d *database) []finding {
	st, err := store.Open(ctx, store.Config{URL: d.url, Purpose: store.CLI, MaxConns: 1})
	var old *store.SchemaError
	switch {
	case errors.As(err, &old):
		remedy := "run tributary migrate up"
		if d.managed {
			remedy = "restart tributary up"
		}
		return []finding{fail("schema", fmt.Sprintf("version %d, and this program needs %d", old.Have, old.Want), remedy)}
	case err != nil:
		return []finding{fail("schema", err.Error(), "run tributary migrate up")}
	}
	defer st.Close()
	list := []finding{ok("schema", "up to date"), checkProfile(ctx, st), checkVault(ctx, s, st, d.managed), checkFeed(ctx, st), checkReadAudit(ctx, s, st)}
	list = append(list, checkNotices(ctx, st)...)
	connections, err := st.Connections(ctx)
	if err != nil {
		return append(list, fail("connections", err.Error(), "see the log of the database"))
	}
	if len(connections) == 0 {
		return append(list, ok("connections", "there are none yet"))
	}
	for _, c := range connections {
		list = append(list, checkConnection(c))
	}
	return list
}

func checkConnection(c store.Connection) finding {
	check := "connection " + c.Name
	switch c.State {
	case store.StateActive, store.StateThrottled, store.StatePaused, store.StateClosing:
		return ok(check, "%s", connectionState(c))
	case store.StateDegraded:
		return warn(check, connectionState(c), "tributary connections show "+c.Name)
	case store.StateNeedsReauth, store.StateConfigError, store.StateFailed:
		return fail(check, connectionState(c), "tributary runs list --connection "+c.Name)
	default:
		return warn(check, connectionState(c), "tributary connections show "+c.Name)
	}
}

// readAuditShare is how much of the database the record of reads may take, and
// readAuditMuch what is little whatever its share.
const (
	readAuditShare = 0.25
	readAuditMuch  = 1 << 30
)

func checkReadAudit(ctx context.Context, s settings.Settings, st *store.Store) finding {
	const check = "read audit"
	z, err := st.ReadAuditSize(ctx)
	if err != nil {
		return fail(check, err.Error(), "see the log of the database")
	}
	if z.Oldest == nil {
		return ok(check, "nothing was read yet")
	}
	share := float64(z.Bytes) / float64(max(z.Database, 1))
	detail := fmt.Sprintf("%.1f MB, %.1f %% of the database, for reads since %s", float64(z.Bytes)/(1<<20), 100*share, z.Oldest.UTC().Format(time.DateOnly))
	if share > readAuditShare && z.Bytes > readAuditMuch {
		return warn(check, detail, fmt.Sprintf("keep reads for less than %d days: TRIBUTARY_READ_AUDIT_RETENTION", int(s.ReadAuditRetention.Hours()/24)))
	}
	return ok(check, "%s", detail)
}

func checkProfile(ctx context.Context, st *store.Store) finding {
	const check = "embedding profile"
	p, err := st.ActiveProfile(ctx)
	if errors.Is(err, store.ErrNotFound) {
		return warn(check, "none is active, so search is by keyword only", "tributary up makes the built-in one; tributary profiles create makes another")
	}
	if err != nil {
		return fail(check, err.Error(), "see the log of the database")
	}
	progress, err := st.ProfileProgress(ctx, p)
	switch {
	case err != nil:
		return fail(check, err.Error(), "see the log of the database")
	case progress.Error != "":
		return fail(check, p.Name+": "+progress.Error, "tributary profiles test "+p.Name)
	case progress.Failed > 0:
		return warn(check, fmt.Sprintf("%s: %d chunks were refused by the model", p.Name, progress.Failed), "tributary profiles list")
	case progress.Pending > 0:
		return ok(check, "%s: %d chunks wait for their vectors", p.Name, progress.Pending)
	default:
		return ok(check, "%s (%s), every chunk has its vector", p.Name, describeModel(p))
	}
}

func describeModel(p store.Profile) string {
	if p.Local() {
		return "built-in feature hashing, lexical"
	}
	return p.Model
}
