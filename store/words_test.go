package store_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"tributary/internal/pgtest"
	"tributary/store"
)

// TestSearchWords: what text search gets to see of text without spaces.
func TestSearchWords(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	for _, c := range []struct{ name, text, stored, asked string }{
		{"ascii stays", "PostgreSQL 15, e-mail", "PostgreSQL 15, e-mail", "PostgreSQL 15, e-mail"},
		{"letters of other alphabets stay", "Übergröße, où, файл", "Übergröße, où, файл", "Übergröße, où, файл"},
		{"pairs", "机器学习", "  机器 器学 学习 习 ", "  机器 器学 学习 "},
		{"one letter", "猫", "  猫 ", "  猫 "},
		{"one letter twice", "人人", "  人人 人 ", "  人人 "},
		{"beside other letters", "用SQL的表x猫y", "  用 SQL  的表 表 x  猫 y", "  用 SQL  的表 x  猫 y"},
		{"punctuation ends a run", "数据。备份", "  数据 据 。  备份 份 ", "  数据 。  备份 "},
		{"a line break does not", "数据\n备份", "  数据 据备 备份 份 ", "  数据 据备 备份 "},
		{"a paragraph does", "数据\n\n备份", "  数据 据 \n\n  备份 份 ", "  数据 \n\n  备份 "},
		{"kana", "サーバーの", "  サー ーバ バー ーの の ", "  サー ーバ バー ーの "},
		{"half width", "ｻｰﾊﾞ ＡＢＣ１", "  サー ーバ バ  ABC1", "  サー ーバ  ABC1"},
		{"marks stay with their letter", "ที่นี่", "  ที่นี่ นี่ ", "  ที่นี่ "},
		{"invisible separators", "ខ្ញុំ\u200bស្រី", "  ខ្ញុំ ញុំស្ ស្រី រី ", "  ខ្ញុំ ញុំស្ ស្រី "},
		{"words of Korean", "학교에 간다", "  학교 교에 에    간다 다 ", "  학교 교에    간다 "},
	} {
		var stored, asked string
		if err := db.Pool.QueryRow(context.Background(), `SELECT search_words($1, true), search_words($1, false)`, c.text).Scan(&stored, &asked); err != nil {
			t.Fatal(err)
		}
		if stored != c.stored || asked != c.asked {
			t.Errorf("%s: %q is stored as %q and asked as %q, want %q and %q", c.name, c.text, stored, asked, c.stored, c.asked)
		}
	}
}

// TestEveryLetterIsIndexed: PostgreSQL's parser takes every pair for a word,
// whatever letters it is made of.
func TestEveryLetterIsIndexed(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	lost := pgtest.Scalar[int](t, db, `
		SELECT count(*) FROM (VALUES (13312, 19903), (19968, 40959), (44032, 55203), (12353, 12438), (12449, 12538), (12540, 12543),
			(3585, 3642), (3648, 3662), (4096, 4138), (6016, 6067), (131072, 173781)) r (low, high), generate_series(low, high, 3) i
		WHERE NOT EXISTS (SELECT FROM unnest(to_tsvector('simple', search_words('人' || chr(i) || '人', true))) u WHERE starts_with(u.lexeme, '人' || chr(i)))`)
	if lost != 0 {
		t.Errorf("%d letters are not in any word", lost)
	}
}

// TestMigratingRebuildsWords: chunks of before get the vectors of this release,
// once, and the others are not written.
func TestMigratingRebuildsWords(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.MustExec(t, `INSERT INTO chunk (document_id, id, identity, text, context, heading_path, tokens, lang)
		SELECT gen_random_uuid(), i, '', CASE i % 2 WHEN 0 THEN '机器学习' ELSE 'machine learning' END, '', '{}', 1, 'simple' FROM generate_series(1, 20) i`)
	conn := connectSuper(t, db)
	var body string
	if err := conn.QueryRow(context.Background(), `SELECT pg_get_functiondef('tributary.to_tsv'::regproc)`).Scan(&body); err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		`CREATE OR REPLACE FUNCTION tributary.to_tsv(lang text, txt text) RETURNS tsvector LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS 'SELECT to_tsvector(''simple'', txt)'`,
		`UPDATE tributary.chunk SET lang = lang`, body, `DELETE FROM tributary.setting WHERE key = 'chunk.words'`,
		`CREATE TABLE public.before AS SELECT document_id, xmin::text AS x FROM tributary.chunk`,
	} {
		if _, err := conn.Exec(context.Background(), sql); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if _, err := store.Migrate(context.Background(), db.SuperURL, store.MigrateOptions{RolePrefix: pgtest.RolePrefix()}); err != nil {
			t.Fatal(err)
		}
		var found, written int
		err := conn.QueryRow(context.Background(), `
			SELECT count(*) FILTER (WHERE c.tsv @@ '学习'::tsquery), count(*) FILTER (WHERE c.xmin::text <> b.x)
			FROM tributary.chunk c JOIN public.before b USING (document_id)`).Scan(&found, &written)
		if err != nil || found != 10 || written != 10 {
			t.Fatalf("%d chunks are found and %d were written, want 10 and 10: %v", found, written, err)
		}
	}
}

func connectSuper(tb testing.TB, db *pgtest.DB) *pgx.Conn {
	tb.Helper()
	conn, err := pgx.Connect(context.Background(), db.SuperURL)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}
