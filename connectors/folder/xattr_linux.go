package folder

import (
	"errors"
	"runtime"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// xattrs reads extended attributes by directory and name, without following a
// link. It is used by one walk.
type xattrs struct {
	// direct says that the kernel has getxattrat(2), Linux 6.13 and newer.
	direct bool
	buf    []byte
	path   []byte
}

// An ACL has eight bytes an entry and is rarely long; the kernel clears as much
// memory as it is offered at every call. No attribute is longer than maxXattr
// (xattr(7)).
const (
	usualXattr = 512
	maxXattr   = 64 << 10
)

func newXattrs() *xattrs {
	x := &xattrs{direct: true, buf: make([]byte, usualXattr)}
	_, err := x.getAt(unix.AT_FDCWD, "/", aclXattr)
	// Older kernels answer ENOSYS, and some system call filters EPERM.
	x.direct = err == nil || isNoAttribute(err)
	return x
}

// ofFD returns an attribute of the inode open as fd, which may be open for its
// path only. The result is valid until the next call.
func (x *xattrs) ofFD(fd int, attr string) ([]byte, error) {
	path := string(x.procPath(fd))
	return x.read(func() (int, error) { return unix.Getxattr(path, attr, x.buf) })
}

// ofName returns an attribute of name in the directory. The result is valid
// until the next call.
func (x *xattrs) ofName(dir int, name, attr string) ([]byte, error) {
	if x.direct {
		return x.getAt(dir, name, attr)
	}
	path := string(append(append(x.procPath(dir), '/'), name...))
	return x.read(func() (int, error) { return unix.Lgetxattr(path, attr, x.buf) })
}

// procPath is a path to the open file itself (proc_pid_fd(5)).
func (x *xattrs) procPath(fd int) []byte {
	x.path = append(x.path[:0], "/proc/self/fd/"...)
	x.path = strconv.AppendInt(x.path, int64(fd), 10)
	return x.path
}

// read calls get, again with a larger buffer if it asks for one.
func (x *xattrs) read(get func() (int, error)) ([]byte, error) {
	for {
		n := 0
		err := retrying(func() error {
			var err error
			n, err = get()
			return err
		})
		switch {
		case errors.Is(err, unix.ERANGE) && len(x.buf) < maxXattr:
			x.buf = make([]byte, maxXattr)
		case err != nil:
			return nil, err
		default:
			return x.buf[:n], nil
		}
	}
}

// xattrArgs is struct xattr_args of linux/xattr.h.
type xattrArgs struct {
	value uint64
	size  uint32
	flags uint32
}

// getAt is getxattrat(2), which golang.org/x/sys does not wrap.
func (x *xattrs) getAt(dir int, name, attr string) ([]byte, error) {
	path, err := unix.BytePtrFromString(name)
	if err != nil {
		return nil, err
	}
	key, err := unix.BytePtrFromString(attr)
	if err != nil {
		return nil, err
	}
	return x.read(func() (int, error) {
		// SECURITY: the kernel writes at most size bytes to value, which is pinned
		// for the call because it travels as a number inside args.
		var pin runtime.Pinner
		defer pin.Unpin()
		value := unsafe.SliceData(x.buf) //nolint:gosec // the address of the buffer
		pin.Pin(value)
		args := xattrArgs{value: uint64(uintptr(unsafe.Pointer(value))), size: uint32(len(x.buf))} //nolint:gosec // at most maxXattr
		n, _, errno := unix.Syscall6(unix.SYS_GETXATTRAT,
			uintptr(dir), uintptr(unsafe.Pointer(path)), unix.AT_SYMLINK_NOFOLLOW, //nolint:gosec // a string that ends with NUL
			uintptr(unsafe.Pointer(key)), uintptr(unsafe.Pointer(&args)), unsafe.Sizeof(args)) //nolint:gosec // as above
		if errno != 0 {
			return 0, errno
		}
		return int(n), nil
	})
}

// isNoAttribute reports whether err says that there is no such attribute: the
// file has none, or its file system keeps none (getxattr(2)).
func isNoAttribute(err error) bool {
	return errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP)
}
