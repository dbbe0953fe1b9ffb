package folder

import (
	"strings"

	"golang.org/x/sys/unix"
)

// machineID returns the hardware's id, in the form of machine-id(5).
func machineID() (string, bool) {
	v, err := unix.Sysctl("kern.uuid")
	if err != nil {
		return "", false
	}
	id := strings.ToLower(strings.ReplaceAll(v, "-", ""))
	return id, isMachineID(id)
}
