package jobs

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/connectors/reference"
	"tributary/internal/pgtest"
	"tributary/store"
)

// TestSilentHolderOnThisHost: a process that is there, and has shown no sign of
// life for longer than a takeover takes, has lost its run; one that shows them
// keeps it.
func TestSilentHolderOnThisHost(t *testing.T) {
	t.Parallel()
	e := newEngine(t, small(1))
	own := newOwner()
	_, _, err := e.store.RequestRun(t.Context(), store.RunRequest{ConnectionID: e.conn.ID, Lane: store.Content, Kind: store.RunSnapshot, Cause: "test"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for age, want := range map[string]int64{"1 second": 0, "2 minutes": 1} {
		e.db.MustExec(t, `DELETE FROM river.river_job`)
		e.db.MustExec(t, `UPDATE sync_run SET state = 'running', worker = $1, heartbeat_at = clock() - $2::interval`, fmt.Sprintf("%s:%d:%s-other", own.host, os.Getppid(), own.space), age)
		if err := e.runner.adoptOrphans(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := pgtest.Scalar[int64](t, e.db, `SELECT count(*) FROM river.river_job`); n != want {
			t.Errorf("with a heartbeat %s ago %d slices are enqueued, want %d", age, n, want)
		}
	}
}

// TestWhoHasDied: a process is dead that could be seen and is gone; of one that
// cannot be seen nothing is known.
func TestWhoHasDied(t *testing.T) {
	t.Parallel()
	o := newOwner()
	gone := exec.Command("true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	pid := gone.Process.Pid
	for holder, want := range map[string]bool{
		o.name: false,
		fmt.Sprintf("%s:%d:%s-x", o.host, os.Getpid(), o.space):  true, // the number was given again
		fmt.Sprintf("%s:%d:%s-x", o.host, os.Getppid(), o.space): false,
		fmt.Sprintf("%s:%d:%s-x", o.host, pid, o.space):          true,
		fmt.Sprintf("%s:%d:elsewhere-x", o.host, pid):            false, // a container with the same name
		fmt.Sprintf("%s2:%d:%s-x", o.host, pid, o.space):         false,
		fmt.Sprintf("%s:0:%s-x", o.host, o.space):                false,
		"": false, "x": false, o.host: false,
	} {
		if got := o.died(holder); got != want {
			t.Errorf("%q has died: %t, want %t", holder, got, want)
		}
	}
}

// heldBy makes a connection whose content run is a process's that has shown no
// life since before.
func (e *engine) heldBy(worker, since string) uuid.UUID {
	e.t.Helper()
	id := e.crowd("held", 1, "doc-000")[0]
	run, _, err := e.store.RequestRun(e.t.Context(), store.RunRequest{ConnectionID: id, Lane: store.Content, Kind: store.RunSnapshot, Cause: "test"}, nil)
	if err != nil {
		e.t.Fatal(err)
	}
	e.db.MustExec(e.t, `UPDATE sync_run SET state = 'running', worker = $2, heartbeat_at = clock() - $3::interval WHERE id = $1`, run.ID, worker, since)
	return id
}

func (e *engine) synced(id uuid.UUID) bool {
	return pgtest.Scalar[bool](e.t, e.db, `SELECT content_as_of IS NOT NULL FROM connection WHERE id = $1`, id)
}

// TestDeadHoldersRunGetsASlot: what takes every slot hands over for a run whose
// holder is gone, although nothing else waits.
func TestDeadHoldersRunGetsASlot(t *testing.T) {
	t.Parallel()
	w := small(300)
	w.SetPageSize(1)
	e := newEngine(t, w, func(c *Config) {
		c.Workers, c.Tick, c.HandOver = 1, 200*time.Millisecond, 200*time.Millisecond
		c.Connectors = map[string]connectors.Connector{reference.Source: slow{w.Connector(), 150 * time.Millisecond, 0}}
	})
	e.db.MustExec(t, `UPDATE schedule SET next_run_at = clock() + interval '1 day' WHERE lane = 'permissions'`)
	e.start()
	eventually(t, "the slot is taken", func() bool {
		return pgtest.Scalar[bool](t, e.db, `SELECT EXISTS (SELECT FROM sync_run WHERE state = 'running' AND (counts ->> 'pages')::int > 0)`)
	})
	held := e.heldBy("elsewhere:1:dead", "61 seconds")
	eventually(t, "the dead holder's run has been through", func() bool { return e.synced(held) })
	if e.finished(store.Content) {
		t.Fatal("the slot came free by itself")
	}
}

// TestDeadHoldersRunIsFoundWithoutTicks: a process finds what lost its holder by
// itself, however long it takes until somebody leads or looks for due work.
func TestDeadHoldersRunIsFoundWithoutTicks(t *testing.T) {
	t.Parallel()
	e := newEngine(t, small(5), func(c *Config) {
		c.Tick, c.Repair, c.Heartbeat = time.Hour, time.Hour, 100*time.Millisecond
	})
	e.db.MustExec(t, `UPDATE schedule SET next_run_at = clock() + interval '1 day'`)
	e.db.MustExec(t, `INSERT INTO river.river_leader (name, leader_id, elected_at, expires_at) VALUES ('default', 'hung', now(), now() + interval '1 day')`)
	e.start()
	eventually(t, "the first look is over", func() bool {
		return pgtest.Scalar[bool](t, e.db, `SELECT count(*) FILTER (WHERE kind = 'tick' AND state = 'completed') = 1 FROM river.river_job`)
	})
	held := e.heldBy("elsewhere:1:dead", "61 seconds")
	eventually(t, "the dead holder's run has been through", func() bool { return e.synced(held) })
}
