package gitea

import (
	"io"
	"iter"
	"slices"
	"strings"
	"testing"

	"tributary/connectors"
	"tributary/internal/httpx"
)

// rig is a session at a site of its own.
type rig struct {
	t *testing.T
	*site
	env connectors.Env
	cfg Config
}

// newRig returns a rig whose site is held to the official description.
func newRig(t *testing.T) *rig {
	t.Helper()
	return rigOf(t, newSite(described(t).Handler))
}

// newPlainRig returns one whose site answers what no description has.
func newPlainRig(t *testing.T) *rig {
	t.Helper()
	return rigOf(t, newSite(nil))
}

func rigOf(t *testing.T, s *site) *rig {
	t.Helper()
	client, release := s.client()
	t.Cleanup(func() {
		release()
		s.close()
	})
	return &rig{t: t, site: s, env: connectors.Env{HTTP: client, Base: s.server.URL + subPath}, cfg: Config{Retry: httpx.Retry{Attempts: 1}}}
}

// session opens a session; settings are pairs of name and value.
func (r *rig) session(settings ...string) *session {
	r.t.Helper()
	env := r.env
	env.Settings = map[string]string{}
	for pair := range slices.Chunk(settings, 2) {
		env.Settings[pair[0]] = pair[1]
	}
	opened, err := New(r.cfg).Open(r.t.Context(), env)
	if err != nil {
		r.t.Fatal(err)
	}
	s, ok := opened.(*session)
	if !ok {
		r.t.Fatalf("the session is a %T", opened)
	}
	return s
}

// mustPut puts documents.
func (r *rig) mustPut(names ...string) []string {
	var ids []string
	for _, n := range names {
		id, err := r.Put(n, "The text of "+n+".")
		if err != nil {
			r.t.Fatal(err)
		}
		ids = append(ids, id)
	}
	return ids
}

// found is what a sequence of pages holds.
type found struct {
	changes []connectors.Change
	blocked []connectors.Container
	skipped []connectors.Skip
	whole   bool
	next    connectors.Cursor
	err     error
}

func read(pages iter.Seq2[connectors.Page, error]) found {
	var f found
	for p, err := range pages {
		if err != nil {
			f.err = err
			return f
		}
		f.changes, f.blocked, f.skipped = append(f.changes, p.Changes...), append(f.blocked, p.Blocked...), append(f.skipped, p.Skipped...)
		f.whole, f.next = f.whole || p.Complete, p.Next
	}
	return f
}

func (r *rig) snapshot(s *session) found {
	r.t.Helper()
	f := read(s.Snapshot(r.t.Context(), nil))
	if f.err != nil || !f.whole {
		r.t.Fatalf("the snapshot ends with %v, complete %t", f.err, f.whole)
	}
	return f
}

// start takes the feed's position.
func (r *rig) start(s *session) connectors.Cursor {
	r.t.Helper()
	c, err := s.Start(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

// change returns the change of a document.
func (f found) change(id string) (connectors.Change, bool) {
	i := slices.IndexFunc(f.changes, func(c connectors.Change) bool { return c.Ref.ID == id })
	if i < 0 {
		return connectors.Change{}, false
	}
	return f.changes[i], true
}

// text reads the body of a document.
func (r *rig) text(f found, id string) string {
	r.t.Helper()
	c, ok := f.change(id)
	if !ok || c.Document == nil {
		r.t.Fatalf("there is no document %s", id)
	}
	rc, err := c.Document.Open(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	data, err := io.ReadAll(rc)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := rc.Close(); err != nil {
		r.t.Fatal(err)
	}
	return string(data)
}

// requests returns what was asked since the last call, without the prefix.
func (r *rig) requests() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	asked := r.asked
	r.asked = nil
	for i, a := range asked {
		asked[i] = strings.TrimPrefix(a, apiPrefix)
	}
	return asked
}

// change lets fn change the world.
func (r *rig) change(fn func(w *world)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fn(r.w)
}
