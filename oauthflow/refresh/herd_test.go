package refresh_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"tributary/connectors"
	"tributary/internal/secret"
	"tributary/oauthflow"
	"tributary/oauthflow/refresh"
	"tributary/store"
)

// simulated is a provider in simulated time.
type simulated struct {
	now  func() time.Duration
	down func() bool

	mu       sync.Mutex
	requests []time.Duration
	made     int64
}

func (s *simulated) Send(_ context.Context, r refresh.Request, trace *oauthflow.Trace) (*oauthflow.Token, error) {
	trace.MarkSent()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, s.now())
	if s.down() {
		return nil, &oauthflow.TokenError{Class: connectors.Transient, Status: 503, Definitive: true}
	}
	s.made++
	_, n := grantOf(r.Pair.Refresh.Reveal())
	return &oauthflow.Token{Access: secret.New("at"), Refresh: secret.New(refreshToken(r.Grant.ID.String(), n+1)), Type: "bearer", ExpiresIn: time.Hour}, nil
}

// TestRF7 : two hours of 503 with thousands of grants, in simulated time with the store's own limiter and breaker: few
// probes while it lasts, all healthy within ten minutes of its end, no consent needed.
func TestRF7(t *testing.T) {
	t.Parallel()
	n := scale(t, "TEST_RF7_GRANTS", 120)
	r := newRig(t, "F")
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	r.db.SetClock(t, at)
	var elapsed atomic.Int64
	now := func() time.Duration { return time.Duration(elapsed.Load()) }
	const outage, ahead, every = 2 * time.Hour, 10 * time.Minute, 30 * time.Second // every is the job's
	provider := &simulated{now: now}
	provider.down = func() bool { return now() >= ahead && now() < ahead+outage }
	for range n {
		g := r.consent(time.Hour)
		// Their tokens are of different ages, as in life.
		r.db.MustExec(t, `UPDATE credential SET obtained_at = $2::timestamptz - random() * interval '50 minutes', at_expires = NULL WHERE grant_id = $1`, g, at)
		r.db.MustExec(t, `UPDATE credential SET at_expires = obtained_at + interval '1 hour' WHERE grant_id = $1`, g)
	}
	rate := max(2.0, float64(n)/300)
	cfg := r.config(refresh.Timing{})
	cfg.Sender, cfg.Clock = provider, now
	cfg.Gate = r.store.Gate(store.GateOptions{Token: store.Rate{PerSecond: rate, Burst: int(30 * rate)}})
	cfg.Wait = func(context.Context, time.Duration) error { return errTest } // a turn comes with the next step
	k := r.keeper(cfg)
	step := func(d time.Duration) {
		r.db.Advance(t, d)
		elapsed.Add(int64(d))
		for {
			due, err := k.Due(t.Context(), 500)
			if err != nil {
				t.Fatal(err)
			}
			var group errgroup.Group
			group.SetLimit(8)
			var done atomic.Int64
			for _, g := range due {
				group.Go(func() error {
					if k.Ahead(t.Context(), g) == nil {
						done.Add(1)
					}
					return nil
				})
			}
			_ = group.Wait()
			if done.Load() == 0 {
				return
			}
		}
	}
	healthy := func() (fresh, reauth int) {
		err := r.db.Owner.QueryRow(t.Context(), `SELECT count(*) FILTER (WHERE at_expires > clock()), count(*) FILTER (WHERE state <> 'active') FROM credential`).Scan(&fresh, &reauth)
		if err != nil {
			t.Fatal(err)
		}
		return fresh, reauth
	}
	for end := ahead + outage - every; now() < end; {
		step(every)
	}
	fresh, reauth := healthy()
	if fresh != 0 || reauth != 0 {
		t.Errorf("at the end of the outage: %d of %d grants have a valid token, %d are not active", fresh, n, reauth)
	}
	probes := 0
	for _, at := range provider.requests {
		if at >= ahead+time.Minute && at < ahead+outage { // the first minute opens the breaker
			probes++
		}
	}
	if most := int((outage - time.Minute) / (10 * time.Second)); probes > most || probes < 5 {
		t.Errorf("%d probes during the outage, want 5 to %d", probes, most)
	}
	var healed time.Duration
	for ; healed < 15*time.Minute; healed += every {
		step(every)
		if fresh, reauth = healthy(); fresh == n {
			break
		}
	}
	if fresh != n || reauth != 0 || healed > 10*time.Minute {
		t.Errorf("%s after the outage: %d of %d healthy, %d not active", healed, fresh, n, reauth)
	}
	peak, from := 0, 0
	for i, at := range provider.requests { // they are in order
		for at-provider.requests[from] >= 10*time.Second {
			from++
		}
		peak = max(peak, i-from+1)
	}
	if most := int(40 * rate); peak > most {
		t.Errorf("%d requests in 10 s, the limit is %d", peak, most)
	}
	t.Logf("RF-7: %d grants, %s of 503: %d probes, all healthy %s after it, 0 need consent, peak %d requests in 10 s", n, outage, probes, healed, peak)
}
