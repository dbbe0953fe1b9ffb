package main

import (
	"context"
	"time"

	"tributary/store"
	"tributary/web"
)

// checkFeed looks whether changes get their places in the outbox feed.
func checkFeed(ctx context.Context, st *store.Store) finding {
	const check = "outbox feed"
	h, err := st.FeedHealth(ctx)
	switch {
	case err != nil:
		return fail(check, err.Error(), "see the log of the database")
	case h.Lag > store.FeedLagAlarm:
		return warn(check, "changes have waited for their place for "+h.Lag.Round(time.Second).String(), "start tributary up, or a process of serve or worker, and look at its log")
	default:
		return ok(check, "position %d, the oldest change is of %s ago", h.Position, h.Age.Round(time.Minute))
	}
}

// feedGauges reports how far the outbox feed is.
func feedGauges(ctx context.Context, st *store.Store) ([]web.Sample, error) {
	h, err := st.FeedHealth(ctx)
	if err != nil {
		return nil, err
	}
	return []web.Sample{
		{Name: "tributary_feed_position", Help: "The last position of the outbox feed.", Value: float64(h.Position)},
		{Name: "tributary_feed_waiting", Help: "Changes that have no position yet.", Value: float64(h.Waiting)},
		{Name: "tributary_feed_lag_seconds", Help: "How long the eldest of them has waited.", Value: h.Lag.Seconds()},
		{Name: "tributary_feed_age_seconds", Help: "Age of the oldest change that can be read.", Value: h.Age.Seconds()},
	}, nil
}
