package acceptance

import (
	"context"
	"fmt"
	"os"
	"testing"

	"tributary/internal/pgtest"
)

// envHelper names the task of a process that a test starts: the test binary
// itself.
const envHelper = "ACCEPTANCE_HELPER"

func TestMain(m *testing.M) {
	run := syncHelper
	switch task := os.Getenv(envHelper); task {
	case "":
		os.Exit(pgtest.Main(m))
	case helperSync:
	case helperWork:
		run = workHelper
	default:
		fmt.Fprintln(os.Stderr, "unknown helper", task)
		os.Exit(2)
	}
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "helper:", err)
		os.Exit(1)
	}
	os.Exit(0)
}
