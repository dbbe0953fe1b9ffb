package pgserver

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Config says where the managed PostgreSQL lives and how it runs.
type Config struct {
	// DataDir is the instance's data directory; a relative one is resolved by Start.
	DataDir string
	// BinDir names the directory of initdb and postgres; empty = look for them.
	BinDir string
	// Log gets the server's own log lines too; nil = none.
	Log *slog.Logger
	// Settings are further configuration parameters of the server. They cannot
	// change where it listens or what it logs.
	Settings map[string]string
}

// Server is a running managed PostgreSQL. Its methods may be called concurrently.
type Server struct {
	layout    layout
	in        Installation
	socketDir string
	password  string
	log       *slog.Logger
	lines     *serverLog
	process   *os.Process
	done      chan struct{}

	mu       sync.Mutex
	stopping bool
	err      error
	lock     *os.File // set once the server is ready; closed with done
}

const (
	startRetryWait = 15 * time.Second
	logDrainWait   = 5 * time.Second
)

// Start runs the cluster under cfg.DataDir, making it first if there is none, and
// returns when the server accepts connections. Whoever gets a Server stops it.
//
// ctx bounds the start alone. It fails with [ErrAlreadyRunning],
// [*NotFoundError], [*VersionMismatchError] or [*UnreachableDirError].
func Start(ctx context.Context, cfg Config) (*Server, error) {
	l, err := newLayout(cfg.DataDir)
	if err != nil {
		return nil, err
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if err := l.create(); err != nil {
		return nil, err
	}
	who, err := chooseAccount(l.cluster())
	if err != nil {
		return nil, err
	}
	if err := who.checkReach(l.dataDir, l.root); err != nil {
		return nil, err
	}
	lock, err := l.takeLock()
	if err != nil {
		return nil, err
	}
	s, err := startLocked(ctx, cfg, l, who, lock)
	if err != nil {
		_ = lock.Close()
		return nil, err
	}
	return s, nil
}

func startLocked(ctx context.Context, cfg Config, l layout, who account, lock *os.File) (*Server, error) {
	in, err := chooseInstallation(ctx, cfg, l)
	if err != nil {
		return nil, err
	}
	if err := l.endOrphan(ctx); err != nil {
		return nil, err
	}
	if st, err := l.readState(); err == nil {
		removeSocketDir(st.SocketDir)
	}
	l.removeUnfinished()
	password, err := l.ensurePassword()
	if err != nil {
		return nil, err
	}
	if l.clusterMajor() == 0 {
		cfg.Log.Info("creating the managed PostgreSQL cluster", "dir", l.cluster(), "version", in.Version)
		if err := initCluster(ctx, in, l, who, password); err != nil {
			return nil, err
		}
	}
	// After the postmaster alone was killed its children live on for a moment and
	// hold the shared memory, which a new one refuses to share.
	deadline := time.Now().Add(startRetryWait)
	for {
		s := &Server{layout: l, in: in, password: password, log: cfg.Log, done: make(chan struct{})}
		err := s.run(ctx, cfg, who, lock)
		if err == nil {
			return s, nil
		}
		if ctx.Err() != nil || !strings.Contains(err.Error(), "shared memory block") || time.Now().After(deadline) {
			return nil, err
		}
		pause, cancel := context.WithTimeout(ctx, 10*pollEvery)
		<-pause.Done()
		cancel()
	}
}

func chooseInstallation(ctx context.Context, cfg Config, l layout) (Installation, error) {
	major := l.clusterMajor()
	in, err := Find(ctx, cfg.BinDir, major)
	if err != nil && major != 0 {
		if majors := installedMajors(ctx, cfg.BinDir); len(majors) > 0 {
			return in, &VersionMismatchError{Dir: l.cluster(), Major: major, Installed: majors}
		}
	}
	return in, err
}

// run starts one postmaster and waits until it is ready. The lock then belongs
// to the server and is given back when the process is gone.
func (s *Server) run(ctx context.Context, cfg Config, who account, lock *os.File) error {
	dir, err := makeSocketDir(who)
	if err != nil {
		return err
	}
	s.socketDir = dir
	s.lines = &serverLog{log: s.log}
	if err := s.layout.writeState(runState{SocketDir: dir}); err != nil {
		removeSocketDir(dir)
		return fmt.Errorf("writing the server's address: %w", err)
	}
	began := time.Now()
	if err := s.spawn(cfg, who); err != nil {
		s.forget()
		return fmt.Errorf("starting %s: %w", filepath.Join(s.in.BinDir, "postgres"), err)
	}
	err = s.layout.writeState(runState{SocketDir: dir, PID: s.process.Pid})
	if err == nil {
		err = s.awaitReady(ctx)
	}
	if err != nil {
		_ = s.process.Signal(syscall.SIGQUIT)
		<-s.done
		s.forget() // it may have ended before its address was written
		return err
	}
	if !s.adopt(lock) {
		s.forget()
		return s.Err()
	}
	s.log.Info("managed PostgreSQL is ready", "version", s.in.Version, "pgvector", s.in.Vector, "pid", s.process.Pid, "took", time.Since(began).Round(time.Millisecond))
	return nil
}

// spawn starts the postmaster from a thread of its own that lives as long as the
// child: the signal of prctl(2) follows the thread, not the process.
func (s *Server) spawn(cfg Config, who account) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	cmd := exec.Command(filepath.Join(s.in.BinDir, "postgres"), s.args(cfg)...) //nolint:noctx // the server outlives the context of its start; Stop ends it
	cmd.Dir = s.layout.cluster()
	cmd.Env = cleanEnv()
	cmd.Stdout, cmd.Stderr = w, w
	cmd.SysProcAttr = childAttr(who, syscall.SIGINT)
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
		err := cmd.Start()
		_ = w.Close()
		if err != nil {
			_ = r.Close()
			started <- err
			return
		}
		s.process = cmd.Process
		started <- nil
		s.watch(cmd, r)
	}()
	return <-started
}

