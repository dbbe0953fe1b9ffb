package github

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"testing"

	"tributary/connectors"
	"tributary/internal/httpx"
)

// rig is a site, a connection to it, and what was synced so far.
type rig struct {
	t    *testing.T
	site *site
	conn *Connector
	env  connectors.Env

	docs    map[string]connectors.Change
	skipped map[string]string
	blocked []connectors.Container
	cursor  connectors.Cursor
}

// newRig starts a site that is held to the description of the API. GitHub's own
// page sizes hold.
func newRig(t *testing.T, grant connectors.Grant) *rig {
	t.Helper()
	return newRigAt(t, newSite(described(t)), grant)
}

func newRigAt(t *testing.T, s *site, grant connectors.Grant) *rig {
	t.Helper()
	client, release := s.client()
	t.Cleanup(func() {
		release()
		s.close()
	})
	return &rig{
		t: t, site: s, conn: New(Config{API: s.server.URL, Retry: httpx.Retry{Attempts: 1}}),
		env:  connectors.Env{HTTP: client, Grant: grant, Settings: map[string]string{}},
		docs: map[string]connectors.Change{}, skipped: map[string]string{},
	}
}

// put puts a file, or what else [site.Put] knows.
func (r *rig) put(name, text string) string {
	r.t.Helper()
	id, err := r.site.Put(name, text)
	if err != nil {
		r.t.Fatal(err)
	}
	return id
}

// with changes the site.
func (r *rig) with(change func(s *site)) {
	r.site.mu.Lock()
	defer r.site.mu.Unlock()
	change(r.site)
}

func (r *rig) open() *session {
	r.t.Helper()
	opened, err := r.conn.Open(r.t.Context(), r.env)
	if err != nil {
		r.t.Fatal(err)
	}
	s, ok := opened.(*session)
	if !ok {
		r.t.Fatalf("the session is a %T", opened)
	}
	return s
}

// snapshot starts over: it takes the feed's position and reads everything.
func (r *rig) snapshot() (complete bool) {
	r.t.Helper()
	clear(r.docs)
	clear(r.skipped)
	r.blocked = nil
	s := r.open()
	var err error
	if r.cursor, err = s.Start(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	for page, err := range s.Snapshot(r.t.Context(), nil) {
		if err != nil {
			r.t.Fatal(err)
		}
		complete = r.apply(page)
	}
	return complete
}

// changes applies what the feed brings and returns what was not known: it may
// repeat itself.
func (r *rig) changes() []connectors.Change {
	r.t.Helper()
	all, err := r.tryChanges()
	if err != nil {
		r.t.Fatal(err)
	}
	return all
}

func (r *rig) tryChanges() (all []connectors.Change, err error) {
	r.t.Helper()
	for page, err := range r.open().Changes(r.t.Context(), r.cursor) {
		if err != nil {
			return all, err
		}
		for _, c := range page.Changes {
			old, had := r.docs[c.Ref.ID]
			if had && c.Op == connectors.Upsert && old.Ref == c.Ref && old.Document.Path == c.Document.Path {
				continue
			}
			all = append(all, c)
		}
		r.apply(page)
		r.cursor = page.Next
	}
	return all, nil
}

func (r *rig) apply(page connectors.Page) (complete bool) {
	for _, c := range page.Changes {
		switch c.Op {
		case connectors.Upsert:
			r.docs[c.Ref.ID] = c
		case connectors.Delete:
			delete(r.docs, c.Ref.ID)
		case connectors.SetACL:
			r.t.Errorf("%s: an ACL alone", c.Ref.ID)
		}
	}
	for _, sk := range page.Skipped {
		r.skipped[sk.Ref.ID] = sk.Reason
	}
	r.blocked = append(r.blocked, page.Blocked...)
	return page.Complete
}

// text opens a document.
func (r *rig) text(id string) (string, error) {
	r.t.Helper()
	c, ok := r.docs[id]
	if !ok {
		r.t.Fatalf("%s is no document", id)
	}
	rc, err := c.Document.Open(r.t.Context())
	if err != nil {
		return "", err
	}
	data, err := io.ReadAll(rc)
	return string(data), errors.Join(err, rc.Close())
}

// groups reads the memberships to their end.
func (r *rig) groups() []connectors.Membership {
	r.t.Helper()
	var ms []connectors.Membership
	for m, err := range r.open().Groups(r.t.Context()) {
		if err != nil {
			r.t.Fatal(err)
		}
		ms = append(ms, m)
	}
	return ms
}

// requests returns what was asked while fn ran.
func (r *rig) requests(fn func()) []siteRequest {
	r.t.Helper()
	r.with(func(s *site) { s.asked = nil })
	fn()
	var asked []siteRequest
	r.with(func(s *site) { asked = slices.Clone(s.asked) })
	return asked
}

func plainHandler(h http.Handler) http.Handler { return h }

func appGrant() connectors.Grant {
	return connectors.Grant{Provider: providerApp, Kind: "authorization_code", Subject: "101"}
}

func installationGrant() connectors.Grant {
	return connectors.Grant{Provider: providerApp, Kind: grantInstallation}
}
