package web_test

import (
	"bufio"
	"context"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"tributary/internal/pgtest"
	"tributary/store"
)

// stream is a page that is watched: its lines, until it ends.
type stream struct {
	t     *testing.T
	lines chan string
	end   context.CancelFunc
}

const streamPatience = 30 * time.Second

func (b *browser) watch(t *testing.T, topic string) *stream {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	req := b.request(http.MethodGet, "/live?topic="+topic, "").WithContext(ctx)
	req.Header.Set("X-Forwarded-For", b.ip)
	resp, err := b.client.Do(req)
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	if got := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusOK || got != "text/event-stream; charset=utf-8" || resp.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("the stream is %d %s %v", resp.StatusCode, got, resp.Header)
	}
	s := &stream{t: t, lines: make(chan string, 100), end: cancel}
	go func() {
		defer close(s.lines)
		defer resp.Body.Close()
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			if text := lines.Text(); text != "" {
				s.lines <- text
			}
		}
	}()
	t.Cleanup(cancel)
	return s
}

// await reads until a line, and fails where the stream ends before.
func (s *stream) await(want string) {
	s.t.Helper()
	limit := time.NewTimer(streamPatience)
	defer limit.Stop()
	for {
		select {
		case line, ok := <-s.lines:
			if !ok {
				s.t.Fatalf("the stream ended before %q", want)
			}
			if line == want {
				return
			}
		case <-limit.C:
			s.t.Fatalf("waited %s for %q", streamPatience, want)
		}
	}
}

// awaitEnd reads until the stream is over.
func (s *stream) awaitEnd() {
	s.t.Helper()
	limit := time.NewTimer(streamPatience)
	defer limit.Stop()
	for {
		select {
		case _, ok := <-s.lines:
			if !ok {
				return
			}
		case <-limit.C:
			s.t.Fatalf("the stream goes on after %s", streamPatience)
		}
	}
}

// A page that is watched is told of every move of its own topic, and of no other's.
func TestLiveStream(t *testing.T) {
	t.Parallel()
	o := newOAuthRig(t)
	o.web.LiveEvery(10*time.Millisecond, 50*time.Millisecond)
	k := o.connected(t)
	mine, other := o.ada.watch(t, "connection:"+k.ID.String()), o.ada.watch(t, "connection:11111111-1111-4111-8111-111111111111")
	mine.await("event: moved") // what moved before it watched
	other.await("event: moved")
	mine.await(": still here")
	run, _, err := o.store.RequestRun(t.Context(), store.RunRequest{ConnectionID: k.ID, Lane: store.Permissions, Kind: store.RunPermissions, Cause: "test"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	mine.await("event: moved")
	its := o.ada.watch(t, "run:"+run.ID.String())
	its.await("event: moved") // it lives
	o.db.MustExec(t, `UPDATE sync_run SET counts = '{"listed": 7}' WHERE id = $1`, run.ID)
	its.await("event: moved")
	o.db.MustExec(t, `UPDATE sync_run SET state = 'cancelled', finished_at = clock() WHERE id = $1`, run.ID)
	its.await("event: moved")
	mine.await("event: moved")
	// A run that is through before anybody looks has moved too.
	mine.await(": still here")
	o.db.MustExec(t, `INSERT INTO sync_run (connection_id, lane, kind, state, cause, selection_version, finished_at) VALUES ($1, 'permissions', 'permissions', 'succeeded', 'test', 1, clock())`, k.ID)
	mine.await("event: moved")
	for len(other.lines) > 0 {
		if line := <-other.lines; line == "event: moved" {
			t.Error("another connection's page was told")
		}
	}
	other.await(": still here")
	for _, bad := range []string{"", "everything", "run:", "run:1", "connection:" + strings.Repeat("1", 36)} {
		if p := o.ada.get("/live?topic=" + bad); p.status != http.StatusBadRequest {
			t.Errorf("topic %q: %d", bad, p.status)
		}
	}
	if p := o.browser().get("/live?topic=all"); p.status != http.StatusSeeOther {
		t.Errorf("a visitor: %d", p.status)
	}
}

// A page is told to read itself behind a look, and not before the first: a run could end in between, of which nothing would tell.
func TestLiveStreamTellsBehindALook(t *testing.T) {
	t.Parallel()
	o := newOAuthRig(t)
	o.web.LiveEvery(time.Hour, 10*time.Millisecond)
	s := o.ada.watch(t, "all")
	for _, want := range []string{"retry: 3000", ": still here", ": still here"} {
		if got := <-s.lines; got != want {
			t.Errorf("the stream says %q, want %q", got, want)
		}
	}
}

// A stream ends with its session, with its account's right to see it, and with the server.
func TestLiveStreamEnds(t *testing.T) {
	t.Parallel()
	o := newOAuthRig(t)
	o.web.LiveEvery(10*time.Millisecond, 20*time.Millisecond)
	bob := o.account("bob", store.RoleAuditor)
	gone, disabled, last := o.signedIn("bob"), o.signedIn("bob"), o.ada.watch(t, "all")
	streams := map[*stream]bool{gone.watch(t, "all"): true, disabled.watch(t, "all"): true}
	gone.post("/signout")
	o.ada.post("/users/" + bob.ID.String() + "/disable")
	for s := range streams {
		s.await("event: over")
		s.awaitEnd()
	}
	last.await("event: moved")
	last.await(": still here")
	left := o.ada.watch(t, "all")
	left.end()
	left.awaitEnd()
	o.awaitWatchers(t, 1)
	o.web.Drain()
	last.awaitEnd()
	o.awaitWatchers(t, 0)
	if p := o.ada.get("/live?topic=all"); p.status != http.StatusServiceUnavailable {
		t.Errorf("a server that ends begins a stream: %d", p.status)
	}
}

// A page that is left open does not keep its session alive, neither by its stream nor by reading itself again.
func TestLivePageGrowsIdle(t *testing.T) {
	t.Parallel()
	o := newOAuthRig(t)
	o.web.LiveEvery(10*time.Millisecond, 20*time.Millisecond)
	o.db.MustExec(t, `UPDATE web_session SET last_seen_at = clock() - interval '5 minutes'`)
	s := o.ada.watch(t, "all")
	s.await(": still here")
	req := o.ada.request(http.MethodGet, "/connections", "")
	req.Header.Set("Tributary-By-Itself", "yes")
	if p := o.ada.send(req); p.status != http.StatusOK {
		t.Errorf("the page by itself: %d", p.status)
	}
	const idle = `SELECT max(last_seen_at) < clock() - interval '4 minutes' FROM web_session`
	if !pgtest.Scalar[bool](t, o.db, idle) {
		t.Error("what a page does by itself keeps the session alive")
	}
	o.ada.get("/connections")
	if pgtest.Scalar[bool](t, o.db, idle) {
		t.Error("what a person does is not noted")
	}
	o.db.MustExec(t, `UPDATE web_session SET last_seen_at = clock() - interval '31 minutes'`)
	s.await("event: over")
}

func (o *oauthRig) awaitWatchers(t *testing.T, want int) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); o.web.Watchers() != want; <-tick.C {
		if time.Since(began) > streamPatience {
			t.Fatalf("%d pages are watched, want %d", o.web.Watchers(), want)
		}
	}
}

