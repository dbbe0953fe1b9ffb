package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"text/tabwriter"
	"time"

	"tributary/connectors"
	"tributary/internal/extract"
	"tributary/jobs"
	"tributary/store"
)

// Rows of the table of pulled files.
const (
	rowRclone = "limit: rclone copy, 8 transfers, to a directory"
	rowIngest = "limit: ingest alone, the same files without a network"
	rowPulled = "pipeline, the files pulled over HTTP from loopback"
)

// The bars of pulled files.
const (
	mostOfLimit = 1.15
	mostMemory  = 200 << 20
)

// syncPulled is a first sync from the file server, or from the directory where
// there is none.
func syncPulled(ctx context.Context) ([]sample, error) {
	st, err := store.Open(ctx, store.Config{URL: os.Getenv(envURL), Purpose: store.Worker})
	if err != nil {
		return nil, err
	}
	defer st.Close()
	addr := os.Getenv(envFiles)
	source, row := pulled{dir: os.Getenv(envDir)}, rowIngest
	if addr != "" {
		source, row = pulled{}, rowPulled
	}
	r, err := jobs.New(jobs.Config{
		Store: st, Extractor: extract.New(extract.Config{}), Authorise: authorisePulled(addr),
		Connectors: map[string]connectors.Connector{pulledSource: source},
	})
	if err != nil {
		return nil, err
	}
	conn, err := st.CreateConnection(ctx, store.NewConnection{Name: "corpus", Source: pulledSource})
	if err != nil {
		return nil, err
	}
	stop, err := startProfile(os.Getenv(envProfile))
	if err != nil {
		return nil, err
	}
	p := &pipeline{st, r, conn}
	s, _, err := p.sync(ctx, row)
	return []sample{s}, errors.Join(err, stop())
}

// pullRounds measures the three side by side and holds the pipeline to the
// larger of the other two.
func (r *rounds) pullRounds(ctx context.Context, o options) (int, error) {
	rclone, err := exec.LookPath("rclone")
	if err != nil {
		return 0, fmt.Errorf("looking for rclone: %w; install the package rclone", err)
	}
	dir := r.large
	if o.quick {
		dir = r.small
	}
	files, err := serveFiles(ctx, dir)
	if err != nil {
		return 0, err
	}
	defer func() { _ = files.http.Close() }()
	if _, _, err := readAll(dir); err != nil { // into the page cache, for everybody
		return 0, err
	}
	steps := []func(n int) error{
		func(int) error { return r.rclone(ctx, rclone, files.addr) },
		func(n int) error { return r.pull(ctx, dir, "", n, rowIngest) },
		func(n int) error { return r.pull(ctx, dir, files.addr, n, rowPulled) },
	}
	for n := range o.rounds {
		fmt.Fprintf(os.Stderr, "round %d of %d\n", n+1, o.rounds)
		for i := range steps {
			if err := steps[(i+n)%len(steps)](n); err != nil {
				return 0, err
			}
		}
	}
	return r.reportPulled(os.Stdout), nil
}

func (r *rounds) pull(ctx context.Context, dir, addr string, n int, row string) error {
	return r.with(ctx, false, func(db string) error {
		env := r.env(db, dir)
		env[envFiles] = addr
		if r.profile != "" {
			env[envProfile] = filepath.Join(r.profile, fmt.Sprintf("pull-http-%t-%d.prof", addr != "", n))
		}
		list, err := spawn(ctx, taskPulled, env)
		if err != nil {
			return err
		}
		r.add(row, list[0])
		return nil
	})
}

// rclone copies the served files into a directory, asking for each file once.
func (r *rounds) rclone(ctx context.Context, program, addr string) error {
	to, err := os.MkdirTemp("", "tributary-bench-rclone-")
	if err != nil {
		return fmt.Errorf("creating a directory for rclone: %w", err)
	}
	defer func() { _ = os.RemoveAll(to) }()
	cmd := exec.CommandContext(ctx, program, "copy", "--config", "", "--transfers", "8", "--http-no-head", "--http-url", "http://"+addr+"/files/", ":http:", to)
	cmd.Stderr = os.Stderr
	s := sample{Name: rowRclone}
	began := time.Now()
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("running rclone: %w", err)
	}
	s.Wall = time.Since(began)
	s.Client = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if ru, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		s.PeakRSS = ru.Maxrss << 10
	}
	copied, err := listFiles(to)
	if err != nil {
		return err
	}
	s.Documents = len(copied)
	for _, f := range copied {
		s.Bytes += f.Size
	}
	r.add(rowRclone, s)
	return nil
}

func (r *rounds) reportPulled(w io.Writer) int {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "what\tchunks/s median\tmin\tmax\tdocs/s\tseconds\tCPU s client\tCPU s server\tpeak MB\t")
	for _, name := range []string{rowRclone, rowIngest, rowPulled} {
		writeRow(t, name, r.samples[name])
	}
	_ = t.Flush()
	fmt.Fprintln(w)
	var time, memory []float64
	for i, s := range r.samples[rowPulled] {
		rclone, ingest := r.samples[rowRclone][i], r.samples[rowIngest][i]
		if s.Documents != rclone.Documents || s.Documents != ingest.Documents {
			fmt.Fprintf(w, "MISSED  documents: %d by rclone, %d by the ingest alone, %d pulled\n", rclone.Documents, ingest.Documents, s.Documents)
			return 1
		}
		time = append(time, s.Wall.Seconds()/max(rclone.Wall, ingest.Wall).Seconds())
		memory = append(memory, float64(s.PeakRSS-ingest.PeakRSS)/(1<<20))
	}
	missed := 0
	bar := func(what string, values []float64, most float64) {
		s, verdict := spreadOf(values), "held"
		if s.middle > most {
			verdict, missed = "MISSED", missed+1
		}
		fmt.Fprintf(w, "%-6s  %s: %.3f (%.3f to %.3f), at most %g\n", verdict, what, s.middle, s.least, s.most, most)
	}
	bar("time against the larger of rclone and the ingest alone", time, mostOfLimit)
	bar("peak MB beyond the ingest alone", memory, mostMemory>>20)
	return missed
}
