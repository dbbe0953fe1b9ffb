package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

const (
	// mostAbove is how much longer than an empty page any page may take, at the 95th percentile.
	mostAbove = 50 * time.Millisecond
	// mostBytes is what a first visit may load: the page and what it needs, not compressed.
	mostBytes = 100_000
	// emptyPage has a frame and a form.
	emptyPage   = "/account/password"
	webPassword = "correct-horse-battery-staple-9"
	webName     = "bench-owner"
)

// webBench is a running server over a full store, and somebody who is signed in.
type webBench struct {
	server *server
	dir    string
	base   string
	// command is a command line of the program, with the settings of its server.
	command func(args ...string) *exec.Cmd
	serve   *exec.Cmd
	client  *http.Client
	ids     map[string]string
	looks   int
}

// runWeb measures the server time of a page of every kind and what a first visit loads, and returns how many bars were
// missed. The program is bin/tributary.
func runWeb(ctx context.Context, o options) (missed int, err error) { //nolint:nonamedreturns // says what the number is
	chunks := 1_000_000
	if text := os.Getenv("SCALE"); text != "" {
		if chunks, err = strconv.Atoi(text); err != nil || chunks < 10_000 {
			return 0, fmt.Errorf("reading SCALE: %q must be a number of chunks, 10,000 at least", text)
		}
	}
	b := &webBench{looks: 40}
	if text := os.Getenv("LOOKS"); text != "" {
		if b.looks, err = strconv.Atoi(text); err != nil || b.looks < 1 {
			return 0, fmt.Errorf("reading LOOKS: %q must be a number of times that each page is looked at", text)
		}
	}
	if b.server, err = startServer(ctx, o.buffers); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, b.close(ctx)) }()
	db, err := b.server.database(ctx, true)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if err := fillWeb(ctx, b.server, db, chunks); err != nil {
		return 0, err
	}
	fmt.Fprintf(os.Stderr, "%d chunks, %d connections and %d runs stored in %.0f s\n", chunks, webConnections, webRuns, time.Since(began).Seconds())
	if err := b.start(ctx, b.server.appURL(db)); err != nil {
		return 0, err
	}
	if b.ids, err = webIDs(ctx, b.server, db); err != nil {
		return 0, err
	}
	return b.measure(ctx, os.Stdout)
}

func (b *webBench) close(ctx context.Context) error {
	if b.serve != nil {
		_ = b.serve.Process.Signal(syscall.SIGTERM)
		_ = b.serve.Wait()
	}
	return errors.Join(b.server.stop(ctx), os.RemoveAll(b.dir))
}

