package pgserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// initCluster makes the cluster beside its final place and moves it there when
// it is whole, so an interrupted start leaves no half cluster behind. Every
// attempt has a directory of its own: an initdb whose process was killed may
// write for a moment longer.
func initCluster(ctx context.Context, in Installation, l layout, who account, password string) error {
	fresh, err := os.MkdirTemp(l.root, unfinishedPrefix) // created 0700
	if err != nil {
		return fmt.Errorf("creating the cluster directory: %w", err)
	}
	if err := who.own(fresh); err != nil {
		return fmt.Errorf("creating the cluster directory: %w", err)
	}
	// initdb runs as the server's account and reads the password once.
	pwfile, err := os.CreateTemp(l.root, handOverPrefix) // created 0600
	if err != nil {
		return fmt.Errorf("handing the password to initdb: %w", err)
	}
	defer func() { _ = os.Remove(pwfile.Name()) }()
	_, err = pwfile.WriteString(password + "\n")
	if err = errors.Join(err, pwfile.Close(), who.own(pwfile.Name())); err != nil {
		return fmt.Errorf("handing the password to initdb: %w", err)
	}
	locale := "C.UTF-8"
	if runtime.GOOS == "darwin" {
		locale = "C"
	}
	cmd := exec.CommandContext(ctx, filepath.Join(in.BinDir, "initdb"), "-D", fresh, "-U", superuser, "--auth=scram-sha-256",
		"--pwfile="+pwfile.Name(), "--encoding=UTF8", "--locale="+locale, "--data-checksums")
	cmd.Dir = fresh
	cmd.Env = cleanEnv()
	cmd.SysProcAttr = childAttr(who, syscall.SIGTERM)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := runOnOneThread(cmd); err != nil {
		_ = os.RemoveAll(fresh)
		return fmt.Errorf("creating the cluster with initdb: %w: %s", err, lastLines(out.String(), 5))
	}
	if err := os.Rename(fresh, l.cluster()); err != nil {
		return fmt.Errorf("putting the cluster in place: %w", err)
	}
	return nil
}

const unfinishedPrefix = "data.new-"

// removeUnfinished deletes what interrupted starts left. What an initdb on its
// way out is still writing stays for the next start.
func (l layout) removeUnfinished() {
	for _, prefix := range []string{unfinishedPrefix, handOverPrefix, privatePrefix} {
		left, _ := filepath.Glob(filepath.Join(l.root, prefix+"*")) // the pattern is well formed
		for _, path := range left {
			_ = os.RemoveAll(path)
		}
	}
}

// handOverPrefix begins the name of the password file that initdb reads.
const handOverPrefix = ".initdb-"

// runOnOneThread keeps the thread alive that the signal of childAttr follows.
func runOnOneThread(cmd *exec.Cmd) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return cmd.Run()
}

// cleanEnv is the environment of PostgreSQL's programs: nothing of ours, so that
// no PG* variable, token or language of the caller reaches them.
func cleanEnv() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return strings.Join(lines, "; ")
}
