package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"io/fs"
	"iter"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/internal/httpx"
	"tributary/internal/secret"
	"tributary/jobs"
	"tributary/oauthflow"
	"tributary/oauthflow/client"
	"tributary/store"
)

// listed is one file of the corpus as the listing tells it.
type listed struct {
	Path string `json:"path"`
	Size int64  `json:"size"`
}

// listedPage is how many files a page of the listing holds.
const listedPage = 200

// listFiles returns the files below dir, in the order of their paths.
func listFiles(dir string) ([]listed, error) {
	var files []listed
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		files = append(files, listed{filepath.ToSlash(rel), info.Size()})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listing documents: %w", err)
	}
	return files, nil
}

// fileServer serves the corpus on loopback: files below /files/, which rclone
// reads as a directory of the web, and their listing in pages.
type fileServer struct {
	addr string
	http *http.Server
}

func serveFiles(ctx context.Context, dir string) (*fileServer, error) {
	files, err := listFiles(dir)
	if err != nil {
		return nil, err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening on loopback: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("opening documents: %w", err)
	}
	index := indexOf(files)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /files/", func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.URL.Path, "/files/")
		if entries, ok := index[strings.TrimSuffix(name, "/")]; ok {
			w.Header().Set("Content-Type", "text/html")
			for _, e := range entries {
				fmt.Fprintf(w, "<a href=\"%s\">%s</a>\n", (&url.URL{Path: e}).EscapedPath(), html.EscapeString(e))
			}
			return
		}
		f, err := root.Open(filepath.FromSlash(name))
		if err != nil {
			http.NotFound(w, r)
			return
		}
		defer func() { _ = f.Close() }()
		http.ServeContent(w, r, name, time.Time{}, f)
	})
	mux.HandleFunc("GET /list", func(w http.ResponseWriter, r *http.Request) {
		from, _ := strconv.Atoi(r.URL.Query().Get("from"))
		from = min(max(from, 0), len(files))
		to := min(from+listedPage, len(files))
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"files": files[from:to], "next": to, "end": to == len(files)})
	})
	s := &fileServer{addr: l.Addr().String(), http: &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}}
	go func() { _ = s.http.Serve(l) }()
	return s, nil
}

// indexOf returns what lies in each directory; directories end with a slash.
func indexOf(files []listed) map[string][]string {
	index := map[string][]string{"": nil}
	for _, f := range files {
		name := f.Path
		for {
			dir, base := path.Split(name)
			dir = strings.TrimSuffix(dir, "/")
			_, known := index[dir]
			if name != f.Path {
				base += "/"
			}
			index[dir] = append(index[dir], base)
			if known {
				break
			}
			name = dir
		}
	}
	return index
}

// pulled is a connector for the file server, or for the same files without a
// network between: the bytes then come from the page cache.
type pulled struct {
	// dir is where the files lie; "" asks the server.
	dir string
}

const pulledSource = "bench"

// Spec implements connectors.Connector.
func (p pulled) Spec() connectors.Spec {
	s := connectors.Spec{Source: pulledSource, Name: "Bench", Description: "The corpus of a benchmark.", CursorVersion: 1}
	if p.dir == "" {
		s.Provider = pulledSource
	}
	return s
}

// Open implements connectors.Connector.
func (p pulled) Open(_ context.Context, env connectors.Env) (connectors.Session, error) {
	s := &pulledSession{dir: p.dir}
	if p.dir != "" {
		var err error
		s.files, err = listFiles(p.dir)
		return s, err
	}
	s.api = &httpx.API{HTTP: env.HTTP, Base: env.Base}
	return s, nil
}

type pulledSession struct {
	dir   string
	files []listed
	api   *httpx.API
}

// Close implements connectors.Session.
func (*pulledSession) Close(context.Context) error { return nil }

