package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

func main() { os.Exit(realMain()) }

func realMain() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	checks := flag.Int("checks", 120_000, "comparisons that a mutant may survive")
	within := flag.Duration("within", 6*time.Minute, "time in which a mutant has to be found")
	jobs := flag.Int("jobs", max(1, runtime.NumCPU()/2), "mutants at a time, each of which keeps two cores busy")
	second := flag.Bool("second", false, "the second wordings")
	flag.Parse()
	root, err := moduleRoot()
	if err == nil {
		dir := filepath.Join(root, "internal", "mutants", "testdata")
		if *second {
			dir = filepath.Join(dir, "second")
		}
		r := rig{root: root, checks: *checks, within: *within}
		err = r.run(ctx, os.Stdout, os.DirFS(dir), flag.Args(), *jobs)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		return 1
	}
	return 0
}

// moduleRoot is the directory of go.mod, this one or one above.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("looking for go.mod: run this inside the module")
		}
		dir = filepath.Dir(dir)
	}
}

// errMissed says that not everything was caught.
var errMissed = errors.New("not every mutant was caught by the oracle's word")

// run tries the tree as it is and every mutant, or without the former those whose
// names begin with one of names. The last line says how many of them were caught.
func (r rig) run(ctx context.Context, out io.Writer, dir fs.FS, names []string, jobs int) error {
	list, err := load(dir)
	if err != nil {
		return err
	}
	if list = chosen(list, names); len(list) == 0 {
		return fmt.Errorf("looking for mutants: none is named %s", strings.Join(names, " or "))
	}
	patched := make([]map[string]string, len(list))
	for i, m := range list {
		if patched[i], err = m.apply(r.root); err != nil {
			return err
		}
	}
	if len(names) == 0 {
		if err := r.control(ctx, out); err != nil {
			return err
		}
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	caught, slots := 0, make(chan struct{}, max(jobs, 1))
	for i, m := range list {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			began := time.Now()
			end, err := r.try(ctx, patched[i])
			v := judge(end)
			if err != nil {
				v = verdict{text: err.Error()}
			}
			mu.Lock()
			defer mu.Unlock()
			word := "MISSED"
			if v.caught {
				word = "caught"
				caught++
			}
			fmt.Fprintf(out, "%s in %3.0f s: %s: %s\n    %s\n", word, time.Since(began).Seconds(), m.name, m.bug, v.text)
		})
	}
	wg.Wait()
	fmt.Fprintf(out, "%d/%d\n", caught, len(list))
	if caught != len(list) {
		return errMissed
	}
	return nil
}

// control tries the tree as it is, which has to pass.
func (r rig) control(ctx context.Context, out io.Writer) error {
	began := time.Now()
	end, err := r.try(ctx, nil)
	if err == nil && end.code != 0 {
		err = errors.New(judge(end).text)
	}
	if err != nil {
		return fmt.Errorf("trying the tree as it is, which has to pass: %w", err)
	}
	_, err = fmt.Fprintf(out, "passed in %3.0f s: the tree as it is, %d comparisons\n", time.Since(began).Seconds(), r.checks)
	return err
}

// chosen are the mutants whose names begin with one of names.
func chosen(list []mutant, names []string) []mutant {
	if len(names) == 0 {
		return list
	}
	var out []mutant
	for _, m := range list {
		for _, name := range names {
			if strings.HasPrefix(m.name, name) {
				out = append(out, m)
				break
			}
		}
	}
	return out
}
