package jobs

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"tributary/connectors"
	"tributary/store"
)

// guardError ends a run because of one of the engine's own guards. The notice
// says which.
type guardError struct {
	notice string
	// final is true when another slice would not help.
	final bool
	text  string
}

// Error returns what the guard found, and what to do.
func (e *guardError) Error() string { return e.text }

// guardOf returns the guard's error in err, or nil.
func guardOf(err error) *guardError {
	g, _ := errors.AsType[*guardError](err)
	return g
}

// guard watches over the pages of a run: listings that loop, and what a run may
// cost. The reader of the pages uses it alone.
type guard struct {
	store.Guard
	limits store.RunLimits
	// listing is true for listings, which give each item once; a change feed
	// may give the same change again.
	listing bool
	// cursors and pages are what this slice has seen.
	cursors, pages map[uint64]bool
	started        time.Time
	before         time.Duration
	name           string
}

func (s *syncer) newGuard(from connectors.Cursor) *guard {
	return &guard{
		Guard: s.run.Guard, limits: s.limits.WithDefaults(), listing: s.run.Kind != store.RunChanges,
		cursors: map[uint64]bool{hashOf(from): true}, pages: map[uint64]bool{},
		started: time.Now(), before: s.run.Elapsed(), name: s.conn.Name,
	}
}

// loops reports, as an error, a page that the run has passed before, one too many
// that holds nothing, or one behind which nothing can go on. Such a page is not
// committed.
func (g *guard) loops(page connectors.Page) error {
	if !json.Valid(page.Next) || !utf8.Valid(page.Next) || string(page.Next) == "null" {
		return bug("the cursor after a page is no JSON value, or null: %.200q", string(page.Next))
	}
	cursor := hashOf(page.Next)
	if g.cursors[cursor] || g.Cursor.Repeats(cursor) {
		return looping("the cursor after a page is one that the run has passed: %.200s", string(page.Next))
	}
	g.cursors[cursor] = true
	if len(page.Changes)+len(page.Skipped)+len(page.Blocked) == 0 {
		if g.Empty++; g.Empty > g.limits.MaxEmptyPages {
			return looping("more than max_empty_pages, %d pages in a row, held nothing", g.limits.MaxEmptyPages)
		}
		return nil
	}
	g.Empty = 0
	if content := hashOfPage(page); g.listing {
		if g.pages[content] || g.Page.Repeats(content) {
			return looping("a page with %d changes came twice, with different cursors", len(page.Changes))
		}
		g.pages[content] = true
	}
	return nil
}

// spend counts a page and reports, as an error, that the run has reached one of
// its limits. The page is committed all the same.
func (g *guard) spend(page connectors.Page) error {
	g.Pages++
	g.Items += int64(len(page.Changes) + len(page.Skipped))
	if page.Complete {
		return nil
	}
	minutes := int64((g.before + time.Since(g.started)).Minutes())
	for _, l := range [...]struct {
		name      string
		used, max int64
	}{
		{"max_pages", g.Pages, g.limits.MaxPages},
		{"max_items", g.Items, g.limits.MaxItems},
		{"max_minutes", minutes, g.limits.MaxMinutes},
	} {
		if l.used >= l.max {
			return limited(g.name, l.name, l.max)
		}
	}
	return nil
}

func limited(connection, name string, limit int64) error {
	return &connectors.Error{Op: "syncing", Class: connectors.Transient, Err: &guardError{
		notice: store.NoticeLimitReached, final: true,
		text: fmt.Sprintf("the run has reached its limit %s of %d: nothing was inferred to be deleted, and the next run goes on from here; raise it with `tributary connections limits %s --set %s=…`", name, limit, connection, name),
	}}
}

func looping(format string, args ...any) error {
	return &connectors.Error{Op: "syncing", Class: connectors.Bug, Err: &guardError{notice: store.NoticeListingLoops, final: true, text: fmt.Sprintf(format, args...)}}
}

func hashOf(c connectors.Cursor) uint64 {
	h := sha256.Sum256(c)
	return binary.BigEndian.Uint64(h[:])
}

// hashOfPage is the same for pages with the same changes in the same order.
func hashOfPage(page connectors.Page) uint64 {
	h := sha256.New()
	add := func(texts ...string) {
		for _, s := range texts {
			_, _ = fmt.Fprintf(h, "%d:%s,", len(s), s)
		}
	}
	for i := range page.Changes {
		c := &page.Changes[i]
		add("change", c.Ref.ID, c.Ref.Revision)
	}
	for _, s := range page.Skipped {
		add("skip", s.Ref.ID)
	}
	for _, b := range page.Blocked {
		add("blocked", b.ID, b.Prefix)
	}
	return binary.BigEndian.Uint64(h.Sum(nil))
}
