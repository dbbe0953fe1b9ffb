package folder

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// aclXattr holds an inode's extended ACL in the layout of
	// linux/posix_acl_xattr.h: a version, then entries of tag, permission, id.
	aclXattr        = "system.posix_acl_access"
	aclXattrVersion = 2
	aclEntrySize    = 8

	tagUserObj  = 0x01
	tagUser     = 0x02
	tagGroupObj = 0x04
	tagGroup    = 0x08
	tagMask     = 0x10
	tagOther    = 0x20

	// nfs4Xattr is present on NFSv4 mounts whose server has ACLs of another
	// kind (nfs4_acl(5)), which are not evaluated.
	nfs4Xattr = "system.nfs4_acl"
)

// Where a magic number is missing in x/sys/unix: linux/magic.h.
const (
	magicFUSE = 0x65735546
	magicCIFS = 0xff534d42
	magicSMB2 = 0xfe534d42
	magicSMB  = 0x517b
	magic9P   = 0x01021997
	magicAFS  = 0x5346414f
	magicKAFS = 0x6b414653
	magicCODA = 0x73757245
	magicNFS  = 0x6969
)

// aclReader reads the permissions of inodes. It is used by one walk.
type aclReader struct {
	ids idSpace
	now func() time.Time
	// kinds caches what fileSystem said, by device.
	kinds  map[uint64]fsKind
	xattrs *xattrs
}

// fsKind says how a file system decides.
type fsKind int

const (
	// fsPOSIX decides by mode and POSIX ACL.
	fsPOSIX fsKind = iota
	// fsNFS may have NFSv4 ACLs.
	fsNFS
	// fsForeign decides by rules of its own.
	fsForeign
)

func newACLReader(now func() time.Time) *aclReader {
	return &aclReader{ids: readIDSpace(), now: now, kinds: map[uint64]fsKind{}, xattrs: newXattrs()}
}

// canEvaluate returns why POSIX permissions cannot be read on this machine.
func canEvaluate() error {
	if _, err := os.Stat("/proc/self/fd/0"); errors.Is(err, os.ErrNotExist) {
		if _, err := os.Stat("/proc/self/fd"); err != nil {
			return errors.New("reading access control lists needs /proc: mount it, or set permissions=fixed")
		}
	}
	return nil
}

// readIDSpace reads the user namespace's maps.
func readIDSpace() idSpace {
	s := idSpace{
		partial:      !isWholeMap("/proc/self/uid_map") || !isWholeMap("/proc/self/gid_map"),
		overflowUser: readID("/proc/sys/kernel/overflowuid"),
		overflowGrp:  readID("/proc/sys/kernel/overflowgid"),
	}
	return s
}

// isWholeMap reports whether the namespace maps every id.
func isWholeMap(path string) bool {
	b, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	f := bytes.Fields(b)
	return len(f) == 3 && string(f[0]) == "0" && string(f[2]) == "4294967295"
}

func readID(path string) uint32 {
	const nobody = 65534
	b, err := os.ReadFile(path)
	if err != nil {
		return nobody
	}
	n, err := strconv.ParseUint(string(bytes.TrimSpace(b)), 10, 32)
	if err != nil {
		return nobody
	}
	return uint32(n)
}

// require returns r and the bit on the inode open as fd.
func (a *aclReader) require(r rule, fd int, bit uint8) rule {
	n, err := statFD(fd)
	if err != nil {
		return rule{unknown: true}
	}
	list, err := a.list(fd, "", n, func() (inode, error) { return statFD(fd) })
	if err != nil {
		return rule{unknown: true}
	}
	return r.require(list, bit, a.ids)
}

// listAt returns the list of name in the directory, which was described as n.
// An error means that it is not known.
func (a *aclReader) listAt(dir int, name string, n inode) (acl, error) {
	return a.list(dir, name, n, func() (inode, error) { return statAt(dir, name) })
}

func (a *aclReader) list(fd int, name string, n inode, again func() (inode, error)) (acl, error) {
	list, err := a.read(fd, name, n)
	if err != nil {
		return acl{}, err
	}
	// The mode and the list come from two calls. A change between them leaves a
	// fresh ctime behind, so only then, and for lists, is it looked at again.
	if list.extended || a.isFresh(n) {
		m, err := again()
		if err != nil || m.isSame(n) && m.ctime == n.ctime && m.mode == n.mode && m.uid == n.uid && m.gid == n.gid {
			return list, err
		}
		return acl{}, errChangedSince
	}
	return list, nil
}

