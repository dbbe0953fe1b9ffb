package sandbox

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"tributary/connectors"
	"tributary/internal/httpx"
)

// started is a site with three files, and a session to it.
func started(t testing.TB, change ...func(*connectors.Env)) (*site, *session) {
	t.Helper()
	s := newSite()
	client, release := s.client()
	t.Cleanup(func() {
		release()
		s.close()
	})
	env := connectors.Env{HTTP: client, Base: s.server.URL, Settings: map[string]string{}}
	for _, c := range change {
		c(&env)
	}
	opened, err := New(Config{PageSize: pageSize, Retry: httpx.Retry{Attempts: 1}}).Open(t.Context(), env)
	if err != nil {
		t.Fatal(err)
	}
	session, ok := opened.(*session)
	if !ok {
		t.Fatalf("a session of type %T", opened)
	}
	for _, name := range []string{"a/one.md", "a/deep/two.md", "b/three.md"} {
		if _, err := s.Put(name, "the text of "+name); err != nil {
			t.Fatal(err)
		}
	}
	return s, session
}

// acls reads every ACL that the permission feed yields.
func acls(t testing.TB, s *session) map[string]connectors.ACL {
	t.Helper()
	all := map[string]connectors.ACL{}
	for page, err := range s.Permissions(context.Background(), nil) {
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range page.Changes {
			all[c.Ref.ID] = c.ACL
		}
	}
	return all
}

// snapshotError returns the error with which a snapshot ends.
func snapshotError(t *testing.T, s *session) error {
	t.Helper()
	pages := 0
	for page, err := range s.Snapshot(t.Context(), nil) {
		if err != nil {
			return err
		}
		if pages++; page.Complete || pages > 50 {
			return nil
		}
	}
	return nil
}

func wantClass(t *testing.T, err error, want connectors.Class, says ...string) {
	t.Helper()
	if got := connectors.ClassOf(err); err == nil || got != want {
		t.Errorf("class %s (%v), want %s", got, err, want)
		return
	}
	for _, word := range says {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q does not say %q", err, word)
		}
	}
}

