package gitea

import (
	"bytes"
	"compress/gzip"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"tributary/connectors"
)

// spoilt are ways in which an answer of status 200 is broken on its way.
func spoilt() map[string]func(w http.ResponseWriter, body []byte) {
	send := func(w http.ResponseWriter, body []byte, encoding string, length int) {
		if encoding != "" {
			w.Header().Set("Content-Encoding", encoding)
		}
		conn, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		w.Header().Set("Content-Length", strconv.Itoa(length))
		_, _ = buf.WriteString("HTTP/1.1 200 OK\r\n")
		_ = w.Header().Write(buf)
		_, _ = buf.WriteString("\r\n")
		_, _ = buf.Write(body)
		_ = buf.Flush()
	}
	zipped := func(body []byte) []byte {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = z.Write(body)
		_ = z.Close()
		return b.Bytes()
	}
	return map[string]func(w http.ResponseWriter, body []byte){
		"gzip that is none":    func(w http.ResponseWriter, body []byte) { send(w, body, "gzip", len(body)) },
		"gzip that ends early": func(w http.ResponseWriter, body []byte) { z := zipped(body); send(w, z[:len(z)-6], "gzip", len(z)-6) },
		"gzip with a wrong sum": func(w http.ResponseWriter, body []byte) {
			z := zipped(body)
			z[len(z)-8] ^= 1
			send(w, z, "gzip", len(z))
		},
		"less than it says":        func(w http.ResponseWriter, body []byte) { send(w, body[:len(body)/2], "", len(body)) },
		"much longer than it says": func(w http.ResponseWriter, body []byte) { send(w, bytes.Repeat(body, 50), "", len(body)/2) },
	}
}

// TestSpoiltAnswers: an answer that is broken on its way is no data, in a listing
// and in a body: the listing ends and is not complete, the body fails, both to be
// tried again. What is cut at the length that it claims is told from what is whole
// by its form alone, so a listing fails and a text cannot.
func TestSpoiltAnswers(t *testing.T) {
	t.Parallel()
	for name, spoil := range spoilt() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newPlainRig(t)
			ids := r.mustPut("a/doc-00.md", "a/doc-01.md")
			through := func(match func(path string) bool) {
				r.spoil = func(w http.ResponseWriter, req *http.Request) bool {
					if !match(req.URL.Path) {
						return false
					}
					rec := httptest.NewRecorder()
					req.Header.Del("Accept-Encoding")
					r.mux.ServeHTTP(rec, req)
					maps.Copy(w.Header(), rec.Header())
					spoil(w, rec.Body.Bytes())
					return true
				}
			}
			whole := r.snapshot(r.session())
			for _, path := range []string{"/repos/search", "/user"} {
				through(func(p string) bool { return p == apiPrefix+path })
				f := read(r.session().Snapshot(t.Context(), nil))
				if connectors.ClassOf(f.err) != connectors.Transient || f.whole || len(f.changes) > 0 {
					t.Errorf("%s: class %s, complete %t, %d changes (%v)", path, connectors.ClassOf(f.err), f.whole, len(f.changes), f.err)
				}
			}
			if strings.HasPrefix(name, "much longer") {
				return
			}
			through(func(p string) bool { return strings.HasSuffix(p, "doc-00.md") })
			change, ok := whole.change(ids[0])
			if !ok {
				t.Fatalf("%s was not listed", ids[0])
			}
			body, err := change.Document.Open(t.Context())
			if err == nil {
				_, err = io.Copy(io.Discard, body)
				_ = body.Close()
			}
			if connectors.ClassOf(err) != connectors.Transient {
				t.Errorf("a body: class %s (%v)", connectors.ClassOf(err), err)
			}
		})
	}
}
