package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/connectors"
	"tributary/internal/audit"
)

// MaxImport is how many rows one import has.
const MaxImport = 100_000

// ImportRow says one thing or several of a reader: its kind, an identity, an
// address, and who it is at the source of a connection.
type ImportRow struct {
	Reader        string                   `json:"reader"`
	Kind          ReaderKind               `json:"kind,omitempty"`
	Issuer        string                   `json:"issuer,omitempty"`
	Subject       string                   `json:"subject,omitempty"`
	Email         string                   `json:"email,omitempty"`
	Connection    string                   `json:"connection,omitempty"`
	PrincipalKind connectors.PrincipalKind `json:"principal_kind,omitempty"`
	PrincipalID   string                   `json:"principal_id,omitempty"`
}

// ImportProblem says what is wrong with a row, counted from 1.
type ImportProblem struct {
	Row     int    `json:"row"`
	Field   string `json:"field"`
	Problem string `json:"problem"`
}

// ImportError says that nothing was imported, and why not.
type ImportError struct{ Problems []ImportProblem }

// shownProblems bounds what an ImportError says in one sentence.
const shownProblems = 5

// Error names the first problems.
func (e *ImportError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "nothing was imported, for %d problems", len(e.Problems))
	for _, p := range e.Problems[:min(len(e.Problems), shownProblems)] {
		fmt.Fprintf(&b, "; row %d, %s: %s", p.Row, p.Field, p.Problem)
	}
	return b.String()
}

// ImportReport counts what an import made; what stood already is not counted.
type ImportReport struct {
	Mapped

	Rows       int   `json:"rows"`
	Readers    int64 `json:"readers"`
	Identities int64 `json:"identities"`
	Emails     int64 `json:"emails"`
	Links      int64 `json:"links"`
}

var errDryRun = errors.New("a dry run changes nothing")

// ImportReaders makes what rows say and records events with it, or nothing at
// all: a row that cannot be is an *ImportError. What stands stays; a dry run only
// counts.
func (s *Store) ImportReaders(ctx context.Context, rows []ImportRow, dryRun bool, events ...audit.Event) (ImportReport, error) {
	im := &importer{rows: rows, report: ImportReport{Rows: len(rows)}}
	if len(rows) == 0 || len(rows) > MaxImport {
		return im.report, &InputError{Field: "rows", Problem: fmt.Sprintf("must be 1 to %d", MaxImport)}
	}
	for i := range rows {
		im.check(i)
	}
	if len(im.problems) > 0 {
		return im.report, &ImportError{im.problems}
	}
	err := s.inTxErr(ctx, "importing readers", func(tx pgx.Tx) error {
		if err := patient(ctx, tx); err != nil {
			return err
		}
		if err := lockEmails(ctx, tx); err != nil {
			return err
		}
		for _, step := range []func(context.Context, pgx.Tx) error{im.readers, im.identities, im.emails, im.links} {
			if err := step(ctx, tx); err != nil {
				return err
			}
			if len(im.problems) > 0 {
				return &ImportError{im.problems}
			}
		}
		var err error
		if im.report.Mapped, err = mapEmails(ctx, tx, im.addresses(), nil); err != nil {
			return err
		}
		if dryRun {
			return errDryRun
		}
		return recordAll(ctx, tx, "import", events)
	})
	if im, ok := errors.AsType[*ImportError](err); ok {
		err = im
	}
	if errors.Is(err, errDryRun) {
		err = nil
	}
	return im.report, err
}

// importer carries one import through its steps. ids are the readers of rows.
type importer struct {
	rows     []ImportRow
	ids      []uuid.UUID
	problems []ImportProblem
	report   ImportReport
}

func (im *importer) bad(row int, field, problem string) {
	im.problems = append(im.problems, ImportProblem{Row: row + 1, Field: field, Problem: problem})
}

// check completes a row and looks at its form.
func (im *importer) check(i int) {
	r := &im.rows[i]
	kind := r.Kind
	if kind == "" {
		kind = Person
	}
	n := NewReader{Name: r.Reader, Kind: kind}
	if r.Issuer != "" || r.Subject != "" {
		n.Identities = []ReaderIdentity{{r.Issuer, r.Subject}}
	}
	if in, ok := errors.AsType[*InputError](n.validate()); ok {
		if in.Field == "name" {
			in.Field = "reader"
		}
		im.bad(i, in.Field, in.Problem)
	}
	if r.Email != "" {
		normal, ok := NormalEmail(r.Email)
		if !ok {
			im.bad(i, "email", badEmail("email").Problem)
		}
		r.Email = normal
	}
	if r.Connection == "" && r.PrincipalKind == "" && r.PrincipalID == "" {
		return
	}
	if r.PrincipalKind == "" {
		r.PrincipalKind = connectors.User
	}
	switch {
	case r.Connection == "":
		im.bad(i, "connection", "is missing: say in whose realm the principal is")
	case !UsableID(r.PrincipalID):
		im.bad(i, "principal_id", "must be the source's own id of the person or group")
	case !r.PrincipalKind.Valid() || r.PrincipalKind == connectors.Key || r.PrincipalKind == connectors.Public:
		im.bad(i, "principal_kind", "must be user, group, domain or anyone")
	}
}

