package folder

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"tributary/connectors"
)

// tree is an open root directory.
type tree struct {
	// path is the root with symbolic links resolved.
	path string
	fd   int
	node inode
}

func (t *tree) close() error { return unix.Close(t.fd) }

// openRoot resolves path and opens it, if it lies in one of the allowed
// directories; nil allows all.
func openRoot(path string, allowed []string) (*tree, error) {
	const op = "opening folder"
	outside := invalid(op, settingPath, fmt.Errorf("%s lies outside the directories that may be connected: choose one below %s, or have the operator allow it",
		path, orNone(allowed)))
	within := resolveAll(allowed)
	// Checked before the file system is asked, so that the answer does not tell
	// what exists elsewhere.
	if allowed != nil && !isBelow(path, within) {
		return nil, outside
	}
	resolved, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, rootError(path, err)
	}
	// SECURITY: a link below an allowed root may lead out of it.
	if allowed != nil && !isBelow(resolved, within) {
		return nil, outside
	}
	fd, err := openAbsolute(resolved, unix.O_RDONLY, nil)
	if err != nil {
		return nil, rootError(path, err)
	}
	n, err := statFD(fd)
	if err == nil {
		// Readable means that it can be listed, not only opened.
		_, err = unix.ReadDirent(fd, make([]byte, 8<<10))
	}
	if err != nil {
		closeFD(fd)
		return nil, rootError(path, err)
	}
	return &tree{path: resolved, fd: fd, node: n}, nil
}

// openAbsolute opens a directory from "/" on, element by element, without
// following a link. visit, where not nil, sees every directory on the way, "/"
// and the directory itself included.
func openAbsolute(path string, flags int, visit func(fd int) error) (int, error) {
	slash, err := unix.Open("/", searchOnly|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	defer closeFD(slash)
	if visit != nil {
		if err := visit(slash); err != nil {
			return -1, err
		}
	}
	return descend(slash, elements(strings.Trim(path, "/")), flags, visit)
}

func rootError(path string, err error) error {
	const op = "opening folder"
	var why error
	switch text := errnoText(err); {
	case isGone(err):
		why = fmt.Errorf("%s does not exist: create it or correct the path", path)
	case text == "permission denied":
		why = fmt.Errorf("%s cannot be read: let the account that runs tributary (uid %d) list it", path, os.Geteuid())
	case text == "changed while listing":
		why = fmt.Errorf("%s is not a directory: name the directory that holds the files", path)
	default:
		return &connectors.Error{Op: op, Class: connectors.Transient, Err: fmt.Errorf("%s: %w", settingPath, err)}
	}
	return invalid(op, settingPath, why)
}

// resolveAll returns each directory as given and with links resolved.
func resolveAll(dirs []string) []string {
	var all []string
	for _, d := range dirs {
		if d == "" || !filepath.IsAbs(d) {
			continue
		}
		d = filepath.Clean(d)
		all = append(all, d)
		if r, err := filepath.EvalSymlinks(d); err == nil && r != d {
			all = append(all, r)
		}
	}
	return all
}

// isBelow reports whether path is one of the directories or lies below it.
func isBelow(path string, dirs []string) bool {
	for _, d := range dirs {
		if path == d || strings.HasPrefix(path, strings.TrimSuffix(d, "/")+"/") {
			return true
		}
	}
	return false
}

func orNone(dirs []string) string {
	if len(dirs) == 0 {
		return "an allowed root (none is set)"
	}
	return strings.Join(dirs, ", ")
}
