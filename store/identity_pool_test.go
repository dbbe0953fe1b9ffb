package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/internal/oracle"
	"tributary/store"
)

// crowd is how many readers there are, each of whom sees one document of their own.
const crowd = 200

func crowdWorld() oracle.World {
	w := oracle.World{Connections: []oracle.Connection{{Realm: 0}}}
	for i := range crowd {
		w.Principals = append(w.Principals, oracle.Principal{Realm: 0})
		w.Documents = append(w.Documents, oracle.Document{Known: true, AllOf: [][]int{{i}}})
		w.Readers = append(w.Readers, oracle.Reader{Links: []int{i}})
	}
	return w
}

// lockedLog is a log that several write.
type lockedLog struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// crowdStore is a store with a pool of four, as the address reaches it, and its log.
func crowdStore(t *testing.T, url string) (*store.Store, *lockedLog) {
	t.Helper()
	log := &lockedLog{}
	s, err := store.Open(t.Context(), store.Config{URL: url, Purpose: store.Web, MaxConns: 4, Log: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, log
}

// crowdAsks has the crowd ask n times on one pool, and some of them cancel, run
// out of time or panic midway. It returns how many got an answer.
func crowdAsks(t *testing.T, s *store.Store, rows worldRows, n int) int64 {
	t.Helper()
	var answered, foreign atomic.Int64
	own := map[uuid.UUID]int{}
	for i, id := range rows.documents {
		own[id] = i
	}
	next := make(chan int)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for i := range next {
				who := i % crowd
				ids, err := crowdAsk(t.Context(), s, rows, who, i)
				for _, id := range ids {
					if own[id] != who {
						foreign.Add(1)
					}
				}
				switch {
				case err == nil && len(ids) == 1:
					answered.Add(1)
				case err == nil:
					t.Errorf("reader %d got %d documents", who, len(ids))
				case !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, store.ErrTimeout) && !errors.Is(err, errPanicked):
					t.Errorf("reader %d: %v", who, err)
				}
			}
		})
	}
	for range n {
		next <- rand.IntN(crowd * 1000)
	}
	close(next)
	wg.Wait()
	if foreign.Load() > 0 {
		t.Errorf("%d rows of others in %d answers", foreign.Load(), n)
	}
	return answered.Load()
}

var errPanicked = errors.New("panicked")

// crowdAsk asks as one reader, well or badly by the number.
func crowdAsk(ctx context.Context, s *store.Store, rows worldRows, who, number int) (ids []uuid.UUID, err error) { //nolint:nonamedreturns // recovers into them
	as := store.IdentityOf(rows.readers[who], uuid.Nil, false, nil)
	switch number / crowd % 8 {
	case 0:
		cctx, cancel := context.WithCancel(ctx)
		time.AfterFunc(time.Duration(rand.IntN(3000))*time.Microsecond, cancel)
		ctx = cctx
	case 1:
		cctx, cancel := context.WithTimeout(ctx, time.Duration(rand.IntN(3000))*time.Microsecond)
		defer cancel()
		ctx = cctx
	case 2:
		defer func() {
			if recover() != nil {
				ids, err = nil, errPanicked
			}
		}()
		return nil, store.AsIdentity(ctx, s, as, func(pgx.Tx) error { panic("midway") })
	case 3:
		err := store.AsIdentity(ctx, s, as, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, `SET LOCAL statement_timeout = 1`)
			if err == nil {
				_, err = tx.Exec(ctx, `SELECT pg_sleep(1)`)
			}
			return err
		})
		return nil, err
	}
	if number%2 == 0 {
		found, err := s.Search(ctx, as, store.SearchRequest{Query: "common", Mode: store.Keyword, K: 100})
		seen := map[uuid.UUID]bool{}
		for _, r := range found.Results {
			if !seen[r.DocumentID] {
				seen[r.DocumentID] = true
				ids = append(ids, r.DocumentID)
			}
		}
		return ids, err
	}
	err = store.AsIdentity(ctx, s, as, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT document_id FROM tributary.visible_list('{}', NULL, 1000)`)
		if err != nil {
			return err
		}
		ids, err = pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
		return err
	})
	return ids, err
}

// questions is how often the crowd asks: TEST_IDENTITY_QUESTIONS, or n.
func questions(n int) int {
	if many, err := strconv.Atoi(os.Getenv("TEST_IDENTITY_QUESTIONS")); err == nil {
		return many
	}
	return n
}

// TestNobodyInheritsAnIdentity: 200 readers on a pool of four, with questions that
// are cancelled, run out of time or panic midway: no row of another (PE-4).
func TestNobodyInheritsAnIdentity(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	rows := mustStore(t, f, crowdWorld())
	s, log := crowdStore(t, f.db.URL)
	n := questions(3000)
	answered := crowdAsks(t, s, rows, n)
	t.Logf("%d questions, %d answered", n, answered)
	if answered < int64(n)/4 {
		t.Errorf("%d of %d questions were answered: too few to mean anything", answered, n)
	}
	if strings.Contains(log.String(), "still names somebody") {
		t.Errorf("an identity outlived its transaction:\n%.300s", log)
	}
}

// TestAConnectionThatStillNamesSomebodyIsClosed, and said.
func TestAConnectionThatStillNamesSomebodyIsClosed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, name := range []string{"reader", "key", "principals"} {
		log := &lockedLog{}
		s, err := store.Open(t.Context(), store.Config{URL: f.db.URL, MaxConns: 1, Log: slog.New(slog.NewTextHandler(log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		backend := func() (pid uint32) {
			conn, err := s.Pool().Acquire(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Release()
			return conn.Conn().PgConn().PID()
		}
		before := backend()
		nobody := store.IdentityOf(uuid.Nil, uuid.Nil, false, nil)
		if err := store.AsIdentity(t.Context(), s, nobody, func(pgx.Tx) error { return nil }); err != nil {
			t.Fatal(err)
		}
		if after := backend(); after != before || log.String() != "" {
			t.Errorf("a clean connection is closed: %s", log)
		}
		err = store.AsIdentity(t.Context(), s, nobody, func(tx pgx.Tx) error {
			_, err := tx.Exec(t.Context(), fmt.Sprintf(`SELECT set_config('tributary.%s', '%s', false)`, name, uuid.New()))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if after := backend(); after == before || !strings.Contains(log.String(), "still names somebody") {
			t.Errorf("a connection that carries a %s is lent again: %s", name, log)
		}
		s.Close()
	}
}
