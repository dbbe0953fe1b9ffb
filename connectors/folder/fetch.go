package folder

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"tributary/connectors"
)

// Fetch reads one file again. A path that holds no document of the selection is
// an error of class ItemRefused.
func (s *session) Fetch(ctx context.Context, id string) (connectors.Change, error) {
	ref := connectors.ItemRef{ID: id}
	p := decodeID(id)
	if !validPath(p) || itemID(p) != id {
		return connectors.Change{}, skipped(ref, errors.New("not the id of a file"))
	}
	if !s.sel.file(p) {
		return connectors.Change{}, skipped(ref, errors.New("outside the selection"))
	}
	var change connectors.Change
	found := &finder{s: s, walk: s.newWalk(nil), want: p, change: &change}
	if err := found.run(ctx); err != nil {
		if connectors.ClassOf(err) != connectors.Unknown || ctx.Err() != nil {
			return connectors.Change{}, err
		}
		return connectors.Change{}, skipped(ref, err)
	}
	return change, nil
}

// finder is the walk to one file.
type finder struct {
	s      *session
	walk   *walk
	want   string
	change *connectors.Change
}

// run goes down to the file as a walk does, through no other directory.
func (f *finder) run(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	d, err := f.walk.openRoot()
	if err != nil {
		return err
	}
	defer func() { closeFD(d.fd) }()
	dir, name := path.Split(f.want)
	parents := elements(strings.TrimSuffix(dir, "/"))
	fd, err := descend(d.fd, parents, searchOnly, func(fd int) error {
		if f.walk.acls != nil {
			d.rule = f.walk.acls.require(d.rule, fd, searchBit)
		}
		return nil
	})
	if err != nil {
		return err
	}
	closeFD(d.fd)
	d.fd, d.path = fd, strings.TrimSuffix(dir, "/")
	n, err := statAt(d.fd, name)
	if err != nil {
		return err
	}
	if !n.isRegular() {
		return errors.New(n.whyNoFile())
	}
	return f.file(&file{dir: d, name: name, path: f.want, node: n})
}

func (f *finder) file(at *file) error {
	mediaType, skip := f.s.classify(at, true)
	if skip != "" {
		return errors.New(skip)
	}
	ref := connectors.ItemRef{ID: itemID(at.path), Revision: revision(at.node)}
	*f.change = connectors.Change{
		Op: connectors.Upsert, Ref: ref, ACL: f.walk.judge(at).acl,
		Document: f.s.document(at.path, ref, at.node, mediaType),
	}
	return nil
}

// Choices yields the directories below parent; "" is the root.
func (s *session) Choices(ctx context.Context, parent string) iter.Seq2[connectors.Choice, error] {
	return func(yield func(connectors.Choice, error) bool) {
		fail := func(err error) {
			yield(connectors.Choice{}, invalid("listing folders", "parent", fmt.Errorf("%q: %s", parent, errnoText(err))))
		}
		p := decodeID(parent)
		if parent == rootContainer {
			p = ""
		}
		if p != "" && !validPath(p) {
			fail(errors.New("not a directory below the root"))
			return
		}
		fd, err := descend(s.root.fd, elements(p), unix.O_RDONLY, nil)
		if err != nil {
			fail(err)
			return
		}
		defer closeFD(fd)
		names, err := readNames(fd)
		if err != nil {
			fail(err)
			return
		}
		for _, name := range names {
			if err := ctx.Err(); err != nil {
				yield(connectors.Choice{}, err)
				return
			}
			c, ok := choice(fd, p, name)
			if ok && !yield(c, nil) {
				return
			}
		}
	}
}

func choice(dir int, parent, name string) (connectors.Choice, bool) {
	n, err := statAt(dir, name)
	if err != nil || !n.isDir() {
		return connectors.Choice{}, false
	}
	c := connectors.Choice{ID: itemID(path.Join(parent, name)), Name: strings.ToValidUTF8(name, "\uFFFD")}
	fd, err := openAt(dir, name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		c.Detail = errnoText(err)
		return c, true
	}
	defer closeFD(fd)
	names, err := readNames(fd)
	if err != nil {
		c.Detail = errnoText(err)
	}
	for _, sub := range names {
		if m, err := statAt(fd, sub); err == nil && m.isDir() {
			c.HasChildren = true
			break
		}
	}
	return c, true
}

// verifyLimit is how many files Verify counts.
const verifyLimit = 10_000

var errEnough = errors.New("enough")

// Verify counts the selected files, up to a limit.
func (s *session) Verify(ctx context.Context) (string, error) {
	c := &counter{}
	err := s.newWalk(c).run(ctx, "")
	more := ""
	switch {
	case errors.Is(err, errEnough):
		more = "more than "
	case err != nil:
		return "", err
	}
	summary := fmt.Sprintf("%s: %s%d files", s.root.path, more, c.files)
	if c.blocked > 0 {
		summary += fmt.Sprintf(", %d directories that cannot be listed", c.blocked)
	}
	return summary, nil
}

type counter struct{ files, blocked int }

func (c *counter) file(*file) error {
	if c.files++; c.files >= verifyLimit {
		return errEnough
	}
	return nil
}

func (c *counter) skip(string, inode, string) error { return nil }
func (c *counter) pass(string) error                { return nil }

func (c *counter) lost(string, string) error { return nil }

func (c *counter) block(string, string) error {
	c.blocked++
	return nil
}
