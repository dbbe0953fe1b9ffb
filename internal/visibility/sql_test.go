package visibility

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/internal/oracle"
	"tributary/internal/pgtest"
	"tributary/store"
)

// login is an SQL login. It is mapped to whom it asks for, and says that it is
// somebody else.
type login struct {
	r    *rig
	name string
	conn *pgx.Conn
}

func newLogin(r *rig) *login {
	r.tb.Helper()
	l := &login{r: r, name: "tributary_test_login_" + r.db.Name}
	super, err := pgx.Connect(r.tb.Context(), r.db.SuperURL)
	r.must(err)
	exec := func(sql string) {
		if _, err := super.Exec(context.Background(), sql); err != nil {
			r.tb.Errorf("%s: %v", sql, err)
		}
	}
	exec(`CREATE ROLE ` + l.name + ` LOGIN PASSWORD 'test' IN ROLE ` + pgtest.RolePrefix() + `_reader`)
	r.tb.Cleanup(func() {
		exec(`DROP OWNED BY ` + l.name)
		exec(`DROP ROLE ` + l.name)
		super.Close(context.Background())
	})
	u, err := url.Parse(r.db.URL)
	r.must(err)
	u.User = url.UserPassword(l.name, "test")
	l.conn, err = pgx.Connect(r.tb.Context(), u.String())
	r.must(err)
	r.tb.Cleanup(func() { l.conn.Close(context.Background()) })
	return l
}

// ask asks every function that SQL logins have, mapped to a reader or (-1) to
// nobody.
func (l *login) ask(reader int, total *tally) error {
	a := l.r.asked(oracle.Asker{Reader: reader, Key: -1}, total)
	l.r.db.MustExec(l.r.tb, `DELETE FROM sql_login`)
	if reader >= 0 {
		l.r.db.MustExec(l.r.tb, `INSERT INTO sql_login VALUES ($1, $2)`, l.name, l.r.readers[reader])
	}
	if err := l.forge(); err != nil {
		return err
	}
	for _, ask := range []func(*asking) error{l.sets, l.count, l.byID} {
		if err := ask(a); err != nil {
			return err
		}
	}
	return nil
}

// forge sets the identity that the service's own login would be believed.
func (l *login) forge() error {
	other, key, principals := "", "", ""
	switch l.r.rng.IntN(4) {
	case 0:
		key = pick(l.r, l.r.keys).id.String()
	case 1:
		principals = "{1,2,3,4,5,6,7,8,9}"
	default:
		other = pick(l.r, l.r.readers).String()
	}
	_, err := l.conn.Exec(l.r.tb.Context(), `SELECT set_config('tributary.reader', $1, false), set_config('tributary.key', $2, false), set_config('tributary.principals', $3, false)`,
		other, key, principals)
	return err
}

// sets asks for everything at once.
func (l *login) sets(a *asking) error {
	for name, sql := range map[string]string{
		"keyword": `search('common words', NULL, NULL, 'keyword', 1000)`,
		"vector":  fmt.Sprintf(`search(NULL, '[1,2,3,4]', %d::smallint, 'vector', 1000)`, l.r.profile),
		"list":    `visible_list('{}', NULL, 1000)`,
		"export":  `visible_export('{}', NULL, 1000, 1 << 30)`,
	} {
		rows, err := l.conn.Query(l.r.tb.Context(), `SELECT document_id FROM tributary.`+sql)
		if err != nil {
			return err
		}
		ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
		if err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
		var got map[uuid.UUID]int
		if reader := a.who.Reader; reader >= 0 || len(ids) > 0 {
			got = map[uuid.UUID]int{}
		}
		for _, id := range ids {
			got[id]++
		}
		if err := a.set("SQL "+name, store.RightSearch, strings.HasPrefix(sql, "search"), got); err != nil {
			return err
		}
	}
	return nil
}

func (l *login) count(a *asking) error {
	var got, want struct{ documents, chunks int }
	if err := l.conn.QueryRow(l.r.tb.Context(), `SELECT documents, chunks FROM tributary.visible_count('{}')`).Scan(&got.documents, &got.chunks); err != nil {
		return err
	}
	for _, x := range l.r.docs {
		if a.sees[x.id] {
			want.documents++
			want.chunks += x.chunks
		}
	}
	if got != want {
		return differs("%+v; SQL counted %+v", want, got)
	}
	return nil
}

// byID asks for a document that is visible, and one for each edge that keeps
// one.
func (l *login) byID(a *asking) error {
	drawn := map[string]bool{}
	for _, d := range l.r.rng.Perm(len(l.r.docs)) {
		x, kind := l.r.docs[d], strings.Join(a.against[d], ", ")
		if len(a.against[d]) > 1 || drawn[kind] {
			continue
		}
		drawn[kind] = true
		for sql, rows := range map[string]int{
			`document($1)`: 1, `document_text($1)`: 1, `document_chunks($1)`: x.chunks, `chunk($1, 0)`: 1, `neighbours($1, 0, 9, 9)`: x.chunks - 1,
			`section($1, 0, 1000)`: 1, `lineage($1, 0)`: 1, fmt.Sprintf(`embeddings(%d::smallint, ARRAY[$1::uuid], ARRAY[0])`, l.r.profile): 1,
		} {
			if len(a.against[d]) > 0 {
				rows = 0
			}
			var got int
			if err := l.conn.QueryRow(l.r.tb.Context(), `SELECT count(*) FROM tributary.`+sql, x.id).Scan(&got); err != nil {
				return fmt.Errorf("%s: %w", sql, err)
			}
			name, _, _ := strings.Cut(sql, "(")
			if got != rows {
				return differs("document %d has %d rows %v; SQL %s gave %d", d, rows, a.against[d], name, got)
			}
			a.note("SQL "+name, d)
		}
	}
	return nil
}
