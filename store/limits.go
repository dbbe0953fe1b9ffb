package store

import (
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"tributary/oauthflow"
)

// Rate is a token bucket: how many calls a second in the long run, and how many at once.
type Rate struct {
	PerSecond float64
	Burst     int
}

// GateOptions bound outbound calls. What is zero has the default that its field names.
type GateOptions struct {
	// Token is for token endpoints (keys "token:…"): 2 a second, 5 at once. API is for all else: 10 a second, 20 at once.
	Token, API Rate
	// Failures in a row open the breaker: 5.
	Failures int
	// FirstOpen is how long it stays open at first, 10 s, doubled each time that its probe fails, up to MaxOpen, 2 min.
	FirstOpen, MaxOpen time.Duration
	// Refused is how long it stays open after CallEnd.Break: 10 min, or until ResetLimit.
	Refused time.Duration
	// Probe is after which time a probe that nobody reported counts as lost: 45 s, longer than any token request.
	Probe time.Duration
}

func (o GateOptions) withDefaults() GateOptions {
	rate := func(r *Rate, perSecond float64, burst int) {
		if r.PerSecond <= 0 {
			r.PerSecond = perSecond
		}
		if r.Burst <= 0 {
			r.Burst = burst
		}
	}
	span := func(d *time.Duration, def time.Duration) {
		if *d <= 0 {
			*d = def
		}
	}
	rate(&o.Token, 2, 5)
	rate(&o.API, 10, 20)
	if o.Failures <= 0 {
		o.Failures = 5
	}
	span(&o.FirstOpen, 10*time.Second)
	span(&o.MaxOpen, 2*time.Minute)
	span(&o.Refused, 10*time.Minute)
	span(&o.Probe, 45*time.Second)
	return o
}

// Gate returns the limiter and breaker that all processes on this database share.
func (s *Store) Gate(o GateOptions) oauthflow.Gate { return &gate{s: s, o: o.withDefaults()} }

// gate is one row of outbound_limit per key, changed by one statement per call. The table is logged, because after a crash of
// the database a server that asked for quiet must still get it; but no call waits for the disk (synchronous_commit is off
// for its statements), so that a crash forgets the last moments only.
type gate struct {
	s *Store
	o GateOptions
}

const (
	// maxRetryAfter caps what a server may ask for.
	maxRetryAfter = time.Hour
	// leastWait is the answer where the row changed under the statement: ask again.
	leastWait = 20 * time.Millisecond
	// probeWait is how soon to ask again while a probe is out, which mostly ends long before it counts as lost.
	probeWait = 5 * time.Second
)

func (g *gate) rate(key string) Rate {
	if strings.HasPrefix(key, "token:") {
		return g.o.Token
	}
	return g.o.API
}

// Enter implements oauthflow.Gate. The row is locked before it is judged, so that of any number of callers one is the probe
// of a half-open breaker, and tokens are never taken twice. clock() is read once, before the lock is waited for: a time that
// lies before the row's refills nothing.
func (g *gate) Enter(ctx context.Context, key string) (time.Duration, string, error) {
	r := g.rate(key)
	var entered bool
	var wait float64
	var why string
	err := g.s.pool.QueryRow(ctx, `
		WITH c AS MATERIALIZED (SELECT clock() AS now, set_config('synchronous_commit', 'off', true) AS quick),
		entered AS (
			INSERT INTO outbound_limit AS l (key, tokens, refilled_at)
			SELECT $1, $3::float8 - 1, c.now FROM c
			ON CONFLICT (key) DO UPDATE SET
				tokens = least($3::float8, l.tokens + greatest(extract(epoch FROM excluded.refilled_at - l.refilled_at)::float8, 0) * $2::float8) - 1,
				refilled_at = greatest(l.refilled_at, excluded.refilled_at),
				blocked_until = NULL,
				state = CASE l.state WHEN 'closed' THEN 'closed' ELSE 'half_open' END,
				probe_until = CASE l.state WHEN 'closed' THEN NULL ELSE excluded.refilled_at + make_interval(secs => $4) END
			WHERE coalesce(l.blocked_until <= excluded.refilled_at, true)
			  AND (l.state <> 'half_open' OR coalesce(l.probe_until <= excluded.refilled_at, true))
			  AND least($3::float8, l.tokens + greatest(extract(epoch FROM excluded.refilled_at - l.refilled_at)::float8, 0) * $2::float8) >= 1
			RETURNING l.key)
		SELECT EXISTS (SELECT FROM entered),
			coalesce(extract(epoch FROM CASE
				WHEN l.blocked_until > c.now THEN l.blocked_until - c.now
				WHEN l.state = 'half_open' AND l.probe_until > c.now THEN least(l.probe_until - c.now, make_interval(secs => $5))
				ELSE make_interval(secs => (1 - l.tokens) / $2::float8) - greatest(c.now - l.refilled_at, '0') END), 0)::float8,
			CASE
				WHEN l.blocked_until > c.now THEN coalesce(nullif(l.reason, ''), 'the server asked to wait')
				WHEN l.state = 'half_open' THEN 'one call finds out whether the server is well again'
				ELSE 'the limit of calls per second is used up' END
		FROM c LEFT JOIN outbound_limit l ON l.key = $1`,
		key, r.PerSecond, float64(r.Burst), g.o.Probe.Seconds(), probeWait.Seconds()).Scan(&entered, &wait, &why)
	if err != nil {
		return 0, "", translate("asking for leave to call", err)
	}
	if entered {
		return 0, "", nil
	}
	return max(time.Duration(wait*float64(time.Second)), leastWait), why, nil
}

