package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"
)

// Environment of a child: a child is this program again, with one task.
const (
	envChild      = "BENCH_CHILD"
	envURL        = "BENCH_URL"         // the role app
	envSuper      = "BENCH_SUPERUSER"   // the same database
	envSource     = "BENCH_SOURCE"      // the database whose rows are copied
	envDir        = "BENCH_DIR"         // the documents
	envPostmaster = "BENCH_POSTMASTER"  // its process id
	envProfile    = "BENCH_CPU_PROFILE" // file for a CPU profile
	envFiles      = "BENCH_FILES"       // address of the file server
)

// sample is one measurement.
type sample struct {
	Name      string
	Documents int
	Chunks    int
	Bytes     int64
	Wall      time.Duration
	Client    time.Duration
	Server    time.Duration
	PeakRSS   int64
}

func (s sample) chunkRate() float64 { return float64(s.Chunks) / s.Wall.Seconds() }
func (s sample) cpu() time.Duration { return s.Client + s.Server }

// meter measures from its making to stop.
type meter struct {
	postmaster     int
	began          time.Time
	client, server time.Duration
}

func startMeter(postmaster int) (*meter, error) {
	m := &meter{postmaster: postmaster}
	var err error
	if m.client, m.server, err = m.read(); err != nil {
		return nil, err
	}
	m.began = time.Now()
	return m, nil
}

func (m *meter) stop(s *sample) error {
	s.Wall = time.Since(m.began)
	client, server, err := m.read()
	if err != nil {
		return err
	}
	s.Client, s.Server = client-m.client, server-m.server
	s.PeakRSS, err = peakRSS()
	return err
}

func (m *meter) read() (client, server time.Duration, err error) { //nolint:nonamedreturns // two durations
	var ru syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &ru); err != nil {
		return 0, 0, fmt.Errorf("measuring this process: %w", err)
	}
	client = time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
	if m.postmaster != 0 {
		server, err = serverCPU(m.postmaster)
	}
	return client, server, err
}

// spawn runs this program as a child with a task and returns what it measured.
func spawn(ctx context.Context, task string, env map[string]string) ([]sample, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("looking for this program: %w", err)
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), envChild+"="+task)
	for k, v := range env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("measuring %s: %w", task, err)
	}
	var samples []sample
	if err := json.Unmarshal(out.Bytes(), &samples); err != nil {
		return nil, fmt.Errorf("measuring %s: %w", task, err)
	}
	return samples, nil
}

func postmaster() int {
	n, _ := strconv.Atoi(os.Getenv(envPostmaster))
	return n
}

// child does the task named by the environment.
func child(ctx context.Context, task string) error {
	var samples []sample
	var err error
	switch task {
	case taskParse:
		samples, err = parseLimit(ctx, os.Getenv(envDir))
	case taskCopy:
		samples, err = copyLimit(ctx)
	case taskSync:
		samples, err = syncTwice(ctx)
	case taskLarge:
		samples, err = syncOnce(ctx)
	case taskPulled:
		samples, err = syncPulled(ctx)
	default:
		err = fmt.Errorf("unknown task %q", task)
	}
	if err != nil {
		return err
	}
	return say(samples)
}
