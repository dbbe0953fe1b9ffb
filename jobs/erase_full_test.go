package jobs

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/connectors"
	"tributary/connectors/connectortest"
	"tributary/connectors/reference"
	"tributary/internal/pgtest"
	"tributary/store"
)

// eraseDocuments is how many documents the erased connection has; a make target
// sets more.
func eraseDocuments(t *testing.T) int {
	t.Helper()
	text := os.Getenv("TEST_ERASE_DOCUMENTS")
	if text == "" {
		return 600
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 100 {
		t.Fatalf("TEST_ERASE_DOCUMENTS: must be a number from 100 on, not %q", text)
	}
	return n
}

// canaryWorld is a world in which every item, every name and every failure says
// so.
func canaryWorld(n int) *reference.World {
	w := reference.New()
	for i := range n {
		w.AddPeople(fmt.Sprintf("canaryperson%05d", i%100))
		w.PutItem(canaryItem(i, 0))
	}
	w.Fail(reference.FaultOn{On: connectortest.OnBody, Name: "secret/canarypath00003.md", Err: errors.New("secret/canarypath00003.md cannot be read")})
	return w
}

func canaryItem(i, version int) reference.Item {
	return reference.Item{
		ID: fmt.Sprintf("canaryid%05d", i), Path: fmt.Sprintf("secret/canarypath%05d.md", i), Title: fmt.Sprintf("Canarytitle%05d", i),
		Text:     fmt.Sprintf("# Canaryheading%05d\n\nVersion %d speaks of canaryword%05d.\n\n## More\n\nAnd of canaryother%05d.\n", i, version, i, i),
		ACL:      reference.Readers(reference.User(fmt.Sprintf("canaryperson%05d", i%100))),
		Metadata: map[string]string{"k": fmt.Sprintf("canarymeta%05d", i)},
	}
}

// keep makes a second connection with documents that nobody erases.
func (e *engine) keep(n int) {
	e.t.Helper()
	ctx := e.t.Context()
	other := reference.New()
	other.AddPeople("bob")
	for i := range n {
		other.Put(fmt.Sprintf("kept-%03d", i), fmt.Sprintf("# Kept %d\n\nThis stays.\n", i), reference.Readers(reference.User("bob")))
	}
	c, err := e.store.CreateConnection(ctx, store.NewConnection{Name: "kept", Source: reference.Source, Settings: other.Settings()})
	if err != nil {
		e.t.Fatal(err)
	}
	second := &engine{t: e.t, db: e.db, store: e.store, conn: c, world: other}
	if second.runner, err = New(Config{Store: e.store, Extractor: e.runner.cfg.Extractor, Connectors: map[string]connectors.Connector{reference.Source: other.Connector()}}); err != nil {
		e.t.Fatal(err)
	}
	second.must(store.Permissions, store.RunSucceeded)
	second.must(store.Content, store.RunSucceeded)
}

// TestEraseConnectionDuringASync erases a connection whose second sync is under
// way, with a worker that is killed in the middle. Nobody sees anything of it
// from the request on, no row and no byte of a data file is left, and another
// connection is whole.
func TestEraseConnectionDuringASync(t *testing.T) {
	t.Parallel()
	n := eraseDocuments(t)
	world := canaryWorld(n)
	e := newEngine(t, world, func(c *Config) { c.Takeover = time.Second })
	e.keep(50)
	e.must(store.Permissions, store.RunSucceeded)
	e.sync(store.Content)
	if have := pgtest.Scalar[int](t, e.db, `SELECT count(*)::int FROM document WHERE connection_id = $1`, e.conn.ID); have < n-1 {
		t.Fatalf("%d documents", have)
	}
	if hits, err := pgtest.FindSecrets(t.Context(), e.db.SuperURL, map[string]string{"word": "canaryword", "path": "canarypath"}); err != nil || len(hits) < 2*n {
		t.Fatalf("%d canaries before: %v", len(hits), err)
	}
	// The planner's statistics quote what is stored.
	if _, err := e.db.Owner.Exec(t.Context(), `ANALYZE`); err != nil {
		t.Fatal(err)
	}
	syncing, ended := e.secondSync(n)
	<-syncing
	asked, err := e.runner.RequestErasure(t.Context(), store.EraseRequest{Connection: e.conn.ID, Scope: store.EraseConnection}, "ada")
	if err != nil {
		t.Fatal(err)
	}
	if seen := pgtest.Scalar[int](t, e.db, `SELECT count(*)::int FROM connection WHERE id = $1 AND state <> 'closing'`, e.conn.ID); seen != 0 {
		t.Error("the connection is still visible")
	}
	killedEraser(t, e.db.URL, asked.ID)
	between := pgtest.Scalar[int](t, e.db, `SELECT count(*)::int FROM document WHERE connection_id = $1`, e.conn.ID)
	begun := time.Now()
	done, err := e.runner.EraseHere(t.Context(), asked.ID, nil)
	if err != nil {
		t.Fatal(err)
	}
	took := time.Since(begun)
	if state := <-ended; state != "gone" && state != string(store.RunCancelled) {
		t.Errorf("the sync in flight ended %s", state)
	}
	receipt, err := e.store.EraseReceipt(t.Context(), asked.ID)
	if err != nil {
		t.Fatal(err)
	}
	if done.State != store.EraseDone || receipt.Hits != 0 || receipt.Removed["document"] < int64(n-1) || receipt.Items < int64(n-1) || receipt.Removed["connection"] != 1 || receipt.Removed["realm"] != 0 {
		t.Errorf("%s: %s; removed %v, %d items, %d hits", done.State, done.Error, receipt.Removed, receipt.Items, receipt.Hits)
	}
	if between == 0 || between >= n {
		t.Errorf("the killed worker left %d of %d documents", between, n)
	}
	e.canaries()
	e.wantWhole()
	if kept := pgtest.Scalar[int](t, e.db, `SELECT count(*)::int FROM document`); kept != 50 {
		t.Errorf("%d documents of the other connection, want 50", kept)
	}
	e.wantCleanFiles(asked.ID)
	t.Logf("%d documents, %d left when the worker was killed, the rest erased and verified in %s; %v", n, between, took.Round(time.Millisecond), receipt.Removed)
}

// secondSync edits a third of the documents and syncs again. syncing is closed
// when the run is in the middle of its listing; ended gets its end.
func (e *engine) secondSync(n int) (syncing chan struct{}, ended chan string) {
	e.t.Helper()
	for i := 0; i < n; i += 3 {
		e.world.PutItem(canaryItem(i, 1))
	}
	if _, err := e.db.Owner.Exec(e.t.Context(), `UPDATE connection SET feed_cursor = NULL WHERE id = $1`, e.conn.ID); err != nil {
		e.t.Fatal(err)
	}
	syncing, ended = make(chan struct{}), make(chan string, 1)
	e.world.At(connectortest.OnListing, 3, func() { close(syncing) })
	conn, err := e.store.Connection(e.t.Context(), e.conn.Name)
	if err != nil {
		e.t.Fatal(err)
	}
	run, _, err := e.runner.Request(e.t.Context(), conn, store.Content, "test", false)
	if err != nil {
		e.t.Fatal(err)
	}
	go func() {
		run, err := e.runner.RunHere(e.t.Context(), run.ID, nil)
		switch {
		case errors.Is(err, store.ErrNotFound):
			ended <- "gone"
		case err != nil:
			ended <- err.Error()
		default:
			ended <- string(run.State)
		}
	}()
	return syncing, ended
}

// killedEraser erases in another process, which is killed after its first step.
func killedEraser(t *testing.T, url string, id uuid.UUID) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestEraserChild$")
	cmd.Env = append(os.Environ(), "TEST_ERASER="+id.String(), "TEST_ERASER_URL="+url)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if lines.Text() == "step" {
			break
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if state := cmd.ProcessState.String(); !strings.Contains(state, "killed") {
		t.Errorf("the worker ended %s", state)
	}
}

// TestEraserChild is the process that is killed.
func TestEraserChild(t *testing.T) {
	id, err := uuid.Parse(os.Getenv("TEST_ERASER"))
	if err != nil {
		t.Skip("only for TestEraseConnectionDuringASync")
	}
	s, err := store.Open(t.Context(), store.Config{URL: os.Getenv("TEST_ERASER_URL"), Purpose: store.Worker, MaxConns: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, err = s.Erase(t.Context(), id, store.EraseOptions{Worker: newOwner().name, Watch: func(store.Erasure) {
		_, _ = os.Stdout.WriteString("step\n")
		<-t.Context().Done()
	}})
	t.Fatal("it was to be killed", err)
}

// wantCleanFiles reads the files of every table and index. After a vacuum no
// page holds a word of what was erased beside its free space, and after a
// rewrite no byte of any file does.
func (e *engine) wantCleanFiles(erasure uuid.UUID) {
	e.t.Helper()
	er, err := e.store.Erasure(e.t.Context(), erasure)
	if err != nil {
		e.t.Fatal(err)
	}
	if dirty := e.dirtyFiles(true); len(dirty) == 0 {
		e.t.Error("before the vacuum no file holds a canary: the test looks in the wrong place")
	}
	for _, rewrite := range []bool{false, true} {
		done, err := store.Clean(e.t.Context(), e.db.SuperURL, store.CleanTables(er), rewrite)
		if err != nil || !done.Done || done.HeldBack {
			e.t.Fatalf("cleaning: %+v, %v", done, err)
		}
		if err := e.store.RecordCleaned(e.t.Context(), erasure, done); err != nil {
			e.t.Fatal(err)
		}
		if dirty := e.dirtyFiles(!rewrite); len(dirty) > 0 {
			e.t.Errorf("with rewrite %v these hold canaries: %v", rewrite, dirty)
		}
	}
	r, err := e.store.EraseReceipt(e.t.Context(), erasure)
	if err != nil || r.Check() != nil || !r.Storage.Rewritten {
		e.t.Errorf("the receipt after the vacuum: %+v, %v", r.Storage, err)
	}
}

// dirtyFiles lists the relations of the database, catalogs included, whose file
// holds a canary; with pages, free space in pages is left out.
func (e *engine) dirtyFiles(pages bool) []string {
	e.t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, e.db.SuperURL)
	if err != nil {
		e.t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, `CHECKPOINT`); err != nil {
		e.t.Fatal(err)
	}
	rows, err := conn.Query(ctx, `SELECT oid::regclass::text, pg_read_binary_file(pg_relation_filepath(oid), 0, 1000000000, true) FROM pg_class WHERE relkind IN ('r', 'i', 't', 'm', 'S') AND NOT relisshared`)
	if err != nil {
		e.t.Fatal(err)
	}
	var dirty []string
	files := 0
	var name string
	var body []byte
	_, err = pgx.ForEachRow(rows, []any{&name, &body}, func() error {
		files++
		if pages {
			body = withoutFreeSpace(body)
		}
		if n := bytes.Count(body, []byte("canary")) + bytes.Count(body, []byte("Canarytitle")) + bytes.Count(body, []byte("Canaryheading")); n > 0 {
			dirty = append(dirty, fmt.Sprintf("%s (%d)", name, n))
		}
		return nil
	})
	if err != nil {
		e.t.Fatal(err)
	}
	if files < 300 {
		e.t.Errorf("only %d files were read", files)
	}
	return dirty
}

// withoutFreeSpace blanks what lies between pd_lower and pd_upper of each page
// (PostgreSQL, Database Page Layout).
func withoutFreeSpace(file []byte) []byte {
	const size = 8192
	file = bytes.Clone(file)
	for at := 0; at+size <= len(file); at += size {
		page := file[at : at+size]
		lower, upper := int(binary.LittleEndian.Uint16(page[12:])), int(binary.LittleEndian.Uint16(page[14:]))
		if lower >= 24 && lower <= upper && upper <= size {
			clear(page[lower:upper])
		}
	}
	return file
}
