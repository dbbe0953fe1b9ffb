//go:build linux

package acceptance

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sys/unix"

	"tributary/internal/embed/embedtest"
	"tributary/internal/pgserver"
	"tributary/store"
)

// rows describes every stored version of every chunk and vector: any write,
// even one of the same values, changes it.
func (p *permProgram) rows() string {
	p.t.Helper()
	address, ok, err := pgserver.AttachTo(p.setting("TRIBUTARY_DATA_DIR"), "tributary")
	if err != nil || !ok {
		p.t.Fatalf("finding the managed database: %v, %v", ok, err)
	}
	conn, err := pgx.Connect(p.t.Context(), address)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = conn.Close(p.t.Context()) }()
	names, err := conn.Query(p.t.Context(), `SELECT tablename::text FROM pg_tables WHERE schemaname = 'tributary' AND (tablename = 'chunk' OR tablename ~ '^vec_') ORDER BY 1`)
	if err != nil {
		p.t.Fatal(err)
	}
	tables, err := pgx.CollectRows(names, pgx.RowTo[string])
	if err != nil || len(tables) < 2 {
		p.t.Fatalf("tables of chunks and vectors: %v, %v", tables, err)
	}
	var b strings.Builder
	for _, table := range tables {
		var n int
		var hash string
		err := conn.QueryRow(p.t.Context(), `SELECT count(*), coalesce(md5(string_agg(t.ctid || ' ' || t.xmin || ' ' || t.xmax, ',' ORDER BY t.ctid)), '')
			FROM `+pgx.Identifier{"tributary", table}.Sanitize()+` t`).Scan(&n, &hash)
		if err != nil {
			p.t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s: %d rows %s; ", table, n, hash)
	}
	return b.String()
}

// change gives and takes rights in the tree: of files, of directories with all
// that is below, by mode, owner, group and extended ACL.
func (c *permCheck) change(a, b permAccount) {
	c.t.Helper()
	tr := c.trees[0]
	changed := map[string]int{}
	for i, f := range tr.files {
		r := &f.rights
		switch {
		case len(r.acl) > 0 && i%5 == 0: // the list goes, the mode stays
			if out, err := exec.CommandContext(c.t.Context(), "setfacl", "-b", "--", f.full).CombinedOutput(); err != nil {
				c.t.Fatalf("setfacl -b: %v\n%s", err, out)
			}
			r.acl = nil
			changed["list"]++
			continue
		case len(r.acl) > 0:
			continue
		case i%97 == 0:
			r.mode = 0o644
		case i%97 == 1:
			r.mode = 0o600
		case i%97 == 2:
			r.uid, r.mode = a.uid, 0o600
		case i%97 == 3:
			r.gid, r.mode = b.gid, 0o640
		default:
			continue
		}
		changed["file"]++
		permApply(c.t, f.full, *r)
	}
	for i, d := range tr.dirs {
		// A directory of the first level closes for one of the accounts.
		if d.parent == tr.root && i%3 == 0 {
			d.rights = permRights{uid: a.uid, gid: b.gid, mode: 0o750}
			if changed["directory"]%2 == 1 {
				d.rights.mode = 0o700
			}
			changed["directory"]++
			permApply(c.t, d.full, d.rights)
		}
	}
	if changed["list"] == 0 || changed["file"] == 0 || changed["directory"] < 2 {
		c.t.Fatalf("nothing changed: %v", changed)
	}
}

// checkUnreadable runs the permissions lane of a program whose kernel does not
// tell the access control lists of files: nobody sees anything then, not even
// root, and the next run that can read them shows everything again.
func (c *permCheck) checkUnreadable(accounts []permAccount) {
	c.t.Helper()
	before := map[string]int{"root": len(c.list("unix:root"))}
	for _, acc := range accounts {
		before[acc.name] = len(c.list("unix:" + acc.name))
	}
	self, err := os.Executable()
	if err != nil {
		c.t.Fatal(err)
	}
	cmd := exec.CommandContext(c.t.Context(), self, "-test.run=^TestPermBlindHelper$")
	cmd.Env = []string{permBlindEnv + "=" + strings.Join([]string{c.bin, "sync", "tree", "--permissions", "--wait", "--json"}, "\n")}
	r := c.finish(cmd)
	if r.code != 0 {
		c.t.Fatalf("the run without access control lists: exit code %d\n%s\n%s", r.code, r.stdout, r.stderr)
	}
	run := permDecode[struct{ Runs []store.Run }](c.t, r.stdout).Runs[0]
	if run.Counts.ACLUnknown != int64(len(c.trees[0].files)) || run.Counts.ChunksWritten != 0 || run.Counts.ChunksDeleted != 0 {
		c.t.Errorf("the run counts %+v for %d files", run.Counts, len(c.trees[0].files))
	}
	for name := range before {
		for _, d := range c.list("unix:" + name) {
			if d.Connection == "tree" {
				c.t.Fatalf("%s sees %s, whose permissions could not be read", name, d.Path)
			}
		}
	}
	c.must("sync", "tree", "--permissions", "--wait")
	for name, n := range before {
		if got := len(c.list("unix:" + name)); got != n {
			c.t.Errorf("after permissions can be read again %s sees %d documents, before %d", name, got, n)
		}
	}
}

// permBlindEnv holds the command line, by lines, that TestPermBlindHelper
// becomes.
const permBlindEnv = "PERM_BLIND"

