package folder

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"tributary/connectors"
)

// The accounts of the matrix. No such account needs to exist on the machine:
// the kernel knows numbers only.
const (
	uidA, uidB, uidC, uidD = 50001, 50002, 50003, 50004
	gidA, gidB, gidC       = 60001, 60002, 60003
)

type kernelAccount struct {
	name   string
	uid    uint32
	gid    uint32
	groups []uint32
}

func kernelAccounts() []kernelAccount {
	return []kernelAccount{
		{"root", 0, 0, nil},
		{"a", uidA, gidA, nil},
		{"b", uidB, gidB, []uint32{gidA}},
		{"c", uidC, gidC, []uint32{gidA, gidB}},
		{"d", uidD, gidC, nil},
	}
}

func accountsOf(list []kernelAccount) *fakeAccounts {
	f := &fakeAccounts{}
	members := map[uint32][]string{}
	for _, a := range list {
		f.users = append(f.users, Account{Name: a.name, UID: a.uid, GID: a.gid})
		for _, g := range a.groups {
			members[g] = append(members[g], a.name)
		}
	}
	for gid, names := range members {
		f.groups = append(f.groups, AccountGroup{Name: fmt.Sprintf("g%d", gid), GID: gid, Members: names})
	}
	return f
}

// readerEnv makes the test binary try to read files instead of running tests.
const readerEnv = "TEST_FOLDER_READER"

func TestMain(m *testing.M) {
	if os.Getenv(readerEnv) == "" {
		os.Exit(m.Run())
	}
	in := bufio.NewScanner(os.Stdin)
	out := bufio.NewWriter(os.Stdout)
	for in.Scan() {
		answer := byte('0')
		if f, err := os.Open(in.Text()); err == nil {
			if _, err := f.Read(make([]byte, 1)); err == nil {
				answer = '1'
			}
			_ = f.Close()
		}
		_ = out.WriteByte(answer)
	}
	_ = out.Flush()
	os.Exit(0)
}

// kernelReads asks the kernel which of the paths the account can read.
func kernelReads(t *testing.T, who kernelAccount, paths []string) map[string]bool {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Env = []string{readerEnv + "=1"}
	cmd.Dir = "/"
	cmd.Stdin = strings.NewReader(strings.Join(paths, "\n") + "\n")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: who.uid, Gid: who.gid, Groups: who.groups}}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || len(out) != len(paths) {
		t.Fatalf("reading as %s: %v, %d answers for %d files: %s", who.name, err, len(out), len(paths), stderr.Bytes())
	}
	can := map[string]bool{}
	for i, p := range paths {
		can[p] = out[i] == '1'
	}
	return can
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("TEST_REQUIRE") != "" {
			t.Fatal("becoming other accounts needs root, and TEST_REQUIRE forbids to skip")
		}
		t.Skip("needs root, to become other accounts")
	}
}

// setACL writes an extended ACL in the layout of linux/posix_acl_xattr.h.
func setACL(path string, a acl) error {
	b := binary.LittleEndian.AppendUint32(nil, aclXattrVersion)
	add := func(tag uint16, perm uint8, id uint32) {
		b = binary.LittleEndian.AppendUint16(b, tag)
		b = binary.LittleEndian.AppendUint16(b, uint16(perm))
		b = binary.LittleEndian.AppendUint32(b, id)
	}
	const noID = 0xffffffff
	add(tagUserObj, a.owner, noID)
	for _, u := range a.users {
		add(tagUser, u.perm, u.id)
	}
	add(tagGroupObj, a.group, noID)
	for _, g := range a.groups {
		add(tagGroup, g.perm, g.id)
	}
	add(tagMask, a.mask, noID)
	add(tagOther, a.other, noID)
	return unix.Setxattr(path, aclXattr, b, 0)
}

func randomACL(rnd *rand.Rand) acl {
	perm := func() uint8 { return []uint8{0, 1, 4, 5, 7}[rnd.IntN(5)] }
	a := acl{owner: perm(), group: perm(), other: perm(), mask: perm()}
	if rnd.IntN(3) > 0 {
		a.mask = 7
	}
	for _, id := range []uint32{0, uidA, uidB, uidC, uidD} {
		if rnd.IntN(3) == 0 {
			a.users = append(a.users, named{id, perm()})
		}
	}
	for _, id := range []uint32{0, gidA, gidB, gidC} {
		if rnd.IntN(3) == 0 {
			a.groups = append(a.groups, named{id, perm()})
		}
	}
	return a
}

