package store

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// IdentityOf makes any identity, also those that no caller can get.
func IdentityOf(reader, key uuid.UUID, bare bool, principals []int64) Identity {
	return Identity{reader: reader, key: key, bare: bare, principals: principals}
}

// SettingsOf returns what an identity sets in its transaction.
func SettingsOf(i Identity) (reader, key, principals string) { return i.settings() }

// AsIdentity runs fn as the query path runs.
func AsIdentity(ctx context.Context, s *Store, who Identity, fn func(pgx.Tx) error) error {
	return s.asIdentity(ctx, "testing", who, nil, fn)
}

// HoldReads keeps the reads of s back until FlushReads or KeepReads.
func HoldReads(s *Store) {
	s.reads.mu.Lock()
	defer s.reads.mu.Unlock()
	s.reads.kept, s.reads.wake = true, make(chan struct{}, 1)
}

// FlushReads writes what HoldReads kept back.
func FlushReads(ctx context.Context, s *Store) error { return s.flushReads(ctx) }

// MaxReads is how many reads wait at most.
const MaxReads = maxReads

// QueueReads keeps n reads of each documents documents back, as HoldReads does.
func QueueReads(s *Store, who Identity, n, documents int) {
	for range n {
		r := reading{tool: "text", at: time.Now(), who: who}
		for range documents {
			r.documents = append(r.documents, uuid.New())
		}
		s.reads.take(r)
	}
}

// SearchUnrecorded is Search without its record.
func SearchUnrecorded(ctx context.Context, s *Store, who Identity, req SearchRequest) (SearchResponse, error) {
	offset, err := req.normalise()
	if err != nil {
		return SearchResponse{}, err
	}
	resp := SearchResponse{Results: []SearchResult{}, PermissionsAsOf: map[string]time.Time{}}
	err = s.asIdentity(ctx, "searching", who, nil, func(tx pgx.Tx) error {
		if _, err := searchTx(ctx, tx, req, offset, &resp); err != nil {
			return err
		}
		return decorate(ctx, tx, req, resp.Results)
	})
	return resp, err
}
