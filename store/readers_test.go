package store_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/internal/oracle"
	"tributary/internal/pgtest"
	"tributary/store"
)

func TestReadersAndKeys(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	rows := mustStore(t, f, filterWorld())
	ctx := context.Background()
	s := f.store
	count := func(who store.Identity, when string, want int64) {
		t.Helper()
		n, _, err := s.VisibleCount(ctx, who, store.Filters{})
		if err != nil || n != want {
			t.Errorf("%s: %d documents, %v; want %d", when, n, err, want)
		}
	}
	r, err := s.CreateReader(ctx, "alice", store.Person)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.CreateReader(ctx, "alice", store.Person); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a second reader of the name: %v", err)
	}
	who, err := s.AsReader(ctx, r.ID)
	if err != nil {
		t.Fatal(err)
	}
	count(who, "without links", 0)
	p := store.PrincipalIn{Connection: rows.connections[0], Principal: connectors.Principal{Kind: connectors.Group, ID: "0"}}
	for range 2 {
		if err := s.LinkReader(ctx, r.ID, p, store.LinkManual); err != nil {
			t.Fatal(err)
		}
	}
	count(who, "linked", 4)
	bare, err := s.AsPrincipals(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	count(bare, "as the principal", 4)
	bare, err = s.AsPrincipals(ctx, store.PrincipalIn{Connection: rows.connections[0], Principal: connectors.Principal{Kind: connectors.User, ID: "0"}})
	if err != nil {
		t.Fatal(err)
	}
	count(bare, "as a principal that nothing names", 0)

	key, secret, err := s.CreateKey(ctx, store.CreateKeyParams{Name: "app", ReaderID: &r.ID, Connections: rows.connections[:1], Rights: []string{store.RightSearch}})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(secret, "trib_") || len(secret) != 48 || !strings.HasSuffix(secret, key.Hint) || len(key.Hint) != 4 {
		t.Errorf("secret %d characters, hint %q", len(secret), key.Hint)
	}
	if n := pgtest.Scalar[int](t, f.db, `SELECT count(*)::int FROM api_key k WHERE k::text LIKE '%' || $1 || '%'`, secret); n != 0 {
		t.Error("the secret is stored")
	}
	got, as, err := s.Authenticate(ctx, secret)
	if err != nil || got.ID != key.ID || as.ReaderID() != r.ID || as.KeyID() != key.ID {
		t.Fatalf("authenticating: %+v %v", got, err)
	}
	count(as, "key of one connection", 2)
	for _, bad := range []string{"", "trib_", secret[:47], secret + "x", strings.ToLower(secret), key.Hint} {
		if _, _, err := s.Authenticate(ctx, bad); !errors.Is(err, store.ErrUnauthenticated) {
			t.Errorf("secret %q: %v", bad, err)
		}
	}
	if err := s.DisableReader(ctx, r.ID); err != nil {
		t.Fatal(err)
	}
	count(as, "disabled after authentication", 0)
	if _, _, err := s.Authenticate(ctx, secret); !errors.Is(err, store.ErrUnauthenticated) {
		t.Errorf("key of a disabled reader: %v", err)
	}
	if _, err := s.AsReader(ctx, r.ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("as a disabled reader: %v", err)
	}
	if err := s.EnableReader(ctx, r.ID); err != nil {
		t.Fatal(err)
	}
	list, err := s.Reader(ctx, "alice")
	if err != nil || len(list.Links) != 1 {
		t.Fatalf("%+v %v", list, err)
	}
	if err := s.UnlinkReader(ctx, r.ID, list.Links[0].PrincipalID); err != nil {
		t.Fatal(err)
	}
	count(as, "unlinked", 0)
	if err := s.RevokeKey(ctx, "app"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Authenticate(ctx, secret); !errors.Is(err, store.ErrUnauthenticated) {
		t.Errorf("revoked key: %v", err)
	}
	if err := s.RevokeKey(ctx, "nobody"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("revoking what does not exist: %v", err)
	}
}

func TestKeyWithoutReaderSeesWhatIsSharedWithIt(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	rows := mustStore(t, f, filterWorld())
	ctx := context.Background()
	key, secret, err := f.store.CreateKey(ctx, store.CreateKeyParams{Name: "robot", AllConnections: true, Rights: []string{store.RightSearch}})
	if err != nil {
		t.Fatal(err)
	}
	_, who, err := f.store.Authenticate(ctx, secret)
	if err != nil {
		t.Fatal(err)
	}
	count := func(want int64, when string) {
		t.Helper()
		n, _, err := f.store.VisibleCount(ctx, who, store.Filters{})
		if err != nil || n != want {
			t.Errorf("%s: %d documents, %v; want %d", when, n, err, want)
		}
	}
	count(0, "nothing shared")
	f.db.MustExec(t, `INSERT INTO acl_entry SELECT 1, principal_id, 1 FROM api_key WHERE id = $1`, key.ID)
	count(0, "shared in another realm than the key's principal lives in")
	f.db.MustExec(t, `UPDATE connection SET realm_id = (SELECT id FROM realm WHERE source = 'tributary') WHERE id = $1`, rows.connections[0])
	count(1, "shared in the instance's own realm")
}

func TestAuthenticateMarksUseOnceAMinute(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ctx := context.Background()
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	f.db.SetClock(t, start)
	soon := start.Add(time.Hour)
	_, secret, err := f.store.CreateKey(ctx, store.CreateKeyParams{Name: "k", AllConnections: true, Rights: []string{store.RightSearch}, ExpiresAt: &soon})
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		ahead time.Duration
		used  time.Duration
	}{{0, 0}, {30 * time.Second, 0}, {31 * time.Second, 61 * time.Second}} {
		f.db.Advance(t, step.ahead)
		if _, _, err := f.store.Authenticate(ctx, secret); err != nil {
			t.Fatal(err)
		}
		if at := pgtest.Scalar[time.Time](t, f.db, `SELECT last_used_at FROM api_key`); !at.Equal(start.Add(step.used)) {
			t.Errorf("last used %v after the start, want %v", at.Sub(start), step.used)
		}
	}
	f.db.Advance(t, time.Hour)
	if _, _, err := f.store.Authenticate(ctx, secret); !errors.Is(err, store.ErrUnauthenticated) {
		t.Errorf("expired key: %v", err)
	}
}

func TestCreateKeyNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	nobody := uuid.New()
	for field, p := range map[string]store.CreateKeyParams{
		"name":        {AllConnections: true, Rights: []string{"search"}},
		"rights":      {Name: "k", AllConnections: true, Rights: []string{"root"}},
		"connections": {Name: "k", Rights: []string{"search"}},
		"reader":      {Name: "k", AllConnections: true, Rights: []string{"search"}, ReaderID: &nobody},
	} {
		var in *store.InputError
		if _, _, err := f.store.CreateKey(context.Background(), p); !errors.As(err, &in) || in.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestDocumentsAndTheirParts(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	w := filterWorld()
	w.Documents[1].Hidden = true
	rows := mustStore(t, f, w)
	ctx := context.Background()
	who := rows.identity(oracle.Asker{Reader: 0, Key: -1})
	text, err := f.store.DocumentText(ctx, who, rows.documents[0])
	if err != nil {
		t.Fatal(err)
	}
	chunks, err := f.store.DocumentChunks(ctx, who, rows.documents[0])
	if err != nil || len(chunks) != 2 {
		t.Fatalf("%d chunks, %v", len(chunks), err)
	}
	for i, c := range chunks {
		if text.Text[c.Start:c.End] != c.Text || string([]rune(text.Text)[c.StartCP:c.EndCP]) != c.Text {
			t.Errorf("chunk %d: offsets do not cut its text", i)
		}
	}
	lineage, err := f.store.Lineage(ctx, who, chunks[0].ChunkID)
	if err != nil || lineage.Connection != "c0" || len(lineage.Profiles) != 1 || lineage.Extractor != "x" {
		t.Errorf("%+v %v", lineage, err)
	}
	resp, err := f.store.Search(ctx, who, store.SearchRequest{
		Query: "canary0", Mode: store.Keyword, Neighbours: 1, Profile: f.profile,
		Include: []string{store.IncludeLineage, store.IncludeEmbedding, store.IncludeScores},
	})
	if err != nil || len(resp.Results) != 1 {
		t.Fatalf("%+v %v", resp, err)
	}
	r := resp.Results[0]
	if r.Lineage == nil || len(r.Embedding) != dimensions || r.Scores.Keyword == nil || len(r.Neighbours.After) != 1 || len(r.Neighbours.Before) != 0 {
		t.Errorf("%+v", r)
	}
	// Hidden and absent are one answer.
	for _, id := range []uuid.UUID{rows.documents[1], uuid.New()} {
		_, e1 := f.store.Document(ctx, who, id)
		_, e2 := f.store.DocumentText(ctx, who, id)
		_, e3 := f.store.DocumentChunks(ctx, who, id)
		_, e4 := f.store.Lineage(ctx, who, store.ChunkID{Document: id, Number: 1})
		_, e5 := f.store.Chunk(ctx, who, store.ChunkID{Document: id, Number: 1})
		_, e6 := f.store.ChunkNeighbours(ctx, who, store.ChunkID{Document: id, Number: 1}, 1, 1)
		for _, err := range []error{e1, e2, e3, e4, e5, e6} {
			if !errors.Is(err, store.ErrNotFound) || strings.Contains(err.Error(), id.String()) {
				t.Errorf("%v", err)
			}
		}
	}
}

func TestPagesOfResultsJoin(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	rows := mustStore(t, f, filterWorld())
	who := rows.identity(oracle.Asker{Reader: 0, Key: -1})
	seen := map[store.ChunkID]bool{}
	req := store.SearchRequest{Query: "common", Mode: store.Keyword, K: 3}
	for page := range 4 {
		resp, err := f.store.Search(context.Background(), who, req)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range resp.Results {
			seen[r.ChunkID] = true
		}
		if resp.NextCursor == nil {
			if page != 2 || len(seen) != 8 {
				t.Errorf("%d chunks on %d pages, want 8 on 3", len(seen), page+1)
			}
			return
		}
		req.Cursor = *resp.NextCursor
	}
	t.Error("the pages do not end")
}

func TestOneItemThroughTwoConnectionsIsShownOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	rows := mustStore(t, f, filterWorld())
	f.db.MustExec(t, `UPDATE document SET external_id = 'same' WHERE id = ANY ($1)`, rows.documents[:2])
	who := rows.identity(oracle.Asker{Reader: 0, Key: -1})
	resp, err := f.store.Search(context.Background(), who, store.SearchRequest{Query: "common", Mode: store.Keyword, K: 8})
	if err != nil {
		t.Fatal(err)
	}
	documents := map[uuid.UUID]bool{}
	for _, r := range resp.Results {
		documents[r.DocumentID] = true
	}
	if len(documents) != 3 || len(resp.Results) != 6 {
		t.Errorf("%d chunks of %d documents, want 6 of 3", len(resp.Results), len(documents))
	}
}

func TestCompleteSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	rows := mustStore(t, f, filterWorld())
	ctx := context.Background()
	who := rows.identity(oracle.Asker{Reader: 0, Key: -1})
	ask := func(mode store.SearchMode, vector []float32) store.SearchResponse {
		t.Helper()
		resp, err := f.store.Search(ctx, who, store.SearchRequest{Query: "common", Mode: mode, Vector: vector, Profile: f.profile})
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	q := []float32{1, 1, 1, 1, 1, 1, 1, 1}
	if r := ask(store.Hybrid, q); r.Complete || r.Pending != 4 {
		t.Errorf("4 chunks wait for vectors: complete %t, pending %d", r.Complete, r.Pending)
	}
	f.db.MustExec(t, `DELETE FROM embed_todo`)
	if r := ask(store.Hybrid, q); !r.Complete || r.Pending != 0 || len(r.PermissionsAsOf) != 2 {
		t.Errorf("nothing is missing: %+v", r)
	}
	if r := ask(store.Hybrid, nil); r.Complete || len(r.Results) != 8 {
		t.Errorf("without the question's vector: complete %t, %d results", r.Complete, len(r.Results))
	}
	f.db.MustExec(t, `INSERT INTO schedule (connection_id, lane, every) VALUES ($1, 'permissions', '5 minutes')`, rows.connections[0])
	f.db.MustExec(t, `UPDATE connection SET permissions_as_of = now() - interval '11 minutes' WHERE id = $1`, rows.connections[0])
	if r := ask(store.Keyword, nil); r.Complete || len(r.Results) != 8 {
		t.Errorf("a stale connection: complete %t, %d results", r.Complete, len(r.Results))
	}
	f.db.MustExec(t, `UPDATE connection SET permissions_as_of = now() - interval '25 hours' WHERE id = $1`, rows.connections[0])
	if r := ask(store.Keyword, nil); r.Complete || len(r.Results) != 4 || len(r.PermissionsAsOf) != 1 {
		t.Errorf("permissions past their maximum age: complete %t, %d results, %v", r.Complete, len(r.Results), r.PermissionsAsOf)
	}
}
