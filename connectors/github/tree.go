package github

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"path"
	"slices"
	"strings"

	"tributary/connectors"
	"tributary/internal/httpx"
)

// maxTree bounds the files of one repository, which are held in memory while
// it is read.
const maxTree = 500_000

// maxTreeDepth is how deep folders may lie in each other.
const maxTreeDepth = 256

var (
	errTreeSize   = errors.New("the repository has more files than can be listed")
	errIncomplete = errors.New("the answer leaves out entries of a single folder")
)

// tree returns every file of a commit, in the order of paths. A listing that
// GitHub cuts short is completed folder by folder.
// https://docs.github.com/rest/git/trees#get-a-tree
func (s *session) tree(ctx context.Context, op string, r *repository, commit string) ([]treeEntry, error) {
	if commit == "" {
		return nil, nil
	}
	entries, err := s.subtree(ctx, op, r, commit, "", 0)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(entries, func(a, b treeEntry) int { return cmp.Compare(a.Path, b.Path) })
	return slices.CompactFunc(entries, func(a, b treeEntry) bool { return a.Path == b.Path }), nil
}

func (s *session) subtree(ctx context.Context, op string, r *repository, sha, prefix string, depth int) ([]treeEntry, error) {
	whole, err := s.treeOnce(ctx, op, r, sha, true)
	if err != nil {
		return nil, err
	}
	if !whole.Truncated {
		return under(prefix, whole.Tree), nil
	}
	here, err := s.treeOnce(ctx, op, r, sha, false)
	if err != nil {
		return nil, err
	}
	if here.Truncated || depth > maxTreeDepth {
		return nil, &connectors.Error{Op: op, Class: connectors.Unknown, Err: errIncomplete}
	}
	all := under(prefix, here.Tree)
	for _, e := range here.Tree {
		if e.Type != typeTree {
			continue
		}
		below, err := s.subtree(ctx, op, r, e.SHA, prefix+e.Path+"/", depth+1)
		if err != nil {
			return nil, err
		}
		if all = append(all, below...); len(all) > maxTree {
			return nil, tooManyFiles(op)
		}
	}
	return all, nil
}

// tooManyFiles closes the repository, and not the others.
func tooManyFiles(op string) error {
	return &connectors.Error{Op: op, Class: connectors.ItemSkipped, Err: errTreeSize}
}

// treeOnce asks for one tree.
func (s *session) treeOnce(ctx context.Context, op string, r *repository, sha string, recursive bool) (tree, error) {
	call := httpx.Call{Op: op, Path: repoPath(r, "git/trees", url.PathEscape(sha))}
	if recursive {
		call.Query = url.Values{"recursive": {"1"}}
	}
	var t tree
	_, err := s.api.JSON(ctx, call, &t)
	return t, err
}

// under returns the entries that are no folders, with their whole paths.
func under(prefix string, entries []treeEntry) []treeEntry {
	var files []treeEntry
	for _, e := range entries {
		if e.Type != typeTree && e.Path != "" {
			e.Path = prefix + e.Path
			files = append(files, e)
		}
	}
	return files
}

// maxFolders is how many folders are asked for one by one before the whole
// tree is cheaper.
const maxFolders = 6

// entries returns those of the paths that a commit has. A few are looked up in
// their folders, many in the whole tree.
func (s *session) entries(ctx context.Context, op string, r *repository, commit string, paths []string) (map[string]treeEntry, error) {
	folders := map[string]bool{".": true}
	for _, p := range paths {
		for d := path.Dir(p); !folders[d] && d != "/"; d = path.Dir(d) {
			folders[d] = true
		}
	}
	found := map[string]treeEntry{}
	if len(folders) <= maxFolders {
		err := s.lookUp(ctx, op, r, commit, "", folders, found)
		return found, err
	}
	all, err := s.tree(ctx, op, r, commit)
	for _, e := range all {
		found[e.Path] = e
	}
	return found, err
}

// lookUp reads the folder at sha, and those of folders below it.
func (s *session) lookUp(
	ctx context.Context, op string, r *repository, sha, prefix string, folders map[string]bool, found map[string]treeEntry,
) error {
	t, err := s.treeOnce(ctx, op, r, sha, false)
	if err != nil {
		return err
	}
	if t.Truncated {
		return &connectors.Error{Op: op, Class: connectors.Unknown, Err: errIncomplete}
	}
	for _, e := range t.Tree {
		at := prefix + e.Path
		if e.Type != typeTree {
			e.Path = at
			found[at] = e
		} else if folders[at] && strings.Count(at, "/") < maxTreeDepth {
			if err := s.lookUp(ctx, op, r, e.SHA, at+"/", folders, found); err != nil {
				return err
			}
		}
	}
	return nil
}