// matrix makes a tree with every combination of the read bits of files, the
// search bits of directories, owners and groups, and with extended ACLs on some
// of both.
func matrix(t *testing.T, root string, rnd *rand.Rand) (int, int) {
	t.Helper()
	dirs, files := 0, 0
	owners := []int{0, uidA}
	groups := []int{0, gidA, gidB}
	bits := func(i int, one uint32) os.FileMode {
		return os.FileMode(uint32(i>>2&1)*one<<6 | uint32(i>>1&1)*one<<3 | uint32(i&1)*one)
	}
	fill := func(dir string) {
		for i := range 8 {
			for _, u := range owners {
				for _, g := range groups {
					p := filepath.Join(dir, fmt.Sprintf("f%d-%d-%d.txt", i, u, g))
					must(t, os.WriteFile(p, []byte("text"), 0o600))
					must(t, os.Chown(p, u, g))
					must(t, os.Chmod(p, bits(i, readBit)))
					files++
				}
			}
		}
		for i := range 6 {
			p := filepath.Join(dir, fmt.Sprintf("x%d.txt", i))
			must(t, os.WriteFile(p, []byte("text"), 0o600))
			must(t, os.Chown(p, owners[rnd.IntN(2)], groups[rnd.IntN(3)]))
			must(t, setACL(p, randomACL(rnd)))
			files++
		}
	}
	closeDir := func(dir string, i, u, g int) {
		must(t, os.Chown(dir, u, g))
		must(t, os.Chmod(dir, bits(i, searchBit)|0o444))
		dirs++
	}
	fill(root)
	for i := range 8 {
		for _, u := range owners {
			for _, g := range groups {
				dir := filepath.Join(root, fmt.Sprintf("d%d-%d-%d", i, u, g))
				sub := filepath.Join(dir, "sub")
				must(t, os.MkdirAll(sub, 0o755))
				fill(dir)
				fill(sub)
				closeDir(sub, rnd.IntN(8), owners[rnd.IntN(2)], groups[rnd.IntN(3)])
				if rnd.IntN(2) == 0 {
					must(t, setACL(sub, randomACL(rnd)))
				}
				closeDir(dir, i, u, g)
			}
		}
	}
	return dirs, files
}

// judgements is a visitor that keeps who may read each file.
type judgements struct {
	w     *walk
	found map[string]judged
}

func (j *judgements) file(f *file) error {
	j.found[f.path] = j.w.judge(f)
	return nil
}

func (j *judgements) skip(p string, _ inode, r string) error {
	return fmt.Errorf("%s skipped: %s", p, r)
}
func (j *judgements) block(p, r string) error { return fmt.Errorf("%s blocked: %s", p, r) }
func (j *judgements) lost(p, r string) error  { return fmt.Errorf("%s lost: %s", p, r) }
func (j *judgements) pass(string) error       { return nil }

func judgeAll(t *testing.T, s *session) map[string]judged {
	t.Helper()
	j := &judgements{found: map[string]judged{}}
	j.w = s.newWalk(j)
	must(t, j.w.run(t.Context(), ""))
	return j.found
}

// TestKernelAgrees compares the ACL of every file of the matrix with what the
// kernel lets each account read: never more, and fewer only below inverted
// modes, which are counted.
func TestKernelAgrees(t *testing.T) {
	t.Parallel()
	needRoot(t)
	root := filepath.Join(publicDir(t), "tree")
	must(t, os.Mkdir(root, 0o755))
	const seed = 20240229
	dirs, files := matrix(t, root, rand.New(rand.NewPCG(seed, 1)))
	list := kernelAccounts()
	s := openSession(t, Config{Accounts: accountsOf(list)}, map[string]string{"path": root}, connectors.Selection{})
	found := judgeAll(t, s)
	if len(found) != files {
		t.Fatalf("%d files judged, the tree has %d", len(found), files)
	}
	c := compareWithKernel(t, s, list, found)
	t.Logf("%d directories, %d files, %d checks, %d granted by the kernel, %d narrower in counted inverted modes", dirs, files, c.checks, c.granted, c.narrower)
	if c.wider > 0 {
		t.Fatalf("%d of %d answers are wider than the kernel's", c.wider, c.checks)
	}
	if c.granted < c.checks/20 || c.granted > c.checks*19/20 || c.narrower == 0 {
		t.Fatalf("the matrix proves nothing: %d of %d granted, %d narrower", c.granted, c.checks, c.narrower)
	}
	var inverted int64
	for _, j := range found {
		if j.inverted {
			inverted++
		}
	}
	snapshot(t, s)
	if got := s.Counts()[CountInverted]; got != inverted {
		t.Errorf("the session counts %d inverted files, the tree has %d", got, inverted)
	}
}

// comparison counts answers: ours against the kernel's.
type comparison struct{ wider, narrower, checks, granted int }

func compareWithKernel(t *testing.T, s *session, list []kernelAccount, found map[string]judged) comparison {
	t.Helper()
	var c comparison
	var ms []connectors.Membership
	for m, err := range s.Groups(t.Context()) {
		must(t, err)
		ms = append(ms, m)
	}
	var paths []string
	for p := range found {
		paths = append(paths, filepath.Join(s.root.path, p))
	}
	for _, who := range list {
		can := kernelReads(t, who, paths)
		is := closure(who.uid, ms)
		for p, j := range found {
			c.checks++
			kernel, ours := can[filepath.Join(s.root.path, p)], passes(j.acl, is)
			if kernel {
				c.granted++
			}
			switch {
			case ours && !kernel:
				c.wider++
				t.Errorf("%s: %s may not read it and may by %v", p, who.name, j.acl)
			case kernel && !ours && !j.inverted:
				t.Errorf("%s: %s may read it and may not by %v, and it is not counted", p, who.name, j.acl)
			case kernel && !ours:
				c.narrower++
			}
			if c.wider > 10 {
				return c
			}
		}
	}
	return c
}

