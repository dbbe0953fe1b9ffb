package googledrive

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"tributary/connectors"
	"tributary/connectors/connectortest"
)

// rig is a site with what a test puts on it.
type rig struct {
	*site
	env connectors.Env
}

// newRig is held to Google's descriptions.
func newRig(t *testing.T) *rig {
	t.Helper()
	return rigThrough(t, official(t).Handler)
}

// newLiar answers what a test makes of it.
func newLiar(t *testing.T) *rig {
	t.Helper()
	return rigThrough(t, func(h http.Handler) http.Handler { return h })
}

func rigThrough(t *testing.T, through func(http.Handler) http.Handler) *rig {
	t.Helper()
	s := newSite(through)
	client, release := s.client()
	t.Cleanup(func() {
		release()
		s.close()
	})
	return &rig{site: s, env: connectors.Env{HTTP: client, Settings: map[string]string{settingGroups: groupsDirectory}}}
}

func (r *rig) put(t *testing.T, name string) string {
	t.Helper()
	id, err := r.Put(name, "# "+name+"\n")
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// place adds a node to a folder that the kit would name so.
func (r *rig) place(dir string, n node) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	up := r.home(dir)
	n.parent, n.drive, n.owner = up.id, up.drive, up.owner
	return r.add(n).id
}

func (r *rig) open(t *testing.T) *session {
	t.Helper()
	opened, err := New(r.config()).Open(t.Context(), r.env)
	if err != nil {
		t.Fatal(err)
	}
	return opened.(*session)
}

// read is all pages of a listing in one.
func read(t *testing.T, pages func(yield func(connectors.Page, error) bool)) connectors.Page {
	t.Helper()
	var all connectors.Page
	for page, err := range pages {
		if err != nil {
			t.Fatal(err)
		}
		all.Changes = append(all.Changes, page.Changes...)
		all.Skipped = append(all.Skipped, page.Skipped...)
		all.Blocked = append(all.Blocked, page.Blocked...)
		all.Next, all.Complete = page.Next, page.Complete
	}
	return all
}

func find(t *testing.T, page connectors.Page, id string) connectors.Change {
	t.Helper()
	found := connectors.Change{}
	for _, c := range page.Changes {
		if c.Ref.ID == id {
			found = c
		}
	}
	if found.Ref.ID == "" {
		t.Fatalf("%q is not among the changes", id)
	}
	return found
}

func text(t *testing.T, c connectors.Change) (string, error) {
	t.Helper()
	rc, err := c.Document.Open(t.Context())
	if err != nil {
		return "", err
	}
	defer rc.Close()
	data, err := io.ReadAll(rc)
	return string(data), err
}

func readers(acl connectors.ACL) string {
	var all []string
	for _, clause := range acl.AllOf {
		for _, p := range clause {
			all = append(all, string(p.Kind)+":"+p.ID)
		}
	}
	return strings.Join(all, " ")
}

// requests counts those since a moment.
func (r *rig) requests() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.asked)
}

var _ connectortest.TB = (*testing.T)(nil)
