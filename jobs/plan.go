package jobs

import (
	"context"
	"time"

	"tributary/connectors"
	"tributary/store"
)

// PlanOptions say what is planned, and what the plan may cost. Zero bounds
// become the defaults named at each field.
type PlanOptions struct {
	// Kind is snapshot or changes; "" is what the next sync does.
	Kind store.RunKind
	// Settings and Selection stand in place of the connection's where they are
	// not nil.
	Settings  map[string]string
	Selection *connectors.Selection
	// Sample is how many bodies are opened to estimate what all of them cost:
	// 50; less than 0 is none. Exact opens every one.
	Sample int
	Exact  bool
	// SampleTime bounds how long the sample is opened: 2 minutes. What was opened
	// by then is told.
	SampleTime time.Duration
	// Limit bounds the items that are listed: 200,000.
	Limit int64
	// Time bounds how long the source is read: 10 minutes.
	Time time.Duration
	// Items bounds the list of what changes: 200.
	Items int
	// Watch is told how many items are listed.
	Watch func(listed int64)
}

func (o PlanOptions) withDefaults() PlanOptions {
	if o.Sample == 0 {
		o.Sample = 50
	}
	if o.SampleTime <= 0 {
		o.SampleTime = 2 * time.Minute
	}
	if o.Limit <= 0 {
		o.Limit = 200_000
	}
	if o.Time <= 0 {
		o.Time = 10 * time.Minute
	}
	if o.Items <= 0 {
		o.Items = 200
	}
	return o
}

// Plan is what a sync would do. Where Exact is false, Add and Update count what
// a sync would open, and Text says what the bodies that were opened came to.
type Plan struct {
	Connection string        `json:"connection"`
	Kind       store.RunKind `json:"kind"`
	// Changed says that the plan is of another selection or other settings than
	// the connection's.
	Changed bool `json:"changed"`
	// Complete says that the source was read to its end, Partial why it was not.
	Complete bool   `json:"complete"`
	Partial  string `json:"partial,omitempty"`
	// Exact says that every body was opened that a sync would open.
	Exact bool `json:"exact"`

	Listed    int64 `json:"listed"`
	Add       int64 `json:"add"`
	Update    int64 `json:"update"`
	Unchanged int64 `json:"unchanged"`
	// Restore are hidden documents that would show again, Hide those that would
	// be hidden, and Delete those that would be purged.
	Restore int64 `json:"restore"`
	Hide    int64 `json:"hide"`
	Delete  int64 `json:"delete"`
	// Held deletions would wait for an admin, because of HeldFor.
	Held    int64            `json:"held"`
	HeldFor store.HoldReason `json:"held_for,omitempty"`
	// Skipped are listed and not ingested, Quarantined cannot be.
	// Excluded are left out because an admin said so.
	Skipped     int64 `json:"skipped"`
	Quarantined int64 `json:"quarantined"`
	Excluded    int64 `json:"excluded"`
	// Blocked are the containers that could not be listed.
	Blocked []connectors.Container `json:"blocked"`

	Text    PlanText       `json:"text"`
	Readers store.Audience `json:"readers"`
	// Items are some of what changes; More says that there is more.
	Items []PlanItem `json:"items"`
	More  bool       `json:"more_items"`
	// Seconds is how long making the plan took.
	Seconds float64 `json:"took_seconds"`
}

// Took is how long making the plan took.
func (p Plan) Took() time.Duration { return time.Duration(p.Seconds * float64(time.Second)) }

// PlanItem is one item that a sync would change or leave out.
type PlanItem struct {
	Op         PlanOp `json:"op"`
	ExternalID string `json:"external_id"`
	Path       string `json:"path"`
	Reason     string `json:"reason,omitempty"`
}

// PlanOp is what a sync would do with an item.
type PlanOp string

// The operations of a plan.
const (
	PlanAdd        PlanOp = "add"
	PlanUpdate     PlanOp = "update"
	PlanRestore    PlanOp = "restore"
	PlanHide       PlanOp = "hide"
	PlanDelete     PlanOp = "delete"
	PlanHold       PlanOp = "hold"
	PlanSkip       PlanOp = "skip"
	PlanQuarantine PlanOp = "quarantine"
)

// PlanSync reads what a sync of a connection would read and compares it with
// what is stored. It acts for the grant as a sync does, keeps no content and
// writes nothing.
func (r *Runner) PlanSync(ctx context.Context, conn store.Connection, o PlanOptions) (Plan, error) {
	o = o.withDefaults()
	began := time.Now()
	next, err := plannedConnection(conn, o)
	if err != nil {
		return Plan{}, err
	}
	plan := Plan{
		Connection: conn.Name, Kind: o.Kind, Exact: true, Changed: o.Settings != nil || o.Selection != nil,
		Blocked: []connectors.Container{}, Items: []PlanItem{},
	}
	if plan.Kind == "" {
		plan.Kind = r.kindOf(conn.Source, store.Content, !conn.FeedCursor.IsZero() && !plan.Changed)
	}
	p := &planner{r: r, o: o, conn: next, plan: plan, items: map[string]*planned{}, narrowed: r.narrowed(conn, next)}
	reading, cancel := context.WithTimeout(ctx, o.Time)
	defer cancel()
	err = r.withSession(ctx, next, "planning a sync", func(o opened, realm string) error {
		p.s = &syncer{r: r, conn: next, session: o.session, spec: o.spec, run: store.Run{ConnectionID: conn.ID, Connection: conn.Name, Lane: store.Content, Kind: plan.Kind}}
		return p.work(ctx, reading, realm)
	})
	p.plan.Seconds = time.Since(began).Round(time.Millisecond).Seconds()
	return p.plan, err
}

// plannedConnection returns the connection as the options of a plan make it.
func plannedConnection(conn store.Connection, o PlanOptions) (store.Connection, error) {
	changed := o.Settings != nil || o.Selection != nil
	switch {
	case conn.State == store.StateClosing:
		return conn, &store.InputError{Field: "connection", Problem: conn.Name + " is being deleted: there is nothing to plan"}
	case o.Kind != "" && o.Kind != store.RunSnapshot && o.Kind != store.RunChanges:
		return conn, &store.InputError{Field: "kind", Problem: "must be snapshot or changes"}
	case o.Kind == store.RunChanges && changed:
		return conn, &store.InputError{Field: "kind", Problem: "must be snapshot where the selection or the settings change: everything is listed then"}
	case o.Kind == store.RunChanges && conn.FeedCursor.IsZero():
		return conn, &store.InputError{Field: "kind", Problem: "must be snapshot: " + conn.Name + " has no position in a change feed"}
	}
	if o.Settings != nil {
		conn.Settings = o.Settings
	}
	if o.Selection == nil {
		return conn, nil
	}
	var err error
	conn.Selection = *o.Selection
	conn.Selection.Containers, err = containers(o.Selection.Containers)
	return conn, err
}

// narrowed reports whether something that from holds may be missing in to.
func (r *Runner) narrowed(from, to store.Connection) bool {
	c, err := r.Connector(from.Source)
	return err == nil && (narrows(from.Selection, to.Selection) || !sameSettings(c.Spec(), from.Settings, to.Settings))
}
