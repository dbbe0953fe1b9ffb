package gitea

import (
	"cmp"
	"encoding/json"
	"slices"

	"tributary/connectors"
)

// cursorVersion is raised when stored cursors can no longer be read.
const cursorVersion = 1

// The lists that a cursor can stand in.
const (
	listAll     = "all"
	listChanges = "changes"
)

// The parts of a repository, in the order in which they are read.
const (
	partFiles = iota
	partIssues
	partWiki
	partEnd
)

// place is where a listing stands: in the repository, in one of its parts, behind a number of pages.
type place struct {
	Repo int64 `json:"r,omitempty"`
	Part int   `json:"p,omitempty"`
	Page int   `json:"n,omitempty"`
	// Total is how many entries the part had, by which a list that shrinks while it is read is known.
	Total int `json:"t,omitempty"`
	// Commit is the one whose files are read.
	Commit string `json:"c,omitempty"`
}

// cursor is the JSON form of a position.
type cursor struct {
	V    int    `json:"v"`
	List string `json:"list"`
	// At is the place of a listing; End says that it is over.
	At  *place `json:"at,omitempty"`
	End bool   `json:"end,omitempty"`
	// Since and Seen tell which issues the feed has shown: those updated up to Since, in Unix seconds, and a digest of those
	// that lie so close before it that a search could have missed one.
	Since int64  `json:"since,omitempty"`
	Seen  string `json:"seen,omitempty"`
	// Until is Since of the pass that goes on behind the repository After.
	Until int64  `json:"until,omitempty"`
	Next  string `json:"next,omitempty"`
	After int64  `json:"after,omitempty"`
	// Repos are the repositories of the feed, by id.
	Repos []repoState `json:"repos,omitempty"`
}

// repoState is what the feed knows of one repository.
type repoState struct {
	ID int64 `json:"r"`
	// Shape is a digest of what every document shows of the repository: its name and its openness.
	Shape string `json:"s,omitempty"`
	// About is the revision of the repository's own document.
	About string `json:"a,omitempty"`
	Head  string `json:"h,omitempty"`
	// Issues and Newest are the number of issues and the highest of their numbers.
	Issues int   `json:"i,omitempty"`
	Newest int64 `json:"n,omitempty"`
	// Comments is the number of comments, LastComment the highest of their ids; CommentsSince and CommentsSeen are for comments
	// what Since and Seen are for issues.
	Comments      int    `json:"c,omitempty"`
	LastComment   int64  `json:"l,omitempty"`
	CommentsSince int64  `json:"m,omitempty"`
	CommentsSeen  string `json:"e,omitempty"`
	// Wiki is a digest of the wiki; Pages are the commits of its pages, where they are not too many.
	Wiki  string            `json:"w,omitempty"`
	Pages map[string]string `json:"g,omitempty"`
	// Walk is where a listing of the whole repository stands that the feed goes through; nil is none.
	Walk *place `json:"k,omitempty"`
}

// maxPages is how many wiki pages a cursor keeps of all repositories.
const maxPages = 5000

// put keeps the state of a repository.
func (c *cursor) put(st repoState) {
	i, found := slices.BinarySearchFunc(c.Repos, st.ID, func(a repoState, id int64) int { return cmp.Compare(a.ID, id) })
	if found {
		c.Repos[i] = st
	} else {
		c.Repos = slices.Insert(c.Repos, i, st)
	}
	kept := 0
	for _, other := range c.Repos {
		kept += len(other.Pages)
	}
	if kept > maxPages {
		c.Repos[i].Pages = nil // the wiki is then compared as a whole
	}
}

func (c cursor) encode() connectors.Cursor {
	c.V = cursorVersion
	return connectors.EncodeCursor(c)
}

// parseCursor reads a cursor of list; one of another form is CursorExpired.
func parseCursor(op, list string, from connectors.Cursor) (cursor, error) {
	if from.IsZero() && list == listAll {
		return cursor{List: list, At: &place{}}, nil
	}
	var c cursor
	if err := json.Unmarshal(from, &c); err != nil || c.V != cursorVersion || c.List != list || (list == listAll && c.At == nil && !c.End) {
		return cursor{}, connectors.ForeignCursor(op)
	}
	return c, nil
}
