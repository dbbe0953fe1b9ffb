package web_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tributary/connectors"
	"tributary/connectors/folder"
	"tributary/internal/pgtest"
	"tributary/store"
)

// folders opens folders below the directories that the rig allows.
type folders struct {
	roots  []string
	opened int
	// self is whom Self names, meanwhile what happens while it is asked.
	self      connectors.Principal
	meanwhile func()
}

func (f *folders) Self(context.Context, store.Connection) (connectors.Principal, error) {
	if f.meanwhile != nil {
		f.meanwhile()
	}
	return f.self, nil
}

func (f *folders) Verify(ctx context.Context, source string, settings map[string]string, selection connectors.Selection) (string, error) {
	f.opened++
	if source != "folder" {
		return "", errors.New("another source")
	}
	s, err := folder.New(folder.Config{AllowedRoots: f.roots, Realm: "machine"}).Open(ctx, connectors.Env{Settings: settings, Selection: selection})
	if err != nil {
		return "", err
	}
	defer func() { _ = s.Close(ctx) }()
	return s.(connectors.Verifier).Verify(ctx)
}

// allow names the directories below which folders may be connected.
func (o *oauthRig) allow(roots ...string) {
	o.folders.roots, o.parts.FolderRoots = roots, roots
}

// mkdirs makes an allowed directory with a document and a link that leads out of it, and one beside it.
func mkdirs(t *testing.T) (inside, outside string) {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	inside, outside = filepath.Join(dir, "docs"), filepath.Join(dir, "docs-secret")
	err = errors.Join(os.Mkdir(inside, 0o755), os.Mkdir(outside, 0o755), os.Symlink(outside, filepath.Join(inside, "out")), os.WriteFile(filepath.Join(inside, "a.md"), []byte("# A"), 0o644))
	if err != nil {
		t.Fatal(err)
	}
	return inside, outside
}

func testConnectFolder(t *testing.T) {
	o := newOAuthRig(t)
	inside, outside := mkdirs(t)
	post := func(b *browser, path string) page {
		return b.post("/connect", "source", "folder", "name", "docs", "set.path", path, "set.permissions", "fixed", "set.readers", "anyone", "set.max_file_size", "1MB", "include", "*.md\n", "exclude", "")
	}
	// What nobody named may not be connected.
	o.ada.get("/connect").says(t, http.StatusOK, "TRIBUTARY_FOLDER_ROOTS", "tributary connect folder")
	o.ada.get("/connect?source=folder").says(t, http.StatusOK, "TRIBUTARY_FOLDER_ROOTS")
	post(o.ada, inside).says(t, http.StatusForbidden, "Nothing was connected: no directories are set")
	if o.folders.opened != 0 {
		t.Error("a folder was opened although none may be")
	}

	o.allow(inside)
	o.ada.get("/connect").has(t, `href="/connect?source=folder"`)
	form := o.ada.get("/connect?source=folder")
	form.says(t, http.StatusOK, inside, "Directory", "Directory to read: an absolute path", "Readers with permissions=fixed")
	form.has(t, `name="set.path"`, `name="set.readers"`, `<option value="posix" selected`)
	for name, tc := range map[string]struct {
		path, says string
	}{
		"outside":               {outside, "lies outside the directories that may be connected: choose one below " + inside},
		"outside by dots":       {inside + "/../docs-secret", "lies outside the directories"},
		"outside by a link":     {inside + "/out", "lies outside the directories"},
		"everything":            {"/", "lies outside the directories"},
		"no path":               {"", "Directory: is missing"},
		"not absolute":          {"docs", "is not absolute: start it with a slash"},
		"what does not exist":   {inside + "/nope", "does not exist: create it or correct the path"},
		"a file":                {inside + "/a.md", "is not a directory"},
		"unknown beside secret": {outside + "/nope", "lies outside the directories"},
		"two lines":             {inside + "\n/x", "must be one line"},
	} {
		p := post(o.ada, tc.path)
		if p.status != http.StatusUnprocessableEntity || !strings.Contains(p.text(), "Nothing was connected: ") || !strings.Contains(p.text(), tc.says) {
			t.Errorf("%s: %d, want %q:\n%.500s", name, p.status, tc.says, p.text())
		}
		if !strings.Contains(p.body, `value="docs"`) || !strings.Contains(p.body, ">*.md") {
			t.Errorf("%s: what was entered is gone", name)
		}
	}
	o.account("aud", store.RoleAuditor)
	if p := post(o.signedIn("aud"), inside); p.status != http.StatusForbidden || !strings.Contains(p.text(), "role admin") {
		t.Errorf("an auditor connects: %d", p.status)
	}
	if n := pgtest.Scalar[int](t, o.db, `SELECT count(*) FROM connection`); n != 0 || len(o.syncer.orders) != 0 {
		t.Fatalf("%d connections were made, runs %v", n, o.syncer.orders)
	}

	o.account("bob", store.RoleAdmin)
	p := post(o.signedIn("bob"), inside)
	if p.status != http.StatusSeeOther || p.location() != "/connections/docs/choose?done=set-up" {
		t.Fatalf("connecting: %d to %q\n%s", p.status, p.location(), p.text())
	}
	k, err := o.store.Connection(t.Context(), "docs")
	if err != nil || k.Settings["path"] != inside || k.Settings["readers"] != "anyone" || !slices.Equal(k.Selection.Include, []string{"*.md"}) || k.GrantID != nil {
		t.Errorf("connection %+v, %v", k, err)
	}
	if len(o.syncer.orders) != 0 || o.signedIn("bob").post("/connections/docs/start").status != http.StatusSeeOther || !slices.Equal(o.syncer.orders, []string{"docs content admin", "docs permissions admin"}) {
		t.Errorf("runs asked for: %v", o.syncer.orders)
	}
	if !slices.ContainsFunc(o.events(), func(e string) bool { return strings.HasPrefix(e, "connection.create ok account:bob "+k.ID.String()) }) {
		t.Error("the connection is not in the audit log")
	}
	live := o.ada.get("/connections/docs?done=first-sync")
	live.says(t, http.StatusOK, "the first sync has been asked for", "snapshot waiting")
	o.ada.get("/connections/docs/settings").says(t, http.StatusOK, "Directory "+inside, "by bob")
	live.has(t, `<div id="runs" data-live>`, `<div id="facts" data-live>`, `data-topic="connection:`)
	post(o.ada, inside).says(t, http.StatusUnprocessableEntity, "Name: it is taken, choose another")
	// A run that has come to an end is not watched any more.
	o.db.MustExec(t, `UPDATE sync_run SET state = 'succeeded'`)
	if p := o.ada.get("/connections/docs"); strings.Contains(p.body, "Look again") {
		t.Error("the page of a connection at rest asks to be read again")
	}
	runs, err := o.store.Runs(t.Context(), store.RunFilter{Limit: 10})
	if err != nil || len(runs) == 0 {
		t.Fatalf("%d runs, %v", len(runs), err)
	}
	for _, run := range runs {
		if p := o.ada.get("/runs/" + run.ID.String()); strings.Contains(p.body, "data-live") || strings.Contains(p.body, "data-topic") {
			t.Error("the page of a run at rest is read again")
		}
	}
}
