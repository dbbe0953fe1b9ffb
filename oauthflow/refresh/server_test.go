package refresh_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
)

// fault is what happens to one request at the fake server.
type fault struct {
	before, after time.Duration // waits before and after the server has done its work
	resetBefore   bool          // the connection ends, nothing was done
	resetAfter    bool          // done, and the answer is lost
	truncate      bool          // done, and half of the answer is lost
	status        int           // refused with this status, nothing was done
	code          string        // OAuth error with the status; 400 where that is 0
	retryAfter    string
}

// family is what the server knows of one grant: token n is "rt-{grant}-{n}".
type family struct {
	cur, prev int
	replaced  time.Time // when prev was replaced
	dead      bool
	commits   int
}

// server is a strict authorization server. It logs a digest of every refresh token that reaches it.
type server struct {
	http  *httptest.Server
	class string // N, G, S or F; K is G where reuse after the grace period revokes
	grace time.Duration
	life  time.Duration // of access tokens; 0 states none
	// plan gives each request its fault; nil is none.
	plan func(n int, grant string) fault

	mu        sync.Mutex
	families  map[string]*family
	presented map[string]int
	order     []string
	requests  int
	revoked   map[string]bool
	reuse     int             // presentations that revoked a family
	losses    int             // answers that were lost on purpose
	lossOf    map[string]bool // grants whose token was used up without an answer
}

func newServer(tb testing.TB, class string) *server {
	tb.Helper()
	s := &server{class: class, grace: time.Minute, life: time.Hour, families: map[string]*family{}, presented: map[string]int{}, revoked: map[string]bool{}, lossOf: map[string]bool{}}
	s.http = httptest.NewServer(http.HandlerFunc(s.serve))
	tb.Cleanup(s.http.Close)
	return s
}

func refreshToken(grant string, n int) string {
	return fmt.Sprintf("rt-%s-%d-000000000000000000000000", grant, n)
}

func digest(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:8])
}

// grantOf reads a token.
func grantOf(token string) (grant string, n int) {
	rest, ok := strings.CutPrefix(token, "rt-")
	if !ok || len(rest) < 38 {
		return "", 0
	}
	n, _ = strconv.Atoi(strings.Split(rest[37:], "-")[0])
	return rest[:36], n
}

func (s *server) serve(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/revoke" {
		s.mu.Lock()
		s.revoked[r.FormValue("token")] = true
		s.mu.Unlock()
		return
	}
	token := r.FormValue("refresh_token")
	grant, n := grantOf(token)
	s.mu.Lock()
	s.requests++
	count := s.requests
	s.presented[digest(token)]++
	s.order = append(s.order, token)
	plan := s.plan
	s.mu.Unlock()
	var f fault
	if plan != nil {
		f = plan(count, grant)
	}
	hold(r, f.before)
	if f.resetBefore {
		s.lose(grant, false)
		reset(w)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if f.status != 0 || f.code != "" {
		if f.retryAfter != "" {
			w.Header().Set("Retry-After", f.retryAfter)
		}
		w.WriteHeader(max(f.status, http.StatusBadRequest))
		fmt.Fprintf(w, `{"error":%q}`, f.code)
		return
	}
	next, ok := s.present(grant, n)
	if f.after > 0 || f.resetAfter || f.truncate && ok {
		s.lose(grant, ok)
	}
	hold(r, f.after)
	if f.resetAfter {
		reset(w)
		return
	}
	if !ok {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"error":"invalid_grant"}`)
		return
	}
	answer := map[string]any{"access_token": fmt.Sprintf("at-%s-%d", grant, next), "token_type": "Bearer", "refresh_token": refreshToken(grant, next)}
	if s.life > 0 {
		answer["expires_in"] = s.life.Seconds()
	}
	raw, _ := json.Marshal(answer)
	w.Header().Set("Content-Length", strconv.Itoa(len(raw)))
	if f.truncate {
		w.Write(raw[:len(raw)/2])
		w.(http.Flusher).Flush()
		reset(w)
		return
	}
	w.Write(raw)
}

// present is the server's own decision: the number of the next token, or a refusal.
func (s *server) present(grant string, n int) (int, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.families[grant]
	if f == nil {
		f = &family{}
		s.families[grant] = f
	}
	switch {
	case f.dead:
		return 0, false
	case s.class == "N":
		f.commits++
		return n, true
	case s.accepts(f, n):
		if n == f.cur {
			f.prev, f.replaced = f.cur, time.Now()
		}
		f.cur++
		f.commits++
		return f.cur, true
	case s.class == "F" || s.class == "K":
		f.dead = true
		s.reuse++
	}
	return 0, false
}

// good reports whether the server would answer token n of a grant.
func (s *server) good(grant string, n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.families[grant]
	if f == nil {
		return n == 0
	}
	return !f.dead && s.accepts(f, n)
}

func (s *server) accepts(f *family, n int) bool {
	return s.class == "N" || n == f.cur || (s.class == "G" || s.class == "K") && f.cur > 0 && n == f.prev && time.Since(f.replaced) < s.grace
}

// lose counts an answer that does not arrive; used says that the token was used up.
func (s *server) lose(grant string, used bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.losses++
	s.lossOf[grant] = s.lossOf[grant] || used
}

func (s *server) setPlan(plan func(n int, grant string) fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.plan = plan
}

// countOf returns how many requests of a grant came.
func (s *server) countOf(g uuid.UUID) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, token := range s.order {
		if of, _ := grantOf(token); of == g.String() {
			n++
		}
	}
	return n
}

// revocations returns the tokens that were revoked.
func (s *server) revocations() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.revoked))
}

// count returns how many requests came.
func (s *server) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// twice returns the tokens that were presented more than once.
func (s *server) twice() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := map[string]int{}
	var out []string
	for _, t := range s.order {
		if seen[t]++; seen[t] == 2 {
			out = append(out, t)
		}
	}
	return out
}

func hold(r *http.Request, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.Context().Done():
	}
}

// reset ends the connection with a TCP reset.
func reset(w http.ResponseWriter) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
