package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/connectors"
	"tributary/internal/audit"
)

// Bounds of an explanation: how many principals of a clause are named, and how
// far the people of a group are counted.
const (
	explainNames  = 20
	explainPeople = 10_000
)

// WhyNot says why a reader may not read a document.
type WhyNot string

// The reasons.
const (
	WhyReaderDisabled    WhyNot = "reader_disabled"
	WhyReaderUnlinked    WhyNot = "reader_unlinked"
	WhyKeyEnded          WhyNot = "key_ended"
	WhyKeyReader         WhyNot = "key_reader"
	WhyKeyConnection     WhyNot = "key_connection"
	WhyConnectionClosing WhyNot = "connection_closing"
	WhyConnectionExpired WhyNot = "connection_expired"
	WhyConnectionNew     WhyNot = "connection_new"
	WhyPermissionsOld    WhyNot = "permissions_too_old"
	WhyHidden            WhyNot = "document_hidden"
	WhyUnknown           WhyNot = "acl_unknown"
	WhyDenied            WhyNot = "denied"
	WhyClause            WhyNot = "clause_unmet"
)

// ExplainRequest asks why. Reader is a name or an id, Document an id, or a
// connection's name, a colon and the source's own id. Key, by name or id,
// narrows what the reader sees; a key of its own needs no Reader.
type ExplainRequest struct {
	Reader   string
	Key      string
	Document string
}

// Explanation says whether a reader may read a document, and why. Visible is
// the answer of the query path itself; Reasons is empty exactly where it is true.
type Explanation struct {
	Visible    bool                `json:"visible"`
	Reasons    []ExplainedReason   `json:"reasons"`
	At         time.Time           `json:"at"`
	Reader     *ExplainedReader    `json:"reader"`
	Key        *ExplainedKey       `json:"key"`
	Document   ExplainedDocument   `json:"document"`
	Connection ExplainedConnection `json:"connection"`
	Clauses    []ExplainedClause   `json:"clauses"`
	Denials    []ExplainedPath     `json:"denials"`
	Links      []ExplainedLink     `json:"links"`
}

// ExplainedReason is one reason, in words and with the remedy.
type ExplainedReason struct {
	Code   WhyNot `json:"code"`
	Detail string `json:"detail"`
	Remedy string `json:"remedy"`
}

// ExplainedReader is the reader that was asked about.
type ExplainedReader struct {
	ID       uuid.UUID `json:"id"`
	Name     string    `json:"name"`
	Disabled bool      `json:"disabled"`
}

// ExplainedKey is the key that was asked about.
type ExplainedKey struct {
	ID    uuid.UUID `json:"id"`
	Name  string    `json:"name"`
	Mode  string    `json:"mode"`
	Ended bool      `json:"ended"`
	// Allows says that the key may ask the document's connection.
	Allows bool `json:"allows_connection"`
}

// ExplainedDocument is a document as an admin may see it: without its text.
type ExplainedDocument struct {
	ID         uuid.UUID `json:"id"`
	ExternalID string    `json:"external_id"`
	Title      string    `json:"title"`
	Path       string    `json:"path"`
	Hidden     string    `json:"hidden_reason,omitempty"`
	// ACLVersion orders permission evidence. ACLRun is the run that read it, nil
	// where it is no longer kept or cannot be told.
	ACLVersion int64         `json:"acl_version"`
	ACLRun     *ExplainedRun `json:"acl_run"`
}

// ExplainedConnection is a connection's side of the answer. Stale says that
// permissions are older than twice Interval, TooOld that they are older than
// MaxAge and so hide every document.
type ExplainedConnection struct {
	ID              uuid.UUID  `json:"id"`
	Name            string     `json:"name"`
	Source          string     `json:"source"`
	State           string     `json:"state"`
	Expired         bool       `json:"expired"`
	PermissionsAsOf *time.Time `json:"permissions_as_of"`
	AgeSeconds      int64      `json:"permissions_age_seconds"`
	Interval        int64      `json:"permissions_interval_seconds"`
	MaxAge          int64      `json:"max_permission_age_seconds"`
	Stale           bool       `json:"stale"`
	TooOld          bool       `json:"too_old"`
	// MembershipRun is the run that last read the groups whole.
	MembershipRun *ExplainedRun `json:"membership_run"`
}

// ExplainedRun names a run.
type ExplainedRun struct {
	ID        uuid.UUID  `json:"id"`
	Kind      string     `json:"kind"`
	StartedAt *time.Time `json:"started_at"`
}

// ExplainedPrincipal is a principal by its names. People, of a group, is how
// many accounts it holds, those of its groups included.
type ExplainedPrincipal struct {
	id     int64
	Kind   connectors.PrincipalKind `json:"kind"`
	ID     string                   `json:"id"`
	Name   string                   `json:"name,omitempty"`
	People *int                     `json:"people,omitempty"`
}

// ExplainedClause is one clause of the ACL, numbered from 1. Path is how the
// reader meets it. Names are who would, the first few of Count.
type ExplainedClause struct {
	Number int                  `json:"number"`
	Met    bool                 `json:"met"`
	Path   *ExplainedPath       `json:"path"`
	Names  []ExplainedPrincipal `json:"names"`
	Count  int                  `json:"count"`
}

