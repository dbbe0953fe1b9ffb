package store_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/pgvector/pgvector-go"
	"pgregory.net/rapid"

	"tributary/internal/oracle"
	"tributary/internal/pgtest"
	"tributary/store"
)

// firstRealm begins the ids that worlds choose, far from what the database
// numbers itself.
const firstRealm = 1000

// realms is how many realms worlds spread over.
const realms = 2

// genWorld draws small worlds in which every rule of visibility is near.
func genWorld() *rapid.Generator[oracle.World] {
	return rapid.Custom(func(t *rapid.T) oracle.World {
		var w oracle.World
		// rapid prefers small numbers: spread makes them equally likely, 0 stays.
		spread := func(name string, n int) int {
			return int(rapid.Uint64().Draw(t, name) * 0x9E3779B97F4A7C15 >> 33 % uint64(n))
		}
		often := func(name string, percent int) bool { return spread(name, 100) >= 100-percent }
		realm := func(name string) int { return []int{0, 0, 0, 0, 0, 1}[spread(name, 6)] }
		for range 1 + spread("connections", 3) {
			c := oracle.Connection{Realm: realm("connection realm"), Closing: often("closing", 5), TooOld: often("old", 5)}
			if often("no realm", 3) {
				c.Realm = -1
			}
			w.Connections = append(w.Connections, c)
		}
		for range 3 + spread("principals", 6) {
			w.Principals = append(w.Principals, oracle.Principal{Realm: realm("principal realm"), Public: often("public", 8)})
		}
		principals := func(name string, low, high int) []int {
			return rapid.SliceOfNDistinct(rapid.IntRange(0, len(w.Principals)-1), low, min(high, len(w.Principals)), rapid.ID[int]).Draw(t, name)
		}
		for range 2 + spread("memberships", 14) {
			m := oracle.Membership{Connection: spread("connection", len(w.Connections)), Member: spread("member", len(w.Principals)), Group: spread("group", len(w.Principals))}
			w.Memberships = append(w.Memberships, m)
		}
		for range 1 + spread("documents", 16) {
			d := oracle.Document{Connection: spread("connection", len(w.Connections)), Known: !often("unknown", 8), Hidden: often("hidden", 8)}
			clauses := []int{1, 1, 1, 1, 1, 2, 2, 3, 31, 32, 33, 40, 0}[spread("clauses", 13)]
			for range clauses {
				if clauses > 3 {
					// Many clauses are met only if each is likely to be.
					d.AllOf = append(d.AllOf, principals("clause", max(1, len(w.Principals)-2), len(w.Principals)))
				} else {
					d.AllOf = append(d.AllOf, principals("clause", []int{2, 2, 2, 2, 2, 1, 1, 1, 1, 0}[spread("least", 10)], 4))
				}
			}
			if often("deny", 15) {
				d.Deny = principals("denied", 1, 1)
			}
			w.Documents = append(w.Documents, d)
		}
		for range 3 {
			w.Readers = append(w.Readers, oracle.Reader{Links: principals("links", 1, 3), Disabled: often("disabled", 8)})
		}
		for range 3 {
			k := oracle.Key{Reader: spread("reader", 4) - 1, Own: -1, All: often("all", 40), Dead: often("dead", 12)}
			if k.Reader < 0 {
				k.Own = spread("own", len(w.Principals)+1) - 1
			}
			if !k.All {
				k.Connections = []int{spread("connection", len(w.Connections))}
			}
			w.Keys = append(w.Keys, k)
		}
		return w
	})
}

// askers are the identities that a world is asked with, possible and forged.
func askers(w oracle.World) []oracle.Asker {
	list := []oracle.Asker{
		{Reader: -1, Key: -1},
		{Reader: -1, Key: -1, Bare: true},
		{Reader: -1, Key: -1, Bare: true, Principals: []int{0, 1, 2}},
		{Reader: 0, Key: -1, Bare: true, Principals: []int{0}},
	}
	for r := range w.Readers {
		list = append(list, oracle.Asker{Reader: r, Key: -1})
	}
	for k, key := range w.Keys {
		list = append(list, oracle.Asker{Reader: key.Reader, Key: k})
	}
	return append(list, oracle.Asker{Reader: (w.Keys[0].Reader+2)%4 - 1, Key: 0})
}

// worldRows are the ids under which a world is stored.
type worldRows struct {
	connections, documents, readers, keys []uuid.UUID
	principals                            []int64
	profile                               int16
}

