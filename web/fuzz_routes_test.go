package web_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/internal/extract"
	"tributary/jobs"
	"tributary/store"
	"tributary/web"
)

// The canaries stand in documents that only bob sees: the first in their text, the second in their titles.
const (
	textCanary  = "kanarienvogel-31c9"
	titleCanary = "zeisig-7f02"
)

// usualFuzz bounds the normal run; TEST_FUZZ_ROUTES=10m fuzzes for so long, and TEST_FUZZ_SEED=n plays one request again.
const (
	usualFuzz      = 4000
	usualFuzzTime  = 12 * time.Second
	fuzzWorkers    = 4
	fuzzBodyShown  = 600
	fuzzBodyExpect = 4 << 20
)

// fuzzRig is an instance with everything that is served, and those who ask it.
type fuzzRig struct {
	*oauthRig
	content *content
	// bare serves the same without judging what is described: much of what is sent here is not.
	bare  *httptest.Server
	table []web.RouteInfo
	// good are names and ids of what there is, kept those that who may change things is not told.
	good, kept []string
	// adaReader is the id of the reader whom a trusted key names.
	adaReader string
	fields    []string
	// secrets are the credentials by who has them; sessions the browsers.
	secrets  map[string]string
	sessions map[string]*browser

	mu       sync.Mutex
	statuses map[string]int
	served   map[string]int
}

