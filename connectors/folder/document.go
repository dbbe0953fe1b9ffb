package folder

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"tributary/connectors"
)

// sniffLen is how much of a file decides during a listing whether it is a
// document; checkLen is how much is looked at again when its body is opened.
const (
	sniffLen = 64 << 10
	checkLen = 4 << 10
)

// minCertain is the size from which a name decides: what is one byte long is a
// document by no name.
const minCertain = 2

// Reasons for files that are listed and not ingested.
const (
	reasonEmpty    = "empty file"
	reasonNoAccess = "permission denied"
)

// classify returns the file's media type, or else the reason why it is not a
// document. It opens the file only if open is set and its name does not decide.
func (s *session) classify(f *file, open bool) (string, string) {
	switch {
	case f.node.size == 0:
		return "", reasonEmpty
	case f.node.size > s.settings.maxFileSize:
		return "", fmt.Sprintf("larger than %s (%s)", formatSize(s.settings.maxFileSize), formatSize(f.node.size))
	}
	mediaType, verdict := byName(f.name)
	if f.node.size < minCertain && verdict == isDocument {
		verdict = isUncertain
	}
	switch {
	case verdict == isNone:
		return "", "not a document: " + mediaType
	case !open:
		return mediaType, ""
	case !mayRead(f.dir.fd, f.name):
		return "", reasonNoAccess
	case verdict == isDocument:
		return mediaType, ""
	}
	fd, err := openAt(f.dir.fd, f.name, unix.O_RDONLY)
	if err != nil {
		return "", errnoText(err)
	}
	defer closeFD(fd)
	n, err := statFD(fd)
	if err != nil || n != f.node {
		return "", "changed while listing"
	}
	head, err := readHead(fd, min(sniffLen, f.node.size))
	if err != nil {
		return "", errnoText(err)
	}
	mediaType, ok, reason := s.cfg.Sniff(f.name, head)
	if !ok {
		return "", orText(reason, "not a document")
	}
	return mediaType, ""
}

func orText(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// mayRead reports whether this process may read the file. The answer is for the
// list of skipped files only; opening decides.
func mayRead(dir int, name string) bool {
	if os.Geteuid() == rootUser {
		return true
	}
	err := retrying(func() error { return unix.Faccessat(dir, name, unix.R_OK, unix.AT_EACCESS) })
	return !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.EPERM)
}

// readHead returns the first bytes of the file, without moving its offset.
func readHead(fd int, size int64) ([]byte, error) {
	head := make([]byte, size)
	n := 0
	for n < len(head) {
		m := 0
		err := retrying(func() error {
			var err error
			m, err = unix.Pread(fd, head[n:], int64(n))
			return err
		})
		if err != nil {
			return nil, err
		}
		if m == 0 {
			break
		}
		n += m
	}
	return head[:n], nil
}

// document describes the file at the path.
func (s *session) document(p string, ref connectors.ItemRef, n inode, mediaType string) *connectors.Document {
	u := url.URL{Scheme: "file", Path: path.Join(s.root.path, p)}
	return &connectors.Document{
		URL:       u.String(),
		Path:      ref.ID,
		Container: containerOf(ref.ID),
		Kind:      "file",
		MediaType: mediaType,
		Size:      n.size,
		UpdatedAt: time.Unix(0, n.mtime).UTC(),
		Open: func(ctx context.Context) (io.ReadCloser, error) {
			b, err := s.openBody(ctx, p, n)
			if err != nil {
				return nil, skipped(ref, err)
			}
			b.ref = ref
			return b, nil
		},
	}
}

// skipped is the error for one file that cannot be ingested.
func skipped(ref connectors.ItemRef, err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	class := connectors.ItemSkipped
	switch {
	case isExhausted(err):
		class = connectors.Transient
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		class = connectors.ItemRefused
	}
	if _, ok := errors.AsType[unix.Errno](err); ok && class != connectors.Transient {
		err = errors.New(errnoText(err))
	}
	return &connectors.Error{Op: "reading file " + ref.ID, Class: class, Ref: ref, Err: err}
}

var (
	errChangedSince = errors.New("changed since it was listed")
	errChanged      = errors.New("changed while reading")
)

// openBody opens the file that was listed as n, and nothing else.
func (s *session) openBody(ctx context.Context, p string, n inode) (*body, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	dir, name := path.Split(p)
	parent, err := descend(s.root.fd, elements(strings.TrimSuffix(dir, "/")), searchOnly, nil)
	if err != nil {
		return nil, err
	}
	defer closeFD(parent)
	fd, err := openAt(parent, name, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	b := &body{f: os.NewFile(uintptr(fd), p), fd: fd, want: n, left: n.size}
	if err = b.check(s.cfg.Sniff, name); err == nil {
		err = s.cfg.trip(stepBody, p)
	}
	if err != nil {
		return nil, errors.Join(err, b.f.Close())
	}
	return b, nil
}

// check reports why the open file is not the document that was listed.
func (b *body) check(sniff func(string, []byte) (string, bool, string), name string) error {
	n, err := statFD(b.fd)
	switch {
	case err != nil:
		return err
	case n != b.want || !n.isRegular():
		return errChangedSince
	}
	head, err := readHead(b.fd, min(checkLen, n.size))
	if err != nil {
		return err
	}
	if _, ok, reason := sniff(name, head); !ok {
		return errors.New(orText(reason, "not a document"))
	}
	return nil
}

// body reads a file to the size that was listed, and ends with an error if the
// file changed meanwhile.
type body struct {
	f    *os.File
	fd   int
	ref  connectors.ItemRef
	want inode
	left int64
}

// Read returns an error of class ItemSkipped instead of io.EOF for a file that
// changed while it was read.
func (b *body) Read(p []byte) (int, error) {
	if b.left == 0 {
		if n, err := statFD(b.fd); err != nil || n != b.want {
			return 0, skipped(b.ref, errChanged)
		}
		return 0, io.EOF
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.f.Read(p)
	b.left -= int64(n)
	switch {
	case errors.Is(err, io.EOF):
		return n, skipped(b.ref, errChanged) // shorter than it was
	case err != nil:
		return n, skipped(b.ref, err)
	}
	return n, nil
}

// Close closes the file.
func (b *body) Close() error { return b.f.Close() }

// sniffText accepts UTF-8 text and PDF.
func sniffText(_ string, head []byte) (string, bool, string) {
	if strings.HasPrefix(string(head), "%PDF-") {
		return "application/pdf", true, ""
	}
	text := head
	if len(text) == sniffLen || len(text) == checkLen {
		for len(text) > 0 && len(head)-len(text) < utf8.UTFMax && !utf8.Valid(text) {
			text = text[:len(text)-1] // the last character may be cut
		}
	}
	if !utf8.Valid(text) || strings.ContainsRune(string(text), 0) {
		return "", false, "not a document: binary content"
	}
	return "text/plain", true, ""
}
