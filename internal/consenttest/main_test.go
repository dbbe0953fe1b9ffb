package consenttest

import (
	"context"
	"fmt"
	"os"
	"testing"

	"tributary/internal/pgtest"
)

// envHelper names the task of a process that a test starts: the test binary itself.
const (
	envHelper    = "CONSENT_HELPER"
	helperWorker = "worker"
)

func TestMain(m *testing.M) {
	switch task := os.Getenv(envHelper); task {
	case "":
		os.Exit(pgtest.Main(m))
	case helperWorker:
		if err := workerHelper(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, "worker helper:", err)
			os.Exit(1)
		}
		os.Exit(0)
	default:
		fmt.Fprintln(os.Stderr, "unknown helper", task)
		os.Exit(2)
	}
}
