package acceptance

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"tributary/internal/sandbox/company"
)

// rolling is how long workers are restarted in turn, and with which times.
type rolling struct {
	lasts, slice, churn time.Duration
	env                 []string
}

// rollingFor is 20 seconds with short slices, or the minutes of
// TEST_ROLLING_MINUTES with the times that ship.
func rollingFor(t *testing.T) rolling {
	t.Helper()
	text := os.Getenv("TEST_ROLLING_MINUTES")
	if text == "" {
		return rolling{lasts: 20 * time.Second, slice: 2 * time.Second, churn: 100 * time.Millisecond, env: []string{envHeartbeat + "=1s", envTakeover + "=30s", envTick + "=500ms", envSlice + "=2s"}}
	}
	minutes, err := strconv.Atoi(text)
	if err != nil || minutes < 1 {
		t.Fatalf("reading TEST_ROLLING_MINUTES: %q is no number of minutes", text)
	}
	return rolling{lasts: time.Duration(minutes) * time.Minute, slice: 270 * time.Second, churn: 500 * time.Millisecond}
}

// slack is what a slice may take beyond its time: the page that it is in the
// middle of, on a busy machine.
const slack = 15 * time.Second

// longestStop is how long a worker may take to end when it is told to.
const longestStop = 30 * time.Second

// TestRollingRestarts: three workers are restarted in turn, each from a program
// of its own, again and again while a source that changes is listed, followed and
// listed again. No run fails or begins anew because of that, none is taken over,
// no slice is longer than it may be, and in the end the store is the source's
// truth and no process is left.
func TestRollingRestarts(t *testing.T) {
	t.Parallel()
	size := rollingFor(t)
	s := newServer(t, serverDir(t), map[string]string{"fsync": "off"})
	d := newHTTPDrive(t, 1500, 40*time.Millisecond)
	c := newChaos(t, s, d)
	s.exec(c.db, `UPDATE tributary.schedule SET every = interval '10 seconds', reconcile_every = CASE WHEN lane = 'content' THEN interval '20 seconds' END`)
	r, programs := someSeed(t), openDir(t)
	for n := range 3 {
		c.workFrom(programOf(t, programs, n), s.url(c.db), size.env...)
	}
	c.began()
	restarts, longest := 0, time.Duration(0)
	for begun := time.Now(); time.Since(begun) < size.lasts; restarts++ {
		old := c.alive[0]
		c.alive = c.alive[1:]
		longest = max(longest, old.end(t))
		fresh := c.workFrom(programOf(t, programs, restarts+3), s.url(c.db), size.env...)
		c.churnUntil(r, size.churn, "the new worker works", `SELECT EXISTS (SELECT FROM worker WHERE name LIKE '%' || $1 || '%')
			AND NOT EXISTS (SELECT FROM sync_run WHERE state = 'failed')`, fresh.mark())
	}
	// A run that is live when it falls due again has perhaps read its feed already.
	s.exec(c.db, `UPDATE tributary.schedule SET every = interval '1 day', next_run_at = tributary.clock() + interval '1 day', reconcile_at = tributary.clock() + interval '1 day'`)
	c.settled()
	s.exec(c.db, `UPDATE tributary.schedule SET next_run_at = tributary.clock()`)
	c.await(c.size.patience, "what was due has been through", `SELECT bool_and(next_run_at > clock() + interval '1 hour') FROM schedule`)
	c.settled()
	for _, w := range c.alive {
		longest = max(longest, w.end(t))
	}
	c.alive = nil
	c.judgeRolling(size, restarts, longest)
}

