package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5"

	"tributary/store"
)

// Keyword search is at most so much slower than the plain statement, in one way
// or the other.
const (
	wordsRatio = 1.5
	wordsMore  = 3 * time.Millisecond
)

// wordClass is words by the share of chunks they stand in: the n-th word is
// about n times rarer than the first.
type wordClass struct {
	name      string
	low, high int
}

// wordsBench is a corpus of 10 chunks a document, and readers of whom the n-th
// sees every 10^n-th document.
type wordsBench struct {
	store   *store.Store
	conn    *pgx.Conn
	readers []store.Identity
}

// runWords compares keyword search of two words with ts_rank over the same
// visible chunks, and returns how many classes are slower than the bar.
func runWords(ctx context.Context, o options) (missed int, err error) { //nolint:nonamedreturns // says what the number is
	s, err := startServer(ctx, o.buffers)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.stop(ctx)) }()
	db, err := s.database(ctx, false)
	if err != nil {
		return 0, err
	}
	b := &wordsBench{}
	st, stop, err := s.openStore(ctx, db)
	if err != nil {
		return 0, err
	}
	defer stop()
	b.store = st
	if b.conn, err = pgx.Connect(ctx, s.pg.SuperuserURL(db)); err != nil {
		return 0, fmt.Errorf("connecting to scratch PostgreSQL: %w", err)
	}
	defer func() { _ = b.conn.Close(context.WithoutCancel(ctx)) }()
	chunks, err := strconv.Atoi(cmp.Or(os.Getenv("SCALE"), "80000"))
	if err != nil || chunks < 10_000 {
		return 0, fmt.Errorf("reading SCALE: %q must be a number of chunks, 10,000 at least", os.Getenv("SCALE"))
	}
	if err := b.fill(ctx, chunks/10); err != nil {
		return 0, err
	}
	return b.measure(ctx, os.Stdout)
}

func (b *wordsBench) fill(ctx context.Context, documents int) error {
	for _, sql := range []string{
		`SET search_path = tributary, public`,
		`SELECT setseed(0.5)`,
		`INSERT INTO realm (id, source, external_id) OVERRIDING SYSTEM VALUE VALUES (1, 'bench', 'bench')`,
		`INSERT INTO connection (id, name, source, realm_id, permissions_as_of, max_permission_age) VALUES (gen_random_uuid(), 'bench', 'bench', 1, clock(), '10 years')`,
		`INSERT INTO principal (id, realm_id, kind, external_id) OVERRIDING SYSTEM VALUE SELECT n, 1, 'user', n::text FROM generate_series(1, 4) n`,
		`INSERT INTO acl_set (id, hash, need_mask) SELECT n, int4send(n), 2 FROM generate_series(1, 4) n`,
		`INSERT INTO acl_entry SELECT s, p, 1 FROM generate_series(1, 4) s, generate_series(1, s) p`,
		fmt.Sprintf(`INSERT INTO document (id, connection_id, external_id, source_revision, content_hash, revision, title, url, path, container, kind,
			media_type, lang, author, metadata, acl_set_id, acl_version, chunk_count, next_chunk_id, created_at, updated_at)
		SELECT gen_random_uuid(), c.id, i::text, '', '', 1, '', '', '', '', 'file', 'text/plain', 'english', '', '{}',
		  CASE WHEN i %% 1000 = 0 THEN 4 WHEN i %% 100 = 0 THEN 3 WHEN i %% 10 = 0 THEN 2 ELSE 1 END, 1, 10, 11, now(), now()
		FROM connection c, generate_series(1, %d) i`, documents),
		`INSERT INTO revision SELECT id, 1, '', '', id, '', '', now(), '', '{1,2,3,4,5,6,7,8,9,10}', array_fill(0, '{10}'), array_fill(0, '{10}'), array_fill(0, '{10}'), array_fill(0, '{10}') FROM document`,
		fmt.Sprintf(`INSERT INTO chunk (document_id, id, identity, text, context, heading_path, tokens, lang)
		SELECT d.id, n, '', string_agg('w' || floor(exp(random() * ln(%d)))::int, ' '), '', '{}', 100, 'english'
		FROM document d, generate_series(1, 10) n, generate_series(1, 100) w GROUP BY d.id, n`, wordsVocabulary),
		`VACUUM ANALYZE`,
	} {
		if _, err := b.conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("preparing the corpus: %w", err)
		}
	}
	for n := range 4 {
		r, err := b.store.CreateReader(ctx, "reader"+strconv.Itoa(n), store.Person)
		if err != nil {
			return fmt.Errorf("preparing readers: %w", err)
		}
		if _, err := b.conn.Exec(ctx, `INSERT INTO reader_principal (reader_id, principal_id, how) VALUES ($1, $2, 'manual')`, r.ID, n+1); err != nil {
			return fmt.Errorf("preparing readers: %w", err)
		}
		who, err := b.store.AsReader(ctx, r.ID)
		if err != nil {
			return fmt.Errorf("preparing readers: %w", err)
		}
		b.readers = append(b.readers, who)
	}
	return nil
}