// Leave implements oauthflow.Gate. A call that went out before the breaker opened neither closes it nor makes it wait
// longer. Where nothing changes nothing is written.
func (g *gate) Leave(ctx context.Context, key string, end oauthflow.CallEnd) error {
	_, err := g.s.pool.Exec(ctx, `
		WITH c AS MATERIALIZED (SELECT clock() AS now, set_config('synchronous_commit', 'off', true) AS quick)
		UPDATE outbound_limit l SET
			state = CASE
				WHEN $2 AND (l.state = 'half_open' OR l.state = 'closed' AND ($3 OR l.failures + 1 >= $5)) THEN 'open'
				WHEN NOT $2 AND l.state = 'half_open' THEN 'closed'
				ELSE l.state END,
			failures = CASE
				WHEN l.state = 'open' THEN l.failures
				WHEN NOT $2 THEN 0
				WHEN $3 THEN greatest(l.failures + 1, $5)
				ELSE l.failures + 1 END,
			opened_at = CASE
				WHEN $2 AND (l.state = 'half_open' OR l.state = 'closed' AND ($3 OR l.failures + 1 >= $5)) THEN c.now
				WHEN l.state = 'open' THEN l.opened_at END,
			blocked_until = CASE
				WHEN $2 AND (l.state = 'half_open' OR l.state = 'closed' AND ($3 OR l.failures + 1 >= $5)) THEN greatest(l.blocked_until,
					c.now + make_interval(secs => greatest($4::float8, CASE WHEN $3 THEN $8::float8 ELSE
						least($7::float8, $6::float8 * power(2, least(greatest(l.failures + 1 - $5, 0), 20))) END)))
				WHEN $4::float8 > 0 THEN greatest(l.blocked_until, c.now + make_interval(secs => $4::float8))
				ELSE l.blocked_until END,
			probe_until = NULL,
			reason = CASE WHEN $2 OR $4::float8 > 0 THEN $9 WHEN l.state = 'half_open' THEN '' ELSE l.reason END
		FROM c
		WHERE l.key = $1 AND ($2 AND l.state <> 'open' OR $4::float8 > 0 OR l.state = 'half_open' OR l.state = 'closed' AND l.failures > 0)`,
		key, end.Failed || end.Break, end.Break, min(max(end.RetryAfter, 0), maxRetryAfter).Seconds(), g.o.Failures,
		g.o.FirstOpen.Seconds(), g.o.MaxOpen.Seconds(), g.o.Refused.Seconds(), end.Reason)
	return translate("reporting how a call ended", err)
}

// Limit is what bounds the calls to one endpoint at the moment.
type Limit struct {
	Key          string     `json:"key"`
	State        string     `json:"state"` // closed, open or half_open
	Failures     int        `json:"failures"`
	BlockedUntil *time.Time `json:"blocked_until"`
	OpenedAt     *time.Time `json:"opened_at"`
	Reason       string     `json:"reason"`
}

// Limits lists the endpoints that are held back: by their breaker, or because they asked for it.
func (s *Store) Limits(ctx context.Context) ([]Limit, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT key, state, failures, blocked_until, opened_at, reason FROM outbound_limit
		WHERE state <> 'closed' OR blocked_until > clock() ORDER BY key`)
	if err != nil {
		return nil, translate("listing limits", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Limit])
	return list, translate("listing limits", err)
}

// resetLimits closes the breakers of keys, because what they stumbled over was mended: a registration was saved.
func resetLimits(ctx context.Context, tx pgx.Tx, keys ...string) error {
	_, err := tx.Exec(ctx, `
		UPDATE outbound_limit SET state = 'closed', failures = 0, blocked_until = NULL, opened_at = NULL, probe_until = NULL, reason = ''
		WHERE key = ANY ($1)`, keys)
	return err
}
