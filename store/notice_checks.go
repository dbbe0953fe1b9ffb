package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// noticeLock keeps two processes from looking for notices at the same time.
const noticeLock = 0x7472696e

// noticesKept is how long a notice is kept once it is cleared.
const noticesKept = `90 days`

// found is a cause that exists at the moment.
type found struct {
	Code       string
	Connection *uuid.UUID
	Subject    string
	Detail     string
	// Severity is "" for the kind's.
	Severity Severity
}

// Eventful returns the codes that EvaluateNotices leaves alone: they are raised
// and cleared where their cause comes and goes.
func Eventful() []string {
	return []string{NoticeLimitReached, NoticeErrorBudget, NoticeListingLoops, NoticeStorage, NoticeClockSkew, NoticeMasterKey}
}

// EvaluateNotices compares what the tables show with the open notices: it raises
// what is missing and clears what is over. Where another process is at it,
// nothing happens. It returns how many it raised and cleared.
func (s *Store) EvaluateNotices(ctx context.Context) (raised, cleared int64, err error) {
	err = s.inTxErr(ctx, "looking for notices", func(tx pgx.Tx) error {
		var mine bool
		if err := tx.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock($1)`, noticeLock).Scan(&mine); err != nil || !mine {
			return err
		}
		var all []found
		for _, check := range [...]string{
			checkConnectionStates, checkClosing, checkExpiring, checkThrottled, checkQuarantine, checkHolds,
			checkLastRuns, checkBlocked, checkStuck, checkStarved, checkWorkers, checkDiscarded, checkUnknownKinds,
			checkStale, checkExpired, checkUnknownACL, checkGroups,
			checkUncertain, checkRefresh, checkGrantEnds, checkBreakers, checkRejected, checkEndingClients,
			checkKeys, checkNamings, checkAdmins, checkProfiles, checkErasures, checkFeed, checkReads,
		} {
			rows, err := tx.Query(ctx, check)
			if err != nil {
				return err
			}
			list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[found])
			if err != nil {
				return err
			}
			all = append(all, list...)
		}
		var err error
		if cleared, err = clearOthers(ctx, tx, all); err != nil {
			return err
		}
		raised, err = raiseAll(ctx, tx, all)
		return err
	})
	return raised, cleared, err
}

// clearOthers clears the open notices of evaluated codes that are not among all.
func clearOthers(ctx context.Context, tx pgx.Tx, all []found) (int64, error) {
	connections, codes, subjects := make([]*uuid.UUID, len(all)), make([]string, len(all)), make([]string, len(all))
	for i, f := range all {
		connections[i], codes[i], subjects[i] = f.Connection, f.Code, f.Subject
	}
	tag, err := tx.Exec(ctx, `
		UPDATE notice n SET cleared_at = clock() WHERE n.cleared_at IS NULL AND n.code <> ALL($4)
		  AND NOT EXISTS (SELECT FROM unnest($1::uuid[], $2::text[], $3::text[]) AS u(c, k, s) WHERE u.c IS NOT DISTINCT FROM n.connection_id AND u.k = n.code AND u.s = n.subject)`,
		connections, codes, subjects, Eventful())
	if err != nil {
		return 0, fmt.Errorf("clearing notices: %w", err)
	}
	if _, err := tx.Exec(ctx, `DELETE FROM notice WHERE cleared_at < clock() - $1::interval`, noticesKept); err != nil {
		return 0, fmt.Errorf("forgetting old notices: %w", err)
	}
	return tag.RowsAffected(), nil
}

// raiseAll opens the notices that are missing, and writes those that changed.
func raiseAll(ctx context.Context, tx pgx.Tx, all []found) (int64, error) {
	n := len(all)
	connections, codes, subjects := make([]*uuid.UUID, n), make([]string, n), make([]string, n)
	severities, details, remedies := make([]string, n), make([]string, n), make([]string, n)
	for i, f := range all {
		kind, ok := noticeKind(f.Code)
		if !ok {
			return 0, fmt.Errorf("code %q is no kind of notice", f.Code)
		}
		if f.Severity == "" {
			f.Severity = kind.Severity
		}
		connections[i], codes[i], subjects[i], severities[i], details[i], remedies[i] = f.Connection, f.Code, f.Subject, string(f.Severity), cleanText(f.Detail), kind.Remedy
	}
	var raised int64
	err := tx.QueryRow(ctx, `
		WITH u AS (
			SELECT DISTINCT ON (c, k, s) * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[]) AS u(c, k, s, v, d, r)),
		written AS (
			INSERT INTO notice AS n (connection_id, code, subject, severity, detail, remedy)
			SELECT u.c, u.k, u.s, u.v, u.d, replace(replace(u.r, '{connection}', coalesce(x.name, '')), '{subject}', u.s) FROM u LEFT JOIN connection x ON x.id = u.c
			ON CONFLICT (coalesce(connection_id, '00000000-0000-0000-0000-000000000000'), code, subject) WHERE cleared_at IS NULL
			DO UPDATE SET severity = excluded.severity, detail = excluded.detail, remedy = excluded.remedy, last_at = clock()
				WHERE (n.severity, n.detail, n.remedy) IS DISTINCT FROM (excluded.severity, excluded.detail, excluded.remedy) OR n.last_at < clock() - interval '10 minutes'
			RETURNING xmax = 0 AS fresh) -- an inserted row was locked by nobody
		SELECT count(*) FILTER (WHERE fresh) FROM written`, connections, codes, subjects, severities, details, remedies).Scan(&raised)
	if err != nil {
		return 0, fmt.Errorf("raising notices: %w", err)
	}
	return raised, nil
}

// Observe raises what a process sees of itself and clears what it no longer
// sees; subject is the process's own. Codes are those of Eventful.
func (s *Store) Observe(ctx context.Context, subject string, seen map[string]string) error {
	return s.inTxErr(ctx, "raising a process's notices", func(tx pgx.Tx) error {
		for _, code := range [...]string{NoticeStorage, NoticeClockSkew, NoticeMasterKey} {
			if detail := seen[code]; detail != "" {
				if err := s.RaiseNotice(ctx, tx, Notice{Subject: subject, Code: code, Detail: detail}); err != nil {
					return err
				}
				continue
			}
			if err := s.ClearNotice(ctx, tx, nil, code, subject); err != nil {
				return err
			}
		}
		return nil
	})
}

// Evaluated returns the codes that EvaluateNotices raises and clears.
func Evaluated() []string {
	var codes []string
	for _, k := range NoticeKinds() {
		if !slices.Contains(Eventful(), k.Code) {
			codes = append(codes, k.Code)
		}
	}
	return codes
}
