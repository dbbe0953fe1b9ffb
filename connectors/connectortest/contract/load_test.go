package contract

import (
	"os"
	"path/filepath"
	"testing"
)

// TestEveryDescriptionLoads: what a later source will need is readable.
func TestEveryDescriptionLoads(t *testing.T) {
	t.Parallel()
	dir := os.Getenv(Env)
	if dir == "" {
		t.Skipf("%s is not set", Env)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no description in %s: %v", dir, err)
	}
	for _, name := range names {
		if filepath.Base(name) == "slack.openapi.json" {
			continue // Swagger 2 with tuples, which no reader of OpenAPI takes
		}
		if _, err := read(name); err != nil {
			t.Error(err)
		}
	}
}