// Snapshot implements connectors.Session.
func (s *pulledSession) Snapshot(ctx context.Context, from connectors.Cursor) iter.Seq2[connectors.Page, error] {
	return func(yield func(connectors.Page, error) bool) {
		at := 0
		if !from.IsZero() {
			if err := json.Unmarshal(from, &at); err != nil {
				yield(connectors.Page{}, err)
				return
			}
		}
		for {
			files, next, end, err := s.list(ctx, at)
			if err != nil {
				yield(connectors.Page{}, err)
				return
			}
			page := connectors.Page{Next: connectors.Cursor(strconv.Itoa(next)), Complete: end}
			for _, f := range files {
				page.Changes = append(page.Changes, s.change(f))
			}
			if !yield(page, nil) || end {
				return
			}
			at = next
		}
	}
}

func (s *pulledSession) list(ctx context.Context, at int) (files []listed, next int, end bool, err error) { //nolint:nonamedreturns // says what the number is
	if s.api == nil {
		next = min(at+listedPage, len(s.files))
		return s.files[at:next], next, next == len(s.files), nil
	}
	var answer struct {
		Files []listed `json:"files"`
		Next  int      `json:"next"`
		End   bool     `json:"end"`
	}
	_, err = s.api.JSON(ctx, httpx.Call{Op: "listing files", Path: "list", Query: url.Values{"from": {strconv.Itoa(at)}}}, &answer)
	return answer.Files, answer.Next, answer.End, err
}

func (s *pulledSession) change(f listed) connectors.Change {
	return connectors.Change{
		Op: connectors.Upsert, Ref: connectors.ItemRef{ID: f.Path, Revision: "1"},
		Document: &connectors.Document{
			Path: f.Path, Kind: "file", MediaType: "text/html", Size: f.Size,
			Open: func(ctx context.Context) (io.ReadCloser, error) { return s.open(ctx, f) },
		},
		ACL: connectors.ACL{AllOf: [][]connectors.Principal{{{Kind: connectors.Anyone, ID: "bench"}}}},
	}
}

func (s *pulledSession) open(ctx context.Context, f listed) (io.ReadCloser, error) {
	if s.api == nil {
		return os.Open(filepath.Join(s.dir, filepath.FromSlash(f.Path)))
	}
	u := url.URL{Path: f.Path}
	body, _, err := s.api.Open(ctx, httpx.Call{Op: "reading a file", Path: "files/" + u.EscapedPath(), Ref: connectors.ItemRef{ID: f.Path}})
	return body, err
}

// authorisePulled acts for a grant whose token never ends, as a process does
// that holds grants.
func authorisePulled(addr string) func(context.Context, store.Connection, connectors.Spec) (jobs.Authorised, error) {
	return func(context.Context, store.Connection, connectors.Spec) (jobs.Authorised, error) {
		allow, err := httpx.ParseAllowList([]string{addr})
		if err != nil {
			return jobs.Authorised{}, fmt.Errorf("allowing the file server: %w", err)
		}
		c, err := client.New(client.Config{
			Grant: uuid.New(), Tokens: endless{}, Hosts: []string{addr}, Options: httpx.Options{Allow: allow, PlainLoopback: true},
		})
		return jobs.Authorised{HTTP: c, Base: "http://" + addr}, err
	}
}

// endless gives out one token.
type endless struct{}

var errRejected = errors.New("the file server rejects nothing")

// Access implements oauthflow.Tokens.
func (endless) Access(context.Context, uuid.UUID) (oauthflow.Access, error) {
	return oauthflow.Access{Token: secret.New("bench"), Type: "bearer"}, nil
}

// Rejected implements oauthflow.Tokens.
func (endless) Rejected(context.Context, uuid.UUID, oauthflow.Access) (oauthflow.Access, error) {
	return oauthflow.Access{}, errRejected
}

// Lives implements oauthflow.Tokens.
func (endless) Lives(context.Context, uuid.UUID, oauthflow.Access) (bool, error) { return true, nil }
