package pgserver

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ErrAlreadyRunning is returned by [Start] while another process serves the same
// data directory.
var ErrAlreadyRunning = errors.New("another process is using this data directory")

// NotFoundError says that no usable installation was found, what was seen
// instead, and how to install one.
type NotFoundError struct {
	// Seen has one line for each installation that was looked at and why it does not do.
	Seen []string
}

func (e *NotFoundError) Error() string {
	seen := "none was found"
	if len(e.Seen) > 0 {
		seen = "found only " + strings.Join(e.Seen, "; ")
	}
	return fmt.Sprintf("looking for PostgreSQL %d or newer with pgvector %d.%d or newer: %s; %s", MinMajor, minVectorMajor, minVectorMinor, seen, installHint)
}

const installHint = "run scripts/setup-postgres.sh, or install the packages (Debian, Ubuntu: postgresql-17 and postgresql-17-pgvector; " +
	"macOS: brew install postgresql@17 pgvector), or set TRIBUTARY_DATABASE_URL to a server of your own"

// VersionMismatchError says that the cluster was made by a major version that is
// not installed. A cluster is readable only by the major version that made it.
type VersionMismatchError struct {
	Dir       string
	Major     int
	Installed []int
}

func (e *VersionMismatchError) Error() string {
	majors := make([]string, len(e.Installed))
	for i, m := range e.Installed {
		majors[i] = strconv.Itoa(m)
	}
	remedy := fmt.Sprintf("install PostgreSQL %d with pgvector again (Debian, Ubuntu: postgresql-%d and postgresql-%d-pgvector; several versions can stay side by side), or ",
		e.Major, e.Major, e.Major)
	if e.Major < MinMajor {
		remedy = ""
	}
	return fmt.Sprintf("opening %s: it was made by PostgreSQL %d and no other major version can open it, but installed with pgvector is %s; "+
		"%sdump it with pg_dumpall of that version, start on a new data directory and restore", e.Dir, e.Major, orNone(strings.Join(majors, ", ")), remedy)
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// UnreachableDirError says that the account which runs the server may not enter
// Dir, an ancestor of the data directory.
type UnreachableDirError struct {
	DataDir string
	Dir     string
	Account string
}

func (e *UnreachableDirError) Error() string {
	return fmt.Sprintf("using data directory %s: the server runs as account %q (PostgreSQL refuses to run as root), which may not enter %s; "+
		"choose a data directory that it can reach, such as /var/lib/tributary, with TRIBUTARY_DATA_DIR, or allow it: chmod o+x %s",
		e.DataDir, e.Account, e.Dir, e.Dir)
}

// unusableDir says what could not be done in the data directory, and the remedy.
func unusableDir(what string, err error) error {
	return fmt.Errorf("%s: %w; make the directory writable for this account, or choose another one with TRIBUTARY_DATA_DIR", what, err)
}
