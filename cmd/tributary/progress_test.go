package main

import (
	"bytes"
	"testing"
)

// A block is drawn over the one before, and no line of it is ever two lines of the terminal.
func TestProgressIsDrawnInPlace(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	p := &progress{w: &out, tty: true}
	p.block("a\nb\n")
	p.block("c\n")
	p.update("line")
	p.done()
	const want = "\x1b[?7la\nb\n\x1b[?7h" + "\x1b[2A\x1b[J\x1b[?7lc\n\x1b[?7h" + "\r\x1b[K\x1b[?7lline\x1b[?7h" + "\r\x1b[K"
	if got := out.String(); got != want {
		t.Errorf("drew %q, want %q", got, want)
	}
}
