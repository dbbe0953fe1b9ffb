//go:build linux

package acceptance

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"tributary/internal/pgtest"
	"tributary/store"
)

// Exit codes as `tributary help` lists them.
const (
	permExitUsage       = 2
	permExitDatabase    = 5
	permExitInterrupted = 130
)

// manyFiles writes n files of a few chunks each.
func (p *permProgram) manyFiles(n int) string {
	p.t.Helper()
	root := filepath.Join(p.dir, "many")
	for i := range n {
		var b strings.Builder
		for section := range 12 {
			fmt.Fprintf(&b, "# Section %d of file %d\n\n%s\n\n", section, i, strings.Repeat(fmt.Sprintf("Sentence %d-%d about rivers. ", i, section), 30))
		}
		path := filepath.Join(root, fmt.Sprintf("part%d", i%10), fmt.Sprintf("file%04d.md", i))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			p.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			p.t.Fatal(err)
		}
	}
	return root
}

// contentRun returns the newest content run; a state of "" is none yet.
func (p *permProgram) contentRun() store.Run {
	p.t.Helper()
	runs := permJSON[[]store.Run](p, "runs", "list", "--lane", "content", "--limit", "1")
	if len(runs) == 0 {
		return store.Run{}
	}
	return runs[0]
}

// awaitHalf waits until the content run has committed something and is not at
// its end.
func (p *permProgram) awaitHalf() {
	p.t.Helper()
	permWait(p.t, "documents of a run that goes on", func() bool {
		run := p.contentRun()
		if run.State != "" && !run.State.Live() {
			p.t.Fatalf("the run ended before it could be disturbed: %+v", run)
		}
		return run.Counts.Added > 0
	})
}

// wantDocuments checks that every file is one document, by what root sees.
func (p *permProgram) wantDocuments(n int) {
	p.t.Helper()
	paths := map[string]bool{}
	list := permJSON[[]store.DocumentSummary](p, "documents", "list", "--as", "unix:root", "--limit", strconv.Itoa(10*n))
	for _, d := range list {
		if paths[d.Path] || d.Chunks != 12 {
			p.t.Errorf("%s stands there twice or has %d chunks", d.Path, d.Chunks)
		}
		paths[d.Path] = true
	}
	if len(list) != n {
		p.t.Errorf("%d documents, want %d", len(list), n)
	}
}

// TestProgramUnderAttack does to the running program what happens in life.
func TestProgramUnderAttack(t *testing.T) {
	t.Parallel()
	permNeedRoot(t)
	p := permBuild(t)
	const files = 500
	root := p.manyFiles(files)
	for _, attack := range []struct {
		name string
		run  func(p *permProgram, root string, files int)
	}{
		{"what it needs is wrong or out of its reach", permUnusable},
		{"another account runs it", permOtherAccount},
		{"up is killed during a sync", permKillUp},
		{"a worker is killed during a sync", permKillWorker},
		{"the command that others lean on is ended", permEndOwner},
	} {
		t.Run(attack.name, func(t *testing.T) {
			t.Parallel()
			site := *p
			site.t = t
			attack.run(site.site(strings.ReplaceAll(attack.name, " ", "-")), root, files)
		})
	}
}

// permKillUp starts again after SIGKILL: the database recovers and the run
// goes on where it was.
func permKillUp(p *permProgram, root string, files int) {
	up := p.up()
	p.must("connect", "folder", "--name", "many", "--set", "path="+root)
	p.must("sync", "many")
	p.awaitHalf()
	killed := p.contentRun()
	if code := up.signal(syscall.SIGKILL); code != -1 {
		p.t.Fatalf("SIGKILL ended it with %d", code)
	}
	again := p.up()
	r := p.run("up", "--addr", permFreeAddr(p.t))
	if r.code != permExitDatabase || strings.Count(r.stderr, "\n") != 1 || !strings.Contains(r.stderr, "TRIBUTARY_DATA_DIR") || !strings.Contains(r.stderr, strconv.Itoa(again.cmd.Process.Pid)) {
		p.t.Errorf("a second up on the data directory: exit code %d, %s", r.code, r.stderr)
	}
	permWait(p.t, "the end of the run", func() bool { return !p.contentRun().State.Live() })
	run := p.contentRun()
	if run.ID != killed.ID || run.State != store.RunSucceeded || run.Slices < 2 || run.Counts.Added != int64(files) {
		p.t.Errorf("after SIGKILL the run is %+v, before %+v", run, killed)
	}
	p.wantDocuments(files)
	if code := again.signal(os.Interrupt); code != 0 {
		p.t.Errorf("up ended with %d:\n%s", code, again.out)
	}
}