// watch reads the server's log and waits for its end.
func (s *Server) watch(cmd *exec.Cmd, r *os.File) {
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		s.lines.read(r)
	}()
	err := cmd.Wait()
	// Children of a killed postmaster can hold the pipe for a moment longer.
	_ = r.SetReadDeadline(time.Now().Add(logDrainWait))
	<-drained
	_ = r.Close()
	s.exited(err)
}

// args are the server's settings. Later ones win, so what must hold comes last.
func (s *Server) args(cfg Config) []string {
	args := []string{"-D", s.layout.cluster()}
	for _, name := range slices.Sorted(maps.Keys(cfg.Settings)) {
		args = append(args, "-c", name+"="+cfg.Settings[name])
	}
	for _, setting := range []string{
		"listen_addresses=",
		"port=" + port,
		"unix_socket_directories=" + s.socketDir,
		"unix_socket_permissions=0700",
		"dynamic_shared_memory_type=mmap",
		"logging_collector=off",
		"log_destination=stderr",
		"log_line_prefix=",
		"log_min_error_statement=panic",
		"log_error_verbosity=terse",
		"log_statement=none",
	} {
		args = append(args, "-c", setting)
	}
	return args
}

// adopt makes the lock the server's own; false when the server is already gone.
func (s *Server) adopt(lock *os.File) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.done:
		return false
	default:
		s.lock = lock
		return true
	}
}

// exited records the end of the postmaster and gives everything back.
func (s *Server) exited(waitErr error) {
	s.forget()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stopping || waitErr != nil {
		s.err = s.exitError(waitErr)
	}
	if s.lock != nil {
		_ = s.lock.Close()
	}
	close(s.done)
}

func (s *Server) exitError(waitErr error) error {
	why := "exit status 0"
	if waitErr != nil {
		why = waitErr.Error()
	}
	if last := s.lines.lastSevere(); last != "" {
		why += ": " + last
	}
	return fmt.Errorf("running the managed PostgreSQL: it ended by itself (%s)", why)
}

func (s *Server) forget() {
	removeSocketDir(s.socketDir)
	_ = os.Remove(s.layout.state())
}

// awaitReady waits until the server's own pid file says that it takes
// connections. Crash recovery may take long; only ctx bounds it.
func (s *Server) awaitReady(ctx context.Context) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if pf, ok := s.layout.readPIDFile(); ok && pf.pid == s.process.Pid && pf.ready {
			return nil
		}
		select {
		case <-s.done:
			return s.Err()
		case <-ctx.Done():
			return fmt.Errorf("waiting for the managed PostgreSQL to become ready: %w", ctx.Err())
		case <-tick.C:
		}
	}
}

// SuperuserURL is the address of database db for the cluster's superuser. It
// holds the password: never log it.
func (s *Server) SuperuserURL(db string) string { return connectURL(s.socketDir, s.password, db) }

// Installation says which PostgreSQL runs.
func (s *Server) Installation() Installation { return s.in }

// PID is the process id of the postmaster.
func (s *Server) PID() int { return s.process.Pid }

// Done is closed when the server has ended, whoever ended it.
func (s *Server) Done() <-chan struct{} { return s.done }

// Err says why the server ended: nil while it runs and after a clean Stop.
func (s *Server) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Stop ends the server and waits for it: open connections are cut and the data
// is flushed. After 20 seconds, or when ctx ends, it is told to quit at once,
// which costs the next start a recovery and loses nothing. A second call waits
// for the first.
func (s *Server) Stop(ctx context.Context) error {
	s.mu.Lock()
	s.stopping = true
	s.mu.Unlock()
	_ = s.process.Signal(syscall.SIGINT)
	fast := time.NewTimer(fastStopWait)
	defer fast.Stop()
	select {
	case <-s.done:
		return s.Err()
	case <-ctx.Done():
	case <-fast.C:
	}
	s.log.Warn("managed PostgreSQL did not stop in time, quitting it at once")
	_ = s.process.Signal(syscall.SIGQUIT)
	hard := time.NewTimer(hardStopWait)
	defer hard.Stop()
	select {
	case <-s.done:
	case <-hard.C:
		_ = s.process.Kill()
		<-s.done
	}
	return s.Err()
}
