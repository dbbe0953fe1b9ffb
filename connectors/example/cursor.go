package example

import (
	"encoding/json"
	"errors"

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
	data, err := json.Marshal(c)
	if err != nil {
		return nil // a string and a bool always encode
	}
	return data
}

// parseCursor reads a cursor; one of another form is CursorExpired.
func parseCursor(op string, from connectors.Cursor) (cursor, error) {
	var c cursor
	if from.IsZero() {
		return c, nil
	}
	if err := json.Unmarshal(from, &c); err != nil || c.V != cursorVersion || (c.Token == "") != c.End {
		return cursor{}, &connectors.Error{Op: op, Class: connectors.CursorExpired, Err: errors.New("the cursor is not one of this listing")}
	}
	return c, nil
}
