package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// ReadAudit says how reads of content are recorded.
type ReadAudit struct {
	// Actor is who reads where no API key says it, such as user@host.
	Actor string
	// Queries keeps the texts of questions.
	Queries bool
	// Strict lets a read fail that cannot be recorded, and records each before it
	// is answered.
	Strict bool
}

const (
	// readsWait bounds how long a read waits for its own record, where it waits.
	readsWait = 2 * time.Second
	// readsEvery is how often waiting records are written, readsBatch how many are
	// written earlier.
	readsEvery = time.Second
	readsBatch = 500
	// maxReads and maxReadIDs bound what waits while it cannot be written.
	maxReads   = 10_000
	maxReadIDs = 500_000
	// readsWriting bounds the writing of a batch.
	readsWriting = 5 * time.Second
)

// reading is one read of content: what is handed out, and to whom.
type reading struct {
	tool, query string
	// documents were handed out, in any order, perhaps more than once.
	documents []uuid.UUID
	// asOf is the age of the permissions by connection; nil is looked up.
	asOf map[string]*time.Time
	// at is when; the zero time is looked up.
	at  time.Time
	who Identity
}

// snapshot completes r with the time and with the permissions that it was decided by.
func (r *reading) snapshot(ctx context.Context, tx pgx.Tx) error {
	slices.SortFunc(r.documents, func(a, b uuid.UUID) int { return strings.Compare(string(a[:]), string(b[:])) })
	r.documents = slices.Compact(r.documents)
	if r.asOf != nil && !r.at.IsZero() {
		return nil
	}
	var asOf map[string]*time.Time
	err := tx.QueryRow(ctx, `
		SELECT clock(), coalesce(jsonb_object_agg(c.name, c.permissions_as_of), '{}') FROM connection c
		WHERE c.id IN (SELECT d.connection_id FROM document d WHERE d.id = ANY ($1))`, r.documents).Scan(&r.at, &asOf)
	if r.asOf == nil {
		r.asOf = asOf
	}
	return err
}

// readLog holds the reads that wait to be written. Its zero value holds none,
// and keeps none back.
type readLog struct {
	mu sync.Mutex
	// kept says that KeepReads writes what waits.
	kept    bool
	waiting []reading
	ids     int
	wake    chan struct{}
	// lost were not written, and no row says so yet; allLost is of the process.
	lost, allLost int64
}

// take keeps r back to be written. It reports false where nobody would write it.
// What finds no room is lost.
func (l *readLog) take(r reading) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.kept {
		return false
	}
	if len(l.waiting) >= maxReads || l.ids+len(r.documents) > maxReadIDs && l.ids > 0 {
		l.lost++
		l.allLost++
		return true
	}
	l.waiting, l.ids = append(l.waiting, r), l.ids+len(r.documents)
	if len(l.waiting) >= readsBatch {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
	return true
}

// lose counts reads that cannot be recorded.
func (l *readLog) lose(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost += int64(n)
	l.allLost += int64(n)
}

// batch returns what waits longest, at most readsBatch.
func (l *readLog) batch() []reading {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.waiting[:min(len(l.waiting), readsBatch)])
}

// untold returns how many were lost that no row tells of; the caller's will, or
// it gives them back.
func (l *readLog) untold() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.lost
	l.lost = 0
	return n
}

// done forgets a batch that was written, or that never will be.
func (l *readLog) done(list []reading) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = slices.Delete(l.waiting, 0, len(list))
	for _, r := range list {
		l.ids -= len(r.documents)
	}
}

// LostReads returns how many reads this process could not record.
func (s *Store) LostReads() int64 {
	s.reads.mu.Lock()
	defer s.reads.mu.Unlock()
	return s.reads.allLost
}

// recordRead records r: at once, or with others where KeepReads runs. Where that
// fails, the read is answered all the same and counted as lost; with Strict it
// fails. An answer without a document is a read only where a question was asked.
func (s *Store) recordRead(ctx context.Context, r reading) error {
	if len(r.documents) == 0 && r.query == "" {
		return nil
	}
	if !s.audit.Queries {
		r.query = ""
	}
	if !s.audit.Strict && s.reads.take(r) {
		return nil
	}
	// A client that goes away as soon as it has its answer has read it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readsWait)
	defer cancel()
	err := s.writeReads(ctx, []reading{r})
	if err == nil {
		return nil
	}
	s.noteTrouble(err)
	if s.audit.Strict {
		return fmt.Errorf("%w: %w", ErrUnrecorded, err)
	}
	s.reads.lose(1)
	s.log.WarnContext(ctx, "a read of documents could not be recorded", "tool", r.tool, "error", err)
	return nil
}

