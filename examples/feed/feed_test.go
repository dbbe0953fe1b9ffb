package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/internal/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// settingOf reads a number from the environment of the test.
func settingOf(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// TestKilledConsumerEndsEqualToTheStore changes an instance at random while this
// program copies it and is killed again and again. In the end the copy is the
// store's, and whoever is asked about, it lets see what Tributary lets see.
func TestKilledConsumerEndsEqualToTheStore(t *testing.T) {
	t.Parallel()
	kills, seed := settingOf(t, "TEST_FEED_KILLS", 5), settingOf(t, "TEST_FEED_SEED", 1)
	t.Logf("TEST_FEED_KILLS=%d TEST_FEED_SEED=%d", kills, seed)
	w := newWorld(t, uint64(seed))
	w.makeReaders()
	stop := w.keepFeed()
	defer stop()
	program := filepath.Join(t.TempDir(), "feed")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	path := filepath.Join(t.TempDir(), "journal")
	torn := 0
	w.change(6)
	for i := range kills {
		if i%3 == 2 { // the consumer was away for too long
			if _, err := w.store.DropFeed(t.Context(), 0); err != nil {
				t.Fatal(err)
			}
		}
		p := w.consumer(program, path, "-limit", "3")
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		w.change(4)
		if err := p.Process.Kill(); err != nil {
			t.Errorf("the consumer ended by itself: %v", err)
		}
		_ = p.Wait()
		torn += tornBytes(t, path)
	}
	w.change(4)
	w.comeBack()
	if n, err := w.store.SequenceFeed(t.Context()); err != nil {
		t.Fatalf("sequencing: %d, %v", n, err)
	}
	if out, err := w.consumer(program, path, "-once").CombinedOutput(); err != nil {
		t.Fatalf("catching up: %v\n%s", err, out)
	}
	j, s, err := openJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	defer j.file.Close()
	for _, x := range w.sources {
		t.Logf("%s: %v", x.name, x.ops)
	}
	visible := w.wantEqual(s)
	t.Logf("%d documents, %d sets, %d visible pairs, %d bytes of torn lines cut", len(s.Documents), len(s.ACLs), visible, torn)
}

func (w *world) consumer(program, path string, args ...string) *exec.Cmd {
	cmd := exec.Command(program, append([]string{"-url", w.url, "-journal", path}, args...)...)
	cmd.Env = append(os.Environ(), "TRIBUTARY_KEY="+w.key)
	return cmd
}

// change takes steps in every source at once, so that transactions end in
// another order than they began.
func (w *world) change(steps int) {
	var all sync.WaitGroup
	for _, s := range w.sources {
		all.Go(func() {
			for range steps {
				s.step()
			}
		})
	}
	all.Wait()
}

// comeBack ends what hides whole connections, so that there is something to compare.
func (w *world) comeBack() {
	w.db.MustExec(w.t, `UPDATE connection SET expires_at = NULL, at_expiry = 'keep' WHERE name <> 'drive'`)
	w.sources[0].permissions()
	for range 3 {
		err := w.sources[0].list()
		if err != nil {
			w.t.Error(err)
		}
	}
	if _, err := w.store.TellStale(w.t.Context()); err != nil {
		w.t.Error(err)
	}
}

// tornBytes returns how many bytes of a line that is not whole end a journal.
func tornBytes(t *testing.T, path string) int {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	n := 0
	for i := len(data) - 1; i >= 0 && data[i] != '\n'; i-- {
		n++
	}
	return n
}

// wantDocument is a document as the store has it.
type wantDocument struct {
	Connection, Title, URL string
	ACL                    int64
	Places                 []place
	Texts                  []string
	Hashes                 []string
}

// wantEqual compares the copy with the store and returns how many (reader,
// document) pairs are visible.
func (w *world) wantEqual(s *state) int {
	w.t.Helper()
	got := map[string]wantDocument{}
	for id, d := range s.Documents {
		x := wantDocument{Connection: d.Connection, Title: d.Title, URL: d.URL, ACL: d.ACL, Places: d.Places}
		for _, p := range d.Places {
			c, ok := d.Chunks[p.ChunkID]
			if !ok {
				w.t.Errorf("chunk %s is missing", p.ChunkID)
			}
			x.Texts, x.Hashes = append(x.Texts, c.Text), append(x.Hashes, c.Hash)
		}
		if len(d.Chunks) != len(d.Places) {
			w.t.Errorf("document %s has %d chunks and %d places", id, len(d.Chunks), len(d.Places))
		}
		got[id] = x
	}
	want := w.stored()
	for id, d := range want {
		if !reflect.DeepEqual(got[id], d) {
			w.t.Errorf("document %s is\n%+v, want\n%+v", id, got[id], d)
		}
		if a, stored := s.ACLs[d.ACL], w.storedACL(d.ACL); !reflect.DeepEqual(normal(a), normal(stored)) {
			w.t.Errorf("set %d is %v, want %v", d.ACL, a, stored)
		}
	}
	for id := range got {
		if _, ok := want[id]; !ok {
			w.t.Errorf("document %s is not there, or may not leave", id)
		}
	}
	w.wantMembers(s)
	return w.wantSameEyes(s)
}

// normal sorts an ACL's principals.
func normal(a acl) acl {
	for _, list := range append(a.AllOf, a.Deny) {
		slices.Sort(list)
	}
	return a
}

// leaves is true of connections that the key lists and that may be read.
const leaves = `c.name IN ('wiki', 'drive') AND c.state <> 'closing' AND NOT (c.at_expiry = 'hide' AND c.expires_at IS NOT NULL AND c.expires_at <= clock())`

func (w *world) stored() map[string]wantDocument {
	w.t.Helper()
	rows, err := w.db.Owner.Query(w.t.Context(), `
		SELECT d.id::text, d.connection_id::text, d.title, d.url, d.acl_set_id, u.id, u.s, u.e, k.text, encode(k.identity, 'hex')
		FROM document d JOIN connection c ON c.id = d.connection_id JOIN revision r ON r.document_id = d.id AND r.number = d.revision
		LEFT JOIN LATERAL unnest(r.chunk_ids, r.starts, r.ends) WITH ORDINALITY u(id, s, e, n) ON true
		LEFT JOIN chunk k ON k.document_id = d.id AND k.id = u.id
		WHERE d.hidden_reason IS NULL AND `+leaves+` ORDER BY d.id, u.n`)
	if err != nil {
		w.t.Fatal(err)
	}
	out := map[string]wantDocument{}
	var id string
	var d wantDocument
	var number, start, end *int
	var text, hash *string
	_, err = pgx.ForEachRow(rows, []any{&id, &d.Connection, &d.Title, &d.URL, &d.ACL, &number, &start, &end, &text, &hash}, func() error {
		x, ok := out[id]
		if !ok {
			x = d
		}
		if number != nil {
			x.Places = append(x.Places, place{fmt.Sprint(id, ":", *number), *start, *end})
			x.Texts, x.Hashes = append(x.Texts, *text), append(x.Hashes, *hash)
		}
		out[id] = x
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

func (w *world) storedACL(id int64) acl {
	w.t.Helper()
	a := acl{AllOf: [][]int64{}, Deny: []int64{}}
	rows, err := w.db.Owner.Query(w.t.Context(), `SELECT clause, principal_id FROM acl_entry WHERE set_id = $1 ORDER BY clause, principal_id`, id)
	if err != nil {
		w.t.Fatal(err)
	}
	var clause int
	var principal int64
	_, err = pgx.ForEachRow(rows, []any{&clause, &principal}, func() error {
		if clause == 0 {
			a.Deny = append(a.Deny, principal)
			return nil
		}
		for len(a.AllOf) < clause {
			a.AllOf = append(a.AllOf, nil)
		}
		a.AllOf[clause-1] = append(a.AllOf[clause-1], principal)
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

func (w *world) wantMembers(s *state) {
	w.t.Helper()
	rows, err := w.db.Owner.Query(w.t.Context(), `SELECT m.connection_id::text, m.member_id, m.group_id FROM membership m JOIN connection c ON c.id = m.connection_id WHERE `+leaves)
	if err != nil {
		w.t.Fatal(err)
	}
	want := map[string]map[[2]int64]bool{}
	var conn string
	var pair [2]int64
	_, err = pgx.ForEachRow(rows, []any{&conn, &pair[0], &pair[1]}, func() error {
		if want[conn] == nil {
			want[conn] = map[[2]int64]bool{}
		}
		want[conn][pair] = true
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	got := map[string]map[[2]int64]bool{}
	for c, m := range s.Members {
		got[c] = map[[2]int64]bool{}
		for p := range m {
			got[c][p] = true
		}
	}
	if !reflect.DeepEqual(got, want) {
		w.t.Errorf("memberships are\n%v, want\n%v", got, want)
	}
}

// wantSameEyes compares what each reader sees downstream with what it sees here.
func (w *world) wantSameEyes(s *state) int {
	w.t.Helper()
	c := &client{base: w.url, key: w.key, http: &http.Client{Timeout: time.Minute}}
	n := 0
	for _, reader := range w.readers {
		held, err := principals(w.t.Context(), c, reader.String())
		if err != nil {
			w.t.Fatal(err)
		}
		want := w.seenBy(reader)
		if got := s.visible(held); !slices.Equal(got, want) {
			w.t.Errorf("reader %s sees %v downstream, and %v here", reader, got, want)
		}
		n += len(want)
		for conn, ids := range held {
			for p := range s.Members[conn] {
				if ids[p[0]] && !ids[p[1]] {
					w.t.Errorf("reader %s holds %d and not its group %d", reader, p[0], p[1])
				}
			}
		}
	}
	return n
}

// seenBy asks the query path.
func (w *world) seenBy(reader uuid.UUID) []string {
	w.t.Helper()
	out := []string{}
	err := pgx.BeginFunc(w.t.Context(), w.db.Pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(w.t.Context(), `SELECT set_config('tributary.reader', $1, true)`, reader.String())
		if err != nil {
			return err
		}
		rows, err := tx.Query(w.t.Context(), `SELECT document_id::text FROM tributary.visible_list('{"connection": ["wiki", "drive"]}', NULL, 1000) ORDER BY 1`)
		if err == nil {
			out, err = pgx.CollectRows(rows, pgx.RowTo[string])
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	slices.Sort(out)
	if len(out) == 0 {
		return nil
	}
	return out
}

// TestJournalSurvivesAnyCut: a journal that ends anywhere gives the state after
// its last whole page.
func TestJournalSurvivesAnyCut(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "journal")
	j, s, err := openJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	ends, cursors := []int64{0}, []string{""}
	for i := range 6 {
		p := page{Cursor: fmt.Sprint("c", i), Connections: []connection{{ID: "x"}}, Events: []event{{Event: "document.upsert", ConnectionID: "x", DocumentID: fmt.Sprint(i)}}}
		if err := j.add(p); err != nil {
			t.Fatal(err)
		}
		s.apply(p)
		ends, cursors = append(ends, j.size), append(cursors, p.Cursor)
	}
	j.base = -compactAt
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range len(data) + 1 {
		short := filepath.Join(t.TempDir(), "short")
		if err := os.WriteFile(short, data[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		k, got, err := openJournal(short)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for n+1 < len(ends) && ends[n+1] <= int64(cut) {
			n++
		}
		if got.Cursor != cursors[n] || len(got.Documents) != n || k.size != ends[n] {
			t.Fatalf("cut at %d: %q with %d documents, want %q", cut, got.Cursor, len(got.Documents), cursors[n])
		}
		err = k.add(page{Cursor: "next"})
		_ = k.file.Close()
		if k, got, err2 := openJournal(short); errors.Join(err, err2) != nil || got.Cursor != "next" || k.file.Close() != nil {
			t.Fatalf("cut at %d and continued: %q, %v, %v", cut, got.Cursor, err, err2)
		}
	}
	if err := j.compact(s); err != nil {
		t.Fatal(err)
	}
	k, got, err := openJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	a, _ := json.Marshal(s)   //nolint:errchkjson // compared
	b, _ := json.Marshal(got) //nolint:errchkjson // compared
	if string(a) != string(b) || k.size >= ends[6]*2 {
		t.Errorf("compacted: %s, want %s", b, a)
	}
	_, _ = k.file.Close(), j.file.Close()
}
