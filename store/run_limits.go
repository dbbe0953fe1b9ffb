package store

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/internal/audit"
)

// RunLimits bound what one run of a connection may cost, and how many of its items
// may fail. A field of zero is the default.
type RunLimits struct {
	MaxPages      int64 `json:"max_pages,omitempty"`
	MaxItems      int64 `json:"max_items,omitempty"`
	MaxMegabytes  int64 `json:"max_megabytes,omitempty"`
	MaxMinutes    int64 `json:"max_minutes,omitempty"`
	MaxEmptyPages int64 `json:"max_empty_pages,omitempty"`
	FailedItems   int64 `json:"failed_items,omitempty"`
	FailedPercent int64 `json:"failed_percent,omitempty"`
	FailedInARow  int64 `json:"failed_in_a_row,omitempty"`
}

// RunLimit describes one of the RunLimits.
type RunLimit struct {
	Name string
	// Title names it with its unit, for people.
	Title   string
	Default int64
	// Means completes "a run ends when …".
	Means string
	of    func(*RunLimits) *int64
}

// RunLimitTable describes every limit.
func RunLimitTable() []RunLimit {
	return []RunLimit{
		{"max_pages", "Pages", 1_000_000, "it has read this many pages", func(l *RunLimits) *int64 { return &l.MaxPages }},
		{"max_items", "Items", 20_000_000, "it has been given this many items", func(l *RunLimits) *int64 { return &l.MaxItems }},
		{"max_megabytes", "Megabytes downloaded", 1 << 20, "it has downloaded this many megabytes", func(l *RunLimits) *int64 { return &l.MaxMegabytes }},
		{"max_minutes", "Minutes under way", 72 * 60, "it has been under way this many minutes", func(l *RunLimits) *int64 { return &l.MaxMinutes }},
		{"max_empty_pages", "Empty pages in a row", 1000, "this many pages in a row held nothing", func(l *RunLimits) *int64 { return &l.MaxEmptyPages }},
		{"failed_items", "Failed items", 20, "more than this many items, and more than failed_percent of them, could not be downloaded", func(l *RunLimits) *int64 { return &l.FailedItems }},
		{"failed_percent", "Failed items, in percent", 20, "more than this share of the items, and more than failed_items, could not be downloaded", func(l *RunLimits) *int64 { return &l.FailedPercent }},
		{"failed_in_a_row", "Failed items in a row", 20, "this many items one after the other could not be downloaded", func(l *RunLimits) *int64 { return &l.FailedInARow }},
	}
}

// WithDefaults fills in what is zero.
func (l RunLimits) WithDefaults() RunLimits {
	for _, d := range RunLimitTable() {
		if p := d.of(&l); *p == 0 {
			*p = d.Default
		}
	}
	return l
}

// Get returns a limit by its name, its default where none is set.
func (l RunLimits) Get(name string) int64 {
	l = l.WithDefaults()
	for _, d := range RunLimitTable() {
		if d.Name == name {
			return *d.of(&l)
		}
	}
	return 0
}

// maxLimit bounds every limit, so that sums of them stay numbers.
const maxLimit = 1 << 40

// Set changes a limit by its name; "default" takes it back.
func (l *RunLimits) Set(name, value string) error {
	table := RunLimitTable()
	i := slices.IndexFunc(table, func(d RunLimit) bool { return d.Name == name })
	if i < 0 {
		names := make([]string, len(table))
		for i, d := range table {
			names[i] = d.Name
		}
		return &InputError{Field: name, Problem: "is no limit: use one of " + strings.Join(names, ", ")}
	}
	if value == "default" {
		*table[i].of(l) = 0
		return nil
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < 1 || n > maxLimit {
		return &InputError{Field: name, Problem: fmt.Sprintf("must be a number of 1 to %d, or default", int64(maxLimit))}
	}
	*table[i].of(l) = n
	return nil
}

// RunLimits returns what is set for a connection, without defaults.
func (s *Store) RunLimits(ctx context.Context, connection uuid.UUID) (RunLimits, error) {
	var l RunLimits
	err := s.pool.QueryRow(ctx, `SELECT limits FROM connection WHERE id = $1`, connection).Scan(&l)
	return l, translate("reading limits", err)
}

// SetRunLimits changes limits of a connection, name by name, and returns what is
// set then. Runs under way keep those that they began a slice with.
func (s *Store) SetRunLimits(ctx context.Context, connection uuid.UUID, changes map[string]string, events ...audit.Event) (RunLimits, error) {
	var l RunLimits
	err := s.inTxErr(ctx, "setting limits", func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, `SELECT limits FROM connection WHERE id = $1 FOR UPDATE`, connection).Scan(&l); err != nil {
			return err
		}
		for name, value := range changes {
			if err := l.Set(name, value); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(ctx, `UPDATE connection SET limits = $2, updated_at = clock() WHERE id = $1`, connection, jsonOf(l)); err != nil {
			return err
		}
		return recordAll(ctx, tx, connection.String(), events)
	})
	return l, err
}

// Guard is what a run remembers, from slice to slice, of the pages that it has
// passed: what shows that a listing loops, or reaches a limit.
type Guard struct {
	Pages int64 `json:"pages,omitempty"`
	Items int64 `json:"items,omitempty"`
	Bytes int64 `json:"bytes,omitempty"`
	// Empty counts the last pages, as many as held nothing.
	Empty int64 `json:"empty,omitempty"`
	// Failed counts items that could not be downloaded.
	Failed int64 `json:"failed,omitempty"`
	// Cursor and Page are marks of Brent's cycle finder: over the cursors, and
	// over what the pages held.
	Cursor Mark `json:"cursor,omitzero"`
	Page   Mark `json:"page,omitzero"`
}

// Mark is one element of a sequence, with how many elements ago it was taken
// and after how many the next one is.
type Mark struct {
	Hash  uint64 `json:"hash,string"`
	Steps int64  `json:"steps"`
	Power int64  `json:"power"`
}

// Repeats takes the next element and reports whether it is the marked one. In a
// sequence that cycles it does so within three times the cycle's length after
// the cycle has begun (R. P. Brent, 1980).
func (m *Mark) Repeats(hash uint64) bool {
	if m.Power > 0 && m.Hash == hash {
		return true
	}
	if m.Steps++; m.Power == 0 || m.Steps == m.Power {
		*m = Mark{Hash: hash, Power: max(1, 2*m.Power)}
	}
	return false
}

// Elapsed returns how long the run had been under way at its last sign of
// life, by the instance's clock.
func (r Run) Elapsed() time.Duration {
	if r.StartedAt == nil || r.HeartbeatAt == nil {
		return 0
	}
	return r.HeartbeatAt.Sub(*r.StartedAt)
}
