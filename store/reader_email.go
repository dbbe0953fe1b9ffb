package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/connectors"
	"tributary/internal/audit"
)

// maxEmail is the longest address (RFC 5321 §4.5.3.1.3: a path of 256 with its
// angle brackets).
const maxEmail = 254

// NormalEmail returns an address in the form in which addresses are compared:
// the domain in lower case, and nothing else changed. ok is false for what is no
// plain address of ASCII.
//
// SECURITY: whatever could look like another address maps to nobody: other
// scripts, quoted local parts, and domains in Punycode, which show as other
// scripts.
func NormalEmail(address string) (normal string, ok bool) { //nolint:nonamedreturns // the boolean needs a name
	local, domain, found := strings.Cut(address, "@")
	if !found || len(address) > maxEmail || len(local) > 64 || strings.Contains(local, "..") || strings.HasPrefix(local, ".") || strings.HasSuffix(local, ".") {
		return "", false
	}
	if !madeOf(local, emailLocal) {
		return "", false
	}
	domain = asciiLower(domain)
	for label := range strings.SplitSeq(domain, ".") {
		if !madeOf(label, emailDomain) || len(label) > 63 || strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-") || strings.HasPrefix(label, "xn--") {
			return "", false
		}
	}
	return local + "@" + domain, true
}