// start makes an owner, starts the program and signs in.
func (b *webBench) start(ctx context.Context, database string) error {
	var err error
	if b.dir, err = os.MkdirTemp("", "tributary-bench-web-"); err != nil {
		return fmt.Errorf("creating data directory: %w", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // closed at once
	if err != nil {
		return fmt.Errorf("looking for a free port: %w", err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	b.base = "http://" + addr
	program, err := filepath.Abs("bin/tributary")
	if err != nil {
		return fmt.Errorf("looking for bin/tributary: %w", err)
	}
	b.command = func(args ...string) *exec.Cmd {
		c := exec.CommandContext(ctx, program, args...)
		c.Env = append(os.Environ(), "TRIBUTARY_DATABASE_URL="+database, "TRIBUTARY_ADDR="+addr, "TRIBUTARY_METRICS_ADDR=off", "TRIBUTARY_DATA_DIR="+filepath.Join(b.dir, "data"),
			"TRIBUTARY_MASTER_KEY_FILE="+filepath.Join(b.dir, "keys", "master.key"))
		c.Stderr = os.Stderr
		return c
	}
	if out, err := b.command("master-key", "create").Output(); err != nil {
		return fmt.Errorf("creating the master key: %w: %s", err, out)
	}
	create := b.command("users", "create", webName, "--role", "owner", "--password-file", "-")
	create.Stdin = strings.NewReader(webPassword + "\n")
	if out, err := create.Output(); err != nil {
		return fmt.Errorf("creating an owner: %w: %s", err, out)
	}
	b.serve = b.command("serve")
	b.serve.Stderr = nil
	if err := b.serve.Start(); err != nil {
		return fmt.Errorf("starting the program: %w", err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		return fmt.Errorf("making a browser: %w", err)
	}
	b.client = &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return b.signIn(ctx)
}

const startLimit = 30 * time.Second

func (b *webBench) signIn(ctx context.Context) error {
	for deadline := time.Now().Add(startLimit); ; {
		l, err := b.ask(ctx, http.MethodGet, "/readyz", nil)
		if err == nil && l.status == http.StatusOK {
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("waiting for the program: %d, %w", l.status, err)
		}
		time.Sleep(startLimit / 300)
	}
	l, err := b.ask(ctx, http.MethodPost, "/signin", url.Values{"name": {webName}, "password": {webPassword}})
	if err == nil && l.status != http.StatusSeeOther {
		err = fmt.Errorf("signing in: the server answers %d", l.status)
	}
	return err
}

// looked is an answer, and how long it took until its last byte.
type looked struct {
	status int
	body   string
	took   time.Duration
}

// ask asks for an address of this server, as a browser does.
func (b *webBench) ask(ctx context.Context, method, path string, form url.Values) (looked, error) {
	var l looked
	req, err := http.NewRequestWithContext(ctx, method, b.base+path, strings.NewReader(form.Encode()))
	if err != nil {
		return l, fmt.Errorf("asking for %s: %w", path, err)
	}
	req.Header.Set("Accept", "text/html")
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	began := time.Now()
	resp, err := b.client.Do(req)
	if err != nil {
		return l, fmt.Errorf("asking for %s: %w", path, err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return l, fmt.Errorf("reading %s: %w", path, err)
	}
	return looked{resp.StatusCode, string(raw), time.Since(began)}, nil
}

// measure looks at every page again and again, in random order, and judges it.
func (b *webBench) measure(ctx context.Context, w io.Writer) (missed int, err error) { //nolint:nonamedreturns // says what the number is
	list := visits()
	if err := b.first(ctx, list); err != nil {
		return 0, err
	}
	rnd := rand.New(rand.NewPCG(3, 4)) //nolint:gosec // the same order in every run
	times, bytes := make([][]time.Duration, len(list)), make([]int, len(list))
	for range b.looks {
		for _, at := range rnd.Perm(len(list)) {
			l, err := b.look(ctx, list[at])
			if err != nil {
				return 0, err
			}
			times[at], bytes[at] = append(times[at], l.took), len(l.body)
		}
	}
	frame := 0
	for _, path := range []string{"/style.css", "/app.js", "/icons.svg", "/icon.svg", "/favicon.ico"} {
		l, err := b.ask(ctx, http.MethodGet, path, nil)
		if err != nil {
			return 0, err
		}
		frame += len(l.body)
	}
	empty := quantile(times[0], 0.95)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "page\tp50 ms\tp95 ms\tabove the empty page\tfirst visit, KB\t")
	order := rnd.Perm(len(list))
	slices.SortFunc(order, func(x, y int) int { return int(quantile(times[y], 0.95) - quantile(times[x], 0.95)) })
	for _, at := range order {
		above, load, word := quantile(times[at], 0.95)-empty, bytes[at]+frame, ""
		if above > mostAbove || load > mostBytes {
			missed, word = missed+1, "MISSED"
		}
		fmt.Fprintf(t, "%s\t%.1f\t%.1f\t%.1f\t%.1f\t%s\n", list[at], ms(quantile(times[at], 0.5)), ms(quantile(times[at], 0.95)), ms(above), float64(load)/1000, word)
	}
	_ = t.Flush()
	fmt.Fprintf(w, "%d pages; bar: the 95th percentile at most %s above the empty page's, a first visit at most %d KB\n", len(list), mostAbove, mostBytes/1000)
	return missed, nil
}
