package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/internal/embed"
	"tributary/store"
	"tributary/web"
)

// Bars of readers who ask at the same time: throughput against cores times one
// reader's, and the 99th percentile against one reader's times readers a core.
const (
	loadReaders     = 64
	leastThroughput = 0.8
	mostTail        = 3.0
)

// loadTime is how long each of the two measurements takes: LOAD, or 2 minutes.
func loadTime() (time.Duration, error) {
	text := os.Getenv("LOAD")
	if text == "" {
		return 2 * time.Minute, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("reading LOAD: %q must be a time such as 20s", text)
	}
	return d, nil
}

// loadBench is a server over the corpus and what its clients ask with.
type loadBench struct {
	url    string
	client *http.Client
	keys   []string
	// ids are documents that the reader of the key may see.
	ids [][]uuid.UUID
}

// builtinQueries embeds by the built-in profile, which is the first.
type builtinQueries struct{ embed.Hashing }

// EmbedQuery returns the vector of a question.
func (q builtinQueries) EmbedQuery(ctx context.Context, text string) ([]float32, int16, error) {
	v, err := q.Hashing.EmbedQuery(ctx, text)
	return v, 1, err
}

// runLoad measures one reader and then 64 in a closed loop, over HTTP.
func runLoad(ctx context.Context, o options) (missed int, err error) { //nolint:nonamedreturns // says what the number is
	scale, err := searchScale()
	if err != nil {
		return 0, err
	}
	long, err := loadTime()
	if err != nil {
		return 0, err
	}
	b, err := newSearchBench(ctx, o, scale)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, b.close(ctx)) }()
	if _, err := b.store.Pool().Exec(ctx, `UPDATE embedding_profile SET state = 'active' WHERE id = 1`); err != nil {
		return 0, fmt.Errorf("activating the profile: %w", err)
	}
	l := &loadBench{client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: loadReaders}}}
	if err := l.prepare(ctx, b); err != nil {
		return 0, err
	}
	srv := httptest.NewUnstartedServer(nil)
	srv.Config.Handler = web.New(web.Config{ //nolint:contextcheck // handlers take the context of their request
		PublicURL: &url.URL{Scheme: "http", Host: srv.Listener.Addr().String()}, Store: b.store, Accounts: b.store,
		Embedder: builtinQueries{embed.Hashing{Dimensions: searchDimensions}},
	}).Handler()
	srv.Start()
	defer srv.Close()
	l.url = srv.URL
	l.loop(ctx, 1, min(long, 5*time.Second)) // warms up
	one, all := l.loop(ctx, 1, long), l.loop(ctx, loadReaders, long)
	return reportLoad(os.Stdout, one, all), ctx.Err()
}

// prepare makes a key for each reader and finds what it may fetch.
func (l *loadBench) prepare(ctx context.Context, b *searchBench) error {
	often := 1_000_000
	for n, c := range b.classes {
		_, secret, err := b.store.CreateKey(ctx, store.CreateKeyParams{
			Name: "load" + strconv.Itoa(n), ReaderID: &c.reader, AllConnections: true, PerMinute: &often, Rights: []string{store.RightSearch, store.RightDocuments},
		})
		if err != nil {
			return fmt.Errorf("making a key: %w", err)
		}
		who, err := b.store.AsReader(ctx, c.reader)
		if err != nil {
			return fmt.Errorf("naming the reader: %w", err)
		}
		list, _, err := b.store.ListDocuments(ctx, who, store.Filters{}, uuid.Nil, 100)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return fmt.Errorf("listing documents: %w", err)
		}
		var ids []uuid.UUID
		for _, d := range list {
			ids = append(ids, d.ID)
		}
		l.keys, l.ids = append(l.keys, secret), append(l.ids, ids)
	}
	return nil
}

// load is what came out of one measurement.
type load struct {
	times  []time.Duration
	failed []string
	took   time.Duration
}

func (l load) rate() float64 { return float64(len(l.times)) / l.took.Seconds() }

