package jobs

import (
	"context"
	"errors"
	"testing"
	"time"

	"tributary/store"
)

// TestCommandLeavesRunsToWorkers: while a process works on jobs a command waits;
// it works itself as soon as none does.
func TestCommandLeavesRunsToWorkers(t *testing.T) {
	t.Parallel()
	e := newEngine(t, small(5))
	if err := e.store.Ping(t.Context()); err != nil { // its pool is a worker's
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), store.Config{URL: e.db.URL, Purpose: store.CLI})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	cfg := e.runner.cfg
	cfg.Store = s
	command, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	run, _, err := command.Request(t.Context(), e.conn, store.Content, "test", false)
	if err != nil {
		t.Fatal(err)
	}
	waiting, stop := context.WithCancel(t.Context())
	looks := 0
	_, err = command.RunOrAwait(waiting, run.ID, func(store.Run) {
		if looks++; looks == 5 {
			stop()
		}
	})
	if run, _ = s.Run(t.Context(), run.ID); !errors.Is(err, context.Canceled) || run.State != store.RunQueued || run.Slices != 0 {
		t.Fatalf("beside a worker the run is %s after %d slices, %v", run.State, run.Slices, err)
	}
	e.store.Close()
	alone, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if run, err = command.RunOrAwait(alone, run.ID, nil); err != nil || run.State != store.RunSucceeded {
		t.Fatalf("alone the run is %s, %v: %s", run.State, err, run.Error)
	}
}