// TestKernelAgreesAboveTheRoot closes a directory above the connection's root.
func TestKernelAgreesAboveTheRoot(t *testing.T) {
	t.Parallel()
	needRoot(t)
	base := publicDir(t)
	root := filepath.Join(base, "closed", "root")
	write(t, filepath.Join(root, "open.txt"), "text")
	write(t, filepath.Join(root, "sub", "open.txt"), "text")
	list := kernelAccounts()
	above := filepath.Join(base, "closed")
	for name, closeIt := range map[string]func() error{
		"0700":               func() error { return os.Chmod(above, 0o700) },
		"0710 of a's group":  func() error { return cmpErr(os.Chown(above, 0, gidA), os.Chmod(above, 0o710)) },
		"0711":               func() error { return os.Chmod(above, 0o711) },
		"a named user's ACL": func() error { return setACL(above, acl{owner: 7, mask: 7, users: []named{{uidD, 1}}}) },
	} {
		must(t, closeIt())
		s := openSession(t, Config{Accounts: accountsOf(list)}, map[string]string{"path": root}, connectors.Selection{})
		found := judgeAll(t, s)
		if c := compareWithKernel(t, s, list, found); c.narrower > 0 || c.granted < 2 {
			t.Errorf("%s: %d narrower, %d granted", name, c.narrower, c.granted)
		}
	}
}

// TestPermissionsThatCannotBeRead are visible to nobody.
func TestPermissionsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	n := inode{uid: 1, gid: 1, mode: 0o644}
	entry := func(tag, perm uint16, id uint32) []byte {
		b := binary.LittleEndian.AppendUint16(nil, tag)
		b = binary.LittleEndian.AppendUint16(b, perm)
		return binary.LittleEndian.AppendUint32(b, id)
	}
	list := func(version uint32, entries ...[]byte) []byte {
		return append(binary.LittleEndian.AppendUint32(nil, version), bytes.Join(entries, nil)...)
	}
	owner, group, other := entry(tagUserObj, 6, 0), entry(tagGroupObj, 4, 0), entry(tagOther, 4, 0)
	whole := list(2, owner, group, other)
	if _, err := parseACL(whole, n); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"empty":                 {},
		"another version":       list(3, owner, group, other),
		"cut short":             whole[:len(whole)-1],
		"without others":        list(2, owner, group),
		"two owners":            list(2, owner, owner, group, other),
		"an unknown tag":        list(2, owner, group, other, entry(0x40, 4, 0)),
		"unknown permissions":   list(2, owner, group, entry(tagOther, 12, 0)),
		"named without a mask":  list(2, owner, entry(tagUser, 4, 7), group, other),
		"nothing but a version": list(2),
	} {
		if a, err := parseACL(b, n); err == nil {
			t.Errorf("%s: understood as %+v", name, a)
		}
	}
}

func FuzzParseACL(f *testing.F) {
	f.Add([]byte{2, 0, 0, 0})
	f.Add([]byte("\x02\x00\x00\x00\x01\x00\x06\x00\xff\xff\xff\xff\x04\x00\x04\x00\xff\xff\xff\xff\x20\x00\x00\x00\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := parseACL(b, inode{uid: 1, gid: 2, mode: 0o644})
		if err != nil {
			return
		}
		if a.uid != 1 || a.gid != 2 || a.owner|a.group|a.other|a.mask > 7 {
			t.Fatalf("%+v", a)
		}
		if err := (rule{}).require(a, readBit, idSpace{}).acl().Validate(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestLongACL has more entries than the usual buffer holds, by either way of
// reading it.
func TestLongACL(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write(t, root+"/a.md", "text")
	want := acl{owner: 6, group: 4, mask: 7}
	for id := range uint32(300) {
		want.users = append(want.users, named{1000 + id, 4})
	}
	if err := setACL(root+"/a.md", want); err != nil {
		t.Skipf("this file system keeps no ACLs: %v", err)
	}
	s := openPath(t, root)
	for name, disable := range map[string]bool{"getxattrat": false, "/proc": true} {
		r := newACLReader(s.clock)
		r.xattrs.direct = r.xattrs.direct && !disable
		n, err := statAt(s.root.fd, "a.md")
		must(t, err)
		got, err := r.listAt(s.root.fd, "a.md", n)
		if err != nil || len(got.users) != 300 || !got.extended {
			t.Errorf("%s: %d users, %v", name, len(got.users), err)
		}
		small := newXattrs()
		small.direct = r.xattrs.direct
		if _, err := small.ofName(s.root.fd, "nosuchfile", aclXattr); !isGone(err) {
			t.Errorf("%s: a missing file: %v", name, err)
		}
	}
}
