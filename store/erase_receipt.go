package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/internal/audit"
)

// ReceiptVersion is the form of the receipts that this program writes.
const ReceiptVersion = 1

// Receipt says what was erased, and what a look through every table found
// afterwards. It holds no text of the source.
type Receipt struct {
	Version        int              `json:"version"`
	Erasure        uuid.UUID        `json:"erasure"`
	Scope          EraseScope       `json:"scope"`
	Connection     uuid.UUID        `json:"connection_id"`
	ConnectionName string           `json:"connection"`
	Source         string           `json:"source"`
	Target         EraseTarget      `json:"target"`
	RequestedBy    string           `json:"requested_by"`
	RequestedAt    time.Time        `json:"requested_at"`
	VerifiedAt     time.Time        `json:"verified_at"`
	Program        string           `json:"program"`
	Removed        map[string]int64 `json:"removed"`
	Grant          *ReceiptGrant    `json:"grant,omitempty"`
	// Items is how many were erased; ItemsSHA256 is over the hashes of their ids,
	// sorted, each followed by the document's own id.
	Items       int64           `json:"items"`
	ItemsSHA256 string          `json:"items_sha256"`
	Verified    []VerifiedTable `json:"verified"`
	Hits        int64           `json:"hits"`
	Storage     Cleaned         `json:"storage"`
	NotCovered  []string        `json:"not_covered"`
	// SHA256 is over this receipt without its list of items and this field. It
	// shows a change by accident; it is no signature.
	SHA256 string `json:"sha256"`
	// List stands in the file of a receipt: what `erase verify` looks for.
	List []ReceiptItem `json:"list,omitempty"`
}

// ReceiptGrant is what became of the grant of an erased connection.
type ReceiptGrant struct {
	ID     uuid.UUID `json:"id"`
	Shared bool      `json:"shared"`
	// Forgotten is true when no token of it is stored any more.
	Forgotten bool `json:"tokens_forgotten"`
	// AccountForgotten is true when it is not stored any more whose grant it was.
	AccountForgotten bool   `json:"account_forgotten,omitempty"`
	Note             string `json:"note"`
}

// ReceiptItem is an erased item: the hash of its id at the source, and the id
// that its document had here; uuid.Nil where it had none. Its text form is
// "hash:id".
type ReceiptItem struct {
	Hash     [sha256.Size]byte
	Document uuid.UUID
}