// isFresh reports whether the inode changed within the last minute, or in the
// future of this machine's clock.
func (a *aclReader) isFresh(n inode) bool {
	return n.ctime > a.now().Add(-time.Minute).UnixNano()
}

var errForeign = errors.New("the file system decides by rules of its own")

// read returns the access control list of an inode: fd itself, or name in the
// directory fd. An error means that it is not known.
func (a *aclReader) read(fd int, name string, n inode) (acl, error) {
	get := func(attr string) ([]byte, error) { return a.xattrs.ofName(fd, name, attr) }
	if name == "" {
		get = func(attr string) ([]byte, error) { return a.xattrs.ofFD(fd, attr) }
	}
	kind, err := a.fileSystem(fd, name, n.dev)
	if err != nil {
		return acl{}, err
	}
	if kind == fsNFS {
		if _, err := get(nfs4Xattr); !isNoAttribute(err) {
			return acl{}, errForeign
		}
	}
	if kind == fsForeign {
		return acl{}, errForeign
	}
	value, err := get(aclXattr)
	switch {
	case isNoAttribute(err):
		return fromMode(n), nil
	case err != nil:
		return acl{}, fmt.Errorf("reading access control list: %w", err)
	}
	return parseACL(value, n)
}

// fileSystem returns how the file system of an inode decides. The inode is fd
// itself, or name in the directory fd.
func (a *aclReader) fileSystem(fd int, name string, dev uint64) (fsKind, error) {
	if k, ok := a.kinds[dev]; ok {
		return k, nil
	}
	if name != "" {
		// Opened, not looked up by path: name may be swapped for a link.
		self, err := openAt(fd, name, unix.O_PATH)
		if err != nil {
			return fsForeign, fmt.Errorf("reading file system: %w", err)
		}
		defer closeFD(self)
		fd = self
	}
	if n, err := statFD(fd); err != nil || n.dev != dev {
		return fsForeign, errors.Join(errForeign, err)
	}
	var st unix.Statfs_t
	if err := retrying(func() error { return unix.Fstatfs(fd, &st) }); err != nil {
		return fsForeign, fmt.Errorf("reading file system: %w", err)
	}
	k := fsPOSIX
	switch uint32(st.Type) { //nolint:gosec // the type of Type differs by architecture; magic numbers have 32 bits
	case magicFUSE, magicCIFS, magicSMB2, magicSMB, magic9P, magicAFS, magicKAFS, magicCODA:
		k = fsForeign
	case magicNFS:
		k = fsNFS
	}
	a.kinds[dev] = k
	return k, nil
}

var errACL = errors.New("the access control list cannot be understood")

// parseACL reads the attribute's value. Anything unexpected is an error: an ACL
// that is not understood lets nobody read.
func parseACL(b []byte, n inode) (acl, error) {
	if len(b) < 4 || binary.LittleEndian.Uint32(b) != aclXattrVersion || (len(b)-4)%aclEntrySize != 0 {
		return acl{}, errACL
	}
	out := acl{uid: n.uid, gid: n.gid, mask: 7, extended: true}
	seen := map[uint16]bool{}
	for b = b[4:]; len(b) > 0; b = b[aclEntrySize:] {
		tag, perm := binary.LittleEndian.Uint16(b), binary.LittleEndian.Uint16(b[2:])
		id := binary.LittleEndian.Uint32(b[4:])
		if perm > 7 || (seen[tag] && tag != tagUser && tag != tagGroup) {
			return acl{}, errACL
		}
		seen[tag] = true
		p := uint8(perm)
		switch tag {
		case tagUserObj:
			out.owner = p
		case tagUser:
			out.users = append(out.users, named{id, p})
		case tagGroupObj:
			out.group = p
		case tagGroup:
			out.groups = append(out.groups, named{id, p})
		case tagMask:
			out.mask = p
		case tagOther:
			out.other = p
		default:
			return acl{}, errACL
		}
	}
	isNamed := len(out.users)+len(out.groups) > 0
	if !seen[tagUserObj] || !seen[tagGroupObj] || !seen[tagOther] || isNamed && !seen[tagMask] {
		return acl{}, errACL
	}
	return out, nil
}
