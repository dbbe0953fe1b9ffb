package soak

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/connectors"
	"tributary/internal/extract"
	"tributary/store"
)

// row is a document as it is stored.
type row struct {
	ID, Title, Path, Container, URL, Kind, Author, Revision, Text, Hidden string
	Document                                                              uuid.UUID
	ACL                                                                   int64
}

// difference names the fields in which d and o differ.
func (d row) difference(o row) string {
	var parts []string
	for name, v := range map[string][2]string{
		"title": {d.Title, o.Title}, "path": {d.Path, o.Path}, "container": {d.Container, o.Container}, "url": {d.URL, o.URL},
		"author": {d.Author, o.Author}, "revision": {d.Revision, o.Revision}, "text": {d.Text, o.Text}, "hidden": {d.Hidden, o.Hidden},
		"ACL": {strconv.FormatInt(d.ACL, 10), strconv.FormatInt(o.ACL, 10)},
	} {
		if v[0] != v[1] {
			parts = append(parts, fmt.Sprintf("%s %.80q, fresh %.80q", name, v[0], v[1]))
		}
	}
	return strings.Join(parts, "; ")
}

// stored returns the documents of a connection by the source's id.
func (s *story) stored(conn store.Connection) map[string]row {
	rows, err := s.db.Owner.Query(s.ctx, `
		SELECT d.external_id, d.title, d.path, d.container, d.url, d.kind, d.author, d.source_revision, coalesce(r.text, ''), coalesce(d.hidden_reason, ''), d.id, d.acl_set_id
		FROM document d LEFT JOIN revision r ON r.document_id = d.id AND r.number = d.revision WHERE d.connection_id = $1`, conn.ID)
	if err != nil {
		s.fail("reading the store: %w", err)
		return nil
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[row])
	if err != nil {
		s.fail("reading the store: %w", err)
	}
	out := map[string]row{}
	for _, d := range list {
		out[d.ID] = d
	}
	return out
}

// judge holds a run to what every run keeps, whatever went wrong.
func (s *story) judge(conn store.Connection, run store.Run, on []trouble, before map[string]row) {
	after := s.stored(conn)
	lied, closed := slices.ContainsFunc(on, trouble.lies), s.source.closed()
	for id, was := range before {
		now, there := after[id]
		to, shut := closed[id]
		switch {
		case !s.present[id]:
		case shut && to != was.Container && there:
			// It moved to where nobody may look: absent, as far as can be told, and kept.
		case !there:
			s.fail("a wrong deletion: %s is purged by a run that ended %s under %v, and the source has it", id, run.State, on)
		case was.Hidden == "" && (now.Hidden == "absent" || now.Hidden == "deleted"):
			s.fail("%s is hidden as %s by a run that ended %s under %v, and the source has it", id, now.Hidden, run.State, on)
		}
	}
	if run.Counts.Held > 0 {
		s.judgeHeld(conn, run)
	}
	if run.State != store.RunSucceeded {
		return
	}
	if c := run.Counts; c.Quarantined+c.Refused+c.Blocked+c.Held > 0 {
		s.fail("a run under %v is called succeeded with %d quarantined, %d refused, %d blocked, %d held", on, c.Quarantined, c.Refused, c.Blocked, c.Held)
	}
	if run.Lane != store.Content || run.Kind != store.RunSnapshot || lied || !s.quiet || slices.Contains(on, refused) {
		return
	}
	for id, text := range s.source.truth() {
		if d, ok := after[id]; !ok || d.Text != clean(text) {
			s.fail("a snapshot under %v is called succeeded, and %s is not stored as the source has it (stored: %t)", on, id, ok)
		}
	}
}

