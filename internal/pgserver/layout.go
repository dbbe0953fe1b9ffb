package pgserver

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	superuser = "tributary"
	port      = "5432"
	// maxSocketPath is sockaddr_un.sun_path less the final NUL on the systems with
	// the shortest one (macOS and the BSDs; Linux has 107).
	maxSocketPath = 103
)

// layout names the files under DATA_DIR/postgres:
//
//	lock                 held with flock(2) while a process manages the cluster
//	superuser.password   0600, ours
//	server.json          0600, ours: where the running server listens
//	data/                0700, the server's account
type layout struct{ dataDir, root string }

func newLayout(dataDir string) (layout, error) {
	if dataDir == "" {
		return layout{}, errors.New("choosing a data directory: it is empty; set TRIBUTARY_DATA_DIR")
	}
	// The server changes its directory, so a relative path would name another place there.
	abs, err := filepath.Abs(dataDir)
	if err != nil {
		return layout{}, fmt.Errorf("resolving data directory: %w", err)
	}
	return layout{dataDir: abs, root: filepath.Join(abs, "postgres")}, nil
}

func (l layout) cluster() string  { return filepath.Join(l.root, "data") }
func (l layout) lock() string     { return filepath.Join(l.root, "lock") }
func (l layout) password() string { return filepath.Join(l.root, "superuser.password") }
func (l layout) state() string    { return filepath.Join(l.root, "server.json") }

// create makes the directories that are ours. As root they can be entered by
// every account, because the server's own must pass through; nothing in them can
// be listed.
func (l layout) create() error {
	mode := os.FileMode(0o700)
	if os.Geteuid() == 0 {
		mode = 0o711
	}
	for _, dir := range []string{l.dataDir, l.root} {
		if _, err := os.Stat(dir); err == nil {
			continue
		}
		if err := os.MkdirAll(dir, mode); err != nil {
			return unusableDir("creating data directory", err)
		}
		// A narrow umask must not take the search bit away.
		if err := os.Chmod(dir, mode); err != nil {
			return unusableDir("creating data directory", err)
		}
	}
	return nil
}

// takeLock holds the lock file until the returned file is closed; the kernel
// closes it when the process dies, however it dies.
func (l layout) takeLock() (*os.File, error) {
	f, err := os.OpenFile(l.lock(), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, unusableDir("opening lock file", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		holder, _ := os.ReadFile(l.lock())
		_ = f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("locking %s: %w", l.lock(), err)
		}
		return nil, l.alreadyRunning(strings.TrimSpace(string(holder)))
	}
	if err := writeHolder(f); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("writing lock file: %w", err)
	}
	return f, nil
}

func writeHolder(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

func (l layout) alreadyRunning(pid string) error {
	who := ""
	if pid != "" {
		who = " (process " + pid + ")"
	}
	return fmt.Errorf("starting the managed PostgreSQL in %s: %w%s; stop it first, or give this process a data directory of its own with TRIBUTARY_DATA_DIR",
		l.dataDir, ErrAlreadyRunning, who)
}

// ensurePassword returns the superuser's password, generating it once.
func (l layout) ensurePassword() (string, error) {
	text, err := os.ReadFile(l.password())
	if err == nil {
		if p := strings.TrimSpace(string(text)); p != "" {
			return p, nil
		}
		return "", fmt.Errorf("reading %s: it is empty; restore it from a backup", l.password())
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("reading the superuser's password: %w", err)
	}
	if l.clusterMajor() != 0 {
		return "", fmt.Errorf("reading the superuser's password: %s is missing beside an existing cluster; restore it from a backup", l.password())
	}
	p := rand.Text()
	if err := writePrivate(l.password(), []byte(p+"\n")); err != nil {
		return "", fmt.Errorf("writing the superuser's password: %w", err)
	}
	return p, nil
}

// clusterMajor is the major version that made the cluster, 0 if there is none.
func (l layout) clusterMajor() int {
	text, err := os.ReadFile(filepath.Join(l.cluster(), "PG_VERSION"))
	if err != nil {
		return 0
	}
	major, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return major
}

// runState says where a server listens; it is written before the server is
// ready and removed when it is gone.
type runState struct {
	SocketDir string `json:"socket_dir"`
	PID       int    `json:"pid"`
}

func (l layout) readState() (runState, error) {
	var st runState
	text, err := os.ReadFile(l.state())
	if err != nil {
		return st, err
	}
	err = json.Unmarshal(text, &st)
	return st, err
}

func (l layout) writeState(st runState) error {
	text, err := json.Marshal(st)
	if err != nil {
		return err
	}
	return writePrivate(l.state(), append(text, '\n'))
}

// privatePrefix begins the name of a file that writePrivate has not put in place.
const privatePrefix = ".new-"

// writePrivate replaces path at once with a file that only we can read.
func writePrivate(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), privatePrefix) // created 0600
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// makeSocketDir creates a directory whose socket path is short enough for every
// system, whatever the length of the data directory.
func makeSocketDir(who account) (string, error) {
	parents := []string{os.TempDir(), "/tmp"}
	if os.Geteuid() == 0 {
		// Other processes of root find it there too when this one has a private /tmp.
		parents = append([]string{"/run"}, parents...)
	}
	var last error
	for _, parent := range parents {
		removeStaleSocketDirs(parent)
		dir, err := os.MkdirTemp(parent, socketDirPrefix)
		if err != nil {
			last = err
			continue
		}
		if len(dir)+len("/.s.PGSQL."+port) > maxSocketPath || who.checkReach(dir, filepath.Dir(dir)) != nil {
			_ = os.Remove(dir)
			last = fmt.Errorf("%s is too long, or account %q may not enter it", dir, who.name)
			continue
		}
		if err := who.own(dir); err != nil {
			_ = os.Remove(dir)
			return "", fmt.Errorf("creating the socket directory: %w", err)
		}
		return dir, nil
	}
	return "", fmt.Errorf("creating the socket directory: %w", last)
}

const socketDirPrefix = "tributary-pg-"

// staleAfter is how old an empty socket directory is before it counts as left
// behind: a server that is starting fills its own within seconds.
const staleAfter = time.Hour

// removeStaleSocketDirs deletes the empty socket directories that killed
// processes left in parent. One that holds anything is not empty and stays.
func removeStaleSocketDirs(parent string) {
	dirs, err := filepath.Glob(filepath.Join(parent, socketDirPrefix+"[0-9]*"))
	if err != nil {
		return
	}
	for _, dir := range dirs {
		if info, err := os.Lstat(dir); err == nil && info.IsDir() && time.Since(info.ModTime()) > staleAfter {
			_ = os.Remove(dir)
		}
	}
}

// removeSocketDir deletes a socket directory and the two files PostgreSQL leaves
// in it; anything else in it, or another name, is left alone.
func removeSocketDir(dir string) {
	if !strings.HasPrefix(filepath.Base(dir), socketDirPrefix) {
		return
	}
	_ = os.Remove(filepath.Join(dir, ".s.PGSQL."+port))
	_ = os.Remove(filepath.Join(dir, ".s.PGSQL."+port+".lock"))
	_ = os.Remove(dir)
}

// connectURL is the superuser's address of database db.
func connectURL(socketDir, password, db string) string {
	u := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(superuser, password),
		Path:     "/" + db,
		RawQuery: url.Values{"host": {socketDir}, "port": {port}, "sslmode": {"disable"}}.Encode(),
	}
	return u.String()
}