func TestClassesOfAnswers(t *testing.T) {
	t.Parallel()
	t.Run("a missing scope is named, and not taken for a refused item", func(t *testing.T) {
		t.Parallel()
		s, session := started(t)
		id := fileCalled(t, s, "a/one.md")
		s.scopes = []string{scopeAccount}
		wantClass(t, snapshotError(t, session), connectors.ScopeDenied, scopeFiles, "grant again")
		_, err := session.Fetch(t.Context(), id)
		wantClass(t, err, connectors.ScopeDenied, scopeFiles)
		_, err = session.open(t.Context(), connectors.ItemRef{ID: id})
		wantClass(t, err, connectors.ScopeDenied, scopeFiles)
		for _, err := range session.Groups(t.Context()) {
			wantClass(t, err, connectors.ScopeDenied, scopeGroups)
		}
		s.scopes = []string{scopeFiles}
		_, err = session.Realm(t.Context())
		wantClass(t, err, connectors.ScopeDenied, scopeAccount)
	})
	t.Run("a page token of another server starts over", func(t *testing.T) {
		t.Parallel()
		_, session := started(t)
		for _, err := range session.Snapshot(t.Context(), connectors.Cursor(`{"v":1,"list":"items","token":"strange"}`)) {
			wantClass(t, err, connectors.CursorExpired)
		}
	})
	t.Run("a redirected content costs its item alone", func(t *testing.T) {
		t.Parallel()
		refuse := roundTrip(func(*http.Request) (*http.Response, error) {
			return nil, &connectors.Error{Op: "calling", Class: connectors.Invalid, Err: httpx.ErrRedirect}
		})
		_, session := started(t, func(e *connectors.Env) { e.HTTP = &http.Client{Transport: refuse} })
		_, err := session.open(t.Context(), connectors.ItemRef{ID: "x", Revision: "1"})
		wantClass(t, err, connectors.ItemSkipped)
		if e, _ := errors.AsType[*connectors.Error](err); e.Ref.ID != "x" {
			t.Errorf("the error names %+v", e.Ref)
		}
		wantClass(t, snapshotError(t, session), connectors.Invalid)
	})
	t.Run("a class of the client stays", func(t *testing.T) {
		t.Parallel()
		lost := roundTrip(func(*http.Request) (*http.Response, error) {
			return nil, &connectors.Error{Op: "refreshing", Class: connectors.GrantLost, Err: io.EOF}
		})
		_, session := started(t, func(e *connectors.Env) { e.HTTP = &http.Client{Transport: lost} })
		wantClass(t, snapshotError(t, session), connectors.GrantLost)
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestListingsThatContradictThemselves end with an error: an end that is none
// would delete documents.
func TestListingsThatContradictThemselves(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(answer map[string]any, token string){
		"no end and no next":     func(a map[string]any, _ string) { a["next_page_token"], a["complete"] = "", false },
		"an end and a next":      func(a map[string]any, _ string) { a["next_page_token"], a["complete"] = "0~itm-0001", true },
		"the same token again":   func(a map[string]any, token string) { a["next_page_token"], a["complete"] = token, token == "" },
		"an item without id":     func(a map[string]any, _ string) { a["items"] = []map[string]any{{"kind": kindFile, "revision": "1"}} },
		"an item of no revision": func(a map[string]any, _ string) { a["items"] = []map[string]any{{"kind": kindFile, "id": "x"}} },
		"items of another type":  func(a map[string]any, _ string) { a["items"] = "none" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, session := started(t)
			s.spoil = spoil
			complete := false
			var last error
			for page, err := range session.Snapshot(t.Context(), connectors.Cursor(`{"v":1,"list":"items","token":"0~a"}`)) {
				complete, last = complete || page.Complete, err
			}
			wantClass(t, last, connectors.Transient)
			if complete {
				t.Error("the listing says that it is complete")
			}
		})
	}
}

// TestPagesWithoutItems are pages like others.
func TestPagesWithoutItems(t *testing.T) {
	t.Parallel()
	s, session := started(t)
	s.spoil = func(a map[string]any, token string) {
		if token == "" {
			a["items"], a["next_page_token"], a["complete"] = []any{}, "0~", false
		}
	}
	found := 0
	for page, err := range session.Snapshot(t.Context(), nil) {
		if err != nil {
			t.Fatal(err)
		}
		found += len(page.Changes)
	}
	if found != 3 {
		t.Errorf("%d files behind an empty page, want 3", found)
	}
}

// TestCursorsAreStored pins their form: they outlive upgrades.
func TestCursorsAreStored(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]cursor{
		`{"v":1,"list":"items","token":"abc"}`:            {List: listItems, Token: "abc"},
		`{"v":1,"list":"items","token":"abc","end":true}`: {List: listItems, Token: "abc", End: true},
		`{"v":1,"list":"changes","token":"7"}`:            {List: listChanges, Token: "7"},
	} {
		if got := string(c.encode()); got != want {
			t.Errorf("stored as %s, want %s", got, want)
		}
		if back, err := parseCursor("testing", c.List, connectors.Cursor(want)); err != nil || back.Token != c.Token || back.End != c.End {
			t.Errorf("%s came back as %+v (%v)", want, back, err)
		}
	}
	for _, bad := range []string{`{"v":2,"list":"items","token":"a"}`, `{"v":1,"list":"changes","token":"a"}`, `{"v":1,"list":"items"}`, `"a"`, `{`} {
		_, err := parseCursor("testing", listItems, connectors.Cursor(bad))
		wantClass(t, err, connectors.CursorExpired)
	}
	_, err := parseCursor("testing", listChanges, nil)
	wantClass(t, err, connectors.CursorExpired)
}

func TestSelection(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		sel  connectors.Selection
		want []string
	}{
		"everything":                    {connectors.Selection{}, []string{"a/deep/two.md", "a/one.md", "b/three.md"}},
		"a folder by its name":          {connectors.Selection{Include: []string{"deep"}}, []string{"a/deep/two.md"}},
		"a folder by its path":          {connectors.Selection{Include: []string{"/a/"}}, []string{"a/deep/two.md", "a/one.md"}},
		"any depth":                     {connectors.Selection{Include: []string{"a/**/two.*"}}, []string{"a/deep/two.md"}},
		"a star is one element":         {connectors.Selection{Include: []string{"a/*.md"}}, []string{"a/one.md"}},
		"excluded wins":                 {connectors.Selection{Include: []string{"a"}, Exclude: []string{"a/deep"}}, []string{"a/one.md"}},
		"everything below":              {connectors.Selection{Exclude: []string{"a/**"}}, []string{"b/three.md"}},
		"two stars":                     {connectors.Selection{Include: []string{"**"}}, []string{"a/deep/two.md", "a/one.md", "b/three.md"}},
		"the top is everything":         {connectors.Selection{Containers: []string{rootContainer}}, []string{"a/deep/two.md", "a/one.md", "b/three.md"}},
		"a folder that is not there":    {connectors.Selection{Containers: []string{"itm-9999"}}, nil},
		"a folder with what is below":   {connectors.Selection{Containers: []string{"itm-0001"}}, []string{"a/deep/two.md", "a/one.md"}},
		"two folders, one in the other": {connectors.Selection{Containers: []string{"itm-0001", "itm-0003"}}, []string{"a/deep/two.md", "a/one.md"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, session := started(t, func(e *connectors.Env) { e.Selection = c.sel })
			var snapshot, ids []string
			for page, err := range session.Snapshot(t.Context(), nil) {
				if err != nil {
					t.Fatal(err)
				}
				for _, ch := range page.Changes {
					snapshot = append(snapshot, ch.Document.Path)
				}
			}
			for page, err := range session.ListIDs(t.Context(), nil) {
				if err != nil {
					t.Fatal(err)
				}
				for _, ch := range page.Changes {
					ids = append(ids, ch.Ref.ID)
				}
			}
			slices.Sort(snapshot)
			if !slices.Equal(snapshot, c.want) || len(ids) != len(c.want) {
				t.Errorf("%v and %d ids, want %v", snapshot, len(ids), c.want)
			}
		})
	}
	for _, bad := range []string{"", "a//b", "../a", "a/./b", "[a"} {
		_, err := newSelection(connectors.Selection{Exclude: []string{bad}})
		wantClass(t, err, connectors.Invalid, "selection.exclude")
	}
}

