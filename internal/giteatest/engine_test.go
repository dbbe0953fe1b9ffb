package giteatest

import (
	"errors"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"testing"

	"tributary/connectors"
	"tributary/connectors/gitea"
)

// document is a document as an engine keeps it.
type document struct {
	revision, title, kind, path, text string
	acl                               connectors.ACL
}

// engine is the smallest one: it applies pages in order.
type engine struct {
	t       *testing.T
	session connectors.Session
	docs    map[string]document
	skipped []connectors.Skip
	blocked []connectors.Container
	opened  int
	last    connectors.Cursor
}

// open starts a session of the connector.
func (s *server) open(token string, settings map[string]string) *engine {
	s.t.Helper()
	session, err := gitea.New(gitea.Config{}).Open(s.t.Context(), connectors.Env{HTTP: s.authorised(token), Base: s.base, Settings: settings})
	must(s.t, err)
	return &engine{t: s.t, session: session, docs: map[string]document{}}
}

// as returns the session as an optional interface.
func as[T any](e *engine) T {
	e.t.Helper()
	v, ok := e.session.(T)
	if !ok {
		e.t.Fatalf("the session is no %T", *new(T))
	}
	return v
}

func (e *engine) snapshot() { e.t.Helper(); e.apply(e.session.Snapshot(e.t.Context(), nil)) }

func (e *engine) apply(pages iter.Seq2[connectors.Page, error]) {
	e.t.Helper()
	for p, err := range pages {
		must(e.t, err)
		e.skipped, e.blocked, e.last = append(e.skipped, p.Skipped...), append(e.blocked, p.Blocked...), p.Next
		for _, c := range p.Changes {
			e.change(c)
		}
	}
}

func (e *engine) change(c connectors.Change) {
	e.t.Helper()
	if c.Op == connectors.Delete {
		delete(e.docs, c.Ref.ID)
		return
	}
	d := document{revision: c.Ref.Revision, title: c.Document.Title, kind: c.Document.Kind, path: c.Document.Path, acl: c.ACL}
	if old, ok := e.docs[c.Ref.ID]; ok && old.revision == d.revision {
		d.text = old.text
	} else {
		rc, err := c.Document.Open(e.t.Context())
		must(e.t, err)
		data, err := io.ReadAll(rc)
		must(e.t, err)
		must(e.t, rc.Close())
		d.text = string(data)
		e.opened++
	}
	e.docs[c.Ref.ID] = d
}

// id returns the document at a path.
func (e *engine) id(path string) string {
	e.t.Helper()
	for id, d := range e.docs {
		if d.path == path || strings.Contains(id, ":issue:") && strings.HasPrefix(d.path, path+"/") && strings.Count(d.path, "/") == strings.Count(path, "/")+1 && strings.Count(path, "/") > 1 {
			return id
		}
	}
	e.t.Fatalf("no document is at %s; there are %v", path, e.paths())
	return ""
}

func (e *engine) paths() []string {
	var out []string
	for _, d := range e.docs {
		out = append(out, d.path)
	}
	slices.Sort(out)
	return out
}

// groups returns everything that each account is, over memberships.
func (e *engine) groups() map[string]map[connectors.Principal]bool {
	e.t.Helper()
	up := map[connectors.Principal][]connectors.Principal{}
	users := map[connectors.Principal]bool{}
	for m, err := range as[connectors.GroupLister](e).Groups(e.t.Context()) {
		must(e.t, err)
		m.Member.Name, m.Group.Name = "", ""
		up[m.Member] = append(up[m.Member], m.Group)
		if m.Member.Kind == connectors.User {
			users[m.Member] = true
		}
	}
	out := map[string]map[connectors.Principal]bool{}
	for u := range users {
		is := map[connectors.Principal]bool{u: true}
		for grown := true; grown; {
			grown = false
			for p := range maps.Clone(is) {
				for _, g := range up[p] {
					grown = grown || !is[g]
					is[g] = true
				}
			}
		}
		out[u.ID] = is
	}
	return out
}

// reads reports whether an ACL lets somebody read who is these principals.
func reads(acl connectors.ACL, is map[connectors.Principal]bool) bool {
	if !acl.Known() {
		return false
	}
	for _, clause := range acl.AllOf {
		if !slices.ContainsFunc(clause, func(p connectors.Principal) bool {
			p.Name = ""
			return p.Kind == connectors.Public || is[p]
		}) {
			return false
		}
	}
	return true
}

// same compares two engines.
func (e *engine) same(what string, other *engine) {
	e.t.Helper()
	for id, want := range other.docs {
		got, ok := e.docs[id]
		switch {
		case !ok:
			e.t.Errorf("%s: %s (%s) is missing", what, id, want.path)
		case got.text != want.text || got.revision != want.revision || got.path != want.path || got.title != want.title:
			e.t.Errorf("%s: %s is %q %.200q, want %q %.200q", what, id, got.path, got.text, want.path, want.text)
		case len(got.acl.AllOf) != len(want.acl.AllOf) || got.acl.Known() && !slices.Equal(got.acl.AllOf[0], want.acl.AllOf[0]):
			e.t.Errorf("%s: %s has the readers %v, want %v", what, id, got.acl, want.acl)
		}
	}
	for id, d := range e.docs {
		if _, ok := other.docs[id]; !ok {
			e.t.Errorf("%s: %s (%s) is not at the server", what, id, d.path)
		}
	}
}

// codeOf returns the known problem that err names.
func codeOf(err error) string {
	if e, ok := errors.AsType[*connectors.Error](err); ok {
		return e.Code
	}
	return ""
}
