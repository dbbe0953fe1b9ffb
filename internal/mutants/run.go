package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// rig is how mutants are tried.
type rig struct {
	root string
	// checks is how many comparisons a mutant may survive, within how long it has to be found.
	checks int
	within time.Duration
}

// verdict is what the comparison made of a mutant.
type verdict struct {
	caught bool
	// text is what the oracle says, or why nothing was shown.
	text string
}

// outcome is the end of a run of the tests.
type outcome struct {
	out      string
	code     int
	timedOut bool
}

// try builds the tests with files in the place of those of the tree, and runs them.
func (r rig) try(ctx context.Context, files map[string]string) (outcome, error) {
	dir, err := os.MkdirTemp("", "mutant-")
	if err != nil {
		return outcome{}, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	// PostgreSQL may run as another account and has to come by.
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // nothing secret is in it
		return outcome{}, err
	}
	binary, err := r.build(ctx, dir, files)
	if err != nil {
		return outcome{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, r.within)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "-test.run", "^TestEveryRouteEqualsOracle$", "-test.failfast")
	cmd.Dir = filepath.Join(r.root, "internal", "visibility")
	cmd.Env = append(os.Environ(), fmt.Sprintf("TEST_ORACLE_CHECKS=%d", r.checks), "TEST_ORACLE_SEED=", "TMPDIR="+dir)
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	end := outcome{out: string(out), timedOut: ctx.Err() != nil}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		end.code, err = exit.ExitCode(), nil
	}
	if end.timedOut {
		err = nil
	}
	return end, err
}

// build compiles the tests of internal/visibility.
func (r rig) build(ctx context.Context, dir string, files map[string]string) (string, error) {
	replace := map[string]string{}
	for path, text := range files {
		other := filepath.Join(dir, fmt.Sprintf("%d%s", len(replace), filepath.Ext(path)))
		if err := os.WriteFile(other, []byte(text), 0o600); err != nil {
			return "", err
		}
		replace[path] = other
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	list, binary := filepath.Join(dir, "overlay.json"), filepath.Join(dir, "visibility.test")
	if err := os.WriteFile(list, overlay, 0o600); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-overlay", list, "-o", binary, "./internal/visibility")
	cmd.Dir = r.root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("it does not compile: %w\n%s", err, bytes.TrimSpace(out))
	}
	return binary, nil
}

var (
	said     = regexp.MustCompile(`(?m)^.*(oracle says: .*)$`)
	failed   = regexp.MustCompile(`(?m)^ *--- FAIL: TestEveryRouteEqualsOracle`)
	crashed  = regexp.MustCompile(`(?m)^(panic: |fatal error: |WARNING: DATA RACE).*$`)
	problems = regexp.MustCompile(`(?m)^ +\w+_test\.go:\d+: (.*)$`)
)

// judge says whether the tests found a mutant, and by the oracle's word alone.
func judge(end outcome) verdict {
	says := said.FindStringSubmatch(end.out)
	switch crash := crashed.FindString(end.out); {
	case end.timedOut:
		return verdict{text: "it was not found in time"}
	case crash != "":
		return verdict{text: "the tests broke off: " + crash}
	case end.code == 0:
		return verdict{text: "survived"}
	case says != nil && failed.MatchString(end.out):
		return verdict{caught: true, text: says[1]}
	}
	first := end.out
	if m := problems.FindStringSubmatch(end.out); m != nil {
		first = m[1]
	}
	return verdict{text: "something else failed: " + strings.TrimSpace(first)}
}
