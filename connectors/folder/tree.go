package folder

import (
	"errors"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// inode is what fstat tells about a file.
type inode struct {
	dev, ino     uint64
	mode         uint32
	uid, gid     uint32
	size         int64
	mtime, ctime int64
}

func (n inode) isDir() bool     { return n.mode&unix.S_IFMT == unix.S_IFDIR }
func (n inode) isRegular() bool { return n.mode&unix.S_IFMT == unix.S_IFREG }

// isSame reports whether n and o are one file, changed or not.
func (n inode) isSame(o inode) bool { return n.dev == o.dev && n.ino == o.ino }

// whyNoFile says what a file that is neither regular nor a directory is.
func (n inode) whyNoFile() string {
	switch n.mode & unix.S_IFMT {
	case unix.S_IFLNK:
		return "symbolic link: not followed"
	case unix.S_IFIFO:
		return "named pipe: not a document"
	case unix.S_IFSOCK:
		return "socket: not a document"
	case unix.S_IFCHR, unix.S_IFBLK:
		return "device: not a document"
	default:
		return "not a regular file"
	}
}

// retrying repeats a system call that a signal interrupted.
func retrying(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// statAt describes name in the directory, without following a link.
func statAt(dir int, name string) (inode, error) {
	var st unix.Stat_t
	err := retrying(func() error { return unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW) })
	if err != nil {
		return inode{}, err
	}
	return inodeOf(&st), nil
}

func statFD(fd int) (inode, error) {
	var st unix.Stat_t
	if err := retrying(func() error { return unix.Fstat(fd, &st) }); err != nil {
		return inode{}, err
	}
	return inodeOf(&st), nil
}

// openAt opens one element of the directory. SECURITY: O_NOFOLLOW holds and
// name is a single element, so what is opened lies in dir itself; O_NONBLOCK
// keeps a named pipe from blocking the walk.
func openAt(dir int, name string, flags int) (int, error) {
	if name == "" || name == ".." || strings.ContainsRune(name, '/') {
		return -1, unix.EINVAL
	}
	fd := -1
	err := retrying(func() error {
		var err error
		fd, err = unix.Openat(dir, name, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
		return err
	})
	return fd, err
}

// descend opens the directory that elems lead to from dir, with flags for the
// last of them; visit, where not nil, sees every directory below dir on the
// way. The caller closes the result.
func descend(dir int, elems []string, flags int, visit func(fd int) error) (int, error) {
	if len(elems) == 0 {
		return openAt(dir, ".", flags|unix.O_DIRECTORY)
	}
	cur := dir
	for i, el := range elems {
		f := searchOnly
		if i == len(elems)-1 {
			f = flags
		}
		next, err := openAt(cur, el, f|unix.O_DIRECTORY)
		if cur != dir {
			closeFD(cur)
		}
		if err == nil && visit != nil {
			if err = visit(next); err != nil {
				closeFD(next)
			}
		}
		if err != nil {
			return -1, err
		}
		cur = next
	}
	return cur, nil
}

// closeFD closes a descriptor that was only read: nothing can be lost.
func closeFD(fd int) { _ = unix.Close(fd) }

// readNames returns the names in the directory in byte order. With an error it
// returns those read so far.
func readNames(fd int) ([]string, error) {
	var names []string
	buf := make([]byte, 32<<10)
	for {
		n := 0
		err := retrying(func() error {
			var err error
			n, err = unix.ReadDirent(fd, buf)
			return err
		})
		if err != nil || n <= 0 {
			slices.Sort(names)
			return names, err
		}
		_, _, names = unix.ParseDirent(buf[:n], -1, names)
	}
}

// elements cuts a relative path; "" has none.
func elements(rel string) []string {
	if rel == "" {
		return nil
	}
	return strings.Split(rel, "/")
}

// validPath reports whether rel is a clean path below the root.
func validPath(rel string) bool {
	if rel == "" || strings.ContainsRune(rel, 0) {
		return false
	}
	for el := range strings.SplitSeq(rel, "/") {
		if el == "" || el == "." || el == ".." {
			return false
		}
	}
	return true
}

// errnoText says in plain words why a file could not be used.
func errnoText(err error) string {
	switch {
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return "permission denied"
	case errors.Is(err, unix.ENOENT):
		return "no such file or directory"
	case errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENOTDIR):
		return "changed while listing"
	}
	if no, ok := errors.AsType[unix.Errno](err); ok {
		return no.Error()
	}
	return err.Error()
}

// isGone reports whether err says that the file does not exist.
func isGone(err error) bool { return errors.Is(err, unix.ENOENT) }

// isExhausted reports whether err speaks of this process rather than the file.
func isExhausted(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) || errors.Is(err, unix.ENOMEM)
}
