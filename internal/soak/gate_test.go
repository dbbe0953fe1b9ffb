package soak

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/google/uuid"

	"tributary/internal/secret"
	"tributary/oauthflow"
)

// place is what a request asks for.
type place string

const (
	onItems   place = "items"
	onChanges place = "changes"
	onFolder  place = "folder"
	onContent place = "content"
	onGroups  place = "groups"
)

// placeOf is "" for what no fault is meant for.
func placeOf(path string) place {
	rest := strings.TrimPrefix(path, "/api/v1/")
	switch {
	case rest == "items":
		return onItems
	case rest == "changes":
		return onChanges
	case strings.HasSuffix(rest, "/content"):
		return onContent
	case strings.HasPrefix(rest, "items/"):
		return onFolder
	case rest == "groups", rest == "people":
		return onGroups
	default:
		return ""
	}
}

// rule makes requests for a place fail: from the nth on, so many times, 0
// until it is taken away.
type rule struct {
	kind   trouble
	on     place
	from   int
	times  int
	status int
}

// gate stands before Sandbox Drive and fails as its rules say. It is the only
// one that knows the drive's token; whoever asks brings the gate's own, which
// ends when a rule says so.
type gate struct {
	drive http.Handler
	real  string

	mu    sync.Mutex
	rules []*rule
	hooks []*hook
	count map[trouble]int
	life  int
	// pages are the page tokens of the listing that were given out, for loops.
	pages []string
}

type hook struct {
	left int
	fn   func()
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	on := placeOf(r.URL.Path)
	if on == onItems || on == onChanges {
		for _, fn := range g.due() {
			fn()
		}
	}
	struck := g.strike(on)
	if struck != nil && struck.kind == token {
		g.mu.Lock()
		g.life++
		g.mu.Unlock()
	}
	g.mu.Lock()
	mine := "Bearer " + g.name()
	g.mu.Unlock()
	if r.Header.Get("Authorization") != mine {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	r.Header.Set("Authorization", "Bearer "+g.real)
	if struck == nil || struck.kind == token {
		g.pass(w, r, on)
		return
	}
	g.fail(w, r, struck)
}

func (g *gate) name() string { return "soak-" + strconv.Itoa(g.life) }

// pass hands a request on and remembers the page tokens of listings.
func (g *gate) pass(w http.ResponseWriter, r *http.Request, on place) {
	if on != onItems {
		g.drive.ServeHTTP(w, r)
		return
	}
	rec := httptest.NewRecorder()
	g.drive.ServeHTTP(rec, r)
	var answer struct {
		Next string `json:"next_page_token"`
	}
	if json.Unmarshal(rec.Body.Bytes(), &answer) == nil && answer.Next != "" {
		g.mu.Lock()
		g.pages = append(g.pages, answer.Next)
		g.mu.Unlock()
	}
	copyAnswer(w, rec, rec.Body.Bytes())
}

func copyAnswer(w http.ResponseWriter, rec *httptest.ResponseRecorder, body []byte) {
	maps.Copy(w.Header(), rec.Header())
	w.Header().Del("Content-Length")
	w.WriteHeader(rec.Code)
	_, _ = w.Write(body)
}

func (g *gate) fail(w http.ResponseWriter, r *http.Request, f *rule) {
	switch f.kind {
	case limited:
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusTooManyRequests)
	case limitedMum:
		w.WriteHeader(http.StatusTooManyRequests)
	case broken, forbidden, refused:
		w.WriteHeader(f.status)
	case expired:
		w.WriteHeader(http.StatusGone)
	case reset:
		hangUp(w)
	case truncated:
		rec := httptest.NewRecorder()
		g.drive.ServeHTTP(rec, r)
		body := rec.Body.Bytes()
		maps.Copy(w.Header(), rec.Header())
		w.Header().Set("Content-Length", strconv.Itoa(max(2, len(body))))
		w.WriteHeader(http.StatusOK)
		_, _ = w.Write(body[:len(body)/2])
		panic(http.ErrAbortHandler)
	case empty, half, looping:
		rec := httptest.NewRecorder()
		g.drive.ServeHTTP(rec, r)
		copyAnswer(w, rec, g.twist(rec.Body.Bytes(), f.kind))
	case token, deleted, moved:
	}
}

// hangUp resets the connection.
func hangUp(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// twist makes a page of a listing one that lies.
func (g *gate) twist(body []byte, kind trouble) []byte {
	var page map[string]any
	if json.Unmarshal(body, &page) != nil {
		return body
	}
	items, _ := page["items"].([]any)
	switch kind {
	case empty:
		page["items"], page["next_page_token"], page["complete"] = []any{}, "", true
	case half:
		var kept []any
		for i, it := range items {
			if i%2 == 0 {
				kept = append(kept, it)
			}
		}
		page["items"] = kept
	default: // looping
		g.mu.Lock()
		if n := len(g.pages); n > 0 {
			page["next_page_token"], page["complete"] = g.pages[0], false
		}
		g.mu.Unlock()
	}
	out, err := json.Marshal(page)
	if err != nil {
		return body
	}
	return out
}

func (g *gate) due() []func() {
	g.mu.Lock()
	defer g.mu.Unlock()
	var now []func()
	g.hooks = slices.DeleteFunc(g.hooks, func(h *hook) bool {
		h.left--
		if h.left <= 0 {
			now = append(now, h.fn)
		}
		return h.left <= 0
	})
	return now
}

func (g *gate) strike(on place) *rule {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, f := range g.rules {
		if f.on != on {
			continue
		}
		if f.from--; f.from > 0 {
			continue
		}
		g.count[f.kind]++
		if f.times--; f.times == 0 {
			g.rules = slices.Delete(g.rules, i, i+1)
		}
		return f
	}
	return nil
}

func (g *gate) add(f rule) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pages = nil
	g.rules = append(g.rules, &f)
}

func (g *gate) mend() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.rules, g.hooks = nil, nil
}

// tokens are the gate's, as a vault would give them out: it learns of the end of
// one by a 401.
type tokens struct {
	g    *gate
	mu   sync.Mutex
	held string
}

func (t *tokens) Access(context.Context, uuid.UUID) (oauthflow.Access, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return oauthflow.Access{Token: secret.New(t.held), Type: "bearer"}, nil
}

func (t *tokens) Rejected(ctx context.Context, grant uuid.UUID, used oauthflow.Access) (oauthflow.Access, error) {
	t.g.mu.Lock()
	now := t.g.name()
	t.g.mu.Unlock()
	t.mu.Lock()
	t.held = now
	t.mu.Unlock()
	return t.Access(ctx, grant)
}

func (t *tokens) Lives(context.Context, uuid.UUID, oauthflow.Access) (bool, error) { return true, nil }

var errNoToken = errors.New("the drive gave no token")
