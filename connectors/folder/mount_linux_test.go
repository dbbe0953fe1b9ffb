package folder

import "golang.org/x/sys/unix"

func bindMount(from, to string) error { return unix.Mount(from, to, "", unix.MS_BIND, "") }

func unmount(path string) error { return unix.Unmount(path, unix.MNT_DETACH) }