// The characters of a dot-atom (RFC 5322 §3.2.3) and of a host name.
const (
	emailLocal  = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-/=?^_`{|}~."
	emailDomain = "abcdefghijklmnopqrstuvwxyz0123456789-"
)

// madeOf reports whether s is not empty and has no other characters.
func madeOf(s, characters string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return !strings.ContainsRune(characters, r) })
}

// asciiLower changes A to Z only: strings.ToLower makes ASCII of some letters
// that are none, such as the Kelvin sign.
func asciiLower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + ('a' - 'A')
		}
		return r
	}, s)
}

// lockEmails makes transactions that end with mapEmails wait for each other
// before they hold anything else.
func lockEmails(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, `SELECT lock_emails()`); err != nil {
		return fmt.Errorf("waiting to map e-mails: %w", err)
	}
	return nil
}

// mapEmails makes the links by e-mail what evidence, addresses and switches
// say, in the transaction that changed one of them: of everybody who has one of
// the addresses or is one of the people, and with nil for emails of everybody.
func mapEmails(ctx context.Context, tx pgx.Tx, emails []string, people []int64) (Mapped, error) {
	var m Mapped
	if err := tx.QueryRow(ctx, `SELECT made, ended FROM map_emails($1, $2)`, emails, people).Scan(&m.Made, &m.Ended); err != nil {
		return m, fmt.Errorf("mapping e-mails: %w", err)
	}
	return m, nil
}

// Mapped counts links by e-mail that a change made and ended.
type Mapped struct {
	Made  int64 `json:"made"`
	Ended int64 `json:"ended"`
}

// AddReaderEmail says that an address is the reader's, and records events with
// it; one that stands is no error. It maps the reader where mapping by e-mail is
// on and a source says that the address is verified.
func (s *Store) AddReaderEmail(ctx context.Context, reader uuid.UUID, email string, events ...audit.Event) (Mapped, error) {
	normal, ok := NormalEmail(email)
	if !ok {
		return Mapped{}, badEmail("email")
	}
	return s.changeEmails(ctx, "adding e-mail", reader, []string{normal}, events, `
		INSERT INTO reader_email (reader_id, email, how) SELECT id, $2, 'manual' FROM reader WHERE id = $1
		ON CONFLICT (reader_id, email) DO UPDATE SET how = reader_email.how`, reader, normal)
}

// RemoveReaderEmail takes an address from a reader, with the links that it
// made, and records events with it.
func (s *Store) RemoveReaderEmail(ctx context.Context, reader uuid.UUID, email string, events ...audit.Event) (Mapped, error) {
	normal, ok := NormalEmail(email)
	if !ok {
		return Mapped{}, fmt.Errorf("removing e-mail: %w", ErrNotFound)
	}
	return s.changeEmails(ctx, "removing e-mail", reader, []string{normal}, events, `DELETE FROM reader_email WHERE reader_id = $1 AND email = $2`, reader, normal)
}

func badEmail(field string) *InputError {
	return &InputError{Field: field, Problem: "must be an address of plain ASCII, such as ada@example.com; addresses of other scripts and in Punycode map to nobody: link such people by name"}
}

// SetMapEmail says whether verified addresses map readers to people of the
// connection's realm, and records events with it. Turning it off ends the links
// that it made.
func (s *Store) SetMapEmail(ctx context.Context, connection uuid.UUID, on bool, events ...audit.Event) (Mapped, error) {
	return s.changeEmails(ctx, "switching mapping by e-mail", connection, nil, events,
		`UPDATE connection SET map_email = $2, updated_at = clock() WHERE id = $1`, connection, on)
}

// changeEmails runs a statement that changes one row and maps who has the
// addresses anew, nil being everybody, or returns ErrNotFound.
func (s *Store) changeEmails(ctx context.Context, op string, id uuid.UUID, emails []string, events []audit.Event, sql string, args ...any) (Mapped, error) {
	var m Mapped
	err := s.inTxErr(ctx, op, func(tx pgx.Tx) error {
		if emails == nil {
			if err := patient(ctx, tx); err != nil {
				return err
			}
		}
		if err := lockEmails(ctx, tx); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, sql, args...)
		if err == nil && tag.RowsAffected() == 0 {
			err = ErrNotFound
		}
		if err != nil {
			return err
		}
		if m, err = mapEmails(ctx, tx, emails, nil); err != nil {
			return err
		}
		return recordAll(ctx, tx, id.String(), events)
	})
	return m, err
}

// mapEverybody is the number of changes from which everybody is mapped anew: one
// pass over all costs less than so many looks.
const mapEverybody = 1000

// EmailsRead counts what a complete reading of people changed.
type EmailsRead struct {
	Mapped

	// Changed are rows of evidence; Unusable are addresses that map to nobody by
	// their form.
	Changed, Unusable int64
}

// ReplaceEmails makes people the whole evidence of addresses of the run's
// connection, and maps readers anew, in one transaction. It is for complete
// readings only.
func (s *Store) ReplaceEmails(ctx context.Context, run Run, realm int64, people []connectors.Person) (EmailsRead, error) {
	var out EmailsRead
	var principals []connectors.Principal
	var emails []string
	var verified []bool
	for _, p := range people {
		email, ok := NormalEmail(p.Email)
		if !ok || p.Principal.Kind != connectors.User || !UsableID(p.Principal.ID) {
			out.Unusable++
			continue
		}
		principals, emails, verified = append(principals, p.Principal), append(emails, email), append(verified, p.Verified)
	}
	var ids []int64
	// Principals come first, in a transaction of their own: see internACLs.
	err := s.inTxErr(ctx, "writing people", func(tx pgx.Tx) error {
		var err error
		ids, err = principalIDs(ctx, tx, realm, principals)
		return err
	})
	if err != nil {
		return out, err
	}
	err = s.inTxErr(ctx, "writing e-mails", func(tx pgx.Tx) error {
		if err := lockEmails(ctx, tx); err != nil {
			return err
		}
		if err := holdFence(ctx, tx, run.ID, run.Fence); err != nil {
			return err
		}
		out.Changed, out.Mapped = 0, Mapped{}
		touched, who := []string{}, []int64{}
		for _, q := range [...]string{
			`DELETE FROM principal_email e WHERE connection_id = $1
			 AND NOT EXISTS (SELECT FROM unnest($2::bigint[], $3::text[], $4::boolean[]) AS u(p, m, v) WHERE u.p = e.principal_id AND u.m = e.email)
			 RETURNING e.email, e.principal_id`,
			// SECURITY: who is named twice is verified only if both times say so.
			`INSERT INTO principal_email AS e (connection_id, principal_id, email, verified)
			 SELECT $1::uuid, p, m, bool_and(v) FROM unnest($2::bigint[], $3::text[], $4::boolean[]) AS u(p, m, v) GROUP BY p, m
			 ON CONFLICT (connection_id, principal_id, email) DO UPDATE SET verified = excluded.verified WHERE e.verified <> excluded.verified
			 RETURNING e.email, e.principal_id`,
		} {
			rows, err := tx.Query(ctx, q, run.ConnectionID, ids, emails, verified)
			if err != nil {
				return err
			}
			var email string
			var principal int64
			if _, err := pgx.ForEachRow(rows, []any{&email, &principal}, func() error {
				touched, who = append(touched, email), append(who, principal)
				return nil
			}); err != nil {
				return err
			}
		}
		out.Changed = int64(len(who))
		if len(who) > mapEverybody {
			touched = nil
		}
		if out.Changed == 0 {
			return nil
		}
		var err error
		out.Mapped, err = mapEmails(ctx, tx, touched, who)
		return err
	})
	return out, err
}