func (r worldRows) identity(a oracle.Asker) store.Identity {
	var reader, key uuid.UUID
	if a.Reader >= 0 {
		reader = r.readers[a.Reader]
	}
	if a.Key >= 0 {
		key = r.keys[a.Key]
	}
	ids := []int64{}
	for _, p := range a.Principals {
		ids = append(ids, r.principals[p])
	}
	return store.IdentityOf(reader, key, a.Bare, ids)
}

func newUUIDs(n int) []uuid.UUID {
	out := make([]uuid.UUID, n)
	for i := range out {
		out[i] = uuid.New()
	}
	return out
}

// dimensions of the vectors of test worlds.
const dimensions = 8

// newProfile makes an embedding profile with its table.
func newProfile(tb testing.TB, db *pgtest.DB) int16 {
	tb.Helper()
	id := pgtest.Scalar[int16](tb, db, `INSERT INTO embedding_profile (name, kind, model, dimensions, state) VALUES ('test', 'hashing', 'test', $1, 'active') RETURNING id`, dimensions)
	if _, err := db.Pool.Exec(context.Background(), `SELECT create_vector_table($1)`, id); err != nil {
		tb.Fatal(err)
	}
	return id
}

// storeWorld replaces everything stored by w. Every document has two chunks
// with the word common; the first has a vector, the second waits for one.
func storeWorld(ctx context.Context, pool poolLike, profile int16, w oracle.World) (worldRows, error) {
	r := worldRows{
		connections: newUUIDs(len(w.Connections)), documents: newUUIDs(len(w.Documents)), readers: newUUIDs(len(w.Readers)),
		keys: newUUIDs(len(w.Keys)), profile: profile,
	}
	b := &pgx.Batch{}
	for _, table := range []string{
		"api_key", "reader", "embed_todo", fmt.Sprintf("vec_%d", profile), "chunk", "revision", "document",
		"acl_entry", "acl_set WHERE id <> 0", "connection", "principal", "realm",
	} {
		b.Queue(`DELETE FROM ` + table)
	}
	now := time.Now()
	for i := range realms {
		b.Queue(`INSERT INTO realm (id, source, external_id) OVERRIDING SYSTEM VALUE VALUES ($1, 'test', $2)`, firstRealm+i, fmt.Sprint(i))
	}
	for i, p := range w.Principals {
		r.principals = append(r.principals, int64(firstRealm+i))
		kind := "group"
		if p.Public {
			kind = "public"
		}
		b.Queue(`INSERT INTO principal (id, realm_id, kind, external_id) OVERRIDING SYSTEM VALUE VALUES ($1, $2, $3, $4)`, r.principals[i], firstRealm+p.Realm, kind, fmt.Sprint(i))
	}
	for i, c := range w.Connections {
		var realm *int
		if c.Realm >= 0 {
			n := firstRealm + c.Realm
			realm = &n
		}
		state, asOf := "active", &now
		if c.Closing {
			state = "closing"
		}
		if old := now.Add(-25 * time.Hour); c.TooOld && i == 0 {
			asOf = &old
		} else if c.TooOld {
			asOf = nil
		}
		b.Queue(`INSERT INTO connection (id, name, source, realm_id, state, permissions_as_of) VALUES ($1, $2, 'test', $3, $4, $5)`,
			r.connections[i], fmt.Sprintf("c%d", i), realm, state, asOf)
	}
	for _, m := range w.Memberships {
		b.Queue(`INSERT INTO membership VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`, r.connections[m.Connection], r.principals[m.Member], r.principals[m.Group])
	}
	for i, d := range w.Documents {
		queueDocument(b, r, i, d)
	}
	queueReaders(b, r, w, now)
	return r, pool.SendBatch(ctx, b).Close()
}

