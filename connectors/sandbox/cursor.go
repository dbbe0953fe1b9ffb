package sandbox

import (
	"encoding/json"

	"tributary/connectors"
)

// cursorVersion is raised when stored cursors can no longer be read.
const cursorVersion = 1

// The lists that a cursor can stand in.
const (
	listItems   = "items"
	listChanges = "changes"
)

// cursor is the JSON form of a position. Token is the sandbox's own page token;
// End says that the listing is over.
type cursor struct {
	V     int    `json:"v"`
	List  string `json:"list"`
	Token string `json:"token,omitempty"`
	End   bool   `json:"end,omitempty"`
}

func (c cursor) encode() connectors.Cursor {
	c.V = cursorVersion
	return connectors.EncodeCursor(c)
}

// parseCursor reads a cursor of list; one of another form is CursorExpired.
func parseCursor(op, list string, from connectors.Cursor) (cursor, error) {
	if from.IsZero() && list == listItems {
		return cursor{List: list}, nil
	}
	var c cursor
	if err := json.Unmarshal(from, &c); err != nil || c.V != cursorVersion || c.List != list || (c.Token == "" && !c.End) {
		return cursor{}, connectors.ForeignCursor(op)
	}
	return c, nil
}
