package googledrive

import (
	"context"
	"errors"
	"iter"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"tributary/connectors"
)

// More changed folders than these, in a cursor or in one run, are no cheaper to
// follow than a snapshot.
const (
	maxWalk   = 5_000
	maxWalked = 100_000
)

// Start returns the position of every log of this moment.
func (s *session) Start(ctx context.Context) (connectors.Cursor, error) {
	const op = "taking Google Drive's feed positions"
	all, err := s.corpora(ctx, op)
	if err != nil {
		return nil, err
	}
	at := feedCursor{Drives: map[string]string{}}
	for _, c := range all {
		token, err := s.startToken(ctx, op, c)
		switch {
		case refused(err) && c != userCorpus:
			s.counts.refused++
		case err != nil:
			return nil, err
		case c == userCorpus:
			at.User = token
		default:
			at.Drives[string(c)] = token
		}
	}
	return at.encode(), nil
}

// startToken returns the end of a corpus's log.
func (s *session) startToken(ctx context.Context, op string, c corpus) (string, error) {
	var answer struct {
		Token string `json:"startPageToken"`
	}
	query := url.Values{"fields": {"startPageToken"}}
	if c != userCorpus {
		query.Set("driveId", string(c))
	}
	_, err := s.api.JSON(ctx, c.call(op, "changes/startPageToken", query), &answer)
	if err == nil && answer.Token == "" {
		err = broken(op, errNoEnd)
	}
	return answer.Token, err
}

// Changes yields what happened since from: by the account's log, by that of
// each shared drive, below folders that changed, and in shared drives that have
// come since. A quiet run is one request for each log and one for the list of
// drives.
func (s *session) Changes(ctx context.Context, from connectors.Cursor) iter.Seq2[connectors.Page, error] {
	return func(yield func(connectors.Page, error) bool) {
		f, err := s.newFeed(ctx, from)
		for err == nil {
			var page connectors.Page
			var more bool
			if page, more, err = f.next(ctx); err != nil || !more {
				break
			}
			if page.Next = f.at.encode(); !yield(page, nil) {
				return
			}
		}
		if err != nil {
			yield(connectors.Page{}, err)
		}
	}
}

// feed is one reading of the logs.
type feed struct {
	s  *session
	op string
	at feedCursor
	// logs are still to be read, fresh the shared drives to be listed.
	logs, fresh []corpus
	// tree is the folders of those drives.
	tree *tree
	// lost says that the cursor names a drive that is not followed any more.
	lost bool
}

func (s *session) newFeed(ctx context.Context, from connectors.Cursor) (*feed, error) {
	f := &feed{s: s, op: "listing Google Drive changes"}
	var err error
	if f.at, err = parseFeedCursor(f.op, from); err != nil {
		return nil, err
	}
	all, err := s.corpora(ctx, f.op)
	if err != nil {
		return nil, err
	}
	followed := map[string]string{}
	for _, c := range all {
		token, had := f.at.Drives[string(c)]
		switch {
		case c == userCorpus && f.at.User == "":
			return nil, connectors.ForeignCursor(f.op) // the selection was widened
		case c != userCorpus && !had:
			f.fresh = append(f.fresh, c)
			continue
		case c != userCorpus:
			followed[string(c)] = token
		}
		f.logs = append(f.logs, c)
	}
	if f.at.New != nil && !slices.Contains(f.fresh, corpus(f.at.New.ID)) {
		f.at.New = nil
	}
	f.lost = len(followed) != len(f.at.Drives)
	f.at.Drives = followed
	return f, nil
}

// next reads on until there is a page; more is false at the end of all logs.
func (f *feed) next(ctx context.Context) (page connectors.Page, more bool, err error) {
	for {
		before := f.at.encode()
		switch {
		case len(f.at.Walk) > 0:
			err = f.walk(ctx, &page)
		case len(f.logs) > 0:
			err = f.log(ctx, &page)
		case f.at.New != nil || len(f.fresh) > 0:
			err = f.list(ctx, &page)
		default:
			more, f.lost = f.lost, false
			return page, more, nil
		}
		if err != nil || !f.at.encode().Equal(before) {
			f.lost = false
			return page, true, err
		}
		if len(page.Changes) > 0 {
			return page, false, broken(f.op, errNoEnd)
		}
	}
}

// log reads one page of the first log. A shared drive that is not given out any
// more says nothing; its members are asked for by the permissions.
func (f *feed) log(ctx context.Context, page *connectors.Page) error {
	c := f.logs[0]
	token := f.at.User
	query := url.Values{
		"pageSize": {strconv.Itoa(f.s.pageSize)}, "includeItemsFromAllDrives": {"true"}, "includeCorpusRemovals": {"true"},
		"fields": {"nextPageToken,newStartPageToken,changes(changeType,fileId,file(" + fileFields + "))"}, "spaces": {"drive"},
	}
	if c != userCorpus {
		token = f.at.Drives[string(c)]
		query.Set("driveId", string(c))
	}
	query.Set("pageToken", token)
	var answer changesPage
	meta, err := f.s.api.JSON(ctx, c.call(f.op, "changes", query), &answer)
	if refused(err) && c != userCorpus {
		f.s.counts.refused++
		f.logs = f.logs[1:]
		return nil
	}
	if err != nil {
		return err
	}
	next := answer.Next
	if next == "" {
		next, f.logs = answer.Start, f.logs[1:]
	}
	if next == "" || (answer.Next != "" && next == token) {
		return broken(f.op, errNoEnd)
	}
	if c == userCorpus {
		f.at.User = next
	} else {
		f.at.Drives[string(c)] = next
	}
	return f.entries(ctx, answer.Changes, answered(meta), page)
}

