package recorded

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
)

// Response is one recorded answer.
type Response struct {
	// Name is the record's, without ".json".
	Name string
	// Method, Host and Path are the request's; Host is "" where the record has
	// none, and Path is escaped.
	Method, Host, Path string
	Query              url.Values
	// Params are the values of the operation's path parameters.
	Params map[string]string
	Status int
	Header http.Header
	Body   []byte

	others []Response
}

// maxRequests is how often one decoding may ask.
const maxRequests = 50

var (
	errAgain = fmt.Errorf("the decoding asked %d times: decode one page of a list", maxRequests)
	errGone  = errors.New("no record answers the redirect")
)

// Client returns a client that answers every request with the record. It says
// that a list ends there, and answers what a recorded redirect leads to with the
// record of that.
func (r Response) Client() *http.Client { return &http.Client{Transport: &player{record: r}} }

type player struct {
	record Response
	asked  atomic.Int64
}

// RoundTrip answers with the record.
func (p *player) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
	n := p.asked.Add(1)
	if n > maxRequests {
		return nil, errAgain
	}
	if n == 1 || !p.record.redirects() {
		return p.record.reply(req), nil
	}
	for _, other := range p.record.others {
		if other.Method == req.Method && other.Path == req.URL.EscapedPath() && !other.redirects() {
			return other.reply(req), nil
		}
	}
	return nil, errGone
}

func (r Response) redirects() bool {
	return r.Status >= 300 && r.Status < 400 && r.Status != http.StatusNotModified
}

func (r Response) reply(req *http.Request) *http.Response {
	return &http.Response{
		StatusCode: r.Status, Status: fmt.Sprintf("%d %s", r.Status, http.StatusText(r.Status)),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: r.Header.Clone(), Body: io.NopCloser(bytes.NewReader(r.Body)), ContentLength: int64(len(r.Body)), Request: req,
	}
}

// stored is a record as it stands in its file.
type stored struct {
	Request struct {
		Method string         `json:"method"`
		Path   string         `json:"path"`
		Query  map[string]any `json:"query"`
	} `json:"request"`
	Status  *int            `json:"status"`
	Headers map[string]any  `json:"headers"`
	Body    json.RawMessage `json:"body"`
}

// load reads the records of a folder.
func load(dir string) ([]Response, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(names) == 0 {
		return nil, fmt.Errorf("reading records: none in %s (%w)", dir, err)
	}
	var all []Response
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("reading records: %w", err)
		}
		var s stored
		if err := json.Unmarshal(data, &s); err != nil {
			return nil, fmt.Errorf("reading record %s: %w", name, err)
		}
		all = append(all, s.response(strings.TrimSuffix(filepath.Base(name), ".json")))
	}
	return all, nil
}

func (s stored) response(name string) Response {
	r := Response{Name: name, Method: s.Request.Method, Status: http.StatusOK, Header: http.Header{}, Query: url.Values{}}
	if s.Status != nil {
		r.Status = *s.Status
	}
	path, query, _ := strings.Cut(s.Request.Path, "?")
	if !strings.HasPrefix(path, "/") {
		r.Host, path, _ = strings.Cut(path, "/")
		path = "/" + path
	}
	r.Path = path
	if q, err := url.ParseQuery(query); err == nil {
		r.Query = q
	}
	for k, v := range s.Request.Query {
		r.Query.Set(k, fmt.Sprint(v))
	}
	for k, v := range s.Headers {
		switch strings.ToLower(k) {
		case "content-encoding", "content-length", "transfer-encoding", "connection":
		default:
			r.Header.Set(k, fmt.Sprint(v))
		}
	}
	r.Header.Set("Link", strings.ReplaceAll(r.Header.Get("Link"), `rel="next"`, `rel="recorded-next"`))
	r.Body = s.Body
	var text string
	if json.Unmarshal(s.Body, &text) == nil || string(s.Body) == "null" {
		r.Body = []byte(text)
	}
	if r.Header.Get("Content-Type") == "" && len(r.Body) > 0 && json.Valid(r.Body) {
		r.Header.Set("Content-Type", "application/json; charset=utf-8")
	}
	return r
}