// wordsVocabulary is how many words there are.
const wordsVocabulary = 20_000

// measure asks both ways in turn and prints medians.
func (b *wordsBench) measure(ctx context.Context, w io.Writer) (missed int, err error) { //nolint:nonamedreturns // says what the number is
	const questions = 31
	rnd := rand.New(rand.NewPCG(3, 9)) //nolint:gosec // the same questions in every run
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(out, "words\tvisible\tplain ms\tsearch ms\tratio\t")
	for _, c := range []wordClass{{"rare", 11_000, 20_000}, {"mid", 500, 10_000}, {"common", 40, 190}} {
		for n, reader := range b.readers {
			var plain, ours []time.Duration
			for i := range questions + 1 {
				query := fmt.Sprintf("w%d w%d", c.low+rnd.IntN(c.high-c.low), c.low+rnd.IntN(c.high-c.low))
				p, err := b.plain(ctx, n, query)
				if err != nil {
					return 0, err
				}
				began := time.Now()
				if _, err := b.store.Search(ctx, reader, store.SearchRequest{Query: query, Mode: store.Keyword}); err != nil {
					return 0, fmt.Errorf("searching: %w", err)
				}
				if i > 0 { // the first warms up
					plain, ours = append(plain, p), append(ours, time.Since(began))
				}
			}
			p, o := medianTime(plain), medianTime(ours)
			verdict := ""
			if o > p+wordsMore && float64(o) > wordsRatio*float64(p) {
				missed++
				verdict = "MISSED"
			}
			_, _ = fmt.Fprintf(out, "%s\t%s %%\t%.2f\t%.2f\t%.2f\t%s\n", c.name, []string{"100", "10", "1", "0.1"}[n], 1000*p.Seconds(), 1000*o.Seconds(), float64(o)/float64(p), verdict)
		}
	}
	_, _ = fmt.Fprintf(out, "bar: at most %.1f times the plain statement, or %v more\n", wordsRatio, wordsMore)
	return missed, out.Flush()
}

// plain is the shortest statement that ranks what the n-th reader sees.
func (b *wordsBench) plain(ctx context.Context, n int, query string) (time.Duration, error) {
	began := time.Now()
	rows, err := b.conn.Query(ctx, `
		SELECT c.document_id, c.id, c.text, d.title FROM chunk c JOIN document d ON d.id = c.document_id, CAST(replace($1, ' ', ' | ') AS tsquery) q
		WHERE c.tsv @@ q AND d.hidden_reason IS NULL AND d.acl_set_id = ANY ($2)
		ORDER BY ts_rank(c.tsv, q) DESC LIMIT 10`, query, []int64{1, 2, 3, 4}[n:])
	if err != nil {
		return 0, fmt.Errorf("asking plainly: %w", err)
	}
	rows.Close()
	return time.Since(began), rows.Err()
}

func medianTime(list []time.Duration) time.Duration {
	slices.Sort(list)
	return list[len(list)/2]
}
