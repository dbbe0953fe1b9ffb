package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/internal/audit"
	"tributary/internal/timetable"
)

// PermissionsForever stands for permissions that never grow too old, as those that others push may.
const PermissionsForever = 100 * 365 * 24 * time.Hour

// PermissionsLast reports whether the connection's permissions never grow too old.
func (c Connection) PermissionsLast() bool { return c.MaxPermissionAge >= PermissionsForever }

// SetMaxPermissionAge says for how long permissions count after they were read: past it the connection's documents hide. Only
// where others push may they last. Elsewhere they have to outlast two reads, or each that comes late would hide everything.
func (s *Store) SetMaxPermissionAge(ctx context.Context, connection uuid.UUID, age time.Duration, events ...audit.Event) error {
	return s.inTxErr(ctx, "setting the age of permissions", func(tx pgx.Tx) error {
		var source string
		var every time.Duration
		err := tx.QueryRow(ctx, `
			SELECT c.source, coalesce(p.every, '0') FROM connection c LEFT JOIN schedule p ON p.connection_id = c.id AND p.lane = 'permissions'
			WHERE c.id = $1 FOR UPDATE OF c`, connection).Scan(&source, &every)
		if errors.Is(err, pgx.ErrNoRows) {
			return fmt.Errorf("connection %s: %w", connection, ErrNotFound)
		}
		if err != nil {
			return err
		}
		if err := checkPermissionAge(source, age, every); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE connection SET max_permission_age = $2, updated_at = clock() WHERE id = $1`, connection, age); err != nil {
			return err
		}
		return recordAll(ctx, tx, connection.String(), events)
	})
}

// checkPermissionAge refuses an age that would hide documents while all is well, or never. every is the time between two reads,
// 0 where nothing is read.
func checkPermissionAge(source string, age, every time.Duration) error {
	refuse := func(problem string) error { return &InputError{Field: "max_permission_age", Problem: problem} }
	switch least := 2 * every; {
	case age < time.Minute:
		return refuse("must be a minute or more, such as 12h or 7d")
	case source == PushSource:
		return nil
	case age < least:
		return refuse("must be at least " + timetable.RhythmText(least, "") + ": twice the time between two reads of permissions")
	case age > timetable.LongestInterval:
		return refuse("must be at most " + timetable.RhythmText(timetable.LongestInterval, "") + ": what nobody reads again does not count for ever")
	}
	return nil
}
