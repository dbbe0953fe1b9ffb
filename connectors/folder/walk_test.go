package folder

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tributary/connectors"
)

func TestWalkSaysWhyAFileIsNoDocument(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write(t, root+"/page.html", "<p>text</p>")
	write(t, root+"/README", "plain text without an extension")
	write(t, root+"/empty.md", "")
	write(t, root+"/picture.png", "\x89PNG")
	write(t, root+"/blob", "\x00\x01\x02")
	write(t, root+"/\xff\xfe.txt", "a name that is not UTF-8")
	must(t, os.Symlink("page.html", root+"/link.html"))
	must(t, os.Symlink("/etc", root+"/etc"))
	must(t, unix.Mkfifo(root+"/pipe.txt", 0o644))
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", root+"/socket.txt")
	must(t, err)
	defer l.Close()
	must(t, os.WriteFile(root+"/huge.txt", []byte("x"), 0o644))
	must(t, os.Truncate(root+"/huge.txt", 5<<30))

	got := snapshot(t, openPath(t, root))
	if want := []string{"README", "page.html", "%FF%FE.txt"}; !slices.Equal(got.order, want) {
		t.Errorf("documents %v, want %v", got.order, want)
	}
	for id, why := range map[string]string{
		"empty.md": "empty", "picture.png": "image/png", "blob": "binary", "link.html": "symbolic link",
		"etc": "symbolic link", "pipe.txt": "named pipe", "socket.txt": "socket", "huge.txt": "larger than 64.0 MB (5.0 GB)",
	} {
		if !strings.Contains(got.skipped[id], why) {
			t.Errorf("%s: skipped as %q, want %q", id, got.skipped[id], why)
		}
	}
	if len(got.skipped) != 8 || len(got.blocked) != 0 || !got.complete {
		t.Errorf("skipped %v, blocked %v, complete %t", got.skipped, got.blocked, got.complete)
	}
	text, err := read(t, got.changes["%FF%FE.txt"])
	if err != nil || text != "a name that is not UTF-8" {
		t.Errorf("%q, %v", text, err)
	}
}

func TestDocumentFields(t *testing.T) {
	t.Parallel()
	root := publicDir(t)
	write(t, root+"/sub/a b#1.html", "<p>text</p>")
	at := time.Date(2021, 2, 3, 4, 5, 6, 789, time.UTC)
	must(t, os.Chtimes(root+"/sub/a b#1.html", at, at))
	c := snapshot(t, openPath(t, root)).changes["sub/a b#1.html"]
	d := c.Document
	if d == nil || d.Path != "sub/a b#1.html" || d.Container != "sub" || d.MediaType != "text/html" || d.Size != 11 || !d.UpdatedAt.Equal(at) {
		t.Fatalf("%+v", d)
	}
	if want := "file://" + root + "/sub/a%20b%231.html"; d.URL != want {
		t.Errorf("URL %s, want %s", d.URL, want)
	}
}

// TestRevisionSeesRestoredTimes: an edit that keeps the size and sets mtime back
// still moves ctime.
func TestRevisionSeesRestoredTimes(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	p := root + "/a.md"
	write(t, p, "first")
	st, err := os.Stat(p)
	must(t, err)
	s := openPath(t, root)
	before := snapshot(t, s).changes["a.md"].Ref.Revision
	// The clock of the file system may be coarser than this test is fast.
	for range 10_000 {
		must(t, os.WriteFile(p, []byte("tsrif"), 0o644))
		must(t, os.Chtimes(p, st.ModTime(), st.ModTime()))
		if snapshot(t, s).changes["a.md"].Ref.Revision != before {
			return
		}
	}
	t.Error("the revision did not change")
}

func TestBlockedDirectoryBlocksOnlyItsSubtree(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for _, p := range []string{"a/1.md", "b/2.md", "b/deep/3.md", "b.md", "c/4.md"} {
		write(t, root+"/"+p, "text")
	}
	trip := func(at step, path string) error {
		if at == stepDirectory && path == "b" {
			return unix.EACCES
		}
		return nil
	}
	s := openSession(t, Config{trip: trip}, map[string]string{"path": root}, connectors.Selection{})
	got := snapshot(t, s)
	if want := []string{"a/1.md", "b.md", "c/4.md"}; !slices.Equal(got.order, want) {
		t.Errorf("%v, want %v", got.order, want)
	}
	if len(got.blocked) != 1 || got.blocked["b"] != "permission denied" || !got.complete {
		t.Errorf("blocked %v, complete %t", got.blocked, got.complete)
	}
	if p := got.pages[0].Blocked[0].Prefix; p != "b/" {
		t.Errorf("prefix %q would cover b.md too, or not b/2.md", p)
	}
}

