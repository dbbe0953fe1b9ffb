package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tributary/store"
)

// TestPushPageWorks runs every command of docs/push.md.
func TestPushPageWorks(t *testing.T) {
	t.Parallel()
	s := newSettledSite(t, "TRIBUTARY_METRICS_ADDR=off")
	up := s.start("up", "--no-demo")
	up.await("is running")
	page, err := os.ReadFile(repository + "/docs/push.md")
	if err != nil {
		t.Fatal(err)
	}
	key, lines := "", regexp.MustCompile("(?ms)^```json\n(.*?)^```$").FindStringSubmatch(string(page))[1]
	var answers []string
	for _, block := range regexp.MustCompile("(?ms)^```sh\n(.*?)^```$").FindAllStringSubmatch(string(page), -1) {
		if strings.HasPrefix(block[1], "curl") {
			answers = append(answers, shell(t, s, "URL=http://"+s.setting("TRIBUTARY_ADDR")+" KEY="+key+"\n"+block[1]))
			continue
		}
		for line := range strings.Lines(block[1]) {
			r := s.must(exitOK, strings.Fields(strings.TrimPrefix(line, "tributary "))...)
			if strings.HasPrefix(r.stdout, "trib_") {
				key, _, _ = strings.Cut(r.stdout, "\n")
				if !strings.Contains(r.stdout, "/v1/push/wiki/batch") {
					t.Errorf("the key comes with %s", r.stdout)
				}
				s.write(".", map[string]string{"wiki.key": key + "\n", "documents.jsonl": lines})
			}
		}
	}
	want := []string{`"status":"created"`, "", `"status":"updated"`, `"counts":{"created":1,"failed":1,"unchanged":1}`}
	for i, w := range want {
		if i >= len(answers) || !strings.Contains(answers[i], w) {
			t.Errorf("answers are %q, want %q in the one with number %d", answers, w, i)
		}
	}
	if r := s.must(exitOK, "search", "walruses", "--as", "ada"); !strings.Contains(r.stdout, "Walruses sleep in water.") {
		t.Errorf("ada finds %s", r.stdout)
	}
	if r := s.run("sync", "wiki"); r.code != exitUsage || !strings.Contains(r.stderr, "nothing to pull") {
		t.Errorf("syncing it: %d %s", r.code, r.stderr)
	}
}

// TestPushedDocumentsSurviveKills pushes everything twice, and kills the server
// in between and in the middle of batches: each document is stored once.
// TEST_PUSH says how many there are.
func TestPushedDocumentsSurviveKills(t *testing.T) {
	t.Parallel()
	total, kills := 1000, 3
	if n, err := strconv.Atoi(os.Getenv("TEST_PUSH")); err == nil {
		total, kills = n, 8
	}
	p := &pushing{t: t, site: newSettledSite(t), pushers: 4, total: total, done: map[int]bool{}}
	up := p.site.start("up", "--no-demo")
	up.await("is running")
	p.site.must(exitOK, "connect", "push", "--name", "bulk")
	key, _, _ := strings.Cut(p.site.must(exitOK, "keys", "create", "bulk", "--rights", "push", "--connections", "bulk").stdout, "\n")
	p.key = key
	began := time.Now()
	for round := range 2 {
		clear(p.done)
		for kill := range kills {
			// The server dies when a share of the batches is answered, others under way.
			p.send(round, p.batches()*(kill+1)/(kills+1), func() { _ = up.cmd.Process.Kill() })
			<-up.exited
			up = p.site.start("up", "--no-demo")
			up.await("is running")
		}
		p.send(round, p.batches(), func() {})
		t.Logf("round %d: %d documents, %d kills, %s since the start; statuses %v", round+1, total, kills, time.Since(began).Round(time.Second), p.statuses)
	}
	slices.Sort(p.latencies)
	t.Logf("a batch of %d under %d pushers: p50 %s, p95 %s, slowest %s", pushedAtOnce, p.pushers, p.quantile(50), p.quantile(95), p.quantile(100))
	// A run counts in the transaction that stores.
	var added, updated int64
	for _, run := range mustJSON[[]store.Run](p.site, exitOK, "runs", "list", "--connection", "bulk") {
		added, updated = added+run.Counts.Added, updated+run.Counts.Updated
	}
	if added != int64(total) || updated != 0 {
		t.Errorf("%d documents of %d were stored, %d of them again", added, total, updated)
	}
	if p.statuses["failed"] != 0 || p.statuses["updated"] != 0 || p.statuses["created"] > total || p.statuses["unchanged"] < total {
		t.Errorf("statuses %v", p.statuses)
	}
	if code := up.signal(syscall.SIGTERM); code != exitOK {
		t.Errorf("the server ended with %d", code)
	}
}

