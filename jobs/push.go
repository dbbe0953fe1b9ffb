package jobs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"tributary/connectors"
	"tributary/store"
)

const (
	// pushIdle is how long nobody pushes to a connection before its run ends.
	pushIdle = time.Minute
	// pushTries is how often a batch is made anew because somebody else changed
	// one of its documents, or because its run has ended; each time somebody
	// else's came through.
	pushTries = 50
	// pushBytes bounds the content of what one transaction writes.
	pushBytes = 4 << 20
)

// PushStatus is what became of an item that was pushed.
type PushStatus string

// The statuses of items. Unchanged says that this revision stood already: its
// text was left alone, its ACL and fields are those that were pushed.
const (
	PushCreated   PushStatus = "created"
	PushUpdated   PushStatus = "updated"
	PushUnchanged PushStatus = "unchanged"
	PushDeleted   PushStatus = "deleted"
	PushFailed    PushStatus = "failed"
)

// PushResult is what became of one item.
type PushResult struct {
	ID     string
	Status PushStatus
	// Warnings are for whoever pushes: the item is stored all the same.
	Warnings []string
	// Err is a *PushError when Status is PushFailed.
	Err error
}

// closePushRuns ends the runs under which nobody pushes any more.
func (r *Runner) closePushRuns(ctx context.Context) error {
	_, err := r.store.ClosePushRuns(ctx, pushIdle)
	return err
}

// pullable refuses to sync a connection that has nothing to pull.
func pullable(c store.Connection) error {
	if c.Source != store.PushSource {
		return nil
	}
	return &store.InputError{Field: "connection", Problem: "documents are pushed to " + c.Name + ": there is nothing to pull"}
}

// Push stores items in a connection of source push and returns what became of
// each, in order. An item that cannot be stored does not stop the others; an
// error says that an unknown number of them, from the first on, is stored, and
// that sending all of them again is right. Without items it says that
// everything that was pushed is right at this moment.
func (r *Runner) Push(ctx context.Context, conn store.Connection, items []PushItem) ([]PushResult, error) {
	p, err := r.pusher(ctx, conn)
	if err != nil {
		return nil, err
	}
	if len(items) == 0 {
		if _, err := r.store.OpenPushRun(ctx, conn.ID); err != nil {
			return nil, err
		}
		return nil, r.store.ConfirmPushed(ctx, conn.ID)
	}
	results := make([]PushResult, 0, len(items))
	for len(items) > 0 {
		n := window(items)
		done, err := p.retried(ctx, items[:n])
		if err != nil {
			return results, err
		}
		results, items = append(results, done...), items[n:]
	}
	return results, nil
}

// PushGroup makes members the whole of a group of the connection's realm.
func (r *Runner) PushGroup(ctx context.Context, conn store.Connection, group connectors.Principal, members []connectors.Principal) (int64, error) {
	p, err := r.pusher(ctx, conn)
	if err != nil {
		return 0, err
	}
	var changed int64
	err = p.again(ctx, func(bool) error {
		run, err := r.store.OpenPushRun(ctx, conn.ID)
		if err != nil {
			return err
		}
		changed, err = r.store.ReplaceGroup(ctx, run, p.s.realm, group, members)
		return err
	})
	return changed, err
}

// window returns how many of the items one transaction takes: none of them
// twice.
func window(items []PushItem) int {
	seen := make(map[string]bool, batchDocuments)
	size := 0
	for i := range items {
		size += len(items[i].Content)
		if i == batchDocuments || seen[items[i].ID] || i > 0 && size > pushBytes {
			return i
		}
		seen[items[i].ID] = true
	}
	return len(items)
}

// pusher writes what is pushed to one connection.
type pusher struct {
	r *Runner
	s *syncer
	// turn is held while a batch is written, and from the start while one is
	// made anew: of those who push to a connection one writes at a time, and
	// waiting here costs the database nothing.
	turn chan struct{}
}

