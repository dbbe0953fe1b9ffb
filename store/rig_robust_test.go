package store_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/internal/pgtest"
	"tributary/store"
)

// rig is a store with a profile that is computed in process and one that a
// drainer fills.
type rig struct {
	db            *pgtest.DB
	store         *store.Store
	local, remote int16
}

const rigDimensions = 4

func newRig(tb testing.TB) *rig {
	tb.Helper()
	db := pgtest.New(tb)
	s, err := store.Open(tb.Context(), store.Config{URL: db.URL, Purpose: store.Worker, MaxConns: 16})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.Close)
	r := &rig{db: db, store: s}
	r.local = r.profile(tb, "local", store.ProfileHashing)
	r.remote = r.profile(tb, "remote", store.ProfileOpenAI)
	return r
}

func (r *rig) profile(tb testing.TB, name string, kind store.ProfileKind) int16 {
	tb.Helper()
	p, err := r.store.CreateProfile(tb.Context(), store.Profile{Name: name, Kind: kind, Model: "test", Dimensions: rigDimensions})
	if err != nil {
		tb.Fatal(err)
	}
	return p.ID
}

// failer is a *testing.T, a *testing.B or a *rapid.T.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// source is a connection with its realm.
type source struct {
	*rig
	conn  uuid.UUID
	realm int64
}

func (r *rig) connect(f failer, name, realm string) *source {
	f.Helper()
	ctx := context.Background()
	c, err := r.store.CreateConnection(ctx, store.NewConnection{Name: name, Source: "test"})
	if err != nil {
		f.Fatalf("connecting: %v", err)
	}
	id, err := r.store.SetRealm(ctx, c.ID, "test", realm)
	if err != nil {
		f.Fatalf("setting realm: %v", err)
	}
	return &source{rig: r, conn: c.ID, realm: id}
}

// start requests a run and claims it.
func (s *source) start(f failer, lane store.Lane, change ...func(*store.RunRequest)) store.Run {
	f.Helper()
	req := store.RunRequest{ConnectionID: s.conn, Lane: lane, Kind: store.RunSnapshot, Cause: "test"}
	if lane == store.Permissions {
		req.Kind = store.RunPermissions
	}
	for _, c := range change {
		c(&req)
	}
	run, _, err := s.store.RequestRun(context.Background(), req, nil)
	if err != nil {
		f.Fatalf("requesting run: %v", err)
	}
	if run, err = s.store.ClaimRun(context.Background(), run.ID, "test", time.Minute); err != nil {
		f.Fatalf("claiming run: %v", err)
	}
	return run
}

func (s *source) end(f failer, run store.Run) {
	f.Helper()
	if err := s.store.ReleaseRun(context.Background(), run, store.Release{State: store.RunSucceeded}, nil); err != nil {
		f.Fatalf("ending run: %v", err)
	}
}

// write commits a batch, with the vectors of the local profile.
func (s *source) write(ctx context.Context, b *store.Batch) (store.BatchResult, error) {
	b.Realm = s.realm
	b.Profiles = []store.ProfileVectors{{ID: s.local, Vectors: func(doc, chunk int) []float32 { return vectorOf(b.Documents[doc].Chunks[chunk].InputHash) }}}
	return s.store.WriteBatch(ctx, b, nil)
}

func (s *source) mustWrite(f failer, b *store.Batch) store.BatchResult {
	f.Helper()
	res, err := s.write(context.Background(), b)
	if err != nil {
		f.Fatalf("writing batch: %v", err)
	}
	return res
}

// list runs one complete listing of ids and sweeps it.
func (s *source) list(f failer, rules store.SweepRules, approve bool, blocked []connectors.Container, ids ...string) store.Counts {
	f.Helper()
	run := s.start(f, store.Content, func(r *store.RunRequest) { r.ApproveDeletions = approve })
	known, err := s.store.KnownDocuments(context.Background(), s.conn, ids)
	if err != nil {
		f.Fatalf("reading known documents: %v", err)
	}
	b := &store.Batch{Run: run, Page: &store.PageEnd{Next: connectors.Cursor(`{"n":1}`), Complete: true, Blocked: blocked}}
	for _, id := range ids {
		if k, ok := known[id]; ok {
			b.Seen = append(b.Seen, k.ID)
		} else {
			b.Documents = append(b.Documents, document(id, readable("u"), "text of "+id))
		}
	}
	s.mustWrite(f, b)
	if run, err = s.store.Run(context.Background(), run.ID); err != nil {
		f.Fatalf("reading run: %v", err)
	}
	counts, err := s.store.SweepListing(context.Background(), run, rules)
	if err != nil {
		f.Fatalf("sweeping: %v", err)
	}
	s.end(f, run)
	return counts
}

