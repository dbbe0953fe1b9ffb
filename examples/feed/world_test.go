package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/internal/audit"
	"tributary/internal/password"
	"tributary/internal/pgtest"
	"tributary/oauthflow"
	"tributary/store"
	"tributary/web"
)

// world is an instance that changes at random, served over HTTP.
type world struct {
	t       *testing.T
	db      *pgtest.DB
	store   *store.Store
	url     string
	key     string
	sources []*source
	readers []uuid.UUID
}

// source is a connection that is written to.
type source struct {
	*world
	rnd   *rand.Rand
	name  string
	conn  uuid.UUID
	realm int64
	// ops counts what was done, by name.
	ops map[string]int
}

func newWorld(t *testing.T, seed uint64) *world {
	t.Helper()
	w := &world{t: t, db: pgtest.New(t)}
	var err error
	if w.store, err = store.Open(t.Context(), store.Config{URL: w.db.URL, Purpose: store.Worker}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.store.Close)
	if _, err := w.store.CreateProfile(t.Context(), store.Profile{Name: "test", Kind: store.ProfileOpenAI, Model: "test", Dimensions: 4}); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(nil)
	public := &url.URL{Scheme: "http", Host: server.Listener.Addr().String()}
	server.Config.Handler = web.New(web.Config{
		PublicURL: public, Store: w.store, Accounts: w.store, Passwords: password.NewHasher(), Feed: w.store, Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	}).Handler()
	server.Start()
	t.Cleanup(server.Close)
	w.url = public.String()
	for i, name := range []string{"wiki", "drive", "secret"} {
		w.connect(name, []string{"acme", "acme", "other"}[i], seed*10+uint64(i))
	}
	listed := []uuid.UUID{w.sources[0].conn, w.sources[1].conn}
	often := 1_000_000
	_, secret, err := w.store.CreateKey(t.Context(), store.CreateKeyParams{Name: "mirror", Rights: []string{store.RightExport}, Connections: listed, PerMinute: &often})
	if err != nil {
		t.Fatal(err)
	}
	w.key = secret
	return w
}

func (w *world) connect(name, realm string, seed uint64) {
	w.t.Helper()
	c, err := w.store.CreateConnection(w.t.Context(), store.NewConnection{Name: name, Source: "test"})
	if err != nil {
		w.t.Fatal(err)
	}
	s := &source{world: w, rnd: rand.New(rand.NewPCG(seed, 6)), name: name, conn: c.ID, ops: map[string]int{}}
	if s.realm, err = w.store.SetRealm(w.t.Context(), c.ID, "test", realm); err != nil {
		w.t.Fatal(err)
	}
	w.sources = append(w.sources, s)
	s.permissions()
}

// keepFeed gives positions until the returned function is called.
func (w *world) keepFeed() func() {
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = w.store.KeepFeed(ctx, time.Hour) }()
	return func() { stop(); <-done }
}

