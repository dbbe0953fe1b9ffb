package acceptance

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"tributary/connectors/sandbox"
	"tributary/jobs"
	"tributary/store"
)

// helperWork is the task of a process that works on jobs until it is told to
// stop, as `tributary worker` does.
const (
	helperWork   = "work"
	envDrive     = "ACCEPTANCE_DRIVE"
	envToken     = "ACCEPTANCE_TOKEN"
	envHeartbeat = "ACCEPTANCE_HEARTBEAT"
	envTakeover  = "ACCEPTANCE_TAKEOVER"
	envTick      = "ACCEPTANCE_TICK"
	envSlice     = "ACCEPTANCE_SLICE"
)

func workHelper(ctx context.Context) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM)
	defer stop()
	in, err := openInstance(ctx, os.Getenv(envURL), func(c *jobs.Config) {
		drive := sandbox.New(sandbox.Config{})
		c.Connectors[drive.Spec().Source] = drive
		c.Authorise = authoriseDrive(os.Getenv(envDrive), os.Getenv(envToken))
		// Absent is zero, which is the default.
		c.Heartbeat, _ = time.ParseDuration(os.Getenv(envHeartbeat))
		c.Takeover, _ = time.ParseDuration(os.Getenv(envTakeover))
		c.Tick, _ = time.ParseDuration(os.Getenv(envTick))
		c.Slice, _ = time.ParseDuration(os.Getenv(envSlice))
	})
	if err != nil {
		return err
	}
	defer in.store.Close()
	if err := in.runner.Start(ctx); err != nil {
		return err
	}
	<-ctx.Done()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 25*time.Second)
	defer cancel()
	return in.runner.Stop(ctx)
}

// helperSync is the task of a process that syncs the connection "tree" in both
// lanes and prints the runs.
const (
	helperSync = "sync"
	envURL     = "ACCEPTANCE_URL"
)

func syncHelper(ctx context.Context) error {
	in, err := openInstance(ctx, os.Getenv(envURL))
	if err != nil {
		return err
	}
	defer in.store.Close()
	conn, err := in.store.Connection(ctx, "tree")
	if err != nil {
		return err
	}
	var runs []store.Run
	for _, lane := range store.Lanes() {
		run, err := in.sync(ctx, conn, lane)
		if err != nil {
			return fmt.Errorf("lane %s: %w", lane, err)
		}
		runs = append(runs, run)
	}
	return json.NewEncoder(os.Stdout).Encode(runs)
}
