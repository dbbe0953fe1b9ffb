package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// feedReader makes one page in one transaction.
type feedReader struct {
	tx      pgx.Tx
	req     FeedRequest
	at      feedCursor
	head    int64
	profile int16
	page    FeedPage

	docs    map[uuid.UUID]*feedDocument
	chunks  map[uuid.UUID][]feedChunk
	vectors map[ChunkID][]float32
	sets    map[int64]FeedEvent
	// sent are the events that need no repeating: a page is of one moment.
	sent map[sentKey]bool
}

type sentKey struct {
	event string
	doc   uuid.UUID
	n     int64
}

// once reports whether an event is the first of its kind about n in the page.
func (f *feedReader) once(event string, doc uuid.UUID, n int64) bool {
	k := sentKey{event, doc, n}
	if f.sent[k] {
		return false
	}
	f.sent[k] = true
	return true
}

// add appends an event at the page's position, unless it has one.
func (f *feedReader) add(e FeedEvent) {
	if e.Position == 0 {
		e.Position = f.at.Position
	}
	f.page.Events = append(f.page.Events, e)
}

// members lists memberships, and goes on to the documents when there are no more.
func (f *feedReader) members(ctx context.Context) error {
	rows, err := f.tx.Query(ctx, `SELECT connection_id, member_id, group_id FROM tributary.feed_members($1, $2, $3, $4)`, f.at.After, f.at.Member, f.at.Group, MaxFeedLimit)
	if err != nil {
		return err
	}
	n := 0
	var conn uuid.UUID
	var member, group int64
	_, err = pgx.ForEachRow(rows, []any{&conn, &member, &group}, func() error {
		n++
		f.pair(f.at.Position, conn, member, group, true)
		f.at.After, f.at.Member, f.at.Group = &[]uuid.UUID{conn}[0], member, group
		return nil
	})
	if err != nil {
		return err
	}
	if f.page.More = true; n < MaxFeedLimit {
		f.at.Stage, f.at.After, f.at.Member, f.at.Group = stageDocuments, nil, 0, 0
	}
	return nil
}

// pair adds a membership to the last event, where that is of the same kind.
func (f *feedReader) pair(position int64, conn uuid.UUID, member, group int64, stands bool) {
	last := len(f.page.Events) - 1
	if last < 0 || f.page.Events[last].Event != FeedMembership || *f.page.Events[last].ConnectionID != conn || f.page.Events[last].Position != position ||
		len(f.page.Events[last].Added)+len(f.page.Events[last].Removed) >= feedPairs {
		f.add(FeedEvent{Event: FeedMembership, Position: position, ConnectionID: &conn})
		last++
	}
	if e := &f.page.Events[last]; stands {
		e.Added = append(e.Added, [2]int64{member, group})
	} else {
		e.Removed = append(e.Removed, [2]int64{member, group})
	}
}

// within returns how many of the weights, at least one, fit into a page.
func (f *feedReader) within(weights []int) int {
	room := feedChunks
	if f.profile != 0 {
		room = feedVectors
	}
	for i, w := range weights {
		if room -= w; room < 0 {
			return max(i, 1)
		}
	}
	return len(weights)
}

// documents lists documents, and ends the snapshot when there are no more.
func (f *feedReader) documents(ctx context.Context) error {
	rows, err := f.tx.Query(ctx, `SELECT document_id, chunks FROM tributary.feed_list($1, $2)`, f.at.After, f.req.Limit)
	if err != nil {
		return err
	}
	var ids []uuid.UUID
	var weights []int
	var id uuid.UUID
	var weight int
	_, err = pgx.ForEachRow(rows, []any{&id, &weight}, func() error {
		ids, weights = append(ids, id), append(weights, weight)
		return nil
	})
	if err != nil {
		return err
	}
	n := f.within(weights)
	if err := f.load(ctx, ids[:n], ids[:n], nil); err != nil {
		return err
	}
	for _, id := range ids[:n] {
		f.whole(0, id)
	}
	f.page.More = true
	if n > 0 {
		f.at.After = &ids[n-1]
	}
	if n == len(ids) && n < f.req.Limit {
		f.at.Stage, f.at.After = "", nil
		f.page.More = f.at.Position < f.head
		f.add(FeedEvent{Event: FeedEnd})
	}
	return nil
}

// feedRow is a row of the outbox.
type feedRow struct {
	Position     int64
	Kind         string
	ConnectionID uuid.UUID
	DocumentID   *uuid.UUID
	Added        []int32
	Removed      []int32
	Detail       []byte
	Chunks       *int
}

