package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/connectors"
	"tributary/internal/audit"
)

// ReaderKind says what a reader is.
type ReaderKind string

// The kinds of readers.
const (
	Person      ReaderKind = "person"
	Application ReaderKind = "application"
)

// Reader is the person or application for whom questions are asked.
type Reader struct {
	ID         uuid.UUID    `json:"id"`
	Name       string       `json:"name"`
	Kind       ReaderKind   `json:"kind"`
	DisabledAt *time.Time   `json:"disabled_at,omitempty"`
	CreatedAt  time.Time    `json:"created_at"`
	Links      []ReaderLink `json:"links"`
	// Identities are who the reader is to identity providers, Emails the
	// addresses that map it where mapping by e-mail is on.
	Identities []ReaderIdentity `json:"identities"`
	Emails     []string         `json:"emails"`
}

// ReaderLink is a principal that was confirmed to be the reader.
type ReaderLink struct {
	PrincipalID int64                    `json:"-"`
	RealmID     int64                    `json:"-"`
	Source      string                   `json:"source"`
	Realm       string                   `json:"realm"`
	Kind        connectors.PrincipalKind `json:"kind"`
	ExternalID  string                   `json:"id"`
	Name        string                   `json:"name,omitempty"`
	How         string                   `json:"how"`
	// At is when it was confirmed.
	At time.Time `json:"-"`
}

// LinkHow says what confirmed a link.
type LinkHow string

// The ways in which a link is confirmed.
const (
	LinkManual  LinkHow = "manual"
	LinkSetup   LinkHow = "setup"
	LinkConsent LinkHow = "consent"
	LinkEmail   LinkHow = "email"
	LinkImport  LinkHow = "import"
)

const maxReaderName = 200

// NewReader describes a reader to make.
type NewReader struct {
	Name       string
	Kind       ReaderKind
	Identities []ReaderIdentity
	Emails     []string
}

func (n NewReader) validate() error {
	if n.Name == "" || len(n.Name) > maxReaderName || !storableText(n.Name) {
		return &InputError{Field: "name", Problem: fmt.Sprintf("must have 1 to %d bytes", maxReaderName)}
	}
	if _, err := uuid.Parse(n.Name); err == nil {
		return &InputError{Field: "name", Problem: "must not look like an id"}
	}
	if n.Kind != Person && n.Kind != Application {
		return &InputError{Field: "kind", Problem: "must be person or application"}
	}
	for _, i := range n.Identities {
		if err := i.validate(); err != nil {
			return err
		}
	}
	for _, e := range n.Emails {
		if _, ok := NormalEmail(e); !ok {
			return badEmail("email")
		}
	}
	return nil
}

// CreateReader makes a reader without links, and records events with it. A name
// that is taken is ErrConflict.
func (s *Store) CreateReader(ctx context.Context, name string, kind ReaderKind, events ...audit.Event) (Reader, error) {
	return s.MakeReader(ctx, NewReader{Name: name, Kind: kind}, events...)
}

// MakeReader makes a reader whom its identities name and its addresses map, and
// records events with it. A name or an identity that is taken is ErrConflict.
func (s *Store) MakeReader(ctx context.Context, n NewReader, events ...audit.Event) (Reader, error) {
	if err := n.validate(); err != nil {
		return Reader{}, err
	}
	var id uuid.UUID
	err := s.inTxErr(ctx, "creating reader", func(tx pgx.Tx) error {
		if len(n.Emails) > 0 {
			if err := lockEmails(ctx, tx); err != nil {
				return err
			}
		}
		err := tx.QueryRow(ctx, `INSERT INTO reader (name, kind) VALUES ($1, $2) RETURNING id`, n.Name, n.Kind).Scan(&id)
		if pgCode(err) == stateUniqueViolation {
			return fmt.Errorf("a reader named %q exists: %w", n.Name, ErrConflict)
		}
		if err != nil {
			return err
		}
		for _, i := range n.Identities {
			if err := addIdentity(ctx, tx, id, i); err != nil {
				return err
			}
		}
		if err := addEmails(ctx, tx, id, n.Emails); err != nil {
			return err
		}
		return recordAll(ctx, tx, id.String(), events)
	})
	if err != nil {
		return Reader{}, err
	}
	return s.Reader(ctx, id.String())
}

