package pgserver

import "syscall"

// childAttr starts a program in a process group of its own, so that Ctrl-C
// reaches only us, and has the kernel send it parentGone when the thread that
// started it ends, as it does when we are killed (prctl(2), PR_SET_PDEATHSIG).
func childAttr(who account, parentGone syscall.Signal) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: parentGone, Credential: who.credential()}
}
