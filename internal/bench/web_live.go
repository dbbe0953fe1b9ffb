package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	livePages = 200
	liveName  = "live"
	// A sync is asked for so many times while the pages are watched.
	liveSyncs = 60
	// mostGrown is what the program's memory at the end may be of that after a fifth of the time.
	mostGrown = 1.1
	// longestEnd is how long the program may take to end while every page is watched.
	longestEnd = 5 * time.Second
)

// liveBench is a running server and the pages of a connection that are watched.
type liveBench struct {
	*webBench

	super *pgx.Conn
	over  atomic.Bool
	// moved counts what the pages were told, read how often they read themselves, broken the streams that ended by themselves.
	moved, read, broken atomic.Int64
}

// runLive opens the page of a connection 200 times for as long as LIVE says (10 minutes) while the connection is synced
// again and again, ends the program, and returns how many bars were missed.
func runLive(ctx context.Context, o options) (missed int, err error) { //nolint:nonamedreturns // says what the number is
	lasts := 10 * time.Minute
	if text := os.Getenv("LIVE"); text != "" {
		if lasts, err = time.ParseDuration(text); err != nil || lasts < time.Minute {
			return 0, fmt.Errorf("reading LIVE: %q must be a minute or more, such as 10m", text)
		}
	}
	l := &liveBench{webBench: &webBench{}}
	if l.server, err = startServer(ctx, o.buffers); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, l.close(ctx)) }()
	db, err := l.server.database(ctx, true)
	if err != nil {
		return 0, err
	}
	if l.super, err = pgx.Connect(ctx, l.server.pg.SuperuserURL(db)); err != nil {
		return 0, fmt.Errorf("connecting to scratch PostgreSQL: %w", err)
	}
	defer func() { _ = l.super.Close(context.WithoutCancel(ctx)) }()
	if err := l.start(ctx, l.server.appURL(db)); err != nil {
		return 0, err
	}
	if err := l.connectFolder(); err != nil {
		return 0, err
	}
	return l.watched(ctx, lasts)
}

// connectFolder connects a directory of a few documents.
func (l *liveBench) connectFolder() error {
	docs := filepath.Join(l.dir, "docs")
	if err := os.Mkdir(docs, 0o755); err != nil { //nolint:gosec // what everybody may read
		return fmt.Errorf("making documents: %w", err)
	}
	for n := range 20 {
		if err := os.WriteFile(filepath.Join(docs, strconv.Itoa(n)+".md"), []byte("# Document "+strconv.Itoa(n)+"\n\nIt says what it has to say.\n"), 0o644); err != nil { //nolint:gosec // as above
			return fmt.Errorf("making documents: %w", err)
		}
	}
	if out, err := l.command("connect", "folder", "--name", liveName, "--set", "path="+docs).Output(); err != nil {
		return fmt.Errorf("connecting a folder: %w: %s", err, out)
	}
	return nil
}

// liveFigures are what was measured: memory in KB around a fifth of the time and at the end, each the median of ten looks,
// the most database sessions and those that were left, and how long the program took to end.
type liveFigures struct {
	early, late, sessions, left int
	took                        time.Duration
}

