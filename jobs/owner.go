package jobs

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// owner is the name under which a process holds runs, "host:pid:random". It
// tells a process from every other one, and lets one on the same host see that
// the holder has died without waiting for its heartbeat to age.
type owner struct{ host, name string }

func newOwner() owner {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	host = strings.ReplaceAll(host, ":", "-")
	return owner{host: host, name: fmt.Sprintf("%s:%d:%s", host, os.Getpid(), strings.ToLower(rand.Text()[:8]))}
}

// lives reports whether holder is a process of this host that is alive. A
// wrong answer costs nothing but time: the fence lets one holder write.
func (o owner) lives(holder string) bool {
	host, rest, ok := strings.Cut(holder, ":")
	if !ok || host != o.host {
		return false
	}
	pidText, _, _ := strings.Cut(rest, ":")
	pid, err := strconv.Atoi(pidText)
	if err != nil || pid <= 0 {
		return false
	}
	if pid == os.Getpid() {
		return holder == o.name
	}
	err = syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}

// died reports whether holder was a process of this host that is gone.
func (o owner) died(holder string) bool {
	host, _, ok := strings.Cut(holder, ":")
	return ok && host == o.host && !o.lives(holder)
}
