package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/mattn/go-isatty"
)

// plainEvery is how often progress is told where there is no terminal.
const plainEvery = 10 * time.Second

// A terminal that is too narrow cuts lines instead of folding them (DECAWM):
// what is rewritten in place counts its lines.
const wrapOff, wrapOn = "\x1b[?7l", "\x1b[?7h"

// progress is the line on long work: rewritten in place on a terminal, a plain
// line now and then elsewhere.
type progress struct {
	w       io.Writer
	tty     bool
	began   time.Time
	written time.Time
	last    string
	open    bool
	// lines is how many lines of a block stand on the terminal.
	lines int
}

func newProgress(w io.Writer) *progress {
	f, ok := w.(*os.File)
	now := time.Now()
	return &progress{w: w, tty: ok && isatty.IsTerminal(f.Fd()), began: now, written: now}
}

// update shows text.
func (p *progress) update(text string) {
	text = printable(text)
	if text == p.last {
		return
	}
	if p.tty {
		_, _ = fmt.Fprintf(p.w, "\r\x1b[K%s%s%s", wrapOff, text, wrapOn)
		p.last, p.open = text, true
		return
	}
	if now := time.Now(); now.Sub(p.written) >= plainEvery {
		_, _ = fmt.Fprintln(p.w, text)
		p.last, p.written = text, now
	}
}

// done removes the line from a terminal.
func (p *progress) done() {
	if p.open {
		_, _ = fmt.Fprint(p.w, "\r\x1b[K")
		p.open, p.last = false, ""
	}
}

// block shows several lines in place of those that it showed before. It is for
// terminals.
func (p *progress) block(text string) {
	if p.lines > 0 {
		_, _ = fmt.Fprintf(p.w, "\x1b[%dA\x1b[J", p.lines)
	}
	_, _ = fmt.Fprint(p.w, wrapOff, text, wrapOn)
	p.lines = strings.Count(text, "\n")
}
