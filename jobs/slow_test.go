package jobs

import (
	"context"
	"io"
	"iter"
	"time"

	"tributary/connectors"
	"tributary/connectors/reference"
)

// slow is a world whose snapshot takes time: for each page, and for each body.
type slow struct {
	reference.Connector
	page, body time.Duration
}

func (c slow) Open(ctx context.Context, env connectors.Env) (connectors.Session, error) {
	s, err := c.Connector.Open(ctx, env)
	if err != nil {
		return nil, err
	}
	return slowSession{s.(*reference.Session), c.page, c.body}, nil
}

type slowSession struct {
	*reference.Session
	page, body time.Duration
}

func (s slowSession) Snapshot(ctx context.Context, from connectors.Cursor) iter.Seq2[connectors.Page, error] {
	return func(yield func(connectors.Page, error) bool) {
		for page, err := range s.Session.Snapshot(ctx, from) {
			if late := lateBy(ctx, s.page); late != nil {
				yield(connectors.Page{}, late)
				return
			}
			for i := range page.Changes {
				d := page.Changes[i].Document
				if d == nil || s.body == 0 {
					continue
				}
				open := d.Open
				d.Open = func(ctx context.Context) (io.ReadCloser, error) {
					if late := lateBy(ctx, s.body); late != nil {
						return nil, late
					}
					return open(ctx)
				}
			}
			if !yield(page, err) {
				return
			}
		}
	}
}

// lateBy takes as long as a source would.
func lateBy(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return nil
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