// addEmails gives a reader addresses, and maps anew if there are any.
func addEmails(ctx context.Context, tx pgx.Tx, reader uuid.UUID, emails []string) error {
	all := make([]string, len(emails))
	for i, e := range emails {
		normal, _ := NormalEmail(e)
		all[i] = normal
		if _, err := tx.Exec(ctx, `INSERT INTO reader_email (reader_id, email, how) VALUES ($1, $2, 'manual') ON CONFLICT DO NOTHING`, reader, normal); err != nil {
			return err
		}
	}
	if len(emails) == 0 {
		return nil
	}
	_, err := mapEmails(ctx, tx, all, nil)
	return err
}

// ListReaders lists every reader by name, with links.
func (s *Store) ListReaders(ctx context.Context) ([]Reader, error) {
	return s.readers(ctx, `true`)
}

// Reader returns the reader with that id or name, or ErrNotFound.
func (s *Store) Reader(ctx context.Context, nameOrID string) (Reader, error) {
	where, arg := `r.name = $1`, any(nameOrID)
	if id, err := uuid.Parse(nameOrID); err == nil {
		where, arg = `r.id = $1`, id
	}
	list, err := s.readers(ctx, where, arg)
	if err != nil {
		return Reader{}, err
	}
	if len(list) == 0 {
		return Reader{}, fmt.Errorf("reader %q: %w", nameOrID, ErrNotFound)
	}
	return list[0], nil
}

