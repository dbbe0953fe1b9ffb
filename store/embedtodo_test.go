package store_test

import (
	"testing"

	"tributary/internal/pgtest"
	"tributary/store"
)

// TestFillTodoLooksAtEachChunkOnce: the walk queues what has neither a vector nor a place in the queue, and its steps
// are as many as the chunks are, however many are queued already.
func TestFillTodoLooksAtEachChunkOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.db.MustExec(t, `INSERT INTO chunk (document_id, id, identity, text, context, heading_path, tokens, lang)
		SELECT gen_random_uuid(), n % 3, '', 'text ' || n, '', '{}', 2, 'simple' FROM generate_series(1, 4500) n`)
	profile, err := f.store.CreateProfile(t.Context(), store.Profile{Name: "later", Kind: store.ProfileOpenAI, Model: "x", Dimensions: 3})
	if err != nil {
		t.Fatal(err)
	}
	f.db.MustExec(t, `INSERT INTO embed_todo (profile_id, document_id, chunk_id, input_hash, tokens, next_try_at)
		SELECT $1, document_id, id, '', 2, now() FROM chunk ORDER BY document_id LIMIT 1000`, profile.ID)
	waits := func() int { return pgtest.Scalar[int](t, f.db, `SELECT count(*) FROM embed_todo`) }
	walk := func() (queued, steps int) {
		for at := (&store.ChunkID{Number: store.NoChunk}); at != nil; steps++ {
			n, last, err := f.store.FillTodo(t.Context(), profile.ID, *at, func(_, text string) [32]byte { return [32]byte([]byte(text + "                                ")) })
			if err != nil {
				t.Fatal(err)
			}
			queued, at = queued+n, last
		}
		return queued, steps
	}
	if queued, steps := walk(); queued != 3500 || steps != 4 || waits() != 4500 {
		t.Errorf("queued %d in %d steps, %d wait; want 3500 in 4, and 4500", queued, steps, waits())
	}
	if queued, steps := walk(); queued != 0 || steps != 4 || waits() != 4500 {
		t.Errorf("a second walk queued %d in %d steps, %d wait; want 0 in 4, and 4500", queued, steps, waits())
	}
}
