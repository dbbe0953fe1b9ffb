package chunk

import (
	"crypto/sha256"
	"encoding/binary"
)

// Version names the rules of this package in lineage. It is raised whenever Split, Input or Identity would answer differently.
const Version = 1

// Default sizes, in estimated tokens.
const (
	DefaultTargetTokens = 250
	DefaultMaxTokens    = 480
	smallestMaxTokens   = 64
)

// Config bounds the size of chunks. Zero fields take the defaults.
type Config struct {
	TargetTokens int // about the mean size of a chunk inside a long section
	MaxTokens    int // never exceeded by Chunk.Tokens; at least 64
}

// Page is where a page of a paginated document starts, as a byte offset into the text.
type Page struct{ Number, Start int }

// Chunk is a piece of a text.
type Chunk struct {
	Text        string   // exactly text[Start:End]
	Context     string   // heading path, page, repeated table header, language of a continued code block; never part of Text
	Start, End  int      // UTF-8 bytes
	StartCP     int      // Start in code points
	EndCP       int      // End in code points
	Tokens      int      // EstimateTokens(Input(Context, Text))
	HeadingPath []string // titles of the headings above, outermost first; shared between chunks, not to be changed
}

// Split cuts text into chunks in ascending order. It is a pure function of its arguments.
//
// Every character that is not white space lies in exactly one chunk, no chunk starts or ends with a blank line, and no
// chunk has more than cfg.MaxTokens tokens together with its context. pages must ascend by Start. The text must be valid UTF-8
// for offsets to be meaningful; other bytes are kept as they are.
func Split(text string, pages []Page, cfg Config) []Chunk {
	cfg = cfg.normal()
	s := splitter{text: text, pages: pages, limits: limitsOf(cfg)}
	sections(text, s.section)
	return s.out
}

func (c Config) normal() Config {
	if c.TargetTokens <= 0 {
		c.TargetTokens = DefaultTargetTokens
	}
	if c.MaxTokens <= 0 {
		c.MaxTokens = DefaultMaxTokens
	}
	c.MaxTokens = max(c.MaxTokens, smallestMaxTokens)
	c.TargetTokens = max(min(c.TargetTokens, c.MaxTokens), smallestMaxTokens/4)
	return c
}

// Identity names a chunk inside its document: the same text in the same context is the same chunk, wherever it moves.
// nth counts, from 0, the chunks before it that have the same text and context.
func Identity(text, context string, nth int) [32]byte {
	var size [8]byte
	h := sha256.New()
	for _, part := range []string{text, context} {
		binary.BigEndian.PutUint64(size[:], uint64(len(part)))
		h.Write(size[:])
		h.Write([]byte(part))
	}
	binary.BigEndian.PutUint64(size[:], uint64(nth)) //nolint:gosec // a count is never negative
	h.Write(size[:])
	var sum [32]byte
	h.Sum(sum[:0])
	return sum
}

// Input returns exactly what is embedded for a chunk.
func Input(context, text string) string {
	if context == "" {
		return text
	}
	return context + "\n\n" + text
}

// InputHash is the SHA-256 of Input(context, text): two chunks with the same hash have the same vector.
func InputHash(context, text string) [32]byte {
	return sha256.Sum256([]byte(Input(context, text)))
}
