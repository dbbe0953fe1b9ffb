package seal_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tributary/internal/seal"
)

// rotatorEnv makes the test binary a process that rotates the key file it names until it is killed.
const rotatorEnv = "TEST_SEAL_ROTATE"

func rotateForever(path string) {
	for {
		r, err := seal.Open(path, seal.Options{})
		if err == nil {
			_, err = r.Rotate()
		}
		if err != nil {
			fmt.Fprintln(os.Stdout, "broken:", err)
			os.Exit(1)
		}
		fmt.Fprintln(os.Stdout, r.PrimaryID(), len(r.KeyIDs()))
	}
}

// TestKilledWhileRotating kills rotating processes at any moment: the file is always whole and holds every key that a
// process has said it made.
func TestKilledWhileRotating(t *testing.T) {
	t.Parallel()
	first, _ := newRing(t)
	sealed := must(first.Seal(grant, []byte("from the start")))(t)
	told := map[string]bool{first.PrimaryID().String(): true}
	for round := range 12 {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^$")
		cmd.Env = append(os.Environ(), rotatorEnv+"="+first.Path())
		out := must(cmd.StdoutPipe())(t)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			id, _, _ := strings.Cut(lines.Text(), " ")
			told[id] = true
			if n == round%4 { // the process is somewhere in its next rotation
				_ = cmd.Process.Kill()
			}
		}
		_ = cmd.Wait()
		cancel()
		ring := must(seal.Open(first.Path(), seal.Options{}))(t)
		if got := must(ring.Unseal(grant, sealed))(t); string(got) != "from the start" {
			t.Fatalf("got %q", got)
		}
		held := map[string]bool{}
		for _, id := range ring.KeyIDs() {
			held[id.String()] = true
		}
		for id := range told {
			if !held[id] {
				t.Fatalf("round %d: key %q was reported and is not in the file", round, id)
			}
		}
	}
	must(first.Rotate())(t)
	left := must(filepath.Glob(filepath.Join(filepath.Dir(first.Path()), ".*")))(t)
	if len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}
