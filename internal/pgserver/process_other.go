//go:build !linux

package pgserver

import "syscall"

// childAttr starts the server in a process group of its own, so that Ctrl-C
// reaches only us. A server that outlives us is stopped by the next start.
func childAttr(who account) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Credential: who.credential()}
}
