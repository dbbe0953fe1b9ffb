package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

// options are the command line.
type options struct {
	corpus  string
	rounds  int
	quick   bool
	buffers string
	profile string
	sync    bool
	search  bool
	words   bool
	load    bool
	web     bool
	live    bool
}

func main() {
	os.Exit(realMain())
}

// realMain returns the exit code: 0, 1 where nothing could be measured, 3 where
// a bar was missed.
func realMain() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var missed int
	var err error
	if task := os.Getenv(envChild); task != "" {
		err = child(ctx, task)
	} else {
		missed, err = run(ctx, parseFlags())
	}
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	case missed > 0:
		return 3
	default:
		return 0
	}
}

func parseFlags() options {
	var o options
	flag.StringVar(&o.corpus, "corpus", defaultCorpus(), "directory that scripts/corpus.sh filled")
	flag.IntVar(&o.rounds, "rounds", 0, "rounds over everything but the 8,000 files (default 5, quick 2)")
	flag.BoolVar(&o.quick, "quick", os.Getenv("BENCH") == "quick", "two rounds of the 1,000 files only; also BENCH=quick")
	flag.StringVar(&o.buffers, "shared-buffers", "1GB", "shared_buffers of the scratch PostgreSQL")
	flag.StringVar(&o.profile, "profile", "", "directory for CPU profiles of the pipeline's process")
	flag.BoolVar(&o.sync, "sync", false, "the 8,000 files pulled over HTTP, against rclone and against the ingest alone")
	flag.BoolVar(&o.search, "search", false, "search over SCALE chunks (default 200000), against the best ways of plain SQL")
	flag.BoolVar(&o.words, "words", false, "keyword search over SCALE chunks (80,000) against plain ts_rank over the same visible set")
	flag.BoolVar(&o.load, "load", false, "64 readers at a time over SCALE chunks, for LOAD (default 2m), against one")
	flag.BoolVar(&o.web, "web", false, "every page over SCALE chunks (1,000,000), 500 connections and 100,000 runs, against an empty page")
	flag.BoolVar(&o.live, "live", false, "200 pages that are watched, for LIVE (default 10m): memory, database sessions and how long the program takes to end")
	flag.Parse()
	if o.rounds <= 0 {
		o.rounds = 5
		if o.quick {
			o.rounds = 2
		}
	}
	return o
}

// defaultCorpus is where scripts/corpus.sh puts the documents.
func defaultCorpus() string {
	if dir := os.Getenv("TEST_CORPUS"); dir != "" {
		return dir
	}
	home, _ := os.UserHomeDir()
	return filepath.Join(cmp.Or(os.Getenv("XDG_CACHE_HOME"), filepath.Join(home, ".cache")), "tributary", "corpus")
}

// run measures everything and returns how many bars were missed.
func run(ctx context.Context, o options) (missed int, err error) { //nolint:nonamedreturns // says what the number is
	if o.load {
		return runLoad(ctx, o)
	}
	if o.web {
		return runWeb(ctx, o)
	}
	if o.live {
		return runLive(ctx, o)
	}
	if o.search {
		return runSearch(ctx, o)
	}
	if o.words {
		return runWords(ctx, o)
	}
	small, large := filepath.Join(o.corpus, "corpus-1000"), filepath.Join(o.corpus, "corpus-8000")
	if _, err := os.Stat(small); err != nil {
		return 0, fmt.Errorf("looking for documents: %w; run scripts/corpus.sh", err)
	}
	s, err := startServer(ctx, o.buffers)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.stop(ctx)) }()
	r := &rounds{server: s, small: small, large: large, profile: o.profile, samples: map[string][]sample{}}
	if o.sync {
		return r.pullRounds(ctx, o)
	}
	if err := r.prepare(ctx); err != nil {
		return 0, err
	}
	for n := range o.rounds {
		fmt.Fprintf(os.Stderr, "round %d of %d\n", n+1, o.rounds)
		if err := r.round(ctx, n); err != nil {
			return 0, err
		}
	}
	if !o.quick {
		fmt.Fprintln(os.Stderr, "8,000 files with every index present (a few minutes)")
		if err := r.largeRun(ctx); err != nil {
			return 0, err
		}
	}
	return r.report(os.Stdout), nil
}

// say prints a child's result for its parent.
func say(samples []sample) error {
	return json.NewEncoder(os.Stdout).Encode(samples)
}