// TestEntryThatCannotBeDescribed counts as seen, and so does all below it.
func TestEntryThatCannotBeDescribed(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write(t, root+"/a/1.md", "text")
	write(t, root+"/b.md", "text")
	trip := func(at step, path string) error {
		if at == stepEntry && path == "a" {
			return unix.EIO
		}
		return nil
	}
	for _, size := range []int{1, 500} {
		s := openSession(t, Config{trip: trip, PageSize: size}, map[string]string{"path": root}, connectors.Selection{})
		got := snapshot(t, s)
		p := got.pages[0]
		if len(p.Skipped) != 1 || len(p.Blocked) != 1 || p.Skipped[0].Ref.ID != "a" || p.Blocked[0].Prefix != "a/" {
			t.Errorf("pages of %d: skipped %v, blocked %v: a restart would forget one of them", size, p.Skipped, p.Blocked)
		}
	}
}

// asNobody runs tests of this program as an account without rights.
func asNobody(t *testing.T, pattern string) {
	t.Helper()
	dir := publicDir(t)
	self, err := os.Executable()
	must(t, err)
	// Another process writes the copy: no child of ours holds it open then (ETXTBSY).
	out, err := exec.CommandContext(t.Context(), "install", "-m", "0755", self, dir+"/test").CombinedOutput()
	if err != nil {
		t.Fatalf("copying the test program: %v: %s", err, out)
	}
	must(t, os.Mkdir(dir+"/tmp", 0o700))
	const nobody = 65534
	must(t, os.Chown(dir+"/tmp", nobody, nobody))
	cmd := exec.CommandContext(t.Context(), dir+"/test", "-test.run="+pattern, "-test.v")
	cmd.Dir, cmd.Env = "/", append(os.Environ(), "TMPDIR="+dir+"/tmp")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	if out, err = cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS") {
		t.Errorf("as another account: %v\n%s", err, out)
	}
}

func TestUnreadableToUs(t *testing.T) {
	t.Parallel()
	if os.Geteuid() == 0 { // who reads everything: another account runs this test again
		asNobody(t, "^TestUnreadableToUs$")
		return
	}
	root := t.TempDir()
	write(t, root+"/closed.md", "text")
	write(t, root+"/dir/a.md", "text")
	must(t, os.Chmod(root+"/closed.md", 0))
	must(t, os.Chmod(root+"/dir", 0))
	defer os.Chmod(root+"/dir", 0o700)
	got := snapshot(t, openPath(t, root))
	if got.skipped["closed.md"] != reasonNoAccess || got.blocked["dir"] != "permission denied" || !got.complete {
		t.Errorf("skipped %v, blocked %v, complete %t", got.skipped, got.blocked, got.complete)
	}
	must(t, os.Chmod(root, 0))
	_, err := New(Config{}).Open(t.Context(), connectors.Env{Settings: map[string]string{"path": root}})
	must(t, os.Chmod(root, 0o700))
	wantInvalid(t, err, "path", "cannot be read")
}

func TestResumeIsExact(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for i := range 60 {
		write(t, fmt.Sprintf("%s/d%d/e%d/f%02d.md", root, i%3, i%4, i), "text")
		write(t, fmt.Sprintf("%s/d%d.x/f%02d.md", root, i%3, i), "text")
		write(t, fmt.Sprintf("%s/d%d/empty%d.md", root, i%3, i), "")
	}
	s := openSession(t, Config{PageSize: 7}, map[string]string{"path": root}, connectors.Selection{})
	whole := snapshot(t, s)
	if len(whole.order) != 120 || len(whole.skipped) != 60 {
		t.Fatalf("%d documents, %d skipped", len(whole.order), len(whole.skipped))
	}
	seen := 0
	for i, p := range whole.pages[:len(whole.pages)-1] {
		seen += len(p.Changes)
		rest := collect(t, s.Snapshot(t.Context(), p.Next))
		if !slices.Equal(rest.order, whole.order[seen:]) || !rest.complete {
			t.Fatalf("after page %d: %d documents, want %d", i+1, len(rest.order), len(whole.order)-seen)
		}
	}
}

// TestResumeWherePlaceIsGone: the place in the cursor may have been deleted, or
// turned into something else.
func TestResumeWherePlaceIsGone(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(root string) error{
		"the file":      func(root string) error { return os.Remove(root + "/b/2.md") },
		"the directory": func(root string) error { return os.RemoveAll(root + "/b") },
		"the directory, for a file": func(root string) error {
			return cmpErr(os.RemoveAll(root+"/b"), os.WriteFile(root+"/b", []byte("text"), 0o644))
		},
		"the file, for a directory":      func(root string) error { return cmpErr(os.Remove(root+"/b/2.md"), os.Mkdir(root+"/b/2.md", 0o755)) },
		"the directory, for a link away": func(root string) error { return cmpErr(os.RemoveAll(root+"/b"), os.Symlink("/etc", root+"/b")) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			for _, p := range []string{"a.md", "b/2.md", "b/3.md", "c.md"} {
				write(t, root+"/"+p, "text")
			}
			s := openSession(t, Config{PageSize: 2}, map[string]string{"path": root}, connectors.Selection{})
			first := snapshot(t, s).pages[0]
			must(t, change(root))
			rest := collect(t, s.Snapshot(t.Context(), first.Next))
			if !rest.complete || !slices.Contains(rest.order, "c.md") || slices.Contains(rest.order, "a.md") {
				t.Errorf("%v, complete %t", rest.order, rest.complete)
			}
			for id := range rest.changes {
				if strings.Contains(id, "passwd") {
					t.Errorf("%q lies outside the root", id)
				}
			}
		})
	}
}