// KeepReads writes the reads of this process in batches until ctx ends, and then
// those that wait. Before and after, each is written at once.
func (s *Store) KeepReads(ctx context.Context) error {
	wake := make(chan struct{}, 1)
	s.reads.mu.Lock()
	s.reads.kept, s.reads.wake = true, wake
	s.reads.mu.Unlock()
	tick := time.NewTicker(readsEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			s.reads.mu.Lock()
			s.reads.kept = false
			s.reads.mu.Unlock()
			s.lastReads(context.WithoutCancel(ctx))
			return nil
		case <-wake:
		case <-tick.C:
		}
		if err := s.flushReads(ctx); err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "recording reads of documents; it is tried again", "error", err)
		}
	}
}

// lastReads writes what waits when the process ends.
func (s *Store) lastReads(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, readsWriting)
	defer cancel()
	err := s.flushReads(ctx)
	s.reads.mu.Lock()
	n := int64(len(s.reads.waiting)) + s.reads.lost
	s.reads.mu.Unlock()
	if n > 0 {
		s.log.ErrorContext(ctx, "reads of documents were not recorded", "reads", n, "error", err)
	}
}

// flushReads writes everything that waits. Where PostgreSQL takes no writes, it
// goes on waiting.
func (s *Store) flushReads(ctx context.Context) error {
	for {
		list := s.reads.batch()
		if len(list) == 0 {
			return nil
		}
		one, cancel := context.WithTimeout(ctx, readsWriting)
		err := s.writeReads(one, list)
		cancel()
		if err == nil {
			s.reads.done(list)
			continue
		}
		s.noteTrouble(err)
		// Data that is refused once will be refused again.
		if code := pgCode(err); !strings.HasPrefix(code, "22") && !strings.HasPrefix(code, "23") {
			return err
		}
		s.reads.done(list)
		s.reads.lose(len(list))
	}
}

// writeReads writes rows; the first tells how many were lost before it.
func (s *Store) writeReads(ctx context.Context, list []reading) error {
	lost := s.reads.untold()
	write := func(tx pgx.Tx) error {
		if err := keepQuestions(ctx, tx, list); err != nil {
			return err
		}
		_, err := tx.CopyFrom(ctx, pgx.Identifier{"tributary", "read_event"},
			[]string{"at", "reader_id", "key_id", "actor", "tool", "documents", "permissions_as_of", "query", "lost"},
			pgx.CopyFromSlice(len(list), func(i int) ([]any, error) {
				r := list[i]
				row := []any{r.at, nullID(r.who.reader), nullID(r.who.key), s.readActor(r.who), r.tool, append([]uuid.UUID{}, r.documents...), snapshotJSON(r.asOf), nil, int64(0)}
				if r.query != "" {
					row[7] = r.query
				}
				if i == 0 {
					row[8] = lost
				}
				return row, nil
			}))
		return err
	}
	err := pgx.BeginFunc(ctx, s.pool, write)
	if err != nil {
		s.reads.mu.Lock()
		s.reads.lost += lost
		s.reads.mu.Unlock()
	}
	return err
}

// keepQuestions takes out of list the questions that must not be kept any more,
// because a document that answered them, or who asked, is gone since. Until tx
// ends none can go: see forget_questions.
func keepQuestions(ctx context.Context, tx pgx.Tx, list []reading) error {
	documents, readers := map[uuid.UUID]bool{}, map[uuid.UUID]bool{}
	for _, r := range list {
		if r.query == "" {
			continue
		}
		for _, id := range r.documents {
			documents[id] = true
		}
		if r.who.reader != uuid.Nil {
			readers[r.who.reader] = true
		}
	}
	if len(documents) == 0 && len(readers) == 0 {
		return nil
	}
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock_shared(questions_lock())`); err != nil {
		return err
	}
	rows, err := tx.Query(ctx, `
		SELECT id FROM unnest($1::uuid[]) x (id) WHERE NOT EXISTS (SELECT FROM document d WHERE d.id = x.id)
		UNION SELECT id FROM unnest($2::uuid[]) x (id) WHERE NOT EXISTS (SELECT FROM reader r WHERE r.id = x.id)`,
		slices.Collect(maps.Keys(documents)), slices.Collect(maps.Keys(readers)))
	if err != nil {
		return err
	}
	gone, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return err
	}
	for i, r := range list {
		if slices.Contains(gone, r.who.reader) || slices.ContainsFunc(r.documents, func(id uuid.UUID) bool { return slices.Contains(gone, id) }) {
			list[i].query = ""
		}
	}
	return nil
}

func snapshotJSON(asOf map[string]*time.Time) []byte {
	if asOf == nil {
		return []byte("{}")
	}
	return jsonOf(asOf)
}

// readActor names who read where it was not the reader or the key itself.
func (s *Store) readActor(who Identity) string {
	switch {
	case who.by != "":
		return who.by
	case who.key != uuid.Nil:
		return ""
	case who.bare && s.audit.Actor != "":
		return s.audit.Actor + " as " + who.called
	case who.bare:
		return who.called
	default:
		return s.audit.Actor
	}
}

func nullID(id uuid.UUID) *uuid.UUID {
	if id == uuid.Nil {
		return nil
	}
	return &id
}
