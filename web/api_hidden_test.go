package web_test

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// TestHiddenIsAsAbsent: an id that the reader may not see is answered like one
// that does not exist: the same status, headers and body, on every route.
func TestHiddenIsAsAbsent(t *testing.T) {
	t.Parallel()
	c := newContent(t)
	c.add(c.ada, "mine", "alpha")
	hidden, absent := c.add(c.bob, "secret", "canary").String(), uuid.NewString()
	routes := []string{"/v1/documents/%s", "/v1/documents/%s/text", "/v1/documents/%s/chunks", "/v1/chunks/%s:1", "/v1/chunks/%s:1/neighbours", "/v1/chunks/%s:1/lineage"}
	for _, info := range c.web.Table() {
		path := strings.Replace(strings.Replace(info.Path, "/v1/chunks/:id", "/v1/chunks/%s:1", 1), "/v1/documents/:id", "/v1/documents/%s", 1)
		if info.Access == "key" && path != info.Path && !slices.Contains(routes, path) {
			t.Errorf("%s is not asked here", info.Path)
		}
	}
	for _, route := range routes {
		mine := c.ask("bob", http.MethodGet, fmt.Sprintf(route, hidden), "")
		if mine.status != http.StatusOK {
			t.Fatalf("%s: %d for who may see it", route, mine.status)
		}
		got, want := c.ask("ada", http.MethodGet, fmt.Sprintf(route, hidden), ""), c.ask("ada", http.MethodGet, fmt.Sprintf(route, absent), "")
		for _, a := range []reply{got, want} {
			for _, name := range []string{"Date", "X-Request-Id"} {
				a.header.Del(name)
			}
		}
		plain := func(a reply) string {
			i := bytes.Index(a.body, []byte(`"request_id"`))
			return string(a.body[:max(i, 0)])
		}
		if got.status != http.StatusNotFound || got.status != want.status || plain(got) != plain(want) || !maps.EqualFunc(got.header, want.header, slices.Equal) {
			t.Errorf("%s: hidden %d %v %s\nabsent %d %v %s", route, got.status, got.header, got.body, want.status, want.header, want.body)
		}
	}
}

// TestHiddenTakesAsLongAsAbsent compares how long the two refusals take (Welch's
// t-test). TEST_TIMING=n asks n times instead of a thousand.
func TestHiddenTakesAsLongAsAbsent(t *testing.T) {
	c := newContent(t)
	n := 1000
	if text := os.Getenv("TEST_TIMING"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatalf("reading TEST_TIMING: %v", err)
		}
	}
	var hidden []string
	for i := range 50 {
		hidden = append(hidden, c.add(c.bob, "secret"+strconv.Itoa(i), strings.Repeat("canary ", 200)).String())
		c.add(c.ada, "mine"+strconv.Itoa(i), "alpha")
	}
	const mostT, tries = 4.5, 3
	for try := 1; ; try++ {
		var took [2][]float64
		for i := range 2 * n {
			id := hidden[i/2%len(hidden)]
			kind := (i + i/2) % 2 // either goes first in turn
			if kind == 1 {
				id = uuid.NewString()
			}
			began := time.Now()
			a := c.ask("ada", http.MethodGet, "/v1/documents/"+id, "")
			took[kind] = append(took[kind], time.Since(began).Seconds())
			if a.status != http.StatusNotFound {
				t.Fatalf("%d %s", a.status, a.body)
			}
		}
		got := welch(trimmed(took[0]), trimmed(took[1]))
		t.Logf("t = %.2f over %d fetches of each", got, n)
		if math.Abs(got) < mostT {
			return
		}
		if try == tries {
			t.Fatalf("|t| = %.2f in %d tries, at most %.1f", math.Abs(got), tries, mostT)
		}
	}
}

// trimmed leaves out the slowest twentieth, which is what else the machine did.
func trimmed(v []float64) []float64 {
	v = slices.Sorted(slices.Values(v))
	return v[:len(v)-len(v)/20]
}

// welch is the statistic of Welch's t-test.
func welch(a, b []float64) float64 {
	mean := func(v []float64) (mean, variance float64) {
		for _, x := range v {
			mean += x / float64(len(v))
		}
		for _, x := range v {
			variance += (x - mean) * (x - mean) / float64(len(v)-1)
		}
		return mean, variance
	}
	ma, va := mean(a)
	mb, vb := mean(b)
	return (ma - mb) / math.Sqrt(va/float64(len(a))+vb/float64(len(b)))
}

// TestHiddenDocumentsChangeNoAnswer: what others may see, and the ids and words
// of it, leave a reader's answers as they were, to the byte.
func TestHiddenDocumentsChangeNoAnswer(t *testing.T) {
	t.Parallel()
	c := newContent(t)
	for i := range 6 {
		c.add(c.ada, "page"+strconv.Itoa(i), "backup of alpha "+strconv.Itoa(i), "restoring the alpha "+strings.Repeat("backup ", i))
	}
	c.add(c.bob, "first secret", "canary of another")
	requests := []struct{ method, path, body string }{
		{http.MethodPost, "/v1/search", `{"query":"alpha backup restoring","mode":"keyword","k":4,"include":["scores","lineage","parent"],"neighbours":1}`},
		{http.MethodPost, "/v1/search", `{"query":"alpha backup","k":5,"include":["scores"]}`},
		{http.MethodPost, "/v1/search", `{"query":"canary","mode":"keyword"}`},
		{http.MethodPost, "/v1/search", `{"query":"alpha","mode":"keyword","k":2,"filters":{"path":"page*","metadata":{"team":"x"}}}`},
		{http.MethodGet, "/v1/documents?limit=3", ""},
		{http.MethodGet, "/v1/count", ""},
		{http.MethodGet, "/v1/export?limit=2", ""},
	}
	ask := func() string {
		var all strings.Builder
		for _, r := range requests {
			a := c.ask("ada", r.method, r.path, r.body)
			if a.status != http.StatusOK {
				t.Fatalf("%s: %d %s", r.path, a.status, a.body)
			}
			fmt.Fprintf(&all, "%s %s %v %d\n", a.body, a.header["Content-Type"], a.header["Content-Length"], a.status)
		}
		return all.String()
	}
	before := ask()
	if strings.Contains(before, "canary") {
		t.Fatalf("leaked: %s", before)
	}
	for i := range 60 {
		c.add(c.bob, "page"+strconv.Itoa(i), "backup of alpha canary", "restoring the alpha", strings.Repeat("backup alpha ", 40))
	}
	c.db.MustExec(t, `ANALYZE document`)
	if after := ask(); after != before {
		t.Errorf("60 documents of another reader changed\n%s\nto\n%s", before, after)
	}
	other := c.ask("bob", http.MethodPost, "/v1/search", `{"query":"canary","mode":"keyword"}`)
	if !bytes.Contains(other.body, []byte("canary")) {
		t.Errorf("bob finds nothing: %s", other.body)
	}
}
