package web_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// maxJudged bounds what is kept of a body; a longer one is not judged.
const maxJudged = 4 << 20

// exchangesJudged counts them, over all tests.
var exchangesJudged atomic.Int64

// judging holds every exchange under /v1 against the description: what is accepted is a request that it describes, and
// what is answered has a status, headers and fields that it describes.
func judging(t *testing.T, next http.Handler) http.Handler {
	t.Helper()
	return judgingBy(t, next, newJudge(t).faults)
}

// judgingProblems is for a server whose store is a fake: what that answers is not described, problems are.
func judgingProblems(t *testing.T, next http.Handler) http.Handler {
	t.Helper()
	j := newJudge(t)
	return judgingBy(t, next, func(x judged) []string {
		if x.status < http.StatusBadRequest {
			return nil
		}
		return j.problemFaults(x)
	})
}

func judgingBy(t *testing.T, next http.Handler, faults func(judged) []string) http.Handler {
	t.Helper()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// OPTIONS is answered by the router, for every address.
		if !strings.HasPrefix(r.URL.Path, "/v1/") || r.Method == http.MethodOptions {
			next.ServeHTTP(w, r)
			return
		}
		sent := &tee{ReadCloser: r.Body}
		got := &recorder{ResponseWriter: w, status: http.StatusOK}
		asked := r.Clone(r.Context())
		r.Body = sent
		next.ServeHTTP(got, r)
		if r.Context().Err() != nil || r.Host != asked.Host || got.body.Len() > maxJudged || sent.kept.Len() > maxJudged || isPage(got) {
			return
		}
		exchangesJudged.Add(1)
		for _, fault := range faults(judged{request: asked, sent: sent.kept.Bytes(), status: got.status, header: got.Header(), body: got.body.Bytes()}) {
			t.Errorf("%s %s is not as openapi.json describes it: %s", asked.Method, asked.URL.Path, fault)
		}
	})
}

// isPage reports whether a browser was answered with a page, which says what a problem says.
func isPage(r *recorder) bool {
	return r.status >= http.StatusBadRequest && strings.HasPrefix(r.Header().Get("Content-Type"), "text/html")
}

type tee struct {
	io.ReadCloser

	kept bytes.Buffer
}

func (t *tee) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	if t.kept.Len() <= maxJudged {
		t.kept.Write(p[:n])
	}
	return n, err
}

type recorder struct {
	http.ResponseWriter

	status int
	body   bytes.Buffer
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(p []byte) (int, error) {
	if r.body.Len() <= maxJudged {
		r.body.Write(p)
	}
	return r.ResponseWriter.Write(p)
}

// Unwrap lets deadlines through.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (r *recorder) Flush() { _ = http.NewResponseController(r.ResponseWriter).Flush() }