// poolLike is a pool or a transaction.
type poolLike interface {
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

func queueReaders(b *pgx.Batch, r worldRows, w oracle.World, now time.Time) {
	for i, x := range w.Readers {
		var disabled *time.Time
		if x.Disabled {
			disabled = &now
		}
		b.Queue(`INSERT INTO reader (id, name, disabled_at) VALUES ($1, $2, $3)`, r.readers[i], fmt.Sprintf("r%d", i), disabled)
		for _, p := range x.Links {
			b.Queue(`INSERT INTO reader_principal (reader_id, principal_id, how) VALUES ($1, $2, 'manual')`, r.readers[i], r.principals[p])
		}
	}
	for i, k := range w.Keys {
		var reader *uuid.UUID
		var own *int64
		var expires, revoked *time.Time
		if k.Reader >= 0 {
			reader = &r.readers[k.Reader]
		}
		if k.Own >= 0 {
			own = &r.principals[k.Own]
		}
		if past := now.Add(-time.Second); k.Dead && i%2 == 0 {
			expires = &past
		} else if k.Dead {
			revoked = &past
		}
		conns := []uuid.UUID{}
		for _, c := range k.Connections {
			conns = append(conns, r.connections[c])
		}
		hash := sha256.Sum256(r.keys[i][:])
		b.Queue(`INSERT INTO api_key (id, name, secret_hash, hint, reader_id, principal_id, rights, all_connections, connections, expires_at, revoked_at, mode)
			VALUES ($1, $2, $3, '', $4, $5, '{search}', $6, $7, $8, $9, CASE WHEN $4::uuid IS NULL THEN 'own' ELSE 'bound' END)`, r.keys[i], fmt.Sprintf("k%d", i), hash[:], reader, own, k.All, conns, expires, revoked)
	}
}

// queueDocument stores document i. An ACL that is not known, or of more than
// 40 clauses, is set 0; an empty clause is a bit that no entry can set.
func queueDocument(b *pgx.Batch, r worldRows, i int, d oracle.Document) {
	set := int64(0)
	if d.Known && len(d.AllOf) <= 40 {
		set = int64(i + 1)
		mask := int64(1)<<(len(d.AllOf)+1) - 2
		hash := sha256.Sum256([]byte(strconv.Itoa(i)))
		b.Queue(`INSERT INTO acl_set (id, hash, need_mask) VALUES ($1, $2, $3)`, set, hash[:], mask)
		for n, clause := range append([][]int{d.Deny}, d.AllOf...) {
			for _, p := range clause {
				b.Queue(`INSERT INTO acl_entry VALUES ($1, $2, $3)`, set, r.principals[p], n)
			}
		}
	}
	var hidden *string
	if reasons := []string{"absent", "deleted", "refused", "quarantined"}; d.Hidden {
		hidden = &reasons[i%4]
	}
	queueText(b, r, i, d.Connection, set, hidden)
}

func queueText(b *pgx.Batch, r worldRows, i, connection int, set int64, hidden *string) {
	id := r.documents[i]
	hash := sha256.Sum256(id[:])
	first, second := fmt.Sprintf("# Heading%d\ncommon canary%d", i, i), fmt.Sprintf("common tail%d", i)
	text := first + "\n\n" + second
	b.Queue(`INSERT INTO document (id, connection_id, external_id, source_revision, content_hash, revision, title, url, path, container, kind,
			media_type, lang, author, metadata, acl_set_id, acl_version, hidden_reason, chunk_count, next_chunk_id, created_at, updated_at)
		VALUES ($1, $2, $3, '1', $4, 1, $5, '', $6, '', 'file', 'text/plain', $7, '', '{}', $8, 1, $9, 2, 3, now(), now())`,
		id, r.connections[connection], fmt.Sprint(i), hash[:], fmt.Sprintf("Title %d", i), fmt.Sprintf("dir%d/file%d.txt", i%2, i),
		[]string{"english", "simple"}[i%2], set, hidden)
	b.Queue(`INSERT INTO revision VALUES ($1, 1, '1', $2, $3, 'x', 'x', now(), $4, '{1,2}', $5, $6, $5, $6)`,
		id, hash[:], uuid.New(), text, []int{0, len(first) + 2}, []int{len(first), len(text)})
	for n, part := range []string{first, second} {
		b.Queue(`INSERT INTO chunk (document_id, id, identity, text, context, heading_path, tokens, lang) VALUES ($1, $2, $3, $4, $5, $6, 5, $7)`,
			id, n+1, hash[:], part, fmt.Sprintf("Heading%d", i), []string{fmt.Sprintf("Heading%d", i)}, []string{"english", "simple"}[i%2])
	}
	v := make([]float32, dimensions)
	v[i%dimensions], v[(i/dimensions)%dimensions] = 1, float32(i%5)/7+v[(i/dimensions)%dimensions]+0.1
	b.Queue(fmt.Sprintf(`INSERT INTO vec_%d VALUES ($1, 1, $2, $3)`, r.profile), id, hash[:], pgvector.NewHalfVector(v))
	b.Queue(`INSERT INTO embed_todo VALUES ($1, $2, 2, $3, 5, 0, now())`, r.profile, id, hash[:])
}
