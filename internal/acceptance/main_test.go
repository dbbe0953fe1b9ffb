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
	switch task := os.Getenv(envHelper); task {
	case "":
		os.Exit(pgtest.Main(m))
	case helperSync:
		if err := syncHelper(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, "sync helper:", err)
			os.Exit(1)
		}
		os.Exit(0)
	default:
		fmt.Fprintln(os.Stderr, "unknown helper", task)
		os.Exit(2)
	}
}