func TestReplacedRootStartsAnew(t *testing.T) {
	t.Parallel()
	root := filepath.Join(t.TempDir(), "root")
	write(t, root+"/a.md", "text")
	s := openPath(t, root)
	end := snapshot(t, s).pages[0].Next
	must(t, os.Rename(root, root+".old"))
	must(t, os.Mkdir(root, 0o755))
	for _, err := range s.Snapshot(t.Context(), nil) {
		if connectors.ClassOf(err) != connectors.Transient {
			t.Errorf("an empty directory took the root's place, as an unmounted disk leaves it: %v", err)
		}
	}
	for _, err := range openPath(t, root).Snapshot(t.Context(), end) {
		if connectors.ClassOf(err) != connectors.CursorExpired {
			t.Errorf("a cursor of another root: %v", err)
		}
	}
}

func TestDepthIsBounded(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	deep := root + strings.Repeat("/d", maxDepth+5)
	write(t, deep+"/too-deep.md", "text")
	write(t, root+"/"+strings.Repeat("d/", maxDepth-1)+"ok.md", "text")
	got := snapshot(t, openPath(t, root))
	if len(got.order) != 1 || len(got.blocked) != 1 || !got.complete {
		t.Errorf("%d documents, blocked %v", len(got.order), got.blocked)
	}
}

func TestDirectoryLoop(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to mount")
	}
	root := publicDir(t)
	write(t, root+"/a/b/x.md", "text")
	must(t, os.Mkdir(root+"/a/b/loop", 0o755))
	if err := bindMount(root+"/a", root+"/a/b/loop"); err != nil {
		t.Skipf("mounting is not allowed here: %v", err)
	}
	defer func() { must(t, unmount(root+"/a/b/loop")) }()
	got := snapshot(t, openPath(t, root))
	if !slices.Equal(got.order, []string{"a/b/x.md"}) || got.skipped["a/b/loop"] != "directory loop: the same directory as a" || !got.complete {
		t.Errorf("%v, skipped %v", got.order, got.skipped)
	}
}

// TestSwapsDoNotLeadOutOfTheTree puts a link where a file or directory was
// listed.
func TestSwapsDoNotLeadOutOfTheTree(t *testing.T) {
	t.Parallel()
	outside := t.TempDir()
	write(t, outside+"/a.md", "secret")
	for name, swap := range map[string]func(root string) error{
		"the file, for a link": func(root string) error {
			return cmpErr(os.Remove(root+"/d/a.md"), os.Symlink(outside+"/a.md", root+"/d/a.md"))
		},
		"the directory, for a link": func(root string) error { return cmpErr(os.RemoveAll(root+"/d"), os.Symlink(outside, root+"/d")) },
		"the file, for another file": func(root string) error {
			return cmpErr(os.Link(outside+"/a.md", root+"/d/new"), os.Rename(root+"/d/new", root+"/d/a.md"))
		},
		"the file, for a named pipe": func(root string) error { return cmpErr(os.Remove(root+"/d/a.md"), unix.Mkfifo(root+"/d/a.md", 0o644)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			write(t, root+"/d/a.md", "public")
			s := openPath(t, root)
			c := snapshot(t, s).changes["d/a.md"]
			must(t, swap(root))
			text, err := read(t, c)
			if connectors.ClassOf(err) != connectors.ItemSkipped || text != "" {
				t.Errorf("read %q, %v", text, err)
			}
		})
	}
}