// take waits for the turn and returns how to pass it on.
func (p *pusher) take(ctx context.Context) (func(), error) {
	select {
	case p.turn <- struct{}{}:
		return func() { <-p.turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// turns are the turns of connections in this process.
type turns struct {
	mu sync.Mutex
	of map[uuid.UUID]chan struct{}
}

func (t *turns) at(id uuid.UUID) chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.of == nil {
		t.of = map[uuid.UUID]chan struct{}{}
	}
	if t.of[id] == nil {
		t.of[id] = make(chan struct{}, 1)
	}
	return t.of[id]
}

func (r *Runner) pusher(ctx context.Context, conn store.Connection) (*pusher, error) {
	switch {
	case conn.Source != store.PushSource:
		return nil, store.ErrNotPush
	case conn.RealmID == nil:
		return nil, &store.InputError{Field: "connection", Problem: conn.Name + " has no realm: make it anew with tributary connect push"}
	}
	s := &syncer{r: r, conn: conn, realm: *conn.RealmID}
	return &pusher{r: r, s: s, turn: r.turns.at(conn.ID)}, s.loadLocalProfiles(ctx)
}

// again calls write until it ends otherwise than because its run ended, or its
// documents were changed, under its hands. After the first time the turn is
// held.
func (p *pusher) again(ctx context.Context, write func(held bool) error) error {
	err := write(false)
	if !lost(err) {
		return err
	}
	pass, takeErr := p.take(ctx)
	if takeErr != nil {
		return takeErr
	}
	defer pass()
	for try := 1; try < pushTries && lost(err); try++ {
		err = write(true)
	}
	return err
}

// lost reports that somebody else was first.
func lost(err error) bool {
	return errors.Is(err, store.ErrFenced) || errors.Is(err, store.ErrConflict)
}

func (p *pusher) retried(ctx context.Context, items []PushItem) ([]PushResult, error) {
	var results []PushResult
	err := p.again(ctx, func(held bool) error {
		var err error
		results, err = p.push(ctx, items, held)
		return err
	})
	return results, err
}

// pushed is an item on its way.
type pushed struct {
	item   *PushItem
	known  store.PushedDocument
	result result
	out    PushResult
	// open is true when its text has to be read.
	open bool
}

// push stores items, none of which stands twice among them, in one transaction.
func (p *pusher) push(ctx context.Context, items []PushItem, held bool) ([]PushResult, error) {
	list, err := p.plan(ctx, items)
	if err != nil {
		return nil, err
	}
	if err := p.process(ctx, list); err != nil {
		return nil, err
	}
	b := &store.Batch{Realm: p.s.realm, Based: map[string]store.Basis{}}
	vectors := make([][][][]float32, len(p.s.locals))
	for _, it := range list {
		it.add(p.s, b, vectors)
	}
	if err := p.commit(ctx, b, vectors, held); err != nil {
		return nil, err
	}
	results := make([]PushResult, len(list))
	for i, it := range list {
		results[i] = it.out
	}
	return results, nil
}

// plan joins the items with what is stored of them.
func (p *pusher) plan(ctx context.Context, items []PushItem) ([]*pushed, error) {
	ids := make([]string, len(items))
	for i := range items {
		ids[i] = items[i].ID
	}
	known, err := p.r.store.PushedDocuments(ctx, p.s.conn.ID, ids)
	if err != nil {
		return nil, err
	}
	excluded, err := p.r.store.Excluded(ctx, p.s.conn.ID, ids)
	if err != nil {
		return nil, err
	}
	list := make([]*pushed, len(items))
	for i := range items {
		it := &pushed{item: &items[i], known: known[ids[i]], out: PushResult{ID: ids[i]}}
		list[i] = it
		switch {
		case it.item.Err != nil:
			it.fail(it.item.Err)
		case it.item.Delete:
		case excluded[it.item.ID]:
			it.fail(&PushError{Code: PushExcluded, Pointer: "/id", Detail: "an admin erased or excluded it: it is not stored again"})
		case it.item.ACL == nil && it.known.ID == uuid.Nil:
			it.fail(&PushError{Code: PushInvalid, Pointer: "/acl", Detail: "a new document needs an acl: say who may read it, or send {\"all_of\": []} for nobody"})
		default:
			it.open = it.known.ID == uuid.Nil || it.known.SourceRevision != it.item.revision()
		}
	}
	return list, nil
}

func (it *pushed) fail(err error) { it.out.Status, it.out.Err = PushFailed, err }

// process turns the content of those items that need it into chunks.
func (p *pusher) process(ctx context.Context, list []*pushed) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(p.r.cfg.Parallel)
	for _, it := range list {
		if !it.open {
			continue
		}
		group.Go(func() error {
			it.result = p.s.processItem(ctx, &item{change: it.item.change(), known: store.KnownDocument{ID: it.known.ID, ContentHash: it.known.ContentHash}})
			if it.result.kind == resultFatal {
				return it.result.err
			}
			return nil
		})
	}
	return group.Wait()
}

// change is the item as the engine knows changes.
func (i *PushItem) change() connectors.Change {
	return connectors.Change{
		Ref: connectors.ItemRef{ID: i.ID, Revision: i.revision()}, ACL: i.acl(),
		Document: &connectors.Document{
			Title: i.Title, URL: i.URL, Path: i.ID, Kind: "document", MediaType: i.ContentType, Size: int64(len(i.Content)), Metadata: i.Metadata,
			Open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(i.Content)), nil },
		},
	}
}

// commit writes the batch under the connection's open run.
func (p *pusher) commit(ctx context.Context, b *store.Batch, vectors [][][][]float32, held bool) error {
	if !held {
		pass, err := p.take(ctx)
		if err != nil {
			return err
		}
		defer pass()
	}
	var err error
	if b.Run, err = p.r.store.OpenPushRun(ctx, p.s.conn.ID); err != nil {
		return err
	}
	for i, local := range p.s.locals {
		of := vectors[i]
		b.Profiles = append(b.Profiles, store.ProfileVectors{ID: local.id, Vectors: func(doc, chunk int) []float32 { return of[doc][chunk] }})
	}
	_, err = p.r.store.WriteBatch(ctx, b, func(ctx context.Context, tx pgx.Tx, res store.BatchResult) error {
		if res.Due {
			if err := p.r.wakeTx(ctx, tx, p.s.remotes); err != nil {
				return err
			}
		}
		return p.r.store.ConfirmPushedTx(ctx, tx, p.s.conn.ID)
	})
	if err != nil {
		return fmt.Errorf("storing what was pushed: %w", err)
	}
	return nil
}