// permKillWorker runs serve and worker alone on one database: another worker
// takes a killed one's run over.
func permKillWorker(p *permProgram, root string, files int) {
	db := pgtest.New(p.t)
	p.env = append(p.env, "TRIBUTARY_DATABASE_URL="+db.URL)
	serve := p.start("serve")
	permWait(p.t, "serve to listen", func() bool { return permListens(p.setting("TRIBUTARY_ADDR")) })
	p.must("connect", "folder", "--name", "many", "--set", "path="+root)
	worker := p.start("worker")
	p.must("sync", "many")
	p.awaitHalf()
	worker.signal(syscall.SIGKILL)
	killed := p.contentRun()
	other := p.start("worker")
	permWait(p.t, "another process to go on", func() bool { return p.contentRun().Counts.Added > killed.Counts.Added })
	permWait(p.t, "the end of the run", func() bool { return !p.contentRun().State.Live() })
	p.wantDocuments(files)

	p.must("readers", "create", "root", "--link", "unix:root")
	key := permJSON[struct{ Secret string }](p, "keys", "create", "k", "--reader", "root", "--connections", "all").Secret
	var answer store.SearchResponse
	status, err := p.ask(p.t.Context(), key, http.MethodPost, "/v1/search", map[string]any{"query": "sentence 17-3 rivers", "k": 5}, &answer)
	if err != nil || status != http.StatusOK || len(answer.Results) != 5 {
		p.t.Errorf("serve answers with status %d, %d results, %v", status, len(answer.Results), err)
	}
	for _, d := range []*permDaemon{other, serve} {
		if code := d.signal(syscall.SIGTERM); code != 0 {
			p.t.Errorf("%v ended with %d:\n%s", d.cmd.Args, code, d.out)
		}
	}
}

func permListens(addr string) bool {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return false
	}
	return conn.Close() == nil
}

// permEndOwner syncs twice at once while nothing runs, so that one command
// runs the database of both; then it ends that one, gently and not.
func permEndOwner(p *permProgram, root string, files int) {
	p.must("connect", "folder", "--name", "many", "--set", "path="+root)
	for _, sig := range []os.Signal{syscall.SIGINT, syscall.SIGKILL} {
		owner := p.start("sync", "many", "--wait")
		p.awaitOwner(owner)
		guest := p.start("sync", "many", "--wait", "--approve-deletions")
		p.awaitHalf()
		code := owner.signal(sig)
		if want := map[os.Signal]int{syscall.SIGINT: permExitInterrupted, syscall.SIGKILL: -1}[sig]; code != want {
			p.t.Errorf("%s ended the sync with %d, want %d:\n%s", sig, code, want, owner.out)
		}
		// The guest has lost its database, unless it was quicker.
		if code := guest.wait(); code != 0 && (code != permExitDatabase || !strings.Contains(guest.out.String(), "run the command again")) {
			p.t.Errorf("after %s of the one that runs the database the other ended with %d:\n%s", sig, code, guest.out)
		}
	}
	var both [2]*permDaemon
	for i := range both {
		both[i] = p.start("sync", "many", "--wait", "--approve-deletions")
	}
	for _, d := range both {
		if code := d.wait(); code != 0 {
			p.t.Errorf("one of two syncs at once ended with %d:\n%s", code, d.out)
		}
	}
	p.wantDocuments(files)
}

// awaitOwner waits until the command runs the managed database.
func (p *permProgram) awaitOwner(d *permDaemon) {
	p.t.Helper()
	state := filepath.Join(p.setting("TRIBUTARY_DATA_DIR"), "postgres", "server.json")
	permWait(p.t, "the managed database", func() bool {
		if d.ended() {
			p.t.Fatalf("the command ended before it was disturbed:\n%s", d.out)
		}
		_, err := os.Stat(state)
		return err == nil
	})
}

