package consenttest

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"tributary/internal/pgtest"
	"tributary/oauthflow"
	"tributary/oauthflow/refresh"
)

// simulated is one time for the database, the sandbox and the keeper, which moves only when it is told to.
type simulated struct {
	began time.Time
	since atomic.Int64 // nanoseconds since began
	pool  *pgxpool.Pool

	move sync.Mutex
	// pace is held for reading while tokens are asked for: a refresh takes no simulated time, as it takes hardly any.
	pace sync.RWMutex
}

func newSimulated(t *testing.T) (*simulated, *pgtest.DB) {
	t.Helper()
	db := pgtest.New(t)
	// Times that the database hands out have passed, for what looks at the real clock.
	c := &simulated{began: time.Now().Add(-48 * time.Hour).Truncate(time.Second), pool: db.Owner}
	db.SetClock(t, c.began)
	return c, db
}

func (c *simulated) elapsed() time.Duration { return time.Duration(c.since.Load()) }

func (c *simulated) now() time.Time { return c.began.Add(c.elapsed()) }

// advance moves the time on.
func (c *simulated) advance(d time.Duration) {
	c.pace.Lock()
	defer c.pace.Unlock()
	c.jump(d)
}

func (c *simulated) jump(d time.Duration) {
	c.move.Lock()
	defer c.move.Unlock()
	c.since.Add(int64(d))
	if _, err := c.pool.Exec(context.Background(), `UPDATE test_clock SET at = $1`, c.now()); err != nil {
		panic(err)
	}
}

// wait lets d pass for somebody who asks for tokens.
func (c *simulated) wait(ctx context.Context, d time.Duration) error {
	c.jump(d) //nolint:contextcheck // time passes whoever waits for it
	return ctx.Err()
}

// paced is a keeper during whose work no time passes.
type paced struct {
	*refresh.Keeper
	clock *simulated
}

func (p paced) Access(ctx context.Context, grant uuid.UUID) (oauthflow.Access, error) {
	p.clock.pace.RLock()
	defer p.clock.pace.RUnlock()
	return p.Keeper.Access(ctx, grant)
}

func (p paced) Rejected(ctx context.Context, grant uuid.UUID, used oauthflow.Access) (oauthflow.Access, error) {
	p.clock.pace.RLock()
	defer p.clock.pace.RUnlock()
	return p.Keeper.Rejected(ctx, grant, used)
}

func (p paced) Ahead(ctx context.Context, grant uuid.UUID) error {
	p.clock.pace.RLock()
	defer p.clock.pace.RUnlock()
	return p.Keeper.Ahead(ctx, grant)
}
