package store

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// ConnectionPrincipals are the principals that a reader holds in a connection:
// its own, and every group that they lead to by that connection's memberships.
type ConnectionPrincipals struct {
	Connection FeedConnection `json:"connection"`
	// Principals are sorted. Where the connection is stale there are none.
	Principals []int64 `json:"principals"`
}

// ReaderPrincipals returns what a reader holds in each connection that the key of
// who reads whole, or in the one that is named. A reader that is unknown or
// disabled is ErrNotFound.
func (s *Store) ReaderPrincipals(ctx context.Context, who Identity, reader uuid.UUID, connection string) ([]ConnectionPrincipals, error) {
	out := []ConnectionPrincipals{}
	err := s.asIdentity(ctx, "reading a reader's principals", who, nil, func(tx pgx.Tx) error {
		var all []FeedConnection
		err := tx.QueryRow(ctx, `SELECT connections FROM tributary.feed_status($1)`, uuid.Nil).Scan(&all)
		if errors.Is(err, pgx.ErrNoRows) {
			return ErrFeedDenied
		}
		if err != nil {
			return err
		}
		var names []string
		if connection != "" {
			names = []string{connection}
		}
		var known bool
		var conns []uuid.UUID
		var held []int64
		if err := tx.QueryRow(ctx, `SELECT known, conns, held FROM tributary.feed_principals($1, $2)`, reader, names).Scan(&known, &conns, &held); err != nil {
			return err
		}
		if !known {
			return fmt.Errorf("reader %s: %w", reader, ErrNotFound)
		}
		for _, c := range all {
			if connection != "" && connection != c.Name && connection != c.ID.String() {
				continue
			}
			p := ConnectionPrincipals{Connection: c, Principals: []int64{}}
			// An element of held is principal << 16 | number of the connection, from 1.
			number := int64(slices.Index(conns, c.ID) + 1)
			for _, h := range held {
				if number > 0 && h&0xffff == number {
					p.Principals = append(p.Principals, h>>16)
				}
			}
			slices.Sort(p.Principals)
			out = append(out, p)
		}
		if len(out) == 0 && connection != "" {
			return fmt.Errorf("connection %q: %w", connection, ErrNotFound)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
