package googledrive

import (
	"encoding/json"

	"tributary/connectors"
)

// cursorVersion is raised when stored cursors can no longer be read.
const cursorVersion = 1

// The lists that a cursor can stand in.
const (
	listFiles   = "files"
	listChanges = "changes"
)

// listCursor is a place in the list of files: Token is Google's page token in
// the corpus At, End says that the listing is over.
type listCursor struct {
	V     int    `json:"v"`
	List  string `json:"list"`
	At    corpus `json:"at,omitempty"`
	Token string `json:"token,omitempty"`
	End   bool   `json:"end,omitempty"`
}

// feedCursor is a place in the logs of changes: one of the account, where it is
// followed, and one for each shared drive.
type feedCursor struct {
	V      int               `json:"v"`
	List   string            `json:"list"`
	User   string            `json:"user,omitempty"`
	Drives map[string]string `json:"drives,omitempty"`
	// New is a shared drive that is being listed because it has come since.
	New *newDrive `json:"new,omitempty"`
	// Walk are folders that changed, whose files are still to be read, as
	// "drive/folder". WalkToken is a place in the files of the first Batch, Walked
	// counts the folders before.
	Walk      []string `json:"walk,omitempty"`
	WalkToken string   `json:"walk_token,omitempty"`
	Batch     int      `json:"batch,omitempty"`
	Walked    int      `json:"walked,omitempty"`
}

// newDrive is where the listing of a drive stands, and where its log began.
type newDrive struct {
	ID    string `json:"id"`
	Start string `json:"start"`
	Token string `json:"token,omitempty"`
}

func (c listCursor) encode() connectors.Cursor {
	c.V, c.List = cursorVersion, listFiles
	return connectors.EncodeCursor(c)
}

func (c feedCursor) encode() connectors.Cursor {
	c.V, c.List = cursorVersion, listChanges
	return connectors.EncodeCursor(c)
}

func parseListCursor(op string, from connectors.Cursor) (listCursor, error) {
	if from.IsZero() {
		return listCursor{}, nil
	}
	var c listCursor
	if err := json.Unmarshal(from, &c); err != nil || c.V != cursorVersion || c.List != listFiles {
		return c, connectors.ForeignCursor(op)
	}
	return c, nil
}

func parseFeedCursor(op string, from connectors.Cursor) (feedCursor, error) {
	var c feedCursor
	if err := json.Unmarshal(from, &c); err != nil || c.V != cursorVersion || c.List != listChanges || (c.New != nil && c.New.ID == "") || c.Batch < 0 || c.Batch > len(c.Walk) {
		return c, connectors.ForeignCursor(op)
	}
	return c, nil
}
