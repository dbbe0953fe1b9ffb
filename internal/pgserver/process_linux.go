package pgserver

import "syscall"

// childAttr starts the server in a process group of its own, so that Ctrl-C
// reaches only us, and has the kernel stop it when the thread that started it
// ends, which it does when we are killed (prctl(2), PR_SET_PDEATHSIG).
func childAttr(who account) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGINT, Credential: who.credential()}
}
