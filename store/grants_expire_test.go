package store_test

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"tributary/internal/pgtest"
)

// TestExpiredConnectionHidesByChoice: from its time on a connection's documents are hidden where that was chosen, and
// kept where not.
func TestExpiredConnectionHidesByChoice(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	rows := mustStore(t, f, twoReaders())
	for _, c := range []struct {
		expires, then string
		want          int
	}{{"NULL", "hide", 2}, {"clock() + interval '1 minute'", "hide", 2}, {"clock()", "hide", 0}, {"clock()", "keep", 2}} {
		f.db.MustExec(t, `UPDATE connection SET at_expiry = $1, expires_at = `+c.expires, c.then)
		err := pgx.BeginFunc(t.Context(), f.db.Pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(t.Context(), `SELECT set_config('tributary.reader', $1, true)`, rows.readers[1].String()); err != nil {
				return err
			}
			var n int
			if err := tx.QueryRow(t.Context(), countVisible).Scan(&n); err != nil {
				return err
			}
			if n != c.want {
				t.Errorf("expires %s, %s: %d documents, want %d", c.expires, c.then, n, c.want)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if n := pgtest.Scalar[int](t, f.db, `SELECT count(*)::int FROM document WHERE hidden_reason IS NOT NULL`); n != 0 {
		t.Errorf("%d documents were changed", n)
	}
}
