package folder

import "golang.org/x/sys/unix"

// searchOnly opens a directory on the way to another: it needs the search bit
// of its parents and no permission on the directory itself (open(2), O_PATH).
const searchOnly = unix.O_PATH

func inodeOf(st *unix.Stat_t) inode {
	return inode{
		dev: st.Dev, ino: st.Ino, mode: st.Mode, uid: st.Uid, gid: st.Gid, size: st.Size,
		mtime: st.Mtim.Nano(), ctime: st.Ctim.Nano(),
	}
}