// Pages that are watched hold no database connection, and no more memory later than at first. `make soak-live` plays it in
// large.
func TestManyLivePages(t *testing.T) {
	t.Parallel()
	const lasts, pages = time.Second, 50
	o := newOAuthRig(t)
	o.web.LiveEvery(5*time.Millisecond, 50*time.Millisecond)
	k := o.connected(t)
	run, _, err := o.store.RequestRun(t.Context(), store.RunRequest{ConnectionID: k.ID, Lane: store.Permissions, Kind: store.RunPermissions, Cause: "test"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var told sync.Map
	var all sync.WaitGroup
	for i := range pages {
		s := o.ada.watch(t, "connection:"+k.ID.String())
		all.Go(func() {
			for line := range s.lines {
				if line == "event: moved" {
					n, _ := told.LoadOrStore(i, new(int))
					*n.(*int)++
				}
			}
		})
	}
	early := uint64(0)
	least := o.store.Pool().Stat().MaxConns()
	moves := 0
	tick := time.NewTicker(lasts / 20)
	defer tick.Stop()
	for moves < 20 {
		<-tick.C
		moves++
		o.db.MustExec(t, `UPDATE sync_run SET counts = jsonb_build_object('listed', $2::int) WHERE id = $1`, run.ID, moves)
		if moves == 4 {
			early = heap()
		}
		// A heartbeat takes one for a moment; a page that kept it would never give it back.
		least = min(least, o.store.Pool().Stat().AcquiredConns())
	}
	if least > 3 {
		t.Errorf("%d database connections were in use all the time", least)
	}
	late := heap()
	began := time.Now()
	o.web.Drain()
	all.Wait()
	t.Logf("%d pages for %s: heap %d KB after a fifth, %d KB at the end; all streams ended in %s", pages, lasts, early>>10, late>>10, time.Since(began).Round(time.Millisecond))
	if ended := time.Since(began); ended > 5*time.Second {
		t.Errorf("the streams ended after %s", ended)
	}
	if lasts > time.Minute && float64(late) > 1.1*float64(early) {
		t.Errorf("the heap grew from %d to %d", early, late)
	}
	silent := pages
	told.Range(func(_, n any) bool {
		if *n.(*int) > 1 {
			silent--
		}
		return true
	})
	if silent > 0 {
		t.Errorf("%d of %d pages were told of nothing", silent, pages)
	}
	o.awaitWatchers(t, 0)
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}
