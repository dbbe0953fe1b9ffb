package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/pgvector/pgvector-go"

	"tributary/store"
)

// vocabulary is how many words there are; the n-th is about n times rarer than
// the first.
const vocabulary = 20_000

// fill stores readers, permissions, documents and vectors, and builds the
// vector index afterwards.
func (b *searchBench) fill(ctx context.Context) error {
	began := time.Now()
	rnd := rand.New(rand.NewPCG(5, 7)) //nolint:gosec // as in newClasses
	b.centres = make([][]float32, topics)
	for i := range b.centres {
		b.centres[i] = gaussian(rnd, nil, 1)
	}
	if err := b.fillReaders(ctx); err != nil {
		return err
	}
	documents := b.scale / chunksPerDoc
	ids, kindOf, topicOf := make([]uuid.UUID, documents), make([]int, documents), make([]int, documents)
	for i := range ids {
		ids[i], kindOf[i], topicOf[i] = randomID(rnd), rnd.IntN(kinds), rnd.IntN(topics)
	}
	sets, err := b.fillSets(ctx, kindOf, topicOf)
	if err != nil {
		return err
	}
	if err := b.copyRows(ctx, rnd, ids, topicOf, sets); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%d documents, %d chunks stored in %.0f s\n", documents, b.scale, time.Since(began).Seconds())
	began = time.Now()
	err = b.exec(ctx, `SET max_parallel_maintenance_workers = 2`,
		`CREATE INDEX vec_1_hnsw ON tributary.vec_1 USING hnsw (v public.halfvec_cosine_ops)`, `VACUUM ANALYZE`)
	fmt.Fprintf(os.Stderr, "HNSW built in %.0f s\n", time.Since(began).Seconds())
	return err
}

// randomID is what uuid.New would make, drawn from rnd.
func randomID(rnd *rand.Rand) uuid.UUID {
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[:8], rnd.Uint64())
	binary.BigEndian.PutUint64(id[8:], rnd.Uint64())
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return id
}

// gaussian returns a vector around centre, or around the origin.
func gaussian(rnd *rand.Rand, centre []float32, deviation float64) []float32 {
	v := make([]float32, searchDimensions)
	for i := range v {
		v[i] = float32(deviation * rnd.NormFloat64())
		if centre != nil {
			v[i] += centre[i]
		}
	}
	return v
}

// The principals of class n: a user, a team, and the three groups that ACLs
// name. Every user is in 20 other groups besides.
const (
	principalsPerClass = 5
	otherGroups        = 20
)

func allowGroup(n int) int64  { return int64(100 + n*principalsPerClass + 2) }
func clauseGroup(n int) int64 { return int64(100 + n*principalsPerClass + 3) }
func denyGroup(n int) int64   { return int64(100 + n*principalsPerClass + 4) }

func (b *searchBench) fillReaders(ctx context.Context) error {
	err := b.exec(ctx, `SET search_path = tributary, public`,
		`INSERT INTO realm (id, source, external_id) OVERRIDING SYSTEM VALUE VALUES (1, 'bench', 'bench')`,
		`INSERT INTO connection (id, name, source, realm_id, permissions_as_of, max_permission_age) VALUES ('00000000-0000-4000-8000-000000000001', 'bench', 'bench', 1, clock(), '10 years')`,
		fmt.Sprintf(`INSERT INTO principal (id, realm_id, kind, external_id) OVERRIDING SYSTEM VALUE SELECT n, 1, CASE WHEN n >= 100 AND n %% %d = 0 THEN 'user' ELSE 'group' END, 'p' || n FROM generate_series(1, %d) n`,
			principalsPerClass, 99+principalsPerClass*len(b.classes)))
	if err != nil {
		return err
	}
	for n, c := range b.classes {
		r, err := b.store.CreateReader(ctx, "reader"+strconv.Itoa(n), store.Person)
		if err != nil {
			return fmt.Errorf("preparing readers: %w", err)
		}
		c.reader = r.ID
		user := int64(100 + n*principalsPerClass)
		err = b.exec(ctx, fmt.Sprintf(`INSERT INTO reader_principal (reader_id, principal_id, how) VALUES ('%s', %d, 'manual')`, r.ID, user),
			fmt.Sprintf(`INSERT INTO membership SELECT '00000000-0000-4000-8000-000000000001'::uuid, m, g
				FROM (VALUES (%[1]d, %[1]d + 1), (%[1]d + 1, %[1]d + 2), (%[1]d + 1, %[1]d + 3), (%[1]d, %[1]d + 4)) x (m, g)
				UNION ALL SELECT '00000000-0000-4000-8000-000000000001'::uuid, %[1]d, g FROM generate_series(1, %[2]d) g`, user, otherGroups))
		if err != nil {
			return err
		}
	}
	return nil
}

// fillSets interns the ACLs that documents of these kinds and topics have, and
// returns each document's.
func (b *searchBench) fillSets(ctx context.Context, kindOf, topicOf []int) ([]int64, error) {
	known := map[string]int64{}
	sets := make([]int64, len(kindOf))
	var rows, entries [][]any
	for i := range kindOf {
		standings := make([]standing, len(b.classes))
		for n, c := range b.classes {
			standings[n] = c.of(kindOf[i], topicOf[i])
		}
		key := string(standings)
		id, ok := known[key]
		if !ok {
			id = int64(len(known) + 1)
			known[key] = id
			rows = append(rows, []any{id, []byte(key), int64(6)})
			entries = append(entries, entriesOf(id, standings)...)
		}
		sets[i] = id
	}
	fmt.Fprintf(os.Stderr, "%d ACLs with %d entries\n", len(rows), len(entries))
	if err := b.copyTo(ctx, "acl_set", []string{"id", "hash", "need_mask"}, pgx.CopyFromRows(rows)); err != nil {
		return nil, err
	}
	return sets, b.copyTo(ctx, "acl_entry", []string{"set_id", "principal_id", "clause"}, pgx.CopyFromRows(entries))
}

