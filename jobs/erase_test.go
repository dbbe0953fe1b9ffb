package jobs

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"

	"tributary/connectors/reference"
	"tributary/internal/pgtest"
	"tributary/store"
)

// secretWorld returns a world of n documents of which every tenth, from the
// first on, is to be erased. Everything about those says so.
func secretWorld(n int) (w *reference.World, secret []string) {
	w = reference.New()
	w.AddPeople("alice", "bob")
	for i := range n {
		it := reference.Item{
			ID: fmt.Sprintf("doc-%05d", i), Path: fmt.Sprintf("open/doc-%05d.md", i), Text: fmt.Sprintf("# Document %d\n\nIts text speaks of topic %d.\n", i, i%7),
			ACL: reference.Readers(reference.User("alice")),
		}
		if i%10 == 0 {
			it.ID, it.Path = fmt.Sprintf("canaryid%05d", i), fmt.Sprintf("secret/canarypath%05d.md", i)
			it.Title, it.Metadata = fmt.Sprintf("Canarytitle%05d", i), map[string]string{"k": fmt.Sprintf("canarymeta%05d", i)}
			it.Text = fmt.Sprintf("# Canaryheading%05d\n\nIt speaks of canaryword%05d and nobody may know.\n", i, i)
			it.ACL = reference.Readers(reference.User(fmt.Sprintf("canaryperson%05d", i)))
			secret = append(secret, it.ID)
		}
		w.PutItem(it)
	}
	return w, secret
}

// canaries fails where a row of any table still holds a word of what was
// erased.
func (e *engine) canaries() {
	e.t.Helper()
	hits, err := pgtest.FindSecrets(e.t.Context(), e.db.SuperURL, map[string]string{
		"id": "canaryid", "path": "canarypath", "title": "anarytitle", "metadata": "canarymeta", "text": "canaryword", "heading": "anaryheading", "person": "canaryperson",
	})
	if err != nil {
		e.t.Fatal(err)
	}
	if len(hits) > 0 {
		e.t.Errorf("%d rows hold words of what was erased: %.2000s", len(hits), strings.Join(hits, "\n"))
	}
}

// erase asks for an erasure and does it.
func (e *engine) erase(req store.EraseRequest) (store.Erasure, store.Receipt) {
	e.t.Helper()
	req.Connection = e.conn.ID
	asked, err := e.runner.RequestErasure(e.t.Context(), req, "ada")
	if err != nil {
		e.t.Fatal(err)
	}
	done, err := e.runner.EraseHere(e.t.Context(), asked.ID, nil)
	if err != nil {
		e.t.Fatal(err)
	}
	receipt, err := e.store.EraseReceipt(e.t.Context(), done.ID)
	if err != nil {
		e.t.Fatal(err)
	}
	if done.State != store.EraseDone || receipt.Hits != 0 {
		e.t.Errorf("erasure ended %s: %s; %+v", done.State, done.Error, receipt.Verified)
	}
	if err := receipt.Check(); err != nil {
		e.t.Error(err)
	}
	return done, receipt
}

// plant writes what a failing sync would have said of items to be erased, and
// of one that is not.
func (e *engine) plant() {
	e.t.Helper()
	for _, sql := range []string{
		`UPDATE sync_run SET error = 'reading secret/canarypath00000.md: broken' WHERE lane = 'content'`,
		`UPDATE sync_run SET error = 'reading open/doc-00001.md: broken', blocked = '[{"ID": "canaryid00010"}]' WHERE lane = 'permissions'`,
		`INSERT INTO run_event (run_id, level, code, message) SELECT id, 'error', 'item', 'Canarytitle00000 is broken' FROM sync_run`,
		`INSERT INTO run_item (run_id, op, connection_id, external_id, path, reason) SELECT id, 'refused', connection_id, 'canaryid00020', 'secret/canarypath00020.md', 'no' FROM sync_run`,
		`INSERT INTO notice (connection_id, code, severity, detail, remedy) SELECT id, 'item', 'error', 'canaryid00030 is broken', 'mend it' FROM connection`,
		`UPDATE connection SET state_reason = 'canaryid00040 is broken'`,
		`INSERT INTO quarantine (connection_id, external_id, path, source_revision, class, reason, run_id) SELECT connection_id, 'canaryid00050', 'secret/canarypath00050.md', '1', 'unknown', 'canaryid00050', id FROM sync_run LIMIT 1`,
		`INSERT INTO river.river_job (args, kind, max_attempts, state, finalized_at, errors) SELECT jsonb_build_object('run_id', id), 'sync_slice', 1, 'discarded', now(), ARRAY['{"error": "canaryid00000"}'::jsonb] FROM sync_run`,
	} {
		if _, err := e.db.Owner.Exec(e.t.Context(), sql); err != nil {
			e.t.Fatalf("%s: %v", sql, err)
		}
	}
}

