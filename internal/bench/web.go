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
	"regexp"
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
	pageLooks = 40
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
	serve  *exec.Cmd
	client *http.Client
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
	b := &webBench{}
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
	command := func(args ...string) *exec.Cmd {
		c := exec.CommandContext(ctx, program, args...)
		c.Env = append(os.Environ(), "TRIBUTARY_DATABASE_URL="+database, "TRIBUTARY_ADDR="+addr, "TRIBUTARY_METRICS_ADDR=off", "TRIBUTARY_DATA_DIR="+filepath.Join(b.dir, "data"),
			"TRIBUTARY_MASTER_KEY_FILE="+filepath.Join(b.dir, "keys", "master.key"))
		c.Stderr = os.Stderr
		return c
	}
	if out, err := command("master-key", "create").Output(); err != nil {
		return fmt.Errorf("creating the master key: %w: %s", err, out)
	}
	create := command("users", "create", webName, "--role", "owner", "--password-file", "-")
	create.Stdin = strings.NewReader(webPassword + "\n")
	if out, err := create.Output(); err != nil {
		return fmt.Errorf("creating an owner: %w: %s", err, out)
	}
	b.serve = command("serve")
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
		status, _, _, err := b.get(ctx, "/readyz")
		if err == nil && status == http.StatusOK {
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("waiting for the program: %d, %w", status, err)
		}
	}
	form := url.Values{"name": {webName}, "password": {webPassword}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.base+"/signin", strings.NewReader(form.Encode()))
	if err != nil {
		return fmt.Errorf("signing in: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	resp, err := b.client.Do(req)
	if err != nil {
		return fmt.Errorf("signing in: %w", err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusSeeOther {
		return fmt.Errorf("signing in: the server answers %s", resp.Status)
	}
	return nil
}

// get asks for a page and says how long it took until its last byte.
func (b *webBench) get(ctx context.Context, path string) (status int, body string, took time.Duration, err error) { //nolint:nonamedreturns // four results
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.base+path, nil)
	if err != nil {
		return 0, "", 0, fmt.Errorf("asking for %s: %w", path, err)
	}
	req.Header.Set("Accept", "text/html")
	began := time.Now()
	resp, err := b.client.Do(req)
	if err != nil {
		return 0, "", 0, fmt.Errorf("asking for %s: %w", path, err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, "", 0, fmt.Errorf("reading %s: %w", path, err)
	}
	return resp.StatusCode, string(raw), time.Since(began), nil
}

var (
	pageLinks  = regexp.MustCompile(`href="(/[^"#]*)`)
	idInPath   = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22,}|\b(?:c-\d+)\b`)
	queryNames = regexp.MustCompile(`=[^&]*`)
)

// kind is a path with what differs between pages of one kind replaced.
func kind(path string) string {
	path, query, _ := strings.Cut(strings.ReplaceAll(path, "&amp;", "&"), "?")
	path = idInPath.ReplaceAllString(path, ":id")
	if query != "" {
		path += "?" + queryNames.ReplaceAllString(query, "")
	}
	return path
}

// pages follows links to a page of every kind.
func (b *webBench) pages(ctx context.Context) ([]string, error) {
	seen, queue := map[string]bool{kind(emptyPage): true}, []string{"/"}
	var list []string
	for len(queue) > 0 {
		path := queue[0]
		queue = queue[1:]
		if seen[kind(path)] {
			continue
		}
		seen[kind(path)] = true
		status, body, _, err := b.get(ctx, path)
		if err != nil {
			return nil, err
		}
		if status != http.StatusOK || !strings.Contains(body, "<main") {
			continue
		}
		list = append(list, path)
		for _, m := range pageLinks.FindAllStringSubmatch(body, -1) {
			queue = append(queue, strings.ReplaceAll(m[1], "&amp;", "&"))
		}
	}
	return list, nil
}

// measure looks at every page again and again, in random order, and judges it.
func (b *webBench) measure(ctx context.Context, w io.Writer) (missed int, err error) { //nolint:nonamedreturns // says what the number is
	list, err := b.pages(ctx)
	if err != nil {
		return 0, err
	}
	list = append([]string{emptyPage}, list...)
	rnd := rand.New(rand.NewPCG(3, 4)) //nolint:gosec // the same order in every run
	times, bytes := make([][]time.Duration, len(list)), make([]int, len(list))
	for range pageLooks {
		for _, at := range rnd.Perm(len(list)) {
			_, body, took, err := b.get(ctx, list[at])
			if err != nil {
				return 0, err
			}
			times[at], bytes[at] = append(times[at], took), len(body)
		}
	}
	frame := 0
	for _, path := range []string{"/style.css", "/app.js", "/icons.svg", "/icon.svg", "/favicon.ico"} {
		_, body, _, err := b.get(ctx, path)
		if err != nil {
			return 0, err
		}
		frame += len(body)
	}
	empty := quantile(times[0], 0.95)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "page\tp50 ms\tp95 ms\tabove the empty page\tfirst visit, KB\t")
	order := slices.Collect(func(yield func(int) bool) {
		for at := range list {
			if !yield(at) {
				return
			}
		}
	})
	slices.SortFunc(order, func(x, y int) int { return int(quantile(times[y], 0.95) - quantile(times[x], 0.95)) })
	for _, at := range order {
		above, load, word := quantile(times[at], 0.95)-empty, bytes[at]+frame, ""
		if above > mostAbove || load > mostBytes {
			missed, word = missed+1, "MISSED"
		}
		fmt.Fprintf(t, "%s\t%.1f\t%.1f\t%.1f\t%.1f\t%s\n", kind(list[at]), ms(quantile(times[at], 0.5)), ms(quantile(times[at], 0.95)), ms(above), float64(load)/1000, word)
	}
	_ = t.Flush()
	fmt.Fprintf(w, "%d pages; bar: the 95th percentile at most %s above the empty page's, a first visit at most %d KB\n", len(list), mostAbove, mostBytes/1000)
	return missed, nil
}
