package sandbox

import (
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// limiter gives every client a bucket of requests that refills with time.
type limiter struct {
	faults  *Faults
	mu      sync.Mutex
	buckets map[string]*bucket
}

type bucket struct {
	left float64
	at   time.Time
}

func newLimiter(f *Faults) *limiter { return &limiter{faults: f, buckets: map[string]*bucket{}} }

// take takes one request of the client's, and returns what is left or how long to wait.
func (l *limiter) take(client string, now time.Time) (left int, wait time.Duration, ok bool) {
	o := l.faults.Options()
	rate, burst := float64(o.RatePerSecond), float64(max(o.RateBurst, 1))
	if rate <= 0 {
		return int(burst), 0, true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.buckets[client]
	if b == nil {
		b = &bucket{left: burst, at: now}
		l.buckets[client] = b
	}
	if passed := now.Sub(b.at).Seconds(); passed > 0 {
		b.left, b.at = b.left+passed*rate, now
	}
	b.left = min(b.left, burst)
	if b.left < 1 {
		return 0, time.Duration((1 - b.left) / rate * float64(time.Second)), false
	}
	b.left--
	return int(b.left), 0, true
}

// limit counts a request of the API and answers 429 where it is one too many.
func (s *Server) limit(w http.ResponseWriter, client string) bool {
	now := s.now()
	left, wait, ok := s.limiter.take(client, now)
	o := s.faults.Options()
	if s.faults.hit(RateLimited) {
		left, wait, ok = 0, o.RetryAfter, false
	}
	h := w.Header()
	h.Set("X-RateLimit-Limit", strconv.Itoa(o.RateBurst))
	h.Set("X-RateLimit-Remaining", strconv.Itoa(left))
	full := 0.0
	if o.RatePerSecond > 0 {
		full = math.Ceil(float64(o.RateBurst-left) / float64(o.RatePerSecond))
	}
	h.Set("X-RateLimit-Reset", strconv.FormatInt(now.Add(time.Duration(full)*time.Second).Unix(), 10))
	if ok {
		return true
	}
	h.Set("Retry-After", seconds(max(wait, time.Second)))
	oauthError(w, http.StatusTooManyRequests, "rate_limited", "too many requests; wait as Retry-After says")
	return false
}
