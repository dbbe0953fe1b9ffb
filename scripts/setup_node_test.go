package scripts

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// nodeDirectories have a lock file each.
func nodeDirectories() []string {
	return []string{"oauthflow/interop/node", "examples/typescript", "examples/langchain", "internal/browsertest/node"}
}

// nodeTree is a copy of the script with one lock file, in which npm is replaced.
func nodeTree(t *testing.T, npm string) (dir, path string) {
	t.Helper()
	dir = t.TempDir()
	for _, name := range []string{"setup-node.sh", "lib/common.sh"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, "scripts", name), string(text), 0o755)
	}
	for _, d := range nodeDirectories() {
		modules := filepath.Join(dir, d)
		write(t, filepath.Join(modules, "package.json"), `{"dependencies": {`+"\n"+` "oidc-provider": "9.9.9"`+"\n}}", 0o600)
		write(t, filepath.Join(modules, "package-lock.json"), "{}", 0o600)
	}
	path, _ = fakePath(t, map[string]string{"npm": npm})
	return dir, path
}

func TestNodeModulesAreInstalledOnce(t *testing.T) {
	t.Parallel()
	dir, path := nodeTree(t, `pwd >>calls; mkdir -p node_modules`)
	script := filepath.Join(dir, "scripts/setup-node.sh")
	modules := filepath.Join(dir, "oauthflow/interop/node")
	calls := func() int {
		text, _ := os.ReadFile(filepath.Join(modules, "calls"))
		return bytes.Count(text, []byte("\n"))
	}
	for _, step := range []struct {
		args  []string
		want  string
		calls int
	}{
		{[]string{"--dry-run"}, "oidc-provider 9.9.9", 0},
		{nil, "oidc-provider 9.9.9", 1},
		{nil, "nothing to do", 1},
	} {
		out, err := run(t, []string{path}, script, step.args...)
		if err != nil || !strings.Contains(out, step.want) || calls() != step.calls {
			t.Errorf("setup-node.sh %v: %v, npm called %d times, want %d\n%s", step.args, err, calls(), step.calls, out)
		}
	}
	write(t, filepath.Join(modules, "package-lock.json"), "{ }", 0o600)
	if out, err := run(t, []string{path}, script); err != nil || calls() != 2 {
		t.Errorf("after a change of the lock file: %v, npm called %d times\n%s", err, calls(), out)
	}
}

func TestModulesThatNpmDidNotInstallAreNotTakenForInstalled(t *testing.T) {
	t.Parallel()
	dir, path := nodeTree(t, `mkdir -p node_modules; echo 'npm error network' >&2; exit 1`)
	for range 2 {
		out, err := run(t, []string{path}, filepath.Join(dir, "scripts/setup-node.sh"))
		if err == nil || !strings.Contains(out, "network") || !strings.Contains(out, "did not install") {
			t.Errorf("setup-node.sh: %v\n%s", err, out)
		}
	}
}

// TestLockFilesNameNoRegistry keeps the choice of the registry with who installs, and the sums with the project.
func TestLockFilesNameNoRegistry(t *testing.T) {
	t.Parallel()
	for _, dir := range nodeDirectories() {
		text, err := os.ReadFile("../" + dir + "/package-lock.json")
		if err != nil {
			t.Fatal(err)
		}
		var lock struct {
			Packages map[string]struct{ Resolved, Integrity string }
		}
		if err := json.Unmarshal(text, &lock); err != nil {
			t.Fatal(err)
		}
		for name, p := range lock.Packages {
			if name != "" && (p.Resolved != "" || !strings.HasPrefix(p.Integrity, "sha512-")) {
				t.Errorf("%s: %s: resolved %q, integrity %q", dir, name, p.Resolved, p.Integrity)
			}
		}
		if len(lock.Packages) < 2 || bytes.Contains(text, []byte("://registry")) {
			t.Errorf("%s: %d packages, or a registry's address", dir, len(lock.Packages))
		}
	}
}
