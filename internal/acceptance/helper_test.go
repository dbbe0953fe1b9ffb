package acceptance

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"tributary/store"
)

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