// readers makes those that are missing.
func (im *importer) readers(ctx context.Context, tx pgx.Tx) error {
	names, kinds := make([]string, len(im.rows)), make([]string, len(im.rows))
	for i, r := range im.rows {
		names[i], kinds[i] = r.Reader, string(r.Kind)
	}
	tag, err := tx.Exec(ctx, `
		INSERT INTO reader (name, kind) SELECT n, coalesce(max(nullif(k, '')), 'person') FROM unnest($1::text[], $2::text[]) AS u(n, k) GROUP BY n
		ON CONFLICT (name) DO NOTHING`, names, kinds)
	if err != nil {
		return err
	}
	im.report.Readers = tag.RowsAffected()
	rows, err := tx.Query(ctx, `
		SELECT r.id, r.kind FROM unnest($1::text[]) WITH ORDINALITY AS u(n, i) JOIN reader r ON r.name = u.n ORDER BY u.i`, names)
	if err != nil {
		return err
	}
	var id uuid.UUID
	var kind ReaderKind
	_, err = pgx.ForEachRow(rows, []any{&id, &kind}, func() error {
		if given := im.rows[len(im.ids)].Kind; given != "" && given != kind {
			im.bad(len(im.ids), "kind", "the reader is a "+string(kind)+", here or in another row")
		}
		im.ids = append(im.ids, id)
		return nil
	})
	return err
}

func (im *importer) identities(ctx context.Context, tx pgx.Tx) error {
	var at []int
	var issuers, subjects []string
	var readers []uuid.UUID
	for i, r := range im.rows {
		if r.Issuer != "" {
			at, issuers, subjects, readers = append(at, i), append(issuers, r.Issuer), append(subjects, r.Subject), append(readers, im.ids[i])
		}
	}
	tag, err := tx.Exec(ctx, `
		INSERT INTO reader_identity (issuer, subject, reader_id, how)
		SELECT i, s, r, 'import' FROM unnest($1::text[], $2::text[], $3::uuid[]) AS u(i, s, r) ON CONFLICT DO NOTHING`, issuers, subjects, readers)
	if err != nil {
		return err
	}
	im.report.Identities = tag.RowsAffected()
	rows, err := tx.Query(ctx, `
		SELECT u.n, r.name FROM unnest($1::text[], $2::text[], $3::uuid[]) WITH ORDINALITY AS u(i, s, r, n)
		JOIN reader_identity d ON d.issuer = u.i AND d.subject = u.s AND d.reader_id <> u.r JOIN reader r ON r.id = d.reader_id ORDER BY u.n`,
		issuers, subjects, readers)
	if err != nil {
		return err
	}
	var n int
	var whose string
	_, err = pgx.ForEachRow(rows, []any{&n, &whose}, func() error {
		im.bad(at[n-1], "subject", "the identity is that of reader "+whose)
		return nil
	})
	return err
}

// addresses are those of the rows.
func (im *importer) addresses() []string {
	all := []string{}
	for _, r := range im.rows {
		if r.Email != "" {
			all = append(all, r.Email)
		}
	}
	return all
}

func (im *importer) emails(ctx context.Context, tx pgx.Tx) error {
	emails := make([]string, len(im.rows))
	for i, r := range im.rows {
		emails[i] = r.Email
	}
	tag, err := tx.Exec(ctx, `
		INSERT INTO reader_email (reader_id, email, how)
		SELECT r, e, 'import' FROM unnest($1::uuid[], $2::text[]) AS u(r, e) WHERE e <> '' ON CONFLICT DO NOTHING`, im.ids, emails)
	im.report.Emails = tag.RowsAffected()
	return err
}

// links links readers in the realms of the connections.
func (im *importer) links(ctx context.Context, tx pgx.Tx) error {
	realms := map[string]*int64{}
	of := map[int64][]int{}
	for i, r := range im.rows {
		if r.Connection == "" {
			continue
		}
		realm, known := realms[r.Connection]
		if !known {
			err := tx.QueryRow(ctx, `SELECT realm_id FROM connection WHERE name = $1 OR id::text = $1`, r.Connection).Scan(&realm)
			if errors.Is(err, pgx.ErrNoRows) {
				im.bad(i, "connection", "there is no such connection")
				continue
			}
			if err != nil {
				return err
			}
			realms[r.Connection] = realm
		}
		if realm == nil {
			im.bad(i, "connection", "the connection does not know its realm yet; sync it once")
			continue
		}
		of[*realm] = append(of[*realm], i)
	}
	for _, realm := range slices.Sorted(maps.Keys(of)) {
		rows := of[realm]
		ps, readers := make([]connectors.Principal, len(rows)), make([]uuid.UUID, len(rows))
		for n, i := range rows {
			ps[n], readers[n] = connectors.Principal{Kind: im.rows[i].PrincipalKind, ID: im.rows[i].PrincipalID}, im.ids[i]
		}
		ids, err := principalIDs(ctx, tx, realm, ps)
		if err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `
			INSERT INTO reader_principal AS l (reader_id, principal_id, how) SELECT DISTINCT r, p, 'import' FROM unnest($1::uuid[], $2::bigint[]) AS u(r, p)
			ON CONFLICT (reader_id, principal_id) DO UPDATE SET how = excluded.how WHERE l.how = 'email'`, readers, ids)
		if err != nil {
			return err
		}
		im.report.Links += tag.RowsAffected()
	}
	return nil
}
