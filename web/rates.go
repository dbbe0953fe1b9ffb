package web

import (
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/time/rate"

	"tributary/store"
)

// What API keys may do here where nothing else is said.
const (
	DefaultKeyPerMinute     = 6000
	DefaultReadersPerMinute = 100
)

// maxRated bounds the keys that are remembered.
const maxRated = 10_000

// rates bounds the requests of each API key in this process: a bucket that holds
// a sixth of a minute's requests and refills evenly.
type rates struct {
	usual int
	mu    sync.Mutex
	keys  map[uuid.UUID]*rate.Limiter
}

func newRates(usual int) *rates {
	if usual <= 0 {
		usual = DefaultKeyPerMinute
	}
	return &rates{usual: usual, keys: map[uuid.UUID]*rate.Limiter{}}
}

// take takes one request of a key, or returns how long it has to wait.
func (r *rates) take(key store.Key, now time.Time) time.Duration {
	perMinute := r.usual
	if key.PerMinute != nil {
		perMinute = *key.PerMinute
	}
	l := r.limiter(key.ID, perMinute, now)
	one := l.ReserveN(now, 1)
	wait := one.DelayFrom(now)
	if wait > 0 {
		one.CancelAt(now)
	}
	return wait
}

// limiter returns the bucket of a key, which follows a limit that was changed.
func (r *rates) limiter(key uuid.UUID, perMinute int, now time.Time) *rate.Limiter {
	limit, burst := rate.Limit(float64(perMinute)/60), max(1, perMinute/6)
	r.mu.Lock()
	defer r.mu.Unlock()
	l, ok := r.keys[key]
	if !ok {
		if len(r.keys) >= maxRated {
			clear(r.keys)
		}
		l = rate.NewLimiter(limit, burst)
		r.keys[key] = l
	}
	if l.Limit() != limit {
		l.SetLimitAt(now, limit)
		l.SetBurstAt(now, burst)
	}
	return l
}

// rateLimited is the 429 of a key that asks too often (RFC 6585 §4).
func rateLimited(wait time.Duration) *Problem {
	p := problem(http.StatusTooManyRequests, codeRate, "this key asks more often than it may; wait as Retry-After says")
	p.retryAfter = int((wait + time.Second - 1) / time.Second)
	return p
}

// namings counts the readers that trusted keys name, by minute and in this process.
type namings struct {
	usual int
	mu    sync.Mutex
	since time.Time
	named map[uuid.UUID]map[uuid.UUID]bool
}

func newNamings(usual int) *namings {
	if usual <= 0 {
		usual = DefaultReadersPerMinute
	}
	return &namings{usual: usual, named: map[uuid.UUID]map[uuid.UUID]bool{}}
}

// count counts that a key named a reader. It returns how many it named within the
// minute when that is the first time more than usual, else 0.
func (n *namings) count(key, reader uuid.UUID, now time.Time) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	if now.Sub(n.since) >= time.Minute || len(n.named) >= maxRated {
		n.since = now
		clear(n.named)
	}
	readers := n.named[key]
	if readers == nil {
		readers = map[uuid.UUID]bool{}
		n.named[key] = readers
	}
	// Beyond the alarm there is nothing left to count.
	if len(readers) > n.usual || readers[reader] {
		return 0
	}
	readers[reader] = true
	if len(readers) > n.usual {
		return len(readers)
	}
	return 0
}
