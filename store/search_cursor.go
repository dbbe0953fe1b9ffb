package store

import (
	"crypto/sha256"
	"encoding/base64"
)

// maxShown bounds how many results the pages of one search give together.
const maxShown = 900

// shownBytes is how much of the hash of a chunk's id a cursor keeps.
const shownBytes = 8

// shownChunk stands for a chunk in a cursor.
type shownChunk [shownBytes]byte

func shownOf(id ChunkID) shownChunk {
	sum := sha256.Sum256([]byte(id.String()))
	return shownChunk(sum[:shownBytes])
}

// shown are the chunks that earlier pages gave, in their order. A cursor holds
// them rather than a place: a page is what is best among all others, so that
// nothing stands on two pages, or on none, because something else came or went
// between them.
type shown []shownChunk

// readCursor returns what a cursor says was shown; "" is nothing.
func readCursor(cursor string) (shown, error) {
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || len(raw)%shownBytes != 0 || len(raw) > maxShown*shownBytes {
		return nil, &InputError{Field: "cursor", Problem: "is not a next_cursor of an earlier answer"}
	}
	out := make(shown, 0, len(raw)/shownBytes)
	for ; len(raw) > 0; raw = raw[shownBytes:] {
		out = append(out, shownChunk(raw[:shownBytes]))
	}
	return out, nil
}

func (s shown) set() map[shownChunk]bool {
	out := make(map[shownChunk]bool, len(s))
	for _, c := range s {
		out[c] = true
	}
	return out
}

// next is the cursor of the page behind results, nil where there may be none.
func (s shown) next(results []SearchResult) *string {
	if len(s)+len(results) > maxShown {
		return nil
	}
	raw := make([]byte, 0, (len(s)+len(results))*shownBytes)
	for _, c := range s {
		raw = append(raw, c[:]...)
	}
	for _, r := range results {
		c := shownOf(r.ChunkID)
		raw = append(raw, c[:]...)
	}
	cursor := base64.RawURLEncoding.EncodeToString(raw)
	return &cursor
}