// permOtherAccount starts up with the demo as a system account that has
// nothing but a home.
func permOtherAccount(p *permProgram, _ string, _ int) {
	acc, _ := permAccounts(p.t)
	home := p.setting("HOME")
	if err := os.MkdirAll(filepath.Join(home, "docs"), 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home, "docs", "settings.md"), []byte("# Settings\n\nThe rowan setting.\n"), 0o644); err != nil {
		p.t.Fatal(err)
	}
	if err := os.Chown(home, acc.uid, acc.gid); err != nil {
		p.t.Fatal(err)
	}
	as := func(args ...string) *exec.Cmd {
		line := append([]string{"--reuid", strconv.Itoa(acc.uid), "--regid", strconv.Itoa(acc.gid), "--init-groups", "--", p.bin}, args...)
		return exec.CommandContext(p.t.Context(), "setpriv", line...)
	}
	other := *p
	other.dir = home // commands run in it
	up := other.startCommand(as("up", "--demo"))
	up.await("Ctrl-C stops Tributary.")
	if !strings.Contains(up.out.String(), "Synced demo-docs: 1 documents") {
		p.t.Errorf("the demo's documents were not synced:\n%s", up.out)
	}
	r := other.finish(as("search", "rowan", "--as", acc.name, "-k", "1", "--json"))
	answer := permDecode[store.SearchResponse](p.t, r.stdout)
	if len(answer.Results) != 1 || !strings.Contains(answer.Results[0].Text, "rowan") {
		p.t.Errorf("the account finds %+v", answer)
	}
	if code := up.signal(os.Interrupt); code != 0 {
		p.t.Errorf("up ended with %d:\n%s", code, up.out)
	}
	// A directory of root's is not this account's.
	if err := os.Chown(home, 0, 0); err != nil {
		p.t.Fatal(err)
	}
	other.env = append(other.env, "TRIBUTARY_DATA_DIR="+filepath.Join(home, "no-data"))
	r = other.finish(as("up"))
	if r.code != permExitDatabase || !strings.Contains(r.stderr, "TRIBUTARY_DATA_DIR") || !strings.Contains(r.stderr, "permission denied") {
		p.t.Errorf("a data directory that the account may not make: exit code %d, %s", r.code, r.stderr)
	}
}

// permUnusable starts the program on what cannot work: one line says what, and
// what to do.
func permUnusable(p *permProgram, _ string, _ int) {
	file := filepath.Join(p.setting("HOME"), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		p.t.Fatal(err)
	}
	var lc net.ListenConfig
	taken, err := lc.Listen(p.t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = taken.Close() })
	const secret = "hunter2"
	closed := "TRIBUTARY_DATABASE_URL=postgres://u:" + secret + "@127.0.0.1:1/x"
	for _, tc := range []struct {
		name string
		env  string
		args []string
		code int
		want []string
	}{
		{"data directory is a file", "TRIBUTARY_DATA_DIR=" + file, []string{"up"}, permExitDatabase, []string{file, "TRIBUTARY_DATA_DIR"}},
		{"data directory below a file", "TRIBUTARY_DATA_DIR=" + file + "/data", []string{"connections", "list"}, permExitDatabase, []string{file, "TRIBUTARY_DATA_DIR"}},
		{"port taken", "TRIBUTARY_ADDR=" + taken.Addr().String(), []string{"up"}, permExitUsage, []string{"TRIBUTARY_ADDR", "taken"}},
		{"no database, command", closed, []string{"connections", "list"}, permExitDatabase, []string{"connection refused", "TRIBUTARY_DATABASE_URL"}},
		{"no database, up", closed, []string{"up"}, permExitDatabase, []string{"connection refused", "TRIBUTARY_DATABASE_URL"}},
		{"no database, serve", closed, []string{"serve"}, permExitDatabase, []string{"connection refused", "TRIBUTARY_DATABASE_URL"}},
		{"no database, worker", closed, []string{"worker"}, permExitDatabase, []string{"connection refused", "TRIBUTARY_DATABASE_URL"}},
		{"no such host", "TRIBUTARY_DATABASE_URL=postgres://u:" + secret + "@nohost.invalid/x", []string{"worker"}, permExitDatabase, []string{"nohost.invalid", "TRIBUTARY_DATABASE_URL"}},
		{"another kind of database", "TRIBUTARY_DATABASE_URL=mysql://u:" + secret + "@127.0.0.1/x", []string{"up"}, permExitUsage, []string{"TRIBUTARY_DATABASE_URL", "postgres://"}},
		{"unknown variable", "TRIBUTARY_DATABSE_URL=x", []string{"up"}, permExitUsage, []string{"TRIBUTARY_DATABSE_URL", "TRIBUTARY_DATABASE_URL"}},
	} {
		p.t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			site := *p
			site.t, site.env = t, slices.Concat(p.env, []string{tc.env})
			r := site.run(tc.args...)
			lines := strings.Split(strings.TrimSuffix(r.stderr, "\n"), "\n")
			last := lines[len(lines)-1]
			if r.code != tc.code || r.stdout != "" || !strings.HasPrefix(last, "tributary: ") {
				t.Errorf("exit code %d, want %d; %s", r.code, tc.code, r.stderr)
			}
			for _, want := range tc.want {
				if !strings.Contains(last, want) {
					t.Errorf("%q does not say %q", last, want)
				}
			}
			if strings.Contains(r.stderr, secret) || strings.Count(last, "connection refused") > 1 {
				t.Errorf("it tells the password, or one thing twice: %s", last)
			}
		})
	}
}