// TestPermBlindHelper is no test: it makes itself a process for which reading
// extended attributes is an I/O error, and then the program that it is told.
func TestPermBlindHelper(t *testing.T) {
	line := os.Getenv(permBlindEnv)
	if line == "" {
		return // nothing to check: the tests start it themselves
	}
	args := strings.Split(line, "\n")
	runtime.LockOSThread()
	if err := permBlind(); err != nil {
		t.Fatal(err)
	}
	t.Fatal(syscall.Exec(args[0], args, os.Environ()))
}

// permBlind installs a seccomp filter (seccomp(2)) on this thread under which
// every system call that reads an extended attribute ends with EIO.
func permBlind() error {
	calls := []uint32{unix.SYS_GETXATTR, unix.SYS_LGETXATTR, unix.SYS_FGETXATTR, unix.SYS_GETXATTRAT}
	prog := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}} // the number of the call
	for i, nr := range calls {
		prog = append(prog, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: uint8(len(calls) - i), K: nr})
	}
	prog = append(prog,
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EIO)},
	)
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("giving up new privileges: %w", err)
	}
	filter := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&filter))); errno != 0 {
		return fmt.Errorf("installing filter: %w", errno)
	}
	return nil
}

// TestRenameAndChmodCostNoEmbedding counts the texts that an endpoint of the
// OpenAI shape is sent.
func TestRenameAndChmodCostNoEmbedding(t *testing.T) {
	t.Parallel()
	permNeedRoot(t)
	a, b := permAccounts(t)
	p := permBuild(t)
	server := embedtest.New(embedtest.Options{})
	t.Cleanup(server.Close)
	const files = 40
	root := filepath.Join(p.dir, "docs")
	for i := range files {
		path := filepath.Join(root, fmt.Sprintf("part%d", i%4), fmt.Sprintf("page%02d.md", i))
		text := fmt.Sprintf("# Page %d\n\nThe rowan %s.\n\n## Roots\n\n%s\n", i, permWord(i), strings.Repeat(fmt.Sprintf("Sentence %d of many. ", i), 200))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p.must("profiles", "create", "paid", "--url", server.URL, "--model", "m", "--dimensions", "8")
	p.must("connect", "folder", "--name", "docs", "--set", "path="+root)
	p.must("sync", "docs", "--wait")
	up := p.up()
	first := server.Requests()
	if len(server.Delivered()) < files {
		t.Fatalf("%d texts were sent for %d files", len(server.Delivered()), files)
	}

	rows := p.rows()
	if err := os.Chmod(filepath.Join(root, "part0"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(filepath.Join(root, "part1"), a.uid, a.gid); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(root, "part1"), 0o700); err != nil {
		t.Fatal(err)
	}
	p.must("sync", "docs", "--permissions", "--wait")
	if got := p.rows(); got != rows {
		t.Errorf("chmod wrote chunks or vectors: %s, before %s", got, rows)
	}
	p.wantPaths(a, files*3/4, "part1/", "part2/", "part3/")
	p.wantPaths(b, files/2, "part2/", "part3/")

	for from, to := range map[string]string{"part2": "moved", "part3/page03.md": "part3/renamed.md", "part0/page00.md": "opened.md"} {
		if err := os.Rename(filepath.Join(root, from), filepath.Join(root, to)); err != nil {
			t.Fatal(err)
		}
	}
	runs := permJSON[struct{ Runs []store.Run }](p, "sync", "docs", "--content", "--wait", "--approve-deletions").Runs
	n := runs[0].Counts
	if n.Added != files/4+2 || n.Purged != n.Added || n.VectorsReused == 0 || n.VectorsReused != n.ChunksWritten {
		t.Errorf("the rename of %d files is counted as %+v", files/4+2, n)
	}
	if got := server.Requests(); got != first {
		t.Errorf("%d requests were sent to the endpoint by chmod and rename", got-first)
	}
	// What moved out of a closed directory is open at once, and only there.
	p.wantPaths(b, files/2+1, "moved/", "part3/", "opened.md")
	answer := permJSON[store.SearchResponse](p, "search", permWord(0), "--as", "unix:"+b.name, "-k", "1", "--mode", "keyword")
	if len(answer.Results) != 1 || !strings.HasSuffix(answer.Results[0].URL, "/opened.md") || !answer.Complete || answer.Pending != 0 {
		t.Errorf("the moved page is found as %+v", answer)
	}
	if code := up.signal(os.Interrupt); code != 0 {
		t.Errorf("up ended with %d:\n%s", code, up.out)
	}
}

// wantPaths checks that an account sees n documents, all under the prefixes.
func (p *permProgram) wantPaths(acc permAccount, n int, prefixes ...string) {
	p.t.Helper()
	list := permJSON[[]store.DocumentSummary](p, "documents", "list", "--as", "unix:"+acc.name, "--limit", "1000")
	seen := map[string]bool{}
	for _, d := range list {
		prefix := ""
		for _, candidate := range prefixes {
			if strings.HasPrefix(d.Path, candidate) {
				prefix = candidate
			}
		}
		seen[prefix] = true
	}
	if len(list) != n || seen[""] || len(seen) != len(prefixes) {
		p.t.Errorf("%s sees %d documents under %v, want %d under %v", acc.name, len(list), seen, n, prefixes)
	}
}