// entries translates what a log says. Folders are asked for anew on each page:
// files stand as they are now, and so must what they inherit.
func (f *feed) entries(ctx context.Context, all []change, at time.Time, page *connectors.Page) error {
	t := f.s.newTree(f.op)
	for i := range all {
		if all[i].File != nil && !all[i].File.Trashed {
			t.note(all[i].File)
		}
	}
	for i := range all {
		c := &all[i]
		switch {
		case c.Type == "drive":
			continue // the list of drives says it
		case c.FileID == "", c.File != nil && c.File.ID != c.FileID:
			return broken(f.op, errNoID)
		case c.File == nil:
			page.Changes = append(page.Changes, gone(c.FileID))
		default:
			if err := f.entry(ctx, t, c.File, at, page); err != nil {
				return err
			}
		}
	}
	t.tell(page)
	return nil
}

func gone(id string) connectors.Change {
	return connectors.Change{Op: connectors.Delete, Ref: connectors.ItemRef{ID: id}}
}

// entry adds what became of a file: a document, or nothing any more. What
// changed about a folder may change every file below it, of which the log says
// nothing.
func (f *feed) entry(ctx context.Context, t *tree, it *file, at time.Time, page *connectors.Page) error {
	if it.MimeType == typeFolder {
		if key := f.s.walked(it); !slices.Contains(f.at.Walk, key) {
			f.at.Walk = append(f.at.Walk, key)
		}
		if len(f.at.Walk) > maxWalk || f.at.Walked > maxWalked {
			return &connectors.Error{Op: f.op, Class: connectors.CursorExpired, Err: errors.New("more folders changed than a feed can follow")}
		}
		return nil
	}
	var own connectors.Page
	if !it.Trashed {
		if err := upsert(ctx, t, it, at, &own); err != nil {
			return err
		}
	}
	if len(own.Changes) == 0 {
		own.Changes = append(own.Changes, gone(it.ID))
	}
	page.Changes = append(page.Changes, own.Changes...)
	page.Skipped = append(page.Skipped, own.Skipped...)
	return nil
}

// walked names a folder to walk with the corpus that it lies in.
func (s *session) walked(f *file) string {
	if s.member(f) {
		return f.DriveID + "/" + f.ID
	}
	return "/" + f.ID
}

// walk reads one page of what lies in the first folders that changed, the
// trashed included: a trashed folder takes its files along without a word.
func (f *feed) walk(ctx context.Context, page *connectors.Page) error {
	c, ids := f.batch()
	list := make([]string, len(ids))
	for i, id := range ids {
		list[i] = quoted(id) + " in parents"
	}
	answer, at, err := f.s.files(ctx, f.op, c, strings.Join(list, " or "), fileFields, f.at.WalkToken)
	if err != nil && (c == userCorpus || !refused(err)) {
		return err
	}
	f.at.WalkToken, f.at.Batch = answer.Next, len(ids)
	if answer.Next == "" {
		f.at.Walk, f.at.Batch = slices.Clone(f.at.Walk[len(ids):]), 0
		f.at.Walked += len(ids)
	}
	t := f.s.newTree(f.op)
	for i := range answer.Files {
		if !answer.Files[i].Trashed {
			t.note(&answer.Files[i])
		}
	}
	for i := range answer.Files {
		if err := f.entry(ctx, t, &answer.Files[i], at, page); err != nil {
			return err
		}
	}
	t.tell(page)
	if len(f.at.Walk) == 0 {
		f.at.Walked = 0
	}
	return nil
}

// batch returns the first folders to walk, all of one corpus: those that the
// page token belongs to, or else as many as fit in a request.
func (f *feed) batch() (corpus, []string) {
	const most = 20
	n := f.at.Batch
	if n == 0 {
		n = most
	}
	var ids []string
	first := corpus("")
	for i, key := range f.at.Walk[:min(n, len(f.at.Walk))] {
		drive, id, _ := strings.Cut(key, "/")
		if i == 0 {
			first = corpus(drive)
		}
		if corpus(drive) != first {
			break
		}
		ids = append(ids, id)
	}
	return first, ids
}

// list reads one page of a shared drive that has come since. Its log is
// followed from before the listing.
func (f *feed) list(ctx context.Context, page *connectors.Page) error {
	if f.at.New == nil {
		c := f.fresh[0]
		start, err := f.s.startToken(ctx, f.op, c)
		if refused(err) {
			f.s.counts.refused++
			f.fresh = f.fresh[1:]
			return nil
		}
		if err != nil {
			return err
		}
		f.at.New = &newDrive{ID: string(c), Start: start}
	}
	if f.tree == nil {
		f.tree = f.s.newTree(f.op)
	}
	drive := *f.at.New
	next, err := f.s.fill(ctx, f.tree, corpus(drive.ID), drive.Token, listing{fields: fileFields, folders: true, add: upsert}, page)
	if err != nil && !refused(err) {
		return err
	}
	drive.Token = next
	f.at.New = &drive
	if next == "" {
		f.at.New = nil
		f.at.Drives = maps.Clone(f.at.Drives)
		f.at.Drives[drive.ID] = drive.Start
		f.fresh = slices.DeleteFunc(f.fresh, func(c corpus) bool { return string(c) == drive.ID })
	}
	return nil
}
