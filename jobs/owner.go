package jobs

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// owner is the name under which a process holds runs, "host:pid:space-random".
// It tells a process from every other one, and lets one that sees the same
// processes find that the holder has died without waiting for its heartbeat to
// age.
type owner struct{ host, space, name string }

func newOwner() owner {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	host = strings.ReplaceAll(host, ":", "-")
	space := processSpace()
	return owner{host: host, space: space, name: fmt.Sprintf("%s:%d:%s-%s", host, os.Getpid(), space, strings.ToLower(rand.Text()[:8]))}
}

// processSpace names the set of processes that this one can see, where the
// system tells: containers may share a host's name and not its processes (Linux:
// pid_namespaces(7), and the id of the boot).
func processSpace() string {
	namespace, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return ""
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(append(boot, namespace...))
	return hex.EncodeToString(sum[:4])
}

// died reports whether holder was a process that this one could see, and is
// gone. A wrong answer costs nothing but time: the fence lets one holder write.
func (o owner) died(holder string) bool {
	parts := strings.Split(holder, ":")
	if len(parts) != 3 || parts[0] != o.host {
		return false
	}
	if space, _, ok := strings.Cut(parts[2], "-"); !ok || space != o.space {
		return false
	}
	pid, err := strconv.Atoi(parts[1])
	if err != nil || pid <= 0 {
		return false
	}
	if pid == os.Getpid() {
		return holder != o.name
	}
	err = syscall.Kill(pid, 0)
	return err != nil && !errors.Is(err, syscall.EPERM)
}
