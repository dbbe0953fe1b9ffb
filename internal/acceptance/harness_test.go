package acceptance

import (
	"cmp"
	"context"
	"log/slog"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tributary/connectors"
	"tributary/connectors/folder"
	"tributary/internal/extract"
	"tributary/internal/pgtest"
	"tributary/jobs"
	"tributary/store"
)

// instance is a store with an engine, as the command wires them.
type instance struct {
	store  *store.Store
	runner *jobs.Runner
}

func openInstance(ctx context.Context, url string, change ...func(*jobs.Config)) (*instance, error) {
	st, err := store.Open(ctx, store.Config{URL: url, Purpose: store.Worker, MaxConns: 8})
	if err != nil {
		return nil, err
	}
	cfg := jobs.Config{
		Store: st, Extractor: extract.New(extract.Config{}),
		Connectors: map[string]connectors.Connector{folder.Source: folder.New(folder.Config{Sniff: sniff, Realm: "acceptance"})},
	}
	if os.Getenv("TEST_LOG") != "" {
		cfg.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	for _, c := range change {
		c(&cfg)
	}
	r, err := jobs.New(cfg)
	if err != nil {
		st.Close()
		return nil, err
	}
	return &instance{st, r}, nil
}

// sniff is how the command decides what is a document.
func sniff(name string, head []byte) (string, bool, string) {
	_, mediaType, ok := extract.Sniff(name, head)
	if !ok {
		return "", false, "not a document: " + mediaType
	}
	return mediaType, true, ""
}

// site is an instance on a database of its own.
type site struct {
	*instance
	t  *testing.T
	db *pgtest.DB
}

func newSite(t *testing.T, profile store.Profile) *site {
	t.Helper()
	db := pgtest.New(t)
	in, err := openInstance(t.Context(), db.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(in.store.Close)
	if _, err := in.store.EnsureProfile(t.Context(), profile); err != nil {
		t.Fatal(err)
	}
	return &site{in, t, db}
}

func (s *site) connect(dir string) store.Connection {
	s.t.Helper()
	values := map[string]string{"path": dir}
	c, err := s.store.CreateConnection(s.t.Context(), store.NewConnection{Name: "tree", Source: folder.Source, Settings: values})
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// sync runs a lane until it ends.
func (in *instance) sync(ctx context.Context, c store.Connection, lane store.Lane) (store.Run, error) {
	run, _, err := in.runner.Request(ctx, c, lane, "acceptance", false)
	if err != nil {
		return run, err
	}
	return in.runner.RunHere(ctx, run.ID, nil)
}

// must runs a lane and fails the test unless it ends in one of the states.
func (s *site) must(c store.Connection, lane store.Lane, states ...store.RunState) store.Run {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Minute)
	defer cancel()
	run, err := s.sync(ctx, c, lane)
	if err != nil {
		s.t.Fatal(err)
	}
	if !slices.Contains(states, run.State) {
		s.t.Fatalf("run ended %s (%s: %s), want %v", run.State, run.ErrorClass, run.Error, states)
	}
	return run
}

// me is the identity of the account that runs the tests.
func (s *site) me(c store.Connection) store.Identity {
	s.t.Helper()
	u, err := user.Current()
	if err != nil {
		s.t.Fatal(err)
	}
	return s.as(c, "uid:"+u.Uid)
}

// as is the identity of whoever a principal is.
func (s *site) as(c store.Connection, name string) store.Identity {
	s.t.Helper()
	c, err := s.store.Connection(s.t.Context(), c.Name)
	if err != nil {
		s.t.Fatal(err)
	}
	p, _, err := s.runner.NamePrincipal(s.t.Context(), c, name)
	if err != nil {
		s.t.Fatal(err)
	}
	id, err := s.store.AsPrincipals(s.t.Context(), store.PrincipalIn{Connection: c.ID, Principal: p})
	if err != nil {
		s.t.Fatal(err)
	}
	return id
}

// wantWhole checks that nothing is orphaned, doubled or half written. The
// vectors are those of profile 1.
func wantWhole(t *testing.T, q querier) {
	t.Helper()
	for what, sql := range map[string]string{
		"chunks without document":    `SELECT count(*) FROM chunk c WHERE NOT EXISTS (SELECT FROM document d WHERE d.id = c.document_id)`,
		"revisions without document": `SELECT count(*) FROM revision c WHERE NOT EXISTS (SELECT FROM document d WHERE d.id = c.document_id)`,
		"vectors without chunk":      `SELECT count(*) FROM vec_1 v WHERE NOT EXISTS (SELECT FROM chunk c WHERE c.document_id = v.document_id AND c.id = v.chunk_id)`,
		"chunks without vector":      `SELECT count(*) FROM chunk c WHERE NOT EXISTS (SELECT FROM vec_1 v WHERE c.document_id = v.document_id AND c.id = v.chunk_id)`,
		"layouts that name no chunk": `SELECT count(*) FROM revision r CROSS JOIN unnest(r.chunk_ids) i WHERE NOT EXISTS (SELECT FROM chunk c WHERE c.document_id = r.document_id AND c.id = i)`,
		"chunks outside the layout":  `SELECT count(*) FROM chunk c JOIN document d ON d.id = c.document_id JOIN revision r ON r.document_id = d.id AND r.number = d.revision WHERE NOT c.id = ANY(r.chunk_ids)`,
		"documents without revision": `SELECT count(*) FROM document d WHERE NOT EXISTS (SELECT FROM revision r WHERE r.document_id = d.id AND r.number = d.revision AND r.text IS NOT NULL)`,
		"wrong chunk counts":         `SELECT count(*) FROM document d WHERE chunk_count <> (SELECT count(*) FROM chunk c WHERE c.document_id = d.id)`,
		"runs that never ended":      `SELECT count(*) FROM sync_run WHERE state IN ('queued', 'running')`,
	} {
		if n := scalar[int64](t, q, sql); n != 0 {
			t.Errorf("%s: %d", what, n)
		}
	}
}

// require skips the test, or fails it where TEST_REQUIRE is set.
func require(t *testing.T, have bool, format string, args ...any) {
	t.Helper()
	switch {
	case have:
	case os.Getenv("TEST_REQUIRE") != "":
		t.Fatalf(format, args...)
	default:
		t.Skipf(format, args...)
	}
}

// privileged skips a test that no installation could make possible: it needs
// root, or a mount that this machine does not permit.
func privileged(t *testing.T, may bool, format string, args ...any) {
	t.Helper()
	if !may {
		t.Skipf(format, args...)
	}
}

// corpusDir is where scripts/corpus.sh put the documents.
func corpusDir(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("TEST_CORPUS")
	if dir == "" {
		home, _ := os.UserHomeDir()
		dir = filepath.Join(cmp.Or(os.Getenv("XDG_CACHE_HOME"), filepath.Join(home, ".cache")), "tributary", "corpus")
	}
	_, err := os.Stat(filepath.Join(dir, "corpus-1000"))
	require(t, err == nil, "no documents in %s: run scripts/corpus.sh, or name their directory with TEST_CORPUS", dir)
	return dir
}

// corpus is the selection that the tests use: the 8,000 files where
// TEST_ACCEPTANCE is "full".
func corpus(t *testing.T) string {
	t.Helper()
	if os.Getenv("TEST_ACCEPTANCE") == "full" {
		return filepath.Join(corpusDir(t), "corpus-8000")
	}
	return filepath.Join(corpusDir(t), "corpus-1000")
}

// goRoot is the Go distribution that runs the tests.
func goRoot(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatalf("asking go for its root: %v", err)
	}
	return strings.TrimSpace(string(out))
}

// openDir is a temporary directory that every account may search: the parent
// of t.TempDir is closed to others.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tributary-acceptance-") //nolint:usetesting // the parent of t.TempDir is closed to other accounts
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// write makes a file of a tree.
func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