func newFuzzRig(t *testing.T) *fuzzRig {
	t.Helper()
	f := &fuzzRig{secrets: map[string]string{}, sessions: map[string]*browser{}, statuses: map[string]int{}, served: map[string]int{}}
	f.oauthRig = newOAuthRigThrough(t, func(c *web.Config) {
		st, ok := c.Store.(*store.Store)
		if !ok {
			t.Fatal("the store is another")
		}
		runner, err := jobs.New(jobs.Config{Store: st, Extractor: extract.New(extract.Config{})})
		if err != nil {
			t.Fatal(err)
		}
		c.Push = &web.Push{Store: st, Pusher: runner}
	}, func(databaseURL string) string { return databaseURL })
	f.table = f.web.Table()
	f.bare = httptest.NewServer(f.web.Handler())
	t.Cleanup(f.bare.Close)
	f.content = newContentOn(t, f.rig)
	ada, err := f.store.Reader(t.Context(), "ada")
	if err != nil {
		t.Fatal(err)
	}
	f.adaReader = ada.ID.String()
	mine := f.content.add(f.content.ada, "page", "alpha one", "alpha two")
	hidden := f.content.add(f.content.bob, "of bob "+titleCanary, "alpha "+textCanary, "more of "+textCanary)
	wiki, err := f.store.CreateConnection(t.Context(), store.NewConnection{Name: "wiki", Source: store.PushSource, Realm: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	often, end := 1_000_000, time.Now().Add(time.Hour)
	for name, k := range map[string]store.CreateKeyParams{
		"pushes": {Rights: []string{store.RightPush}, Connections: []uuid.UUID{wiki.ID}},
		"feeds":  {Rights: []string{store.RightExport, store.RightDocuments, store.RightSearch}, Connections: []uuid.UUID{wiki.ID}},
		"backend": {
			Rights: []string{store.RightExport, store.RightDocuments, store.RightSearch}, Connections: []uuid.UUID{wiki.ID}, Mode: store.KeyTrusted, ExpiresAt: &end,
		},
	} {
		k.Name, k.PerMinute = name, &often
		_, secret, err := f.store.CreateKey(t.Context(), k)
		if err != nil {
			t.Fatal(err)
		}
		f.secrets["key "+name] = secret
	}
	f.secrets["key ada"], f.secrets["nobody"] = f.content.keys["ada"], ""
	for _, role := range store.AccountRoles() {
		f.secrets["token "+string(role)] = f.program(t, "fuzz-"+string(role), role, uuid.Nil).token
		f.account("s-"+string(role), role)
		f.sessions["session "+string(role)] = f.signedIn("s-" + string(role))
	}
	f.kept = []string{"docs", "ada", "bob", "s-owner", "s-admin", "s-auditor", f.content.connection.String(), hidden.String(), hidden.String(), hidden.String() + ":1", hidden.String() + ":2"}
	f.good = []string{"wiki", wiki.ID.String(), mine.String(), mine.String() + ":1", mine.String() + ":2", f.reg.ID.String(), "alpha", "page", "1"}
	f.fields = f.fieldNames()
	return f
}

// fieldNames are the names of the fields of bodies, of forms and of addresses.
func (f *fuzzRig) fieldNames() []string {
	names := map[string]bool{}
	for name := range strings.FieldsSeq(`query mode k filters neighbours include weights cursor keyword vector heading connection source type path
		updated_after metadata limit wait before after next done op all reader document key action state code id text title content acl all_of deny kind
		members items url revision media_type language response_mode error iss scope`) {
		names[name] = true
	}
	owner := f.sessions["session owner"]
	for _, info := range f.table {
		for name := range jsonNames(info.Takes) {
			names[name] = true
		}
		if info.Method == http.MethodGet && !strings.Contains(info.Path, ":") {
			for _, m := range regexp.MustCompile(` name="([^"]+)"`).FindAllStringSubmatch(owner.get(info.Path).body, -1) {
				names[m[1]] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// TestWB9AnyRequestIsAnswered sends random requests to every address, as everybody: none is answered with our own failure,
// and none shows what the asker may not see.
func TestWB9AnyRequestIsAnswered(t *testing.T) {
	t.Parallel()
	f := newFuzzRig(t)
	most, limit := int64(usualFuzz), usualFuzzTime
	if text := os.Getenv("TEST_FUZZ_ROUTES"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatalf("reading TEST_FUZZ_ROUTES: %v", err)
		}
		most, limit = 1<<40, d
	}
	base, only := uint64(1), os.Getenv("TEST_FUZZ_SEED")
	if only != "" {
		if _, err := fmt.Sscan(only, &base); err != nil {
			t.Fatalf("reading TEST_FUZZ_SEED: %v", err)
		}
		most = 1
	} else if os.Getenv("TEST_FUZZ_ROUTES") != "" {
		base = rand.Uint64()
	}
	began := time.Now()
	var n atomic.Int64
	var wg sync.WaitGroup
	for range fuzzWorkers {
		wg.Go(func() {
			for i := n.Add(1); i <= most && (i <= int64(len(f.table)) || time.Since(began) < limit) && !t.Failed(); i = n.Add(1) {
				f.one(t, base+uint64(i)-1)
			}
		})
	}
	wg.Wait()
	if only != "" {
		return
	}
	sent := 0
	for _, k := range slices.Sorted(maps.Keys(f.statuses)) {
		sent += f.statuses[k]
		t.Logf("%s: %d", k, f.statuses[k])
	}
	t.Logf("%d requests in %s to %d addresses, each %d times at least", sent, time.Since(began).Round(time.Second), len(f.served), slices.Min(slices.Collect(maps.Values(f.served))))
	if len(f.served) != len(f.table) {
		t.Errorf("%d of %d addresses were asked", len(f.served), len(f.table))
	}
	if log := f.log.String(); strings.Contains(log, "handler panicked") || strings.Contains(log, textCanary) || strings.Contains(log, titleCanary) {
		t.Error("the log holds a panic, or what nobody should read there")
	}
	// What would have leaked is still there, for whom it is.
	if a := f.content.ask("bob", http.MethodPost, "/v1/search", `{"query":"alpha","mode":"keyword"}`); !strings.Contains(string(a.body), textCanary) {
		t.Errorf("bob finds nothing in the end: %d %s", a.status, a.body)
	}
	if a := f.content.ask("ada", http.MethodPost, "/v1/search", `{"query":"alpha","mode":"keyword"}`); !strings.Contains(string(a.body), "alpha one") {
		t.Errorf("ada finds nothing in the end: %d %s", a.status, a.body)
	}
}

// ours is what an answer never holds: the words of the database, the driver and the runtime.
func ours() *regexp.Regexp {
	return regexp.MustCompile(`SQLSTATE|goroutine \d+ \[|\.go:\d+|pgconn|runtime error|relation "|syntax error at or near|search_definer|visible_stream`)
}

// one sends the request of a seed.
func (f *fuzzRig) one(t *testing.T, seed uint64) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	q := f.draw(seed)
	resp, err := q.send(ctx, f)
	if err != nil {
		// Some cannot be sent: a header that is none, a server that closes early on a body that is too large.
		f.count("not sent", q.route)
		return
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, fuzzBodyExpect))
	_ = resp.Body.Close()
	if err != nil {
		t.Errorf("TEST_FUZZ_SEED=%d: %s: reading the answer: %v", seed, q, err)
	}
	f.count(fmt.Sprint(resp.StatusCode), q.route)
	var head strings.Builder
	_ = resp.Header.Write(&head)
	all := head.String() + string(raw)
	wrong := ""
	switch {
	case resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") != "":
	case resp.StatusCode == http.StatusExpectationFailed: // net/http's own, of a request that reaches nobody
	case resp.StatusCode >= http.StatusInternalServerError:
		wrong = "is our own failure"
	case strings.Contains(all, textCanary) && q.mayNotSee(textCanary), strings.Contains(all, titleCanary) && q.mayNotSee(titleCanary):
		wrong = "shows a document that is hidden from the asker"
	case ours().MatchString(all):
		wrong = "shows how we are made: " + ours().FindString(all)
	case resp.Header.Get("X-Request-Id") == "" || resp.Header.Get("X-Content-Type-Options") == "":
		wrong = "lacks a header"
	}
	if wrong != "" {
		t.Errorf("TEST_FUZZ_SEED=%d: %s\nthe answer %s: %d %.*s", seed, q, wrong, resp.StatusCode, fuzzBodyShown, all)
	}
	f.back(q.who)
}

func (f *fuzzRig) count(status, route string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.statuses[status]++
	f.served[route]++
}

// back signs a session in again that a request has ended.
func (f *fuzzRig) back(who string) {
	b := f.sessions[who]
	if b == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !b.isSignedIn() {
		b.signIn("s-" + strings.TrimPrefix(who, "session "))
	}
}
