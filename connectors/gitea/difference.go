package gitea

import (
	"context"
	"errors"
	"maps"
	"slices"

	"tributary/connectors"
)

// difference is what differs between the files of two commits.
type difference struct {
	s       *session
	op      string
	r       *repository
	changed map[string]treeEntry
	gone    map[string]bool
}

// between compares two trees, whose paths begin with prefix, and goes down into directories that differ. "" is no tree.
func (d *difference) between(ctx context.Context, before, after, prefix string) error {
	old, err := d.entriesOf(ctx, before, prefix, after == "")
	if goneCommit(err) {
		// What the branch was cannot be told any more.
		return &connectors.Error{Op: d.op, Class: connectors.CursorExpired, Err: errors.New("the commit that the feed knows is gone")}
	}
	if err != nil {
		return err
	}
	now, err := d.entriesOf(ctx, after, prefix, before == "")
	if err != nil {
		return err
	}
	for _, path := range slices.Sorted(maps.Keys(old)) {
		was, is := old[path], now[path]
		switch {
		case was.Type == entryTree && is.Type == entryTree:
			if was.SHA != is.SHA {
				err = d.between(ctx, was.SHA, is.SHA, path+"/")
			}
		case was.Type == entryTree && after != "":
			err = d.between(ctx, was.SHA, "", path+"/")
		case was.Type != entryTree && (is.SHA == "" || is.Type == entryTree || unread(is) != ""):
			d.gone[path] = true
		}
		if err != nil {
			return err
		}
	}
	for _, path := range slices.Sorted(maps.Keys(now)) {
		was, is := old[path], now[path]
		switch {
		case is.Type == entryTree && was.Type != entryTree && before != "":
			if err := d.between(ctx, "", is.SHA, path+"/"); err != nil {
				return err
			}
		case is.Type != entryTree && (was.SHA != is.SHA || was.Mode != is.Mode):
			d.changed[path] = is
		}
	}
	return nil
}

// entriesOf returns the entries of a tree by path, those below it too where recursive.
func (d *difference) entriesOf(ctx context.Context, sha, prefix string, recursive bool) (map[string]treeEntry, error) {
	out := map[string]treeEntry{}
	if sha == "" {
		return out, nil
	}
	for page := 1; ; page++ {
		t, err := d.s.tree(ctx, d.op, d.r, sha, page, recursive)
		if err != nil {
			return nil, err
		}
		for _, e := range t.Entries {
			e.Path = prefix + e.Path
			if e.Path != prefix && e.SHA != "" {
				out[e.Path] = e
			}
		}
		if !t.Truncated || len(t.Entries) == 0 {
			return out, nil
		}
	}
}

func (d *difference) entries() []treeEntry {
	var out []treeEntry
	for _, path := range slices.Sorted(maps.Keys(d.changed)) {
		out = append(out, d.changed[path])
	}
	return out
}

// deleted returns the paths where no file is any more.
func (d *difference) deleted() []string { return slices.Sorted(maps.Keys(d.gone)) }
