package pgserver

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// MinMajor is the oldest major version of PostgreSQL that is used.
const MinMajor = 15

const (
	minVectorMajor = 0
	minVectorMinor = 8
	probeTimeout   = 10 * time.Second
)

// Installation is one PostgreSQL on this machine.
type Installation struct {
	BinDir string
	Major  int
	// Version is what `postgres --version` says, such as "15.20".
	Version string
	// Vector is the version of pgvector it would create, empty without one.
	Vector string
}

func (in Installation) usable() bool {
	return in.Major >= MinMajor && vectorNewEnough(in.Vector)
}

func (in Installation) String() string {
	vector := "without pgvector"
	if in.Vector != "" {
		vector = "with pgvector " + in.Vector
	}
	return fmt.Sprintf("PostgreSQL %s %s in %s", in.Version, vector, in.BinDir)
}

// Find chooses the installation to run: the one in binDir if that is given, else
// the newest major on this machine that has a recent pgvector. With major above
// zero only that major will do. It fails with [*NotFoundError].
func Find(ctx context.Context, binDir string, major int) (Installation, error) {
	all := discover(ctx, binDir)
	best := Installation{}
	for _, in := range all {
		if in.usable() && (major == 0 || in.Major == major) && in.Major > best.Major {
			best = in
		}
	}
	if best.Major == 0 {
		return best, notFound(all)
	}
	return best, nil
}

func notFound(all []Installation) *NotFoundError {
	e := &NotFoundError{}
	for _, in := range all {
		e.Seen = append(e.Seen, in.String())
	}
	return e
}

// installedMajors lists the majors of the usable installations, newest first.
func installedMajors(ctx context.Context, binDir string) []int {
	var majors []int
	for _, in := range discover(ctx, binDir) {
		if in.usable() && !slices.Contains(majors, in.Major) {
			majors = append(majors, in.Major)
		}
	}
	slices.Sort(majors)
	slices.Reverse(majors)
	return majors
}

func discover(ctx context.Context, binDir string) []Installation {
	var found []Installation
	for _, dir := range candidateDirs(ctx, binDir) {
		if in, ok := probe(ctx, dir); ok {
			found = append(found, in)
		}
	}
	return found
}

// candidateDirs lists directories that may hold a server, without duplicates:
// the versioned ones of Debian, RPM, Homebrew and Postgres.app, then what PATH has.
func candidateDirs(ctx context.Context, binDir string) []string {
	if binDir != "" {
		return []string{binDir}
	}
	var dirs []string
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin",
		"/usr/pgsql-*/bin",
		"/opt/homebrew/opt/postgresql@*/bin",
		"/usr/local/opt/postgresql@*/bin",
		"/Applications/Postgres.app/Contents/Versions/*/bin",
	} {
		matches, _ := filepath.Glob(pattern) // the patterns are constants, so well formed
		dirs = append(dirs, matches...)
	}
	if path, err := exec.LookPath("initdb"); err == nil {
		dirs = append(dirs, filepath.Dir(path))
	}
	if out, err := output(ctx, "pg_config", "--bindir"); err == nil {
		dirs = append(dirs, out)
	}
	var unique []string
	for _, dir := range dirs {
		initdb, err := filepath.EvalSymlinks(filepath.Join(dir, "initdb"))
		if err != nil {
			continue
		}
		if dir = filepath.Dir(initdb); !slices.Contains(unique, dir) {
			unique = append(unique, dir)
		}
	}
	return unique
}

// probe asks the programs in dir what they are. The share directory comes from
// dir's own pg_config: the one on PATH can belong to another major version.
func probe(ctx context.Context, dir string) (Installation, bool) {
	version, err := output(ctx, filepath.Join(dir, "postgres"), "--version")
	if err != nil {
		return Installation{}, false
	}
	in := Installation{BinDir: dir}
	if in.Version, in.Major = parseVersion(version); in.Major == 0 {
		return Installation{}, false
	}
	if share, err := output(ctx, filepath.Join(dir, "pg_config"), "--sharedir"); err == nil {
		in.Vector = vectorVersion(filepath.Join(share, "extension", "vector.control"))
	}
	return in, true
}

// parseVersion reads "postgres (PostgreSQL) 15.20 (Debian ...)" and "18beta1".
func parseVersion(line string) (string, int) {
	_, rest, ok := strings.Cut(line, "(PostgreSQL) ")
	if !ok {
		return "", 0
	}
	version, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	end := strings.IndexFunc(version, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(version)
	}
	major, err := strconv.Atoi(version[:end])
	if err != nil {
		return "", 0
	}
	return version, major
}

func vectorVersion(control string) string {
	text, err := os.ReadFile(control)
	if err != nil {
		return ""
	}
	m := regexp.MustCompile(`(?m)^default_version\s*=\s*'([^']+)'`).FindSubmatch(text)
	if m == nil {
		return ""
	}
	return string(m[1])
}

func vectorNewEnough(version string) bool {
	var major, minor int
	if n, _ := fmt.Sscanf(version, "%d.%d", &major, &minor); n != 2 {
		return false
	}
	return major > minVectorMajor || major == minVectorMajor && minor >= minVectorMinor
}

func output(ctx context.Context, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = cleanEnv()
	out, err := cmd.Output()
	return strings.TrimSpace(string(out)), err
}
