package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of times in /proc/PID/stat: USER_HZ is 100 on every
// architecture of Linux that Go supports (proc_pid_stat(5)).
const clockTick = 10 * time.Millisecond

// procStat is what a line of /proc/PID/stat says.
type procStat struct {
	parent   int
	own      time.Duration
	children time.Duration // those that have ended and were waited for
}

func readStat(pid int) (procStat, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return procStat{}, err
	}
	// The name may contain anything; fields are counted from its closing
	// parenthesis, which ends field 2.
	_, rest, ok := strings.Cut(string(b[bytes.LastIndexByte(b, ')'):]), " ")
	f := strings.Fields(rest)
	if !ok || len(f) < 15 {
		return procStat{}, fmt.Errorf("reading /proc/%d/stat: unexpected form", pid)
	}
	var n [4]int64 // utime, stime, cutime, cstime: fields 14 to 17
	for i := range n {
		if n[i], err = strconv.ParseInt(f[11+i], 10, 64); err != nil {
			return procStat{}, fmt.Errorf("reading /proc/%d/stat: %w", pid, err)
		}
	}
	parent, err := strconv.Atoi(f[1])
	return procStat{parent, time.Duration(n[0]+n[1]) * clockTick, time.Duration(n[2]+n[3]) * clockTick}, err
}

// serverCPU returns the CPU time of the postmaster and of all its children,
// also of those that have ended: the postmaster waits for every one, so their
// time stands in its own account.
func serverCPU(postmaster int) (time.Duration, error) {
	for {
		before, err := readStat(postmaster)
		if err != nil {
			return 0, fmt.Errorf("measuring the server: %w", err)
		}
		live, err := liveChildren(postmaster)
		if err != nil {
			return 0, err
		}
		after, err := readStat(postmaster)
		if err != nil {
			return 0, fmt.Errorf("measuring the server: %w", err)
		}
		// A child that ended in between could be counted twice, or not at all.
		if before.children == after.children {
			return after.own + after.children + live, nil
		}
	}
}

func liveChildren(parent int) (time.Duration, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, fmt.Errorf("measuring the server: %w", err)
	}
	var sum time.Duration
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if st, err := readStat(pid); err == nil && st.parent == parent {
			sum += st.own + st.children
		}
	}
	return sum, nil
}

// peakRSS returns the largest resident size that this process ever had.
func peakRSS() (int64, error) {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, fmt.Errorf("measuring memory: %w", err)
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("measuring memory: /proc/self/status has no VmHWM")
}
