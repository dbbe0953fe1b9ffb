//go:build unix && !linux

package folder

import "golang.org/x/sys/unix"

// searchOnly opens a directory on the way to another.
const searchOnly = unix.O_RDONLY

func inodeOf(st *unix.Stat_t) inode {
	return inode{
		dev: uint64(st.Dev), ino: uint64(st.Ino), mode: uint32(st.Mode), uid: st.Uid, gid: st.Gid, size: st.Size,
		mtime: st.Mtim.Nano(), ctime: st.Ctim.Nano(),
	}
}