// ExplainedPath leads from a principal that the ACL names, over the groups that
// hold each other, to one that the reader is. How says what made that so.
type ExplainedPath struct {
	Steps []ExplainedPrincipal `json:"steps"`
	How   string               `json:"how"`
}

// ExplainedLink is who the reader is in the document's realm.
type ExplainedLink struct {
	ExplainedPrincipal
	How string `json:"how"`
}

// Explain says why a reader, or a key, may or may not read a document, and
// records events before it does. What does not exist is an *InputError.
func (s *Store) Explain(ctx context.Context, req ExplainRequest, events ...audit.Event) (Explanation, error) {
	x := &explainer{}
	if err := x.ask(ctx, s, req); err != nil {
		return Explanation{}, err
	}
	err := s.asIdentity(ctx, "explaining", x.who, nil, func(tx pgx.Tx) error {
		x.tx = tx
		if err := x.facts(ctx, req.Document); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM tributary.document($1))`, x.out.Document.ID).Scan(&x.out.Visible); err != nil {
			return err
		}
		if err := x.climb(ctx); err != nil {
			return err
		}
		return x.clauses(ctx)
	})
	if err != nil {
		return Explanation{}, err
	}
	x.reasons()
	if err := s.recordExplained(ctx, x.out.Document.ID, events); err != nil {
		return Explanation{}, err
	}
	return x.out, nil
}

// recordExplained records events of an explanation, which is given only then.
func (s *Store) recordExplained(ctx context.Context, document uuid.UUID, events []audit.Event) error {
	return s.inTxErr(ctx, "recording explanation", func(tx pgx.Tx) error { return recordAll(ctx, tx, document.String(), events) })
}

// explainer gathers an explanation in one transaction of the query path.
type explainer struct {
	tx           pgx.Tx
	who          Identity
	out          Explanation
	keyReader    *uuid.UUID
	keyPrincipal *int64
	keyAll       bool
	keyConns     []uuid.UUID
	realm        *int64
	set          int64
	mask         int64
	held         map[int64]step
}

// step is how a principal came to be held: over the member from, or by itself.
type step struct {
	from int64
	how  string
}

// ask finds who is asked about.
func (x *explainer) ask(ctx context.Context, s *Store, req ExplainRequest) error {
	if req.Reader == "" && req.Key == "" {
		return &InputError{Field: "reader", Problem: "must be the name or the id of a reader"}
	}
	if req.Reader != "" {
		r, err := s.Reader(ctx, req.Reader)
		if errors.Is(err, ErrNotFound) {
			return &InputError{Field: "reader", Problem: "there is no such reader; the list of readers has their names"}
		}
		if err != nil {
			return err
		}
		x.who.reader = r.ID
		x.out.Reader = &ExplainedReader{ID: r.ID, Name: r.Name, Disabled: r.DisabledAt != nil}
	}
	if req.Key == "" {
		return nil
	}
	k := ExplainedKey{}
	err := s.pool.QueryRow(ctx, `
		SELECT id, name, mode, revoked_at IS NOT NULL OR coalesce(expires_at <= clock(), false), reader_id, principal_id, all_connections, connections
		FROM api_key WHERE name = $1 OR id::text = $1`, req.Key).
		Scan(&k.ID, &k.Name, &k.Mode, &k.Ended, &x.keyReader, &x.keyPrincipal, &x.keyAll, &x.keyConns)
	if errors.Is(err, pgx.ErrNoRows) {
		return &InputError{Field: "key", Problem: "there is no such key; the list of keys has their names"}
	}
	x.who.key, x.out.Key = k.ID, &k
	return translate("reading key", err)
}

// documentOf finds the document that ref names.
func documentOf(ctx context.Context, tx pgx.Tx, ref string) (uuid.UUID, error) {
	id, err := uuid.Parse(ref)
	if err == nil {
		err = tx.QueryRow(ctx, `SELECT id FROM document WHERE id = $1`, id).Scan(&id)
	} else {
		name, external, _ := strings.Cut(ref, ":")
		err = tx.QueryRow(ctx, `
			SELECT d.id FROM connection c JOIN document d ON d.connection_id = c.id WHERE c.name = $1 AND d.external_id = $2`, name, external).Scan(&id)
	}
	if errors.Is(err, pgx.ErrNoRows) {
		err = &InputError{Field: "document", Problem: "there is no such document: give its id, or the connection's name, a colon and the source's own id"}
	}
	return id, err
}

// facts reads what the predicate decides on.
func (x *explainer) facts(ctx context.Context, ref string) error {
	id, err := documentOf(ctx, x.tx, ref)
	if err != nil {
		return err
	}
	d, c := &x.out.Document, &x.out.Connection
	var aclRun, memberRun []byte
	err = x.tx.QueryRow(ctx, `
		SELECT clock(), d.id, d.external_id, d.title, d.path, coalesce(d.hidden_reason, ''), d.acl_version, d.acl_set_id, coalesce(s.need_mask, 0),
			c.id, c.name, c.source, c.state, c.at_expiry = 'hide' AND coalesce(c.expires_at <= clock(), false), c.realm_id, c.permissions_as_of,
			coalesce(extract(epoch FROM clock() - c.permissions_as_of), 0)::bigint, coalesce(extract(epoch FROM p.every), 0)::bigint,
			extract(epoch FROM c.max_permission_age)::bigint, coalesce(c.permissions_as_of < clock() - 2 * p.every, false),
			NOT coalesce(c.permissions_as_of > clock() - c.max_permission_age, false),
			(SELECT jsonb_build_object('id', r.id, 'kind', r.kind, 'started_at', r.started_at) FROM sync_run r
			 WHERE r.connection_id = c.id AND (r.acl_version = d.acl_version OR r.acl_version > d.acl_version AND r.id = v.run_id)
			 ORDER BY r.acl_version LIMIT 1),
			(SELECT jsonb_build_object('id', r.id, 'kind', r.kind, 'started_at', r.started_at) FROM sync_run r
			 WHERE r.connection_id = c.id AND r.started_at = c.permissions_as_of ORDER BY r.lane DESC, r.acl_version DESC LIMIT 1)
		FROM document d JOIN connection c ON c.id = d.connection_id
		LEFT JOIN acl_set s ON s.id = d.acl_set_id
		LEFT JOIN revision v ON v.document_id = d.id AND v.number = d.revision
		LEFT JOIN schedule p ON p.connection_id = c.id AND p.lane = 'permissions'
		WHERE d.id = $1`, id).
		Scan(&x.out.At, &d.ID, &d.ExternalID, &d.Title, &d.Path, &d.Hidden, &d.ACLVersion, &x.set, &x.mask,
			&c.ID, &c.Name, &c.Source, &c.State, &c.Expired, &x.realm, &c.PermissionsAsOf, &c.AgeSeconds, &c.Interval, &c.MaxAge, &c.Stale, &c.TooOld,
			&aclRun, &memberRun)
	if err != nil {
		return err
	}
	if d.ACLRun, err = explainedRun(aclRun); err != nil {
		return err
	}
	c.MembershipRun, err = explainedRun(memberRun)
	return err
}

// reasons are why not, in the order in which an admin would mend them.
func (x *explainer) reasons() {
	x.out.Reasons = []ExplainedReason{}
	because := func(is bool, code WhyNot, remedy, format string, args ...any) {
		if is {
			x.out.Reasons = append(x.out.Reasons, ExplainedReason{Code: code, Detail: fmt.Sprintf(format, args...), Remedy: remedy})
		}
	}
	d, c := x.out.Document, x.out.Connection
	if r := x.out.Reader; r != nil {
		because(r.Disabled, WhyReaderDisabled, "enable the reader", "the reader %s is disabled", r.Name)
	}
	if k := x.out.Key; k != nil {
		because(k.Ended, WhyKeyEnded, "make another key", "the key %s was revoked or has expired", k.Name)
		because(x.wrongReader(), WhyKeyReader, "ask with a key of this reader", "the key %s does not speak for this reader", k.Name)
		because(!k.Allows, WhyKeyConnection, "make a key that may ask this connection", "the key %s may not ask the connection %s", k.Name, c.Name)
	}
	because(c.State == "closing", WhyConnectionClosing, "none: it is being deleted", "the connection %s is being deleted", c.Name)
	because(c.Expired, WhyConnectionExpired, "set another expiry", "the connection %s has expired", c.Name)
	because(x.realm == nil, WhyConnectionNew, "sync the connection once", "the connection %s does not know its realm yet", c.Name)
	because(c.TooOld, WhyPermissionsOld, "see why the permissions runs of the connection fail",
		"the permissions of %s are older than %s", c.Name, time.Duration(c.MaxAge)*time.Second)
	because(d.Hidden != "", WhyHidden, "see the deletions and the quarantine of the connection", "the document is hidden: %s", d.Hidden)
	because(x.mask <= 0, WhyUnknown, "see why the source does not say who may read it, and sync again", "who may read the document is not known")
	because(len(x.out.Denials) > 0, WhyDenied, "end the denial at the source", "the source denies it to the reader")
	unmet := 0
	for _, k := range x.out.Clauses {
		if !k.Met {
			unmet++
			because(true, WhyClause, "share it at the source with the reader, or add the reader to one of the groups",
				"clause %d of %d is not met: the reader is none of the %d it names", k.Number, len(x.out.Clauses), k.Count)
		}
	}
	because(unmet > 0 && len(x.out.Links) == 0, WhyReaderUnlinked, "link the reader to its account: tributary readers link", "the reader is nobody at %s", c.Name)
}

// wrongReader says that a key does not go with who asks.
func (x *explainer) wrongReader() bool {
	switch x.out.Key.Mode {
	case "bound":
		return x.keyReader == nil || *x.keyReader != x.who.reader
	case "own":
		return x.who.reader != uuid.Nil
	default:
		return x.who.reader == uuid.Nil
	}
}