// MarshalText implements encoding.TextMarshaler.
func (i ReceiptItem) MarshalText() ([]byte, error) {
	return []byte(hex.EncodeToString(i.Hash[:]) + ":" + i.Document.String()), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (i *ReceiptItem) UnmarshalText(b []byte) error {
	hash, id, ok := strings.Cut(string(b), ":")
	raw, err := hex.DecodeString(hash)
	if !ok || err != nil || len(raw) != sha256.Size {
		return fmt.Errorf("reading item %.80q: must be a hash of 64 hexadecimal digits, a colon and an id", b)
	}
	if i.Document, err = uuid.Parse(id); err != nil {
		return fmt.Errorf("reading item %.80q: %w", b, err)
	}
	i.Hash = [sha256.Size]byte(raw)
	return nil
}

func itemsDigest(items []ReceiptItem) string {
	list := slices.SortedFunc(slices.Values(items), func(a, b ReceiptItem) int { return strings.Compare(string(a.Hash[:]), string(b.Hash[:])) })
	sum := sha256.New()
	for _, it := range list {
		_, _ = sum.Write(append(it.Hash[:], it.Document[:]...))
	}
	return hex.EncodeToString(sum.Sum(nil))
}

func (r Receipt) digest() string {
	r.SHA256, r.List = "", nil
	sum := sha256.Sum256(jsonOf(r))
	return hex.EncodeToString(sum[:])
}

// Check refuses a receipt that was changed, or whose list is not whole.
func (r Receipt) Check() error {
	switch {
	case r.Version != ReceiptVersion:
		return &InputError{Field: "version", Problem: fmt.Sprintf("is %d and this program reads %d: use the release that wrote the receipt", r.Version, ReceiptVersion)}
	case r.SHA256 != r.digest():
		return &InputError{Field: "sha256", Problem: "does not fit the receipt: it was changed after it was written"}
	case int64(len(r.List)) != r.Items || itemsDigest(r.List) != r.ItemsSHA256:
		return &InputError{Field: "list", Problem: "does not fit the receipt: take the file that `tributary erase --receipt` wrote"}
	}
	return nil
}

// EraseReceipt returns the receipt of a finished erasure with its list.
func (s *Store) EraseReceipt(ctx context.Context, id uuid.UUID) (Receipt, error) {
	var r Receipt
	e, err := s.Erasure(ctx, id)
	if err != nil {
		return r, err
	}
	if len(e.Receipt) == 0 {
		return r, fmt.Errorf("erasure %s is %s and has no receipt yet: %w", id, e.State, ErrConflict)
	}
	if err := json.Unmarshal(e.Receipt, &r); err != nil {
		return r, fmt.Errorf("reading receipt: %w", err)
	}
	r.List, err = s.erasedItems(ctx, id)
	return r, err
}

// VerifyReceipt looks through every table again for what a receipt is about.
func (s *Store) VerifyReceipt(ctx context.Context, r Receipt) ([]VerifiedTable, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	return s.verify(ctx, newErasedIDs(r.Connection, r.Scope, r.List))
}

func (s *Store) erasedItems(ctx context.Context, id uuid.UUID) ([]ReceiptItem, error) {
	rows, err := s.pool.Query(ctx, `SELECT id_hash, coalesce(document_id, '00000000-0000-0000-0000-000000000000') FROM erasure_item WHERE erasure_id = $1 ORDER BY id_hash`, id)
	if err != nil {
		return nil, fmt.Errorf("reading what was erased: %w", err)
	}
	var items []ReceiptItem
	var hash []byte
	var document uuid.UUID
	_, err = pgx.ForEachRow(rows, []any{&hash, &document}, func() error {
		items = append(items, ReceiptItem{Hash: [sha256.Size]byte(hash), Document: document})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading what was erased: %w", err)
	}
	return items, nil
}

// proveErased verifies, cleans the storage, and writes the receipt. An erasure
// that left something behind has failed, and its receipt says where.
func (s *Store) proveErased(ctx context.Context, e Erasure, opts EraseOptions) error {
	items, err := s.erasedItems(ctx, e.ID)
	if err != nil {
		return err
	}
	now, err := s.Erasure(ctx, e.ID)
	if err != nil {
		return err
	}
	r := Receipt{
		Version: ReceiptVersion, Erasure: e.ID, Scope: e.Scope, Connection: e.ConnectionID, ConnectionName: e.Connection, Source: e.Source, Target: e.Target,
		RequestedBy: e.RequestedBy, RequestedAt: e.RequestedAt, Program: opts.Program, Removed: now.Removed, Items: int64(len(items)), ItemsSHA256: itemsDigest(items),
	}
	if r.Storage, err = cleanAfter(ctx, now, opts); err != nil {
		return err
	}
	if r.Verified, err = s.verify(ctx, newErasedIDs(e.ConnectionID, e.Scope, items)); err != nil {
		return err
	}
	for _, t := range r.Verified {
		r.Hits += t.Hits
	}
	if r.Grant, err = s.grantAfter(ctx, e); err != nil {
		return err
	}
	if r.Grant != nil && r.Grant.Forgotten && !r.Grant.AccountForgotten && !r.Grant.Shared {
		r.Hits++
	}
	if r.VerifiedAt, err = s.Now(ctx); err != nil {
		return err
	}
	r.NotCovered = notCovered(r.Storage)
	r.SHA256 = r.digest()
	return s.finishErasure(ctx, e, r)
}

func cleanAfter(ctx context.Context, e Erasure, opts EraseOptions) (Cleaned, error) {
	if opts.Clean == nil {
		return Cleaned{Note: "the service may not vacuum: run `tributary erase vacuum`"}, nil
	}
	done, err := opts.Clean(ctx, CleanTables(e))
	if err != nil && ctx.Err() == nil {
		return Cleaned{Note: "cleaning failed: " + cleanText(err.Error()) + "; run `tributary erase vacuum`"}, nil
	}
	return done, err
}

// RecordCleaned writes into the receipt of an erasure that the storage was
// cleaned after it, and records events with it.
func (s *Store) RecordCleaned(ctx context.Context, id uuid.UUID, c Cleaned, events ...audit.Event) error {
	return s.inTxErr(ctx, "writing receipt", func(tx pgx.Tx) error {
		var r Receipt
		err := tx.QueryRow(ctx, `SELECT receipt FROM erasure WHERE id = $1 AND receipt IS NOT NULL FOR UPDATE`, id).Scan(&r)
		if errors.Is(err, pgx.ErrNoRows) {
			return fmt.Errorf("receipt of erasure %s: %w", id, ErrNotFound)
		}
		if err != nil {
			return fmt.Errorf("reading receipt: %w", err)
		}
		r.Storage, r.NotCovered = c, notCovered(c)
		r.SHA256 = r.digest()
		_, err = tx.Exec(ctx, `UPDATE erasure SET receipt = $2 WHERE id = $1`, id, jsonOf(r))
		if err != nil {
			return fmt.Errorf("writing receipt: %w", err)
		}
		return recordAll(ctx, tx, id.String(), events)
	})
}

// notCovered says where bytes of what was erased may still be.
func notCovered(c Cleaned) []string {
	list := []string{
		"backups, replicas, write-ahead log and log files that were written before",
		"what consumers of the outbox feed and readers have fetched before; the feed tells consumers what to delete",
		"the source itself",
	}
	switch {
	case !c.Done || c.HeldBack:
		return append(list, "dead rows, index entries and planner statistics, until PostgreSQL has vacuumed and analysed the tables: `tributary erase vacuum` does both now")
	case !c.Rewritten:
		return append(list, "free space within pages of the data files, until it is written over: `tributary erase vacuum --rewrite` rewrites the tables, which locks them")
	}
	return list
}

func (s *Store) grantAfter(ctx context.Context, e Erasure) (*ReceiptGrant, error) {
	if e.Target.Grant == nil {
		return nil, nil //nolint:nilnil // it had none
	}
	g := &ReceiptGrant{ID: *e.Target.Grant, Shared: e.Target.Shared}
	if g.Shared {
		g.Note = "other connections use the grant: it lives on"
		return g, nil
	}
	err := s.pool.QueryRow(ctx, `
		SELECT g.closed_at IS NOT NULL AND c.secret_ct IS NULL, g.account = '' AND g.subject = '' AND NOT g.params ?| '{act_for,installation_id}', g.close_note FROM oauth_grant g LEFT JOIN credential c ON c.grant_id = g.id WHERE g.id = $1`, g.ID).
		Scan(&g.Forgotten, &g.AccountForgotten, &g.Note)
	if errors.Is(err, pgx.ErrNoRows) {
		g.Forgotten, g.AccountForgotten = true, true
		return g, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading grant: %w", err)
	}
	if !g.Forgotten {
		g.Note = "being revoked at the provider: `tributary grants show` says when its tokens are gone, and its account is forgotten with them"
	}
	return g, nil
}

func (s *Store) finishErasure(ctx context.Context, e Erasure, r Receipt) error {
	state, problem := EraseDone, ""
	if r.Hits > 0 {
		state, problem = EraseFailed, fmt.Sprintf("%d rows still name what was erased: the receipt says in which tables", r.Hits)
	}
	return s.inTxErr(ctx, "finishing erasure", func(tx pgx.Tx) error {
		if err := holdErasure(ctx, tx, e); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `UPDATE erasure SET state = $2, worker = '', finished_at = clock(), error = $3, receipt = $4 WHERE id = $1`, e.ID, state, problem, jsonOf(r))
		if err != nil {
			return fmt.Errorf("writing receipt: %w", err)
		}
		event := audit.Event{
			Actor: audit.Actor{Kind: audit.System, Name: "erase"}, Action: "erasure.finish", Target: audit.Target{Kind: "erasure", ID: e.ID.String()}, Outcome: audit.OK,
			Detail: map[string]string{"scope": string(e.Scope), "connection": e.Connection, "items": strconv.FormatInt(r.Items, 10), "hits": strconv.FormatInt(r.Hits, 10), "receipt_sha256": r.SHA256},
		}
		if r.Hits > 0 {
			event.Outcome = audit.Failed
		}
		return recordEvent(ctx, tx, event)
	})
}
