//go:build !linux

package pgserver

import "syscall"

// childAttr starts a program in a process group of its own, so that Ctrl-C
// reaches only us. A server that outlives us is stopped by the next start.
func childAttr(who account, _ syscall.Signal) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Credential: who.credential()}
}
