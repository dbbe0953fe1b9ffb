package refresh_test

import (
	"os"
	"testing"

	"tributary/internal/pgtest"
)

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		child()
		return
	}
	os.Exit(pgtest.Main(m))
}
