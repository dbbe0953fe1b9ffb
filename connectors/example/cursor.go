package example

import (
	"encoding/json"

	"tributary/connectors"
)

// cursorVersion is raised when stored cursors can no longer be read.
const cursorVersion = 1

// cursor is the JSON form of a position: the API's own page token, or the end.
type cursor struct {
	V     int    `json:"v"`
	Token string `json:"token,omitempty"`
	End   bool   `json:"end,omitempty"`
}

func (c cursor) encode() connectors.Cursor {
	c.V = cursorVersion
	return connectors.EncodeCursor(c)
}

// parseCursor reads a cursor; one of another form is CursorExpired.
func parseCursor(op string, from connectors.Cursor) (cursor, error) {
	var c cursor
	if from.IsZero() {
		return c, nil
	}
	if err := json.Unmarshal(from, &c); err != nil || c.V != cursorVersion || (c.Token == "") != c.End {
		return cursor{}, connectors.ForeignCursor(op)
	}
	return c, nil
}