func (l *liveBench) watched(ctx context.Context, lasts time.Duration) (missed int, err error) { //nolint:nonamedreturns // says what the number is
	var id string
	if err := l.super.QueryRow(ctx, `SELECT id::text FROM tributary.connection WHERE name = $1`, liveName).Scan(&id); err != nil {
		return 0, fmt.Errorf("reading the connection: %w", err)
	}
	var pages sync.WaitGroup
	for range livePages {
		pages.Go(func() { l.page(ctx, id) })
	}
	f := &liveFigures{}
	memory := make([]int, liveSyncs) // in KB, behind each sync
	tick := time.NewTicker(lasts / liveSyncs)
	defer tick.Stop()
	for n := range liveSyncs {
		if a, err := l.ask(ctx, http.MethodPost, "/connections/"+liveName+"/sync", url.Values{}); err != nil || a.status != http.StatusSeeOther {
			return 0, fmt.Errorf("asking for a sync: %d, %w", a.status, err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
		now, err := l.sessions(ctx)
		if err != nil {
			return 0, err
		}
		f.sessions = max(f.sessions, now)
		if memory[n], err = l.resident(ctx); err != nil {
			return 0, err
		}
	}
	f.early, f.late = middle(memory[liveSyncs/5-liveSyncs/12:liveSyncs/5+liveSyncs/12]), middle(memory[liveSyncs-liveSyncs/6:])
	if f.took, err = l.end(&pages); err != nil {
		return 0, err
	}
	// PostgreSQL ends a session when it notices that the client is gone.
	for deadline := time.Now().Add(longestEnd); ; time.Sleep(longestEnd / 100) {
		if f.left, err = l.sessions(ctx); err != nil {
			return 0, err
		}
		if f.left == 0 || time.Now().After(deadline) {
			return l.report(f, lasts), nil
		}
	}
}

func middle(list []int) int {
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2]
}

func (l *liveBench) report(f *liveFigures, lasts time.Duration) (missed int) { //nolint:nonamedreturns // says what the number is
	fmt.Printf("%d pages for %s: told %d times, read themselves %d times, %d streams broke off\n", livePages, lasts, l.moved.Load(), l.read.Load(), l.broken.Load())
	grown := float64(f.late) / float64(f.early)
	for _, x := range []struct {
		held bool
		text string
	}{
		{grown <= mostGrown, fmt.Sprintf("resident memory %d KB after a fifth of the time, %d KB at the end: %.2f times (at most %.1f)", f.early, f.late, grown, mostGrown)},
		{f.sessions < livePages/4 && f.left == 0, fmt.Sprintf("database sessions: %d at most while the pages were watched, %d after the program ended (0)", f.sessions, f.left)},
		{f.took <= longestEnd, fmt.Sprintf("the program ended in %s with every page open (at most %s)", f.took.Round(time.Millisecond), longestEnd)},
		{l.broken.Load() == 0 && l.read.Load() >= livePages*(liveSyncs/2), "every page was told of what moved and read itself, and no stream broke off"},
	} {
		word := "held"
		if !x.held {
			word, missed = "MISSED", missed+1
		}
		fmt.Printf("%-6s  %s\n", word, x.text)
	}
	return missed
}

// page is one page that is watched: it reads itself when it is told that something moved.
func (l *liveBench) page(ctx context.Context, id string) {
	defer func() {
		if !l.over.Load() {
			l.broken.Add(1)
		}
	}()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, l.base+"/live?topic=connection:"+id, nil)
	if err != nil {
		return
	}
	resp, err := l.client.Do(req)
	if err != nil {
		return
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return
	}
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if lines.Text() != "event: moved" {
			continue
		}
		l.moved.Add(1)
		if err := l.readItself(ctx); err == nil {
			l.read.Add(1)
		}
	}
}

func (l *liveBench) readItself(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, l.base+"/connections/"+liveName, nil)
	if err != nil {
		return fmt.Errorf("reading the page: %w", err)
	}
	req.Header.Set("Accept", "text/html")
	req.Header.Set("Tributary-By-Itself", "yes")
	resp, err := l.client.Do(req)
	if err != nil {
		return fmt.Errorf("reading the page: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	_, err = io.Copy(io.Discard, resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("reading the page: %d", resp.StatusCode)
	}
	return err
}

// end ends the program while the pages are watched, and returns how long that took.
func (l *liveBench) end(pages *sync.WaitGroup) (time.Duration, error) {
	l.over.Store(true)
	began := time.Now()
	if err := l.serve.Process.Signal(syscall.SIGTERM); err != nil {
		return 0, fmt.Errorf("ending the program: %w", err)
	}
	err := l.serve.Wait()
	took := time.Since(began)
	l.serve = nil
	pages.Wait()
	if err != nil {
		return 0, fmt.Errorf("ending the program: %w", err)
	}
	return took, nil
}

// resident is the program's resident memory in KB.
func (l *liveBench) resident(ctx context.Context) (int, error) {
	out, err := exec.CommandContext(ctx, "ps", "-o", "rss=", "-p", strconv.Itoa(l.serve.Process.Pid)).Output()
	if err != nil {
		return 0, fmt.Errorf("reading the program's memory: %w", err)
	}
	kb, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		return 0, fmt.Errorf("reading the program's memory: %w", err)
	}
	return kb, nil
}

// sessions counts the program's database sessions.
func (l *liveBench) sessions(ctx context.Context) (int, error) {
	var n int
	err := l.super.QueryRow(ctx, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = $1`, rolePrefix+"_app").Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("counting sessions: %w", err)
	}
	return n, nil
}
