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
// it is whole, so an interrupted start leaves no half cluster behind.
func initCluster(ctx context.Context, in Installation, l layout, who account, password string) error {
	fresh := l.cluster() + ".new"
	if err := os.RemoveAll(fresh); err != nil {
		return fmt.Errorf("removing an unfinished cluster: %w", err)
	}
	if err := os.Mkdir(fresh, 0o700); err != nil {
		return fmt.Errorf("creating the cluster directory: %w", err)
	}
	if err := who.own(fresh); err != nil {
		return fmt.Errorf("creating the cluster directory: %w", err)
	}
	// initdb runs as the server's account and reads the password once.
	pwfile, err := os.CreateTemp(l.root, ".initdb-*") // created 0600
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
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: who.credential()}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		_ = os.RemoveAll(fresh)
		return fmt.Errorf("creating the cluster with initdb: %w: %s", err, lastLines(out.String(), 5))
	}
	if err := os.Rename(fresh, l.cluster()); err != nil {
		return fmt.Errorf("putting the cluster in place: %w", err)
	}
	return nil
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