// TestErasedDocumentsAreGoneAndStayAway, by id at the source, by our id and by
// selection, whatever lane looks next.
func TestErasedDocumentsAreGoneAndStayAway(t *testing.T) {
	t.Parallel()
	_, secret := secretWorld(60)
	for scope, request := range map[string]func(e *engine) store.EraseRequest{
		"ids at the source": func(*engine) store.EraseRequest {
			return store.EraseRequest{Scope: store.EraseDocument, Documents: secret}
		},
		"our ids": func(e *engine) store.EraseRequest {
			var ids []string
			for _, id := range secret {
				ids = append(ids, pgtest.Scalar[uuid.UUID](t, e.db, `SELECT id FROM document WHERE external_id = $1`, id).String())
			}
			return store.EraseRequest{Scope: store.EraseDocument, Documents: ids}
		},
		"pattern": func(*engine) store.EraseRequest {
			return store.EraseRequest{Scope: store.EraseSelection, Paths: []string{"secret/**"}}
		},
		"container": func(e *engine) store.EraseRequest {
			c := pgtest.Scalar[string](t, e.db, `SELECT container FROM document WHERE external_id = $1`, secret[0])
			return store.EraseRequest{Scope: store.EraseSelection, Containers: []string{c}}
		},
	} {
		t.Run(scope, func(t *testing.T) {
			t.Parallel()
			world, _ := secretWorld(60)
			e := newEngine(t, world)
			e.must(store.Permissions, store.RunSucceeded)
			e.must(store.Content, store.RunSucceeded)
			if n := len(e.documents()); n != 60 {
				t.Fatalf("%d documents", n)
			}
			e.plant()
			_, receipt := e.erase(request(e))
			if receipt.Removed["document"] != 6 || receipt.Removed["chunk"] < 6 || receipt.Removed["vec_1"] < 6 || receipt.Removed["acl_set"] != 6 || receipt.Items != 6 {
				t.Errorf("receipt counts %v of %d items", receipt.Removed, receipt.Items)
			}
			e.canaries()
			e.wantWhole()
			if said := pgtest.Scalar[string](t, e.db, `SELECT error FROM sync_run WHERE lane = 'permissions'`); said != "reading open/doc-00001.md: broken" {
				t.Errorf("of another document it says %q", said)
			}
			bodies := world.Counts().Bodies
			e.must(store.Permissions, store.RunSucceeded)
			run := e.must(store.Content, store.RunSucceeded)
			if _, err := e.db.Owner.Exec(t.Context(), `UPDATE connection SET feed_cursor = NULL`); err != nil {
				t.Fatal(err)
			}
			listed := e.must(store.Content, store.RunSucceeded)
			if run.Counts.Added != 0 || listed.Counts.Added != 0 || listed.Counts.Skipped != 6 || len(e.documents()) != 54 {
				t.Errorf("after the next runs: %d documents, added %d and %d, skipped %d", len(e.documents()), run.Counts.Added, listed.Counts.Added, listed.Counts.Skipped)
			}
			if n := world.Counts().Bodies - bodies; n != 0 {
				t.Errorf("%d bodies of erased documents were opened", n)
			}
			e.canaries()
			if n := pgtest.Scalar[int](t, e.db, `SELECT count(*)::int FROM outbox WHERE kind = 'purge'`); n != 6 {
				t.Errorf("the feed tells of %d purges", n)
			}
			if again, err := e.store.VerifyReceipt(t.Context(), receipt); err != nil || hitsOf(again) != 0 {
				t.Errorf("verified again: %v, %d hits", err, hitsOf(again))
			}
		})
	}
}

func hitsOf(list []store.VerifiedTable) (n int64) {
	for _, t := range list {
		n += t.Hits
	}
	return n
}