// entriesOf are the entries of an ACL of two clauses and denials. Groups that
// nobody here is in stand among them.
func entriesOf(set int64, standings []standing) [][]any {
	list := [][]any{{set, int64(90), int16(1)}, {set, int64(91), int16(2)}, {set, int64(92), int16(0)}}
	for n, s := range standings {
		if s != stranger {
			list = append(list, []any{set, allowGroup(n), int16(1)})
		}
		if s == visible || s == denied {
			list = append(list, []any{set, clauseGroup(n), int16(2)})
		}
		if s == denied {
			list = append(list, []any{set, denyGroup(n), int16(0)})
		}
	}
	return list
}

func (b *searchBench) copyTo(ctx context.Context, table string, columns []string, rows pgx.CopyFromSource) error {
	_, err := b.super.CopyFrom(ctx, pgx.Identifier{"tributary", table}, columns, rows)
	if err != nil {
		return fmt.Errorf("storing %s: %w", table, err)
	}
	return nil
}

// copyRows stores documents, revisions, chunks and vectors.
func (b *searchBench) copyRows(ctx context.Context, rnd *rand.Rand, ids []uuid.UUID, topicOf []int, sets []int64) error {
	connection := uuid.MustParse("00000000-0000-4000-8000-000000000001")
	at := time.Now()
	texts := make([]string, chunksPerDoc*len(ids))
	words := rand.NewZipf(rnd, 1.1, 2, vocabulary-1)
	for i := range texts {
		texts[i] = sentence(words)
	}
	err := b.copyTo(ctx, "document", []string{
		"id", "connection_id", "external_id", "source_revision", "content_hash", "revision", "title", "url", "path", "container", "kind", "media_type", "lang",
		"author", "metadata", "acl_set_id", "acl_version", "chunk_count", "next_chunk_id", "created_at", "updated_at",
	}, pgx.CopyFromSlice(len(ids), func(i int) ([]any, error) {
		name := strconv.Itoa(i)
		return []any{
			ids[i], connection, name, "1",
			[]byte{1},
			1, "document " + name, "https://bench.invalid/" + name, "t" + strconv.Itoa(topicOf[i]) + "/" + name, "", "page", "text/plain", "english",
			"",
			map[string]string{},
			sets[i], 1, chunksPerDoc, chunksPerDoc + 1, at, at,
		}, nil
	}))
	if err != nil {
		return err
	}
	err = b.copyTo(ctx, "revision", []string{
		"document_id", "number", "source_revision", "content_hash", "run_id", "extractor", "chunker", "created_at", "text", "chunk_ids", "starts", "ends", "starts_cp", "ends_cp",
	}, pgx.CopyFromSlice(len(ids), func(i int) ([]any, error) {
		text, order, starts, ends := layout(texts[i*chunksPerDoc : (i+1)*chunksPerDoc])
		return []any{ids[i], 1, "1", []byte{1}, uuid.Nil, "", "", at, text, order, starts, ends, starts, ends}, nil
	}))
	if err != nil {
		return err
	}
	err = b.copyTo(ctx, "chunk", []string{"document_id", "id", "identity", "text", "context", "heading_path", "tokens", "lang"},
		pgx.CopyFromSlice(len(texts), func(i int) ([]any, error) {
			return []any{ids[i/chunksPerDoc], i%chunksPerDoc + 1, []byte(strconv.Itoa(i % chunksPerDoc)), texts[i], "", []string{}, 30, "english"}, nil
		}))
	if err != nil {
		return err
	}
	return b.copyTo(ctx, "vec_1", []string{"document_id", "chunk_id", "input_hash", "v"}, pgx.CopyFromSlice(len(texts), func(i int) ([]any, error) {
		d := i / chunksPerDoc
		return []any{ids[d], i%chunksPerDoc + 1, []byte(strconv.Itoa(i)), pgvector.NewHalfVector(gaussian(rnd, b.centres[topicOf[d]], noise))}, nil
	}))
}

func sentence(words *rand.Zipf) string {
	list := make([]string, 30)
	for i := range list {
		list[i] = word(words.Uint64())
	}
	return strings.Join(list, " ")
}

// word is the n-th word: letters only, so that no parser takes it apart.
func word(n uint64) string {
	const letters = "bcdfghklmnprstvz"
	return "q" + string([]byte{letters[n>>12&15], letters[n>>8&15], 'a', letters[n>>4&15], letters[n&15]}) + "x"
}

func layout(texts []string) (text string, order, starts, ends []int) { //nolint:nonamedreturns // four results
	var all strings.Builder
	for i, t := range texts {
		order, starts = append(order, i+1), append(starts, all.Len())
		all.WriteString(t)
		ends = append(ends, all.Len())
		all.WriteString("\n\n")
	}
	return all.String(), order, starts, ends
}