// judgeRolling looks at what the restarts left.
func (c *chaos) judgeRolling(size rolling, restarts int, longest time.Duration) {
	c.t.Helper()
	conn := c.s.open(c.db)
	defer conn.Close(context.Background())
	for what, sql := range map[string]string{
		"runs that failed, were cancelled or superseded": `SELECT count(*) FROM sync_run WHERE state NOT IN ('succeeded', 'partial')`,
		"runs that were taken over":                      `SELECT count(*) FROM run_event WHERE code = 'taken_over'`,
		"listings beside the first":                      `SELECT count(*) - 1 FROM sync_run WHERE kind = 'snapshot'`,
		"workers on the list":                            `SELECT count(*) FROM worker`,
		"sessions of workers":                            `SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'tributary-%' AND datname = current_database()`,
		"jobs that somebody still works on":              `SELECT count(*) FROM river.river_job WHERE state = 'running'`,
	} {
		if n := scalar[int64](c.t, conn, sql); n != 0 {
			c.t.Errorf("%s: %d", what, n)
		}
	}
	turn := time.Duration(scalar[float64](c.t, conn, `
		SELECT extract(epoch FROM max(until - at))::float8 FROM (
			SELECT code, at, lead(at) OVER (PARTITION BY run_id ORDER BY id) AS until FROM run_event WHERE code IN ('slice_started', 'handed_over', 'retry', 'throttled', 'ended')) e
		WHERE code = 'slice_started'`) * float64(time.Second))
	if turn > size.slice+slack {
		c.t.Errorf("a slice took %s, want at most %s", turn, size.slice+slack)
	}
	wantWhole(c.t, conn)
	got := shown(c.t, conn)
	runs, slices := scalar[int64](c.t, conn, `SELECT count(*) FROM sync_run`), scalar[int64](c.t, conn, `SELECT sum(slices)::bigint FROM sync_run`)

	peace := newChaos(c.t, c.s, c.drive)
	w := peace.work(c.s.url(peace.db), quick()...)
	peace.settled()
	w.end(c.t)
	want := c.s.open(peace.db)
	defer want.Close(context.Background())
	wantSame(c.t, got, shown(c.t, want))
	c.t.Logf("%d restarts, the longest stop %s; %d runs in %d slices, the longest %s; %d documents as at the source",
		restarts, longest.Round(time.Millisecond), runs, slices, turn.Round(time.Millisecond), len(got))
}

// shown is every document as readers find it.
func shown(t *testing.T, q querier) []string {
	t.Helper()
	return column[string](t, q, `
		SELECT concat_ws('|', d.external_id, d.source_revision, d.title, d.path, d.container, coalesce(d.hidden_reason, '-'), md5(r.text), s.need_mask,
			(SELECT string_agg(e.clause || '=' || p.kind || '/' || p.external_id, ',' ORDER BY e.clause, p.kind, p.external_id) FROM acl_entry e JOIN principal p ON p.id = e.principal_id WHERE e.set_id = s.id))
		FROM document d JOIN revision r ON r.document_id = d.id AND r.number = d.revision JOIN acl_set s ON s.id = d.acl_set_id ORDER BY 1`)
}

// end tells a worker to end, and returns how long it took.
func (w *worker) end(t *testing.T) time.Duration {
	t.Helper()
	begun, late := time.Now(), time.NewTimer(longestStop)
	defer late.Stop()
	w.signal(syscall.SIGTERM)
	select {
	case <-w.done:
	case <-late.C:
		w.kill()
		t.Fatalf("a worker did not end within %s: %s", longestStop, w.lastWords())
	}
	if code := w.cmd.ProcessState.ExitCode(); code != 0 {
		t.Fatalf("a worker that was told to end ended with %d: %s", code, w.lastWords())
	}
	return time.Since(begun)
}

// programOf copies this program to another file, and removes that of three before.
func programOf(t *testing.T, dir string, n int) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	from, err := os.Open(self)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	_ = os.Remove(filepath.Join(dir, "worker-"+strconv.Itoa(n-4)))
	path := filepath.Join(dir, "worker-"+strconv.Itoa(n))
	to, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(to, from); err != nil {
		t.Fatal(err)
	}
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// churnUntil changes the drive every so often until the answer is true.
func (c *chaos) churnUntil(r *rand.Rand, every time.Duration, what, sql string, args ...any) {
	c.t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.await(time.Minute, what, sql, args...)
	}()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-done:
			if n >= 10 {
				return
			}
			<-tick.C
		case <-tick.C:
		}
		c.churn(r)
	}
}

// churn changes one document of the drive.
func (c *chaos) churn(r *rand.Rand) {
	w, id := c.drive.world, fmt.Sprintf("itm-%06d", r.IntN(1500))
	switch r.IntN(20) {
	case 0:
		_ = w.Delete(id)
	case 1, 2:
		_ = w.Move(id, fmt.Sprintf("fld-%02d", r.IntN(20)))
	case 3, 4:
		_ = w.Share(id, company.Entry{Kind: "user", ID: fmt.Sprintf("p-%d", r.IntN(8)), Role: "reader"})
	default:
		_ = w.Edit(id, fmt.Sprintf("# Edited %d\n\nThe river keeps its course through number %d.\n", r.IntN(1000), r.IntN(1000)))
	}
}