// loop has readers ask one question after the other until the time is over.
// The mix: of ten requests five are hybrid searches, two keyword searches, one
// is a vector search, one fetches a document and one its chunks.
func (l *loadBench) loop(ctx context.Context, readers int, long time.Duration) load {
	ctx, cancel := context.WithTimeout(ctx, long+time.Minute)
	defer cancel()
	began := time.Now()
	parts := make([]load, readers)
	var wg sync.WaitGroup
	for n := range readers {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(n), 29)) //nolint:gosec // as in newClasses
			words := rand.NewZipf(rnd, 1.1, 2, vocabulary-1)
			for i := n; time.Since(began) < long && ctx.Err() == nil; i++ {
				at := time.Now()
				if err := l.request(ctx, (n+i)%len(l.keys), i%10, rnd, words); err != nil {
					parts[n].failed = append(parts[n].failed, err.Error())
				}
				parts[n].times = append(parts[n].times, time.Since(at))
			}
		})
	}
	wg.Wait()
	all := load{took: time.Since(began)}
	for _, p := range parts {
		all.times, all.failed = append(all.times, p.times...), append(all.failed, p.failed...)
	}
	return all
}

// request asks as the reader of key n.
func (l *loadBench) request(ctx context.Context, n, kind int, rnd *rand.Rand, words *rand.Zipf) error {
	method, path, body := http.MethodPost, "/v1/search", ""
	switch {
	case kind >= 8 && len(l.ids[n]) > 0:
		method, path = http.MethodGet, "/v1/documents/"+l.ids[n][rnd.IntN(len(l.ids[n]))].String()
		if kind == 9 {
			path += "/chunks"
		}
	default:
		mode := []string{"hybrid", "hybrid", "hybrid", "hybrid", "hybrid", "keyword", "keyword", "vector", "hybrid", "hybrid"}[kind]
		body = fmt.Sprintf(`{"query":"%s %s %s","mode":"%s"}`, word(words.Uint64()), word(words.Uint64()), word(words.Uint64()), mode)
	}
	req, err := http.NewRequestWithContext(ctx, method, l.url+path, strings.NewReader(body))
	if err != nil {
		return fmt.Errorf("asking: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+l.keys[n])
	req.Header.Set("Content-Type", "application/json")
	resp, err := l.client.Do(req)
	if err != nil {
		return fmt.Errorf("asking: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return fmt.Errorf("asking %s: status %d: %s: %w", path, resp.StatusCode, text, err)
	}
	return nil
}

// reportLoad prints both measurements and returns how many bars were missed.
func reportLoad(w io.Writer, one, all load) int {
	cores := float64(runtime.NumCPU())
	fmt.Fprintln(w, "of ten requests: 5 hybrid, 2 keyword, 1 vector, 1 document, 1 chunks of a document")
	for _, x := range []struct {
		name string
		load
	}{{"1 reader", one}, {strconv.Itoa(loadReaders) + " readers", all}} {
		fmt.Fprintf(w, "%-10s  %6d requests in %.0f s, %.1f a second; p50 %.1f, p95 %.1f, p99 %.1f ms; %d failed\n", x.name, len(x.times), x.took.Seconds(), x.rate(),
			ms(quantile(x.times, 0.5)), ms(quantile(x.times, 0.95)), ms(quantile(x.times, 0.99)), len(x.failed))
	}
	missed := 0
	bar := func(ok bool, format string, args ...any) {
		verdict := "held"
		if !ok {
			verdict = "MISSED"
			missed++
		}
		fmt.Fprintf(w, "%-6s  %s\n", verdict, fmt.Sprintf(format, args...))
	}
	failed := append(one.failed, all.failed...) //nolint:gocritic // neither is used again
	bar(len(failed) == 0, "requests that failed: %d %.200v", len(failed), failed)
	throughput := all.rate() / (cores * one.rate())
	bar(throughput >= leastThroughput, "throughput against %.0f times one reader's: %.2f, at least %.2f", cores, throughput, leastThroughput)
	tail := ms(quantile(all.times, 0.99)) / (ms(quantile(one.times, 0.99)) * loadReaders / cores)
	bar(tail <= mostTail, "p99 against one reader's times %d readers a core: %.2f, at most %.2f", int(loadReaders/cores), tail, mostTail)
	return missed
}
