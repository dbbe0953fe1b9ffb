package vault

import (
	"context"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"time"

	"tributary/internal/audit"
	"tributary/internal/seal"
	"tributary/oauthflow"
)

// day is how often what was opened is recorded.
const day = 24 * time.Hour

// flushTimeout bounds the last record of a process that stops.
const flushTimeout = 5 * time.Second

// Counter is a vault that counts what it opens, by purpose, and records the counts in the audit log. One event a day and
// purpose, and not one a read: a token is opened for every request to a source, millions of times a day, which would bury
// the log and tell nothing; the use of tokens is recorded by run. The first opening of each purpose is recorded at once, so
// that no process opens anything unseen, even one that is killed.
type Counter struct {
	inner oauthflow.Vault
	actor audit.Actor
	first chan struct{}

	mu     sync.Mutex
	counts map[string]int64
	failed map[string]int64
	told   map[string]bool
}

// NewCounter returns a Counter on inner. Its events name this process by host and id.
func NewCounter(inner oauthflow.Vault) *Counter {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return &Counter{
		inner: inner, actor: audit.Actor{Kind: audit.System, Name: host + ":" + strconv.Itoa(os.Getpid()), Authenticated: true}, first: make(chan struct{}, 1),
		counts: map[string]int64{}, failed: map[string]int64{}, told: map[string]bool{},
	}
}

// Seal implements oauthflow.Vault.
func (c *Counter) Seal(place seal.Context, plaintext []byte) ([]byte, error) {
	return c.inner.Seal(place, plaintext)
}

// Unseal implements oauthflow.Vault.
func (c *Counter) Unseal(place seal.Context, ciphertext []byte) ([]byte, error) {
	out, err := c.inner.Unseal(place, ciphertext)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		c.counts[place.Purpose]++
	} else {
		c.failed[place.Purpose]++
	}
	if !c.told[place.Purpose] {
		c.told[place.Purpose] = true
		select {
		case c.first <- struct{}{}:
		default:
		}
	}
	return out, err
}

// Run records until ctx ends, and then once more.
func (c *Counter) Run(ctx context.Context, to audit.Recorder, log *slog.Logger) {
	tick := time.NewTicker(day)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
			defer cancel()
			c.flush(ctx, to, log)
			return
		case <-c.first:
		case <-tick.C:
		}
		c.flush(ctx, to, log)
	}
}

// flush records what was opened since the last time. What cannot be recorded is counted on.
func (c *Counter) flush(ctx context.Context, to audit.Recorder, log *slog.Logger) {
	c.mu.Lock()
	opened, failed := c.counts, c.failed
	c.counts, c.failed = map[string]int64{}, map[string]int64{}
	c.mu.Unlock()
	purposes := map[string]bool{}
	for p := range opened {
		purposes[p] = true
	}
	for p := range failed {
		purposes[p] = true
	}
	for p := range purposes {
		e := audit.Event{
			Actor: c.actor, Action: "secret.open", Target: audit.Target{Kind: "purpose", ID: p}, Outcome: audit.OK,
			Detail: map[string]string{"opened": strconv.FormatInt(opened[p], 10), "refused": strconv.FormatInt(failed[p], 10)},
		}
		if failed[p] > 0 {
			e.Outcome = audit.Failed
		}
		if err := to.Record(ctx, e); err != nil {
			log.Warn("recording what was opened", "error", err)
			c.mu.Lock()
			c.counts[p] += opened[p]
			c.failed[p] += failed[p]
			c.mu.Unlock()
		}
	}
}
