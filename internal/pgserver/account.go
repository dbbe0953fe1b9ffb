package pgserver

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// account is who runs the server. The zero account is the one of this process.
type account struct {
	name     string
	uid, gid int
	switched bool
}

// chooseAccount says who is to run the server of the cluster in dir. PostgreSQL
// refuses to run as root, so root gives it to the owner of an existing cluster,
// else to postgres, tributary or nobody, whichever exists first.
func chooseAccount(dir string) (account, error) {
	if os.Geteuid() != 0 {
		return account{uid: os.Geteuid(), gid: os.Getegid()}, nil
	}
	if info, err := os.Stat(dir); err == nil {
		if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 {
			return account{name: accountName(int(st.Uid)), uid: int(st.Uid), gid: int(st.Gid), switched: true}, nil
		}
	}
	for _, name := range []string{"postgres", "tributary", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.Atoi(u.Uid)
		gid, err2 := strconv.Atoi(u.Gid)
		if err1 == nil && err2 == nil && uid != 0 {
			return account{name: name, uid: uid, gid: gid, switched: true}, nil
		}
	}
	return account{}, fmt.Errorf("choosing an account for PostgreSQL, which refuses to run as root: none of postgres, tributary and nobody exists; create one, for example: useradd --system tributary")
}

func accountName(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return strconv.Itoa(uid)
}

// own gives path to the account, if that is another than ours.
func (a account) own(path string) error {
	if !a.switched {
		return nil
	}
	return os.Chown(path, a.uid, a.gid)
}

// credential is nil when the server runs as this process does. Supplementary
// groups are dropped: the server gets the account's own group and no other.
func (a account) credential() *syscall.Credential {
	if !a.switched {
		return nil
	}
	return &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)} //nolint:gosec // ids come from the kernel or the account database, never negative
}

// checkReach fails with [*UnreachableDirError] when the account may not enter dir
// or one of its ancestors.
func (a account) checkReach(dataDir, dir string) error {
	if !a.switched {
		return nil
	}
	resolved, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return fmt.Errorf("resolving data directory: %w", err)
	}
	var chain []string
	for d := resolved; ; d = filepath.Dir(d) {
		chain = append([]string{d}, chain...)
		if d == filepath.Dir(d) {
			break
		}
	}
	for _, d := range chain {
		info, err := os.Stat(d)
		if err != nil {
			return fmt.Errorf("looking at data directory: %w", err)
		}
		if !a.mayEnter(info) {
			return &UnreachableDirError{DataDir: dataDir, Dir: d, Account: a.name}
		}
	}
	return nil
}

// mayEnter applies the search bit as the kernel does: the first matching class decides.
func (a account) mayEnter(info os.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return true
	}
	mode := info.Mode().Perm()
	switch {
	case int(st.Uid) == a.uid:
		return mode&0o100 != 0
	case int(st.Gid) == a.gid:
		return mode&0o010 != 0
	default:
		return mode&0o001 != 0
	}
}
