package folder

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"tributary/connectors"
)

const cursorVersion = 1

// cursor is a place in the walk. Its JSON is stored and pinned by a golden
// test.
type cursor struct {
	Version int `json:"v"`
	// Walk names the root and the selection that the place belongs to.
	Walk string `json:"walk"`
	// After is the id of the last entry that is done, with all below it.
	After string `json:"after,omitempty"`
	// Done is set at the end, and counts how often the end was asked for.
	Done int `json:"done,omitempty"`
}

func (c cursor) encode() connectors.Cursor {
	b, err := json.Marshal(c)
	if err != nil {
		panic("folder: a cursor of strings and numbers always encodes: " + err.Error())
	}
	return b
}

// decodeCursor reads from for the walk. A cursor of another version, root or
// selection is of class CursorExpired: the walk starts again.
func decodeCursor(from connectors.Cursor, walk string) (cursor, error) {
	start := cursor{Version: cursorVersion, Walk: walk}
	if from.IsZero() {
		return start, nil
	}
	expired := func(err error) error {
		return &connectors.Error{Op: "reading folder cursor", Class: connectors.CursorExpired, Err: err}
	}
	var c cursor
	if err := json.Unmarshal(from, &c); err != nil {
		return start, expired(err)
	}
	switch {
	case c.Version != cursorVersion:
		return start, expired(fmt.Errorf("version %d is not %d", c.Version, cursorVersion))
	case c.Walk != walk:
		return start, expired(errors.New("the root or the selection has changed"))
	case c.After != "" && !validPath(decodeID(c.After)):
		return start, expired(errors.New("the place is not a path below the root"))
	}
	return c, nil
}

// walkName is a short name for what a walk covers: the root as a directory of a
// file system, so that another disk mounted there starts anew, and the
// selection.
func walkName(t *tree, sel connectors.Selection) string {
	h := sha256.New()
	fmt.Fprintf(h, "%q %d %d", t.path, t.node.dev, t.node.ino)
	for _, list := range [][]string{sel.Include, sel.Exclude, sel.Containers} {
		fmt.Fprintf(h, " [%s]", quoteAll(list))
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

func quoteAll(list []string) string {
	q := make([]string, len(list))
	for i, s := range list {
		q[i] = fmt.Sprintf("%q", s)
	}
	return strings.Join(q, " ")
}
