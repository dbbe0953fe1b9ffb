package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"github.com/jackc/pgx/v5"

	"tributary/internal/chunk"
	"tributary/internal/embed"
	"tributary/internal/extract"
	"tributary/jobs"
)

type file struct {
	path string
	body []byte
}

func readAll(dir string) ([]file, int64, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, 0, fmt.Errorf("reading documents: %w", err)
	}
	defer func() { _ = root.Close() }()
	var files []file
	var size int64
	err = fs.WalkDir(root.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		body, err := root.ReadFile(path)
		files = append(files, file{path, body})
		size += int64(len(body))
		return err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("reading documents: %w", err)
	}
	return files, size, nil
}

// parseLimit extracts and chunks documents that are in memory already: first
// in one thread, then with embedding in two.
func parseLimit(ctx context.Context, dir string) ([]sample, error) {
	files, size, err := readAll(dir)
	if err != nil {
		return nil, err
	}
	x := extract.New(extract.Config{})
	one := sample{Name: rowParse, Documents: len(files), Bytes: size}
	m, err := startMeter(0)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		chunks, err := split(ctx, x, f)
		if err != nil {
			return nil, err
		}
		one.Chunks += len(chunks)
	}
	if err := m.stop(&one); err != nil {
		return nil, err
	}
	two, err := parseEmbed(ctx, x, files)
	two.Bytes = size
	return []sample{one, two}, err
}

func parseEmbed(ctx context.Context, x *extract.Extractor, files []file) (sample, error) {
	const threads = 2
	model := embed.Hashing{Dimensions: jobs.BuiltinProfile().Dimensions}
	out := sample{Name: rowParseEmbed, Documents: len(files)}
	m, err := startMeter(0)
	if err != nil {
		return out, err
	}
	var wg sync.WaitGroup
	var counts [threads]int
	var errs [threads]error
	for n := range threads {
		wg.Go(func() {
			for i := n; i < len(files); i += threads {
				chunks, err := split(ctx, x, files[i])
				inputs := make([]string, len(chunks))
				for j, c := range chunks {
					inputs[j] = chunk.Input(c.Context, c.Text)
				}
				if err == nil {
					_, err = model.Embed(ctx, inputs)
				}
				if err != nil {
					errs[n] = err
					return
				}
				counts[n] += len(chunks)
			}
		})
	}
	wg.Wait()
	for n := range threads {
		if errs[n] != nil {
			return out, errs[n]
		}
		out.Chunks += counts[n]
	}
	return out, m.stop(&out)
}

func split(ctx context.Context, x *extract.Extractor, f file) ([]chunk.Chunk, error) {
	r, err := x.Extract(ctx, extract.Input{Name: f.path, MediaType: "text/html", Body: f.body})
	if err != nil {
		return nil, fmt.Errorf("extracting %s: %w", f.path, err)
	}
	return chunk.Split(r.Text, nil, chunk.Config{}), nil
}

// copied are the tables that hold a document, with the columns that are written.
type copied struct{ table, columns string }

func copiedTables() []copied {
	return []copied{
		{"document", "*"},
		{"revision", "*"},
		{"chunk", "document_id, id, identity, text, context, heading_path, tokens, lang"},
		{"vec_1", "*"},
	}
}

// copyLimit writes the rows that the pipeline wrote into another database, with
// one COPY for each table in one transaction: the rows are ready in memory in
// the server's own binary form, so that nothing is left to do but to store and
// index them.
func copyLimit(ctx context.Context) ([]sample, error) {
	rows, chunks, documents, err := dump(ctx, os.Getenv(envSource))
	if err != nil {
		return nil, err
	}
	conn, err := pgx.Connect(ctx, os.Getenv(envSuper))
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, `CHECKPOINT`); err != nil {
		return nil, fmt.Errorf("settling the server: %w", err)
	}
	s := sample{Name: taskCopy, Documents: int(documents), Chunks: int(chunks)}
	m, err := startMeter(postmaster())
	if err != nil {
		return nil, err
	}
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		for i, t := range copiedTables() {
			columns := ""
			if t.columns != "*" {
				columns = "(" + t.columns + ")"
			}
			_, err := conn.PgConn().CopyFrom(ctx, bytes.NewReader(rows[i]), "COPY tributary."+t.table+columns+" FROM STDIN (FORMAT binary)")
			if err != nil {
				return fmt.Errorf("copying %s: %w", t.table, err)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = m.stop(&s)
	return []sample{s}, err
}

// dump reads the rows of every copied table in the order in which they lie.
func dump(ctx context.Context, url string) (rows [][]byte, chunks, documents int64, err error) { //nolint:nonamedreturns // two counts
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, 0, 0, fmt.Errorf("connecting: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	for _, t := range copiedTables() {
		var b bytes.Buffer
		tag, err := conn.PgConn().CopyTo(ctx, &b, "COPY (SELECT "+t.columns+" FROM tributary."+t.table+" ORDER BY ctid) TO STDOUT (FORMAT binary)")
		if err != nil {
			return nil, 0, 0, fmt.Errorf("reading rows of %s: %w", t.table, err)
		}
		rows = append(rows, b.Bytes())
		switch t.table {
		case "chunk":
			chunks = tag.RowsAffected()
		case "document":
			documents = tag.RowsAffected()
		}
	}
	return rows, chunks, documents, nil
}