const pushedAtOnce = 50

// pushing sends batches until each has been answered.
type pushing struct {
	t              *testing.T
	site           *site
	key            string
	pushers, total int

	mu        sync.Mutex
	done      map[int]bool
	statuses  map[string]int
	latencies []time.Duration
}

func (p *pushing) batches() int { return (p.total + pushedAtOnce - 1) / pushedAtOnce }

func (p *pushing) quantile(q int) time.Duration {
	return p.latencies[(len(p.latencies)-1)*q/100].Round(time.Millisecond)
}

// send pushes what has no answer yet, until enough batches have one; then it
// calls end, while others are under way.
func (p *pushing) send(round, enough int, end func()) {
	p.t.Helper()
	ctx, cancel := context.WithCancel(p.t.Context())
	defer cancel()
	work := make(chan int)
	var wg sync.WaitGroup
	for range p.pushers {
		wg.Go(func() {
			for n := range work {
				if p.batch(ctx, n) {
					p.mu.Lock()
					p.done[n] = true
					reached := len(p.done) == enough
					p.mu.Unlock()
					if reached {
						end()
						cancel()
					}
				}
			}
		})
	}
	for n := range p.batches() {
		p.mu.Lock()
		skip := p.done[n]
		p.mu.Unlock()
		if skip {
			continue
		}
		select {
		case work <- n:
		case <-ctx.Done():
		}
	}
	close(work)
	wg.Wait()
	if len(p.done) < enough {
		p.t.Fatalf("round %d: %d of %d batches were answered", round, len(p.done), enough)
	}
}

// batch sends batch n and reports whether it was answered.
func (p *pushing) batch(ctx context.Context, n int) bool {
	var items []any
	for i := n * pushedAtOnce; i < min((n+1)*pushedAtOnce, p.total); i++ {
		items = append(items, map[string]any{
			"id": fmt.Sprintf("doc-%06d", i), "revision": "1", "content": fmt.Sprintf("# Document %d\n\nIts text speaks of topic %d, once.\n", i, i%97),
			"acl": map[string]any{"all_of": [][]any{{map[string]any{"kind": "group", "id": fmt.Sprintf("g%d", i%50)}}}},
		})
	}
	body, err := json.Marshal(map[string]any{"items": items})
	if err != nil {
		p.t.Error(err)
		return false
	}
	req, err := http.NewRequestWithContext(context.WithoutCancel(ctx), http.MethodPost, "http://"+p.site.setting("TRIBUTARY_ADDR")+"/v1/push/bulk/batch", bytes.NewReader(body))
	if err != nil {
		p.t.Error(err)
		return false
	}
	req.Header.Set("Authorization", "Bearer "+p.key)
	req.Header.Set("Content-Type", "application/json")
	began := time.Now()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false // it was killed
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return false
	}
	var got struct{ Counts map[string]int }
	if err := json.Unmarshal(answer, &got); err != nil || resp.StatusCode != http.StatusOK {
		p.t.Errorf("batch %d: %d %s", n, resp.StatusCode, answer)
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.statuses == nil {
		p.statuses = map[string]int{}
	}
	for status, count := range got.Counts {
		p.statuses[status] += count
	}
	p.latencies = append(p.latencies, time.Since(began))
	return true
}
