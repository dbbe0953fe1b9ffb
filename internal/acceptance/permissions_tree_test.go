//go:build linux

package acceptance

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	permRead   = 4
	permSearch = 1
	// permBucket is how many files a directory of the first level holds at
	// most: as many as one answer of the API.
	permBucket = 100
)

// permEntry is a named entry of an access control list.
type permEntry struct {
	group bool
	id    int
	perm  int
}

// permRights are owner, group, mode and extended ACL of a file or directory.
type permRights struct {
	uid, gid int
	mode     int // the twelve bits of chmod(2)
	acl      []permEntry
	// mask limits group and named entries; it counts where acl is not empty.
	mask int
}

// permDir is a directory of the tree.
type permDir struct {
	parent *permDir
	full   string
	rights permRights
}

// permFile is a file with a text that no other file has.
type permFile struct {
	connection string
	dir        *permDir
	rel        string // below the root
	full       string
	rights     permRights
	word       string // stands in this file only
	text       string
}

// inverts reports whether a class of r has fewer rights than a later one: any
// class, the owner and named users among them, or a group's.
func (r permRights) inverts(bit int) (class, group bool) {
	mask := 7
	if len(r.acl) > 0 {
		mask = r.mask
	}
	users := []bool{r.uid == 0 || r.mode>>6&bit != 0}
	groups := []bool{r.mode>>3&mask&bit != 0}
	for _, e := range r.acl {
		granted := e.perm&mask&bit != 0
		switch {
		case e.group:
			groups = append(groups, granted)
		case e.id != r.uid && e.id != 0:
			users = append(users, granted)
		}
	}
	other := r.mode&bit != 0
	group = other && slices.Contains(groups, false)
	class = group || (other || slices.Contains(groups, true)) && slices.Contains(users, false)
	return class, group
}

// inverted is inverts over the file and every directory above it.
func (f *permFile) inverted() (class, group bool) {
	class, group = f.rights.inverts(permRead)
	for d := f.dir; d != nil; d = d.parent {
		c, g := d.rights.inverts(permSearch)
		class, group = class || c, group || g
	}
	return class, group
}

// permTree plans a tree and writes it.
type permTree struct {
	t          *testing.T
	connection string
	root       *permDir
	// first numbers the first file: no two trees have a word in common.
	first int
	dirs  []*permDir
	files []*permFile
	// buckets are the directories of the first level in use, and their files.
	buckets map[string]int
	kind    string
	bucket  *permDir
}

// permWord is a word of consonants that no stemmer shortens.
func permWord(i int) string {
	const letters = "bcdfghkm"
	word := []byte("qx")
	for range 6 {
		word = append(word, letters[i%len(letters)])
		i /= len(letters)
	}
	return string(word)
}

func (tr *permTree) dir(parent *permDir, name string, r permRights) *permDir {
	d := &permDir{parent: parent, full: filepath.Join(parent.full, name), rights: r}
	tr.dirs = append(tr.dirs, d)
	return d
}

// room returns a directory of the first level, open to everybody, with room
// for n more files.
func (tr *permTree) room(kind string, n int) *permDir {
	if tr.bucket == nil || tr.kind != kind || tr.buckets[filepath.Base(tr.bucket.full)]+n > permBucket {
		name := fmt.Sprintf("%s-%03d", kind, len(tr.buckets))
		tr.kind, tr.bucket = kind, tr.dir(tr.root, name, permRights{mode: 0o755})
	}
	tr.buckets[filepath.Base(tr.bucket.full)] += n
	return tr.bucket
}

func (tr *permTree) file(d *permDir, name string, r permRights) {
	full := filepath.Join(d.full, name)
	rel, err := filepath.Rel(tr.root.full, full)
	if err != nil {
		tr.t.Fatal(err)
	}
	word := permWord(tr.first + len(tr.files))
	f := &permFile{connection: tr.connection, dir: d, rel: rel, full: full, rights: r, word: word, text: fmt.Sprintf("The rowan %s stands in %s.", word, strings.ReplaceAll(rel, "/", " "))}
	tr.files = append(tr.files, f)
}

// write creates what was planned below an existing root.
func (tr *permTree) write() {
	tr.t.Helper()
	for _, d := range tr.dirs {
		if err := os.Mkdir(d.full, 0o700); err != nil {
			tr.t.Fatal(err)
		}
	}
	for _, f := range tr.files {
		if err := os.WriteFile(f.full, []byte(f.text+"\n"), 0o600); err != nil {
			tr.t.Fatal(err)
		}
		permApply(tr.t, f.full, f.rights)
	}
	for _, d := range tr.dirs {
		permApply(tr.t, d.full, d.rights)
	}
	lists := map[string][]string{}
	for _, f := range tr.files {
		if len(f.rights.acl) > 0 {
			lists[f.rights.spec()] = append(lists[f.rights.spec()], f.full)
		}
	}
	for _, d := range tr.dirs {
		if len(d.rights.acl) > 0 {
			lists[d.rights.spec()] = append(lists[d.rights.spec()], d.full)
		}
	}
	for spec, paths := range lists {
		permSetfacl(tr.t, spec, paths)
	}
}

// permApply gives a file or directory its owner, group and mode; chown(2)
// takes bits away, so the mode comes last.
func permApply(t *testing.T, path string, r permRights) {
	t.Helper()
	if err := errors.Join(os.Lchown(path, r.uid, r.gid), permChmod(path, r.mode)); err != nil {
		t.Fatal(err)
	}
}

// permChmod sets all twelve bits.
func permChmod(path string, mode int) error {
	m := os.FileMode(mode & 0o777)
	for bit, special := range map[int]os.FileMode{0o4000: os.ModeSetuid, 0o2000: os.ModeSetgid, 0o1000: os.ModeSticky} {
		if mode&bit != 0 {
			m |= special
		}
	}
	return os.Chmod(path, m)
}

// spec writes an access control list as setfacl(1) reads it, owner's, group's
// and others' rights as the mode has them.
func (r permRights) spec() string {
	var b strings.Builder
	fmt.Fprintf(&b, "u::%d,g::%d,o::%d", r.mode>>6&7, r.mode>>3&7, r.mode&7)
	for _, e := range r.acl {
		kind := "u"
		if e.group {
			kind = "g"
		}
		fmt.Fprintf(&b, ",%s:%d:%d", kind, e.id, e.perm)
	}
	fmt.Fprintf(&b, ",m::%d", r.mask)
	return b.String()
}

func permSetfacl(t *testing.T, spec string, paths []string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "xargs", "-0", "setfacl", "--set", spec, "--")
	cmd.Stdin = bytes.NewReader([]byte(strings.Join(paths, "\x00")))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("setfacl %s (package acl): %v\n%s", spec, err, out)
	}
}
