package folder

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"tributary/connectors"
)

// maxDepth bounds the directories that a walk holds open at a time.
const maxDepth = 256

// walk visits a tree in the byte order of its path elements, directory by
// directory. It holds the names of the directories that it is in, and nothing
// else of the tree.
type walk struct {
	s    *session
	acls *aclReader // nil with permissions=fixed
	out  visitor
	// above are the directories that the walk is in, from the root on.
	above []inode
}

// visitor receives what a walk finds. An error ends the walk.
type visitor interface {
	// file receives a selected file that is regular.
	file(f *file) error
	// skip receives a selected entry that cannot be a document.
	skip(path string, n inode, reason string) error
	// block receives a directory that could not be listed, or not to its end.
	block(path, reason string) error
	// lost receives an entry that may be a file or a directory.
	lost(path, reason string) error
	// pass says that nothing selected stands at the path.
	pass(path string) error
}

// file is one regular file while the walk stands at it.
type file struct {
	dir  *directory
	name string
	path string
	node inode
}

// directory is an open directory of the walk.
type directory struct {
	fd   int
	path string // "" for the root
	rule rule
	// judged are the answers for files without an extended ACL.
	judged map[aclKey]judged
}

// newWalk prepares a walk from the root on.
func (s *session) newWalk(out visitor) *walk {
	w := &walk{s: s, out: out}
	if s.settings.permissions == permissionsPOSIX {
		w.acls = newACLReader(s.clock)
	}
	return w
}

// run walks everything after the path; "" is everything.
func (w *walk) run(ctx context.Context, after string) error {
	root, err := w.openRoot()
	if err != nil {
		return err
	}
	defer closeFD(root.fd)
	return w.dir(ctx, root, elements(after))
}

// openRoot opens the root again from "/" on, reading the permissions of every
// ancestor on the way.
func (w *walk) openRoot() (*directory, error) {
	const op = "opening folder"
	var r rule
	var visit func(fd int) error
	if w.acls != nil {
		visit = func(fd int) error {
			r = w.acls.require(r, fd, searchBit)
			return nil
		}
	}
	fd, err := openAbsolute(w.s.root.path, unix.O_RDONLY, visit)
	if err != nil {
		return nil, rootError(w.s.root.path, err)
	}
	n, err := statFD(fd)
	if err == nil && !n.isSame(w.s.root.node) {
		err = errors.New("the root was replaced by another directory")
	}
	if err != nil {
		closeFD(fd)
		return nil, &connectors.Error{Op: op, Class: connectors.Transient, Err: err}
	}
	w.above = append(w.above[:0], n)
	return &directory{fd: fd, rule: r}, nil
}

// dir walks the open directory, from the entry after[0] on: below it if it is
// more than a name, else after it.
func (w *walk) dir(ctx context.Context, d *directory, after []string) error {
	names, readErr := readNames(d.fd)
	if readErr != nil && (d.path == "" || isExhausted(readErr)) {
		return transient("reading directory", d.path, readErr)
	}
	for _, name := range names {
		if name == "." || name == ".." {
			continue
		}
		var below []string
		if len(after) > 0 {
			if name < after[0] || name == after[0] && len(after) == 1 {
				continue
			}
			if name == after[0] {
				below = after[1:]
			}
			after = nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := w.entry(ctx, d, name, below); err != nil {
			return err
		}
	}
	if readErr != nil {
		return w.out.block(d.path, errnoText(readErr))
	}
	return nil
}

// entry visits one name of the directory.
func (w *walk) entry(ctx context.Context, d *directory, name string, after []string) error {
	p := name
	if d.path != "" {
		p = d.path + "/" + name
	}
	n, err := inode{}, w.s.cfg.trip(stepEntry, p)
	if err == nil {
		n, err = statAt(d.fd, name)
	}
	switch {
	case isGone(err):
		return nil // deleted while listing
	case isExhausted(err):
		return transient("reading entry", p, err)
	case err != nil && !w.s.sel.dir(p) && !w.s.sel.file(p):
		return w.out.pass(p)
	case err != nil:
		return w.out.lost(p, errnoText(err))
	case n.isDir():
		if !w.s.sel.dir(p) {
			return w.out.pass(p)
		}
		return w.subdir(ctx, d, name, p, n, after)
	case !w.s.sel.file(p):
		return w.out.pass(p)
	case !n.isRegular():
		return w.out.skip(p, n, n.whyNoFile())
	default:
		return w.out.file(&file{dir: d, name: name, path: p, node: n})
	}
}

// transient is the error of a step that fails for reasons outside the file.
func transient(what, path string, err error) error {
	return &connectors.Error{Op: "listing folder", Class: connectors.Transient, Err: fmt.Errorf("%s %q: %w", what, path, err)}
}

// subdir walks one directory below d.
func (w *walk) subdir(ctx context.Context, d *directory, name, p string, n inode, after []string) error {
	for i, a := range w.above {
		if a.isSame(n) {
			return w.out.skip(p, n, fmt.Sprintf("directory loop: the same directory as %s", ancestor(p, i)))
		}
	}
	if len(w.above) >= maxDepth {
		return w.out.block(p, fmt.Sprintf("more than %d directories deep", maxDepth))
	}
	fd, err := -1, w.s.cfg.trip(stepDirectory, p)
	if err == nil {
		fd, err = openAt(d.fd, name, unix.O_RDONLY|unix.O_DIRECTORY)
	}
	switch {
	case isGone(err):
		return nil
	case isExhausted(err):
		return transient("opening directory", p, err)
	case err != nil:
		return w.out.block(p, errnoText(err))
	}
	defer closeFD(fd)
	sub := &directory{fd: fd, path: p, rule: d.rule}
	opened, err := statFD(fd)
	if err != nil {
		return w.out.block(p, errnoText(err))
	}
	if w.acls != nil {
		sub.rule = w.acls.require(d.rule, fd, searchBit)
	}
	w.above = append(w.above, opened)
	defer func() { w.above = w.above[:len(w.above)-1] }()
	return w.dir(ctx, sub, after)
}

// ancestor names the i-th directory above p for a person.
func ancestor(p string, i int) string {
	if i == 0 {
		return "the root"
	}
	return path.Join(strings.Split(p, "/")[:i]...)
}

// aclKey is all that decides who may read a file without an extended ACL in a
// given directory.
type aclKey struct {
	uid, gid, perm uint32
}

// judged is an ACL and whether an inverted mode stands behind it.
type judged struct {
	acl      connectors.ACL
	inverted bool
}

// judge returns who may read the file.
func (w *walk) judge(f *file) judged {
	if w.acls == nil {
		return judged{acl: w.s.fixed}
	}
	list, err := acl{}, w.s.cfg.trip(stepPermissions, f.path)
	if err == nil {
		list, err = w.acls.listAt(f.dir.fd, f.name, f.node)
	}
	if err != nil {
		return judged{}
	}
	key := aclKey{f.node.uid, f.node.gid, f.node.mode & 0o777}
	if list.extended {
		return f.dir.judge(list, w.acls.ids)
	}
	j, ok := f.dir.judged[key]
	if !ok {
		j = f.dir.judge(list, w.acls.ids)
		if f.dir.judged == nil {
			f.dir.judged = map[aclKey]judged{}
		}
		f.dir.judged[key] = j
	}
	return j
}

// judge returns who may read a file with the list in the directory.
func (d *directory) judge(list acl, ids idSpace) judged {
	r := d.rule.require(list, readBit, ids)
	return judged{acl: r.acl(), inverted: r.inverted && !r.unknown}
}
