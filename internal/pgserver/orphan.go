package pgserver

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	pollEvery    = 10 * time.Millisecond
	fastStopWait = 20 * time.Second
	hardStopWait = 10 * time.Second
	strangerWait = 5 * time.Second
)

// pidFile is what the server writes into postmaster.pid: the process on line 1,
// its readiness on line 8 (PostgreSQL's utils/pidfile.h).
type pidFile struct {
	pid   int
	ready bool
}

func (l layout) readPIDFile() (pidFile, bool) {
	text, err := os.ReadFile(filepath.Join(l.cluster(), "postmaster.pid"))
	if err != nil {
		return pidFile{}, false
	}
	lines := strings.Split(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(lines[0]))
	if err != nil || pid <= 0 {
		return pidFile{}, false
	}
	return pidFile{pid: pid, ready: len(lines) > 7 && strings.TrimSpace(lines[7]) == "ready"}, true
}

// livePostmaster returns the process that serves the cluster, if one lives. A
// process id that meanwhile belongs to something else is told apart by its
// working directory, which a postmaster keeps at its cluster.
func (l layout) livePostmaster() (pidFile, bool) {
	pf, ok := l.readPIDFile()
	if !ok || !alive(pf.pid) {
		return pidFile{}, false
	}
	if runtime.GOOS == "linux" {
		cwd, err := os.Readlink("/proc/" + strconv.Itoa(pf.pid) + "/cwd")
		if errors.Is(err, os.ErrNotExist) {
			return pidFile{}, false
		}
		cluster, err2 := filepath.EvalSymlinks(l.cluster())
		if err == nil && err2 == nil && cwd != cluster {
			return pidFile{}, false
		}
	}
	return pf, true
}

// alive tells whether pid exists, a zombie counting as gone where that can be seen.
func alive(pid int) bool {
	if err := syscall.Kill(pid, 0); err != nil && !errors.Is(err, syscall.EPERM) {
		return false
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return true
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(after, "Z")
}

// endOrphan makes sure that no earlier server still uses the cluster. The caller
// holds the lock, so a server that our own state file names has lost its process
// and is stopped; one that it does not name is given a moment and else refused.
func (l layout) endOrphan(ctx context.Context) error {
	pf, ok := l.livePostmaster()
	if !ok {
		return nil
	}
	st, err := l.readState()
	if err != nil || st.PID != pf.pid {
		if l.waitGone(ctx, strangerWait) {
			return nil
		}
		return errors.Join(ctx.Err(), l.alreadyRunning(strconv.Itoa(pf.pid)))
	}
	for _, step := range []struct {
		signal syscall.Signal
		wait   time.Duration
	}{{syscall.SIGINT, fastStopWait}, {syscall.SIGQUIT, hardStopWait}} {
		_ = syscall.Kill(pf.pid, step.signal)
		if l.waitGone(ctx, step.wait) {
			return nil
		}
	}
	return errors.Join(ctx.Err(), l.alreadyRunning(strconv.Itoa(pf.pid)))
}

func (l layout) waitGone(ctx context.Context, limit time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return poll(ctx, func() bool {
		_, live := l.livePostmaster()
		return !live
	})
}

// poll asks until ask says true or ctx ends, and returns its last answer.
func poll(ctx context.Context, ask func() bool) bool {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if ask() {
			return true
		}
		select {
		case <-ctx.Done():
			return ask()
		case <-tick.C:
		}
	}
}
