package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/store"
)

// maxPlanMembers bounds the memberships that a plan reads from a source.
const maxPlanMembers = 200_000

// planned is what a plan knows of an item.
type planned struct {
	// op is "" for an item that would stay as it is.
	op       PlanOp
	revision string
	path     string
	why      string
	// stored is the document, uuid.Nil where there is none, and hidden why it is.
	stored uuid.UUID
	hidden string
	acl    connectors.ACL
}

// note returns what is known of an item that stays as it is.
func note(k store.KnownDocument) *planned {
	n := &planned{stored: k.ID}
	if k.HiddenReason != nil {
		n.hidden = *k.HiddenReason
	}
	return n
}

// planner reads a source for one plan.
type planner struct {
	r    *Runner
	s    *syncer
	o    PlanOptions
	conn store.Connection
	plan Plan
	// narrowed is true where the plan's selection or settings may leave out what
	// the connection's hold.
	narrowed bool
	// items holds whatever was listed, by id; the last word on an item counts.
	items map[string]*planned
	text  textPlan
}

// errPlanLimit ends a walk whose bound is reached.
var errPlanLimit = errors.New("limit reached")

// work plans within ctx and reads the source within reading.
func (p *planner) work(ctx, reading context.Context, realm string) error {
	started, err := p.r.store.Now(ctx)
	if err != nil {
		return err
	}
	if err := p.text.load(ctx, p); err != nil {
		return err
	}
	err = p.walk(reading)
	if p.plan.Kind == store.RunChanges && connectors.ClassOf(err) == connectors.CursorExpired {
		// As a sync does: everything is listed instead.
		p.plan.Kind, p.s.run.Kind, p.plan.Listed, p.plan.Excluded, p.items = store.RunSnapshot, store.RunSnapshot, 0, 0, map[string]*planned{}
		err = p.walk(reading)
	}
	if err == nil {
		err = p.again(reading, started)
	}
	if p.plan.Partial, err = p.partial(reading, err); err != nil {
		return err
	}
	p.plan.Complete = p.plan.Complete && p.plan.Partial == ""
	if err := p.text.openSample(ctx, p); err != nil {
		return err
	}
	if p.plan.Kind != store.RunChanges && p.plan.Complete {
		if err := p.sweep(ctx, started); err != nil {
			return err
		}
	}
	p.sum()
	p.text.sum(&p.plan)
	return p.readers(ctx, realm)
}

// partial returns why a walk ended early, where what it found is worth telling.
func (p *planner) partial(ctx context.Context, err error) (string, error) {
	switch {
	case err == nil && !p.plan.Complete:
		return "the listing ended before the source's own end: nothing would be deleted", nil
	case err == nil:
		return "", nil
	case errors.Is(err, errPlanLimit):
		return fmt.Sprintf("the limit of %d items was reached", p.o.Limit), nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Sprintf("the limit of %s was reached", p.o.Time), nil
	case ctx.Err() == nil && p.plan.Listed > 0 && outcomeOf(connectors.ClassOf(err)).retry:
		return "the source failed: " + err.Error(), nil
	default:
		return "", err
	}
}

// walk reads pages as a run does, and writes nothing.
func (p *planner) walk(ctx context.Context) error {
	var from connectors.Cursor
	var seq iter.Seq2[connectors.Page, error]
	if p.plan.Kind == store.RunChanges {
		feed, ok := p.s.session.(connectors.ChangeFeed)
		if !ok {
			return bug("source %s has no change feed", p.conn.Source)
		}
		from = p.conn.FeedCursor
		seq = feed.Changes(ctx, from)
	} else {
		seq = p.s.session.Snapshot(ctx, nil)
	}
	visited := map[string]bool{string(from): true}
	for page, err := range seq {
		if err != nil {
			return err
		}
		if visited[string(page.Next)] {
			return bug("the cursor after a page is one that the plan has passed: %.200s", string(page.Next))
		}
		visited[string(page.Next)] = true
		if err := p.page(ctx, page); err != nil {
			return err
		}
		p.plan.Complete = page.Complete
		if p.o.Watch != nil {
			p.o.Watch(p.plan.Listed)
		}
		if !page.Complete && p.plan.Listed >= p.o.Limit {
			return errPlanLimit
		}
	}
	p.plan.Complete = p.plan.Complete || p.plan.Kind == store.RunChanges
	return ctx.Err()
}