// judgeHeld: what a run holds stands in one plan that waits, and in a notice.
func (s *story) judgeHeld(conn store.Connection, run store.Run) {
	holds, err := s.store.Holds(s.ctx, store.HoldFilter{Connection: conn.ID, State: store.HoldOpen})
	if err != nil || len(holds) != 1 || holds[0].Documents != run.Counts.Held {
		s.fail("a run holds %d deletions, and the plans that wait are %+v (%w)", run.Counts.Held, holds, err)
		return
	}
	s.held++
	var told bool
	err = s.db.Owner.QueryRow(s.ctx, `SELECT EXISTS (SELECT FROM notice WHERE connection_id = $1 AND code LIKE '%held%' AND cleared_at IS NULL)`, conn.ID).Scan(&told)
	if err != nil || !told {
		s.fail("a run holds %d deletions, and no notice says so (%v)", run.Counts.Held, err)
	}
}

func clean(text string) string { return strings.TrimSpace(extract.Clean(text)) }

// compare returns how the store differs from the source's truth, and from what
// a connection holds that was made just now.
func (s *story) compare() error {
	got := s.stored(s.conn)
	var wrong []error
	s.graced = 0
	truth := s.source.truth()
	for id, d := range got {
		if _, ok := truth[id]; !ok && d.Hidden == "refused" {
			s.graced++
		} else if !ok {
			wrong = append(wrong, fmt.Errorf("%s is stored (hidden %q) and the source does not have it", id, d.Hidden))
		}
	}
	for id, text := range truth {
		d, ok := got[id]
		switch {
		case !ok:
			wrong = append(wrong, fmt.Errorf("%s is not stored", id))
		case d.Hidden != "":
			wrong = append(wrong, fmt.Errorf("%s is hidden: %s", id, d.Hidden))
		case d.Text != clean(text):
			wrong = append(wrong, fmt.Errorf("%s holds another text than the source", id))
		}
	}
	if err := errors.Join(append(wrong, s.compareReaders(got, truth))...); err != nil {
		return err
	}
	return s.compareFresh(got)
}

// compareReaders asks as every person, and as a stranger.
func (s *story) compareReaders(got map[string]row, truth map[string]string) error {
	people := append(s.source.people(), connectors.Principal{Kind: connectors.User, ID: "stranger"})
	for _, p := range people {
		who, err := s.store.AsPrincipals(s.ctx, store.PrincipalIn{Connection: s.conn.ID, Principal: p})
		if err != nil {
			return err
		}
		list, _, err := s.store.ListDocuments(s.ctx, who, store.Filters{Connection: store.Strings{s.conn.Name}}, uuid.Nil, 1000)
		if err != nil {
			return err
		}
		sees := map[uuid.UUID]bool{}
		for _, d := range list {
			sees[d.ID] = true
		}
		for id := range truth {
			if may := s.source.canRead(p, id); may != sees[got[id].Document] {
				return fmt.Errorf("%s may read %s at the source: %t, in the store: %t (ACL %d)", p.ID, id, may, !may, got[id].ACL)
			}
		}
	}
	return nil
}

// compareFresh makes a connection to the same source and compares what both
// hold, field by field; equal ACLs are one row.
func (s *story) compareFresh(got map[string]row) error {
	fresh, err := s.connect("fresh")
	if err != nil {
		return err
	}
	run := s.run(fresh, store.Content, store.RunSnapshot, nil)
	if run.State != store.RunSucceeded {
		return fmt.Errorf("a fresh connection's run ended %s: %s", run.State, run.Error)
	}
	want := s.stored(fresh)
	sum := sha256.New()
	for _, id := range slices.Sorted(maps.Keys(want)) {
		mine, its := got[id], want[id]
		mine.Document = its.Document
		if mine != its {
			return fmt.Errorf("%s differs from what a fresh connection stores: %s", id, mine.difference(its))
		}
		fmt.Fprintf(sum, "%s\x00%s\x00%s\x00", id, got[id].Path, got[id].Text)
	}
	s.end = hex.EncodeToString(sum.Sum(nil))
	return s.store.DeleteConnection(s.ctx, fresh.ID)
}
