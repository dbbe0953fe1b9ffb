package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// outboxStep bounds the rows of the feed that one transaction looks at.
const outboxStep = 100_000

// rest removes what is not keyed by a document alone.
func (x *eraser) rest(ctx context.Context) error {
	if err := x.forgetFeed(ctx); err != nil {
		return err
	}
	if x.e.Scope == EraseConnection {
		if err := x.forgetConnection(ctx); err != nil {
			return err
		}
	} else if err := x.forgetLate(ctx); err != nil {
		return err
	}
	if err := x.forgetACLs(ctx); err != nil {
		return err
	}
	return x.forgetPrincipals(ctx)
}

// forgetLate removes what a batch that was on its way has written beside
// documents that were purged meanwhile.
func (x *eraser) forgetLate(ctx context.Context) error {
	x.after = nil
	for {
		ids, err := x.nextItems(ctx)
		if err != nil || len(ids) == 0 {
			return err
		}
		err = x.step(ctx, "erasing", func(tx pgx.Tx, removed map[string]int64) error { return x.forgetDocuments(ctx, tx, ids, removed) })
		if err != nil {
			return err
		}
	}
}

// forgetFeed removes what the outbox feed said of the documents, except that
// they are gone: a consumer has to learn that.
func (x *eraser) forgetFeed(ctx context.Context) error {
	var last int64
	if err := x.s.pool.QueryRow(ctx, `SELECT coalesce(max(id), 0) FROM outbox`).Scan(&last); err != nil {
		return fmt.Errorf("reading outbox: %w", err)
	}
	for from := int64(0); from < last; from += outboxStep {
		err := x.step(ctx, "erasing the feed", func(tx pgx.Tx, removed map[string]int64) error {
			if x.e.Scope == EraseConnection {
				return removeRows(ctx, tx, removed, "outbox", `DELETE FROM outbox WHERE id > $1 AND id <= $2 AND kind <> 'purge' AND connection_id = $3`, from, from+outboxStep, x.e.ConnectionID)
			}
			return removeRows(ctx, tx, removed, "outbox", `
				DELETE FROM outbox WHERE id > $1 AND id <= $2 AND kind <> 'purge' AND document_id IN (SELECT document_id FROM erasure_item WHERE erasure_id = $3)`,
				from, from+outboxStep, x.e.ID)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// aclLock keeps sets that a batch is about to use from being removed: a batch
// holds it shared until it commits.
const aclLock int64 = 0x61636c5f73657473 // "acl_sets"

// forgetACLs removes the sets that no document has any more.
func (x *eraser) forgetACLs(ctx context.Context) error {
	for after := unknownACL; ; {
		var ids []int64
		rows, err := x.s.pool.Query(ctx, `
			SELECT id FROM acl_set s WHERE id > $1 AND NOT EXISTS (SELECT FROM document d WHERE d.acl_set_id = s.id) ORDER BY id LIMIT $2`, after, sweepBatch)
		if err == nil {
			ids, err = pgx.CollectRows(rows, pgx.RowTo[int64])
		}
		if err != nil {
			return fmt.Errorf("reading unused ACL sets: %w", err)
		}
		if len(ids) == 0 {
			x.s.acls.forget()
			return nil
		}
		after = ids[len(ids)-1]
		err = x.step(ctx, "erasing ACLs", func(tx pgx.Tx, removed map[string]int64) error {
			if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, aclLock); err != nil {
				return fmt.Errorf("locking ACL sets: %w", err)
			}
			err := removeRows(ctx, tx, removed, "acl_entry", `
				DELETE FROM acl_entry WHERE set_id = ANY($1) AND NOT EXISTS (SELECT FROM document d WHERE d.acl_set_id = set_id)`, ids)
			if err != nil {
				return err
			}
			return removeRows(ctx, tx, removed, "acl_set", `
				DELETE FROM acl_set s WHERE id = ANY($1) AND NOT EXISTS (SELECT FROM document d WHERE d.acl_set_id = s.id)`, ids)
		})
		if err != nil {
			return err
		}
	}
}

// forgetPrincipals removes the people and groups of the realm that nothing
// refers to. With the realm's last connection its links to readers go too.
func (x *eraser) forgetPrincipals(ctx context.Context) error {
	if x.e.Target.Realm == nil {
		return nil
	}
	realm, more := *x.e.Target.Realm, true
	for more {
		err := x.step(ctx, "erasing principals", func(tx pgx.Tx, removed map[string]int64) error {
			err := removeRows(ctx, tx, removed, "reader_principal", `
				DELETE FROM reader_principal l USING principal p WHERE p.id = l.principal_id AND p.realm_id = $1
				  AND NOT EXISTS (SELECT FROM connection c WHERE c.realm_id = $1)`, realm)
			if err != nil {
				return err
			}
			err = removeRows(ctx, tx, removed, "principal", `
				DELETE FROM principal WHERE id = ANY(ARRAY(SELECT p.id FROM principal p WHERE p.realm_id = $1
				  AND NOT EXISTS (SELECT FROM acl_entry e WHERE e.principal_id = p.id) AND NOT EXISTS (SELECT FROM reader_principal l WHERE l.principal_id = p.id)
				  AND NOT EXISTS (SELECT FROM membership m WHERE m.member_id = p.id) AND NOT EXISTS (SELECT FROM membership m WHERE m.group_id = p.id)
				  AND NOT EXISTS (SELECT FROM principal_email e WHERE e.principal_id = p.id)
				  AND NOT EXISTS (SELECT FROM api_key k WHERE k.principal_id = p.id) LIMIT $2))`, realm, eraseRows)
			more = removed["principal"] == eraseRows
			if err != nil || more {
				return err
			}
			return removeRows(ctx, tx, removed, "realm", `
				DELETE FROM realm r WHERE id = $1 AND NOT EXISTS (SELECT FROM connection c WHERE c.realm_id = r.id)
				  AND NOT EXISTS (SELECT FROM principal p WHERE p.realm_id = r.id)`, realm)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
