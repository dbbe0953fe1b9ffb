package visibility

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math"
	mrand "math/rand/v2"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/internal/oracle"
	"tributary/internal/password"
	"tributary/internal/pgtest"
	"tributary/store"
	"tributary/web"
)

// rig is an instance that is served over HTTP, and the world that it should hold.
type rig struct {
	tb  testing.TB
	rng *mrand.Rand
	// shuffle, where there is one, chooses the order in which a world is stored.
	shuffle *mrand.Rand
	db      *pgtest.DB
	store   *store.Store
	server  *httptest.Server
	log     *lockedBuffer
	profile int16
	now     time.Time

	w          oracle.World
	conns      []conn
	principals []connectors.Principal // beside w.Principals
	docs       []doc                  // beside w.Documents
	readers    []uuid.UUID
	keys       []key
	signers    []signer
	// feedKey is the key of the feed, which lists every connection.
	feedKey int
}

type conn struct {
	id    uuid.UUID
	name  string
	realm int64
	asOf  time.Time
	// push: its documents are pushed. ends is when they are hidden, zero never.
	push bool
	ends time.Time
}

type doc struct {
	external string
	id       uuid.UUID
	folder   int
	chunks   int
	title    string
	acl      connectors.ACL
}

type key struct {
	id      uuid.UUID
	secret  string
	mode    store.KeyMode
	rights  []string
	expires time.Time
	revoked bool
}

// lockedBuffer is a log.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) Bytes() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Clone(l.b.Bytes())
}

// dimensions of the vectors, of which every question has the same.
const dimensions = 4

type embedder int16

func (e embedder) EmbedQuery(context.Context, string) ([]float32, int16, error) {
	return []float32{1, 2, 3, 4}, int16(e), nil
}

// newRig starts an instance without content, whose database's clock stands.
func newRig(tb testing.TB) *rig {
	tb.Helper()
	r := &rig{tb: tb, db: pgtest.New(tb), log: &lockedBuffer{}}
	var err error
	r.store, err = store.Open(tb.Context(), store.Config{URL: r.db.URL, MaxConns: 8})
	r.must(err)
	tb.Cleanup(r.store.Close)
	r.keepReads()
	r.now = time.Now().UTC().Truncate(time.Second)
	r.db.SetClock(tb, r.now)
	p, err := r.store.CreateProfile(tb.Context(), store.Profile{Name: "test", Kind: store.ProfileHashing, Model: "test", Dimensions: dimensions})
	r.must(err)
	r.profile = p.ID
	r.makeSigners()
	r.server = httptest.NewUnstartedServer(nil)
	cfg := web.Config{
		PublicURL: &url.URL{Scheme: "http", Host: r.server.Listener.Addr().String()}, Store: r.store, Accounts: r.store,
		Passwords: password.NewHasher(), Log: slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Feed: r.store, Embedder: embedder(p.ID), KeyPerMinute: math.MaxInt32, AcquireTimeout: time.Minute,
	}
	r.server.Config.Handler = web.New(cfg).Handler()
	r.server.Start()
	tb.Cleanup(r.server.Close)
	return r
}

// keepReads lets the records of reads be written in batches, as a service does.
func (r *rig) keepReads() {
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.store.KeepReads(ctx) }()
	r.tb.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			r.tb.Error(err)
		}
	})
}

func (r *rig) must(err error) {
	r.tb.Helper()
	if err != nil {
		r.tb.Fatal(err)
	}
}

// one says yes in percent of the cases.
func (r *rig) one(percent int) bool { return r.rng.IntN(100) < percent }

func pick[T any](r *rig, list []T) T { return list[r.rng.IntN(len(list))] }

// advance moves the clock; connections and keys age with it.
func (r *rig) advance(d time.Duration) {
	r.now = r.now.Add(d)
	r.db.Advance(r.tb, d)
	r.age()
}

func (r *rig) age() {
	for i := range r.conns {
		r.w.Connections[i].TooOld = !r.conns[i].asOf.After(r.now.Add(-24 * time.Hour))
		r.w.Connections[i].Over = !r.conns[i].ends.IsZero() && !r.conns[i].ends.After(r.now)
	}
	for i := range r.keys {
		r.w.Keys[i].Dead = r.keys[i].revoked || !r.keys[i].expires.IsZero() && !r.keys[i].expires.After(r.now)
	}
}

// claim begins a run, or takes over the one that is there. What is pushed has
// one run that is open.
func (r *rig) claim(c int, lane store.Lane) store.Run {
	r.tb.Helper()
	if r.conns[c].push {
		r.advance(time.Second)
		run, err := r.store.OpenPushRun(r.tb.Context(), r.conns[c].id)
		r.must(err)
		return run
	}
	req := store.RunRequest{ConnectionID: r.conns[c].id, Lane: lane, Kind: store.RunSnapshot, Cause: "test"}
	if lane == store.Permissions {
		req.Kind = store.RunPermissions
	}
	run, _, err := r.store.RequestRun(r.tb.Context(), req, nil)
	r.must(err)
	r.advance(time.Second)
	run, err = r.store.ClaimRun(r.tb.Context(), run.ID, "test", 0)
	r.must(err)
	return run
}

func (r *rig) end(run store.Run, state store.RunState) {
	r.tb.Helper()
	if run.Kind == store.RunPush {
		return
	}
	r.must(r.store.ReleaseRun(r.tb.Context(), run, store.Release{State: state}, nil))
}

// write commits a batch with the vectors of its chunks.
func (r *rig) write(c int, b *store.Batch) error {
	b.Realm = r.conns[c].realm
	b.Profiles = []store.ProfileVectors{{ID: r.profile, Vectors: func(document, chunk int) []float32 {
		h := b.Documents[document].Chunks[chunk].InputHash
		return []float32{float32(h[0]), float32(h[1]), float32(h[2]), 1}
	}}}
	_, err := r.store.WriteBatch(r.tb.Context(), b, nil)
	return err
}

// content writes a batch in a run of its own.
func (r *rig) content(c int, fill func(b *store.Batch)) {
	r.tb.Helper()
	run := r.claim(c, store.Content)
	b := &store.Batch{Run: run}
	fill(b)
	r.must(r.write(c, b))
	r.end(run, store.RunSucceeded)
}

// permissions writes in a run of lane permissions; whole says that everything
// was read.
func (r *rig) permissions(c int, whole bool, write func(run store.Run)) {
	r.tb.Helper()
	run := r.claim(c, store.Permissions)
	write(run)
	if r.conns[c].push {
		r.must(r.store.ConfirmPushed(r.tb.Context(), r.conns[c].id))
		r.confirmed(c)
		return
	}
	if !whole {
		r.end(run, store.RunFailed)
		return
	}
	r.must(r.store.FinishPermissions(r.tb.Context(), run))
	r.conns[c].asOf = r.now
	r.end(run, store.RunSucceeded)
	r.age()
}

// canary is what stands in the text of document d and nowhere else.
func canary(d int) string { return fmt.Sprintf("canary%dz", d) }
