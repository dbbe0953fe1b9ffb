package github

import (
	"encoding/json"
	"slices"

	"tributary/connectors"
)

// cursorVersion is raised when stored cursors can no longer be read.
const cursorVersion = 1

// The lists that a cursor can stand in.
const (
	listItems   = "items"
	listChanges = "changes"
)

// The stages of reading one repository as a whole, in order.
const (
	stageStart  = ""
	stageFiles  = "files"
	stageIssues = "issues"
	stageEnd    = "end"
)

// place is where the reading of one repository stands.
type place struct {
	Stage string `json:"stage,omitempty"`
	// Commit is the one whose files are read, After the last path that was.
	Commit string `json:"commit,omitempty"`
	After  string `json:"after,omitempty"`
	// Since is the time of the last issue that was read, Seen the numbers with
	// that very time, Page the page of what was updated since then.
	Since string `json:"since,omitempty"`
	Seen  []int  `json:"seen,omitempty"`
	Page  int    `json:"page,omitempty"`
}

// listCursor stands in a listing, which goes by repository ids.
type listCursor struct {
	V    int    `json:"v"`
	List string `json:"list"`
	Repo int64  `json:"repo,omitempty"`
	At   place  `json:"at,omitzero"`
	// Heads are the commits from which the feed goes on, of repositories that
	// are still to be read.
	Heads map[int64]string `json:"heads,omitempty"`
	End   bool             `json:"end,omitempty"`
}

// feedCursor is what is known of every repository.
type feedCursor struct {
	V    int    `json:"v"`
	List string `json:"list"`
	// Lists are the lists of repositories that were read, with their ETags.
	Lists []listPage `json:"lists"`
	// Seq counts pages, because what two of them know can be equal.
	Seq   int64       `json:"seq"`
	Repos []repoState `json:"repos"`
}

// listPage is one page of a list that can be asked for again.
type listPage struct {
	Path  string `json:"path"`
	Query string `json:"query"`
	Tag   string `json:"tag,omitempty"`
}

// repoState is what is known of one repository.
type repoState struct {
	ID     int64  `json:"id"`
	Name   string `json:"name"`
	Branch string `json:"branch,omitempty"`
	// Text is the revision of its own document, "" until that is told.
	Text    string `json:"text,omitempty"`
	NoIssue bool   `json:"no_issues,omitempty"`
	// Head is the commit whose files are known, HeadTag the ETag of the
	// branch. After is the last path of the difference to To that was told.
	Head    string `json:"head,omitempty"`
	HeadTag string `json:"head_tag,omitempty"`
	To      string `json:"to,omitempty"`
	After   string `json:"after,omitempty"`

	Issues   poll `json:"issues,omitzero"`
	Comments poll `json:"comments,omitzero"`
	Reviews  poll `json:"reviews,omitzero"`

	// Closed says that its branch could not be read when the feed started, so
	// that nothing tells what a listing found there.
	Closed bool `json:"closed,omitempty"`
	// Walk is set while the repository has to be read as a whole.
	Walk *place `json:"walk,omitempty"`
}

// poll is a list that is asked for what was updated since a time. Tag is the
// ETag of its first page, High the time up to which everything was told.
type poll struct {
	Since string `json:"since,omitempty"`
	High  string `json:"high,omitempty"`
	Tag   string `json:"tag,omitempty"`
}

func (c listCursor) encode() connectors.Cursor {
	c.V, c.List = cursorVersion, listItems
	return connectors.EncodeCursor(c)
}

func (c feedCursor) encode() connectors.Cursor {
	c.V, c.List = cursorVersion, listChanges
	return connectors.EncodeCursor(c)
}

func expired(op string, err error) error {
	return &connectors.Error{Op: op, Class: connectors.CursorExpired, Err: err}
}

// parseList reads a cursor of a listing; one of another form is CursorExpired.
func parseList(op string, from connectors.Cursor) (listCursor, error) {
	var c listCursor
	if from.IsZero() {
		return c, nil
	}
	stages := []string{stageStart, stageFiles, stageIssues, stageEnd}
	if json.Unmarshal(from, &c) != nil || c.V != cursorVersion || c.List != listItems || !slices.Contains(stages, c.At.Stage) {
		return c, connectors.ForeignCursor(op)
	}
	return c, nil
}

// parseFeed reads a cursor of the feed; one of another form is CursorExpired.
func parseFeed(op string, from connectors.Cursor) (feedCursor, error) {
	var c feedCursor
	if from.IsZero() || json.Unmarshal(from, &c) != nil || c.V != cursorVersion || c.List != listChanges {
		return c, connectors.ForeignCursor(op)
	}
	return c, nil
}
