package contract

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// exchange is one request and its answer.
type exchange struct {
	method, path, host string
	params             map[string]string
	query              url.Values
	asked              http.Header
	sent               []byte

	status int
	header http.Header
	body   []byte
	// cut says that the answer was not sent whole.
	cut bool
}

// hash is equal for exchanges that are judged alike.
func (x *exchange) hash(seed maphash.Seed, op string) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	fmt.Fprintf(&h, "%s\n%s\n%s\n%t %d\n", op, x.path, x.query.Encode(), x.cut, x.status)
	for _, headers := range []http.Header{x.asked, x.header} {
		for _, name := range []string{"Accept", "Content-Type", "If-None-Match", "If-Modified-Since", "Location"} {
			_, _ = h.WriteString(headers.Get(name) + "\n")
		}
	}
	_, _ = h.Write(x.sent)
	_ = h.WriteByte(0)
	_, _ = h.Write(x.body)
	return h.Sum64()
}

// mediaType returns the answer's media type without parameters.
func (x *exchange) mediaType() string {
	header := x.header.Get("Content-Type")
	if header == "" && len(x.body) > 0 {
		header = http.DetectContentType(x.body)
	}
	t, _, err := mime.ParseMediaType(header)
	if err != nil {
		return header
	}
	return t
}

// json decodes the answer.
func (x *exchange) json() (any, error) { return decode(x.body) }

func decode(data []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("more than one JSON value")
	}
	return v, nil
}

func isJSON(mediaType string) bool {
	return mediaType == "application/json" || strings.HasSuffix(mediaType, "+json")
}

// general judges an answer whose status HTTP defines for every resource, and
// reports whether it is one: the descriptions rarely list them.
func (x *exchange) general() (problems []string, ok bool) {
	switch {
	case x.status == http.StatusNotModified:
		if x.asked.Get("If-None-Match") == "" && x.asked.Get("If-Modified-Since") == "" {
			problems = append(problems, "not modified, and the request has no condition")
		}
		if len(x.body) > 0 {
			problems = append(problems, "not modified, with content")
		}
		return problems, true
	case x.status >= 300 && x.status < 400:
		if x.header.Get("Location") == "" {
			problems = append(problems, "a redirect without Location")
		}
		return problems, slices.Contains([]int{301, 302, 303, 307, 308}, x.status)
	case slices.Contains([]int{401, 403, 404, 410, 429}, x.status), x.status >= 500 && x.status < 600:
		return nil, true
	default:
		return nil, false
	}
}

// pointer makes the pointer of a value by its steps.
func pointer(steps ...string) string {
	var b strings.Builder
	for _, s := range steps {
		b.WriteString("/" + s)
	}
	if b.Len() == 0 {
		return "/"
	}
	return b.String()
}

// recorder passes an answer on and keeps it.
type recorder struct {
	http.ResponseWriter
	status int
	header http.Header
	body   bytes.Buffer
}

// WriteHeader keeps the status and the headers as they are sent.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 && status >= http.StatusOK {
		r.status, r.header = status, r.Header().Clone()
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write keeps the data.
func (r *recorder) Write(data []byte) (int, error) {
	if r.status == 0 {
		r.WriteHeader(http.StatusOK)
	}
	r.body.Write(data)
	return r.ResponseWriter.Write(data)
}

// Unwrap gives http.ResponseController the writer below.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// Flush passes on.
func (r *recorder) Flush() { _ = http.NewResponseController(r.ResponseWriter).Flush() }

func (r *recorder) result() (int, http.Header, []byte) {
	if r.status == 0 {
		return http.StatusOK, r.Header().Clone(), r.body.Bytes()
	}
	return r.status, r.header, r.body.Bytes()
}
