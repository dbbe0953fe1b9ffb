package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/internal/audit"
)

// ReaderIdentity is who a reader is to an identity provider. Both parts are
// compared byte for byte (OpenID Connect Core 1.0 §5.7: iss and sub together,
// and nothing else, identify somebody).
type ReaderIdentity struct {
	Issuer  string `json:"issuer"`
	Subject string `json:"subject"`
}

// The longest parts of an identity; a subject has 255 characters at most
// (OpenID Connect Core 1.0 §2).
const (
	maxIssuer  = 1000
	maxSubject = 255
)

func (i ReaderIdentity) validate() error {
	switch {
	case i.Issuer == "" || len(i.Issuer) > maxIssuer || !storableText(i.Issuer):
		return &InputError{Field: "issuer", Problem: fmt.Sprintf("must have 1 to %d bytes, such as https://login.example.com", maxIssuer)}
	case i.Subject == "" || len(i.Subject) > maxSubject || !storableText(i.Subject):
		return &InputError{Field: "subject", Problem: fmt.Sprintf("must have 1 to %d bytes", maxSubject)}
	}
	return nil
}

// ReaderByIdentity returns the reader whom an identity provider names, disabled
// or not, or ErrNotFound.
func (s *Store) ReaderByIdentity(ctx context.Context, issuer, subject string) (uuid.UUID, error) {
	var id uuid.UUID
	if (ReaderIdentity{issuer, subject}).validate() != nil {
		return id, fmt.Errorf("reading identity: %w", ErrNotFound)
	}
	err := s.pool.QueryRow(ctx, `SELECT reader_id FROM reader_identity WHERE issuer = $1 AND subject = $2`, issuer, subject).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		err = ErrNotFound
	}
	return id, translate("reading identity", err)
}

// AddReaderIdentity says who the reader is to an identity provider, and records
// events with it; one that stands is no error. Somebody else's is ErrConflict.
func (s *Store) AddReaderIdentity(ctx context.Context, reader uuid.UUID, i ReaderIdentity, events ...audit.Event) error {
	if err := i.validate(); err != nil {
		return err
	}
	return s.inTxErr(ctx, "adding identity", func(tx pgx.Tx) error {
		if err := addIdentity(ctx, tx, reader, i); err != nil {
			return err
		}
		return recordAll(ctx, tx, reader.String(), events)
	})
}

func addIdentity(ctx context.Context, tx pgx.Tx, reader uuid.UUID, i ReaderIdentity) error {
	var whose uuid.UUID
	err := tx.QueryRow(ctx, `
		INSERT INTO reader_identity AS i (issuer, subject, reader_id, how) SELECT $2, $3, id, 'manual' FROM reader WHERE id = $1
		ON CONFLICT (issuer, subject) DO UPDATE SET how = i.how RETURNING reader_id`, reader, i.Issuer, i.Subject).Scan(&whose)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return ErrNotFound
	case err != nil:
		return err
	case whose != reader:
		return fmt.Errorf("the identity is another reader's: %w", ErrConflict)
	}
	return nil
}

// RemoveReaderIdentity takes an identity from a reader, and records events with
// it; it takes effect with the next question.
func (s *Store) RemoveReaderIdentity(ctx context.Context, reader uuid.UUID, i ReaderIdentity, events ...audit.Event) error {
	if i.validate() != nil {
		return fmt.Errorf("removing identity: %w", ErrNotFound)
	}
	return s.changeOne(ctx, "removing identity", events, `
		DELETE FROM reader_identity WHERE reader_id = $1 AND issuer = $2 AND subject = $3`, reader, i.Issuer, i.Subject)
}

// DeleteReader removes a reader with its links, identities, addresses and
// questions, and revokes its keys for good, at once. It records events, and one for each key
// that ended with it.
func (s *Store) DeleteReader(ctx context.Context, reader uuid.UUID, deleted audit.Event) error {
	return s.inTxErr(ctx, "deleting reader", func(tx pgx.Tx) error {
		if err := lockEmails(ctx, tx); err != nil {
			return err
		}
		var emails []string
		if err := tx.QueryRow(ctx, `SELECT ARRAY(SELECT email FROM reader_email WHERE reader_id = $1)`, reader).Scan(&emails); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `DELETE FROM api_key WHERE reader_id = $1 RETURNING id::text, name`, reader)
		if err != nil {
			return err
		}
		events := []audit.Event{deleted}
		var id, name string
		if _, err := pgx.ForEachRow(rows, []any{&id, &name}, func() error {
			e := deleted
			e.Action, e.Target = "api_key.revoke", audit.Target{Kind: "api_key", ID: id}
			e.Detail = map[string]string{"name": name, "reader": reader.String(), "because": "its reader was deleted"}
			events = append(events, e)
			return nil
		}); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `DELETE FROM reader WHERE id = $1`, reader)
		if err == nil && tag.RowsAffected() == 0 {
			err = ErrNotFound
		}
		if err != nil {
			return err
		}
		if _, err := mapEmails(ctx, tx, emails, nil); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `SELECT forget_questions(NULL, $1)`, reader); err != nil {
			return err
		}
		return recordAll(ctx, tx, reader.String(), events)
	})
}