// changes tells the rows that follow the cursor.
func (f *feedReader) changes(ctx context.Context) error {
	upto := min(f.head, f.at.Position+feedSpan)
	rows, err := f.tx.Query(ctx, `SELECT place, kind, connection_id, document_id, added, removed, detail, chunks FROM tributary.feed_changes($1, $2, $3)`, f.at.Position, upto, f.req.Limit)
	if err != nil {
		return err
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[feedRow])
	if err != nil {
		return err
	}
	weights := make([]int, len(list))
	for i, r := range list {
		if r.Chunks != nil {
			weights[i] = *r.Chunks
		}
	}
	if n := f.within(weights); n < len(list) || n == f.req.Limit {
		list, upto = list[:n], list[n-1].Position
	}
	if err := f.loadRows(ctx, list); err != nil {
		return err
	}
	if err := f.tellRows(ctx, list); err != nil {
		return err
	}
	f.at.Position = upto
	f.page.More = upto < f.head
	return nil
}

// loadRows reads what the rows are about.
func (f *feedReader) loadRows(ctx context.Context, list []feedRow) error {
	var ids, whole []uuid.UUID
	var parts []ChunkID
	for _, r := range list {
		if r.DocumentID == nil || r.Kind == "purge" {
			continue
		}
		ids = append(ids, *r.DocumentID)
		switch r.Kind {
		case "show", "hide":
			whole = append(whole, *r.DocumentID)
		case "revision", "embed":
			if r.Kind == "embed" && f.profile == 0 {
				continue
			}
			for _, n := range r.Added {
				parts = append(parts, ChunkID{*r.DocumentID, int(n)})
			}
		}
	}
	return f.load(ctx, ids, whole, parts)
}

// tellRows tells each row by what stands now.
func (f *feedReader) tellRows(ctx context.Context, list []feedRow) error {
	for _, r := range list {
		switch r.Kind {
		case "membership":
			if err := f.tellPairs(ctx, r); err != nil {
				return err
			}
		case "stale":
			for _, c := range f.page.Connections {
				if c.ID == r.ConnectionID {
					e := staleness(c)
					e.Position = r.Position
					f.add(e)
				}
			}
		default:
			f.tellDocument(r)
		}
	}
	return nil
}

// tellPairs tells which of the pairs of a row stand.
func (f *feedReader) tellPairs(ctx context.Context, r feedRow) error {
	var pairs [][2]int64
	if err := json.Unmarshal(r.Detail, &pairs); err != nil {
		return fmt.Errorf("reading memberships of position %d: %w", r.Position, err)
	}
	conns, groups, members := make([]uuid.UUID, len(pairs)), make([]int64, len(pairs)), make([]int64, len(pairs))
	for i, p := range pairs {
		conns[i], groups[i], members[i] = r.ConnectionID, p[0], p[1]
	}
	rows, err := f.tx.Query(ctx, `SELECT group_id, member_id, stands FROM tributary.feed_pairs($1, $2, $3)`, conns, groups, members)
	if err != nil {
		return err
	}
	var group, member int64
	var stands bool
	_, err = pgx.ForEachRow(rows, []any{&group, &member, &stands}, func() error {
		f.pair(r.Position, r.ConnectionID, member, group, stands)
		return nil
	})
	return err
}

// tellDocument tells a row about a document. What may not leave is told to be
// gone where it may have left before, and not at all else.
func (f *feedReader) tellDocument(r feedRow) {
	id := *r.DocumentID
	d := f.docs[id]
	if d == nil || r.Kind == "purge" {
		if (r.Kind == "hide" || r.Kind == "purge") && f.once(FeedDocumentDelete, id, 0) {
			f.add(FeedEvent{Event: FeedDocumentDelete, Position: r.Position, ConnectionID: &r.ConnectionID, DocumentID: &id})
		}
		return
	}
	switch r.Kind {
	case "show", "hide":
		f.whole(r.Position, id)
	case "fields":
		f.document(r.Position, d)
	case "acl":
		if !f.sent[sentKey{FeedDocumentUpsert, id, 0}] && f.once(FeedDocumentACL, id, 0) {
			f.set(r.Position, d.ACL)
			f.add(FeedEvent{Event: FeedDocumentACL, Position: r.Position, ConnectionID: &d.ConnectionID, DocumentID: &id, ACL: &d.ACL})
		}
	case "revision", "embed":
		if r.Kind == "revision" {
			f.document(r.Position, d)
		}
		for _, c := range f.chunks[id] {
			if slices.Contains(r.Added, c.ID) {
				f.chunk(r.Position, d, c)
			}
		}
		for _, n := range r.Removed {
			f.add(FeedEvent{Event: FeedChunkDelete, Position: r.Position, ConnectionID: &d.ConnectionID, DocumentID: &id, ChunkID: &ChunkID{id, int(n)}})
		}
	}
}
