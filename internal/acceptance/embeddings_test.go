package acceptance

import (
	"fmt"
	"math"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"tributary/internal/chunk"
	"tributary/internal/embed/embedtest"
	"tributary/store"
)

// Every chunk gets its right vector, and none is paid for twice, whatever the
// endpoint does. Only work whose answer was lost is paid for again.
func TestEmbeddingsThroughEveryFault(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for i := range 30 {
		write(t, filepath.Join(dir, fmt.Sprintf("page-%02d.md", i)), fmt.Sprintf("# Page %d\n\n%s", i, longText(12+i)))
	}
	// The same text in two documents is one input.
	write(t, filepath.Join(dir, "copy.md"), fmt.Sprintf("# Page %d\n\n%s", 3, longText(15)))
	s, server := paid(t)
	s.db.SetClock(t, time.Now())
	conn := s.connect(dir)
	run := s.must(conn, store.Content, store.RunSucceeded)
	server.Next(
		embedtest.Fault{Status: http.StatusTooManyRequests, RetryAfter: "1"},
		embedtest.Fault{},
		embedtest.Fault{Delay: 300 * time.Millisecond},
		embedtest.Fault{Dimensions: 12},
		embedtest.Fault{Dimensions: 12},
		embedtest.Fault{Reverse: true},
		embedtest.Fault{Drop: []int{0, 5, 9}},
		embedtest.Fault{Status: http.StatusServiceUnavailable},
		embedtest.Fault{Reverse: true, Drop: []int{1}},
		embedtest.Fault{Zero: []int{2}, Infinite: []int{4}, Null: []int{6}},
		embedtest.Fault{Twice: []int{3}},
		embedtest.Fault{Status: http.StatusInternalServerError},
		embedtest.Fault{Status: http.StatusTooManyRequests},
	)
	s.drainAll()
	if twice := server.DeliveredTwice(); len(twice) > 0 {
		t.Errorf("%d texts were paid for although their vector had arrived, such as %.80q", len(twice), twice[0])
	}
	s.wantVectors(int(run.Counts.ChunksWritten))

	// Work whose answer never arrived is the only work that is done again.
	before := server.Computed()
	server.Next(embedtest.Fault{Status: http.StatusInternalServerError, AfterWork: true})
	write(t, filepath.Join(dir, "new.md"), "# New\n\nA text that nobody has seen before.\n")
	s.must(conn, store.Content, store.RunSucceeded)
	s.drainAll()
	for text, n := range server.Computed() {
		if was := before[text]; was > 0 && n != was || was == 0 && n != 2 {
			t.Errorf("after a lost answer a text was paid for %d times, before it %d times: %.60q", n, was, text)
		}
	}
	s.wantVectors(int(run.Counts.ChunksWritten) + 1)
}

// drainAll embeds until nothing waits; the clock jumps over the pauses.
func (s *site) drainAll() {
	s.t.Helper()
	profile, err := s.store.ActiveProfile(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	for range 200 {
		s.drain()
		p, err := s.store.ProfileProgress(s.t.Context(), profile)
		if err != nil {
			s.t.Fatal(err)
		}
		if p.Pending == 0 {
			return
		}
		s.db.Advance(s.t, 25*time.Hour)
	}
	s.t.Fatal("chunks still wait after 200 rounds")
}

// wantVectors checks every stored vector against the one that the endpoint
// gives for the chunk's input.
func (s *site) wantVectors(chunks int) {
	s.t.Helper()
	rows, err := s.db.Owner.Query(s.t.Context(), `SELECT c.context, c.text, v.v::real[] FROM chunk c JOIN vec_1 v ON v.document_id = c.document_id AND v.chunk_id = c.id`)
	if err != nil {
		s.t.Fatal(err)
	}
	var context, text string
	var v []float32
	n := 0
	_, err = pgx.ForEachRow(rows, []any{&context, &text, &v}, func() error {
		n++
		want := embedtest.Vector(chunk.Input(context, text), 16)
		for i, x := range v {
			if math.Abs(float64(x-want[i])) > 0.002 {
				s.t.Errorf("chunk %.40q has the vector of another text", text)
				return nil
			}
		}
		return nil
	})
	if err != nil || n != chunks {
		s.t.Errorf("%d chunks have vectors, want %d (%v)", n, chunks, err)
	}
	wantWhole(s.t, s.db.Owner)
}