// document makes a document whose text is chunks, a blank line between them.
// Equal chunks are told apart by their order.
func document(id string, acl connectors.ACL, chunks ...string) store.DocumentWrite {
	d := store.DocumentWrite{
		ExternalID: id, Title: "Title of " + id, Path: id, Kind: "file", MediaType: "text/plain", Language: "simple", ACL: acl,
		Extractor: "text/1", Chunker: "structure/1",
	}
	nth := map[string]uint64{}
	points := 0
	for i, text := range chunks {
		if i > 0 {
			d.Text += "\n\n"
			points += 2
		}
		start, startCP := len(d.Text), points
		d.Text += text
		points += len([]rune(text))
		d.Chunks = append(d.Chunks, store.ChunkWrite{
			Identity: sha256.Sum256(binary.BigEndian.AppendUint64([]byte(text), nth[text])), InputHash: sha256.Sum256([]byte(text)), Text: text, Tokens: 3,
			Start: start, End: len(d.Text), StartCP: startCP, EndCP: points,
		})
		nth[text]++
	}
	d.ContentHash = sha256.Sum256([]byte(d.Text))
	d.SourceRevision = fmt.Sprintf("%x", d.ContentHash[:4])
	return d
}

// vectorOf is the vector that an input is embedded as.
func vectorOf(input [32]byte) []float32 {
	return []float32{float32(input[0]), float32(input[1]), float32(input[2]), 1}
}

func user(id string) connectors.Principal { return connectors.Principal{Kind: connectors.User, ID: id} }

// readable is the ACL of a document that any of users may read.
func readable(users ...string) connectors.ACL {
	var clause []connectors.Principal
	for _, u := range users {
		clause = append(clause, user(u))
	}
	return connectors.ACL{AllOf: [][]connectors.Principal{clause}}
}

// wantWhole checks that nothing is orphaned, doubled or half written.
func (r *rig) wantWhole(f failer) {
	f.Helper()
	checks := map[string]string{
		"documents without connection": `SELECT count(*) FROM document d WHERE NOT EXISTS (SELECT FROM connection c WHERE c.id = d.connection_id)`,
		"chunks without document":      `SELECT count(*) FROM chunk c WHERE NOT EXISTS (SELECT FROM document d WHERE d.id = c.document_id)`,
		"revisions without document":   `SELECT count(*) FROM revision c WHERE NOT EXISTS (SELECT FROM document d WHERE d.id = c.document_id)`,
		"queue rows without chunk":     `SELECT count(*) FROM embed_todo v WHERE NOT EXISTS (SELECT FROM chunk c WHERE c.document_id = v.document_id AND c.id = v.chunk_id)`,
		"seen rows without connection": `SELECT count(*) FROM seen s WHERE NOT EXISTS (SELECT FROM connection c WHERE c.id = s.connection_id)`,
		"documents without ACL set":    `SELECT count(*) FROM document d WHERE NOT EXISTS (SELECT FROM acl_set s WHERE s.id = d.acl_set_id)`,
		"sets that lack a clause": `SELECT count(*) FROM acl_set s WHERE need_mask <> (
			SELECT coalesce(bit_or(1::bigint << clause), 0) FROM acl_entry e WHERE e.set_id = s.id AND clause > 0)`,
		"texts of old revisions":     `SELECT count(*) FROM revision r JOIN document d ON d.id = r.document_id WHERE (r.text IS NULL) <> (r.number < d.revision)`,
		"layouts that name no chunk": `SELECT count(*) FROM revision r CROSS JOIN unnest(r.chunk_ids) i WHERE NOT EXISTS (SELECT FROM chunk c WHERE c.document_id = r.document_id AND c.id = i)`,
		"chunks outside the layout":  `SELECT count(*) FROM chunk c JOIN document d ON d.id = c.document_id JOIN revision r ON r.document_id = d.id AND r.number = d.revision WHERE NOT c.id = ANY(r.chunk_ids)`,
		"wrong chunk counts":         `SELECT count(*) FROM document d WHERE chunk_count <> (SELECT count(*) FROM chunk c WHERE c.document_id = d.id)`,
		"offsets that cut otherwise": `SELECT count(*) FROM revision r CROSS JOIN unnest(r.chunk_ids, r.starts, r.ends, r.starts_cp, r.ends_cp) AS u(i, s, e, sc, ec) JOIN chunk c ON c.document_id = r.document_id AND c.id = u.i
			WHERE c.text <> convert_from(substring(convert_to(r.text, 'UTF8') FROM s + 1 FOR e - s), 'UTF8') OR c.text <> substring(r.text FROM sc + 1 FOR ec - sc)`,
	}
	for _, p := range []int16{r.local, r.remote} {
		checks[fmt.Sprintf("vectors of profile %d without chunk", p)] = fmt.Sprintf(`SELECT count(*) FROM vec_%d v WHERE NOT EXISTS (SELECT FROM chunk c WHERE c.document_id = v.document_id AND c.id = v.chunk_id)`, p)
		checks[fmt.Sprintf("chunks with neither or both of vector and queue row in profile %d", p)] = fmt.Sprintf(`SELECT count(*) FROM chunk c
			WHERE EXISTS (SELECT FROM vec_%d v WHERE c.document_id = v.document_id AND c.id = v.chunk_id)
			    = EXISTS (SELECT FROM embed_todo t WHERE t.profile_id = %d AND c.document_id = t.document_id AND c.id = t.chunk_id)`, p, p)
	}
	for what, sql := range checks {
		var n int64
		if err := r.db.Owner.QueryRow(context.Background(), sql).Scan(&n); err != nil {
			f.Fatalf("%s: %v", what, err)
		}
		if n != 0 {
			f.Fatalf("%s: %d", what, n)
		}
	}
}