// TestAMoveOutOfTheSelection is a deletion for this connection.
func TestAMoveOutOfTheSelection(t *testing.T) {
	t.Parallel()
	s, session := started(t, func(e *connectors.Env) { e.Selection.Containers = []string{"itm-0001"} })
	id := fileCalled(t, s, "a/one.md")
	start, err := session.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Move(id, "b/one.md"); err != nil {
		t.Fatal(err)
	}
	var ops []connectors.Op
	for page, err := range session.Changes(t.Context(), start) {
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range page.Changes {
			ops = append(ops, c.Op)
		}
	}
	if !slices.Equal(ops, []connectors.Op{connectors.Delete}) {
		t.Errorf("changes %v, want one deletion", ops)
	}
	_, err = session.Fetch(t.Context(), id)
	wantClass(t, err, connectors.ItemRefused)
}

// TestLargeFilesAreSkipped: with a reason, and counted as seen.
func TestLargeFilesAreSkipped(t *testing.T) {
	t.Parallel()
	s, session := started(t)
	id := fileCalled(t, s, "b/three.md")
	s.items[id].size = connectors.MaxBody + 1
	var skipped []connectors.Skip
	for page, err := range session.Snapshot(t.Context(), nil) {
		if err != nil {
			t.Fatal(err)
		}
		skipped = append(skipped, page.Skipped...)
	}
	if len(skipped) != 1 || skipped[0].Ref.ID != id || skipped[0].Reason == "" || skipped[0].Path != "b/three.md" {
		t.Errorf("skipped %+v", skipped)
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	open := func(address, link string, client *http.Client) error {
		_, err := New(Config{}).Open(t.Context(), connectors.Env{
			HTTP: client, Base: address, Settings: map[string]string{settingLink: link},
		})
		return err
	}
	for _, good := range []string{"http://localhost:8090", "http://localhost:8090/", "https://drive.example/base"} {
		if err := open(good, linkAnyone, http.DefaultClient); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"", "localhost:8090", "ftp://localhost", "http://", "http://u:p@localhost", "http://localhost?x=1", "http://localhost#x", "::"} {
		wantClass(t, open(bad, "", http.DefaultClient), connectors.Invalid, "address")
	}
	wantClass(t, open("http://localhost:8090", "everybody", http.DefaultClient), connectors.Invalid, settingLink)
	wantClass(t, open("http://localhost:8090", "", nil), connectors.Invalid, "connect it first")
}

// TestNames: an address that nobody verified names nobody.
func TestNames(t *testing.T) {
	t.Parallel()
	_, session := started(t)
	for _, nobody := range []string{"unproven@partner.example", "sandbox:unproven@partner.example", "sandbox:@alice", "alice", "@team", "sandbox:", "sandbox:@", "@"} {
		p, err := session.NamePrincipal(t.Context(), nobody)
		if err == nil {
			t.Errorf("%q is %+v", nobody, p)
			continue
		}
		wantClass(t, err, connectors.Invalid, "sandbox:ID")
	}
	if p, err := session.NamePrincipal(t.Context(), "sandbox:unproven"); err != nil || p.ID != "unproven" {
		t.Errorf("an id needs no address: %+v (%v)", p, err)
	}
}
