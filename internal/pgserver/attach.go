package pgserver

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
)

// Attach finds the managed PostgreSQL that another process of this account runs
// under dataDir and returns the superuser's address of its maintenance database.
// ok is false when none runs. The address holds the password: never log it.
func Attach(dataDir string) (string, bool, error) { return AttachTo(dataDir, "postgres") }

// AttachTo is [Attach] for database db.
func AttachTo(dataDir, db string) (string, bool, error) {
	l, err := newLayout(dataDir)
	if err != nil {
		return "", false, err
	}
	st, err := l.readState()
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("looking for a running server in %s (only the account that started it can): %w", l.dataDir, err)
	}
	pf, live := l.livePostmaster()
	if !live || !pf.ready || pf.pid != st.PID {
		return "", false, nil
	}
	password, err := os.ReadFile(l.password())
	if err != nil {
		return "", false, fmt.Errorf("reading the superuser's password: %w", err)
	}
	return connectURL(st.SocketDir, strings.TrimSpace(string(password)), db), true, nil
}
