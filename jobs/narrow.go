package jobs

import (
	"context"
	"time"

	"tributary/connectors"
	"tributary/internal/audit"
	"tributary/store"
)

// Narrowing is what a change of a connection's settings and selection takes out.
type Narrowing struct {
	// Hides is how many documents are hidden by it: at most, where Exact is false
	// because the source could not be read to its end. Total is how many the
	// connection shows.
	Hides int64 `json:"hides"`
	Exact bool  `json:"exact"`
	Total int64 `json:"total"`
	// Examples are paths of some of them.
	Examples []string `json:"examples"`
}

const (
	// narrowingTime bounds how long the source is read for somebody who waits.
	narrowingTime = 30 * time.Second
	// narrowingExamples is how many documents are named.
	narrowingExamples = 10
)

// Narrowing lists the source as it would be selected, and returns what the next
// sync then hides. It is nil where nothing is taken out. What an admin confirms
// of it goes to ChangeConfirmed.
func (r *Runner) Narrowing(ctx context.Context, conn store.Connection, settings map[string]string, selection connectors.Selection) (*Narrowing, error) {
	c, err := r.Connector(conn.Source)
	if err != nil {
		return nil, err
	}
	if !narrows(conn.Selection, selection) && sameSettings(c.Spec(), conn.Settings, settings) {
		return nil, nil
	}
	totals, err := r.store.Totals(ctx, conn.ID)
	if err != nil {
		return nil, err
	}
	n := &Narrowing{Hides: totals.Documents, Total: totals.Documents, Examples: []string{}}
	if n.Total == 0 {
		n.Exact = true
		return n, nil
	}
	plan, err := r.PlanSync(ctx, conn, PlanOptions{Settings: settings, Selection: &selection, Sample: -1, Time: narrowingTime})
	if err != nil && (connectors.ClassOf(err) == connectors.Invalid || ctx.Err() != nil) {
		return nil, err
	}
	if n.Exact = err == nil && plan.Complete; n.Exact {
		n.Hides = plan.Hide + plan.Held
	}
	for _, it := range plan.Items {
		if it.Op == PlanHide && len(n.Examples) < narrowingExamples {
			n.Examples = append(n.Examples, it.Path)
		}
	}
	return n, nil
}

// ChangeConfirmed is Change by somebody who was shown that at most hides
// documents are hidden by it: so many the next complete listing hides without
// asking again.
func (r *Runner) ChangeConfirmed(
	ctx context.Context, conn store.Connection, settings map[string]string, selection connectors.Selection, hides int64, events ...audit.Event,
) (store.Connection, bool, error) {
	return r.change(ctx, conn, settings, selection, &hides, events)
}
