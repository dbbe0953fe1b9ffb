package skeleton

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// checkout is a directory with the marks of this repository.
func checkout(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for _, dir := range []string{"connectors", "docs/sources"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o750); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "go.mod"), []byte("module tributary\n\ngo 1.26\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return root
}

// TestSkeletonPassesTheKit: the new package is put over this repository, and its
// tests, the kit among them, pass there.
func TestSkeletonPassesTheKit(t *testing.T) {
	t.Parallel()
	root := checkout(t)
	paths, err := Write(root, "bulletin", "Bulletin Board")
	if err != nil {
		t.Fatal(err)
	}
	repository, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	replace := map[string]string{}
	for _, p := range paths {
		if strings.HasSuffix(p, ".go") {
			replace[filepath.Join(repository, p)] = filepath.Join(root, p)
		}
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(root, "overlay.json")
	if err := os.WriteFile(file, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	// Neither vet nor a test runs in a directory that only an overlay has.
	kit := filepath.Join(root, "bulletin.test")
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-vet=off", "-overlay", file, "-o", kit, "./connectors/bulletin")
	build.Dir = repository
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building it: %v\n%s", err, out)
	}
	run := exec.CommandContext(t.Context(), kit, "-test.v", "-test.timeout=120s")
	run.Dir = root
	out, err := run.CombinedOutput()
	if err != nil {
		t.Fatalf("its tests: %v\n%s", err, out)
	}
	if passed := strings.Count(string(out), "--- PASS: TestConformance/"); passed < 25 {
		t.Errorf("%d rules of the kit passed, want at least 25:\n%s", passed, out)
	}
}

func TestSkeletonHasItsOwnName(t *testing.T) {
	t.Parallel()
	root := checkout(t)
	paths, err := Write(root, "bulletin", "Bulletin Board")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range paths {
		text, err := os.ReadFile(filepath.Join(root, p))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(strings.ToLower(string(text)), "example") {
			t.Errorf("%s still names the example", p)
		}
	}
}

func TestSkeletonTouchesNothing(t *testing.T) {
	t.Parallel()
	root := checkout(t)
	for name, c := range map[string]struct{ dir, source, title, field string }{
		"a name in capitals":          {root, "Bulletin", "Bulletin", "NAME"},
		"a name that leaves":          {root, "../evil", "Evil", "NAME"},
		"a title that ends the code":  {root, "bulletin", `Bull"etin`, "--title"},
		"no title":                    {root, "bulletin", "", "--title"},
		"a directory of another kind": {t.TempDir(), "bulletin", "Bulletin", "--dir"},
	} {
		_, err := Write(c.dir, c.source, c.title)
		if in, ok := errors.AsType[*InputError](err); !ok || in.Field != c.field {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Write(root, "bulletin", "Bulletin"); err != nil {
		t.Fatal(err)
	}
	if _, err := Write(root, "bulletin", "Bulletin"); err == nil {
		t.Error("a connector was written over another")
	}
	entries, err := os.ReadDir(filepath.Join(root, "connectors"))
	if err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v (%v)", entries, err)
	}
}
