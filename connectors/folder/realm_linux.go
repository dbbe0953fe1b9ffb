package folder

import (
	"os"
	"strings"
)

// machineID returns the id of machine-id(5).
func machineID() (string, bool) {
	for _, path := range []string{"/etc/machine-id", "/var/lib/dbus/machine-id"} {
		b, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		if id := strings.TrimSpace(string(b)); isMachineID(id) {
			return id, true
		}
	}
	return "", false
}
