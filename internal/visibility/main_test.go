package visibility

import (
	"os"
	"testing"

	"tributary/internal/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }
