package github

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path"
	"strings"

	"tributary/connectors"
	"tributary/internal/httpx"
)

// The kinds of documents.
const (
	kindRepository = "repository"
	kindFile       = "file"
	kindIssue      = "issue"
	kindPull       = "pull"
)

// repoDocument describes a repository by what its list says of it.
func repoDocument(r *repository) (connectors.ItemRef, *connectors.Document) {
	text := repoText(r)
	sum := sha256.Sum256([]byte(text))
	ref := connectors.ItemRef{ID: r.id(), Revision: hex.EncodeToString(sum[:8])}
	return ref, &connectors.Document{
		Title: r.FullName, URL: r.HTMLURL, Path: r.FullName, Container: r.id(), Kind: kindRepository,
		MediaType: mediaMarkdown, Size: int64(len(text)), Author: r.Owner.name(), CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt,
		Metadata: map[string]string{"repository": r.FullName},
		Open:     func(context.Context) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil },
	}
}

const mediaMarkdown = "text/markdown"

func repoText(r *repository) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n", r.FullName)
	for _, part := range []struct{ before, text string }{
		{"", r.Description},
		{"Topics: ", strings.Join(r.Topics, ", ")},
		{"Homepage: ", r.Homepage},
		{"Language: ", r.Language},
		{"Licence: ", licenseName(r.License)},
	} {
		if part.text != "" {
			fmt.Fprintf(&b, "\n%s%s\n", part.before, part.text)
		}
	}
	return b.String()
}

func licenseName(l *license) string {
	if l == nil {
		return ""
	}
	return l.Name
}

// filePath is a file's place as a person would say it.
func filePath(r *repository, p string) string { return r.FullName + "/" + p }

func fileID(r *repository, p string) string { return r.id() + ":file:" + p }

func fileRef(r *repository, e treeEntry) connectors.ItemRef {
	return connectors.ItemRef{ID: fileID(r, e.Path), Revision: e.SHA}
}

// fileDocument describes a file and opens its content.
func (s *session) fileDocument(r *repository, e treeEntry) *connectors.Document {
	ref := fileRef(r, e)
	at := repoPath(r, "git/blobs", url.PathEscape(e.SHA))
	return &connectors.Document{
		Title: path.Base(e.Path), URL: fileURL(r, e.Path), Path: filePath(r, e.Path), Container: r.id(), Kind: kindFile,
		MediaType: mediaTypeOf(e.Path), Size: e.Size, Metadata: map[string]string{"repository": r.FullName},
		Open: func(ctx context.Context) (io.ReadCloser, error) { return s.openBlob(ctx, at, ref) },
	}
}

// fileURL leads to the file on the default branch, whatever that is called.
func fileURL(r *repository, p string) string {
	u, err := url.Parse(r.HTMLURL)
	if err != nil || r.HTMLURL == "" {
		return ""
	}
	return u.JoinPath("blob/HEAD").String() + "/" + escapePath(p)
}

func escapePath(p string) string {
	elems := strings.Split(p, "/")
	for i, el := range elems {
		elems[i] = url.PathEscape(el)
	}
	return strings.Join(elems, "/")
}

// mediaTypeOf returns the type where the name alone decides it; the rest is
// sniffed.
func mediaTypeOf(p string) string {
	switch strings.ToLower(path.Ext(p)) {
	case ".md", ".markdown", ".mdx":
		return mediaMarkdown
	case ".html", ".htm", ".xhtml":
		return "text/html"
	case ".pdf":
		return "application/pdf"
	}
	return ""
}

// unfit returns why an entry is no document, or "".
func (s *session) unfit(e treeEntry) string {
	switch {
	case e.Type == typeCommit:
		return "It is a submodule: select its own repository."
	case e.Type != typeBlob || e.SHA == "":
		return "It is no file."
	case e.Mode == modeSymlink:
		return "It is a symbolic link: its target is read where it lies."
	case binary(e.Path):
		return "By its name it is no text."
	case e.Size > min(s.opt.maxFile, connectors.MaxBody):
		return "It is larger than the connection's limit."
	}
	return ""
}

// binary reports whether the name's extension is one of pictures, sound,
// archives, programs and other files out of which no text is extracted.
func binary(p string) bool {
	switch strings.ToLower(path.Ext(p)) {
	case ".png", ".jpg", ".jpeg", ".gif", ".bmp", ".ico", ".icns", ".webp", ".avif", ".heic", ".tif", ".tiff", ".psd", ".ai", ".xcf", ".sketch", ".fig",
		".mp3", ".ogg", ".wav", ".flac", ".m4a", ".aac", ".mp4", ".mov", ".avi", ".mkv", ".webm", ".wmv",
		".zip", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar", ".tar", ".jar", ".war", ".ear", ".whl", ".gem", ".nupkg", ".deb", ".rpm", ".dmg", ".iso", ".apk", ".ipa",
		".exe", ".dll", ".so", ".dylib", ".a", ".o", ".obj", ".lib", ".class", ".pyc", ".pyo", ".wasm", ".bin", ".dat", ".pdb", ".node",
		".doc", ".docx", ".xls", ".xlsx", ".ppt", ".pptx", ".odt", ".ods", ".odp", ".epub",
		".woff", ".woff2", ".ttf", ".otf", ".eot",
		".db", ".sqlite", ".sqlite3", ".mdb", ".parquet", ".avro", ".npy", ".npz", ".pkl", ".h5", ".onnx", ".pt", ".pth", ".safetensors", ".gguf",
		".jks", ".p12", ".pfx", ".keystore", ".blend", ".fbx", ".glb", ".stl":
		return true
	}
	return false
}

const (
	opContent = "reading github content"
	sniffLen  = 8 << 10
	// lfsMark starts the stand-in of a file that Git LFS keeps.
	// https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
	lfsMark = "version https://git-lfs.github.com/spec/v1\n"
)

var (
	errLFS    = errors.New("its content is kept in Git LFS, which is not read")
	errBinary = errors.New("its content is no text")
)

// openBlob asks for a file's bytes.
func (s *session) openBlob(ctx context.Context, at string, ref connectors.ItemRef) (io.ReadCloser, error) {
	raw, _, err := s.api.Open(ctx, httpx.Call{Op: opContent, Path: at, Accept: "application/vnd.github.raw+json", Ref: ref})
	if err != nil {
		return nil, err
	}
	b := &body{raw: raw, buffered: bufio.NewReaderSize(raw, sniffLen), fail: func(err error) error { return failed(ctx, ref, err) }}
	if err := b.fit(ref); err != nil {
		_ = raw.Close() // the answer is given up
		return nil, err
	}
	return b, nil
}

// body reads content and gives its failures a class.
type body struct {
	raw      io.Closer
	buffered *bufio.Reader
	fail     func(error) error
}

// fit returns an error of class ItemSkipped for what is no text.
func (b *body) fit(ref connectors.ItemRef) error {
	head, err := b.buffered.Peek(sniffLen)
	var no error
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return b.fail(err)
	case bytes.HasPrefix(head, []byte(lfsMark)):
		no = errLFS
	case bytes.IndexByte(head, 0) >= 0 && !textDespiteZeros(head):
		no = errBinary
	default:
		return nil
	}
	return &connectors.Error{Op: opContent, Class: connectors.ItemSkipped, Ref: ref, Err: no}
}

// textDespiteZeros reports what may hold zero bytes: PDF and UTF-16.
func textDespiteZeros(head []byte) bool {
	return bytes.HasPrefix(head, []byte("%PDF-")) || bytes.HasPrefix(head, []byte("\xff\xfe")) || bytes.HasPrefix(head, []byte("\xfe\xff"))
}

// Read reads on. Content that ends before its announced length is an error, not
// the end.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.buffered.Read(p)
	if err == nil || errors.Is(err, io.EOF) {
		return n, err
	}
	return n, b.fail(err)
}

// Close ends the request.
func (b *body) Close() error { return b.raw.Close() }

func failed(ctx context.Context, ref connectors.ItemRef, err error) error {
	err = httpx.Failure(ctx, opContent, err)
	if e, ok := errors.AsType[*connectors.Error](err); ok {
		e.Ref = ref
	}
	return err
}
