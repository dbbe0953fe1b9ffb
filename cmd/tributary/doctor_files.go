package main

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"tributary/internal/settings"
)

const minFreeBytes = 2 << 30

// checkDataDir looks at who may write to the data directory and at the room
// that is left.
func checkDataDir(s settings.Settings) finding {
	const check = "data directory"
	info, err := os.Stat(s.DataDir)
	if errors.Is(err, os.ErrNotExist) {
		if s.DatabaseURL.IsSet() {
			return ok(check, "%s is not needed: the database is elsewhere", s.DataDir)
		}
		return warn(check, s.DataDir+" does not exist yet", "tributary up creates it")
	}
	if err != nil {
		return fail(check, err.Error(), "let this account enter it, or set TRIBUTARY_DATA_DIR")
	}
	if !info.IsDir() {
		return fail(check, s.DataDir+" is not a directory", "set TRIBUTARY_DATA_DIR to a directory")
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fail(check, fmt.Sprintf("%s may be written by others (mode %04o)", s.DataDir, info.Mode().Perm()), "chmod go-w "+s.DataDir)
	}
	free, err := freeBytes(s.DataDir)
	if err != nil {
		return warn(check, "the free space of "+s.DataDir+" is unknown: "+err.Error(), "look with df")
	}
	if free < minFreeBytes {
		return warn(check, fmt.Sprintf("%s has %d MB left", s.DataDir, free>>20), "make room, or move it")
	}
	return ok(check, "%s, %d GB free", s.DataDir, free>>30)
}

func freeBytes(dir string) (uint64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return st.Bavail * uint64(st.Bsize), nil //nolint:gosec // block sizes are positive
}

// checkMasterKey looks at the key's file: only its owner may read it. What it
// opens is for checkVault.
func checkMasterKey(s settings.Settings) finding {
	const check = "master key"
	info, err := os.Stat(s.MasterKeyFile)
	if errors.Is(err, os.ErrNotExist) {
		return ok(check, "none at %s yet; the first start of a new instance makes it", s.MasterKeyFile)
	}
	if err != nil {
		return fail(check, err.Error(), "let this account read it, or set TRIBUTARY_MASTER_KEY_FILE")
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fail(check, fmt.Sprintf("%s may be read by others (mode %04o)", s.MasterKeyFile, info.Mode().Perm()), "chmod 600 "+s.MasterKeyFile)
	}
	return ok(check, "%s", s.MasterKeyFile)
}

func sameVolume(a, b string) bool {
	ia, errA := os.Stat(a)
	ib, errB := os.Stat(b)
	if errA != nil || errB != nil {
		return false
	}
	sa, okA := ia.Sys().(*syscall.Stat_t)
	sb, okB := ib.Sys().(*syscall.Stat_t)
	return okA && okB && sa.Dev == sb.Dev
}