// makeReaders links readers to users that the world has by now.
func (w *world) makeReaders() {
	w.t.Helper()
	for i := range people {
		r, err := w.store.CreateReader(w.t.Context(), fmt.Sprint("reader", i), store.Person)
		if err != nil {
			w.t.Fatal(err)
		}
		w.readers = append(w.readers, r.ID)
		for _, s := range w.sources {
			p := store.PrincipalIn{Connection: s.conn, Principal: connectors.Principal{Kind: connectors.User, ID: fmt.Sprint("u", i)}}
			if err := w.store.LinkReader(w.t.Context(), r.ID, p, store.LinkManual); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}

// How many items, people and groups a source has.
const items, people, groups = 14, 5, 6

func (s *source) item() string { return fmt.Sprint("item", s.rnd.IntN(items)) }

func (s *source) principal() connectors.Principal {
	switch s.rnd.IntN(8) {
	case 0, 1, 2:
		return connectors.Principal{Kind: connectors.User, ID: fmt.Sprint("u", s.rnd.IntN(people))}
	case 3:
		return connectors.Principal{Kind: connectors.Public, ID: "public"}
	default:
		return connectors.Principal{Kind: connectors.Group, ID: fmt.Sprint("g", s.rnd.IntN(groups))}
	}
}

// acl draws an ACL; now and then one that nobody knows.
func (s *source) acl() connectors.ACL {
	var acl connectors.ACL
	for range s.rnd.IntN(4) {
		clause := []connectors.Principal{s.principal()}
		for range s.rnd.IntN(3) {
			clause = append(clause, s.principal())
		}
		acl.AllOf = append(acl.AllOf, clause)
	}
	if s.rnd.IntN(4) == 0 {
		acl.Deny = []connectors.Principal{s.principal()}
	}
	return acl
}

// document draws a document; equal chunks are told apart by their order.
func (s *source) document(id string) store.DocumentWrite {
	d := store.DocumentWrite{
		ExternalID: id, Title: fmt.Sprint("Title ", s.rnd.IntN(1000)), URL: "https://example.com/" + id, Path: id, Kind: "file", MediaType: "text/plain", Language: "simple",
		ACL: s.acl(), Extractor: "text/1", Chunker: "structure/1",
	}
	nth := map[string]uint64{}
	for range s.rnd.IntN(6) {
		text := fmt.Sprintf("%s says %d.", s.name, s.rnd.IntN(12))
		if d.Text != "" {
			d.Text += "\n\n"
		}
		start := len(d.Text)
		d.Text += text
		d.Chunks = append(d.Chunks, store.ChunkWrite{
			Identity: sha256.Sum256(binary.BigEndian.AppendUint64([]byte(text), nth[text])), InputHash: sha256.Sum256([]byte(text)), Text: text, Tokens: 3,
			Start: start, End: len(d.Text), StartCP: start, EndCP: len(d.Text),
		})
		nth[text]++
	}
	d.ContentHash = sha256.Sum256([]byte(d.Text))
	d.SourceRevision = fmt.Sprintf("%x", d.ContentHash[:4])
	return d
}

// inRun does something in a run of its own.
func (s *source) inRun(lane store.Lane, do func(run store.Run) error) error {
	ctx := context.Background()
	req := store.RunRequest{ConnectionID: s.conn, Lane: lane, Kind: store.RunSnapshot, Cause: "test"}
	if lane == store.Permissions {
		req.Kind = store.RunPermissions
	}
	run, _, err := s.store.RequestRun(ctx, req, nil)
	if err != nil {
		return err
	}
	if run, err = s.store.ClaimRun(ctx, run.ID, "test", time.Minute); err != nil {
		return err
	}
	if err := do(run); err != nil {
		return err
	}
	return s.store.ReleaseRun(ctx, run, store.Release{State: store.RunSucceeded}, nil)
}

// permissions replaces the memberships by random ones and dates them.
func (s *source) permissions() {
	s.t.Helper()
	err := s.inRun(store.Permissions, func(run store.Run) error {
		var ms []connectors.Membership
		for range s.rnd.IntN(20) {
			m := connectors.Membership{Member: s.principal(), Group: connectors.Principal{Kind: connectors.Group, ID: fmt.Sprint("g", s.rnd.IntN(groups))}}
			if m.Member.Kind != connectors.Public {
				ms = append(ms, m)
			}
		}
		for i := range people { // everybody is somebody: readers are linked to them
			ms = append(ms, connectors.Membership{Member: connectors.Principal{Kind: connectors.User, ID: fmt.Sprint("u", i)}, Group: connectors.Principal{Kind: connectors.Group, ID: "all"}})
		}
		if _, err := s.store.ReplaceMemberships(context.Background(), run, s.realm, ms); err != nil {
			return err
		}
		return s.store.FinishPermissions(context.Background(), run)
	})
	if err != nil {
		s.t.Errorf("%s: permissions: %v", s.name, err)
	}
}

// batch draws what a batch says of a few items, each at most once.
func (s *source) batch(run store.Run) *store.Batch {
	b := &store.Batch{Run: run, Realm: s.realm}
	seen := map[string]bool{}
	for range 1 + s.rnd.IntN(4) {
		id := s.item()
		if seen[id] {
			continue
		}
		seen[id] = true
		switch s.rnd.IntN(9) {
		case 0, 1, 2, 3:
			b.Documents = append(b.Documents, s.document(id))
		case 4:
			d := s.document(id)
			d.Text, d.Chunks = "", nil
			b.Touched = append(b.Touched, d)
		case 5, 6:
			b.ACLs = append(b.ACLs, store.ACLWrite{ExternalID: id, ACL: s.acl()})
		case 7:
			b.Refused = append(b.Refused, id)
		default:
			b.Deleted = append(b.Deleted, id)
		}
	}
	return b
}

// list lists some of the items completely, so that the others are hidden or
// purged, and those that were absent are back.
func (s *source) list() error {
	return s.inRun(store.Content, func(run store.Run) error {
		var names []string
		for i := range items {
			if s.rnd.IntN(4) > 0 {
				names = append(names, fmt.Sprint("item", i))
			}
		}
		known, err := s.store.KnownDocuments(context.Background(), s.conn, names)
		if err != nil {
			return err
		}
		b := &store.Batch{Run: run, Realm: s.realm, Page: &store.PageEnd{Next: connectors.Cursor(`{"n":1}`), Complete: true}}
		for _, name := range names {
			if k, ok := known[name]; ok {
				b.Seen = append(b.Seen, k.ID)
			} else {
				b.Documents = append(b.Documents, s.document(name))
			}
		}
		if _, err := s.store.WriteBatch(context.Background(), b, nil); err != nil {
			return err
		}
		if run, err = s.store.Run(context.Background(), run.ID); err != nil {
			return err
		}
		_, err = s.store.SweepListing(context.Background(), run, store.SweepRules{CapCount: items, CapShare: 1})
		return err
	})
}

// step does one thing at random.
func (s *source) step() {
	s.t.Helper()
	ctx := context.Background()
	var name string
	var err error
	switch n := s.rnd.IntN(20); {
	case n < 10:
		name = "batch"
		err = s.inRun(store.Content, func(run store.Run) error {
			_, err := s.store.WriteBatch(ctx, s.batch(run), nil)
			return err
		})
	case n < 12:
		name = "listing"
		err = s.list()
	case n < 15:
		name = "permissions"
		s.permissions()
	case n == 15:
		name = "permissions too old"
		s.db.MustExec(s.t, `UPDATE connection SET permissions_as_of = clock() - interval '25 hours' WHERE id = $1`, s.conn)
		_, err = s.store.TellStale(ctx)
	case n == 16:
		name = "time over"
		past := time.Now().Add(-time.Minute)
		err = s.store.SetConnectionExpiry(ctx, s.conn, &past, oauthflow.HideDocuments, audit.Event{Actor: audit.Actor{Kind: audit.System}, Action: "connection.expiry", Outcome: audit.OK})
	case n == 17:
		name = "time extended"
		err = s.store.SetConnectionExpiry(ctx, s.conn, nil, oauthflow.KeepDocuments, audit.Event{Actor: audit.Actor{Kind: audit.System}, Action: "connection.expiry", Outcome: audit.OK})
	default:
		name = "erasure"
		err = s.erase()
	}
	s.ops[name]++
	if err != nil {
		s.t.Errorf("%s: %s: %v", s.name, name, err)
	}
}

// erase erases a document; it may come back.
func (s *source) erase() error {
	ctx := context.Background()
	id := s.item()
	if pgtest.Scalar[int](s.t, s.db, `SELECT count(*)::int FROM document WHERE connection_id = $1 AND external_id = $2`, s.conn, id) == 0 {
		return nil
	}
	e, err := s.store.RequestErasure(ctx, store.EraseRequest{Connection: s.conn, Scope: store.EraseDocument, Documents: []string{id}, AllowReturn: true}, "test")
	if err != nil {
		return err
	}
	_, err = s.store.Erase(ctx, e.ID, store.EraseOptions{})
	return err
}