// again reads the quarantined items that a run of this kind tries again.
func (p *planner) again(ctx context.Context, started time.Time) error {
	fetcher, ok := p.s.session.(connectors.Fetcher)
	if !ok || !p.s.spec.Has(connectors.CanFetch) {
		return nil
	}
	p.s.begun = time.Now()
	p.s.deadline = p.s.begun.Add(p.o.Time)
	listed := p.plan.Listed
	due, err := p.r.store.RetriesDue(ctx, store.Run{ConnectionID: p.conn.ID, Kind: p.plan.Kind, StartedAt: &started}, maxItemAttempts, freeRetries+int(listed/retryShare))
	if err != nil {
		return err
	}
	due = slices.DeleteFunc(due, func(r store.Retry) bool { return p.items[r.ExternalID] != nil })
	for page, err := range p.s.fetchAll(ctx, fetcher, due) {
		if err != nil {
			return err
		}
		if err := p.page(ctx, page); err != nil {
			return err
		}
	}
	p.plan.Listed = listed
	return nil
}

// page compares a page with what is stored.
func (p *planner) page(ctx context.Context, page connectors.Page) error {
	task, err := p.s.plan(ctx, page)
	if err != nil {
		return err
	}
	known, err := p.known(ctx, task)
	if err != nil {
		return err
	}
	p.plan.Blocked = append(p.plan.Blocked, task.page.Blocked...)
	p.plan.Excluded += task.excluded
	p.plan.Listed += task.excluded
	var open []*item
	for _, it := range task.items {
		if it.change.Op == connectors.Delete {
			it.known = known[it.change.Ref.ID]
		}
		if p.take(it) {
			open = append(open, it)
		}
	}
	for _, skip := range task.page.Skipped {
		p.plan.Listed++
		now := note(known[skip.Ref.ID])
		now.op, now.path, now.why = PlanSkip, skip.Path, skip.Reason
		p.items[skip.Ref.ID] = now
	}
	return p.text.offer(ctx, p, open)
}

// known returns what is stored of the items that a page names without a body.
func (p *planner) known(ctx context.Context, task *pageTask) (map[string]store.KnownDocument, error) {
	var ids []string
	for _, it := range task.items {
		if it.change.Op == connectors.Delete {
			ids = append(ids, it.change.Ref.ID)
		}
	}
	for _, skip := range task.page.Skipped {
		if store.UsableID(skip.Ref.ID) {
			ids = append(ids, skip.Ref.ID)
		}
	}
	return p.r.store.KnownDocuments(ctx, p.conn.ID, ids)
}

// take notes what is known of an item without its body, and reports whether
// that has to be opened.
func (p *planner) take(it *item) bool {
	id, before := it.change.Ref.ID, p.items[it.change.Ref.ID]
	now := note(it.known)
	now.revision, now.path = it.change.Ref.Revision, pathOf(it.change)
	switch it.change.Op {
	case connectors.Delete:
		delete(p.items, id)
		if now.stored != uuid.Nil {
			now.op, now.path, now.why = PlanDelete, id, "the source deleted it"
			p.items[id] = now
		}
		return false
	case connectors.SetACL:
		if before == nil && now.stored != uuid.Nil {
			now.revision, now.path = "", ""
			p.items[id] = now
		}
		return false
	case connectors.Upsert:
	}
	p.plan.Listed++
	switch {
	case it.restsInQuarantine():
		now.op, now.why = PlanQuarantine, fmt.Sprintf("it failed %d times", it.known.QuarantineAttempts)
	case it.open && before != nil && before.op != PlanDelete && before.revision == now.revision:
		return false
	case it.open && now.stored == uuid.Nil:
		now.op, now.acl = PlanAdd, it.change.ACL
	case it.open:
		now.op = PlanUpdate
	case now.hidden != "" && now.hidden != hiddenRefused:
		now.op = PlanRestore
	}
	p.items[id] = now
	return it.open
}

// hiddenRefused is why a document is hidden whose content the source refuses.
const hiddenRefused = "refused"

// settle corrects what was noted of an item by what its body came to.
func (p *planner) settle(it *item, res *result) {
	now := p.items[it.change.Ref.ID]
	if now == nil || now.revision != it.change.Ref.Revision {
		return // a later page spoke of it again
	}
	switch res.kind {
	case resultDocument, resultFatal:
	case resultTouched:
		now.op = ""
		if now.hidden != "" {
			now.op = PlanRestore
		}
	case resultSkipped, resultRefused:
		now.op, now.why = PlanSkip, res.err.Error()
	case resultQuarantined:
		now.op, now.why = PlanQuarantine, res.err.Error()
	}
}

