package examples_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/internal/assertion"
	"tributary/internal/password"
	"tributary/internal/pgtest"
	"tributary/store"
	"tributary/web"
)

// world is an instance with one document for ada and one for bob.
type world struct {
	t        *testing.T
	store    *store.Store
	url      string
	conn     store.Connection
	ada, bob store.Reader
	gate     *gate
}

// gate stands in front of the server. It counts answers and can be busy.
type gate struct {
	next http.Handler

	mu       sync.Mutex
	busy     int
	statuses []int
}

// ServeHTTP answers as a server without a connection to spare does, as often as was asked, and then as the server does.
func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	busy := g.busy > 0
	if busy {
		g.busy--
	}
	g.mu.Unlock()
	rec := httptest.NewRecorder()
	if busy {
		rec.Header().Set("Retry-After", "1")
		rec.Header().Set("Content-Type", web.ProblemType)
		rec.WriteHeader(http.StatusServiceUnavailable)
		rec.WriteString(`{"title": "Service Unavailable", "status": 503, "detail": "every database connection is busy", "code": "overloaded", "request_id": "R"}`)
	} else {
		g.next.ServeHTTP(rec, r)
	}
	g.mu.Lock()
	g.statuses = append(g.statuses, rec.Code)
	g.mu.Unlock()
	maps.Copy(w.Header(), rec.Header())
	w.WriteHeader(rec.Code)
	_, _ = w.Write(rec.Body.Bytes())
}

// took returns the statuses of the answers since it was called last.
func (g *gate) took() []int {
	g.mu.Lock()
	defer g.mu.Unlock()
	list := g.statuses
	g.statuses = nil
	return list
}

func (g *gate) beBusy(times int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.busy = times
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t}
	var err error
	w.store, err = store.Open(t.Context(), store.Config{URL: pgtest.New(t).URL, Purpose: store.Worker})
	w.must(err)
	t.Cleanup(w.store.Close)
	server := httptest.NewUnstartedServer(nil)
	public := &url.URL{Scheme: "http", Host: server.Listener.Addr().String()}
	w.gate = &gate{next: web.New(web.Config{
		PublicURL: public, Store: w.store, Accounts: w.store, Passwords: password.NewHasher(), Log: slog.New(slog.DiscardHandler),
	}).Handler()}
	server.Config.Handler = w.gate
	server.Start()
	t.Cleanup(server.Close)
	w.url = public.String()
	w.fill()
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// fill writes two documents of one connection, and a reader for each.
func (w *world) fill() {
	w.t.Helper()
	ctx := w.t.Context()
	var err error
	w.conn, err = w.store.CreateConnection(ctx, store.NewConnection{Name: "docs", Source: "test"})
	w.must(err)
	realm, err := w.store.SetRealm(ctx, w.conn.ID, "test", "acme")
	w.must(err)
	w.inRun(store.Permissions, func(run store.Run) error {
		if _, err := w.store.ReplaceMemberships(ctx, run, realm, nil); err != nil {
			return err
		}
		return w.store.FinishPermissions(ctx, run)
	})
	b := &store.Batch{Realm: realm}
	for name, text := range map[string]string{"ada": "A backup is made every night at three.", "bob": "The backup of salaries is kept in a safe."} {
		sum := sha256.Sum256([]byte(text))
		b.Documents = append(b.Documents, store.DocumentWrite{
			ExternalID: name, Title: "Notes of " + name, URL: "https://docs.example/" + name, Path: name, Kind: "file", MediaType: "text/markdown", Language: "english",
			ACL: connectors.ACL{AllOf: [][]connectors.Principal{{{Kind: connectors.User, ID: name}}}}, Extractor: "text/1", Chunker: "structure/1", Text: text, ContentHash: sum, SourceRevision: "1",
			Chunks: []store.ChunkWrite{{Identity: sum, InputHash: sum, Text: text, HeadingPath: []string{"Backups"}, Tokens: 9, End: len(text), EndCP: len(text)}},
		})
	}
	w.inRun(store.Content, func(run store.Run) error {
		b.Run = run
		_, err := w.store.WriteBatch(ctx, b, nil)
		return err
	})
	w.ada, w.bob = w.reader("ada"), w.reader("bob")
}

func (w *world) inRun(lane store.Lane, do func(run store.Run) error) {
	w.t.Helper()
	ctx := context.Background()
	req := store.RunRequest{ConnectionID: w.conn.ID, Lane: lane, Kind: store.RunSnapshot, Cause: "test"}
	if lane == store.Permissions {
		req.Kind = store.RunPermissions
	}
	run, _, err := w.store.RequestRun(ctx, req, nil)
	w.must(err)
	run, err = w.store.ClaimRun(ctx, run.ID, "test", time.Minute)
	w.must(err)
	w.must(do(run))
	w.must(w.store.ReleaseRun(ctx, run, store.Release{State: store.RunSucceeded}, nil))
}

func (w *world) reader(name string) store.Reader {
	w.t.Helper()
	r, err := w.store.CreateReader(w.t.Context(), name, store.Person)
	w.must(err)
	p := store.PrincipalIn{Connection: w.conn.ID, Principal: connectors.Principal{Kind: connectors.User, ID: name}}
	w.must(w.store.LinkReader(w.t.Context(), r.ID, p, store.LinkManual))
	return r
}

// key makes an API key and returns its secret.
func (w *world) key(p store.CreateKeyParams) string {
	w.t.Helper()
	p.Name, p.AllConnections = uuid.NewString(), true
	if p.Rights == nil {
		p.Rights = []string{store.RightSearch}
	}
	_, secret, err := w.store.CreateKey(w.t.Context(), p)
	w.must(err)
	return secret
}

// pair makes a key pair of an algorithm, and returns the file of its private key with the signer of its public one.
func (w *world) pair(algorithm string) (file string, public assertion.Signer) {
	w.t.Helper()
	var private, pub any
	if algorithm == "RS256" {
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		w.must(err)
		private, pub = k, k.Public()
	} else {
		p, k, err := ed25519.GenerateKey(rand.Reader)
		w.must(err)
		private, pub = k, p
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	w.must(err)
	file = filepath.Join(w.t.TempDir(), "portal.key")
	w.must(os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600))
	der, err = x509.MarshalPKIXPublicKey(pub)
	w.must(err)
	var text strings.Builder
	w.must(pem.Encode(&text, &pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	public, err = assertion.NewSigner(text.String(), "portal-1", algorithm)
	w.must(err)
	return file, public
}
