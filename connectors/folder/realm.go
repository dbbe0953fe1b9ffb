package folder

import (
	"context"
	"errors"
	"strings"

	"tributary/connectors"
)

// Realm returns the machine's id, in which uids and gids are unique: that of
// machine-id(5) on Linux and the hardware's on macOS, else Config.Realm. A
// container whose image carries a machine id shares it with its siblings; where
// that is wrong, mount the host's.
func (s *session) Realm(context.Context) (string, error) {
	if id, ok := machineID(); ok {
		return id, nil
	}
	if s.cfg.Realm != "" {
		return s.cfg.Realm, nil
	}
	return "", &connectors.Error{
		Op: "reading machine id", Class: connectors.Invalid,
		Err: errors.New("this machine has none: run systemd-machine-id-setup, or in a container mount the host's /etc/machine-id read-only"),
	}
}

// isMachineID reports whether id is one: 32 hexadecimal digits, not all zero.
func isMachineID(id string) bool {
	return len(id) == 32 && strings.Trim(id, "0123456789abcdef") == "" && strings.Trim(id, "0") != ""
}
