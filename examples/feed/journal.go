package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
)

// journal keeps the copy on disk: its first line may be a whole state, and every
// line after it is a page, with a checksum before it. A line that was not written
// to its end when the program was killed is cut off, and its page asked for again.
type journal struct {
	file *os.File
	path string
	size int64
	// base is the size after the last compaction.
	base int64
}

// entry is a line of the journal.
type entry struct {
	State *state `json:"state,omitempty"`
	Page  *page  `json:"page,omitempty"`
}

// openJournal returns the journal at path with the state that it holds.
func openJournal(path string) (*journal, *state, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("opening the journal: %w", err)
	}
	j, s := &journal{file: f, path: path}, newState()
	r := bufio.NewReader(f)
	for {
		line, err := r.ReadBytes('\n')
		e, ok := parseLine(line)
		if errors.Is(err, io.EOF) || err == nil && !ok {
			break
		}
		if err != nil {
			return nil, nil, fmt.Errorf("reading the journal: %w", err)
		}
		if e.State != nil {
			s = e.State
			s.unpack()
		}
		if e.Page != nil {
			s.apply(*e.Page)
		}
		j.size += int64(len(line))
	}
	j.base = j.size
	if err := f.Truncate(j.size); err != nil {
		return nil, nil, fmt.Errorf("cutting the journal: %w", err)
	}
	if _, err := f.Seek(j.size, io.SeekStart); err != nil {
		return nil, nil, fmt.Errorf("reading the journal: %w", err)
	}
	return j, s, nil
}

func parseLine(line []byte) (entry, bool) {
	var e entry
	sum, data, ok := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(" "))
	return e, ok && string(sum) == checksum(data) && json.Unmarshal(data, &e) == nil
}

func checksum(data []byte) string { return fmt.Sprintf("%08x", crc32.ChecksumIEEE(data)) }

func lineOf(e entry) ([]byte, error) {
	data, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("writing the journal: %w", err)
	}
	return fmt.Appendf(nil, "%s %s\n", checksum(data), data), nil
}

// add writes a page, whole and durable, before the copy counts as that far.
func (j *journal) add(p page) error {
	line, err := lineOf(entry{Page: &p})
	if err != nil {
		return err
	}
	if _, err := j.file.Write(line); err != nil {
		return fmt.Errorf("writing the journal: %w", err)
	}
	j.size += int64(len(line))
	if err := j.file.Sync(); err != nil {
		return fmt.Errorf("writing the journal: %w", err)
	}
	return nil
}

// compactAt is how much a journal grows before it is written anew.
const compactAt = 1 << 20

// compact writes the state in place of the pages that led to it, where they have
// become many.
func (j *journal) compact(s *state) error {
	if j.size < j.base*2+compactAt {
		return nil
	}
	s.pack()
	line, err := lineOf(entry{State: s})
	if err != nil {
		return err
	}
	next, err := os.CreateTemp(filepath.Dir(j.path), ".journal-*")
	if err != nil {
		return fmt.Errorf("compacting the journal: %w", err)
	}
	_, err = next.Write(line)
	if err = errors.Join(err, next.Sync()); err == nil {
		err = os.Rename(next.Name(), j.path)
	}
	if err != nil {
		return fmt.Errorf("compacting the journal: %w", errors.Join(err, next.Close(), os.Remove(next.Name())))
	}
	_ = j.file.Close() // it has no name any more
	j.file, j.size, j.base = next, int64(len(line)), int64(len(line))
	return nil
}

func (s *state) pack() {
	s.Pairs = map[string][][3]int64{}
	for c, m := range s.Members {
		for p, n := range m {
			s.Pairs[c] = append(s.Pairs[c], [3]int64{p[0], p[1], int64(n)})
		}
	}
}

func (s *state) unpack() {
	s.Members = map[string]map[[2]int64]int{}
	for c, list := range s.Pairs {
		s.Members[c] = map[[2]int64]int{}
		for _, p := range list {
			s.Members[c][[2]int64{p[0], p[1]}] = int(p[2])
		}
	}
}