func TestFileThatChangesWhileRead(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(p string) error{
		"grows": func(p string) error {
			f, err := os.OpenFile(p, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteString("more")
			return cmpErr(err, f.Close())
		},
		"shrinks":      func(p string) error { return os.Truncate(p, 2) },
		"is rewritten": func(p string) error { return os.WriteFile(p, []byte("other text"), 0o644) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			p := root + "/a.md"
			write(t, p, "first text")
			old := time.Now().Add(-time.Hour)
			must(t, os.Chtimes(p, old, old))
			trip := func(at step, _ string) error {
				if at == stepBody {
					return change(p)
				}
				return nil
			}
			s := openSession(t, Config{trip: trip}, map[string]string{"path": root}, connectors.Selection{})
			_, err := read(t, snapshot(t, s).changes["a.md"])
			if connectors.ClassOf(err) != connectors.ItemSkipped || !strings.Contains(err.Error(), "changed while reading") {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestBinaryBehindATextName(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write(t, root+"/a.txt", "\x00\x01\x02\x03")
	_, err := read(t, snapshot(t, openPath(t, root)).changes["a.txt"])
	if connectors.ClassOf(err) != connectors.ItemSkipped || !strings.Contains(err.Error(), "binary content") {
		t.Errorf("%v", err)
	}
}

func TestFixedReaders(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write(t, root+"/a.md", "text")
	must(t, os.Chmod(root+"/a.md", 0o600))
	accounts := &fakeAccounts{users: []Account{{"alice", 1000, 100}}, groups: []AccountGroup{{Name: "staff", GID: 50}}}
	open := func(readers string) connectors.ACL {
		s := openSession(t, Config{Accounts: accounts}, map[string]string{"path": root, "permissions": "fixed", "readers": readers}, connectors.Selection{})
		acl := snapshot(t, s).changes["a.md"].ACL
		feed := collect(t, s.Permissions(t.Context(), nil)).changes["a.md"]
		if feed.Op != connectors.SetACL || !slices.EqualFunc(feed.ACL.AllOf, acl.AllOf, slices.Equal[[]connectors.Principal]) {
			t.Errorf("the permission feed says %v, the snapshot %v", feed, acl)
		}
		return acl
	}
	got := open("unix:alice, group:staff,gid:100,unix:alice")
	want := []connectors.Principal{groupPrincipal(50), groupPrincipal(100), userPrincipal(1000)}
	if len(got.AllOf) != 1 || !slices.Equal(got.AllOf[0], want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := open("anyone,unix:alice"); len(got.AllOf) != 1 || !slices.Equal(got.AllOf[0], []connectors.Principal{anyone()}) {
		t.Errorf("%v, want every account of the machine", got)
	}
}

func TestSelectedWalk(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for _, p := range []string{"docs/a.md", "docs/a.png", "docs/drafts/b.md", "src/c.md", "d.md"} {
		write(t, root+"/"+p, "text")
	}
	sel := connectors.Selection{Include: []string{"docs/**"}, Exclude: []string{"drafts"}}
	s := openSession(t, Config{}, map[string]string{"path": root}, sel)
	got := snapshot(t, s)
	if !slices.Equal(got.order, []string{"docs/a.md"}) || len(got.skipped) != 1 || !got.complete {
		t.Errorf("%v, skipped %v", got.order, got.skipped)
	}
	if _, err := s.Fetch(t.Context(), "d.md"); connectors.ClassOf(err) != connectors.ItemSkipped {
		t.Errorf("fetching what is not selected: %v", err)
	}
	for _, id := range []string{"../x", "", "docs", "docs/../d.md", "/etc/passwd", "docs/a.png"} {
		if _, err := s.Fetch(t.Context(), id); connectors.ClassOf(err) != connectors.ItemSkipped {
			t.Errorf("fetching %q: %v", id, err)
		}
	}
}

func TestEmptyRootIsComplete(t *testing.T) {
	t.Parallel()
	got := snapshot(t, openPath(t, t.TempDir()))
	if len(got.pages) != 1 || !got.complete || got.pages[0].Next.IsZero() {
		t.Errorf("%+v", got.pages)
	}
}

// TestDirectorySwappedWhileListing puts a link to another tree between the
// moment a directory was seen and the moment it is opened.
func TestDirectorySwappedWhileListing(t *testing.T) {
	t.Parallel()
	root, outside := t.TempDir(), t.TempDir()
	write(t, outside+"/secret.md", "secret")
	write(t, root+"/d/a.md", "public")
	write(t, root+"/e.md", "public")
	trip := func(at step, path string) error {
		if at == stepDirectory && path == "d" {
			return cmpErr(os.RemoveAll(root+"/d"), os.Symlink(outside, root+"/d"))
		}
		return nil
	}
	s := openSession(t, Config{trip: trip}, map[string]string{"path": root}, connectors.Selection{})
	got := snapshot(t, s)
	if !slices.Equal(got.order, []string{"e.md"}) || got.blocked["d"] != "changed while listing" {
		t.Errorf("%v, blocked %v", got.order, got.blocked)
	}
	for _, err := range s.Choices(t.Context(), "d") {
		wantInvalid(t, err, "parent")
	}
	if c, err := s.Fetch(t.Context(), "d/secret.md"); connectors.ClassOf(err) != connectors.ItemSkipped {
		t.Errorf("fetched %+v, %v", c.Ref, err)
	}
}
