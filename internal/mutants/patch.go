package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// mutant is one mistake.
type mutant struct {
	// name is that of its file, bug its first line.
	name, bug string
	hunks     []hunk
}

// hunk replaces lines of a file, which stand in it once.
type hunk struct{ file, old, text string }

// load reads the mutants under testdata in the order of their names.
func load(dir fs.FS) ([]mutant, error) {
	names, err := fs.Glob(dir, "*.patch")
	if err != nil {
		return nil, err
	}
	var out []mutant
	for _, name := range names {
		text, err := fs.ReadFile(dir, name)
		if err != nil {
			return nil, fmt.Errorf("reading mutants: %w", err)
		}
		m, err := parse(string(text))
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
		m.name = strings.TrimSuffix(name, ".patch")
		out = append(out, m)
	}
	return out, nil
}

// parse reads a patch in unified form. The numbers of its lines count for
// nothing: a hunk is found by what it replaces.
func parse(text string) (mutant, error) {
	bug, _, _ := strings.Cut(text, "\n")
	m := mutant{bug: bug}
	file, in := "", false
	for line := range strings.Lines(text) {
		switch {
		case strings.HasPrefix(line, "--- a/"):
			file, in = strings.TrimSpace(strings.TrimPrefix(line, "--- a/")), false
		case strings.HasPrefix(line, "@@ ") && file != "":
			m.hunks, in = append(m.hunks, hunk{file: file}), true
		case in:
			h, rest := &m.hunks[len(m.hunks)-1], line[1:]
			if line[0] != '+' {
				h.old += rest
			}
			if line[0] != '-' {
				h.text += rest
			}
		}
	}
	if len(m.hunks) == 0 {
		return m, errors.New("it changes nothing: a patch in unified form is wanted")
	}
	return m, nil
}

// apply returns the files that m changes, by their paths, as m leaves them.
func (m mutant) apply(root string) (map[string]string, error) {
	out := map[string]string{}
	for _, h := range m.hunks {
		path := filepath.Join(root, h.file)
		text, ok := out[path]
		if !ok {
			raw, err := os.ReadFile(path)
			if err != nil {
				return nil, fmt.Errorf("%s does not apply: %w", m.name, err)
			}
			text = "\n" + string(raw)
		}
		at := strings.Index(text, "\n"+h.old)
		if at < 0 || at != strings.LastIndex(text, "\n"+h.old) {
			return nil, fmt.Errorf("%s does not apply: these lines have to stand in %s once:\n%s", m.name, h.file, h.old)
		}
		out[path] = text[:at+1] + h.text + text[at+1+len(h.old):]
	}
	for path, text := range out {
		out[path] = text[1:]
	}
	return out, nil
}