func (s *Store) readers(ctx context.Context, where string, args ...any) ([]Reader, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT r.id, r.name, r.kind, r.disabled_at, r.created_at,
		       (SELECT jsonb_agg(jsonb_build_object('issuer', i.issuer, 'subject', i.subject) ORDER BY i.issuer, i.subject) FROM reader_identity i WHERE i.reader_id = r.id),
		       ARRAY(SELECT e.email FROM reader_email e WHERE e.reader_id = r.id ORDER BY e.email),
		       p.id, m.id, m.source, m.external_id, p.kind, p.external_id, p.name, l.how, l.created_at
		FROM reader r
		LEFT JOIN (reader_principal l JOIN principal p ON p.id = l.principal_id JOIN realm m ON m.id = p.realm_id) ON l.reader_id = r.id
		WHERE `+where+` ORDER BY r.name, m.source, m.external_id, p.kind, p.external_id`, args...)
	if err != nil {
		return nil, translate("listing readers", err)
	}
	list := []Reader{}
	var r Reader
	var id, realmID *int64
	var identities []byte
	var source, realm, kind, external, name, how *string
	var at *time.Time
	_, err = pgx.ForEachRow(rows, []any{&r.ID, &r.Name, &r.Kind, &r.DisabledAt, &r.CreatedAt, &identities, &r.Emails, &id, &realmID, &source, &realm, &kind, &external, &name, &how, &at}, func() error {
		if len(list) == 0 || list[len(list)-1].ID != r.ID {
			r.Links, r.Identities = []ReaderLink{}, []ReaderIdentity{}
			if identities != nil {
				if err := json.Unmarshal(identities, &r.Identities); err != nil {
					return err
				}
			}
			list = append(list, r)
			r.Emails = nil
		}
		if id != nil {
			last := &list[len(list)-1]
			last.Links = append(last.Links, ReaderLink{
				PrincipalID: *id, RealmID: *realmID, Source: *source, Realm: *realm, Kind: connectors.PrincipalKind(*kind), ExternalID: *external, Name: *name, How: *how, At: *at,
			})
		}
		return nil
	})
	if err != nil {
		return nil, translate("listing readers", err)
	}
	return list, nil
}

// LinkReader stores that the reader is this principal of the realm of a
// connection, and records events with it. A link that stands keeps how it was
// confirmed; one by e-mail becomes this one, and so outlives the address.
func (s *Store) LinkReader(ctx context.Context, reader uuid.UUID, p PrincipalIn, how LinkHow, events ...audit.Event) error {
	if err := (connectors.ACL{AllOf: [][]connectors.Principal{{p.Principal}}}).Validate(); err != nil {
		return &InputError{Field: "principal", Problem: "must have a kind and an id"}
	}
	return s.inTxErr(ctx, "linking reader", func(tx pgx.Tx) error {
		var realm *int64
		err := tx.QueryRow(ctx, `SELECT realm_id FROM connection WHERE id = $1`, p.Connection).Scan(&realm)
		if errors.Is(err, pgx.ErrNoRows) {
			return ErrNotFound
		}
		if err != nil {
			return err
		}
		if realm == nil {
			return &InputError{Field: "principal", Problem: "the connection does not know its realm yet; sync it once"}
		}
		ids, err := principalIDs(ctx, tx, *realm, []connectors.Principal{p.Principal})
		if err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `
			INSERT INTO reader_principal (reader_id, principal_id, how, created_at)
			SELECT id, $2, $3, clock() FROM reader WHERE id = $1
			ON CONFLICT (reader_id, principal_id) DO UPDATE
			SET how = CASE reader_principal.how WHEN 'email' THEN excluded.how ELSE reader_principal.how END`, reader, ids[0], how)
		if err == nil && tag.RowsAffected() == 0 {
			return ErrNotFound
		}
		if err != nil {
			return err
		}
		return recordAll(ctx, tx, reader.String(), events)
	})
}

// UnlinkReader removes a link, and records events with it; it takes effect with
// the next question. A link by e-mail ends only with what makes it: that is an
// *InputError. Where an address makes the link that was removed, it stands as
// one by e-mail.
func (s *Store) UnlinkReader(ctx context.Context, reader uuid.UUID, principal int64, events ...audit.Event) error {
	return s.inTxErr(ctx, "unlinking reader", func(tx pgx.Tx) error {
		if err := lockEmails(ctx, tx); err != nil {
			return err
		}
		var how LinkHow
		err := tx.QueryRow(ctx, `SELECT how FROM reader_principal WHERE reader_id = $1 AND principal_id = $2 FOR UPDATE`, reader, principal).Scan(&how)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return ErrNotFound
		case err != nil:
			return err
		case how == LinkEmail:
			return &InputError{Field: "principal", Problem: "is linked by e-mail: remove the address from the reader, or turn mapping by e-mail off for the connection"}
		}
		if _, err := tx.Exec(ctx, `DELETE FROM reader_principal WHERE reader_id = $1 AND principal_id = $2`, reader, principal); err != nil {
			return err
		}
		if _, err := mapEmails(ctx, tx, []string{}, []int64{principal}); err != nil {
			return err
		}
		return recordAll(ctx, tx, reader.String(), events)
	})
}

// DisableReader ends what the reader and the reader's keys may see, at once, and
// records events with it.
func (s *Store) DisableReader(ctx context.Context, reader uuid.UUID, events ...audit.Event) error {
	return s.changeOne(ctx, "disabling reader", events, `UPDATE reader SET disabled_at = coalesce(disabled_at, clock()) WHERE id = $1`, reader)
}

// EnableReader undoes DisableReader, and records events with it.
func (s *Store) EnableReader(ctx context.Context, reader uuid.UUID, events ...audit.Event) error {
	return s.changeOne(ctx, "enabling reader", events, `UPDATE reader SET disabled_at = NULL WHERE id = $1`, reader)
}

// changeOne runs a statement that changes one row and records events with it, or
// returns ErrNotFound.
func (s *Store) changeOne(ctx context.Context, op string, events []audit.Event, sql string, args ...any) error {
	return s.inTxErr(ctx, op, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, sql, args...)
		if err == nil && tag.RowsAffected() == 0 {
			err = ErrNotFound
		}
		if err != nil {
			return err
		}
		return recordAll(ctx, tx, "", events)
	})
}