// sweep adds what a complete listing would delete.
func (p *planner) sweep(ctx context.Context, started time.Time) error {
	l := store.PlannedListing{Connection: p.conn, Any: p.plan.Listed > 0, Blocked: p.plan.Blocked, Started: started, Rules: p.r.cfg.Sweep, Narrowed: p.narrowed}
	for _, it := range p.items {
		if it.stored != uuid.Nil {
			l.Seen = append(l.Seen, it.stored)
		}
		counted := it.stored != uuid.Nil && (it.hidden == "" || it.hidden == "absent")
		switch {
		case !counted && (it.op == PlanAdd || it.op == PlanUpdate || it.op == PlanRestore):
			l.More++
		case counted && it.op == PlanSkip:
			l.More--
		}
	}
	swept, err := p.r.store.PlanSweep(ctx, l)
	if err != nil {
		return err
	}
	p.plan.HeldFor = swept.Reason
	for _, it := range swept.Held {
		p.items[it.ExternalID] = &planned{op: PlanHold, path: it.Path, why: "an admin is asked: the listing does not contain it"}
	}
	for _, it := range swept.Hide {
		p.items[it.ExternalID] = &planned{op: PlanHide, path: it.Path, why: "the listing does not contain it"}
	}
	for _, it := range swept.Purge {
		// What was refused and can be read again stays.
		if now := p.items[it.ExternalID]; now == nil || (now.op != PlanUpdate && now.op != PlanRestore) {
			p.items[it.ExternalID] = &planned{op: PlanDelete, path: it.Path, why: "it has been hidden for long enough"}
		}
	}
	return nil
}

// sum counts what was noted, and lists some of it.
func (p *planner) sum() {
	counts := map[PlanOp]*int64{
		"": &p.plan.Unchanged, PlanAdd: &p.plan.Add, PlanUpdate: &p.plan.Update, PlanRestore: &p.plan.Restore, PlanHide: &p.plan.Hide,
		PlanDelete: &p.plan.Delete, PlanHold: &p.plan.Held, PlanSkip: &p.plan.Skipped, PlanQuarantine: &p.plan.Quarantined,
	}
	for id, it := range p.items {
		if it.op == PlanSkip && it.stored != uuid.Nil && it.hidden != hiddenRefused {
			it.op = PlanHide
		}
		*counts[it.op]++
		if it.op != "" {
			p.plan.Items = append(p.plan.Items, PlanItem{Op: it.op, ExternalID: id, Path: cmp.Or(it.path, id), Reason: it.why})
		}
	}
	order := []PlanOp{PlanDelete, PlanHold, PlanHide, PlanAdd, PlanUpdate, PlanRestore, PlanQuarantine, PlanSkip}
	slices.SortFunc(p.plan.Items, func(a, b PlanItem) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.Op), slices.Index(order, b.Op)), strings.Compare(a.Path, b.Path), strings.Compare(a.ExternalID, b.ExternalID))
	})
	p.plan.More = len(p.plan.Items) > p.o.Items
	p.plan.Items = slices.Clone(p.plan.Items[:min(len(p.plan.Items), p.o.Items)])
}

// readers works out who could read what is new.
func (p *planner) readers(ctx context.Context, realm string) error {
	of := store.NewAudienceOf()
	for _, it := range p.items {
		if it.op == PlanAdd {
			of.Add(it.acl)
		}
	}
	var err error
	p.plan.Readers, err = p.r.store.Audience(ctx, p.conn, realm, of, p.members(ctx))
	return err
}

// members returns the source's own memberships where none are stored yet; nil
// where they are, or cannot be read.
func (p *planner) members(ctx context.Context) []connectors.Membership {
	lister, ok := p.s.session.(connectors.GroupLister)
	if p.conn.PermissionsAsOf != nil || !ok || !p.s.spec.Has(connectors.CanGroups) || p.plan.Add == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	list := []connectors.Membership{}
	for m, err := range lister.Groups(ctx) {
		if err != nil || len(list) == maxPlanMembers {
			return nil
		}
		list = append(list, m)
	}
	return list
}
